//! POP3 (RFC 1939, RFC 2449, RFC 5034).

use std::fmt;

use crate::printable::Printable;

use super::Command;

/// A command, an answer, or data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pop3<'a> {
    /// What the client asks.
    Command(Command<'a>),
    /// `+OK` or `-ERR`, and what follows it.
    Status {
        /// It is `+OK`.
        ok: bool,
        /// What follows.
        text: &'a [u8],
    },
    /// A challenge of the server, or what the client answers to it.
    Exchange(&'a [u8]),
    /// Lines of a list or a mail.
    Data {
        /// Bytes in what was given last.
        len: usize,
        /// Bytes up to now.
        so_far: u64,
    },
    /// The dot that ends them.
    DataEnd {
        /// Bytes of all lines.
        total: u64,
    },
    /// A line that is none of these.
    Other(&'a [u8]),
}

impl fmt::Display for Pop3<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Command(command) => command.fmt(f),
            Self::Status { ok, text } => {
                f.write_str(if ok { "+OK" } else { "-ERR" })?;
                if text.is_empty() { Ok(()) } else { write!(f, " {}", Printable(text)) }
            }
            Self::Exchange(text) | Self::Other(text) => Printable(text).fmt(f),
            Self::Data { len, so_far } => super::smtp::data(f, len, so_far),
            Self::DataEnd { total } => write!(f, "end of data, {total} bytes"),
        }
    }
}
