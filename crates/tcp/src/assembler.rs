//! Which bytes beyond the next expected one have been received: sorted ranges of sequence numbers, a
//! bounded number of them. The bytes themselves are kept by the caller.

use arrayvec::ArrayVec;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

/// Most separate ranges kept for one connection. A peer that makes more holes than this has segments
/// refused, and sends them again. A window of many megabytes whose every second segment was dropped by a full
/// queue, as slow start ends, has thousands.
pub(crate) const MAX_RANGES: usize = 8_192;

/// Ranges received ahead of their turn.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// Disjoint, not touching, ascending.
    ranges: Vec<SackBlock>,
    /// Left edges of the ranges that changed last, newest first: the order in which RFC 2018 section 4
    /// wants them reported.
    recent: ArrayVec<SeqNum, 4>,
    /// Bytes in all ranges.
    stored: u32,
}

fn len(range: &SackBlock) -> u32 {
    u32::try_from(range.right.offset_from(range.left)).unwrap_or(0)
}

impl Assembler {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes in all ranges.
    pub(crate) fn stored(&self) -> u32 {
        self.stored
    }

    /// The ranges in order.
    pub(crate) fn ranges(&self) -> &[SackBlock] {
        &self.ranges
    }

    /// Adds `left..right`. `false`: no room for another range, nothing changed.
    pub(crate) fn insert(&mut self, left: SeqNum, right: SeqNum) -> bool {
        // Everything that overlaps or touches becomes one range.
        let first = self.ranges.partition_point(|r| r.right.before(left));
        let after = self.ranges.partition_point(|r| r.left.at_or_before(right)).max(first);
        let merged = if first == after {
            if self.ranges.len() >= MAX_RANGES {
                return false;
            }
            let block = SackBlock { left, right };
            self.ranges.insert(first, block);
            block
        } else {
            let block = SackBlock {
                left: self.ranges[first].left.earlier(left),
                right: self.ranges[after - 1].right.later(right),
            };
            let swallowed: u32 = self.ranges[first..after].iter().map(len).sum();
            self.stored = self.stored.saturating_sub(swallowed);
            self.ranges[first] = block;
            self.ranges.drain(first + 1..after);
            block
        };
        self.stored = self.stored.saturating_add(len(&merged));
        self.remember(merged);
        true
    }

    /// The first run of `left..right` that is stored already.
    pub(crate) fn overlap(&self, left: SeqNum, right: SeqNum) -> Option<SackBlock> {
        let range = self.ranges.get(self.ranges.partition_point(|r| r.right.at_or_before(left)))?;
        let run = SackBlock { left: range.left.later(left), right: range.right.earlier(right) };
        run.left.before(run.right).then_some(run)
    }

    fn remember(&mut self, block: SackBlock) {
        // Whatever was swallowed by the new range is no range of its own any more.
        self.recent.retain(|edge| edge.before(block.left) || edge.at_or_after(block.right));
        if self.recent.is_full() {
            self.recent.pop();
        }
        self.recent.insert(0, block.left);
    }

    /// The next expected byte has become `rcv_nxt`: takes out what it has reached, and returns how many
    /// stored bytes follow on it without a hole.
    pub(crate) fn advance(&mut self, rcv_nxt: SeqNum) -> u32 {
        let mut next = rcv_nxt;
        let mut taken = 0;
        for range in &self.ranges {
            if range.left.after(next) {
                break;
            }
            next = next.later(range.right);
            taken += 1;
        }
        if taken > 0 {
            let gone: u32 = self.ranges[..taken].iter().map(len).sum();
            self.stored = self.stored.saturating_sub(gone);
            self.ranges.drain(..taken);
            self.recent.retain(|edge| edge.at_or_after(next));
        }
        u32::try_from(next.offset_from(rcv_nxt)).unwrap_or(0)
    }

    /// Blocks to report, at most `max`, the latest first (RFC 2018 section 4).
    pub(crate) fn sack_blocks(&self, max: usize) -> ArrayVec<SackBlock, 4> {
        let mut out: ArrayVec<SackBlock, 4> = ArrayVec::new();
        let max = max.min(4);
        for edge in &self.recent {
            if out.len() == max {
                return out;
            }
            if let Ok(at) = self.ranges.binary_search_by(|r| r.left.offset_from(*edge).cmp(&0)) {
                out.extend(self.ranges.get(at).copied());
            }
        }
        for range in self.ranges.iter().rev() {
            if out.len() == max {
                break;
            }
            if !out.contains(range) {
                out.push(*range);
            }
        }
        out
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.recent.clear();
        self.stored = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seq(n: u32) -> SeqNum {
        SeqNum(n.wrapping_add(u32::MAX - 500))
    }

    fn block(l: u32, r: u32) -> SackBlock {
        SackBlock { left: seq(l), right: seq(r) }
    }

    #[test]
    fn the_latest_range_is_reported_first() {
        let mut a = Assembler::default();
        for left in [10, 30, 50, 70] {
            assert!(a.insert(seq(left), seq(left + 5)));
        }
        a.insert(seq(35), seq(38));
        assert_eq!(a.sack_blocks(3).as_slice(), [block(30, 38), block(70, 75), block(50, 55)]);
    }

    #[test]
    fn filling_the_hole_releases_what_follows() {
        let mut a = Assembler::default();
        a.insert(seq(10), seq(20));
        a.insert(seq(20), seq(25));
        a.insert(seq(40), seq(50));
        assert_eq!(a.advance(seq(10)), 15);
        assert_eq!(a.ranges(), [block(40, 50)]);
        assert_eq!(a.sack_blocks(4).as_slice(), [block(40, 50)]);
    }

    #[test]
    fn refuses_one_range_too_many_and_keeps_the_others() {
        let mut a = Assembler::default();
        for i in 0..MAX_RANGES as u32 {
            assert!(a.insert(seq(10 * i + 5), seq(10 * i + 6)));
        }
        assert!(!a.insert(seq(1_000_000), seq(1_000_001)));
        assert_eq!(a.ranges().len(), MAX_RANGES);
        assert!(a.insert(seq(6), seq(14)), "a range that touches others needs no room");
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_bytes(inserts in prop::collection::vec((1u32..300, 1u32..40), 1..60)) {
            let mut a = Assembler::default();
            let mut model = std::collections::BTreeSet::new();
            let mut base = 0u32;
            for (left, len) in inserts {
                if left <= base { continue; }
                if a.insert(seq(left), seq(left + len)) {
                    model.extend(left..left + len);
                }
                // Every third step the in-order edge moves to the first stored byte or past it.
                if (left + len) % 3 == 0 {
                    base = left.max(base);
                    let released = a.advance(seq(base));
                    let mut expect = base;
                    while model.contains(&expect) { expect += 1; }
                    prop_assert_eq!(released, expect - base);
                    base = expect;
                    model.retain(|b| *b >= base);
                }
                let stored: u32 = a.ranges().iter().map(|r| r.right.offset_from(r.left) as u32).sum();
                let stored_from_base: u32 = model.iter().filter(|b| **b >= base).count() as u32;
                prop_assert_eq!(stored, stored_from_base);
                prop_assert_eq!(stored, a.stored());
                for pair in a.ranges().windows(2) {
                    prop_assert!(pair[0].right.before(pair[1].left));
                }
            }
        }
    }
}
