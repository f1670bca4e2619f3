//! From records to packets, whatever carries them: frames of PPP are unwrapped on the way, each interface with a link
//! state of its own.

use hashbrown::HashMap;

use crate::layers::{Dissection, dissect};
use crate::ppp::{Carried, Link, Message, Protocol};
use crate::vj::Tossed;
use crate::{Direction, LinkType, Record};

use super::segment::Segment;

/// Links that are remembered; frames of further ones are read without what was before them.
const MOST_LINKS: usize = 64;

/// What a record holds.
pub enum Packet<'a> {
    /// A packet, taken apart, and the bytes that it was in.
    Plain(Dissection<'a>, &'a [u8]),
    /// A frame of PPP that sets a link up, and which way it went.
    Negotiation(Protocol, Message<'a>, Option<Direction>),
    /// A frame of PPP that carries something else.
    Frame(Protocol, Option<Direction>),
    /// A compressed packet that cannot be put together.
    Tossed(Tossed, Option<Direction>),
}

impl<'a> Packet<'a> {
    /// The TCP segment in it, if there is one.
    #[must_use]
    pub fn segment(&self, record: &Record<'_>) -> Option<Segment<'a>> {
        match self {
            Self::Plain(packet, data) => Segment::of(record, packet, data),
            _ => None,
        }
    }
}

/// The state that reading packets needs.
#[derive(Default)]
pub struct Packets {
    links: HashMap<Option<u32>, Link>,
}

impl Packets {
    /// What the next record holds. Records have to come in the order of the capture.
    pub fn read<'a>(&'a mut self, record: &Record<'a>) -> Packet<'a> {
        if !Link::has(record.link) {
            return Packet::Plain(dissect(record.link, record.data), record.data);
        }
        if self.links.len() >= MOST_LINKS && !self.links.contains_key(&record.interface) {
            self.links.clear();
        }
        let link = self.links.entry(record.interface).or_default();
        let Some(frame) = link.unwrap(record) else {
            return Packet::Plain(dissect(record.link, record.data), record.data);
        };
        let (protocol, direction) = (frame.header.protocol, frame.direction);
        match frame.carried {
            Carried::Packet(bytes, _) => Packet::Plain(dissect(LinkType::RAW, bytes), bytes),
            Carried::Tossed(_, why) => Packet::Tossed(why, direction),
            Carried::Other(payload) => match Message::read(protocol, payload) {
                Some(message) => Packet::Negotiation(protocol, message, direction),
                None => Packet::Frame(protocol, direction),
            },
        }
    }
}
