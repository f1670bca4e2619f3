//! Applications: for each end of a connection a little script of what it writes and when, and a way of reading.
//! Every byte is checked against the pattern that the other end writes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bypath::by_hand::{Stack, TcpSocket};
use bypath_lab::Pattern;

use crate::invariants::{Offer, Violation};
use crate::link::nanos;

/// One thing that an application does, after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes so many bytes.
    Write(u64),
    /// Goes on when it has read so many bytes in all.
    Await(u64),
    /// Goes on when the peer has sent all it will send.
    AwaitEnd,
    /// Does nothing for a while.
    Pause(Duration),
    /// Has no more to write; reads on.
    Finish,
    /// Resets the connection.
    Abort,
}

/// How an end of a connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it does.
    pub steps: Vec<Step>,
    /// Most bytes of one write, and the pause after each.
    pub write: (usize, Duration),
    /// Most bytes of one read, and the pause after each.
    pub read: (usize, Duration),
    /// Without Nagle's algorithm.
    pub nodelay: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            steps: vec![Step::Finish],
            write: (1 << 14, Duration::ZERO),
            read: (1 << 14, Duration::ZERO),
            nodelay: false,
        }
    }
}

impl Script {
    /// Writes so many bytes at once, then has no more.
    pub fn bulk(bytes: u64) -> Self {
        Self { steps: vec![Step::Write(bytes), Step::Finish], ..Self::default() }
    }

    /// Only reads.
    pub fn sink() -> Self {
        Self::default()
    }

    /// Bytes that it writes in all, if it gets that far.
    pub fn total(&self) -> u64 {
        self.steps.iter().map(|s| if let Step::Write(n) = s { *n } else { 0 }).sum()
    }

    /// Whether it ends by a reset.
    pub fn aborts(&self) -> bool {
        self.steps.contains(&Step::Abort)
    }
}

/// How far an end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not opened, or not accepted yet.
    Waiting,
    /// Open, or opening.
    Open,
    /// All written, all read, closed.
    Done,
    /// Reset, by itself.
    Aborted,
    /// Ended by an error.
    Failed(ErrorKind),
}

/// An end of a connection in use.
#[derive(Debug)]
pub struct Endpoint {
    /// Its host.
    pub host: usize,
    /// Own address.
    pub local: SocketAddr,
    /// The other end's.
    pub remote: SocketAddr,
    /// The socket while it is open.
    pub socket: Option<TcpSocket>,
    /// Bytes that the stack has taken.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
    /// How far it is.
    pub progress: Progress,
    /// When it was done, nanoseconds.
    pub done_at: u64,
    /// When the last byte was read, nanoseconds.
    pub last_read_at: u64,
    pub(crate) wake_at: u64,
    script: Script,
    own: Pattern,
    peers: Pattern,
    seed: u64,
    step: usize,
    /// Of the present step.
    done: u64,
    writes_at: u64,
    reads_at: u64,
    /// What the stack is likely to take at once: more is not made to be thrown away.
    fits: usize,
    connected: bool,
    end_seen: bool,
    pub(crate) closed: bool,
    receive_limit: Option<u64>,
}

impl Endpoint {
    pub(crate) fn new(
        host: usize,
        (local, remote): (SocketAddr, SocketAddr),
        script: Script,
        (own, peers): (u64, u64),
        receive_limit: Option<u64>,
    ) -> Self {
        Self {
            host,
            local,
            remote,
            socket: None,
            sent: 0,
            received: 0,
            progress: Progress::Waiting,
            done_at: 0,
            last_read_at: 0,
            wake_at: u64::MAX,
            script,
            own: Pattern::new(own),
            peers: Pattern::new(peers),
            seed: own,
            step: 0,
            done: 0,
            writes_at: 0,
            reads_at: 0,
            fits: usize::MAX,
            connected: false,
            end_seen: false,
            closed: false,
            receive_limit,
        }
    }

    pub(crate) fn open(&mut self, socket: TcpSocket) {
        self.socket = Some(socket);
        self.progress = Progress::Open;
    }

    /// What it says first, as far as it is short enough to be said with the SYN.
    pub(crate) fn first_bytes<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let len = match self.script.steps.first() {
            Some(Step::Write(total)) => {
                usize::try_from(*total).unwrap_or(usize::MAX).min(self.script.write.0)
            }
            _ => 0,
        };
        let bytes = &mut buffer[..len.min(4_000)];
        self.own.fill(0, bytes);
        bytes
    }

    /// The stack has taken the first bytes with the connection.
    pub(crate) fn gave(&mut self, len: u64) {
        (self.sent, self.done) = (len, len);
    }

    /// Whether it has ended, whichever way.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.progress, Progress::Waiting | Progress::Open)
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer {
            bytes: self.sent,
            closed: self.closed,
            pattern: Some(self.seed),
            taken: self.received,
            receive_limit: self.receive_limit,
        }
    }

    /// Whether there is anything that the stack must still bring to the peer, or get from it.
    pub(crate) fn is_open(&self) -> bool {
        self.progress == Progress::Open
    }

    /// Does what can be done now. `true`: the stack has been asked for something.
    ///
    /// # Errors
    /// A byte that is not what it should be.
    pub(crate) fn run(&mut self, now: u64, stack: &mut Stack, buffer: &mut [u8]) -> Result<bool, Violation> {
        let Some(socket) = self.socket else { return Ok(false) };
        if !self.connected {
            match stack.is_connected(socket) {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    self.connected = true;
                    if self.script.nodelay {
                        let _ = stack.set_nodelay(socket, true);
                    }
                }
                Err(error) => {
                    self.fail(now, stack, error.kind());
                    return Ok(true);
                }
            }
        }
        let before = (self.sent, self.received, self.closed);
        self.wake_at = u64::MAX;
        // What is read may let the writer go on, which may not wait for an event of its own.
        loop {
            let round = (self.received, self.end_seen);
            self.read(now, stack, socket, buffer)?;
            if self.progress == Progress::Open {
                self.write(now, stack, socket, buffer);
            }
            if round == (self.received, self.end_seen) || self.progress != Progress::Open {
                break;
            }
        }
        if self.progress == Progress::Open && self.end_seen && self.step == self.script.steps.len() {
            self.closed = true;
            stack.close(socket);
            self.finish(now, Progress::Done);
        }
        Ok(before != (self.sent, self.received, self.closed) || self.progress != Progress::Open)
    }

    fn finish(&mut self, now: u64, how: Progress) {
        self.progress = how;
        self.socket = None;
        self.done_at = now;
        self.wake_at = u64::MAX;
    }

    fn fail(&mut self, now: u64, stack: &mut Stack, kind: ErrorKind) {
        if let Some(socket) = self.socket {
            stack.close(socket);
        }
        self.finish(now, Progress::Failed(kind));
    }

    fn read(
        &mut self,
        now: u64,
        stack: &mut Stack,
        socket: TcpSocket,
        buffer: &mut [u8],
    ) -> Result<(), Violation> {
        let (most, pause) = self.script.read;
        while !self.end_seen {
            if self.reads_at > now {
                self.wake_at = self.wake_at.min(self.reads_at);
                return Ok(());
            }
            let most = most.min(buffer.len());
            match stack.recv(socket, &mut buffer[..most]) {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => self.end_seen = true,
                Ok(Some(n)) => {
                    if let Some(at) = self.peers.mismatch(self.received, &buffer[..n]) {
                        return Err(Violation(format!(
                            "{} got a wrong byte from {} at offset {at}",
                            self.local, self.remote
                        )));
                    }
                    self.received += n as u64;
                    self.last_read_at = now;
                    if !pause.is_zero() {
                        self.reads_at = now + nanos(pause);
                    }
                }
                Err(error) => {
                    self.fail(now, stack, error.kind());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, now: u64, stack: &mut Stack, socket: TcpSocket, buffer: &mut [u8]) {
        while let Some(step) = self.script.steps.get(self.step).copied() {
            if self.writes_at > now {
                self.wake_at = self.wake_at.min(self.writes_at);
                return;
            }
            match step {
                Step::Write(total) => {
                    while self.done < total {
                        if self.writes_at > now {
                            self.wake_at = self.wake_at.min(self.writes_at);
                            return;
                        }
                        let (most, pause) = self.script.write;
                        let len =
                            most.min(buffer.len()).min(usize::try_from(total - self.done).unwrap_or(most));
                        self.own.fill(self.sent, &mut buffer[..len]);
                        match stack.send(socket, &buffer[..len]) {
                            Ok(0) => return,
                            Ok(n) => {
                                self.fits = if n < len { n.max(1448) } else { len.saturating_mul(2) };
                                self.sent += n as u64;
                                self.done += n as u64;
                                if !pause.is_zero() {
                                    self.writes_at = now + nanos(pause);
                                }
                            }
                            Err(error) => return self.fail(now, stack, error.kind()),
                        }
                    }
                }
                Step::Await(bytes) if self.received < bytes && !self.end_seen => return,
                Step::AwaitEnd if !self.end_seen => return,
                Step::Await(_) | Step::AwaitEnd => {}
                Step::Pause(pause) => self.writes_at = now + nanos(pause),
                Step::Finish => {
                    self.closed = true;
                    let _ = stack.shutdown(socket);
                }
                Step::Abort => {
                    let _ = stack.abort(socket);
                    stack.close(socket);
                    return self.finish(now, Progress::Aborted);
                }
            }
            self.step += 1;
            self.done = 0;
        }
    }
}
