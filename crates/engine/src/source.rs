//! Where the bytes that a connection sends come from. They are read when a segment is built, and read again
//! when it must be sent once more, so that a file or a pattern needs no buffer of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use bypath_wire::prefetch::prefetch;

use crate::local_ring::LocalRing;

/// Bytes that can be read at any offset, any number of times, always the same.
pub trait SendSource: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on, at least one and at most as many as lie together in memory. `offset` is
    /// below [`SendSource::len`].
    fn bytes_at(&self, offset: u64) -> &[u8];
}

impl SendSource for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }
    fn bytes_at(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default()
    }
}

impl SendSource for &'static [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
    fn bytes_at(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default()
    }
}

/// One stretch of an outgoing stream.
enum Piece {
    /// Copied into the ring.
    Copied,
    /// Read from the source, from its start.
    Source(Arc<dyn SendSource>),
}

struct Stretch {
    /// Where it begins in the stream, and how long it is.
    start: u64,
    len: u64,
    /// Where it begins in the ring, or in its source.
    from: u64,
    piece: Piece,
}

/// The outgoing stream of a connection that a service on the worker writes: copied bytes and sources, in the
/// order they were given.
pub(crate) struct SendQueue {
    stretches: VecDeque<Stretch>,
    end: u64,
    ring: LocalRing,
}

impl std::fmt::Debug for SendQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendQueue")
            .field("stretches", &self.stretches.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl SendQueue {
    /// Of a connection that has at most `limit` copied bytes outstanding. Takes no memory before the first write.
    pub(crate) fn new(limit: usize) -> Self {
        Self { stretches: VecDeque::new(), end: 0, ring: LocalRing::new(limit) }
    }

    /// Asks for what the queue points to.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(first) = self.stretches.front() {
            prefetch(first);
        }
        self.ring.prefetch();
    }

    /// Nothing is outstanding.
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Copied bytes that may be outstanding.
    pub(crate) fn limit(&self) -> usize {
        self.ring.limit()
    }

    /// One of which all before `end` was sent and acknowledged.
    pub(crate) fn resume(limit: usize, end: u64) -> Self {
        Self { end, ..Self::new(limit) }
    }

    /// So many copied bytes may be outstanding from here on.
    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.ring.set_limit(bytes);
    }

    /// Where the stream ends so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Copies as much of `bytes` as there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let ring_at = self.ring.tail();
        let n = self.ring.write(bytes);
        if n == 0 {
            return 0;
        }
        match self.stretches.back_mut() {
            Some(last) if matches!(last.piece, Piece::Copied) => last.len += n as u64,
            _ => self.stretches.push_back(Stretch {
                start: self.end,
                len: n as u64,
                from: ring_at,
                piece: Piece::Copied,
            }),
        }
        self.end += n as u64;
        n
    }

    /// Bytes that [`SendQueue::write`] would take now.
    pub(crate) fn room(&self) -> usize {
        self.ring.room()
    }

    pub(crate) fn push(&mut self, source: Arc<dyn SendSource>) {
        let len = source.len();
        self.push_part(source, 0, len);
    }

    /// `len` bytes of `source` from `from` on, as far as it has them. Those that follow on what was given last
    /// lengthen it.
    pub(crate) fn push_part(&mut self, source: Arc<dyn SendSource>, from: u64, len: u64) {
        let len = len.min(source.len().saturating_sub(from));
        if len == 0 {
            return;
        }
        match self.stretches.back_mut() {
            Some(Stretch { piece: Piece::Source(last), from: last_from, len: last_len, .. })
                if *last_from + *last_len == from && Arc::ptr_eq(last, &source) =>
            {
                *last_len += len;
            }
            _ => {
                self.stretches.push_back(Stretch {
                    start: self.end,
                    len,
                    from,
                    piece: Piece::Source(source),
                });
            }
        }
        self.end += len;
    }

    /// The `len` bytes from stream offset `at`, if they lie together at the front of the queue.
    #[inline]
    pub(crate) fn together(&self, at: u64, len: usize) -> Option<&[u8]> {
        let first = self.stretches.front()?;
        let here = at.checked_sub(first.start)?;
        if here + len as u64 > first.len {
            return None;
        }
        match &first.piece {
            Piece::Copied => self.ring.together(first.from + here, len),
            Piece::Source(source) => source.bytes_at(first.from + here).get(..len),
        }
    }

    /// Calls `take` with the `len` bytes from stream offset `at`, piece by piece.
    pub(crate) fn read(&self, at: u64, len: usize, mut take: impl FnMut(&[u8])) {
        let mut at = at;
        let mut left = len as u64;
        let from = self.stretches.partition_point(|stretch| stretch.start + stretch.len <= at);
        for stretch in self.stretches.iter().skip(from) {
            if left == 0 {
                return;
            }
            let end = stretch.start + stretch.len;
            while left > 0 && at >= stretch.start && at < end {
                let here = at - stretch.start;
                let most = left.min(end - at) as usize;
                let taken = match &stretch.piece {
                    Piece::Copied => {
                        let (a, b) = self.ring.peek_at(stretch.from + here, most);
                        take(a);
                        if !b.is_empty() {
                            take(b);
                        }
                        a.len() + b.len()
                    }
                    Piece::Source(source) => {
                        let bytes = source.bytes_at(stretch.from + here);
                        let bytes = &bytes[..bytes.len().min(most)];
                        take(bytes);
                        bytes.len()
                    }
                };
                if taken == 0 {
                    return;
                }
                at += taken as u64;
                left -= taken as u64;
            }
        }
    }

    /// Everything before `acknowledged` is not needed any more.
    pub(crate) fn release(&mut self, acknowledged: u64) {
        while let Some(first) = self.stretches.front_mut() {
            let done = acknowledged.saturating_sub(first.start).min(first.len);
            if matches!(first.piece, Piece::Copied) {
                self.ring.consume((first.from + done).saturating_sub(self.ring.head()) as usize);
            }
            if done < first.len {
                return;
            }
            self.stretches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(q: &SendQueue, at: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        q.read(at, len, |b| out.extend_from_slice(b));
        if let Some(together) = q.together(at, len) {
            assert_eq!(together, out);
        }
        out
    }

    #[test]
    fn copied_bytes_and_sources_make_one_stream_that_can_be_read_again() {
        let mut q = SendQueue::new(1 << 12);
        q.write(b"head ");
        q.push(Arc::new(b"source".to_vec()));
        q.write(b" tail");
        assert_eq!(all(&q, 0, 100), b"head source tail");
        assert_eq!(all(&q, 3, 5), b"d sou");
        assert_eq!((q.together(1, 4), q.together(1, 5)), (Some(&b"ead "[..]), None));
        q.release(7);
        assert_eq!(all(&q, 7, 100), b"urce tail");
        assert_eq!(all(&q, 7, 100), b"urce tail");
        q.release(16);
        assert_eq!(q.room(), 1 << 12);
        assert_eq!(all(&q, 16, 10), b"");
    }

    #[test]
    fn parts_of_a_source_are_sent_from_where_they_begin() {
        let mut q = SendQueue::new(1 << 12);
        let source: Arc<dyn SendSource> = Arc::new(b"0123456789".to_vec());
        q.push_part(source.clone(), 7, 2);
        q.push_part(source.clone(), 2, 3);
        q.push_part(source.clone(), 5, 1);
        q.push_part(source.clone(), 9, 100);
        q.push_part(source, 10, 1);
        assert_eq!(all(&q, 0, 100), b"7823459");
        assert_eq!(q.stretches.len(), 3);
        q.release(4);
        assert_eq!(all(&q, 4, 100), b"459");
    }
}
