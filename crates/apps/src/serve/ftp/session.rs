//! A control connection: commands in, replies out, in order. A command that comes during a transfer waits for its end,
//! but for ABOR and STAT.

mod way;

use std::collections::VecDeque;
use std::net::IpAddr;

use bypath::{ConnectionId, Instant, ServiceConnection};

use self::way::Way;
use super::Action;
use super::command::{Line, eprt_argument, peek, port_argument, take};
use super::data::Job;
use super::passive::Passive;
use crate::serve::config::Role;
use crate::serve::context::{Context, say};
use crate::serve::files::{Refusal, Root, extend, normalise};
use crate::serve::held::Held;
use crate::serve::totals::Trouble;

/// What connections share that a session needs, and what it asks of others.
pub(super) type Surroundings<'a> = (&'a mut VecDeque<Action>, &'a mut Passive);

/// A transfer that was begun.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Until there is a connection to give it to.
    pub(super) job: Option<Job>,
    pub(super) data: Option<ConnectionId>,
    pub(super) since: Instant,
    /// What the access log says of it.
    pub(super) name: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) site: usize,
    id: ConnectionId,
    local: IpAddr,
    pub(super) remote: IpAddr,
    held: Held,
    greeted: bool,
    pub(super) user: Option<String>,
    logged_in: bool,
    pub(super) cwd: Vec<u8>,
    pub(super) rest: u64,
    rename_from: Option<Vec<u8>>,
    only_epsv: bool,
    way: Way,
    pub(super) transfer: Option<Transfer>,
    over: bool,
}

impl Session {
    pub(crate) fn new(site: usize, connection: &mut ServiceConnection<'_>) -> Self {
        say(connection, b"220 bypath FTP server\r\n");
        Self {
            site,
            id: connection.id(),
            local: connection.local_addr().ip(),
            remote: connection.peer_addr().ip(),
            held: Held::default(),
            greeted: true,
            user: None,
            logged_in: false,
            cwd: Vec::new(),
            rest: 0,
            rename_from: None,
            only_epsv: false,
            way: Way::None,
            transfer: None,
            over: false,
        }
    }

    pub(crate) fn on_data(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
    ) {
        if self.over {
            return;
        }
        self.held.push(data);
        self.take_lines(context, around, connection);
    }

    fn take_lines(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
    ) {
        let (actions, passive) = around;
        let before = self.held.len();
        while !self.over && self.greeted {
            if self.transfer.is_some() && !matches!(peek(&self.held).as_deref(), Some("ABOR" | "STAT")) {
                if self.held.len() > super::command::MOST_LINE * 16 {
                    // It does not wait for its answers.
                    context.trouble(Trouble::BadRequest);
                    connection.abort();
                    self.over = true;
                }
                break;
            }
            match take(&mut self.held) {
                Line::None => break,
                Line::TooLong => {
                    context.trouble(Trouble::BadRequest);
                    say(connection, b"500 The line is too long.\r\n");
                    self.over = true;
                    connection.close();
                }
                Line::Command(word, argument) => {
                    context.totals.requests.add(1);
                    self.command(context, (actions, passive), connection, &word, &argument);
                }
            }
        }
        if before > 0 {
            connection.set_unread(if self.transfer.is_some() { self.held.len() } else { 0 });
        }
    }

    /// Replies in one line.
    pub(super) fn reply(&self, context: &mut Context, connection: &mut ServiceConnection<'_>, line: &str) {
        match line.as_bytes() {
            [b'5', b'0', ..] => context.trouble(Trouble::BadRequest),
            [b'5', b'5', ..] => context.trouble(Trouble::NotServed),
            [b'4', b'5', ..] => context.trouble(Trouble::ServerError),
            _ => {}
        }
        let Context { out, .. } = context;
        out.clear();
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
        say(connection, out);
    }

    /// The directory that is served here.
    pub(super) fn root(&self, context: &Context) -> Option<Root> {
        match context.config.sites.get(self.site).map(|site| &site.role) {
            Some(Role::Ftp(root)) => Some(root.clone()),
            _ => None,
        }
    }

    /// A path from the client, from where it is.
    pub(super) fn path(&self, argument: &[u8]) -> Option<Vec<u8>> {
        let mut path = Vec::new();
        if argument.first() == Some(&b'/') {
            normalise(argument, &mut path)?;
        } else {
            path.extend_from_slice(&self.cwd);
            extend(argument, &mut path)?;
        }
        Some(path)
    }

    fn command(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        word: &str,
        argument: &[u8],
    ) {
        let before_login =
            matches!(word, "USER" | "PASS" | "QUIT" | "FEAT" | "HELP" | "NOOP" | "OPTS" | "SYST" | "AUTH");
        if !self.logged_in && !before_login {
            return self.reply(context, connection, "530 Log in with USER and PASS.");
        }
        if !matches!(word, "RNTO" | "NOOP") && word != "RNFR" {
            self.rename_from = None;
        }
        match word {
            "USER" => {
                self.user = Some(String::from_utf8_lossy(argument).into_owned());
                self.logged_in = false;
                self.reply(context, connection, "331 Any password will do.");
            }
            "PASS" if self.user.is_some() => {
                self.logged_in = true;
                self.reply(context, connection, "230 Logged in.");
            }
            "PASS" => self.reply(context, connection, "503 USER comes first."),
            "QUIT" => {
                self.reply(context, connection, "221 Goodbye.");
                self.over = true;
                connection.close();
            }
            "NOOP" => self.reply(context, connection, "200 OK"),
            "SYST" => self.reply(context, connection, "215 UNIX Type: L8"),
            "FEAT" => say(
                connection,
                b"211-Features:\r\n EPRT\r\n EPSV\r\n MDTM\r\n MLST type*;size*;modify*;perm*;\r\n REST STREAM\r\n \
                  SIZE\r\n TVFS\r\n UTF8\r\n211 End\r\n",
            ),
            "HELP" => say(
                connection,
                b"214-These commands are known:\r\n USER PASS QUIT NOOP SYST FEAT HELP OPTS TYPE MODE STRU ALLO\r\n \
                  PWD CWD CDUP PASV EPSV PORT EPRT LIST NLST MLSD MLST\r\n SIZE MDTM REST RETR ABOR STAT\r\n \
                  with --writable: STOR APPE DELE MKD RMD RNFR RNTO\r\n214 End\r\n",
            ),
            "OPTS" => self.options(context, connection, argument),
            "TYPE" => match argument.to_ascii_uppercase().as_slice() {
                // All files are sent as they are; listings end their lines as they must.
                b"A" | b"A N" | b"I" | b"L 8" | b"L8" => self.reply(context, connection, "200 OK"),
                _ => self.reply(context, connection, "504 TYPE A, I or L 8."),
            },
            "MODE" => self.only(context, connection, argument, b"S"),
            "STRU" => self.only(context, connection, argument, b"F"),
            "ALLO" | "ACCT" => self.reply(context, connection, "202 Not needed here."),
            "PWD" | "XPWD" => {
                let name = String::from_utf8_lossy(&self.cwd).replace('"', "\"\"").replace(['\r', '\n'], "?");
                self.reply(context, connection, &format!("257 \"/{name}\" is the directory."));
            }
            "CWD" | "XCWD" => self.change_dir(context, connection, argument),
            "CDUP" | "XCUP" => self.change_dir(context, connection, b".."),
            "PASV" => self.passive(context, around, connection, false),
            "EPSV" => match argument.to_ascii_uppercase().as_slice() {
                b"ALL" => {
                    self.only_epsv = true;
                    self.reply(context, connection, "200 EPSV only, from here on.");
                }
                b"" => self.passive(context, around, connection, true),
                b"1" if self.local.is_ipv4() => self.passive(context, around, connection, true),
                b"2" if self.local.is_ipv6() => self.passive(context, around, connection, true),
                _ => self.reply(context, connection, wrong_family(self.local)),
            },
            "PORT" => match port_argument(argument) {
                Some(to) => self.active(context, around, connection, to),
                None => self.reply(context, connection, "501 PORT wants six numbers."),
            },
            "EPRT" => match eprt_argument(argument) {
                Ok(Some(to)) => self.active(context, around, connection, to),
                Ok(None) => self.reply(context, connection, "501 EPRT wants |1|ADDRESS|PORT|."),
                Err(()) => self.reply(context, connection, wrong_family(self.local)),
            },
            "REST" => match std::str::from_utf8(argument).ok().and_then(|text| text.trim().parse().ok()) {
                Some(at) => {
                    self.rest = at;
                    self.reply(context, connection, &format!("350 From byte {at} on."));
                }
                None => self.reply(context, connection, "501 REST wants a number."),
            },
            "ABOR" => self.abort(context, around, connection),
            "RNFR" | "RNTO" | "DELE" | "RMD" | "XRMD" | "MKD" | "XMKD" | "STOR" | "APPE"
                if !context.config.writable =>
            {
                self.reply(context, connection, "550 Nothing can be changed here.");
            }
            "RNFR" => self.rename_from(context, connection, argument),
            "RNTO" => self.rename_to(context, connection, argument),
            _ => self.transfer_command(context, around, connection, word, argument),
        }
    }

    fn only(
        &self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        argument: &[u8],
        good: &[u8],
    ) {
        let line = if argument.eq_ignore_ascii_case(good) { "200 OK" } else { "504 Not here." };
        self.reply(context, connection, line);
    }

    fn options(&self, context: &mut Context, connection: &mut ServiceConnection<'_>, argument: &[u8]) {
        let argument = argument.to_ascii_uppercase();
        let line = match argument.as_slice() {
            b"UTF8 ON" | b"UTF8" => "200 Names are UTF-8.",
            [b'M', b'L', b'S', b'T', ..] => "200 MLST OPTS type;size;modify;perm;",
            _ => "501 There is no such option.",
        };
        self.reply(context, connection, line);
    }

    fn change_dir(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>, argument: &[u8]) {
        let (Some(path), Some(root)) = (self.path(argument), self.root(context)) else {
            return self.reply(context, connection, "550 There is no such directory.");
        };
        match root.facts(&path) {
            Ok(facts) if facts.is_dir => {
                self.cwd = path;
                self.reply(context, connection, "250 OK");
            }
            Ok(_) => self.reply(context, connection, "550 That is no directory."),
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    fn rename_from(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        argument: &[u8],
    ) {
        let found =
            self.path(argument).zip(self.root(context)).filter(|(path, root)| root.facts(path).is_ok());
        match found {
            Some((path, _)) if !path.is_empty() => {
                self.rename_from = Some(path);
                self.reply(context, connection, "350 To what?");
            }
            _ => self.reply(context, connection, "550 There is no such file."),
        }
    }

    fn rename_to(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>, argument: &[u8]) {
        let Some(from) = self.rename_from.take() else {
            return self.reply(context, connection, "503 RNFR comes first.");
        };
        let (Some(to), Some(root)) = (self.path(argument), self.root(context)) else {
            return self.reply(context, connection, "553 That cannot be its name.");
        };
        match root.rename(&from, &to) {
            Ok(()) => self.reply(context, connection, "250 OK"),
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    pub(super) fn refuse(
        &self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        refusal: Refusal,
    ) {
        let line = match refusal {
            Refusal::NotFound => "550 There is no such file or directory.",
            Refusal::Forbidden => "550 Not permitted.",
            Refusal::Conflict => "550 Something is in the way.",
            Refusal::Full => "452 There is no room.",
            Refusal::Failed => "451 The server cannot do it.",
        };
        self.reply(context, connection, line);
    }

    fn log(
        &self,
        context: &mut Context,
        connection: &ServiceConnection<'_>,
        name: &str,
        line: &str,
        bytes: u64,
    ) {
        if context.logs() {
            let time = crate::serve::civil::Civil::of(context.clock.unix(connection.now())).log();
            let user = self.user.as_deref().unwrap_or("-").escape_default();
            let code = line.get(..3).unwrap_or_default();
            context.log(|| format!("{} - {user} [{time}] \"{name}\" {code} {bytes}\n", self.remote));
        }
    }
}

fn wrong_family(local: IpAddr) -> &'static str {
    if local.is_ipv4() {
        "522 Network protocol not supported, use (1)"
    } else {
        "522 Network protocol not supported, use (2)"
    }
}
