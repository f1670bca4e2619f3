//! One or two open interfaces and the threads that send and receive on them: a trial at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bypath::tap::{TapSink, TapWriter};
use bypath_xdp::{Device, DeviceStats};
use core_affinity::CoreId;
use crossbeam::channel::{Sender, unbounded};

use super::BlastError;
use super::clock::now_ns;
use super::maker::{Content, FrameMaker};
use super::pacer::Rate;
use super::port::{InterfaceCounters, Port};
use super::receive::{ReceiveGauge, ReceivePlan, ReceiveReport, Receiver, receive};
use super::transmit::{TransmitGauge, TransmitPlan, TransmitReport, since, transmit};
use crate::capture::{TappedDevice, tapped_writer};
use crate::histogram::{Merge, NanoHistogram};

/// How long after the call the workers begin, all at once.
const START_NS: u64 = 20_000_000;
/// How often the main thread looks whether the workers are done.
const LOOK: Duration = Duration::from_millis(5);
/// How long a receiver may take to answer for its interval.
const INTERVAL_PATIENCE: Duration = Duration::from_millis(100);

/// One side of a trial.
#[derive(Debug, Clone, Default)]
pub struct SidePlan {
    /// What it sends.
    pub send: Option<Arc<Content>>,
    /// Whether it receives.
    pub receive: bool,
    /// Whether it sends back what it receives.
    pub reflect: bool,
}

/// A trial.
#[derive(Debug, Clone)]
pub struct TrialPlan {
    /// The near interface, and the far one if there is one.
    pub sides: [SidePlan; 2],
    /// How fast each side sends, all its workers together.
    pub rate: Rate,
    /// Sending before what counts.
    pub warm_up: Duration,
    /// Sending what counts, if it ends by time.
    pub duration: Option<Duration>,
    /// Frames that count for each side, if it ends by number.
    pub frames: Option<u64>,
    /// How long receivers wait for stragglers.
    pub grace: Duration,
    /// Both ends share a clock.
    pub same_clock: bool,
    /// Spin instead of sleeping.
    pub spin: bool,
    /// Tell a receiver elsewhere how many frames there were, or end when told so.
    pub end_marks: bool,
    /// Time between two interval samples.
    pub interval: Duration,
}

impl Default for TrialPlan {
    fn default() -> Self {
        TrialPlan {
            sides: [SidePlan::default(), SidePlan::default()],
            rate: Rate::Wire,
            warm_up: Duration::ZERO,
            duration: Some(Duration::from_secs(10)),
            frames: None,
            grace: Duration::from_millis(100),
            same_clock: true,
            spin: true,
            end_marks: false,
            interval: Duration::from_secs(1),
        }
    }
}

/// What happened in one interval, at all workers.
#[derive(Debug)]
pub struct IntervalSample {
    /// Its start, in seconds from the start of what counts.
    pub start_seconds: f64,
    /// Its end.
    pub end_seconds: f64,
    /// Frames sent and received.
    pub sent: u64,
    /// See `sent`.
    pub received: u64,
    /// Bytes sent, without FCS.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Times of flight.
    pub one_way: NanoHistogram,
}

/// One side after a trial.
#[derive(Debug)]
pub struct SideReport {
    /// Its senders.
    pub sent: Vec<TransmitReport>,
    /// Its receivers.
    pub received: Vec<ReceiveReport>,
    /// Its devices' counters over the trial.
    pub device: DeviceStats,
    /// The kernel's counters of the interface over the trial.
    pub kernel: InterfaceCounters,
    /// Verdicts of its steering program over the trial, those that came up.
    pub verdicts: Vec<(String, u64)>,
}

/// A trial after it ran.
#[derive(Debug)]
pub struct TrialReport {
    /// Near and far.
    pub sides: Vec<SideReport>,
    /// From the first frame that counts to the last, in seconds.
    pub seconds: f64,
    /// The intervals.
    pub intervals: Vec<IntervalSample>,
}

/// The open interfaces.
#[derive(Debug)]
pub struct Bench {
    /// Near, and far if there is one.
    pub ports: Vec<Port>,
    /// Processors to pin workers to, near ones first. Empty: not pinned.
    pub cores: Vec<usize>,
    /// Has a copy of every frame.
    pub tap: Option<TapSink>,
}

/// What a worker is given.
struct Worker<'a> {
    core: Option<usize>,
    tap: Option<TapWriter>,
    send: Option<(FrameMaker, TransmitPlan)>,
    receive: Option<&'a ReceivePlan>,
    gauges: &'a Gauges,
    intervals: Sender<NanoHistogram>,
}

#[derive(Default)]
struct Gauges {
    transmit: TransmitGauge,
    receive: ReceiveGauge,
    /// What it receives is of the intervals: of one that only sends frames back, only where nobody else receives.
    receives: bool,
    sent: AtomicBool,
    done: AtomicBool,
}

impl Gauges {
    fn of(side: &SidePlan, plan: &TrialPlan) -> Gauges {
        let alone = !plan.sides.iter().any(|side| side.receive);
        Gauges { receives: side.receive || side.reflect && alone, ..Gauges::default() }
    }
}

impl Bench {
    /// Runs one trial. `stop` ends it early, with what has been counted by then; `tell` hears of each interval.
    ///
    /// # Errors
    /// An interface has gone. What happens to frames is no error.
    pub fn trial(
        &mut self,
        plan: &TrialPlan,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&IntervalSample),
    ) -> Result<TrialReport, BlastError> {
        for port in &mut self.ports {
            port.begin()?;
        }
        let before = self.counters()?;
        let verdicts: Vec<_> = self.ports.iter().map(Port::verdicts).collect();
        let devices: Vec<DeviceStats> = self.ports.iter().map(device_stats).collect();
        // Their memory is there before the first frame is due.
        let mut taps = self.taps().into_iter();
        let start_ns = now_ns() + START_NS;
        let measured_from = start_ns + plan.warm_up.as_nanos() as u64;
        let receive_plans: Vec<ReceivePlan> =
            plan.sides.iter().map(|side| receive_plan(plan, side)).collect();
        let gauges: Vec<Gauges> = std::iter::zip(&self.ports, &plan.sides)
            .flat_map(|(port, side)| port.devices.iter().map(|_| Gauges::of(side, plan)))
            .collect();
        let (to_main, from_receivers) = unbounded();
        let cores = self.cores.clone();
        let (reports, intervals) = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut number = 0;
            for ((port, side), receiving) in self.ports.iter_mut().zip(&plan.sides).zip(&receive_plans) {
                let workers = port.devices.len();
                for (at, device) in port.devices.iter_mut().enumerate() {
                    let send = side.send.as_ref().map(|content| {
                        (FrameMaker::new(content, at, workers), transmit_plan(plan, start_ns, at, workers))
                    });
                    let worker = Worker {
                        core: cores.get(number).copied(),
                        tap: taps.next(),
                        send,
                        receive: (side.receive || side.reflect).then_some(receiving),
                        gauges: &gauges[number],
                        // Without a receiver nobody hears.
                        intervals: if gauges[number].receives { to_main.clone() } else { unbounded().0 },
                    };
                    threads.push(scope.spawn(move || worker.run(device)));
                    number += 1;
                }
            }
            drop(to_main);
            let watch = Watch { plan, gauges: &gauges, measured_from, answers: &from_receivers };
            let intervals = watch.until_done(stop, tell);
            let reports: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            (reports, intervals)
        });
        let after = self.counters()?;
        let mut reports = reports.into_iter();
        let mut sides = Vec::new();
        for (at, port) in self.ports.iter().enumerate() {
            let (sent, received): (Vec<_>, Vec<_>) = reports.by_ref().take(port.devices.len()).unzip();
            let changed = port.verdicts().into_iter().zip(&verdicts[at]);
            sides.push(SideReport {
                sent: sent.into_iter().flatten().collect(),
                received: received.into_iter().flatten().collect(),
                device: since(device_stats(port), devices[at]),
                kernel: after[at].since(before[at]),
                verdicts: changed
                    .map(|((cause, now), (_, then))| (cause, now - then))
                    .filter(|(_, count)| *count > 0)
                    .collect(),
            });
        }
        let began = sides.iter().flat_map(|side| &side.sent).map(|sent| sent.began_ns).min();
        let ended = sides.iter().flat_map(|side| &side.sent).map(|sent| sent.ended_ns).max();
        let ns = match (began, ended) {
            (Some(began), Some(ended)) => ended.saturating_sub(began),
            _ => {
                let received = || sides.iter().flat_map(|side| &side.received).filter(|r| r.frames > 0);
                let first = received().map(|received| received.first_ns).min().unwrap_or(0);
                received().map(|received| received.last_ns).max().unwrap_or(0) - first
            }
        };
        Ok(TrialReport { sides, seconds: ns as f64 / 1e9, intervals })
    }

    /// A writer for each worker, in their order.
    fn taps(&self) -> Vec<TapWriter> {
        let Some(sink) = &self.tap else { return Vec::new() };
        let devices = self.ports.iter().flat_map(|port| {
            let speed = port.facts().speed;
            port.devices.iter().map(move |device| (device, speed))
        });
        let numbered = devices.enumerate();
        numbered.map(|(number, (device, speed))| tapped_writer(device, sink, number, speed)).collect()
    }

    /// The kernel's counters of all interfaces.
    fn counters(&self) -> Result<Vec<InterfaceCounters>, BlastError> {
        self.ports.iter().map(Port::counters).collect()
    }
}

fn device_stats(port: &Port) -> DeviceStats {
    port.devices.iter().fold(DeviceStats::default(), |sum, device| sum.plus(&device.stats()))
}

fn receive_plan(plan: &TrialPlan, side: &SidePlan) -> ReceivePlan {
    ReceivePlan {
        same_clock: plan.same_clock,
        may_sleep: !plan.spin,
        reflect: side.reflect,
        grace: plan.grace,
        until_end_marks: plan.end_marks && side.send.is_none(),
    }
}

fn transmit_plan(plan: &TrialPlan, start_ns: u64, worker: usize, workers: usize) -> TransmitPlan {
    // What does not divide evenly is sent by the first workers.
    let share = |frames: u64| {
        let (workers, worker) = (workers as u64, worker as u64);
        frames / workers + u64::from(worker < frames % workers)
    };
    TransmitPlan {
        rate: plan.rate.share(workers),
        start_ns,
        warm_up: plan.warm_up,
        duration: plan.duration,
        frames: plan.frames.map(share),
        spin: plan.spin,
        end_marks: plan.end_marks,
    }
}

impl Worker<'_> {
    fn run(self, device: &mut dyn Device) -> (Option<TransmitReport>, Option<ReceiveReport>) {
        if let Some(id) = self.core {
            core_affinity::set_for_current(CoreId { id });
        }
        let mut receiver =
            self.receive.map(|plan| Receiver::new(plan, &self.gauges.receive, self.intervals.clone()));
        let mut tapped;
        let device: &mut dyn Device = match self.tap {
            Some(tap) => {
                tapped = TappedDevice::new(device, tap);
                &mut tapped
            }
            None => device,
        };
        let queue = device.info().queues.first().map_or(0, |queue| *queue as u16);
        let sent = self.send.map(|(mut maker, plan)| {
            transmit(device, &mut maker, queue, &plan, &self.gauges.transmit, receiver.as_mut())
        });
        self.gauges.sent.store(true, Ordering::Release);
        if let Some(receiver) = &mut receiver {
            receive(device, receiver);
        }
        let received = receiver.map(Receiver::finish);
        self.gauges.done.store(true, Ordering::Release);
        (sent, received)
    }
}

/// The main thread while the workers run.
struct Watch<'a> {
    plan: &'a TrialPlan,
    gauges: &'a [Gauges],
    measured_from: u64,
    answers: &'a crossbeam::channel::Receiver<NanoHistogram>,
}

impl Watch<'_> {
    fn until_done(&self, stop: &AtomicBool, tell: &mut dyn FnMut(&IntervalSample)) -> Vec<IntervalSample> {
        let mut intervals = Vec::new();
        let mut last = self.sample(None, None);
        // Waiting for stragglers is no part of the last interval.
        let mut sent_ns = None;
        let interval = (self.plan.interval.as_nanos() as u64).max(1_000_000);
        let mut next = self.measured_from + interval;
        // A receiver without a sender here ends by its time, when it is told, or when the sender says so.
        let sends = self.plan.sides.iter().any(|side| side.send.is_some());
        let deadline =
            self.plan.duration.filter(|_| !sends).map(|time| self.measured_from + time.as_nanos() as u64);
        loop {
            let now = now_ns();
            if stop.load(Ordering::Relaxed) {
                for gauges in self.gauges {
                    gauges.transmit.stop.store(true, Ordering::Relaxed);
                }
            }
            let all_sent = sends && self.gauges.iter().all(|gauges| gauges.sent.load(Ordering::Acquire));
            if all_sent {
                sent_ns.get_or_insert(now);
            }
            if all_sent || stop.load(Ordering::Relaxed) || deadline.is_some_and(|deadline| now >= deadline) {
                for gauges in self.gauges {
                    gauges.receive.stop.store(true, Ordering::Release);
                }
            }
            let done = self.gauges.iter().all(|gauges| gauges.done.load(Ordering::Acquire));
            if done || now >= next && !all_sent {
                let sample = self.sample(Some(&last), sent_ns);
                // What is left at the end is told if it is worth an interval of its own.
                if !done || sample.end_seconds - sample.start_seconds > self.plan.interval.as_secs_f64() / 2.0
                {
                    tell(&sample);
                    last = self.totals(&sample, &last);
                    intervals.push(sample);
                }
                next += interval;
            }
            if done {
                return intervals;
            }
            std::thread::sleep(LOOK.min(Duration::from_nanos(next.saturating_sub(now).max(100_000))));
        }
    }

    /// Counts since `last`, which holds totals; or the totals at the beginning.
    fn sample(&self, last: Option<&IntervalSample>, sent_ns: Option<u64>) -> IntervalSample {
        let sum = |get: &dyn Fn(&Gauges) -> u64| self.gauges.iter().map(get).sum::<u64>();
        let received = |get: &dyn Fn(&ReceiveGauge) -> u64| {
            self.gauges
                .iter()
                .filter(|gauges| gauges.receives)
                .map(|gauges| get(&gauges.receive))
                .sum::<u64>()
        };
        let mut one_way = NanoHistogram::new();
        if last.is_some() {
            let running = |gauges: &&Gauges| gauges.receives && !gauges.done.load(Ordering::Acquire);
            let asked = self.gauges.iter().filter(running).inspect(|gauges| {
                gauges.receive.interval.fetch_add(1, Ordering::Relaxed);
            });
            for _ in 0..asked.count() {
                let Ok(part) = self.answers.recv_timeout(INTERVAL_PATIENCE) else { break };
                one_way.merge(&part);
            }
            // What those that are done have left.
            while let Ok(part) = self.answers.try_recv() {
                one_way.merge(&part);
            }
        }
        let now = sent_ns.unwrap_or_else(now_ns);
        let (start, counts) = last.map_or((0.0, [0; 4]), |last| {
            (last.end_seconds, [last.sent, last.received, last.sent_bytes, last.received_bytes])
        });
        IntervalSample {
            start_seconds: start,
            end_seconds: now.saturating_sub(self.measured_from) as f64 / 1e9
                * f64::from(u8::from(last.is_some())),
            sent: sum(&|gauges| gauges.transmit.frames.load(Ordering::Relaxed)) - counts[0],
            received: received(&|gauge| gauge.frames.load(Ordering::Relaxed)) - counts[1],
            sent_bytes: sum(&|gauges| gauges.transmit.bytes.load(Ordering::Relaxed)) - counts[2],
            received_bytes: received(&|gauge| gauge.bytes.load(Ordering::Relaxed)) - counts[3],
            one_way,
        }
    }

    /// The totals after an interval.
    fn totals(&self, sample: &IntervalSample, before: &IntervalSample) -> IntervalSample {
        IntervalSample {
            start_seconds: 0.0,
            end_seconds: sample.end_seconds,
            sent: before.sent + sample.sent,
            received: before.received + sample.received,
            sent_bytes: before.sent_bytes + sample.sent_bytes,
            received_bytes: before.received_bytes + sample.received_bytes,
            one_way: NanoHistogram::new(),
        }
    }
}
