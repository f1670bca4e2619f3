//! The Internet checksum (RFC 1071): partial sums that can be taken anywhere and joined later, a copy that
//! sums on the way, and updates of a stored checksum without reading the packet again (RFC 1624).
//!
//! Sums are kept in the machine's byte order, as 64 bits with end-around carry, and turned round only when
//! finished (RFC 1071 §2(B)); that works because 2^16 - 1 divides 2^64 - 1. Which instructions do the work
//! is decided in `dispatch`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod dispatch;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A partial one's complement sum of 16-bit words. Zero when made by `default`.
///
/// Two sums are equal when they fold to the same 16 bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of `bytes` as big-endian words; an odd last byte counts as the high half of its word.
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8]) -> Sum {
        Sum(dispatch::sum(bytes))
    }

    /// The sum of a few whole words, for headers whose length is known when this compiles.
    #[inline(always)]
    #[must_use]
    pub(crate) fn of_words<const N: usize>(bytes: &[u8; N]) -> Sum {
        const { assert!(N.is_multiple_of(4) && N <= 1 << 16, "only whole words are summed, without carries") };
        let (words, _) = bytes.as_chunks::<4>();
        Sum(words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum())
    }

    /// Both sums together, both having begun at an even offset of the message.
    #[inline]
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "addition of sums is not arithmetic on numbers")]
    pub const fn add(self, other: Sum) -> Sum {
        Sum(add_with_carry(self.0, other.0))
    }

    /// Adds the sum of a piece that begins `offset` bytes into the message; at an odd offset every byte
    /// of the piece sits in the other half of its word (RFC 1071 §2(B), byte swapping).
    #[inline]
    #[must_use]
    pub const fn add_at(self, other: Sum, offset: usize) -> Sum {
        // Rotating all 64 bits by 8 multiplies by 2^8 modulo 2^16 - 1: a byte swap of the folded sum.
        self.add(Sum(other.0.rotate_left((offset as u32 & 1) * 8)))
    }

    /// Adds one 16-bit word given in host order.
    #[inline]
    #[must_use]
    pub const fn add_u16(self, word: u16) -> Sum {
        self.add(Sum(word.to_be() as u64))
    }

    /// Adds two 16-bit words given as one host-order `u32`, such as a sequence number.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, words: u32) -> Sum {
        self.add(Sum(words.to_be() as u64))
    }

    /// The sum folded to 16 bits, host order, not complemented. Zero only if every byte summed was zero.
    #[inline]
    #[must_use]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::from_be(sum as u16)
    }

    /// The checksum to store in a header: the complement of the folded sum, host order.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    /// True when a sum over a message and its stored checksum says that the message arrived intact.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Sum) -> bool {
        self.fold() == other.fold()
    }
}

impl Eq for Sum {}

/// Copies `src` to the beginning of `dst` and sums it in the same pass. Expects `dst.len() >= src.len()`;
/// of a longer `src`, only as much as fits is copied and summed.
#[inline]
pub fn copy_and_sum(src: &[u8], dst: &mut [u8]) -> Sum {
    let len = src.len().min(dst.len());
    let (src, _) = src.split_at(len);
    let (dst, _) = dst.split_at_mut(len);
    Sum(dispatch::copy_and_sum(src, dst))
}

/// The checksum after one 16-bit word of the message changed from `old` to `new`: `HC' = ~(~HC + ~m + m')`,
/// RFC 1624 §3 equation 3.
#[inline]
#[must_use]
pub const fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = (!checksum) as u32 + (!old) as u32 + new as u32;
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u16)
}

/// The checksum after an aligned 32-bit field changed from `old` to `new` (RFC 1624 §3 equation 3).
#[inline]
#[must_use]
pub const fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    let checksum = update16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update16(checksum, old as u16, new as u16)
}

/// The pseudo-header of a transport checksum; `len` is the transport header and payload in bytes. Both
/// addresses are to be of one family; of a mixed pair each adds its own octets.
#[inline]
#[must_use]
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Sum {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => pseudo_header_v4(src, dst, protocol, len),
        (IpAddr::V6(src), IpAddr::V6(dst)) => pseudo_header_v6(src, dst, protocol, len),
        (IpAddr::V4(v4), IpAddr::V6(v6)) | (IpAddr::V6(v6), IpAddr::V4(v4)) => {
            sum_v6(v6).add_u32(v4.to_bits()).add_u32(len).add_u16(protocol.into())
        }
    }
}

/// The IPv4 pseudo-header (RFC 9293 §3.1).
#[inline]
#[must_use]
pub const fn pseudo_header_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u32) -> Sum {
    Sum(0).add_u32(src.to_bits()).add_u32(dst.to_bits()).add_u32(len).add_u16(protocol as u16)
}

/// The IPv6 pseudo-header (RFC 8200 §8.1).
#[inline]
#[must_use]
pub const fn pseudo_header_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, len: u32) -> Sum {
    sum_v6(src).add(sum_v6(dst)).add_u32(len).add_u16(protocol as u16)
}

/// Whether `segment`, a whole transport header and payload with its checksum in place, is intact.
#[inline]
#[must_use]
pub fn transport_ok(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> bool {
    pseudo_header(src, dst, protocol, segment.len() as u32).add(Sum::of(segment)).is_valid()
}

const fn sum_v6(address: Ipv6Addr) -> Sum {
    let bits = address.to_bits().to_be();
    Sum(add_with_carry((bits >> 64) as u64, bits as u64))
}

#[inline(always)]
const fn add_with_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}
