//! An interface that frames are sent from or received on: opened in its namespace, with the kernel's own counters
//! beside ours.

use std::net::IpAddr;

use bypath_wire::ethernet::MacAddr;
use bypath_xdp::{
    AttachMode, BindMode, DeviceInfo, NicFacts, Protocol, Pump, PumpConfig, PumpStats, PumpUse, QueueConfig,
    Steering, TransmitPath, XdpDevice,
};
use nix::ifaddrs::getifaddrs;

use super::BlastError;
use super::netns::within;
use super::range::FieldRange;

/// Which interface, and how it is opened.
#[derive(Debug, Clone, Default)]
pub struct PortConfig {
    /// Its name.
    pub interface: String,
    /// The namespace it is in; `None`: the calling thread's.
    pub netns: Option<String>,
    /// Its queues, dealt out to the workers in turn. Empty: the first, one for each worker.
    pub queues: Vec<u32>,
    /// Workers, each with a device of its own.
    pub workers: usize,
    /// Zero-copy or copy.
    pub bind: BindMode,
    /// Where the steering program runs.
    pub attach: AttachMode,
    /// By which way frames leave.
    pub transmit: TransmitPath,
    /// The core of the pump; the last one that is not among `cores` if not given.
    pub pump_core: Option<usize>,
    /// Cores that workers are pinned to.
    pub cores: Vec<usize>,
}

/// What a receiving interface takes from the kernel.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Addresses that frames are for.
    pub addresses: FieldRange<IpAddr>,
    /// Their ports; only these where the address is the interface's own, which the kernel keeps.
    pub ports: FieldRange<u16>,
}

/// The kernel's counters of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct InterfaceCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
}

impl InterfaceCounters {
    /// Reads them, in this thread's namespace.
    pub fn read(interface: &str) -> Option<InterfaceCounters> {
        // `/proc/net` is of the process; this is of the calling thread.
        let table = std::fs::read_to_string("/proc/thread-self/net/dev").ok()?;
        let row = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
        let numbers: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let at = |column: usize| numbers.get(column).copied();
        Some(InterfaceCounters {
            rx_bytes: at(0)?,
            rx_packets: at(1)?,
            rx_dropped: at(3)?,
            tx_bytes: at(8)?,
            tx_packets: at(9)?,
            tx_dropped: at(11)?,
        })
    }

    /// What has been counted since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        InterfaceCounters {
            rx_packets: self.rx_packets.wrapping_sub(before.rx_packets),
            rx_bytes: self.rx_bytes.wrapping_sub(before.rx_bytes),
            rx_dropped: self.rx_dropped.wrapping_sub(before.rx_dropped),
            tx_packets: self.tx_packets.wrapping_sub(before.tx_packets),
            tx_bytes: self.tx_bytes.wrapping_sub(before.tx_bytes),
            tx_dropped: self.tx_dropped.wrapping_sub(before.tx_dropped),
        }
    }
}

/// An open interface. Dropping it gives the interface back to the kernel.
#[derive(Debug)]
pub struct Port {
    /// The devices of its workers, taken out while they run.
    pub devices: Vec<XdpDevice>,
    /// Outlives the devices.
    pump: Option<Pump>,
    begun: bool,
    /// Why there is no pump, although one would have been taken.
    without_pump: Option<String>,
    steering: Steering,
    facts: NicFacts,
    config: PortConfig,
}

impl Port {
    /// Opens the interface in its namespace. Frames for `wanted` come to its devices, the others stay the kernel's.
    ///
    /// # Errors
    /// No such interface or namespace, interface down, not permitted, queues taken or not there.
    pub fn open(config: &PortConfig, wanted: &[Wanted]) -> Result<Port, BlastError> {
        within(config.netns.as_deref(), || Self::open_here(config, wanted))?
    }

    fn open_here(config: &PortConfig, wanted: &[Wanted]) -> Result<Port, BlastError> {
        let facts = NicFacts::read(&config.interface)?;
        let workers = config.workers.max(1);
        let queues: Vec<u32> =
            if config.queues.is_empty() { (0..workers as u32).collect() } else { config.queues.clone() };
        if queues.len() < workers {
            return Err(BlastError::Usage(format!(
                "{workers} workers need {workers} queues: name as many with --queues, or ask for fewer workers"
            )));
        }
        let steering = Steering::attach(&config.interface, config.attach)?;
        let own = interface_addresses(&config.interface);
        for wanted in wanted {
            own_all(&steering, wanted, &own)?;
        }
        // A receiver that is not run for some milliseconds must not lose what comes meanwhile.
        let (rx_ring, fill) = if wanted.is_empty() { (2048, 2048) } else { (4096, 4096) };
        let frames = 2 * fill * queues.len().div_ceil(workers) as u32;
        let (pump, without_pump) = match (config.transmit, pump(config, &facts, workers, frames)) {
            (TransmitPath::Ring, _) => (None, None),
            (TransmitPath::Auto, Err(error)) => (None, Some(error.to_string())),
            (_, pump) => (Some(pump?), None),
        };
        let mut devices = Vec::new();
        for worker in 0..workers {
            let own: Vec<u32> = queues.iter().copied().skip(worker).step_by(workers).collect();
            let (queues, bind) = (own, config.bind);
            let queue = QueueConfig { queues, frames, bind, rx_ring, fill, ..QueueConfig::default() };
            devices.push(match &pump {
                Some(pump) => XdpDevice::open_with_pump(&steering, &queue, pump)?,
                None => XdpDevice::open(&steering, &queue)?,
            });
        }
        Ok(Port { devices, pump, begun: false, without_pump, steering, facts, config: config.clone() })
    }

    /// Starts the pump, if there is one and it does not run yet: when the other end is open as well.
    ///
    /// # Errors
    /// The interface does not take frames from it.
    pub fn begin(&mut self) -> Result<(), BlastError> {
        if let Some(pump) = self.pump.as_ref().filter(|_| !self.begun) {
            pump.begin()?;
        }
        self.begun = true;
        Ok(())
    }

    /// What the pump has done, if there is one.
    pub fn pump_stats(&self) -> Option<PumpStats> {
        self.pump.as_ref().map(Pump::stats)
    }

    /// Why there is no pump, although one would have been taken.
    pub fn without_pump(&self) -> Option<&str> {
        self.without_pump.as_deref()
    }

    /// Facts about the first device.
    pub fn info(&self) -> Option<&DeviceInfo> {
        self.devices.first().map(bypath_xdp::Device::info)
    }

    /// Facts about the interface as it was when it was opened.
    pub fn facts(&self) -> &NicFacts {
        &self.facts
    }

    /// Its namespace, if it is not the caller's.
    pub fn netns(&self) -> Option<&str> {
        self.config.netns.as_deref()
    }

    /// Its hardware address.
    pub fn mac(&self) -> MacAddr {
        self.facts.mac
    }

    /// The kernel's counters now.
    ///
    /// # Errors
    /// The interface has gone.
    pub fn counters(&self) -> Result<InterfaceCounters, BlastError> {
        let name = &self.config.interface;
        within(self.config.netns.as_deref(), || InterfaceCounters::read(name))?
            .ok_or_else(|| BlastError::Device(bypath_xdp::XdpError::NoSuchInterface { name: name.clone() }))
    }

    /// What the steering program has decided so far, by cause.
    pub fn verdicts(&self) -> Vec<(String, u64)> {
        self.steering.counters()
    }

    /// Checks that frames of so many bytes, without FCS, can be sent.
    ///
    /// # Errors
    /// [`BlastError::SizeTooLarge`].
    pub fn check_len(&self, len: usize) -> Result<(), BlastError> {
        let Some(info) = self.info() else { return Ok(()) };
        // The link carries an MTU and an Ethernet header; tags come on top.
        let most = (info.max_packet_len as usize).min(info.mtu as usize + 14 + 8);
        if len <= most {
            return Ok(());
        }
        Err(BlastError::SizeTooLarge {
            size: len + 4,
            interface: info.name.clone(),
            mtu: info.mtu,
            most: info.mtu as usize + 14 + 4,
        })
    }
}

fn pump(config: &PortConfig, facts: &NicFacts, workers: usize, frames: u32) -> Result<Pump, BlastError> {
    if config.transmit == TransmitPath::Ring {
        return Err(BlastError::Usage("the ring needs no pump".into()));
    }
    Pump::check(facts)?;
    let present = core_affinity::get_core_ids().unwrap_or_default();
    let free = || present.iter().rev().map(|core| core.id).find(|core| !config.cores.contains(core));
    let core = config.pump_core.or_else(free).ok_or_else(|| {
        BlastError::Usage(
            "no core is left for the pump: name fewer --cores, or let it share one with --pump-core".into(),
        )
    })?;
    let when = match config.transmit {
        TransmitPath::Auto => PumpUse::UnderLoad(bypath_xdp::LoadPolicy::default()),
        _ => PumpUse::Always,
    };
    let devices = u32::try_from(workers).unwrap_or(u32::MAX);
    let common_len = facts.mtu + 14;
    Ok(Pump::load(&PumpConfig { core, devices, frames, common_len, when, ..PumpConfig::default() })?)
}

fn own_all(steering: &Steering, wanted: &Wanted, kernel: &[IpAddr]) -> Result<(), BlastError> {
    let ports = wanted.ports;
    let (first, last) = (ports.first(), ports.at(ports.count() - 1));
    for address in wanted.addresses.values() {
        if kernel.contains(&address) {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                steering.own_ports(address, protocol, first..=last)?;
            }
        } else {
            steering.own_address(address)?;
        }
    }
    Ok(())
}

/// The addresses that the kernel has on an interface of this namespace.
pub fn interface_addresses(interface: &str) -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let own = all.filter(|one| one.interface_name == interface);
    own.filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .collect()
}
