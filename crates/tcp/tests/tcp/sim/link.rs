//! One direction of the network: delay, a rate with a queue before it, and what goes wrong on the way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use bypath_tcp::{Ecn, Instant};
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use super::Rng;

/// A segment under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Vec<u8>,
    pub(crate) ecn: Ecn,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = &self.header;
        let flags: String = h.flags.iter_names().map(|(name, _)| &name[..1]).collect();
        write!(f, "{flags} seq {} +{} ack {} win {}", h.seq.0, self.payload.len(), h.ack.0, h.window)?;
        for block in &self.options.sack {
            write!(f, " [{}..{}]", block.left.0, block.right.0)?;
        }
        Ok(())
    }
}

/// What a direction of the network does.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Bytes a second.
    pub(crate) rate: u64,
    /// Bytes that may wait for their turn; more is dropped.
    pub(crate) queue: u64,
    /// Bytes that may wait before packets that can be marked are.
    pub(crate) mark: u64,
    pub(crate) loss: f64,
    pub(crate) reorder: f64,
    /// Held back until so many later segments, at most, have passed it; or until [`HOLD`] is over.
    pub(crate) overtaken: (f64, u64),
    pub(crate) duplicate: f64,
    /// Drops the n-th, m-th, … segment that carries data (counted from 0), for tests that aim.
    pub(crate) drop_data: Vec<u32>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            rate: 10_000_000,
            queue: 1 << 20,
            mark: u64::MAX,
            loss: 0.0,
            reorder: 0.0,
            overtaken: (0.0, 0),
            duplicate: 0.0,
            drop_data: Vec::new(),
        }
    }
}

/// How long a segment is held back for others to overtake it, when none come.
const HOLD: Duration = Duration::from_millis(2);

/// A path in use.
pub(crate) struct Link {
    path: Path,
    rng: Rng,
    /// When the last byte queued has left.
    busy_until: Instant,
    order: u64,
    data_segments: u32,
    /// Segments with data that did not arrive.
    pub(crate) lost: u64,
    pub(crate) marked: u64,
    /// Most bytes that ever waited.
    pub(crate) longest_queue: u64,
    under_way: BinaryHeap<Reverse<(Instant, u64, PacketBox)>>,
    /// Held back: how many are still to pass, and when it goes on all the same.
    held: Vec<(u64, Instant, Packet)>,
}

/// A packet that takes no part in the order of the heap.
struct PacketBox(Packet);
impl PartialEq for PacketBox {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for PacketBox {}
impl PartialOrd for PacketBox {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for PacketBox {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Link {
    pub(crate) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            rng: Rng(seed),
            busy_until: Instant::ZERO,
            order: 0,
            data_segments: 0,
            lost: 0,
            marked: 0,
            longest_queue: 0,
            under_way: BinaryHeap::new(),
            held: Vec::new(),
        }
    }

    pub(crate) fn next_time(&self) -> Instant {
        let first = self.under_way.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
        self.held.iter().map(|(_, until, _)| *until).fold(first, Instant::min)
    }

    pub(crate) fn send(&mut self, now: Instant, mut packet: Packet) {
        if !packet.payload.is_empty() {
            let nth = self.data_segments;
            self.data_segments += 1;
            if self.path.drop_data.contains(&nth) {
                self.lost += 1;
                return;
            }
        }
        let data = u64::from(!packet.payload.is_empty());
        if self.rng.chance(self.path.loss) {
            self.lost += data;
            return;
        }
        let size = 54 + packet.payload.len() as u64;
        let start = self.busy_until.max(now);
        let waiting = start.nanos_since(now) as u128 * u128::from(self.path.rate) / 1_000_000_000;
        if waiting as u64 + size > self.path.queue {
            self.lost += data;
            return;
        }
        self.longest_queue = self.longest_queue.max(waiting as u64);
        if waiting as u64 > self.path.mark && packet.ecn != Ecn::NotEct {
            packet.ecn = Ecn::Ce;
            self.marked += 1;
        }
        self.busy_until = start.plus_nanos(size * 1_000_000_000 / self.path.rate);
        let mut at = self.busy_until + self.path.delay;
        if self.rng.chance(self.path.reorder) {
            let most = self.path.delay.as_nanos() as u64;
            at = at.plus_nanos(self.rng.range(1, most.max(2)));
        }
        if self.rng.chance(self.path.duplicate) {
            let again = at.plus_nanos(self.rng.range(1, 5_000_000));
            self.push(again, packet.clone());
        }
        let (probability, most) = self.path.overtaken;
        if most > 0 && self.rng.chance(probability) {
            let by = self.rng.range(1, most + 1);
            self.held.push((by, at + HOLD, packet));
            return;
        }
        self.push(at, packet);
        for held in &mut self.held {
            held.0 -= 1;
        }
        while let Some(i) = self.held.iter().position(|held| held.0 == 0) {
            let (_, _, packet) = self.held.remove(i);
            self.push(at, packet);
        }
    }

    fn push(&mut self, at: Instant, packet: Packet) {
        self.order += 1;
        self.under_way.push(Reverse((at, self.order, PacketBox(packet))));
    }

    pub(crate) fn arrival(&mut self, now: Instant) -> Option<Packet> {
        if self.next_time() > now {
            return None;
        }
        while let Some(i) = self.held.iter().position(|(_, until, _)| *until <= now) {
            let (_, until, packet) = self.held.remove(i);
            self.push(until, packet);
        }
        self.under_way.pop().map(|Reverse((_, _, packet))| packet.0)
    }
}

impl Packet {
    pub(crate) fn has(&self, flags: TcpFlags) -> bool {
        self.header.flags.contains(flags)
    }
}
