//! The single-producer single-consumer rings that an AF_XDP socket shares with the kernel.
//!
//! Each side works on its own cursor and a cached copy of the other's; the shared line is read only
//! when the copy runs dry, and written once a batch. libxdp maps the rings and unmaps them; here are
//! only the cursors. Nothing is specific to the kernel, so the tests build both ends in memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// `XDP_RING_NEED_WAKEUP` of <linux/if_xdp.h>.
const NEED_WAKEUP: u32 = 1;

/// Where a ring lies in memory.
#[derive(Debug)]
pub(crate) struct RingMemory<T> {
    /// Written by the producer, read by the consumer.
    pub(crate) producer: NonNull<AtomicU32>,
    /// Written by the consumer, read by the producer.
    pub(crate) consumer: NonNull<AtomicU32>,
    /// Written by the kernel.
    pub(crate) flags: NonNull<AtomicU32>,
    /// `size` entries.
    pub(crate) entries: NonNull<T>,
    /// A power of two.
    pub(crate) size: u32,
}

impl<T> RingMemory<T> {
    fn load(at: NonNull<AtomicU32>) -> u32 {
        // SAFETY: the maker of the ring (`Producer::new`, `Consumer::new`) promised that it stays mapped.
        unsafe { at.as_ref() }.load(Ordering::Acquire)
    }

    fn store(at: NonNull<AtomicU32>, value: u32) {
        // SAFETY: as in `load`.
        unsafe { at.as_ref() }.store(value, Ordering::Release);
    }

    fn entry(&self, at: u32) -> NonNull<T> {
        // SAFETY: the mask keeps the index below `size`, and the entries are mapped (see `load`).
        unsafe { self.entries.add((at & (self.size - 1)) as usize) }
    }

    fn needs_wakeup(&self) -> bool {
        // SAFETY: as in `load`.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// Our end of a ring that the kernel consumes: fill and TX.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    memory: RingMemory<T>,
    next: u32,
    submitted: u32,
    seen_consumer: u32,
}

// SAFETY: this is the only producer of the ring (see `new`), whichever thread it is on.
unsafe impl<T: Send> Send for Producer<T> {}

impl<T: Copy> Producer<T> {
    /// Takes over the producing end.
    ///
    /// # Safety
    /// The memory stays mapped for the life of the producer, `size` is a power of two and tells the
    /// number of entries, and nobody else produces into the ring.
    pub(crate) unsafe fn new(memory: RingMemory<T>) -> Self {
        let next = RingMemory::<T>::load(memory.producer);
        let seen_consumer = RingMemory::<T>::load(memory.consumer);
        Producer { memory, next, submitted: next, seen_consumer }
    }

    /// Entries that can be pushed now; looks at the kernel's cursor only when fewer than `wanted` are known.
    #[inline]
    pub(crate) fn room(&mut self, wanted: u32) -> u32 {
        let mut room = self.memory.size - self.next.wrapping_sub(self.seen_consumer);
        if room < wanted {
            self.seen_consumer = RingMemory::<T>::load(self.memory.consumer);
            room = self.memory.size - self.next.wrapping_sub(self.seen_consumer);
        }
        room
    }

    /// Writes an entry that `submit` will hand over. Refused when the ring is full.
    #[inline]
    pub(crate) fn push(&mut self, entry: T) -> Result<(), T> {
        if self.room(1) == 0 {
            return Err(entry);
        }
        // SAFETY: there is room, so the kernel has consumed this entry and will not read it before `submit`.
        unsafe { self.memory.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Takes back the newest entry that has not been submitted.
    pub(crate) fn unpush(&mut self) -> Option<T> {
        if self.next == self.submitted {
            return None;
        }
        self.next = self.next.wrapping_sub(1);
        // SAFETY: the entry lies between `submitted` and `next`: written by us, not yet seen by the kernel.
        Some(unsafe { self.memory.entry(self.next).read() })
    }

    /// The newest entry that has not been submitted.
    pub(crate) fn newest(&self) -> Option<T> {
        let at = self.next.wrapping_sub(1);
        // SAFETY: as in `unpush`.
        (self.next != self.submitted).then(|| unsafe { self.memory.entry(at).read() })
    }

    /// Hands over what was pushed. Returns how many entries that were.
    #[inline]
    pub(crate) fn submit(&mut self) -> u32 {
        let new = self.next.wrapping_sub(self.submitted);
        if new > 0 {
            RingMemory::<T>::store(self.memory.producer, self.next);
            self.submitted = self.next;
        }
        new
    }

    /// Entries handed over that the kernel has not consumed yet.
    pub(crate) fn unconsumed(&mut self) -> u32 {
        self.seen_consumer = RingMemory::<T>::load(self.memory.consumer);
        self.submitted.wrapping_sub(self.seen_consumer)
    }

    /// True when the kernel sleeps and wants a system call.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.memory.needs_wakeup()
    }
}

/// Our end of a ring that the kernel produces: RX and completion.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    memory: RingMemory<T>,
    next: u32,
    seen_producer: u32,
}

// SAFETY: this is the only consumer of the ring (see `new`), whichever thread it is on.
unsafe impl<T: Send> Send for Consumer<T> {}

impl<T: Copy> Consumer<T> {
    /// Takes over the consuming end.
    ///
    /// # Safety
    /// As for [`Producer::new`], with "consumes from" for "produces into".
    pub(crate) unsafe fn new(memory: RingMemory<T>) -> Self {
        let next = RingMemory::<T>::load(memory.consumer);
        let seen_producer = RingMemory::<T>::load(memory.producer);
        Consumer { memory, next, seen_producer }
    }

    /// Entries that can be read now, after a look at the kernel's cursor if none are known.
    #[inline]
    pub(crate) fn available(&mut self) -> u32 {
        if self.seen_producer == self.next {
            self.seen_producer = RingMemory::<T>::load(self.memory.producer);
        }
        self.seen_producer.wrapping_sub(self.next)
    }

    /// Entries that can be read now, by the kernel's cursor.
    pub(crate) fn refresh(&mut self) -> u32 {
        self.seen_producer = RingMemory::<T>::load(self.memory.producer);
        self.seen_producer.wrapping_sub(self.next)
    }

    /// The entry `ahead` of the next, without taking it. `None` beyond what is known to be there.
    #[inline]
    pub(crate) fn peek(&self, ahead: u32) -> Option<T> {
        if ahead >= self.seen_producer.wrapping_sub(self.next) {
            return None;
        }
        // SAFETY: the entry lies before the producer's cursor, so the kernel has written it and waits for
        // `release` before it writes again.
        Some(unsafe { self.memory.entry(self.next.wrapping_add(ahead)).read() })
    }

    /// Takes the next entry.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.peek(0)?;
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Lets the kernel reuse the entries taken.
    #[inline]
    pub(crate) fn release(&mut self) {
        RingMemory::<T>::store(self.memory.consumer, self.next);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Backing for both ends of one ring.
    struct Backing {
        cursors: Box<[AtomicU32; 3]>,
        entries: Box<[u64]>,
    }

    impl Backing {
        fn starting_at(cursor: u32, size: u32) -> Self {
            let cursors = [AtomicU32::new(cursor), AtomicU32::new(cursor), AtomicU32::new(0)];
            Backing { cursors: Box::new(cursors), entries: vec![0; size as usize].into() }
        }

        fn memory(&mut self) -> RingMemory<u64> {
            let size = self.entries.len() as u32;
            RingMemory {
                producer: NonNull::from(&self.cursors[0]),
                consumer: NonNull::from(&self.cursors[1]),
                flags: NonNull::from(&self.cursors[2]),
                entries: NonNull::from(&mut self.entries[0]),
                size,
            }
        }

        fn ends(&mut self) -> (Producer<u64>, Consumer<u64>) {
            // SAFETY: the backing outlives the ends in every test, and one of each is made.
            unsafe { (Producer::new(self.memory()), Consumer::new(self.memory())) }
        }
    }

    #[test]
    fn entries_appear_at_submit_and_room_at_release() {
        let mut backing = Backing::starting_at(0, 2);
        let (mut producer, mut consumer) = backing.ends();
        assert_eq!(producer.push(1), Ok(()));
        assert_eq!(producer.push(2), Ok(()));
        assert_eq!(producer.push(3), Err(3));
        assert_eq!(consumer.available(), 0);
        assert_eq!(producer.submit(), 2);
        assert_eq!((consumer.available(), consumer.pop()), (2, Some(1)));
        assert_eq!(producer.push(3), Err(3));
        consumer.release();
        assert_eq!(producer.push(3), Ok(()));
    }

    #[test]
    fn what_was_not_submitted_can_be_taken_back() {
        let mut backing = Backing::starting_at(7, 4);
        let (mut producer, mut consumer) = backing.ends();
        let _ = producer.push(1);
        producer.submit();
        let _ = producer.push(2);
        assert_eq!(producer.newest(), Some(2));
        assert_eq!(producer.unpush(), Some(2));
        assert_eq!(producer.unpush(), None);
        assert_eq!(producer.submit(), 0);
        assert_eq!(consumer.refresh(), 1);
    }

    proptest! {
        #[test]
        fn a_ring_is_a_bounded_queue_also_where_cursors_wrap(
            steps in prop::collection::vec((0..3u8, 0..6u8), 1..200),
        ) {
            let mut backing = Backing::starting_at(u32::MAX - 20, 8);
            let (mut producer, mut consumer) = backing.ends();
            let mut model = VecDeque::new();
            let (mut next, mut in_ring) = (0u64, 0);
            for (what, count) in steps {
                match what {
                    0 => {
                        for _ in 0..count {
                            if producer.push(next).is_ok() {
                                model.push_back(next);
                                next += 1;
                                in_ring += 1;
                            } else {
                                prop_assert_eq!(in_ring, 8);
                            }
                        }
                        producer.submit();
                    }
                    1 => {
                        consumer.refresh();
                        for _ in 0..count {
                            prop_assert_eq!(consumer.pop(), model.pop_front());
                        }
                    }
                    _ => {
                        consumer.release();
                        in_ring = model.len();
                    }
                }
            }
        }
    }
}
