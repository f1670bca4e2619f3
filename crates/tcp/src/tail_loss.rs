//! Tail loss probe (RFC 8985 section 7): when nothing is heard for two round trips, something is sent that
//! makes the peer speak, so that a lost tail is found by RACK and not by a timeout.
//!
//! Acknowledgements only restart the retransmission timer, with a shorter time (`rtt`). What is due when it
//! runs out, a probe, a timeout, or neither yet, is worked out here, then and not before.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::connection::{Bits, Connection};
use crate::recovery::News;
use crate::segment::{Purpose, TxSegment};
use crate::time::Instant;

/// Longest that a peer delays an acknowledgement of a single segment (section 7.2), as Linux assumes it.
const DELAYED_ACK_NS: u64 = 200_000_000;

/// State of section 7.1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TailLoss {
    /// `snd_nxt` after the probe that is under way.
    end: Option<SeqNum>,
    /// It was a retransmission.
    again: bool,
    /// The first segment as it was sent once more in a silent recovery.
    head: Option<SackBlock>,
    /// It is to be sent now.
    head_due: bool,
}

impl Connection {
    /// Whether a duplicate report is about the probe. A FIN in it may be reported or not.
    pub(crate) fn is_probe(&self, block: SackBlock) -> bool {
        let TailLoss { end, again, head, .. } = self.cold.tail_loss;
        if head == Some(block) {
            return true;
        }
        let Some(end) = end.filter(|_| again) else { return false };
        block.right == end || (self.hot.bits.has(Bits::FIN_SENT) && block.right + 1 == end)
    }

    /// Section 7.2: a probe is for a connection in order, of which nothing is known but silence. Fast recovery
    /// is left to the reordering timer there; but a peer that waits before it reports more than three
    /// duplicates, as Linux does, answers the retransmission with a single acknowledgement for all that is out,
    /// and when that one is lost no timer is left but the timeout. So a silent recovery has a probe too, one
    /// for each step of its progress.
    fn may_probe(&self) -> bool {
        let board = &self.cold.scoreboard;
        if !self.cold.rtt.probes()
            || self.hot.bits.has(Bits::LOSS.or(Bits::PERSIST))
            || self.cold.rtt.backoff() > 0
        {
            return false;
        }
        if self.hot.bits.has(Bits::RECOVERY) {
            let probed = self.cold.tail_loss.head.is_some_and(|head| head.left == self.hot.snd_una);
            return !probed && board.head(1).is_some() && self.cold.reorder_at == Instant::NEVER;
        }
        self.cold.tail_loss.end.is_none()
            && self.cold.rtt.measured
            && board.sacked_bytes() == 0
            && board.lost_bytes() == 0
    }

    /// The timer ran out. `true`: it is no timeout, or not yet.
    pub(crate) fn before_timeout(&mut self, now: Instant) -> bool {
        let armed_at = self.cold.rtt.armed_at;
        let timeout_at = armed_at.plus_nanos(self.hot.rto_ns);
        if !self.may_probe() {
            // Armed with all of the timeout, it has run out, or was cut short by the user timeout.
            if timeout_at.is_due(now) || self.cold.rtt.timer_ns() >= self.hot.rto_ns {
                return false;
            }
            self.hot.rtx_at = timeout_at;
            return true;
        }
        let single = self.cold.scoreboard.in_flight() <= self.hot.window.mss;
        let patience = self.cold.rtt.probe_ns() + if single { DELAYED_ACK_NS } else { 0 };
        let last_sent = self.cold.scoreboard.last_sent_at().unwrap_or(armed_at);
        let probe_at = armed_at.max(last_sent).plus_nanos(patience).min(timeout_at);
        if !probe_at.is_due(now) {
            self.hot.rtx_at = probe_at;
            return true;
        }
        self.cold.stats.tail_loss_probes += 1;
        if self.hot.bits.has(Bits::RECOVERY) {
            let head = self.cold.scoreboard.head(self.payload_limit());
            self.cold.tail_loss.head = head.map(|(left, len)| SackBlock { left, right: left + len });
            self.cold.tail_loss.head_due = true;
        } else {
            self.hot.bits.set(Bits::TAIL_PROBE);
        }
        self.cold.rtt.armed_at = now;
        self.hot.rtx_at = now.plus_nanos(self.hot.rto_ns);
        true
    }

    /// The probe was new data.
    pub(crate) fn probed_with_new_data(&mut self) {
        self.note_probe(false);
    }

    fn note_probe(&mut self, again: bool) {
        self.hot.bits.clear(Bits::TAIL_PROBE);
        self.hot.bits.set(Bits::TAIL_PROBED);
        self.cold.tail_loss = TailLoss { end: Some(self.hot.snd_nxt), again, ..TailLoss::default() };
        self.cold.rtt.measured = false;
    }

    /// There is no new data: the last segment once more (section 7.3).
    pub(crate) fn tail_probe(&mut self, now: Instant) -> Option<TxSegment> {
        if !self.hot.bits.has(Bits::TAIL_PROBE) {
            return None;
        }
        self.hot.bits.clear(Bits::TAIL_PROBE);
        let fin = self.hot.bits.has(Bits::FIN_SENT);
        let (start, len) = self.cold.scoreboard.tail(self.payload_limit(), fin)?;
        if self.hot.bits.has(Bits::LOSS) {
            return None;
        }
        self.note_probe(true);
        Some(self.send_again_now(now, start, len, Purpose::TailProbe))
    }

    /// In recovery: the first segment once more, which repairs the loss or brings the acknowledgement again.
    pub(crate) fn head_probe(&mut self, now: Instant) -> Option<TxSegment> {
        if !core::mem::take(&mut self.cold.tail_loss.head_due) || !self.hot.bits.has(Bits::RECOVERY) {
            return None;
        }
        let SackBlock { left, right } =
            self.cold.tail_loss.head.filter(|head| head.left == self.hot.snd_una)?;
        let len = right.offset_from(left) as u32;
        // Whether it comes in vain says nothing of the recovery.
        let undo = self.cold.undo;
        let segment = self.send_again_now(now, left, len, Purpose::TailProbe);
        self.cold.undo = undo;
        Some(segment)
    }

    /// Section 7.4: what the answer to the probe says. A retransmission that was needed has repaired a loss,
    /// which is a sign of congestion like any other.
    pub(crate) fn tail_probe_answered(&mut self, news: &News<'_>) {
        let TailLoss { end: Some(end), again, .. } = self.cold.tail_loss else { return };
        if self.hot.snd_una.before(end) {
            return;
        }
        let twice = news.dsack.is_some_and(|block| self.is_probe(block));
        let plain_duplicate = news.duplicate && news.progress.newly_sacked == 0;
        if again && !twice && self.hot.snd_una.after(end) {
            self.cold.stats.tail_loss_recoveries += 1;
            if !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
                let flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32 + news.acked;
                self.cold.undo = Default::default();
                self.cold.congestion.on_loss(&mut self.hot.window, flight);
                self.cold.congestion.on_recovered(&mut self.hot.window);
            }
        } else if again && !twice && !plain_duplicate {
            return;
        }
        self.forget_probe();
    }

    pub(crate) fn forget_probe(&mut self) {
        self.cold.tail_loss = TailLoss::default();
        self.hot.bits.clear(Bits::TAIL_PROBE.or(Bits::TAIL_PROBED));
    }
}
