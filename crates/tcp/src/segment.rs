//! What goes into a connection and what comes out of it.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use crate::ecn::Ecn;
use crate::stats::DropCause;

/// An arriving segment: its header, its options, and how many bytes it carries. The bytes stay with the
/// caller, whose checksum has passed.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The fixed header.
    pub header: &'a TcpHeader,
    /// The options, parsed.
    pub options: &'a TcpOptions,
    /// Payload length in bytes.
    pub payload_len: u32,
    /// What the IP header says of congestion on the way.
    pub ecn: Ecn,
}

impl<'a> Segment<'a> {
    /// A segment of a packet that is not marked, nor could have been.
    pub fn new(header: &'a TcpHeader, options: &'a TcpOptions, payload_len: u32) -> Self {
        Self { header, options, payload_len, ecn: Ecn::NotEct }
    }

    /// The same segment in a packet with this codepoint.
    #[must_use]
    pub fn with_ecn(self, ecn: Ecn) -> Self {
        Self { ecn, ..self }
    }

    /// Sequence space it takes: payload, and one each for SYN and FIN.
    pub fn sequence_len(&self) -> u32 {
        let flags = self.header.flags;
        self.payload_len + u32::from(flags.contains(TcpFlags::SYN)) + u32::from(flags.contains(TcpFlags::FIN))
    }
}

/// Payload to keep for later: it arrived ahead of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Bytes of the payload to leave out at its front.
    pub skip: u32,
    /// Bytes to keep.
    pub len: u32,
    /// Where they belong: this many bytes after the next byte expected, before this segment.
    pub ahead: u32,
}

/// Things that happened, for the caller to act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u16);

impl Events {
    /// The connection has become established.
    pub const ESTABLISHED: Self = Self(1);
    /// The peer has sent all it will send.
    pub const PEER_CLOSED: Self = Self(1 << 1);
    /// Earlier bytes of ours were acknowledged; [`Connection::acknowledged`](crate::Connection::acknowledged)
    /// moved.
    pub const ACKNOWLEDGED: Self = Self(1 << 2);
    /// The connection is over; see [`Connection::close_reason`](crate::Connection::close_reason).
    pub const CLOSED: Self = Self(1 << 3);
    /// TIME-WAIT has begun.
    pub const TIME_WAIT: Self = Self(1 << 4);
    /// A new SYN may take this connection's place (RFC 9293 section 3.10.7.4, RFC 6191): drop it and offer
    /// the segment to the listener.
    pub const REOPEN: Self = Self(1 << 5);
    /// The peer has not answered several retransmissions in a row ([`Config::stall_timeouts`](crate::Config)).
    pub const STALLED: Self = Self(1 << 8);

    /// A challenge acknowledgement is to go out; whoever limits them over a whole stack may say no with
    /// [`Connection::withhold_challenge`](crate::Connection::withhold_challenge).
    pub const CHALLENGED: Self = Self(1 << 12);
    /// The peer's urgent mark has moved forward; see
    /// [`Connection::urgent_mark`](crate::Connection::urgent_mark).
    pub const URGENT: Self = Self(1 << 13);

    /// None.
    pub const fn none() -> Self {
        Self(0)
    }
    /// Whether all of `other` is in here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Whether nothing happened.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Adds `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What a segment did, and what the caller does with its payload.
///
/// In this order: hand `skip..skip + deliver` of the payload to the application, then the next `released`
/// bytes that were stored before; or keep `store`.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Bytes at the front of the payload that had been received before.
    pub skip: u32,
    /// Bytes of the payload that are next in order.
    pub deliver: u32,
    /// Bytes stored earlier that follow on what was delivered.
    pub released: u32,
    /// Payload to keep.
    pub store: Option<Store>,
    /// What happened.
    pub events: Events,
    /// Why the segment, or a part of it, was not used.
    pub dropped: Option<DropCause>,
    /// A segment to send at once, besides what [`Connection::poll_transmit`](crate::Connection::poll_transmit)
    /// will give: a reset, or an acknowledgement that must not wait for the rest of a batch.
    pub reply: Option<TxSegment>,
}

impl Received {
    /// Nothing but payload in order, and acknowledgement of ours.
    #[inline]
    pub fn is_plain(&self) -> bool {
        (self.skip, self.released) == (0, 0)
            && self.events.0 & !Events::ACKNOWLEDGED.0 == 0
            && self.store.is_none()
            && self.dropped.is_none()
            && self.reply.is_none()
    }
}

/// Why a segment goes out, where its bytes alone do not say: for captures and for those who read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The connection has something to say, or to acknowledge.
    #[default]
    Ordinary,
    /// SYN or SYN-ACK again: there was no answer in time.
    HandshakeAgain,
    /// What acknowledgements have shown to be lost (RFC 8985, RFC 6675).
    FastRetransmission,
    /// What is thought lost since the retransmission timer ran out (RFC 6298).
    Timeout,
    /// Sent again so that the peer speaks, when it has been silent for too long (RFC 8985 section 7).
    TailProbe,
    /// Sent again in recovery though it is not known to be lost (RFC 6675, NextSeg rules 3 and 4).
    Rescue,
    /// Whether the peer's window is still shut (RFC 9293 section 3.8.6.1).
    WindowProbe,
    /// Whether the peer is still there (RFC 9293 section 3.8.4).
    KeepAlive,
}

/// A segment to send. Ports, addresses, checksum and payload are the caller's: the payload is `len` bytes of
/// the outgoing stream from `offset` (bytes since the connection opened).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxSegment {
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgement number; 0 without ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, scaled already.
    pub window: u16,
    /// Options.
    pub options: TcpOptions,
    /// Stream offset of the payload.
    pub offset: u64,
    /// Payload bytes.
    pub len: u32,
    /// Whether these bytes were sent before.
    pub retransmission: bool,
    /// Why it is sent.
    pub purpose: Purpose,
    /// What the IP header is to say.
    pub ecn: Ecn,
}
