//! DCTCP (RFC 8257): the window comes down by the part of the data that was marked, not by half whenever anything
//! was. Growth and the answer to losses are Reno's. The receiver's side is in `ecn`.

use super::newreno::NewReno;
use super::{Ack, Window};

/// Weight of a round in the estimate (section 4.2: 1/16).
const GAIN: f64 = 1.0 / 16.0;

/// The state of section 3.3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dctcp {
    reno: NewReno,
    /// Estimate of the part of the data that is marked. It begins as if all were: careful.
    alpha: f64,
    delivered: u64,
    marked: u64,
}

impl Default for Dctcp {
    fn default() -> Self {
        Self { reno: NewReno::default(), alpha: 1.0, delivered: 0, marked: 0 }
    }
}

impl Dctcp {
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        self.delivered += u64::from(ack.delivered);
        self.marked += u64::from(ack.marked);
        if ack.round_start && self.delivered > 0 {
            let part = (self.marked as f64 / self.delivered as f64).min(1.0);
            self.alpha += (part - self.alpha) * GAIN;
            self.delivered = 0;
            self.marked = 0;
        }
        if ack.grows() {
            self.reno.on_ack(w, ack);
        }
    }

    /// Marks were echoed, for the first time in this window (section 3.3 step 8).
    pub(super) fn on_marks(&self, w: &mut Window) {
        let left = f64::from(w.cwnd) * (1.0 - self.alpha / 2.0);
        w.ssthresh = (left as u32).max(2 * w.mss);
        w.cwnd = w.ssthresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::tests::acked;

    /// `rounds` rounds of ten segments, of which `marked` are marked.
    fn run(c: &mut Dctcp, w: &mut Window, rounds: u32, marked: u32) {
        for _ in 0..rounds {
            for i in 0..10 {
                let mark = if i < marked { 1_000 } else { 0 };
                c.on_ack(w, &Ack { marked: mark, round_start: i == 0, ..acked(1_000, 1, 1_000_000) });
            }
        }
    }

    fn start() -> (Dctcp, Window) {
        (Dctcp::default(), Window { cwnd: 100_000, ssthresh: 50_000, mss: 1_000 })
    }

    #[test]
    fn the_first_marks_halve_the_window() {
        let (c, mut w) = start();
        c.on_marks(&mut w);
        assert_eq!(w.cwnd, 50_000);
    }

    #[test]
    fn few_marks_take_little() {
        let (mut c, mut w) = start();
        run(&mut c, &mut w, 200, 1);
        w.cwnd = 100_000;
        c.on_marks(&mut w);
        // A tenth is marked: half of a tenth goes.
        assert!((94_500..95_500).contains(&w.cwnd), "{}", w.cwnd);
    }

    #[test]
    fn the_estimate_moves_by_a_sixteenth_a_round() {
        let (mut c, mut w) = start();
        run(&mut c, &mut w, 1, 0);
        let before = c.alpha;
        run(&mut c, &mut w, 1, 0);
        assert!((c.alpha - before * 15.0 / 16.0).abs() < 1e-9, "{}", c.alpha);
    }

    #[test]
    fn a_marked_acknowledgement_does_not_grow_the_window() {
        let (mut c, mut w) = start();
        w.ssthresh = u32::MAX;
        c.on_ack(&mut w, &Ack { marked: 1_000, ..acked(1_000, 1, 1) });
        assert_eq!(w.cwnd, 100_000);
        c.on_ack(&mut w, &acked(1_000, 1, 1));
        assert_eq!(w.cwnd, 101_000);
    }
}
