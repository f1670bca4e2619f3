//! Stretches of a stream, as a sorted list without overlaps: what has been seen, what has been acknowledged
//! selectively. Bounded: whoever makes more gaps than this in a stream is forgotten at its lower end.

/// A position in a stream: 0 is its SYN, 1 its first byte. 64 bits, so that sequence numbers may wrap.
pub type Offset = i64;

/// Most stretches that are remembered.
const MOST: usize = 512;

/// A sorted list of stretches.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Vec<(Offset, Offset)>);

impl Spans {
    /// Adds a stretch, and returns how much of it was not there yet.
    pub(super) fn add(&mut self, from: Offset, to: Offset) -> u64 {
        if to <= from {
            return 0;
        }
        let before = self.covered(from, to);
        let first = self.0.partition_point(|&(_, end)| end < from);
        let last = self.0.partition_point(|&(begin, _)| begin <= to);
        let merged = self.0[first..last].iter().fold((from, to), |(a, b), &(c, d)| (a.min(c), b.max(d)));
        self.0.splice(first..last, [merged]);
        if self.0.len() > MOST {
            self.0.remove(0);
        }
        (to - from) as u64 - before
    }

    /// Takes a stretch out.
    pub(super) fn remove(&mut self, from: Offset, to: Offset) {
        if to <= from {
            return;
        }
        let first = self.0.partition_point(|&(_, end)| end <= from);
        let last = self.0.partition_point(|&(begin, _)| begin < to);
        if first >= last {
            return;
        }
        let left = (self.0[first].0, from);
        let right = (to, self.0[last - 1].1);
        self.0.splice(first..last, [left, right].into_iter().filter(|(a, b)| a < b));
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }

    /// How much of `[from, to)` is in it.
    pub(super) fn covered(&self, from: Offset, to: Offset) -> u64 {
        let first = self.0.partition_point(|&(_, end)| end <= from);
        let reach = self.0[first..].iter().take_while(|&&(begin, _)| begin < to);
        reach.map(|&(begin, end)| (end.min(to) - begin.max(from)) as u64).sum()
    }

    /// Bytes in all stretches.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(a, b)| (b - a) as u64).sum()
    }

    /// How many stretches there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_merge_and_only_what_is_new_counts() {
        let mut spans = Spans::default();
        assert_eq!(spans.add(10, 20), 10);
        assert_eq!(spans.add(30, 40), 10);
        assert_eq!(spans.add(15, 35), 10);
        assert_eq!(spans.0, [(10, 40)]);
        assert_eq!(spans.add(40, 50), 10);
        assert_eq!(spans.0, [(10, 50)]);
        assert_eq!(spans.add(5, 5), 0);
    }

    #[test]
    fn what_is_taken_out_leaves_its_edges() {
        let mut spans = Spans::default();
        spans.add(0, 10);
        spans.add(20, 30);
        spans.remove(5, 25);
        assert_eq!(spans.0, [(0, 5), (25, 30)]);
        assert_eq!(spans.covered(3, 27), 4);
        spans.remove(-5, 100);
        assert_eq!(spans.len(), 0);
        spans.remove(0, 10);
    }

    #[test]
    fn a_comb_of_gaps_does_not_grow_without_bound() {
        let mut spans = Spans::default();
        for n in 0..10_000 {
            spans.add(n * 2, n * 2 + 1);
        }
        assert_eq!(spans.len(), MOST);
        assert_eq!(spans.covered(19_998, 19_999), 1);
    }
}
