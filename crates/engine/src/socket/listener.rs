//! A listener as workers see it: a bound on half-open connections, and the queue of those that wait to be
//! accepted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::Parker;

use super::end::TcpEnd;
use super::shared::{Waiting, wish};

/// A connection that waits to be accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) end: TcpEnd,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// Shared by a listener and the workers.
#[derive(Debug)]
pub(crate) struct ListenerShared {
    queue: ArrayQueue<Accepted>,
    /// Connections in the queue, and places in it that are promised.
    taken: AtomicUsize,
    half_open: AtomicUsize,
    /// Connections whose data may be taken with the SYN, at once; 0: none.
    fast_open_limit: AtomicUsize,
    fast_opening: AtomicUsize,
    pub(crate) waiting: Waiting,
}

impl ListenerShared {
    /// With room for `backlog` connections in each of the two queues.
    pub(crate) fn new(backlog: usize) -> (Self, Parker) {
        let (waiting, parker) = Waiting::new();
        let queue = ArrayQueue::new(backlog.max(1));
        (
            Self {
                queue,
                taken: AtomicUsize::new(0),
                half_open: AtomicUsize::new(0),
                fast_open_limit: AtomicUsize::new(0),
                fast_opening: AtomicUsize::new(0),
                waiting,
            },
            parker,
        )
    }

    /// Whether a SYN may open another connection; counts it.
    pub(crate) fn may_open(&self) -> bool {
        let room = self.queue.capacity();
        self.half_open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < room).then_some(n + 1))
            .is_ok()
    }

    /// A half-open connection is open, or gone.
    pub(crate) fn opened(&self) {
        self.half_open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes data with the SYN (RFC 7413), of as many connections at once as `limit`, until they are acknowledged.
    pub(crate) fn set_fast_open(&self, limit: usize) {
        self.fast_open_limit.store(limit, Ordering::Release);
    }

    pub(crate) fn fast_open_is_on(&self) -> bool {
        self.fast_open_limit.load(Ordering::Acquire) > 0
    }

    /// Whether one more may be opened with data; counts it.
    pub(crate) fn may_fast_open(&self) -> bool {
        let limit = self.fast_open_limit.load(Ordering::Acquire);
        self.fast_opening
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < limit).then_some(n + 1))
            .is_ok()
    }

    /// The handshake of one of those is complete, or will not be.
    pub(crate) fn fast_opened(&self) {
        self.fast_opening.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether as many connections wait as may.
    pub(crate) fn is_full(&self) -> bool {
        self.taken.load(Ordering::Acquire) >= self.queue.capacity()
    }

    /// Takes a place in the queue for a connection that is about to be made; `false`: it is full. To be followed
    /// by [`ListenerShared::offer`] or [`ListenerShared::cancel`].
    pub(crate) fn reserve(&self) -> bool {
        let room = self.queue.capacity();
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < room).then_some(n + 1)).is_ok()
    }

    /// Gives a place in the queue back.
    pub(crate) fn cancel(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// Puts a connection in its place in the queue.
    pub(crate) fn offer(&self, end: TcpEnd, local: SocketAddr, remote: SocketAddr) {
        if self.queue.push(Accepted { end, local, remote }).is_err() {
            self.cancel();
        }
        self.waiting.notify();
    }

    pub(crate) fn take(&self) -> Option<Accepted> {
        let found = self.queue.pop()?;
        self.cancel();
        Some(found)
    }
}

impl Drop for ListenerShared {
    /// Connections that nobody will accept any more are reset, as Linux does: their peers would take an end of the
    /// stream for an answer.
    fn drop(&mut self) {
        while let Some(waiting) = self.queue.pop() {
            waiting.end.shared.wish(wish::ABORT);
        }
    }
}
