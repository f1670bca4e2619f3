//! Looking at a frame that has arrived: is it one of ours, and is it whole?
//!
//! A frame is intact when the sums of its IPv4 header and of its TCP or UDP segment are right and so is the hash of
//! its signature. The sum covers every byte of the payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bypath_wire::checksum::{self, Sum};
use bypath_wire::ip::protocol;

use super::signature::Signature;

/// Where things are in a frame with TCP or UDP over IP. Offsets in bytes from the start of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// The IPv4 header and its length; `None` for IPv6.
    pub ipv4: Option<(usize, usize)>,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TCP or UDP, as in the IP header.
    pub protocol: u8,
    /// The transport header.
    pub l4_at: usize,
    /// One past the last byte of the IP packet.
    pub l4_end: usize,
    /// The transport's checksum.
    pub checksum_at: usize,
    /// Destination port.
    pub dst_port: u16,
    /// The transport's payload.
    pub payload_at: usize,
    /// Not a fragment.
    pub is_whole: bool,
}

/// Finds the layers of a frame whose headers are in `bytes`. `None`: not TCP or UDP over IP, or lengths that contradict
/// one another. IPv6 extension headers are not followed.
#[inline]
pub fn layers(bytes: &[u8]) -> Option<Layers> {
    let u16_at = |at: usize| bytes.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    let mut at = 12;
    while matches!(u16_at(at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    let ethertype = u16_at(at)?;
    let ip = at + 2;
    let (ipv4, src, dst, protocol, l4_at, l4_end, is_whole) = match ethertype {
        0x0800 => {
            let head: &[u8; 20] = bytes.get(ip..)?.first_chunk()?;
            let header_len = usize::from(head[0] & 15) * 4;
            let total_len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            if head[0] >> 4 != 4 || header_len < 20 || total_len < header_len {
                return None;
            }
            let address =
                |at: usize| IpAddr::V4(Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]));
            let whole = head[6] & 0x3f == 0 && head[7] == 0;
            (
                Some((ip, header_len)),
                address(12),
                address(16),
                head[9],
                ip + header_len,
                ip + total_len,
                whole,
            )
        }
        0x86dd => {
            let head: &[u8; 40] = bytes.get(ip..)?.first_chunk()?;
            if head[0] >> 4 != 6 {
                return None;
            }
            let address = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&head[at..at + 16]);
                IpAddr::V6(Ipv6Addr::from(octets))
            };
            let payload_len = usize::from(u16::from_be_bytes([head[4], head[5]]));
            (None, address(8), address(24), head[6], ip + 40, ip + 40 + payload_len, true)
        }
        _ => return None,
    };
    let (checksum_at, payload_at) = match protocol {
        protocol::UDP => (l4_at + 6, l4_at + 8),
        protocol::TCP => (l4_at + 16, l4_at + usize::from(*bytes.get(l4_at + 12)? >> 4) * 4),
        _ => return None,
    };
    if payload_at > l4_end || checksum_at + 2 > l4_end || payload_at > bytes.len() {
        return None;
    }
    let dst_port = u16_at(l4_at + 2)?;
    Some(Layers { ipv4, src, dst, protocol, l4_at, l4_end, checksum_at, dst_port, payload_at, is_whole })
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// One of ours, whole.
    Intact(Signature),
    /// A sum or the hash is wrong.
    Damaged,
    /// Whole, but without a signature: somebody else's, or sent without one.
    Foreign,
}

/// A frame that is being looked at, piece by piece.
#[derive(Debug, Clone, Copy)]
pub struct Inspection {
    seen: Seen,
    sum: Sum,
    /// Bytes of the segment that the sum has, and that it should have.
    summed: usize,
    segment_len: usize,
    bytes: usize,
}

impl Inspection {
    /// Looks at the first piece, which holds all headers and the signature.
    #[inline]
    pub fn begin(piece: &[u8]) -> Inspection {
        let unknown =
            |seen| Inspection { seen, sum: Sum::default(), summed: 0, segment_len: 0, bytes: piece.len() };
        let Some(layers) = layers(piece) else {
            // An IP packet that makes no sense was damaged; anything else is not ours.
            let is_ip =
                matches!(piece.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd] | [0x81, 0x00] | [0x88, 0xa8]));
            return unknown(if is_ip { Seen::Damaged } else { Seen::Foreign });
        };
        if let Some((at, len)) = layers.ipv4
            && !piece.get(at..at + len).is_some_and(|header| Sum::of(header).is_valid())
        {
            return unknown(Seen::Damaged);
        }
        if !layers.is_whole {
            return unknown(Seen::Foreign);
        }
        let segment_len = layers.l4_end - layers.l4_at;
        let end = layers.l4_end.min(piece.len());
        let pseudo = checksum::pseudo_header(layers.src, layers.dst, layers.protocol, segment_len as u32);
        let sum = pseudo.add(Sum::of(&piece[layers.l4_at..end]));
        let no_checksum = layers.protocol == protocol::UDP
            && piece[layers.checksum_at] == 0
            && piece[layers.checksum_at + 1] == 0;
        let seen = match Signature::read(&piece[layers.payload_at..end]) {
            // Ours always have one.
            Some(_) if no_checksum => Seen::Damaged,
            Some(Ok(signature)) => Seen::Intact(signature),
            Some(Err(_)) => Seen::Damaged,
            None if no_checksum => return unknown(Seen::Foreign),
            None => Seen::Foreign,
        };
        Inspection { seen, sum, summed: end - layers.l4_at, segment_len, bytes: piece.len() }
    }

    /// The next piece.
    #[inline]
    pub fn more(&mut self, piece: &[u8]) {
        let wanted = piece.len().min(self.segment_len - self.summed);
        self.sum = self.sum.add_at(Sum::of(&piece[..wanted]), self.summed);
        self.summed += wanted;
        self.bytes += piece.len();
    }

    /// What it was, and its bytes without FCS.
    #[inline]
    pub fn end(self) -> (Seen, usize) {
        let summed_right = self.segment_len == 0 || self.summed == self.segment_len && self.sum.is_valid();
        (if summed_right { self.seen } else { Seen::Damaged }, self.bytes)
    }
}

/// Looks at a frame that is in one piece.
#[inline]
pub fn inspect(frame: &[u8]) -> Seen {
    Inspection::begin(frame).end().0
}
