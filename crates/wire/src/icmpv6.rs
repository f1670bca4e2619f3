//! ICMP for IPv6 (RFC 4443), with Neighbor Discovery in [`crate::ndp`]. Anything else is kept as it came.

use std::net::Ipv6Addr;

use crate::bytes::{get, get_u16, get_u32, put, put_u16};
use crate::checksum::{Sum, copy_and_sum, pseudo_header_v6};
use crate::ip::protocol;
use crate::ndp::Ndp;
use crate::{Result, WireError};

/// Bytes before the data.
pub const HEADER_LEN: usize = 8;

/// Codes of a Destination Unreachable message (RFC 4443 §3.1).
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by a filter.
    pub const PROHIBITED: u8 = 1;
    /// No answer from the host.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

/// An ICMPv6 message; `original` is the start of the packet that caused it, from its IP header on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Icmpv6<'a> {
    /// Destination unreachable, type 1.
    DestinationUnreachable {
        /// Why, see [`mod@unreachable`].
        code: u8,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Packet too big, type 2.
    PacketTooBig {
        /// MTU of the next hop in bytes.
        mtu: u32,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Time exceeded, type 3: code 0 in transit, 1 in reassembly.
    TimeExceeded {
        /// Which of the two.
        code: u8,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Parameter problem, type 4.
    ParameterProblem {
        /// 0 wrong header field, 1 unknown next header, 2 unknown option.
        code: u8,
        /// Byte of the original packet found wrong.
        pointer: u32,
        /// Start of the packet concerned.
        original: &'a [u8],
    },
    /// Echo request, type 128.
    EchoRequest {
        /// Which sender process.
        id: u16,
        /// Which request of it.
        sequence: u16,
        /// To be returned.
        data: &'a [u8],
    },
    /// Echo reply, type 129.
    EchoReply {
        /// As in the request.
        id: u16,
        /// As in the request.
        sequence: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Neighbor or router discovery, types 133 to 136.
    Ndp(Ndp),
    /// Any other message.
    Other {
        /// ICMPv6 type.
        kind: u8,
        /// ICMPv6 code.
        code: u8,
        /// The four bytes after the checksum.
        rest: [u8; 4],
        /// What follows.
        data: &'a [u8],
    },
}

impl<'a> Icmpv6<'a> {
    /// Reads a message, which is the whole of `bytes`. The checksum is not verified, see [`checksum_ok`];
    /// that Neighbor Discovery came with hop limit 255 is for the caller to see (RFC 4861 §7.1.1).
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes, and whatever [`Ndp::parse`] finds.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Icmpv6<'a>> {
        let (head, data) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(WireError::Truncated)?;
        let (kind, code) = (head[0], head[1]);
        let (high, low, word) = (get_u16::<4, _>(head), get_u16::<6, _>(head), get_u32::<4, _>(head));
        Ok(match (kind, code) {
            (1, _) => Icmpv6::DestinationUnreachable { code, original: data },
            // RFC 4443 §3.2: the code is ignored by the receiver.
            (2, _) => Icmpv6::PacketTooBig { mtu: word, original: data },
            (3, _) => Icmpv6::TimeExceeded { code, original: data },
            (4, _) => Icmpv6::ParameterProblem { code, pointer: word, original: data },
            (128, 0) => Icmpv6::EchoRequest { id: high, sequence: low, data },
            (129, 0) => Icmpv6::EchoReply { id: high, sequence: low, data },
            (133..=136, _) => Icmpv6::Ndp(Ndp::parse(bytes)?),
            _ => Icmpv6::Other { kind, code, rest: get::<4, 4, _>(head), data },
        })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Icmpv6::Ndp(message) => message.encoded_len(),
            other => HEADER_LEN + other.parts().3.len(),
        }
    }

    /// Writes the message with its checksum, which covers the addresses (RFC 4443 §2.3); returns its length,
    /// or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> usize {
        if let Icmpv6::Ndp(message) = self {
            return message.emit(src, dst, out);
        }
        let (kind, code, rest, data) = self.parts();
        let len = HEADER_LEN + data.len();
        let Some((head, body)) = out.get_mut(..len).and_then(<[u8]>::split_first_chunk_mut::<HEADER_LEN>)
        else {
            return 0;
        };
        *head = [kind, code, 0, 0, 0, 0, 0, 0];
        put::<4, 4, _>(head, rest);
        let pseudo = pseudo_header_v6(src, dst, protocol::ICMPV6, len as u32);
        let checksum = pseudo.add(Sum::of(head)).add(copy_and_sum(data, body)).finish();
        put_u16::<2, _>(head, checksum);
        len
    }

    fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        let pair = |high: u16, low: u16| (u32::from(high) << 16 | u32::from(low)).to_be_bytes();
        match *self {
            Icmpv6::DestinationUnreachable { code, original } => (1, code, [0; 4], original),
            Icmpv6::PacketTooBig { mtu, original } => (2, 0, mtu.to_be_bytes(), original),
            Icmpv6::TimeExceeded { code, original } => (3, code, [0; 4], original),
            Icmpv6::ParameterProblem { code, pointer, original } => {
                (4, code, pointer.to_be_bytes(), original)
            }
            Icmpv6::EchoRequest { id, sequence, data } => (128, 0, pair(id, sequence), data),
            Icmpv6::EchoReply { id, sequence, data } => (129, 0, pair(id, sequence), data),
            Icmpv6::Ndp(_) => (0, 0, [0; 4], &[]),
            Icmpv6::Other { kind, code, rest, data } => (kind, code, rest, data),
        }
    }
}

/// Whether a whole message from `src` to `dst` carries its right checksum.
#[inline]
#[must_use]
pub fn checksum_ok(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    let pseudo = pseudo_header_v6(src, dst, protocol::ICMPV6, message.len() as u32);
    message.len() >= HEADER_LEN && pseudo.add(Sum::of(message)).is_valid()
}
