//! Services that open connections themselves: from a wake-up, without a socket and without a word to anybody else.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use bypath::by_hand::{Stack, StackOptions};
use bypath::{
    AckedSegment, CloseReason, ConnectError, ConnectionId, Desk, Instant, Service, ServiceConnection,
};

use crate::net::*;

const PORT: u16 = 7;

/// What a client does, and what became of it.
#[derive(Default)]
struct Plan {
    /// Connections to open at the first wake-up.
    connections: usize,
    to: Option<SocketAddr>,
    from: Option<IpAddr>,
    /// Bytes that each sends, in one piece.
    request: usize,
    /// Close when all of it has come back.
    closes: bool,
    /// Abort all at this moment.
    aborts: Option<Instant>,
    /// Open another for each that is closed, so many in all.
    again: usize,
}

#[derive(Default)]
struct Record {
    begun: Vec<ConnectionId>,
    refused: Vec<ConnectError>,
    opened: Vec<SocketAddr>,
    closed: Vec<(ConnectionId, CloseReason)>,
    back: u64,
    samples: Vec<AckedSegment>,
}

type Log = Arc<Mutex<Record>>;

struct Client {
    plan: Plan,
    log: Log,
    back: HashMap<usize, usize>,
    missing: usize,
    wake: Option<Instant>,
}

impl Client {
    fn new(plan: Plan, log: &Log) -> Self {
        let missing = plan.connections;
        Self { plan, log: log.clone(), back: HashMap::new(), missing, wake: None }
    }
}

impl Service for Client {
    fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        self.wake = self.plan.aborts;
        let mut log = self.log.lock().unwrap();
        for _ in 0..std::mem::take(&mut self.missing) {
            match desk.connect(self.plan.to.unwrap(), self.plan.from) {
                Ok(id) => log.begun.push(id),
                Err(error) => log.refused.push(error),
            }
        }
        if self.plan.aborts.take_if(|at| at.is_due(desk.now())).is_some() {
            let open = log.begun.clone();
            open.iter().filter_map(|id| desk.connection(*id).map(|mut c| c.abort())).count();
        }
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        self.log.lock().unwrap().opened.push(connection.local_addr());
        let sent = connection.write(&vec![7; self.plan.request]);
        assert_eq!(sent, self.plan.request);
        self.back.insert(connection.id().slot(), 0);
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let back = self.back.get_mut(&connection.id().slot()).unwrap();
        *back += data.len();
        self.log.lock().unwrap().back += data.len() as u64;
        if *back == self.plan.request && self.plan.closes {
            connection.close();
        }
    }

    fn on_segments_acked(&mut self, connection: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        assert!(connection.stats().data_segs_out > 0);
        self.log.lock().unwrap().samples.extend(samples);
    }

    fn on_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        self.log.lock().unwrap().closed.push((id, reason));
        if self.plan.again > 0 {
            self.plan.again -= 1;
            self.missing += 1;
            self.wake = Some(Instant::ZERO);
        }
    }
}

/// Sends everything back, and closes when the peer does.
struct Echo;

impl Service for Echo {
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        assert_eq!(connection.write(data), data.len());
    }
}

fn net(plan: Plan, wire: Wire, options: [StackOptions; 2]) -> (Net, Log) {
    let log = Log::default();
    let client = Client::new(plan, &log);
    let stacks = [
        Stack::with_service(&options[A], client, &[]).unwrap(),
        Stack::with_service(&options[B], Echo, &[PORT]).unwrap(),
    ];
    (Net::of(stacks, &options, wire, 3), log)
}

fn both(options: &StackOptions) -> [StackOptions; 2] {
    [
        StackOptions { link: ethernet(A).link, ..options.clone() },
        StackOptions { link: ethernet(B).link, ..options.clone() },
    ]
}

fn plan(to: SocketAddr) -> Plan {
    Plan { connections: 1, to: Some(to), request: 100, closes: true, ..Plan::default() }
}

#[test]
fn connections_that_a_service_opens_carry_data_and_end() {
    for family in FAMILIES {
        for wire in [CLEAN, BAD] {
            let plan = Plan { connections: 200, request: 3_000, ..plan(family.at(B, PORT)) };
            let (mut net, log) = net(plan, wire, both(&StackOptions::default()));
            net.run(200 * SECOND);
            let log = log.lock().unwrap();
            assert_eq!((log.begun.len(), log.opened.len(), log.closed.len()), (200, 200, 200));
            assert_eq!(log.back, 200 * 3_000);
            assert!(
                log.closed.iter().all(|(_, reason)| *reason == CloseReason::Finished),
                "{:?}",
                log.closed
            );
            let ports: HashSet<u16> = log.opened.iter().map(|local| local.port()).collect();
            assert_eq!(ports.len(), 200);
            let slots: HashSet<usize> = log.begun.iter().map(|id| id.slot()).collect();
            assert_eq!(slots, (0..200).collect(), "slots are dense");
            assert_eq!(net.connections(), [0, 0]);
        }
    }
}

#[test]
fn an_open_that_fails_is_told_of_with_its_reason() {
    let refused = Family::V4.at(B, 9);
    let silent = SocketAddr::new(Family::V4.nobody(), 7);
    for (to, reason) in [(refused, CloseReason::Refused), (silent, CloseReason::Unreachable)] {
        let (mut net, log) = net(Plan { connections: 2, ..plan(to) }, CLEAN, both(&StackOptions::default()));
        net.run(100 * SECOND);
        let log = log.lock().unwrap();
        assert_eq!(log.begun.len(), 2);
        assert!(log.opened.is_empty());
        let told: Vec<_> = log.begun.iter().map(|id| (*id, reason)).collect();
        let mut closed = log.closed.clone();
        closed.sort_by_key(|(id, _)| id.slot());
        assert_eq!(closed, told);
        assert_eq!(net.connections(), [0, 0]);
    }
}

#[test]
fn an_open_towards_a_neighbor_that_is_known_not_to_answer_is_told_of_too() {
    let to = SocketAddr::new(Family::V4.nobody(), 7);
    let (mut net, log) = net(Plan { again: 3, ..plan(to) }, CLEAN, both(&StackOptions::default()));
    net.run(100 * SECOND);
    let log = log.lock().unwrap();
    assert_eq!((log.begun.len(), log.closed.len()), (4, 4));
    assert!(log.closed.iter().all(|(_, reason)| *reason == CloseReason::Unreachable));
}

#[test]
fn an_open_that_nobody_answers_times_out() {
    let options = StackOptions::default();
    let (mut net, log) = net(plan(Family::V4.at(B, PORT)), CLEAN, both(&options));
    // ARP passes, and nothing longer.
    net.wire.swallows_above = 60;
    net.run(400 * SECOND);
    assert_eq!(log.lock().unwrap().closed[..].len(), 1);
    assert_eq!(log.lock().unwrap().closed[0].1, CloseReason::TimedOut);
}

#[test]
fn what_cannot_be_begun_says_why() {
    let ours = Family::V4.at(B, PORT);
    let cases = [
        (Plan { to: Some("203.0.113.1:7".parse().unwrap()), ..plan(ours) }, ConnectError::NoRoute),
        (Plan { from: Some(Family::V4.nobody()), ..plan(ours) }, ConnectError::NotLocal),
        (Plan { from: Some(Family::V6.ip(A)), ..plan(ours) }, ConnectError::NotLocal),
        (Plan { connections: 9, ..plan(ours) }, ConnectError::TooManyConnections),
    ];
    for (plan, error) in cases {
        let (mut net, log) =
            net(plan, CLEAN, both(&StackOptions { max_connections: 8, ..StackOptions::default() }));
        net.run(10 * SECOND);
        assert_eq!(log.lock().unwrap().refused, [error]);
    }
}

#[test]
fn a_wake_up_may_abort_connections() {
    let aborts = Some(Instant::from_nanos(2 * SECOND));
    let plan = Plan { closes: false, aborts, ..plan(Family::V4.at(B, PORT)) };
    let (mut net, log) = net(plan, CLEAN, both(&StackOptions::default()));
    net.run(SECOND);
    assert_eq!((log.lock().unwrap().opened.len(), net.connections()), (1, [1, 1]));
    net.run(2 * SECOND);
    assert_eq!(net.connections(), [0, 0], "the peer learns of it by a reset");
    let log = log.lock().unwrap();
    assert_eq!(log.closed, [(log.begun[0], CloseReason::Aborted)]);
}

#[test]
fn every_segment_is_sampled_once_from_its_sending_to_its_acknowledgement() {
    let options = StackOptions { observe_segments: true, ..StackOptions::default() };
    let plan = Plan { request: 100_000, ..plan(Family::V4.at(B, PORT)) };
    let (mut net, log) = net(plan, CLEAN, both(&options));
    net.run(100 * SECOND);
    let log = log.lock().unwrap();
    assert_eq!(log.samples.iter().map(|sample| u64::from(sample.bytes)).sum::<u64>(), 100_000);
    for sample in &log.samples {
        assert_eq!(sample.transmissions, 1);
        let took = sample.acked.nanos_since(sample.first_sent);
        // There and back; the last segment of an odd number waits for the peer's delayed acknowledgement.
        assert!((2 * MS..=43 * MS).contains(&took), "{sample:?}");
    }
    let prompt = log.samples.iter().filter(|s| s.acked.nanos_since(s.first_sent) == 2 * MS).count();
    assert!(prompt * 10 > log.samples.len() * 8, "{prompt} of {}", log.samples.len());
}

#[test]
fn segments_that_were_sent_again_are_marked_and_none_is_missing() {
    let options = StackOptions { observe_segments: true, ..StackOptions::default() };
    let wire = Wire { loss: 50, ..CLEAN };
    let plan = Plan { request: 200_000, connections: 4, ..plan(Family::V4.at(B, PORT)) };
    let (mut net, log) = net(plan, wire, both(&options));
    net.run(300 * SECOND);
    let log = log.lock().unwrap();
    assert_eq!(log.back, 800_000);
    assert_eq!(log.samples.iter().map(|sample| u64::from(sample.bytes)).sum::<u64>(), 800_000);
    let again = log.samples.iter().filter(|sample| sample.transmissions > 1).count();
    assert!(again > 10, "{again}");
    for sample in &log.samples {
        let took = sample.acked.nanos_since(sample.first_sent);
        assert!(took >= 2 * MS, "{sample:?}");
        // With selective acknowledgements no segment waits for one that was lost before it.
        assert!(sample.transmissions > 1 || took <= 200 * MS, "{sample:?}");
    }
}
