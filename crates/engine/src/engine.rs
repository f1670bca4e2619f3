//! The engine as an application holds it: a handle to the control plane, and what it found out at its start.

use std::convert::Infallible;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bypath_xdp::{DeviceStats, PumpStats};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::builder::EngineBuilder;
use crate::control::{BoundUdp, ControlMessage, Listening, Opened, Totals};
use crate::counters::Counters;
use crate::worker_stats::{WorkerStats, device_drops};

/// What the engine runs on. Modes are read back from the kernel, never what was asked for.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// Interface.
    pub interface: String,
    /// How the AF_XDP sockets are bound: `zerocopy`, `copy`.
    pub mode: String,
    /// Where the steering program runs: `native`, `generic`.
    pub xdp: String,
    /// The packet memory lies on huge pages.
    pub huge_pages: bool,
    /// Kernel driver of the interface.
    pub driver: String,
    /// Largest IP packet, bytes.
    pub mtu: u32,
    /// Queues served.
    pub queues: Vec<u32>,
    /// Cores of the workers, one each.
    pub cores: Vec<usize>,
    /// Name of the congestion control: `cubic`, `newreno`, `bbr`, `dctcp`, `none`.
    pub congestion_control: String,
    /// With `none` the window that nothing moves, bytes: figures measured with it tell nothing of a shared network.
    pub fixed_window: Option<u32>,
    /// Whether both directions of a connection come to the same queue: `one queue`, `symmetric`, `not symmetric`, `unknown`.
    pub spreading: String,
    /// What stands in the way of speed: cores, interrupts and queues that lie badly, and what helps.
    pub advice: Vec<String>,
    /// By which way frames leave: `ring`, `pump`, or `auto`, the pump under load.
    pub transmit_path: String,
    /// The core that the pump takes while it runs, if there is a pump.
    pub pump_core: Option<usize>,
    /// Why there is no pump, although `auto` would have taken one.
    pub without_pump: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// Addresses that the engine sends from.
    pub addresses: Vec<IpAddr>,
}

/// Figures of an engine, over all workers.
#[derive(Clone, Debug, Default)]
pub struct EngineStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received, link headers included.
    pub rx_bytes: u64,
    /// Bytes sent, link headers included.
    pub tx_bytes: u64,
    /// Of the packets sent, those that went by the pump.
    pub tx_pumped: u64,
    /// What the pump has done, if there is one.
    pub pump: Option<PumpStats>,
    /// TCP segments sent, and of them those sent again.
    pub segments_out: u64,
    /// TCP segments sent again.
    pub retransmits: u64,
    /// Packets passed on between workers.
    pub handed_off: u64,
    /// Packets that arrived on queues without a socket and took the detour through the steering program's ring.
    pub strays: u64,
    /// Connections in any state.
    pub flows: usize,
    /// Packets not used, by cause; only causes that were seen.
    pub drops: Vec<(String, u64)>,
    /// What else was counted, by name; only what has happened.
    pub counts: Vec<(String, u64)>,
    /// Each worker's own figures, time included.
    pub workers: Vec<WorkerStats>,
}

impl EngineStats {
    fn from(totals: &Totals) -> Self {
        let (mut device, mut counters) = (DeviceStats::default(), Counters::default());
        for worker in &totals.workers {
            counters.add(&worker.counters);
            device = device.plus(&worker.device);
        }
        let all = counters.drops().chain(device_drops(&device));
        let mut drops: Vec<(String, u64)> = all.map(|(name, n)| (name.to_owned(), n)).collect();
        let steering = totals.steering.iter().filter(|(name, n)| *n > 0 && name.contains("drop"));
        drops.extend(steering.map(|(name, n)| (format!("steer_{name}"), *n)));
        let pump = totals
            .pump
            .iter()
            .flat_map(|pump| [("pump_dropped", pump.dropped), ("pump_refused", pump.refused)]);
        drops.extend(pump.filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)));
        Self {
            rx_packets: device.rx_packets,
            tx_packets: device.tx_packets,
            rx_bytes: device.rx_bytes,
            tx_bytes: device.tx_bytes,
            tx_pumped: device.tx_pumped,
            pump: totals.pump.clone(),
            segments_out: counters.segs_out,
            retransmits: counters.segs_retrans,
            handed_off: counters.handed_off,
            strays: totals.steering.iter().find(|(name, _)| name == "redirect_stray").map_or(0, |(_, n)| *n),
            flows: totals.workers.iter().map(|worker| worker.flows).sum(),
            drops,
            counts: counters.tallies().map(|(name, n)| (name.to_owned(), n)).collect(),
            workers: totals.workers.clone(),
        }
    }
}

/// A running engine. Clones are handles to the same one; it stops, and gives the interface back, when the last
/// of them and of its sockets is dropped.
#[derive(Clone)]
pub struct Engine {
    running: Arc<Running>,
}

pub(crate) struct Running {
    pub(crate) control: Sender<ControlMessage>,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) info: EngineInfo,
    /// The figures that it ended with.
    pub(crate) last: Arc<OnceLock<Totals>>,
    /// Disconnected when it has ended.
    pub(crate) ended: Receiver<Infallible>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("info", &self.running.info).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.control.send(ControlMessage::Stop);
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the control plane has panicked");
        }
    }
}

impl Engine {
    /// Settings of an engine to be started.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(crate) fn new(running: Running) -> Self {
        Self { running: Arc::new(running) }
    }

    /// What it runs on.
    pub fn info(&self) -> &EngineInfo {
        &self.running.info
    }

    /// Figures as of now; of an engine that has stopped those that it ended with.
    pub fn stats(&self) -> EngineStats {
        let (reply, answer) = bounded(1);
        let asked = self.running.control.send(ControlMessage::Report(reply));
        match asked.ok().and_then(|()| answer.recv().ok()) {
            Some(totals) => EngineStats::from(&totals),
            None => self.running.last.get().map(EngineStats::from).unwrap_or_default(),
        }
    }

    /// Waits until the engine has stopped by itself, for at most `timeout`: because the services of all workers have
    /// said that they are done ([`crate::Desk::stop`]), or because its interface is gone. Whether it has.
    pub fn wait(&self, timeout: Duration) -> bool {
        matches!(self.running.ended.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
    }

    /// Stops the engine, whoever else has a handle to it: connections that are being closed get a second to finish,
    /// those that are open are reset, the interface is given back. Returns the last figures.
    pub fn stop(&self) -> EngineStats {
        let _ = self.running.control.send(ControlMessage::Stop);
        let _ = self.running.ended.recv();
        self.stats()
    }

    /// The address that packets to `remote` come from.
    ///
    /// # Errors
    /// `NetworkUnreachable` without a route.
    pub fn source_for(&self, remote: IpAddr) -> Result<IpAddr> {
        self.ask(|reply| ControlMessage::SourceFor { remote, reply })
    }

    pub(crate) fn open(&self, remote: SocketAddr) -> Result<Opened> {
        self.ask(|reply| ControlMessage::Connect { remote, first: None, reply })
    }

    /// With the first bytes to send, which may go with the SYN.
    pub(crate) fn open_with(&self, remote: SocketAddr, bytes: &[u8]) -> Result<Opened> {
        self.ask(|reply| ControlMessage::Connect { remote, first: Some(bytes.to_vec()), reply })
    }

    pub(crate) fn listen(&self, local: SocketAddr, backlog: usize) -> Result<Listening> {
        self.ask(|reply| ControlMessage::Listen { local, backlog, reply })
    }

    pub(crate) fn unlisten(&self, local: SocketAddr) {
        let _ = self.running.control.send(ControlMessage::Unlisten(local));
    }

    pub(crate) fn bind_udp(&self, local: SocketAddr) -> Result<BoundUdp> {
        self.ask(|reply| ControlMessage::BindUdp { local, reply })
    }

    pub(crate) fn unbind_udp(&self, local: SocketAddr) {
        let _ = self.running.control.send(ControlMessage::UnbindUdp(local));
    }

    fn ask<T>(&self, message: impl FnOnce(Sender<Result<T>>) -> ControlMessage) -> Result<T> {
        let stopped = || Error::new(ErrorKind::NotConnected, "the engine has stopped");
        let (reply, answer) = bounded(1);
        self.running.control.send(message(reply)).map_err(|_| stopped())?;
        answer.recv().map_err(|_| stopped())?
    }
}
