//! The header of IPv6 and its extension headers (RFC 8200).

use std::net::Ipv6Addr;

use super::bytes::{array_at, from, u8_at, u16_at, up_to};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

/// The headers of an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6<'a> {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes behind the fixed header, extension headers included. 0 in jumbograms.
    pub payload_len: u16,
    /// What follows the fixed header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// From.
    pub source: Ipv6Addr,
    /// To.
    pub destination: Ipv6Addr,
    /// The extension headers, raw.
    pub extension_bytes: &'a [u8],
    /// The length of all headers.
    pub header_len: usize,
    /// The protocol above them.
    pub upper: u8,
    /// Offset in bytes and whether more follow, of a fragment.
    pub fragment: Option<(u16, bool)>,
    /// The extension headers are not all there.
    pub extensions_cut: bool,
}

impl<'a> Ipv6<'a> {
    /// Reads the headers. The version is not looked at: the link layer has said what this is.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Ipv6<'a>> {
        let fixed: [u8; 40] = array_at(bytes, 0)?;
        let first = u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
        let payload_len = u16::from_be_bytes([fixed[4], fixed[5]]);
        let rest = from(bytes, 40);
        let rest = if payload_len == 0 { rest } else { up_to(rest, usize::from(payload_len)) };
        let mut extensions = Extensions { next: fixed[6], rest, cut: false, ended: false };
        let mut fragment = None;
        for extension in &mut extensions {
            if extension.kind == FRAGMENT {
                let field = u16_at(extension.bytes, 2).unwrap_or(0);
                fragment = Some((field & 0xfff8, field & 1 != 0));
            }
        }
        let len = rest.len() - extensions.rest.len();
        Some(Ipv6 {
            traffic_class: ((first >> 20) & 0xff) as u8,
            flow_label: first & 0xf_ffff,
            payload_len,
            next_header: fixed[6],
            hop_limit: fixed[7],
            source: array_at::<16>(&fixed, 8)?.into(),
            destination: array_at::<16>(&fixed, 24)?.into(),
            extension_bytes: up_to(rest, len),
            header_len: 40 + len,
            upper: extensions.next,
            fragment,
            extensions_cut: extensions.cut,
        })
    }

    /// The extension headers, one after the other.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions { next: self.next_header, rest: self.extension_bytes, cut: false, ended: false }
    }

    /// Bytes of the packet behind all headers, unknown in jumbograms.
    #[must_use]
    pub fn upper_len(&self) -> Option<usize> {
        let total = usize::from(self.payload_len);
        (total != 0).then(|| (total + 40).saturating_sub(self.header_len))
    }
}

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// What it is: the "next header" of the one before it.
    pub kind: u8,
    /// All of its bytes.
    pub bytes: &'a [u8],
}

/// Extension headers, one after the other, up to one that is cut off or behind which nothing can be known.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    next: u8,
    rest: &'a [u8],
    cut: bool,
    ended: bool,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let kind = self.next;
        if self.ended
            || !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY)
        {
            return None;
        }
        let len = u8_at(self.rest, 1).map(|len| match kind {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        });
        let bytes = len.and_then(|len| self.rest.get(..len));
        let Some((bytes, next)) = bytes.and_then(|bytes| Some((bytes, u8_at(bytes, 0)?))) else {
            self.cut = true;
            self.ended = true;
            return None;
        };
        self.next = next;
        self.rest = from(self.rest, bytes.len());
        // Behind the header of a fragment that is not the first are bytes from the middle of something.
        self.ended = kind == FRAGMENT && u16_at(bytes, 2).unwrap_or(0) & 0xfff8 != 0;
        Some(Extension { kind, bytes })
    }
}
