//! The receiving side: frames to packets (RFC 1144 §3.2.4), and what to do when frames were lost.
//!
//! Compression sends differences, so after a lost frame the headers that are put together are wrong. The RFC lets TCP find
//! that out by its checksum. A capture must not show packets that never were, so here a connection whose state may be wrong
//! is tossed until its next full packet: all of them after a loss that was seen, one whose checksum does not fit
//! any more after a loss that was not. The sender helps: what it has to send again, it sends in full.

use bypath_wire::ip::protocol;
use thiserror::Error;

use super::Kind;
use super::headers::{Headers, flag};
use super::mask;

/// Why a frame gave no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Tossed {
    /// It ends inside of what its mask announces, or before the headers of its packet do.
    #[error("the frame ends inside of its header")]
    Short,
    /// It is not what its kind says: no IPv4 header, or longer than a packet can be.
    #[error("the frame is malformed")]
    Malformed,
    /// It names no slot, and none was named since the beginning or since a loss.
    #[error("it names no connection, and the frame that did is lost")]
    Unnamed,
    /// Nothing was received for its slot yet.
    #[error("no full packet of connection {slot} came before it")]
    Unknown {
        /// The number that it has, or that the frame before had.
        slot: u8,
    },
    /// Frames were lost since the last full packet of its slot.
    #[error("frames were lost since the last full packet of connection {slot}")]
    Lost {
        /// The number that it has, or that the frame before had.
        slot: u8,
    },
    /// The TCP checksum does not fit the headers that were put together: a frame before it is missing.
    #[error("the checksum does not fit: a frame of connection {slot} is missing before it")]
    Checksum {
        /// The number that it has, or that the frame before had.
        slot: u8,
    },
}

#[derive(Clone, Debug)]
struct Slot {
    headers: Headers,
    /// Whether the last headers are known to be those of the sender.
    sound: bool,
    /// Whether the connection's TCP checksums are right to begin with, so that one that is wrong says something.
    guarded: bool,
}

/// A compressed frame, read and added to what was remembered, but not remembered itself yet.
struct Rebuilt {
    slot: u8,
    headers: Headers,
    /// Where the data begins in the frame.
    data_at: usize,
    /// Whether the TCP checksum fits; nothing if the capture has cut the frame.
    fits: Option<bool>,
}

/// Expands the frames of one direction of a link. It has all 256 slots, whatever the ends agreed on.
#[derive(Debug, Default)]
pub struct Expander {
    slots: Vec<Option<Slot>>,
    /// The slot that a frame without a number means.
    last: Option<u8>,
}

impl Expander {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the packet of a frame to `packet`, whose former content goes and which is empty when the frame is tossed.
    ///
    /// `missing` is how many bytes of the frame's end the capture has cut off; the lengths in the packet count them.
    pub fn expand(
        &mut self,
        kind: Kind,
        frame: &[u8],
        missing: usize,
        packet: &mut Vec<u8>,
    ) -> Result<(), Tossed> {
        packet.clear();
        match kind {
            Kind::Ip => packet.extend_from_slice(frame),
            Kind::UncompressedTcp => self.learn(frame, missing, packet)?,
            Kind::CompressedTcp => {
                let rebuilt = match self.rebuild(frame, missing) {
                    Ok(rebuilt) => rebuilt,
                    Err(tossed) => {
                        match tossed {
                            // Whatever it was, it belonged to somebody.
                            Tossed::Short | Tossed::Malformed => self.lost(),
                            // Frames without a number that follow are of the same connection.
                            Tossed::Unknown { slot } => self.last = Some(slot),
                            _ => {}
                        }
                        return Err(tossed);
                    }
                };
                let Rebuilt { slot, headers, data_at, fits } = rebuilt;
                self.last = Some(slot);
                let Some(Some(kept)) = self.slots.get_mut(usize::from(slot)) else {
                    return Err(Tossed::Unknown { slot });
                };
                if !kept.sound {
                    return Err(Tossed::Lost { slot });
                }
                if kept.guarded && fits == Some(false) {
                    kept.sound = false;
                    return Err(Tossed::Checksum { slot });
                }
                packet.extend_from_slice(headers.bytes());
                packet.extend_from_slice(&frame[data_at..]);
                kept.headers = headers;
            }
        }
        Ok(())
    }

    /// Tells that a frame was lost or arrived damaged: every connection is tossed until its next full packet.
    pub fn lost(&mut self) {
        self.last = None;
        for slot in self.slots.iter_mut().flatten() {
            slot.sound = false;
        }
    }

    /// Whether a compressed frame continues a connection that is known here, by the word of its TCP checksum.
    pub(crate) fn continues(&self, frame: &[u8], missing: usize) -> bool {
        self.rebuild(frame, missing).is_ok_and(|rebuilt| {
            let kept = self.slots.get(usize::from(rebuilt.slot)).and_then(Option::as_ref);
            rebuilt.fits == Some(true) && kept.is_some_and(|kept| kept.sound)
        })
    }

    /// Whether a slot holds headers of which `test` is true; it is told source and destination, address and port.
    pub(crate) fn any(&self, test: impl Fn(Ends, Ends) -> bool) -> bool {
        self.slots.iter().flatten().any(|slot| {
            let (source, destination) = ends(&slot.headers);
            test(source, destination)
        })
    }

    /// Source and destination of the packet in an `UNCOMPRESSED_TCP` frame.
    pub(crate) fn ends_of(frame: &[u8]) -> Option<(Ends, Ends)> {
        Headers::read(frame).as_ref().map(ends)
    }

    /// Remembers the headers of a full packet and puts its protocol back.
    fn learn(&mut self, frame: &[u8], missing: usize, packet: &mut Vec<u8>) -> Result<(), Tossed> {
        let Some(mut headers) = Headers::read(frame) else {
            self.lost();
            return Err(if frame.len() < 40 { Tossed::Short } else { Tossed::Malformed });
        };
        let slot = headers.protocol();
        headers.set_protocol(protocol::TCP);
        packet.extend_from_slice(frame);
        packet[9] = protocol::TCP;
        // A cut packet cannot be asked, and is taken for an honest one.
        let data = headers.len()..usize::from(headers.total_len());
        let guarded = missing > 0 || frame.get(data).is_some_and(|data| headers.tcp_checksum_fits(data));
        if self.slots.len() <= usize::from(slot) {
            self.slots.resize(usize::from(slot) + 1, None);
        }
        self.slots[usize::from(slot)] = Some(Slot { headers, sound: true, guarded });
        self.last = Some(slot);
        Ok(())
    }

    /// Reads a compressed frame and adds its changes to the headers of its slot.
    fn rebuild(&self, frame: &[u8], missing: usize) -> Result<Rebuilt, Tossed> {
        let mut reader = Reader { bytes: frame, at: 0 };
        // The top bit belongs to SLIP, which tells the kinds of frames apart by it.
        let mask = reader.byte()?;
        let slot = if mask & mask::SLOT != 0 { reader.byte()? } else { self.last.ok_or(Tossed::Unnamed)? };
        let kept = self.slots.get(usize::from(slot)).and_then(Option::as_ref);
        let mut headers = kept.ok_or(Tossed::Unknown { slot })?.headers.clone();
        headers.set_tcp_checksum(u16::from_be_bytes([reader.byte()?, reader.byte()?]));
        headers.set_flag(flag::PSH, mask & mask::PUSH != 0);

        let last_data = u32::from(headers.data_len());
        let special = mask & mask::SPECIALS;
        // A sender uses the special cases only where URG is not set.
        headers.set_flag(flag::URG, false);
        if special == mask::ECHOED || special == mask::STREAM {
            headers.set_seq(headers.seq().wrapping_add(last_data));
            if special == mask::ECHOED {
                headers.set_ack(headers.ack().wrapping_add(last_data));
            }
        } else {
            if mask & mask::URGENT != 0 {
                headers.set_flag(flag::URG, true);
                headers.set_urgent(reader.delta()?);
            }
            if mask & mask::WINDOW != 0 {
                headers.set_window(headers.window().wrapping_add(reader.delta()?));
            }
            if mask & mask::ACK != 0 {
                headers.set_ack(headers.ack().wrapping_add(reader.delta()?.into()));
            }
            if mask & mask::SEQ != 0 {
                headers.set_seq(headers.seq().wrapping_add(reader.delta()?.into()));
            }
        }
        let id = if mask & mask::ID != 0 { reader.delta()? } else { 1 };
        headers.set_id(headers.id().wrapping_add(id));

        let data = &frame[reader.at..];
        let total = headers.len().saturating_add(data.len()).saturating_add(missing);
        headers.set_total_len(u16::try_from(total).map_err(|_| Tossed::Malformed)?);
        headers.compute_ip_checksum();
        let fits = (missing == 0).then(|| headers.tcp_checksum_fits(data));
        Ok(Rebuilt { slot, headers, data_at: reader.at, fits })
    }
}

/// Address and port.
pub(crate) type Ends = (std::net::Ipv4Addr, u16);

fn ends(headers: &Headers) -> (Ends, Ends) {
    let (source_port, destination_port) = headers.ports();
    ((headers.source(), source_port), (headers.destination(), destination_port))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Tossed> {
        let byte = *self.bytes.get(self.at).ok_or(Tossed::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// A growth of one byte, or of two after a zero byte.
    fn delta(&mut self) -> Result<u16, Tossed> {
        match self.byte()? {
            0 => Ok(u16::from_be_bytes([self.byte()?, self.byte()?])),
            short => Ok(short.into()),
        }
    }
}
