//! TCP on a worker of the engine, run to completion: the answer is seen where the device put it, and the next message is
//! written before anything else happens.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bypath::{
    CloseReason, ConnectionId, Desk, Engine, EngineBuilder, EngineError, Instant, Service, ServiceConnection,
};
use crossbeam::channel::{Sender, bounded};

use super::rounds::{Due, PingPlan, PingReport, Rounds};
use super::slices::{self, PingRecorder, Tell};
use super::socket::stalled;
use crate::blast::clock::now_ns;
use crate::result::ErrorCode;

/// How often a worker that waits looks whether it is to stop.
const LOOK_NS: u64 = 20_000_000;

/// Why a run ended before its time, for programs and for people.
pub type Ended = (ErrorCode, String);

/// What a run came to, and why it came no further.
pub type Run = (PingReport, Option<Ended>);

/// Runs the plan against a TCP echo server; `tell` hears of each interval. Returns the engine, too, for what it has to tell of itself.
///
/// # Errors
/// The engine cannot start.
pub fn tcp(
    builder: EngineBuilder,
    target: SocketAddr,
    plan: &PingPlan,
    stop: &Arc<AtomicBool>,
    tell: &mut Tell<'_>,
) -> Result<(Engine, Run), EngineError> {
    let (give, given) = bounded(1);
    let (recorder, mut collector) = slices::channel(plan);
    // The first worker takes it; the others have nothing to do.
    let recorder = Mutex::new(Some(recorder));
    let make = {
        let (plan, stop) = (plan.clone(), Arc::clone(stop));
        move |worker: usize| PingPong {
            idle: worker != 0,
            target,
            plan: plan.clone(),
            stop: Arc::clone(&stop),
            connection: None,
            rounds: None,
            recorder: if worker == 0 { recorder.lock().ok().and_then(|mut kept| kept.take()) } else { None },
            got: 0,
            right: true,
            give: Some(give.clone()),
            wake: Instant::ZERO,
            began_ns: 0,
        }
    };
    let engine = builder.client_service(make).start()?;
    let mut run = loop {
        collector.tell(tell);
        match given.recv_timeout(Duration::from_millis(20)) {
            Ok(run) => break run,
            Err(_) if engine.wait(Duration::ZERO) => {
                let message = "the engine has stopped: its interface is gone".to_owned();
                break given
                    .try_recv()
                    .unwrap_or((PingReport::default(), Some((ErrorCode::Interface, message))));
            }
            Err(_) => {}
        }
    };
    run.0.intervals = collector.finish(tell);
    engine.wait(Duration::from_secs(2));
    Ok((engine, run))
}

struct PingPong {
    /// Workers but the first have nothing to do.
    idle: bool,
    target: SocketAddr,
    plan: PingPlan,
    stop: Arc<AtomicBool>,
    connection: Option<ConnectionId>,
    rounds: Option<Rounds>,
    recorder: Option<PingRecorder>,
    /// Bytes of the answer so far, and whether they are right.
    got: usize,
    right: bool,
    /// Where the result goes, once.
    give: Option<Sender<Run>>,
    wake: Instant,
    began_ns: u64,
}

impl PingPong {
    fn end(&mut self, ended: Option<Ended>) {
        let report = self.rounds.take().map(|rounds| rounds.finish(now_ns())).unwrap_or_default();
        if let Some(give) = self.give.take() {
            // Nobody waits for it any more: then it is not missed.
            let _ = give.send((report, ended));
        }
    }

    /// Sends what is due. Says when to be woken, by the worker's clock that shows `now`.
    fn go_on(&mut self, connection: &mut ServiceConnection<'_>) {
        let now = now_ns();
        let Some(rounds) = &mut self.rounds else { return };
        let at = match rounds.due(now) {
            Due::Now => {
                (self.got, self.right) = (0, true);
                let message = rounds.send(now);
                if connection.write(message) < message.len() {
                    self.end(Some((ErrorCode::Usage, "the message is larger than the send buffer".into())));
                    connection.abort();
                }
                now + LOOK_NS
            }
            Due::At(at) | Due::Answer(at) => at.min(now + LOOK_NS),
            Due::Never => {
                self.end(None);
                connection.close();
                now
            }
        };
        self.wake = connection.now().plus_nanos(at.saturating_sub(now));
    }
}

impl Service for PingPong {
    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        if self.idle || self.give.is_none() {
            return desk.stop();
        }
        self.wake = desk.now().plus_nanos(LOOK_NS);
        if self.stop.load(Ordering::Relaxed) {
            let message = "interrupted: this is what was measured until then".to_owned();
            self.end(Some((ErrorCode::Interrupted, message)));
            return desk.stop();
        }
        match self.connection {
            None => match desk.connect(self.target, None) {
                Ok(id) => {
                    self.connection = Some(id);
                    self.began_ns = now_ns();
                }
                Err(error) => {
                    self.end(Some((ErrorCode::Unreachable, error.to_string())));
                    desk.stop();
                }
            },
            Some(id) => {
                let waits = now_ns().saturating_sub(self.began_ns) > self.plan.timeout.as_nanos() as u64;
                if self.rounds.is_none() && waits {
                    let message = format!("{} did not answer within {:?}", self.target, self.plan.timeout);
                    self.end(Some((ErrorCode::TimedOut, message)));
                    return desk.stop();
                }
                let Some(mut connection) = desk.connection(id) else { return };
                let lost = self.rounds.as_mut().is_some_and(|rounds| {
                    rounds.is_waiting() && !matches!(rounds.due(now_ns()), Due::Answer(_))
                });
                if lost {
                    // TCP does not lose: a server that takes so long has stalled.
                    let has_answers = self.rounds.as_ref().is_some_and(Rounds::has_answers);
                    self.end(Some(stalled(self.target, has_answers, self.plan.timeout)));
                    connection.abort();
                    return desk.stop();
                }
                self.go_on(&mut connection);
                if self.give.is_none() {
                    desk.stop();
                }
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        (!self.idle).then_some(if self.give.is_none() { Instant::ZERO } else { self.wake })
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        connection.set_nodelay(true);
        self.rounds = Some(Rounds::new(&self.plan, now_ns(), self.recorder.take()));
        self.go_on(connection);
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let now = now_ns();
        let Some(rounds) = &mut self.rounds else { return };
        let wanted = rounds.message();
        let end = self.got + data.len();
        self.right &= rounds.is_waiting() && wanted.get(self.got..end) == Some(data);
        self.got = end;
        if end >= wanted.len() {
            let right = self.right;
            rounds.answered(now, right);
            self.go_on(connection);
        }
    }

    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        self.end(Some((ErrorCode::PeerGone, format!("{} closed the connection", self.target))));
        connection.close();
    }

    fn on_closed(&mut self, _: ConnectionId, reason: CloseReason) {
        let target = self.target;
        let ended = match reason {
            CloseReason::Refused => {
                (ErrorCode::Refused, format!("{target} refused the connection: nobody listens there"))
            }
            CloseReason::Reset => (ErrorCode::PeerGone, format!("{target} reset the connection")),
            CloseReason::TimedOut => (ErrorCode::TimedOut, format!("{target} does not answer")),
            CloseReason::Unreachable => (ErrorCode::Unreachable, format!("{target} cannot be reached")),
            CloseReason::Finished | CloseReason::Aborted => {
                (ErrorCode::PeerGone, format!("the connection to {target} has ended"))
            }
        };
        self.end(Some(ended));
    }
}
