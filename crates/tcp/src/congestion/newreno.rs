//! NewReno: the classic increase of one segment a round trip, with appropriate byte counting
//! (RFC 5681 section 3.1, RFC 3465).

use super::{Before, Window};

/// Bytes acknowledged since the window last grew.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewReno {
    acked: u32,
    before: (Before, u32),
}

impl NewReno {
    pub(super) fn on_ack(&mut self, w: &mut Window, mut acked: u32) {
        if w.in_slow_start() {
            acked = w.slow_start(acked);
        }
        self.acked = self.acked.saturating_add(acked);
        if self.acked >= w.cwnd {
            self.acked -= w.cwnd;
            w.cwnd = w.cwnd.saturating_add(w.mss);
        }
    }

    /// Half of what was in flight (RFC 5681 section 3.1, equation 4).
    pub(super) fn on_loss(&mut self, w: &mut Window, flight: u32) {
        self.before = (Before::of(w), self.acked);
        w.ssthresh = (flight / 2).max(2 * w.mss);
    }

    pub(super) fn on_undo(&mut self, w: &mut Window) {
        let (before, acked) = self.before;
        before.restore(w);
        self.acked = acked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_one_segment_a_window_in_congestion_avoidance() {
        let mut c = NewReno::default();
        let mut w = Window { cwnd: 10_000, ssthresh: 10_000, mss: 1_000 };
        for _ in 0..10 {
            c.on_ack(&mut w, 1_000);
        }
        assert_eq!(w.cwnd, 11_000);
    }
}
