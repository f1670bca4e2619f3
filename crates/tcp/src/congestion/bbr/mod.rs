//! BBRv3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its round trip, instead of a window that
//! grows until something is lost. Sections below are the draft's.
//!
//! Here: the state, the order in which an acknowledgement is dealt with, and the entry points. `model` measures
//! (bandwidth, round trip, aggregation, what losses say), `phases` moves through Startup, Drain, ProbeBW and
//! ProbeRTT, `control` turns the model into a window and a pacing rate.

mod control;
mod filter;
mod model;
mod phases;

use super::{Ack, Window};
use crate::time::Instant;
use filter::{MaxOfTwo, MaxOverRounds};

/// No bound.
const UNBOUNDED: u32 = u32::MAX;

/// Section 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl State {
    fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Whether more is sent than the path is known to carry: what is lost then tells of the probe, not of others.
    fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// What arriving acknowledgements say of a probe (section 5.3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Stopping,
    Refilling,
    Starting,
    Feedback,
    Done,
}

/// The state of section 3. Bytes, bytes a second and nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    state: State,
    pacing_rate: u64,
    initial_cwnd: u32,
    /// The window before a reduction that is to be taken back: by ProbeRTT or a timeout.
    prior_cwnd: u32,
    timed_out: bool,
    idle_restart: bool,

    // Rounds, as counted by what had been delivered when something was sent.
    delivered: u64,
    next_round_delivered: u64,
    round_start: bool,
    round_count: u64,
    rounds_since_probe: u64,

    // Bandwidth.
    max_bw: MaxOfTwo,
    bw: u64,

    // Whether the pipe is full.
    full_bw: u64,
    full_bw_count: u8,
    full_bw_now: bool,
    full_bw_reached: bool,

    // Losses of the present round.
    loss_round_delivered: u64,
    loss_round_start: bool,
    loss_in_round: bool,
    loss_events: u32,
    lost_in_round: u64,
    delivered_in_round: u64,
    bw_latest: u64,
    inflight_latest: u32,
    /// Bounds for a while, since losses said that others need room; and since a probe found the limit.
    bw_shortterm: u64,
    inflight_shortterm: u32,
    inflight_longterm: u32,

    // The cycle of probing.
    cycle_stamp: Instant,
    probe_wait_ns: u64,
    ack_phase: AckPhase,
    probe_samples: bool,
    probe_up_rounds: u8,
    probe_up_acked: u32,
    probe_up_each: u32,

    // Aggregation of acknowledgements.
    extra_acked: MaxOverRounds,
    extra_since: Instant,
    extra_delivered: u64,

    // The round trip.
    min_rtt_ns: u64,
    min_rtt_at: Instant,
    probe_rtt_min_ns: u64,
    probe_rtt_min_at: Instant,
    probe_rtt_expired: bool,
    probe_rtt_done_at: Option<Instant>,
    probe_rtt_round_done: bool,
}

impl Bbr {
    pub(super) fn new() -> Self {
        Self {
            state: State::Startup,
            pacing_rate: 0,
            initial_cwnd: 0,
            prior_cwnd: 0,
            timed_out: false,
            idle_restart: false,
            delivered: 0,
            next_round_delivered: 0,
            round_start: false,
            round_count: 0,
            rounds_since_probe: 0,
            max_bw: MaxOfTwo::default(),
            bw: 0,
            full_bw: 0,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            loss_events: 0,
            lost_in_round: 0,
            delivered_in_round: 0,
            bw_latest: 0,
            inflight_latest: 0,
            bw_shortterm: u64::MAX,
            inflight_shortterm: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
            cycle_stamp: Instant::ZERO,
            probe_wait_ns: 0,
            ack_phase: AckPhase::Done,
            probe_samples: false,
            probe_up_rounds: 0,
            probe_up_acked: 0,
            probe_up_each: u32::MAX,
            extra_acked: MaxOverRounds::default(),
            extra_since: Instant::ZERO,
            extra_delivered: 0,
            min_rtt_ns: u64::MAX,
            min_rtt_at: Instant::ZERO,
            probe_rtt_min_ns: u64::MAX,
            probe_rtt_min_at: Instant::ZERO,
            probe_rtt_expired: false,
            probe_rtt_done_at: None,
            probe_rtt_round_done: false,
        }
    }

    /// Section 5.2.3: an acknowledgement updates the model and the state, then window and rate.
    pub(super) fn on_ack(&mut self, w: &mut Window, ack: &Ack) {
        if self.initial_cwnd == 0 {
            self.initial_cwnd = w.cwnd;
        }
        self.update_latest_signals(ack);
        self.update_congestion_signals(w, ack);
        self.update_aggregation(w, ack);
        self.check_full_bw(ack);
        self.check_startup_done();
        self.check_drain_done(w, ack);
        self.update_probe_bw_cycle(w, ack);
        self.update_min_rtt(ack);
        self.check_probe_rtt(w, ack);
        self.advance_latest_signals(ack);
        self.bw = self.max_bw.get().min(self.bw_shortterm);
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(w, ack);
    }

    /// Bytes a second; before anything was measured, what Startup would send of the initial window.
    pub(super) fn pacing_rate(&self, w: &Window, srtt_ns: u64) -> u64 {
        if self.pacing_rate > 0 {
            return self.pacing_rate;
        }
        // Section 5.6.2: a millisecond, where nothing is known.
        let rtt = if srtt_ns == 0 { 1_000_000 } else { srtt_ns };
        let nominal = u128::from(w.cwnd) * 1_000_000_000 / u128::from(rtt);
        (nominal as f64 * State::Startup.pacing_gain()) as u64
    }

    /// Something goes out after nothing was under way (section 5.4.1).
    pub(super) fn on_idle(&mut self, w: &mut Window, now: Instant, app_limited: bool) {
        if !app_limited {
            return;
        }
        self.idle_restart = true;
        self.extra_since = now;
        self.extra_delivered = 0;
        if self.state.is_probe_bw() {
            self.set_pacing_rate(1.0);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(w, now);
        }
    }

    /// Section 5.6.4.4: everything is thought lost, so one segment goes out; the window is kept for later.
    pub(super) fn on_timeout(&mut self, w: &mut Window, first: bool) {
        if first {
            self.save_cwnd(w);
            if !self.state.is_probing() && self.inflight_shortterm == UNBOUNDED {
                self.inflight_shortterm = self.prior_cwnd;
            }
        }
        self.timed_out = true;
        w.cwnd = w.mss;
    }

    /// The losses are mended: the window from before a timeout is open again, as far as the model allows.
    pub(super) fn on_recovered(&mut self, w: &mut Window) {
        if core::mem::take(&mut self.timed_out) {
            self.restore_cwnd(w);
        }
    }

    /// There was no loss: what it seemed to say is forgotten.
    pub(super) fn on_undo(&mut self, w: &mut Window) {
        self.reset_shortterm();
        self.loss_in_round = false;
        self.reset_full_bw();
        if core::mem::take(&mut self.timed_out) {
            self.restore_cwnd(w);
        }
    }

    fn save_cwnd(&mut self, w: &Window) {
        self.prior_cwnd = if self.state == State::ProbeRtt { self.prior_cwnd.max(w.cwnd) } else { w.cwnd };
    }

    fn restore_cwnd(&mut self, w: &mut Window) {
        w.cwnd = w.cwnd.max(self.prior_cwnd);
    }

    /// Whether the sender is to count as limited by the application: in ProbeRTT it is by us (section 5.3.4.3).
    pub(super) fn is_probing_rtt(&self) -> bool {
        self.state == State::ProbeRtt
    }
}
