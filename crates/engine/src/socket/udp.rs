//! A UDP socket as workers see it: two bounded queues of datagrams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::Parker;

use super::shared::{Waiting, WorkerPort};

/// Datagrams that wait, in each direction.
const QUEUE: usize = 256;

/// Shared by a UDP socket and the workers.
#[derive(Debug)]
pub(crate) struct UdpShared {
    received: ArrayQueue<(SocketAddr, Vec<u8>)>,
    to_send: ArrayQueue<(SocketAddr, Vec<u8>)>,
    refused: ArrayQueue<SocketAddr>,
    pub(crate) waiting: Waiting,
    port: Arc<WorkerPort>,
}

impl UdpShared {
    pub(crate) fn new(port: Arc<WorkerPort>) -> (Self, Parker) {
        let (waiting, parker) = Waiting::new();
        let shared = Self {
            received: ArrayQueue::new(QUEUE),
            to_send: ArrayQueue::new(QUEUE),
            refused: ArrayQueue::new(4),
            waiting,
            port,
        };
        (shared, parker)
    }

    /// A datagram for the application; `false`: its queue is full.
    pub(crate) fn deliver(&self, from: SocketAddr, pieces: &[&[u8]]) -> bool {
        let taken = self.received.push((from, pieces.concat())).is_ok();
        self.waiting.notify();
        taken
    }

    /// An ICMP error says that nobody listens at `remote`.
    pub(crate) fn refused(&self, remote: SocketAddr) {
        let _ = self.refused.push(remote);
        self.waiting.notify();
    }

    pub(crate) fn take(&self) -> Option<(SocketAddr, Vec<u8>)> {
        self.received.pop()
    }

    pub(crate) fn take_refusal(&self) -> Option<SocketAddr> {
        self.refused.pop()
    }

    /// Queues a datagram to be sent; `false`: the queue is full.
    pub(crate) fn send(&self, to: SocketAddr, payload: &[u8]) -> bool {
        let taken = self.to_send.push((to, payload.to_vec())).is_ok();
        self.port.datagrams.store(true, Ordering::SeqCst);
        self.port.waker.wake();
        taken
    }

    pub(crate) fn next_to_send(&self) -> Option<(SocketAddr, Vec<u8>)> {
        self.to_send.pop()
    }
}
