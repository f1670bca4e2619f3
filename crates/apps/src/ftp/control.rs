//! The control connection: commands out, replies in, login, and a polite end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::budget::Budget;
use crate::conn::{CONTROL_BUFFER, Conn};
use crate::error::FetchError;
use crate::fetch::Credentials;
use crate::ftp::MAX_LINE;
use crate::ftp::reply::{Parser, Reply};
use crate::net::Stream;

/// How long a server may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(500);

pub(super) struct Control {
    conn: Conn,
    parser: Parser,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl Control {
    pub(super) fn new(stream: Box<dyn Stream>) -> Result<Control, FetchError> {
        let addr = |addr: std::io::Result<SocketAddr>| addr.map_err(|e| FetchError::Recv(e.to_string()));
        let (local, peer) = (addr(stream.local_addr())?, addr(stream.peer_addr())?);
        Ok(Control { conn: Conn::new(stream, CONTROL_BUFFER)?, parser: Parser::default(), local, peer })
    }

    /// Waits for the greeting, which a busy server may delay with a 120.
    pub(super) fn greeting(&mut self, budget: &Budget) -> Result<Reply, FetchError> {
        loop {
            let reply = self.reply(budget, "waiting for the FTP greeting")?;
            match reply.code {
                120 => {}
                220 | 230 => return Ok(reply),
                _ => return Err(FetchError::WeirdReply(format!("the greeting is \"{reply}\""))),
            }
        }
    }

    /// USER and PASS (RFC 959 section 5.4).
    pub(super) fn login(&mut self, credentials: &Credentials, budget: &Budget) -> Result<(), FetchError> {
        let denied = |reply: &Reply| Err(FetchError::LoginDenied(reply.to_string()));
        let reply = self.command("USER", credentials.user.as_bytes(), budget)?;
        match reply.code {
            230 | 232 => return Ok(()),
            331 => {}
            _ => return denied(&reply),
        }
        let reply = self.command("PASS", credentials.password.as_bytes(), budget)?;
        match reply.code {
            202 | 230 => Ok(()),
            _ => denied(&reply),
        }
    }

    /// Sends a command and waits for the reply.
    pub(super) fn command(
        &mut self,
        verb: &str,
        argument: &[u8],
        budget: &Budget,
    ) -> Result<Reply, FetchError> {
        let mut line = verb.as_bytes().to_vec();
        if !argument.is_empty() {
            line.push(b' ');
            line.extend_from_slice(argument);
        }
        line.extend_from_slice(b"\r\n");
        self.conn.send(&line, budget, &format!("sending {verb}"))?;
        let reply = self.reply(budget, &format!("waiting for the reply to {verb}"))?;
        debug!(verb, %reply, "ftp");
        Ok(reply)
    }

    /// The next reply.
    pub(super) fn reply(&mut self, budget: &Budget, doing: &str) -> Result<Reply, FetchError> {
        loop {
            if let Some(reply) = self.buffered_reply()? {
                return Ok(reply);
            }
            if self.conn.fill(budget, doing)? == 0 {
                return Err(closed());
            }
        }
    }

    /// The next reply, if it comes within `wait`.
    pub(super) fn reply_within(&mut self, wait: Duration) -> Result<Option<Reply>, FetchError> {
        let give_up = Instant::now() + wait;
        loop {
            if let Some(reply) = self.buffered_reply()? {
                return Ok(Some(reply));
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if self.conn.fill_within(left.max(Duration::from_millis(1)))? == Some(0) {
                return Err(closed());
            }
        }
    }

    fn buffered_reply(&mut self) -> Result<Option<Reply>, FetchError> {
        loop {
            let buffered = self.conn.buffered();
            let Some(end) = buffered.iter().position(|b| *b == b'\n') else {
                if buffered.len() >= MAX_LINE || self.conn.is_full() {
                    return Err(FetchError::WeirdReply("a line of an FTP reply without end".to_owned()));
                }
                return Ok(None);
            };
            let line = &buffered[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let reply = self.parser.line(line).map_err(FetchError::WeirdReply)?;
            self.conn.consume(end + 1);
            match reply {
                // "Service not available, closing control connection" may answer anything; curl
                // counts it as a timeout, its usual cause.
                Some(reply) if reply.code == 421 => {
                    return Err(FetchError::Timeout {
                        doing: format!("talking to the server, which said \"{reply}\""),
                        after: Duration::ZERO,
                    });
                }
                Some(reply) => return Ok(Some(reply)),
                None => {}
            }
        }
    }

    /// Ends the session; whatever happens here does not matter any more.
    pub(super) fn quit(&mut self, budget: &Budget) {
        let polite = self.conn.send(b"QUIT\r\n", budget, "leaving");
        if polite.is_ok() {
            let _ = self.reply_within(budget.cap(FAREWELL));
        }
        self.close();
    }

    pub(super) fn close(&mut self) {
        self.conn.close();
    }

    pub(super) fn take_retransmits(&mut self) -> u64 {
        self.conn.take_retransmits()
    }
}

fn closed() -> FetchError {
    FetchError::Recv("the server closed the control connection".to_owned())
}
