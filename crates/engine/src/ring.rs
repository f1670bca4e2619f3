//! The byte ring between an application thread and the worker that runs its connection.
//!
//! One producer, one consumer, one power-of-two buffer, two cursors that only grow. A cursor counts bytes
//! since the ring was made, so a position in a TCP stream and a position in the ring differ by a constant
//! and never become ambiguous. Two things set it apart from a plain queue:
//!
//! - the producer may store bytes *beyond* the committed tail ([`ByteProducer::write_at`]) and commit them
//!   when the gap before them has closed: out-of-order TCP data is copied once, to its final place;
//! - the consumer may read any byte it has not consumed yet, again and again ([`ByteConsumer::peek_at`]):
//!   a retransmission reads the application's bytes from where they already are.
//!
//! Who wakes whom is not decided here. The stack and the sockets call it; the only `unsafe` of this crate
//! is in this file.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// What both ends share.
///
/// Invariant: `head <= tail <= head + capacity`. Bytes `head..tail` belong to the consumer, bytes
/// `tail..head + capacity` to the producer; only the producer moves `tail`, only the consumer `head`.
#[derive(Debug)]
struct Shared {
    /// Start of the buffer, `mask + 1` initialised bytes from `Box<[u8]>`, freed in `drop`.
    buffer: NonNull<u8>,
    /// Capacity minus one; the capacity is a power of two.
    mask: u64,
    /// First byte not consumed; stored by the consumer.
    head: CachePadded<AtomicU64>,
    /// First byte not committed; stored by the producer.
    tail: CachePadded<AtomicU64>,
}

// SAFETY: `buffer` is owned by this struct alone, and the two halves touch disjoint parts of it (the
// invariant on `Shared`), handed over by Release stores and Acquire loads of the cursors.
unsafe impl Send for Shared {}
// SAFETY: as for `Send`; there is at most one producer and one consumer because neither half is `Clone`.
unsafe impl Sync for Shared {}

impl Shared {
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Splits `len` bytes from absolute position `at` into at most two runs `(start, length)` of the buffer.
    fn runs(&self, at: u64, len: usize) -> ((usize, usize), (usize, usize)) {
        let start = (at & self.mask) as usize;
        let first = len.min(self.capacity() as usize - start);
        ((start, first), (0, len - first))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = std::ptr::slice_from_raw_parts_mut(self.buffer.as_ptr(), self.capacity() as usize);
        // SAFETY: pointer and length are those of the `Box<[u8]>` leaked in `byte_ring`, and both halves are
        // gone, or the `Arc` would still hold this.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

/// Makes a ring of at least `capacity` bytes (rounded up to a power of two) and returns its two ends.
///
/// The memory comes zeroed from the allocator, so for large rings it is address space only: pages that no
/// byte has passed through cost nothing.
pub(crate) fn byte_ring(capacity: usize) -> (ByteProducer, ByteConsumer) {
    let capacity = capacity.max(1).next_power_of_two();
    let bytes: *mut [u8] = Box::into_raw(vec![0u8; capacity].into_boxed_slice());
    // SAFETY: a pointer that comes from a `Box` is not null.
    let buffer = unsafe { NonNull::new_unchecked(bytes.cast::<u8>()) };
    let shared = Arc::new(Shared {
        buffer,
        mask: capacity as u64 - 1,
        head: CachePadded::new(AtomicU64::new(0)),
        tail: CachePadded::new(AtomicU64::new(0)),
    });
    (
        ByteProducer { shared: Arc::clone(&shared), tail: 0, head_seen: Cell::new(0) },
        ByteConsumer { shared, head: 0, tail_seen: Cell::new(0) },
    )
}

/// The writing end of a byte ring.
#[derive(Debug)]
pub(crate) struct ByteProducer {
    shared: Arc<Shared>,
    tail: u64,
    /// The consumer's cursor when last looked at; its cache line is read again only when this shows too
    /// little room.
    head_seen: Cell<u64>,
}

impl ByteProducer {
    /// Size of the ring in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.capacity() as usize
    }

    /// Absolute position of the next byte to commit: how many were committed so far.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Bytes that can be stored now, counted from the tail.
    pub(crate) fn free(&self) -> usize {
        self.head_seen.set(self.shared.head.load(Ordering::Acquire));
        self.free_seen()
    }

    /// Whether `len` bytes can be stored from the tail on.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.free_seen() >= len || self.free() >= len
    }

    /// Writes to every page of the free room, so that no later byte is the first in its page.
    pub(crate) fn touch(&mut self) {
        for at in (0..self.free()).step_by(4096) {
            self.write_at(at, &[0]);
        }
    }

    /// Stores and commits as much of `bytes` as there is room for; returns how much that was.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let stored = self.write_at(0, bytes);
        self.commit(stored);
        stored
    }

    /// Stores bytes `ahead` of the committed tail without committing them; returns how many found room.
    ///
    /// Bytes stored twice are simply overwritten. Nothing becomes visible before [`Self::commit`].
    pub(crate) fn write_at(&mut self, ahead: usize, bytes: &[u8]) -> usize {
        let mut room = self.free_seen().saturating_sub(ahead);
        if room < bytes.len() {
            room = self.free().saturating_sub(ahead);
        }
        let len = bytes.len().min(room);
        if len == 0 {
            return 0;
        }
        let ((start, first), (_, second)) = self.shared.runs(self.tail + ahead as u64, len);
        // SAFETY: `start + first` and `second` are within the buffer by `runs`. All of it lies in
        // `tail..head + capacity` because `ahead + len <= free`, which belongs to the producer, and `&mut self`
        // makes this the only write. `bytes` cannot overlap it: no slice of that part is ever handed out.
        unsafe {
            let buffer = self.shared.buffer.as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.add(start), first);
            std::ptr::copy_nonoverlapping(bytes.as_ptr().add(first), buffer, second);
        }
        len
    }

    /// Makes the next `len` stored bytes visible to the consumer. More than the free room is cut to it.
    pub(crate) fn commit(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        let room = if self.free_seen() < len { self.free() } else { self.free_seen() };
        debug_assert!(len <= room, "committed {len} bytes into {room}");
        self.tail += len.min(room) as u64;
        self.shared.tail.store(self.tail, Ordering::Release);
    }

    fn free_seen(&self) -> usize {
        (self.shared.capacity() - (self.tail - self.head_seen.get())) as usize
    }
}

/// The reading end of a byte ring.
#[derive(Debug)]
pub(crate) struct ByteConsumer {
    shared: Arc<Shared>,
    head: u64,
    /// The producer's cursor when last looked at, as [`ByteProducer::head_seen`].
    tail_seen: Cell<u64>,
}

impl ByteConsumer {
    /// Size of the ring in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.capacity() as usize
    }

    /// Absolute position of the first byte not consumed: how many were consumed so far.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Bytes committed and not consumed.
    pub(crate) fn len(&self) -> usize {
        self.tail_seen.set(self.shared.tail.load(Ordering::Acquire));
        self.len_seen()
    }

    /// Whether nothing waits to be consumed.
    pub(crate) fn is_empty(&self) -> bool {
        self.len_seen() == 0 && self.len() == 0
    }

    /// All waiting bytes from `offset` past the head on; the second slice continues the first.
    #[cfg(test)]
    pub(crate) fn peek(&self, offset: usize) -> (&[u8], &[u8]) {
        let len = self.len().saturating_sub(offset);
        self.slices(self.head + offset.min(self.len_seen()) as u64, len)
    }

    /// Up to `len` bytes from absolute position `at`; the second slice continues the first.
    ///
    /// Both are shorter where fewer bytes were committed, and empty where `at` was consumed already.
    pub(crate) fn peek_at(&self, at: u64, len: usize) -> (&[u8], &[u8]) {
        if at < self.head {
            return (&[], &[]);
        }
        let missing = |tail: u64| at.saturating_add(len as u64) > tail;
        if missing(self.tail_seen.get()) {
            self.len();
        }
        let len = len.min(self.tail_seen.get().saturating_sub(at) as usize);
        self.slices(at, len)
    }

    /// Moves waiting bytes into `out`; returns how many.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        let (first, second) = self.peek_at(self.head, out.len());
        let (a, b) = (first.len(), second.len());
        out[..a].copy_from_slice(first);
        out[a..a + b].copy_from_slice(second);
        self.consume(a + b);
        a + b
    }

    /// Gives `len` bytes back to the producer. More than are waiting is cut to what is.
    pub(crate) fn consume(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        let waiting = if self.len_seen() < len { self.len() } else { self.len_seen() };
        debug_assert!(len <= waiting, "consumed {len} bytes of {waiting}");
        self.head += len.min(waiting) as u64;
        self.shared.head.store(self.head, Ordering::Release);
    }

    fn len_seen(&self) -> usize {
        (self.tail_seen.get() - self.head) as usize
    }

    /// `at..at + len` must lie in `head..tail_seen`; an empty range may sit anywhere.
    fn slices(&self, at: u64, len: usize) -> (&[u8], &[u8]) {
        if len == 0 {
            return (&[], &[]);
        }
        let ((start, first), (_, second)) = self.shared.runs(at, len);
        let buffer = self.shared.buffer.as_ptr();
        // SAFETY: both runs are within the buffer by `runs`, its bytes are initialised, and they lie in
        // `head..tail`, which the producer does not write until `head` moves; moving it takes `&mut self`, so
        // not while the slices live. The Acquire load of `tail` made the producer's writes visible.
        unsafe {
            (std::slice::from_raw_parts(buffer.add(start), first), std::slice::from_raw_parts(buffer, second))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn joined((a, b): (&[u8], &[u8])) -> Vec<u8> {
        [a, b].concat()
    }

    #[test]
    fn capacity_is_the_next_power_of_two() {
        let (tx, rx) = byte_ring(1000);
        assert_eq!((tx.capacity(), rx.capacity(), tx.free(), rx.len()), (1024, 1024, 1024, 0));
    }

    #[test]
    fn a_full_ring_takes_nothing_until_bytes_are_consumed() {
        let (mut tx, mut rx) = byte_ring(4);
        assert_eq!(tx.write(b"abcdef"), 4);
        assert_eq!(tx.write(b"x"), 0);
        rx.consume(3);
        assert_eq!(tx.write(b"efgh"), 3);
        assert_eq!(joined(rx.peek(0)), b"defg");
    }

    #[test]
    fn bytes_beyond_a_gap_appear_when_the_gap_is_filled_and_committed() {
        let (mut tx, rx) = byte_ring(16);
        assert_eq!(tx.write_at(3, b"def"), 3);
        assert!(rx.is_empty());
        assert_eq!(tx.write_at(0, b"abc"), 3);
        tx.commit(6);
        assert_eq!(joined(rx.peek(0)), b"abcdef");
        assert_eq!(joined(rx.peek(4)), b"ef");
    }

    #[test]
    fn out_of_order_bytes_are_cut_at_the_end_of_the_window() {
        let (mut tx, _rx) = byte_ring(8);
        tx.write(b"ab");
        assert_eq!(tx.write_at(4, b"ghijk"), 2);
        assert_eq!(tx.write_at(6, b"x"), 0);
        assert_eq!(tx.write_at(usize::MAX, b"x"), 0);
    }

    #[test]
    fn unconsumed_bytes_can_be_read_again_by_position() {
        let (mut tx, mut rx) = byte_ring(8);
        tx.write(b"abcdef");
        rx.consume(4);
        tx.write(b"ghijkl");
        assert_eq!(joined(rx.peek_at(5, 4)), b"fghi");
        assert_eq!(joined(rx.peek_at(5, 4)), b"fghi");
        assert_eq!(joined(rx.peek_at(10, 9)), b"kl");
        assert_eq!(joined(rx.peek_at(3, 4)), b"", "consumed bytes are gone");
        assert_eq!(joined(rx.peek_at(u64::MAX, 4)), b"");
    }

    #[test]
    fn two_threads_pass_every_byte_in_order() {
        const TOTAL: usize = if cfg!(miri) { 2_000 } else { 4_000_000 };
        let (mut tx, mut rx) = byte_ring(1 << 10);
        let producer = std::thread::spawn(move || {
            let mut sent = 0usize;
            let mut chunk = [0u8; 700];
            while sent < TOTAL {
                let len = chunk.len().min(TOTAL - sent);
                for (i, byte) in chunk[..len].iter_mut().enumerate() {
                    *byte = ((sent + i) % 251) as u8;
                }
                // The halves the wrong way round, as reordered segments arrive.
                let half = len / 2;
                let fits = tx.free().min(len);
                if fits == len && half > 0 {
                    tx.write_at(half, &chunk[half..len]);
                    tx.write_at(0, &chunk[..half]);
                    tx.commit(len);
                    sent += len;
                } else {
                    sent += tx.write(&chunk[..fits]);
                    std::thread::yield_now();
                }
            }
        });
        let mut received = 0usize;
        let mut out = [0u8; 333];
        while received < TOTAL {
            let n = rx.read(&mut out);
            for (i, &byte) in out[..n].iter().enumerate() {
                assert_eq!(byte, ((received + i) % 251) as u8);
            }
            received += n;
            if n == 0 {
                std::thread::yield_now();
            }
        }
        assert!(producer.join().is_ok());
        assert!(rx.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Op {
        Write(Vec<u8>),
        WriteAhead(usize, Vec<u8>),
        Commit(usize),
        Consume(usize),
        Read(usize),
        PeekAt(u64, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..48);
        prop_oneof![
            bytes().prop_map(Op::Write),
            (0usize..40, bytes()).prop_map(|(ahead, b)| Op::WriteAhead(ahead, b)),
            (0usize..40).prop_map(Op::Commit),
            (0usize..40).prop_map(Op::Consume),
            (0usize..40).prop_map(Op::Read),
            (0u64..64, 0usize..64).prop_map(|(at, len)| Op::PeekAt(at, len)),
        ]
    }

    /// The ring as two queues: what is committed, and what is known of the room behind it.
    struct Model {
        committed: VecDeque<u8>,
        ahead: Vec<Option<u8>>,
        head: u64,
    }

    impl Model {
        fn commit(&mut self, len: usize) {
            for slot in self.ahead.drain(..len) {
                self.committed.push_back(slot.unwrap_or(0));
            }
        }

        fn consume(&mut self, len: usize) -> Vec<u8> {
            self.head += len as u64;
            self.ahead.extend(std::iter::repeat_n(None, len));
            self.committed.drain(..len).collect()
        }

        fn store(&mut self, ahead: usize, bytes: &[u8]) -> usize {
            let len = bytes.len().min(self.ahead.len().saturating_sub(ahead));
            for (i, &b) in bytes[..len].iter().enumerate() {
                self.ahead[ahead + i] = Some(b);
            }
            len
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_queue_with_a_reorder_buffer(ops in prop::collection::vec(op(), 1..200)) {
            const CAPACITY: usize = 32;
            let (mut tx, mut rx) = byte_ring(CAPACITY);
            let mut model =
                Model { committed: VecDeque::new(), ahead: vec![None; CAPACITY], head: 0 };
            for op in ops {
                match op {
                    Op::Write(bytes) => {
                        let n = model.store(0, &bytes);
                        model.commit(n);
                        prop_assert_eq!(tx.write(&bytes), n);
                    }
                    Op::WriteAhead(ahead, bytes) => {
                        prop_assert_eq!(tx.write_at(ahead, &bytes), model.store(ahead, &bytes));
                    }
                    Op::Commit(len) => {
                        // Only bytes that were stored, as the reassembly above the ring guarantees.
                        let stored = model.ahead.iter().take_while(|b| b.is_some()).count();
                        let len = len.min(stored);
                        model.commit(len);
                        tx.commit(len);
                    }
                    Op::Consume(len) => {
                        let len = len.min(model.committed.len());
                        model.consume(len);
                        rx.consume(len);
                    }
                    Op::Read(len) => {
                        let mut out = vec![0; len];
                        let n = rx.read(&mut out);
                        prop_assert_eq!(n, len.min(model.committed.len()));
                        prop_assert_eq!(&out[..n], &model.consume(n)[..]);
                    }
                    Op::PeekAt(offset, len) => {
                        let at = rx.head() + offset;
                        let want: Vec<u8> =
                            model.committed.iter().skip(offset as usize).take(len).copied().collect();
                        prop_assert_eq!(joined(rx.peek_at(at, len)), want);
                    }
                }
                prop_assert_eq!(rx.head(), model.head);
                prop_assert_eq!(tx.tail(), model.head + model.committed.len() as u64);
                prop_assert_eq!(tx.free(), model.ahead.len());
                prop_assert_eq!(rx.len(), model.committed.len());
                prop_assert_eq!(joined(rx.peek(0)), Vec::from(model.committed.clone()));
            }
        }
    }
}
