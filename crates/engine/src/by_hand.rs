//! The stack by hand: packets in and out as bytes, sockets that never block, the caller's clock. No thread and
//! no device, so that a simulator, a fuzzer or a test harness decides everything.
//!
//! A round is: [`Stack::receive`] packets, use the sockets, [`Stack::poll`] with the time, take packets with
//! [`Stack::transmit`]; come back at [`Stack::next_deadline`].

mod inspect;
mod opening;
mod tcp;
mod udp;

pub use inspect::Memory;

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bypath_tcp::{Config, Instant};
use bypath_wire::ethernet::MacAddr;
use bypath_xdp::DeviceStats;
use crossbeam::queue::ArrayQueue;

use crate::client_ports::Candidates;
use crate::desk::Surroundings;
use crate::flow::BoxedService;
use crate::packet::{PacketList, RxPacket};
use crate::ports::{Ownership, PortAllocator, PortLease};
use crate::route::{Prefix, RouteEntry};
use crate::service::{NoService, Service};
use crate::socket::end::TcpEnd;
use crate::socket::listener::ListenerShared;
use crate::socket::shared::{Wake, WorkerPort};
use crate::socket::udp::UdpShared;
use crate::stack::memory::MemoryLimits;
use crate::stack::{AWAKE, Stack as Inner, StackConfig, StackEvent};
use crate::template::Medium;
use crate::worker_stats::WorkerStats;

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
    /// With more connections than this those of a service on which nothing happens are kept in a small form.
    pub awake: usize,
    /// The service is told of every segment that is acknowledged.
    pub observe_segments: bool,
    /// How long the acknowledgement of a stream may wait for more segments to cover, see
    /// [`EngineBuilder::ack_patience`](crate::EngineBuilder::ack_patience); here it does not unless told to.
    pub ack_patience: Duration,
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
            awake: AWAKE,
            observe_segments: false,
            ack_patience: Duration::ZERO,
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
        Self::make(options, Box::new(NoService), None)
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
        Self::make(options, Box::new(service), Some(ports))
    }

    fn make(options: &StackOptions, service: BoxedService, ports: Option<&[u16]>) -> Result<Self> {
        let serves = ports.is_some();
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
            ack_patience: options.ack_patience,
            isn: None,
            reassembly_rings: if serves { options.reassembly_rings } else { 0 },
            memory: MemoryLimits { receive: options.receive_memory, reassembly: options.reassembly_memory },
            awake: options.awake,
            observe_segments: options.observe_segments,
            profile: false,
            client_ports: Candidates::All,
            worker: (0, 1),
        };
        let mut inner = Inner::new(config, port.clone(), service);
        inner.woken = !serves;
        for served in ports.unwrap_or_default() {
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
        self.wake();
        self.inner.advance(self.now, &mut self.out);
        self.inner.flush(self.now, &mut self.out);
        while self.inner.has_work() {
            self.inner.flush(self.now, &mut self.out);
        }
        self.inner.stamp(self.now);
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

    fn wake(&mut self) {
        if self.inner.is_wake_due(self.now) {
            let device = &DeviceStats::default;
            let time = &WorkerStats::default;
            self.inner.wake(self.now, &Surroundings { worker: 0, time, device });
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
}

fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "no such socket")
}
