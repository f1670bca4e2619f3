//! Starting an engine: settings, the checks that give clear errors, and the order in which things are set up.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bypath_tcp::{Config, CongestionControl};
use bypath_xdp::{AttachMode, BindMode, Device, NicFacts, QueueConfig, Steering, XdpDevice};
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;

use crate::client_ports::Candidates;
use crate::control::{Attachment, Control, ControlMessage, Totals, WorkerHandle};
use crate::engine::{Engine, EngineInfo, Running};
use crate::error::EngineError;
use crate::flow::BoxedService;
use crate::flow_table::FlowHasher;
use crate::handoff::handoff;
use crate::kernel::{Interface, KernelNeighbors, KernelWatch};
use crate::ports::{Ownership, PortAllocator, Transport};
use crate::route::{Prefix, RouteEntry, RouteTable};
use crate::service::{NoService, Service};
use crate::socket::shared::WorkerPort;
use crate::stack::memory::MemoryLimits;
use crate::stack::{Stack, StackConfig};
use crate::template::Medium;
use crate::worker::{Command, Links, Poll, Worker, WorkerWaker};

/// Messages that may wait for the control plane.
const CONTROL_QUEUE: usize = 16_384;
/// Commands that may wait for a worker.
const COMMAND_QUEUE: usize = 1_024;
/// Packets that may wait in the ring between two workers.
const HANDOFF_QUEUE: usize = 1_024;
/// Source ports that a client service has of each shared address, unless told otherwise.
const CLIENT_PORTS: usize = 1_024;
/// How often the thread that watches the kernel looks whether it should end.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

type ServiceFactory = Box<dyn FnMut(usize) -> BoxedService + Send>;

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
    poll: Poll,
    max_flows: usize,
    frames: u32,
    tcp: Config,
    send_buffer: usize,
    service: Option<(Vec<u16>, ServiceFactory)>,
    dealt_ports: Vec<u16>,
    datagram_ports: Vec<u16>,
    observe_segments: bool,
    client_ports: Option<usize>,
    memory: MemoryLimits,
    reassembly_rings: usize,
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
            poll: Poll::Adaptive,
            max_flows: 16_384,
            frames: 4_096,
            tcp: Config::default(),
            send_buffer: 1 << 20,
            service: None,
            dealt_ports: Vec::new(),
            datagram_ports: Vec::new(),
            observe_segments: false,
            client_ports: None,
            memory: MemoryLimits::default(),
            reassembly_rings: 64,
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

    /// On addresses that are shared with the kernel: so many source ports of each are reserved when the engine starts,
    /// for connections that a service opens; 1,024 for a [`EngineBuilder::client_service`] if not given, none for other
    /// services. On addresses of the engine's own all ports from 1024 up are there.
    #[must_use]
    pub fn client_ports(mut self, count: usize) -> Self {
        self.client_ports = Some(count);
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
                run(self, &started, &result);
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

type Outcome = Result<(Sender<ControlMessage>, EngineInfo), EngineError>;

/// The control thread: set up, report, serve.
fn run(builder: EngineBuilder, started: &Sender<Outcome>, last: &OnceLock<Totals>) {
    let (sender, messages) = bounded(CONTROL_QUEUE);
    match set_up(builder, &sender) {
        Ok((control, info, watch)) => {
            let ending = Arc::new(AtomicBool::new(false));
            let watcher = watch_kernel(watch, sender.clone(), ending.clone());
            let _ = started.send(Ok((sender, info)));
            let _ = last.set(control.run(&messages));
            drop_messages(&messages);
            ending.store(true, Ordering::Release);
            if let Some(thread) = watcher {
                let _ = thread.join();
            }
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

/// Whoever still waits for an answer learns that there will be none.
fn drop_messages(messages: &Receiver<ControlMessage>) {
    while messages.try_recv().is_ok() {}
}

fn watch_kernel(
    mut watch: KernelWatch,
    control: Sender<ControlMessage>,
    ending: Arc<AtomicBool>,
) -> Option<std::thread::JoinHandle<()>> {
    let body = move || {
        while !ending.load(Ordering::Acquire) {
            match watch.poll(Some(WATCH_INTERVAL)) {
                Ok(Some(event)) => {
                    if control.try_send(ControlMessage::Kernel(event)).is_err() {
                        tracing::warn!("a change of the interface was missed: the control plane is behind");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the interface is not watched any more");
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("bypath-netlink".into()).spawn(body).ok()
}

fn enter_netns(name: &str) -> Result<(), EngineError> {
    let fail = |source: std::io::Error| EngineError::Namespace { name: name.to_owned(), source };
    let file = std::fs::File::open(format!("/run/netns/{name}")).map_err(fail)?;
    let network = Some(rustix::thread::LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(file.as_fd(), network).map_err(|e| fail(e.into()))
}

fn set_up(
    mut builder: EngineBuilder,
    control: &Sender<ControlMessage>,
) -> Result<(Control, EngineInfo, KernelWatch), EngineError> {
    if builder.interface.is_empty() {
        return Err(EngineError::Config("no interface given: name one with --dev".into()));
    }
    if let Some(name) = &builder.netns {
        enter_netns(name)?;
    }
    let facts = NicFacts::read(&builder.interface)?;
    let (queues, cores) = place_workers(&builder, facts.queues())?;
    let (interface, watch) =
        KernelWatch::start(&builder.interface).map_err(EngineError::io("reading the interface"))?;
    let routes = routes(&builder, &interface)?;
    let steering = Steering::attach(&builder.interface, builder.attach)?;
    let attach = steering.mode().to_string();
    let shared = builder.own.is_empty();
    for own in &builder.own {
        steering.own_address(own.addr())?;
    }
    let mut devices = Vec::new();
    for queues in deal(&queues, cores.len()) {
        let config =
            QueueConfig { queues, frames: builder.frames, bind: builder.bind, ..QueueConfig::default() };
        devices.push(XdpDevice::open(&steering, &config)?);
    }
    let Some(first) = devices.first().map(|d| d.info().clone()) else {
        return Err(EngineError::Config("no queues to serve".into()));
    };
    let ownership = if shared { Ownership::Shared } else { Ownership::Own };
    let ports = PortAllocator::new(ownership, interface.index)
        .map_err(EngineError::io("reading the kernel's port range"))?;
    let attachment = if shared {
        let neighbors = KernelNeighbors::open(interface.index)
            .map_err(EngineError::io("opening a netlink socket for neighbours"))?;
        Attachment::Shared { steering, neighbors }
    } else {
        Attachment::Own { steering }
    };
    let mut seeds = [0u64; 4];
    for seed in &mut seeds {
        *seed = getrandom::u64().map_err(|e| EngineError::Io {
            doing: "reading random numbers",
            source: std::io::Error::other(e.to_string()),
        })?;
    }
    builder.send_buffer = builder.send_buffer.next_power_of_two();
    let mut stack_config = StackConfig {
        medium: Medium::Ethernet,
        mac: first.mac,
        mtu: first.mtu,
        kernel_neighbors: shared,
        max_flows: builder.max_flows,
        tcp: builder.tcp.clone(),
        send_buffer: builder.send_buffer,
        seeds,
        reassembly_rings: if builder.service.is_some() { builder.reassembly_rings } else { 0 },
        memory: builder.memory,
        observe_segments: builder.observe_segments,
        client_ports: Candidates::All,
        worker: (0, cores.len()),
    };
    let info = EngineInfo {
        interface: builder.interface.clone(),
        mode: first.mode.to_string(),
        xdp: attach,
        driver: first.driver.clone(),
        mtu: first.mtu,
        queues,
        cores: cores.clone(),
        congestion_control: builder.tcp.congestion.name().to_owned(),
        fixed_window: (builder.tcp.congestion == CongestionControl::None).then_some(builder.tcp.fixed_window),
        kernel: facts.kernel.clone(),
        addresses: routes.addresses().iter().map(Prefix::addr).collect(),
    };
    let mut plane = Control::new(
        attachment,
        routes,
        ports,
        FlowHasher::with_seeds(seeds),
        (builder.tcp.first_receive_buffer() as usize, builder.send_buffer),
        first.mtu,
    );
    if let Some((ports, _)) = &builder.service {
        let taking = || EngineError::io("taking the service's ports");
        plane.serve(Transport::Tcp, ports).map_err(taking())?;
        plane.serve(Transport::Tcp, &builder.dealt_ports).map_err(taking())?;
        plane.serve(Transport::Udp, &builder.datagram_ports).map_err(taking())?;
    }
    if shared {
        let reserved = plane.reserve(builder.client_ports.unwrap_or(0));
        let reserved = reserved.map_err(EngineError::io("reserving source ports (see client_ports)"))?;
        stack_config.client_ports = Candidates::Reserved(Arc::new(reserved));
    }
    start_workers(&mut plane, devices, &cores, &stack_config, builder, control)?;
    if shared {
        plane.learn(&interface.neighbors);
    }
    Ok((plane, info, watch))
}

/// Queues and cores, checked against what there is.
fn place_workers(builder: &EngineBuilder, available: u32) -> Result<(Vec<u32>, Vec<usize>), EngineError> {
    let queues = builder.queues.clone().unwrap_or_else(|| (0..available).collect());
    let present: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|c| c.id).collect();
    let cores = match &builder.cores {
        Some(cores) => cores.clone(),
        None => present.last().map(|c| vec![*c]).unwrap_or_else(|| vec![0]),
    };
    if let Some(missing) = cores.iter().find(|c| !present.contains(c)) {
        let text = format!("core {missing} does not exist or may not be used: there are {present:?}");
        return Err(EngineError::Config(text));
    }
    if cores.is_empty() || cores.len() > queues.len() {
        let text = format!(
            "{} workers cannot share {} queues: give fewer --cores, or more queues (ethtool -L)",
            cores.len(),
            queues.len()
        );
        return Err(EngineError::Config(text));
    }
    Ok((queues, cores))
}

/// Queues dealt to workers in turn.
fn deal(queues: &[u32], workers: usize) -> Vec<Vec<u32>> {
    let mut hands = vec![Vec::new(); workers];
    for (i, queue) in queues.iter().enumerate() {
        hands[i % workers].push(*queue);
    }
    hands
}

fn routes(builder: &EngineBuilder, interface: &Interface) -> Result<RouteTable, EngineError> {
    let mut table = RouteTable::new();
    if builder.own.is_empty() {
        for prefix in &interface.addresses {
            table.add_address_only(*prefix);
        }
        for entry in &interface.routes {
            table.add_route(*entry);
        }
        if table.addresses().is_empty() {
            return Err(EngineError::NoAddress { interface: builder.interface.clone() });
        }
        return Ok(table);
    }
    for own in &builder.own {
        if interface.addresses.iter().any(|kernel| kernel.addr() == own.addr()) {
            return Err(EngineError::AddressInUse {
                address: own.addr(),
                interface: builder.interface.clone(),
            });
        }
        table.add_address(*own);
    }
    for gateway in &builder.gateways {
        if table.lookup(*gateway).is_none_or(|route| route.next_hop != *gateway) {
            let text = format!("the gateway {gateway} is not in the network of any --ip address");
            return Err(EngineError::Config(text));
        }
        table.add_route(RouteEntry::default_via(*gateway));
    }
    Ok(table)
}

fn start_workers(
    plane: &mut Control,
    devices: Vec<XdpDevice>,
    cores: &[usize],
    config: &StackConfig,
    mut builder: EngineBuilder,
    control: &Sender<ControlMessage>,
) -> Result<(), EngineError> {
    let count = devices.len();
    let epoch = std::time::Instant::now();
    let mut wakers = Vec::new();
    for _ in 0..count {
        let waker = WorkerWaker::new().map_err(EngineError::io("making an eventfd"))?;
        wakers.push(Arc::new(waker));
    }
    let (mut to, mut from) = ((0..count).map(|_| Vec::new()).collect::<Vec<_>>(), Vec::new());
    from.resize_with(count, Vec::new);
    for (sender, row) in to.iter_mut().enumerate() {
        for (receiver, column) in from.iter_mut().enumerate() {
            if sender == receiver {
                row.push(None);
            } else {
                let (tx, rx) = handoff(HANDOFF_QUEUE, config.mtu as usize + 64);
                row.push(Some((tx, wakers[receiver].clone())));
                column.push(rx);
            }
        }
    }
    for (index, ((device, to_workers), from_workers)) in devices.into_iter().zip(to).zip(from).enumerate() {
        let waker = wakers[index].clone();
        let port = Arc::new(WorkerPort {
            touched: ArrayQueue::new(config.max_flows),
            datagrams: AtomicBool::new(false),
            waker: Box::new(waker.clone()),
        });
        let commands: Arc<ArrayQueue<Command>> = Arc::new(ArrayQueue::new(COMMAND_QUEUE));
        let service: BoxedService = match &mut builder.service {
            Some((_, make)) => make(index),
            None => Box::new(NoService),
        };
        let config = StackConfig { worker: (index, count), ..config.clone() };
        let mut stack = Stack::new(config, port.clone(), service);
        stack.routes = plane.routes.clone();
        if let Some((ports, _)) = &builder.service {
            for served in ports {
                stack.serve(*served);
            }
        }
        for dealt in &builder.dealt_ports {
            match usize::from(*dealt) % count == index {
                true => stack.serve(*dealt),
                false => stack.served_elsewhere(*dealt),
            }
        }
        for served in &builder.datagram_ports {
            stack.serve_datagrams(*served);
        }
        let links = Links {
            commands: commands.clone(),
            control: control.clone(),
            waker: waker.clone(),
            to_workers,
            from_workers,
        };
        let worker = Worker::new(index, device, stack, links, builder.poll).since(epoch);
        let core = cores.get(index).copied().unwrap_or_default();
        let thread = std::thread::Builder::new()
            .name(format!("bypath-{index}"))
            .spawn(move || {
                if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
                    tracing::warn!(core, "the worker is not pinned");
                }
                worker.run()
            })
            .map_err(EngineError::io("starting a worker"))?;
        plane.workers.push(WorkerHandle { commands, waker, port, thread: Some(thread) });
    }
    Ok(())
}
