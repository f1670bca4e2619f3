//! The stack of one worker: flows, timers, neighbours, routes and sockets, without a device, a clock or a
//! thread. A worker feeds it from its device, a simulator or a test by hand.
//!
//! A round: [`Stack::input`] for every packet of a batch, [`Stack::advance`] for the timers, then
//! [`Stack::flush`] sends what became of it, once for each flow that was touched.

pub(crate) mod client;
mod deliver;
mod doze;
mod fast_open;
pub(crate) mod foresight;
mod half_open;
mod held_acks;
mod icmp;
pub(crate) mod ingress;
mod link;
mod listen;
pub(crate) mod memory;
mod open;
mod ordinary;
mod sockets;
mod tcp;
mod time_wait;
mod transmit;
mod udp;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bypath_tcp::{ChallengeLimiter, Config, FastOpenKeys, Instant, IsnGenerator, MetricsCache, SynCookies};
use bypath_wire::ethernet::MacAddr;

pub(crate) use self::doze::AWAKE;
use self::doze::Dozing;
use self::held_acks::HeldAcks;
use self::memory::{Memory, MemoryLimits};
use crate::account::Account;
use crate::client_ports::{Candidates, ClientPorts};
use crate::compact::Compact;
use crate::counters::Counters;
use crate::destinations::Destinations;
use crate::flow::BoxedService;
use crate::flow_table::{FlowHasher, FlowKey, FlowTable};
use crate::flows::Flows;
use crate::neighbor::NeighborCache;
use crate::packet::NO_FLOW;
use crate::ring::{ByteConsumer, ByteProducer, byte_ring};
use crate::route::RouteTable;
use crate::segment_log::AckedSegment;
use crate::slab::FlowId;
use crate::socket::listener::ListenerShared;
use crate::socket::shared::WorkerPort;
use crate::socket::udp::UdpShared;
use crate::spent_cookies::SpentCookies;
use crate::tap::Note;
use crate::template::Medium;
use crate::timer_wheel::TimerWheel;

/// Timer wheel granularity: 8.2 µs, a small part of the time that a batch of a paced connection stands for.
const TICK_NS: u64 = 1 << 13;
/// Answers to packets that belong to no flow, resets and ICMP errors together, in a second.
const ANSWERS_PER_SECOND: u32 = 1_000;
/// SYN cookies remembered that connections were made of.
const LEAST_SPENT: usize = 1 << 8;
const MOST_SPENT: usize = 1 << 16;
/// Settings kept for connections to come: there are few segment sizes.
const CONFIGS: usize = 8;
/// Segment size of a peer over IPv6 that does not announce one.
const DEFAULT_MSS_IPV6: u16 = 1220;

/// What a stack is made with.
#[derive(Clone, Debug)]
pub(crate) struct StackConfig {
    pub(crate) medium: Medium,
    pub(crate) mac: MacAddr,
    /// Largest IP packet, bytes.
    pub(crate) mtu: u32,
    /// The addresses are shared with the kernel: it answers ARP and NDP, and knows the neighbours.
    pub(crate) kernel_neighbors: bool,
    pub(crate) max_flows: usize,
    pub(crate) tcp: Config,
    /// Bytes a socket can have written and not yet acknowledged.
    pub(crate) send_buffer: usize,
    /// Secret numbers: sequence numbers, hashes, the neighbour table.
    pub(crate) seeds: [u64; 4],
    /// How long an acknowledgement that can wait does.
    pub(crate) ack_patience: Duration,
    /// Key and clock of initial sequence numbers, where they are not to follow from the seeds.
    pub(crate) isn: Option<IsnGenerator>,
    /// Rings for data out of order, for the connections of a service: how many at once.
    pub(crate) reassembly_rings: usize,
    pub(crate) memory: MemoryLimits,
    /// With more connections than this at full size those on which nothing happens are put to sleep.
    pub(crate) awake: usize,
    /// Services are told of every segment that is acknowledged.
    pub(crate) observe_segments: bool,
    /// An account is kept of where the time goes.
    pub(crate) profile: bool,
    /// Source ports of connections that a service opens.
    pub(crate) client_ports: Candidates,
    /// This worker's number, and how many there are.
    pub(crate) worker: (usize, usize),
}

/// What the control plane has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackEvent {
    /// A listener's port has got a connection; it keeps the port in use.
    FlowAccepted(FlowKey),
    /// A flow has gone to TIME-WAIT, and a new one may follow on it when it has rested.
    FlowRests(FlowKey),
    /// A flow is gone; its port may be given back.
    FlowClosed(FlowKey),
    /// No more connections to this address are accepted here; those before were told of.
    Unlistened(SocketAddr),
    /// The kernel should find this neighbour.
    NeedNeighbor(IpAddr),
    /// The service of this worker says that it is done.
    ServiceDone(usize),
}

/// A datagram that waits for its neighbour.
struct WaitingDatagram {
    local: SocketAddr,
    remote: SocketAddr,
    payload: Vec<u8>,
}

/// See the module.
pub(crate) struct Stack {
    pub(crate) config: StackConfig,
    pub(crate) routes: RouteTable,
    pub(crate) neighbors: NeighborCache,
    flows: Flows,
    dozing: Dozing,
    table: FlowTable,
    wheel: TimerWheel,
    isn: IsnGenerator,
    /// By address and port; the unspecified address stands for all.
    listeners: HashMap<SocketAddr, Arc<ListenerShared>>,
    udp: HashMap<SocketAddr, Arc<UdpShared>>,
    /// Flows whose first packet, and datagrams that, wait for a link address.
    half_open: Compact<half_open::HalfOpen>,
    /// In TIME-WAIT.
    resting: Compact<time_wait::Resting>,
    cookies: SynCookies,
    spent_cookies: SpentCookies,
    fast_open_keys: FastOpenKeys,
    destinations: Destinations,
    /// Settings by segment size and family, shared by connections.
    tcp_configs: Vec<(u16, bool, Arc<Config>)>,
    /// Until when acknowledgements are looked at for cookies.
    cookies_until: Instant,
    waiting_flows: HashMap<IpAddr, Vec<FlowId>>,
    waiting_datagrams: VecDeque<(IpAddr, WaitingDatagram)>,
    held_acks: HeldAcks,
    dirty: Vec<u32>,
    /// Flows with more to send than the device had room for, or than one sends in one turn.
    blocked: VecDeque<u32>,
    spare_rings: Vec<(ByteProducer, ByteConsumer)>,
    pub(crate) port: Arc<WorkerPort>,
    pub(crate) counters: Counters,
    pub(crate) events: VecDeque<StackEvent>,
    memory: Memory,
    challenges: ChallengeLimiter,
    /// The packet at hand came to another worker, which answers it.
    overhears: bool,
    service: BoxedService,
    service_ports: Vec<u16>,
    /// The service's connections whose handshake is not complete though their data is taken.
    service_opening: usize,
    /// Of the service on another worker.
    ports_elsewhere: Vec<u16>,
    service_udp: Vec<u16>,
    /// Working space for answers to datagrams.
    reply: Vec<u8>,
    /// The service has been called for the first time.
    pub(crate) woken: bool,
    client_ports: ClientPorts,
    /// Flows with segments that are on their way to the device.
    unstamped: Vec<u32>,
    /// What one packet has acknowledged.
    samples: Vec<AckedSegment>,
    answers: (u64, u32),
    pub(crate) account: Account,
    datagram_id: u16,
    /// What the packet at hand has turned out to mean.
    note: Note,
    /// The flow of the last ordinary packet.
    recent: u32,
}

impl Stack {
    pub(crate) fn new(config: StackConfig, port: Arc<WorkerPort>, service: BoxedService) -> Self {
        let seeds = config.seeds;
        let mut account = Account::default();
        if config.profile {
            account.keep();
        }
        Self {
            routes: RouteTable::new(),
            neighbors: NeighborCache::new(4096, seeds[3]),
            flows: Flows::with_capacity(config.max_flows),
            dozing: Dozing::default(),
            table: FlowTable::with_capacity(config.max_flows, FlowHasher::with_seeds(seeds)),
            wheel: TimerWheel::with_capacity(config.max_flows, TICK_NS),
            isn: config
                .isn
                .clone()
                .unwrap_or_else(|| IsnGenerator::new((seeds[0] ^ seeds[2], seeds[1] ^ seeds[3]))),
            listeners: HashMap::new(),
            udp: HashMap::new(),
            half_open: Compact::new(
                config.max_flows.min(config.tcp.max_half_open as usize),
                TICK_NS,
                FlowHasher::with_seeds(seeds),
            ),
            resting: Compact::new(
                config.max_flows.min(config.tcp.max_time_wait as usize),
                TICK_NS,
                FlowHasher::with_seeds(seeds),
            ),
            cookies: SynCookies::new((
                seeds[1].rotate_left(17) ^ seeds[2],
                seeds[0].rotate_left(29) ^ seeds[3],
            )),
            spent_cookies: SpentCookies::new(
                config.max_flows.clamp(LEAST_SPENT, MOST_SPENT),
                (seeds[2].rotate_left(23), seeds[0].rotate_left(13)),
            ),
            fast_open_keys: FastOpenKeys::new((
                seeds[2].rotate_left(11) ^ seeds[0],
                seeds[3].rotate_left(37) ^ seeds[1],
            )),
            destinations: Destinations::new(
                if config.tcp.metrics == MetricsCache::Off { 0 } else { config.tcp.metrics_hosts as usize },
                (seeds[3].rotate_left(5), seeds[2].rotate_left(41)),
            ),
            tcp_configs: Vec::new(),
            cookies_until: Instant::ZERO,
            waiting_flows: HashMap::new(),
            waiting_datagrams: VecDeque::new(),
            held_acks: HeldAcks::new(config.ack_patience),
            dirty: Vec::with_capacity(1024),
            blocked: VecDeque::with_capacity(1024),
            spare_rings: (0..config.reassembly_rings)
                .map(|_| byte_ring(config.tcp.receive_buffer as usize))
                .collect(),
            port,
            counters: Counters::default(),
            events: VecDeque::with_capacity(1024),
            challenges: ChallengeLimiter::new(config.tcp.challenge_acks_per_stack, seeds[1] ^ seeds[2]),
            memory: Memory { limits: config.memory, ..Memory::default() },
            service,
            service_ports: Vec::new(),
            service_opening: 0,
            ports_elsewhere: Vec::new(),
            service_udp: Vec::new(),
            reply: Vec::new(),
            overhears: false,
            woken: false,
            client_ports: ClientPorts::new(
                config.client_ports.clone(),
                (seeds[0].rotate_left(23) ^ seeds[1], seeds[2].rotate_left(7) ^ seeds[3]),
            ),
            unstamped: Vec::new(),
            samples: Vec::new(),
            answers: (0, 0),
            account,
            datagram_id: seeds[2] as u16,
            note: Note::None,
            recent: NO_FLOW,
            config,
        }
    }

    /// Connections to `port`, at any of our addresses, belong to the service.
    pub(crate) fn serve(&mut self, port: u16) {
        self.service_ports.push(port);
    }

    /// Connections to `port` belong to the service of another worker.
    pub(crate) fn served_elsewhere(&mut self, port: u16) {
        self.ports_elsewhere.push(port);
    }

    /// Datagrams to `port` belong to the service.
    pub(crate) fn serve_datagrams(&mut self, port: u16) {
        self.service_udp.push(port);
    }

    /// Connections in any state.
    pub(crate) fn flow_count(&self) -> usize {
        self.flows.len() + self.half_open.len() + self.resting.len()
    }

    /// The worker that owns the flow, unless another one has accepted it.
    pub(crate) fn home_of(&self, key: &FlowKey, workers: usize) -> usize {
        self.table.hasher().owner_of(key, workers)
    }

    /// Whether the handshake of `key` waits for its last acknowledgement.
    pub(crate) fn is_half_open(&self, key: &FlowKey) -> bool {
        self.half_open.find(key).is_some()
    }

    /// What the flow of `key` tells of itself.
    pub(crate) fn connection_info(&self, key: &FlowKey) -> Option<bypath_tcp::ConnectionInfo> {
        match self.table.find(key) {
            Some(index) => match self.flows.at(index) {
                Some(flow) => Some(flow.conn.info()),
                None => self.flows.asleep_info(index),
            },
            None => self.resting_info(key),
        }
    }

    /// The next moment at which [`Stack::advance`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let all = [
            &self.half_open.next_deadline(),
            &self.resting.next_deadline(),
            &self.wheel.next_deadline(),
            &self.neighbors.next_deadline(),
            &self.held_acks.next_deadline(),
            &self.next_wake().map(Instant::as_nanos),
        ]
        .map(|at| *at);
        all.into_iter().flatten().min().map(Instant::from_nanos)
    }

    /// The next packet is one of which somebody wants to know what becomes of it.
    pub(crate) fn begin_packet(&mut self) {
        self.counters.forget_cause();
        self.note = Note::None;
    }

    /// What became of it: the number of the cause for which it was dropped, and what it means.
    pub(crate) fn end_packet(&self, verdict: ingress::Verdict) -> (u8, Note) {
        match verdict {
            ingress::Verdict::Foreign(_) => (0, Note::PassedOn),
            _ => (self.counters.cause(), self.note),
        }
    }

    /// Whether one more answer to a stranger may go out this second.
    fn may_answer(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if self.answers.0 != second {
            self.answers = (second, 0);
        }
        self.answers.1 += 1;
        self.answers.1 <= ANSWERS_PER_SECOND
    }

    fn mark_dirty(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index)
            && !flow.dirty
        {
            flow.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Settings of a new connection to this peer.
    fn config_towards(&mut self, remote: IpAddr, route_mtu: Option<u32>) -> Arc<Config> {
        let mss = self.mss_for(remote, route_mtu);
        let known = self.tcp_configs.iter().find(|(of, v6, _)| (*of, *v6) == (mss, remote.is_ipv6()));
        if let Some((_, _, config)) = known {
            return config.clone();
        }
        let mut config = self.config.tcp.clone();
        config.mss = mss;
        if remote.is_ipv6() {
            // RFC 9293 MUST-15: what every IPv6 host takes.
            config.default_mss = config.default_mss.max(DEFAULT_MSS_IPV6);
            config.least_path_mss = config.least_path_mss.max(DEFAULT_MSS_IPV6);
        }
        let config = Arc::new(config);
        if self.tcp_configs.len() >= CONFIGS {
            self.tcp_configs.clear();
        }
        self.tcp_configs.push((mss, remote.is_ipv6(), config.clone()));
        config
    }

    /// Payload and options of a full segment to a peer of this family, by the interface's MTU and the route's.
    fn mss_for(&self, remote: IpAddr, route_mtu: Option<u32>) -> u16 {
        let mtu = route_mtu.map_or(self.config.mtu, |m| m.min(self.config.mtu));
        let headers = if remote.is_ipv4() { 40 } else { 60 };
        u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX)
    }
}

/// The same port at any address of the family.
pub(crate) fn any_of(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, local.port())
}
