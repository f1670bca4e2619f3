//! A byte ring that becomes larger while it is in use: the receive buffer of a socket, from the connection to the
//! application. When it grows, the producer goes on in a new ring, and the consumer follows it there once
//! it has emptied the old one. What was stored ahead in the old ring stays there: the producer changes to the new one
//! behind it. No byte is moved, neither side waits for the other, and a connection that never needs more keeps
//! the small ring that fits the cache.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::ring::{ByteConsumer, ByteProducer, byte_ring};

/// The next ring on its way to the consumer: at most one at a time.
type Handover = Arc<ArrayQueue<ByteConsumer>>;

/// Makes a ring of at least `capacity` bytes and returns its two ends.
pub(crate) fn growing_ring(capacity: usize) -> (GrowingProducer, GrowingConsumer) {
    let (producer, consumer) = byte_ring(capacity);
    let handover = Arc::new(ArrayQueue::new(1));
    (
        GrowingProducer {
            ring: producer,
            before: None,
            left: 0,
            pending: None,
            earlier: 0,
            handover: handover.clone(),
        },
        GrowingConsumer { ring: consumer, next: None, handover },
    )
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct GrowingProducer {
    ring: ByteProducer,
    /// The ring before, while the consumer has bytes left in it, or the producer some to commit.
    before: Option<ByteProducer>,
    /// The next so many bytes to commit belong to the ring before.
    left: usize,
    /// What the consumer gets when they are.
    pending: Option<ByteConsumer>,
    /// Bytes committed to all rings before, with `left`.
    earlier: u64,
    handover: Handover,
}

impl GrowingProducer {
    /// Size of the ring in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Bytes committed so far.
    pub(crate) fn committed(&self) -> u64 {
        self.earlier + self.ring.tail() - self.left as u64
    }

    /// Bytes committed and not consumed.
    pub(crate) fn unread(&mut self) -> usize {
        let before = match &self.before {
            Some(ring) if ring.free() < ring.capacity() => ring.capacity() - ring.free(),
            Some(_) if self.left > 0 => 0,
            Some(_) => {
                self.before = None;
                0
            }
            None => 0,
        };
        before + self.ring.capacity() - self.ring.free()
    }

    /// Goes on in a ring of at least `capacity` bytes, behind the next `stored` bytes: up to there some are stored ahead.
    /// `false`: the consumer has not followed the last time yet.
    pub(crate) fn grow(&mut self, capacity: usize, stored: usize) -> bool {
        if self.before.is_some() || !self.handover.is_empty() || stored > self.ring.free() {
            return false;
        }
        let (producer, consumer) = byte_ring(capacity);
        self.earlier += self.ring.tail() + stored as u64;
        self.before = Some(std::mem::replace(&mut self.ring, producer));
        self.left = stored;
        self.pending = Some(consumer);
        self.hand_over();
        true
    }

    /// The consumer may follow when nothing more comes through the ring before.
    fn hand_over(&mut self) {
        if self.left == 0
            && let Some(consumer) = self.pending.take()
        {
            // There is room: growing waits until the one before has been taken.
            self.pending = self.handover.push(consumer).err();
        }
    }

    /// Stores and commits as much of `bytes` as there is room for; returns how much that was.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let stored = self.write_at(0, bytes);
        self.commit(stored);
        stored
    }

    /// As [`ByteProducer::write_at`].
    pub(crate) fn write_at(&mut self, ahead: usize, bytes: &[u8]) -> usize {
        if self.left == 0 {
            return self.ring.write_at(ahead, bytes);
        }
        let (first, second) = bytes.split_at(self.left.saturating_sub(ahead).min(bytes.len()));
        let stored = match &mut self.before {
            Some(before) if !first.is_empty() => before.write_at(ahead, first),
            _ => 0,
        };
        if stored < first.len() || second.is_empty() {
            return stored;
        }
        stored + self.ring.write_at(ahead.saturating_sub(self.left), second)
    }

    /// As [`ByteProducer::commit`].
    pub(crate) fn commit(&mut self, len: usize) {
        let first = len.min(self.left);
        if first > 0 {
            if let Some(before) = &mut self.before {
                before.commit(first);
            }
            self.left -= first;
            self.hand_over();
        }
        self.ring.commit(len - first);
    }
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct GrowingConsumer {
    ring: ByteConsumer,
    /// Taken over, and not read before `ring` is empty.
    next: Option<ByteConsumer>,
    handover: Handover,
}

impl GrowingConsumer {
    /// Size of the ring that is being read, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Bytes that wait to be consumed. For a stack by hand, where both ends are on one thread: the next ring is
    /// taken from its place for a moment, in which the producer must not grow.
    pub(crate) fn len(&self) -> usize {
        let waiting = self.handover.pop().map_or(0, |next| {
            let len = next.len();
            let _ = self.handover.push(next);
            len
        });
        self.ring.len() + self.next.as_ref().map_or(0, ByteConsumer::len) + waiting
    }

    /// Whether nothing waits to be consumed.
    pub(crate) fn is_empty(&mut self) -> bool {
        if self.ring.is_empty() {
            self.follow();
        }
        self.ring.is_empty()
    }

    /// Moves waiting bytes into `out`; returns how many.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        let n = self.ring.read(out);
        if n > 0 || out.is_empty() {
            return n;
        }
        self.follow();
        self.ring.read(out)
    }

    /// The present ring looked empty: moves on to the next, if there is one and the present one is empty indeed.
    fn follow(&mut self) {
        if self.next.is_none() {
            self.next = self.handover.pop();
        }
        // Looked at again after the next ring was found: only now nothing can be added any more.
        if self.ring.is_empty()
            && let Some(next) = self.next.take()
        {
            self.ring = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(rx: &mut GrowingConsumer) -> Vec<u8> {
        let mut out = vec![0; 100];
        let mut got = Vec::new();
        loop {
            match rx.read(&mut out) {
                0 => return got,
                n => got.extend_from_slice(&out[..n]),
            }
        }
    }

    #[test]
    fn bytes_before_and_after_growing_come_in_order() {
        let (mut tx, mut rx) = growing_ring(4);
        assert_eq!(tx.write(b"abcdef"), 4);
        assert!(tx.grow(8, 0));
        assert_eq!((tx.write(b"efghijkl"), tx.unread(), rx.len()), (8, 12, 12));
        assert!(!rx.is_empty());
        assert_eq!(all(&mut rx), b"abcdefghijkl");
        assert_eq!(tx.committed(), 12);
        assert_eq!((tx.unread(), tx.before.is_none(), rx.is_empty()), (0, true, true));
    }

    #[test]
    fn it_does_not_grow_again_before_the_reader_has_followed() {
        let (mut tx, mut rx) = growing_ring(4);
        tx.write(b"ab");
        assert!(tx.grow(8, 0));
        assert!(!tx.grow(16, 0));
        assert_eq!(all(&mut rx), b"ab");
        assert_eq!(tx.unread(), 0);
        assert!(tx.grow(16, 0));
        assert!(rx.is_empty());
        tx.write(b"c");
        assert_eq!(all(&mut rx), b"c");
    }

    #[test]
    fn what_is_stored_ahead_stays_while_the_ring_grows() {
        let (mut tx, mut rx) = growing_ring(8);
        tx.write(b"ab");
        assert_eq!(tx.write_at(2, b"ef"), 2);
        assert!(tx.grow(16, 4));
        assert_eq!((tx.committed(), tx.unread(), all(&mut rx)), (2, 2, b"ab".to_vec()));
        // Nothing to read in the ring before, and yet not done with it.
        assert_eq!((tx.unread(), rx.is_empty()), (0, true));
        assert_eq!(tx.write_at(3, b"fgh"), 3, "across the border");
        assert_eq!(tx.write_at(8, b"k"), 1);
        tx.write(b"c");
        assert!(!tx.grow(32, 3));
        assert_eq!((tx.committed(), all(&mut rx)), (3, b"c".to_vec()));
        assert_eq!(tx.write_at(0, b"d"), 1);
        tx.commit(5);
        assert_eq!((tx.committed(), tx.unread(), rx.len()), (8, 5, 5));
        assert_eq!(tx.write(b"ijK"), 3);
        assert_eq!(all(&mut rx), b"defghijK");
        assert_eq!((tx.committed(), tx.unread(), tx.before.is_none()), (11, 0, true));
        assert!(tx.grow(32, 0));
    }

    #[test]
    fn what_is_committed_while_the_reader_looks_for_the_next_ring_is_not_passed_over() {
        const TOTAL: usize = if cfg!(miri) { 3_000 } else { 2_000_000 };
        let (mut tx, mut rx) = growing_ring(16);
        let producer = std::thread::spawn(move || {
            let (mut sent, mut capacity) = (0, 16);
            while sent < TOTAL {
                let chunk: Vec<u8> = (sent..TOTAL.min(sent + 11)).map(|n| (n % 251) as u8).collect();
                sent += tx.write(&chunk);
                if sent % 7 == 0 && tx.unread() < 1_000 && tx.grow(capacity, 0) {
                    capacity = if capacity > 4_096 { 16 } else { capacity * 2 };
                }
            }
        });
        let (mut received, mut out) = (0, [0; 33]);
        while received < TOTAL {
            let n = rx.read(&mut out);
            for (i, byte) in out[..n].iter().enumerate() {
                assert_eq!(*byte, ((received + i) % 251) as u8);
            }
            received += n;
            if n == 0 {
                std::thread::yield_now();
            }
        }
        assert!(producer.join().is_ok());
        assert!(rx.is_empty());
    }
}
