//! The devices of an engine's workers, and the pump beside them where one is wanted.

use bypath_xdp::{
    Attached, BindMode, Bound, Device, NicFacts, Placement, Pump, PumpConfig, PumpUse, QueueConfig,
    Spreading, Steering, TransmitPath, XdpDevice, XdpError, placement,
};

use super::{EngineBuilder, RECEIVE_RING};
use crate::error::EngineError;

/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;
/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;

/// What was opened.
pub(super) struct Devices {
    /// One for each worker.
    pub(super) devices: Vec<XdpDevice>,
    pub(super) pump: Option<Pump>,
    /// Why there is no pump although one would have been taken.
    pub(super) without_pump: Option<String>,
}

/// Opens a device for each hand of queues.
pub(super) fn open(
    builder: &EngineBuilder,
    steering: &Steering,
    facts: &NicFacts,
    hands: Vec<Vec<u32>>,
    cores: &[usize],
) -> Result<Devices, EngineError> {
    // A NIC that fetches frames by itself needs no pump, and its memory has other sizes than a pump's.
    let has_rings = facts.rx_ring.current > 0 && steering.mode() == Attached::Native;
    if builder.transmit == TransmitPath::Auto && builder.bind != BindMode::Copy && has_rings {
        let devices = open_hands(builder, steering, &hands, None)?;
        if devices.iter().all(|device| device.info().mode == Bound::ZeroCopy) {
            let without_pump = Some("the NIC fetches frames by itself (zero-copy)".to_owned());
            return Ok(Devices { devices, pump: None, without_pump });
        }
    }
    let (pump, without_pump) = match builder.transmit {
        TransmitPath::Ring => (None, None),
        TransmitPath::Pump => (Some(make_pump(builder, facts, cores)?), None),
        TransmitPath::Auto => match make_pump(builder, facts, cores) {
            Ok(pump) => (Some(pump), None),
            Err(error) => (None, Some(reason(error))),
        },
    };
    let devices = open_hands(builder, steering, &hands, pump.as_ref())?;
    if let Some(pump) = &pump {
        pump.begin()?;
    }
    Ok(Devices { devices, pump, without_pump })
}

fn open_hands(
    builder: &EngineBuilder,
    steering: &Steering,
    hands: &[Vec<u32>],
    pump: Option<&Pump>,
) -> Result<Vec<XdpDevice>, EngineError> {
    let mut devices = Vec::new();
    // The pump's packet memory is one for all, and as large as it was made.
    let ring = if pump.is_some() { RECEIVE_RING } else { builder.receive_ring };
    for queues in hands {
        // Half of the frames wait to receive.
        let waiting = if ring > RECEIVE_RING { 2 * ring * queues.len() as u32 } else { 0 };
        let config = QueueConfig {
            queues: queues.clone(),
            frames: builder.frames.max(waiting),
            rx_ring: ring,
            fill: ring,
            bind: builder.bind,
            huge_pages: builder.huge_pages,
            ..QueueConfig::default()
        };
        let device = match pump {
            Some(pump) => XdpDevice::open_with_pump(steering, &config, pump)?,
            None => XdpDevice::open(steering, &config)?,
        };
        if builder.huge_pages && !device.info().huge_pages {
            return Err(no_huge_pages(device.area().frames() * config.frame_size, hands.len()));
        }
        devices.push(device);
    }
    Ok(devices)
}

/// How packets are spread over queues, and advice about where queues, cores and interrupts lie.
pub(super) fn placement(facts: &NicFacts, queues: &[u32], cores: &[usize]) -> (String, Vec<String>) {
    match Placement::read(facts) {
        Ok(placement) => {
            let advice = placement::advice(&facts.name, &placement, queues, cores, placement::node_of_core);
            (placement.spreading.to_string(), advice)
        }
        Err(_) => (Spreading::Unknown.to_string(), Vec::new()),
    }
}

fn make_pump(builder: &EngineBuilder, facts: &NicFacts, workers: &[usize]) -> Result<Pump, EngineError> {
    if builder.huge_pages {
        let text =
            "the packet memory of a pump cannot lie on huge pages: leave out --huge-pages, or use --tx ring";
        return Err(EngineError::Config(text.into()));
    }
    Pump::check(facts)?;
    let present: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    let free = || present.iter().copied().find(|core| !workers.contains(core));
    let core = builder.pump_core.or_else(free).ok_or_else(|| {
        EngineError::Config(format!(
            "no core is left for the pump: the workers have all of {present:?}; give fewer --cores, or let it share one \
             with --pump-core, or use --tx ring"
        ))
    })?;
    let when = match builder.transmit {
        TransmitPath::Auto => PumpUse::UnderLoad(builder.pump_policy),
        _ => PumpUse::Always,
    };
    let devices = u32::try_from(workers.len()).unwrap_or(u32::MAX);
    let common_len = facts.mtu + ETHERNET;
    let config =
        PumpConfig { core, devices, frames: builder.frames, common_len, when, ..PumpConfig::default() };
    Ok(Pump::load(&config)?)
}

fn no_huge_pages(bytes: u32, workers: usize) -> EngineError {
    let pages = (bytes as usize).div_ceil(HUGE_PAGE) * workers;
    EngineError::Config(format!(
        "there are not enough free huge pages of 2 MiB, and {pages} are needed: `sysctl vm.nr_hugepages={pages}` \
         or more, or leave --huge-pages out"
    ))
}

/// Why, without the advice that is for those who insisted.
fn reason(error: EngineError) -> String {
    match error {
        EngineError::Xdp(XdpError::NoPump { reason, .. }) => reason,
        error => error.to_string(),
    }
}
