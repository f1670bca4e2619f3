//! CUBIC (RFC 9438). Windows are in segments inside the formulas, as the RFC has them, and bytes outside.

use super::hystart::HyStart;
use super::{Ack, Window};
use crate::time::Instant;

/// Section 4.1: the constant that fixes how aggressive the growth is, in segments per cubic second.
const C: f64 = 0.4;
/// Section 4.6: what is left of the window after a loss.
const BETA: f64 = 0.7;
/// Section 4.3: the increase that makes the estimate below as aggressive as Reno with this decrease.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// State of section 4.1.2.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cubic {
    hystart: HyStart,
    /// Window just before the last decrease, less what fast convergence gives up, segments.
    w_max: f64,
    /// Window just before the last decrease, segments.
    cwnd_prior: f64,
    /// The present growth, if it has begun.
    epoch: Option<Epoch>,
    /// Fractions of a byte not yet added.
    credit: f64,
}

/// A stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Time on the curve, nanoseconds: only what passed while the window was in use (section 5.8).
    elapsed_ns: u64,
    /// When the last acknowledgement came.
    at: Instant,
    /// Time at which the curve reaches `w_max`, seconds after the epoch began.
    k: f64,
    /// Window that Reno would have by now, segments.
    w_est: f64,
}

impl Cubic {
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        if let Some(epoch) = &mut self.epoch {
            // Neither pauses of the application nor recovery are time on the curve.
            epoch.elapsed_ns += if ack.grows() { ack.now.nanos_since(epoch.at) } else { 0 };
            epoch.at = ack.now;
        }
        if !ack.grows() {
            return;
        }
        let mut bytes = ack.acked;
        if w.in_slow_start() {
            let step = self.hystart.on_ack(w, ack);
            bytes = w.slow_start(step);
        }
        if bytes > 0 && !w.in_slow_start() {
            self.avoid(w, bytes, ack);
        }
    }

    /// Congestion avoidance: `bytes` were acknowledged.
    fn avoid(&mut self, w: &mut Window, bytes: u32, ack: &Ack) {
        let mss = f64::from(w.mss.max(1));
        let cwnd = f64::from(w.cwnd) / mss;
        let segments_acked = f64::from(bytes) / mss;
        let w_max = &mut self.w_max;
        let epoch = self.epoch.get_or_insert_with(|| {
            // Section 4.2: without an earlier loss, or when above it already, the curve starts here.
            let k = if *w_max <= cwnd {
                *w_max = cwnd;
                0.0
            } else {
                ((*w_max - cwnd) / C).cbrt()
            };
            Epoch { elapsed_ns: 0, at: ack.now, k, w_est: cwnd }
        });
        let t = epoch.elapsed_ns as f64 / 1e9;
        let rtt = ack.srtt_ns as f64 / 1e9;
        // Section 4.3: from the window before the decrease on, Reno's own increase of one segment.
        let alpha = if epoch.w_est >= self.cwnd_prior { 1.0 } else { ALPHA };
        epoch.w_est += alpha * segments_acked / cwnd;
        let w_cubic = |t: f64| C * (t - epoch.k).powi(3) + self.w_max;
        let growth = if w_cubic(t) < epoch.w_est {
            (epoch.w_est - cwnd).max(0.0)
        } else {
            // Section 4.4: towards where the curve is a round trip from now, at most half as much again.
            let target = w_cubic(t + rtt).clamp(cwnd, 1.5 * cwnd);
            (target - cwnd) / cwnd * segments_acked
        };
        self.credit += growth * mss;
        let whole = self.credit.floor().clamp(0.0, f64::from(w.cwnd));
        self.credit -= whole;
        w.cwnd = w.cwnd.saturating_add(whole as u32);
    }

    /// What is left by section 4.6, for a loss or an echoed mark: of what was in flight, so that an idle application does not keep
    /// a window it never used.
    pub(super) fn on_loss(&mut self, w: &Window, flight: u32) -> u32 {
        let mss = f64::from(w.mss.max(1));
        let cwnd = f64::from(w.cwnd) / mss;
        self.cwnd_prior = cwnd;
        // Section 4.7, fast convergence: a flow that had to give up more leaves more for the others.
        self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
        self.epoch = None;
        self.credit = 0.0;
        let base = f64::from(flight.min(w.cwnd));
        (base * BETA) as u32
    }

    /// Section 5.8: time in which nothing was sent is not time on the curve.
    pub(super) fn on_idle(&mut self, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            epoch.at = now;
        }
    }

    /// Section 4.8: the first congestion avoidance after a timeout has no maximum to come back to.
    pub(super) fn on_timeout(&mut self) {
        self.epoch = None;
        self.w_max = 0.0;
        self.credit = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::tests::acked;

    const MS: u64 = 1_000_000;

    fn run(c: &mut Cubic, w: &mut Window, from_ms: u64, for_ms: u64, rtt_ms: u64) {
        let mut at = from_ms;
        while at < from_ms + for_ms {
            c.on_ack(w, &acked(w.cwnd, at * MS, rtt_ms * MS));
            at += rtt_ms;
        }
    }

    fn after_loss(cwnd: u32) -> (Cubic, Window) {
        let mut c = Cubic::default();
        let mut w = Window { cwnd, ssthresh: u32::MAX, mss: 1_000 };
        w.ssthresh = c.on_loss(&w, cwnd);
        w.cwnd = w.ssthresh;
        (c, w)
    }

    #[test]
    fn a_loss_leaves_seven_tenths() {
        let (_, w) = after_loss(100_000);
        assert_eq!(w.ssthresh, 70_000);
    }

    #[test]
    fn reaches_the_old_maximum_after_k_seconds_and_then_probes_beyond() {
        let (mut c, mut w) = after_loss(1_000_000);
        // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s
        run(&mut c, &mut w, 0, 9_000, 100);
        let at_k = w.cwnd;
        assert!((950_000..1_010_000).contains(&at_k), "{at_k}");
        run(&mut c, &mut w, 9_000, 9_000, 100);
        assert!(w.cwnd > 1_200_000, "{}", w.cwnd);
    }

    #[test]
    fn on_a_short_path_it_grows_at_least_as_reno_does() {
        let (mut c, mut w) = after_loss(20_000);
        run(&mut c, &mut w, 0, 100, 1);
        // Reno with CUBIC's decrease: 0.53 segments a round trip, then 1.
        assert!(w.cwnd > 14_000 + 40_000, "{}", w.cwnd);
    }

    #[test]
    fn grows_by_a_whole_segment_a_round_only_from_the_window_before_the_loss_on() {
        // Two losses in a row: fast convergence puts the curve's maximum below the window before the second.
        let (mut c, mut w) = after_loss(20_000);
        w.cwnd = 18_000;
        w.ssthresh = c.on_loss(&w, 18_000);
        w.cwnd = w.ssthresh;
        assert!(c.w_max < 18.0, "{}", c.w_max);
        run(&mut c, &mut w, 0, 9, 1);
        let below = w.cwnd;
        assert!((12_600 + 3_500..12_600 + 5_500).contains(&below), "0.53 segments a round: {below}");
    }

    #[test]
    fn a_second_loss_below_the_first_maximum_gives_up_more() {
        let (mut c, mut w) = after_loss(100_000);
        w.cwnd = 80_000;
        c.on_loss(&w, 80_000);
        assert!((c.w_max - 80.0 * 0.85).abs() < 1e-9, "{}", c.w_max);
    }

    #[test]
    fn after_a_timeout_the_curve_starts_where_avoidance_does() {
        let (mut c, mut w) = after_loss(1_000_000);
        c.on_timeout();
        w.cwnd = 500_000;
        w.ssthresh = 500_000;
        run(&mut c, &mut w, 0, 1, 100);
        assert!((c.w_max - 500.0).abs() < 1.0, "{}", c.w_max);
    }

    #[test]
    fn a_pause_of_the_application_is_not_time_on_the_curve() {
        let (mut steady, mut steady_w) = after_loss(1_000_000);
        run(&mut steady, &mut steady_w, 0, 2_000, 100);
        let (mut paused, mut paused_w) = after_loss(1_000_000);
        run(&mut paused, &mut paused_w, 0, 1_000, 100);
        // Seven seconds of acknowledgements while the window is not filled.
        for s in 1..8 {
            let ack = Ack { limited: false, ..acked(1_000, s * 1_000 * MS, 100 * MS) };
            paused.on_ack(&mut paused_w, &ack);
        }
        run(&mut paused, &mut paused_w, 7_100, 1_000, 100);
        assert!(paused_w.cwnd.abs_diff(steady_w.cwnd) <= 12_000, "{} {}", paused_w.cwnd, steady_w.cwnd);
    }
}
