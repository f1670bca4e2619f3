//! Where a worker keeps its flows: fixed slots, addressed by index, guarded by a generation.
//!
//! An index is small enough for hash tables and timer nodes; the generation tells an old [`FlowId`], held
//! by an application or waiting in a queue, from the flow that took its slot since. Slots are reused
//! last-in, first-out, so that a server with few flows stays in few cache lines.

use bypath_wire::prefetch::prefetch;

/// Names one flow of one worker, for as long as the flow lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowId {
    /// Slot, also the key of the flow's timer.
    pub(crate) index: u32,
    /// How often the slot was emptied before.
    pub(crate) generation: u32,
}

const NIL: u32 = u32::MAX;

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    /// Free, with the next free slot.
    Free(u32),
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    slot: Slot<T>,
}

/// At most `capacity` values of `T`; memory is reserved up front and touched on first use.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    capacity: usize,
    free: u32,
    len: usize,
}

impl<T> Slab<T> {
    /// Room for `capacity` values, at most `u32::MAX - 1`.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.min(NIL as usize - 1);
        Slab { entries: Vec::with_capacity(capacity), capacity, free: NIL, len: 0 }
    }

    /// Values stored now.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The id that the next [`Self::insert`] returns, for values that want to know their own.
    pub(crate) fn next_id(&self) -> Option<FlowId> {
        match self.entries.get(self.free as usize) {
            Some(entry) => Some(FlowId { index: self.free, generation: entry.generation }),
            None if self.entries.len() < self.capacity => {
                Some(FlowId { index: self.entries.len() as u32, generation: 0 })
            }
            None => None,
        }
    }

    /// Stores `value`, or gives it back when all slots are taken.
    pub(crate) fn insert(&mut self, value: T) -> Result<FlowId, T> {
        let Some(id) = self.next_id() else { return Err(value) };
        match self.entries.get_mut(id.index as usize) {
            Some(entry) => {
                if let Slot::Free(next) = entry.slot {
                    self.free = next;
                }
                entry.slot = Slot::Taken(value);
            }
            None => self.entries.push(Entry { generation: 0, slot: Slot::Taken(value) }),
        }
        self.len += 1;
        Ok(id)
    }

    /// Takes the value out; every copy of `id` is stale from now on.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<T> {
        let entry = self.entries.get_mut(id.index as usize)?;
        if entry.generation != id.generation || matches!(entry.slot, Slot::Free(_)) {
            return None;
        }
        entry.generation = entry.generation.wrapping_add(1);
        let taken = std::mem::replace(&mut entry.slot, Slot::Free(self.free));
        self.free = id.index;
        self.len -= 1;
        match taken {
            Slot::Taken(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// The value of `id`, unless it was removed.
    #[cfg(test)]
    pub(crate) fn get(&self, id: FlowId) -> Option<&T> {
        match self.entries.get(id.index as usize)? {
            Entry { generation, slot: Slot::Taken(value) } if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// As [`Self::get`].
    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        match self.entries.get_mut(id.index as usize)? {
            Entry { generation, slot: Slot::Taken(value) } if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value now in slot `index`, for callers that keep indices only while the value lives: the flow
    /// table and the timer wheel.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match &self.entries.get(index as usize)?.slot {
            Slot::Taken(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// As [`Self::at`].
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.entries.get_mut(index as usize)?.slot {
            Slot::Taken(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// The value now in slot `index` and its id.
    #[inline]
    pub(crate) fn entry_mut(&mut self, index: u32) -> Option<(FlowId, &mut T)> {
        let entry = self.entries.get_mut(index as usize)?;
        match &mut entry.slot {
            Slot::Taken(value) => Some((FlowId { index, generation: entry.generation }, value)),
            Slot::Free(_) => None,
        }
    }

    /// Asks for what is in slot `index`.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(entry) = self.entries.get(index as usize) {
            prefetch(entry);
        }
    }

    /// The id of the value now in slot `index`.
    pub(crate) fn id_at(&self, index: u32) -> Option<FlowId> {
        let entry = self.entries.get(index as usize)?;
        match entry.slot {
            Slot::Taken(_) => Some(FlowId { index, generation: entry.generation }),
            Slot::Free(_) => None,
        }
    }

    /// All values with their ids, in slot order. Walks every slot ever used: for the control plane.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlowId, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.slot {
            Slot::Taken(value) => Some((FlowId { index: index as u32, generation: entry.generation }, value)),
            Slot::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_after_its_slot_is_reused() {
        let mut slab = Slab::with_capacity(4);
        let old = slab.insert("old").unwrap();
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new").unwrap();
        assert_eq!(new.index, old.index);
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&"new")));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.at(new.index), Some(&"new"));
    }

    #[test]
    fn a_full_slab_gives_the_value_back() {
        let mut slab = Slab::with_capacity(1);
        let id = slab.insert(1).unwrap();
        assert_eq!(slab.insert(2), Err(2));
        assert_eq!(slab.next_id(), None);
        slab.remove(id);
        assert!(slab.insert(3).is_ok());
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_ids(ops in prop::collection::vec((any::<bool>(), 0usize..40), 1..300)) {
            let mut slab = Slab::with_capacity(16);
            let mut model: HashMap<FlowId, usize> = HashMap::new();
            let mut ids = Vec::new();
            for (n, (insert, pick)) in ops.into_iter().enumerate() {
                if insert {
                    let expected = slab.next_id();
                    match slab.insert(n) {
                        Ok(id) => {
                            prop_assert_eq!(expected, Some(id));
                            prop_assert!(model.insert(id, n).is_none());
                            ids.push(id);
                        }
                        Err(_) => prop_assert_eq!(model.len(), 16),
                    }
                } else if !ids.is_empty() {
                    let id = ids[pick % ids.len()];
                    prop_assert_eq!(slab.remove(id), model.remove(&id));
                }
                prop_assert_eq!(slab.len(), model.len());
                for &id in &ids {
                    prop_assert_eq!(slab.get(id), model.get(&id));
                }
                let listed: HashMap<FlowId, usize> = slab.iter().map(|(id, &v)| (id, v)).collect();
                prop_assert_eq!(&listed, &model);
            }
        }
    }
}
