//! A TCP listener for any thread, in the manner of `std::net::TcpListener`.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::sync::Parker;

use super::listener::ListenerShared;
use super::shared::deadline;
use super::stream::TcpStream;
use crate::control::Listening;
use crate::engine::Engine;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;

/// Accepts connections to a port. Dropping it gives the port back; accepted connections live on.
#[derive(Debug)]
pub struct TcpListener {
    engine: Engine,
    shared: Arc<ListenerShared>,
    waiting: Mutex<(Parker, Option<Duration>)>,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens at `local`, an address of the engine's; port 0 takes any, the unspecified address the first.
    ///
    /// # Errors
    /// `AddrInUse` if the engine or the kernel uses the port, `AddrNotAvailable` if the address is not ours,
    /// `TimedOut` if a worker of the engine does not come to take it.
    pub fn bind(engine: &Engine, local: SocketAddr) -> Result<Self> {
        let Listening { shared, parker, local, known } = engine.listen(local, BACKLOG)?;
        let listener = Self { engine: engine.clone(), shared, waiting: Mutex::new((parker, None)), local };
        known.wait()?;
        Ok(listener)
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `WouldBlock` when none came in the time set by [`TcpListener::set_accept_timeout`].
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (parker, timeout) = &*waiting;
        let found = self.shared.waiting.wait_until(parker, deadline(*timeout), || self.shared.take());
        match found {
            Some(a) => Ok((TcpStream::new(self.engine.clone(), a.end, a.local, a.remote), a.remote)),
            None => Err(Error::new(ErrorKind::WouldBlock, "no connection in the time given")),
        }
    }

    /// How long [`TcpListener::accept`] may wait; `None`: for ever.
    pub fn set_accept_timeout(&self, timeout: Option<Duration>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = timeout;
    }

    /// Takes data with the SYN of clients that have a cookie (RFC 7413), of at most `pending` connections whose
    /// handshake is not complete; 0, the default, takes none. Only for applications to which a request may come
    /// twice without harm (RFC 7413 section 2.1).
    pub fn set_fast_open(&self, pending: usize) {
        self.shared.set_fast_open(pending);
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.engine.unlisten(self.local);
    }
}
