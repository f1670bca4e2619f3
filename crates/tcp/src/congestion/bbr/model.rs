//! What BBR measures: bandwidth and rounds, what losses say of the path, aggregation of acknowledgements, the
//! smallest round trip (sections 5.5.1 to 5.5.10 and 5.3.4).

use super::{Bbr, State, UNBOUNDED};
use crate::congestion::{Ack, Window};
use crate::delivery_rate::{LossSample, is_remarkable};

/// A loss of more than this part of what was in flight means that it was too much.
const LOSS_THRESHOLD: f64 = 0.02;
/// What is left after it was too much.
pub(super) const BETA: f64 = 0.7;
/// Rounds of Startup that are over without a quarter more bandwidth: the pipe is full.
const FULL_BW_ROUNDS: u8 = 3;
const FULL_BW_GROWTH: f64 = 1.25;
/// Acknowledgements that reported losses in one round, for Startup to end by loss.
const FULL_LOSS_EVENTS: u32 = 6;
/// Rounds over which aggregation is remembered.
const EXTRA_ACKED_ROUNDS: u64 = 10;
/// How long the smallest round trip counts, and after which time it is looked for.
const MIN_RTT_NS: u64 = 10_000_000_000;
const PROBE_RTT_INTERVAL_NS: u64 = 5_000_000_000;
/// The part of the smallest round trip by which another is as small.
const MIN_RTT_TOLERANCE: u64 = 64;

impl Bbr {
    /// Section 5.5.10.3: the latest round's signals.
    pub(super) fn update_latest_signals(&mut self, ack: &Ack) {
        self.loss_round_start = false;
        self.round_start = false;
        if ack.lost > 0 {
            self.note_loss();
            self.loss_events += 1;
            self.lost_in_round += u64::from(ack.lost);
        }
        self.delivered_in_round += u64::from(ack.delivered);
        let Some(rate) = ack.rate else { return };
        self.delivered = rate.prior_delivered + rate.delivered;
        self.bw_latest = self.bw_latest.max(rate.bytes_per_second().unwrap_or(0));
        self.inflight_latest = self.inflight_latest.max(u32::try_from(rate.delivered).unwrap_or(u32::MAX));
        if rate.prior_delivered >= self.loss_round_delivered {
            self.loss_round_delivered = self.delivered;
            self.loss_round_start = true;
        }
        if rate.prior_delivered >= self.next_round_delivered {
            self.start_round();
            self.round_count += 1;
            self.rounds_since_probe += 1;
            self.round_start = true;
        }
    }

    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    fn note_loss(&mut self) {
        if !self.loss_in_round {
            self.loss_round_delivered = self.delivered;
        }
        self.loss_in_round = true;
    }

    pub(super) fn advance_latest_signals(&mut self, ack: &Ack) {
        if self.loss_round_start
            && let Some(rate) = ack.rate
        {
            self.bw_latest = rate.bytes_per_second().unwrap_or(0);
            self.inflight_latest = u32::try_from(rate.delivered).unwrap_or(u32::MAX);
        }
    }

    /// Section 5.5.10.3: once a round, bounds follow what losses say.
    pub(super) fn update_congestion_signals(&mut self, w: &Window, ack: &Ack) {
        self.update_max_bw(ack);
        if !self.loss_round_start {
            return;
        }
        let all = self.lost_in_round + self.delivered_in_round;
        let high = is_remarkable(self.lost_in_round, all, w.mss);
        if self.state == State::Startup && high && self.loss_events >= FULL_LOSS_EVENTS {
            // Section 5.3.1.3: so much in so many places ends Startup too.
            self.full_bw_reached = true;
            self.inflight_longterm = self.bdp(1.0).max(self.inflight_latest);
        }
        // The draft has the bounds follow any loss. Where losses are random, that takes the margin of the pacing
        // rate, and what is lost, from the bandwidth in each round until the next probe: a loss that a probe would
        // put up with is put up with here too.
        if high && !self.state.is_probing() {
            self.lower_bounds(w);
        }
        self.loss_in_round = false;
        self.loss_events = 0;
        self.lost_in_round = 0;
        self.delivered_in_round = 0;
    }

    fn update_max_bw(&mut self, ack: &Ack) {
        let Some(rate) = ack.rate else { return };
        if let Some(bw) = rate.bytes_per_second()
            && (bw >= self.max_bw.get() || !rate.app_limited)
        {
            self.max_bw.update(bw);
        }
    }

    fn lower_bounds(&mut self, w: &Window) {
        if self.bw_shortterm == u64::MAX {
            self.bw_shortterm = self.max_bw.get();
        }
        if self.inflight_shortterm == UNBOUNDED {
            self.inflight_shortterm = w.cwnd;
        }
        // Where the sender itself holds back, what arrives is less than what could.
        let latest = (self.bw_latest as f64 / self.state.pacing_gain().min(1.0)) as u64;
        self.bw_shortterm = latest.min(self.bw_shortterm).max((self.bw_shortterm as f64 * BETA) as u64);
        self.inflight_shortterm =
            self.inflight_latest.max((f64::from(self.inflight_shortterm) * BETA) as u32);
    }

    pub(super) fn reset_shortterm(&mut self) {
        self.bw_shortterm = u64::MAX;
        self.inflight_shortterm = UNBOUNDED;
    }

    pub(super) fn reset_congestion_signals(&mut self) {
        self.loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// Section 5.5.9: how much more than the bandwidth explains was acknowledged at once.
    pub(super) fn update_aggregation(&mut self, w: &Window, ack: &Ack) {
        let interval = ack.now.nanos_since(self.extra_since);
        let expected = (u128::from(self.bw) * u128::from(interval) / 1_000_000_000) as u64;
        let mut expected = expected;
        if self.extra_delivered <= expected {
            self.extra_delivered = 0;
            self.extra_since = ack.now;
            expected = 0;
        }
        self.extra_delivered += u64::from(ack.delivered);
        let extra =
            u32::try_from(self.extra_delivered - expected.min(self.extra_delivered)).unwrap_or(u32::MAX);
        let window = if self.full_bw_reached { EXTRA_ACKED_ROUNDS } else { 1 };
        self.extra_acked.update(self.round_count, window, extra.min(w.cwnd));
    }

    /// Section 5.3.1.2: no more bandwidth though more was sent.
    pub(super) fn check_full_bw(&mut self, ack: &Ack) {
        let Some(rate) = ack.rate else { return };
        if self.full_bw_now || !self.round_start || rate.app_limited {
            return;
        }
        let Some(bw) = rate.bytes_per_second() else { return };
        if bw as f64 >= self.full_bw as f64 * FULL_BW_GROWTH {
            self.reset_full_bw();
            self.full_bw = bw;
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS;
        self.full_bw_reached |= self.full_bw_now;
    }

    pub(super) fn reset_full_bw(&mut self) {
        self.full_bw = 0;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// Section 5.5.10.2: whether what was in flight lost more than the threshold. While probing that is the
    /// answer; `None` if there was no such loss.
    pub(super) fn excessive_loss(&self, w: &Window, ack: &Ack) -> Option<(u32, bool)> {
        if let Some(loss) = ack.loss {
            return Some((in_flight_at_threshold(&loss), loss.app_limited));
        }
        let rate = ack.rate?;
        let too_high = is_remarkable(u64::from(rate.lost), u64::from(rate.in_flight), w.mss);
        too_high.then_some((rate.in_flight, rate.app_limited))
    }

    /// Sections 5.5.3 and 5.3.4.2.
    pub(super) fn update_min_rtt(&mut self, ack: &Ack) {
        self.probe_rtt_expired = ack.now.nanos_since(self.probe_rtt_min_at) > PROBE_RTT_INTERVAL_NS
            && self.probe_rtt_min_ns != u64::MAX;
        if let Some(rtt) = ack.rtt_ns {
            if rtt < self.probe_rtt_min_ns || self.probe_rtt_expired {
                self.probe_rtt_min_ns = rtt;
                self.probe_rtt_min_at = ack.now;
            } else if rtt <= self.probe_rtt_min_ns.saturating_add(self.probe_rtt_min_ns / MIN_RTT_TOLERANCE) {
                // As small as the smallest: what ProbeRTT would find, at no cost.
                self.probe_rtt_min_at = ack.now;
            }
        }
        let expired = ack.now.nanos_since(self.min_rtt_at) > MIN_RTT_NS;
        if self.probe_rtt_min_ns < self.min_rtt_ns || expired {
            self.min_rtt_ns = self.probe_rtt_min_ns;
            self.min_rtt_at = self.probe_rtt_min_at;
        }
    }
}

/// How much could have been in flight without a loss above the threshold: up to there the lost bytes were not too
/// many yet.
fn in_flight_at_threshold(loss: &LossSample) -> u32 {
    let before = f64::from(loss.in_flight.saturating_sub(loss.len));
    let lost_before = f64::from(loss.lost.saturating_sub(loss.len));
    let prefix = ((LOSS_THRESHOLD * before - lost_before) / (1.0 - LOSS_THRESHOLD)).max(0.0);
    (before + prefix) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_burst_that_may_be_lost_counts_as_in_flight() {
        let loss = LossSample { in_flight: 110_000, lost: 10_000, len: 10_000, app_limited: false };
        // 100,000 before and none of it lost: 2 % of 102,040 are 2,040.
        assert_eq!(in_flight_at_threshold(&loss), 102_040);
    }

    #[test]
    fn of_a_path_that_loses_anyway_what_was_in_flight_before_counts() {
        let loss = LossSample { in_flight: 101_000, lost: 11_000, len: 1_000, app_limited: false };
        assert_eq!(in_flight_at_threshold(&loss), 100_000);
    }
}
