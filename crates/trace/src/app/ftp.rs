//! The control connection of FTP (RFC 959, RFC 2428).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Command, Reply};

/// A command, or a line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ftp<'a> {
    /// What the client asks.
    Command(Command<'a>),
    /// What the server answers.
    Reply(Reply<'a>),
}

/// Where a data connection will be opened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataPort {
    /// The address, where it is told; else that of the server (RFC 2428 §3).
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl Ftp<'_> {
    /// The data connection that this announces: PORT, EPRT, or the replies 227 and 229.
    #[must_use]
    pub fn data_port(&self) -> Option<DataPort> {
        match self {
            Self::Command(command) if command.is("PORT") => six(command.argument),
            Self::Command(command) if command.is("EPRT") => extended(command.argument),
            Self::Reply(Reply { code: Some(227), more: false, text }) => {
                // The numbers stand anywhere in the text (RFC 1123 §4.1.2.6).
                let digit = |at: &usize| text[*at].is_ascii_digit();
                let mut begins = (0..text.len()).filter(|at| digit(at) && (*at == 0 || !digit(&(at - 1))));
                begins.find_map(|at| six(&text[at..]))
            }
            Self::Reply(Reply { code: Some(229), more: false, text }) => {
                let begin = text.iter().position(|&byte| byte == b'(')? + 1;
                extended(&text[begin..])
            }
            _ => None,
        }
    }
}

/// `h1,h2,h3,h4,p1,p2`, and whatever follows.
fn six(text: &[u8]) -> Option<DataPort> {
    let mut numbers = [0_u8; 6];
    let mut parts = text.split(|&byte| byte == b',');
    for (place, number) in numbers.iter_mut().enumerate() {
        let part = parts.next()?.trim_ascii();
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits < part.len() && place < 5 {
            return None;
        }
        *number = std::str::from_utf8(&part[..digits]).ok()?.parse().ok()?;
    }
    let [a, b, c, d, high, low] = numbers;
    let address = Some(Ipv4Addr::new(a, b, c, d).into());
    Some(DataPort { address, port: u16::from_be_bytes([high, low]) })
}

/// `|family|address|port|` with any delimiter, family and address perhaps empty.
fn extended(text: &[u8]) -> Option<DataPort> {
    let delimiter = *text.first()?;
    let mut parts = text[1..].split(|&byte| byte == delimiter);
    let mut part = || std::str::from_utf8(parts.next()?).ok();
    let (_family, address, port) = (part()?, part()?, part()?);
    let address = if address.is_empty() { None } else { Some(address.parse().ok()?) };
    Some(DataPort { address, port: port.parse().ok()? })
}

impl DataPort {
    /// The end that the data connection will be opened to, `server` being where the control connection goes.
    #[must_use]
    pub fn resolve(&self, server: IpAddr) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(server), self.port)
    }
}

impl fmt::Display for Ftp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Reply(reply) => reply.fmt(f),
        }
    }
}
