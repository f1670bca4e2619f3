//! The application's end of a connection, non-blocking: two byte rings and the shared state.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use bypath_tcp::CloseReason;
use crossbeam::sync::Parker;

use super::shared::{SocketShared, WorkerPort, wish};
use crate::flow::SocketEnd;
use crate::growing_ring::{GrowingConsumer, growing_ring};
use crate::ring::{ByteProducer, byte_ring};

/// What an application reads from.
#[derive(Debug)]
pub(crate) struct ReadEnd {
    pub(crate) ring: GrowingConsumer,
    pub(crate) parker: Parker,
    /// Bytes read so far.
    taken: u64,
    /// Bytes read since the connection was last told that there is room.
    unreported: usize,
    /// The application wants no more.
    closed: bool,
    hung_up: bool,
    /// To hang up with, whoever drops this end.
    shared: Arc<SocketShared>,
}

/// What an application writes to.
#[derive(Debug)]
pub(crate) struct WriteEnd {
    pub(crate) ring: ByteProducer,
    pub(crate) parker: Parker,
    pub(crate) closed: bool,
}

/// Both, and the state.
#[derive(Debug)]
pub(crate) struct TcpEnd {
    pub(crate) read: ReadEnd,
    pub(crate) write: WriteEnd,
    pub(crate) shared: Arc<SocketShared>,
}

/// A socket and the end that the connection gets. Buffer sizes in bytes: `receive` to begin with, `send` at most.
pub(crate) fn socket_pair(port: Arc<WorkerPort>, receive: usize, send: usize) -> (SocketEnd, TcpEnd) {
    let (shared, reading, writing) = SocketShared::new(port);
    let (incoming, to_read) = growing_ring(receive);
    let (to_write, outgoing) = byte_ring(send);
    let end = SocketEnd {
        fast_open: false,
        opening: None,
        incoming,
        outgoing,
        shared: shared.clone(),
        readable: false,
        writable: false,
    };
    let socket = TcpEnd {
        read: ReadEnd {
            ring: to_read,
            parker: reading,
            taken: 0,
            unreported: 0,
            closed: false,
            hung_up: false,
            shared: shared.clone(),
        },
        write: WriteEnd { ring: to_write, parker: writing, closed: false },
        shared,
    };
    (end, socket)
}

/// The error that the end of a connection is to its socket.
pub(crate) fn error_of(reason: CloseReason) -> Error {
    match reason {
        CloseReason::Finished => Error::new(ErrorKind::NotConnected, "the connection is closed"),
        CloseReason::Refused => Error::new(ErrorKind::ConnectionRefused, "connection refused"),
        CloseReason::Reset => Error::new(ErrorKind::ConnectionReset, "connection reset by peer"),
        CloseReason::TimedOut => Error::new(ErrorKind::TimedOut, "the peer does not answer"),
        CloseReason::Unreachable => {
            Error::new(ErrorKind::HostUnreachable, "no route to host, or no answer to ARP")
        }
        CloseReason::Aborted => Error::new(ErrorKind::ConnectionAborted, "the connection was given up"),
    }
}

impl ReadEnd {
    /// What is there; `None`: nothing yet; 0 bytes: the end.
    pub(crate) fn try_read(&mut self, shared: &SocketShared, out: &mut [u8]) -> Option<Result<usize>> {
        // The status first: what was there before the end is seen after it.
        let status = shared.status();
        let n = self.ring.read(out);
        if n > 0 {
            self.taken += n as u64;
            self.unreported += n;
            if self.unreported >= self.ring.capacity() / 4 {
                self.unreported = 0;
                shared.wish(wish::WINDOW);
            }
            return Some(Ok(n));
        }
        if out.is_empty() || self.closed || status.peer_closed() {
            return Some(Ok(0));
        }
        match status.closed() {
            Some(CloseReason::Finished) => Some(Ok(0)),
            Some(reason) => Some(Err(error_of(reason))),
            None => None,
        }
    }
}

impl ReadEnd {
    /// Where the peer's urgent data ends, by stream offset, while not all of it has been read.
    pub(crate) fn urgent_mark(&self, shared: &SocketShared) -> Option<u64> {
        Some(shared.urgent_in()).filter(|mark| *mark > self.taken)
    }

    /// Waits for bytes until `until`.
    pub(crate) fn read_until(
        &mut self,
        shared: &SocketShared,
        until: Option<std::time::Instant>,
        out: &mut [u8],
    ) -> Result<usize> {
        if let Some(found) = self.try_read(shared, out) {
            return found;
        }
        // The parker is taken out of the way of the borrow by waiting on the ring's state alone.
        let Self { ring, parker, closed, .. } = self;
        let ready = shared.reader.wait_until(parker, until, || {
            (!ring.is_empty() || *closed || shared.status().is_at_end()).then_some(())
        });
        match ready {
            Some(()) => self.try_read(shared, out).unwrap_or(Ok(0)),
            None => Err(Error::new(ErrorKind::WouldBlock, "no data in the time given")),
        }
    }

    /// No more will be read.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// The socket is gone. What was received and never read is lost, and the peer should know
    /// (RFC 9293 section 3.6.1, RFC 1122 section 4.2.2.13).
    pub(crate) fn hang_up(&mut self, shared: &SocketShared) {
        if !std::mem::replace(&mut self.hung_up, true) {
            let unread = !self.ring.is_empty();
            shared.wish(if unread { wish::ABORT } else { wish::DROP });
        }
    }
}

/// Bytes that may be written now: what the ring has room for, and no further ahead of the peer's
/// acknowledgements than the connection is worth.
fn room(ring: &ByteProducer, shared: &SocketShared) -> usize {
    let free = ring.free();
    shared.write_ahead().saturating_sub(ring.capacity() - free).min(free)
}

impl WriteEnd {
    /// Bytes that [`WriteEnd::try_write`] would take now.
    pub(crate) fn room(&self, shared: &SocketShared) -> usize {
        room(&self.ring, shared)
    }

    /// Waits for room until `until`.
    pub(crate) fn write_until(
        &mut self,
        shared: &SocketShared,
        until: Option<std::time::Instant>,
        bytes: &[u8],
    ) -> Result<usize> {
        if let Some(done) = self.try_write(shared, bytes) {
            return done;
        }
        let Self { ring, parker, .. } = self;
        let ready = shared.writer.wait_until(parker, until, || {
            (room(ring, shared) > 0 || shared.status().closed().is_some()).then_some(())
        });
        match ready {
            Some(()) => self.try_write(shared, bytes).unwrap_or(Ok(0)),
            None => Err(Error::new(ErrorKind::WouldBlock, "no room in the time given")),
        }
    }

    /// Takes what there is room for; `None`: no room now.
    pub(crate) fn try_write(&mut self, shared: &SocketShared, bytes: &[u8]) -> Option<Result<usize>> {
        if self.closed {
            return Some(Err(Error::new(ErrorKind::BrokenPipe, "this direction was shut down")));
        }
        match shared.status().closed() {
            Some(CloseReason::Finished) => {
                return Some(Err(Error::new(ErrorKind::BrokenPipe, "the connection is closed")));
            }
            Some(reason) => return Some(Err(error_of(reason))),
            None => {}
        }
        let most = bytes.len().min(self.room(shared));
        let n = self.ring.write(&bytes[..most]);
        if n > 0 || bytes.is_empty() {
            if n > 0 {
                shared.wish(wish::SEND);
            }
            return Some(Ok(n));
        }
        None
    }

    /// As [`WriteEnd::try_write`]; what it takes is urgent.
    pub(crate) fn try_write_urgent(&mut self, shared: &SocketShared, bytes: &[u8]) -> Option<Result<usize>> {
        let taken = self.try_write(shared, bytes)?;
        if matches!(taken, Ok(1..)) {
            shared.send_urgent(self.ring.tail());
        }
        Some(taken)
    }

    pub(crate) fn close(&mut self, shared: &SocketShared) {
        if !self.closed {
            self.closed = true;
            shared.wish(wish::CLOSE);
        }
    }
}

impl TcpEnd {
    /// The parts, for whoever locks them one by one, and hangs up in the end.
    pub(crate) fn into_parts(self) -> (ReadEnd, WriteEnd, Arc<SocketShared>) {
        (self.read, self.write, self.shared)
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        self.hang_up(&shared);
    }
}
