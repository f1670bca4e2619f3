//! What became of a packet and why it was sent, as numbers in a worker and as words outside of it.

use std::fmt;

use bypath_tcp::{Purpose, TxSegment};
use bypath_wire::tcp::TcpFlags;

/// What a packet means, as workers write it down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    #[default]
    None,
    HandshakeAgain,
    FastRetransmission,
    Timeout,
    TailProbe,
    Rescue,
    WindowProbe,
    KeepAlive,
    ZeroWindow,
    /// RST for a packet; its cause is beside it.
    Refusal,
    /// RST of a connection that its application gave up.
    Abort,
    /// Received, and it belongs to a flow of another worker.
    PassedOn,
    /// Received, and kept until what is missing before it comes.
    AheadOfTurn,
}

const NOTES: [Note; 13] = [
    Note::None,
    Note::HandshakeAgain,
    Note::FastRetransmission,
    Note::Timeout,
    Note::TailProbe,
    Note::Rescue,
    Note::WindowProbe,
    Note::KeepAlive,
    Note::ZeroWindow,
    Note::Refusal,
    Note::Abort,
    Note::PassedOn,
    Note::AheadOfTurn,
];

impl Note {
    pub(super) fn from_code(code: u8) -> Self {
        NOTES.get(usize::from(code)).copied().unwrap_or_default()
    }
}

/// What a segment to be sent means, if it means more than its bytes say.
#[inline]
pub(crate) fn meaning_of(segment: &TxSegment) -> Note {
    match segment.purpose {
        Purpose::Ordinary if segment.flags.contains(TcpFlags::RST) => Note::Refusal,
        Purpose::Ordinary if segment.window == 0 && !segment.flags.contains(TcpFlags::SYN) => {
            Note::ZeroWindow
        }
        Purpose::Ordinary => Note::None,
        Purpose::HandshakeAgain => Note::HandshakeAgain,
        Purpose::FastRetransmission => Note::FastRetransmission,
        Purpose::Timeout => Note::Timeout,
        Purpose::TailProbe => Note::TailProbe,
        Purpose::Rescue => Note::Rescue,
        Purpose::WindowProbe => Note::WindowProbe,
        Purpose::KeepAlive => Note::KeepAlive,
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapVerdict {
    /// It was sent.
    Sent,
    /// It was received and used.
    Used,
    /// It was received and not used, or not all of it, for this cause: a name as in the engine's counters.
    Dropped(&'static str),
    /// It was received and passed on to the worker that owns its flow, whose verdict is not told here.
    PassedOn,
}

/// Why a packet was sent, or what it changed, where that is more than its bytes say. As text it is what captures have
/// as a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapMeaning {
    /// A SYN or SYN-ACK again, without an answer in time.
    HandshakeAgain,
    /// Sent again: acknowledgements have shown that it was lost (RACK, or duplicate acknowledgements).
    FastRetransmission,
    /// Sent again: it is thought lost since the retransmission timer ran out.
    Timeout,
    /// Sent again: the peer has been silent for too long (tail loss probe).
    TailProbe,
    /// Sent again in recovery, though it is not known to be lost.
    Rescue,
    /// Asks whether the peer's window is still shut.
    WindowProbe,
    /// Asks whether the peer is still there.
    KeepAlive,
    /// Our receive window is shut: the application does not read.
    ZeroWindow,
    /// The peer's receive window is shut: nothing more can be sent to it.
    PeerZeroWindow,
    /// Reset, because the segment before was not wanted for this cause.
    Refusal(&'static str),
    /// Reset, because the application gave the connection up, or is not there any more.
    Abort,
    /// Received before something else that is missing, and kept.
    AheadOfTurn,
}

impl TapMeaning {
    /// Whether bytes go out that went out before.
    pub fn is_retransmission(self) -> bool {
        use TapMeaning::{FastRetransmission, HandshakeAgain, Rescue, TailProbe, Timeout};
        matches!(self, HandshakeAgain | FastRetransmission | Timeout | TailProbe | Rescue)
    }

    pub(super) fn of(note: Note, cause: Option<&'static str>) -> Option<Self> {
        Some(match note {
            Note::None | Note::PassedOn => return None,
            Note::HandshakeAgain => Self::HandshakeAgain,
            Note::FastRetransmission => Self::FastRetransmission,
            Note::Timeout => Self::Timeout,
            Note::TailProbe => Self::TailProbe,
            Note::Rescue => Self::Rescue,
            Note::WindowProbe => Self::WindowProbe,
            Note::KeepAlive => Self::KeepAlive,
            Note::ZeroWindow => Self::ZeroWindow,
            Note::Refusal => Self::Refusal(cause.unwrap_or("not_wanted")),
            Note::Abort => Self::Abort,
            Note::AheadOfTurn => Self::AheadOfTurn,
        })
    }
}

impl fmt::Display for TapMeaning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::HandshakeAgain => "retransmission: no answer to the handshake in time",
            Self::FastRetransmission => "retransmission: acknowledgements show that it was lost",
            Self::Timeout => "retransmission: the retransmission timer ran out",
            Self::TailProbe => "retransmission: tail loss probe",
            Self::Rescue => "retransmission: rescue of what acknowledgements pass over",
            Self::WindowProbe => "probe of the peer's zero window",
            Self::KeepAlive => "keep-alive probe",
            Self::ZeroWindow => "zero window: the application does not read",
            Self::PeerZeroWindow => "zero window of the peer: nothing more can be sent",
            Self::Refusal(cause) => return write!(out, "reset: {cause}"),
            Self::Abort => "reset: the application gave the connection up",
            Self::AheadOfTurn => "ahead of its turn: kept until what is missing comes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_stands_at_its_own_number() {
        for (code, note) in NOTES.iter().enumerate() {
            assert_eq!(*note as usize, code);
            assert_eq!(Note::from_code(code as u8), *note);
        }
        assert_eq!(Note::from_code(200), Note::None);
    }
}
