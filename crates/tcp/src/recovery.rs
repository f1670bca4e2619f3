//! What is lost: by time, as RACK has it (RFC 8985 section 6), and by three duplicate acknowledgements from
//! a peer without SACK (RFC 6582). What follows from it: fast recovery, and recovery after a timeout.

use bypath_wire::seq::SeqNum;

use crate::connection::{Bits, Connection};
use crate::scoreboard::{Progress, sent_after};
use crate::time::Instant;

/// Segments, or their worth in bytes, beyond a hole that show a loss rather than reordering.
const DUP_THRESH: u32 = 3;

/// State of RFC 8985 section 5.2.
#[derive(Debug)]
pub(crate) struct Rack {
    /// When the newest sending that is known to have arrived went out, and where it ends.
    sent_at: Instant,
    end: SeqNum,
    valid: bool,
    /// Its round trip.
    rtt_ns: u64,
    /// The path has been seen to reorder.
    reordering_seen: bool,
}

impl Default for Rack {
    fn default() -> Self {
        Self { sent_at: Instant::ZERO, end: SeqNum(0), valid: false, rtt_ns: 0, reordering_seen: false }
    }
}

impl Connection {
    /// RFC 8985 section 6.2 steps 1 to 3.
    pub(crate) fn note_delivered(&mut self, now: Instant, progress: &Progress) {
        let Some(delivered) = progress.delivered else { return };
        let rtt = now.nanos_since(delivered.sent_at);
        if delivered.retransmitted && self.cold.rtt.min_ns().is_some_and(|min| rtt < min) {
            // It acknowledges the first sending, not the second.
            return;
        }
        let rack = &mut self.cold.rack;
        if !rack.valid || sent_after(delivered.sent_at, delivered.end, rack.sent_at, rack.end) {
            rack.valid = true;
            rack.sent_at = delivered.sent_at;
            rack.end = delivered.end;
            rack.rtt_ns = rtt;
        }
    }

    /// After an acknowledgement: finds losses, enters and leaves recovery.
    pub(crate) fn recover(&mut self, now: Instant, progress: &Progress, acked: u32, duplicate: bool) {
        self.note_delivered(now, progress);
        self.cold.rack.reordering_seen |= progress.reordered;
        let in_recovery = self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        if in_recovery && self.hot.snd_una.at_or_after(self.cold.recovery_point) {
            self.leave_recovery();
        }
        if self.hot.bits.has(Bits::SACK) {
            self.detect_losses(now);
        } else {
            self.count_duplicates(acked, duplicate);
        }
        let lost = self.cold.scoreboard.lost_bytes() > 0;
        if lost && !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
            self.enter_recovery();
        }
    }

    /// RFC 8985 section 6.2 step 5. What may still be reordering is looked at again when the timer says so.
    pub(crate) fn detect_losses(&mut self, now: Instant) {
        self.cold.reorder_at = Instant::NEVER;
        if !self.cold.rack.valid {
            self.refresh_aux();
            return;
        }
        let window = self.reordering_window();
        let rack = &self.cold.rack;
        let (sent_at, end) = (rack.sent_at, rack.end);
        let patience = rack.rtt_ns.saturating_add(window);
        let mut next = Instant::NEVER;
        self.cold.scoreboard.mark_lost(|span| {
            if !sent_after(sent_at, end, span.sent_at, span.end) {
                return false;
            }
            let deadline = span.sent_at.plus_nanos(patience);
            if deadline.is_due(now) {
                return true;
            }
            next = next.min(deadline);
            false
        });
        self.cold.reorder_at = next;
        self.refresh_aux();
    }

    /// RFC 8985 section 6.2 step 4: no patience once three segments' worth has passed a hole on a path that
    /// was never seen to reorder; else a quarter of the smallest round trip.
    fn reordering_window(&self) -> u64 {
        let sacked = self.cold.scoreboard.sacked_bytes();
        let certain =
            sacked >= DUP_THRESH * self.hot.window.mss || self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        if certain && !self.cold.rack.reordering_seen {
            return 0;
        }
        let quarter = self.cold.rtt.min_ns().unwrap_or(0) / 4;
        quarter.min(self.cold.rtt.srtt_ns().unwrap_or(quarter))
    }

    /// Without SACK: three duplicates, and in recovery each partial acknowledgement, show one loss.
    fn count_duplicates(&mut self, acked: u32, duplicate: bool) {
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

    fn enter_recovery(&mut self) {
        let flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        self.cold.congestion.on_loss(&mut self.hot.window, flight);
        self.cold.recovery_point = self.hot.snd_nxt;
        self.cold.stats.fast_recoveries += 1;
        self.hot.bits.set(Bits::RECOVERY.or(Bits::FORCE));
    }

    fn leave_recovery(&mut self) {
        if self.hot.bits.has(Bits::RECOVERY) && !self.cold.congestion.rules_recovery() {
            // RFC 6582 section 3.2 step 3: not more than was in use, so that no burst follows.
            let w = &mut self.hot.window;
            w.cwnd = w.ssthresh.min(w.cwnd.max(2 * w.mss));
        }
        self.cold.congestion.on_recovered(&mut self.hot.window);
        self.hot.bits.clear(Bits::RECOVERY.or(Bits::LOSS));
        self.hot.dup_acks = 0;
    }

    /// The retransmission timer ran out (RFC 6298 section 5, RFC 5681 section 3.1).
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        let flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let first = !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        self.cold.stats.timeouts += 1;
        self.cold.rtt.back_off();
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.cold.scoreboard.forget_sacks_if_reneged();
        self.cold.scoreboard.mark_lost(|_| true);
        self.cold.congestion.on_timeout(&mut self.hot.window, flight, first);
        self.cold.recovery_point = self.hot.snd_nxt;
        self.hot.bits.clear(Bits::RECOVERY);
        self.hot.bits.set(Bits::LOSS.or(Bits::FORCE));
        self.hot.dup_acks = 0;
        self.hot.rtx_at = now.plus_nanos(self.hot.rto_ns);
    }
}
