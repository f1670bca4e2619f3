//! The stack by hand: packets in and out as bytes, sockets that never block, the caller's clock. No thread and
//! no device, so that a simulator, a fuzzer or a test harness decides everything.
//!
//! A round is: [`Stack::receive`] packets, use the sockets, [`Stack::poll`] with the time, take packets with
//! [`Stack::transmit`]; come back at [`Stack::next_deadline`].

mod inspect;

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bypath_tcp::{Config, Instant};
use bypath_wire::ethernet::MacAddr;
use crossbeam::queue::ArrayQueue;

use crate::flow::BoxedService;
use crate::packet::{PacketList, RxPacket};
use crate::ports::{Ownership, PortAllocator, PortLease, Transport};
use crate::route::{Prefix, RouteEntry};
use crate::service::{NoService, Service};
use crate::socket::end::{TcpEnd, error_of, socket_pair};
use crate::socket::listener::ListenerShared;
use crate::socket::options::Report;
use crate::socket::shared::{Wake, WorkerPort, wish};
use crate::socket::udp::UdpShared;
use crate::stack::memory::MemoryLimits;
use crate::stack::{Stack as Inner, StackConfig, StackEvent};
use crate::template::Medium;

/// What packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header; the stack has this address, and speaks ARP and Neighbor Discovery.
    Ethernet(MacAddr),
    /// The IP header.
    Ip,
}

/// Settings of a stack.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// What packets begin with.
    pub link: Link,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Settings of TCP.
    pub tcp: Config,
    /// Bytes that a socket may have written and not yet acknowledged.
    pub send_buffer: usize,
    /// Connections in all states.
    pub max_connections: usize,
    /// Decides sequence numbers, hashes and source ports: the same seed, the same behaviour.
    pub seed: u64,
    /// Connections of a service that may have data out of order at once; the others ask for it again.
    pub reassembly_rings: usize,
    /// Bytes that the receive buffers of all connections together may grow by.
    pub receive_memory: u64,
    /// Bytes received ahead of their turn that all connections together may keep.
    pub reassembly_memory: u64,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            link: Link::Ip,
            mtu: 1500,
            tcp: Config::default(),
            send_buffer: 1 << 18,
            max_connections: 1_024,
            seed: 0,
            reassembly_rings: 16,
            receive_memory: MemoryLimits::default().receive,
            reassembly_memory: MemoryLimits::default().reassembly,
        }
    }
}

/// Names a TCP socket of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TcpSocket(u64);

/// Names a listener of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TcpPort(u64);

/// Names a UDP socket of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdpPort(u64);

struct NoSleep;

impl Wake for NoSleep {
    fn wake(&self) {}
}

struct Socket {
    end: TcpEnd,
    local: SocketAddr,
    remote: SocketAddr,
}

struct Listener {
    shared: Arc<ListenerShared>,
    /// Where connections come to it; `None`: somebody else was there first.
    at: Option<SocketAddr>,
}

/// A stack by hand.
pub struct Stack {
    inner: Inner,
    out: PacketList,
    port: Arc<WorkerPort>,
    sockets: HashMap<u64, Socket>,
    listeners: HashMap<u64, Listener>,
    udp: HashMap<u64, (Arc<UdpShared>, SocketAddr)>,
    leases: HashMap<SocketAddr, Vec<PortLease>>,
    ports: PortAllocator,
    next: u64,
    now: Instant,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack without addresses.
    ///
    /// # Errors
    /// When the system gives no random numbers for source ports.
    pub fn new(options: &StackOptions) -> Result<Self> {
        Self::make(options, Box::new(NoService), &[])
    }

    /// A stack without addresses, whose `service` has the connections to `ports`.
    ///
    /// # Errors
    /// As [`Stack::new`].
    pub fn with_service(
        options: &StackOptions,
        service: impl Service + 'static,
        ports: &[u16],
    ) -> Result<Self> {
        Self::make(options, Box::new(service), ports)
    }

    fn make(options: &StackOptions, service: BoxedService, ports: &[u16]) -> Result<Self> {
        let (medium, mac) = match options.link {
            Link::Ethernet(mac) => (Medium::Ethernet, mac),
            Link::Ip => (Medium::Ip, MacAddr::UNSPECIFIED),
        };
        let port = Arc::new(WorkerPort {
            // Twice: sockets of connections in TIME-WAIT may still say something.
            touched: ArrayQueue::new(options.max_connections.max(1) * 2),
            datagrams: AtomicBool::new(false),
            waker: Box::new(NoSleep),
        });
        let seed = |n: u64| options.seed.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n;
        let config = StackConfig {
            medium,
            mac,
            mtu: options.mtu,
            kernel_neighbors: false,
            max_flows: options.max_connections,
            tcp: options.tcp.clone(),
            send_buffer: options.send_buffer.next_power_of_two(),
            seeds: [seed(1), seed(2), seed(3), seed(4)],
            reassembly_rings: if ports.is_empty() { 0 } else { options.reassembly_rings },
            memory: MemoryLimits { receive: options.receive_memory, reassembly: options.reassembly_memory },
        };
        let mut inner = Inner::new(config, port.clone(), service);
        for served in ports {
            inner.serve(*served);
        }
        Ok(Self {
            inner,
            out: PacketList::default(),
            port,
            sockets: HashMap::new(),
            listeners: HashMap::new(),
            udp: HashMap::new(),
            leases: HashMap::new(),
            ports: PortAllocator::with_secret(Ownership::Own, 0, [seed(5), seed(6)])?,
            next: 0,
            now: Instant::ZERO,
        })
    }

    /// Gives the stack an address in a network.
    pub fn add_address(&mut self, address: IpAddr, prefix_len: u8) {
        self.inner.routes.add_address(Prefix::new(address, prefix_len));
    }

    /// Sends what is for other networks to `gateway`.
    pub fn add_gateway(&mut self, gateway: IpAddr) {
        self.inner.routes.add_route(RouteEntry::default_via(gateway));
    }

    /// Takes a packet that has arrived at `now`.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.now = self.now.max(now);
        self.inner.input(self.now, &RxPacket::whole(packet), 0, true, &mut self.out);
    }

    /// Does what sockets have asked for and what is due at `now`.
    pub fn poll(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.inner.take_wishes(self.now);
        if self.port.datagrams.swap(false, std::sync::atomic::Ordering::Relaxed) {
            self.inner.send_datagrams(self.now, &mut self.out);
        }
        self.inner.advance(self.now, &mut self.out);
        self.inner.flush(self.now, &mut self.out);
        while self.inner.has_work() {
            self.inner.flush(self.now, &mut self.out);
        }
        while let Some(event) = self.inner.events.pop_front() {
            if let StackEvent::FlowClosed(key) = event
                && let Some(held) = self.leases.get_mut(&key.local())
            {
                held.pop();
                if held.is_empty() {
                    self.leases.remove(&key.local());
                }
            }
        }
    }

    /// The next packet to be sent.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.out.packets.pop_front()
    }

    /// When [`Stack::poll`] has something to do, if nothing arrives before; `None`: never.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.inner.next_deadline()
    }

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

    fn name(&mut self) -> u64 {
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

    /// Connections in any state, TIME-WAIT included.
    pub fn connections(&self) -> usize {
        self.inner.flow_count()
    }

    /// Packets not used, by cause.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        self.inner.counters.drops().collect()
    }

    /// What else the stack has counted: cookies, half-open connections that were given up, and the like. Only
    /// what has happened.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.inner.counters.tallies().collect()
    }

    /// Connections whose handshake is not complete, of those that peers opened; they are among
    /// [`Stack::connections`].
    pub fn half_open(&self) -> usize {
        self.inner.half_open()
    }

    /// TCP segments sent again.
    pub fn retransmits(&self) -> u64 {
        self.inner.counters.segs_retrans
    }

    fn socket(&self, socket: TcpSocket) -> Result<&Socket> {
        self.sockets.get(&socket.0).ok_or_else(unknown)
    }

    fn socket_mut(&mut self, socket: TcpSocket) -> Result<&mut Socket> {
        self.sockets.get_mut(&socket.0).ok_or_else(unknown)
    }

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

fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "no such socket")
}
