//! The options that links negotiate, by their meaning. An option of another length than it should have is `Other`, as is one
//! that nobody here knows.

use std::fmt;
use std::net::Ipv4Addr;

use crate::printable::Printable;

use super::Protocol;
use super::hdlc::AsyncMap;

/// An option of LCP (RFC 1661 §6, RFC 1662 §7, RFC 1570, RFC 1990).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LcpOption<'a> {
    /// The longest payload that can be received, bytes.
    Mru(u16),
    /// Control characters to be escaped.
    AsyncMap(AsyncMap),
    /// How the peer has to prove who it is: the protocol, and what it needs to know (for CHAP its algorithm).
    Authentication(Protocol, &'a [u8]),
    /// How the link's quality is watched.
    Quality(Protocol, &'a [u8]),
    /// A number that tells a looped line.
    Magic(u32),
    /// The protocol field may be one byte.
    ProtocolFieldCompression,
    /// Address and control field may be left out.
    AddressControlFieldCompression,
    /// The peer shall call back.
    Callback(&'a [u8]),
    /// The longest packet that multilink puts together, bytes.
    Mrru(u16),
    /// Multilink's sequence numbers have 12 bits.
    ShortSequence,
    /// Who is at this end of a multilink bundle: class and address.
    Endpoint(u8, &'a [u8]),
    /// Another option: type and data.
    Other(u8, &'a [u8]),
}

impl<'a> LcpOption<'a> {
    /// The meaning of an option.
    #[must_use]
    pub fn read((kind, data): (u8, &'a [u8])) -> Self {
        match (kind, data) {
            (1, &[a, b]) => Self::Mru(u16::from_be_bytes([a, b])),
            (2, &[a, b, c, d]) => Self::AsyncMap(AsyncMap(u32::from_be_bytes([a, b, c, d]))),
            (3, &[a, b, ref rest @ ..]) => Self::Authentication(Protocol(u16::from_be_bytes([a, b])), rest),
            (4, &[a, b, ref rest @ ..]) => Self::Quality(Protocol(u16::from_be_bytes([a, b])), rest),
            (5, &[a, b, c, d]) => Self::Magic(u32::from_be_bytes([a, b, c, d])),
            (7, []) => Self::ProtocolFieldCompression,
            (8, []) => Self::AddressControlFieldCompression,
            (13, data) => Self::Callback(data),
            (17, &[a, b]) => Self::Mrru(u16::from_be_bytes([a, b])),
            (18, []) => Self::ShortSequence,
            (19, &[class, ref address @ ..]) => Self::Endpoint(class, address),
            (kind, data) => Self::Other(kind, data),
        }
    }
}

/// The name of CHAP's algorithm (RFC 1994 §3, and the registry).
pub(super) fn algorithm(number: u8) -> Option<&'static str> {
    Some(match number {
        5 => "MD5",
        6 => "SHA-1",
        7 => "SHA-256",
        128 => "MS-CHAP",
        129 => "MS-CHAP-v2",
        _ => return None,
    })
}

impl fmt::Display for LcpOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Mru(mru) => write!(f, "MRU {mru}"),
            Self::AsyncMap(map) => write!(f, "async map {:08X}", map.0),
            Self::Authentication(Protocol::CHAP, &[number]) => match algorithm(number) {
                Some(name) => write!(f, "authentication CHAP with {name}"),
                None => write!(f, "authentication CHAP with algorithm {number}"),
            },
            Self::Authentication(protocol, data) => write!(f, "authentication {protocol}{}", Hex(" ", data)),
            Self::Quality(protocol, data) => write!(f, "quality {protocol}{}", Hex(" ", data)),
            Self::Magic(number) => write!(f, "magic number {number:08x}"),
            Self::ProtocolFieldCompression => f.write_str("protocol field compression"),
            Self::AddressControlFieldCompression => f.write_str("address and control field compression"),
            Self::Callback(data) => write!(f, "callback{}", Hex(" ", data)),
            Self::Mrru(mrru) => write!(f, "MRRU {mrru}"),
            Self::ShortSequence => f.write_str("short sequence numbers"),
            Self::Endpoint(class, address) => write!(f, "endpoint of class {class}{}", Hex(" ", address)),
            Self::Other(kind, data) => write!(f, "option {kind}{}", Hex(" ", data)),
        }
    }
}

/// An option of IPCP (RFC 1332 §3, RFC 1877).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcpOption<'a> {
    /// Source and destination, as it was done before RFC 1332.
    Addresses(Ipv4Addr, Ipv4Addr),
    /// Van Jacobson's compression: the highest slot number, and whether slot numbers may be left out. Older peers
    /// state neither.
    VanJacobson(Option<(u8, bool)>),
    /// Another compression of IP.
    Compression(Protocol, &'a [u8]),
    /// The sender's address; 0.0.0.0 asks for one.
    Address(Ipv4Addr),
    /// A mobile node's home address.
    MobileAddress(Ipv4Addr),
    /// The name server to use, the first or second.
    Dns(u8, Ipv4Addr),
    /// The NetBIOS name server to use, the first or second.
    Nbns(u8, Ipv4Addr),
    /// Another option: type and data.
    Other(u8, &'a [u8]),
}

impl<'a> IpcpOption<'a> {
    /// The meaning of an option.
    #[must_use]
    pub fn read((kind, data): (u8, &'a [u8])) -> Self {
        let address = |data: &[u8]| <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from);
        match (kind, data) {
            (1, &[a, b, c, d, e, f, g, h]) => {
                Self::Addresses(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h))
            }
            (2, &[0, 0x2d]) => Self::VanJacobson(None),
            (2, &[0, 0x2d, slot, may]) => Self::VanJacobson(Some((slot, may != 0))),
            (2, &[a, b, ref rest @ ..]) => Self::Compression(Protocol(u16::from_be_bytes([a, b])), rest),
            _ => match (kind, address(data)) {
                (3, Some(address)) => Self::Address(address),
                (4, Some(address)) => Self::MobileAddress(address),
                (129, Some(address)) => Self::Dns(1, address),
                (131, Some(address)) => Self::Dns(2, address),
                (130, Some(address)) => Self::Nbns(1, address),
                (132, Some(address)) => Self::Nbns(2, address),
                _ => Self::Other(kind, data),
            },
        }
    }
}

impl fmt::Display for IpcpOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |place| if place == 1 { "first" } else { "second" };
        match *self {
            Self::Addresses(source, destination) => write!(f, "addresses {source} and {destination}"),
            Self::VanJacobson(None) => f.write_str("Van Jacobson compression"),
            Self::VanJacobson(Some((slot, may))) => {
                // A highest number of 255 makes 256 slots.
                let (slots, omitted) = (u16::from(slot) + 1, if may { "may" } else { "may not" });
                write!(f, "Van Jacobson compression with {slots} slots, whose number {omitted} be left out")
            }
            Self::Compression(protocol, data) => write!(f, "compression {protocol}{}", Hex(" ", data)),
            Self::Address(address) => write!(f, "address {address}"),
            Self::MobileAddress(address) => write!(f, "mobile address {address}"),
            Self::Dns(place, address) => write!(f, "{} name server {address}", which(place)),
            Self::Nbns(place, address) => write!(f, "{} NetBIOS name server {address}", which(place)),
            Self::Other(kind, data) => write!(f, "option {kind}{}", Hex(" ", data)),
        }
    }
}

/// An option of CCP: an algorithm, and what it needs to know (RFC 1962 §4 and the registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CcpOption<'a> {
    /// The algorithm's number.
    pub algorithm: u8,
    /// Its parameters.
    pub data: &'a [u8],
}

impl<'a> CcpOption<'a> {
    /// The meaning of an option.
    #[must_use]
    pub fn read((algorithm, data): (u8, &'a [u8])) -> Self {
        Self { algorithm, data }
    }

    /// The algorithm's name.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self.algorithm {
            0 => "a vendor's own",
            1 => "Predictor type 1",
            2 => "Predictor type 2",
            3 => "Puddle Jumper",
            16 => "Hewlett-Packard PPC",
            17 => "Stac LZS",
            18 => "MPPE/MPPC",
            19 => "Gandalf FZA",
            20 => "V.42bis",
            21 => "BSD Compress",
            23 => "LZS-DCP",
            24 => "Magnalink",
            26 => "Deflate",
            _ => return None,
        })
    }
}

impl fmt::Display for CcpOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.algorithm, self.data) {
            (Some(name), 21, &[code]) => {
                write!(f, "{name} version {} with codes of {} bits", code >> 5, code & 31)
            }
            (Some(name), 26, &[method, _]) => {
                write!(f, "{name} with a window of 2^{} bytes", (method >> 4) + 8)
            }
            (Some(name), 18, &[a, b, c, d]) => {
                let bits = u32::from_be_bytes([a, b, c, d]);
                write!(f, "{name} ")?;
                let all = [
                    (0x0000_0001, "MPPC"),
                    (0x0000_0020, "40-bit keys"),
                    (0x0000_0080, "56-bit keys"),
                    (0x0000_0040, "128-bit keys"),
                    (0x0100_0000, "stateless"),
                ];
                let mut named = all.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name);
                match named.next() {
                    Some(first) => write!(f, "with {first}")?,
                    None => f.write_str("without anything")?,
                }
                named.try_for_each(|name| write!(f, " and {name}"))
            }
            (Some(name), _, data) => write!(f, "{name}{}", Hex(" ", data)),
            (None, number, data) => write!(f, "algorithm {number}{}", Hex(" ", data)),
        }
    }
}

/// Bytes in hexadecimal, with something before them if there are any; text where it is nothing but text.
pub(super) struct Hex<'a>(pub(super) &'static str, pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(before, bytes) = *self;
        if bytes.is_empty() {
            return Ok(());
        }
        f.write_str(before)?;
        if bytes.len() > 3 && bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return write!(f, "\"{}\"", Printable(bytes));
        }
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lcp_options_say_what_they_mean() {
        let say = |kind, data: &[u8]| LcpOption::read((kind, data)).to_string();
        assert_eq!(say(1, &[5, 0xdc]), "MRU 1500");
        assert_eq!(say(2, &[0, 0xa, 0, 0]), "async map 000A0000");
        assert_eq!(say(3, &[0xc0, 0x23]), "authentication PAP");
        assert_eq!(say(3, &[0xc2, 0x23, 5]), "authentication CHAP with MD5");
        assert_eq!(say(3, &[0xc2, 0x23, 200]), "authentication CHAP with algorithm 200");
        assert_eq!(say(5, &[1, 2, 3, 4]), "magic number 01020304");
        assert_eq!(say(7, &[]), "protocol field compression");
        assert_eq!(say(1, &[5]), "option 1 05", "of another length than it has");
        assert_eq!(say(19, b"\x01host"), "endpoint of class 1 \"host\"");
    }

    #[test]
    fn ipcp_options_say_what_they_mean() {
        let say = |kind, data: &[u8]| IpcpOption::read((kind, data)).to_string();
        assert_eq!(say(3, &[0, 0, 0, 0]), "address 0.0.0.0");
        assert_eq!(
            say(2, &[0, 0x2d, 15, 0]),
            "Van Jacobson compression with 16 slots, whose number may not be left out"
        );
        assert_eq!(say(2, &[0, 0x2d]), "Van Jacobson compression");
        assert_eq!(say(2, &[0, 0x61, 1]), "compression protocol 0061 01");
        assert_eq!(say(131, &[10, 0, 0, 53]), "second name server 10.0.0.53");
        assert_eq!(say(3, &[1]), "option 3 01");
    }

    #[test]
    fn ccp_options_say_what_they_mean() {
        let say = |kind, data: &[u8]| CcpOption::read((kind, data)).to_string();
        assert_eq!(say(21, &[0x2f]), "BSD Compress version 1 with codes of 15 bits");
        assert_eq!(say(26, &[0x78, 0]), "Deflate with a window of 2^15 bytes");
        assert_eq!(say(18, &[1, 0, 0, 0x40]), "MPPE/MPPC with 128-bit keys and stateless");
        assert_eq!(say(1, &[]), "Predictor type 1");
        assert_eq!(say(99, &[1]), "algorithm 99 01");
    }
}
