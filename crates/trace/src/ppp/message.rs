//! The packets that set a link up, by their meaning, and a line of text for each.

use std::fmt;

use crate::printable::Printable;

use super::options::Hex;
use super::{CcpOption, Chap, Code, Control, IpcpOption, LcpOption, Pap, Protocol};

/// A packet of LCP, of an authentication protocol or of a network control protocol.
///
/// `Display` tells it in a line, without its protocol:
///
/// ```
/// use bypath_trace::ppp::{Message, Protocol};
///
/// let request = Message::read(Protocol::LCP, &[1, 1, 0, 10, 1, 4, 5, 0xdc, 7, 2]);
/// let line = "Configure-Request 1: MRU 1500, protocol field compression";
/// assert_eq!(request.map(|message| message.to_string()).as_deref(), Some(line));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Sets the link up and ends it.
    Lcp(Control<'a>),
    /// Sets IPv4 up.
    Ipcp(Control<'a>),
    /// Sets compression up.
    Ccp(Control<'a>),
    /// Sets up something else.
    Ncp(Protocol, Control<'a>),
    /// Name and password.
    Pap(Control<'a>, Pap<'a>),
    /// Challenge and response.
    Chap(Control<'a>, Chap<'a>),
}

impl<'a> Message<'a> {
    /// The packet in the payload of a frame of `protocol`; nothing if it is of another kind or has not even its fixed bytes.
    #[must_use]
    pub fn read(protocol: Protocol, payload: &'a [u8]) -> Option<Self> {
        let packet = || Control::parse(payload);
        Some(match protocol {
            Protocol::LCP => Self::Lcp(packet()?),
            Protocol::IPCP => Self::Ipcp(packet()?),
            Protocol::CCP | Protocol(0x80fb) => Self::Ccp(packet()?),
            Protocol::PAP => {
                let packet = packet()?;
                Self::Pap(packet, Pap::read(&packet))
            }
            Protocol::CHAP => {
                let packet = packet()?;
                Self::Chap(packet, Chap::read(&packet))
            }
            other if other.negotiates() => Self::Ncp(other, packet()?),
            _ => return None,
        })
    }

    /// Code, identifier, length and body.
    #[must_use]
    pub fn packet(&self) -> &Control<'a> {
        match self {
            Self::Lcp(packet)
            | Self::Ipcp(packet)
            | Self::Ccp(packet)
            | Self::Ncp(_, packet)
            | Self::Pap(packet, _)
            | Self::Chap(packet, _) => packet,
        }
    }

    /// The name of what it asks or answers: PAP and CHAP have names of their own for their codes.
    #[must_use]
    pub fn code_name(&self) -> Option<&'static str> {
        let code = self.packet().code;
        match (self, code.0) {
            (Self::Pap(..), 1) => Some("Authenticate-Request"),
            (Self::Pap(..), 2) => Some("Authenticate-Ack"),
            (Self::Pap(..), 3) => Some("Authenticate-Nak"),
            (Self::Chap(..), 1) => Some("Challenge"),
            (Self::Chap(..), 2) => Some("Response"),
            (Self::Chap(..), 3) => Some("Success"),
            (Self::Chap(..), 4) => Some("Failure"),
            (Self::Pap(..) | Self::Chap(..), _) => None,
            _ => code.name(),
        }
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = self.packet();
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", packet.code.0)?,
        }
        write!(f, " {}", packet.identifier)?;
        match self {
            Self::Lcp(packet) => body(f, packet, LcpOption::read)?,
            Self::Ipcp(packet) => body(f, packet, IpcpOption::read)?,
            Self::Ccp(packet) => body(f, packet, CcpOption::read)?,
            Self::Ncp(_, packet) => body(f, packet, |(kind, data)| LcpOption::Other(kind, data))?,
            Self::Pap(_, pap) => match pap {
                Pap::Request(name, password) => {
                    write!(f, ": name \"{}\", password \"{}\"", Printable(name), Printable(password))?;
                }
                Pap::Ack(text) | Pap::Nak(text) => said(f, text)?,
                Pap::Other => write!(f, "{}", Hex(": ", packet.body))?,
            },
            Self::Chap(_, chap) => match chap {
                Chap::Challenge(value, name) | Chap::Response(value, name) => {
                    write!(f, ": name \"{}\", value ", Printable(name))?;
                    value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                }
                Chap::Success(text) | Chap::Failure(text) => said(f, text)?,
                Chap::Other => write!(f, "{}", Hex(": ", packet.body))?,
            },
        }
        if packet.is_cut() { f.write_str(" [cut]") } else { Ok(()) }
    }
}

fn said(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { write!(f, ": \"{}\"", Printable(text)) }
}

/// Options, or what else a packet has by its code.
fn body<'a, T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    packet: &Control<'a>,
    read: impl Fn((u8, &'a [u8])) -> T,
) -> fmt::Result {
    match (packet.code, packet.body) {
        (Code(1..=4), _) => {
            let mut items = packet.items();
            let mut between = ": ";
            for item in items.by_ref() {
                write!(f, "{between}{}", read(item))?;
                between = ", ";
            }
            if !items.rest().is_empty() {
                write!(f, "{between}malformed{}", Hex(" ", items.rest()))?;
            }
            Ok(())
        }
        (Code::PROTOCOL_REJECT, &[high, low, ..]) => {
            write!(f, ": {}", Protocol(u16::from_be_bytes([high, low])))
        }
        (Code::CODE_REJECT, &[code, ..]) => write!(f, ": {}", Code(code)),
        (Code(9..=13), &[a, b, c, d, ref rest @ ..]) => {
            write!(f, ": magic number {:08x}", u32::from_be_bytes([a, b, c, d]))?;
            match (packet.code, rest) {
                (Code::TIME_REMAINING, &[a, b, c, d, ref text @ ..]) => {
                    write!(f, ", {} seconds", u32::from_be_bytes([a, b, c, d]))?;
                    if text.is_empty() { Ok(()) } else { write!(f, ", \"{}\"", Printable(text)) }
                }
                (Code::IDENTIFICATION, text) => write!(f, ", \"{}\"", Printable(text)),
                (_, []) => Ok(()),
                (_, data) => write!(f, ", {} bytes", data.len()),
            }
        }
        (_, data) => write!(f, "{}", Hex(": ", data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(protocol: Protocol, payload: &[u8]) -> String {
        Message::read(protocol, payload).unwrap().to_string()
    }

    #[test]
    fn packets_tell_themselves_in_a_line() {
        assert_eq!(
            say(Protocol::LCP, &[1, 1, 0, 14, 2, 6, 0, 10, 0, 0, 3, 4, 0xc0, 0x23]),
            "Configure-Request 1: async map 000A0000, authentication PAP"
        );
        assert_eq!(
            say(Protocol::IPCP, &[3, 9, 0, 10, 3, 6, 10, 0, 0, 1]),
            "Configure-Nak 9: address 10.0.0.1"
        );
        assert_eq!(say(Protocol::CCP, &[14, 2, 0, 4]), "Reset-Request 2");
        assert_eq!(say(Protocol::LCP, &[8, 3, 0, 8, 0x80, 0xfd, 1, 1]), "Protocol-Reject 3: CCP");
        assert_eq!(say(Protocol::LCP, &[9, 4, 0, 8, 0, 0, 0, 1]), "Echo-Request 4: magic number 00000001");
        let time = [13, 4, 0, 15, 0, 0, 0, 1, 0, 0, 0, 60, b'b', b'y', b'e'];
        assert_eq!(say(Protocol::LCP, &time), "Time-Remaining 4: magic number 00000001, 60 seconds, \"bye\"");
        assert_eq!(say(Protocol::LCP, b"\x05\x02\0\x0buser\x20hu"), "Terminate-Request 2: \"user hu\"");
    }

    #[test]
    fn log_ins_are_told_as_they_are() {
        let request = b"\x01\x05\0\x0d\x03ada\x04s\x1b]t";
        let line = "Authenticate-Request 5: name \"ada\", password \"s\\x1b]t\"";
        assert_eq!(say(Protocol::PAP, request), line);
        assert_eq!(say(Protocol::PAP, b"\x02\x05\0\x08\x03yes"), "Authenticate-Ack 5: \"yes\"");
        assert_eq!(say(Protocol::PAP, b"\x03\x05\0\x05\0"), "Authenticate-Nak 5");
        assert_eq!(
            say(Protocol::CHAP, b"\x01\x05\0\x0a\x02\xab\xcdisp"),
            "Challenge 5: name \"isp\", value abcd"
        );
        assert_eq!(say(Protocol::CHAP, b"\x04\x05\0\x06no"), "Failure 5: \"no\"");
    }

    #[test]
    fn what_is_cut_or_malformed_is_shown_as_far_as_it_goes() {
        assert_eq!(say(Protocol::LCP, &[1, 1, 0, 20, 1, 4, 5, 0xdc, 2, 6]), {
            "Configure-Request 1: MRU 1500, malformed 0206 [cut]"
        });
        assert_eq!(say(Protocol::PAP, b"\x01\x05\0\x0d\x09ada"), {
            "Authenticate-Request 5: name \"ada\", password \"\" [cut]"
        });
        assert_eq!(Message::read(Protocol::LCP, &[1, 1, 0]), None);
        assert_eq!(Message::read(Protocol::IP, &[1, 1, 0, 4]), None);
        assert_eq!(say(Protocol(0x8031), &[1, 1, 0, 6, 1, 2]), "Configure-Request 1: option 1");
    }
}
