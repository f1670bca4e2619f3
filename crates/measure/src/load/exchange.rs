//! What a load pattern says on its connections: a state machine for each client, without clock, counters or engine.
//! Who calls it ([`super::client`]) measures, schedules and counts.

use super::bytes::mismatch;
use super::cause::{Cause, Codes};
use super::wire::Wire;

/// The connection that a client is made of.
pub(super) const MAIN: u8 = 0;
/// A second one, which protocols such as FTP open for the data.
pub(super) const DATA: u8 = 1;

/// A protocol's client side. One value serves all clients of a worker; what differs between them is in `State`.
pub(super) trait Exchange: Send + 'static {
    /// What one client remembers.
    type State: Default + Send + 'static;

    /// The connection is open: says what has to be said before the first request. `true`: requests may go out at once;
    /// else [`Event::Ready`] comes later.
    fn opened(&mut self, state: &mut Self::State, wire: &mut dyn Wire) -> bool {
        let _ = (state, wire);
        true
    }

    /// The second connection is open.
    fn lane_opened(&mut self, state: &mut Self::State, wire: &mut dyn Wire) {
        let _ = (state, wire);
    }

    /// Sends the next request. `false`: it has no answer, and counts as done.
    fn request(&mut self, state: &mut Self::State, wire: &mut dyn Wire) -> bool;

    /// Whether bytes may come that no request has asked for.
    fn takes_unasked(&self) -> bool {
        false
    }

    /// The connection whose bytes are what was asked for.
    fn payload_lane(&self) -> u8 {
        MAIN
    }

    /// Takes received bytes, as many as are told in the answer, and tells what they mean.
    fn receive(
        &mut self,
        state: &mut Self::State,
        lane: u8,
        wire: &mut dyn Wire,
        bytes: &[u8],
    ) -> (usize, Event);

    /// The peer has acknowledged more.
    fn acknowledged(&mut self, state: &mut Self::State, wire: &mut dyn Wire) -> Event {
        let _ = (state, wire);
        Event::More
    }

    /// The peer sends no more on this connection. `pending`: an answer is not complete.
    fn peer_closed(&mut self, state: &mut Self::State, lane: u8, pending: bool) -> Event {
        let _ = (state, lane);
        if pending { Event::Broken(Cause::ClosedEarly) } else { Event::More }
    }

    /// The time is up: what should be said before the connection is closed. `true`: it should be reset instead, because
    /// more is given to be sent than anybody waits for.
    fn finish(&mut self, state: &mut Self::State, wire: &mut dyn Wire) -> bool {
        let _ = (state, wire);
        false
    }

    /// The connections of this client are gone, and what was under way with them.
    fn reset(&mut self, state: &mut Self::State);

    /// Received bytes of this client that wait for a sink; none if it has no sink to wait for.
    fn unwritten(&mut self, state: &Self::State) -> Option<usize> {
        let _ = state;
        None
    }

    /// What was checked since this was last asked.
    fn take_checked(&mut self) -> Checked {
        Checked::default()
    }
}

/// What received bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// All of them were taken; more is to come.
    More,
    /// The client has been let in: requests may go out.
    Ready,
    /// The oldest request is answered.
    Done(Answer),
    /// The oldest request has failed, but the connection is as good as before.
    Failed(Cause, Answer),
    /// The connection is of no use any more.
    Broken(Cause),
    /// A second connection to the same host is wanted, at this port.
    Open(u16),
}

/// A complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Bytes of what was asked for: a response, a body, a file.
    pub(super) body: u64,
    /// The connection must not be used for another request.
    pub(super) last: bool,
}

/// What an exchange has checked and found, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Bytes compared with what they should be.
    pub(super) verified: u64,
    /// Bytes that were not that.
    pub(super) corrupt: u64,
    /// What the server has said of requests that failed.
    pub(super) codes: Codes,
}

impl Checked {
    /// Compares bytes with the test pattern at `offset`, and counts: whether they are right.
    pub(super) fn compare(&mut self, offset: u64, bytes: &[u8]) -> bool {
        self.verified += bytes.len() as u64;
        let wrong = mismatch(offset, bytes);
        self.corrupt += wrong.map_or(0, |at| bytes.len() as u64 - (at - offset));
        wrong.is_none()
    }
}
