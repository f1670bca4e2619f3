//! Round-trip time and the retransmission timeout, by RFC 6298. All times in nanoseconds.

use crate::config::Config;
use crate::time::Instant;

/// Shortest patience of a tail loss probe: less would be run out by a peer that is busy.
const MIN_PROBE_NS: u64 = 2_000_000;

/// The estimator of RFC 6298 section 2, and the smallest round trip seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RttEstimator {
    srtt_ns: u64,
    rttvar_ns: u64,
    min_ns: u64,
    rto_ns: u64,
    min_rto_ns: u64,
    max_rto_ns: u64,
    backoff: u8,
    /// Tail loss probes are sent (RFC 8985 section 7).
    probes: bool,
    /// A sample has come since the last of them, or since the connection began (section 7.3).
    pub(crate) measured: bool,
    /// The timer of the last segments runs from when they were sent (RFC 7765).
    restarts: bool,
    /// What an acknowledgement restarts the timer with: a probe's patience or the timeout.
    timer_ns: u64,
    /// When the retransmission timer was last started.
    pub(crate) armed_at: Instant,
}

impl RttEstimator {
    pub(crate) fn new(config: &Config) -> Self {
        let ns = |d: core::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Self {
            srtt_ns: 0,
            rttvar_ns: 0,
            min_ns: u64::MAX,
            rto_ns: ns(config.initial_rto),
            min_rto_ns: ns(config.min_rto),
            max_rto_ns: ns(config.max_rto).max(ns(config.initial_rto)),
            backoff: 0,
            probes: false,
            measured: false,
            restarts: config.rto_restart,
            timer_ns: ns(config.initial_rto),
            armed_at: Instant::ZERO,
        }
    }

    /// Goes on from what was measured before.
    pub(crate) fn resume(&mut self, srtt_ns: u64, rttvar_ns: u64, min_ns: u64) {
        (self.srtt_ns, self.rttvar_ns, self.min_ns) = (srtt_ns, rttvar_ns, min_ns);
        self.rto_ns = srtt_ns.saturating_add((4 * rttvar_ns).max(self.min_rto_ns));
        self.measured = true;
        self.refresh_timer();
    }

    /// Both ends know SACK, and tail loss probes are wanted.
    pub(crate) fn use_probes(&mut self) {
        self.probes = true;
        self.refresh_timer();
    }

    pub(crate) fn probes(&self) -> bool {
        self.probes
    }

    pub(crate) fn restarts(&self) -> bool {
        self.restarts
    }

    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// Patience before a tail loss probe: two round trips (RFC 8985 section 7.2).
    pub(crate) fn probe_ns(&self) -> u64 {
        if self.srtt_ns == 0 { 1_000_000_000 } else { (2 * self.srtt_ns).max(MIN_PROBE_NS) }
    }

    /// What the timer is started with when something is acknowledged or sent.
    pub(crate) fn timer_ns(&self) -> u64 {
        self.timer_ns
    }

    fn refresh_timer(&mut self) {
        let rto = self.rto_ns();
        self.timer_ns = if self.probes && self.backoff == 0 { rto.min(self.probe_ns()) } else { rto };
    }

    /// Takes a sample (never of a retransmitted segment: Karn's algorithm is the caller's).
    pub(crate) fn sample(&mut self, rtt_ns: u64) {
        let rtt = rtt_ns.max(1);
        self.min_ns = self.min_ns.min(rtt);
        if self.srtt_ns == 0 {
            self.srtt_ns = rtt;
            self.rttvar_ns = rtt / 2;
        } else {
            let error = self.srtt_ns.abs_diff(rtt);
            self.rttvar_ns = (3 * self.rttvar_ns + error) / 4;
            self.srtt_ns = (7 * self.srtt_ns + rtt) / 8;
        }
        // The minimum applies to the variance term, as Linux has it: a delayed acknowledgement on a path
        // with steady round trips must not look like a loss.
        self.rto_ns = self.srtt_ns.saturating_add((4 * self.rttvar_ns).max(self.min_rto_ns));
        self.backoff = 0;
        self.measured = true;
        self.refresh_timer();
    }

    /// The first timeout is no shorter than an earlier connection's would have been; the next sample decides.
    pub(crate) fn at_least(&mut self, srtt_ns: u64, rttvar_ns: u64) {
        let before = srtt_ns.saturating_add(rttvar_ns.saturating_mul(4).max(self.min_rto_ns));
        self.rto_ns = self.rto_ns.max(before);
        self.refresh_timer();
    }

    /// Doubles the timeout (RFC 6298 section 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1).min(30);
        self.refresh_timer();
    }

    /// Forgets the doubling: what it counted were probes of a shut window, not losses.
    pub(crate) fn reset_backoff(&mut self) {
        self.backoff = 0;
        self.refresh_timer();
    }

    /// RFC 6298 section 5.7: after a timeout of the SYN, data starts with no less than 3 s until a sample
    /// comes. The sample of the handshake is lost then, by Karn's rule.
    pub(crate) fn start_after_syn_timeout(&mut self) {
        if self.srtt_ns == 0 {
            self.rto_ns = 3_000_000_000;
        }
        self.backoff = 0;
        self.refresh_timer();
    }

    pub(crate) fn rto_ns(&self) -> u64 {
        self.rto_ns.saturating_mul(1 << self.backoff.min(30)).clamp(self.min_rto_ns, self.max_rto_ns)
    }

    /// Smoothed round-trip time; `None` before the first sample.
    pub(crate) fn srtt_ns(&self) -> Option<u64> {
        (self.srtt_ns != 0).then_some(self.srtt_ns)
    }

    pub(crate) fn rttvar_ns(&self) -> u64 {
        self.rttvar_ns
    }

    pub(crate) fn min_ns(&self) -> Option<u64> {
        (self.min_ns != u64::MAX).then_some(self.min_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn starts_with_one_second_and_doubles_up_to_the_bound() {
        let mut rtt = RttEstimator::new(&Config::default());
        assert_eq!(rtt.rto_ns(), 1_000 * MS);
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.rto_ns(), 4_000 * MS);
        for _ in 0..40 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto_ns(), 120_000 * MS);
    }

    #[test]
    fn first_sample_sets_the_mean_and_half_of_it_as_variance() {
        let mut rtt = RttEstimator::new(&Config::default());
        rtt.sample(100 * MS);
        assert_eq!(rtt.srtt_ns(), Some(100 * MS));
        assert_eq!(rtt.rttvar_ns(), 50 * MS);
        assert_eq!(rtt.rto_ns(), 300 * MS);
    }

    #[test]
    fn steady_samples_settle_on_the_minimum_variance() {
        let mut rtt = RttEstimator::new(&Config::default());
        for _ in 0..100 {
            rtt.sample(20 * MS);
        }
        assert_eq!(rtt.rto_ns(), 220 * MS);
        assert_eq!(rtt.min_ns(), Some(20 * MS));
    }

    #[test]
    fn a_sample_ends_the_backoff() {
        let mut rtt = RttEstimator::new(&Config::default());
        rtt.back_off();
        rtt.sample(10 * MS);
        assert_eq!(rtt.rto_ns(), 210 * MS);
    }
}
