//! What stands before the payload of a frame: address and control field, or not, and the protocol field, short or long.

use std::fmt;

/// A PPP protocol number: the values of IANA's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u16);

impl Protocol {
    /// IPv4.
    pub const IP: Self = Self(0x0021);
    /// TCP/IP, compressed by Van Jacobson's method.
    pub const VJ_COMPRESSED: Self = Self(0x002d);
    /// TCP/IP with the slot number in the place of the protocol.
    pub const VJ_UNCOMPRESSED: Self = Self(0x002f);
    /// Multilink (RFC 1990).
    pub const MULTILINK: Self = Self(0x003d);
    /// IPv6.
    pub const IPV6: Self = Self(0x0057);
    /// Compressed packets (RFC 1962).
    pub const COMPRESSED: Self = Self(0x00fd);
    /// Sets IPv4 up (RFC 1332).
    pub const IPCP: Self = Self(0x8021);
    /// Sets IPv6 up (RFC 5072).
    pub const IPV6CP: Self = Self(0x8057);
    /// Sets compression up (RFC 1962).
    pub const CCP: Self = Self(0x80fd);
    /// Sets the link up (RFC 1661).
    pub const LCP: Self = Self(0xc021);
    /// Name and password as they are (RFC 1334).
    pub const PAP: Self = Self(0xc023);
    /// Reports of a link's quality (RFC 1989).
    pub const LQR: Self = Self(0xc025);
    /// A challenge and its response (RFC 1994).
    pub const CHAP: Self = Self(0xc223);
    /// Extensible authentication (RFC 3748).
    pub const EAP: Self = Self(0xc227);

    /// Its name, where it is one of those that links of our time know.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0021 => "IP",
            0x0023 => "OSI",
            0x0025 => "XNS",
            0x0027 => "DECnet",
            0x0029 => "AppleTalk",
            0x002b => "IPX",
            0x002d => "VJ compressed TCP/IP",
            0x002f => "VJ uncompressed TCP/IP",
            0x0031 => "bridged",
            0x003d => "multilink",
            0x0057 => "IPv6",
            0x0059 => "PPP multiplexing",
            0x00fb => "compressed on one link",
            0x00fd => "compressed",
            0x0281 => "MPLS",
            0x8021 => "IPCP",
            0x802b => "IPXCP",
            0x8031 => "BCP",
            0x8053 => "ECP",
            0x8057 => "IPV6CP",
            0x80fb => "CCP on one link",
            0x80fd => "CCP",
            0x8281 => "MPLSCP",
            0xc021 => "LCP",
            0xc023 => "PAP",
            0xc025 => "LQR",
            0xc02b => "BACP",
            0xc223 => "CHAP",
            0xc227 => "EAP",
            _ => return None,
        })
    }

    /// Whether its packets negotiate: code, identifier, length and options (RFC 1661 §2, 0x8000 to 0xbfff, and LCP).
    #[must_use]
    pub const fn negotiates(self) -> bool {
        self.0 >> 14 == 2 || self.0 == Self::LCP.0
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "protocol {:04x}", self.0),
        }
    }
}

/// The fields before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the address and control fields (ff 03) are there; links may agree to leave them out.
    pub addressed: bool,
    /// What the payload is.
    pub protocol: Protocol,
    /// Bytes of the protocol field: 2, or 1 where it was compressed.
    pub protocol_len: u8,
}

impl Header {
    /// The fields at the beginning of `frame` and what follows them; nothing if they are not there.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (addressed, rest) = match frame {
            [0xff, 0x03, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        // The last byte of a protocol field is odd, the others are even (RFC 1661 §2).
        match *rest {
            [short, ..] if short & 1 != 0 => {
                Some((Self { addressed, protocol: Protocol(short.into()), protocol_len: 1 }, &rest[1..]))
            }
            [high, low, ..] => {
                let protocol = Protocol(u16::from_be_bytes([high, low]));
                Some((Self { addressed, protocol, protocol_len: 2 }, &rest[2..]))
            }
            _ => None,
        }
    }

    /// Bytes before the payload.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.addressed) * 2 + usize::from(self.protocol_len)
    }

    /// False: there is always a protocol.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(frame: &[u8]) -> Option<(bool, u16, usize)> {
        Header::parse(frame).map(|(header, rest)| {
            assert_eq!(header.len() + rest.len(), frame.len());
            (header.addressed, header.protocol.0, header.len())
        })
    }

    #[test]
    fn both_fields_may_be_compressed() {
        assert_eq!(parse(&[0xff, 0x03, 0x00, 0x21, 0x45]), Some((true, 0x21, 4)));
        assert_eq!(parse(&[0xff, 0x03, 0x21, 0x45]), Some((true, 0x21, 3)));
        assert_eq!(parse(&[0x00, 0x2d]), Some((false, 0x2d, 2)));
        assert_eq!(parse(&[0x2d, 1, 2]), Some((false, 0x2d, 1)));
        assert_eq!(parse(&[0xc0, 0x21]), Some((false, 0xc021, 2)));
    }

    #[test]
    fn without_a_protocol_there_is_nothing() {
        for frame in [&[][..], &[0xff, 0x03], &[0xff, 0x03, 0xc0], &[0x80]] {
            assert_eq!(parse(frame), None);
        }
    }

    #[test]
    fn protocols_have_names_or_numbers() {
        assert_eq!(Protocol::LCP.to_string(), "LCP");
        assert_eq!(Protocol(0x4003).to_string(), "protocol 4003");
        assert!(Protocol::IPCP.negotiates() && Protocol::LCP.negotiates());
        assert!(!Protocol::PAP.negotiates() && !Protocol::IP.negotiates());
    }
}
