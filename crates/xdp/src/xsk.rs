//! The device over AF_XDP sockets: several queues of one NIC on one packet memory.
//!
//! `open` brings it into being; here is what happens then, and at the end: closing drains what is still being
//! sent.

mod lane;
mod open;
mod sizes;

pub use open::{BindMode, MultiBuffer, QueueConfig};

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use libxdp_sys::xdp_desc;
use rustix::event::{PollFd, PollFlags};

use crate::device::{Device, DeviceInfo, DeviceStats};
use crate::frame::{Frame, RxBatch};
use crate::poll::poll_until;
use crate::pool::Pool;
use crate::pump::{PUMP_OFFSETS, Returned};
use crate::socket::{BoundSocket, CONTINUED};
use crate::umem::UmemArea;
use lane::Lane;

/// What the kernel keeps free in front of a received packet (`XDP_PACKET_HEADROOM`), in bytes.
const RX_HEADROOM: u32 = 256;
/// Most frames of a packet in copy mode: an skb's linear part and its fragments (`MAX_SKB_FRAGS`).
const MAX_FRAMES_PER_PACKET: usize = 17;
/// Packets the kernel sends for one kick where it has no larger budget (`TX_BATCH_SIZE`).
const KICK_BATCH: u32 = 32;
/// How long closing waits for the NIC to finish sending.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// One queue with its socket and what the kernel has of ours.
#[derive(Debug)]
struct Queue {
    id: u16,
    socket: BoundSocket,
    /// Chunks with the kernel to receive into.
    filled: usize,
    /// Chunks on the TX ring or being sent.
    sending: usize,
    /// The most of them that the completion ring takes back.
    sending_limit: usize,
    /// Of those, how many the kernel has not looked at after the last kick.
    unsent: u32,
}

/// An AF_XDP device.
#[derive(Debug)]
pub struct XdpDevice {
    info: DeviceInfo,
    pool: Pool,
    queues: Vec<Queue>,
    chunk_shift: u32,
    fill_target: usize,
    need_wakeup: bool,
    stats: DeviceStats,
    /// The queue looked at first by the next `receive`.
    turn: usize,
    /// The packet being queued: its queue, its frames and bytes so far.
    open_packet: Option<OpenPacket>,
    /// The rest of a packet that was given up is refused until its last frame has passed.
    refusing: bool,
    /// The way to the pump, where there is one.
    lane: Option<Lane>,
}

#[derive(Debug, Clone, Copy)]
struct OpenPacket {
    queue: usize,
    frames: usize,
    bytes: usize,
}

impl XdpDevice {
    /// Takes whole packets off one queue's RX ring.
    fn receive_from(&mut self, at: usize, batch: &mut RxBatch) {
        let XdpDevice { queues, pool, stats, chunk_shift, .. } = self;
        let queue = &mut queues[at];
        if queue.socket.rx.available() == 0 {
            return;
        }
        while let Some(frames) = frames_of_next_packet(queue) {
            let fits = frames <= batch.room();
            // A packet that not even an empty batch could take is dropped, or it would block the ring.
            let can_never_fit = batch.is_empty() && frames > batch.capacity();
            if !fits && !can_never_fit {
                break;
            }
            stats.rx_packets += u64::from(fits);
            stats.rx_dropped += u64::from(!fits);
            for _ in 0..frames {
                let Some(descriptor) = queue.socket.rx.pop() else { break };
                // A chunk that the kernel does not have comes from an error of the driver. It has an owner here.
                let Some(mut frame) = pool.received((descriptor.addr >> *chunk_shift) as u32) else {
                    stats.rx_unexpected += 1;
                    continue;
                };
                queue.filled -= 1;
                frame.set_offset((descriptor.addr & ((1 << *chunk_shift) - 1)) as u32);
                frame.set_len(descriptor.len);
                frame.set_more(descriptor.options & CONTINUED != 0);
                frame.set_queue(queue.id);
                if fits {
                    stats.rx_bytes += u64::from(descriptor.len);
                    batch.push(frame);
                } else {
                    pool.release(frame);
                }
            }
        }
        queue.socket.rx.release();
    }

    fn queue_index(&self, frame: &Frame) -> usize {
        self.queues.iter().position(|queue| queue.id == frame.queue).unwrap_or(0)
    }

    /// Gives up a packet: its earlier frames, this one, and those that follow.
    fn refuse(&mut self, frame: Frame, open: Option<OpenPacket>) {
        if !self.refusing {
            self.stats.tx_ring_full += 1;
        }
        if let Some(open) = open {
            let queue = &mut self.queues[open.queue];
            while queue.socket.tx.newest().is_some_and(|newest| newest.options & CONTINUED != 0) {
                let Some(earlier) = queue.socket.tx.unpush() else { break };
                queue.sending -= 1;
                self.pool.completed((earlier.addr >> self.chunk_shift) as u32);
            }
        }
        self.refusing = frame.more();
        self.pool.release(frame);
    }

    /// Gives a packet to the pump, or holds it back while the path changes.
    fn transmit_by_lane(&mut self, mut frame: Frame, queue: usize) {
        if frame.offset >= PUMP_OFFSETS as u16 {
            let data = frame.offset()..frame.offset() + frame.len();
            frame.set_offset(0);
            let area = Arc::clone(self.pool.area());
            area.bytes_mut(&mut frame).copy_within(data, 0);
        }
        let (offset, len) = (frame.offset, frame.len);
        let chunk = self.pool.transmit(frame);
        self.stats.tx_packets += 1;
        self.stats.tx_bytes += u64::from(len);
        if let Some(lane) = &mut self.lane {
            lane.push(Returned { chunk, offset, len, queue });
        }
    }

    /// Submits a queue's TX ring and has the kernel send it.
    fn send(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        // A packet that is still being queued is not shown to the kernel half.
        if self.open_packet.is_none_or(|open| open.queue != at) {
            queue.socket.tx.submit();
        }
        if queue.sending == 0 {
            queue.unsent = 0;
            return;
        }
        let mut left = queue.socket.tx.unconsumed();
        let mut tries = left.div_ceil(KICK_BATCH) + 1;
        while left > 0 && tries > 0 && (!self.need_wakeup || queue.socket.tx.needs_wakeup()) {
            tries -= 1;
            self.stats.kicks += 1;
            if let Err(error) = queue.socket.kick_tx() {
                self.stats.kick_errors += 1;
                // EAGAIN: the budget of this call is used up. EBUSY, ENOBUFS, ENETDOWN: not now; the next
                // flush tries again. None of them is fatal.
                if error.raw_os_error() != Some(libc::EAGAIN) {
                    break;
                }
            }
            let now = queue.socket.tx.unconsumed();
            if now == left {
                break;
            }
            left = now;
        }
        queue.unsent = left;
    }

    /// Takes back what has been sent.
    fn reclaim(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        if queue.sending == 0 || queue.socket.completion.refresh() == 0 {
            return;
        }
        while let Some(address) = queue.socket.completion.pop() {
            queue.sending -= 1;
            self.pool.completed((address >> self.chunk_shift) as u32);
        }
        queue.socket.completion.release();
    }

    /// Tops up a queue's fill ring, and wakes the kernel if it waits for that.
    fn fill(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        while queue.filled < self.fill_target {
            let Some(index) = self.pool.take_for_fill() else { break };
            // The ring is at least as large as the target and its entries are among `filled`.
            let _ = queue.socket.fill.push(u64::from(index) << self.chunk_shift);
            queue.filled += 1;
        }
        queue.socket.fill.submit();
        if self.need_wakeup && queue.socket.fill.needs_wakeup() {
            self.stats.kicks += 1;
            self.stats.kick_errors += u64::from(queue.socket.kick_rx().is_err());
        }
    }
}

/// How soon frames that the kernel did not take are offered again.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// How many frames the next packet on the RX ring has. `None` when it is not there completely.
fn frames_of_next_packet(queue: &mut Queue) -> Option<usize> {
    let mut ahead = 0;
    loop {
        let descriptor: xdp_desc = match queue.socket.rx.peek(ahead) {
            Some(descriptor) => descriptor,
            None if queue.socket.rx.refresh() > ahead => continue,
            None => return None,
        };
        ahead += 1;
        if descriptor.options & CONTINUED == 0 {
            return Some(ahead as usize);
        }
    }
}

impl Device for XdpDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn area(&self) -> &Arc<UmemArea> {
        self.pool.area()
    }

    fn receive(&mut self, batch: &mut RxBatch) -> usize {
        let before = batch.len();
        let queues = self.queues.len();
        self.notice_pump();
        for step in 0..queues {
            self.receive_from((self.turn + step) % queues, batch);
        }
        self.turn = (self.turn + 1) % queues;
        if self.info.busy_poll && batch.len() == before {
            for queue in &self.queues {
                self.stats.kicks += 1;
                self.stats.kick_errors += u64::from(queue.socket.kick_rx().is_err());
            }
        }
        batch.len() - before
    }

    fn release(&mut self, frame: Frame) {
        self.pool.release(frame);
    }

    fn tx_room(&self) -> usize {
        let room = match &self.lane {
            Some(lane) if lane.takes_frames() => lane.room(),
            _ => self.queues.iter().map(|queue| queue.sending_limit - queue.sending).min().unwrap_or(0),
        };
        room.min(self.pool.available())
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.pool.alloc()
    }

    fn transmit(&mut self, frame: Frame) {
        if frame.area != self.pool.area().id() {
            // Not ours: it goes home when dropped here.
            self.stats.tx_ring_full += 1;
            return;
        }
        let open = self.open_packet.take();
        let at = open.map_or_else(|| self.queue_index(&frame), |open| open.queue);
        let OpenPacket { frames, bytes, .. } = open.unwrap_or(OpenPacket { queue: at, frames: 0, bytes: 0 });
        let (frames, bytes) = (frames + 1, bytes + frame.len());
        let fits = !frame.is_empty()
            && frame.offset() + frame.len() <= self.pool.area().chunk_size()
            && bytes <= self.info.max_packet_len as usize
            && frames <= MAX_FRAMES_PER_PACKET
            && (self.info.multi_buffer || !frame.more());
        if let Some(lane) = self.lane.as_ref().filter(|lane| lane.takes_frames()) {
            if self.refusing || !fits || lane.room() == 0 {
                self.refuse(frame, open);
            } else {
                self.transmit_by_lane(frame, at);
            }
            return;
        }
        let queue = &mut self.queues[at];
        if self.refusing || !fits || queue.sending >= queue.sending_limit || queue.socket.tx.room(1) == 0 {
            return self.refuse(frame, open);
        }
        let more = frame.more();
        let (offset, len) = (frame.offset() as u64, u32::from(frame.len));
        let options = if more { CONTINUED } else { 0 };
        let index = self.pool.transmit(frame);
        let addr = (u64::from(index) << self.chunk_shift) + offset;
        let _ = queue.socket.tx.push(xdp_desc { addr, len, options });
        queue.sending += 1;
        if more {
            self.open_packet = Some(OpenPacket { queue: at, frames, bytes });
        } else {
            self.stats.tx_packets += 1;
            self.stats.tx_bytes += bytes as u64;
        }
    }

    fn flush(&mut self) {
        self.flush_lane();
        for at in 0..self.queues.len() {
            self.send(at);
            self.reclaim(at);
        }
        self.pool.reclaim_orphans();
        for at in 0..self.queues.len() {
            self.fill(at);
        }
        let filled = self.queues.iter().map(|queue| queue.filled).sum();
        let sending: usize = self.queues.iter().map(|queue| queue.sending).sum();
        self.pool.check(filled, sending + self.lane.as_ref().map_or(0, Lane::held));
    }

    fn has_unsent(&self) -> bool {
        self.queues.iter().any(|queue| queue.unsent > 0) || self.lane.as_ref().is_some_and(Lane::is_changing)
    }

    fn wait(&mut self, timeout: Option<Duration>, wake: Option<BorrowedFd<'_>>) -> io::Result<()> {
        // What a kick left on the ring (EBUSY, ENOBUFS) is not announced by anything: it is tried again soon.
        let timeout = if self.has_unsent() {
            Some(timeout.map_or(RETRY_INTERVAL, |t| t.min(RETRY_INTERVAL)))
        } else {
            timeout
        };
        let sockets =
            self.queues.iter().map(|queue| PollFd::from_borrowed_fd(queue.socket.fd(), PollFlags::IN));
        let wake = wake.map(|wake| PollFd::from_borrowed_fd(wake, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = sockets.chain(wake).collect();
        poll_until(&mut fds, timeout)
    }

    fn stats(&self) -> DeviceStats {
        let mut stats = self.stats;
        stats.tx_pumped = self.lane.as_ref().map_or(0, Lane::pumped);
        for kernel in self.queues.iter().filter_map(|queue| queue.socket.statistics().ok()) {
            stats.rx_dropped += kernel.rx_dropped;
            stats.rx_invalid_descs += kernel.rx_invalid_descs;
            stats.rx_ring_full += kernel.rx_ring_full;
            stats.fill_ring_empty += kernel.fill_ring_empty;
            stats.tx_invalid_descs += kernel.tx_invalid_descs;
            stats.tx_ring_empty += kernel.tx_ring_empty;
        }
        stats
    }
}

impl Drop for XdpDevice {
    /// Some NICs stay stuck when a socket closes with packets on their ring.
    fn drop(&mut self) {
        let start = Instant::now();
        let left = |device: &Self| {
            device.queues.iter().any(|queue| queue.sending > 0)
                || device.lane.as_ref().is_some_and(|l| l.held() > 0)
        };
        while left(self) && start.elapsed() < DRAIN_TIMEOUT {
            self.flush_lane();
            for at in 0..self.queues.len() {
                self.send(at);
                self.reclaim(at);
            }
            sleep(Duration::from_micros(200));
        }
    }
}
