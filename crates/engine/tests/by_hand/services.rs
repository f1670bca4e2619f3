//! Services that run to completion in the stack: bytes seen where they arrived, sources read again when they
//! were lost, what comes out of order put in order without a socket.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bypath::by_hand::{Stack, StackOptions, TcpSocket};
use bypath::{CloseReason, ConnectionId, SendSource, Service, ServiceConnection, TcpState};

use crate::net::*;

const PORT: u16 = 7;

/// What a test sees of its service.
#[derive(Debug, Default)]
struct Seen {
    opened: usize,
    closed: Vec<CloseReason>,
    bytes: u64,
    largest: usize,
}

type Shared = Arc<Mutex<Seen>>;

fn served(service: impl Service + 'static, wire: Wire, seed: u64, rings: usize) -> Net {
    let options = [ethernet(A), StackOptions { reassembly_rings: rings, ..ethernet(B) }];
    let stacks =
        [Stack::new(&options[A]).unwrap(), Stack::with_service(&options[B], service, &[PORT]).unwrap()];
    Net::of(stacks, &options, wire, seed)
}

fn server(family: Family) -> SocketAddr {
    family.at(B, PORT)
}

fn open(net: &mut Net, family: Family) -> TcpSocket {
    let socket = net.stacks[A].connect(server(family), 0).unwrap();
    assert!(net.until(60 * SECOND, |net| net.stacks[A].is_connected(socket).unwrap()));
    socket
}

/// Sends back what it gets. What there is no room for waits in a queue of the connection.
#[derive(Default)]
struct Echo {
    waiting: HashMap<ConnectionId, (VecDeque<u8>, bool)>,
    seen: Shared,
}

impl Echo {
    fn push(waiting: &mut (VecDeque<u8>, bool), connection: &mut ServiceConnection<'_>) {
        while !waiting.0.is_empty() {
            let n = connection.write(waiting.0.as_slices().0);
            waiting.0.drain(..n);
            if n == 0 {
                break;
            }
        }
        connection.set_unread(waiting.0.len());
        if !waiting.0.is_empty() {
            return;
        }
        if waiting.1 {
            connection.close();
        }
    }
}

impl Service for Echo {
    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        assert_eq!(connection.local_addr().port(), PORT);
        assert_eq!(connection.state(), TcpState::Established);
        self.seen.lock().unwrap().opened += 1;
        assert!(self.waiting.insert(connection.id(), Default::default()).is_none());
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let waiting = self.waiting.get_mut(&connection.id()).unwrap();
        waiting.0.extend(data);
        Self::push(waiting, connection);
        let mut seen = self.seen.lock().unwrap();
        seen.bytes += data.len() as u64;
        seen.largest = seen.largest.max(data.len());
    }

    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        if let Some(waiting) = self.waiting.get_mut(&connection.id()) {
            Self::push(waiting, connection);
        }
    }

    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        let waiting = self.waiting.get_mut(&connection.id()).unwrap();
        waiting.1 = true;
        Self::push(waiting, connection);
    }

    fn on_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        assert!(self.waiting.remove(&id).is_some());
        self.seen.lock().unwrap().closed.push(reason);
    }
}

#[test]
fn an_echo_returns_every_byte_over_a_bad_wire() {
    for seed in 0..8 {
        for family in FAMILIES {
            let seen = Shared::default();
            let mut net = served(Echo { seen: seen.clone(), ..Echo::default() }, BAD, seed, 4);
            let socket = open(&mut net, family);
            let mut pump = Pump { expects: 0, ..Pump::new(A, socket, 1 << 20) };
            assert!(net.until(300 * SECOND, |net| {
                pump.turn(net);
                pump.ended
            }));
            assert_eq!(pump.received, 1 << 20);
            net.stacks[A].close(socket);
            net.run(400 * SECOND);
            assert_eq!(net.connections(), [0, 0]);
            let seen = seen.lock().unwrap();
            assert_eq!((seen.opened, seen.bytes), (1, 1 << 20));
            assert_eq!(seen.closed, [CloseReason::Finished]);
            assert!(seen.largest > 1_448, "data that came out of order was not handed over in one piece");
        }
    }
}

#[test]
fn connections_share_few_reassembly_rings_and_lose_nothing() {
    for rings in [0, 1, 3] {
        let mut net = served(Echo::default(), BAD, 11, rings);
        let mut pumps: Vec<Pump> = (0..12)
            .map(|_| Pump { expects: 0, ..Pump::new(A, open(&mut net, Family::V4), 100_000) })
            .collect();
        let done = net.until(600 * SECOND, |net| {
            pumps.iter_mut().for_each(|p| p.turn(net));
            pumps.iter().all(|p| p.ended)
        });
        assert!(done, "{rings} rings: {pumps:?}");
        assert!(pumps.iter().all(|p| p.received == 100_000));
    }
}

/// A long stream out of one short block, so that pieces end at odd places.
struct Repeated {
    block: Vec<u8>,
    len: u64,
}

impl SendSource for Repeated {
    fn len(&self) -> u64 {
        self.len
    }
    fn bytes_at(&self, offset: u64) -> &[u8] {
        let at = (offset % self.block.len() as u64) as usize;
        let left = usize::try_from(self.len - offset).unwrap_or(usize::MAX);
        &self.block[at..at + (self.block.len() - at).min(left)]
    }
}

/// Sends a header, a source, a footer; then closes.
struct Giver {
    source: Arc<Repeated>,
}

impl Service for Giver {
    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        assert_eq!(connection.write(b"head"), 4);
        connection.send(self.source.clone());
        assert_eq!(connection.write(b"foot"), 4);
        assert_eq!(connection.outstanding(), 8 + self.source.len);
        connection.close();
        assert_eq!(connection.write(b"too late"), 0);
    }

    fn on_data(&mut self, _: &mut ServiceConnection<'_>, _: &[u8]) {
        panic!("the client sends nothing");
    }
}

#[test]
fn a_source_of_megabytes_is_read_again_for_what_was_lost() {
    let source = Arc::new(Repeated { block: stream(99, 0, 1013), len: 4_000_001 });
    for seed in 0..4 {
        for wire in [CLEAN, BAD] {
            let mut net = served(Giver { source: source.clone() }, wire, seed, 4);
            let socket = open(&mut net, Family::V6);
            let (mut got, mut buffer, mut ended) = (Vec::new(), [0; 20_000], false);
            assert!(net.until(300 * SECOND, |net| {
                while let Some(n) = net.stacks[A].recv(socket, &mut buffer).unwrap() {
                    got.extend_from_slice(&buffer[..n]);
                    ended = n == 0;
                    if ended {
                        break;
                    }
                }
                ended
            }));
            assert_eq!(net.stacks[B].retransmits() > 0, wire.loss > 0);
            let mut expected = b"head".to_vec();
            (0..source.len).for_each(|at| expected.push(source.block[(at % 1013) as usize]));
            expected.extend_from_slice(b"foot");
            assert!(got == expected, "{} bytes", got.len());
            net.run(10 * SECOND);
            assert_eq!(Arc::strong_count(&source), 2, "the queue still holds what was acknowledged");
            net.stacks[A].close(socket);
            net.run(100 * SECOND);
            assert_eq!(net.connections(), [0, 0]);
        }
    }
}

/// Gives up when it is told to.
struct Moody {
    seen: Shared,
}

impl Service for Moody {
    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        self.seen.lock().unwrap().opened += 1;
        if connection.peer_addr().port() == 666 {
            connection.abort();
        }
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        match data {
            b"abort" => connection.abort(),
            b"close" => connection.close(),
            _ => {}
        }
    }

    fn on_closed(&mut self, _: ConnectionId, reason: CloseReason) {
        self.seen.lock().unwrap().closed.push(reason);
    }
}

#[test]
fn a_service_aborts_and_closes_at_any_time() {
    let seen = Shared::default();
    let mut net = served(Moody { seen: seen.clone() }, CLEAN, 1, 4);
    let unwanted = net.stacks[A].connect(server(Family::V4), 666).unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(unwanted).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let aborted = open(&mut net, Family::V4);
    net.stacks[A].send(aborted, b"abort").unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(aborted).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(net.connections(), [0, 0]);
    let closed = open(&mut net, Family::V4);
    net.stacks[A].send(closed, b"close").unwrap();
    net.run(SECOND);
    let mut buffer = [0; 8];
    assert_eq!(net.stacks[A].recv(closed, &mut buffer).unwrap(), Some(0));
    net.stacks[A].close(closed);
    net.run(100 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.opened, 3);
    assert_eq!(seen.closed, [CloseReason::Aborted, CloseReason::Aborted, CloseReason::Finished]);
}

#[test]
fn a_client_that_takes_no_echo_is_stopped_by_the_window_and_goes_on_later() {
    let seen = Shared::default();
    let mut net = served(Echo { seen: seen.clone(), ..Echo::default() }, CLEAN, 1, 4);
    let socket = open(&mut net, Family::V4);
    let (total, mut sent, mut buffer) = (6 << 20, 0, vec![0; 65_536]);
    let give = |net: &mut Net, sent: &mut u64| loop {
        let n = (total - *sent).min(65_536) as usize;
        let n = net.stacks[A].send(socket, &stream(0, *sent, n)).unwrap();
        *sent += n as u64;
        if n == 0 {
            return false;
        }
    };
    net.until(60 * SECOND, |net| give(net, &mut sent));
    let taken = seen.lock().unwrap().bytes;
    assert!(taken < 3 << 20, "{taken} bytes for a client that reads none");
    let mut got = 0;
    assert!(net.until(60 * SECOND, |net| {
        give(net, &mut sent);
        while let Some(n) = net.stacks[A].recv(socket, &mut buffer).unwrap() {
            assert!(buffer[..n] == stream(0, got, n));
            got += n as u64;
        }
        got == total
    }));
}

#[test]
fn a_port_of_no_service_refuses() {
    let mut net = served(Moody { seen: Shared::default() }, CLEAN, 1, 4);
    let socket = net.stacks[A].connect(Family::V4.at(B, PORT + 1), 0).unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn many_clients_of_a_service_over_a_bad_wire_leave_nothing_behind() {
    let seen = Shared::default();
    let mut net = served(Echo { seen: seen.clone(), ..Echo::default() }, BAD, 3, 8);
    for _ in 0..20 {
        let mut pumps: Vec<Pump> =
            (0..10).map(|_| Pump { expects: 0, ..Pump::new(A, open(&mut net, Family::V6), 5_000) }).collect();
        assert!(net.until(300 * SECOND, |net| {
            pumps.iter_mut().for_each(|p| p.turn(net));
            pumps.iter().all(|p| p.ended)
        }));
        pumps.iter().for_each(|p| net.stacks[A].close(p.socket));
    }
    net.run(1_000 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
    let seen = seen.lock().unwrap();
    assert_eq!((seen.opened, seen.closed.len(), seen.bytes), (200, 200, 1_000_000));
}
