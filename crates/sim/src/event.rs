//! What happens next: a queue of events by virtual time, first come first served at the same nanosecond.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Which path it takes.
    pub(crate) path: u32,
    /// Links of the path that it has passed.
    pub(crate) hops: u32,
    /// From the link header, or the IP header, on.
    pub(crate) bytes: Vec<u8>,
}

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A packet arrives at the next link of its path, or at its host.
    Packet(Packet),
    /// A host's timer.
    Host(u32),
    /// An application's pause is over.
    Endpoint(u32),
    /// A host accepts again.
    Accept(u32),
    /// A link lets go of what it has held back.
    Link(u32),
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Entry>,
    order: u64,
    packets: u64,
}

impl Events {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.packets += u64::from(matches!(event, Event::Packet(_)));
        self.heap.push(Entry { at, order: self.order, event });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let entry = self.heap.pop()?;
        self.packets -= u64::from(matches!(entry.event, Event::Packet(_)));
        Some((entry.at, entry.event))
    }

    /// When the next event is.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|e| e.at)
    }

    /// The next event, if it is a packet's, at that time.
    pub(crate) fn next_is_packet_at(&self, at: u64) -> bool {
        self.heap.peek().is_some_and(|e| e.at == at && matches!(e.event, Event::Packet(_)))
    }

    /// Packets that are in the queue.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }
}
