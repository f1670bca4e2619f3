//! Two devices joined by a wire in memory: the device trait without a NIC.
//!
//! Each end has its own packet memory; packets are copied across, so each end conserves its frames on
//! its own. Both ends may live in one thread under a clock that the test moves, or in two threads
//! under the system's clock. The wire's behaviour is described in [`impair`](crate::impair).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bypath_wire::ethernet::MacAddr;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use crate::device::{Attached, Bound, Device, DeviceInfo, DeviceStats};
use crate::frame::{Frame, RxBatch};
use crate::impair::{Impairments, Wire, WireStats};
use crate::poll::poll_until;
use crate::pool::Pool;
use crate::umem::UmemArea;

/// Whose time the wire's delay and rate follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireClock {
    /// Time stands still until [`MemoryDevice::advance`] moves it, for both ends at once.
    Manual,
    /// The system's monotonic clock, counted from the making of the pair.
    Monotonic,
}

/// How both ends of an in-memory wire are made.
#[derive(Debug, Clone)]
pub struct MemoryConfig {
    /// Frames of each end.
    pub frames: u32,
    /// Bytes that one frame holds.
    pub frame_size: u32,
    /// Largest IP packet; longer than a frame means packets in several frames.
    pub mtu: u32,
    /// Frames that may be queued for transmission between two flushes.
    pub tx_ring: u32,
    /// Hardware addresses of the two ends.
    pub macs: (MacAddr, MacAddr),
    /// Names of the two ends.
    pub names: (String, String),
    /// Whose time it is.
    pub clock: WireClock,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig {
            frames: 4096,
            frame_size: 2048,
            mtu: 1500,
            tx_ring: 2048,
            macs: (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])),
            names: ("mem-a".into(), "mem-b".into()),
            clock: WireClock::Manual,
        }
    }
}

/// What the two ends share.
#[derive(Debug)]
struct Cable {
    wires: [Mutex<Wire>; 2],
    doorbells: [Doorbell; 2],
    now_ns: AtomicU64,
    clock: Option<Instant>,
}

/// Wakes an end that sleeps; rung only while somebody listens, so a busy end costs no system call.
#[derive(Debug)]
struct Doorbell {
    event: OwnedFd,
    listening: AtomicBool,
}

/// One end of an in-memory wire.
#[derive(Debug)]
pub struct MemoryDevice {
    info: DeviceInfo,
    stats: DeviceStats,
    pool: Pool,
    fill: Vec<u32>,
    fill_target: usize,
    pending: Vec<Frame>,
    tx_ring: usize,
    /// The rest of a packet that did not fit is refused until its last frame has passed.
    refusing: bool,
    cable: Arc<Cable>,
    side: usize,
}

/// Joins two new devices: what the first sends meets `a_to_b`, what the second sends `b_to_a`.
///
/// Errors: packet memory or event descriptors cannot be had, or the sizes make no sense.
pub fn pair(
    config: &MemoryConfig,
    a_to_b: Impairments,
    b_to_a: Impairments,
) -> io::Result<(MemoryDevice, MemoryDevice)> {
    let doorbell = || -> io::Result<Doorbell> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Doorbell { event, listening: AtomicBool::new(false) })
    };
    let cable = Arc::new(Cable {
        wires: [Mutex::new(Wire::new(a_to_b)), Mutex::new(Wire::new(b_to_a))],
        doorbells: [doorbell()?, doorbell()?],
        now_ns: AtomicU64::new(0),
        clock: (config.clock == WireClock::Monotonic).then(Instant::now),
    });
    let a = MemoryDevice::new(config, &config.names.0, config.macs.0, Arc::clone(&cable), 0)?;
    let b = MemoryDevice::new(config, &config.names.1, config.macs.1, cable, 1)?;
    Ok((a, b))
}

impl Cable {
    fn wire(&self, from: usize) -> MutexGuard<'_, Wire> {
        self.wires[from].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wire's time. The system's clock is read only where an effect depends on it.
    fn now(&self, wire: &Wire) -> Duration {
        match self.clock {
            Some(start) if wire.settings().needs_clock() => start.elapsed(),
            _ => Duration::from_nanos(self.now_ns.load(Ordering::Acquire)),
        }
    }
}

impl MemoryDevice {
    fn new(
        config: &MemoryConfig,
        name: &str,
        mac: MacAddr,
        cable: Arc<Cable>,
        side: usize,
    ) -> io::Result<Self> {
        let area = UmemArea::map(config.frames, config.frame_size, 0, false)?;
        let max_packet_len = config.mtu + crate::device::LINK_HEADERS;
        let info = DeviceInfo {
            name: name.to_owned(),
            mac,
            mtu: config.mtu,
            driver: "memory".into(),
            queues: vec![0],
            mode: Bound::Memory,
            attach: Attached::None,
            multi_buffer: max_packet_len > config.frame_size,
            max_packet_len,
            huge_pages: false,
            need_wakeup: false,
            busy_poll: false,
        };
        let mut device = MemoryDevice {
            info,
            stats: DeviceStats::default(),
            pool: Pool::new(area),
            fill: Vec::with_capacity(config.frames as usize),
            fill_target: config.frames as usize / 2,
            pending: Vec::with_capacity(config.tx_ring as usize),
            tx_ring: config.tx_ring as usize,
            refusing: false,
            cable,
            side,
        };
        device.top_up();
        Ok(device)
    }

    /// Moves the manual clock of both ends to `now`; it never goes back.
    pub fn advance(&mut self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.cable.now_ns.fetch_max(nanos, Ordering::AcqRel);
    }

    /// The time at which something moves towards this end next, if anything is under way.
    pub fn next_delivery(&self) -> Option<Duration> {
        let wire = self.cable.wire(1 - self.side);
        if wire.is_ready() { Some(self.cable.now(&wire)) } else { wire.next_event() }
    }

    /// What the wire did to the packets that this end sent.
    pub fn wire_stats(&self) -> WireStats {
        self.cable.wire(self.side).stats()
    }

    fn top_up(&mut self) {
        while self.fill.len() < self.fill_target {
            match self.pool.take_for_fill() {
                Some(index) => self.fill.push(index),
                None => break,
            }
        }
    }

    fn frames_for(&self, packet_len: usize) -> usize {
        packet_len.div_ceil(self.pool.area().chunk_size()).max(1)
    }

    /// Puts the queued packets on the wire and rings the peer's bell if it sleeps.
    fn send_pending(&mut self) {
        // A packet whose last frame is still to come waits for the next flush.
        let Some(last) = self.pending.iter().rposition(|frame| !frame.more()) else { return };
        let cable = Arc::clone(&self.cable);
        let mut wire = cable.wire(self.side);
        let now = cable.now(&wire);
        let mut packet = wire.buffer();
        for frame in self.pending.drain(..=last) {
            packet.extend_from_slice(self.pool.area().bytes(&frame));
            let last = !frame.more();
            self.pool.release(frame);
            if !last {
                continue;
            }
            if packet.is_empty() || packet.len() > self.info.max_packet_len as usize {
                self.stats.tx_invalid_descs += 1;
                packet.clear();
            } else {
                self.stats.tx_packets += 1;
                self.stats.tx_bytes += packet.len() as u64;
                let next = wire.buffer();
                wire.send(now, std::mem::replace(&mut packet, next));
            }
        }
        wire.recycle(packet);
        drop(wire);
        let bell = &cable.doorbells[1 - self.side];
        if bell.listening.load(Ordering::SeqCst) {
            // A full counter means the bell has rung already.
            let _ = rustix::io::write(&bell.event, &1u64.to_ne_bytes());
        }
    }
}

impl Device for MemoryDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn area(&self) -> &Arc<UmemArea> {
        self.pool.area()
    }

    fn receive(&mut self, batch: &mut RxBatch) -> usize {
        let cable = Arc::clone(&self.cable);
        let mut wire = cable.wire(1 - self.side);
        let now = cable.now(&wire);
        wire.advance(now);
        let before = batch.len();
        loop {
            let (batch_room, frames) = (batch.room(), self.fill.len());
            let fits = |len: usize| self.frames_for(len) <= batch_room.min(frames);
            let Some(packet) = wire.take(fits) else { break };
            self.stats.rx_packets += 1;
            self.stats.rx_bytes += packet.len() as u64;
            let chunk = self.pool.area().chunk_size();
            let mut rest = packet.as_slice();
            while !rest.is_empty() {
                let (part, after) = rest.split_at(rest.len().min(chunk));
                let Some(index) = self.fill.pop() else { break };
                let Some(mut frame) = self.pool.received(index) else { break };
                frame.set_len(part.len() as u32);
                frame.set_more(!after.is_empty());
                self.pool.area().bytes_mut(&mut frame)[..part.len()].copy_from_slice(part);
                batch.push(frame);
                rest = after;
            }
            wire.recycle(packet);
        }
        if wire.is_ready() && self.fill.is_empty() {
            self.stats.fill_ring_empty += 1;
        }
        batch.len() - before
    }

    fn release(&mut self, frame: Frame) {
        self.pool.release(frame);
    }

    fn tx_room(&self) -> usize {
        self.pool.available().min(self.tx_ring - self.pending.len())
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.pool.alloc()
    }

    fn transmit(&mut self, frame: Frame) {
        let foreign = frame.area != self.pool.area().id();
        if self.refusing || foreign || self.pending.len() >= self.tx_ring {
            self.refuse(frame);
        } else {
            self.pending.push(frame);
        }
    }

    fn flush(&mut self) {
        self.send_pending();
        self.pool.reclaim_orphans();
        self.top_up();
        self.pool.check(self.fill.len(), 0);
    }

    fn wait(&mut self, timeout: Option<Duration>, wake: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let cable = Arc::clone(&self.cable);
        let bell = &cable.doorbells[self.side];
        bell.listening.store(true, Ordering::SeqCst);
        let due = {
            let mut wire = cable.wire(1 - self.side);
            let now = cable.now(&wire);
            wire.advance(now);
            if wire.is_ready() {
                Some(Duration::ZERO)
            } else if cable.clock.is_some() {
                wire.next_event().map(|at| at.saturating_sub(now))
            } else {
                None
            }
        };
        let timeout = [timeout, due].into_iter().flatten().min();
        let result = if timeout == Some(Duration::ZERO) {
            Ok(())
        } else {
            sleep_on(bell.event.as_fd(), wake, timeout)
        };
        bell.listening.store(false, Ordering::SeqCst);
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&bell.event, &mut count);
        result
    }

    fn stats(&self) -> DeviceStats {
        self.stats
    }
}

impl MemoryDevice {
    /// Gives up a packet for want of room: its earlier frames, this one, and those that follow.
    fn refuse(&mut self, frame: Frame) {
        if !self.refusing {
            self.stats.tx_ring_full += 1;
            while self.pending.last().is_some_and(Frame::more) {
                if let Some(earlier) = self.pending.pop() {
                    self.pool.release(earlier);
                }
            }
        }
        self.refusing = frame.more();
        self.pool.release(frame);
    }
}

/// Sleeps until one of the descriptors is readable.
fn sleep_on(bell: BorrowedFd<'_>, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> io::Result<()> {
    let mut fds = arrayvec::ArrayVec::<PollFd<'_>, 2>::new();
    fds.push(PollFd::from_borrowed_fd(bell, PollFlags::IN));
    fds.extend(wake.map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN)));
    poll_until(&mut fds, timeout)
}
