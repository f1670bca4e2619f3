//! Connections of a stack by hand begin here: opened, or listened for and accepted.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Listener, Socket, Stack, TcpPort, TcpSocket};
use crate::ports::Transport;
use crate::socket::end::{TcpEnd, socket_pair};
use crate::socket::listener::ListenerShared;

impl Stack {
    /// Opens a connection from `local_port` (0: any) to `remote`, as of the last time that the stack was told.
    ///
    /// # Errors
    /// `NetworkUnreachable` without a route, which broadcast and group addresses never have; `AddrInUse` when the
    /// port is taken.
    pub fn connect(&mut self, remote: SocketAddr, local_port: u16) -> Result<TcpSocket> {
        let source = self.route_to(remote)?;
        self.open(SocketAddr::new(source, local_port), remote)
    }

    /// As [`Stack::connect`], from an address of the stack that is named too (RFC 9293 MUST-43).
    ///
    /// # Errors
    /// As [`Stack::connect`]; `AddrNotAvailable` when the address is not the stack's.
    pub fn connect_from(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<TcpSocket> {
        self.route_to(remote)?;
        if !self.inner.routes.is_local(local.ip()) || local.is_ipv4() != remote.is_ipv4() {
            return Err(Error::new(ErrorKind::AddrNotAvailable, "not an address of this stack"));
        }
        self.open(local, remote)
    }

    /// As [`Stack::connect`], with the first bytes to send: where the peer has given a cookie before, as many as fit
    /// go with the SYN (RFC 7413), and the peer may get them twice; otherwise it is asked for a cookie, and they go
    /// after the handshake. Returns how many of them there was room for.
    ///
    /// # Errors
    /// As [`Stack::connect`].
    pub fn connect_with_data(
        &mut self,
        remote: SocketAddr,
        local_port: u16,
        bytes: &[u8],
    ) -> Result<(TcpSocket, usize)> {
        let source = self.route_to(remote)?;
        self.open_with(SocketAddr::new(source, local_port), remote, Some(bytes))
    }

    /// Lets a listener take data with a SYN that has a cookie of ours, of at most `pending` connections whose
    /// handshake is not complete; 0, the default, takes none. The application must do no harm when a request comes
    /// twice (RFC 7413 section 2.1).
    pub fn set_fast_open(&mut self, port: TcpPort, pending: usize) {
        if let Some(listener) = self.listeners.get(&port.0) {
            listener.shared.set_fast_open(pending);
        }
    }

    /// The source address that the routes choose.
    fn route_to(&self, remote: SocketAddr) -> Result<IpAddr> {
        let route = self.inner.routes.lookup(remote.ip());
        route.map(|route| route.source).ok_or_else(|| Error::new(ErrorKind::NetworkUnreachable, "no route"))
    }

    fn open(&mut self, wanted: SocketAddr, remote: SocketAddr) -> Result<TcpSocket> {
        self.open_with(wanted, remote, None).map(|(socket, _)| socket)
    }

    fn open_with(
        &mut self,
        wanted: SocketAddr,
        remote: SocketAddr,
        bytes: Option<&[u8]>,
    ) -> Result<(TcpSocket, usize)> {
        let lease = if wanted.port() == 0 {
            let (inner, now) = (&self.inner, self.now);
            let free = |port| inner.may_connect(now, SocketAddr::new(wanted.ip(), port), remote);
            self.ports.for_connection(Transport::Tcp, wanted.ip(), remote, free)?
        } else if self.inner.may_follow(self.now, wanted, remote) {
            // The port is held for the connection in TIME-WAIT: another share of it for the one that follows.
            self.ports.share(Transport::Tcp, wanted)?
        } else {
            self.ports.exactly(Transport::Tcp, wanted)?
        };
        let local = SocketAddr::new(wanted.ip(), lease.port());
        self.leases.entry(local).or_default().push(lease);
        let receive = self.inner.config.tcp.first_receive_buffer() as usize;
        let (mut end, mut socket) = socket_pair(self.port.clone(), receive, self.inner.config.send_buffer);
        end.fast_open = bytes.is_some();
        let shared = socket.shared.clone();
        let given = bytes.and_then(|bytes| socket.write.try_write(&shared, bytes)).unwrap_or(Ok(0))?;
        self.inner.connect(self.now, local, remote, end);
        Ok((self.keep(socket, local, remote), given))
    }

    fn keep(&mut self, end: TcpEnd, local: SocketAddr, remote: SocketAddr) -> TcpSocket {
        let name = self.name();
        self.sockets.insert(name, Socket { end, local, remote });
        TcpSocket(name)
    }

    pub(super) fn name(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Listens at `local`; up to `backlog` connections wait to be accepted. Where somebody listens already, they go
    /// on, and this listener gets nothing: [`Stack::try_listen`] tells.
    pub fn listen(&mut self, local: SocketAddr, backlog: usize) -> TcpPort {
        let (shared, _) = ListenerShared::new(backlog);
        let shared = Arc::new(shared);
        let taken = !self.inner.listen(local, shared.clone());
        let name = self.name();
        self.listeners.insert(name, Listener { shared, at: (!taken).then_some(local) });
        TcpPort(name)
    }

    /// As [`Stack::listen`].
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there.
    pub fn try_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<TcpPort> {
        if self.listeners.values().any(|listener| listener.at == Some(local)) {
            return Err(Error::new(ErrorKind::AddrInUse, "somebody listens there"));
        }
        Ok(self.listen(local, backlog))
    }

    /// The next connection to a listener, if one waits.
    pub fn accept(&mut self, port: TcpPort) -> Option<TcpSocket> {
        let accepted = self.listeners.get(&port.0)?.shared.take()?;
        Some(self.keep(accepted.end, accepted.local, accepted.remote))
    }

    /// Listens no more.
    pub fn close_listener(&mut self, port: TcpPort) {
        if let Some(Listener { at: Some(local), .. }) = self.listeners.remove(&port.0) {
            self.inner.unlisten(local);
        }
    }
}
