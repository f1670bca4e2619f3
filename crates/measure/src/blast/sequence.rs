//! What became of a stream's frames, told from their sequence numbers: lost, reordered, twice, too late to say.
//!
//! Reordered is what RFC 4737 §3 calls so: a frame that comes after one with a higher number, counted once for each
//! such frame. Loss is what never came; a frame that is merely late is no loss. Memory is a window of the last
//! [`WINDOW`] numbers.

/// Numbers behind the highest for which it is still known whether they came.
pub const WINDOW: u64 = 8192;
const WORDS: usize = (WINDOW / 64) as usize;

/// Counts of one or several streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SequenceCounts {
    /// Different frames that arrived.
    pub unique: u64,
    /// Of those, the ones that came after a later one.
    pub reordered: u64,
    /// Frames that came again.
    pub duplicates: u64,
    /// Frames so late that it cannot be told whether they are duplicates. Not among the others.
    pub too_late: u64,
    /// The farthest that one fell behind, in frames.
    pub max_displacement: u64,
}

impl SequenceCounts {
    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        SequenceCounts {
            unique: self.unique + other.unique,
            reordered: self.reordered + other.reordered,
            duplicates: self.duplicates + other.duplicates,
            too_late: self.too_late + other.too_late,
            max_displacement: self.max_displacement.max(other.max_displacement),
        }
    }
}

/// Follows one stream.
#[derive(Debug, Clone)]
pub struct SequenceTracker {
    /// One past the highest number seen.
    next: u64,
    /// Which of the numbers `next - WINDOW .. next` came, at `number % WINDOW`.
    seen: Box<[u64; WORDS]>,
    counts: SequenceCounts,
}

impl Default for SequenceTracker {
    fn default() -> Self {
        SequenceTracker { next: 0, seen: Box::new([0; WORDS]), counts: SequenceCounts::default() }
    }
}

impl SequenceTracker {
    /// A frame arrived; `low` are the low 32 bits of its number.
    #[inline]
    pub fn arrived(&mut self, low: u32) {
        // The number with these low bits that is nearest to what is expected.
        let ahead = i64::from(low.wrapping_sub(self.next as u32) as i32);
        let Some(number) = self.next.checked_add_signed(ahead) else {
            // Before the beginning: a stray of an earlier run.
            self.counts.too_late += 1;
            return;
        };
        if number >= self.next {
            self.forget(self.next, number);
            self.next = number + 1;
            self.mark(number);
            self.counts.unique += 1;
            return;
        }
        let behind = self.next - 1 - number;
        if behind >= WINDOW {
            self.counts.too_late += 1;
        } else if self.came(number) {
            self.counts.duplicates += 1;
        } else {
            self.mark(number);
            self.counts.unique += 1;
            self.counts.reordered += 1;
            self.counts.max_displacement = self.counts.max_displacement.max(behind);
        }
    }

    /// One past the highest number seen.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The counts so far.
    pub fn counts(&self) -> SequenceCounts {
        self.counts
    }

    #[inline]
    fn mark(&mut self, number: u64) {
        self.seen[(number / 64) as usize % WORDS] |= 1 << (number % 64);
    }

    #[inline]
    fn came(&self, number: u64) -> bool {
        self.seen[(number / 64) as usize % WORDS] >> (number % 64) & 1 == 1
    }

    /// Clears the marks of `from..=to`, which the window now covers anew.
    #[inline]
    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.seen.fill(0);
            return;
        }
        let mut at = from;
        while at <= to {
            let upto = (at | 63).min(to);
            let bits = upto - at + 1;
            let mask = if bits == 64 { u64::MAX } else { ((1 << bits) - 1) << (at % 64) };
            self.seen[(at / 64) as usize % WORDS] &= !mask;
            at = upto + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// The same, remembering everything.
    #[derive(Default)]
    struct Book {
        came: HashSet<u64>,
        highest: Option<u64>,
        counts: SequenceCounts,
    }

    impl Book {
        fn arrived(&mut self, number: u64) {
            if self.highest.is_some_and(|highest| number + WINDOW <= highest) {
                self.counts.too_late += 1;
            } else if !self.came.insert(number) {
                self.counts.duplicates += 1;
            } else {
                self.counts.unique += 1;
                if let Some(behind) = self.highest.and_then(|highest| highest.checked_sub(number)) {
                    self.counts.reordered += 1;
                    self.counts.max_displacement = self.counts.max_displacement.max(behind);
                }
            }
            self.highest = self.highest.max(Some(number));
        }
    }

    proptest! {
        #[test]
        fn counts_as_a_book_that_remembers_everything(
            base in prop_oneof![Just(0u64), Just(u64::from(u32::MAX) - 500)],
            steps in prop::collection::vec(
                prop_oneof![8 => 0i64..4, 2 => -200i64..200, 1 => -12_000i64..12_000], 1..3000),
        ) {
            let (mut tracker, mut book) = (SequenceTracker::default(), Book::default());
            let mut at = 0i64;
            // A sender of long standing: the tracker has followed it from zero.
            if base > 0 {
                for number in [1 << 30, 2 << 30, 3 << 30, base - 1] {
                    tracker.arrived(number as u32);
                    book.arrived(number);
                }
            }
            for step in steps {
                at = (at + step).max(0);
                let number = base + at as u64;
                tracker.arrived(number as u32);
                book.arrived(number);
            }
            prop_assert_eq!(tracker.counts(), book.counts);
            prop_assert_eq!(Some(tracker.next() - 1), book.highest);
        }
    }

    #[test]
    fn strays_from_before_the_beginning_are_too_late() {
        let mut tracker = SequenceTracker::default();
        tracker.arrived(u32::MAX);
        assert_eq!(tracker.counts(), SequenceCounts { too_late: 1, ..SequenceCounts::default() });
    }
}
