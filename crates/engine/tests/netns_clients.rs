//! Services that open connections to the kernel's TCP, from addresses of the engine's own and from reserved ports of
//! an address that the kernel keeps. Needs root.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use bypath::{
    AckedSegment, CloseReason, ConnectError, ConnectionId, Desk, Engine, EngineBuilder, Instant, Service,
    ServiceConnection,
};
use bypath_lab::Lab;
use crossbeam::channel::{Receiver, Sender, unbounded};

/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);
const REQUEST: usize = 200;

/// What a worker's client has to tell at its end.
#[derive(Debug, Default)]
struct Outcome {
    worker: usize,
    refused: Vec<ConnectError>,
    finished: usize,
    failed: Vec<CloseReason>,
    samples: Vec<AckedSegment>,
    ports: Vec<SocketAddr>,
    handed_off: u64,
    busy_ns: u64,
}

/// Opens connections, `at_once` of them at a time; each sends a request and closes when it has come back.
struct Client {
    to: SocketAddr,
    from: Vec<IpAddr>,
    left: usize,
    at_once: usize,
    open: usize,
    /// Tries again when no port is left.
    patient: bool,
    received: Vec<usize>,
    wake: Option<Instant>,
    outcome: Outcome,
    results: Sender<Outcome>,
}

impl Client {
    fn new(to: SocketAddr, left: usize, at_once: usize, results: &Sender<Outcome>) -> Self {
        let results = results.clone();
        let (from, received, outcome) = (Vec::new(), Vec::new(), Outcome::default());
        Self { to, from, left, at_once, open: 0, patient: false, received, wake: None, outcome, results }
    }
}

impl Service for Client {
    fn next_wake(&self) -> Option<Instant> {
        self.wake
    }

    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        self.wake = None;
        while self.left > 0 && self.open < self.at_once {
            self.left -= 1;
            let from = self.from.get(self.left % self.from.len().max(1)).copied();
            match desk.connect(self.to, from) {
                Ok(_) => self.open += 1,
                Err(ConnectError::PortsExhausted) if self.patient => {
                    self.left += 1;
                    self.wake = Some(desk.now() + Duration::from_millis(10));
                    break;
                }
                Err(error) => self.outcome.refused.push(error),
            }
        }
        if self.left == 0 && self.open == 0 {
            self.outcome.worker = desk.worker();
            self.outcome.handed_off = desk.counters().handed_off();
            self.outcome.busy_ns = desk.counters().busy_ns;
            let _ = self.results.send(std::mem::take(&mut self.outcome));
            desk.stop();
        }
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        assert_eq!(connection.write(&[5; REQUEST]), REQUEST);
        assert!(connection.stats().handshake_rtt_ns > 0);
        self.outcome.ports.push(connection.local_addr());
        let slot = connection.id().slot();
        self.received.resize(self.received.len().max(slot + 1), 0);
        self.received[slot] = 0;
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let received = &mut self.received[connection.id().slot()];
        *received += data.len();
        if *received == REQUEST {
            connection.close();
        }
    }

    fn on_segments_acked(&mut self, _: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        self.outcome.samples.extend(samples);
    }

    fn on_closed(&mut self, _: ConnectionId, reason: CloseReason) {
        self.open -= 1;
        match reason {
            CloseReason::Finished => self.outcome.finished += 1,
            failed => self.outcome.failed.push(failed),
        }
        self.wake = Some(Instant::ZERO);
    }
}

/// A kernel server on the far host that sends back what it gets.
fn echo(lab: &Lab) -> SocketAddr {
    let at = lab.far().at(0);
    let listener = lab.far().run(|| TcpListener::bind(at)).unwrap().unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let Ok(mut peer) = peer else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = peer.read(&mut buffer) {
                    if peer.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

fn builder(lab: &Lab) -> EngineBuilder {
    let near = lab.near();
    Engine::builder().netns(near.netns()).interface(near.interface())
}

/// Runs the engine until its clients are done; what each of them has to tell.
fn run(engine: &Engine, outcomes: &Receiver<Outcome>, workers: usize) -> Vec<Outcome> {
    assert!(engine.wait(LONG), "the clients are not done: {:?}", engine.stats());
    let mut all: Vec<Outcome> = outcomes.try_iter().collect();
    assert_eq!(all.len(), workers);
    all.sort_by_key(|outcome| outcome.worker);
    all
}

#[test]
fn netns_a_client_service_opens_connections_to_the_kernel_from_several_addresses_of_its_own() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let (to, (results, outcomes)) = (echo(&lab), unbounded());
    let own: Vec<IpAddr> = (10..14).map(|last| lab.near().spare_ipv4(last).into()).collect();
    let mut builder = builder(&lab).observe_segments(true);
    for address in &own {
        builder = builder.own_address(*address, 24);
    }
    let from = own.clone();
    let client = move |_| Client { from: from.clone(), ..Client::new(to, 400, 50, &results) };
    let engine = builder.client_service(client).start().unwrap();
    let outcome = run(&engine, &outcomes, 1).remove(0);
    assert_eq!((outcome.finished, &outcome.failed, &outcome.refused), (400, &vec![], &vec![]));
    assert!(own.iter().all(|ip| outcome.ports.iter().filter(|local| local.ip() == *ip).count() == 100));
    assert_eq!(outcome.samples.iter().map(|sample| sample.bytes as usize).sum::<usize>(), 400 * REQUEST);
    for sample in outcome.samples.iter().filter(|sample| sample.transmissions == 1) {
        assert!((1_000..1_000_000_000).contains(&sample.acked.nanos_since(sample.first_sent)), "{sample:?}");
    }
    let stats = engine.stats();
    assert!(outcome.busy_ns > 0 && stats.workers[0].busy_ns >= outcome.busy_ns, "figures outlive the engine");
}

#[test]
fn netns_a_client_service_uses_reserved_ports_of_an_address_that_the_kernel_keeps() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let (to, (results, outcomes)) = (echo(&lab), unbounded());
    let client = move |_| Client::new(to, 39, 39, &results);
    let engine = builder(&lab).client_ports(40).client_service(client).start().unwrap();
    let mut outcome = run(&engine, &outcomes, 1).remove(0);
    assert_eq!((outcome.finished, &outcome.failed, &outcome.refused), (39, &vec![], &vec![]));
    outcome.ports.sort_unstable();
    outcome.ports.dedup();
    assert_eq!(outcome.ports.len(), 39);
    assert!(outcome.ports.iter().all(|local| local.ip() == IpAddr::from(lab.near().ipv4())));
}

#[test]
fn netns_with_all_reserved_ports_in_use_the_next_connection_is_refused_with_the_reason() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let (to, (results, outcomes)) = (echo(&lab), unbounded());
    let client = move |_| Client::new(to, 6, 6, &results);
    let engine = builder(&lab).client_ports(4).client_service(client).start().unwrap();
    let outcome = run(&engine, &outcomes, 1).remove(0);
    assert_eq!(outcome.finished, 4);
    assert_eq!(outcome.refused, [ConnectError::PortsExhausted; 2]);
}

#[test]
fn netns_a_client_service_follows_on_connections_in_time_wait_when_no_port_is_left() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let (to, (results, outcomes)) = (echo(&lab), unbounded());
    let client = move |_| Client { patient: true, ..Client::new(to, 12, 4, &results) };
    let since = std::time::Instant::now();
    let engine = builder(&lab).client_ports(4).client_service(client).start().unwrap();
    let outcome = run(&engine, &outcomes, 1).remove(0);
    assert_eq!((outcome.finished, &outcome.failed), (12, &vec![]));
    let took = since.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(20)).contains(&took),
        "{took:?}: a second of rest each"
    );
    let reused = engine.stats().workers[0].counts().find(|(name, _)| *name == "time_wait_reused");
    assert_eq!(reused, Some(("time_wait_reused", 8)));
}

#[test]
fn netns_clients_on_two_workers_take_ports_of_their_own_and_stop_together() {
    let lab = Lab::builder().name_prefix("c").queues(2).up().unwrap();
    let (to, (results, outcomes)) = (echo(&lab), unbounded());
    let own = lab.near().spare_ipv4(10).into();
    let engine = builder(&lab)
        .own_address(own, 24)
        .cores(vec![0, 1])
        .client_service(move |worker| Client::new(to, 100 + 100 * worker, 20, &results))
        .start()
        .unwrap();
    let all = run(&engine, &outcomes, 2);
    assert_eq!((all[0].finished, all[1].finished), (100, 200));
    let mut ports: Vec<_> = all.iter().flat_map(|outcome| &outcome.ports).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 300, "no port was taken twice");
    assert!(all.iter().all(|outcome| outcome.failed.is_empty()));
}

#[test]
fn netns_an_engine_can_be_stopped_in_the_middle_and_in_bounded_time() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let (to, (results, _outcomes)) = (echo(&lab), unbounded());
    let own = lab.near().spare_ipv4(10).into();
    // More than it can do in the time: it is in the midst of it.
    let client = move |_| Client::new(to, 1_000_000, 10, &results);
    let engine = builder(&lab).own_address(own, 24).client_service(client).start().unwrap();
    assert!(!engine.wait(Duration::from_millis(200)));
    let since = std::time::Instant::now();
    let stats = engine.stop();
    assert!(since.elapsed() < Duration::from_secs(5));
    assert!(stats.segments_out > 100, "{stats:?}");
    assert_eq!(engine.stats().segments_out, stats.segments_out);
    assert_eq!(stats.flows, 0);
}
