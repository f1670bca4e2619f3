//! Congestion control: how much may be in flight. One enum, so that the call costs a branch and the state
//! lies inside the connection.

mod cubic;
mod newreno;

use crate::config::CongestionControl;
use crate::time::Instant;

use cubic::Cubic;
use newreno::NewReno;

/// The window and its threshold, in bytes, and the maximum segment size that steps are counted in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    pub(crate) mss: u32,
}

impl Window {
    fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// RFC 5681 section 3.1 with the byte counting of RFC 3465; returns what of `acked` is left over once
    /// the threshold is reached.
    fn slow_start(&mut self, acked: u32) -> u32 {
        let room = self.ssthresh - self.cwnd;
        let step = acked.min(room);
        self.cwnd += step;
        acked - step
    }
}

/// What an acknowledgement tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    /// Bytes newly acknowledged.
    pub(crate) bytes: u32,
    pub(crate) now: Instant,
    /// Smoothed round-trip time, nanoseconds.
    pub(crate) srtt_ns: u64,
}

/// What a decrease took away, kept until it is known to have been right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    cwnd: u32,
    ssthresh: u32,
}

impl Before {
    fn of(w: &Window) -> Self {
        Self { cwnd: w.cwnd, ssthresh: w.ssthresh }
    }

    /// Gives it back; what has grown since stays (RFC 4015 section 3.4 restores, it does not shrink).
    fn restore(self, w: &mut Window) {
        w.cwnd = w.cwnd.max(self.cwnd);
        w.ssthresh = w.ssthresh.max(self.ssthresh);
    }
}

/// The algorithm in use and its state.
#[derive(Clone, Debug)]
pub(crate) enum Congestion {
    NewReno(NewReno),
    Cubic(Cubic),
}

impl Congestion {
    pub(crate) fn new(which: CongestionControl) -> Self {
        match which {
            CongestionControl::NewReno => Self::NewReno(NewReno::default()),
            CongestionControl::Cubic => Self::Cubic(Cubic::default()),
        }
    }

    /// New data was acknowledged, outside of recovery, and the window was in use.
    pub(crate) fn on_ack(&mut self, w: &mut Window, acked: Acked) {
        match self {
            Self::NewReno(c) => c.on_ack(w, acked.bytes),
            Self::Cubic(c) => c.on_ack(w, acked),
        }
    }

    /// The application has had nothing to send for a while.
    pub(crate) fn on_idle(&mut self) {
        if let Self::Cubic(c) = self {
            c.on_idle();
        }
    }

    /// A loss was found, once a round trip: `flight` bytes were outstanding.
    pub(crate) fn on_loss(&mut self, w: &mut Window, flight: u32) {
        match self {
            Self::NewReno(c) => c.on_loss(w, flight),
            Self::Cubic(c) => c.on_loss(w, flight),
        }
        w.cwnd = w.ssthresh;
    }

    /// All that was outstanding when recovery began is acknowledged.
    pub(crate) fn on_recovered(&mut self, _w: &mut Window) {}

    /// The last [`Congestion::on_loss`], or first [`Congestion::on_timeout`], answered no loss: the window, the
    /// threshold and the algorithm's own state are what they were before it.
    #[cfg_attr(not(test), expect(dead_code, reason = "spurious recoveries are told apart next"))]
    pub(crate) fn on_undo(&mut self, w: &mut Window) {
        match self {
            Self::NewReno(c) => c.on_undo(w),
            Self::Cubic(c) => c.on_undo(w),
        }
    }

    /// Whether the algorithm itself sets the window during fast recovery; else proportional rate reduction does.
    pub(crate) fn rules_recovery(&self) -> bool {
        false
    }

    /// The retransmission timer ran out: down to one segment (RFC 5681 section 3.1, equation 4). `first`: not
    /// while recovering already, which has answered the same congestion.
    pub(crate) fn on_timeout(&mut self, w: &mut Window, flight: u32, first: bool) {
        if first {
            match self {
                Self::NewReno(c) => c.on_loss(w, flight),
                Self::Cubic(c) => c.on_loss(w, flight),
            }
        }
        if let Self::Cubic(c) = self {
            c.on_timeout();
        }
        w.cwnd = w.mss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_adds_what_was_acknowledged_and_stops_at_the_threshold() {
        for which in [CongestionControl::NewReno, CongestionControl::Cubic] {
            let mut c = Congestion::new(which);
            let mut w = Window { cwnd: 10_000, ssthresh: 15_000, mss: 1_000 };
            let acked = Acked { bytes: 2_000, now: Instant::from_nanos(1), srtt_ns: 1_000_000 };
            c.on_ack(&mut w, acked);
            assert_eq!(w.cwnd, 12_000, "{which:?}");
            c.on_ack(&mut w, Acked { bytes: 4_000, ..acked });
            assert!((15_000..=16_000).contains(&w.cwnd), "{which:?}: {}", w.cwnd);
        }
    }

    #[test]
    fn a_decrease_that_answered_no_loss_is_taken_back() {
        for which in [CongestionControl::NewReno, CongestionControl::Cubic] {
            for timeout in [false, true] {
                let mut c = Congestion::new(which);
                let mut w = Window { cwnd: 100_000, ssthresh: 90_000, mss: 1_000 };
                let acked = Acked { bytes: 50_000, now: Instant::from_nanos(1), srtt_ns: 1_000_000 };
                c.on_ack(&mut w, acked);
                let (mut twin, mut twin_w) = (c.clone(), w);
                if timeout {
                    c.on_timeout(&mut w, 100_000, true);
                    c.on_timeout(&mut w, 1_000, false);
                } else {
                    c.on_loss(&mut w, 100_000);
                }
                assert!(w.cwnd < 100_000);
                c.on_undo(&mut w);
                // It goes on as one that never heard of a loss.
                for ms in 1..2_000 {
                    let acked = Acked { now: Instant::from_nanos(ms * 1_000_000), ..acked };
                    c.on_ack(&mut w, acked);
                    twin.on_ack(&mut twin_w, acked);
                }
                assert_eq!((w.cwnd, w.ssthresh), (twin_w.cwnd, twin_w.ssthresh), "{which:?} {timeout}");
            }
        }
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_cuts_the_threshold_once() {
        for which in [CongestionControl::NewReno, CongestionControl::Cubic] {
            let mut c = Congestion::new(which);
            let mut w = Window { cwnd: 100_000, ssthresh: u32::MAX, mss: 1_000 };
            c.on_timeout(&mut w, 100_000, true);
            let threshold = w.ssthresh;
            assert_eq!(w.cwnd, 1_000);
            c.on_timeout(&mut w, 1_000, false);
            assert_eq!(w.ssthresh, threshold, "{which:?}");
        }
    }
}
