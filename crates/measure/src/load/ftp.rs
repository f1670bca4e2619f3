//! An FTP client that fetches or stores one file after another: control connection with login, passive data connections,
//! size and end of each transfer checked (RFC 959, RFC 2428).

use std::io::Write as _;
use std::sync::Arc;

use super::bytes::Generated;
use super::cause::Cause;
use super::exchange::{Answer, Checked, DATA, Event, Exchange, MAIN};
use super::settings::Impossible;
use super::sink::Sink;
use super::wire::Wire;

/// Of `files` by FTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpSettings {
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: String,
    /// Paths, as the server understands them, with their weights.
    pub files: Vec<(String, u32)>,
    /// Files are stored, not fetched: so many bytes of the test pattern under each path, with the client's number behind it.
    pub store: Option<u64>,
}

impl FtpSettings {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        if self.files.iter().all(|(_, weight)| *weight == 0) {
            return Err(Impossible("there is no file to fetch: give a URL".into()));
        }
        if self.store == Some(0) {
            return Err(Impossible("files of 0 bytes measure nothing: raise --size".into()));
        }
        let texts = self.files.iter().map(|(path, _)| path).chain([&self.user, &self.password]);
        for text in texts {
            if text.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0) {
                return Err(Impossible(format!("{text:?} would end the FTP command that it is in")));
            }
        }
        Ok(())
    }

    /// The commands of one round, without the ends of their lines.
    fn commands(&self) -> Vec<Vec<u8>> {
        let verb = if self.store.is_some() { "STOR" } else { "RETR" };
        let most = self.files.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let mut round = Vec::new();
        for turn in 0..most {
            let due = self.files.iter().filter(|(_, weight)| *weight > turn);
            round.extend(due.map(|(path, _)| format!("{verb} {path}").into_bytes()));
        }
        round
    }
}

/// The longest line of a reply that is read.
const MAX_LINE: usize = 4096;

/// The protocol.
pub(super) struct Ftp {
    user: Vec<u8>,
    password: Vec<u8>,
    round: Vec<Vec<u8>>,
    next: usize,
    sink: Sink,
    /// What is stored.
    store: Option<Generated>,
    /// The number of the next client that is to have one.
    clients: u32,
    worker: usize,
    /// Behind the path.
    suffix: Vec<u8>,
    checked: Checked,
}

/// What the next reply answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Greeting,
    User,
    Password,
    Type,
    /// EPSV.
    Port,
    /// RETR: that it begins, and that it has ended.
    Begin,
    End,
    /// No command is under way.
    Nothing,
}

/// One client.
#[derive(Debug, Default)]
pub(super) struct FtpState {
    expected: Expected,
    line: Vec<u8>,
    /// Of a reply of several lines.
    code: Option<u16>,
    command: usize,
    received: u64,
    /// The size that the server has told when it began.
    announced: Option<u64>,
    data_ended: bool,
    replied: bool,
    file: Option<u32>,
    /// Of a client that stores: no two write to the same file.
    number: Option<u32>,
}

impl Ftp {
    /// `first`: where in the round this worker begins.
    pub(super) fn new(settings: &FtpSettings, first: usize, sink: Sink) -> Self {
        Self {
            user: format!("USER {}\r\n", settings.user).into_bytes(),
            password: format!("PASS {}\r\n", settings.password).into_bytes(),
            round: settings.commands(),
            next: first,
            sink,
            store: settings.store.map(|len| Generated { start: 0, len }),
            clients: 0,
            worker: first,
            suffix: Vec::with_capacity(32),
            checked: Checked::default(),
        }
    }

    /// A line of the control connection: what it means, when it ends a reply.
    fn line(&mut self, state: &mut FtpState, wire: &mut dyn Wire) -> Event {
        let line = std::mem::take(&mut state.line);
        let event = match reply(&line, &mut state.code) {
            Ok(Some(code)) => self.reply(state, wire, code, &line),
            Ok(None) => Event::More,
            Err(()) => Event::Broken(Cause::Malformed),
        };
        // Its memory serves for the next line.
        state.line = line;
        state.line.clear();
        event
    }

    fn reply(&mut self, state: &mut FtpState, wire: &mut dyn Wire, code: u16, line: &[u8]) -> Event {
        match (state.expected, code) {
            (Expected::Greeting, 120) => Event::More,
            (Expected::Greeting, 220) => {
                wire.write(&self.user);
                state.expected = Expected::User;
                Event::More
            }
            (Expected::User, 331) => {
                wire.write(&self.password);
                state.expected = Expected::Password;
                Event::More
            }
            (Expected::User | Expected::Password, 230 | 202) => {
                wire.write(b"TYPE I\r\n");
                state.expected = Expected::Type;
                Event::More
            }
            (Expected::Type, 200) => {
                state.expected = Expected::Nothing;
                Event::Ready
            }
            (Expected::Port, 229) => match extended_port(line) {
                Some(port) => {
                    let command = self.round.get(state.command).map(Vec::as_slice).unwrap_or_default();
                    wire.write(command);
                    if self.store.is_some() {
                        let clients = &mut self.clients;
                        let number = *state.number.get_or_insert_with(|| {
                            *clients += 1;
                            *clients - 1
                        });
                        self.suffix.clear();
                        // Writing to memory does not fail.
                        let _ = write!(self.suffix, ".{}-{number}", self.worker);
                        wire.write(&self.suffix);
                    }
                    wire.write(b"\r\n");
                    state.expected = Expected::Begin;
                    Event::Open(port)
                }
                None => Event::Broken(Cause::Malformed),
            },
            (Expected::Begin, 125 | 150) => {
                state.announced = announced_size(line);
                state.expected = Expected::End;
                Event::More
            }
            (Expected::End, 226 | 250) => {
                state.replied = true;
                self.completed(state)
            }
            _ => {
                self.checked.codes.note(Cause::FtpRefused, code);
                Event::Broken(Cause::FtpRefused)
            }
        }
    }

    /// A file is there when the server says so and its connection has ended.
    fn completed(&mut self, state: &mut FtpState) -> Event {
        if !state.replied || !state.data_ended {
            return Event::More;
        }
        state.expected = Expected::Nothing;
        if let Some(file) = state.file {
            self.sink.end(file);
        }
        let body = self.store.map_or(state.received, |file| file.len);
        let answer = Answer { body, last: false };
        // What servers say at the beginning of a transfer to them is no size.
        match self.store.is_none() && state.announced.is_some_and(|size| size != state.received) {
            true => Event::Failed(Cause::Truncated, answer),
            false => Event::Done(answer),
        }
    }
}

impl Exchange for Ftp {
    type State = FtpState;

    fn opened(&mut self, _state: &mut FtpState, _wire: &mut dyn Wire) -> bool {
        false
    }

    fn request(&mut self, state: &mut FtpState, wire: &mut dyn Wire) -> bool {
        let count = self.round.len().max(1);
        state.command = self.next % count;
        self.next = (self.next + 1) % count;
        state.expected = Expected::Port;
        (state.received, state.announced, state.data_ended, state.replied) = (0, None, false, false);
        wire.write(b"EPSV\r\n");
        true
    }

    fn lane_opened(&mut self, _state: &mut FtpState, wire: &mut dyn Wire) {
        if let Some(file) = self.store {
            wire.send(Arc::new(file));
            wire.close();
        }
    }

    fn takes_unasked(&self) -> bool {
        true
    }

    fn payload_lane(&self) -> u8 {
        DATA
    }

    fn receive(
        &mut self,
        state: &mut FtpState,
        lane: u8,
        wire: &mut dyn Wire,
        bytes: &[u8],
    ) -> (usize, Event) {
        if lane == DATA {
            state.received += bytes.len() as u64;
            if self.sink.keeps() {
                let file = *state.file.get_or_insert_with(|| self.sink.begin());
                let kept = self.sink.write(file, bytes);
                wire.set_unread(self.sink.unwritten(file));
                if !kept {
                    return (bytes.len(), Event::Broken(Cause::SinkFailed));
                }
            }
            return (bytes.len(), Event::More);
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let line = &bytes[..end.unwrap_or(bytes.len())];
        if state.line.len() + line.len() > MAX_LINE {
            return (bytes.len(), Event::Broken(Cause::Malformed));
        }
        state.line.extend_from_slice(line);
        match end {
            Some(end) => (end + 1, self.line(state, wire)),
            None => (bytes.len(), Event::More),
        }
    }

    fn peer_closed(&mut self, state: &mut FtpState, lane: u8, pending: bool) -> Event {
        if lane == MAIN {
            return if pending { Event::Broken(Cause::ClosedEarly) } else { Event::More };
        }
        state.data_ended = true;
        self.completed(state)
    }

    fn finish(&mut self, _state: &mut FtpState, wire: &mut dyn Wire) -> bool {
        wire.write(b"QUIT\r\n");
        false
    }

    fn reset(&mut self, state: &mut FtpState) {
        if let Some(file) = state.file.take() {
            self.sink.give_up(file);
        }
        *state = FtpState { number: state.number, ..FtpState::default() };
    }

    fn take_checked(&mut self) -> Checked {
        std::mem::take(&mut self.checked)
    }

    fn unwritten(&mut self, state: &FtpState) -> Option<usize> {
        state.file.map(|file| self.sink.unwritten(file))
    }
}

/// Takes a line of a reply, and tells its code when it is the last (RFC 959 section 4.2).
fn reply(line: &[u8], open: &mut Option<u16>) -> Result<Option<u16>, ()> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let code = digits.map(|digits| digits.iter().fold(0, |code, d| code * 10 + u16::from(d - b'0')));
    let last = !matches!(line.get(3), Some(b'-'));
    match (*open, code) {
        (Some(begun), Some(code)) if begun == code && last => {
            *open = None;
            Ok(Some(code))
        }
        (Some(_), _) => Ok(None),
        (None, Some(code)) if last => Ok(Some(code)),
        (None, Some(code)) => {
            *open = Some(code);
            Ok(None)
        }
        (None, None) => Err(()),
    }
}

/// The port of `229 Entering Extended Passive Mode (|||6446|)` (RFC 2428 section 3).
fn extended_port(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line).ok()?;
    let inner = text.split_once('(')?.1.split_once(')')?.0;
    let delimiter = inner.chars().next()?;
    let mut fields = inner.split(delimiter).skip(3);
    fields.next()?.parse().ok().filter(|port| *port != 0)
}

/// The size in `150 Opening BINARY mode data connection for a (26752 bytes).`, which many servers tell.
fn announced_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let before = text.split(" bytes").next().filter(|before| before.len() < text.len())?;
    before.rsplit('(').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::wire::by_hand::Paper;
    use super::*;

    fn ftp() -> (Ftp, FtpState, Paper) {
        let settings = FtpSettings {
            user: "u".into(),
            password: "p".into(),
            files: vec![("/a".into(), 1)],
            store: None,
        };
        (Ftp::new(&settings, 0, Sink::null()), FtpState::default(), Paper::default())
    }

    /// Hands in lines of the control connection: the last event.
    fn says(ftp: &mut Ftp, state: &mut FtpState, wire: &mut Paper, text: &str) -> Event {
        let mut event = Event::More;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (n, now) = ftp.receive(state, MAIN, wire, rest);
            rest = &rest[n..];
            event = now;
        }
        event
    }

    fn logged_in() -> (Ftp, FtpState, Paper) {
        let (mut ftp, mut state, mut wire) = ftp();
        let mut say = |text: &str| says(&mut ftp, &mut state, &mut wire, text);
        assert_eq!(say("220-Welcome\r\n220 to all\r\n"), Event::More);
        assert_eq!(say("331 password?\r\n"), Event::More);
        assert_eq!(say("230 in\r\n"), Event::More);
        assert_eq!(say("200 binary\r\n"), Event::Ready);
        assert_eq!(wire.written, b"USER u\r\nPASS p\r\nTYPE I\r\n");
        wire.written.clear();
        (ftp, state, wire)
    }

    #[test]
    fn a_file_is_complete_when_the_reply_and_the_end_of_the_data_are_there() {
        for reply_first in [true, false] {
            let (mut ftp, mut state, mut wire) = logged_in();
            ftp.request(&mut state, &mut wire);
            let event = says(&mut ftp, &mut state, &mut wire, "229 Extended (|||6446|)\r\n");
            assert_eq!(event, Event::Open(6446));
            assert_eq!(wire.written, b"EPSV\r\nRETR /a\r\n");
            ftp.receive(&mut state, DATA, &mut wire, b"content");
            says(&mut ftp, &mut state, &mut wire, "150 Opening for /a (7 bytes).\r\n");
            let done = Event::Done(Answer { body: 7, last: false });
            if reply_first {
                assert_eq!(says(&mut ftp, &mut state, &mut wire, "226 done\r\n"), Event::More);
                assert_eq!(ftp.peer_closed(&mut state, DATA, true), done);
            } else {
                assert_eq!(ftp.peer_closed(&mut state, DATA, true), Event::More);
                assert_eq!(says(&mut ftp, &mut state, &mut wire, "226 done\r\n"), done);
            }
        }
    }

    #[test]
    fn a_client_that_stores_sends_its_file_under_a_name_of_its_own() {
        let (_, mut state, mut wire) = ftp();
        let settings = FtpSettings {
            user: "u".into(),
            password: "p".into(),
            files: vec![("/a".into(), 1)],
            store: Some(1_000),
        };
        let mut ftp = Ftp::new(&settings, 2, Sink::null());
        says(&mut ftp, &mut state, &mut wire, "220 hi\r\n230 in\r\n200 binary\r\n");
        wire.written.clear();
        ftp.request(&mut state, &mut wire);
        let event = says(&mut ftp, &mut state, &mut wire, "229 Extended (|||6446|)\r\n");
        assert_eq!(event, Event::Open(6446));
        assert_eq!(wire.written, b"EPSV\r\nSTOR /a.2-0\r\n");
        let mut data = Paper::default();
        ftp.lane_opened(&mut state, &mut data);
        assert_eq!((data.written.len(), data.closed), (1_000, true));
        says(&mut ftp, &mut state, &mut wire, "150 Ok to send data.\r\n");
        assert_eq!(ftp.peer_closed(&mut state, DATA, true), Event::More);
        let done = Event::Done(Answer { body: 1_000, last: false });
        assert_eq!(says(&mut ftp, &mut state, &mut wire, "226 done\r\n"), done);
    }

    #[test]
    fn a_file_shorter_than_announced_has_failed() {
        let (mut ftp, mut state, mut wire) = logged_in();
        ftp.request(&mut state, &mut wire);
        says(&mut ftp, &mut state, &mut wire, "229 (|||6446|)\r\n150 for /a (7 bytes)\r\n");
        ftp.receive(&mut state, DATA, &mut wire, b"cont");
        ftp.peer_closed(&mut state, DATA, true);
        let event = says(&mut ftp, &mut state, &mut wire, "226 done\r\n");
        assert_eq!(event, Event::Failed(Cause::Truncated, Answer { body: 4, last: false }));
    }

    #[test]
    fn refusals_and_other_protocols_are_noticed() {
        for (text, cause) in [
            ("530 no\r\n", Cause::FtpRefused),
            ("421 busy\r\n", Cause::FtpRefused),
            ("HTTP/1.1 200 OK\r\n", Cause::Malformed),
        ] {
            let (mut ftp, mut state, mut wire) = ftp();
            let event = says(&mut ftp, &mut state, &mut wire, text);
            assert_eq!(event, Event::Broken(cause), "{text}");
            let code = text[..3].parse().ok().filter(|_| cause == Cause::FtpRefused);
            assert_eq!(ftp.take_checked().codes.of(cause), code, "{text}");
        }
    }
}
