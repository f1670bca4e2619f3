//! The header of IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::bytes::{array_at, from, u8_at, u16_at, up_to};
use super::checksum;

/// The header of an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4<'a> {
    /// The header's bytes with its options, fewer where it is cut off.
    pub header: &'a [u8],
    /// The length of the header by what it says, at least 20.
    pub header_len: usize,
    /// DSCP and ECN, once known as type of service.
    pub tos: u8,
    /// The length of the packet by what it says. 0 comes from machines that leave cutting into packets to the NIC.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// The bit without a meaning is set.
    pub reserved: bool,
    /// Routers must not cut it.
    pub dont_fragment: bool,
    /// Another fragment follows.
    pub more_fragments: bool,
    /// Where in the original packet this is, bytes.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// What it carries.
    pub protocol: u8,
    /// The checksum of the header.
    pub checksum: u16,
    /// From.
    pub source: Ipv4Addr,
    /// To.
    pub destination: Ipv4Addr,
}

impl<'a> Ipv4<'a> {
    /// Reads a header. The version is not looked at: the link layer has said what this is.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Ipv4<'a>> {
        let fixed: [u8; 20] = array_at(bytes, 0)?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let header_len = (usize::from(fixed[0] & 15) * 4).max(20);
        let fragment = word(6);
        Some(Ipv4 {
            header: up_to(bytes, header_len),
            header_len,
            tos: fixed[1],
            total_len: word(2),
            id: word(4),
            reserved: fragment & 0x8000 != 0,
            dont_fragment: fragment & 0x4000 != 0,
            more_fragments: fragment & 0x2000 != 0,
            fragment_offset: (fragment & 0x1fff) << 3,
            ttl: fixed[8],
            protocol: fixed[9],
            checksum: word(10),
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
        })
    }

    /// Bytes of the packet behind the header, unknown where it says 0 altogether.
    #[must_use]
    pub fn payload_len(&self) -> Option<usize> {
        let total = usize::from(self.total_len);
        (total != 0).then(|| total.saturating_sub(self.header_len))
    }

    /// It is a piece of a packet.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Whether the checksum is right; unknown where the header is cut off.
    #[must_use]
    pub fn checksum_is_right(&self) -> Option<bool> {
        (self.header.len() == self.header_len).then(|| checksum::fold(checksum::of(self.header)) == 0)
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> Ipv4Options<'a> {
        Ipv4Options { rest: from(self.header, 20) }
    }
}

/// An option of IPv4, all of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// Its type.
    pub kind: u8,
    /// Its length by what it says; 1 for those without a length.
    pub len: u8,
    /// What follows kind and length, fewer bytes where it is cut off.
    pub data: &'a [u8],
}

/// The options of a header, one after the other, up to a length that cannot be.
#[derive(Clone, Debug)]
pub struct Ipv4Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Ipv4Option<'a>;

    fn next(&mut self) -> Option<Ipv4Option<'a>> {
        let kind = u8_at(self.rest, 0)?;
        let len = if kind < 2 { 1 } else { u8_at(self.rest, 1).unwrap_or(0) };
        let data = up_to(from(self.rest, 2), usize::from(len).saturating_sub(2));
        let is_last = kind == 0 || (kind > 1 && len < 2);
        self.rest = if is_last { &[] } else { from(self.rest, usize::from(len)) };
        Some(Ipv4Option { kind, len, data: if kind < 2 { &[] } else { data } })
    }
}

/// The word at a place of the header, for whoever prints it raw.
impl Ipv4<'_> {
    /// Flags and fragment offset as they are in the header.
    #[must_use]
    pub fn fragment_field(&self) -> u16 {
        u16_at(self.header, 6).unwrap_or(0)
    }
}
