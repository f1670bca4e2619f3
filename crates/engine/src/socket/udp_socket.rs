//! A UDP socket for any thread, in the manner of `std::net::UdpSocket`.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::sync::Parker;

use super::shared::deadline;
use super::udp::UdpShared;
use crate::control::BoundUdp;
use crate::engine::Engine;

/// Sends and receives datagrams. Dropping it gives the port back.
#[derive(Debug)]
pub struct UdpSocket {
    engine: Engine,
    shared: Arc<UdpShared>,
    waiting: Mutex<(Parker, Option<Duration>)>,
    local: SocketAddr,
}

impl UdpSocket {
    /// A socket at `local`, an address of the engine's; port 0 takes any, the unspecified address the first.
    ///
    /// # Errors
    /// `AddrInUse` if the engine or the kernel uses the port, `AddrNotAvailable` if the address is not ours,
    /// `TimedOut` if a worker of the engine does not come to take it.
    pub fn bind(engine: &Engine, local: SocketAddr) -> Result<Self> {
        let BoundUdp { shared, parker, local, known } = engine.bind_udp(local)?;
        let socket = Self { engine: engine.clone(), shared, waiting: Mutex::new((parker, None)), local };
        known.wait()?;
        Ok(socket)
    }

    /// Sends a datagram. It is not kept: if the network has no room for it, it is lost.
    ///
    /// # Errors
    /// `InvalidInput` when it does not fit the MTU (the engine does not fragment), `WouldBlock` when too
    /// many wait to be sent.
    pub fn send_to(&self, payload: &[u8], to: SocketAddr) -> Result<usize> {
        let headers = if to.is_ipv4() { 28 } else { 48 };
        let most = self.engine.info().mtu as usize - headers;
        if payload.len() > most {
            let text = format!("a datagram of {} bytes does not fit the MTU ({most})", payload.len());
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        if to.is_ipv4() != self.local.is_ipv4() {
            return Err(Error::new(ErrorKind::InvalidInput, "an address of another family"));
        }
        if !self.shared.send(to, payload) {
            return Err(Error::new(ErrorKind::WouldBlock, "too many datagrams wait to be sent"));
        }
        Ok(payload.len())
    }

    /// Waits for a datagram; what does not fit in `out` is lost. Returns its length there and its source.
    ///
    /// # Errors
    /// `WouldBlock` when none came in the time set by [`UdpSocket::set_read_timeout`];
    /// `ConnectionRefused` when an ICMP error says that nobody listens where one was sent.
    pub fn recv_from(&self, out: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (parker, timeout) = &*waiting;
        let found = self.shared.waiting.wait_until(parker, deadline(*timeout), || {
            self.shared.take().map(Ok).or_else(|| self.shared.take_refusal().map(Err))
        });
        match found {
            Some(Ok((from, bytes))) => {
                let n = bytes.len().min(out.len());
                out[..n].copy_from_slice(&bytes[..n]);
                Ok((n, from))
            }
            Some(Err(peer)) => {
                Err(Error::new(ErrorKind::ConnectionRefused, format!("nobody listens at {peer}")))
            }
            None => Err(Error::new(ErrorKind::WouldBlock, "no datagram in the time given")),
        }
    }

    /// How long [`UdpSocket::recv_from`] may wait; `None`: for ever.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = timeout;
        Ok(())
    }

    /// Its address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.engine.unbind_udp(self.local);
    }
}
