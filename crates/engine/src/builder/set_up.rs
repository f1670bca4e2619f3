//! The start of an engine: the checks that give clear errors, and the order in which things are set up.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bypath_tcp::CongestionControl;
use bypath_xdp::{Device, NicFacts, Steering, TransmitPath, XdpDevice};
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;

use super::EngineBuilder;
use super::devices::{self, Devices};
use crate::client_ports::Candidates;
use crate::control::{Attachment, Control, ControlMessage, Totals, WorkerHandle};
use crate::detour::Detour;
use crate::engine::EngineInfo;
use crate::error::EngineError;
use crate::flow::BoxedService;
use crate::flow_table::FlowHasher;
use crate::handoff::handoff;
use crate::host_numbers;
use crate::kernel::{Interface, KernelNeighbors, KernelWatch};
use crate::ports::{Ownership, PortAllocator, Transport};
use crate::route::{Prefix, RouteEntry, RouteTable};
use crate::service::NoService;
use crate::socket::shared::WorkerPort;
use crate::stack::{Stack, StackConfig};
use crate::tap::{TapInterface, TapSink};
use crate::template::Medium;
use crate::waker::WorkerWaker;
use crate::worker::{Command, Links, Worker};

/// Messages that may wait for the control plane.
const CONTROL_QUEUE: usize = 16_384;
/// Commands that may wait for a worker.
const COMMAND_QUEUE: usize = 1_024;
/// Packets that may wait in the ring between two workers.
const HANDOFF_QUEUE: usize = 1_024;
/// How often the thread that watches the kernel looks whether it should end.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

type Outcome = Result<(Sender<ControlMessage>, EngineInfo), EngineError>;

/// The control thread: set up, report, serve.
pub(super) fn run(builder: EngineBuilder, started: &Sender<Outcome>, last: &OnceLock<Totals>) {
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
    let Devices { devices, pump, without_pump } =
        devices::open(&builder, &steering, &facts, deal(&queues, cores.len()), &cores)?;
    let Some(first) = devices.first().map(|d| d.info().clone()) else {
        return Err(EngineError::Config("no queues to serve".into()));
    };
    // Sockets and services that open connections do not ask each other for ports.
    let divided = !shared && builder.service.is_some();
    let ownership = match (shared, divided) {
        (true, _) => Ownership::Shared,
        (false, true) => Ownership::BesideServices,
        (false, false) => Ownership::Own,
    };
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
        ack_patience: builder.ack_patience,
        isn: host_numbers::generator().ok(),
        reassembly_rings: if builder.service.is_some() { builder.reassembly_rings } else { 0 },
        memory: builder.memory,
        awake: crate::stack::AWAKE,
        observe_segments: builder.observe_segments,
        profile: builder.profile,
        client_ports: if divided { Candidates::BesideSockets } else { Candidates::All },
        worker: (0, cores.len()),
    };
    let (spreading, advice) = devices::placement(&facts, &queues, &cores);
    let info = EngineInfo {
        spreading,
        advice,
        interface: builder.interface.clone(),
        mode: first.mode.to_string(),
        xdp: attach,
        huge_pages: first.huge_pages,
        driver: first.driver.clone(),
        mtu: first.mtu,
        queues,
        cores: cores.clone(),
        congestion_control: builder.tcp.congestion.name().to_owned(),
        fixed_window: (builder.tcp.congestion == CongestionControl::None).then_some(builder.tcp.fixed_window),
        transmit_path: pump.as_ref().map_or(TransmitPath::Ring, |_| builder.transmit).to_string(),
        pump_core: pump.as_ref().map(|pump| pump.stats().core),
        without_pump,
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
    plane.pump = pump;
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
    let seen = TapInterface {
        name: first.name.clone(),
        mac: first.mac.0,
        driver: first.driver.clone(),
        mtu: first.mtu,
        speed: facts.speed,
        mode: first.mode.to_string(),
        xdp: info.xdp.clone(),
    };
    let tap = builder.tap.take().map(|sink| (sink.interface(&seen), sink));
    // Queues that the engine has no socket on, now or one day.
    let detour = facts.most_queues() > info.queues.len() as u32;
    start_workers(&mut plane, devices, &cores, &stack_config, (builder, tap, detour), control)?;
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
    if let Some((_, twice)) = cores.iter().enumerate().find(|(at, core)| cores[..*at].contains(core)) {
        let text = format!("core {twice} is named twice: each worker needs a core of its own");
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
    (mut builder, tap, detour): (EngineBuilder, Option<(usize, TapSink)>, bool),
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
    if let (true, Some(first), Some(waker)) = (detour, from.first_mut(), wakers.first()) {
        let (tx, rx) = handoff(HANDOFF_QUEUE, config.mtu as usize + 64);
        first.push(rx);
        let strays = plane.attachment.steering().strays()?;
        let detour = Detour::start(strays, tx, waker.clone());
        plane.detour = Some(detour.map_err(EngineError::io("starting a thread"))?);
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
        let writer = tap.as_ref().map(|(interface, sink)| sink.writer(*interface, index, epoch));
        let worker = Worker::new(index, device, stack, links, builder.poll).since(epoch).tapped(writer);
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
