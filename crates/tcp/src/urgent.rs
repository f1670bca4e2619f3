//! The urgent mechanism (RFC 9293 section 3.8.5), as RFC 6093 has it: urgent data stays in its place in the
//! stream, and a mark tells where it ends. New protocols should not use it; old ones must find it working.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::TcpFlags;

use crate::connection::{Bits, Connection};
use crate::segment::{Events, Received, Segment, TxSegment};

/// Marks of both directions.
#[derive(Debug, Default)]
pub(crate) struct Urgent {
    /// RCV.UP: the octet after the peer's urgent data.
    received: Option<SeqNum>,
    /// Stream offset after our urgent data, while it is not acknowledged.
    sent: u64,
}

impl Urgent {
    /// Neither end has ever marked anything as urgent.
    pub(crate) fn is_unused(&self) -> bool {
        self.received.is_none() && self.sent == 0
    }
}

impl Connection {
    /// The peer's latest urgent mark: the sequence number of the octet that follows its urgent data.
    pub fn urgent_mark(&self) -> Option<SeqNum> {
        self.cold.urgent.received
    }

    /// Our stream before offset `end` is urgent: segments say so until that much is acknowledged. The mark only
    /// moves forward.
    pub fn set_urgent(&mut self, end: u64) {
        if end <= self.hot.acknowledged || end <= self.cold.urgent.sent || end > self.hot.queued {
            return;
        }
        self.cold.urgent.sent = end;
        // The peer learns of it at once, though its window may be shut.
        self.hot.bits.set(Bits::URGENT);
        if self.hot.state.is_synchronized() {
            self.hot.bits.set(Bits::ACK_NOW);
        }
    }

    /// The urgent pointer of a segment with URG that [`Connection::poll_transmit`] gave: from its sequence number
    /// to the octet after the urgent data (RFC 9293 MUST-62), or as far towards it as the field can say.
    pub fn urgent_pointer(&self, segment: &TxSegment) -> u16 {
        u16::try_from(self.urgent_ahead(segment.seq)).unwrap_or(u16::MAX)
    }

    /// Urgent bytes from `seq` on.
    fn urgent_ahead(&self, seq: SeqNum) -> u64 {
        let place = self.hot.acknowledged as i64 + i64::from(seq.offset_from(self.hot.snd_una));
        u64::try_from(self.cold.urgent.sent as i64 - place).unwrap_or(0)
    }

    /// URG for a segment at `seq`, if urgent data lies ahead of it.
    #[inline(never)]
    pub(crate) fn urgent_flag(&mut self, seq: SeqNum) -> TcpFlags {
        if self.hot.acknowledged >= self.cold.urgent.sent {
            self.hot.bits.clear(Bits::URGENT);
        }
        if self.urgent_ahead(seq) > 0 { TcpFlags::URG } else { TcpFlags::empty() }
    }

    /// Sixth check of RFC 9293 section 3.10.7.4: a mark ahead of what was received, and of the last one.
    pub(crate) fn take_urgent(&mut self, segment: &Segment<'_>, out: &mut Received) {
        let header = segment.header;
        if !header.flags.contains(TcpFlags::URG) || !self.hot.state.may_receive() {
            return;
        }
        let mark = header.seq + u32::from(header.urgent);
        let news =
            mark.after(self.hot.rcv_nxt) && self.cold.urgent.received.is_none_or(|old| mark.after(old));
        if news {
            self.cold.urgent.received = Some(mark);
            out.events.insert(Events::URGENT);
        } else if self.cold.urgent.received.is_some_and(|old| old.at_or_before(self.hot.rcv_nxt)) {
            // Received, and so no measure for later ones: numbers wrap.
            self.cold.urgent.received = None;
        }
    }
}
