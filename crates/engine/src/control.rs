//! The control plane: one thread that owns ports, routes and the steering of traffic, watches the kernel, and
//! answers what sockets ask for. It talks to workers over bounded queues and never touches a packet.

mod outgoing;
mod port_use;

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bypath_xdp::{Pump, PumpStats, Steering};
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::queue::ArrayQueue;
use crossbeam::sync::Parker;

use self::outgoing::Outgoing;
use self::port_use::PortUse;
use crate::detour::Detour;
use crate::flow_table::{FlowHasher, FlowKey};
use crate::kernel::{KernelEvent, KernelNeighbor, KernelNeighbors};
use crate::ports::{PortAllocator, Transport};
use crate::route::RouteTable;
use crate::socket::end::{TcpEnd, socket_pair};
use crate::socket::listener::ListenerShared;
use crate::socket::shared::{Wake, WorkerPort};
use crate::socket::udp::UdpShared;
use crate::stack::StackEvent;
use crate::waker::WorkerWaker;
use crate::worker::Command;
use crate::worker_stats::WorkerStats;

/// How long a worker may take to answer a request for its figures.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long workers may take to learn of a socket.
const BIND_PATIENCE: Duration = Duration::from_secs(5);

/// The workers' word that they know a socket: until then its first packets would find nobody.
pub(crate) struct Known {
    answers: Receiver<()>,
    workers: usize,
}

impl Known {
    /// For so many workers, and what each of them says it with.
    pub(crate) fn by(workers: usize) -> (Self, Sender<()>) {
        let (sender, answers) = bounded(workers);
        (Self { answers, workers }, sender)
    }

    /// Waits until all have said so.
    pub(crate) fn wait(&self) -> Result<()> {
        let until = Instant::now() + BIND_PATIENCE;
        for _ in 0..self.workers {
            self.answers
                .recv_deadline(until)
                .map_err(|_| Error::new(ErrorKind::TimedOut, "a worker does not answer"))?;
        }
        Ok(())
    }
}

/// A socket's parts, as the control plane hands them out.
pub(crate) struct Opened {
    pub(crate) end: TcpEnd,
    /// Bytes that it was opened with.
    pub(crate) given: usize,
    pub(crate) local: SocketAddr,
}

/// A listener's parts.
pub(crate) struct Listening {
    pub(crate) shared: Arc<ListenerShared>,
    pub(crate) parker: Parker,
    pub(crate) local: SocketAddr,
    pub(crate) known: Known,
}

/// A UDP socket's parts.
pub(crate) struct BoundUdp {
    pub(crate) shared: Arc<UdpShared>,
    pub(crate) parker: Parker,
    pub(crate) local: SocketAddr,
    pub(crate) known: Known,
}

/// Figures of all workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) workers: Vec<WorkerStats>,
    pub(crate) steering: Vec<(String, u64)>,
    pub(crate) pump: Option<PumpStats>,
}

/// What comes to the control plane.
pub(crate) enum ControlMessage {
    Connect { remote: SocketAddr, first: Option<Vec<u8>>, reply: Sender<Result<Opened>> },
    Listen { local: SocketAddr, backlog: usize, reply: Sender<Result<Listening>> },
    Unlisten(SocketAddr),
    BindUdp { local: SocketAddr, reply: Sender<Result<BoundUdp>> },
    UnbindUdp(SocketAddr),
    SourceFor { remote: IpAddr, reply: Sender<Result<IpAddr>> },
    Report(Sender<Totals>),
    Kernel(KernelEvent),
    Worker(StackEvent),
    Stop,
}

/// A worker, from here.
pub(crate) struct WorkerHandle {
    pub(crate) commands: Arc<ArrayQueue<Command>>,
    pub(crate) waker: Arc<WorkerWaker>,
    pub(crate) port: Arc<WorkerPort>,
    pub(crate) thread: Option<std::thread::JoinHandle<WorkerStats>>,
}

impl WorkerHandle {
    fn tell(&self, mut command: Command) {
        loop {
            match self.commands.push(command) {
                Ok(()) => return self.waker.wake(),
                Err(back) => {
                    // The worker empties its queue every round: this is rare and short. A worker that is
                    // gone will never empty it.
                    if self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished) {
                        return;
                    }
                    command = back;
                    self.waker.wake();
                    std::thread::yield_now();
                }
            }
        }
    }
}

/// How traffic gets here: the addresses are the engine's own, or single ports are taken from the kernel's.
pub(crate) enum Attachment {
    /// Whole addresses; the steering program is kept attached.
    Own { steering: Steering },
    /// Ports of addresses that the kernel keeps.
    Shared { steering: Steering, neighbors: KernelNeighbors },
}

impl Attachment {
    pub(crate) fn steering(&self) -> &Steering {
        match self {
            Self::Own { steering } | Self::Shared { steering, .. } => steering,
        }
    }
}

/// See the module.
pub(crate) struct Control {
    pub(crate) attachment: Attachment,
    pub(crate) routes: RouteTable,
    pub(crate) ports: PortAllocator,
    pub(crate) hasher: FlowHasher,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
    /// Largest packet that the devices carry, whatever the interface's MTU becomes.
    pub(crate) device_mtu: u32,
    /// The second transmit path of the workers' devices; outlives them.
    pub(crate) pump: Option<Pump>,
    /// The way of frames that arrive on queues without a socket, where there can be such queues.
    pub(crate) detour: Option<Detour>,
    /// Workers whose service is done.
    done: Vec<usize>,
    uses: HashMap<(Transport, SocketAddr), PortUse>,
    outgoing: Outgoing,
}

impl Control {
    pub(crate) fn new(
        attachment: Attachment,
        routes: RouteTable,
        ports: PortAllocator,
        hasher: FlowHasher,
        (receive_buffer, send_buffer): (usize, usize),
        device_mtu: u32,
    ) -> Self {
        Self {
            attachment,
            routes,
            ports,
            hasher,
            workers: Vec::new(),
            receive_buffer,
            send_buffer,
            device_mtu,
            pump: None,
            detour: None,
            done: Vec::new(),
            uses: HashMap::new(),
            outgoing: Outgoing::default(),
        }
    }

    /// Tells all workers of neighbours that the kernel knows.
    pub(crate) fn learn(&self, known: &[KernelNeighbor]) {
        for n in known {
            self.tell_all(|| Command::Learn { ip: n.ip, mac: n.mac, permanent: n.permanent });
        }
    }

    /// Serves until told to stop, then stops the workers. Returns the last figures.
    pub(crate) fn run(mut self, messages: &Receiver<ControlMessage>) -> Totals {
        while let Ok(message) = messages.recv() {
            match message {
                ControlMessage::Connect { remote, first, reply } => {
                    let _ = reply.send(self.connect(remote, first.as_deref()));
                }
                ControlMessage::Listen { local, backlog, reply } => {
                    let _ = reply.send(self.listen(local, backlog));
                }
                ControlMessage::Unlisten(local) => self.unlisten(local),
                ControlMessage::BindUdp { local, reply } => {
                    let _ = reply.send(self.bind_udp(local));
                }
                ControlMessage::UnbindUdp(local) => {
                    self.tell_all(|| Command::UnbindUdp(local));
                    self.unuse(Transport::Udp, local);
                }
                ControlMessage::SourceFor { remote, reply } => {
                    let _ = reply.send(self.source_for(remote));
                }
                ControlMessage::Report(reply) => {
                    let _ = reply.send(self.report());
                }
                ControlMessage::Kernel(event) => {
                    if self.on_kernel(event) {
                        break;
                    }
                }
                ControlMessage::Worker(StackEvent::ServiceDone(worker)) => {
                    if self.is_all_done(worker) {
                        break;
                    }
                }
                ControlMessage::Worker(event) => self.on_worker(event),
                ControlMessage::Stop => break,
            }
        }
        let workers = self.stop();
        Totals { workers, steering: self.steering_counters(), pump: self.pump.as_ref().map(Pump::stats) }
    }

    fn stop(&mut self) -> Vec<WorkerStats> {
        self.tell_all(|| Command::Stop);
        let threads: Vec<_> = self.workers.iter_mut().filter_map(|worker| worker.thread.take()).collect();
        let mut last = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(stats) => last.push(stats),
                Err(_) => tracing::error!("a worker has panicked"),
            }
        }
        last
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.tell(command());
        }
    }

    /// The source address that packets to `remote` have.
    fn source_for(&self, remote: IpAddr) -> Result<IpAddr> {
        self.routes.lookup(remote).map(|r| r.source).ok_or_else(|| {
            Error::new(
                ErrorKind::NetworkUnreachable,
                format!("no route to {remote}: give --gateway, or an address in its network"),
            )
        })
    }

    fn connect(&mut self, remote: SocketAddr, first: Option<&[u8]>) -> Result<Opened> {
        let source = self.source_for(remote.ip())?;
        let lease = self.source_port(source, remote)?;
        let local = SocketAddr::new(source, lease.port());
        let key = FlowKey::new(local, remote)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "addresses of different families"))?;
        self.use_port(Transport::Tcp, local, lease)?;
        self.outgoing.open(local, remote);
        let index = self.hasher.owner_of(&key, self.workers.len());
        let Some(worker) = self.workers.get(index) else {
            return Err(Error::new(ErrorKind::NotConnected, "the engine has no workers"));
        };
        let (mut end, mut socket) = socket_pair(worker.port.clone(), self.receive_buffer, self.send_buffer);
        end.fast_open = first.is_some();
        let shared = socket.shared.clone();
        let given = first.and_then(|bytes| socket.write.try_write(&shared, bytes)).unwrap_or(Ok(0))?;
        worker.tell(Command::Connect { local, remote, end: Box::new(end) });
        Ok(Opened { end: socket, local, given })
    }

    fn listen(&mut self, local: SocketAddr, backlog: usize) -> Result<Listening> {
        let local = self.claim(Transport::Tcp, local)?;
        let (shared, parker) = ListenerShared::new(backlog);
        let shared = Arc::new(shared);
        let (known, answer) = Known::by(self.workers.len());
        self.tell_all(|| Command::Listen(local, shared.clone(), answer.clone()));
        Ok(Listening { shared, parker, local, known })
    }

    /// Another listener may have the port from here on. It stays with the engine until every worker has said that
    /// it takes no more connections, by when all those that it took are counted.
    fn unlisten(&mut self, local: SocketAddr) {
        let Some(found) = self.uses.get_mut(&(Transport::Tcp, local)) else { return };
        if let Ok(share) = self.ports.share(Transport::Tcp, local) {
            found.lease = share;
        }
        // One user for each worker takes the place of the listener.
        found.users += self.workers.len();
        self.tell_all(|| Command::Unlisten(local));
        self.unuse(Transport::Tcp, local);
    }

    fn bind_udp(&mut self, local: SocketAddr) -> Result<BoundUdp> {
        let local = self.claim(Transport::Udp, local)?;
        let Some(first) = self.workers.first() else {
            return Err(Error::new(ErrorKind::NotConnected, "the engine has no workers"));
        };
        let (shared, parker) = UdpShared::new(first.port.clone());
        let shared = Arc::new(shared);
        let (known, answer) = Known::by(self.workers.len());
        self.tell_all(|| Command::BindUdp(local, shared.clone(), answer.clone()));
        Ok(BoundUdp { shared, parker, local, known })
    }

    /// One more worker's service is done: whether that was the last.
    fn is_all_done(&mut self, worker: usize) -> bool {
        if !self.done.contains(&worker) {
            self.done.push(worker);
        }
        self.done.len() >= self.workers.len()
    }

    fn on_worker(&mut self, event: StackEvent) {
        match event {
            StackEvent::FlowAccepted(key) => {
                if let Some(found) = self.uses.get_mut(&(Transport::Tcp, key.local())) {
                    found.users += 1;
                }
            }
            StackEvent::FlowClosed(key) => {
                let (local, remote) = (key.local(), key.remote());
                self.outgoing.close(local, remote);
                self.unuse(Transport::Tcp, local);
            }
            StackEvent::FlowRests(key) => self.outgoing.rest(key.local(), key.remote(), Instant::now()),
            StackEvent::Unlistened(local) => self.unuse(Transport::Tcp, local),
            StackEvent::ServiceDone(_) => {}
            StackEvent::NeedNeighbor(ip) => {
                if let Attachment::Shared { neighbors, .. } = &mut self.attachment
                    && let Err(error) = neighbors.ask(ip)
                {
                    tracing::debug!(%ip, %error, "the kernel does not look for this neighbour");
                    self.tell_all(|| Command::NeighborGone(ip));
                }
            }
        }
    }

    /// `true`: the interface is gone.
    fn on_kernel(&mut self, event: KernelEvent) -> bool {
        let shared = matches!(self.attachment, Attachment::Shared { .. });
        match event {
            KernelEvent::NeighborLearned(n) if shared => {
                self.tell_all(|| Command::Learn { ip: n.ip, mac: n.mac, permanent: n.permanent });
            }
            KernelEvent::NeighborGone(ip) if shared => self.tell_all(|| Command::NeighborGone(ip)),
            KernelEvent::AddressAdded(prefix) if shared => self.reroute(|r| r.add_address_only(prefix)),
            KernelEvent::AddressRemoved(prefix) if shared => {
                self.reroute(|r| r.remove_address(prefix.addr()));
            }
            KernelEvent::RouteAdded(entry) if shared => self.reroute(|r| r.add_route(entry)),
            KernelEvent::RouteRemoved(entry) if shared => self.reroute(|r| r.remove_route(&entry)),
            KernelEvent::MtuChanged(mtu) => {
                let usable = mtu.min(self.device_mtu);
                if usable < mtu {
                    tracing::warn!(mtu, usable, "the MTU grew beyond what the sockets were opened for");
                }
                self.tell_all(|| Command::Mtu(usable));
            }
            KernelEvent::LinkDown => {
                tracing::warn!("link down: connections wait for it to come back");
                self.tell_all(|| Command::LinkDown);
            }
            KernelEvent::LinkUp => tracing::info!("link up"),
            KernelEvent::LinkGone => {
                tracing::error!("the interface is gone");
                return true;
            }
            KernelEvent::MacChanged(mac) => {
                tracing::warn!(%mac, "the interface's link address changed: restart to use it");
            }
            KernelEvent::Overrun => tracing::warn!("changes of the interface were missed"),
            _ => {}
        }
        false
    }

    fn reroute(&mut self, change: impl FnOnce(&mut RouteTable)) {
        change(&mut self.routes);
        let routes = self.routes.clone();
        self.tell_all(|| Command::Routes(routes.clone()));
    }

    fn report(&self) -> Totals {
        let pump = self.pump.as_ref().map(Pump::stats);
        let mut totals = Totals { steering: self.steering_counters(), pump, ..Totals::default() };
        for worker in &self.workers {
            let (reply, answer) = bounded(1);
            worker.tell(Command::Report(reply));
            if let Ok(stats) = answer.recv_timeout(REPORT_PATIENCE) {
                totals.workers.push(stats);
            }
        }
        totals
    }

    fn steering_counters(&self) -> Vec<(String, u64)> {
        let mut counters = self.attachment.steering().counters();
        // Off the program's ring and not on the worker's.
        counters.extend(self.detour.as_ref().map(|detour| ("drop_stray_late".to_owned(), detour.lost())));
        counters
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}
