//! TCP options: MSS (RFC 9293 §3.7.1), window scale and timestamps (RFC 7323), selective acknowledgment
//! (RFC 2018), Fast Open (RFC 7413). Others are skipped when read and never written.
//!
//! They are written in the order that Linux uses, which peers and middleboxes expect:
//!
//! ```text
//! SYN       MSS(4) | SACK-permitted(2) timestamps(10) | NOP window-scale(3) | Fast Open, NOPs
//! ordinary  NOP NOP timestamps(10) | NOP NOP SACK(2 + 8n)
//! ```

use arrayvec::ArrayVec;

use crate::bytes::{get_u32, put, put_next, put_u32};
use crate::{Result, SeqNum, WireError};

/// Room for options in a header, in bytes.
pub const MAX_OPTIONS_LEN: usize = 40;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;

/// NOP NOP, then a timestamps option: RFC 7323 appendix A recommends this for ordinary segments.
pub(super) const ALIGNED_TIMESTAMPS: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];

/// The timestamps option (RFC 7323 §3.2), in ticks of its sender's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamps {
    /// TSval, the sender's clock.
    pub value: u32,
    /// TSecr, the receiver's clock given back.
    pub echo: u32,
}

/// One block of received octets, `left` up to but not including `right` (RFC 2018 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SackBlock {
    /// The first octet of the block.
    pub left: SeqNum,
    /// The octet after the last one of the block.
    pub right: SeqNum,
}

/// The options of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpOptions {
    /// Maximum segment size in bytes; counts on SYN only.
    pub mss: Option<u16>,
    /// Window scale shift as sent; RFC 7323 §2.3 has the receiver treat more than 14 as 14.
    pub window_scale: Option<u8>,
    /// Selective acknowledgment may be used; counts on SYN only.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Selective acknowledgment blocks, in the order sent.
    pub sack: ArrayVec<SackBlock, 4>,
    /// Fast Open cookie; empty when one is asked for (RFC 7413 §4.1.1).
    pub fast_open: Option<ArrayVec<u8, 16>>,
}

/// What of the options is written: everything, unless 40 bytes cannot hold it.
struct Layout {
    sack_blocks: usize,
    fast_open: bool,
    len: usize,
}

impl TcpOptions {
    /// Reads the option bytes of a header, `segment[20..data_offset]`. Unknown options are skipped, of a
    /// repeated option the last counts, and nothing is read after the end-of-list option.
    ///
    /// # Errors
    /// [`WireError::BadLength`] when an option's length is below 2 or wrong for its kind,
    /// [`WireError::Truncated`] when it crosses the end of the header (RFC 9293 MUST-7).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<TcpOptions> {
        if let Ok(aligned) = <&[u8; 12]>::try_from(bytes)
            && aligned.first_chunk() == Some(&ALIGNED_TIMESTAMPS)
        {
            let timestamps = Timestamps { value: get_u32::<4, _>(aligned), echo: get_u32::<8, _>(aligned) };
            return Ok(TcpOptions { timestamps: Some(timestamps), ..TcpOptions::default() });
        }
        TcpOptions::parse_any(bytes)
    }

    fn parse_any(mut bytes: &[u8]) -> Result<TcpOptions> {
        let mut options = TcpOptions::default();
        loop {
            let (kind, len) = match *bytes {
                [] | [END, ..] => return Ok(options),
                [NOP, ref rest @ ..] => {
                    bytes = rest;
                    continue;
                }
                [_] => return Err(WireError::Truncated),
                [kind, len, ..] => (kind, usize::from(len)),
            };
            let body = match bytes.split_at_checked(len) {
                Some((option, rest)) => {
                    bytes = rest;
                    option.get(2..).ok_or(WireError::BadLength)?
                }
                None => return Err(WireError::Truncated),
            };
            options.take(kind, body)?;
        }
    }

    fn take(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        match (kind, body) {
            (MSS, &[high, low]) => self.mss = Some(u16::from_be_bytes([high, low])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, body) => {
                let body = <&[u8; 8]>::try_from(body).map_err(|_| WireError::BadLength)?;
                self.timestamps =
                    Some(Timestamps { value: get_u32::<0, _>(body), echo: get_u32::<4, _>(body) });
            }
            (SACK, body) => {
                let (blocks, []) = body.as_chunks::<8>() else { return Err(WireError::BadLength) };
                if blocks.is_empty() {
                    return Err(WireError::BadLength);
                }
                let block = |bytes: &[u8; 8]| SackBlock {
                    left: SeqNum(get_u32::<0, _>(bytes)),
                    right: SeqNum(get_u32::<4, _>(bytes)),
                };
                self.sack = blocks.iter().take(4).map(block).collect();
            }
            // RFC 7413 §4.1.1: a cookie of a length that cannot be is ignored with its option.
            (FAST_OPEN, cookie) => self.fast_open = cookie.try_into().ok().or(self.fast_open.take()),
            (MSS | WINDOW_SCALE | SACK_PERMITTED, _) => return Err(WireError::BadLength),
            _ => {}
        }
        Ok(())
    }

    /// Bytes that [`emit`](Self::emit) writes: 0 to 40, a multiple of four.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.layout().len
    }

    /// Writes the options, padded with NOPs to a multiple of four; returns the length, or 0 when `out` is too
    /// short or there is nothing to write. What 40 bytes cannot hold is left out: selective acknowledgment
    /// blocks from the last on, then the Fast Open cookie.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let layout = self.layout();
        let Some(mut rest) = out.get_mut(..layout.len) else { return 0 };
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            rest = put_next(rest, [MSS, 4, high, low]);
        }
        if let Some(timestamps) = self.timestamps {
            let mut option = [0; 12];
            let lead =
                if self.sack_permitted { [SACK_PERMITTED, 2, TIMESTAMPS, 10] } else { ALIGNED_TIMESTAMPS };
            put::<0, 4, _>(&mut option, lead);
            put_u32::<4, _>(&mut option, timestamps.value);
            put_u32::<8, _>(&mut option, timestamps.echo);
            rest = put_next(rest, option);
        } else if self.sack_permitted {
            rest = put_next(rest, [NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            rest = put_next(rest, [NOP, WINDOW_SCALE, 3, shift]);
        }
        if layout.sack_blocks > 0 {
            rest = put_next(rest, [NOP, NOP, SACK, 2 + 8 * layout.sack_blocks as u8]);
            for block in self.sack.iter().take(layout.sack_blocks) {
                let mut bytes = [0; 8];
                put_u32::<0, _>(&mut bytes, block.left.0);
                put_u32::<4, _>(&mut bytes, block.right.0);
                rest = put_next(rest, bytes);
            }
        }
        if layout.fast_open
            && let Some(cookie) = &self.fast_open
        {
            rest = put_next(rest, [FAST_OPEN, 2 + cookie.len() as u8]);
            rest.fill(NOP);
            for (to, from) in rest.iter_mut().zip(cookie) {
                *to = *from;
            }
        }
        layout.len
    }

    #[inline]
    fn layout(&self) -> Layout {
        let mut len = if self.mss.is_some() { 4 } else { 0 };
        len += match (self.timestamps, self.sack_permitted) {
            (Some(_), _) => 12,
            (None, true) => 4,
            (None, false) => 0,
        };
        len += if self.window_scale.is_some() { 4 } else { 0 };
        let sack_blocks = self.sack.len().min((MAX_OPTIONS_LEN - 4 - len) / 8);
        len += if sack_blocks > 0 { 4 + 8 * sack_blocks } else { 0 };
        let cookie_len = self.fast_open.as_ref().map(|cookie| (2 + cookie.len()).next_multiple_of(4));
        let fast_open = cookie_len.filter(|cookie_len| len + cookie_len <= MAX_OPTIONS_LEN);
        Layout { sack_blocks, fast_open: fast_open.is_some(), len: len + fast_open.unwrap_or(0) }
    }
}
