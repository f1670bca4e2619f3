//! Is the clock to be trusted? CLOCK_MONOTONIC, by which times are taken, is compared with CLOCK_MONOTONIC_RAW, which
//! nobody adjusts, and with itself.

use std::hint::black_box;

use nix::time::{ClockId, clock_gettime};

use crate::result::Clock;

/// Readings for resolution and cost: a few dozen microseconds.
const READINGS: u32 = 1_000;
/// A comparison is made this often, and the one that took the least time counts: then nothing came between its readings.
const TRIES: u32 = 5;

/// A comparison of both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// CLOCK_MONOTONIC.
    time: i128,
    /// CLOCK_MONOTONIC_RAW at the same moment.
    raw: i128,
    /// How well "the same moment" is known.
    doubt: i128,
}

fn read(clock: ClockId) -> i128 {
    // The kernel has both clocks, so reading them does not fail.
    clock_gettime(clock).map_or(0, |t| i128::from(t.tv_sec()) * 1_000_000_000 + i128::from(t.tv_nsec()))
}

fn pair() -> Pair {
    let one = || {
        let before = read(ClockId::CLOCK_MONOTONIC);
        let raw = read(ClockId::CLOCK_MONOTONIC_RAW);
        let after = read(ClockId::CLOCK_MONOTONIC);
        Pair { time: before + (after - before) / 2, raw, doubt: (after - before).max(0) }
    };
    let mut best = one();
    for _ in 1..TRIES {
        let next = one();
        if next.doubt < best.doubt {
            best = next;
        }
    }
    best
}

/// What was seen of the clock.
#[derive(Debug)]
pub(super) struct ClockWatch {
    first: Pair,
    last: Pair,
    seen: Clock,
}

impl ClockWatch {
    pub(super) fn begin() -> ClockWatch {
        let mut seen = Clock {
            source: super::line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            ..Clock::default()
        };
        let begun = read(ClockId::CLOCK_MONOTONIC);
        let mut last = begun;
        let mut smallest = i128::MAX;
        for _ in 0..READINGS {
            let now = black_box(read(ClockId::CLOCK_MONOTONIC));
            if now > last {
                smallest = smallest.min(now - last);
            }
            seen.backward_steps += u64::from(now < last);
            last = now;
        }
        seen.read_cost_ns = (last - begun) as f64 / f64::from(READINGS);
        seen.resolution_ns = u64::try_from(smallest).unwrap_or(0);
        let first = pair();
        ClockWatch { first, last: first, seen }
    }

    pub(super) fn look(&mut self) {
        self.compare(pair());
    }

    fn compare(&mut self, now: Pair) {
        self.seen.backward_steps += u64::from(now.time < self.last.time);
        let moved = (now.time - self.last.time) - (now.raw - self.last.raw);
        // What slewing explains, 500 ppm at most, and what is not known exactly, is no jump.
        let slewed = (now.raw - self.last.raw).abs() / 2_000;
        let jump = moved.abs() - slewed - now.doubt - self.last.doubt;
        self.seen.largest_jump_ns = self.seen.largest_jump_ns.max(u64::try_from(jump).unwrap_or(0));
        self.last = now;
    }

    pub(super) fn end(mut self) -> Clock {
        let raw = self.last.raw - self.first.raw;
        let apart = (self.last.time - self.first.time) - raw;
        // Over less than a tenth of a second the doubt is larger than the drift.
        if raw > 100_000_000 {
            self.seen.drift_ppm = apart as f64 / raw as f64 * 1e6;
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch that has seen the clocks at these times, in microseconds.
    fn watched(times: &[(i128, i128)]) -> Clock {
        let pairs = times.iter().map(|(time, raw)| Pair { time: time * 1_000, raw: raw * 1_000, doubt: 50 });
        let mut pairs = pairs.collect::<Vec<_>>().into_iter();
        let first = pairs.next().expect("a first look");
        let mut watch = ClockWatch { first, last: first, seen: Clock::default() };
        pairs.for_each(|pair| watch.compare(pair));
        watch.end()
    }

    #[test]
    fn clocks_that_agree_have_neither_jump_nor_drift() {
        let seen = watched(&[(10, 5), (1_000_010, 1_000_005), (2_000_010, 2_000_005)]);
        assert_eq!((seen.backward_steps, seen.largest_jump_ns, seen.drift_ppm), (0, 0, 0.0));
    }

    #[test]
    fn slewing_is_drift_and_no_jump() {
        let seen = watched(&[(0, 0), (1_000_400, 1_000_000), (2_000_800, 2_000_000)]);
        assert_eq!(seen.largest_jump_ns, 0);
        assert!((seen.drift_ppm - 400.0).abs() < 1.0, "{seen:?}");
    }

    #[test]
    fn a_jump_is_seen_forwards_and_backwards() {
        let forwards = watched(&[(0, 0), (1_000_000, 1_000_000), (2_300_000, 2_000_000)]);
        assert!(forwards.largest_jump_ns > 290_000_000, "{forwards:?}");
        let backwards = watched(&[(0, 0), (1_000_000, 1_000_000), (900_000, 2_000_000)]);
        assert_eq!(backwards.backward_steps, 1);
        assert!(backwards.largest_jump_ns > 1_000_000_000, "{backwards:?}");
    }
}
