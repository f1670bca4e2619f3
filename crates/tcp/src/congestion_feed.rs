//! What an acknowledgement tells congestion control, gathered from the scoreboard, the round-trip estimator and
//! the counters of deliveries.

use crate::congestion::{Ack, Phase};
use crate::connection::{Bits, Connection};
use crate::scoreboard::{Delivered, Progress};
use crate::time::Instant;

/// The counters before an acknowledgement is dealt with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeforeAck {
    flight: u32,
    pub(crate) delivered: u64,
    phase: Phase,
}

impl Connection {
    #[inline(always)]
    pub(crate) fn before_ack(&self) -> BeforeAck {
        let board = &self.cold.scoreboard;
        BeforeAck { flight: board.in_flight(), delivered: board.delivery.delivered(), phase: self.phase() }
    }

    #[inline(always)]
    fn phase(&self) -> Phase {
        match self.hot.bits {
            bits if bits.has(Bits::RECOVERY) => Phase::Recovery,
            bits if bits.has(Bits::LOSS) => Phase::Loss,
            _ => Phase::Open,
        }
    }

    /// After all else has been done with an acknowledgement: the window follows.
    #[inline(always)]
    pub(crate) fn tell_congestion(
        &mut self,
        now: Instant,
        acked: u32,
        before: &BeforeAck,
        progress: &Progress,
        marked: u32,
    ) {
        let board = &mut self.cold.scoreboard;
        let delivered = (board.delivery.delivered() - before.delivered) as u32;
        let lost = board.delivery.take_lost();
        if delivered == 0 && lost == 0 {
            return;
        }
        let min_rtt_ns = self.cold.rtt.min_ns().unwrap_or(0);
        // What was sent again and acknowledged sooner than anything ever was, had arrived the first time: when it
        // was last sent says nothing.
        let newest = progress
            .delivered
            .as_ref()
            .filter(|d| !d.retransmitted || now.nanos_since(d.sent_at) >= min_rtt_ns);
        let round_start = newest.is_some_and(|d| board.delivery.on_ack(now, d.sent_at, &d.delivery));
        let (rate, loss) = if self.cold.congestion.wants_rate() {
            let rate = newest.map(|d| board.delivery.sample(d.sent_at, &d.delivery, d.len, min_rtt_ns));
            (rate, board.delivery.take_remarkable_loss())
        } else {
            (None, None)
        };
        let flight = board.in_flight();
        if rate.is_some() && self.cold.congestion.holds_back() {
            board.delivery.on_app_limited(flight);
        }
        let flight_before = before.flight.max(acked);
        let limited = self.cold.usage.is_limited(&self.hot.window);
        // The acknowledgement that ends fast recovery belongs to it: what it covers has left long ago.
        let phase = match before.phase {
            Phase::Recovery => Phase::Recovery,
            _ => self.phase(),
        };
        let ack = Ack {
            now,
            acked,
            delivered,
            lost,
            marked,
            flight_before,
            flight,
            rtt_ns: progress.rtt_sent_at.map(|at| now.nanos_since(at)),
            srtt_ns: self.cold.rtt.srtt_ns().unwrap_or(0),
            min_rtt_ns,
            rate,
            loss,
            round_start,
            limited,
            phase,
        };
        self.cold.congestion.on_ack(&mut self.hot.window, &ack);
        self.refresh_pacing();
    }

    /// The same after the predicted acknowledgement, which tells of nothing lost, marked or held out of order.
    #[inline]
    pub(crate) fn tell_congestion_of_plain(
        &mut self,
        now: Instant,
        acked: u32,
        flight_before: u32,
        newest: &Delivered,
        rtt_ns: u64,
    ) {
        let board = &mut self.cold.scoreboard;
        let min_rtt_ns = self.cold.rtt.min_ns().unwrap_or(0);
        let round_start = board.delivery.on_ack(now, newest.sent_at, &newest.delivery);
        let flight = flight_before - acked;
        let mut ack = Ack {
            now,
            acked,
            delivered: newest.len,
            lost: 0,
            marked: 0,
            flight_before,
            flight,
            rtt_ns: Some(rtt_ns),
            srtt_ns: self.cold.rtt.srtt_ns().unwrap_or(0),
            min_rtt_ns,
            rate: None,
            loss: None,
            round_start,
            limited: self.cold.usage.is_limited(&self.hot.window),
            phase: Phase::Open,
        };
        if self.cold.congestion.wants_rate() {
            ack.rate = Some(board.delivery.sample(newest.sent_at, &newest.delivery, newest.len, min_rtt_ns));
            ack.loss = board.delivery.take_remarkable_loss();
            if self.cold.congestion.holds_back() {
                board.delivery.on_app_limited(flight);
            }
        }
        self.cold.congestion.on_ack(&mut self.hot.window, &ack);
        self.refresh_pacing();
    }
}
