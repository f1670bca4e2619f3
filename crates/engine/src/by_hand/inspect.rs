//! What a test wants to know of a socket of a stack by hand, and does not change by asking.

use std::io::Result;
use std::net::SocketAddr;

use bypath_tcp::ConnectionInfo;

use super::{Stack, TcpSocket};
use crate::flow_table::FlowKey;

/// What a stack keeps for received data, bytes; its options bound both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What receive buffers have grown by since their connections opened.
    pub receive: u64,
    /// Data ahead of its turn.
    pub reassembly: u64,
}

impl Stack {
    /// What is kept now for received data. Looks at every connection.
    pub fn memory(&self) -> Memory {
        let (receive, reassembly) = self.inner.memory_in_use();
        Memory { receive, reassembly }
    }

    /// What the connection of a socket tells of itself, as Linux's `TCP_INFO`; `None` once it is over.
    pub fn tcp_info(&self, socket: TcpSocket) -> Option<ConnectionInfo> {
        let (local, remote) = self.addresses(socket).ok()?;
        self.tcp_info_at(local, remote)
    }

    /// The same of the connection between two addresses, whether or not it has a socket still: one that is opening,
    /// or whose application is gone.
    pub fn tcp_info_at(&self, local: SocketAddr, remote: SocketAddr) -> Option<ConnectionInfo> {
        self.inner.connection_info(&FlowKey::new(local, remote)?)
    }

    /// Whether a peer's handshake waits for its last acknowledgement: there is no connection yet.
    pub fn is_half_open(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        FlowKey::new(local, remote).is_some_and(|key| self.inner.is_half_open(&key))
    }

    /// Bytes that [`Stack::recv`] would return at once.
    ///
    /// # Errors
    /// `NotFound`: there is no such socket.
    pub fn readable(&self, socket: TcpSocket) -> Result<usize> {
        self.socket(socket).map(|s| s.end.read.ring.len())
    }

    /// Bytes that [`Stack::send`] would take at once.
    ///
    /// # Errors
    /// As [`Stack::readable`].
    pub fn writable(&self, socket: TcpSocket) -> Result<usize> {
        self.socket(socket).map(|s| s.end.write.room(&s.end.shared))
    }

    /// Whether the peer has said that it sends no more.
    ///
    /// # Errors
    /// As [`Stack::readable`].
    pub fn peer_closed(&self, socket: TcpSocket) -> Result<bool> {
        self.socket(socket).map(|s| s.end.shared.status().peer_closed())
    }
}
