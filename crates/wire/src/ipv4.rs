//! The IPv4 header (RFC 791 §3.1). Options are carried as bytes; nothing here acts on them.

use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use crate::bytes::{get_u16, get_u32, put, put_u16, put_u32};
use crate::checksum::Sum;
use crate::{Result, WireError};

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// An IPv4 header of 20 to 60 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Header {
    /// Differentiated services (upper six bits) and ECN (lower two), RFC 2474 and RFC 3168.
    pub dscp_ecn: u8,
    /// Header and payload in bytes.
    pub total_len: u16,
    /// Identification, shared by the fragments of one datagram.
    pub id: u16,
    /// Routers may not fragment this.
    pub dont_fragment: bool,
    /// Not the last fragment.
    pub more_fragments: bool,
    /// Where this fragment begins in its datagram, in bytes: a multiple of 8 up to 65528.
    pub fragment_offset: u16,
    /// Hops left.
    pub ttl: u8,
    /// What follows, see [`crate::ip::protocol`].
    pub protocol: u8,
    /// The header checksum as read; [`emit`](Self::emit) computes its own.
    pub checksum: u16,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Option bytes, padded with zeros to a multiple of four when written.
    pub options: ArrayVec<u8, 40>,
}

impl Default for Ipv4Header {
    /// An unfragmentable header without addresses or payload, TTL 64.
    fn default() -> Ipv4Header {
        Ipv4Header {
            dscp_ecn: 0,
            total_len: MIN_HEADER_LEN as u16,
            id: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol: 0,
            checksum: 0,
            src: Ipv4Addr::UNSPECIFIED,
            dst: Ipv4Addr::UNSPECIFIED,
            options: ArrayVec::new_const(),
        }
    }
}

impl Ipv4Header {
    /// Reads a header; returns it with its length in bytes. The payload is
    /// `packet[header_len..total_len]`; what follows is padding of the link.
    ///
    /// The checksum is not verified, see [`checksum_ok`]. The reserved flag is ignored.
    ///
    /// # Errors
    /// [`WireError::BadVersion`]; [`WireError::BadLength`] when the header length is below 20 or beyond the
    /// total length; [`WireError::Truncated`] when the packet is shorter than its total length.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(Ipv4Header, usize)> {
        Self::parse_head(packet, packet.len())
    }

    /// As [`parse`](Self::parse), for a packet of which `packet` is only the first of several pieces, `available`
    /// bytes in all. The header lies in the first.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[inline]
    pub fn parse_head(packet: &[u8], available: usize) -> Result<(Ipv4Header, usize)> {
        let head = packet.first_chunk::<MIN_HEADER_LEN>().ok_or(WireError::Truncated)?;
        if head[0] >> 4 != 4 {
            return Err(WireError::BadVersion);
        }
        let header_len = usize::from(head[0] & 0x0f) * 4;
        let total_len = get_u16::<2, _>(head);
        if header_len < MIN_HEADER_LEN || usize::from(total_len) < header_len {
            return Err(WireError::BadLength);
        }
        if available < usize::from(total_len) {
            return Err(WireError::Truncated);
        }
        let options = packet.get(MIN_HEADER_LEN..header_len).ok_or(WireError::Truncated)?;
        let fragment = get_u16::<6, _>(head);
        let header = Ipv4Header {
            dscp_ecn: head[1],
            total_len,
            id: get_u16::<4, _>(head),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: (fragment & 0x1fff) * 8,
            ttl: head[8],
            protocol: head[9],
            checksum: get_u16::<10, _>(head),
            src: Ipv4Addr::from_bits(get_u32::<12, _>(head)),
            dst: Ipv4Addr::from_bits(get_u32::<16, _>(head)),
            options: options.try_into().map_err(|_| WireError::BadLength)?,
        };
        Ok((header, header_len))
    }

    /// This is one of several fragments.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// There is a loose or strict source route among the options (RFC 791 §3.1), or options so malformed that one
    /// could hide behind them.
    #[must_use]
    pub fn may_be_source_routed(&self) -> bool {
        let mut rest = self.options.as_slice();
        loop {
            rest = match *rest {
                [] | [0, ..] => return false,
                [1, ref rest @ ..] => rest,
                [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] | [_] => return true,
                [_, len, ..] => match rest.get(usize::from(len)..) {
                    Some(rest) if len >= 2 => rest,
                    _ => return true,
                },
            };
        }
    }

    /// Bytes that [`emit`](Self::emit) writes: 20 to 60, a multiple of four.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        MIN_HEADER_LEN + self.options.len().next_multiple_of(4)
    }

    /// Writes the header with its checksum computed; returns its length, or 0 when `out` is too short.
    /// `total_len` is written as it stands.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let len = self.encoded_len();
        let Some((head, options)) =
            out.get_mut(..len).and_then(<[u8]>::split_first_chunk_mut::<MIN_HEADER_LEN>)
        else {
            return 0;
        };
        let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 }
            | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        put::<0, 2, _>(head, [0x40 | (len / 4) as u8, self.dscp_ecn]);
        put_u16::<2, _>(head, self.total_len);
        put_u16::<4, _>(head, self.id);
        put_u16::<6, _>(head, flags | (self.fragment_offset / 8));
        put::<8, 2, _>(head, [self.ttl, self.protocol]);
        put_u16::<10, _>(head, 0);
        put_u32::<12, _>(head, self.src.to_bits());
        put_u32::<16, _>(head, self.dst.to_bits());
        for (index, byte) in options.iter_mut().enumerate() {
            *byte = self.options.get(index).copied().unwrap_or(0);
        }
        let checksum = Sum::of(head).add(Sum::of(options)).finish();
        put_u16::<10, _>(head, checksum);
        len
    }
}

/// Whether the header at the start of `packet` carries its right checksum. False when there is no header.
#[inline]
#[must_use]
pub fn checksum_ok(packet: &[u8]) -> bool {
    let header_len = packet.first().map_or(0, |byte| usize::from(byte & 0x0f) * 4);
    header_len >= MIN_HEADER_LEN && packet.get(..header_len).is_some_and(|header| Sum::of(header).is_valid())
}
