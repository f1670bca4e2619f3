//! The commands that are about files: listings, facts, files down and up, and what `--writable` permits.

use std::sync::Arc;

use bypath::{SendSource, ServiceConnection};

use super::data::Job;
use super::listing::{Form, facts, lines};
use super::session::{Session, Surroundings};
use super::upload::Upload;
use crate::serve::civil::Civil;
use crate::serve::context::{Context, say};
use crate::serve::files::{Content, DirEntry, Opened, Refusal};

impl Session {
    pub(super) fn transfer_command(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        word: &str,
        argument: &[u8],
    ) {
        match word {
            "LIST" => self.list(context, around, connection, (Form::List, argument)),
            "NLST" => self.list(context, around, connection, (Form::Names, argument)),
            "MLSD" => self.list(context, around, connection, (Form::Facts, argument)),
            "MLST" => self.facts_of(context, connection, argument),
            "STAT" => self.status(context, connection, argument),
            "SIZE" | "MDTM" => {
                let found = self.path(argument).zip(self.root(context)).map(|(path, root)| root.facts(&path));
                match found {
                    Some(Ok(facts)) if facts.is_dir => {
                        self.reply(context, connection, "550 That is a directory.");
                    }
                    Some(Ok(facts)) if word == "SIZE" => {
                        self.reply(context, connection, &format!("213 {}", facts.len));
                    }
                    Some(Ok(facts)) => {
                        let time = Civil::of(facts.modified).compact();
                        self.reply(context, connection, &format!("213 {time}"));
                    }
                    Some(Err(refusal)) => self.refuse(context, connection, refusal),
                    None => self.refuse(context, connection, Refusal::NotFound),
                }
            }
            "RETR" => self.retrieve(context, around, connection, argument),
            "STOR" => self.store(context, around, connection, (argument, false)),
            "APPE" => self.store(context, around, connection, (argument, true)),
            "DELE" | "RMD" | "XRMD" | "MKD" | "XMKD" => self.change(context, connection, word, argument),
            _ => self.reply(context, connection, "502 That is not known here."),
        }
    }

    /// The entries that a listing has: of a directory, or the one file.
    fn entries(&self, context: &Context, argument: &[u8]) -> Result<Vec<DirEntry>, Refusal> {
        let (path, root) = self.path(argument).zip(self.root(context)).ok_or(Refusal::NotFound)?;
        match root.look(&path)? {
            Opened::Directory(dir) => root.list(&path, &dir),
            Opened::File(_, facts) => {
                let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
                Ok(vec![DirEntry { name, facts }])
            }
        }
    }

    fn list(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        (form, argument): (Form, &[u8]),
    ) {
        self.rest = 0;
        let argument = if form == Form::Facts { argument } else { without_flags(argument) };
        match self.entries(context, argument) {
            Ok(entries) if self.has_way(context, connection) => {
                let now = context.clock.unix(connection.now());
                let text = lines(form, &entries, now, context.config.writable);
                let name = format!("LIST {}", String::from_utf8_lossy(argument).escape_default());
                self.start(context, around, connection, Job::Text(text), name);
            }
            Ok(_) => {}
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    fn facts_of(&self, context: &mut Context, connection: &mut ServiceConnection<'_>, argument: &[u8]) {
        let found = self.path(argument).zip(self.root(context));
        match found.map(|(path, root)| root.facts(&path).map(|facts| (path, facts))) {
            Some(Ok((path, found))) if !path.iter().any(|b| matches!(b, b'\r' | b'\n')) => {
                let head = format!("250-\r\n {} /", facts(&found, context.config.writable));
                say(connection, &[head.as_bytes(), &path, b"\r\n250 End\r\n"].concat());
            }
            Some(Err(refusal)) => self.refuse(context, connection, refusal),
            _ => self.refuse(context, connection, Refusal::NotFound),
        }
    }

    fn status(&self, context: &mut Context, connection: &mut ServiceConnection<'_>, argument: &[u8]) {
        if argument.is_empty() {
            let transfer =
                if self.transfer.is_some() { "A transfer is going on." } else { "No transfer is going on." };
            let text = format!("211-bypath FTP server\r\n {transfer}\r\n211 End\r\n");
            return say(connection, text.as_bytes());
        }
        match self.entries(context, without_flags(argument)) {
            Ok(entries) => {
                let now = context.clock.unix(connection.now());
                let text = lines(Form::List, &entries, now, context.config.writable);
                say(connection, &[b"213-Status:\r\n", &text[..], b"213 End\r\n"].concat());
            }
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    fn retrieve(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        argument: &[u8],
    ) {
        let rest = std::mem::take(&mut self.rest);
        let content =
            self.path(argument).zip(self.root(context)).ok_or(Refusal::NotFound).and_then(|(path, root)| {
                match root.look(&path)? {
                    Opened::File(file, facts) => {
                        Content::read(&file, facts.len).map_err(|error| Refusal::of_io(&error))
                    }
                    Opened::Directory(..) => Err(Refusal::Forbidden),
                }
            });
        match content {
            Ok(content) if rest > content.len() => {
                self.reply(context, connection, "554 The file is not that long.");
            }
            Ok(content) if self.has_way(context, connection) => {
                let name = format!("RETR {}", String::from_utf8_lossy(argument).escape_default());
                self.start(context, around, connection, Job::File(Arc::new(content), rest), name);
            }
            Ok(_) => {}
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    fn store(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        (argument, append): (&[u8], bool),
    ) {
        let rest = std::mem::take(&mut self.rest);
        let found = self.path(argument).zip(self.root(context)).filter(|(path, _)| !path.is_empty());
        let Some((path, root)) = found else {
            return self.refuse(context, connection, Refusal::NotFound);
        };
        if !self.has_way(context, connection) {
            return;
        }
        let unique = connection.now().as_nanos() ^ u64::from(connection.peer_addr().port()) << 48;
        let upload = match (append, rest) {
            (true, _) => Upload::go_on(&root, &path, None),
            (false, 0) => Upload::replace(&root, &path, unique),
            (false, at) => Upload::go_on(&root, &path, Some(at)),
        };
        match upload {
            Ok(upload) => {
                let name = format!("STOR {}", String::from_utf8_lossy(argument).escape_default());
                self.start(context, around, connection, Job::Upload(Box::new(upload)), name);
            }
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }

    fn change(
        &self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        word: &str,
        argument: &[u8],
    ) {
        let found = self.path(argument).zip(self.root(context)).filter(|(path, _)| !path.is_empty());
        let Some((path, root)) = found else {
            return self.refuse(context, connection, Refusal::Forbidden);
        };
        let done = match word {
            "DELE" => root.remove(&path),
            "MKD" | "XMKD" => root.make_dir(&path),
            _ => root.remove_dir(&path),
        };
        match done {
            Ok(()) if matches!(word, "MKD" | "XMKD") => {
                let name = String::from_utf8_lossy(&path).replace('"', "\"\"").replace(['\r', '\n'], "?");
                self.reply(context, connection, &format!("257 \"/{name}\" is there."));
            }
            Ok(()) => self.reply(context, connection, "250 OK"),
            Err(refusal) => self.refuse(context, connection, refusal),
        }
    }
}

/// Clients send options of `ls` with LIST; they change nothing here.
fn without_flags(argument: &[u8]) -> &[u8] {
    let mut rest = argument.trim_ascii_start();
    while let [b'-', ..] = rest {
        rest = rest.iter().position(|b| *b == b' ').map_or(&[][..], |at| rest[at..].trim_ascii_start());
    }
    rest
}
