//! NewReno: the classic increase of one segment a round trip, with appropriate byte counting
//! (RFC 5681 section 3.1, RFC 3465).

use super::{Ack, Phase, Window};

/// Bytes acknowledged since the window last grew.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewReno {
    acked: u32,
}

impl NewReno {
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        let mut acked = ack.acked;
        if w.in_slow_start() {
            // RFC 3465 section 2.2: two segments for an acknowledgement; one after a timeout (section 2.3), when
            // what it covers may have left the network long ago.
            let limit = if ack.phase == Phase::Loss { w.mss } else { 2 * w.mss };
            acked = w.slow_start(acked.min(limit));
        }
        self.acked = self.acked.saturating_add(acked);
        if self.acked >= w.cwnd {
            self.acked -= w.cwnd;
            w.cwnd = w.cwnd.saturating_add(w.mss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::tests::acked;

    #[test]
    fn grows_one_segment_a_window_in_congestion_avoidance() {
        let mut c = NewReno::default();
        let mut w = Window { cwnd: 10_000, ssthresh: 10_000, mss: 1_000 };
        for _ in 0..10 {
            c.on_ack(&mut w, &acked(1_000, 1, 1));
        }
        assert_eq!(w.cwnd, 11_000);
    }

    #[test]
    fn an_acknowledgement_of_many_segments_opens_the_window_by_two_in_slow_start() {
        let mut c = NewReno::default();
        let mut w = Window { cwnd: 10_000, ssthresh: u32::MAX, mss: 1_000 };
        c.on_ack(&mut w, &acked(7_000, 1, 1));
        assert_eq!(w.cwnd, 12_000);
    }

    #[test]
    fn after_a_timeout_it_opens_by_one() {
        let mut c = NewReno::default();
        let mut w = Window { cwnd: 1_000, ssthresh: 50_000, mss: 1_000 };
        c.on_ack(&mut w, &Ack { phase: Phase::Loss, ..acked(7_000, 1, 1) });
        assert_eq!(w.cwnd, 2_000);
    }
}
