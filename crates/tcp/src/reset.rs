//! Resets: what to answer a segment that belongs to no connection (RFC 9293 section 3.10.7.1).

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpOptions};

use crate::connection::Connection;
use crate::ecn::Ecn;
use crate::segment::{Purpose, Segment, TxSegment};
use crate::time::Instant;

/// The reset for a segment that nobody here wants; `None` for a reset, which is never answered.
pub fn reset_for(segment: &Segment<'_>) -> Option<TxSegment> {
    let header = segment.header;
    if header.flags.contains(TcpFlags::RST) {
        return None;
    }
    Some(if header.flags.contains(TcpFlags::ACK) {
        bare(header.ack, SeqNum(0), TcpFlags::RST)
    } else {
        bare(SeqNum(0), header.seq + segment.sequence_len(), TcpFlags::RST | TcpFlags::ACK)
    })
}

/// A segment of a header only.
pub(crate) fn bare(seq: SeqNum, ack: SeqNum, flags: TcpFlags) -> TxSegment {
    TxSegment {
        seq,
        ack,
        flags,
        window: 0,
        options: TcpOptions::default(),
        offset: 0,
        len: 0,
        retransmission: false,
        purpose: Purpose::Ordinary,
        ecn: Ecn::NotEct,
    }
}

impl Connection {
    /// The reset that tells the peer that this connection is given up.
    pub(crate) fn reset_segment(&self, now: Instant) -> TxSegment {
        let mut reset = bare(self.sequence_of_bare(), self.hot.rcv_nxt, TcpFlags::RST | TcpFlags::ACK);
        reset.options.timestamps = self.timestamps_if_agreed(now);
        reset
    }
}
