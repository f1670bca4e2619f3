//! HyStart++ (RFC 9406): leaves slow start when the round trip begins to grow, before the queue overflows, and
//! comes back if the growth was noise.

use super::{Ack, Window};

/// Section 4.3: bounds of the growth of the round trip that counts, nanoseconds.
const MIN_RTT_THRESH: u64 = 4_000_000;
const MAX_RTT_THRESH: u64 = 16_000_000;
/// The growth that counts, as a part of the round trip.
const MIN_RTT_DIVISOR: u64 = 8;
/// Samples in a round before it is judged.
const N_RTT_SAMPLE: u32 = 8;
/// How much slower conservative slow start grows.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start before it ends in congestion avoidance.
const CSS_ROUNDS: u8 = 5;

/// The state of section 4.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    last_round_min: u64,
    round_min: u64,
    samples: u32,
    /// In conservative slow start: the round trip at its begin, and rounds so far.
    css: Option<(u64, u8)>,
}

impl Default for HyStart {
    fn default() -> Self {
        Self { last_round_min: u64::MAX, round_min: u64::MAX, samples: 0, css: None }
    }
}

impl HyStart {
    /// An acknowledgement in slow start; says by how much the window is to open. The limit `L` on it is none:
    /// a receiver that takes packets in batches, as ours and Linux' do, acknowledges many at once.
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) -> u32 {
        if w.ssthresh != u32::MAX {
            // Only while nothing is known of the path (section 4.3).
            return ack.acked;
        }
        if ack.round_start {
            self.last_round_min = self.round_min;
            self.round_min = u64::MAX;
            self.samples = 0;
            if let Some((_, rounds)) = &mut self.css {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    w.ssthresh = w.cwnd;
                    return ack.acked;
                }
            }
        }
        if let Some(rtt) = ack.rtt_ns {
            self.round_min = self.round_min.min(rtt);
            self.samples += 1;
        }
        let judged = self.samples >= N_RTT_SAMPLE && self.round_min != u64::MAX;
        match self.css {
            None => {
                let threshold = (self.last_round_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if judged
                    && self.last_round_min != u64::MAX
                    && self.round_min >= self.last_round_min.saturating_add(threshold)
                {
                    self.css = Some((self.round_min, 0));
                }
            }
            Some((baseline, _)) => {
                if judged && self.round_min < baseline {
                    self.css = None;
                }
            }
        }
        if self.css.is_some() { ack.acked / CSS_GROWTH_DIVISOR } else { ack.acked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::tests::acked;

    const MS: u64 = 1_000_000;

    /// A round of `n` acknowledgements of a segment each with this round trip; what they opened the window by.
    fn round(h: &mut HyStart, w: &mut Window, n: u32, rtt_ms: u64) -> u32 {
        (0..n)
            .map(|i| {
                let by = h.on_ack(w, &Ack { round_start: i == 0, ..acked(1_000, 1, rtt_ms * MS) });
                w.cwnd += by;
                by
            })
            .sum()
    }

    fn start() -> (HyStart, Window) {
        (HyStart::default(), Window { cwnd: 10_000, ssthresh: u32::MAX, mss: 1_000 })
    }

    #[test]
    fn a_steady_round_trip_leaves_slow_start_alone() {
        let (mut h, mut w) = start();
        for _ in 0..5 {
            assert_eq!(round(&mut h, &mut w, 20, 40), 20_000);
        }
        assert_eq!(w.ssthresh, u32::MAX);
    }

    #[test]
    fn a_round_trip_that_grows_by_an_eighth_slows_the_growth_to_a_quarter() {
        let (mut h, mut w) = start();
        round(&mut h, &mut w, 20, 80);
        let opened = round(&mut h, &mut w, 20, 90);
        // Seven samples decide nothing; from the eighth on it is a quarter.
        assert_eq!(opened, 7_000 + 13 * 250);
    }

    #[test]
    fn less_than_eight_samples_decide_nothing() {
        let (mut h, mut w) = start();
        round(&mut h, &mut w, 20, 40);
        assert_eq!(round(&mut h, &mut w, 7, 200), 7_000);
    }

    #[test]
    fn five_rounds_later_slow_start_is_over() {
        let (mut h, mut w) = start();
        round(&mut h, &mut w, 20, 40);
        round(&mut h, &mut w, 20, 60);
        for _ in 0..4 {
            round(&mut h, &mut w, 20, 60);
            assert_eq!(w.ssthresh, u32::MAX);
        }
        round(&mut h, &mut w, 1, 60);
        assert!(w.ssthresh <= w.cwnd);
    }

    #[test]
    fn a_round_trip_that_shrinks_again_brings_slow_start_back() {
        let (mut h, mut w) = start();
        round(&mut h, &mut w, 20, 40);
        round(&mut h, &mut w, 20, 60);
        round(&mut h, &mut w, 20, 41);
        assert_eq!(round(&mut h, &mut w, 20, 41), 20_000);
    }

    #[test]
    fn a_slow_start_towards_a_known_threshold_is_not_touched() {
        let (mut h, mut w) = start();
        w.ssthresh = 1 << 20;
        round(&mut h, &mut w, 20, 40);
        assert_eq!(round(&mut h, &mut w, 20, 400), 20_000);
    }
}
