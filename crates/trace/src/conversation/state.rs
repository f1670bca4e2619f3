//! The state of an end by RFC 9293 §3.3.2, as packets tell it.

use serde::Serialize;

/// A state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum State {
    /// No packet of it says anything yet.
    #[default]
    Unknown,
    /// Waits for a SYN.
    Listen,
    /// Has sent a SYN.
    SynSent,
    /// Has answered a SYN, or both have sent one.
    SynReceived,
    /// Data may flow.
    Established,
    /// Has sent a FIN.
    #[serde(rename = "FIN-WAIT-1")]
    FinWait1,
    /// Its FIN is acknowledged.
    #[serde(rename = "FIN-WAIT-2")]
    FinWait2,
    /// Has got a FIN, and may go on sending.
    CloseWait,
    /// Both have sent a FIN before they got the other's.
    Closing,
    /// Has sent a FIN after it got one.
    LastAck,
    /// Keeps the ports for two maximum segment lifetimes.
    TimeWait,
    /// Over.
    Closed,
}

impl State {
    /// Its name in RFC 9293.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }
}

/// What of an end's life packets have shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// Its SYN was seen.
    pub(super) syn: bool,
    /// The peer has acknowledged something of it.
    pub(super) heard: bool,
    /// Its FIN was seen.
    pub(super) fin: bool,
    /// And acknowledged.
    pub(super) fin_acked: bool,
    /// It had acknowledged the peer's FIN when it sent its own.
    pub(super) passive: bool,
}

/// The state of the end whose life this is, beside the peer's. `listens`: it waits for connections, as far as we know.
pub(super) fn state(own: Life, peer: Life, reset: bool, listens: bool) -> State {
    if reset {
        return State::Closed;
    }
    // Its own knowledge of the peer's FIN is that it has acknowledged it.
    let told_of_end = peer.fin_acked;
    match (own.fin, own.fin_acked) {
        (true, true) if !told_of_end => State::FinWait2,
        (true, true) if own.passive => State::Closed,
        (true, true) => State::TimeWait,
        (true, false) if own.passive => State::LastAck,
        (true, false) if told_of_end => State::Closing,
        (true, false) => State::FinWait1,
        (false, _) if told_of_end => State::CloseWait,
        (false, _) if own.syn && !own.heard && peer.syn => State::SynReceived,
        (false, _) if own.syn && !own.heard => State::SynSent,
        (false, _) if own.syn || own.heard || peer.heard => State::Established,
        _ if listens => State::Listen,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Life = Life { syn: true, heard: true, fin: false, fin_acked: false, passive: false };

    #[test]
    fn an_ordinary_close_goes_through_the_states_of_the_rfc() {
        let closing = Life { fin: true, ..OPEN };
        assert_eq!(state(closing, OPEN, false, false), State::FinWait1);
        let told = Life { fin_acked: true, ..closing };
        assert_eq!(state(told, OPEN, false, false), State::FinWait2);
        assert_eq!(state(OPEN, told, false, true), State::CloseWait);
        let last = Life { fin: true, passive: true, ..OPEN };
        assert_eq!(state(last, told, false, true), State::LastAck);
        let gone = Life { fin_acked: true, ..last };
        assert_eq!(state(told, gone, false, false), State::TimeWait);
        assert_eq!(state(gone, told, false, true), State::Closed);
    }

    #[test]
    fn both_closing_at_once_are_closing() {
        let one = Life { fin: true, ..OPEN };
        let acked = Life { fin_acked: true, ..one };
        assert_eq!(state(one, acked, false, false), State::Closing);
        assert_eq!(state(acked, acked, false, false), State::TimeWait);
    }
}
