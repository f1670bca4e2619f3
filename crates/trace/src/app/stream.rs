//! One connection: which line is what depends on those before it, and on what the other side said.

use std::collections::VecDeque;

use super::http::{self, Asked};
use super::lines::Lines;
use super::text::Dotted;
use super::{Command, Ftp, Message, Pop3, Protocol, Reply, Said, Side, Smtp};

/// The application's side of a TCP connection: takes bytes, tells what they mean.
pub struct Conversation {
    protocol: Protocol,
    client: Half,
    server: Half,
    shared: Shared,
}

/// One direction.
#[derive(Default)]
struct Half {
    lines: Lines,
    /// Bytes of a DNS message that is not complete, its length before it.
    message: Vec<u8>,
    /// Bytes that belong to a message whose beginning is missing.
    astray: bool,
    http: http::Half,
    /// Where a mail or a list is under way.
    dotted: Option<Dotted>,
    /// Bytes of a `BDAT` that are still to come, and how many there were.
    binary: (u64, u64),
}

/// What both directions have to know.
#[derive(Default)]
struct Shared {
    /// The number of the reply whose last line is to come.
    open: Option<u16>,
    /// Requests of HTTP without a response.
    asked: VecDeque<Asked>,
    /// What the answers to the commands mean that have none yet.
    awaited: VecDeque<Awaited>,
    /// The client's lines are a mail from here on.
    mail: bool,
    /// The next line of the client answers a challenge.
    challenged: bool,
    /// TLS has begun.
    encrypted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Other,
    /// A list or a mail follows `+OK`.
    Lines,
    /// TLS begins.
    Tls,
}

impl Shared {
    /// A command has been sent.
    fn await_answer(&mut self, awaited: Awaited) {
        /// Commands without an answer; more are not remembered.
        const MOST: usize = 256;
        if self.awaited.len() < MOST {
            self.awaited.push_back(awaited);
        }
    }
}

impl Conversation {
    /// One that has not begun.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, client: Half::default(), server: Half::default(), shared: Shared::default() }
    }

    /// What is spoken.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Takes the next bytes of a side, and calls `said` for everything that ends in them.
    pub fn push(&mut self, from: Side, bytes: &[u8], said: &mut dyn FnMut(Said<'_>)) {
        let half = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let shared = &mut self.shared;
        match self.protocol {
            Protocol::Dns => half.messages(bytes, said),
            Protocol::Http => half.http.push(from, bytes, &mut shared.asked, said),
            protocol => half.text(protocol, from, bytes, shared, said),
        }
    }

    /// The next `len` bytes of a side are not known.
    pub fn gap(&mut self, from: Side, len: u64, said: &mut dyn FnMut(Said<'_>)) {
        let half = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        half.lines.gap();
        half.message.clear();
        half.astray = true;
        half.http.gap(len, said);
        half.binary.0 = half.binary.0.saturating_sub(len);
        if from == Side::Server {
            self.shared.open = None;
        }
    }

    /// A side has said everything: its FIN, behind all of its bytes.
    pub fn end(&mut self, from: Side, said: &mut dyn FnMut(Said<'_>)) {
        match from {
            Side::Client => self.client.http.end(said),
            Side::Server => self.server.http.end(said),
        }
    }
}

impl Half {
    /// DNS over TCP: each message has its length before it (RFC 1035 §4.2.2).
    fn messages(&mut self, mut bytes: &[u8], said: &mut dyn FnMut(Said<'_>)) {
        // Where the next message begins is not known any more.
        if self.astray {
            return;
        }
        while !bytes.is_empty() {
            let wanted = match *self.message {
                [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => 2,
            };
            let taken = (wanted - self.message.len()).min(bytes.len());
            self.message.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [high, low, ref message @ ..] = *self.message
                && message.len() == usize::from(u16::from_be_bytes([high, low]))
            {
                if let Some(message) = Message::parse(message) {
                    said(Said::Dns(message));
                }
                self.message.clear();
            }
        }
    }

    /// FTP, POP3 and SMTP: lines, and mails between them.
    fn text(
        &mut self,
        protocol: Protocol,
        from: Side,
        mut bytes: &[u8],
        shared: &mut Shared,
        said: &mut dyn FnMut(Said<'_>),
    ) {
        loop {
            if shared.encrypted {
                if !bytes.is_empty() {
                    said(Said::Encrypted(bytes.len()));
                }
                break;
            }
            if self.binary.0 > 0 {
                let taken = usize::try_from(self.binary.0).unwrap_or(usize::MAX).min(bytes.len());
                if taken == 0 {
                    break;
                }
                self.binary.0 -= taken as u64;
                self.binary.1 += taken as u64;
                said(Said::Smtp(Smtp::Data { len: taken, so_far: self.binary.1 }));
                bytes = &bytes[taken..];
                continue;
            }
            let mut lines = std::mem::take(&mut self.lines);
            let rest = lines.next(bytes, &mut |line| self.line(protocol, from, line, shared, said));
            self.lines = lines;
            match rest {
                Some(rest) => bytes = rest,
                None => break,
            }
        }
        if let Some(dotted) = &mut self.dotted {
            report(protocol, dotted, said);
        }
    }

    fn line(
        &mut self,
        protocol: Protocol,
        from: Side,
        line: &[u8],
        shared: &mut Shared,
        said: &mut dyn FnMut(Said<'_>),
    ) {
        if let Some(dotted) = &mut self.dotted {
            if dotted.line(line) {
                report(protocol, dotted, said);
                let (_, total) = dotted.report();
                said(match protocol {
                    Protocol::Pop3 => Said::Pop3(Pop3::DataEnd { total }),
                    _ => Said::Smtp(Smtp::DataEnd { total }),
                });
                self.dotted = None;
            }
            return;
        }
        match (protocol, from) {
            (Protocol::Pop3, Side::Server) => self.pop3_answer(line, shared, said),
            (_, Side::Server) => {
                let reply = Reply::parse(line, shared.open);
                shared.open = reply.still_open(shared.open);
                said(match protocol {
                    Protocol::Ftp => Said::Ftp(Ftp::Reply(reply)),
                    _ => Said::Smtp(Smtp::Reply(reply)),
                });
                match (protocol, reply.code) {
                    _ if reply.more => {}
                    (_, None) => {}
                    // More replies to the same command follow.
                    (Protocol::Ftp, Some(100..=199)) => {}
                    (Protocol::Smtp, Some(334)) => shared.challenged = true,
                    (_, Some(code)) => {
                        let awaited = shared.awaited.pop_front();
                        let agreed = code == if protocol == Protocol::Ftp { 234 } else { 220 };
                        shared.encrypted = agreed && awaited == Some(Awaited::Tls);
                        shared.mail = protocol == Protocol::Smtp && code == 354;
                    }
                }
            }
            (_, Side::Client) => self.command(protocol, line, shared, said),
        }
    }

    fn pop3_answer(&mut self, line: &[u8], shared: &mut Shared, said: &mut dyn FnMut(Said<'_>)) {
        let status = |beginning: &[u8]| {
            let text = line.strip_prefix(beginning)?;
            (text.is_empty() || text[0] == b' ').then(|| text.strip_prefix(b" ").unwrap_or(text))
        };
        let answer = if let Some(text) = status(b"+OK") {
            Pop3::Status { ok: true, text }
        } else if let Some(text) = status(b"-ERR") {
            Pop3::Status { ok: false, text }
        } else if line == b"+" || line.starts_with(b"+ ") {
            shared.challenged = true;
            Pop3::Exchange(line)
        } else {
            Pop3::Other(line)
        };
        if let Pop3::Status { ok, .. } = answer {
            match shared.awaited.pop_front() {
                Some(Awaited::Lines) if ok => self.dotted = Some(Dotted::default()),
                Some(Awaited::Tls) => shared.encrypted = ok,
                _ => {}
            }
        }
        said(Said::Pop3(answer));
    }

    fn command(
        &mut self,
        protocol: Protocol,
        line: &[u8],
        shared: &mut Shared,
        said: &mut dyn FnMut(Said<'_>),
    ) {
        if std::mem::take(&mut shared.mail) {
            // The whole mail has one reply.
            shared.await_answer(Awaited::Other);
            let mut dotted = Dotted::default();
            if dotted.line(line) {
                said(Said::Smtp(Smtp::DataEnd { total: 0 }));
            } else {
                self.dotted = Some(dotted);
            }
            return;
        }
        if std::mem::take(&mut shared.challenged) {
            said(match protocol {
                Protocol::Pop3 => Said::Pop3(Pop3::Exchange(line)),
                _ => Said::Smtp(Smtp::Exchange(line)),
            });
            return;
        }
        let command = Command::parse(line);
        let lists = ["RETR", "TOP", "CAPA"].iter().any(|verb| command.is(verb));
        let lists_all = ["LIST", "UIDL"].iter().any(|verb| command.is(verb)) && command.argument.is_empty();
        shared.await_answer(match protocol {
            Protocol::Pop3 if lists || lists_all => Awaited::Lines,
            Protocol::Pop3 if command.is("STLS") => Awaited::Tls,
            Protocol::Smtp if command.is("STARTTLS") => Awaited::Tls,
            Protocol::Ftp if command.is("AUTH") => Awaited::Tls,
            _ => Awaited::Other,
        });
        if protocol == Protocol::Smtp && command.is("BDAT") {
            let mut words = command.argument.split(|&byte| byte == b' ');
            let length = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            self.binary = (length.unwrap_or(0), 0);
        }
        said(match protocol {
            Protocol::Ftp => Said::Ftp(Ftp::Command(command)),
            Protocol::Pop3 => Said::Pop3(Pop3::Command(command)),
            _ => Said::Smtp(Smtp::Command(command)),
        });
    }
}

/// Tells of the lines of a mail that came since the last time.
fn report(protocol: Protocol, dotted: &mut Dotted, said: &mut dyn FnMut(Said<'_>)) {
    let (len, so_far) = dotted.report();
    if len > 0 {
        said(match protocol {
            Protocol::Pop3 => Said::Pop3(Pop3::Data { len, so_far }),
            _ => Said::Smtp(Smtp::Data { len, so_far }),
        });
    }
}
