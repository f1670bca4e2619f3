//! Connections for their own sake: opened and closed again (`connect`), or kept, silent or with a byte now and then
//! (`hold`). Whatever the server says is counted and not looked at; that it closes is a failure of connections
//! that are held.

use super::cause::Cause;
use super::exchange::{Event, Exchange};
use super::wire::Wire;

/// The handshake was all.
#[derive(Debug)]
pub(super) struct Handshake;

impl Exchange for Handshake {
    type State = ();

    fn request(&mut self, _state: &mut (), _wire: &mut dyn Wire) -> bool {
        false
    }

    fn takes_unasked(&self) -> bool {
        true
    }

    fn receive(&mut self, _: &mut (), _: u8, _: &mut dyn Wire, bytes: &[u8]) -> (usize, Event) {
        (bytes.len(), Event::More)
    }

    fn reset(&mut self, _state: &mut ()) {}
}

/// Connections that are kept; a request is one byte, which nothing has to answer.
#[derive(Debug)]
pub(super) struct Hold;

impl Exchange for Hold {
    type State = ();

    fn request(&mut self, _state: &mut (), wire: &mut dyn Wire) -> bool {
        wire.write(b".");
        false
    }

    fn takes_unasked(&self) -> bool {
        true
    }

    fn receive(&mut self, _: &mut (), _: u8, _: &mut dyn Wire, bytes: &[u8]) -> (usize, Event) {
        (bytes.len(), Event::More)
    }

    /// A server that closes takes away what was to be kept.
    fn peer_closed(&mut self, _state: &mut (), _lane: u8, _pending: bool) -> Event {
        Event::Broken(Cause::ClosedEarly)
    }

    fn reset(&mut self, _state: &mut ()) {}
}

#[cfg(test)]
mod tests {
    use super::super::exchange::MAIN;
    use super::*;

    #[test]
    fn a_server_that_closes_ends_what_was_held_and_no_handshake() {
        assert_eq!(Hold.peer_closed(&mut (), MAIN, false), Event::Broken(Cause::ClosedEarly));
        assert_eq!(Handshake.peer_closed(&mut (), MAIN, false), Event::More);
    }
}
