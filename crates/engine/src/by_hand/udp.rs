//! The UDP sockets of a stack by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Stack, UdpPort};
use crate::socket::udp::UdpShared;

impl Stack {
    /// A UDP socket at `local`.
    pub fn bind_udp(&mut self, local: SocketAddr) -> UdpPort {
        let (shared, _) = UdpShared::new(self.port.clone());
        let shared = Arc::new(shared);
        self.inner.bind_udp(local, shared.clone());
        let name = self.name();
        self.udp.insert(name, (shared, local));
        UdpPort(name)
    }

    /// Queues a datagram; `false`: too many wait.
    pub fn send_to(&mut self, socket: UdpPort, payload: &[u8], to: SocketAddr) -> bool {
        self.udp.get(&socket.0).is_some_and(|(shared, _)| shared.send(to, payload))
    }

    /// The next datagram received, if any.
    pub fn recv_from(&mut self, socket: UdpPort) -> Option<(SocketAddr, Vec<u8>)> {
        self.udp.get(&socket.0)?.0.take()
    }

    /// A peer of which an ICMP error has said that nobody listens there.
    pub fn refused_by(&mut self, socket: UdpPort) -> Option<SocketAddr> {
        self.udp.get(&socket.0)?.0.take_refusal()
    }

    /// Gives a UDP socket back.
    pub fn close_udp(&mut self, socket: UdpPort) {
        if let Some((_, local)) = self.udp.remove(&socket.0) {
            self.inner.unbind_udp(local);
        }
    }
}
