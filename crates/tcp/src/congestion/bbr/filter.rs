//! The largest of the last few: of two cycles of probing, and of some rounds.

/// The largest of the present cycle and the one before (`MaxBwFilterLen` is 2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOfTwo([u64; 2]);

impl MaxOfTwo {
    pub(super) fn get(&self) -> u64 {
        self.0[0].max(self.0[1])
    }

    pub(super) fn update(&mut self, value: u64) {
        self.0[1] = self.0[1].max(value);
    }

    /// A cycle is over. One that measured nothing does not count.
    pub(super) fn advance(&mut self) {
        if self.0[1] > 0 {
            self.0 = [self.0[1], 0];
        }
    }
}

/// The largest of at least `window` rounds and at most one and a half times as many, in two halves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOverRounds {
    values: [u32; 2],
    since: u64,
}

impl MaxOverRounds {
    pub(super) fn get(&self) -> u32 {
        self.values[0].max(self.values[1])
    }

    pub(super) fn update(&mut self, round: u64, window: u64, value: u32) {
        if round.saturating_sub(self.since) >= window.div_ceil(2) {
            self.values = [self.values[1], 0];
            self.since = round;
        }
        self.values[1] = self.values[1].max(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_two_cycles_counts_and_then_no_more() {
        let mut f = MaxOfTwo::default();
        f.update(10);
        f.update(7);
        assert_eq!(f.get(), 10);
        f.advance();
        f.update(8);
        assert_eq!(f.get(), 10);
        f.advance();
        assert_eq!(f.get(), 8);
        f.advance();
        f.advance();
        assert_eq!(f.get(), 8, "cycles without a measurement do not empty it");
    }

    #[test]
    fn a_value_is_forgotten_after_its_rounds() {
        let mut f = MaxOverRounds::default();
        f.update(100, 10, 5_000);
        f.update(104, 10, 1_000);
        assert_eq!(f.get(), 5_000);
        f.update(105, 10, 1_000);
        assert_eq!(f.get(), 5_000);
        f.update(110, 10, 1_000);
        f.update(115, 10, 1_000);
        assert_eq!(f.get(), 1_000);
    }
}
