//! Reductions that answered no loss, and are taken back: every retransmission is reported as a duplicate
//! (RFC 2883 with RFC 3708), or the echoed timestamp shows that it was the first sending that arrived
//! (RFC 3522, answered as RFC 4015 has it).

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::connection::{Bits, Connection};
use crate::recovery::News;
use crate::time::Instant;

/// What the last reduction rests on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undo {
    /// `snd_una` when the window was reduced; `None`: nothing to take back.
    since: Option<SeqNum>,
    /// It was a timeout.
    timeout: bool,
    /// Bytes sent again since, or before and not heard of yet; and of them those that the peer has not reported as duplicates.
    resent: u32,
    unreported: u32,
    /// Timestamp of the first retransmission.
    stamp: Option<u32>,
}

impl Undo {
    /// The timer ran out in a recovery that had begun otherwise: it is one reduction.
    pub(crate) fn note_timeout(&mut self) {
        self.timeout = true;
    }
}

impl Connection {
    /// The window is about to be reduced.
    ///
    /// What an earlier recovery has sent again, beyond its end, is still under way: its answers and the reports of it
    /// must not be taken for those of what is sent again now.
    pub(crate) fn begin_undo(&mut self, timeout: bool) {
        let (resent, oldest) = self.cold.scoreboard.resent_outstanding();
        let stamp = oldest.and_then(|at| self.timestamps_if_agreed(at)).map(|ts| ts.value);
        let since = Some(self.hot.snd_una);
        self.cold.undo = Undo { since, timeout, resent, unreported: resent, stamp };
    }

    /// `len` bytes go out again.
    pub(crate) fn note_resent(&mut self, now: Instant, len: u32) {
        let stamp = self.timestamps_if_agreed(now).map(|ts| ts.value);
        let undo = &mut self.cold.undo;
        undo.resent = undo.resent.saturating_add(len);
        undo.unreported = undo.unreported.saturating_add(len);
        undo.stamp = undo.stamp.or(stamp);
    }

    /// The first block of an acknowledgement, if it reports a duplicate (RFC 2883 section 4): it lies before the
    /// acknowledgement, or within the second.
    pub(crate) fn duplicate_report(&self, ack: SeqNum, blocks: &[SackBlock]) -> Option<SackBlock> {
        let first = blocks.first()?;
        let within =
            |outer: &SackBlock| first.left.at_or_after(outer.left) && first.right.at_or_before(outer.right);
        let reported = first.right.at_or_before(ack) || blocks.get(1).is_some_and(within);
        let sane = first.left.before(first.right)
            && first.right.at_or_before(self.hot.snd_nxt)
            && first.left.at_or_after(self.hot.snd_una - self.hot.max_snd_wnd.max(1));
        (reported && sane).then_some(*first)
    }

    /// The peer has got `block` twice. What was sent once was doubled by the network: that says nothing.
    pub(crate) fn on_duplicate_report(&mut self, block: SackBlock) {
        self.cold.stats.dsacks_in += 1;
        if self.is_probe(block) {
            return;
        }
        let undo = &mut self.cold.undo;
        let ours = undo.since.is_some_and(|since| block.left.at_or_after(since)) && undo.unreported > 0;
        if !ours {
            return;
        }
        let len = block.right.offset_from(block.left) as u32;
        undo.unreported = undo.unreported.saturating_sub(len);
        if !undo.timeout {
            self.cold.rack.widen(self.hot.snd_una, self.hot.snd_nxt);
        }
    }

    fn all_reported(&self) -> bool {
        let undo = &self.cold.undo;
        undo.since.is_some() && undo.resent > 0 && undo.unreported == 0
    }

    /// The acknowledgement, which took data in sequence, answers what was sent before the first retransmission.
    fn answers_first_sending(&self, news: &News<'_>) -> bool {
        let stamp = self.cold.undo.stamp.filter(|_| self.cold.undo.since.is_some() && news.acked > 0);
        match (stamp, news.echo) {
            (Some(stamp), Some(echo)) => (echo.wrapping_sub(stamp) as i32) < 0,
            _ => false,
        }
    }

    /// Takes the reduction back if this acknowledgement shows that it answered no loss.
    pub(crate) fn undo_if_spurious(&mut self, news: &News<'_>) -> bool {
        if !self.cold.config.undo {
            return false;
        }
        let late = self.answers_first_sending(news);
        let recovering = self.hot.bits.has(Bits::RECOVERY);
        let over = self.hot.snd_una.at_or_after(self.cold.recovery_point);
        // One that is answered says nothing of the others that were sent again: in fast recovery, as long as
        // one of them is under way, it is waited for.
        let spurious = match (late, self.all_reported()) {
            (true, _) => !recovering || over || !self.cold.scoreboard.has_resent_in_flight(),
            (false, true) => !recovering || over,
            (false, false) => false,
        };
        if late && recovering {
            // It came late, and by itself: the path reorders. What was sent again in haste will be reported as a
            // duplicate a round trip later, when nothing is left to take back: it counts now.
            self.cold.rack.widen(self.hot.snd_una, self.hot.snd_nxt);
        }
        spurious && self.take_back()
    }

    /// Everything is as before the reduction. `false`: there is none to take back.
    pub(crate) fn take_back(&mut self) -> bool {
        let undo = core::mem::take(&mut self.cold.undo);
        if undo.since.is_none() {
            return false;
        }
        self.cold.congestion.on_undo(&mut self.hot.window);
        self.cold.scoreboard.unmark_lost();
        self.cold.f_rto = Default::default();
        self.hot.bits.clear(Bits::RECOVERY.or(Bits::LOSS).or(Bits::FORCE));
        self.hot.dup_acks = 0;
        if undo.timeout {
            self.cold.stats.spurious_timeouts += 1;
            // Reports of duplicates alone are no progress: a peer that repeats them, and takes nothing, would have
            // all of a window again and again at the same short interval.
            if undo.since.is_some_and(|since| self.hot.snd_una.after(since)) {
                self.cold.rtt.reset_backoff();
                self.hot.rto_ns = self.cold.rtt.rto_ns();
            }
        } else {
            self.cold.stats.spurious_recoveries += 1;
        }
        true
    }
}
