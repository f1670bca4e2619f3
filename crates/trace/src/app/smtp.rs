//! SMTP (RFC 5321, RFC 3030, RFC 4954).

use std::fmt;

use crate::printable::Printable;

use super::{Command, Reply};

/// A command, a line of a reply, or data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smtp<'a> {
    /// What the client asks.
    Command(Command<'a>),
    /// What the server answers.
    Reply(Reply<'a>),
    /// What the client answers to the challenge of a log-in.
    Exchange(&'a [u8]),
    /// Lines of a mail.
    Data {
        /// Bytes in what was given last.
        len: usize,
        /// Bytes up to now.
        so_far: u64,
    },
    /// The mail's end.
    DataEnd {
        /// Bytes of it.
        total: u64,
    },
}

impl fmt::Display for Smtp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Command(command) => command.fmt(f),
            Self::Reply(reply) => reply.fmt(f),
            Self::Exchange(text) => Printable(text).fmt(f),
            Self::Data { len, so_far } => data(f, len, so_far),
            Self::DataEnd { total } => write!(f, "end of data, {total} bytes"),
        }
    }
}

/// Data under way.
pub(super) fn data(f: &mut fmt::Formatter<'_>, len: usize, so_far: u64) -> fmt::Result {
    write!(f, "{len} bytes of data")?;
    if so_far == len as u64 { Ok(()) } else { write!(f, ", {so_far} so far") }
}
