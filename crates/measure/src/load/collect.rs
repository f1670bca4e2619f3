//! The other side of the workers: takes what they have recorded in each interval, adds it up, tells the observer, and
//! notices when there is no use in going on.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;

use crate::histogram::Merge;
use crate::histogram::interval::{Collector, Slice};
use crate::result::Interval;

use super::cause::Cause;
use super::plan::Plan;
use super::run::Observer;
use super::sink::SinkWriter;
use super::tally::{Counts, Tally};

/// How often the observer is asked whether to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How much longer than its interval a worker may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the run ended before it was to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Early {
    /// The user wants no more.
    Interrupted,
    /// Nothing was ever reached.
    Unreached(Cause),
    /// Nobody has answered for too long.
    Silence,
    /// A worker is gone, or does not keep its intervals.
    WorkerLost,
    /// What is received cannot be written.
    SinkFailed,
}

/// Everything that was recorded in the measurement.
pub(super) struct Collected {
    pub(super) total: Tally,
    /// By worker, without histograms.
    pub(super) workers: Vec<Counts>,
    pub(super) intervals: Vec<Interval>,
    pub(super) drops: BTreeMap<String, u64>,
    /// End of the last interval, nanoseconds since the start.
    pub(super) end: u64,
    pub(super) cpu: (f64, f64),
    pub(super) early: Option<Early>,
    /// The figures of each interval's steps of a ramp, merged.
    pub(super) steps: Vec<(u64, u64, Tally)>,
}

/// What the collecting needs to know of the load.
pub(super) struct Terms {
    pub(super) files: bool,
    pub(super) requests: bool,
    pub(super) may_be_silent: bool,
    pub(super) timeout: Duration,
    pub(super) keep_histograms: bool,
}

/// Collects until all workers have ended.
pub(super) fn collect(plan: &Plan, terms: &Terms, observer: &mut dyn Observer) -> Collected {
    let workers = plan.collectors.len();
    let mut all = Collected {
        total: Tally::new(terms.files),
        workers: vec![Counts::default(); workers],
        intervals: Vec::new(),
        drops: BTreeMap::new(),
        end: 0,
        cpu: (0.0, 0.0),
        early: None,
        steps: Vec::new(),
    };
    let mut cpu_before = cpu_seconds();
    let mut drops_before = vec![BTreeMap::new(); workers];
    let mut waited_before = vec![0; workers];
    let mut ended = vec![false; workers];
    let (mut start, mut silent) = (0, Duration::ZERO);
    while !ended.iter().all(|ended| *ended) {
        let cut = plan.window.next_cut(start);
        let mut part = Tally::new(terms.files);
        let mut drops: BTreeMap<String, u64> = BTreeMap::new();
        let mut end = 0;
        for (worker, collector) in plan.collectors.iter().enumerate() {
            while !ended[worker] {
                let Some(slice) = next(collector, plan, &mut all, observer) else {
                    ended[worker] = true;
                    break;
                };
                let last = slice.data.last;
                let reached = slice.end_ns >= cut;
                end = end.max(slice.end_ns);
                part.merge(&slice.data);
                part.open += slice.data.open;
                part.under_way += slice.data.under_way;
                for (name, count) in &slice.data.drops {
                    let before = drops_before[worker].insert(*name, *count).unwrap_or(0);
                    *drops.entry((*name).to_owned()).or_default() += count - before;
                }
                let waited = waiting_ns(slice.data.thread);
                if slice.end_ns > plan.window.warm_up {
                    let counts = &mut all.workers[worker];
                    counts.add(&slice.data.counts);
                    counts.waiting_ns += waited.saturating_sub(waited_before[worker]);
                }
                waited_before[worker] = waited.max(waited_before[worker]);
                collector.give_back(slice);
                if last {
                    ended[worker] = true;
                }
                if reached {
                    break;
                }
            }
        }
        if end == 0 {
            break;
        }
        drops.retain(|_, count| *count > 0);
        let measured = end > plan.window.warm_up;
        observe(plan, terms, observer, &mut all, (start, end), &part, &drops);
        if measured {
            all.total.merge(&part);
            (all.total.open, all.total.under_way) = (part.open, part.under_way);
            for (name, count) in drops {
                *all.drops.entry(name).or_default() += count;
            }
            step(plan, &mut all, (start, end), &part, terms.files);
        } else {
            cpu_before = cpu_seconds();
        }
        if let Some(cause) = part.given_up {
            all.early = all.early.or(Some(Early::Unreached(cause)));
        }
        let counts = &part.counts;
        let moved = counts.connections_opened + counts.bytes_received + counts.bytes_sent + counts.requests;
        let failing = counts.errors.iter().any(|count| *count > 0) || part.under_way > 0 || part.open == 0;
        let length = Duration::from_nanos(end.saturating_sub(start));
        let failing = failing && (!terms.may_be_silent || part.open == 0);
        silent = if moved == 0 && failing { silent + length } else { Duration::ZERO };
        if silent > terms.timeout {
            all.early = all.early.or(Some(Early::Silence));
        }
        if all.early.is_some() {
            plan.control.stop.store(true, Ordering::Relaxed);
        }
        start = end.max(cut.min(end));
        all.end = all.end.max(end);
    }
    let (user, system) = cpu_seconds();
    all.cpu = (user - cpu_before.0, system - cpu_before.1);
    all
}

/// The next that a worker hands over; none when it is gone.
fn next(
    collector: &Collector<Tally>,
    plan: &Plan,
    all: &mut Collected,
    observer: &mut dyn Observer,
) -> Option<Slice<Tally>> {
    let limit = Duration::from_nanos(plan.window.interval) + PATIENCE;
    let since = Instant::now();
    loop {
        match collector.take_within(LOOK) {
            Ok(slice) => return Some(slice),
            Err(RecvTimeoutError::Disconnected) => {
                all.early = all.early.or(Some(Early::WorkerLost));
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if observer.wants_to_stop() && all.early.is_none() {
            all.early = Some(Early::Interrupted);
            plan.control.stop.store(true, Ordering::Relaxed);
        }
        if all.early.is_none() && plan.writers.iter().any(SinkWriter::has_failed) {
            all.early = Some(Early::SinkFailed);
            plan.control.stop.store(true, Ordering::Relaxed);
        }
        if since.elapsed() > limit {
            all.early = all.early.or(Some(Early::WorkerLost));
            plan.control.stop.store(true, Ordering::Relaxed);
            return None;
        }
    }
}

/// Tells of an interval.
fn observe(
    plan: &Plan,
    terms: &Terms,
    observer: &mut dyn Observer,
    all: &mut Collected,
    (start, end): (u64, u64),
    part: &Tally,
    drops: &BTreeMap<String, u64>,
) {
    let seconds = |t: u64| (t as f64 - plan.window.warm_up as f64) / 1e9;
    let mut interval = Interval::new(seconds(start), seconds(end), part.totals(terms.requests));
    interval.latency = part.hist.interval_latency(terms.keep_histograms);
    interval.drops.clone_from(drops);
    observer.interval(&interval);
    observer.histograms(&interval, &part.hist);
    if end > plan.window.warm_up && end > start {
        all.intervals.push(interval);
    }
}

/// Adds an interval to the step of the ramp in which it lies.
fn step(plan: &Plan, all: &mut Collected, (start, end): (u64, u64), part: &Tally, files: bool) {
    let Some(steps) = plan.steps else { return };
    let middle = start + (end - start) / 2;
    let number = (middle / steps.step_ns.max(1)).min(u64::from(steps.count) - 1);
    let known = all.steps.last().is_some_and(|(known, ..)| *known == number);
    if !known {
        all.steps.push((number, start, Tally::new(files)));
    }
    if let Some((_, _, tally)) = all.steps.last_mut() {
        tally.merge(part);
        tally.open = part.open;
    }
}

/// Processor time of this process in user space and in the kernel, seconds.
fn cpu_seconds() -> (f64, f64) {
    use nix::sys::resource::{UsageWho, getrusage};
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or((0.0, 0.0), |usage| (seconds(usage.user_time()), seconds(usage.system_time())))
}

/// For how long a thread of ours was ready to run and did not, nanoseconds since it began; 0 where the kernel does not
/// keep count (`/proc/PID/schedstat`, second figure).
fn waiting_ns(thread: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
    text.ok().and_then(|text| text.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
