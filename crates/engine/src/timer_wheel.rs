//! When each flow wants to be woken: a hierarchical timer wheel keyed by flow index.
//!
//! Setting, moving and cancelling a timer unlink and link one node of a doubly linked list that lives in an
//! array beside the flows: no allocation, no search, a million timers or one. A timer fires at or after its
//! deadline, at most one tick late. Time is nanoseconds on whatever clock the caller passes in; the wheel
//! owns none. The worker advances it once per loop and sleeps until [`TimerWheel::next_deadline`].
//!
//! Level `l` has 64 slots of 64^l ticks each. A timer sits on the level of the highest base-64 digit in
//! which its tick differs from the current one, so everything on a level fires before anything on the next,
//! and a timer moves down at most once per level on its way (Varghese and Lauck, SOSP 1987, scheme 7).

/// Slots per level, as a power of two; 64, so that one word tells which are in use.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough digits of base 64 for any 64-bit tick, so that no deadline is ever out of reach.
const LEVELS: usize = (u64::BITS as usize).div_ceil(SLOT_BITS as usize);
/// End of a list.
const NIL: u32 = u32::MAX;
/// A node that is in no list.
const IDLE: u16 = u16::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Tick at which to fire.
    tick: u64,
    next: u32,
    prev: u32,
    /// `level * SLOTS + slot` of the list it is in, or `IDLE`.
    place: u16,
}

const EMPTY: Node = Node { tick: 0, next: NIL, prev: NIL, place: IDLE };

/// Timers for indices `0..capacity`, at most one each.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    nodes: Vec<Node>,
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    /// One bit per slot that is not empty.
    occupied: [u64; LEVELS],
    /// Every timer before this tick has fired.
    current: u64,
    /// A tick is `1 << shift` nanoseconds.
    shift: u32,
    scheduled: usize,
}

impl TimerWheel {
    /// A wheel for `capacity` indices whose tick is `tick_ns`, rounded up to a power of two.
    pub(crate) fn with_capacity(capacity: usize, tick_ns: u64) -> Self {
        let tick_ns = tick_ns.clamp(1, 1 << 62).next_power_of_two();
        let mut wheel = TimerWheel {
            nodes: Vec::new(),
            heads: Box::new([[NIL; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            current: 0,
            shift: tick_ns.trailing_zeros(),
            scheduled: 0,
        };
        wheel.grow(capacity);
        wheel
    }

    /// Makes room for indices below `capacity`; never shrinks. The only call that allocates.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if capacity > self.nodes.len() {
            self.nodes.resize(capacity, EMPTY);
        }
    }

    /// Indices this wheel has room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// Timers that are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.scheduled
    }

    /// Whether no timer is set.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.scheduled == 0
    }

    /// Length of a tick in nanoseconds: how late a timer may fire.
    pub(crate) fn tick_ns(&self) -> u64 {
        1 << self.shift
    }

    /// Sets the timer of `index`, or moves it. A deadline in the past fires with the next advance.
    ///
    /// An index beyond the capacity is a mistake of the caller; it is ignored in release builds.
    pub(crate) fn schedule(&mut self, index: u32, deadline_ns: u64) {
        debug_assert!((index as usize) < self.nodes.len(), "timer {index} beyond the wheel");
        // Rounded up: the first tick that begins at or after the deadline, so nothing fires early.
        let whole = deadline_ns >> self.shift;
        let tick = whole + u64::from(whole << self.shift != deadline_ns);
        self.schedule_tick(index, tick.max(self.current));
    }

    /// Unsets the timer of `index`; says whether there was one.
    pub(crate) fn cancel(&mut self, index: u32) -> bool {
        self.unlink(index)
    }

    /// Fires every timer that is due at `now_ns`, each once.
    #[cfg(test)]
    pub(crate) fn advance(&mut self, now_ns: u64, fire: &mut impl FnMut(u32)) {
        while let Some(index) = self.pop_due(now_ns) {
            fire(index);
        }
    }

    /// Takes one timer that is due at `now_ns`, for callers that set timers again while they work.
    ///
    /// A caller that keeps setting timers for times already past gets them back without end.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        let now = now_ns >> self.shift;
        loop {
            let Some((level, slot, start)) = self.earliest() else {
                self.current = self.current.max(now);
                return None;
            };
            if start > now {
                self.current = self.current.max(now);
                return None;
            }
            self.current = self.current.max(start);
            let index = self.heads[level][slot];
            if level == 0 {
                self.unlink(index);
                return Some(index);
            }
            // The current tick has entered this slot: all in it differ from it in lower digits only now.
            let mut index = index;
            while index != NIL {
                let node = self.nodes[index as usize];
                self.schedule_tick(index, node.tick);
                index = node.next;
            }
        }
    }

    /// When to call [`Self::advance`] next: never later than the earliest deadline plus one tick, and
    /// perhaps earlier, where a slot of a higher level has to be spread over the lower ones first.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let (_, _, start) = self.earliest()?;
        Some(start.saturating_mul(self.tick_ns()))
    }

    /// Level, slot and first tick of the first occupied slot.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let low = SLOT_BITS * level as u32;
        let above = self.current.checked_shr(low + SLOT_BITS).unwrap_or(0);
        let start = above.checked_shl(low + SLOT_BITS).unwrap_or(0) | u64::from(slot) << low;
        Some((level, slot as usize, start))
    }

    /// Links `index` for `tick`, which must not lie before the current one.
    fn schedule_tick(&mut self, index: u32, tick: u64) {
        if index as usize >= self.nodes.len() {
            return;
        }
        self.unlink(index);
        let differing = u64::BITS - (self.current ^ tick).leading_zeros();
        let level = differing.saturating_sub(1) / SLOT_BITS;
        let slot = (tick >> (level * SLOT_BITS)) as usize & (SLOTS - 1);
        let level = level as usize;
        let head = self.heads[level][slot];
        if head != NIL {
            self.nodes[head as usize].prev = index;
        }
        let place = (level * SLOTS + slot) as u16;
        self.nodes[index as usize] = Node { tick, next: head, prev: NIL, place };
        self.heads[level][slot] = index;
        self.occupied[level] |= 1 << slot;
        self.scheduled += 1;
    }

    fn unlink(&mut self, index: u32) -> bool {
        let Some(&node) = self.nodes.get(index as usize) else { return false };
        if node.place == IDLE {
            return false;
        }
        let (level, slot) = (usize::from(node.place) / SLOTS, usize::from(node.place) % SLOTS);
        if node.prev == NIL {
            self.heads[level][slot] = node.next;
            if node.next == NIL {
                self.occupied[level] &= !(1 << slot);
            }
        } else {
            self.nodes[node.prev as usize].next = node.next;
        }
        if node.next != NIL {
            self.nodes[node.next as usize].prev = node.prev;
        }
        self.nodes[index as usize].place = IDLE;
        self.scheduled -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        Schedule(u32, u64),
        Cancel(u32),
        Advance(u64),
        SleepUntilNext,
    }

    fn op() -> impl Strategy<Value = Op> {
        // Spans from below a tick to days, so that every level up to the fifth is visited.
        let span = || (0u32..48).prop_flat_map(|bits| 0u64..(1 << bits));
        prop_oneof![
            4 => (0u32..32, span()).prop_map(|(i, d)| Op::Schedule(i, d)),
            1 => (0u32..32).prop_map(Op::Cancel),
            2 => span().prop_map(Op::Advance),
            2 => Just(Op::SleepUntilNext),
        ]
    }

    proptest! {
        #[test]
        fn fires_like_a_sorted_map_within_one_tick(
            start in prop_oneof![Just(0u64), any::<u32>().prop_map(|x| u64::from(x) << 22)],
            ops in prop::collection::vec(op(), 1..120),
        ) {
            let mut wheel = TimerWheel::with_capacity(32, TICK);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            wheel.advance(now, &mut |_| {});
            for op in ops {
                match op {
                    Op::Schedule(index, after) => {
                        wheel.schedule(index, now + after);
                        model.insert(index, now + after);
                    }
                    Op::Cancel(index) => {
                        prop_assert_eq!(wheel.cancel(index), model.remove(&index).is_some());
                    }
                    Op::Advance(by) => now += by,
                    Op::SleepUntilNext => {
                        if let Some(next) = wheel.next_deadline() {
                            now = now.max(next);
                        }
                    }
                }
                for index in fired(&mut wheel, now) {
                    let deadline = model.remove(&index);
                    prop_assert!(deadline.is_some(), "{} fired without being set", index);
                    prop_assert!(deadline <= Some(now), "{} fired early", index);
                }
                prop_assert_eq!(wheel.len(), model.len());
                match (wheel.next_deadline(), model.values().min()) {
                    (None, None) => {}
                    (Some(next), Some(&real)) => {
                        prop_assert!(real + TICK > now, "a timer is more than a tick late");
                        prop_assert!(next < real + TICK, "would sleep past a deadline");
                    }
                    (next, real) => prop_assert!(false, "{:?} against {:?}", next, real),
                }
            }
        }
    }
}
