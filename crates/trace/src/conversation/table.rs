//! All conversations of a capture, as many as there is room for. What has been silent longest makes room.

use crate::layers::TcpFlags;
use std::net::SocketAddr;

use hashbrown::HashMap;
use serde::Serialize;

use super::observation::{Marks, Observation};
use super::segment::Segment;
use super::summary::Summary;
use super::track::Conversation;

/// How much a table remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Conversations at a time.
    pub conversations: usize,
    /// Outstanding segments of all conversations together, a hundred bytes each.
    pub segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { conversations: 1 << 16, segments: 1 << 20 }
    }
}

/// What conversations came to that are not remembered one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many.
    pub conversations: u64,
    /// Their packets.
    pub packets: u64,
    /// Their data, bytes.
    pub bytes: u64,
    /// Their retransmissions.
    pub retransmissions: u64,
}

impl Totals {
    /// Adds one.
    pub fn add(&mut self, summary: &Summary) {
        self.conversations += 1;
        self.packets += summary.packets();
        self.bytes += summary.bytes();
        self.retransmissions += summary.retransmissions();
    }
}

/// A pair of ends, whichever is first, seen on an interface: the same packets seen on two interfaces are two
/// conversations, since neither would make sense with the other's mixed in.
type Key = (Option<u32>, SocketAddr, SocketAddr);

const NONE: usize = usize::MAX;

struct Slot {
    key: Key,
    conversation: Conversation,
    /// A SYN that came in the middle, and is the beginning of another connection if it is answered.
    stray: Option<Box<Segment<'static>>>,
    newer: usize,
    older: usize,
}

/// Conversations by their ends.
pub struct Table {
    limits: Limits,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    newest: usize,
    oldest: usize,
    weight: usize,
    begun: u64,
    evicted: u64,
    retired: Vec<Conversation>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

fn key(segment: &Segment<'_>) -> Key {
    let (a, b) = (segment.from, segment.to);
    (segment.interface, a.min(b), a.max(b))
}

impl Table {
    /// A table that remembers so much.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Limits { conversations: limits.conversations.max(1), ..limits },
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            newest: NONE,
            oldest: NONE,
            weight: 0,
            begun: 0,
            evicted: 0,
            retired: Vec::new(),
        }
    }

    /// Takes the next segment of the capture.
    pub fn observe(&mut self, segment: &Segment<'_>) -> Observation {
        self.retired.clear();
        let key = key(segment);
        let index = match self.by_key.get(&key).copied() {
            Some(index) => match self.meeting(index, segment) {
                Meeting::Same => index,
                Meeting::Stray(observation) => return *observation,
                Meeting::Another(opening) => {
                    self.retire(index);
                    let index = self.begin(key, opening.as_deref().unwrap_or(segment), true);
                    if let (Some(opening), Some(Some(slot))) = (opening, self.slots.get_mut(index)) {
                        slot.conversation.observe(&opening);
                    }
                    index
                }
            },
            None => self.begin(key, segment, false),
        };
        self.touch(index);
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            // A slot that was just looked up or made is there.
            return Conversation::new(0, segment).ignored(segment, Marks::empty());
        };
        let before = slot.conversation.weight();
        let observation = slot.conversation.observe(segment);
        self.weight = (self.weight + slot.conversation.weight()).saturating_sub(before);
        while self.weight > self.limits.segments && self.oldest != index && self.oldest != NONE {
            self.evict();
        }
        observation
    }

    /// The conversation of the segment that was taken last, or any other by its number.
    #[must_use]
    pub fn of(&self, segment: &Segment<'_>) -> Option<&Conversation> {
        let index = *self.by_key.get(&key(segment))?;
        self.slots.get(index)?.as_ref().map(|slot| &slot.conversation)
    }

    /// The conversations that the last segment pushed out: over and their ports taken again, or silent longest when
    /// there was no room.
    #[must_use]
    pub fn retired(&self) -> &[Conversation] {
        &self.retired
    }

    /// How many were pushed out for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Those that are remembered, in the order of their numbers.
    #[must_use]
    pub fn conversations(&self) -> Vec<&Conversation> {
        let mut all: Vec<_> = self.slots.iter().flatten().map(|slot| &slot.conversation).collect();
        all.sort_unstable_by_key(|c| c.id);
        all
    }

    /// Whether a segment belongs to the conversation that its ports have now.
    fn meeting(&mut self, index: usize, segment: &Segment<'_>) -> Meeting {
        let Some(Some(slot)) = self.slots.get_mut(index) else { return Meeting::Same };
        if !segment.has(TcpFlags::SYN) || segment.has(TcpFlags::RST) {
            return Meeting::Same;
        }
        let conversation = &slot.conversation;
        let own = &conversation.sides[conversation.end_of(segment.from).index()];
        if own.opening.is_some_and(|opening| opening.seq == segment.seq) {
            return Meeting::Same;
        }
        if segment.has(TcpFlags::ACK) {
            return match slot
                .stray
                .take_if(|stray| stray.seq + 1 == segment.ack || stray.end() == segment.ack)
            {
                Some(stray) => Meeting::Another(Some(stray)),
                None => Meeting::Same,
            };
        }
        // A second SYN of a server that opens at the same time is none of another connection.
        let crossing = own.opening.is_none() && !conversation.from_the_middle && !conversation.shaken;
        if crossing {
            return Meeting::Same;
        }
        if conversation.is_over() || !conversation.shaken && !conversation.from_the_middle {
            return Meeting::Another(None);
        }
        let observation = conversation.ignored(segment, Marks::STRAY_SYN);
        slot.stray = Some(Box::new(Segment { payload: &[], ..*segment }));
        Meeting::Stray(Box::new(observation))
    }

    fn begin(&mut self, key: Key, segment: &Segment<'_>, reuses_ports: bool) -> usize {
        while self.by_key.len() >= self.limits.conversations && self.oldest != NONE {
            self.evict();
        }
        self.begun += 1;
        let mut conversation = Conversation::new(self.begun, segment);
        conversation.reuses_ports = reuses_ports;
        let slot = Some(Slot { key, conversation, stray: None, newer: NONE, older: NONE });
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.by_key.insert(key, index);
        self.link(index);
        index
    }

    fn evict(&mut self) {
        self.evicted += 1;
        self.retire(self.oldest);
    }

    fn retire(&mut self, index: usize) {
        self.unlink(index);
        if let Some(slot) = self.slots.get_mut(index).and_then(Option::take) {
            self.by_key.remove(&slot.key);
            self.free.push(index);
            self.weight = self.weight.saturating_sub(slot.conversation.weight());
            self.retired.push(slot.conversation);
        }
    }

    fn touch(&mut self, index: usize) {
        if self.newest != index {
            self.unlink(index);
            self.link(index);
        }
    }

    fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index).and_then(Option::as_mut)
    }

    fn link(&mut self, index: usize) {
        let newest = std::mem::replace(&mut self.newest, index);
        if let Some(slot) = self.slot(index) {
            (slot.older, slot.newer) = (newest, NONE);
        }
        match self.slot(newest) {
            Some(slot) => slot.newer = index,
            None => self.oldest = index,
        }
    }

    fn unlink(&mut self, index: usize) {
        let Some((older, newer)) = self.slot(index).map(|slot| (slot.older, slot.newer)) else { return };
        match self.slot(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }
}

enum Meeting {
    Same,
    /// It changes nothing yet.
    Stray(Box<Observation>),
    /// Another one begins, with this segment or with an earlier one.
    Another(Option<Box<Segment<'static>>>),
}
