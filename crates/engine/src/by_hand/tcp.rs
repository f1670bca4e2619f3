//! The TCP sockets of a stack by hand: bytes to and fro, options, the end.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use bypath_tcp::Config;

use super::{Socket, Stack, TcpSocket, unknown};
use crate::socket::end::error_of;
use crate::socket::options::Report;
use crate::socket::shared::wish;

impl Stack {
    /// Whether a connection is open; an error if it could not be opened, or has ended otherwise than in order.
    ///
    /// # Errors
    /// As a socket's: `ConnectionRefused`, `ConnectionReset`, `TimedOut`, `HostUnreachable`.
    pub fn is_connected(&self, socket: TcpSocket) -> Result<bool> {
        let status = self.socket(socket)?.end.shared.status();
        match status.closed() {
            Some(bypath_tcp::CloseReason::Finished) | None => Ok(status.is_connected()),
            Some(reason) => Err(error_of(reason)),
        }
    }

    /// Whether a connection is over and its place free.
    pub fn is_closed(&self, socket: TcpSocket) -> bool {
        self.socket(socket).map_or(true, |s| s.end.shared.status().closed().is_some())
    }

    /// Gives bytes to be sent; returns how many there was room for.
    ///
    /// # Errors
    /// As [`Stack::is_connected`]; `BrokenPipe` after [`Stack::shutdown`].
    pub fn send(&mut self, socket: TcpSocket, bytes: &[u8]) -> Result<usize> {
        let socket = self.socket_mut(socket)?;
        let shared = socket.end.shared.clone();
        let taken = socket.end.write.try_write(&shared, bytes).unwrap_or(Ok(0));
        if let Some(id) = shared.flow_id() {
            self.inner.take_written(id);
        }
        taken
    }

    /// Gives bytes to be sent that are urgent up to their end (RFC 9293 section 3.8.5); returns how many there was room
    /// for. They stay in their place in the stream.
    ///
    /// # Errors
    /// As [`Stack::send`].
    pub fn send_urgent(&mut self, socket: TcpSocket, bytes: &[u8]) -> Result<usize> {
        let socket = self.socket_mut(socket)?;
        let shared = socket.end.shared.clone();
        socket.end.write.try_write_urgent(&shared, bytes).unwrap_or(Ok(0))
    }

    /// The peer's urgent mark: how many bytes of its stream lie before the end of its urgent data; `None` when all
    /// of it was read, or there never was any. The data itself comes with [`Stack::recv`], in its place (RFC 6093).
    ///
    /// # Errors
    /// `NotFound`: there is no such socket.
    pub fn urgent_mark(&self, socket: TcpSocket) -> Result<Option<u64>> {
        self.socket(socket).map(|s| s.end.read.urgent_mark(&s.end.shared))
    }

    /// Takes received bytes: `None` when there are none yet, 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`Stack::is_connected`].
    pub fn recv(&mut self, socket: TcpSocket, out: &mut [u8]) -> Result<Option<usize>> {
        let socket = self.socket_mut(socket)?;
        let shared = socket.end.shared.clone();
        socket.end.read.try_read(&shared, out).transpose()
    }

    /// No more will be sent; what was given still is.
    ///
    /// # Errors
    /// `NotConnected` while the connection opens.
    pub fn shutdown(&mut self, socket: TcpSocket) -> Result<()> {
        let socket = self.socket_mut(socket)?;
        if !socket.end.shared.status().is_connected() {
            return Err(Error::new(ErrorKind::NotConnected, "the connection is not open yet"));
        }
        let shared = socket.end.shared.clone();
        socket.end.write.close(&shared);
        Ok(())
    }

    /// Turns Nagle's algorithm off (`true`) or on.
    pub fn set_nodelay(&mut self, socket: TcpSocket, on: bool) -> Result<()> {
        let shared = &self.socket(socket)?.end.shared;
        shared.wish(if on { wish::NODELAY_ON } else { wish::NODELAY_OFF });
        Ok(())
    }

    /// Sets the hop limit (time to live) of a connection's packets (RFC 9293 MUST-49).
    ///
    /// # Errors
    /// `InvalidInput` for 0.
    pub fn set_hop_limit(&mut self, socket: TcpSocket, limit: u8) -> Result<()> {
        self.socket(socket)?.end.shared.set_hop_limit(limit)
    }

    /// Sets the differentiated services code point of a connection's packets (RFC 9293 MUST-48).
    ///
    /// # Errors
    /// `InvalidInput` above 63.
    pub fn set_dscp(&mut self, socket: TcpSocket, dscp: u8) -> Result<()> {
        self.socket(socket)?.end.shared.set_dscp(dscp)
    }

    /// Sets how long sent data may stay unacknowledged before the connection is given up (R2, RFC 9293 MUST-21).
    pub fn set_user_timeout(&mut self, socket: TcpSocket, timeout: Duration) -> Result<()> {
        self.socket(socket)?.end.shared.set_user_timeout(timeout);
        Ok(())
    }

    /// Turns keep-alive on or off (RFC 9293 MUST-24): the peer is probed when it has been silent for as long as the
    /// stack's options say, or for two hours.
    pub fn set_keep_alive(&mut self, socket: TcpSocket, on: bool) -> Result<()> {
        let idle = self.inner.config.tcp.keep_alive.unwrap_or(Config::KEEP_ALIVE_IDLE);
        self.socket(socket)?.end.shared.set_keep_alive(on.then_some(idle));
        Ok(())
    }

    /// Turns keep-alive on, with an idle time of the connection's own (RFC 9293 MUST-27).
    pub fn set_keep_alive_idle(&mut self, socket: TcpSocket, idle: Duration) -> Result<()> {
        self.socket(socket)?.end.shared.set_keep_alive(Some(idle));
        Ok(())
    }

    /// A condition of a connection, one at a time, that has come since they were last taken and ends nothing
    /// (RFC 9293 section 3.9.1.8). Who does not ask is not told.
    pub fn take_report(&mut self, socket: TcpSocket) -> Option<Report> {
        self.socket(socket).ok()?.end.shared.take_report()
    }

    /// Resets the connection.
    pub fn abort(&mut self, socket: TcpSocket) -> Result<()> {
        self.socket(socket)?.end.shared.wish(wish::ABORT);
        Ok(())
    }

    /// The application is done with the socket: what was given is still sent, unread data resets.
    pub fn close(&mut self, socket: TcpSocket) {
        self.sockets.remove(&socket.0);
    }

    /// Local and remote address of a connection.
    pub fn addresses(&self, socket: TcpSocket) -> Result<(SocketAddr, SocketAddr)> {
        self.socket(socket).map(|s| (s.local, s.remote))
    }

    pub(super) fn socket(&self, socket: TcpSocket) -> Result<&Socket> {
        self.sockets.get(&socket.0).ok_or_else(unknown)
    }

    pub(super) fn socket_mut(&mut self, socket: TcpSocket) -> Result<&mut Socket> {
        self.sockets.get_mut(&socket.0).ok_or_else(unknown)
    }
}
