//! The keeper of a pump: a thread that starts it when its devices have much to send and its core is free, stops it when
//! they have little, and keeps it running in between. It sleeps nearly always.
//!
//! Devices change paths by themselves when they see what is wanted (`xsk/lane.rs`). The pump is halted only when its
//! rings are empty, and run again if a device that had not seen the change put something on one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::program::Program;
use super::runner::Runner;
use super::{LoadPolicy, PumpConfig, PumpUse, Shared};
use crate::error::XdpError;

/// How often the keeper looks at the load.
const TICK: Duration = Duration::from_millis(20);
/// Over how many ticks the load is taken before the pump is started, and after.
const WINDOW: u32 = 5;
/// How long the pump may take to get going.
const STARTING: Duration = Duration::from_secs(2);
/// How long devices may take to leave a pump that ends.
const LEAVING: Duration = Duration::from_millis(200);
/// How long the pump is left alone after it did not work or did not pay, at first and at most; doubled in between.
const HOLD_OFF: Duration = Duration::from_secs(2);
const LONGEST_HOLD_OFF: Duration = Duration::from_secs(60);
/// Restarts after failures before it is given up.
const RESTARTS: u32 = 3;

enum Message {
    Begin(mpsc::SyncSender<Result<(), XdpError>>),
    End,
}

/// A handle to the thread.
#[derive(Debug)]
pub(super) struct Keeper {
    messages: mpsc::Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(
        shared: &Arc<Shared>,
        program: Program,
        config: &PumpConfig,
    ) -> Result<Self, XdpError> {
        let len = config.common_len.clamp(60, super::PUMP_MAX_LEN);
        let runner = Runner::spawn(shared, program, len)?;
        let (messages, inbox) = mpsc::channel();
        let mut body = Body::new(Arc::clone(shared), runner, config.when);
        let thread = std::thread::Builder::new()
            .name("bypath-pump-keep".into())
            .spawn(move || body.serve(&inbox))
            .map_err(|error| XdpError::system("starting the pump's keeper", error))?;
        Ok(Keeper { messages, thread: Some(thread) })
    }

    pub(super) fn begin(&self) -> Result<(), XdpError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let gone = || XdpError::PumpProgram { reason: "its keeper has ended".into() };
        self.messages.send(Message::Begin(reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not running; since when there was load without interruption, in ticks.
    Off { loaded: u32 },
    /// Running and wanted, for so many ticks; little to do since.
    On { ticks: u32, idle_since: Option<Instant> },
    /// Running, not wanted any more.
    Leaving,
}

struct Body {
    shared: Arc<Shared>,
    runner: Runner,
    when: PumpUse,
    phase: Phase,
    load: Load,
    /// Packets a second before the pump was started.
    before: f64,
    retry_at: Option<Instant>,
    hold_off: Duration,
    failures: u32,
}

/// Packets offered and the core's time, over the ticks of a window.
#[derive(Debug, Default)]
struct Load {
    offered: u64,
    at: Option<Instant>,
    rate: f64,
    core: CoreTime,
    core_since: CoreTime,
}

/// Clock ticks of a core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CoreTime {
    busy: u64,
    all: u64,
}

impl Body {
    fn new(shared: Arc<Shared>, runner: Runner, when: PumpUse) -> Self {
        Body {
            shared,
            runner,
            when,
            phase: Phase::Off { loaded: 0 },
            load: Load::default(),
            before: 0.0,
            retry_at: None,
            hold_off: HOLD_OFF,
            failures: 0,
        }
    }

    fn serve(&mut self, inbox: &mpsc::Receiver<Message>) {
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Message::Begin(reply)) => {
                    let outcome = match self.when {
                        PumpUse::Always => self.turn_on(),
                        PumpUse::UnderLoad(_) => Ok(()),
                    };
                    let _ = reply.send(outcome);
                }
                Ok(Message::End) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => self.tick(),
            }
        }
        self.end();
    }

    /// The last of it: devices are asked to leave, then it stops whether they have or not.
    fn end(&mut self) {
        self.want(false);
        let start = Instant::now();
        while self.is_in_use() && start.elapsed() < LEAVING {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.runner.halt();
        self.shared.ended.store(true, Ordering::Release);
    }

    fn tick(&mut self) {
        self.load.update(&self.shared);
        if let Some(errno) = self.runner.failure() {
            self.recover(errno);
        }
        match (self.phase, self.when) {
            (Phase::Off { loaded }, PumpUse::UnderLoad(policy)) => self.watch(loaded, &policy),
            (Phase::On { ticks, idle_since }, PumpUse::UnderLoad(policy)) => {
                self.judge(ticks + 1, idle_since, &policy);
            }
            (Phase::On { .. }, PumpUse::Always) => self.want(true),
            (Phase::Leaving, _) if !self.has_frames() => {
                self.runner.halt();
                self.phase = Phase::Off { loaded: 0 };
            }
            _ => {}
        }
        // Somebody who had not seen that it stops: what is on the rings leaves before anything else.
        if matches!(self.phase, Phase::Off { .. }) && self.has_frames() && self.run().is_ok() {
            self.phase = Phase::Leaving;
        }
    }

    /// Off: is there a load that pays, and a core for it?
    fn watch(&mut self, loaded: u32, policy: &LoadPolicy) {
        let loaded = if self.load.rate >= policy.start_at as f64 { loaded + 1 } else { 0 };
        self.phase = Phase::Off { loaded };
        if loaded == 1 {
            self.load.watch_core(self.shared.core);
        }
        if loaded < WINDOW || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        if self.load.core_busy(self.shared.core) > policy.max_core_busy {
            self.phase = Phase::Off { loaded: 0 };
            let core = self.shared.core;
            self.shared.set_trouble(Some(format!("core {core} is too busy for the pump")));
            return;
        }
        self.before = self.load.rate;
        match self.turn_on() {
            Ok(()) => self.shared.set_trouble(None),
            Err(error) => {
                tracing::debug!(%error, "the pump was not used");
                self.shared.set_trouble(Some(match error {
                    XdpError::NoPump { reason, .. } => reason,
                    error => error.to_string(),
                }));
                self.leave_alone();
            }
        }
    }

    /// On: does it pay, and is there still enough to send?
    fn judge(&mut self, ticks: u32, idle_since: Option<Instant>, policy: &LoadPolicy) {
        let idle = self.load.rate < policy.stop_below as f64;
        let idle_since = idle.then(|| idle_since.unwrap_or_else(Instant::now));
        self.phase = Phase::On { ticks, idle_since };
        if idle_since.is_some_and(|since| since.elapsed() >= policy.idle_for) {
            self.hold_off = HOLD_OFF;
            self.leave();
        } else if policy.must_pay && ticks == 2 * WINDOW && !idle && self.load.rate < self.before * 0.9 {
            let text = format!(
                "it did not pay: {:.0} packets/s with it, {:.0} without",
                self.load.rate, self.before
            );
            self.shared.set_trouble(Some(text));
            self.leave_alone();
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.want(false);
        self.phase = Phase::Leaving;
    }

    fn leave_alone(&mut self) {
        self.retry_at = Some(Instant::now() + self.hold_off);
        self.hold_off = (self.hold_off * 2).min(LONGEST_HOLD_OFF);
    }

    /// Runs the program and waits until it turns.
    fn run(&mut self) -> Result<(), XdpError> {
        let turns = || self.shared.state().turns.load(Ordering::Acquire);
        let before = turns() + u64::from(self.shared.batch);
        self.runner.run();
        let start = Instant::now();
        while turns() <= before {
            if let Some(errno) = self.runner.failure() {
                let error = std::io::Error::from_raw_os_error(errno);
                return Err(XdpError::PumpProgram {
                    reason: format!("running it on live frames: {error} (Linux 5.18 or newer is needed)"),
                });
            }
            if start.elapsed() > STARTING {
                self.runner.halt();
                return Err(XdpError::PumpProgram { reason: "it does not get its core to run on".into() });
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// Runs it, tries the interfaces, and lets the devices have it.
    fn turn_on(&mut self) -> Result<(), XdpError> {
        self.run()?;
        if let Err(error) = self.shared.probe() {
            self.runner.halt();
            return Err(error);
        }
        self.phase = Phase::On { ticks: 0, idle_since: None };
        self.want(true);
        Ok(())
    }

    /// The program ended by itself: memory was short, for example. Frames stay on the rings meanwhile.
    fn recover(&mut self, errno: i32) {
        self.failures += 1;
        let error = std::io::Error::from_raw_os_error(errno);
        tracing::warn!(%error, "the pump has stopped");
        if self.failures <= RESTARTS && self.run().is_ok() {
            return;
        }
        self.want(false);
        self.shared.set_trouble(Some(format!("it has stopped for good: {error}")));
        self.shared.ended.store(true, Ordering::Release);
        self.when = PumpUse::Always;
        self.phase = Phase::Leaving;
    }

    fn want(&self, pump: bool) {
        for note in &self.shared.seats {
            note.wanted.store(pump && note.taken.load(Ordering::Acquire), Ordering::Release);
        }
    }

    fn is_in_use(&self) -> bool {
        let with_us = |at: usize| self.shared.seats[at].at_pump.load(Ordering::Acquire);
        (0..self.shared.seats.len()).any(with_us) || self.has_frames()
    }

    fn has_frames(&self) -> bool {
        !self.shared.ended.load(Ordering::Acquire)
            && (0..self.shared.seats.len()).any(|at| {
                let ring = self.shared.ring(at);
                ring.producer.load(Ordering::Acquire) != ring.consumer.load(Ordering::Acquire)
            })
    }
}

impl Load {
    fn update(&mut self, shared: &Shared) {
        let now = Instant::now();
        let offered = shared.seats.iter().map(|note| note.offered.load(Ordering::Relaxed)).sum();
        if let Some(at) = self.at.replace(now) {
            let seconds = now.duration_since(at).as_secs_f64().max(1e-6);
            let rate = u64::saturating_sub(offered, self.offered) as f64 / seconds;
            // Over some ticks: a stack sends in bursts.
            self.rate += (rate - self.rate) * 0.4;
        }
        self.offered = offered;
    }

    fn watch_core(&mut self, core: usize) {
        self.core_since = CoreTime::read(core).unwrap_or_default();
    }

    /// How busy the core has been since [`Load::watch_core`]; not at all if that is not known.
    fn core_busy(&mut self, core: usize) -> f64 {
        let Some(now) = CoreTime::read(core) else { return 0.0 };
        self.core = now;
        let all = now.all.saturating_sub(self.core_since.all);
        if all == 0 { 0.0 } else { now.busy.saturating_sub(self.core_since.busy) as f64 / all as f64 }
    }
}

impl CoreTime {
    fn read(core: usize) -> Option<CoreTime> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?, core)
    }

    /// `cpuN user nice system idle iowait irq softirq steal …` (proc(5)).
    fn parse(table: &str, core: usize) -> Option<CoreTime> {
        let name = format!("cpu{core}");
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
        let ticks: Vec<u64> = row.split_whitespace().skip(1).take(8).filter_map(|n| n.parse().ok()).collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Some(CoreTime { busy: all - idle, all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cores_time_is_read_from_its_own_row() {
        let table = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 10 20 4 5 6 0 0\ncpu10 0 0 0 7 0 0 0 0 0 0\n";
        assert_eq!(CoreTime::parse(table, 1), Some(CoreTime { busy: 21, all: 51 }));
        assert_eq!(CoreTime::parse(table, 10), Some(CoreTime { busy: 0, all: 7 }));
        assert_eq!(CoreTime::parse(table, 2), None);
    }
}
