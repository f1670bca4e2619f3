//! A TCP connection for any thread: blocking, with timeouts, in the manner of `std::net::TcpStream`.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::end::{ReadEnd, TcpEnd, WriteEnd, error_of};
use super::options::Report;
use super::shared::{SocketShared, deadline, wish};
use crate::control::Opened;
use crate::engine::Engine;

/// Figures of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time, RFC 6298; none before the first sample.
    pub srtt: Option<Duration>,
    /// From SYN to SYN-ACK; none on the accepting side, and when the SYN was sent twice.
    pub handshake: Option<Duration>,
    /// Segments received.
    pub segments_in: u64,
    /// Segments sent.
    pub segments_out: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Congestion window, bytes.
    pub cwnd: u64,
}

/// A TCP connection. Reading and writing may go on at the same time, from two threads, by reference or by
/// [`TcpStream::try_clone`]. Dropping the last clone closes the connection in order: what was written is
/// still delivered. If received data was not read, the peer gets a reset (RFC 9293 section 3.6.1).
#[derive(Clone, Debug)]
pub struct TcpStream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    read: Mutex<ReadHalf>,
    write: Mutex<WriteHalf>,
    shared: Arc<SocketShared>,
    local: SocketAddr,
    remote: SocketAddr,
    /// The engine lives as long as its sockets.
    _engine: Engine,
}

#[derive(Debug)]
struct ReadHalf {
    end: ReadEnd,
    timeout: Option<Duration>,
}

#[derive(Debug)]
struct WriteHalf {
    end: WriteEnd,
    timeout: Option<Duration>,
}

fn lock<T>(half: &Mutex<T>) -> MutexGuard<'_, T> {
    half.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TcpStream {
    /// Opens a connection to `remote`. Waits as long as TCP does: three minutes and more.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable` (no route), `AddrInUse` or
    /// `AddrNotAvailable` (no source port left).
    pub fn connect(engine: &Engine, remote: SocketAddr) -> Result<Self> {
        Self::open(engine, remote, None)
    }

    /// As [`TcpStream::connect`], but gives up after `timeout` with `TimedOut`.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub fn connect_timeout(engine: &Engine, remote: SocketAddr, timeout: Duration) -> Result<Self> {
        Self::open(engine, remote, Some(timeout))
    }

    /// As [`TcpStream::connect_timeout`], with the first bytes to send. Where the peer has given a cookie before, as
    /// many as fit go with the SYN (RFC 7413), and the peer may get them twice; otherwise it is asked for a cookie.
    /// All are given to be sent when this returns.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub fn connect_with_data(
        engine: &Engine,
        remote: SocketAddr,
        bytes: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let opened = engine.open_with(remote, bytes)?;
        let given = opened.given;
        let stream = Self::wait_open(engine, remote, opened, timeout)?;
        (&stream).write_all(bytes.get(given..).unwrap_or_default())?;
        Ok(stream)
    }

    fn open(engine: &Engine, remote: SocketAddr, timeout: Option<Duration>) -> Result<Self> {
        let opened = engine.open(remote)?;
        Self::wait_open(engine, remote, opened, timeout)
    }

    fn wait_open(
        engine: &Engine,
        remote: SocketAddr,
        opened: Opened,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let until = deadline(timeout);
        let Opened { end, local, .. } = opened;
        let shared = end.shared.clone();
        let outcome = shared.writer.wait_until(&end.write.parker, until, || {
            let status = shared.status();
            match status.closed() {
                Some(reason) if !status.is_connected() => Some(Err(error_of(reason))),
                _ => status.is_connected().then_some(Ok(())),
            }
        });
        match outcome {
            Some(Ok(())) => Ok(Self::new(engine.clone(), end, local, remote)),
            Some(Err(error)) => Err(error),
            None => Err(Error::new(ErrorKind::TimedOut, "no answer in the time given")),
        }
    }

    pub(super) fn new(engine: Engine, end: TcpEnd, local: SocketAddr, remote: SocketAddr) -> Self {
        let (read, write, shared) = end.into_parts();
        let inner = Inner {
            read: Mutex::new(ReadHalf { end: read, timeout: None }),
            write: Mutex::new(WriteHalf { end: write, timeout: None }),
            shared,
            local,
            remote,
            _engine: engine,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Our address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local
    }

    /// The peer's.
    pub fn peer_addr(&self) -> SocketAddr {
        self.inner.remote
    }

    /// Another handle to the same connection.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(self.clone())
    }

    /// How long a read may wait; `None`: for ever. A read that waits longer fails with `WouldBlock`, as
    /// `std::net`'s does.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        lock(&self.inner.read).timeout = nonzero(timeout)?;
        Ok(())
    }

    /// How long a write may wait for room; `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        lock(&self.inner.write).timeout = nonzero(timeout)?;
        Ok(())
    }

    /// Sends small segments at once (`true`), or lets them wait for an acknowledgement (Nagle).
    pub fn set_nodelay(&self, on: bool) -> Result<()> {
        self.inner.shared.wish(if on { wish::NODELAY_ON } else { wish::NODELAY_OFF });
        Ok(())
    }

    /// Sets the hop limit (time to live) of the packets.
    ///
    /// # Errors
    /// `InvalidInput` for 0.
    pub fn set_hop_limit(&self, limit: u8) -> Result<()> {
        self.inner.shared.set_hop_limit(limit)
    }

    /// Sets the differentiated services code point of the packets.
    ///
    /// # Errors
    /// `InvalidInput` above 63.
    pub fn set_dscp(&self, dscp: u8) -> Result<()> {
        self.inner.shared.set_dscp(dscp)
    }

    /// Sets how long written bytes may stay unacknowledged before the connection is given up.
    pub fn set_user_timeout(&self, timeout: Duration) {
        self.inner.shared.set_user_timeout(timeout);
    }

    /// Probes the peer when it has been silent so long; `None`, the default: never.
    pub fn set_keep_alive(&self, idle: Option<Duration>) {
        self.inner.shared.set_keep_alive(idle);
    }

    /// A condition, one at a time, that has come since they were last taken and ends nothing.
    pub fn take_report(&self) -> Option<Report> {
        self.inner.shared.take_report()
    }

    /// Writes bytes that are urgent up to their end (RFC 9293 section 3.8.5); returns how many, 0 when there is no
    /// room now. They stay in their place in the stream. Not for new protocols (RFC 6093).
    ///
    /// # Errors
    /// As writing.
    pub fn send_urgent(&self, bytes: &[u8]) -> Result<usize> {
        lock(&self.inner.write).end.try_write_urgent(&self.inner.shared, bytes).unwrap_or(Ok(0))
    }

    /// The peer's urgent mark: how many bytes of its stream lie before the end of its urgent data; `None` when all
    /// of it was read, or there never was any. The data itself is read in its place (RFC 6093).
    pub fn urgent_mark(&self) -> Option<u64> {
        lock(&self.inner.read).end.urgent_mark(&self.inner.shared)
    }

    /// Closes one direction or both. Reading on after `Read` gives the end of the stream.
    ///
    /// # Errors
    /// None at present.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            lock(&self.inner.write).end.close(&self.inner.shared);
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            lock(&self.inner.read).end.close();
        }
        Ok(())
    }

    /// Figures, as of the last time the connection was active.
    pub fn info(&self) -> TcpInfo {
        let f = &self.inner.shared.figures;
        let ns = |v: u64| (v != 0).then(|| Duration::from_nanos(v));
        TcpInfo {
            srtt: ns(f.srtt_ns.load(Relaxed)),
            handshake: ns(f.handshake_ns.load(Relaxed)),
            segments_in: f.segs_in.load(Relaxed),
            segments_out: f.segs_out.load(Relaxed),
            retransmits: f.segs_retrans.load(Relaxed),
            timeouts: f.timeouts.load(Relaxed),
            cwnd: f.cwnd.load(Relaxed),
        }
    }
}

fn nonzero(timeout: Option<Duration>) -> Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(Error::new(ErrorKind::InvalidInput, "a timeout of zero"));
    }
    Ok(timeout)
}

impl Read for &TcpStream {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let shared = &self.inner.shared;
        let mut half = lock(&self.inner.read);
        let until = half.timeout.map(|t| Instant::now() + t);
        half.end.read_until(shared, until, out)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let shared = &self.inner.shared;
        let mut half = lock(&self.inner.write);
        let until = half.timeout.map(|t| Instant::now() + t);
        half.end.write_until(shared, until, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        (&*self).read(out)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
