//! Workers on threads of their own, joined by wires in memory that lose, reorder, double and corrupt packets:
//! sockets move tens of megabytes, every frame comes back, and packets that arrive on the wrong worker find
//! their flow.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bypath_tcp::Config;
use bypath_wire::ethernet::MacAddr;
use bypath_xdp::memory::{MemoryConfig, MemoryDevice, WireClock, pair};
use bypath_xdp::{Device, DeviceInfo, DeviceStats, Frame, Impairments, RxBatch, UmemArea};
use crossbeam::channel::{Receiver, bounded, unbounded};
use crossbeam::queue::ArrayQueue;

use crate::control::{ControlMessage, Known};
use crate::handoff::handoff;
use crate::route::{Prefix, RouteTable};
use crate::service::NoService;
use crate::socket::end::{TcpEnd, socket_pair};
use crate::socket::listener::ListenerShared;
use crate::socket::shared::{Wake, WorkerPort};
use crate::stack::{Stack, StackConfig, StackEvent};
use crate::template::Medium;
use crate::waker::WorkerWaker;
use crate::worker::{Command, Links, Poll, Worker};
use crate::worker_stats::WorkerStats;

const PATIENCE: Duration = Duration::from_secs(120);

/// A device that counts the frames its worker holds.
struct Counted {
    inner: MemoryDevice,
    held: Arc<AtomicI64>,
}

impl Device for Counted {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }
    fn area(&self) -> &Arc<UmemArea> {
        self.inner.area()
    }
    fn receive(&mut self, batch: &mut RxBatch) -> usize {
        let n = self.inner.receive(batch);
        self.held.fetch_add(n as i64, Ordering::Relaxed);
        n
    }
    fn release(&mut self, frame: Frame) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.inner.release(frame);
    }
    fn tx_room(&self) -> usize {
        self.inner.tx_room()
    }
    fn alloc(&mut self) -> Option<Frame> {
        let frame = self.inner.alloc()?;
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(frame)
    }
    fn transmit(&mut self, frame: Frame) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.inner.transmit(frame);
    }
    fn flush(&mut self) {
        self.inner.flush();
    }
    fn wait(&mut self, timeout: Option<Duration>, wake: Option<BorrowedFd<'_>>) -> std::io::Result<()> {
        self.inner.wait(timeout, wake)
    }
    fn stats(&self) -> DeviceStats {
        self.inner.stats()
    }
}

/// A running worker, and what its control plane would hold.
struct Node {
    commands: Arc<ArrayQueue<Command>>,
    waker: Arc<WorkerWaker>,
    port: Arc<WorkerPort>,
    thread: JoinHandle<WorkerStats>,
    held: Arc<AtomicI64>,
    events: Receiver<ControlMessage>,
}

impl Node {
    fn tell(&self, command: Command) {
        assert!(self.commands.push(command).is_ok());
        self.waker.wake();
    }

    fn report(&self) -> WorkerStats {
        let (reply, answer) = bounded(1);
        self.tell(Command::Report(reply));
        answer.recv_timeout(PATIENCE).expect("the worker answers")
    }

    fn connect(&self, local: SocketAddr, remote: SocketAddr) -> TcpEnd {
        let (end, socket) = socket_pair(self.port.clone(), 1 << 18, 1 << 18);
        self.tell(Command::Connect { local, remote, end: Box::new(end) });
        socket
    }

    fn stop(self) {
        self.tell(Command::Stop);
        self.thread.join().expect("the worker has not panicked");
        assert_eq!(self.held.load(Ordering::Relaxed), 0, "frames were lost or given back twice");
    }
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([198, 18, 0, n])
}

fn at(n: u8, port: u16) -> SocketAddr {
    SocketAddr::new(ip(n), port)
}

/// Starts the workers of host `me`, one for each device, that know the link address of host `peer`.
fn host(me: u8, peer: u8, mtu: u32, devices: Vec<MemoryDevice>) -> Vec<Node> {
    let count = devices.len();
    let wakers: Vec<_> = (0..count).map(|_| Arc::new(WorkerWaker::new().unwrap())).collect();
    let (mut to, mut from): (Vec<Vec<_>>, Vec<Vec<_>>) = Default::default();
    (0..count).for_each(|_| {
        to.push(Vec::new());
        from.push(Vec::new());
    });
    for (sender, row) in to.iter_mut().enumerate() {
        for (receiver, column) in from.iter_mut().enumerate() {
            row.push((sender != receiver).then(|| {
                let (tx, rx) = handoff(1024, mtu as usize + 64);
                column.push(rx);
                (tx, wakers[receiver].clone())
            }));
        }
    }
    let mut nodes = Vec::new();
    for (index, ((device, to_workers), from_workers)) in devices.into_iter().zip(to).zip(from).enumerate() {
        let waker = wakers[index].clone();
        let port = Arc::new(WorkerPort {
            touched: ArrayQueue::new(256),
            datagrams: AtomicBool::new(false),
            waker: Box::new(waker.clone()),
        });
        let config = StackConfig {
            medium: Medium::Ethernet,
            mac: mac(me),
            mtu,
            kernel_neighbors: false,
            max_flows: 256,
            tcp: Config { receive_buffer: 1 << 18, ..Config::default() },
            send_buffer: 1 << 18,
            seeds: [me.into(), 2, 3, 4],
            ack_patience: Duration::from_micros(20),
            isn: None,
            reassembly_rings: 0,
            memory: crate::stack::memory::MemoryLimits::default(),
            awake: crate::stack::AWAKE,
            observe_segments: false,
            profile: false,
            client_ports: crate::client_ports::Candidates::All,
            worker: (index, count),
        };
        let mut stack = Stack::new(config, port.clone(), Box::new(NoService));
        let mut routes = RouteTable::new();
        routes.add_address(Prefix::new(ip(me), 24));
        stack.routes = routes;
        let commands = Arc::new(ArrayQueue::new(64));
        let (control, events) = unbounded();
        let links =
            Links { commands: commands.clone(), control, waker: waker.clone(), to_workers, from_workers };
        let held = Arc::new(AtomicI64::new(0));
        let device = Counted { inner: device, held: held.clone() };
        let worker = Worker::new(index, device, stack, links, Poll::Adaptive);
        let thread = std::thread::spawn(move || worker.run());
        let node = Node { commands, waker, port, thread, held, events };
        // Corruption may hit ARP, which has no checksum of its own: the wire has none either.
        node.tell(Command::Learn { ip: ip(peer), mac: mac(peer), permanent: true });
        nodes.push(node);
    }
    nodes
}

fn memory(mtu: u32, macs: (MacAddr, MacAddr)) -> MemoryConfig {
    MemoryConfig { mtu, macs, clock: WireClock::Monotonic, ..MemoryConfig::default() }
}

fn pattern(salt: u64, block: u64) -> [u8; 8] {
    (block ^ salt << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()
}

/// Writes and reads `bytes` at the same time, from two threads, then waits for the peer's end. Streams are told
/// apart by their salts.
fn exchange(socket: TcpEnd, bytes: u64, send_salt: u64, receive_salt: u64) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (mut read, mut write, shared) = socket.into_parts();
        let until = Some(Instant::now() + PATIENCE);
        let writer = {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let mut chunk = Vec::new();
                let mut sent = 0;
                while sent < bytes {
                    let blocks = sent / 8..(bytes.min(sent + 65_536)) / 8;
                    chunk.clear();
                    blocks.for_each(|block| chunk.extend_from_slice(&pattern(send_salt, block)));
                    let mut rest = &chunk[..];
                    while !rest.is_empty() {
                        let n = write.write_until(&shared, until, rest).expect("room in time");
                        rest = &rest[n..];
                    }
                    sent += chunk.len() as u64;
                }
                write.close(&shared);
                // Dropped with the reader only.
                write
            })
        };
        let mut buffer = vec![0; 65_536];
        let mut received = 0u64;
        loop {
            let n = read.read_until(&shared, until, &mut buffer).expect("bytes in time");
            if n == 0 {
                break;
            }
            for byte in &buffer[..n] {
                assert_eq!(*byte, pattern(receive_salt, received / 8)[(received % 8) as usize]);
                received += 1;
            }
        }
        assert_eq!(received, bytes);
        drop(writer.join().expect("the writer is done"));
    })
}

fn accept(listener: &ListenerShared, parker: &crossbeam::sync::Parker) -> TcpEnd {
    let until = Some(Instant::now() + PATIENCE);
    listener.waiting.wait_until(parker, until, || listener.take()).expect("a connection in time").end
}

fn listen(nodes: &[Node], local: SocketAddr) -> (Arc<ListenerShared>, crossbeam::sync::Parker) {
    let (listener, parker) = ListenerShared::new(16);
    let listener = Arc::new(listener);
    let (known, answer) = Known::by(nodes.len());
    nodes.iter().for_each(|node| node.tell(Command::Listen(local, listener.clone(), answer.clone())));
    known.wait().expect("all know it before anybody connects");
    (listener, parker)
}

fn transfer(mtu: u32, bytes: u64, impairments: &Impairments) {
    transfer_with(&memory(mtu, (mac(1), mac(2))), bytes, impairments);
}

fn transfer_with(memory: &MemoryConfig, bytes: u64, impairments: &Impairments) {
    let mtu = memory.mtu;
    let back = Impairments { seed: impairments.seed + 1, ..impairments.clone() };
    let (a, b) = pair(memory, impairments.clone(), back).unwrap();
    let (a, b) = (host(1, 2, mtu, vec![a]), host(2, 1, mtu, vec![b]));
    let (listener, parker) = listen(&b, at(2, 80));
    let client = exchange(a[0].connect(at(1, 40_000), at(2, 80)), bytes, 1, 2);
    let server = exchange(accept(&listener, &parker), bytes, 2, 1);
    client.join().unwrap();
    server.join().unwrap();
    let reports = [a[0].report(), b[0].report()];
    if impairments.loss > 0.0 {
        assert!(reports.iter().all(|r| r.counters.segs_retrans > 0), "{reports:?}");
    }
    for node in a.into_iter().chain(b) {
        node.stop();
    }
}

#[test]
fn sixty_four_megabytes_each_way_over_a_wire_that_only_carries() {
    transfer(1500, 64 << 20, &Impairments::none());
}

#[test]
fn sixty_four_megabytes_each_way_over_a_wire_that_spoils_packets() {
    let spoil = Impairments {
        seed: 5,
        loss: 0.002,
        reorder: 0.005,
        duplicate: 0.005,
        corrupt: 0.002,
        ..Impairments::none()
    };
    transfer(1500, 64 << 20, &spoil);
}

#[test]
fn packets_of_several_frames_carry_the_same_bytes() {
    let spoil = Impairments { seed: 7, loss: 0.002, corrupt: 0.002, ..Impairments::none() };
    transfer(9000, 32 << 20, &spoil);
}

#[test]
fn a_device_with_few_frames_and_a_short_ring_is_slower_and_still_loses_none() {
    // Of the thousand large packets some must be among those that are lost, however many acknowledgements there are.
    let loss = Impairments { seed: 3, loss: 0.005, ..Impairments::none() };
    for mtu in [1500, 9000] {
        let few = MemoryConfig { frames: 64, tx_ring: 8, ..memory(mtu, (mac(1), mac(2))) };
        transfer_with(&few, 8 << 20, &loss);
    }
}

#[test]
fn a_worker_says_that_it_has_stopped_listening_after_what_it_accepted() {
    let (a, b) = pair(&memory(1500, (mac(1), mac(2))), Impairments::none(), Impairments::none()).unwrap();
    let (a, b) = (host(1, 2, 1500, vec![a]), host(2, 1, 1500, vec![b]));
    let (listener, parker) = listen(&b, at(2, 80));
    let client = a[0].connect(at(1, 40_000), at(2, 80));
    let server = accept(&listener, &parker);
    b[0].tell(Command::Unlisten(at(2, 80)));
    let said: Vec<_> = std::iter::from_fn(|| match b[0].events.recv_timeout(PATIENCE) {
        Ok(ControlMessage::Worker(event)) => Some(event),
        _ => None,
    })
    .take(2)
    .collect();
    assert!(matches!(said[..], [StackEvent::FlowAccepted(_), StackEvent::Unlistened(_)]), "{said:?}");
    drop((client, server));
    for node in a.into_iter().chain(b) {
        node.stop();
    }
}

/// Joins host B's one port with the two ports of host A's two workers, as a NIC that deals packets to queues
/// with no regard for flows: only the SYN of a connection, and its repetitions, always take the same port.
fn deal(mut ports: [MemoryDevice; 2], mut trunk: MemoryDevice, ending: Arc<AtomicBool>) -> JoinHandle<()> {
    fn carry(from: &mut MemoryDevice, to: &mut MemoryDevice, batch: &mut RxBatch) {
        from.receive(batch);
        for frame in batch.drain() {
            pass(&frame, from, to);
            from.release(frame);
        }
        to.flush();
        from.flush();
    }
    fn pass(frame: &Frame, from: &MemoryDevice, to: &mut MemoryDevice) {
        let bytes = from.area().bytes(frame);
        let Some(mut copy) = to.alloc() else { return };
        copy.set_len(bytes.len() as u32);
        let area = to.area().clone();
        area.bytes_mut(&mut copy)[..bytes.len()].copy_from_slice(bytes);
        to.transmit(copy);
    }
    std::thread::spawn(move || {
        let mut batch = RxBatch::with_capacity(64);
        let mut turn = 0usize;
        while !ending.load(Ordering::Relaxed) {
            for port in &mut ports {
                carry(port, &mut trunk, &mut batch);
            }
            trunk.receive(&mut batch);
            for frame in batch.drain() {
                let bytes = trunk.area().bytes(&frame);
                let syn = bytes.get(47).is_some_and(|flags| flags & 0x12 == 2);
                turn += 1;
                let which = if syn { usize::from(bytes[35]) } else { turn / 3 } % 2;
                pass(&frame, &trunk, &mut ports[which]);
                trunk.release(frame);
            }
            trunk.flush();
            ports.iter_mut().for_each(|port| port.flush());
            std::thread::yield_now();
        }
    })
}

#[test]
fn packets_that_arrive_on_the_wrong_worker_are_handed_to_the_one_that_has_the_flow() {
    let wire = |macs| pair(&memory(1500, macs), Impairments::none(), Impairments::none()).unwrap();
    let (a0, p0) = wire((mac(1), mac(9)));
    let (a1, p1) = wire((mac(1), mac(9)));
    let (b, trunk) = wire((mac(2), mac(9)));
    let ending = Arc::new(AtomicBool::new(false));
    let nic = deal([p0, p1], trunk, ending.clone());
    let (a, b) = (host(1, 2, 1500, vec![a0, a1]), host(2, 1, 1500, vec![b]));
    let (to_a, a_parker) = listen(&a, at(1, 80));
    let (to_b, b_parker) = listen(&b, at(2, 80));
    let mut threads = Vec::new();
    for n in 0..4u16 {
        // Out from both workers of A, and in from B to whichever worker the SYN reaches.
        let salt = 10 * u64::from(n);
        let opener = a[usize::from(n) % 2].connect(at(1, 40_000 + n), at(2, 80));
        threads.push(exchange(accept(&to_b, &b_parker), 4 << 20, salt + 1, salt));
        threads.push(exchange(opener, 4 << 20, salt, salt + 1));
        let opener = b[0].connect(at(2, 50_000 + n), at(1, 80));
        threads.push(exchange(accept(&to_a, &a_parker), 4 << 20, salt + 3, salt + 2));
        threads.push(exchange(opener, 4 << 20, salt + 2, salt + 3));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    for node in &a {
        let report = node.report();
        assert!(report.counters.handed_off > 1_000, "{report:?}");
        assert!(report.device.rx_packets > 1_000);
    }
    for node in a.into_iter().chain(b) {
        node.stop();
    }
    ending.store(true, Ordering::Relaxed);
    nic.join().unwrap();
}
