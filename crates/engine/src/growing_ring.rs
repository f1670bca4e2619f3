//! A byte ring that becomes larger while it is in use: the receive buffer of a socket, from the connection to the
//! application. When it grows, the producer goes on in a new ring, and the consumer follows it there once
//! it has emptied the old one. No byte is moved, neither side waits for the other, and a connection that
//! never needs more keeps the small ring that fits the cache.

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
        GrowingProducer { ring: producer, before: None, earlier: 0, handover: handover.clone() },
        GrowingConsumer { ring: consumer, next: None, handover },
    )
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct GrowingProducer {
    ring: ByteProducer,
    /// The ring before, while the consumer has bytes left in it.
    before: Option<ByteProducer>,
    /// Bytes committed to all rings before.
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
        self.earlier + self.ring.tail()
    }

    /// Bytes committed and not consumed.
    pub(crate) fn unread(&mut self) -> usize {
        let before = match &self.before {
            Some(ring) if ring.free() < ring.capacity() => ring.capacity() - ring.free(),
            Some(_) => {
                self.before = None;
                0
            }
            None => 0,
        };
        before + self.ring.capacity() - self.ring.free()
    }

    /// Goes on in a ring of at least `capacity` bytes. `false`: the consumer has not followed the last time yet.
    /// Bytes stored beyond the committed ones are lost: grow when there are none.
    pub(crate) fn grow(&mut self, capacity: usize) -> bool {
        if self.before.is_some() || !self.handover.is_empty() {
            return false;
        }
        let (producer, consumer) = byte_ring(capacity);
        if self.handover.push(consumer).is_err() {
            return false;
        }
        self.earlier += self.ring.tail();
        self.before = Some(std::mem::replace(&mut self.ring, producer));
        true
    }

    /// Stores and commits as much of `bytes` as there is room for; returns how much that was.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        self.ring.write(bytes)
    }

    /// As [`ByteProducer::write_at`].
    pub(crate) fn write_at(&mut self, ahead: usize, bytes: &[u8]) -> usize {
        self.ring.write_at(ahead, bytes)
    }

    /// As [`ByteProducer::commit`].
    pub(crate) fn commit(&mut self, len: usize) {
        self.ring.commit(len);
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
        assert!(tx.grow(8));
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
        assert!(tx.grow(8));
        assert!(!tx.grow(16));
        assert_eq!(all(&mut rx), b"ab");
        assert_eq!(tx.unread(), 0);
        assert!(tx.grow(16));
        assert!(rx.is_empty());
        tx.write(b"c");
        assert_eq!(all(&mut rx), b"c");
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
                if sent % 7 == 0 && tx.unread() < 1_000 && tx.grow(capacity) {
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
