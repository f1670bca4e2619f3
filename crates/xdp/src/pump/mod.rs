//! The pump: frames out of a device without skb and without system call.
//!
//! A BPF program (`bpf/pump.bpf.c`) that `bpf_prog_test_run` keeps running in a pinned thread takes frames from mapped
//! rings and redirects them through the driver's `ndo_xdp_xmit`. The packet memory of its devices is memory of a BPF
//! map, so a frame is copied once, by the pump. It costs a core while it runs.
//!
//! One pump serves several devices, of any queues and interfaces. Each has a seat (`seat`): a ring and a part of the
//! memory. The program is started and stopped by a thread of its own, the keeper (`keeper`), which also decides when that
//! pays ([`PumpUse`]). How a device changes between its ring and the pump is in `xsk/lane.rs`.

mod keeper;
mod layout;
mod probe;
mod program;
mod runner;
mod seat;

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::device::LINK_HEADERS;
use crate::error::XdpError;
use crate::nic::{self, NicFacts};
use crate::umem::{UmemArea, check_memory};
use keeper::Keeper;
use layout::PUMP_MAX_RINGS;
use layout::{Mapped, Ring, State, map_shared};
pub(crate) use layout::{PUMP_CHUNK, PUMP_MAX_LEN, PUMP_OFFSETS, PUMP_SLOTS};
use seat::SeatNote;
pub(crate) use seat::{MAX_SEAT_QUEUES, Returned, Seat};

/// By which way frames are to leave a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransmitPath {
    /// The pump under load, where it can be had; the ring otherwise.
    Auto,
    /// The AF_XDP transmit ring.
    #[default]
    Ring,
    /// The pump or not at all.
    Pump,
}

impl fmt::Display for TransmitPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            TransmitPath::Auto => "auto",
            TransmitPath::Ring => "ring",
            TransmitPath::Pump => "pump",
        })
    }
}

/// The driver whose other end decides whether it takes frames.
const VETH: &str = "veth";

/// When the pump runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PumpUse {
    /// From [`Pump::begin`] to the end.
    Always,
    /// While there is much to send.
    UnderLoad(LoadPolicy),
}

/// What "much to send" means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadPolicy {
    /// The pump is started when its devices are given so many packets a second.
    pub start_at: u64,
    /// It is stopped when they have been given fewer than so many for [`LoadPolicy::idle_for`].
    pub stop_below: u64,
    /// For how long there must be little to send before the pump is stopped.
    pub idle_for: Duration,
    /// The pump's core must be no busier than that before it is started, 0 to 1.
    pub max_core_busy: f64,
    /// Stop it again if fewer packets leave with it than without.
    pub must_pay: bool,
}

impl Default for LoadPolicy {
    fn default() -> Self {
        LoadPolicy {
            start_at: 100_000,
            stop_below: 20_000,
            idle_for: Duration::from_secs(1),
            max_core_busy: 0.5,
            must_pay: true,
        }
    }
}

/// How a pump is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct PumpConfig {
    /// The core that it runs on. While it runs it leaves nothing of it to others.
    pub core: usize,
    /// Devices that it can serve.
    pub devices: u32,
    /// Frames of packet memory of each.
    pub frames: u32,
    /// Frames that leave together at the latest, a power of two up to 64: fewer are sooner out, more cost less.
    pub batch: u32,
    /// Longest frame that is common, in bytes: those of other lengths cost a little more.
    pub common_len: u32,
    /// When it runs.
    pub when: PumpUse,
}

impl Default for PumpConfig {
    fn default() -> Self {
        PumpConfig { core: 0, devices: 1, frames: 4096, batch: 16, common_len: 1514, when: PumpUse::Always }
    }
}

/// What a pump has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PumpStats {
    /// The core that it runs on.
    pub core: usize,
    /// Whether it runs now.
    pub running: bool,
    /// Times that it was started.
    pub starts: u64,
    /// How long it ran.
    pub ran: Duration,
    /// Frames that drivers took from it.
    pub sent: u64,
    /// Frames that drivers did not take: lost.
    pub dropped: u64,
    /// Frames that had nowhere to go: lost.
    pub refused: u64,
    /// Turns in which it found nothing to send, and all turns.
    pub idle_turns: u64,
    /// All turns.
    pub turns: u64,
    /// Why it does not run although it should, or why its frames are lost.
    pub trouble: Option<String>,
}

/// What the pump, its keeper and its seats share.
pub(crate) struct Shared {
    chunks: MapHandle,
    ports: MapHandle,
    rings: Mapped<Ring>,
    state: Mapped<State>,
    seats: Box<[SeatNote]>,
    interfaces: Mutex<Vec<NicFacts>>,
    frames_per_seat: u32,
    batch: u32,
    core: usize,
    running: AtomicBool,
    /// It has ended, and does not run again.
    ended: AtomicBool,
    starts: AtomicU64,
    ran_ns: AtomicU64,
    /// When the present call began.
    since: Mutex<Option<Instant>>,
    trouble: Mutex<Option<String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("core", &self.core).finish_non_exhaustive()
    }
}

/// A transmit path for devices that are opened with it. Dropping it ends it; devices that are still there go on by their
/// rings, and lose nothing.
#[derive(Debug)]
pub struct Pump {
    shared: Arc<Shared>,
    keeper: Keeper,
}

impl Pump {
    /// Whether the interface can be sent to by a pump, as far as can be told before.
    ///
    /// # Errors
    /// [`XdpError::NoPump`] with the reason: driver or MTU.
    pub fn check(facts: &NicFacts) -> Result<(), XdpError> {
        let refuse = |reason: String| Err(XdpError::NoPump { name: facts.name.clone(), reason });
        if facts.mtu + LINK_HEADERS > PUMP_MAX_LEN {
            return refuse(format!(
                "it takes frames of one page, an MTU of at most {}, and here it is {} (ip link set {} mtu {0})",
                PUMP_MAX_LEN - LINK_HEADERS,
                facts.mtu,
                facts.name,
            ));
        }
        // Of veth the answer depends on the other end, which may change: it is tried out in `begin`.
        if facts.driver != VETH && nic::can_xdp_xmit(facts.ifindex) == Some(false) {
            return refuse(format!("its driver {} has no ndo_xdp_xmit", facts.driver));
        }
        Ok(())
    }

    /// Loads the program and makes its memory. It does not run yet.
    ///
    /// # Errors
    /// Not permitted, or the kernel lacks what it needs; settings that cannot work.
    pub fn load(config: &PumpConfig) -> Result<Pump, XdpError> {
        let bad = |setting, value: u32, remedy| {
            Err(XdpError::BadConfig { setting, value: value.to_string(), remedy })
        };
        if !config.batch.is_power_of_two() || config.batch > 64 {
            return bad("the pump's batch", config.batch, "a power of two up to 64");
        }
        if config.devices == 0 || config.devices >= PUMP_MAX_RINGS {
            return bad("the number of devices of a pump", config.devices, "it serves 1 to 63");
        }
        if !runner::core_exists(config.core) {
            return Err(XdpError::BadConfig {
                setting: "the pump's core",
                value: config.core.to_string(),
                remedy: "it does not exist, or this process may not use it (see: taskset -p $$)",
            });
        }
        check_memory(u64::from(config.devices) * u64::from(config.frames), PUMP_CHUNK)?;
        let loaded = program::load(config)?;
        let seats = (0..config.devices).map(|_| SeatNote::default()).collect();
        let shared = Arc::new(Shared {
            rings: loaded.rings,
            state: loaded.state,
            chunks: loaded.chunks,
            ports: loaded.ports,
            seats,
            interfaces: Mutex::default(),
            frames_per_seat: config.frames,
            batch: config.batch,
            core: config.core,
            running: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            starts: AtomicU64::new(0),
            ran_ns: AtomicU64::new(0),
            since: Mutex::default(),
            trouble: Mutex::default(),
        });
        let keeper = Keeper::start(&shared, loaded.program, config)?;
        Ok(Pump { shared, keeper })
    }

    /// Runs the pump from here on ([`PumpUse::Always`]), after its devices have been opened; under [`PumpUse::UnderLoad`] it
    /// starts by itself. Tries each interface with one frame of a local experimental EtherType to its own address.
    ///
    /// # Errors
    /// [`XdpError::NoPump`]: the kernel does not run it, or an interface does not take frames from it.
    pub fn begin(&self) -> Result<(), XdpError> {
        self.keeper.begin()
    }

    /// What it has done so far.
    pub fn stats(&self) -> PumpStats {
        self.shared.stats()
    }

    /// A place for a device.
    pub(crate) fn seat(&self, facts: &NicFacts) -> Result<(Seat, Arc<UmemArea>), XdpError> {
        let taken = Seat::take(&self.shared, facts.ifindex)?;
        let mut known = self.shared.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| other.ifindex != facts.ifindex || other.name != facts.name);
        known.push(facts.clone());
        Ok(taken)
    }

    /// The packet memory of each of its devices, in frames.
    pub(crate) fn frames(&self) -> u32 {
        self.shared.frames_per_seat
    }
}

impl Shared {
    fn stats(&self) -> PumpStats {
        let state = self.state();
        let mut stats = PumpStats {
            core: self.core,
            running: self.running.load(Ordering::Acquire),
            starts: self.starts.load(Ordering::Relaxed),
            ran: Duration::from_nanos(self.ran_ns.load(Ordering::Relaxed)),
            sent: state.sent.load(Ordering::Relaxed),
            dropped: state.dropped.load(Ordering::Relaxed),
            refused: state.refused.load(Ordering::Relaxed),
            idle_turns: state.idle.load(Ordering::Relaxed),
            turns: state.turns.load(Ordering::Relaxed),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        stats.ran += since.map_or(Duration::ZERO, |since| since.elapsed());
        for at in 0..self.seats.len() {
            stats.refused += self.ring(at).refused.load(Ordering::Relaxed);
        }
        if stats.trouble.is_none() && stats.dropped + stats.refused > 0 {
            stats.trouble = Some(self.reason(state.error.load(Ordering::Relaxed)));
        }
        stats
    }

    fn state(&self) -> &State {
        // One value was mapped.
        self.state.get(0).unwrap_or_else(|| unreachable!("the pump's state is one value"))
    }

    fn ring(&self, at: usize) -> &Ring {
        self.rings.get(at).unwrap_or_else(|| unreachable!("the pump has no ring {at}"))
    }

    /// A seat that nobody has.
    fn claim(&self) -> Result<(usize, &SeatNote), XdpError> {
        let free = |(_, note): &(usize, &SeatNote)| !note.taken.swap(true, Ordering::AcqRel);
        self.seats.iter().enumerate().find(free).ok_or(XdpError::BadConfig {
            setting: "the number of devices of a pump",
            value: self.seats.len().to_string(),
            remedy: "another one was opened; say so when the pump is made",
        })
    }

    /// Enters an interface of this thread's namespace under a number.
    fn port(&self, at: usize, ifindex: u32) -> Result<(), XdpError> {
        let key = u32::try_from(at).unwrap_or(u32::MAX).to_ne_bytes();
        self.ports.update(&key, &ifindex.to_ne_bytes(), MapFlags::ANY).map_err(|error| XdpError::System {
            action: "entering an interface into the pump's map".to_owned(),
            source: std::io::Error::other(format!("{error:#}")),
        })
    }

    fn map_chunks(&self, offset: u64, frames: u32) -> Result<Arc<UmemArea>, XdpError> {
        let len = frames as usize * PUMP_CHUNK as usize;
        let base = map_shared(self.chunks.as_fd(), len, offset)?;
        // SAFETY: a mapping of its own of `frames` chunks; the pump reads only chunks that are on its rings, whose
        // frames the device has given up until it takes them back.
        Ok(unsafe { UmemArea::over(base, frames, PUMP_CHUNK) })
    }

    /// Why drivers do not take frames, from what the kernel says.
    fn reason(&self, errno: i64) -> String {
        let known = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = known.first();
        let name = facts.map_or("the interface", |facts| &facts.name);
        let veth = facts.is_some_and(|facts| facts.driver == VETH);
        match i32::try_from(-errno).unwrap_or_default() {
            libc::ENXIO | libc::EOPNOTSUPP if veth => format!(
                "the other end of {name} takes no such frames: turn GRO on there while it is up (ethtool -K PEER gro off; ethtool -K PEER gro on), or have an XDP program there first, such as bypath's"
            ),
            libc::ENXIO => format!("the driver of {name} has no transmit queue for the pump's core"),
            libc::ENETDOWN => format!("{name} is down"),
            libc::EOPNOTSUPP => format!("the driver of {name} has no ndo_xdp_xmit"),
            libc::EMSGSIZE => format!("a frame was longer than the MTU of {name} allows"),
            0 => format!("{name} did not take all frames: its transmit queue was full, or it is gone"),
            errno => format!("{name}: {}", std::io::Error::from_raw_os_error(errno)),
        }
    }

    fn set_trouble(&self, text: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}
