//! One direction of the in-memory wire: a link with rate and queue, a flight with delay, and chance.
//!
//! A packet passes three stages: it waits for the *link* (when a rate is set), then it is in *flight*
//! (when a delay is set), then it is *ready* for the receiver. All chance comes from one seeded
//! generator and all time from the caller, so the same seed and the same calls give the same packets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// What a wire does to packets in one direction. The default does nothing but carry them.
#[derive(Debug, Clone, PartialEq)]
pub struct Impairments {
    /// Seeds every decision.
    pub seed: u64,
    /// Probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a packet is overtaken by later ones, 0 to 1.
    pub reorder: f64,
    /// How many later packets overtake a reordered one.
    pub reorder_by: u32,
    /// How long a reordered packet is held back at most, when too few follow it.
    pub reorder_hold: Duration,
    /// Probability that a packet arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Probability that one bit of a packet is flipped, 0 to 1.
    pub corrupt: f64,
    /// Propagation time.
    pub delay: Duration,
    /// Bits per second on the wire; `None` is as fast as memory.
    pub rate: Option<u64>,
    /// Packets that wait for the link, or for the receiver, before further ones are dropped.
    pub queue_limit: usize,
}

impl Default for Impairments {
    fn default() -> Self {
        Impairments {
            seed: 1,
            loss: 0.0,
            reorder: 0.0,
            reorder_by: 3,
            reorder_hold: Duration::from_millis(1),
            duplicate: 0.0,
            corrupt: 0.0,
            delay: Duration::ZERO,
            rate: None,
            queue_limit: 4096,
        }
    }
}

impl Impairments {
    /// A wire that carries every packet at once.
    pub fn none() -> Self {
        Impairments::default()
    }

    /// True when some effect needs a clock.
    pub(crate) fn needs_clock(&self) -> bool {
        !self.delay.is_zero() || self.rate.is_some() || self.reorder > 0.0
    }
}

/// What one direction has done so far.
///
/// Conservation: `sent + duplicated == delivered + lost + queue_drops + in_flight`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireStats {
    /// Packets put on the wire.
    pub sent: u64,
    /// Packets taken off it by the receiver.
    pub delivered: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Packets dropped because a queue was full.
    pub queue_drops: u64,
    /// Copies added.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets held back to be overtaken.
    pub reordered: u64,
    /// Packets on the wire now.
    pub in_flight: u64,
}

/// A packet in flight, ordered by arrival, then by departure.
type Flying = Reverse<(Duration, u64, Vec<u8>)>;

/// A packet held back until enough others have passed or its time is up.
#[derive(Debug)]
struct Held {
    until_serial: u64,
    until: Duration,
    packet: Vec<u8>,
}

/// One direction of a wire. Packets go in by [`send`](Wire::send) and come out by [`take`](Wire::take).
#[derive(Debug)]
pub(crate) struct Wire {
    settings: Impairments,
    random: Xoshiro256PlusPlus,
    link: VecDeque<(Duration, Vec<u8>)>,
    link_free: Duration,
    held: Vec<Held>,
    flight: BinaryHeap<Flying>,
    ready: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    serial: u64,
    stats: WireStats,
}

/// Buffers kept for reuse; beyond this they are freed.
const SPARE_BUFFERS: usize = 4096;

impl Wire {
    pub(crate) fn new(settings: Impairments) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(settings.seed);
        Wire {
            settings,
            random,
            link: VecDeque::new(),
            link_free: Duration::ZERO,
            held: Vec::new(),
            flight: BinaryHeap::new(),
            ready: VecDeque::new(),
            spare: Vec::new(),
            serial: 0,
            stats: WireStats::default(),
        }
    }

    /// An empty buffer to assemble a packet in.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Returns a buffer for reuse.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Puts a packet on the wire at `now`.
    pub(crate) fn send(&mut self, now: Duration, mut packet: Vec<u8>) {
        self.advance(now);
        self.stats.sent += 1;
        if self.chance(self.settings.loss) {
            self.stats.lost += 1;
            self.recycle(packet);
            return;
        }
        if self.chance(self.settings.corrupt) && !packet.is_empty() {
            self.stats.corrupted += 1;
            let bit = self.random.next_u64() % (packet.len() as u64 * 8);
            packet[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        if self.chance(self.settings.duplicate) {
            self.stats.duplicated += 1;
            let mut copy = self.buffer();
            copy.extend_from_slice(&packet);
            self.enqueue(now, copy);
        }
        self.enqueue(now, packet);
        self.advance(now);
    }

    /// Moves everything on whose time has come.
    pub(crate) fn advance(&mut self, now: Duration) {
        while self.link.front().is_some_and(|(departs, _)| *departs <= now) {
            if let Some((departs, packet)) = self.link.pop_front() {
                self.depart(departs, packet);
            }
        }
        self.let_go_of_held(now);
        while self.flight.peek().is_some_and(|Reverse((arrives, ..))| *arrives <= now) {
            if let Some(Reverse((_, _, packet))) = self.flight.pop() {
                if self.ready.len() < self.settings.queue_limit {
                    self.ready.push_back(packet);
                } else {
                    self.drop_full(packet);
                }
            }
        }
    }

    /// The next packet that has arrived, if it passes `fits`.
    pub(crate) fn take(&mut self, fits: impl FnOnce(usize) -> bool) -> Option<Vec<u8>> {
        if !fits(self.ready.front()?.len()) {
            return None;
        }
        self.stats.delivered += 1;
        self.ready.pop_front()
    }

    /// True when a packet has arrived.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When something on this wire moves next by time alone.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        let departs = self.link.front().map(|(at, _)| *at);
        let arrives = self.flight.peek().map(|Reverse((at, ..))| *at);
        let held = self.held.iter().map(|held| held.until).min();
        [departs, arrives, held].into_iter().flatten().min()
    }

    pub(crate) fn stats(&self) -> WireStats {
        let in_flight = self.link.len() + self.held.len() + self.flight.len() + self.ready.len();
        WireStats { in_flight: in_flight as u64, ..self.stats }
    }

    pub(crate) fn settings(&self) -> &Impairments {
        &self.settings
    }

    fn enqueue(&mut self, now: Duration, packet: Vec<u8>) {
        match self.settings.rate {
            None => self.depart(now, packet),
            Some(_) if self.link.len() >= self.settings.queue_limit => self.drop_full(packet),
            Some(rate) => {
                let bits = packet.len() as u128 * 8;
                let nanos = bits * 1_000_000_000 / u128::from(rate.max(1));
                let on_wire = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                self.link_free = self.link_free.max(now).saturating_add(on_wire);
                self.link.push_back((self.link_free, packet));
            }
        }
    }

    fn depart(&mut self, at: Duration, packet: Vec<u8>) {
        self.serial += 1;
        if self.chance(self.settings.reorder) {
            self.stats.reordered += 1;
            self.held.push(Held {
                until_serial: self.serial + u64::from(self.settings.reorder_by),
                until: at.saturating_add(self.settings.reorder_hold),
                packet,
            });
        } else {
            self.fly(at, self.serial, packet);
        }
        self.let_go_of_held(at);
    }

    fn fly(&mut self, departs: Duration, order: u64, packet: Vec<u8>) {
        let arrives = departs.saturating_add(self.settings.delay);
        self.flight.push(Reverse((arrives, order, packet)));
    }

    fn let_go_of_held(&mut self, now: Duration) {
        let mut at = 0;
        while at < self.held.len() {
            if self.held[at].until_serial <= self.serial || self.held[at].until <= now {
                let held = self.held.remove(at);
                // Behind the packets that have passed it, ahead of the next one.
                self.fly(now.min(held.until), self.serial, held.packet);
            } else {
                at += 1;
            }
        }
    }

    fn drop_full(&mut self, packet: Vec<u8>) {
        self.stats.queue_drops += 1;
        self.recycle(packet);
    }

    /// Draws only for effects that are on, so that switching one on does not disturb the others' absence.
    fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // 53 bits, the precision of an f64 below one.
        let draw = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        draw < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drain(wire: &mut Wire, now: Duration) -> Vec<u8> {
        wire.advance(now);
        std::iter::from_fn(|| wire.take(|_| true)).map(|packet| packet[0]).collect()
    }

    fn send_all(wire: &mut Wire, now: Duration, packets: std::ops::Range<u8>) {
        for tag in packets {
            wire.send(now, vec![tag; 125]);
        }
    }

    #[test]
    fn a_plain_wire_delivers_at_once_and_in_order() {
        let mut wire = Wire::new(Impairments::none());
        send_all(&mut wire, Duration::ZERO, 0..5);
        assert_eq!(drain(&mut wire, Duration::ZERO), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn delay_holds_every_packet_exactly_that_long() {
        let mut wire = Wire::new(Impairments { delay: 5 * MS, ..Impairments::none() });
        send_all(&mut wire, MS, 0..2);
        assert_eq!(wire.next_event(), Some(6 * MS));
        assert!(drain(&mut wire, Duration::from_micros(5999)).is_empty());
        assert_eq!(drain(&mut wire, 6 * MS), [0, 1]);
    }

    #[test]
    fn rate_spaces_packets_by_their_length() {
        // 125 bytes at 1 Mbit/s take a millisecond.
        let mut wire = Wire::new(Impairments { rate: Some(1_000_000), ..Impairments::none() });
        send_all(&mut wire, Duration::ZERO, 0..3);
        assert!(drain(&mut wire, Duration::from_micros(999)).is_empty());
        assert_eq!(drain(&mut wire, MS), [0]);
        assert_eq!(drain(&mut wire, 3 * MS), [1, 2]);
    }

    #[test]
    fn the_queue_before_the_link_drops_its_tail() {
        let slow = Impairments { rate: Some(1_000_000), queue_limit: 2, ..Impairments::none() };
        let mut wire = Wire::new(slow);
        send_all(&mut wire, Duration::ZERO, 0..4);
        assert_eq!(wire.stats().queue_drops, 2);
        assert_eq!(drain(&mut wire, Duration::from_secs(1)), [0, 1]);
    }

    #[test]
    fn a_receiver_that_does_not_look_loses_beyond_the_limit() {
        let mut wire = Wire::new(Impairments { queue_limit: 3, ..Impairments::none() });
        send_all(&mut wire, Duration::ZERO, 0..5);
        assert_eq!(wire.stats().queue_drops, 2);
        assert_eq!(drain(&mut wire, Duration::ZERO), [0, 1, 2]);
    }

    #[test]
    fn a_reordered_packet_is_overtaken_by_as_many_as_asked() {
        let mut wire = Wire::new(Impairments { reorder: 1.0, reorder_by: 2, ..Impairments::none() });
        wire.send(Duration::ZERO, vec![9; 10]);
        wire.settings.reorder = 0.0;
        send_all(&mut wire, Duration::ZERO, 0..4);
        assert_eq!(drain(&mut wire, Duration::ZERO), [0, 1, 9, 2, 3]);
    }

    #[test]
    fn a_reordered_packet_that_nobody_follows_arrives_in_the_end() {
        let mut wire = Wire::new(Impairments { reorder: 1.0, ..Impairments::none() });
        wire.send(Duration::ZERO, vec![9; 10]);
        assert!(drain(&mut wire, Duration::ZERO).is_empty());
        assert_eq!(wire.next_event(), Some(MS));
        assert_eq!(drain(&mut wire, MS), [9]);
    }

    #[test]
    fn corruption_flips_one_bit() {
        let mut wire = Wire::new(Impairments { corrupt: 1.0, ..Impairments::none() });
        wire.send(Duration::ZERO, vec![0; 64]);
        let packet = wire.take(|_| true).expect("delivered");
        assert_eq!(packet.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }

    #[test]
    fn loss_comes_near_its_probability() {
        let mut wire = Wire::new(Impairments { loss: 0.1, seed: 7, ..Impairments::none() });
        for _ in 0..10_000 {
            wire.send(Duration::ZERO, vec![0; 10]);
            let _ = wire.take(|_| true);
        }
        assert!((900..1100).contains(&wire.stats().lost), "{:?}", wire.stats());
    }
}
