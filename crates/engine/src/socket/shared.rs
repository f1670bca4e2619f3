//! What a socket and its connection share: the connection's state, who waits for it to change, and what the
//! application wants. Bytes travel beside it, in byte rings. Nothing in here blocks the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bypath_tcp::CloseReason;
use crossbeam::queue::ArrayQueue;
use crossbeam::sync::{Parker, Unparker};

use super::options::SocketOptions;
use crate::slab::FlowId;

/// Wakes a worker that sleeps in `poll()`.
pub(crate) trait Wake: Send + Sync {
    /// Makes the worker look at its queue soon.
    fn wake(&self);
}

/// How sockets reach the worker that owns their connection: at most one entry a socket, so that the queue
/// never overflows while it is as long as there are flows.
pub(crate) struct WorkerPort {
    pub(crate) touched: ArrayQueue<FlowId>,
    /// A UDP socket has something to send.
    pub(crate) datagrams: AtomicBool,
    pub(crate) waker: Box<dyn Wake>,
}

impl std::fmt::Debug for WorkerPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerPort").field("waiting", &self.touched.len()).finish_non_exhaustive()
    }
}

/// A thread that waits for a condition which the other side makes true. Spurious wake-ups are fine.
#[derive(Debug)]
pub(crate) struct Waiting {
    asleep: AtomicBool,
    unparker: Unparker,
}

impl Waiting {
    /// The pair: `Parker` stays with the one that waits.
    pub(crate) fn new() -> (Self, Parker) {
        let parker = Parker::new();
        (Self { asleep: AtomicBool::new(false), unparker: parker.unparker().clone() }, parker)
    }

    /// Something has changed. A load when nobody waits.
    pub(crate) fn notify(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.unparker.unpark();
        }
    }

    /// Sleeps until `ready` gives something, or `deadline` passes (`None`).
    pub(crate) fn wait_until<T>(
        &self,
        parker: &Parker,
        deadline: Option<Instant>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(found) = ready() {
                return Some(found);
            }
            self.asleep.store(true, Ordering::Relaxed);
            std::sync::atomic::fence(Ordering::SeqCst);
            if let Some(found) = ready() {
                self.asleep.store(false, Ordering::Relaxed);
                return Some(found);
            }
            match deadline {
                None => parker.park(),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        self.asleep.store(false, Ordering::Relaxed);
                        return None;
                    }
                    parker.park_timeout(left);
                }
            }
        }
    }
}

/// What the application wants of its connection. Set by the socket, taken by the worker.
pub(crate) mod wish {
    /// Bytes were written.
    pub(crate) const SEND: u32 = 1;
    /// Bytes were read: the window may open.
    pub(crate) const WINDOW: u32 = 1 << 1;
    /// No more will be written.
    pub(crate) const CLOSE: u32 = 1 << 2;
    /// The socket is gone.
    pub(crate) const DROP: u32 = 1 << 3;
    /// Nagle off.
    pub(crate) const NODELAY_ON: u32 = 1 << 4;
    /// Nagle on.
    pub(crate) const NODELAY_OFF: u32 = 1 << 5;
    /// Reset the connection.
    pub(crate) const ABORT: u32 = 1 << 6;
    /// Options were set.
    pub(crate) const OPTIONS: u32 = 1 << 7;
    /// Something that was written is urgent.
    pub(crate) const URGENT: u32 = 1 << 16;
}

const CONNECTED: u32 = 1;
const PEER_CLOSED: u32 = 1 << 1;
const CLOSED: u32 = 1 << 2;
const REASON_SHIFT: u32 = 8;

/// The state of a connection as its socket sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    pub(crate) fn is_connected(self) -> bool {
        self.0 & CONNECTED != 0
    }
    /// No more bytes will come.
    pub(crate) fn is_at_end(self) -> bool {
        self.0 & (PEER_CLOSED | CLOSED) != 0
    }
    pub(crate) fn peer_closed(self) -> bool {
        self.0 & PEER_CLOSED != 0
    }
    /// Why it is over, if it is.
    pub(crate) fn closed(self) -> Option<CloseReason> {
        let reason = match self.0 >> REASON_SHIFT {
            0 => CloseReason::Finished,
            1 => CloseReason::Refused,
            2 => CloseReason::Reset,
            3 => CloseReason::TimedOut,
            4 => CloseReason::Unreachable,
            _ => CloseReason::Aborted,
        };
        (self.0 & CLOSED != 0).then_some(reason)
    }
}

/// Figures of a connection, brought up to date by the worker while the connection is active.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) srtt_ns: AtomicU64,
    pub(crate) handshake_ns: AtomicU64,
    pub(crate) segs_in: AtomicU64,
    pub(crate) segs_out: AtomicU64,
    pub(crate) segs_retrans: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) cwnd: AtomicU64,
}

/// What an application may write ahead before anything is known of the path.
const FIRST_WRITE_AHEAD: usize = 1 << 18;

/// Shared by a socket and its connection.
#[derive(Debug)]
pub(crate) struct SocketShared {
    status: AtomicU32,
    wishes: AtomicU32,
    pub(crate) reader: Waiting,
    pub(crate) writer: Waiting,
    port: Arc<WorkerPort>,
    flow: AtomicU64,
    /// Bytes that may be written and not yet acknowledged.
    write_ahead: AtomicUsize,
    /// Where urgent data ends, by stream offset: the peer's, and ours.
    urgent_in: AtomicU64,
    urgent_out: AtomicU64,
    pub(crate) figures: Figures,
    pub(crate) options: SocketOptions,
}

impl SocketShared {
    /// With the two parkers, for reading and writing.
    pub(crate) fn new(port: Arc<WorkerPort>) -> (Arc<Self>, Parker, Parker) {
        let (reader, reading) = Waiting::new();
        let (writer, writing) = Waiting::new();
        let shared = Self {
            status: AtomicU32::new(0),
            wishes: AtomicU32::new(0),
            reader,
            writer,
            port,
            flow: AtomicU64::new(u64::MAX),
            write_ahead: AtomicUsize::new(FIRST_WRITE_AHEAD),
            urgent_in: AtomicU64::new(0),
            urgent_out: AtomicU64::new(0),
            figures: Figures::default(),
            options: SocketOptions::default(),
        };
        (Arc::new(shared), reading, writing)
    }

    pub(crate) fn status(&self) -> Status {
        Status(self.status.load(Ordering::Acquire))
    }

    /// Bytes that the application may have written and the peer not yet acknowledged.
    pub(crate) fn write_ahead(&self) -> usize {
        self.write_ahead.load(Ordering::Relaxed)
    }

    /// The connection is worth `bytes` of write-ahead. It never becomes less; only the worker calls this.
    pub(crate) fn raise_write_ahead(&self, bytes: usize) {
        if bytes > self.write_ahead.load(Ordering::Relaxed) {
            self.write_ahead.store(bytes, Ordering::Relaxed);
        }
    }

    /// The peer's urgent data ends at stream offset `end`; whoever waits to read is woken.
    pub(crate) fn set_urgent_in(&self, end: u64) {
        self.urgent_in.store(end, Ordering::Release);
        self.reader.notify();
    }

    /// Where the peer's urgent data ends; 0: there never was any.
    pub(crate) fn urgent_in(&self) -> u64 {
        self.urgent_in.load(Ordering::Acquire)
    }

    /// What was written before stream offset `end` is urgent.
    pub(crate) fn send_urgent(&self, end: u64) {
        self.urgent_out.store(end, Ordering::Release);
        self.wish(wish::SEND | wish::URGENT);
    }

    /// Where our urgent data ends.
    pub(crate) fn urgent_out(&self) -> u64 {
        self.urgent_out.load(Ordering::Acquire)
    }

    /// The connection's place, once it has one.
    pub(crate) fn flow_id(&self) -> Option<FlowId> {
        let flow = self.flow.load(Ordering::SeqCst);
        (flow != u64::MAX).then_some(FlowId { index: flow as u32, generation: (flow >> 32) as u32 })
    }

    /// The worker has given the connection its place.
    pub(crate) fn bind(&self, id: FlowId) {
        // Sequentially consistent with `wish`: one of the two sees the other.
        self.flow.store(u64::from(id.generation) << 32 | u64::from(id.index), Ordering::SeqCst);
        if self.wishes.load(Ordering::SeqCst) != 0 {
            let _ = self.port.touched.push(id);
        }
    }

    fn notify(&self) {
        self.reader.notify();
        self.writer.notify();
    }

    pub(crate) fn set_connected(&self) {
        self.status.fetch_or(CONNECTED, Ordering::AcqRel);
        self.notify();
    }

    pub(crate) fn set_peer_closed(&self) {
        self.status.fetch_or(PEER_CLOSED, Ordering::AcqRel);
        self.notify();
    }

    pub(crate) fn set_closed(&self, reason: CloseReason) {
        let code = match reason {
            CloseReason::Finished => 0,
            CloseReason::Refused => 1,
            CloseReason::Reset => 2,
            CloseReason::TimedOut => 3,
            CloseReason::Unreachable => 4,
            CloseReason::Aborted => 5,
        };
        if self.status().closed().is_none() {
            self.status.fetch_or(CLOSED | code << REASON_SHIFT, Ordering::AcqRel);
        }
        self.notify();
    }

    /// The application wants something.
    pub(crate) fn wish(&self, what: u32) {
        if self.status().closed().is_some() {
            // Nobody is there to grant it: it would only take another socket's place in the queue.
            return;
        }
        if self.wishes.fetch_or(what, Ordering::SeqCst) != 0 {
            return;
        }
        // Not placed yet: the worker looks when it places it.
        let Some(id) = self.flow_id() else { return };
        let _ = self.port.touched.push(id);
        self.port.waker.wake();
    }

    /// Takes all wishes.
    pub(crate) fn take_wishes(&self) -> u32 {
        self.wishes.swap(0, Ordering::SeqCst)
    }
}

/// A deadline a `timeout` from now; `None` waits for ever.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|t| Instant::now() + t)
}
