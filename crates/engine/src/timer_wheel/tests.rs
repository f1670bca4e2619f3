//! The timer wheel by examples, and against an ordered set.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const TICK: u64 = 1 << 16;

fn fired(wheel: &mut TimerWheel, now: u64) -> Vec<u32> {
    let mut out = Vec::new();
    wheel.advance(now, &mut |index| out.push(index));
    out
}

#[test]
fn fires_at_the_first_tick_after_the_deadline_and_once() {
    let mut wheel = TimerWheel::with_capacity(4, TICK);
    wheel.schedule(2, TICK + 1);
    assert_eq!(fired(&mut wheel, TICK + 1), []);
    assert_eq!(fired(&mut wheel, 2 * TICK), [2]);
    assert_eq!(fired(&mut wheel, 9 * TICK), []);
    assert!(wheel.is_empty());
}

#[test]
fn a_deadline_in_the_past_fires_with_the_next_advance() {
    let mut wheel = TimerWheel::with_capacity(4, TICK);
    assert_eq!(fired(&mut wheel, 1 << 50), []);
    wheel.schedule(0, 5);
    assert_eq!(fired(&mut wheel, 1 << 50), [0]);
}

#[test]
fn moving_a_timer_forgets_the_old_deadline() {
    let mut wheel = TimerWheel::with_capacity(4, TICK);
    wheel.schedule(1, TICK);
    wheel.schedule(1, 500 * TICK);
    assert_eq!(wheel.len(), 1);
    assert_eq!(fired(&mut wheel, 499 * TICK), []);
    assert_eq!(fired(&mut wheel, 500 * TICK), [1]);
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let mut wheel = TimerWheel::with_capacity(4, TICK);
    wheel.schedule(1, TICK);
    wheel.schedule(2, TICK);
    assert!(wheel.cancel(1));
    assert!(!wheel.cancel(1));
    assert!(!wheel.cancel(77));
    assert_eq!(fired(&mut wheel, TICK), [2]);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn reaches_from_a_tick_to_the_end_of_time() {
    let mut wheel = TimerWheel::with_capacity(8, TICK);
    let hour = 3_600_000_000_000;
    for (index, deadline) in [(0, 1), (1, hour), (2, 1000 * hour), (3, u64::MAX)] {
        wheel.schedule(index, deadline);
    }
    assert_eq!(fired(&mut wheel, hour - 1), [0]);
    assert_eq!(fired(&mut wheel, hour + TICK), [1]);
    assert_eq!(fired(&mut wheel, 1000 * hour + TICK), [2]);
    assert_eq!(wheel.len(), 1);
    assert!(wheel.next_deadline().is_some());
}

#[test]
fn growing_keeps_the_timers_that_are_set() {
    let mut wheel = TimerWheel::with_capacity(1, TICK);
    wheel.schedule(0, TICK);
    wheel.grow(1000);
    wheel.schedule(999, TICK);
    let mut both = fired(&mut wheel, TICK);
    both.sort_unstable();
    assert_eq!((both, wheel.capacity()), (vec![0, 999], 1000));
}

#[test]
fn a_timer_may_be_set_again_while_due_ones_are_taken() {
    let mut wheel = TimerWheel::with_capacity(2, TICK);
    wheel.schedule(0, TICK);
    let mut count = 0;
    let mut now = 0;
    while now < 100 * TICK {
        now += TICK;
        while let Some(index) = wheel.pop_due(now) {
            wheel.schedule(index, now + 10 * TICK);
            count += 1;
        }
    }
    assert_eq!(count, 10);
}

#[derive(Debug, Clone)]
enum Op {
    /// Sets or moves a timer, to a time that may be past.
    Schedule(u32, Time),
    Cancel(u32),
    Advance(Time),
    /// As a worker sleeps: until the wheel wants to be called.
    SleepUntilNext,
    /// Takes what is due at a time one by one, and stops before the wheel has said that it is all.
    Take(Time, usize),
}

#[derive(Debug, Clone, Copy)]
enum Time {
    /// From now.
    After(u64),
    /// Nanoseconds before or after the first tick of a slot.
    Boundary { level: u32, digit: u64, offset: i64 },
}

impl Time {
    fn at(self, now: u64, shift: u32) -> u64 {
        match self {
            Time::After(span) => now.saturating_add(span),
            Time::Boundary { level, digit, offset } => {
                let start = u128::from(digit) << (level * SLOT_BITS + shift);
                u64::try_from(start).unwrap_or(u64::MAX).saturating_add_signed(offset)
            }
        }
    }
}

fn time() -> impl Strategy<Value = Time> {
    // Spans from nothing to centuries; boundaries of every level.
    let after = (0u32..=64)
        .prop_flat_map(|bits| (0..=u64::MAX.checked_shr(64 - bits).unwrap_or(0)).prop_map(Time::After));
    let boundary = (0..LEVELS as u32, 1u64..64, prop_oneof![-2i64..=2, -100_000i64..100_000])
        .prop_map(|(level, digit, offset)| Time::Boundary { level, digit, offset });
    prop_oneof![3 => after, 2 => boundary]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0u32..32, time()).prop_map(|(index, at)| Op::Schedule(index, at)),
        1 => (0u32..32).prop_map(Op::Cancel),
        2 => time().prop_map(Op::Advance),
        3 => Just(Op::SleepUntilNext),
        1 => (time(), 0usize..4).prop_map(|(at, most)| Op::Take(at, most)),
    ]
}

/// What the wheel has to do, as an ordered set of tick and index.
#[derive(Default)]
struct Model {
    order: BTreeSet<(u64, u32)>,
    ticks: [Option<u64>; 32],
}

impl Model {
    fn set(&mut self, index: u32, tick: u64) {
        self.remove(index);
        self.ticks[index as usize] = Some(tick);
        self.order.insert((tick, index));
    }

    fn remove(&mut self, index: u32) -> bool {
        let tick = self.ticks[index as usize].take();
        tick.is_some_and(|tick| self.order.remove(&(tick, index)))
    }

    fn earliest(&self) -> Option<u64> {
        self.order.first().map(|(tick, _)| *tick)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn fires_what_an_ordered_set_says_when_it_says_so(
        shift in prop_oneof![Just(0u32), Just(13), 0u32..20],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut wheel = TimerWheel::with_capacity(32, 1 << shift);
        let mut model = Model::default();
        let mut now = 0u64;
        for op in ops {
            // How many timers are taken at `now`; without a limit, all that are due.
            let mut most = usize::MAX;
            match op {
                Op::Schedule(index, at) => {
                    let deadline = at.at(now, shift);
                    wheel.schedule(index, deadline);
                    let tick = u128::from(deadline).div_ceil(1 << shift) as u64;
                    model.set(index, tick.max(wheel.current));
                    most = 0;
                }
                Op::Cancel(index) => {
                    prop_assert_eq!(wheel.cancel(index), model.remove(index));
                    most = 0;
                }
                Op::Advance(at) => now = now.max(at.at(now, shift)),
                Op::SleepUntilNext => now = now.max(wheel.next_deadline().unwrap_or(0)),
                Op::Take(at, some) => {
                    now = now.max(at.at(now, shift));
                    most = some;
                }
            }
            for _ in 0..most {
                let due = model.earliest().filter(|tick| *tick <= now >> shift);
                let Some(index) = wheel.pop_due(now) else {
                    prop_assert_eq!(due, None, "not fired when due");
                    break;
                };
                prop_assert!(due.is_some(), "{} fired early or without being set", index);
                prop_assert_eq!(model.ticks[index as usize], due, "not in order");
                model.remove(index);
            }
            if most == usize::MAX {
                prop_assert_eq!(wheel.current, now >> shift);
                prop_assert!(wheel.next_deadline().is_none_or(|at| at > now || at == u64::MAX), "lies in the past");
            }
            prop_assert!(wheel.current <= now >> shift);
            prop_assert_eq!(wheel.len(), model.order.len());
            let first = model.earliest().map(|tick| tick.saturating_mul(1 << shift));
            match (wheel.next_deadline(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => {
                    prop_assert!(next <= first, "would sleep past a deadline");
                    prop_assert!(next >= wheel.current << shift, "lies before the wheel's own position");
                }
                (next, first) => prop_assert!(false, "{:?} against {:?}", next, first),
            }
        }
    }
}
