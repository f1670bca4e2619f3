//! As many bytes as a connection takes, up, down or both, for `stream`: to a server that discards, from one that sends
//! whatever it likes, to and from an echo, or with a header to `bypath serve --stream`, which checks and reports.

use std::sync::Arc;

use bypath::SendSource;
use bypath_apps::serve::load_protocol::{PATTERN_PERIOD, StreamHeader, StreamReport};

use super::bytes::Generated;
use super::cause::Cause;
use super::exchange::{Answer, Checked, Event, Exchange};
use super::sink::Sink;
use super::wire::Wire;

/// What is given to a connection at once: whole periods of the pattern, so that one source serves for all.
const CHUNK: u64 = PATTERN_PERIOD * 64;
/// How much is given before it is acknowledged; more than any window, and it costs no memory.
const AHEAD: u64 = 16 * CHUNK;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Nothing but the bytes: to a server that discards, from one that sends.
    Plain,
    /// What is sent comes back.
    Echo,
    /// The header and the report of `bypath serve --stream`.
    Reported,
}

/// What is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) up: bool,
    pub(super) down: bool,
    /// Bytes of a transfer, in each direction; none: until the time is up, or the server closes.
    pub(super) size: Option<u64>,
    pub(super) dialect: Dialect,
    pub(super) verify: bool,
}

/// The protocol.
pub(super) struct Stream {
    plan: Plan,
    /// What is sent instead of the pattern.
    file: Option<Arc<dyn SendSource>>,
    chunk: Arc<dyn SendSource>,
    sink: Sink,
    checked: Checked,
}

/// One client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamState {
    /// Bytes given to be sent, without the header.
    given: u64,
    received: u64,
    report: [u8; StreamReport::LEN],
    report_len: usize,
    begun: bool,
    sent_all: bool,
    closed: bool,
    file: Option<u32>,
}

impl Stream {
    pub(super) fn new(plan: Plan, file: Option<Arc<dyn SendSource>>, sink: Sink) -> Self {
        let chunk = Arc::new(Generated { start: 0, len: CHUNK });
        Self { plan, file, chunk, sink, checked: Checked::default() }
    }

    /// Gives more to be sent, as long as there is more.
    fn top_up(&self, state: &mut StreamState, wire: &mut dyn Wire) {
        if !self.plan.up || state.closed {
            return;
        }
        match (&self.file, self.plan.size) {
            (Some(file), _) if state.given == 0 => {
                wire.send(file.clone());
                state.given = file.len();
            }
            (Some(_), _) => {}
            (None, Some(size)) if state.given == 0 => {
                wire.send(Arc::new(Generated { start: 0, len: size }));
                state.given = size;
            }
            (None, Some(_)) => {}
            (None, None) => {
                while wire.outstanding() < AHEAD {
                    wire.send(self.chunk.clone());
                    state.given += CHUNK;
                }
            }
        }
    }

    /// Whether all that is to be sent has been acknowledged.
    fn sent_all(&self, state: &StreamState, wire: &dyn Wire) -> bool {
        let finite = self.file.is_some() || self.plan.size.is_some();
        !self.plan.up || finite && state.begun && wire.outstanding() == 0
    }

    fn received_all(&self, state: &StreamState) -> bool {
        match self.plan.dialect {
            Dialect::Reported => state.report_len == StreamReport::LEN,
            _ => !self.plan.down || self.plan.size.is_some_and(|size| state.received >= size),
        }
    }

    /// After anything has moved: the end of this direction, or of the transfer.
    fn progress(&mut self, state: &mut StreamState, wire: &mut dyn Wire) -> Event {
        state.sent_all |= self.sent_all(state, wire);
        // The report comes when we have closed our direction.
        let last_word = state.sent_all && self.plan.size.is_some() | self.file.is_some();
        let waits = self.plan.dialect == Dialect::Reported && last_word && !state.closed;
        if waits && (!self.plan.down || self.plan.size.is_some_and(|size| state.received >= size)) {
            state.closed = true;
            wire.close();
        }
        if !state.begun || !state.sent_all || !self.received_all(state) {
            return Event::More;
        }
        self.complete(state)
    }

    fn complete(&mut self, state: &mut StreamState) -> Event {
        state.begun = false;
        if let Some(file) = state.file {
            self.sink.end(file);
        }
        let answer = Answer { body: state.received.max(state.given), last: true };
        if self.plan.dialect == Dialect::Reported {
            let report = StreamReport::parse(state.report);
            if self.plan.up && (report.received != state.given || report.wrong_at.is_some()) {
                return Event::Broken(Cause::WrongContent);
            }
            if self.plan.down && report.sent != state.received {
                return Event::Broken(Cause::Truncated);
            }
        }
        Event::Done(answer)
    }

    fn is_right(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let known = self.plan.dialect == Dialect::Reported || self.plan.dialect == Dialect::Echo;
        // What a file echoes is not the pattern.
        if !self.plan.verify || !known || self.file.is_some() {
            return true;
        }
        self.checked.compare(offset, bytes)
    }
}

impl Exchange for Stream {
    type State = StreamState;

    fn request(&mut self, state: &mut StreamState, wire: &mut dyn Wire) -> bool {
        state.begun = true;
        if self.plan.dialect == Dialect::Reported {
            let down_bytes = self.plan.size.filter(|_| self.plan.down).unwrap_or(0);
            let check = self.plan.up && self.plan.verify && self.file.is_none();
            let header = StreamHeader { up: self.plan.up, down: self.plan.down, check, down_bytes };
            wire.write(&header.emit());
        }
        self.top_up(state, wire);
        true
    }

    fn takes_unasked(&self) -> bool {
        // A source sends as soon as it has accepted.
        self.plan.dialect == Dialect::Plain
    }

    fn receive(
        &mut self,
        state: &mut StreamState,
        _lane: u8,
        wire: &mut dyn Wire,
        bytes: &[u8],
    ) -> (usize, Event) {
        let mut payload = bytes;
        if let (Dialect::Plain, true, Some(size)) = (self.plan.dialect, self.plan.down, self.plan.size) {
            // Who sends without end does not end its segments at our size.
            let left = usize::try_from(size - state.received.min(size)).unwrap_or(usize::MAX);
            payload = &bytes[..bytes.len().min(left)];
        }
        if self.plan.dialect == Dialect::Reported {
            let left = match (self.plan.down, self.plan.size) {
                (false, _) => 0,
                (true, Some(size)) => size - state.received.min(size),
                (true, None) => u64::MAX,
            };
            let (now, report) = bytes.split_at(bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            payload = now;
            let room = StreamReport::LEN - state.report_len;
            if report.len() > room {
                return (bytes.len(), Event::Broken(Cause::Malformed));
            }
            state.report[state.report_len..][..report.len()].copy_from_slice(report);
            state.report_len += report.len();
        }
        if !self.is_right(state.received, payload) {
            return (bytes.len(), Event::Broken(Cause::WrongContent));
        }
        if self.sink.keeps() && self.plan.down && !payload.is_empty() {
            let file = *state.file.get_or_insert_with(|| self.sink.begin());
            if !self.sink.write(file, payload) {
                return (bytes.len(), Event::Broken(Cause::SinkFailed));
            }
            wire.set_unread(self.sink.unwritten(file));
        }
        state.received += payload.len() as u64;
        (bytes.len(), self.progress(state, wire))
    }

    fn acknowledged(&mut self, state: &mut StreamState, wire: &mut dyn Wire) -> Event {
        if state.begun {
            self.top_up(state, wire);
        }
        self.progress(state, wire)
    }

    fn peer_closed(&mut self, state: &mut StreamState, _lane: u8, pending: bool) -> Event {
        if !pending {
            return Event::More;
        }
        match (self.plan.dialect, self.plan.size) {
            // Until the server closes: that is how it says that this was all.
            (Dialect::Plain, None) if self.plan.down && !self.plan.up => self.complete(state),
            (_, Some(size)) if self.plan.down && state.received < size => Event::Broken(Cause::Truncated),
            _ => Event::Broken(Cause::ClosedEarly),
        }
    }

    fn finish(&mut self, state: &mut StreamState, wire: &mut dyn Wire) -> bool {
        if let Some(file) = state.file {
            self.sink.end(file);
        }
        wire.outstanding() > 0 || self.plan.down
    }

    fn reset(&mut self, state: &mut StreamState) {
        if let Some(file) = state.file.take() {
            self.sink.give_up(file);
        }
        *state = StreamState::default();
    }

    fn take_checked(&mut self) -> Checked {
        std::mem::take(&mut self.checked)
    }

    fn unwritten(&mut self, state: &StreamState) -> Option<usize> {
        state.file.map(|file| self.sink.unwritten(file))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::mismatch;
    use super::super::bytes::stretch;
    use super::super::exchange::MAIN;
    use super::super::settings::SinkSettings;
    use super::super::sink::SinkWriter;
    use super::super::wire::by_hand::Paper;
    use super::*;

    const UP: Plan = Plan { up: true, down: false, size: None, dialect: Dialect::Plain, verify: true };

    fn stream(plan: Plan) -> (Stream, StreamState, Paper) {
        (Stream::new(plan, None, Sink::null()), StreamState::default(), Paper::default())
    }

    fn done(body: u64) -> Event {
        Event::Done(Answer { body, last: true })
    }

    #[test]
    fn a_timed_upload_never_runs_out_of_bytes() {
        let (mut stream, mut state, mut wire) = stream(UP);
        stream.request(&mut state, &mut wire);
        for _ in 0..5 {
            assert!(wire.outstanding() >= AHEAD);
            wire.acknowledged = wire.written.len() as u64;
            assert_eq!(stream.acknowledged(&mut state, &mut wire), Event::More);
        }
        assert_eq!(mismatch(0, &wire.written), None, "one pattern without a seam");
        assert!(stream.finish(&mut state, &mut wire), "nobody waits for the rest");
    }

    #[test]
    fn a_sized_upload_is_done_when_all_is_acknowledged() {
        let (mut stream, mut state, mut wire) = stream(Plan { size: Some(1000), ..UP });
        stream.request(&mut state, &mut wire);
        wire.acknowledged = 999;
        assert_eq!(stream.acknowledged(&mut state, &mut wire), Event::More);
        wire.acknowledged = 1000;
        assert_eq!(stream.acknowledged(&mut state, &mut wire), done(1000));
    }

    #[test]
    fn a_reported_upload_is_done_when_the_server_confirms_it() {
        let plan = Plan { size: Some(1000), dialect: Dialect::Reported, ..UP };
        for (said, expected) in [(1000, done(1000)), (999, Event::Broken(Cause::WrongContent))] {
            let (mut stream, mut state, mut wire) = stream(plan);
            stream.request(&mut state, &mut wire);
            assert_eq!(wire.written.len(), 1016);
            wire.acknowledged = 1016;
            assert_eq!(stream.acknowledged(&mut state, &mut wire), Event::More);
            assert!(wire.closed, "the report comes after our end");
            let report = StreamReport { received: said, wrong_at: None, sent: 0 }.emit();
            let (_, event) = stream.receive(&mut state, MAIN, &mut wire, &report[..10]);
            assert_eq!(event, Event::More);
            assert_eq!(stream.receive(&mut state, MAIN, &mut wire, &report[10..]), (14, expected));
        }
    }

    #[test]
    fn a_reported_download_is_checked() {
        let plan = Plan { up: false, down: true, size: Some(1000), dialect: Dialect::Reported, verify: true };
        let (mut stream, mut state, mut wire) = stream(plan);
        stream.request(&mut state, &mut wire);
        assert_eq!(wire.written[4], 2);
        let all = stretch(0, 1000);
        stream.receive(&mut state, MAIN, &mut wire, &all);
        assert!(wire.closed);
        let report = StreamReport { received: 0, wrong_at: None, sent: 1000 }.emit();
        assert_eq!(stream.receive(&mut state, MAIN, &mut wire, &report), (24, done(1000)));
        stream.reset(&mut state);
        stream.request(&mut state, &mut wire);
        let (_, event) = stream.receive(&mut state, MAIN, &mut wire, &all[1..]);
        assert_eq!(event, Event::Broken(Cause::WrongContent));
    }

    #[test]
    fn a_plain_download_ends_with_the_server_or_with_its_size() {
        let plan = Plan { up: false, down: true, ..UP };
        let (mut stream, mut state, mut wire) = stream(plan);
        stream.request(&mut state, &mut wire);
        assert_eq!(stream.receive(&mut state, MAIN, &mut wire, b"whatever"), (8, Event::More));
        assert_eq!(stream.peer_closed(&mut state, MAIN, true), done(8));

        let sized = Plan { size: Some(10), ..plan };
        let (mut stream, mut state, mut wire) = self::stream(sized);
        stream.request(&mut state, &mut wire);
        stream.receive(&mut state, MAIN, &mut wire, b"whatever");
        assert_eq!(stream.peer_closed(&mut state, MAIN, true), Event::Broken(Cause::Truncated));
    }

    #[test]
    fn a_sized_download_keeps_no_byte_more_whatever_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let (sink, writer) = SinkWriter::start(&SinkSettings::File(path.clone()), 0).unwrap();
        let plan = Plan { up: false, down: true, size: Some(1000), ..UP };
        let mut stream = Stream::new(plan, None, sink);
        let (mut state, mut wire) = (StreamState::default(), Paper::default());
        stream.request(&mut state, &mut wire);
        let segment = [7; 300];
        let events: Vec<Event> =
            (0..4).map(|_| stream.receive(&mut state, MAIN, &mut wire, &segment).1).collect();
        assert_eq!(events, [Event::More, Event::More, Event::More, done(1000)]);
        drop(stream);
        assert_eq!(writer.unwrap().finish(), None);
        assert_eq!(std::fs::read(&path).unwrap(), [7; 1000]);
    }
}
