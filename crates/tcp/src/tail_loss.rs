//! Tail loss probe (RFC 8985 section 7): when nothing is heard for two round trips, something is sent that
//! makes the peer speak, so that a lost tail is found by RACK and not by a timeout.
//!
//! Acknowledgements only restart the retransmission timer, with a shorter time (`rtt`). What is due when it
//! runs out, a probe, a timeout, or neither yet, is worked out here, then and not before.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::connection::{Bits, Connection};
use crate::recovery::News;
use crate::segment::TxSegment;
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
}

impl Connection {
    /// Whether a duplicate report is about the probe. A FIN in it may be reported or not.
    pub(crate) fn is_probe(&self, block: SackBlock) -> bool {
        let TailLoss { end: Some(end), again: true } = self.cold.tail_loss else { return false };
        block.right == end || (self.hot.bits.has(Bits::FIN_SENT) && block.right + 1 == end)
    }

    /// Section 7.2: a probe is for a connection in order, of which nothing is known but silence.
    fn may_probe_tail(&self) -> bool {
        let board = &self.cold.scoreboard;
        self.cold.rtt.probes()
            && !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS).or(Bits::PERSIST))
            && self.cold.tail_loss.end.is_none()
            && self.cold.rtt.backoff() == 0
            && self.cold.rtt.measured
            && board.sacked_bytes() == 0
            && board.lost_bytes() == 0
    }

    /// The timer ran out. `true`: it is no timeout, or not yet.
    pub(crate) fn before_timeout(&mut self, now: Instant) -> bool {
        let armed_at = self.cold.rtt.armed_at;
        let timeout_at = armed_at.plus_nanos(self.hot.rto_ns);
        if !self.may_probe_tail() {
            // Armed with all of the timeout, it has run out, or was cut short by the user timeout.
            if timeout_at.is_due(now) || self.cold.rtt.timer_ns() >= self.hot.rto_ns {
                return false;
            }
            self.hot.rtx_at = timeout_at;
            return true;
        }
        let single = self.cold.scoreboard.in_flight() <= self.hot.window.mss;
        let patience = self.cold.rtt.probe_ns() + if single { DELAYED_ACK_NS } else { 0 };
        let last_sent = self.cold.scoreboard.sent_times().map_or(armed_at, |(last, _)| last);
        let probe_at = armed_at.max(last_sent).plus_nanos(patience).min(timeout_at);
        if !probe_at.is_due(now) {
            self.hot.rtx_at = probe_at;
            return true;
        }
        self.cold.stats.tail_loss_probes += 1;
        self.hot.bits.set(Bits::TAIL_PROBE);
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
        self.cold.tail_loss = TailLoss { end: Some(self.hot.snd_nxt), again };
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
        if self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
            return None;
        }
        self.note_probe(true);
        Some(self.send_again_now(now, start, len))
    }

    /// Section 7.4: what the answer to the probe says. A retransmission that was needed has repaired a loss,
    /// which is a sign of congestion like any other.
    pub(crate) fn tail_probe_answered(&mut self, news: &News<'_>) {
        let TailLoss { end: Some(end), again } = self.cold.tail_loss else { return };
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
