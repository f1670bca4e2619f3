//! The sending side: packets to frames (RFC 1144 §3.2.3).

use std::ops::RangeInclusive;

use bypath_wire::ip::protocol;

use super::Kind;
use super::headers::{Headers, flag};
use super::mask;

/// How many slots there can be: their numbers are one byte.
const SLOTS: RangeInclusive<usize> = 1..=256;

/// Compresses the packets of one direction of a link.
///
/// What it sends restores every bit: a packet that an expander would give back otherwise, for a wrong IP checksum or odd
/// bits in the TCP header, is sent in full.
pub struct Compressor {
    slots: Vec<Option<Headers>>,
    /// Slot numbers, the most recently used first.
    recent: Vec<u8>,
    /// The slot of the last frame that named one.
    last: Option<u8>,
    omits_slots: bool,
}

impl Compressor {
    /// A compressor with so many slots, at least 1 and at most 256. It leaves the slot number out where it may.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let slots = slots.clamp(*SLOTS.start(), *SLOTS.end());
        // At most 255.
        let recent = (0..slots).map(|slot| slot as u8).collect();
        Self { slots: vec![None; slots], recent, last: None, omits_slots: true }
    }

    /// The same, with the slot number in every frame, as peers ask for that cannot tell when a frame is lost.
    #[must_use]
    pub fn naming_every_slot(mut self) -> Self {
        self.omits_slots = false;
        self
    }

    /// Writes the frame for `packet` to `frame`, whose former content goes, and tells what kind it is.
    pub fn compress(&mut self, packet: &[u8], frame: &mut Vec<u8>) -> Kind {
        frame.clear();
        let Some(headers) = compressible(packet) else {
            frame.extend_from_slice(packet);
            return Kind::Ip;
        };
        let data = &packet[headers.len()..];
        let (slot, last) = self.find(&headers);
        let short = last.as_ref().and_then(|last| changes(last, &headers));
        let kind = match short {
            Some((mut mask, deltas)) => {
                let named = !self.omits_slots || self.last != Some(slot);
                if named {
                    mask |= mask::SLOT;
                }
                frame.push(mask);
                if named {
                    frame.push(slot);
                }
                frame.extend_from_slice(&headers.tcp_checksum().to_be_bytes());
                frame.extend_from_slice(deltas.bytes());
                frame.extend_from_slice(data);
                Kind::CompressedTcp
            }
            None => {
                frame.extend_from_slice(packet);
                frame[9] = slot;
                Kind::UncompressedTcp
            }
        };
        self.last = Some(slot);
        self.slots[usize::from(slot)] = Some(headers);
        kind
    }

    /// The slot of the packet's connection, now the most recent, and what is remembered there; else the slot that was
    /// not used for longest.
    fn find(&mut self, headers: &Headers) -> (u8, Option<Headers>) {
        let remembered = |slot: &u8| {
            self.slots[usize::from(*slot)].as_ref().is_some_and(|last| last.same_connection(headers))
        };
        let found = self.recent.iter().position(remembered);
        let place = found.unwrap_or(self.recent.len() - 1);
        self.recent[..=place].rotate_right(1);
        let slot = self.recent[0];
        (slot, found.and(self.slots[usize::from(slot)].take()))
    }
}

/// The headers of a packet that has a place in the compression: TCP in one piece, in the middle of its connection, as long
/// as it says (RFC 1144 §3.2.3, the first tests).
fn compressible(packet: &[u8]) -> Option<Headers> {
    let headers = Headers::read(packet)?;
    let fragment = headers.fragment() & 0x3fff != 0;
    let flags = headers.flags() & (flag::SYN | flag::FIN | flag::RST | flag::ACK);
    let right = headers.protocol() == protocol::TCP
        && !fragment
        && flags == flag::ACK
        && usize::from(headers.total_len()) == packet.len();
    right.then_some(headers)
}

/// Growths of fields, encoded one after the other.
#[derive(Default)]
struct Deltas {
    bytes: [u8; 15],
    len: usize,
}

impl Deltas {
    /// One byte, or three for zero and what one byte does not hold.
    fn push(&mut self, delta: u16) {
        let [high, low] = delta.to_be_bytes();
        let encoded: &[u8] = if high == 0 && low != 0 { &[low] } else { &[0, high, low] };
        self.bytes[self.len..self.len + encoded.len()].copy_from_slice(encoded);
        self.len += encoded.len();
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The mask and the growths that make `now` of `last`, or nothing where a compressed frame cannot tell it.
fn changes(last: &Headers, now: &Headers) -> Option<(u8, Deltas)> {
    if !now.differs_as_expected(last) || !now.ip_checksum_is_computed() {
        return None;
    }
    let mut mask = 0;
    let mut deltas = Deltas::default();

    if now.flags() & flag::URG != 0 {
        mask |= mask::URGENT;
        deltas.push(now.urgent());
    } else if now.urgent() != last.urgent() {
        return None;
    }
    let window = now.window().wrapping_sub(last.window());
    if window != 0 {
        mask |= mask::WINDOW;
        deltas.push(window);
    }
    // What does not fit into 16 bits has gone back, or on very far.
    let ack = u16::try_from(now.ack().wrapping_sub(last.ack())).ok()?;
    if ack != 0 {
        mask |= mask::ACK;
        deltas.push(ack);
    }
    let seq = u16::try_from(now.seq().wrapping_sub(last.seq())).ok()?;
    if seq != 0 {
        mask |= mask::SEQ;
        deltas.push(seq);
    }

    match mask {
        // Data after a bare acknowledgement is news. Anything else that changes nothing is a retransmission or a probe:
        // sent in full, in case the other side missed what came before.
        0 if last.data_len() == 0 && now.data_len() != 0 => {}
        0 => return None,
        // What the special cases look like cannot be sent as itself.
        mask::ECHOED | mask::STREAM => return None,
        // An expander may leave URG as it was in a special case, so there are none after it.
        _ if last.flags() & flag::URG != 0 => {}
        _ if mask == mask::SEQ | mask::ACK && seq == ack && seq == last.data_len() => {
            mask = mask::ECHOED;
            deltas = Deltas::default();
        }
        mask::SEQ if seq == last.data_len() => {
            mask = mask::STREAM;
            deltas = Deltas::default();
        }
        _ => {}
    }

    let id = now.id().wrapping_sub(last.id());
    if id != 1 {
        mask |= mask::ID;
        deltas.push(id);
    }
    if now.flags() & flag::PSH != 0 {
        mask |= mask::PUSH;
    }
    Some((mask, deltas))
}
