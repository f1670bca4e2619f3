//! Opening the device: its settings, the checks that give clear errors, and the order that every driver survives.
//!
//! The program is attached (the caller has a [`Steering`]); wait for the carrier, fill, bind, kick once, enter the
//! socket into the map. What was bound is read back.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use xsk_rs::config::BindFlags;

use super::sizes::Sizes;
use super::{Queue, RX_HEADROOM, XdpDevice};
use crate::device::{Attached, Bound, DeviceInfo, DeviceStats, LINK_HEADERS};
use crate::error::XdpError;
use crate::nic::{self, NicFacts};
use crate::pool::Pool;
use crate::pump::{PUMP_CHUNK, Pump};
use crate::socket::{BindError, BoundSocket, BusyPoll, Registered, RingSizes};
use crate::steer::{MAX_QUEUES, Steering};
use crate::umem::{UmemArea, check_memory};

/// How long a queue may still belong to a socket that was closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// How sockets are asked to be bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BindMode {
    /// Zero-copy where the driver can, else copy.
    #[default]
    Auto,
    /// Zero-copy or not at all.
    ZeroCopy,
    /// Copy.
    Copy,
}

/// Whether a packet may span several frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MultiBuffer {
    /// When the MTU does not fit a frame.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: an MTU that does not fit is an error.
    Off,
}

/// How a device is opened.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// The queues to serve, as the NIC numbers them.
    pub queues: Vec<u32>,
    /// Frames of the packet memory, for all queues together. Half of them wait to receive. Where the NIC takes frames
    /// into a ring of its own, in zero-copy mode, there are more, for each queue as many as its ring and the RX ring hold.
    pub frames: u32,
    /// Bytes of a frame: 2048 or 4096.
    pub frame_size: u32,
    /// Entries of each RX ring, a power of two. In zero-copy mode there may be fewer: it is to be full before the NIC
    /// runs out of frames.
    pub rx_ring: u32,
    /// Entries of each TX ring, a power of two.
    pub tx_ring: u32,
    /// Entries of each fill ring, a power of two; more where the NIC's own ring needs them.
    pub fill: u32,
    /// Entries of each completion ring, a power of two.
    pub completion: u32,
    /// Zero-copy or copy.
    pub bind: BindMode,
    /// Let the kernel say when it wants to be kicked.
    pub need_wakeup: bool,
    /// Ask for kernel busy polling.
    pub busy_poll: Option<BusyPoll>,
    /// Ask for huge pages; falls back to ordinary ones.
    pub huge_pages: bool,
    /// Packets over several frames.
    pub multi_buffer: MultiBuffer,
    /// How long to wait for the carrier. Drivers take the link down for a moment when a program attaches.
    pub carrier_timeout: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            queues: vec![0],
            frames: 4096,
            frame_size: 4096,
            rx_ring: 2048,
            tx_ring: 2048,
            fill: 2048,
            completion: 2048,
            bind: BindMode::Auto,
            need_wakeup: true,
            busy_poll: None,
            huge_pages: false,
            multi_buffer: MultiBuffer::Auto,
            carrier_timeout: Duration::from_secs(5),
        }
    }
}

impl XdpDevice {
    /// Opens the queues of the interface that `steering` is attached to, in this thread's network
    /// namespace.
    ///
    /// Errors name the remedy: link down, queue out of range or taken, no zero-copy, no multi-buffer, not
    /// permitted, sizes that cannot work.
    pub fn open(steering: &Steering, config: &QueueConfig) -> Result<XdpDevice, XdpError> {
        Self::open_on(steering, config, None)
    }

    /// The same with a pump as a second transmit path. Frames are of 4096 bytes, and as many as the pump was made for.
    ///
    /// # Errors
    /// As for `open`; [`XdpError::NoPump`] where the driver or the MTU does not allow it.
    pub fn open_with_pump(
        steering: &Steering,
        config: &QueueConfig,
        pump: &Pump,
    ) -> Result<XdpDevice, XdpError> {
        Self::open_on(steering, config, Some(pump))
    }

    fn open_on(
        steering: &Steering,
        config: &QueueConfig,
        pump: Option<&Pump>,
    ) -> Result<XdpDevice, XdpError> {
        let facts = NicFacts::read(steering.interface())?;
        check_config(config, &facts)?;
        wait_for_carrier(&facts.name, config.carrier_timeout)?;
        let multi_buffer = wants_multi_buffer(config, &facts)?;
        let sizes = Sizes::new(config, nic_ring(config, steering, &facts), pump.is_some());
        let (area, seat) = match pump {
            None => {
                check_memory(sizes.frames.into(), config.frame_size)?;
                let area = UmemArea::map(sizes.frames, config.frame_size, 0, config.huge_pages)
                    .map_err(|error| XdpError::system("mapping packet memory", error))?;
                (area, None)
            }
            Some(pump) => {
                check_for_pump(config, multi_buffer, pump, &facts)?;
                let (seat, area) = pump.seat(&facts)?;
                (area, Some(seat))
            }
        };
        let mut info = DeviceInfo {
            name: facts.name.clone(),
            mac: facts.mac,
            mtu: facts.mtu,
            driver: facts.driver.clone(),
            queues: config.queues.clone(),
            mode: Bound::ZeroCopy,
            attach: steering.mode(),
            multi_buffer,
            max_packet_len: facts.mtu + LINK_HEADERS,
            huge_pages: area.huge_pages(),
            need_wakeup: config.need_wakeup,
            busy_poll: config.busy_poll.is_some(),
        };
        if !multi_buffer {
            info.max_packet_len = info.max_packet_len.min(config.frame_size - RX_HEADROOM);
        }
        let mut device = XdpDevice {
            info,
            pool: Pool::new(area),
            queues: Vec::with_capacity(config.queues.len()),
            chunk_shift: config.frame_size.trailing_zeros(),
            fill_target: sizes.fill_target as usize,
            need_wakeup: config.need_wakeup,
            stats: DeviceStats::default(),
            turn: 0,
            open_packet: None,
            refusing: false,
            lane: None,
        };
        if let Some(seat) = seat {
            device.join_pump(seat);
        }
        for queue in &config.queues {
            device.open_queue(*queue, config, sizes.rings, &facts, steering)?;
        }
        Ok(device)
    }

    fn open_queue(
        &mut self,
        id: u32,
        config: &QueueConfig,
        rings: RingSizes,
        facts: &NicFacts,
        steering: &Steering,
    ) -> Result<(), XdpError> {
        let first: Vec<u32> =
            std::iter::from_fn(|| self.pool.take_for_fill()).take(self.fill_target).collect();
        let mut mode = match (config.bind, self.info.attach) {
            (BindMode::ZeroCopy, _) => BindFlags::XDP_ZEROCOPY,
            // Zero-copy needs a program in the driver.
            (BindMode::Copy, _) | (_, Attached::Generic) => BindFlags::XDP_COPY,
            (BindMode::Auto, _) => BindFlags::empty(),
        };
        let asked = Instant::now();
        let socket = loop {
            match self.bind(id, config, rings, mode, &first) {
                Ok(socket) => break socket,
                // The kernel takes a queue from a socket that is closed some time after its program has ended.
                Err(BindError::Errno(libc::EBUSY)) if asked.elapsed() < RELEASE_TIMEOUT => {
                    sleep(Duration::from_millis(5));
                }
                // Some drivers fail in zero-copy instead of declining it, so the kernel does not fall back.
                Err(BindError::Errno(errno)) if mode.is_empty() && errno != libc::EBUSY => {
                    tracing::debug!(queue = id, errno, "binding by the driver's choice failed, trying copy");
                    mode = BindFlags::XDP_COPY;
                }
                Err(BindError::Errno(errno)) => return Err(self.bind_error(errno, id, mode, facts, config)),
                Err(BindError::Other(error)) => return Err(error),
            }
        };
        let zero_copy = socket.is_zero_copy();
        if !zero_copy.map_err(|error| XdpError::system("asking how the socket was bound", error))? {
            self.info.mode = Bound::Copy;
        }
        if let Some(busy) = config.busy_poll {
            self.info.busy_poll &= socket.set_busy_poll(busy);
        }
        // Once without being asked: up to a hundred first packets are lost on some drivers otherwise.
        self.stats.kicks += 1;
        self.stats.kick_errors += u64::from(socket.kick_rx().is_err());
        steering.set_socket(id, socket.fd())?;
        let id = u16::try_from(id).unwrap_or(u16::MAX);
        let sending_limit = rings.completion.min(rings.tx) as usize;
        self.queues.push(Queue { id, socket, filled: first.len(), sending: 0, sending_limit, unsent: 0 });
        Ok(())
    }

    fn bind(
        &self,
        id: u32,
        config: &QueueConfig,
        rings: RingSizes,
        mut flags: BindFlags,
        first: &[u32],
    ) -> Result<BoundSocket, BindError> {
        let mut registered = Registered::new(self.pool.area(), rings).map_err(BindError::Other)?;
        for index in first {
            // The ring takes `fill_target` entries, so there is always room.
            let _ = registered.fill_ring().push(u64::from(*index) << self.chunk_shift);
        }
        registered.fill_ring().submit();
        flags.set(BindFlags::XDP_USE_NEED_WAKEUP, config.need_wakeup);
        flags.set(BindFlags::XDP_USE_SG, self.info.multi_buffer);
        registered.bind(&self.info.name, id, flags)
    }

    fn bind_error(
        &self,
        errno: i32,
        queue: u32,
        mode: BindFlags,
        facts: &NicFacts,
        config: &QueueConfig,
    ) -> XdpError {
        let name = facts.name.clone();
        match errno {
            libc::EBUSY => XdpError::QueueBusy { name, queue },
            libc::ENETDOWN => XdpError::LinkDown { name, reason: "it went down while being opened" },
            libc::EOPNOTSUPP | libc::EINVAL if mode.contains(BindFlags::XDP_ZEROCOPY) => {
                XdpError::NoZeroCopy { name, driver: facts.driver.clone(), queue }
            }
            libc::EOPNOTSUPP | libc::EINVAL if self.info.multi_buffer => no_multi_buffer(config, facts),
            _ => XdpError::system("binding an AF_XDP socket", io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Descriptors of the NIC's RX ring, if it may take frames of ours. Drivers without such a ring name none.
fn nic_ring(config: &QueueConfig, steering: &Steering, facts: &NicFacts) -> u32 {
    let copies = config.bind == BindMode::Copy || steering.mode() == Attached::Generic;
    if copies { 0 } else { facts.rx_ring.current }
}

fn check_config(config: &QueueConfig, facts: &NicFacts) -> Result<(), XdpError> {
    let bad = |setting, value: String, remedy| Err(XdpError::BadConfig { setting, value, remedy });
    if config.queues.is_empty() {
        return bad("the list of queues", "empty".into(), "name at least queue 0");
    }
    let last = facts.queues().min(MAX_QUEUES) - 1;
    if let Some(queue) = config.queues.iter().copied().find(|queue| *queue > last) {
        return Err(XdpError::QueueOutOfRange { name: facts.name.clone(), queue, last });
    }
    for (at, queue) in config.queues.iter().enumerate() {
        if config.queues[..at].contains(queue) {
            return bad("the list of queues", format!("with {queue} twice"), "name each queue once");
        }
    }
    if !matches!(config.frame_size, 2048 | 4096) {
        let remedy = "AF_XDP takes 2048 or 4096 bytes on pages of 4096";
        return bad("the frame size", config.frame_size.to_string(), remedy);
    }
    if (config.frames as usize) < config.queues.len() * 16 {
        return bad("the number of frames", config.frames.to_string(), "give each queue at least 16");
    }
    Ok(())
}

fn check_for_pump(
    config: &QueueConfig,
    multi_buffer: bool,
    pump: &Pump,
    facts: &NicFacts,
) -> Result<(), XdpError> {
    let bad =
        |setting, value: u32, remedy| Err(XdpError::BadConfig { setting, value: value.to_string(), remedy });
    if config.frame_size != PUMP_CHUNK {
        return bad("the frame size", config.frame_size, "with a pump it is 4096 bytes");
    }
    Pump::check(facts)?;
    if config.frames != pump.frames() {
        return bad("the number of frames", config.frames, "the pump was made for another");
    }
    if multi_buffer {
        let reason = "it cannot send packets that span several frames: multi-buffer must be off".to_owned();
        return Err(XdpError::NoPump { name: facts.name.clone(), reason });
    }
    Ok(())
}

fn wants_multi_buffer(config: &QueueConfig, facts: &NicFacts) -> Result<bool, XdpError> {
    let fits = facts.mtu + LINK_HEADERS <= config.frame_size - RX_HEADROOM;
    match config.multi_buffer {
        MultiBuffer::On => Ok(true),
        MultiBuffer::Auto => Ok(!fits),
        MultiBuffer::Off if fits => Ok(false),
        MultiBuffer::Off => Err(no_multi_buffer(config, facts)),
    }
}

fn no_multi_buffer(config: &QueueConfig, facts: &NicFacts) -> XdpError {
    XdpError::NoMultiBuffer {
        name: facts.name.clone(),
        mtu: facts.mtu,
        frame_size: config.frame_size,
        fits: config.frame_size - RX_HEADROOM - LINK_HEADERS,
    }
}

fn wait_for_carrier(name: &str, timeout: Duration) -> Result<(), XdpError> {
    let start = Instant::now();
    loop {
        let reason = match nic::link_state(name)? {
            (true, true) => return Ok(()),
            (false, _) => "it is not set up",
            (true, false) => "no carrier",
        };
        if reason != "no carrier" || start.elapsed() >= timeout {
            return Err(XdpError::LinkDown { name: name.to_owned(), reason });
        }
        sleep(Duration::from_millis(10));
    }
}
