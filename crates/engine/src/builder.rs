//! The settings of an engine, and its start on a thread of its own.

mod devices;
mod set_up;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bypath_tcp::{Config, CongestionControl};
use bypath_xdp::{AttachMode, BindMode, LoadPolicy, TransmitPath};
use crossbeam::channel::bounded;

use crate::engine::{Engine, Running};
use crate::error::EngineError;
use crate::flow::BoxedService;
use crate::route::Prefix;
use crate::service::Service;
use crate::stack::memory::MemoryLimits;
use crate::tap::TapSink;
use crate::worker::Poll;

/// Source ports that a client service has of each shared address, unless told otherwise.
const CLIENT_PORTS: usize = 1_024;
/// Packets that wait for a worker, if nothing else is said.
const RECEIVE_RING: u32 = 2_048;

type ServiceFactory = Box<dyn FnMut(usize) -> BoxedService + Send>;

/// Usual time that the acknowledgement of a stream waits for more to cover.
const ACK_PATIENCE: Duration = Duration::from_micros(20);

/// Settings of an engine; see [`Engine::builder`].
pub struct EngineBuilder {
    interface: String,
    netns: Option<String>,
    own: Vec<Prefix>,
    gateways: Vec<IpAddr>,
    queues: Option<Vec<u32>>,
    cores: Option<Vec<usize>>,
    bind: BindMode,
    attach: AttachMode,
    transmit: TransmitPath,
    pump_core: Option<usize>,
    pump_policy: LoadPolicy,
    poll: Poll,
    ack_patience: Duration,
    max_flows: usize,
    frames: u32,
    huge_pages: bool,
    receive_ring: u32,
    tcp: Config,
    send_buffer: usize,
    service: Option<(Vec<u16>, ServiceFactory)>,
    dealt_ports: Vec<u16>,
    datagram_ports: Vec<u16>,
    observe_segments: bool,
    profile: bool,
    client_ports: Option<usize>,
    memory: MemoryLimits,
    reassembly_rings: usize,
    tap: Option<TapSink>,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            interface: String::new(),
            netns: None,
            own: Vec::new(),
            gateways: Vec::new(),
            queues: None,
            cores: None,
            bind: BindMode::Auto,
            attach: AttachMode::Auto,
            transmit: TransmitPath::Ring,
            pump_core: None,
            pump_policy: LoadPolicy::default(),
            poll: Poll::Adaptive,
            ack_patience: ACK_PATIENCE,
            max_flows: 16_384,
            frames: 4_096,
            huge_pages: false,
            receive_ring: RECEIVE_RING,
            tcp: Config::default(),
            send_buffer: 1 << 20,
            service: None,
            dealt_ports: Vec::new(),
            datagram_ports: Vec::new(),
            observe_segments: false,
            profile: false,
            client_ports: None,
            memory: MemoryLimits::default(),
            reassembly_rings: 64,
            tap: None,
        }
    }
}

impl EngineBuilder {
    /// The interface to run on. Required.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = name.into();
        self
    }

    /// The network namespace that has the interface, by its name as `ip netns` shows it.
    #[must_use]
    pub fn netns(mut self, name: impl Into<String>) -> Self {
        self.netns = Some(name.into());
        self
    }

    /// An address of the engine's own, with the length of its network's prefix: the engine answers ARP, NDP and
    /// ping for it. May be called again. Without any, the engine takes single ports of the addresses that the
    /// kernel has on the interface.
    #[must_use]
    pub fn own_address(mut self, address: IpAddr, prefix_len: u8) -> Self {
        self.own.push(Prefix::new(address, prefix_len));
        self
    }

    /// Many addresses of the engine's own in one network, see [`EngineBuilder::own_address`]. Each has all source ports
    /// from 1024 up towards each destination: sixteen of them are enough for a million connections to one server.
    #[must_use]
    pub fn own_addresses(mut self, addresses: impl IntoIterator<Item = IpAddr>, prefix_len: u8) -> Self {
        self.own.extend(addresses.into_iter().map(|address| Prefix::new(address, prefix_len)));
        self
    }

    /// Where packets to other networks go, for addresses of the engine's own.
    #[must_use]
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateways.push(gateway);
        self
    }

    /// The interface's queues to serve; all of them if not given.
    #[must_use]
    pub fn queues(mut self, queues: Vec<u32>) -> Self {
        self.queues = Some(queues);
        self
    }

    /// One worker on each of these cores; one on the last core if not given.
    #[must_use]
    pub fn cores(mut self, cores: Vec<usize>) -> Self {
        self.cores = Some(cores);
        self
    }

    /// Zero-copy or copy mode; by default whichever the driver can.
    #[must_use]
    pub fn bind_mode(mut self, mode: BindMode) -> Self {
        self.bind = mode;
        self
    }

    /// Native or generic XDP; by default native where the driver can.
    #[must_use]
    pub fn attach_mode(mut self, mode: AttachMode) -> Self {
        self.attach = mode;
        self
    }

    /// Packet memory on huge pages, 16 MiB or more for each worker. The engine does not start where they are not to be had.
    #[must_use]
    pub fn huge_pages(mut self, wanted: bool) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// By which way frames leave: the AF_XDP ring if not given. [`TransmitPath::Auto`] takes the pump under load where it
    /// can be had, [`TransmitPath::Pump`] always, or the engine does not start.
    #[must_use]
    pub fn transmit_path(mut self, path: TransmitPath) -> Self {
        self.transmit = path;
        self
    }

    /// The core that the pump takes while it runs; one that no worker has if not given.
    #[must_use]
    pub fn pump_core(mut self, core: usize) -> Self {
        self.pump_core = Some(core);
        self
    }

    /// When [`TransmitPath::Auto`] takes the pump.
    #[must_use]
    pub fn pump_policy(mut self, policy: LoadPolicy) -> Self {
        self.pump_policy = policy;
        self
    }

    /// How long the acknowledgement of a stream may wait for more segments to cover, 20 µs if not given. Zero: every
    /// second full segment is acknowledged at once (RFC 5681 section 4.2). What ends a write (PSH), fills or leaves a
    /// hole or belongs to a connection's beginning is acknowledged at once in any case, and so are 16 segments.
    #[must_use]
    pub fn ack_patience(mut self, time: Duration) -> Self {
        self.ack_patience = time;
        self
    }

    /// What workers do when there is nothing to do.
    #[must_use]
    pub fn poll(mut self, poll: Poll) -> Self {
        self.poll = poll;
        self
    }

    /// Congestion control of all connections.
    #[must_use]
    pub fn congestion_control(mut self, algorithm: CongestionControl) -> Self {
        self.tcp.congestion = algorithm;
        self
    }

    /// Bytes of the window of [`CongestionControl::None`]. Results that were made with it must say so.
    #[must_use]
    pub fn fixed_window(mut self, bytes: u32) -> Self {
        self.tcp.fixed_window = bytes;
        self
    }

    /// All settings of TCP. The segment size still follows from the interface.
    #[must_use]
    pub fn tcp(mut self, config: Config) -> Self {
        self.tcp = config;
        self
    }

    /// How long a connection must have rested in TIME-WAIT before a new one takes its two ends (RFC 6191): a second if not
    /// given. A load generator that opens many connections towards few ports gives less, down to two ticks of
    /// our timestamps, two milliseconds. Sockets wait a second anyway.
    #[must_use]
    pub fn time_wait_rest(mut self, rest: Duration) -> Self {
        self.tcp.time_wait_rest = rest;
        self
    }

    /// Bytes that a socket may have written and not yet acknowledged; rounded up to a power of two.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Connections of each worker, in all states. About a hundred bytes for each are taken when the engine starts, the rest,
    /// a few kilobytes, when a connection is there for the first time.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_flows = count;
        self
    }

    /// Bytes that the receive buffers of all sockets of a worker together may grow by, over what each has when it opens;
    /// 256 MiB if not given.
    #[must_use]
    pub fn receive_memory(mut self, bytes: u64) -> Self {
        self.memory.receive = bytes;
        self
    }

    /// Bytes received ahead of their turn that all connections of a worker together may keep; 64 MiB if not given.
    #[must_use]
    pub fn reassembly_memory(mut self, bytes: u64) -> Self {
        self.memory.reassembly = bytes;
        self
    }

    /// Connections of a worker's service that may have data ahead of its turn at once, each up to its receive buffer;
    /// 64 if not given. To the others it must be sent again.
    #[must_use]
    pub fn reassembly_rings(mut self, count: usize) -> Self {
        self.reassembly_rings = count;
        self
    }

    /// Packet buffers of each worker.
    #[must_use]
    pub fn frames(mut self, count: u32) -> Self {
        self.frames = count;
        self
    }

    /// Packets that each queue keeps for a worker that has no time for them, a power of two; 2,048 if not given. More
    /// carry a fast stream over a longer pause, and cost a processor's caches. Frames grow with it.
    #[must_use]
    pub fn receive_ring(mut self, packets: u32) -> Self {
        self.receive_ring = packets;
        self
    }

    /// Whether the interface's addresses will be shared with the kernel, because none of the engine's own was given.
    pub fn shares_addresses(&self) -> bool {
        self.own.is_empty()
    }

    /// A service that runs on the workers: `make` is called once for each, with its number. Connections to
    /// `ports` belong to it.
    #[must_use]
    pub fn service<S: Service + 'static>(
        mut self,
        ports: Vec<u16>,
        mut make: impl FnMut(usize) -> S + Send + 'static,
    ) -> Self {
        self.service = Some((ports, Box::new(move |worker| Box::new(make(worker)))));
        self
    }

    /// More ports of the service's, each of one worker alone: port `p` of `n` workers belongs to number `p % n`, on
    /// whatever queue its packets come. For connections that must meet others, such as FTP's data connections.
    #[must_use]
    pub fn service_ports_dealt(mut self, ports: Vec<u16>) -> Self {
        self.dealt_ports = ports;
        self
    }

    /// UDP ports whose datagrams go to the service ([`Service::on_datagram`]), on the worker that they come to.
    #[must_use]
    pub fn service_datagrams(mut self, ports: Vec<u16>) -> Self {
        self.datagram_ports = ports;
        self
    }

    /// A service without a port of its own: it opens connections, see [`crate::Desk`].
    #[must_use]
    pub fn client_service<S: Service + 'static>(
        mut self,
        make: impl FnMut(usize) -> S + Send + 'static,
    ) -> Self {
        self.client_ports.get_or_insert(CLIENT_PORTS);
        self.service(Vec::new(), make)
    }

    /// Tells the service of every data segment that is acknowledged ([`Service::on_segments_acked`]). Off by default,
    /// and without cost then.
    #[must_use]
    pub fn observe_segments(mut self, on: bool) -> Self {
        self.observe_segments = on;
        self
    }

    /// Keeps account of what the workers' busy time goes into ([`crate::WorkerStats::account`]). Off by default, and
    /// without cost then; on, it costs a percent or so.
    #[must_use]
    pub fn profile(mut self, on: bool) -> Self {
        self.profile = on;
        self
    }

    /// On addresses that are shared with the kernel: so many source ports of each are reserved when the engine starts,
    /// for connections that a service opens; 1,024 for a [`EngineBuilder::client_service`] if not given, none for other
    /// services. On addresses of the engine's own all ports from 1024 to 64511 are there.
    #[must_use]
    pub fn client_ports(mut self, count: usize) -> Self {
        self.client_ports = Some(count);
        self
    }

    /// Copies every packet that is received or sent to the other end of a tap, see [`mod@crate::tap`]. Off by default, and
    /// without cost then.
    #[must_use]
    pub fn tap(mut self, sink: TapSink) -> Self {
        self.tap = Some(sink);
        self
    }

    /// Attaches the steering program, opens the queues, starts the workers.
    ///
    /// # Errors
    /// [`EngineError`], which says what to do. Nothing is left behind then.
    pub fn start(self) -> Result<Engine, EngineError> {
        let (started, outcome) = bounded(1);
        let (ending, ended) = bounded(0);
        let last = Arc::new(OnceLock::new());
        let result = last.clone();
        let thread = std::thread::Builder::new()
            .name("bypath-control".into())
            .spawn(move || {
                set_up::run(self, &started, &result);
                drop(ending);
            })
            .map_err(EngineError::io("starting the control thread"))?;
        match outcome.recv() {
            Ok(Ok((control, info))) => {
                let thread = std::sync::Mutex::new(Some(thread));
                Ok(Engine::new(Running { control, thread, info, last, ended }))
            }
            Ok(Err(error)) => {
                let _ = thread.join();
                Err(error)
            }
            Err(_) => Err(EngineError::Config("the engine has panicked while it started".into())),
        }
    }
}
