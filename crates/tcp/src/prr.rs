//! Proportional rate reduction: how much may be sent on each acknowledgement of a fast recovery
//! (RFC 6937, RFC 9937), so that the window goes down to its new size over a round trip, neither in one silence
//! nor later in one burst.

use bypath_wire::seq::SeqNum;

use crate::congestion_feed::BeforeAck;
use crate::connection::{Bits, Connection};

/// State of RFC 9937 section 5. What was delivered and sent since is the difference of counters that are kept
/// anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prr {
    /// Bytes in flight when recovery began.
    flight: u32,
    /// Bytes delivered before it, from the connection's beginning.
    delivered: u64,
    /// `snd_nxt` then.
    snd_nxt: SeqNum,
    /// Bytes sent again before it.
    octets_retrans: u64,
}

impl Default for Prr {
    fn default() -> Self {
        Self { flight: 0, delivered: 0, snd_nxt: SeqNum(0), octets_retrans: 0 }
    }
}

impl Connection {
    /// Whether this reduction sets the window now.
    fn prr_rules(&self) -> bool {
        self.cold.config.prr
            && self.hot.bits.has(Bits::SACK)
            && self.hot.bits.has(Bits::RECOVERY)
            && !self.cold.congestion.rules_recovery()
    }

    /// Fast recovery begins with `flight` bytes outstanding. What the acknowledgement that showed the loss has
    /// delivered counts; `delivered_before` is from before it.
    pub(crate) fn start_prr(&mut self, flight: u32, delivered_before: u64) {
        self.cold.prr = Prr {
            flight: flight.max(1),
            delivered: delivered_before,
            snd_nxt: self.hot.snd_nxt,
            octets_retrans: self.cold.stats.octets_retrans,
        };
    }

    /// The window for what this acknowledgement has shown. `advanced`: it acknowledged data in sequence.
    pub(crate) fn reduce_rate(&mut self, before: &BeforeAck, advanced: bool) {
        if !self.prr_rules() {
            return;
        }
        let board = &self.cold.scoreboard;
        let newly_delivered = board.delivery.delivered() - before.delivered;
        let no_more_lost = !board.delivery.more_lost();
        let prr = &self.cold.prr;
        let mss = u64::from(self.hot.window.mss);
        let out = u64::from(self.hot.snd_nxt.offset_from(prr.snd_nxt).max(0) as u32)
            + (self.cold.stats.octets_retrans - prr.octets_retrans);
        if newly_delivered == 0 && out > 0 {
            return;
        }
        let delivered = board.delivery.delivered() - prr.delivered;
        let pipe = u64::from(self.pipe());
        let target = u64::from(self.hot.window.ssthresh);
        let send = if pipe > target {
            (delivered * target).div_ceil(u64::from(prr.flight)).saturating_sub(out)
        } else {
            // As much as has left, so that the pipe stays as it is; one more, and so slow start, while recovery
            // makes progress and nothing more is found lost (RFC 9937 section 5, the safe acknowledgement).
            let safe = advanced && no_more_lost;
            let bound = delivered.saturating_sub(out).max(newly_delivered) + if safe { mss } else { 0 };
            bound.min(target - pipe)
        };
        // The first retransmission does not wait.
        let send = if out == 0 { send.max(mss) } else { send };
        self.hot.window.cwnd = u32::try_from(pipe + send).unwrap_or(u32::MAX).max(self.hot.window.mss);
    }
}
