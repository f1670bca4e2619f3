//! Open-loop schedules: when each request, or frame, is due, whatever becomes of the ones before it.
//!
//! A schedule is a rate over time, in steps, and a process of arrivals: constant spacing, or Poisson from a seed. It is
//! split over workers so that their sum is the schedule that was asked for: with constant spacing worker `k` of `w` has
//! every `w`-th arrival, a Poisson process falls into `w` independent ones of a `w`-th of the rate.
//!
//! Arrival times are computed from their number, not by adding up rounded gaps, so the long-run rate is exact.
//! Latencies are measured from the intended start ([`Due::intended_ns`]): a generator that waits for a slow answer would
//! otherwise leave out exactly the requests that would have met the stall (coordinated omission). How well the generator
//! itself kept the schedule is recorded apart ([`OpenLoop`]), because its own lateness must not be taken for the
//! target's.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

use crate::histogram::NanoHistogram;
use crate::result::Generator;

/// How arrivals lie within their rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant,
    /// Independently of each other, as those of many users: gaps are exponentially distributed.
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

/// A rate, and for how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStep {
    /// Arrivals per second, over all workers. 0 is a pause.
    pub per_second: f64,
    /// Length in seconds; infinite for a rate that is kept until the run ends.
    pub seconds: f64,
}

impl RateStep {
    /// A rate without an end.
    pub fn forever(per_second: f64) -> RateStep {
        RateStep { per_second, seconds: f64::INFINITY }
    }

    /// Equal steps from one rate to another, both included.
    pub fn ramp(from: f64, to: f64, steps: u32, seconds_each: f64) -> Vec<RateStep> {
        let last = steps.saturating_sub(1);
        (0..steps)
            .map(|n| {
                let share = if last == 0 { 1.0 } else { f64::from(n) / f64::from(last) };
                RateStep { per_second: from + (to - from) * share, seconds: seconds_each }
            })
            .collect()
    }
}

/// Why there is no such schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A rate that is negative, not a number, or beyond what a clock in nanoseconds can tell apart.
    #[error("a rate must lie between 0 and 1,000,000,000 per second")]
    Rate,
    /// A step that has no length.
    #[error("each step must last longer than 0 seconds, and only the last may have no end")]
    Length,
    /// No step, or nothing but pauses.
    #[error("a schedule needs at least one step with a rate above 0")]
    Nothing,
    /// A worker that is not one of them.
    #[error("there is no such worker")]
    Worker,
}

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it should begin, nanoseconds from the start of the schedule.
    pub intended_ns: u64,
    /// The step that it belongs to, from 0.
    pub step: usize,
}

/// A step in nanoseconds, with the number of arrivals (of all workers) due before it.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start_ns: f64,
    end_ns: f64,
    seconds: f64,
    per_second: f64,
    before: f64,
}

impl Segment {
    /// Arrivals due by its end.
    fn after(&self) -> f64 {
        if self.per_second == 0.0 { self.before } else { self.before + self.seconds * self.per_second }
    }
}

/// The arrivals of one worker, in order. Taking one does not allocate.
#[derive(Clone, Debug)]
pub struct Schedule {
    segments: Vec<Segment>,
    /// The segment of the next arrival; as many as there are: none is left.
    at: usize,
    /// The next arrival, counted over all workers: not a whole number with Poisson.
    position: f64,
    stride: f64,
    random: Option<Xoshiro256PlusPlus>,
    next: Option<Due>,
    taken: u64,
}

impl Schedule {
    /// The arrivals that worker `worker` of `workers` has to begin.
    pub fn new(
        arrivals: Arrivals,
        steps: &[RateStep],
        worker: u32,
        workers: u32,
    ) -> Result<Schedule, ScheduleError> {
        if worker >= workers {
            return Err(ScheduleError::Worker);
        }
        let segments = segments(steps)?;
        let random = match arrivals {
            Arrivals::Constant => None,
            Arrivals::Poisson { seed } => {
                let own = seed.wrapping_add(u64::from(worker).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Some(Xoshiro256PlusPlus::seed_from_u64(own))
            }
        };
        let stride = f64::from(workers);
        let position = if random.is_some() { 0.0 } else { f64::from(worker) };
        let mut schedule = Schedule { segments, at: 0, position, stride, random, next: None, taken: 0 };
        schedule.position += schedule.gap_before_first();
        schedule.find();
        Ok(schedule)
    }

    /// When the next arrival is due, nanoseconds from the start; `None`: the schedule has ended.
    #[inline]
    pub fn peek(&self) -> Option<u64> {
        self.next.map(|due| due.intended_ns)
    }

    /// The next arrival, if it is due at `now_ns`.
    #[inline]
    pub fn take(&mut self, now_ns: u64) -> Option<Due> {
        let due = self.next.filter(|due| due.intended_ns <= now_ns)?;
        self.taken += 1;
        self.position += self.gap();
        self.find();
        Some(due)
    }

    /// How many were taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The step that is running at `now_ns`; the last one when all have ended.
    pub fn step_at(&self, now_ns: u64) -> usize {
        let now = now_ns as f64;
        let last = self.segments.len().saturating_sub(1);
        self.segments.iter().position(|segment| now < segment.end_ns).unwrap_or(last)
    }

    /// When the last step ends, if it does.
    pub fn end_ns(&self) -> Option<u64> {
        self.segments.last().map(|last| last.end_ns).filter(|end| end.is_finite()).map(|end| end as u64)
    }

    /// Arrivals that all workers together were asked for until `now_ns`.
    pub fn intended_by(&self, now_ns: u64) -> f64 {
        let now = now_ns as f64;
        let current = self.segments.iter().find(|segment| now < segment.end_ns);
        current.map_or_else(
            || self.segments.last().map_or(0.0, Segment::after),
            |segment| segment.before + (now - segment.start_ns) / 1e9 * segment.per_second,
        )
    }

    fn gap_before_first(&mut self) -> f64 {
        if self.random.is_some() { self.gap() } else { 0.0 }
    }

    /// From one arrival of this worker to the next, counted in arrivals of all workers.
    fn gap(&mut self) -> f64 {
        match &mut self.random {
            None => self.stride,
            Some(random) => {
                // From 0 up to and without 1, so that the logarithm is finite.
                let unit = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                -(1.0 - unit).ln() * self.stride
            }
        }
    }

    /// Finds the time of the arrival at `position`.
    fn find(&mut self) {
        while let Some(segment) = self.segments.get(self.at) {
            if self.position < segment.after() {
                let ns = segment.start_ns + (self.position - segment.before) / segment.per_second * 1e9;
                // Rounded to the nearest, but not out of its step.
                let ns = ns.round().min(segment.end_ns - 1.0);
                self.next = Some(Due { intended_ns: ns as u64, step: self.at });
                return;
            }
            self.at += 1;
        }
        self.next = None;
    }
}

fn segments(steps: &[RateStep]) -> Result<Vec<Segment>, ScheduleError> {
    let mut segments = Vec::with_capacity(steps.len());
    let (mut start_ns, mut before) = (0.0, 0.0);
    for (n, step) in steps.iter().enumerate() {
        if !(0.0..=1e9).contains(&step.per_second) {
            return Err(ScheduleError::Rate);
        }
        let endless = step.seconds.is_infinite() && n + 1 < steps.len();
        // Also true of what is not a number.
        let positive = step.seconds > 0.0;
        if !positive || endless {
            return Err(ScheduleError::Length);
        }
        let end_ns = start_ns + step.seconds * 1e9;
        let RateStep { per_second, seconds } = *step;
        let segment = Segment { start_ns, end_ns, seconds, per_second, before };
        (start_ns, before) = (end_ns, segment.after());
        segments.push(segment);
    }
    if segments.iter().all(|segment| segment.per_second == 0.0) {
        return Err(ScheduleError::Nothing);
    }
    Ok(segments)
}

/// A schedule being kept: what is due is noticed as soon as the worker looks, and begun as soon as there is something to
/// begin it on.
///
/// Two cursors run over the same arrivals, so a backlog of a million requests behind a stalled server takes no memory.
/// Lateness is the time from the intended start to the notice. What comes after it, waiting for a free connection, is
/// the target's doing and part of the latency.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    notice: Schedule,
    begin: Schedule,
    lateness: NanoHistogram,
}

impl OpenLoop {
    /// Keeps this schedule, from its start.
    pub fn new(schedule: Schedule) -> OpenLoop {
        OpenLoop { begin: schedule.clone(), notice: schedule, lateness: NanoHistogram::new() }
    }

    /// Looks what is due at `now_ns` (from the start of the schedule), and records how late that was seen. Returns the
    /// backlog: what is due and not begun.
    #[inline]
    pub fn notice(&mut self, now_ns: u64) -> u64 {
        while let Some(due) = self.notice.take(now_ns) {
            self.lateness.record(now_ns - due.intended_ns);
        }
        self.backlog()
    }

    /// The oldest of the backlog, to be begun now.
    #[inline]
    pub fn begin(&mut self) -> Option<Due> {
        if self.backlog() == 0 {
            return None;
        }
        self.begin.take(u64::MAX)
    }

    /// What is due and not begun.
    #[inline]
    pub fn backlog(&self) -> u64 {
        self.notice.taken().saturating_sub(self.begin.taken())
    }

    /// When [`OpenLoop::notice`] should be called next.
    #[inline]
    pub fn next_ns(&self) -> Option<u64> {
        self.notice.peek()
    }

    /// How late arrivals were noticed.
    pub fn lateness(&self) -> &NanoHistogram {
        &self.lateness
    }

    /// Begins to count lateness anew, after warm-up.
    pub fn forget_lateness(&mut self) {
        use crate::histogram::Merge as _;
        self.lateness.clear();
    }

    /// The schedule as it was noticed.
    pub fn schedule(&self) -> &Schedule {
        &self.notice
    }
}

/// What a result says about the generator: `intended` and `started` are those of the measurement, over all workers.
pub fn generator(
    arrivals: Arrivals,
    per_second: f64,
    intended: u64,
    started: u64,
    lateness: &NanoHistogram,
) -> Generator {
    let (name, seed) = match arrivals {
        Arrivals::Constant => ("constant", None),
        Arrivals::Poisson { seed } => ("poisson", Some(seed)),
    };
    Generator {
        schedule: name.to_owned(),
        seed,
        intended_per_second: per_second,
        intended,
        started,
        not_started: intended.saturating_sub(started),
        lateness: lateness.summary(true),
    }
}

#[cfg(test)]
mod tests;
