//! The applications at the two ends of a connection: each writes a stream of known length, closes its direction
//! and reads the other's to its end.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bypath::by_hand::{Stack, TcpSocket};
use bypath_lab::Pattern;
use bypath_sim::invariants::Offer;

use crate::told;

/// Lengths of streams.
pub(super) const TOTALS: [u64; 8] = [0, 1, 1_000, 5_000, 20_000, 40_000, 10_000, 300];

/// The streams, made once: a byte at a time they would take most of the time there is.
static STREAMS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    [0, 1, 2, 3].map(|seed| {
        let mut stream = vec![0; TOTALS.into_iter().max().unwrap_or(0) as usize];
        Pattern::new(seed).fill(0, &mut stream);
        stream
    })
});

#[derive(Debug, Default)]
struct End {
    socket: Option<TcpSocket>,
    total: u64,
    /// Bytes that it may write as yet.
    budget: u64,
    sent: u64,
    received: u64,
    shut: bool,
    ended: bool,
    /// Why it is over before its time.
    failed: Option<ErrorKind>,
    paused: bool,
    nodelay: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    salt: u64,
    names: [SocketAddr; 2],
    ends: [End; 2],
}

impl Connection {
    /// The client's end opens; with `first_bytes` it gives what it has to say at once. `None`: its port is in use.
    pub(super) fn open(
        stack: &mut Stack,
        salt: u64,
        names: [SocketAddr; 2],
        totals: [u64; 2],
        first_bytes: bool,
    ) -> Option<Self> {
        let end = |total| End { total, ..End::default() };
        let mut connection = Self { salt, names, ends: totals.map(end) };
        let [client, server] = names;
        let opened = if first_bytes {
            let first = &connection.stream(0)[..totals[0] as usize];
            stack.connect_with_data(server, client.port(), first)
        } else {
            stack.connect(server, client.port()).map(|socket| (socket, 0))
        };
        let (socket, sent) = opened.ok()?;
        connection.ends[0].socket = Some(socket);
        connection.ends[0].sent = sent as u64;
        Some(connection)
    }

    /// The addresses, the own one first.
    pub(super) fn names(&self, side: usize) -> [SocketAddr; 2] {
        [self.names[side], self.names[1 - side]]
    }

    fn stream(&self, side: usize) -> &'static [u8] {
        &STREAMS[self.salt as usize % 2 * 2 + side]
    }

    pub(super) fn offer(&self, side: usize) -> Offer {
        let end = &self.ends[side];
        Offer {
            bytes: end.sent,
            closed: end.shut || end.failed.is_some(),
            // What arrives is looked at; doing so twice costs too much.
            pattern: None,
            taken: end.received,
            receive_limit: None,
        }
    }

    pub(super) fn waits_for_server(&self) -> bool {
        self.ends[1].socket.is_none() && self.ends[1].failed.is_none()
    }

    pub(super) fn accepted(&mut self, socket: TcpSocket) {
        self.ends[1].socket = Some(socket);
    }

    /// What the side has written and whether it has closed, if its connection is open.
    pub(super) fn owes(&self, side: usize, stack: &Stack) -> Option<(u64, bool)> {
        let end = &self.ends[side];
        let socket = end.socket.filter(|socket| !stack.is_closed(*socket))?;
        // What was written before the connection is open is owed as well; an error is nobody's debt.
        stack.is_connected(socket).ok()?;
        Some((end.sent, end.shut))
    }

    pub(super) fn may_write(&mut self, side: usize, bytes: u64) {
        self.ends[side].budget += bytes;
    }

    pub(super) fn pauses(&mut self, side: usize, pause: bool) {
        self.ends[side].paused = pause;
    }

    pub(super) fn aborts(&mut self, side: usize, stack: &mut Stack) {
        let end = &mut self.ends[side];
        if let Some(socket) = end.socket.take() {
            let _ = stack.abort(socket);
            stack.close(socket);
            end.failed = Some(ErrorKind::ConnectionAborted);
        }
    }

    /// No more waiting for the tape.
    pub(super) fn hurry(&mut self) {
        for end in &mut self.ends {
            end.budget = u64::MAX;
            end.paused = false;
        }
    }

    fn fail(&mut self, side: usize, stack: &mut Stack, why: ErrorKind) {
        told!("     end {side} fails: {why}");
        let end = &mut self.ends[side];
        if let Some(socket) = end.socket.take() {
            stack.close(socket);
        }
        end.failed = Some(why);
    }

    /// Writes and reads what can be now. `whole`: the streams are what was sent. `replays`: a connection whose other
    /// end has failed may have been opened there once more, by an old SYN, and closed by an application that did not
    /// expect it.
    pub(super) fn run(&mut self, side: usize, stack: &mut Stack, whole: bool, replays: bool) {
        let Some(socket) = self.ends[side].socket else { return };
        match stack.is_connected(socket) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.fail(side, stack, error.kind()),
        }
        let (own, other) = (self.stream(side), self.stream(1 - side));
        let (peer_sent, peer_shut) = (self.ends[1 - side].sent, self.ends[1 - side].shut);
        let opened_twice = replays && self.ends[1 - side].failed.is_some();
        let end = &mut self.ends[side];
        if !end.nodelay && self.salt & 1 == 1 {
            end.nodelay = true;
            let _ = stack.set_nodelay(socket, true);
        }
        let mut buffer = [0; 4_096];
        while !end.paused && !end.ended {
            match stack.recv(socket, &mut buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    end.ended = true;
                    assert!(
                        !whole || opened_twice || (peer_shut && end.received == peer_sent),
                        "{}: the end at {} of {peer_sent}, closed there: {peer_shut}",
                        self.names[side],
                        end.received
                    );
                }
                Ok(Some(n)) => {
                    let right = other.get(end.received as usize..end.received as usize + n);
                    assert!(!whole || right == Some(&buffer[..n]), "wrong bytes at {}", end.received);
                    end.received += n as u64;
                    assert!(!whole || end.received <= peer_sent, "more than was written");
                }
                Err(error) => return self.fail(side, stack, error.kind()),
            }
        }
        let until = end.total.min(end.budget);
        while end.sent < until {
            match stack.send(socket, &own[end.sent as usize..until as usize]) {
                Ok(0) => break,
                Ok(n) => end.sent += n as u64,
                Err(error) => return self.fail(side, stack, error.kind()),
            }
        }
        if end.sent == end.total && !end.shut && end.budget > end.total {
            end.shut = stack.shutdown(socket).is_ok();
        }
    }

    /// Both ends have nothing more to do.
    pub(super) fn is_over(&self) -> bool {
        let over = |end: &End| end.failed.is_some() || (end.shut && end.ended);
        self.ends.iter().all(over)
    }

    /// The wire was a good one for as long as anything happened.
    pub(super) fn judge(&self, now: u64, replays: bool) {
        let [a, b] = &self.ends;
        // An end that only waits is not told that the other has gone, when the reset was lost: that is TCP
        // without keep-alives. One that was never accepted has nobody to fail; one whose handshake ended in an
        // acknowledgement that was lost, where nothing but a cookie remembered it, waits for nobody.
        let excused = a.failed.is_some() || b.failed.is_some();
        assert!(self.is_over() || excused || replays, "stalled at {} s: {self:?}", now / 1_000_000_000);
        if !excused && self.is_over() {
            assert_eq!((a.received, b.received), (b.total, a.total), "not whole: {self:?}");
        }
    }

    /// The application is gone.
    pub(super) fn leave(&mut self, side: usize, stack: &mut Stack) {
        let end = &mut self.ends[side];
        if let Some(socket) = end.socket.take() {
            stack.close(socket);
        }
        (end.shut, end.failed) = (true, end.failed.or(Some(ErrorKind::Other)));
    }
}
