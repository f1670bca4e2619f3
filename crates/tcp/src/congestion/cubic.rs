//! CUBIC (RFC 9438). Windows are in segments inside the formulas, as the RFC has them, and bytes outside.

use super::{Ack, Window};
use crate::time::Instant;

/// Section 4.1: the constant that fixes how aggressive the growth is, in segments per cubic second.
const C: f64 = 0.4;
/// Section 4.6: what is left of the window after a loss.
const BETA: f64 = 0.7;
/// Section 4.3: the increase that makes the estimate below as aggressive as Reno with this decrease.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// State of section 4.1.2.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cubic {
    /// Window just before the last decrease, segments.
    w_max: f64,
    /// When the present growth began.
    epoch_start: Option<Instant>,
    /// Time at which the curve reaches `w_max`, seconds after the epoch began.
    k: f64,
    /// Window that Reno would have by now, segments.
    w_est: f64,
    /// Fractions of a byte not yet added.
    credit: f64,
}

impl Cubic {
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        let mut bytes = ack.acked;
        if w.in_slow_start() {
            bytes = w.slow_start(bytes);
        }
        if bytes == 0 {
            return;
        }
        let mss = f64::from(w.mss.max(1));
        let cwnd = f64::from(w.cwnd) / mss;
        let segments_acked = f64::from(bytes) / mss;
        let epoch = *self.epoch_start.get_or_insert_with(|| {
            // Section 4.2: without an earlier loss, or when above it already, the curve starts here.
            if self.w_max <= cwnd {
                self.w_max = cwnd;
                self.k = 0.0;
            } else {
                self.k = ((self.w_max - cwnd) / C).cbrt();
            }
            self.w_est = cwnd;
            ack.now
        });
        let t = ack.now.nanos_since(epoch) as f64 / 1e9;
        let rtt = ack.srtt_ns as f64 / 1e9;
        // Section 4.3: past the old maximum, Reno's own increase of one segment.
        let alpha = if self.w_est >= self.w_max { 1.0 } else { ALPHA };
        self.w_est += alpha * segments_acked / cwnd;
        let w_cubic = |t: f64| C * (t - self.k).powi(3) + self.w_max;
        let growth = if w_cubic(t) < self.w_est {
            (self.w_est - cwnd).max(0.0)
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

    pub(super) fn on_loss(&mut self, w: &mut Window, flight: u32) {
        let mss = f64::from(w.mss.max(1));
        let cwnd = f64::from(w.cwnd) / mss;
        // Section 4.7, fast convergence: a flow that had to give up more leaves more for the others.
        self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
        self.epoch_start = None;
        self.credit = 0.0;
        // Section 4.6: of what was in flight, so that an idle application does not keep a window it never used.
        let base = f64::from(flight.min(w.cwnd));
        w.ssthresh = ((base * BETA) as u32).max(2 * w.mss);
    }

    /// Section 5.8: time in which nothing was sent is not time on the curve.
    pub(super) fn on_idle(&mut self) {
        self.epoch_start = None;
    }

    /// Section 4.8.
    pub(super) fn on_timeout(&mut self) {
        self.epoch_start = None;
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

    #[test]
    fn a_loss_leaves_seven_tenths() {
        let mut c = Cubic::default();
        let mut w = Window { cwnd: 100_000, ssthresh: u32::MAX, mss: 1_000 };
        c.on_loss(&mut w, 100_000);
        assert_eq!(w.ssthresh, 70_000);
    }

    #[test]
    fn reaches_the_old_maximum_after_k_seconds_and_then_probes_beyond() {
        let mut c = Cubic::default();
        let mut w = Window { cwnd: 1_000_000, ssthresh: u32::MAX, mss: 1_000 };
        c.on_loss(&mut w, 1_000_000);
        w.cwnd = w.ssthresh;
        // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s
        run(&mut c, &mut w, 0, 9_000, 100);
        let at_k = w.cwnd;
        assert!((950_000..1_010_000).contains(&at_k), "{at_k}");
        run(&mut c, &mut w, 9_000, 9_000, 100);
        assert!(w.cwnd > 1_200_000, "{}", w.cwnd);
    }

    #[test]
    fn on_a_short_path_it_grows_at_least_as_reno_does() {
        let mut c = Cubic::default();
        let mut w = Window { cwnd: 20_000, ssthresh: u32::MAX, mss: 1_000 };
        c.on_loss(&mut w, 20_000);
        w.cwnd = w.ssthresh;
        run(&mut c, &mut w, 0, 100, 1);
        // Reno with CUBIC's decrease: 0.53 segments a round trip, then 1.
        assert!(w.cwnd > 14_000 + 40_000, "{}", w.cwnd);
    }
}
