//! Two workers joined in memory, each with a service, driven in turn by the caller's thread: all of the engine but the
//! NIC. For measuring what the engine costs, and for trying a service out without a device or privileges.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bypath_wire::ethernet::MacAddr;
use bypath_xdp::DirectDevice;
use bypath_xdp::direct;
use crossbeam::channel::unbounded;
use crossbeam::queue::ArrayQueue;

use crate::client_ports::Candidates;
use crate::route::{Prefix, RouteTable};
use crate::service::Service;
use crate::socket::shared::WorkerPort;
use crate::stack::memory::MemoryLimits;
use crate::stack::{AWAKE, Stack, StackConfig};
use crate::template::Medium;
use crate::waker::WorkerWaker;
use crate::worker::{Links, Poll, Worker};
use crate::worker_stats::WorkerStats;

/// Address of the second worker.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));

/// Connections from one address, at most.
const PER_ADDRESS: usize = 60_000;

/// Address of the first worker from which connection `n` is to be opened: there are only so many ports.
pub fn client_address(n: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xc612_0101 + (n / PER_ADDRESS) as u32))
}

/// How a pair is made.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// Connections at once.
    pub connections: usize,
    /// Largest IP packet, bytes; at most 2,000 or so.
    pub mtu: u32,
    /// Ports of the second worker's service.
    pub ports: Vec<u16>,
    /// Packets under way each way.
    pub frames: u32,
    /// Bytes that a connection may have written and not yet acknowledged.
    pub send_buffer: usize,
    /// Settings of TCP.
    pub tcp: bypath_tcp::Config,
    /// With more connections of a worker than this those on which nothing happens are kept in a small form.
    pub awake: usize,
    /// The services are told of every segment that is acknowledged.
    pub observe_segments: bool,
    /// An account is kept of where the time goes.
    pub profile: bool,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            connections: 1,
            mtu: 1500,
            ports: vec![7],
            frames: 256,
            send_buffer: 1 << 20,
            tcp: bypath_tcp::Config::default(),
            awake: AWAKE,
            observe_segments: false,
            profile: false,
        }
    }
}

/// See the module.
pub struct Pair {
    workers: [Worker<DirectDevice>; 2],
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl Pair {
    /// Two workers: `client` is on the first, `server` on the second.
    ///
    /// # Errors
    /// Packet memory or event descriptors cannot be had.
    pub fn new(
        options: &PairOptions,
        client: impl Service + 'static,
        server: impl Service + 'static,
    ) -> io::Result<Self> {
        let macs = (mac(1), mac(2));
        let (a, b) = direct::pair(options.frames, options.mtu, macs)?;
        Ok(Self { workers: [worker(options, 1, a, client)?, worker(options, 2, b, server)?] })
    }

    /// One turn of the loop of each worker.
    pub fn turn(&mut self) {
        for worker in &mut self.workers {
            worker.turn();
        }
    }

    /// Connections of each worker that are kept at full size.
    pub fn awake(&self) -> [usize; 2] {
        self.workers.each_ref().map(Worker::awake)
    }

    /// Figures of both workers.
    pub fn stats(&self) -> [WorkerStats; 2] {
        self.workers.each_ref().map(Worker::stats)
    }
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn worker(
    options: &PairOptions,
    me: u8,
    device: DirectDevice,
    service: impl Service + 'static,
) -> io::Result<Worker<DirectDevice>> {
    let waker = Arc::new(WorkerWaker::new()?);
    let port = Arc::new(WorkerPort {
        touched: ArrayQueue::new(16),
        datagrams: AtomicBool::new(false),
        waker: Box::new(waker.clone()),
    });
    let config = StackConfig {
        medium: Medium::Ethernet,
        mac: mac(me),
        mtu: options.mtu,
        kernel_neighbors: false,
        max_flows: options.connections + 1,
        tcp: options.tcp.clone(),
        send_buffer: options.send_buffer,
        seeds: [me.into(), 2, 3, 4],
        ack_patience: Duration::ZERO,
        isn: None,
        reassembly_rings: 4,
        memory: MemoryLimits::default(),
        awake: options.awake,
        observe_segments: options.observe_segments,
        profile: options.profile,
        client_ports: Candidates::All,
        worker: (0, 1),
    };
    let mut stack = Stack::new(config, port, Box::new(service));
    let mut routes = RouteTable::new();
    if me == 1 {
        let addresses = options.connections / PER_ADDRESS + 1;
        (0..addresses).for_each(|n| routes.add_address(Prefix::new(client_address(n * PER_ADDRESS), 16)));
    } else {
        routes.add_address(Prefix::new(SERVER, 16));
        options.ports.iter().for_each(|port| stack.serve(*port));
    }
    stack.routes = routes;
    let links = Links {
        commands: Arc::new(ArrayQueue::new(4)),
        control: unbounded().0,
        waker,
        to_workers: vec![None],
        from_workers: Vec::new(),
    };
    Ok(Worker::new(0, device, stack, links, Poll::Busy))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::desk::Desk;
    use crate::service::ServiceConnection;

    struct Echo;

    impl Service for Echo {
        fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
            connection.write(data);
        }
    }

    struct Asker {
        asked: bool,
        answer: Arc<AtomicBool>,
    }

    impl Service for Asker {
        fn on_wake(&mut self, desk: &mut Desk<'_>) {
            if !std::mem::replace(&mut self.asked, true) {
                desk.connect(SocketAddr::new(SERVER, 7), Some(client_address(0))).expect("a port");
            }
        }

        fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
            connection.write(b"here?");
        }

        fn on_data(&mut self, _: &mut ServiceConnection<'_>, data: &[u8]) {
            self.answer.store(data == b"here?", std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Asks on all its connections whenever it is told to.
    struct Caller {
        connections: usize,
        ids: Vec<crate::ConnectionId>,
        rounds: Arc<AtomicUsize>,
        asked: usize,
        answers: Arc<AtomicUsize>,
    }

    impl Service for Caller {
        fn next_wake(&self) -> Option<crate::Instant> {
            Some(crate::Instant::ZERO)
        }

        fn on_wake(&mut self, desk: &mut Desk<'_>) {
            for n in 0..std::mem::take(&mut self.connections) {
                desk.connect(SocketAddr::new(SERVER, 7), Some(client_address(n))).expect("a port");
            }
            if self.asked < self.rounds.load(Relaxed) {
                self.asked += 1;
                for id in &self.ids {
                    desk.connection(*id).expect("it is there, asleep or not").write(b"again");
                }
            }
        }

        fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
            self.ids.push(connection.id());
            connection.write(b"first");
        }

        fn on_data(&mut self, _: &mut ServiceConnection<'_>, data: &[u8]) {
            assert_eq!(data.len(), 5);
            self.answers.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn connections_on_which_nothing_happens_sleep_and_wake_for_either_end() {
        let (rounds, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let caller = Caller {
            connections: 20,
            ids: Vec::new(),
            rounds: rounds.clone(),
            asked: 0,
            answers: answers.clone(),
        };
        let options = PairOptions { connections: 20, awake: 0, ..PairOptions::default() };
        let mut pair = Pair::new(&options, caller, Echo).expect("a pair");
        for round in 0..3 {
            rounds.store(round, Relaxed);
            until(&mut pair, |_| answers.load(Relaxed) == 20 * (round + 1));
            until(&mut pair, |pair| pair.awake() == [0, 0]);
        }
        let [client, server] = pair.stats();
        assert_eq!((client.flows, server.flows), (20, 20));
        assert_eq!((client.retransmits(), server.retransmits()), (0, 0));
    }

    fn until(pair: &mut Pair, done: impl Fn(&Pair) -> bool) {
        let since = std::time::Instant::now();
        while !done(pair) {
            pair.turn();
            assert!(since.elapsed().as_secs() < 30, "it does not come: awake {:?}", pair.awake());
        }
    }

    #[test]
    fn services_of_a_pair_talk_to_each_other() {
        let answer = Arc::new(AtomicBool::new(false));
        let asker = Asker { asked: false, answer: answer.clone() };
        let mut pair = Pair::new(&PairOptions::default(), asker, Echo).expect("a pair");
        for _ in 0..10_000 {
            pair.turn();
        }
        assert!(answer.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(pair.stats().map(|stats| stats.flows), [1, 1]);
    }
}
