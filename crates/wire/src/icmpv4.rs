//! ICMP for IPv4 (RFC 792): what a host sends, answers or learns from. Anything else is kept as it came.

use crate::bytes::{get, get_u16, put, put_u16};
use crate::checksum::{Sum, copy_and_sum};
use crate::{Result, WireError};

/// Bytes before the data.
pub const HEADER_LEN: usize = 8;

/// Codes of a Destination Unreachable message (RFC 792, RFC 1122 §3.2.2.1).
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// No answer from the host.
    pub const HOST: u8 = 1;
    /// The host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on the port.
    pub const PORT: u8 = 3;
    /// Too long for a link, and fragmentation forbidden.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by a filter.
    pub const PROHIBITED: u8 = 13;
}

/// An ICMP message; `original` is the start of the packet that caused it, from its IP header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmpv4<'a> {
    /// Echo request, type 8.
    EchoRequest {
        /// Which sender process.
        id: u16,
        /// Which request of it.
        sequence: u16,
        /// To be returned.
        data: &'a [u8],
    },
    /// Echo reply, type 0.
    EchoReply {
        /// As in the request.
        id: u16,
        /// As in the request.
        sequence: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Destination unreachable, type 3.
    DestinationUnreachable {
        /// Why, see [`mod@unreachable`].
        code: u8,
        /// For code 4, the MTU of the next hop in bytes, or 0 from an old router (RFC 1191 §4).
        next_hop_mtu: u16,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Time exceeded, type 11: code 0 in transit, 1 in reassembly.
    TimeExceeded {
        /// Which of the two.
        code: u8,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Parameter problem, type 12.
    ParameterProblem {
        /// 0 when `pointer` counts.
        code: u8,
        /// Byte of the original header found wrong.
        pointer: u8,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Any other message.
    Other {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The four bytes after the checksum.
        rest: [u8; 4],
        /// What follows.
        data: &'a [u8],
    },
}

impl<'a> Icmpv4<'a> {
    /// Reads a message, which is the whole of `bytes`. The checksum is not verified, see [`checksum_ok`].
    /// Reserved bytes are ignored.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Icmpv4<'a>> {
        let (head, data) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(WireError::Truncated)?;
        let (kind, code) = (head[0], head[1]);
        let (high, low) = (get_u16::<4, _>(head), get_u16::<6, _>(head));
        Ok(match (kind, code) {
            (8, 0) => Icmpv4::EchoRequest { id: high, sequence: low, data },
            (0, 0) => Icmpv4::EchoReply { id: high, sequence: low, data },
            (3, _) => Icmpv4::DestinationUnreachable { code, next_hop_mtu: low, original: data },
            (11, _) => Icmpv4::TimeExceeded { code, original: data },
            (12, _) => Icmpv4::ParameterProblem { code, pointer: head[4], original: data },
            _ => Icmpv4::Other { kind, code, rest: get::<4, 4, _>(head), data },
        })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[inline]
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        HEADER_LEN + self.parts().3.len()
    }

    /// Writes the message with its checksum; returns its length, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let (kind, code, rest, data) = self.parts();
        let Some((head, body)) =
            out.get_mut(..self.encoded_len()).and_then(<[u8]>::split_first_chunk_mut::<HEADER_LEN>)
        else {
            return 0;
        };
        *head = [kind, code, 0, 0, 0, 0, 0, 0];
        put::<4, 4, _>(head, rest);
        let checksum = Sum::of(head).add(copy_and_sum(data, body)).finish();
        put_u16::<2, _>(head, checksum);
        HEADER_LEN + body.len()
    }

    const fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        match *self {
            Icmpv4::EchoRequest { id, sequence, data } => (8, 0, pair(id, sequence), data),
            Icmpv4::EchoReply { id, sequence, data } => (0, 0, pair(id, sequence), data),
            Icmpv4::DestinationUnreachable { code, next_hop_mtu, original } => {
                (3, code, pair(0, next_hop_mtu), original)
            }
            Icmpv4::TimeExceeded { code, original } => (11, code, [0; 4], original),
            Icmpv4::ParameterProblem { code, pointer, original } => (12, code, [pointer, 0, 0, 0], original),
            Icmpv4::Other { kind, code, rest, data } => (kind, code, rest, data),
        }
    }
}

const fn pair(high: u16, low: u16) -> [u8; 4] {
    ((high as u32) << 16 | low as u32).to_be_bytes()
}

/// Whether a whole message carries its right checksum.
#[inline]
#[must_use]
pub fn checksum_ok(message: &[u8]) -> bool {
    message.len() >= HEADER_LEN && Sum::of(message).is_valid()
}
