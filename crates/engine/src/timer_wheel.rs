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

use bypath_wire::prefetch::prefetch;

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
    /// Indices that there is room for.
    capacity: usize,
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
            capacity: 0,
            heads: Box::new([[NIL; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            current: 0,
            shift: tick_ns.trailing_zeros(),
            scheduled: 0,
        };
        wheel.grow(capacity);
        wheel
    }

    /// The same wheel at `now_ns`, before any timer is set: for one that is made when its clock has long run.
    /// Without it the first timers would be filed as seen from time zero, in slots that began in the past.
    pub(crate) fn beginning_at(mut self, now_ns: u64) -> Self {
        debug_assert_eq!(self.scheduled, 0, "a wheel with timers is moved by firing them");
        self.current = now_ns >> self.shift;
        self
    }

    /// Makes room for indices below `capacity`; never shrinks. The only call that allocates; what is reserved is touched
    /// when an index has its first timer.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if capacity > self.capacity {
            self.capacity = capacity;
            self.nodes.reserve_exact(capacity - self.nodes.len());
        }
    }

    /// Indices this wheel has room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
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

    /// Asks for what is kept of the timer of `index`.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(node) = self.nodes.get(index as usize) {
            prefetch(node);
        }
    }

    /// Sets the timer of `index`, or moves it. A deadline in the past fires with the next advance.
    ///
    /// An index beyond the capacity is a mistake of the caller; it is ignored in release builds.
    pub(crate) fn schedule(&mut self, index: u32, deadline_ns: u64) {
        debug_assert!((index as usize) < self.capacity, "timer {index} beyond the wheel");
        // Rounded up: the first tick that begins at or after the deadline, so nothing fires early.
        let whole = deadline_ns >> self.shift;
        let tick = whole + u64::from(whole << self.shift != deadline_ns);
        self.schedule_tick(index, tick.max(self.current));
    }

    /// When the timer of `index` fires, if it is set.
    pub(crate) fn deadline(&self, index: u32) -> Option<u64> {
        let node = self.nodes.get(index as usize).filter(|node| node.place != IDLE)?;
        Some(node.tick.saturating_mul(self.tick_ns()))
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
    /// perhaps earlier, where a slot of a higher level has to be spread over the lower ones first. Never before
    /// the tick up to which the wheel has been advanced; after it, when all that was due has been taken.
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
        if index as usize >= self.nodes.len() && !self.reach(index as usize) {
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

    /// The first timer of an index: memory is touched no sooner. `false`: there is no room for it.
    #[cold]
    fn reach(&mut self, index: usize) -> bool {
        if index < self.capacity {
            self.nodes.resize(index + 1, EMPTY);
        }
        index < self.capacity
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
mod tests;
