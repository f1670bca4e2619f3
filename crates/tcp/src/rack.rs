//! RACK: what is lost, by the time at which it was sent (RFC 8985 section 6).

use bypath_wire::seq::SeqNum;

use crate::connection::{Bits, Connection};
use crate::scoreboard::{Delivered, Progress, sent_after};
use crate::time::Instant;

/// Segments beyond a hole that show a loss rather than reordering (RFC 5681's duplicate acknowledgements).
pub(crate) const DUP_THRESH: u32 = 3;

/// Recoveries without a duplicate report after which a widened reordering window is narrow again
/// (RFC 8985 section 6.2 step 4).
const PERSIST: u8 = 16;

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
    /// The reordering window in quarters of the smallest round trip.
    window_quarters: u8,
    /// Recoveries until it is one again.
    persist: u8,
    /// `snd_nxt` when the window last grew: it grows once a round trip.
    round_end: Option<SeqNum>,
    /// Segments that the peer holds beyond a hole, by how many acknowledgements told of them.
    sacked_segments: u32,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            sent_at: Instant::ZERO,
            end: SeqNum(0),
            valid: false,
            rtt_ns: 0,
            reordering_seen: false,
            window_quarters: 1,
            persist: 0,
            round_end: None,
            sacked_segments: 0,
        }
    }
}

impl Rack {
    /// The peer had received twice what we sent twice, although nothing suggests that the acknowledgement was
    /// lost: we were impatient. The window grows, once a round trip.
    pub(crate) fn widen(&mut self, snd_una: SeqNum, snd_nxt: SeqNum) {
        self.reordering_seen = true;
        if self.round_end.is_none_or(|end| snd_una.at_or_after(end)) {
            self.round_end = Some(snd_nxt);
            self.window_quarters = self.window_quarters.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// A recovery has ended that was not found spurious.
    pub(crate) fn note_recovery(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.window_quarters = 1;
        }
    }
}

impl Connection {
    /// RFC 8985 section 6.2 steps 1 and 2. `echo`: the timestamp that came back.
    pub(crate) fn note_delivered(&mut self, now: Instant, progress: &Progress, echo: Option<u32>) {
        let Some(delivered) = progress.delivered else { return };
        let rtt = now.nanos_since(delivered.sent_at);
        if delivered.retransmitted {
            // It may be the first sending that arrived: then this says nothing about the second.
            let too_soon = self.cold.rtt.min_ns().is_some_and(|min| rtt < min);
            // Only what is taken in sequence is echoed (RFC 7323 section 4.3).
            let in_sequence = delivered.end.at_or_before(self.hot.snd_una);
            let stamp = self.timestamps(delivered.sent_at).value;
            let of_before = in_sequence && echo.is_some_and(|echo| (echo.wrapping_sub(stamp) as i32) < 0);
            if too_soon || of_before {
                return;
            }
        }
        self.note_newest(&delivered, rtt);
    }

    /// The second step of what is no stale answer.
    #[inline]
    pub(crate) fn note_newest(&mut self, delivered: &Delivered, rtt_ns: u64) {
        let rack = &mut self.cold.rack;
        if !rack.valid || sent_after(delivered.sent_at, delivered.end, rack.sent_at, rack.end) {
            rack.valid = true;
            rack.sent_at = delivered.sent_at;
            rack.end = delivered.end;
            rack.rtt_ns = rtt_ns;
        }
    }

    /// RFC 8985 section 6.2 step 3, and what the fourth needs to know of the duplicates.
    pub(crate) fn note_order(&mut self, progress: &Progress) {
        let rack = &mut self.cold.rack;
        rack.reordering_seen |= progress.reordered;
        if self.cold.scoreboard.sacked_bytes() == 0 {
            rack.sacked_segments = 0;
        } else if progress.newly_sacked > 0 {
            let segments = (progress.newly_sacked / self.hot.window.mss.max(1)).max(1);
            rack.sacked_segments = rack.sacked_segments.saturating_add(segments);
        }
    }

    /// RFC 8985 section 6.2 step 5. What may still be reordering is looked at again when the timer says so.
    pub(crate) fn detect_overdue(&mut self, now: Instant) {
        self.cold.reorder_at = if self.cold.rack.valid {
            let patience = self.patience();
            let newest = (self.cold.rack.sent_at, self.cold.rack.end);
            self.cold.scoreboard.mark_overdue(newest, patience, now)
        } else {
            Instant::NEVER
        };
        self.refresh_aux();
    }

    /// How long after it was sent a segment counts as lost, once a later one has arrived: the round trip of that
    /// one and the reordering window. On a path that reorders it is at least a usual round trip: of two bursts the
    /// first may have waited in a queue that the second found empty, and a segment of the first that is overtaken
    /// by the second takes as long as its own burst did.
    fn patience(&self) -> u64 {
        let rack = &self.cold.rack;
        let usual = self.cold.rtt.srtt_ns().filter(|_| rack.reordering_seen).unwrap_or(0);
        rack.rtt_ns.max(usual).saturating_add(self.reordering_window())
    }

    /// RFC 8985 section 6.2 step 4: no patience once three segments have passed a hole on a path that was never
    /// seen to reorder; else a quarter of the smallest round trip, or more of them since the peer got
    /// something twice for our haste.
    fn reordering_window(&self) -> u64 {
        let rack = &self.cold.rack;
        let certain = rack.sacked_segments >= DUP_THRESH
            || self.cold.scoreboard.sacked_bytes() >= DUP_THRESH * self.hot.window.mss
            || self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        if certain && !rack.reordering_seen {
            return 0;
        }
        let quarter = self.cold.rtt.min_ns().unwrap_or(0) / 4;
        let window = quarter.saturating_mul(u64::from(rack.window_quarters));
        window.min(self.cold.rtt.srtt_ns().unwrap_or(window))
    }

    /// After a timeout: the first segment, and all that had its time (RFC 8985 section 6.3). What went out a
    /// moment ago may well be under way. `all`: nothing is known of times, or the peer has thrown away what it
    /// held.
    pub(crate) fn mark_lost_by_timeout(&mut self, now: Instant, all: bool) {
        let rack = &self.cold.rack;
        let all = all || !rack.valid || !self.hot.bits.has(Bits::SACK) || !self.cold.config.rack;
        let patience = self.patience();
        let first = self.hot.snd_una;
        self.cold
            .scoreboard
            .mark_lost(|span| all || span.start == first || span.sent_at.plus_nanos(patience).is_due(now));
    }
}
