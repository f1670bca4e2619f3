//! Losses by counting: three duplicate acknowledgements from a peer without SACK (RFC 5681, RFC 6582), what its
//! SACK blocks pass over where RACK is switched off (RFC 6675), and what may be sent on the first duplicates
//! (limited transmit, RFC 3042).

use crate::connection::{Bits, Connection};
use crate::rack::DUP_THRESH;

impl Connection {
    /// Bytes thought to be in the network. What the peer holds has left it; without SACK each duplicate
    /// acknowledgement stands for a segment that has (RFC 5681 section 3.2 steps 2 and 4).
    pub(crate) fn pipe(&self) -> u32 {
        let in_flight = self.cold.scoreboard.in_flight();
        if self.hot.dup_acks == 0 && self.cold.scoreboard.sacked_bytes() == 0 {
            return in_flight;
        }
        if !self.cold.config.limited_transmit && !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
            // Before recovery what has left makes no room for more.
            return in_flight + self.cold.scoreboard.sacked_bytes();
        }
        in_flight.saturating_sub(u32::from(self.hot.dup_acks) * self.hot.window.mss)
    }

    /// Without SACK: three duplicates, and in recovery each partial acknowledgement, show one loss.
    pub(crate) fn count_duplicates(&mut self, acked: u32, duplicate: bool) {
        let mss = self.hot.window.mss;
        if acked > 0 {
            if self.hot.bits.has(Bits::RECOVERY) {
                // RFC 6582 section 3.2 step 3: what was acknowledged no longer counts as duplicates. One
                // segment of it was the retransmission.
                let arrived = u8::try_from(acked / mss.max(1)).unwrap_or(u8::MAX);
                self.hot.dup_acks = self.hot.dup_acks.saturating_sub(arrived.saturating_sub(1));
                self.cold.scoreboard.mark_head_lost(mss);
                self.hot.bits.set(Bits::FORCE);
            } else {
                self.hot.dup_acks = 0;
            }
        } else if duplicate {
            self.hot.dup_acks = self.hot.dup_acks.saturating_add(1);
            if u32::from(self.hot.dup_acks) == DUP_THRESH && !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS))
            {
                self.cold.scoreboard.mark_head_lost(mss);
            }
        }
    }

    /// RFC 6675 section 5, with the pipe and the marks of the scoreboard.
    pub(crate) fn detect_passed_over(&mut self) {
        if self.cold.scoreboard.sacked_bytes() > 0 {
            self.cold.scoreboard.mark_passed_over(DUP_THRESH, self.hot.window.mss);
        }
    }
}
