//! One PPP link: a state for each direction that turns its frames into the packets they carry.

use crate::record::{Direction, LinkType, Record};
use crate::vj::{Ends, Expander, Kind, Tossed};

use super::{Header, Protocol};

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An IPv4 or IPv6 packet; of [`Kind::Ip`] as it is in the frame, else put together from it.
    Packet(&'a [u8], Kind),
    /// A compressed packet that could not be put together, and why.
    Tossed(Kind, Tossed),
    /// Something else: the payload after the protocol field, for [`Message::read`](super::Message::read) for one.
    Other(&'a [u8]),
}

/// A frame, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwrapped<'a> {
    /// Which way it went, where that is known.
    pub direction: Option<Direction>,
    /// The whole frame, from its address or protocol field on.
    pub frame: &'a [u8],
    /// The fields before the payload.
    pub header: Header,
    /// What is in it.
    pub carried: Carried<'a>,
}

/// The state of one link: what has to be remembered of the frames of each direction to read the next ones.
///
/// Without directions, which some captures do not have, it finds out by addresses and checksums whose a frame is.
#[derive(Debug, Default)]
pub struct Link {
    sent: Expander,
    received: Expander,
    packet: Vec<u8>,
}

impl Link {
    /// A link that has carried nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether records of this link type are frames of PPP.
    #[must_use]
    pub fn has(link: LinkType) -> bool {
        matches!(link, LinkType::PPP | LinkType::PPP_HDLC | LinkType::PPP_WITH_DIRECTION)
    }

    /// Reads the frame of a record; nothing if the record is none of PPP, or too short to be one.
    ///
    /// Every record of the link has to pass here, in order: frames that are skipped are lost ones.
    pub fn unwrap<'a>(&'a mut self, record: &Record<'a>) -> Option<Unwrapped<'a>> {
        let (direction, frame) = match (record.link, record.data) {
            (LinkType::PPP | LinkType::PPP_HDLC, frame) => (record.direction, frame),
            (LinkType::PPP_WITH_DIRECTION, [0, frame @ ..]) => (Some(Direction::In), frame),
            (LinkType::PPP_WITH_DIRECTION, [_, frame @ ..]) => (Some(Direction::Out), frame),
            _ => return None,
        };
        self.unwrap_frame(direction, frame, record.missing())
    }

    /// The same for a frame from elsewhere. `missing` is how many bytes of its end were cut off.
    pub fn unwrap_frame<'a>(
        &'a mut self,
        direction: Option<Direction>,
        frame: &'a [u8],
        missing: usize,
    ) -> Option<Unwrapped<'a>> {
        let Some((header, payload)) = Header::parse(frame) else {
            self.lost(direction);
            return None;
        };
        let kind = match header.protocol {
            Protocol::IP | Protocol::IPV6 => Kind::Ip,
            Protocol::VJ_UNCOMPRESSED => Kind::UncompressedTcp,
            Protocol::VJ_COMPRESSED => Kind::CompressedTcp,
            _ => return Some(Unwrapped { direction, frame, header, carried: Carried::Other(payload) }),
        };
        if kind == Kind::Ip {
            return Some(Unwrapped { direction, frame, header, carried: Carried::Packet(payload, kind) });
        }
        let half = match direction {
            Some(Direction::Out) => &mut self.sent,
            Some(Direction::In) => &mut self.received,
            None if self.belongs_to_received(kind, payload, missing) => &mut self.received,
            None => &mut self.sent,
        };
        let carried = match half.expand(kind, payload, missing, &mut self.packet) {
            Ok(()) => Carried::Packet(&self.packet, kind),
            Err(tossed) => Carried::Tossed(kind, tossed),
        };
        Some(Unwrapped { direction, frame, header, carried })
    }

    /// Tells that frames are missing before the next one, of one direction or of both.
    pub fn lost(&mut self, direction: Option<Direction>) {
        if direction != Some(Direction::In) {
            self.sent.lost();
        }
        if direction != Some(Direction::Out) {
            self.received.lost();
        }
    }

    /// Whose a frame is that does not tell: the first full packet's direction is called sent, and the rest follows.
    fn belongs_to_received(&self, kind: Kind, payload: &[u8], missing: usize) -> bool {
        if kind == Kind::CompressedTcp {
            return !self.sent.continues(payload, missing) && self.received.continues(payload, missing);
        }
        let Some((source, destination)) = Expander::ends_of(payload) else { return false };
        let same = |from: Ends, to: Ends| (from, to) == (source, destination);
        let reversed = |from: Ends, to: Ends| (to, from) == (source, destination);
        let same_host = |from: Ends, _: Ends| from.0 == source.0;
        let reversed_host = |_: Ends, to: Ends| to.0 == source.0;
        if self.sent.any(same) || self.received.any(reversed) {
            return false;
        }
        if self.received.any(same) || self.sent.any(reversed) {
            return true;
        }
        if self.sent.any(same_host) || self.received.any(reversed_host) {
            return false;
        }
        self.received.any(same_host) || self.sent.any(reversed_host)
    }
}

/// The links of a capture, one for each of its interfaces.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<(u32, Link)>,
}

impl Links {
    /// Interfaces that are kept apart. Captures have few; those beyond these share the last one's link.
    const MOST: usize = 64;

    /// The link of an interface.
    pub fn of(&mut self, interface: u32) -> &mut Link {
        let known = self.links.iter().position(|(of, _)| *of == interface);
        let place = known.unwrap_or_else(|| {
            if self.links.len() < Self::MOST {
                self.links.push((interface, Link::new()));
            }
            self.links.len() - 1
        });
        &mut self.links[place].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet from port 1000 of 10.0.0.x to port 2000 of 10.0.0.y, in the middle of its connection.
    fn packet(from: u8, to: u8, id: u8, seq: u8, data: &[u8]) -> Vec<u8> {
        use bypath_wire::checksum::{Sum, pseudo_header_v4};
        let (ports, back) = ([0x03, 0xe8, 0x07, 0xd0], [0x07, 0xd0, 0x03, 0xe8]);
        let mut tcp = if from < to { ports } else { back }.to_vec();
        tcp.extend([0, 0, 0, seq, 0, 0, 0, 9, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0]);
        tcp.extend(data);
        let pseudo = pseudo_header_v4([10, 0, 0, from].into(), [10, 0, 0, to].into(), 6, tcp.len() as u32);
        let sum = pseudo.add(Sum::of(&tcp)).finish();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let total = 20 + tcp.len() as u8;
        let mut ip = vec![0x45, 0, 0, total, 0, id, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
        let sum = Sum::of(&ip).finish();
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend(tcp);
        ip
    }

    fn frame(compressor: &mut crate::vj::Compressor, packet: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let protocol = match compressor.compress(packet, &mut payload) {
            Kind::Ip => 0x21,
            Kind::UncompressedTcp => 0x2f,
            Kind::CompressedTcp => 0x2d,
        };
        [&[0xff, 0x03, 0, protocol], &payload[..]].concat()
    }

    #[test]
    fn both_directions_are_read_without_being_told_apart() {
        let (mut there, mut back) = (crate::vj::Compressor::new(4), crate::vj::Compressor::new(4));
        let mut link = Link::new();
        for turn in 0..6 {
            let sent = packet(1, 2, turn, 10 + turn, b"?");
            let received = packet(2, 1, 100 + turn, 20 + turn, b"!");
            for (compressor, packet) in [(&mut there, sent), (&mut back, received)] {
                let frame = frame(compressor, &packet);
                assert_eq!(frame[3] == 0x2d, turn > 0);
                let unwrapped = link.unwrap_frame(None, &frame, 0).unwrap();
                assert!(matches!(unwrapped.carried, Carried::Packet(is, _) if is == packet), "{unwrapped:?}");
            }
        }
    }

    #[test]
    fn directions_have_states_of_their_own() {
        let (mut there, mut back) = (crate::vj::Compressor::new(4), crate::vj::Compressor::new(4));
        let mut link = Link::new();
        for turn in 0..3 {
            let sent = packet(1, 2, turn, turn, b"?");
            let received = packet(2, 1, turn, turn, b"!");
            let frames = [frame(&mut there, &sent), frame(&mut back, &received)];
            let unwrapped = link.unwrap_frame(Some(Direction::Out), &frames[0], 0).unwrap();
            assert!(matches!(unwrapped.carried, Carried::Packet(is, _) if is == sent));
            if turn == 1 {
                link.lost(Some(Direction::In));
            }
            let unwrapped = link.unwrap_frame(Some(Direction::In), &frames[1], 0).unwrap();
            match unwrapped.carried {
                Carried::Packet(is, _) => assert!(turn == 0 && is == received),
                Carried::Tossed(kind, Tossed::Unnamed) => assert!(turn > 0 && kind == Kind::CompressedTcp),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_direction_byte_is_read_and_taken_off() {
        let mut link = Link::new();
        let mut unwrap = |link_type: LinkType, data: &[u8]| {
            let record = Record {
                number: 1,
                time: crate::Timestamp(0),
                link: link_type,
                original_len: data.len() as u32,
                data,
                ..Record::default()
            };
            link.unwrap(&record).map(|unwrapped| (unwrapped.direction, unwrapped.header.protocol))
        };
        let with = LinkType::PPP_WITH_DIRECTION;
        assert_eq!(unwrap(with, &[0, 0xc0, 0x21]), Some((Some(Direction::In), Protocol::LCP)));
        assert_eq!(unwrap(with, &[1, 0xc0, 0x21]), Some((Some(Direction::Out), Protocol::LCP)));
        assert_eq!(unwrap(LinkType::PPP, &[0xff, 3, 0xc0, 0x21]), Some((None, Protocol::LCP)));
        assert_eq!(unwrap(with, &[1]), None);
        assert_eq!(unwrap(with, &[]), None);
        assert_eq!(unwrap(LinkType::ETHERNET, &[0xff, 3, 0xc0, 0x21]), None);
    }
}
