//! What the peer is told of data that did not come in order: the ranges held (RFC 2018 section 4), and what has
//! come twice (RFC 2883).

use arrayvec::ArrayVec;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpOptions};

use crate::connection::{Bits, Connection};

/// Bytes of options besides timestamps that SACK blocks take: 4 and 8 for each.
const SACK_HEADER: u32 = 4;

/// Ranges received twice and not yet reported. Each takes an acknowledgement of its own; more than these are
/// for a peer that sends nothing but duplicates, and are not reported.
pub(crate) type Duplicates = ArrayVec<SackBlock, 4>;

impl Connection {
    /// `left..right` had been received before.
    pub(crate) fn note_duplicate(&mut self, left: SeqNum, right: SeqNum) {
        if !self.hot.bits.has(Bits::SACK) || !self.cold.config.dsack || !left.before(right) {
            return;
        }
        let duplicates = &mut self.cold.duplicates;
        match duplicates.last_mut() {
            Some(last) if last.right == left => last.right = right,
            _ => {
                let _ = duplicates.try_push(SackBlock { left, right });
            }
        }
        self.hot.bits.set(Bits::DSACK.or(Bits::ACK_NOW));
    }

    /// The blocks for the next segment: a duplicate first, and once (RFC 2883 section 4), then what is held, the
    /// latest first. A FIN that came ahead of its turn is held as a byte is.
    fn blocks(&self) -> ArrayVec<SackBlock, 4> {
        // 40 bytes of options, 12 of them for timestamps.
        let room = if self.hot.bits.has(Bits::TIMESTAMPS) { 3 } else { 4 };
        let mut out = ArrayVec::new();
        if let Some(first) = self.cold.duplicates.first() {
            out.push(*first);
        }
        let mut fin = self.cold.fin_ahead;
        for mut block in self.cold.assembler.sack_blocks(room - out.len()) {
            if fin == Some(block.right) {
                block.right += 1;
                fin = None;
            }
            let _ = out.try_push(block);
        }
        if let Some(left) = fin
            && out.len() < room
        {
            out.push(SackBlock { left, right: left + 1 });
        }
        out
    }

    /// Bytes of payload that fit beside the options this segment will carry (RFC 6691).
    pub(crate) fn payload_limit(&self) -> u32 {
        let bits = self.hot.bits;
        if !bits.has(Bits::HOLES.or(Bits::DSACK)) || !bits.has(Bits::SACK) {
            return self.hot.window.mss;
        }
        let blocks = self.blocks().len() as u32;
        let options = if blocks > 0 { SACK_HEADER + 8 * blocks } else { 0 };
        self.hot.window.mss.saturating_sub(options).max(1)
    }

    /// Puts the blocks into the options of a segment that goes out now.
    #[inline(never)]
    pub(crate) fn report_blocks(&mut self, options: &mut TcpOptions) {
        for block in self.blocks() {
            let _ = options.sack.try_push(block);
        }
        if !self.cold.duplicates.is_empty() {
            self.cold.duplicates.remove(0);
            self.cold.stats.dsacks_out += 1;
        }
        if self.cold.duplicates.is_empty() {
            self.hot.bits.clear(Bits::DSACK);
        }
    }
}
