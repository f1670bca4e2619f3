//! Congestion control: how much may be in flight.
//!
//! One enum with an algorithm a file, so that a call costs a branch and the state lies inside the connection.
//! The connection decides *what is lost, and when recovery begins, ends or turns out to have been a mistake*,
//! and says so:
//!
//! | call | when |
//! |---|---|
//! | [`Congestion::on_ack`] | an acknowledgement brought something: see [`Ack`] |
//! | [`Congestion::on_loss`] | fast recovery begins: sets `ssthresh`, and `cwnd` to it |
//! | [`Congestion::on_timeout`] | the retransmission timer ran out |
//! | [`Congestion::on_marks`] | the peer has told of marked packets, once a window |
//! | [`Congestion::on_recovered`] | all that was outstanding when recovery began has arrived |
//! | [`Congestion::on_undo`] | there was no loss: everything is as before `on_loss` or `on_timeout` |
//! | [`Congestion::on_idle`] | the application sends again after a pause, in which time stood still |
//!
//! In fast recovery proportional rate reduction sets `cwnd`, towards `ssthresh`, unless
//! [`Congestion::rules_recovery`] says that the algorithm does so itself.

mod bbr;
mod cubic;
mod dctcp;
mod hystart;
mod newreno;

use crate::config::{Config, CongestionControl};
use crate::delivery_rate::{LossSample, RateSample};
use crate::time::Instant;

use bbr::Bbr;
use cubic::Cubic;
use dctcp::Dctcp;
use newreno::NewReno;

/// The window and its threshold, in bytes, and the maximum segment size that steps are counted in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    pub(crate) mss: u32,
}

impl Window {
    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// RFC 5681 section 3.1 with the byte counting of RFC 3465; returns what of `acked` is left over once
    /// the threshold is reached.
    fn slow_start(&mut self, acked: u32) -> u32 {
        let room = self.ssthresh.saturating_sub(self.cwnd);
        let step = acked.min(room);
        self.cwnd += step;
        acked - step
    }
}

/// Where loss recovery is, as the algorithms distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery.
    Recovery,
    /// Recovery after a timeout.
    Loss,
}

/// What an acknowledgement tells the algorithm. Bytes unless said otherwise.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "not every algorithm looks at everything")]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Newly acknowledged in sequence.
    pub(crate) acked: u32,
    /// Newly known to have arrived, in sequence or by SACK.
    pub(crate) delivered: u32,
    /// Newly thought lost.
    pub(crate) lost: u32,
    /// Of it, in packets that routers have marked.
    pub(crate) marked: u32,
    /// In flight before the acknowledgement, and after it.
    pub(crate) flight_before: u32,
    pub(crate) flight: u32,
    /// The round trip that the acknowledgement measures, nanoseconds (Karn's algorithm applied).
    pub(crate) rtt_ns: Option<u64>,
    /// Smoothed and smallest round-trip time, nanoseconds; 0 before the first sample.
    pub(crate) srtt_ns: u64,
    pub(crate) min_rtt_ns: u64,
    /// How fast the path delivered; only for an algorithm that asks ([`Congestion::wants_rate`]).
    pub(crate) rate: Option<RateSample>,
    /// A loss of more than 2 % of what was in flight; only for an algorithm that asks.
    pub(crate) loss: Option<LossSample>,
    /// The first acknowledgement of something sent after the last such one: a round trip is over.
    pub(crate) round_start: bool,
    /// The congestion window was what held the sender back. If it was not, its size says nothing about the path
    /// and it does not grow (RFC 7661).
    pub(crate) limited: bool,
    pub(crate) phase: Phase,
}

impl Ack {
    /// Whether a loss-based algorithm grows its window by this.
    fn grows(&self) -> bool {
        self.limited && self.acked > 0 && self.marked == 0 && self.phase != Phase::Recovery
    }
}

/// The algorithm in use and its state.
#[derive(Clone, Debug)]
enum Algorithm {
    NewReno(NewReno),
    Cubic(Cubic),
    Dctcp(Dctcp),
    /// By far the largest state, and the rarest.
    Bbr(Box<Bbr>),
    /// A window of so many bytes, whatever happens: for load generation, where the network is known.
    Fixed(u32),
}

/// What a mistaken reduction took.
#[derive(Clone, Debug)]
struct Saved {
    cwnd: u32,
    ssthresh: u32,
    algorithm: Algorithm,
}

/// Congestion control of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    algorithm: Algorithm,
    saved: Option<Saved>,
}

impl Congestion {
    pub(crate) fn new(config: &Config) -> Self {
        let algorithm = match config.congestion {
            CongestionControl::NewReno => Algorithm::NewReno(NewReno::default()),
            CongestionControl::Cubic => Algorithm::Cubic(Cubic::default()),
            CongestionControl::Dctcp => Algorithm::Dctcp(Dctcp::default()),
            CongestionControl::Bbr => Algorithm::Bbr(Box::new(Bbr::new())),
            CongestionControl::None => Algorithm::Fixed(config.fixed_window),
        };
        Self { algorithm, saved: None }
    }

    /// The window to begin with, if it is not the usual initial window.
    pub(crate) fn initial_window(&self) -> Option<u32> {
        match &self.algorithm {
            Algorithm::Fixed(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// An acknowledgement has brought something new.
    #[inline]
    pub(crate) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        match &mut self.algorithm {
            Algorithm::Cubic(c) => c.on_ack(w, ack),
            Algorithm::Dctcp(c) => c.on_ack(w, ack),
            Algorithm::NewReno(c) if ack.grows() => c.on_ack(w, ack),
            Algorithm::Bbr(c) => c.on_ack(w, ack),
            Algorithm::NewReno(_) | Algorithm::Fixed(_) => {}
        }
    }

    /// Whether acknowledgements are to come with a delivery rate.
    #[inline]
    pub(crate) fn wants_rate(&self) -> bool {
        matches!(self.algorithm, Algorithm::Bbr(_))
    }

    /// Whether the algorithm keeps the sender back for a while to measure the path: rates then say nothing.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(&self.algorithm, Algorithm::Bbr(c) if c.is_probing_rtt())
    }

    /// Whether the algorithm sets the window in fast recovery, and after a pause, itself.
    pub(crate) fn rules_recovery(&self) -> bool {
        matches!(self.algorithm, Algorithm::Fixed(_) | Algorithm::Bbr(_))
    }

    /// Whether the algorithm is made for a sender that paces.
    pub(crate) fn needs_pacing(&self) -> bool {
        matches!(self.algorithm, Algorithm::Bbr(_))
    }

    /// Bytes a second at which data is to leave. A window that is paced must still grow: of those who do not say,
    /// twice the window a round trip in slow start, a fifth more than the window later (as Linux). 0: no limit.
    pub(crate) fn pacing_rate(&self, w: &Window, srtt_ns: u64) -> u64 {
        if let Algorithm::Bbr(c) = &self.algorithm {
            return c.pacing_rate(w, srtt_ns);
        }
        let grows = w.cwnd < w.ssthresh / 2 && !matches!(self.algorithm, Algorithm::Fixed(_));
        let percent = if grows { 200 } else { 120 };
        let bytes = u128::from(w.cwnd) * percent * 10_000_000;
        bytes.checked_div(u128::from(srtt_ns)).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// The application sends again at `now` after nothing was under way.
    pub(crate) fn on_idle(&mut self, w: &mut Window, now: Instant, app_limited: bool) {
        match &mut self.algorithm {
            Algorithm::Cubic(c) => c.on_idle(now),
            Algorithm::Bbr(c) => c.on_idle(w, now, app_limited),
            Algorithm::NewReno(_) | Algorithm::Dctcp(_) | Algorithm::Fixed(_) => {}
        }
    }

    /// Whether a pause makes all that is known worthless, besides the window.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        let simple =
            matches!(self.algorithm, Algorithm::NewReno(_) | Algorithm::Cubic(_) | Algorithm::Fixed(_));
        simple && self.saved.is_none()
    }

    /// The peer has told of marked packets, for the first time in a window's worth of data.
    pub(crate) fn on_marks(&mut self, w: &mut Window, flight: u32) {
        match &mut self.algorithm {
            Algorithm::Dctcp(c) => c.on_marks(w),
            _ => {
                // Down to a single segment, which a loss is not (RFC 3168 section 6.1.2, RFC 9438 section 4.6).
                if let Some(kept) = self.reduce(w, flight) {
                    w.cwnd = kept.max(w.mss);
                }
            }
        }
    }

    /// A loss was found, once a round trip: `flight` bytes were outstanding.
    pub(crate) fn on_loss(&mut self, w: &mut Window, flight: u32) {
        self.save(w);
        self.reduce(w, flight);
    }

    /// Returns what the decrease leaves by itself; a loss leaves two segments at least.
    fn reduce(&mut self, w: &mut Window, flight: u32) -> Option<u32> {
        let kept = match &mut self.algorithm {
            Algorithm::NewReno(_) | Algorithm::Dctcp(_) => flight / 2,
            Algorithm::Cubic(c) => c.on_loss(w, flight),
            // What was lost comes with the acknowledgements.
            Algorithm::Fixed(_) | Algorithm::Bbr(_) => return None,
        };
        w.ssthresh = kept.max(2 * w.mss);
        w.cwnd = w.ssthresh;
        Some(kept)
    }

    /// The retransmission timer ran out: down to one segment (RFC 5681 section 3.1, equation 4). `first`: not
    /// since the last progress.
    pub(crate) fn on_timeout(&mut self, w: &mut Window, flight: u32, first: bool) {
        if first {
            self.save(w);
            self.reduce(w, flight);
        }
        match &mut self.algorithm {
            Algorithm::NewReno(_) | Algorithm::Dctcp(_) => {}
            Algorithm::Cubic(c) => c.on_timeout(),
            Algorithm::Bbr(c) => c.on_timeout(w, first),
            Algorithm::Fixed(_) => return,
        }
        w.cwnd = w.mss;
    }

    /// All that was outstanding when recovery began is acknowledged.
    pub(crate) fn on_recovered(&mut self, w: &mut Window) {
        if let Algorithm::Bbr(c) = &mut self.algorithm {
            c.on_recovered(w);
        }
    }

    /// The last [`Congestion::on_loss`], or first [`Congestion::on_timeout`], answered no loss: the window, the
    /// threshold and the algorithm's own state are what they were before it, but nothing that has grown since
    /// shrinks (RFC 4015 section 3.4, RFC 9438 section 4.9).
    pub(crate) fn on_undo(&mut self, w: &mut Window) {
        if let Algorithm::Bbr(c) = &mut self.algorithm {
            c.on_undo(w);
        } else if let Some(saved) = self.saved.take() {
            w.cwnd = w.cwnd.max(saved.cwnd);
            w.ssthresh = w.ssthresh.max(saved.ssthresh);
            self.algorithm = saved.algorithm;
        }
    }

    fn save(&mut self, w: &Window) {
        if matches!(self.algorithm, Algorithm::Bbr(_) | Algorithm::Fixed(_)) {
            return;
        }
        self.saved = Some(Saved { cwnd: w.cwnd, ssthresh: w.ssthresh, algorithm: self.algorithm.clone() });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An acknowledgement of `bytes` at `now_ns` on a path of `rtt_ns`, with the window in use.
    pub(crate) fn acked(bytes: u32, now_ns: u64, rtt_ns: u64) -> Ack {
        Ack {
            now: Instant::from_nanos(now_ns),
            acked: bytes,
            delivered: bytes,
            lost: 0,
            marked: 0,
            flight_before: bytes,
            flight: 0,
            rtt_ns: Some(rtt_ns),
            srtt_ns: rtt_ns,
            min_rtt_ns: rtt_ns,
            rate: None,
            loss: None,
            round_start: false,
            limited: true,
            phase: Phase::Open,
        }
    }

    fn with(which: CongestionControl) -> Congestion {
        Congestion::new(&Config { congestion: which, fixed_window: 50_000, ..Config::default() })
    }

    const LOSS_BASED: [CongestionControl; 3] =
        [CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Dctcp];

    #[test]
    fn slow_start_adds_what_was_acknowledged_and_stops_at_the_threshold() {
        for which in LOSS_BASED {
            let mut c = with(which);
            let mut w = Window { cwnd: 10_000, ssthresh: 15_000, mss: 1_000 };
            c.on_ack(&mut w, &acked(2_000, 1, 1_000_000));
            assert_eq!(w.cwnd, 12_000, "{which:?}");
            c.on_ack(&mut w, &acked(2_000, 1, 1_000_000));
            c.on_ack(&mut w, &acked(2_000, 1, 1_000_000));
            assert!((15_000..=16_000).contains(&w.cwnd), "{which:?}: {}", w.cwnd);
        }
    }

    #[test]
    fn a_window_that_was_not_used_does_not_grow() {
        for which in LOSS_BASED {
            let mut c = with(which);
            let mut w = Window { cwnd: 10_000, ssthresh: u32::MAX, mss: 1_000 };
            c.on_ack(&mut w, &Ack { limited: false, ..acked(2_000, 1, 1_000_000) });
            assert_eq!(w.cwnd, 10_000, "{which:?}");
        }
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_cuts_the_threshold_once() {
        for which in LOSS_BASED {
            let mut c = with(which);
            let mut w = Window { cwnd: 100_000, ssthresh: u32::MAX, mss: 1_000 };
            c.on_timeout(&mut w, 100_000, true);
            let threshold = w.ssthresh;
            assert_eq!(w.cwnd, 1_000);
            c.on_timeout(&mut w, 1_000, false);
            assert_eq!(w.ssthresh, threshold, "{which:?}");
        }
    }

    #[test]
    fn a_decrease_that_answered_no_loss_is_taken_back() {
        for which in LOSS_BASED {
            for timeout in [false, true] {
                let mut c = with(which);
                let mut w = Window { cwnd: 100_000, ssthresh: 90_000, mss: 1_000 };
                c.on_ack(&mut w, &acked(50_000, 1, 1_000_000));
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
                    let ack = acked(50_000, ms * 1_000_000, 1_000_000);
                    c.on_ack(&mut w, &ack);
                    twin.on_ack(&mut twin_w, &ack);
                }
                assert_eq!((w.cwnd, w.ssthresh), (twin_w.cwnd, twin_w.ssthresh), "{which:?} {timeout}");
            }
        }
    }

    #[test]
    fn a_fixed_window_is_moved_by_nothing() {
        let mut c = with(CongestionControl::None);
        assert_eq!(c.initial_window(), Some(50_000));
        let mut w = Window { cwnd: 50_000, ssthresh: u32::MAX, mss: 1_000 };
        c.on_ack(&mut w, &acked(50_000, 1, 1_000_000));
        c.on_loss(&mut w, 50_000);
        c.on_timeout(&mut w, 50_000, true);
        c.on_recovered(&mut w);
        assert_eq!((w.cwnd, w.ssthresh), (50_000, u32::MAX));
        assert!(c.rules_recovery());
    }
}
