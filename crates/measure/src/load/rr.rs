//! Requests and responses of fixed sizes, for `rr`, `crr` and `latency`: to any echo server, or with a header that
//! tells `bypath serve --rr` how long the response should be. Responses are compared with what they must be.

use std::sync::Arc;

use bypath::SendSource;
use bypath_apps::serve::load_protocol::RrHeader;

use super::bytes::{Generated, stretch};
use super::cause::Cause;
use super::exchange::{Answer, Checked, Event, Exchange};
use super::wire::{Wire, send_all};

/// Requests up to this size are kept as they are and copied into segments' queue; larger ones are read from the pattern.
const KEPT: usize = 64 * 1024;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// What is sent comes back.
    Echo,
    /// Requests tell the length of their responses.
    Sized,
}

/// The protocol.
#[derive(Debug)]
pub(super) struct RequestResponse {
    dialect: Dialect,
    request_bytes: u64,
    response_bytes: u64,
    /// The same for every request: with an echo, what comes back is known by its place in it.
    request: Option<Arc<Vec<u8>>>,
    head: Vec<u8>,
    verify: bool,
    checked: Checked,
}

/// One client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RrState {
    /// Bytes of the response that is under way.
    received: u64,
    /// Where the next response byte lies in the server's pattern.
    offset: u64,
}

impl RequestResponse {
    pub(super) fn new(dialect: Dialect, request_bytes: u32, response_bytes: u32, verify: bool) -> Self {
        let head = match dialect {
            Dialect::Echo => Vec::new(),
            Dialect::Sized => RrHeader { request_bytes, response_bytes }.emit().to_vec(),
        };
        let small = request_bytes as usize <= KEPT;
        let request = small.then(|| {
            let mut bytes = head.clone();
            bytes.extend(stretch(0, (request_bytes as usize).saturating_sub(head.len())));
            Arc::new(bytes)
        });
        Self {
            dialect,
            request_bytes: u64::from(request_bytes),
            response_bytes: u64::from(response_bytes),
            request,
            head,
            verify,
            checked: Checked::default(),
        }
    }

    fn is_right(&mut self, state: &RrState, bytes: &[u8]) -> bool {
        if !self.verify {
            return true;
        }
        let offset = match self.dialect {
            Dialect::Echo => state.received,
            Dialect::Sized => state.offset,
        };
        self.checked.compare(offset, bytes)
    }
}

impl Exchange for RequestResponse {
    type State = RrState;

    fn request(&mut self, _state: &mut RrState, wire: &mut dyn Wire) -> bool {
        match &self.request {
            Some(request) => send_all(wire, request),
            None => {
                if !self.head.is_empty() {
                    wire.send(Arc::new(self.head.clone()));
                }
                let len = self.request_bytes - self.head.len() as u64;
                let rest: Arc<dyn SendSource> = Arc::new(Generated { start: 0, len });
                wire.send(rest);
            }
        }
        self.response_bytes > 0
    }

    fn receive(
        &mut self,
        state: &mut RrState,
        _lane: u8,
        _wire: &mut dyn Wire,
        bytes: &[u8],
    ) -> (usize, Event) {
        let missing = self.response_bytes - state.received;
        let n = bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
        if n == 0 {
            return (0, Event::Broken(Cause::Malformed));
        }
        if !self.is_right(state, &bytes[..n]) {
            return (n, Event::Broken(Cause::WrongContent));
        }
        state.received += n as u64;
        state.offset += n as u64;
        if state.received < self.response_bytes {
            return (n, Event::More);
        }
        state.received = 0;
        (n, Event::Done(Answer { body: self.response_bytes, last: false }))
    }

    fn reset(&mut self, state: &mut RrState) {
        *state = RrState::default();
    }

    fn take_checked(&mut self) -> Checked {
        std::mem::take(&mut self.checked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::MAIN;
    use super::super::wire::by_hand::Paper;
    use super::*;

    fn done(body: u64) -> Event {
        Event::Done(Answer { body, last: false })
    }

    #[test]
    fn an_echo_is_done_when_as_much_has_come_back() {
        let mut rr = RequestResponse::new(Dialect::Echo, 100, 100, true);
        let (mut state, mut wire) = (RrState::default(), Paper::default());
        assert!(rr.request(&mut state, &mut wire));
        let echo = wire.written.clone();
        assert_eq!(echo.len(), 100);
        assert_eq!(rr.receive(&mut state, MAIN, &mut wire, &echo[..30]), (30, Event::More));
        // The rest, and the beginning of the next answer, which is not taken with it.
        let more = [&echo[30..], &echo[..10]].concat();
        assert_eq!(rr.receive(&mut state, MAIN, &mut wire, &more), (70, done(100)));
        assert_eq!(rr.receive(&mut state, MAIN, &mut wire, &more[70..]), (10, Event::More));
        assert_eq!(rr.take_checked(), Checked { verified: 110, corrupt: 0, ..Checked::default() });
    }

    #[test]
    fn a_wrong_byte_is_noticed() {
        let mut rr = RequestResponse::new(Dialect::Echo, 100, 100, true);
        let (mut state, mut wire) = (RrState::default(), Paper::default());
        rr.request(&mut state, &mut wire);
        let mut echo = wire.written.clone();
        echo[40] ^= 0x20;
        let (_, event) = rr.receive(&mut state, MAIN, &mut wire, &echo);
        assert_eq!(event, Event::Broken(Cause::WrongContent));
        assert_eq!(rr.take_checked(), Checked { verified: 100, corrupt: 60, ..Checked::default() });
    }

    #[test]
    fn a_sized_request_says_what_it_wants_and_responses_go_on_in_the_pattern() {
        let mut rr = RequestResponse::new(Dialect::Sized, 16, 1000, true);
        let (mut state, mut wire) = (RrState::default(), Paper::default());
        rr.request(&mut state, &mut wire);
        assert_eq!(wire.written.len(), 16);
        assert_eq!(wire.written[..8], [0, 0, 0, 16, 0, 0, 0x03, 0xe8]);
        let stream = stretch(0, 2000);
        assert_eq!(rr.receive(&mut state, MAIN, &mut wire, &stream), (1000, done(1000)));
        assert_eq!(rr.receive(&mut state, MAIN, &mut wire, &stream[1000..]), (1000, done(1000)));
    }

    #[test]
    fn a_large_request_is_read_from_the_pattern() {
        let mut rr = RequestResponse::new(Dialect::Sized, 200_000, 0, true);
        let (mut state, mut wire) = (RrState::default(), Paper::default());
        assert!(!rr.request(&mut state, &mut wire), "nothing comes back");
        assert_eq!(wire.written.len(), 200_000);
    }
}
