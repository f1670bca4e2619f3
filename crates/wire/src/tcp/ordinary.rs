//! Headers of ordinary segments: ACK, perhaps PSH, and no option but timestamps in their usual place. Nearly all
//! segments are such; many that follow on each other differ only in where they lie in the stream, and what they have in
//! common is written and summed once.

use super::options::ALIGNED_TIMESTAMPS;
use super::{MIN_HEADER_LEN, Timestamps};
use crate::SeqNum;
use crate::bytes::{put, put_u16, put_u32};
use crate::checksum::Sum;

/// With timestamps.
const LONGER: usize = MIN_HEADER_LEN + 12;

/// What ordinary segments that are sent together have in common.
#[derive(Clone, Copy, Debug)]
pub struct OrdinaryHeader {
    bytes: [u8; LONGER],
    len: u16,
    sum: Sum,
}

impl OrdinaryHeader {
    /// From the port `src` to `dst`, with this acknowledgement number and window field.
    #[inline]
    #[must_use]
    pub fn new(src: u16, dst: u16, ack: SeqNum, window: u16, timestamps: Option<Timestamps>) -> Self {
        let mut bytes = [0; LONGER];
        put_u16::<0, _>(&mut bytes, src);
        put_u16::<2, _>(&mut bytes, dst);
        put_u32::<8, _>(&mut bytes, ack.0);
        put_u16::<14, _>(&mut bytes, window);
        let mut len = MIN_HEADER_LEN;
        if let Some(timestamps) = timestamps {
            put::<20, 4, _>(&mut bytes, ALIGNED_TIMESTAMPS);
            put_u32::<24, _>(&mut bytes, timestamps.value);
            put_u32::<28, _>(&mut bytes, timestamps.echo);
            len = LONGER;
        }
        Self { bytes, len: len as u16, sum: Sum::of_words(&bytes) }
    }

    /// Bytes of the header, 20 or 32.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Never.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the header of the segment at `seq` to the front of `out`, unless it is too short. `rest` is the sum of
    /// what is not in the header: the pseudo-header and the payload.
    #[inline]
    pub fn emit(&self, seq: SeqNum, push: bool, rest: Sum, out: &mut [u8]) {
        let control = self.len << 10 | if push { 0x18 } else { 0x10 };
        let checksum = self.sum.add(rest).add_u32(seq.0).add_u16(control).finish();
        let Some((head, options)) = out.split_first_chunk_mut::<MIN_HEADER_LEN>() else { return };
        if self.len() == LONGER
            && let (Some(to), Some(from)) = (options.first_chunk_mut::<12>(), self.bytes.last_chunk::<12>())
        {
            *to = *from;
        }
        if let Some(common) = self.bytes.first_chunk() {
            *head = *common;
        }
        put_u32::<4, _>(head, seq.0);
        put_u16::<12, _>(head, control);
        put_u16::<16, _>(head, checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{TcpFlags, TcpHeader, TcpOptions};

    #[test]
    fn it_is_what_header_and_options_make_with_the_right_checksum() {
        for (timestamps, push) in
            [(None, false), (Some(Timestamps { value: 0xfedc_ba98, echo: 0x1234_5678 }), true)]
        {
            let payload = Sum::of(b"some payload");
            let mut ours = [0xee; 40];
            let header = OrdinaryHeader::new(0xfffe, 7, SeqNum(0xffff_ff01), 0xfffd, timestamps);
            header.emit(SeqNum(0x8000_0001), push, payload, &mut ours);
            let mut flags = TcpFlags::ACK;
            flags.set(TcpFlags::PSH, push);
            let whole = TcpHeader {
                src_port: 0xfffe,
                dst_port: 7,
                seq: SeqNum(0x8000_0001),
                ack: SeqNum(0xffff_ff01),
                flags,
                window: 0xfffd,
                ..TcpHeader::default()
            };
            let mut usual = [0xee; 40];
            let n = whole.emit(&TcpOptions { timestamps, ..TcpOptions::default() }, &mut usual);
            let checksum = Sum::of(&usual[..n]).add(payload).finish();
            usual[16..18].copy_from_slice(&checksum.to_be_bytes());
            assert_eq!((header.len(), ours), (n, usual));
        }
    }
}
