//! Where a run is cut into intervals: at the end of the warm-up, then at equal distances, where a step of a ramp ends, and
//! at the end. All workers cut at the same moments, so that what they record can be added up.

use super::demand::Steps;

/// Times are nanoseconds since the start of the run, with the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) warm_up: u64,
    pub(super) interval: u64,
    /// None: until all is done.
    pub(super) end: Option<u64>,
    /// No interval has parts of two steps in it: each step has figures of its own.
    pub(super) steps: Option<Steps>,
}

impl Window {
    /// The first cut after `t`.
    pub(super) fn next_cut(&self, t: u64) -> u64 {
        let interval = self.interval.max(1);
        let regular = match t.checked_sub(self.warm_up) {
            Some(measured) => self.warm_up + (measured / interval + 1) * interval,
            None => ((t / interval + 1) * interval).min(self.warm_up),
        };
        let step = Steps::next(self.steps, t).unwrap_or(u64::MAX);
        regular.min(step).min(self.end.filter(|end| *end > t).unwrap_or(u64::MAX))
    }

    /// The cut before the one at `cut`: the start of the interval that ends there.
    pub(super) fn cut_before(&self, cut: u64) -> u64 {
        let interval = self.interval.max(1);
        let regular = match cut.checked_sub(self.warm_up) {
            Some(measured) if measured > 0 => self.warm_up + (measured - 1) / interval * interval,
            _ => cut.saturating_sub(1) / interval * interval,
        };
        regular.max(Steps::begin(self.steps, cut.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(window: Window, until: u64) -> Vec<u64> {
        let mut at = vec![window.next_cut(0)];
        while at[at.len() - 1] < until {
            at.push(window.next_cut(at[at.len() - 1]));
        }
        at
    }

    #[test]
    fn the_warm_up_ends_an_interval_and_the_run_ends_the_last() {
        let window = Window { warm_up: 25, interval: 10, end: Some(58), steps: None };
        assert_eq!(cuts(window, 58), [10, 20, 25, 35, 45, 55, 58]);
        for pair in cuts(window, 58).windows(2) {
            assert_eq!(window.cut_before(pair[1]), pair[0]);
        }
        assert_eq!(window.cut_before(10), 0);
    }

    #[test]
    fn a_late_cut_does_not_move_the_next() {
        let window = Window { warm_up: 0, interval: 10, end: None, steps: None };
        assert_eq!(window.next_cut(37), 40);
        assert_eq!(window.next_cut(40), 50);
    }

    /// Four steps in 30, and an interval that is no part of them.
    #[test]
    fn a_step_of_a_ramp_ends_an_interval_whatever_its_length() {
        let steps = Some(Steps { count: 4, step_ns: 7 });
        let window = Window { warm_up: 0, interval: 10, end: Some(40), steps };
        assert_eq!(cuts(window, 40), [7, 10, 14, 20, 21, 30, 40]);
        for pair in cuts(window, 40).windows(2) {
            assert_eq!(window.cut_before(pair[1]), pair[0]);
        }
        assert_eq!(window.cut_before(7), 0);
    }
}
