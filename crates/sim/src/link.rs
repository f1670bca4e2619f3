//! One direction of a link: a queue before a rate, a delay, and what goes wrong on the way. A packet's fate is
//! decided when it is offered; what comes of it are arrivals at times to come.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Packet;
use crate::loss::{Loss, LossState};
use crate::packet::{Medium, mark_congestion};
use crate::rng::Rng;

/// What may wait for a link's turn. More is dropped at the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many packets.
    Packets(u32),
    /// So many bytes.
    Bytes(u64),
}

/// What a link does.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// Bits a second; 0: without limit, and without a queue.
    pub rate: u64,
    /// Propagation time.
    pub delay: Duration,
    /// Up to this much is added to the delay of each packet, evenly spread. Their order stays.
    pub jitter: Duration,
    /// What may wait.
    pub queue: Queue,
    /// How packets are lost.
    pub loss: Loss,
    /// Probability that a packet is overtaken.
    pub reorder: f64,
    /// By how many later ones.
    pub reorder_depth: u32,
    /// How long it is held back at most, when too few follow.
    pub reorder_hold: Duration,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a byte of a packet is changed.
    pub corrupt: f64,
    /// Largest IP packet that passes, bytes.
    pub mtu: u32,
    /// From these times on, another MTU; ascending.
    pub mtu_changes: Vec<(Duration, u32)>,
    /// Tell the sender of a packet that is too big (ICMP), or swallow it silently.
    pub tells_too_big: bool,
    /// From when until when nothing passes; ascending.
    pub flaps: Vec<(Duration, Duration)>,
    /// Packets that say they understand get congestion marks when this many bytes wait.
    pub mark_above: Option<u64>,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            rate: 100_000_000,
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            queue: Queue::Packets(1_000),
            loss: Loss::None,
            reorder: 0.0,
            reorder_depth: 3,
            reorder_hold: Duration::from_millis(20),
            duplicate: 0.0,
            corrupt: 0.0,
            mtu: 65_535,
            mtu_changes: Vec::new(),
            tells_too_big: true,
            flaps: Vec::new(),
            mark_above: None,
        }
    }
}

/// What a link has done.
///
/// Conservation: `offered + duplicated == lost + queue_full + down + too_big + delivered + held`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets offered.
    pub offered: u64,
    /// Bytes offered.
    pub offered_bytes: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped while the link was down.
    pub down: u64,
    /// Dropped for being longer than the MTU.
    pub too_big: u64,
    /// Made by doubling others.
    pub duplicated: u64,
    /// Changed on the way.
    pub corrupted: u64,
    /// Overtaken by others.
    pub reordered: u64,
    /// Marked.
    pub marked: u64,
    /// Gone to the other end.
    pub delivered: u64,
    /// Held back to be overtaken.
    pub held: u64,
    /// Most bytes that waited.
    pub peak_queue: u64,
}

struct Held {
    packet: Packet,
    overtakers: u32,
    latest: u64,
}

/// A link in use.
pub(crate) struct Link {
    spec: LinkSpec,
    medium: Medium,
    rng: Rng,
    loss: LossState,
    busy_until: u64,
    last_arrival: u64,
    /// When each packet that waits will have left, and its size.
    waiting: VecDeque<(u64, u32)>,
    waiting_bytes: u64,
    held: Vec<Held>,
    pub(crate) stats: LinkStats,
}

/// What became of a packet besides arrivals.
pub(crate) enum Fate {
    Passed,
    /// Does not fit `mtu`; the sender is to be told.
    TooBig(Packet, u32),
    /// Held back; the link must be asked again at this time.
    Held(u64),
}

impl Link {
    pub(crate) fn new(spec: LinkSpec, medium: Medium, seed: u64) -> Self {
        Self {
            loss: LossState::new(spec.loss.clone()),
            spec,
            medium,
            rng: Rng::new(seed),
            busy_until: 0,
            last_arrival: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held: Vec::new(),
            stats: LinkStats::default(),
        }
    }

    fn mtu(&self, now: u64) -> u32 {
        let since = self.spec.mtu_changes.iter().take_while(|(at, _)| nanos(*at) <= now).last();
        since.map_or(self.spec.mtu, |(_, mtu)| *mtu)
    }

    fn is_down(&self, now: u64) -> bool {
        self.spec.flaps.iter().any(|(from, to)| (nanos(*from)..nanos(*to)).contains(&now))
    }

    /// Takes a packet; `arrive` gets times and packets of what comes out at the other
    /// end, one hop further.
    pub(crate) fn offer(
        &mut self,
        now: u64,
        mut packet: Packet,
        arrive: &mut impl FnMut(u64, Packet),
    ) -> Fate {
        packet.hops += 1;
        let len = packet.bytes.len();
        self.stats.offered += 1;
        self.stats.offered_bytes += len as u64;
        // Address resolution has no checksum and few retries: it is left alone, as on most real wires.
        let spared = self.medium.is_resolution(&packet.bytes);
        if self.is_down(now) {
            self.stats.down += 1;
            return Fate::Passed;
        }
        let mtu = self.mtu(now);
        if len - self.medium.header_len() > mtu as usize {
            self.stats.too_big += 1;
            return if self.spec.tells_too_big { Fate::TooBig(packet, mtu) } else { Fate::Passed };
        }
        if !spared && self.loss.loses(now, len, &mut self.rng) {
            self.stats.lost += 1;
            return Fate::Passed;
        }
        if !self.enqueue(now, &mut packet.bytes) {
            self.stats.queue_full += 1;
            return Fate::Passed;
        }
        if !spared && self.rng.chance(self.spec.corrupt) {
            let at = self.rng.between(self.medium.header_len() as u64, len as u64 - 1) as usize;
            packet.bytes[at] ^= self.rng.between(1, 254) as u8;
            self.stats.corrupted += 1;
        }
        if !spared && self.rng.chance(self.spec.reorder) {
            self.stats.reordered += 1;
            self.stats.held += 1;
            let latest = self.busy_until.max(now) + nanos(self.spec.delay) + nanos(self.spec.reorder_hold);
            self.held.push(Held { packet, overtakers: self.spec.reorder_depth.max(1), latest });
            return Fate::Held(latest);
        }
        let jitter = match nanos(self.spec.jitter) {
            0 => 0,
            most => self.rng.between(0, most),
        };
        let at = (self.busy_until.max(now) + nanos(self.spec.delay) + jitter).max(self.last_arrival);
        self.last_arrival = at;
        if !spared && self.rng.chance(self.spec.duplicate) {
            self.stats.duplicated += 1;
            self.stats.delivered += 1;
            let again = at + self.rng.between(0, 2_000_000);
            arrive(again, packet.clone());
        }
        self.stats.delivered += 1;
        arrive(at, packet);
        self.overtake(at, arrive);
        Fate::Passed
    }

    /// Waits for the packet's turn, on paper. `false`: no room.
    fn enqueue(&mut self, now: u64, bytes: &mut [u8]) -> bool {
        if self.spec.rate == 0 {
            return true;
        }
        while let Some(&(left, size)) = self.waiting.front()
            && left <= now
        {
            self.waiting.pop_front();
            self.waiting_bytes -= u64::from(size);
        }
        let size = bytes.len() as u64;
        let full = match self.spec.queue {
            // The one being sent does not wait.
            Queue::Packets(n) => self.waiting.len() > n as usize,
            Queue::Bytes(n) => !self.waiting.is_empty() && self.waiting_bytes + size > n,
        };
        if full {
            return false;
        }
        if self.spec.mark_above.is_some_and(|limit| self.waiting_bytes > limit)
            && mark_congestion(self.medium, bytes)
        {
            self.stats.marked += 1;
        }
        self.waiting_bytes += size;
        self.stats.peak_queue = self.stats.peak_queue.max(self.waiting_bytes);
        let takes = size * 8 * 1_000_000_000 / self.spec.rate;
        self.busy_until = self.busy_until.max(now) + takes.max(1);
        self.waiting.push_back((self.busy_until, size as u32));
        true
    }

    /// A packet has passed those that are held back.
    fn overtake(&mut self, at: u64, arrive: &mut impl FnMut(u64, Packet)) {
        let mut i = 0;
        while let Some(held) = self.held.get_mut(i) {
            held.overtakers -= 1;
            if held.overtakers == 0 {
                let held = self.held.remove(i);
                self.stats.held -= 1;
                self.stats.delivered += 1;
                arrive(at + 1, held.packet);
            } else {
                i += 1;
            }
        }
    }

    /// Lets go of what has been held back long enough.
    pub(crate) fn release(&mut self, now: u64, arrive: &mut impl FnMut(u64, Packet)) {
        let mut i = 0;
        while let Some(held) = self.held.get(i) {
            if held.latest <= now {
                let held = self.held.remove(i);
                self.stats.held -= 1;
                self.stats.delivered += 1;
                arrive(now, held.packet);
            } else {
                i += 1;
            }
        }
    }

    /// Whether every packet is accounted for.
    pub(crate) fn is_conserved(&self) -> bool {
        let s = &self.stats;
        s.held == self.held.len() as u64
            && s.offered + s.duplicated == s.lost + s.queue_full + s.down + s.too_big + s.delivered + s.held
    }
}

pub(crate) fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
