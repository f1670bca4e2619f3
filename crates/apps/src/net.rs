//! What the protocols need of a network: streams, listeners and datagrams, blocking and with
//! timeouts. The engine and the kernel each implement it, so one client runs over both and the two
//! can be compared.
//!
//! A call whose timeout has passed fails with `WouldBlock`, as with the sockets of `std` on Linux, and can
//! be made again. `TimedOut` is final: the peer has not acknowledged anything for too long.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

/// A place to open sockets in.
pub trait Network: Send + Sync {
    /// Opens a TCP connection, giving up after `timeout`.
    fn connect(&self, addr: SocketAddr, timeout: Duration) -> io::Result<Box<dyn Stream>>;

    /// Listens on `local`; port 0 takes any free port.
    fn listen(&self, local: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// Opens a UDP socket on `local`; port 0 takes a free port that an off-path attacker cannot
    /// guess (RFC 5452 section 4.5), because DNS answers are matched against it.
    fn udp(&self, local: SocketAddr) -> io::Result<Box<dyn Udp>>;

    /// The address that packets to `peer` would carry as their source; an error where there is no
    /// way to reach it.
    fn local_ip_for(&self, peer: IpAddr) -> io::Result<IpAddr>;
}

/// A TCP connection.
pub trait Stream: Read + Write + Send {
    /// How long `read` may wait; `None` waits for ever.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// How long `write` may wait; `None` waits for ever.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Closes one or both directions.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Our end.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The other end.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// Segments that this end has sent again so far; 0 where the stack does not tell.
    fn retransmits(&self) -> u64 {
        0
    }
}

/// A listening TCP socket.
pub trait Listener: Send {
    /// The next connection, with its peer, or `WouldBlock` when none has come within
    /// `timeout`.
    fn accept(&self, timeout: Duration) -> io::Result<(Box<dyn Stream>, SocketAddr)>;

    /// Where it listens, with the port that was taken.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A UDP socket.
pub trait Udp: Send {
    /// Sends one datagram.
    fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize>;

    /// Receives one datagram and tells who sent it; waits for `timeout` at most.
    fn recv_from(&self, buf: &mut [u8], timeout: Duration) -> io::Result<(usize, SocketAddr)>;

    /// Our end.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Whether an error of a read, write or accept only says that the call may be made again.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
