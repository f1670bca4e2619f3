//! The packets that negotiate: code, identifier, length, and options or something else (RFC 1661 §5).

use std::fmt;

/// What a negotiating packet asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u8);

#[allow(missing_docs, reason = "named as in RFC 1661 §5, RFC 1962 §3 and RFC 1570 §2")]
impl Code {
    pub const CONFIGURE_REQUEST: Self = Self(1);
    pub const CONFIGURE_ACK: Self = Self(2);
    pub const CONFIGURE_NAK: Self = Self(3);
    pub const CONFIGURE_REJECT: Self = Self(4);
    pub const TERMINATE_REQUEST: Self = Self(5);
    pub const TERMINATE_ACK: Self = Self(6);
    pub const CODE_REJECT: Self = Self(7);
    pub const PROTOCOL_REJECT: Self = Self(8);
    pub const ECHO_REQUEST: Self = Self(9);
    pub const ECHO_REPLY: Self = Self(10);
    pub const DISCARD_REQUEST: Self = Self(11);
    pub const IDENTIFICATION: Self = Self(12);
    pub const TIME_REMAINING: Self = Self(13);
    pub const RESET_REQUEST: Self = Self(14);
    pub const RESET_ACK: Self = Self(15);

    /// Its name in the RFCs.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "Vendor-Specific",
            1 => "Configure-Request",
            2 => "Configure-Ack",
            3 => "Configure-Nak",
            4 => "Configure-Reject",
            5 => "Terminate-Request",
            6 => "Terminate-Ack",
            7 => "Code-Reject",
            8 => "Protocol-Reject",
            9 => "Echo-Request",
            10 => "Echo-Reply",
            11 => "Discard-Request",
            12 => "Identification",
            13 => "Time-Remaining",
            14 => "Reset-Request",
            15 => "Reset-Ack",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// A packet of LCP or of a network control protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// What it asks or answers.
    pub code: Code,
    /// The same in a request and its answer.
    pub identifier: u8,
    /// The length it states, with these four bytes.
    pub length: u16,
    /// What follows them, as far as it is there; padding after the stated length is left out.
    pub body: &'a [u8],
}

impl<'a> Control<'a> {
    /// The packet in the payload of a frame; nothing if it is shorter than its four fixed bytes.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let [code, identifier, high, low, rest @ ..] = payload else { return None };
        let length = u16::from_be_bytes([*high, *low]);
        let body = &rest[..rest.len().min(usize::from(length).saturating_sub(4))];
        Some(Self { code: Code(*code), identifier: *identifier, length, body })
    }

    /// Whether bytes are missing of the length it states, or the length is too short to be one.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        usize::from(self.length) != self.body.len() + 4
    }

    /// Its options, if it is one of those that have some.
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        Items { rest: if matches!(self.code.0, 1..=4) { self.body } else { &[] } }
    }
}

/// The options of a packet, as type and data. It ends at the first whose length cannot be; [`rest`](Self::rest) has what is
/// left then.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// Bytes that were not read yet, or that are no option.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, len, ..] = *self.rest else { return None };
        let len = usize::from(len);
        if len < 2 || len > self.rest.len() {
            return None;
        }
        let (option, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some((kind, &option[2..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_up_to_the_first_that_cannot_be() {
        let packet = Control::parse(&[1, 7, 0, 13, 1, 4, 5, 0xdc, 7, 2, 8, 9, 1, 99, 99]).unwrap();
        assert_eq!((packet.code, packet.identifier, packet.length), (Code::CONFIGURE_REQUEST, 7, 13));
        assert!(!packet.is_cut());
        let mut items = packet.items();
        assert_eq!(items.next(), Some((1, &[5, 0xdc][..])));
        assert_eq!(items.next(), Some((7, &[][..])));
        assert_eq!(items.next(), None);
        assert_eq!(items.rest(), [8, 9, 1]);
    }

    #[test]
    fn a_cut_packet_says_so() {
        assert!(Control::parse(&[1, 7, 0, 10, 1, 4]).unwrap().is_cut());
        assert!(Control::parse(&[1, 7, 0, 3]).unwrap().is_cut());
        assert_eq!(Control::parse(&[1, 7, 0]), None);
    }

    #[test]
    fn echoes_have_no_options() {
        assert_eq!(Control::parse(&[9, 7, 0, 8, 1, 4, 0, 0]).unwrap().items().next(), None);
    }
}
