//! A table of small entries by flow key, each with a timer: what is kept of connections that are not flows,
//! because they are not open yet or not any more. Bounded; the room is taken when the first entry comes, and
//! nothing is allocated after that.

use crate::flow_table::{FlowHasher, FlowKey, FlowTable};
use crate::slab::Slab;
use crate::timer_wheel::TimerWheel;

#[derive(Debug)]
struct Entry<T> {
    key: FlowKey,
    value: T,
}

#[derive(Debug)]
struct Room<T> {
    slots: Slab<Entry<T>>,
    table: FlowTable,
    wheel: TimerWheel,
}

/// At most `capacity` entries. Indices are good until their entry is removed.
#[derive(Debug)]
pub(crate) struct Compact<T> {
    capacity: usize,
    tick_ns: u64,
    hasher: FlowHasher,
    /// Up to when timers have fired while there was no room yet: where its wheel begins.
    fired_ns: u64,
    room: Option<Room<T>>,
}

impl<T> Compact<T> {
    pub(crate) fn new(capacity: usize, tick_ns: u64, hasher: FlowHasher) -> Self {
        Self { capacity, tick_ns, hasher, fired_ns: 0, room: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.room.as_ref().map_or(0, |room| room.slots.len())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    #[inline]
    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        let room = self.room.as_ref()?;
        if room.slots.len() == 0 { None } else { room.table.find(key) }
    }

    /// Adds an entry whose timer fires at `due_ns`; gives it back when there is no room or the key is taken.
    pub(crate) fn insert(&mut self, key: FlowKey, value: T, due_ns: u64) -> Result<u32, T> {
        let (capacity, tick_ns, hasher, fired_ns) =
            (self.capacity, self.tick_ns, &self.hasher, self.fired_ns);
        if self.is_full() {
            return Err(value);
        }
        let room = self.room.get_or_insert_with(|| Room {
            slots: Slab::with_capacity(capacity),
            table: FlowTable::with_capacity(capacity, hasher.clone()),
            wheel: TimerWheel::with_capacity(capacity, tick_ns).beginning_at(fired_ns),
        });
        let id = room.slots.insert(Entry { key, value }).map_err(|entry| entry.value)?;
        if room.table.insert(key, id.index).is_err() {
            return match room.slots.remove(id) {
                Some(entry) => Err(entry.value),
                None => Ok(id.index),
            };
        }
        room.wheel.schedule(id.index, due_ns);
        Ok(id.index)
    }

    pub(crate) fn get(&self, index: u32) -> Option<(&FlowKey, &T)> {
        self.room.as_ref()?.slots.at(index).map(|entry| (&entry.key, &entry.value))
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<(&FlowKey, &mut T)> {
        self.room.as_mut()?.slots.at_mut(index).map(|entry| (&entry.key, &mut entry.value))
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<(FlowKey, T)> {
        let room = self.room.as_mut()?;
        let entry = room.slots.remove(room.slots.id_at(index)?)?;
        room.table.remove(&entry.key);
        room.wheel.cancel(index);
        Some((entry.key, entry.value))
    }

    /// Moves an entry's timer.
    pub(crate) fn schedule(&mut self, index: u32, due_ns: u64) {
        if let Some(room) = &mut self.room {
            room.wheel.schedule(index, due_ns);
        }
    }

    /// An entry whose timer has fired; its timer is not set any more.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        let Some(room) = &mut self.room else {
            self.fired_ns = self.fired_ns.max(now_ns);
            return None;
        };
        room.wheel.pop_due(now_ns)
    }

    /// When to call [`Self::pop_due`] next: after the last time that it was called with, when it had nothing more.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.room.as_ref()?.wheel.next_deadline()
    }

    /// Indices of the entries that `wanted` says yes to. Walks all of them: not for the data path.
    pub(crate) fn indices(&self, mut wanted: impl FnMut(&FlowKey, &T) -> bool) -> Vec<u32> {
        let all = self.room.iter().flat_map(|room| room.slots.iter());
        all.filter(|(_, entry)| wanted(&entry.key, &entry.value)).map(|(id, _)| id.index).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey::v4([198, 18, 0, 1].into(), 80, [198, 18, 0, 2].into(), port)
    }

    fn table(capacity: usize) -> Compact<&'static str> {
        Compact::new(capacity, 1 << 15, FlowHasher::with_seeds([1, 2, 3, 4]))
    }

    #[test]
    fn entries_are_found_by_key_until_they_are_removed() {
        let mut t = table(4);
        assert_eq!((t.find(&key(1)), t.len()), (None, 0));
        let one = t.insert(key(1), "one", 10).unwrap();
        t.insert(key(2), "two", 20).unwrap();
        assert_eq!(t.insert(key(1), "again", 0), Err("again"));
        assert_eq!(t.find(&key(1)), Some(one));
        assert_eq!(t.remove(one), Some((key(1), "one")));
        assert_eq!((t.find(&key(1)), t.len(), t.remove(one)), (None, 1, None));
    }

    #[test]
    fn a_full_table_gives_the_entry_back() {
        let mut t = table(1);
        t.insert(key(1), "one", 0).unwrap();
        assert_eq!(t.insert(key(2), "two", 0), Err("two"));
        assert!(t.is_full());
    }

    #[test]
    fn timers_fire_once_in_order_and_not_for_what_is_gone() {
        let mut t = table(4);
        let late = t.insert(key(1), "late", 200_000).unwrap();
        let soon = t.insert(key(2), "soon", 100_000).unwrap();
        let gone = t.insert(key(3), "gone", 50_000).unwrap();
        t.remove(gone);
        assert!(t.next_deadline().is_some_and(|at| (100_000..200_000).contains(&at)));
        assert_eq!(t.pop_due(50_000), None);
        assert_eq!(
            (t.pop_due(1_000_000), t.pop_due(1_000_000), t.pop_due(1_000_000)),
            (Some(soon), Some(late), None)
        );
    }

    #[test]
    fn a_first_entry_long_after_the_start_has_its_deadline_ahead() {
        let (now, due) = (180_022_000_000, 240_022_000_000);
        let mut t = Compact::new(4, 1 << 13, FlowHasher::with_seeds([1, 2, 3, 4]));
        assert_eq!(t.pop_due(now), None);
        t.insert(key(1), "one", due).unwrap();
        assert!(t.next_deadline().is_some_and(|at| at > now && at <= due + (1 << 13)));
    }

    proptest! {
        #[test]
        fn the_next_deadline_is_ahead_of_the_last_advance_and_not_beyond_the_earliest_entry(
            begin in 0u64..1 << 50,
            steps in prop::collection::vec((0u16..8, 1u64..1 << 44, prop_oneof![Just(0u64), 0u64..1 << 20, 0u64..1 << 44]), 1..60),
        ) {
            let tick = 1 << 13;
            let mut t = Compact::new(8, tick, FlowHasher::with_seeds([1, 2, 3, 4]));
            let mut due = [None; 8];
            let mut now = begin;
            for (port, after, pause) in steps {
                while let Some(index) = t.pop_due(now) {
                    let port = t.remove(index).unwrap().1;
                    prop_assert!(due[usize::from(port)].take().is_some_and(|at| at <= now), "{} fired early", port);
                }
                prop_assert!(due.iter().flatten().all(|at| at + tick > now), "an entry did not fire");
                match t.find(&key(port)) {
                    Some(index) if after % 3 == 0 => drop(t.remove(index)),
                    Some(index) => t.schedule(index, now + after),
                    None => drop(t.insert(key(port), port, now + after)),
                }
                due[usize::from(port)] = t.find(&key(port)).map(|_| now + after);
                let first = due.iter().flatten().min();
                prop_assert_eq!(t.next_deadline().is_some(), first.is_some());
                if let (Some(next), Some(first)) = (t.next_deadline(), first) {
                    prop_assert!(next > now, "lies in the past");
                    prop_assert!(next < first + tick, "would sleep past an entry");
                }
                now += pause;
            }
        }
    }
}
