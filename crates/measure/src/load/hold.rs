//! Connections for their own sake: opened and closed again (`connect`), or kept, silent or with a byte now and then
//! (`hold`). Whatever the server says is counted and not looked at.

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

    fn reset(&mut self, _state: &mut ()) {}
}
