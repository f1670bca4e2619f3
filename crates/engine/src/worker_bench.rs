//! What a request and its response cost two workers joined by a wire in memory, and what a connection weighs. Both
//! workers take turns on one thread, whose CPU time is counted, so that others on the machine disturb little.
//!
//! `cargo test --release -p bypath --lib -- --ignored --nocapture worker::bench`

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bypath_wire::ethernet::MacAddr;
use bypath_xdp::Impairments;
use bypath_xdp::memory::{MemoryConfig, MemoryDevice, WireClock, pair};
use crossbeam::channel::unbounded;
use crossbeam::queue::ArrayQueue;
use rustix::time::{ClockId, clock_gettime};

use super::{Links, Poll, Worker, WorkerWaker};
use crate::client_ports::Candidates;
use crate::desk::Desk;
use crate::route::{Prefix, RouteTable};
use crate::segment_log::AckedSegment;
use crate::service::{Service, ServiceConnection};
use crate::socket::shared::WorkerPort;
use crate::stack::memory::MemoryLimits;
use crate::stack::{Stack, StackConfig};
use crate::template::Medium;

const BYTES: usize = 64;
const PORT: u16 = 7;

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn ip(n: u32) -> IpAddr {
    IpAddr::from(std::net::Ipv4Addr::from_bits(0xc612_0000 + n))
}

struct Echo;

impl Service for Echo {
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        connection.write(data);
    }
}

#[derive(Default)]
struct Done {
    open: AtomicU64,
    requests: AtomicU64,
    samples: AtomicU64,
}

/// Opens connections, then asks on each as soon as it has its answer.
struct Asker {
    connections: usize,
    asks: bool,
    done: Arc<Done>,
}

impl Service for Asker {
    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        for n in 0..std::mem::take(&mut self.connections) {
            let from = ip(0x101 + n as u32 / 60_000);
            desk.connect(SocketAddr::new(ip(2), PORT), Some(from)).expect("a port for each");
        }
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        self.done.open.fetch_add(1, Ordering::Relaxed);
        connection.write(&[1; BYTES]);
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        assert_eq!(data.len(), BYTES);
        self.done.requests.fetch_add(1, Ordering::Relaxed);
        if self.asks {
            connection.write(&[1; BYTES]);
        }
    }

    fn on_segments_acked(&mut self, _: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        self.done.samples.fetch_add(samples.len() as u64, Ordering::Relaxed);
    }
}

fn worker(
    me: u8,
    device: MemoryDevice,
    service: impl Service + 'static,
    flows: usize,
    observe: bool,
) -> Worker<MemoryDevice> {
    let waker = Arc::new(WorkerWaker::new().expect("an eventfd"));
    let port = Arc::new(WorkerPort {
        touched: ArrayQueue::new(16),
        datagrams: AtomicBool::new(false),
        waker: Box::new(waker.clone()),
    });
    let config = StackConfig {
        medium: Medium::Ethernet,
        mac: mac(me),
        mtu: 1500,
        kernel_neighbors: false,
        max_flows: flows + 1,
        tcp: bypath_tcp::Config { max_half_open: 1 << 20, ..bypath_tcp::Config::default() },
        send_buffer: 1 << 20,
        seeds: [me.into(), 2, 3, 4],
        reassembly_rings: 4,
        memory: MemoryLimits::default(),
        observe_segments: observe,
        client_ports: Candidates::All,
        worker: (0, 1),
    };
    let mut stack = Stack::new(config, port, Box::new(service));
    let mut routes = RouteTable::new();
    match me {
        1 => (0x101..0x121).for_each(|n| routes.add_address(Prefix::new(ip(n), 16))),
        _ => {
            routes.add_address(Prefix::new(ip(2), 16));
            stack.serve(PORT);
        }
    }
    stack.routes = routes;
    let links = Links {
        commands: Arc::new(ArrayQueue::new(4)),
        control: unbounded().0,
        waker,
        to_workers: vec![None],
        from_workers: Vec::new(),
    };
    Worker::new(0, device, stack, links, Poll::Busy)
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number") * 4096
}

fn turn(workers: &mut [Worker<MemoryDevice>; 2]) {
    for worker in workers {
        let (now, _) = worker.now();
        worker.round(now);
    }
}

fn run(connections: usize, asks: bool, observe: bool) -> ([Worker<MemoryDevice>; 2], Arc<Done>) {
    let memory = MemoryConfig {
        clock: WireClock::Monotonic,
        macs: (mac(1), mac(2)),
        frames: 1 << 14,
        tx_ring: 1 << 13,
        ..MemoryConfig::default()
    };
    // All open at once: a queue that is always full of the first would let no other through.
    let wire = Impairments { queue_limit: 1 << 20, ..Impairments::none() };
    let (a, b) = pair(&memory, wire.clone(), wire).expect("memory");
    let done = Arc::new(Done::default());
    let asker = Asker { connections, asks, done: done.clone() };
    let mut workers = [worker(1, a, asker, connections, observe), worker(2, b, Echo, connections, observe)];
    while done.open.load(Ordering::Relaxed) < connections as u64 {
        turn(&mut workers);
    }
    (workers, done)
}

#[test]
#[ignore = "a measurement"]
fn a_request_and_its_response() {
    for observe in [false, true] {
        for connections in [1, 100, 10_000] {
            let (mut workers, done) = run(connections, true, observe);
            for _ in 0..2_000 {
                turn(&mut workers);
            }
            let (before, since, samples) =
                (done.requests.load(Ordering::Relaxed), cpu_ns(), done.samples.load(Ordering::Relaxed));
            let segments: u64 = workers.iter().map(|worker| worker.stack.counters.segs_out).sum();
            while cpu_ns() - since < 2_000_000_000 {
                for _ in 0..64 {
                    turn(&mut workers);
                }
            }
            let requests = done.requests.load(Ordering::Relaxed) - before;
            let ns = cpu_ns() - since;
            let sent = workers.iter().map(|worker| worker.stack.counters.segs_out).sum::<u64>() - segments;
            println!(
                "{connections} connections, observed {observe}: {} ns of CPU each for both sides, {:.2} packets, {} samples",
                ns / requests,
                sent as f64 / requests as f64,
                (done.samples.load(Ordering::Relaxed) - samples) as f64 / requests as f64,
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn connections_that_are_idle() {
    for connections in [10_000, 100_000, 500_000] {
        let before = resident_bytes();
        let since = cpu_ns();
        let (mut workers, done) = run(connections, false, false);
        while done.requests.load(Ordering::Relaxed) < connections as u64 {
            turn(&mut workers);
        }
        let opened = cpu_ns() - since;
        let bytes = resident_bytes() - before;
        let (rounds, since) = (20_000, cpu_ns());
        for _ in 0..rounds {
            turn(&mut workers);
        }
        println!(
            "{connections} connections, both ends: {} bytes each end, {} ns to open and ask once, {} ns for an idle round",
            bytes / connections as u64 / 2,
            opened / connections as u64,
            (cpu_ns() - since) / rounds / 2,
        );
    }
}
