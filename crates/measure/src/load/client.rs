//! The clients of one worker: a service that opens connections, begins requests when they are due, and records what
//! comes of them. What is said on the connections is the [`Exchange`]'s business; what follows from it is in
//! [`super::events`].

mod opening;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bypath::{AckedSegment, ConnectionId, Desk, Instant};

use crate::histogram::interval::Recorder;

use super::cause::Cause;
use super::demand::{Demand, Steps};
use super::exchange::{Exchange, MAIN};
use super::session::{Owners, Phase, Session};
use super::tally::{Tally, hist};
use super::window::Window;
use super::wire::Line;

/// How often a worker looks at what has no time of its own: the signal to stop, clients that hear nothing.
const TICK: u64 = 10_000_000;
/// How long a client waits after a failure before it connects again.
pub(super) const RETRY: u64 = 100_000_000;
/// With more clients than this, their connections' counters are read when they end, not in each interval as well.
const FEW: usize = 1024;

/// What the workers share with whoever started them.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// When the run begins.
    pub(super) start: OnceLock<std::time::Instant>,
    /// The run ends now.
    pub(super) stop: AtomicBool,
    /// Some connection was opened.
    pub(super) reached: AtomicBool,
}

/// One worker's part of a load.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) remote: SocketAddr,
    pub(super) locals: Vec<IpAddr>,
    pub(super) sessions: usize,
    /// A connection carries one request.
    pub(super) per_connection: bool,
    pub(super) reset: bool,
    /// The server closes first: our end follows.
    pub(super) server_closes: bool,
    pub(super) pipeline: usize,
    pub(super) timeout_ns: u64,
    /// Silence is no failure: connections that are only held.
    pub(super) may_be_silent: bool,
    pub(super) steps: Option<Steps>,
    pub(super) open_loop: bool,
    pub(super) counts_requests: bool,
    pub(super) window: Window,
}

/// See the module. Times are nanoseconds since the start of the run unless said otherwise.
pub(super) struct Client<E: Exchange> {
    pub(super) exchange: E,
    pub(super) share: Share,
    pub(super) demand: Demand,
    pub(super) control: Arc<Control>,
    pub(super) recorder: Option<Recorder<Tally>>,
    pub(super) sessions: Vec<Session<E::State>>,
    pub(super) owners: Owners,
    /// Clients that could take another request, longest idle first.
    pub(super) free: VecDeque<u32>,
    /// Clients without a connection.
    pub(super) absent: VecDeque<u32>,
    /// Those that must wait, and until when.
    pub(super) retry: VecDeque<(u64, u32)>,
    /// Connections that are being closed, and until when they may be.
    pub(super) closing: VecDeque<(u64, u32, u32)>,
    /// Second connections that are wanted, with their ports.
    pub(super) wanted: VecDeque<(u32, u16)>,
    /// Connections whose client has no use for them any more.
    pub(super) orphans: Vec<ConnectionId>,
    /// Clients whose next request could go out on their main connection.
    pub(super) resumable: VecDeque<u32>,
    /// The time when anything was last heard of.
    pub(super) clock: u64,
    /// Clients that may have connections: all, but for a ramp.
    admitted: usize,
    pub(super) open: u64,
    pub(super) under_way: u64,
    next_local: usize,
    swept: usize,
    /// The start of the run on the worker's clock.
    origin: Option<u64>,
    cut_at: u64,
    before: super::worker_counts::Before,
    given_up: Option<Cause>,
    ended: bool,
    /// When a request last came to its end, well or not.
    finished_at: u64,
    wake_at: u64,
}

impl<E: Exchange> Client<E> {
    pub(super) fn new(
        exchange: E,
        share: Share,
        demand: Demand,
        control: Arc<Control>,
        recorder: Recorder<Tally>,
    ) -> Self {
        let count = share.sessions;
        let mut sessions = Vec::with_capacity(count);
        sessions.resize_with(count, Session::default);
        Self {
            exchange,
            demand,
            control,
            recorder: Some(recorder),
            sessions,
            owners: Owners::default(),
            free: VecDeque::with_capacity(count),
            absent: VecDeque::with_capacity(count),
            retry: VecDeque::new(),
            closing: VecDeque::new(),
            wanted: VecDeque::new(),
            orphans: Vec::new(),
            resumable: VecDeque::new(),
            clock: 0,
            admitted: 0,
            open: 0,
            under_way: 0,
            next_local: 0,
            swept: 0,
            origin: None,
            cut_at: 0,
            before: super::worker_counts::Before::default(),
            given_up: None,
            ended: false,
            finished_at: 0,
            wake_at: 0,
            share,
        }
    }

    /// What is being recorded, while the run lasts.
    pub(super) fn tally(&mut self) -> Option<&mut Tally> {
        self.recorder.as_mut().map(Recorder::record)
    }

    pub(super) fn error(&mut self, cause: Cause) {
        if let Some(tally) = self.tally() {
            tally.error(cause);
        }
    }

    /// Time since the start of the run.
    pub(super) fn since_start(&self, now: Instant) -> u64 {
        now.as_nanos().saturating_sub(self.origin.unwrap_or(u64::MAX))
    }

    /// A request has come to its end. The one that was the last ends the run, which the next tick would notice late; where
    /// its connection ends with it, that does.
    pub(super) fn note_end(&mut self, t: u64) {
        self.finished_at = t;
        if !self.share.per_connection && self.demand.is_exhausted() && self.under_way == 0 {
            self.wake_soon();
        }
    }

    /// Wants [`bypath::Service::on_wake`] in the next round.
    pub(super) fn wake_soon(&mut self) {
        self.wake_at = 0;
    }

    /// The run has not begun: waits for the word, then for the moment.
    fn wait_for_start(&mut self, now: u64) -> bool {
        let Some(origin) = self.origin else {
            if let Some(start) = self.control.start.get() {
                let ahead = start.saturating_duration_since(std::time::Instant::now()).as_nanos();
                let origin = now.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX));
                self.origin = Some(origin);
                self.cut_at = self.share.window.next_cut(0);
                self.wake_at = origin;
            } else {
                self.wake_at = now + TICK / 10;
            }
            return true;
        };
        self.wake_at = origin;
        now < origin
    }

    /// Begins what the schedule has due, on clients that are free.
    fn begin_due(&mut self, desk: &mut Desk<'_>, t: u64) {
        if self.share.per_connection || !self.share.open_loop {
            return;
        }
        while let Some(index) = self.free.front().copied() {
            let index = index as usize;
            let usable = self.sessions[index].phase == Phase::Open;
            let id = self.sessions[index].lanes[MAIN as usize].filter(|_| usable);
            let Some(id) = id else {
                self.free.pop_front();
                self.sessions[index].listed = false;
                continue;
            };
            let Some(intended) = self.demand.take(t) else { return };
            self.free.pop_front();
            self.sessions[index].listed = false;
            if let Some(mut connection) = desk.connection(id) {
                self.begin(index, &mut connection, intended, t);
                self.list_if_free(index);
            }
        }
    }

    /// Looks at some of the clients: whether they have heard nothing for too long, or wait for a sink.
    fn sweep(&mut self, desk: &mut Desk<'_>, t: u64) {
        while let Some((at, index, serial)) = self.closing.front().copied() {
            let session = &self.sessions[index as usize];
            let still = session.serial == serial && session.phase == Phase::Closing;
            if still && at > t {
                break;
            }
            self.closing.pop_front();
            if still {
                self.drop_connections(desk, index as usize);
                self.sessions[index as usize].phase = Phase::Absent;
                self.absent.push_back(index);
            }
        }
        let count = self.sessions.len();
        for _ in 0..count.min((count / 100).max(FEW)) {
            self.swept = (self.swept + 1) % count;
            self.look_at(desk, self.swept, t);
        }
    }

    fn look_at(&mut self, desk: &mut Desk<'_>, index: usize, t: u64) {
        let session = &mut self.sessions[index];
        if let Some(unwritten) = self.exchange.unwritten(&session.state) {
            let lane = usize::from(self.exchange.payload_lane());
            if let Some(mut connection) = session.lanes[lane].and_then(|id| desk.connection(id)) {
                connection.set_unread(unwritten);
            }
        }
        let waits = match session.phase {
            Phase::Opening | Phase::Preparing => true,
            Phase::Open => !session.in_flight.is_empty() && !self.share.may_be_silent,
            Phase::Absent | Phase::Closing => false,
        };
        if !waits || t.saturating_sub(session.progress_at) < self.share.timeout_ns {
            return;
        }
        if session.phase == Phase::Opening {
            self.drop_connections(desk, index);
            self.opening_failed(index, Cause::ConnectTimeout, t);
        } else {
            self.error(Cause::Stalled);
            self.give_up_connection(desk, index, t);
        }
    }

    /// Resets a client's connections; what was under way has failed.
    pub(super) fn give_up_connection(&mut self, desk: &mut Desk<'_>, index: usize, t: u64) {
        self.drop_connections(desk, index);
        self.ended_early(index, t);
    }

    fn drop_connections(&mut self, desk: &mut Desk<'_>, index: usize) {
        for lane in 0..2 {
            if let Some(id) = self.sessions[index].lanes[lane].take() {
                self.owners.clear(id);
                if let Some(mut connection) = desk.connection(id) {
                    connection.abort();
                }
                if lane == 0 && self.sessions[index].phase != Phase::Opening {
                    self.count_closed(false);
                }
            }
        }
    }

    /// Ends the interval.
    fn cut(&mut self, desk: &mut Desk<'_>, at: u64) {
        if self.sessions.len() <= FEW {
            self.read_connections(desk);
        }
        let checked = self.exchange.take_checked();
        let (open, under_way) = (self.open, self.under_way);
        let start = self.share.window.cut_before(self.cut_at);
        let before = &mut self.before;
        let Some(recorder) = &mut self.recorder else { return };
        let tally = recorder.record();
        before.count(&desk.counters(), tally);
        tally.counts.bytes_verified += checked.verified;
        tally.counts.bytes_corrupt += checked.corrupt;
        tally.codes.merge(checked.codes);
        (tally.open, tally.under_way) = (open, under_way);
        tally.given_up = self.given_up;
        recorder.hand_over(start, at);
    }

    /// Takes over what the connections' own counters say.
    fn read_connections(&mut self, desk: &mut Desk<'_>) {
        let Some(recorder) = &mut self.recorder else { return };
        let counts = &mut recorder.record().counts;
        for session in &mut self.sessions {
            if let Some(connection) = session.lanes[0].and_then(|id| desk.connection(id)) {
                session.told.tell(connection.stats(), counts);
            }
        }
    }

    /// The last interval, and the end of all connections.
    fn end(&mut self, desk: &mut Desk<'_>, t: u64) {
        self.ended = true;
        self.read_connections(desk);
        let missed = if self.share.open_loop { self.demand.missed(t) } else { 0 };
        let start = self.share.window.cut_before(self.cut_at);
        // An interval may have ended between the last request and a connection that no request had waited for.
        let t = t.max(start);
        let checked = self.exchange.take_checked();
        if let Some(mut recorder) = self.recorder.take() {
            let tally = recorder.record();
            self.before.count(&desk.counters(), tally);
            tally.counts.intended += missed;
            tally.counts.bytes_verified += checked.verified;
            tally.counts.bytes_corrupt += checked.corrupt;
            tally.codes.merge(checked.codes);
            (tally.open, tally.under_way) = (self.open, self.under_way);
            (tally.last, tally.given_up) = (true, self.given_up);
            recorder.finish(start, t);
        }
        for index in 0..self.sessions.len() {
            for lane in 0..2 {
                let session = &mut self.sessions[index];
                let Some(id) = session.lanes[lane].take() else { continue };
                let Some(mut connection) = desk.connection(id) else { continue };
                let mut line = Line::new(&mut connection, &mut session.queued[lane]);
                if self.exchange.finish(&mut session.state, &mut line) || self.share.reset {
                    connection.abort();
                } else {
                    connection.close();
                }
            }
        }
    }

    /// Whether there is nothing left to do: all that was to be begun has ended.
    fn is_done(&self) -> bool {
        self.demand.is_exhausted()
            && self.under_way == 0
            && self.sessions.iter().all(|s| s.phase != Phase::Opening)
    }
}

impl<E: Exchange> Client<E> {
    pub(in crate::load) fn next_wake(&self) -> Option<Instant> {
        (!self.ended).then(|| Instant::from_nanos(self.wake_at))
    }

    pub(in crate::load) fn on_wake(&mut self, desk: &mut Desk<'_>) {
        let now = desk.now().as_nanos();
        if self.ended || self.wait_for_start(now) {
            return;
        }
        let t = self.since_start(desk.now());
        self.clock = t;
        let done = self.is_done();
        // What is counted ends the measurement when the last of it has ended, not when that is noticed.
        let end = if done && self.finished_at > 0 { self.finished_at } else { t };
        if end >= self.cut_at {
            let at = self.cut_at;
            if Some(at) != self.share.window.end {
                self.cut(desk, at);
            }
            self.cut_at = self.share.window.next_cut(t);
        }
        let over = self.share.window.end.is_some_and(|end| t >= end);
        if over || self.given_up.is_some() || self.control.stop.load(Ordering::Relaxed) || done {
            self.end(desk, end);
            return;
        }
        self.admit(t);
        let more = self.open_connections(desk, t);
        self.tidy(desk, t);
        self.begin_due(desk, t);
        self.sweep(desk, t);
        let origin = self.origin.unwrap_or(0);
        let mut next = self.cut_at.min(t + TICK);
        if more {
            next = t;
        }
        // A schedule wakes us when there is a client to take what is due.
        if !self.free.is_empty() || self.share.per_connection && !self.absent.is_empty() {
            next = self.demand.next().map_or(next, |due| due.min(next));
        }
        if let Some(step) = Steps::next(self.share.steps, t) {
            next = next.min(step);
        }
        if let Some((at, _)) = self.retry.front() {
            next = next.min(*at);
        }
        self.wake_at = origin.saturating_add(next);
    }

    pub(in crate::load) fn segments_acked(&mut self, samples: &[AckedSegment]) {
        if let Some(tally) = self.tally() {
            // What one acknowledgement covers left in few bursts: most of it took equally long.
            for equal in samples.chunk_by(|a, b| (a.first_sent, a.acked) == (b.first_sent, b.acked)) {
                let ns = equal[0].acked.nanos_since(equal[0].first_sent);
                tally.hist.record_n(hist::PACKET, ns, equal.len() as u64);
            }
        }
    }
}
