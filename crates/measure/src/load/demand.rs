//! When a worker's clients should begin their next request: as soon as the last is answered, on a schedule, or never;
//! how many in all; and how the load grows in steps.

use crate::schedule::{RateStep, Schedule};

/// What makes a client begin.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The answer to the request before.
    Closed,
    /// The clock.
    Open(Schedule),
    /// Nothing: connections are only held.
    Idle,
}

/// Growth in equal steps, each as long as the others, up to the full load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) count: u32,
    pub(super) step_ns: u64,
}

impl Steps {
    /// The share of the full load at that time: after the last step, and without steps, all of it.
    pub(super) fn share(steps: Option<Self>, t: u64) -> f64 {
        let Some(steps) = steps else { return 1.0 };
        let done = (t / steps.step_ns.max(1)).saturating_add(1).min(u64::from(steps.count));
        done as f64 / f64::from(steps.count.max(1))
    }

    /// When the next step begins, if there is one.
    pub(super) fn next(steps: Option<Self>, t: u64) -> Option<u64> {
        let steps = steps?;
        let next = (t / steps.step_ns.max(1)).saturating_add(1);
        (next < u64::from(steps.count)).then(|| next * steps.step_ns)
    }

    /// When the step began in which `t` lies; 0 without steps.
    pub(super) fn begin(steps: Option<Self>, t: u64) -> u64 {
        let Some(steps) = steps else { return 0 };
        let last = u64::from(steps.count).saturating_sub(1);
        (t / steps.step_ns.max(1)).min(last).saturating_mul(steps.step_ns)
    }

    /// The rates of a schedule that grows so.
    pub(super) fn rates(steps: Option<Self>, per_second: f64) -> Vec<RateStep> {
        let Some(Self { count, step_ns }) = steps else { return vec![RateStep::forever(per_second)] };
        let rate = |n: u32| per_second * f64::from(n) / f64::from(count);
        let seconds = step_ns as f64 / 1e9;
        let mut rates: Vec<RateStep> =
            (1..count).map(|n| RateStep { per_second: rate(n), seconds }).collect();
        rates.push(RateStep::forever(per_second));
        rates
    }
}

/// See the module. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    kind: Kind,
    /// Requests that may still be begun.
    left: u64,
    /// Nothing is due from here on.
    end: u64,
}

impl Demand {
    /// `count`: so many and no more; `end`: nothing is begun at that time or later.
    pub(super) fn new(kind: Kind, count: Option<u64>, end: Option<u64>) -> Self {
        Self { kind, left: count.unwrap_or(u64::MAX), end: end.unwrap_or(u64::MAX) }
    }

    /// A request may be begun now: the time at which it should have been.
    pub(super) fn take(&mut self, t: u64) -> Option<u64> {
        if self.left == 0 || t >= self.end {
            return None;
        }
        let intended = match &mut self.kind {
            Kind::Closed => t,
            Kind::Open(schedule) => schedule.take(t)?.intended_ns,
            Kind::Idle => return None,
        };
        self.left -= 1;
        Some(intended)
    }

    /// When the next one should be begun, in the open loop.
    pub(super) fn next(&self) -> Option<u64> {
        match &self.kind {
            Kind::Open(schedule) if self.left > 0 => schedule.peek().filter(|next| *next < self.end),
            _ => None,
        }
    }

    /// Those that were due before `t` and not begun; they are taken by this.
    pub(super) fn missed(&mut self, t: u64) -> u64 {
        let last = t.min(self.end).saturating_sub(1);
        let mut missed = 0;
        if let Kind::Open(schedule) = &mut self.kind {
            while self.left > 0 && schedule.take(last).is_some() {
                self.left -= 1;
                missed += 1;
            }
        }
        missed
    }

    /// Whether all that was to be begun has been.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Arrivals;

    const SECOND: u64 = 1_000_000_000;

    fn open(per_second: f64, steps: Option<Steps>, end: Option<u64>) -> Demand {
        let rates = Steps::rates(steps, per_second);
        Demand::new(Kind::Open(Schedule::new(Arrivals::Constant, &rates, 0, 1).unwrap()), None, end)
    }

    #[test]
    fn the_closed_loop_begins_at_once_and_ends_with_its_count() {
        let mut demand = Demand::new(Kind::Closed, Some(2), None);
        assert_eq!([demand.take(5), demand.take(9), demand.take(11)], [Some(5), Some(9), None]);
        assert!(demand.is_exhausted());
    }

    #[test]
    fn what_was_not_begun_in_time_keeps_its_intended_start() {
        let mut demand = open(3.0, None, None);
        assert_eq!(demand.take(0), Some(0));
        assert_eq!(demand.take(1), None);
        // The server has answered nothing for a second.
        assert_eq!(demand.take(SECOND), Some(333_333_333));
        assert_eq!(demand.take(SECOND), Some(666_666_667));
        assert_eq!(demand.missed(11 * SECOND), 30);
    }

    #[test]
    fn a_rate_grows_in_steps() {
        let steps = Some(Steps { count: 4, step_ns: SECOND });
        let mut demand = open(400.0, steps, None);
        let begun = |demand: &mut Demand, t| std::iter::from_fn(|| demand.take(t)).count();
        let each: Vec<usize> = (1..=5).map(|s| begun(&mut demand, s * SECOND - 1)).collect();
        assert_eq!(each, [100, 200, 300, 400, 400]);
        assert_eq!(Steps::next(steps, 0), Some(SECOND));
        assert_eq!(Steps::next(steps, 7 * SECOND / 2), None);
    }

    #[test]
    fn nothing_is_due_behind_the_end() {
        let mut demand = open(10.0, None, Some(SECOND));
        assert_eq!(demand.missed(u64::MAX), 10);
        assert_eq!(demand.next(), None);
    }
}
