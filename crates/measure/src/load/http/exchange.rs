//! An HTTP client on one connection.

use std::sync::Arc;

use super::body::{Body, Step};
use super::head;
use super::request::{HttpSettings, Method, Prepared};
use crate::load::cause::Cause;
use crate::load::exchange::{Answer, Checked, Event, Exchange};
use crate::load::sink::Sink;
use crate::load::wire::Wire;

/// The protocol.
pub(in crate::load) struct Http {
    round: Vec<Prepared>,
    next: usize,
    bodiless: bool,
    keep_alive: bool,
    expected_status: Option<u16>,
    expected_body: Option<Arc<Vec<u8>>>,
    sink: Sink,
    checked: Checked,
}

/// One client.
#[derive(Debug, Default)]
pub(in crate::load) struct HttpState {
    /// Of a head that did not come in one piece.
    head: Vec<u8>,
    body: Option<Body>,
    status: u16,
    keeps_alive: bool,
    received: u64,
    wrong: bool,
    file: Option<u32>,
}

impl Http {
    /// `first`: where in the round this worker begins.
    pub(in crate::load) fn new(settings: &HttpSettings, first: usize, verify: bool, sink: Sink) -> Self {
        Self {
            round: settings.requests(),
            next: first,
            bodiless: settings.method == Method::Head,
            keep_alive: settings.keep_alive,
            expected_status: settings.expected_status,
            expected_body: settings.expected_body.clone().filter(|_| verify),
            sink,
            checked: Checked::default(),
        }
    }

    /// Reads a head, from what came before and these bytes: how many of them belong to it.
    fn take_head(
        &self,
        state: &mut HttpState,
        bytes: &[u8],
    ) -> Result<(usize, Option<head::Head>), head::Malformed> {
        if state.head.is_empty() {
            return Ok(match head::parse(bytes, self.bodiless)? {
                Some((head, len)) => (len, Some(head)),
                None => {
                    state.head.extend_from_slice(bytes);
                    (bytes.len(), None)
                }
            });
        }
        let before = state.head.len();
        state.head.extend_from_slice(bytes);
        Ok(match head::parse(&state.head, self.bodiless)? {
            Some((head, len)) => {
                state.head.clear();
                (len.saturating_sub(before), Some(head))
            }
            None => (bytes.len(), None),
        })
    }

    /// Looks at a piece of a body. `false`: it cannot be kept.
    fn content(&mut self, state: &mut HttpState, wire: &mut dyn Wire, bytes: &[u8]) -> bool {
        if let Some(expected) = &self.expected_body {
            let at = usize::try_from(state.received).unwrap_or(usize::MAX);
            let right = expected.get(at..).and_then(|rest| rest.get(..bytes.len())) == Some(bytes);
            self.checked.verified += bytes.len() as u64;
            if !right {
                self.checked.corrupt += bytes.len() as u64;
                state.wrong = true;
            }
        }
        state.received += bytes.len() as u64;
        if !self.sink.keeps() || bytes.is_empty() {
            return true;
        }
        let file = *state.file.get_or_insert_with(|| self.sink.begin());
        let kept = self.sink.write(file, bytes);
        wire.set_unread(self.sink.unwritten(file));
        kept
    }

    fn complete(&mut self, state: &mut HttpState) -> Event {
        if let Some(file) = state.file {
            self.sink.end(file);
        }
        let answer = Answer { body: state.received, last: !state.keeps_alive || !self.keep_alive };
        let short = self
            .expected_body
            .as_ref()
            .is_some_and(|expected| state.received != expected.len() as u64 && !self.bodiless);
        let right = match self.expected_status {
            Some(expected) => state.status == expected,
            None => (200..300).contains(&state.status),
        };
        let status = state.status;
        let wrong = state.wrong || short;
        let (head, file) = (std::mem::take(&mut state.head), state.file);
        *state = HttpState { head, file, ..HttpState::default() };
        if right {
            return if wrong { Event::Failed(Cause::WrongContent, answer) } else { Event::Done(answer) };
        }
        let cause = match status {
            400..=499 => Cause::Status4xx,
            500.. => Cause::Status5xx,
            _ => Cause::StatusOther,
        };
        self.checked.codes.note(cause, status);
        Event::Failed(cause, answer)
    }
}

impl Exchange for Http {
    type State = HttpState;

    fn request(&mut self, _state: &mut HttpState, wire: &mut dyn Wire) -> bool {
        let count = self.round.len().max(1);
        if let Some(request) = self.round.get(self.next % count) {
            request.send(wire);
        }
        self.next = (self.next + 1) % count;
        true
    }

    fn receive(
        &mut self,
        state: &mut HttpState,
        _lane: u8,
        wire: &mut dyn Wire,
        bytes: &[u8],
    ) -> (usize, Event) {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(mut body) = state.body else {
                if rest.is_empty() {
                    return (at, Event::More);
                }
                match self.take_head(state, rest) {
                    Err(head::Malformed) => return (bytes.len(), Event::Broken(Cause::Malformed)),
                    Ok((n, None)) => return (at + n, Event::More),
                    Ok((n, Some(head))) => {
                        at += n;
                        // Interim answers: the one that counts is still to come (RFC 9110 section 15.2).
                        if head.status >= 200 {
                            state.body = Some(Body::new(head.framing));
                            (state.status, state.keeps_alive) = (head.status, head.keeps_alive);
                        }
                    }
                }
                continue;
            };
            // A body without length ends here; any other needs bytes.
            if rest.is_empty() && body != Body::Length(0) {
                return (at, Event::More);
            }
            match body.take(rest) {
                Err(head::Malformed) => return (bytes.len(), Event::Broken(Cause::Malformed)),
                Ok(Step::Content(n, content)) => {
                    state.body = Some(body);
                    at += n;
                    if !self.content(state, wire, content) {
                        return (bytes.len(), Event::Broken(Cause::SinkFailed));
                    }
                }
                Ok(Step::End(n)) => return (at + n, self.complete(state)),
            }
        }
    }

    fn peer_closed(&mut self, state: &mut HttpState, _lane: u8, pending: bool) -> Event {
        match state.body {
            Some(Body::UntilClose) => self.complete(state),
            Some(_) => Event::Broken(Cause::Truncated),
            None if pending && !state.head.is_empty() => Event::Broken(Cause::Truncated),
            None if pending => Event::Broken(Cause::ClosedEarly),
            None => Event::More,
        }
    }

    fn reset(&mut self, state: &mut HttpState) {
        if let Some(file) = state.file.take() {
            self.sink.give_up(file);
        }
        *state = HttpState::default();
    }

    fn take_checked(&mut self) -> Checked {
        std::mem::take(&mut self.checked)
    }

    fn unwritten(&mut self, state: &HttpState) -> Option<usize> {
        state.file.map(|file| self.sink.unwritten(file))
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Page;
    use super::*;
    use crate::load::exchange::MAIN;
    use crate::load::wire::by_hand::Paper;

    fn http(expected: Option<&[u8]>) -> (Http, HttpState, Paper) {
        let settings = HttpSettings {
            authority: "h".into(),
            pages: vec![Page { path: "/".into(), weight: 1 }],
            method: Method::Get,
            headers: Vec::new(),
            body: Arc::default(),
            keep_alive: true,
            expected_body: expected.map(|body| Arc::new(body.to_vec())),
            expected_status: None,
        };
        (Http::new(&settings, 0, true, Sink::null()), HttpState::default(), Paper::default())
    }

    /// All events but `More` that these bytes lead to, in pieces of that size.
    fn events(expected: Option<&[u8]>, bytes: &[u8], piece: usize) -> Vec<Event> {
        let (mut http, mut state, mut wire) = http(expected);
        let mut events = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (n, event) = http.receive(&mut state, MAIN, &mut wire, rest);
                rest = &rest[n..];
                if event != Event::More {
                    events.push(event);
                }
            }
        }
        events
    }

    fn done(body: u64) -> Event {
        Event::Done(Answer { body, last: false })
    }

    #[test]
    fn pipelined_answers_are_told_apart_however_they_are_cut() {
        let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        let failed = Event::Failed(Cause::Status4xx, Answer { body: 2, last: false });
        for piece in [1, 2, 7, 50, 1000] {
            let seen: Vec<Event> = events(None, answers, piece);
            assert_eq!(seen.len(), 4, "in pieces of {piece}: {seen:?}");
            assert_eq!(seen[..3], [done(3), done(4), done(0)], "in pieces of {piece}");
            // Its last bytes end the body without another call when the piece ends with them.
            assert_eq!(seen[3], failed);
        }
    }

    #[test]
    fn a_body_is_compared_with_what_it_should_be() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(events(Some(b"abc"), answer, 5), [done(3)]);
        let wrong = Event::Failed(Cause::WrongContent, Answer { body: 3, last: false });
        assert_eq!(events(Some(b"abX"), answer, 5), [wrong]);
        assert_eq!(events(Some(b"abcd"), answer, 5), [wrong], "too short");
        assert_eq!(events(Some(b"ab"), answer, 5), [wrong], "too long");
    }

    #[test]
    fn a_server_that_closes_in_the_middle_has_truncated() {
        let (mut http, mut state, mut wire) = http(None);
        http.receive(&mut state, MAIN, &mut wire, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
        assert_eq!(http.peer_closed(&mut state, MAIN, true), Event::Broken(Cause::Truncated));
        http.reset(&mut state);
        assert_eq!(http.peer_closed(&mut state, MAIN, true), Event::Broken(Cause::ClosedEarly));
        assert_eq!(http.peer_closed(&mut state, MAIN, false), Event::More, "idle: it may");
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let (mut http, mut state, mut wire) = http(None);
        let answer = b"HTTP/1.0 200 OK\r\n\r\nall of it";
        let (n, event) = http.receive(&mut state, MAIN, &mut wire, answer);
        assert_eq!((n, event), (answer.len(), Event::More));
        let done = Event::Done(Answer { body: 9, last: true });
        assert_eq!(http.peer_closed(&mut state, MAIN, true), done);
    }

    #[test]
    fn another_protocol_is_noticed() {
        assert_eq!(events(None, b"220 ready\r\n", 100), [Event::Broken(Cause::Malformed)]);
    }
}
