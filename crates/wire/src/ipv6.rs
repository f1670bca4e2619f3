//! The IPv6 header and the walk through its extension headers (RFC 8200 §3 and §4).

use std::net::Ipv6Addr;

use crate::bytes::{get, get_u16, get_u32, put, put_u16, put_u32};
use crate::ip::protocol;
use crate::{Result, WireError};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Extension headers walked before a packet is given up: RFC 8200 §4.1 recommends an order of seven.
const MAX_EXTENSION_HEADERS: usize = 16;

/// The fixed IPv6 header of 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv6Header {
    /// Differentiated services (upper six bits) and ECN (lower two).
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes after this header, extension headers included.
    pub payload_len: u16,
    /// What follows: a protocol or an extension header, see [`crate::ip::protocol`].
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Default for Ipv6Header {
    /// A header without addresses or payload, hop limit 64.
    fn default() -> Ipv6Header {
        Ipv6Header {
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
            next_header: protocol::NO_NEXT_HEADER,
            hop_limit: 64,
            src: Ipv6Addr::UNSPECIFIED,
            dst: Ipv6Addr::UNSPECIFIED,
        }
    }
}

impl Ipv6Header {
    /// Reads a header; returns it with its length, 40. The payload is `packet[40..40 + payload_len]`; what
    /// follows is padding of the link. Jumbograms (RFC 2675) read as having no payload.
    ///
    /// # Errors
    /// [`WireError::BadVersion`]; [`WireError::Truncated`] when the packet is shorter than it states.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(Ipv6Header, usize)> {
        Self::parse_head(packet, packet.len())
    }

    /// As [`parse`](Self::parse), for a packet of which `packet` is only the first of several pieces, `available`
    /// bytes in all. The header lies in the first.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[inline]
    pub fn parse_head(packet: &[u8], available: usize) -> Result<(Ipv6Header, usize)> {
        let head = packet.first_chunk::<HEADER_LEN>().ok_or(WireError::Truncated)?;
        let first = get_u32::<0, _>(head);
        if first >> 28 != 6 {
            return Err(WireError::BadVersion);
        }
        let header = Ipv6Header {
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0x000f_ffff,
            payload_len: get_u16::<4, _>(head),
            next_header: head[6],
            hop_limit: head[7],
            src: Ipv6Addr::from(get::<8, 16, _>(head)),
            dst: Ipv6Addr::from(get::<24, 16, _>(head)),
        };
        if available < HEADER_LEN + usize::from(header.payload_len) {
            return Err(WireError::Truncated);
        }
        Ok((header, HEADER_LEN))
    }

    /// Writes the header; returns 40, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let Some(head) = out.first_chunk_mut::<HEADER_LEN>() else { return 0 };
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        put_u32::<0, _>(head, first);
        put_u16::<4, _>(head, self.payload_len);
        put::<6, 2, _>(head, [self.next_header, self.hop_limit]);
        put::<8, 16, _>(head, self.src.octets());
        put::<24, 16, _>(head, self.dst.octets());
        HEADER_LEN
    }
}

/// The fields of a Fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Where this fragment begins in the fragmentable part, in bytes: a multiple of 8.
    pub offset: u16,
    /// Not the last fragment.
    pub more: bool,
    /// Identification, shared by the fragments of one packet.
    pub id: u32,
}

/// Where the extension headers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpperLayer {
    /// The protocol found there. ESP and "no next header" end the walk and are reported as they are.
    pub protocol: u8,
    /// Bytes from the start of the slice walked to the header of that protocol, or to the fragment's data.
    pub offset: usize,
    /// The Fragment header passed on the way. Beyond the first fragment, the data at `offset` is the middle
    /// of a packet, and `protocol` is what the Fragment header says.
    pub fragment: Option<Fragment>,
}

/// Walks extension headers in `payload`, the bytes after the fixed header, to the upper-layer protocol.
///
/// # Errors
/// [`WireError::Truncated`] when a header crosses the end, [`WireError::BadValue`] when Hop-by-Hop options
/// are not first (RFC 8200 §4.1), [`WireError::TooManyHeaders`] beyond sixteen.
#[inline]
pub fn upper_layer(first_next_header: u8, payload: &[u8]) -> Result<UpperLayer> {
    let mut upper = UpperLayer { protocol: first_next_header, offset: 0, fragment: None };
    for _ in 0..MAX_EXTENSION_HEADERS {
        let rest = payload.get(upper.offset..).ok_or(WireError::Truncated)?;
        let len = match upper.protocol {
            protocol::HOP_BY_HOP if upper.offset != 0 => return Err(WireError::BadValue),
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS | 135 | 139 | 140 => {
                // Mobility (RFC 6275), HIP (RFC 7401) and Shim6 (RFC 5533) share the usual shape.
                let head = rest.first_chunk::<8>().ok_or(WireError::Truncated)?;
                (usize::from(head[1]) + 1) * 8
            }
            protocol::AUTHENTICATION => {
                // RFC 4302 §2.2: counted in 4-byte units, minus 2.
                let head = rest.first_chunk::<8>().ok_or(WireError::Truncated)?;
                (usize::from(head[1]) + 2) * 4
            }
            protocol::FRAGMENT => {
                let head = rest.first_chunk::<8>().ok_or(WireError::Truncated)?;
                let bits = get_u16::<2, _>(head);
                let fragment =
                    Fragment { offset: bits & 0xfff8, more: bits & 1 != 0, id: get_u32::<4, _>(head) };
                upper.fragment = Some(fragment);
                if fragment.offset != 0 {
                    return Ok(UpperLayer { protocol: head[0], offset: upper.offset + 8, ..upper });
                }
                8
            }
            _ => return Ok(upper),
        };
        let head = rest.get(..len).ok_or(WireError::Truncated)?;
        upper.protocol = *head.first().ok_or(WireError::Truncated)?;
        upper.offset += len;
    }
    Err(WireError::TooManyHeaders)
}
