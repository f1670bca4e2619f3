//! What applications say, out of the bytes of their connections: DNS, HTTP, FTP, POP3 and SMTP.
//!
//! A [`Conversation`] belongs to one TCP connection. It is given each side's bytes in the order of the stream, once, cut as the
//! segments cut them, and calls back for every piece of meaning that ends in them:
//!
//! ```
//! use bypath_trace::app::{Conversation, Protocol, Side};
//!
//! let mut conversation = Conversation::new(Protocol::Pop3);
//! let mut lines = Vec::new();
//! for piece in [&b"USER a"[..], b"da\r\nPASS"] {
//!     conversation.push(Side::Client, piece, &mut |said| lines.push(said.to_string()));
//! }
//! assert_eq!(lines, ["USER ada"]);
//! ```
//!
//! So for a segment: what it brought that is new (no retransmitted bytes) goes to [`Conversation::push`]; what is missing,
//! lost to the capture, to [`Conversation::gap`]. Who is client is the caller's to know: the one who opened the connection, or
//! the one whose port is not [`Protocol::of_tcp`]'s. UDP has no conversation: [`of_datagram`] reads one datagram.
//!
//! [`Said`] borrows from the bytes, and `Display` tells it in one line without a line end, safe for a terminal. Passwords are
//! shown as they are: whoever has the capture has them.
//!
//! Memory is bounded: a conversation keeps at most the line, or the DNS message, that is not complete yet, up to
//! [`LONGEST_LINE`] bytes of it (64 KiB of a DNS message).

pub mod dns;
pub mod ftp;
pub mod http;
mod lines;
pub mod pop3;
pub mod smtp;
mod stream;
mod text;

use std::fmt;

pub use dns::Message;
pub use ftp::Ftp;
pub use http::Http;
pub use lines::LONGEST_LINE;
pub use pop3::Pop3;
pub use smtp::Smtp;
pub use stream::Conversation;
pub use text::{Command, Reply};

/// A protocol that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// DNS (RFC 1035).
    Dns,
    /// HTTP/1.x (RFC 9112), and 0.9.
    Http,
    /// The control connection of FTP (RFC 959).
    Ftp,
    /// POP3 (RFC 1939).
    Pop3,
    /// SMTP (RFC 5321).
    Smtp,
}

impl Protocol {
    /// What usually runs on this port of a TCP server.
    #[must_use]
    pub const fn of_tcp(port: u16) -> Option<Self> {
        Some(match port {
            21 => Self::Ftp,
            25 | 587 | 2525 => Self::Smtp,
            53 => Self::Dns,
            80 | 8000 | 8008 | 8080 | 8888 | 3128 => Self::Http,
            110 => Self::Pop3,
            _ => return None,
        })
    }

    /// What usually runs on this port of UDP, multicast DNS and its like among it.
    #[must_use]
    pub const fn of_udp(port: u16) -> Option<Self> {
        match port {
            53 | 5353 | 5355 => Some(Self::Dns),
            _ => None,
        }
    }

    /// What the first bytes of a connection look like, whatever its port: HTTP begins with a method it knows, or with its name.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        const BEGINNINGS: [&[u8]; 8] =
            [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"HTTP/1."];
        BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning)).then_some(Self::Http)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Http => "HTTP",
            Self::Ftp => "FTP",
            Self::Pop3 => "POP3",
            Self::Smtp => "SMTP",
        }
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one who opened the connection.
    Client,
    /// The other.
    Server,
}

/// A piece of meaning. It ends in the bytes that were given last; where it began in earlier ones it is told once, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A DNS message.
    Dns(Message<'a>),
    /// A part of an HTTP message.
    Http(Http<'a>),
    /// A command or reply of FTP.
    Ftp(Ftp<'a>),
    /// A command, an answer or data of POP3.
    Pop3(Pop3<'a>),
    /// A command, a reply or data of SMTP.
    Smtp(Smtp<'a>),
    /// So many bytes after the two sides agreed on TLS.
    Encrypted(usize),
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(message) => message.fmt(f),
            Self::Http(http) => http.fmt(f),
            Self::Ftp(ftp) => ftp.fmt(f),
            Self::Pop3(pop3) => pop3.fmt(f),
            Self::Smtp(smtp) => smtp.fmt(f),
            Self::Encrypted(len) => write!(f, "{len} bytes, encrypted"),
        }
    }
}

/// What a UDP datagram says; nothing if its ports are nobody's here, or it is not what they say.
#[must_use]
pub fn of_datagram(source_port: u16, destination_port: u16, payload: &[u8]) -> Option<Said<'_>> {
    match Protocol::of_udp(destination_port).or(Protocol::of_udp(source_port))? {
        Protocol::Dns => Message::parse(payload).map(Said::Dns),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
