//! BBR's way through its states (section 5.3): Startup until the pipe is full, Drain, then probing for bandwidth
//! in cycles, and now and then a look at the empty path's round trip.

use super::model::BETA;
use super::{AckPhase, Bbr, State, UNBOUNDED};
use crate::congestion::{Ack, Window};
use crate::time::Instant;

/// How long the path is left nearly empty.
const PROBE_RTT_NS: u64 = 200_000_000;
/// Shortest time between two probes for bandwidth, and how much is added at random.
const PROBE_WAIT_NS: u64 = 2_000_000_000;
const PROBE_WAIT_SPREAD_NS: u64 = 1_000_000_000;
/// Most rounds between two probes: where Reno would have grown by as much.
const MOST_RENO_ROUNDS: u32 = 63;

impl Bbr {
    pub(super) fn check_startup_done(&mut self) {
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
        }
    }

    pub(super) fn check_drain_done(&mut self, w: &Window, ack: &Ack) {
        if self.state == State::Drain && ack.flight <= self.inflight(w, 1.0) {
            self.start_down(ack.now);
        }
    }

    /// Section 5.3.3.6.
    pub(super) fn update_probe_bw_cycle(&mut self, w: &Window, ack: &Ack) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_long_term(w, ack);
        match self.state {
            State::Down | State::Cruise if self.is_time_to_probe(w, ack) => self.start_refill(),
            State::Down if self.has_drained(w, ack) => self.state = State::Cruise,
            State::Refill if self.round_start => {
                self.probe_samples = true;
                self.start_up(w, ack);
            }
            State::Up => self.stop_probing_if_full(w, ack),
            _ => {}
        }
    }

    /// What the acknowledgements of a probe say of the most that may be in flight.
    fn adapt_long_term(&mut self, w: &Window, ack: &Ack) {
        if self.round_start {
            match self.ack_phase {
                AckPhase::Starting => self.ack_phase = AckPhase::Feedback,
                AckPhase::Stopping => {
                    // The last of the probe has been acknowledged.
                    self.ack_phase = AckPhase::Done;
                    self.probe_samples = false;
                    if self.state.is_probe_bw() && !ack.rate.is_some_and(|r| r.app_limited) {
                        self.max_bw.advance();
                    }
                }
                _ => {}
            }
        }
        if let Some((in_flight, app_limited)) = self.excessive_loss(w, ack) {
            if self.probe_samples {
                self.on_inflight_too_high(w, ack, in_flight, app_limited);
            }
            return;
        }
        let Some(rate) = ack.rate else { return };
        if self.inflight_longterm == UNBOUNDED {
            return;
        }
        self.inflight_longterm = self.inflight_longterm.max(rate.in_flight);
        if self.state == State::Up {
            self.raise_long_term(w, ack);
        }
    }

    fn on_inflight_too_high(&mut self, w: &Window, ack: &Ack, in_flight: u32, app_limited: bool) {
        self.probe_samples = false;
        if !app_limited {
            let least = (f64::from(self.target_inflight(w)) * BETA) as u32;
            self.inflight_longterm = in_flight.max(least);
        }
        if self.state == State::Up {
            self.start_down(ack.now);
        }
    }

    /// Section 5.3.3.3: slowly at first, then ever faster, while the bound is what holds the sender.
    fn raise_long_term(&mut self, w: &Window, ack: &Ack) {
        if !ack.limited || w.cwnd < self.inflight_longterm {
            return;
        }
        self.probe_up_acked = self.probe_up_acked.saturating_add(ack.delivered);
        if self.probe_up_acked >= self.probe_up_each {
            let steps = self.probe_up_acked / self.probe_up_each;
            self.probe_up_acked -= steps * self.probe_up_each;
            self.inflight_longterm = self.inflight_longterm.saturating_add(steps * w.mss);
        }
        if self.round_start {
            self.raise_slope(w);
        }
    }

    fn raise_slope(&mut self, w: &Window) {
        self.probe_up_each = (w.cwnd >> self.probe_up_rounds).max(w.mss);
        self.probe_up_rounds = (self.probe_up_rounds + 1).min(30);
    }

    fn start_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_each = u32::MAX;
        // No source of random numbers here, and none needed: flows must only not keep step.
        let mix = now.as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.delivered;
        let random = mix.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        self.rounds_since_probe = random & 1;
        self.probe_wait_ns = PROBE_WAIT_NS + (random >> 1) % PROBE_WAIT_SPREAD_NS;
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round();
        self.state = State::Down;
    }

    fn start_refill(&mut self) {
        self.reset_shortterm();
        self.probe_up_rounds = 0;
        self.probe_up_acked = 0;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::Refill;
    }

    fn start_up(&mut self, w: &Window, ack: &Ack) {
        self.ack_phase = AckPhase::Starting;
        self.start_round();
        self.reset_full_bw();
        self.full_bw = ack.rate.and_then(|r| r.bytes_per_second()).unwrap_or(0);
        self.cycle_stamp = ack.now;
        self.state = State::Up;
        self.raise_slope(w);
    }

    /// Section 5.3.3.5: after two to three seconds, or when Reno would have grown by as much.
    fn is_time_to_probe(&self, w: &Window, ack: &Ack) -> bool {
        let waited = ack.now.nanos_since(self.cycle_stamp) > self.probe_wait_ns;
        let reno_rounds = (self.target_inflight(w) / w.mss.max(1)).min(MOST_RENO_ROUNDS);
        waited || self.rounds_since_probe >= u64::from(reno_rounds)
    }

    /// Section 5.3.3.5.1: the queue that probing has made is gone, and room is left.
    fn has_drained(&self, w: &Window, ack: &Ack) -> bool {
        ack.flight <= self.with_headroom(w) && ack.flight <= self.bdp_of_max(w, 1.0)
    }

    fn stop_probing_if_full(&mut self, w: &Window, ack: &Ack) {
        if ack.limited && w.cwnd >= self.inflight_longterm {
            // The bound holds the sender: no bandwidth can show.
            self.reset_full_bw();
            self.full_bw = ack.rate.and_then(|r| r.bytes_per_second()).unwrap_or(0);
        } else if self.full_bw_now {
            self.start_down(ack.now);
        }
    }

    /// Section 5.3.4.3.
    pub(super) fn check_probe_rtt(&mut self, w: &mut Window, ack: &Ack) {
        if self.state != State::ProbeRtt && self.probe_rtt_expired && !self.idle_restart {
            self.save_cwnd(w);
            self.state = State::ProbeRtt;
            self.probe_rtt_done_at = None;
            self.ack_phase = AckPhase::Stopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            match self.probe_rtt_done_at {
                None if ack.flight <= self.probe_rtt_cwnd(w) => {
                    self.probe_rtt_done_at = Some(ack.now.plus_nanos(PROBE_RTT_NS));
                    self.probe_rtt_round_done = false;
                    self.start_round();
                }
                None => {}
                Some(_) => {
                    self.probe_rtt_round_done |= self.round_start;
                    if self.probe_rtt_round_done {
                        self.check_probe_rtt_done(w, ack.now);
                    }
                }
            }
        }
        if ack.delivered > 0 {
            self.idle_restart = false;
        }
    }

    pub(super) fn check_probe_rtt_done(&mut self, w: &mut Window, now: Instant) {
        if self.probe_rtt_done_at.is_some_and(|at| at.is_due(now)) {
            self.probe_rtt_min_at = now;
            self.restore_cwnd(w);
            self.reset_shortterm();
            if self.full_bw_reached {
                self.start_down(now);
                self.state = State::Cruise;
            } else {
                self.state = State::Startup;
            }
        }
    }
}
