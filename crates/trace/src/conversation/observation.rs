//! What tracking says about one segment: why it was sent, as far as packets tell, and what it changed. Facts only;
//! sentences are made of them elsewhere.

use crate::layers::TcpFlags;
use serde::Serialize;

use super::spans::Offset;
use super::state::State;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Who opened it, or seems to have.
    Client,
    /// Who listened.
    Server,
}

impl End {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(super) fn index(self) -> usize {
        usize::from(self == Self::Server)
    }
}

bitflags::bitflags! {
    /// What is remarkable about a segment. Several may hold.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Marks: u32 {
        /// Some of it has been sent before.
        const RETRANSMISSION = 1 << 0;
        /// It fills a gap, and was overtaken on its way rather than sent again.
        const OUT_OF_ORDER = 1 << 1;
        /// It repeats the acknowledgment before it and carries nothing (RFC 5681 §2).
        const DUPLICATE_ACK = 1 << 2;
        /// Its sender's receive window is closed.
        const ZERO_WINDOW = 1 << 3;
        /// It fills the receiver's window to the last byte.
        const WINDOW_FULL = 1 << 4;
        /// It repeats the acknowledgment before it, with another window.
        const WINDOW_UPDATE = 1 << 5;
        /// It asks whether the peer is still there (RFC 9293 §3.8.4).
        const KEEP_ALIVE = 1 << 6;
        /// It answers a keep-alive.
        const KEEP_ALIVE_ACK = 1 << 7;
        /// It asks whether a closed window has opened (RFC 9293 §3.8.6.1).
        const ZERO_WINDOW_PROBE = 1 << 8;
        /// It answers such a probe, with the window still closed.
        const ZERO_WINDOW_PROBE_ACK = 1 << 9;
        /// It begins after a stretch that has not been seen.
        const GAP = 1 << 10;
        /// It acknowledges what has not been seen: the capture lacks packets.
        const ACKED_UNSEEN = 1 << 11;
        /// Its sender's receive window is open again.
        const WINDOW_OPENED = 1 << 12;
        /// Its sender had been told, or knew, that it would be the last data.
        const FIN = 1 << 13;
        /// A reset that its receiver ignores: its sequence number is outside the window (RFC 5961 §3).
        const RESET_IGNORED = 1 << 14;
        /// It comes from an end that has closed its half, or from one that was reset.
        const AFTER_CLOSE = 1 << 15;
        /// Data in a SYN (RFC 7413).
        const FAST_OPEN_DATA = 1 << 16;
        /// The acknowledgment was held back.
        const DELAYED_ACK = 1 << 17;
        /// SACK says that something arrived twice (RFC 2883).
        const DUPLICATE_SACK = 1 << 18;
        /// The other end had closed its half, and this one goes on sending.
        const HALF_CLOSED = 1 << 19;
        /// A router marked it: congestion (RFC 3168).
        const CONGESTION = 1 << 20;
        /// The first segment of a conversation in this capture, and it is no SYN.
        const BEGINS_IN_THE_MIDDLE = 1 << 21;
        /// A SYN in the middle of a connection that lives (RFC 5961 §4).
        const STRAY_SYN = 1 << 22;
        /// Its checksum is wrong, and its receiver drops it.
        const DAMAGED = 1 << 23;
        /// Of an earlier connection between the same ports, whose other end has not heard that it is over, or the answer
        /// to such a segment (RFC 9293 §3.5.1).
        const OF_EARLIER = 1 << 24;
        /// Both ends have asked for the connection before they got the other's SYN (RFC 9293 §3.5).
        const SIMULTANEOUS_OPEN = 1 << 25;
        /// With it both SYNs are acknowledged, and the connection stands.
        const STANDS = 1 << 26;
    }
}

/// What a segment is for, above all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for a connection.
    Syn,
    /// Accepts it.
    SynAck,
    /// The third segment of the handshake.
    HandshakeAck,
    /// Carries data, and perhaps a FIN.
    Data,
    /// Carries a FIN and no data.
    Fin,
    /// Resets the connection.
    Reset,
    /// Acknowledges data.
    Ack,
    /// Says for the n-th time that the same byte is missing.
    DuplicateAck(u32),
    /// Tells a new window.
    WindowUpdate,
    /// Asks whether anybody is there.
    KeepAlive,
    /// Somebody is.
    KeepAliveAck,
    /// Asks whether the window has opened.
    WindowProbe,
    /// It has not.
    WindowProbeAck,
    /// Repeats what has been said, with nothing outstanding.
    Repeat,
    /// Acknowledges less than one before it: it was overtaken.
    OldAck,
    /// Means nothing to its receiver: it is damaged, or a SYN that fits nothing.
    Ignored,
}

/// Why something was sent again, as far as packets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many duplicate acknowledgments asked for it.
    DuplicateAcks(u32),
    /// SACK told that so many bytes behind it had arrived (RFC 6675, RFC 8985).
    Sacked(u64),
    /// The timer ran out, for the n-th time in a row.
    Timeout(u32),
    /// A probe for a lost tail (RFC 8985 §7).
    TailProbe,
    /// Fast recovery goes on, which began with this packet.
    Recovery(u64),
    /// What follows the timeout of this packet.
    AfterTimeout(u64),
    /// The peer had acknowledged all of it: needless.
    AlreadyAcknowledged,
    /// The peer had sent its SYN again.
    Asked,
    /// Nothing that was captured asks for it.
    Unknown,
}

/// Something was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Why.
    pub cause: Cause,
    /// The packet that carried it first, where it was captured.
    pub first: Option<u64>,
    /// Nanoseconds since it was sent the last time, where that is known.
    pub after: Option<i64>,
    /// How many times it has been sent with this.
    pub times: u32,
    /// How many of its bytes are new after all.
    pub new_bytes: u64,
}

/// What an acknowledgment covers for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Bytes of data.
    pub bytes: u64,
    /// Segments with them.
    pub segments: u32,
    /// The first and last packet that carried them, where they were captured.
    pub packets: Option<(u64, u64)>,
    /// Nanoseconds since the newest of them was sent: a sample of the round-trip time, if that was not sent again.
    pub rtt: Option<i64>,
    /// Nanoseconds since any of them was sent the last time, which is no sample if that was not the first time.
    pub since: Option<i64>,
    /// For how long it was held back, about.
    pub held: Option<i64>,
    /// The peer's SYN is covered.
    pub syn: bool,
    /// The peer's FIN is covered.
    pub fin: bool,
    /// Nothing that the peer has sent is outstanding any more.
    pub all: bool,
}

/// What SACK says that was not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selective {
    /// Bytes that have arrived behind a gap, told of for the first time.
    pub fresh: u64,
    /// The first missing stretch.
    pub missing: Option<(Offset, Offset)>,
    /// A stretch that arrived twice.
    pub twice: Option<(Offset, Offset)>,
}

/// One end's receive window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Before this segment, bytes.
    pub before: Option<u64>,
    /// Now, bytes.
    pub now: u64,
    /// The scale is not known, because the handshake was not captured: it may be larger.
    pub scale_unknown: bool,
    /// For how many nanoseconds it had been closed, when it opens.
    pub was_closed_for: Option<i64>,
}

/// What tracking says about one segment.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The conversation, numbered from 1 in the order of their first packets.
    pub conversation: u64,
    /// It is the first of the conversation.
    pub first: bool,
    /// It begins a conversation between ports that had another one before.
    pub reuses_ports: bool,
    /// The packet's number in the capture.
    pub number: u64,
    /// Who sent it.
    pub from: End,
    /// Control bits.
    pub flags: TcpFlags,
    /// Where it begins in its sender's stream: 0 is the SYN, 1 the first byte.
    pub seq: Offset,
    /// Bytes of data.
    pub len: u32,
    /// The position in the peer's stream that it waits for.
    pub ack: Option<Offset>,
    /// What it is for, above all.
    pub kind: Kind,
    /// What is remarkable.
    pub marks: Marks,
    /// It was sent again.
    pub again: Option<Again>,
    /// Bytes before it that have not been seen.
    pub gap: u64,
    /// What it acknowledges for the first time.
    pub covered: Option<Covered>,
    /// What it says by SACK.
    pub selective: Selective,
    /// A packet with a retransmission that this one shows to have been needless.
    pub needless: Option<u64>,
    /// Its sender's receive window.
    pub window: Window,
    /// Bytes that its sender has sent and that are not acknowledged, with it.
    pub in_flight: u64,
    /// What the receiver's window leaves room for after it.
    pub room: Option<u64>,
    /// The states of client and server after it.
    pub states: [State; 2],
    /// Nanoseconds since the conversation's packet before it.
    pub since_previous: i64,
    /// Nanoseconds since its first packet.
    pub since_first: i64,
    /// Smoothed round-trip time of data from its sender, nanoseconds, after it.
    pub srtt: Option<i64>,
}

impl Observation {
    /// All of these marks.
    #[must_use]
    pub fn is(&self, marks: Marks) -> bool {
        self.marks.contains(marks)
    }

    /// The first position after it.
    #[must_use]
    pub fn end(&self) -> Offset {
        let controls =
            i64::from(self.flags.contains(TcpFlags::SYN)) + i64::from(self.flags.contains(TcpFlags::FIN));
        self.seq + i64::from(self.len) + controls
    }
}
