//! The TCP header (RFC 9293 §3.1) and its options. Bytes only: what they mean to a connection is decided
//! elsewhere.

mod options;
mod ordinary;

use crate::bytes::{get_u16, get_u32, put, put_u16, put_u32};
use crate::{Result, SeqNum, WireError};

pub use options::{MAX_OPTIONS_LEN, SackBlock, TcpOptions, Timestamps};
pub use ordinary::OrdinaryHeader;

/// Bytes of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the checksum lies, in bytes from the start of the header.
pub const CHECKSUM_OFFSET: usize = 16;

bitflags::bitflags! {
    /// Control bits, as they lie in the header's fourth 16-bit field.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpFlags: u16 {
        /// No more data from the sender.
        const FIN = 0x001;
        /// Synchronise sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push what has been received to the application.
        const PSH = 0x008;
        /// The acknowledgment field counts.
        const ACK = 0x010;
        /// The urgent pointer counts.
        const URG = 0x020;
        /// ECN echo (RFC 3168 §6.1).
        const ECE = 0x040;
        /// Congestion window reduced (RFC 3168 §6.1).
        const CWR = 0x080;
        /// Accurate ECN (RFC 9768), formerly the nonce sum.
        const AE = 0x100;
    }
}

/// The fixed part of a TCP header. Its options are parsed apart, from `segment[20..data_offset]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first octet, or of the SYN.
    pub seq: SeqNum,
    /// The next sequence number expected, if [`TcpFlags::ACK`].
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window as sent, not scaled.
    pub window: u16,
    /// Checksum as read or to be written.
    pub checksum: u16,
    /// Urgent pointer, an offset from `seq`.
    pub urgent: u16,
}

impl TcpHeader {
    /// Reads a header; returns it with the data offset in bytes, 20 to 60. The three reserved bits are
    /// ignored, as RFC 9293 §3.1 asks.
    ///
    /// # Errors
    /// [`WireError::BadLength`] when the data offset is below 20, [`WireError::Truncated`] when it lies
    /// beyond the segment.
    #[inline]
    pub fn parse(segment: &[u8]) -> Result<(TcpHeader, usize)> {
        let head = segment.first_chunk::<MIN_HEADER_LEN>().ok_or(WireError::Truncated)?;
        let control = get_u16::<12, _>(head);
        let data_offset = usize::from(control >> 12) * 4;
        if data_offset < MIN_HEADER_LEN {
            return Err(WireError::BadLength);
        }
        if data_offset > segment.len() {
            return Err(WireError::Truncated);
        }
        let header = TcpHeader {
            src_port: get_u16::<0, _>(head),
            dst_port: get_u16::<2, _>(head),
            seq: SeqNum(get_u32::<4, _>(head)),
            ack: SeqNum(get_u32::<8, _>(head)),
            flags: TcpFlags::from_bits_truncate(control),
            window: get_u16::<14, _>(head),
            checksum: get_u16::<16, _>(head),
            urgent: get_u16::<18, _>(head),
        };
        Ok((header, data_offset))
    }

    /// Writes header and options, the checksum as it stands (0 to be filled in later), the data offset as
    /// the options make it. Returns the length, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, options: &TcpOptions, out: &mut [u8]) -> usize {
        let len = MIN_HEADER_LEN + options.encoded_len();
        let Some((head, rest)) = out.get_mut(..len).and_then(<[u8]>::split_first_chunk_mut::<MIN_HEADER_LEN>)
        else {
            return 0;
        };
        options.emit(rest);
        self.put(head, len);
        len
    }

    /// Writes the fixed part with option bytes that are already encoded, padded with zeros to a multiple of
    /// four: for replaying a header exactly as it was seen. Returns the length, or 0 when `out` is too short
    /// or there are more than 40 option bytes.
    pub fn emit_raw(&self, options: &[u8], out: &mut [u8]) -> usize {
        let len = MIN_HEADER_LEN + options.len().next_multiple_of(4);
        let Some((head, rest)) = out
            .get_mut(..len)
            .filter(|_| len <= MAX_HEADER_LEN)
            .and_then(<[u8]>::split_first_chunk_mut::<MIN_HEADER_LEN>)
        else {
            return 0;
        };
        rest.fill(0);
        for (to, from) in rest.iter_mut().zip(options) {
            *to = *from;
        }
        self.put(head, len);
        len
    }

    #[inline(always)]
    fn put(&self, head: &mut [u8; MIN_HEADER_LEN], header_len: usize) {
        put_u16::<0, _>(head, self.src_port);
        put_u16::<2, _>(head, self.dst_port);
        put_u32::<4, _>(head, self.seq.0);
        put_u32::<8, _>(head, self.ack.0);
        put_u16::<12, _>(head, (header_len as u16 / 4) << 12 | self.flags.bits() & 0x01ff);
        put_u16::<14, _>(head, self.window);
        put_u16::<16, _>(head, self.checksum);
        put::<18, 2, _>(head, self.urgent.to_be_bytes());
    }
}
