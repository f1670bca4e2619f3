//! A byte ring for one thread: what a service has written and the peer has not acknowledged. It begins with what the
//! first write needs and doubles up to its limit, so that a connection that sends little keeps little.

use bypath_wire::prefetch::prefetch_part;

/// The least that is allocated.
const FIRST: usize = 256;

/// See the module. Positions count bytes since the ring was made.
#[derive(Debug, Default)]
pub(crate) struct LocalRing {
    /// A power of two of them, or none yet.
    bytes: Box<[u8]>,
    head: u64,
    tail: u64,
    limit: usize,
}

impl LocalRing {
    /// A ring that grows to `limit` bytes, rounded up to a power of two.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// What it may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What it may hold from here on; what it holds already stays.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Position of the first byte kept.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Position of the next byte written.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Asks for where the next bytes are written.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if !self.bytes.is_empty() {
            prefetch_part(&*self.bytes, self.tail as usize & (self.bytes.len() - 1), 64);
        }
    }

    fn len(&self) -> usize {
        (self.tail - self.head) as usize
    }

    /// Bytes that a write would take.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// Memory in use.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn grow(&mut self, needed: usize) {
        let capacity = needed.max(FIRST).next_power_of_two();
        let mut larger = vec![0; capacity].into_boxed_slice();
        let (a, b) = self.peek_at(self.head, self.len());
        let (head, mask) = (self.head, capacity - 1);
        for (at, piece) in [(head, a), (head + a.len() as u64, b)] {
            copy_in(&mut larger, at as usize & mask, piece);
        }
        self.bytes = larger;
    }

    /// Takes as many of `bytes` as there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        if n == 0 {
            return 0;
        }
        if self.len() + n > self.bytes.len() {
            self.grow(self.len() + n);
        }
        let start = self.tail as usize & (self.bytes.len() - 1);
        copy_in(&mut self.bytes, start, &bytes[..n]);
        self.tail += n as u64;
        n
    }

    /// At most `len` bytes from position `at` on, in two pieces.
    pub(crate) fn peek_at(&self, at: u64, len: usize) -> (&[u8], &[u8]) {
        if at < self.head || at >= self.tail {
            return (&[], &[]);
        }
        let len = len.min((self.tail - at) as usize);
        let start = at as usize & (self.bytes.len() - 1);
        let first = len.min(self.bytes.len() - start);
        (&self.bytes[start..start + first], &self.bytes[..len - first])
    }

    /// The `len` bytes from position `at` on, if they are there and in one piece.
    #[inline]
    pub(crate) fn together(&self, at: u64, len: usize) -> Option<&[u8]> {
        if at < self.head || at + len as u64 > self.tail {
            return None;
        }
        let start = at as usize & (self.bytes.len() - 1);
        self.bytes.get(start..start + len)
    }

    /// The first `len` bytes are not needed any more.
    pub(crate) fn consume(&mut self, len: usize) {
        self.head += len.min(self.len()) as u64;
    }
}

/// Copies `piece` to `start` of a ring, round its end if need be.
fn copy_in(ring: &mut [u8], start: usize, piece: &[u8]) {
    let (first, second) = piece.split_at(piece.len().min(ring.len() - start));
    ring[start..start + first.len()].copy_from_slice(first);
    if !second.is_empty() {
        ring[..second.len()].copy_from_slice(second);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_takes_no_more_memory_than_what_is_written_needs() {
        let mut ring = LocalRing::new(1 << 20);
        assert_eq!((ring.capacity(), ring.room()), (0, 1 << 20));
        for _ in 0..1_000 {
            assert_eq!(ring.write(&[1; 200]), 200);
            ring.consume(200);
        }
        assert_eq!(ring.capacity(), 256);
        assert_eq!(ring.write(&vec![1; 2 << 20]), 1 << 20);
        assert_eq!((ring.capacity(), ring.room()), (1 << 20, 0));
    }

    #[test]
    fn a_lower_limit_takes_nothing_away_that_is_there() {
        let mut ring = LocalRing::new(1_000);
        ring.write(&[7; 900]);
        ring.set_limit(500);
        assert_eq!((ring.room(), ring.write(&[8; 10])), (0, 0));
        assert_eq!(ring.peek_at(0, 1_000).0.len() + ring.peek_at(0, 1_000).1.len(), 900);
        ring.consume(800);
        assert_eq!(ring.write(&[8; 1_000]), 400);
    }

    proptest! {
        #[test]
        fn it_is_a_queue_whose_bytes_can_be_read_again(
            steps in prop::collection::vec((any::<bool>(), 0usize..900), 1..100)
        ) {
            let mut ring = LocalRing::new(2_000);
            let (mut model, mut next, mut gone) = (VecDeque::<u8>::new(), 0u8, 0u64);
            for (write, n) in steps {
                if write {
                    let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let taken = ring.write(&bytes);
                    prop_assert_eq!(taken, n.min(2_000 - model.len()));
                    model.extend(&bytes[..taken]);
                } else {
                    let n = n.min(model.len());
                    ring.consume(n);
                    model.drain(..n);
                    gone += n as u64;
                }
                prop_assert_eq!(ring.head(), gone);
                let (a, b) = ring.peek_at(gone, 3_000);
                prop_assert_eq!([a, b].concat(), model.iter().copied().collect::<Vec<_>>());
                let later = gone + model.len() as u64 / 2;
                let (a, b) = ring.peek_at(later, 10);
                prop_assert_eq!([a, b].concat(), model.iter().copied().skip((later - gone) as usize).take(10).collect::<Vec<_>>());
            }
        }
    }
}
