//! From BBR's model to what is done: pacing rate and window (section 5.6), and the gains of each state.

use super::{Bbr, State, UNBOUNDED};
use crate::congestion::{Ack, Window};

/// Part of the bandwidth that is left for the queue to drain.
const PACING_MARGIN: f64 = 0.01;
/// Part of the long-term bound that is left to others while cruising.
const HEADROOM: f64 = 0.15;
/// Smallest window, in segments: enough for delayed acknowledgements.
const MIN_PIPE_SEGMENTS: u32 = 4;

impl State {
    /// Section 5.1.2.
    pub(super) fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => 2.77,
            Self::Drain => 0.5,
            Self::Down => 0.9,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 1.0,
            Self::Up => 1.25,
        }
    }

    fn cwnd_gain(self) -> f64 {
        match self {
            Self::Up => 2.25,
            Self::ProbeRtt => 0.5,
            _ => 2.0,
        }
    }
}

impl Bbr {
    /// Section 5.6.2. Until the pipe is full the rate does not come down: the first samples are small.
    pub(super) fn set_pacing_rate(&mut self, gain: f64) {
        let rate = (gain * self.bw as f64 * (1.0 - PACING_MARGIN)) as u64;
        if rate > 0 && (self.full_bw_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// Bandwidth times round trip; before both are known, the initial window.
    pub(super) fn bdp(&self, gain: f64) -> u32 {
        if self.min_rtt_ns == u64::MAX || self.bw == 0 {
            return self.initial_cwnd;
        }
        (gain * self.bw as f64 * self.min_rtt_ns as f64 / 1e9) as u32
    }

    /// The same for the bandwidth without short-term bounds.
    pub(super) fn bdp_of_max(&self, w: &Window, gain: f64) -> u32 {
        if self.min_rtt_ns == u64::MAX || self.max_bw.get() == 0 {
            return self.initial_cwnd;
        }
        let bytes = (gain * self.max_bw.get() as f64 * self.min_rtt_ns as f64 / 1e9) as u32;
        self.with_quanta(w, bytes)
    }

    /// Section 5.6.4.2: room for the batches that are under way in host and receiver.
    fn with_quanta(&self, w: &Window, bytes: u32) -> u32 {
        let batch = ((self.pacing_rate / 1_000).min(64 << 10) as u32).max(2 * w.mss);
        let bytes = bytes.max(3 * batch).max(MIN_PIPE_SEGMENTS * w.mss);
        if self.state == State::Up { bytes.saturating_add(2 * w.mss) } else { bytes }
    }

    pub(super) fn inflight(&self, w: &Window, gain: f64) -> u32 {
        self.with_quanta(w, self.bdp(gain))
    }

    pub(super) fn min_pipe(w: &Window) -> u32 {
        MIN_PIPE_SEGMENTS * w.mss
    }

    pub(super) fn target_inflight(&self, w: &Window) -> u32 {
        self.bdp(1.0).min(w.cwnd)
    }

    /// Section 5.6.4.7: the long-term bound less what is left to others.
    pub(super) fn with_headroom(&self, w: &Window) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = ((f64::from(self.inflight_longterm) * HEADROOM) as u32).max(w.mss);
        self.inflight_longterm.saturating_sub(headroom).max(Self::min_pipe(w))
    }

    pub(super) fn probe_rtt_cwnd(&self, w: &Window) -> u32 {
        self.bdp(State::ProbeRtt.cwnd_gain()).max(Self::min_pipe(w))
    }

    /// Section 5.6.4.6.
    pub(super) fn set_cwnd(&self, w: &mut Window, ack: &Ack) {
        let cap = self.bdp(self.state.cwnd_gain()).saturating_add(self.extra_acked.get());
        let most = self.with_quanta(w, cap);
        let more = w.cwnd.saturating_add(ack.delivered);
        if self.full_bw_reached {
            w.cwnd = more.min(most);
        } else if w.cwnd < most || self.delivered < u64::from(self.initial_cwnd) {
            w.cwnd = more;
        }
        w.cwnd = w.cwnd.max(Self::min_pipe(w));
        if self.state == State::ProbeRtt {
            w.cwnd = w.cwnd.min(self.probe_rtt_cwnd(w));
        }
        let bound = match self.state {
            State::Down | State::Refill | State::Up => self.inflight_longterm,
            State::Cruise | State::ProbeRtt => self.with_headroom(w),
            State::Startup | State::Drain => UNBOUNDED,
        };
        w.cwnd = w.cwnd.min(bound.min(self.inflight_shortterm).max(Self::min_pipe(w)));
    }
}
