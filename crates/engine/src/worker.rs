//! A worker: one pinned thread, one device, one stack. Its loop is the data path: take a batch, run the stack
//! over it, send what became of it, and sleep only when there is nothing to do and sleeping is allowed.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant as SystemInstant};

use bypath_tcp::Instant;
use bypath_wire::ethernet::MacAddr;
use bypath_xdp::{Device, Frame, RxBatch, UmemArea};
use crossbeam::channel::Sender;
use crossbeam::queue::ArrayQueue;

use crate::account::Phase;
use crate::control::ControlMessage;
use crate::counters::{Cause, Counters};
use crate::desk::Surroundings;
use crate::detour::STRAY;
use crate::device_egress::DeviceEgress;
use crate::flow::SocketEnd;
use crate::handoff::{HandoffReceiver, HandoffSender};
use crate::packet::{MAX_CHUNKS, NO_FLOW, RxPacket};
use crate::route::RouteTable;
use crate::socket::listener::ListenerShared;
use crate::socket::shared::Wake;
use crate::socket::udp::UdpShared;
use crate::stack::client::Woken;
use crate::stack::foresight::AHEAD;
use crate::stack::ingress::Verdict;
use crate::stack::{Stack, StackEvent};
use crate::tap::TapWriter;
use crate::waker::WorkerWaker;
use crate::worker_stats::WorkerStats;

/// Frames taken from the device at once.
const BATCH: usize = 64;
/// Packets taken from another worker at once.
const HANDOFF_BATCH: usize = 64;
/// In the place of the count of hand-offs: a copy, to take note of.
const COPY: u8 = u8::MAX;
/// How long an adaptive worker looks for work before it sleeps.
const SPIN: Duration = Duration::from_micros(20);
/// Longest sleep: the control plane's queues are looked at that often, whatever happens.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// How long a worker that is told to stop waits for connections that are being closed.
const LINGER: Duration = Duration::from_secs(1);

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poll {
    /// Looks again at once: lowest latency, a whole core.
    Busy,
    /// Looks for a while, then sleeps until something arrives or is due.
    #[default]
    Adaptive,
}

/// What the control plane tells a worker.
pub(crate) enum Command {
    Connect {
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        end: Box<SocketEnd>,
    },
    /// Answered as soon as it is known.
    Listen(std::net::SocketAddr, Arc<ListenerShared>, Sender<()>),
    Unlisten(std::net::SocketAddr),
    /// Answered as soon as it is known.
    BindUdp(std::net::SocketAddr, Arc<UdpShared>, Sender<()>),
    UnbindUdp(std::net::SocketAddr),
    Learn {
        ip: std::net::IpAddr,
        mac: MacAddr,
        permanent: bool,
    },
    NeighborGone(std::net::IpAddr),
    Routes(RouteTable),
    Mtu(u32),
    LinkDown,
    Report(Sender<WorkerStats>),
    Stop,
}

/// A worker's queues to and from the others, all of them bounded.
pub(crate) struct Links {
    pub(crate) commands: Arc<ArrayQueue<Command>>,
    pub(crate) control: Sender<ControlMessage>,
    pub(crate) waker: Arc<WorkerWaker>,
    /// By worker; none for itself.
    pub(crate) to_workers: Vec<Option<(HandoffSender, Arc<WorkerWaker>)>>,
    pub(crate) from_workers: Vec<HandoffReceiver>,
}

impl Links {
    /// Whether there are no other workers.
    fn is_alone(&self) -> bool {
        self.to_workers.iter().all(Option::is_none)
    }
}

/// See the module.
pub(crate) struct Worker<D> {
    index: usize,
    device: D,
    area: Arc<UmemArea>,
    stack: Stack,
    links: Links,
    poll: Poll,
    batch: RxBatch,
    epoch: SystemInstant,
    stopping: bool,
    /// There are no other workers.
    alone: bool,
    time: TimeSpent,
    tap: Option<Box<TapWriter>>,
}

/// Where the time of a worker goes.
#[derive(Clone, Copy, Debug, Default)]
struct TimeSpent {
    busy_ns: u64,
    idle_ns: u64,
    rounds: u64,
    busy_rounds: u64,
    /// The last round, which lasts until the next begins, had something to do.
    busy: bool,
    since: Instant,
}

impl TimeSpent {
    /// A round begins.
    fn begin(&mut self, now: Instant) {
        let ns = now.nanos_since(self.since);
        if self.busy {
            self.busy_ns += ns;
        } else {
            self.idle_ns += ns;
        }
        self.since = now;
        self.rounds += 1;
    }

    fn stats(&self, worker: usize) -> WorkerStats {
        let &Self { busy_ns, idle_ns, rounds, busy_rounds, .. } = self;
        WorkerStats { worker, busy_ns, idle_ns, rounds, busy_rounds, ..WorkerStats::default() }
    }

    /// There was something to do in it, or not.
    fn end(&mut self, busy: bool) {
        self.busy = busy;
        self.busy_rounds += u64::from(busy);
    }
}

impl<D: Device> Worker<D> {
    pub(crate) fn new(index: usize, device: D, stack: Stack, links: Links, poll: Poll) -> Self {
        let area = device.area().clone();
        let alone = links.is_alone();
        Self {
            index,
            device,
            area,
            stack,
            links,
            poll,
            batch: RxBatch::with_capacity(BATCH),
            epoch: SystemInstant::now(),
            stopping: false,
            alone,
            time: TimeSpent::default(),
            tap: None,
        }
    }

    /// The same with a tap that has a copy of every packet.
    pub(crate) fn tapped(mut self, tap: Option<TapWriter>) -> Self {
        self.tap = tap.map(Box::new);
        self
    }

    /// The same with a clock that begins at `epoch`, as those of all workers of an engine do.
    pub(crate) fn since(mut self, epoch: SystemInstant) -> Self {
        self.epoch = epoch;
        self.time.since = self.now().0;
        self
    }

    /// Runs until told to stop. Connections that are being closed then get a moment to finish; those that are
    /// open are reset. Returns its last figures.
    pub(crate) fn run(mut self) -> WorkerStats {
        // Linux lets a sleep last 50 µs longer, to save wake-ups: a paced connection would send late by as much. If
        // it will not have it otherwise, pacing makes up for it.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut idle_since: Option<SystemInstant> = None;
        let mut stop_at: Option<SystemInstant> = None;
        loop {
            // The clock is read once a round: packets are as old as the moment at which the device gave them.
            self.stack.account.begin();
            let received = self.device.receive(&mut self.batch) > 0;
            let (now, clock) = self.now();
            if self.stopping {
                let patience = *stop_at.get_or_insert(clock + LINGER);
                if clock >= patience || self.stack.closing_flows() == 0 {
                    break;
                }
            }
            self.time.begin(now);
            if let Some(tap) = &mut self.tap {
                tap.begin(now.as_nanos());
            }
            let busy = self.round(now, received);
            self.end(busy);
            if busy || self.stopping {
                idle_since = None;
                continue;
            }
            if self.poll == Poll::Busy {
                std::hint::spin_loop();
                continue;
            }
            let since = *idle_since.get_or_insert(clock);
            if clock.duration_since(since) >= SPIN {
                self.sleep(now);
                idle_since = None;
            } else {
                // On a core shared with the peer, or with the application, whoever has work goes first.
                std::thread::yield_now();
            }
        }
        let (now, _) = self.now();
        self.stack.abort_all(now);
        self.flush(now);
        self.stats()
    }

    fn now(&self) -> (Instant, SystemInstant) {
        let clock = SystemInstant::now();
        let since = clock.duration_since(self.epoch);
        (Instant::from_nanos(since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())), clock)
    }

    /// One turn of the loop, for those who drive it themselves.
    pub(crate) fn turn(&mut self) {
        self.stack.account.begin();
        let received = self.device.receive(&mut self.batch) > 0;
        let (now, _) = self.now();
        self.time.begin(now);
        let busy = self.round(now, received);
        self.end(busy);
    }

    fn end(&mut self, busy: bool) {
        self.time.end(busy);
        self.stack.account.end(busy);
    }

    /// One turn of the loop; the batch holds what was `received`. `false`: there was nothing to do.
    fn round(&mut self, now: Instant, received: bool) -> bool {
        if received {
            self.take_batch(now);
        }
        let handed = self.take_handed_off(now);
        let asked = self.take_requests(now);
        let woken = self.wake(now);
        let busy = received || handed || asked || woken || self.stack.has_work();
        self.stack.doze(now);
        let busy = busy || self.stack.next_deadline().is_some_and(|at| at.is_due(now));
        if busy {
            self.flush(now);
        } else if self.device.has_unsent() {
            self.device.flush();
        }
        busy
    }

    /// Calls the service, if it is time.
    fn wake(&mut self, now: Instant) -> bool {
        if !self.stack.is_wake_due(now) || self.stopping {
            return false;
        }
        let device = &self.device;
        let (index, time) = (self.index, &self.time);
        let surroundings =
            Surroundings { worker: index, time: &|| time.stats(index), device: &|| device.stats() };
        if self.stack.wake(now, &surroundings) == Woken::Done {
            self.stack.events.push_back(StackEvent::ServiceDone(self.index));
        }
        true
    }

    pub(crate) fn awake(&self) -> usize {
        self.stack.awake_flows()
    }

    pub(crate) fn stats(&self) -> WorkerStats {
        WorkerStats {
            account: self.stack.account.kept(),
            flows: self.stack.flow_count(),
            counters: self.stack.counters,
            device: self.device.stats(),
            ..self.time.stats(self.index)
        }
    }

    fn flush(&mut self, now: Instant) {
        let mut egress = DeviceEgress::new(&mut self.device, &self.area, self.tap.as_deref_mut());
        let before = self.stack.account.enter(Phase::Tcp);
        self.stack.advance(now, &mut egress);
        let _ = self.stack.account.enter(Phase::Transmit);
        self.stack.flush(now, &mut egress);
        if self.stack.has_unstamped() || self.tap.is_some() {
            let handed_over = self.now().0;
            self.stack.stamp(handed_over);
            if let Some(tap) = &mut self.tap {
                tap.handed_over(handed_over.as_nanos());
            }
        }
        let _ = self.stack.account.enter(Phase::Kick);
        self.device.flush();
        self.stack.account.back(before);
        while let Some(event) = self.stack.events.pop_front() {
            let message = ControlMessage::Worker(event);
            if self.links.control.try_send(message).is_err() {
                // The control plane is behind: the event waits for the next round.
                self.stack.events.push_front(event);
                break;
            }
        }
    }

    /// Runs the stack over the packets of the batch.
    fn take_batch(&mut self, now: Instant) {
        let area = self.area.clone();
        let frames = self.batch.frames();
        let mut egress = DeviceEgress::new(&mut self.device, &area, self.tap.as_deref_mut());
        let mut at = 0;
        let looks_ahead = frames.len() > 1 && self.stack.looks_ahead();
        let mut flows = [NO_FLOW; AHEAD];
        let mut foreseen = 0..0;
        while let Some(first) = frames.get(at) {
            if looks_ahead && at >= foreseen.end {
                foreseen = at..frames.len().min(at + AHEAD);
                let next = frames[foreseen.clone()].iter().map(|frame| area.bytes(frame));
                let before = self.stack.account.enter(Phase::LookUp);
                self.stack.foresee(next, &mut flows[..foreseen.len()]);
                self.stack.account.back(before);
            }
            let mut packet = RxPacket::whole(area.bytes(first));
            if looks_ahead {
                packet.flow = flows[at - foreseen.start];
            }
            let mut last: &Frame = first;
            at += 1;
            while last.more() {
                let Some(next) = frames.get(at) else { break };
                if packet.rest.len() < MAX_CHUNKS {
                    packet.rest.push(area.bytes(next));
                }
                last = next;
                at += 1;
            }
            let before = self.stack.account.enter(Phase::Parse);
            let watched = egress.begin(now, first.queue(), &packet);
            if watched {
                self.stack.begin_packet();
            }
            let verdict = self.stack.input(now, &packet, first.queue(), self.alone, &mut egress);
            if watched {
                let (cause, note) = self.stack.end_packet(verdict);
                egress.end(cause, note);
            }
            self.stack.account.back(before);
            if let Verdict::Foreign(key) = verdict {
                let home = self.stack.home_of(&key, self.links.to_workers.len());
                hand_off(self.index, home, &mut self.links, &mut self.stack.counters, &packet, 0);
            } else if verdict == Verdict::News && !self.alone {
                tell_others(&mut self.links, &mut self.stack.counters, &packet);
            }
        }
        for frame in self.batch.drain() {
            self.device.release(frame);
        }
    }

    /// Takes packets that came on other workers' queues.
    fn take_handed_off(&mut self, now: Instant) -> bool {
        if self.links.from_workers.is_empty() {
            return false;
        }
        let mut any = false;
        let mut receivers = std::mem::take(&mut self.links.from_workers);
        let workers = self.links.to_workers.len();
        for receiver in &mut receivers {
            for _ in 0..HANDOFF_BATCH {
                let (stack, links, device) = (&mut self.stack, &mut self.links, &mut self.device);
                let tap = &mut self.tap;
                let area = &self.area;
                let (index, alone) = (self.index, self.alone);
                let taken = receiver.pop(|bytes, hops| {
                    stack.begin_packet();
                    let mut egress = DeviceEgress::new(device, area, tap.as_deref_mut());
                    let packet = RxPacket::whole(bytes);
                    if hops == COPY {
                        return stack.overhear(now, &packet, &mut egress);
                    }
                    let stray = hops == STRAY;
                    let hops = if stray { 0 } else { hops };
                    let watched = stray && egress.begin(now, index as u16, &packet);
                    // Everybody has seen it: whoever is last answers it.
                    let last = alone || usize::from(hops) >= workers;
                    let verdict = stack.input(now, &packet, index as u16, last, &mut egress);
                    if watched {
                        let (cause, note) = stack.end_packet(verdict);
                        egress.end(cause, note);
                    }
                    if let Verdict::Foreign(key) = verdict {
                        let home = stack.home_of(&key, workers);
                        hand_off(index, home, links, &mut stack.counters, &packet, hops);
                    } else if stray && verdict == Verdict::News && !alone {
                        tell_others(links, &mut stack.counters, &packet);
                    }
                });
                if taken.is_none() {
                    break;
                }
                any = true;
            }
        }
        self.links.from_workers = receivers;
        any
    }

    fn take_requests(&mut self, now: Instant) -> bool {
        // This order matters: a socket's first datagram follows the command that makes the socket known here,
        // so whoever sees the flag must see the command before the datagrams are taken.
        let port = &self.stack.port;
        let datagrams =
            port.datagrams.load(Ordering::Relaxed) && port.datagrams.swap(false, Ordering::SeqCst);
        let mut any = datagrams;
        // An empty queue costs a look, not a fence.
        while !self.links.commands.is_empty()
            && let Some(command) = self.links.commands.pop()
        {
            self.obey(now, command);
            any = true;
        }
        if datagrams {
            let mut egress = DeviceEgress::new(&mut self.device, &self.area, self.tap.as_deref_mut());
            self.stack.send_datagrams(now, &mut egress);
        }
        if !self.stack.port.touched.is_empty() {
            self.stack.take_wishes(now);
            any = true;
        }
        any
    }

    fn obey(&mut self, now: Instant, command: Command) {
        let mut egress = DeviceEgress::new(&mut self.device, &self.area, self.tap.as_deref_mut());
        let stack = &mut self.stack;
        match command {
            Command::Connect { local, remote, end } => {
                stack.connect(now, local, remote, *end);
            }
            Command::Listen(local, listener, known) => {
                stack.listen(local, listener);
                let _ = known.try_send(());
            }
            Command::Unlisten(local) => {
                stack.unlisten(local);
                // Behind what it accepted before.
                stack.events.push_back(StackEvent::Unlistened(local));
            }
            Command::BindUdp(local, socket, known) => {
                stack.bind_udp(local, socket);
                let _ = known.try_send(());
            }
            Command::UnbindUdp(local) => {
                // What it has sent before it went still goes out.
                stack.send_datagrams(now, &mut egress);
                stack.unbind_udp(local);
            }
            Command::Learn { ip, mac, permanent } => {
                stack.learn_from_kernel(now, ip, mac, permanent, &mut egress);
            }
            Command::NeighborGone(ip) => stack.neighbor_gone(now, ip),
            Command::Routes(routes) => stack.routes = routes,
            Command::Mtu(mtu) => stack.set_mtu(mtu),
            Command::LinkDown => stack.link_down(now),
            Command::Report(reply) => {
                let _ = reply.try_send(self.stats());
            }
            Command::Stop => self.stopping = true,
        }
    }

    /// Sleeps until a packet, a request or the next deadline.
    fn sleep(&mut self, now: Instant) {
        let waker = &self.links.waker;
        waker.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let port = &self.stack.port;
        let nothing = port.touched.is_empty()
            && !port.datagrams.load(Ordering::Relaxed)
            && self.links.commands.is_empty()
            && self.links.from_workers.iter().all(HandoffReceiver::is_empty)
            && self.stack.events.is_empty();
        if nothing {
            let timeout = self
                .stack
                .next_deadline()
                .map_or(LONGEST_SLEEP, |at| Duration::from_nanos(at.nanos_since(now)).min(LONGEST_SLEEP));
            // An error here would come again at once: then the worker spins, and loses nothing.
            if let Some(tap) = &mut self.tap {
                tap.asleep();
            }
            let _ = self.device.wait(Some(timeout), Some(waker.fd()));
            if let Some(tap) = &mut self.tap {
                tap.awake(now.as_nanos());
            }
        }
        waker.asleep.store(false, Ordering::Relaxed);
        waker.drain();
    }
}

/// Every other worker gets a copy of a packet that has been dealt with here, to take note of.
fn tell_others(links: &mut Links, counters: &mut Counters, packet: &RxPacket<'_>) {
    for (sender, waker) in links.to_workers.iter_mut().flatten() {
        if sender.push(&pieces(packet), COPY).is_ok() {
            waker.wake();
        } else {
            counters.count(Cause::Handoff);
        }
    }
}

fn pieces<'p>(packet: &RxPacket<'p>) -> arrayvec::ArrayVec<&'p [u8], { MAX_CHUNKS + 1 }> {
    let mut pieces = arrayvec::ArrayVec::new();
    pieces.push(packet.head);
    for piece in &packet.rest {
        let _ = pieces.try_push(*piece);
    }
    pieces
}

/// Passes a packet on to the worker that may own its flow: the one that the flow's hash names, after that
/// each of the others.
fn hand_off(
    me: usize,
    home: usize,
    links: &mut Links,
    counters: &mut Counters,
    packet: &RxPacket<'_>,
    hops: u8,
) {
    let workers = links.to_workers.len();
    // From the arriving worker to the flow's home, from there round the ring.
    let next = if hops == 0 && home != me { home } else { (me + 1) % workers };
    let Some(Some((sender, waker))) = links.to_workers.get_mut(next) else { return };
    if sender.push(&pieces(packet), hops + 1).is_ok() {
        counters.handed_off += 1;
        waker.wake();
    } else {
        counters.count(Cause::Handoff);
    }
}
