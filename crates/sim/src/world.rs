//! Hosts, links and connections on a virtual clock: takes the next event, lets the host that it concerns do what
//! a worker's round does, carries what it sends, and checks what must hold.

use std::net::SocketAddr;

use bypath::by_hand::Stack;
use bypath_tcp::Instant;
use hashbrown::HashMap;

use crate::app::{Endpoint, Progress};
use crate::capture::{Capture, Direction};
use crate::event::{Event, Events, Packet};
use crate::host::{FEW, Host, host_at};
use crate::invariants::{Violation, WireWatch};
use crate::link::{Fate, Link, LinkStats, nanos};
use crate::packet::{self, Medium, host_address};
use crate::plan::{ConnectionPlan, Plan, Rules};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Virtual time at the end, nanoseconds.
    pub now: u64,
    /// Events.
    pub events: u64,
    /// Packets that hosts sent.
    pub packets: u64,
    /// Of every packet's time and headers: the same for the same run.
    pub digest: u64,
}

/// See the module.
pub struct World {
    pub(crate) rules: Rules,
    medium: Medium,
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Vec<Link>,
    paths: Vec<(usize, usize, Vec<usize>)>,
    /// Path of `from * hosts + to`.
    routes: Vec<Option<u32>>,
    pub(crate) events: Events,
    pub(crate) endpoints: Vec<Endpoint>,
    /// By host, own port, other host, its port.
    by_ports: HashMap<(usize, u16, usize, u16), usize, ahash::RandomState>,
    pub(crate) watch: Option<WireWatch>,
    capture: Option<Capture>,
    pub(crate) now: u64,
    summary: Summary,
    buffer: Vec<u8>,
    open: usize,
}

impl World {
    /// The network of a plan, before its first event.
    ///
    /// # Panics
    /// When the plan names hosts or links that it does not have.
    pub fn new(plan: &Plan) -> Self {
        let n = plan.hosts.len();
        let hosts: Vec<Host> = (0..n).map(|index| Host::new(plan, index)).collect();
        let mtu = plan.hosts.iter().map(|h| h.options.mtu).max().unwrap_or(0);
        let mut routes = vec![None; n * n];
        for (index, (from, to, _)) in plan.paths.iter().enumerate() {
            routes[from * n + to] = Some(index as u32);
        }
        let links = plan.links.iter().zip(1..);
        let mut world = Self {
            rules: plan.rules,
            medium: plan.medium,
            hosts,
            links: links
                .map(|(spec, i)| {
                    let seed = plan.seed ^ u64::wrapping_mul(i, 0x9e37_79b9_7f4a_7c15);
                    Link::new(spec.clone(), plan.medium, seed)
                })
                .collect(),
            paths: plan.paths.clone(),
            routes,
            events: Events::default(),
            endpoints: Vec::with_capacity(plan.connections.len() * 2),
            by_ports: HashMap::with_hasher(ahash::RandomState::with_seeds(5, 6, 7, 8)),
            watch: Some(WireWatch::new(plan.medium, mtu).with_replays(plan.rules.replays)),
            capture: None,
            now: 0,
            summary: Summary::default(),
            buffer: vec![0; 1 << 14],
            open: 0,
        };
        for (index, connection) in plan.connections.iter().enumerate() {
            world.add(plan, index as u64, connection);
        }
        world
    }

    fn add(&mut self, plan: &Plan, index: u64, connection: &ConnectionPlan) {
        let [client, server] = connection.hosts;
        let address = |host: usize, port| SocketAddr::new(host_address(host, plan.hosts[host].v6), port);
        let ends = [address(client, connection.ports[0]), address(server, connection.ports[1])];
        let seeds = [plan.seed ^ index << 32, plan.seed ^ index << 32 ^ 0x5555];
        for side in 0..2 {
            let host = connection.hosts[side];
            let other = 1 - side;
            let limit = u64::from(plan.hosts[host].options.tcp.receive_buffer.next_power_of_two());
            let id = self.endpoints.len();
            self.endpoints.push(Endpoint::new(
                host,
                (ends[side], ends[other]),
                connection.scripts[side].clone(),
                (seeds[side], seeds[other]),
                Some(limit),
            ));
            let key = (host, connection.ports[side], connection.hosts[other], connection.ports[other]);
            self.by_ports.insert(key, id);
            if let Some(watch) = &mut self.watch {
                watch.offer(ends[side], ends[other], self.endpoints[id].offer());
            }
            self.hosts[host].live.push(id);
            self.open += 1;
            if side == 0 {
                let at = nanos(connection.at);
                self.endpoints[id].wake_at = at;
                self.events.push(at, Event::Endpoint(id as u32));
            }
        }
    }

    /// Without looking at each packet: for measurements.
    #[must_use]
    pub fn unwatched(mut self) -> Self {
        self.watch = None;
        self
    }

    /// Keeps every packet for a capture file.
    #[must_use]
    pub fn captured(mut self) -> Self {
        self.capture = Some(Capture::new(self.medium, self.hosts.len()));
        self
    }

    /// What was captured.
    pub fn capture(&self) -> Option<&Capture> {
        self.capture.as_ref()
    }

    /// Time now, nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The ends of the connections: of connection `n`, `2n` opens and `2n + 1` listens.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The stack of a host.
    pub fn stack(&self, host: usize) -> &Stack {
        &self.hosts[host].stack
    }

    /// What a link has done.
    pub fn link(&self, link: usize) -> LinkStats {
        self.links[link].stats
    }

    /// What it came to so far.
    pub fn summary(&self) -> Summary {
        Summary { now: self.now, ..self.summary }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn run(&mut self) -> Result<Summary, Violation> {
        while self.step()? {}
        self.at_end()?;
        Ok(self.summary())
    }

    /// Runs until that time, nanoseconds, or the end.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn run_until(&mut self, until: u64) -> Result<(), Violation> {
        while self.events.next_at().is_some_and(|at| at <= until) && self.step()? {}
        Ok(())
    }

    /// Takes the next event. `false`: there is none, or the plan says to stop.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn step(&mut self) -> Result<bool, Violation> {
        if self.rules.stop_when_done && self.open == 0 {
            return Ok(false);
        }
        let Some((at, event)) = self.events.pop() else { return Ok(false) };
        if self.rules.stop_at.is_some_and(|stop| at > nanos(stop)) {
            return Ok(false);
        }
        self.now = at;
        self.summary.events += 1;
        if at > nanos(self.rules.limit) || self.summary.events > self.rules.most_events {
            return Err(Violation(format!(
                "not done after {} s and {} events",
                at as f64 / 1e9,
                self.summary.events
            )));
        }
        match event {
            Event::Packet(packet) => self.hop(packet)?,
            Event::Host(host) => {
                let host = host as usize;
                if self.hosts[host].wake_at == at {
                    self.hosts[host].wake_at = u64::MAX;
                    let host_live = &mut self.hosts[host];
                    // Errors that a timer brings are seen by the applications that they concern.
                    host_live.touched.clear();
                    host_live.touched.extend_from_slice(&host_live.live);
                    self.round(host)?;
                }
            }
            Event::Endpoint(id) => self.endpoint_wakes(id as usize)?,
            Event::Link(link) => {
                let events = &mut self.events;
                self.links[link as usize]
                    .release(at, &mut |at, packet| events.push(at, Event::Packet(packet)));
            }
        }
        Ok(true)
    }

    fn hop(&mut self, packet: Packet) -> Result<(), Violation> {
        let (_, to, links) = &self.paths[packet.path as usize];
        match links.get(packet.hops as usize) {
            Some(link) => {
                self.offer(*link, packet);
                Ok(())
            }
            None => self.arrive(*to, &packet),
        }
    }

    fn offer(&mut self, link: usize, packet: Packet) {
        let events = &mut self.events;
        let (from, to, links) = &self.paths[packet.path as usize];
        // At the last hop packets wait for the end of the host's batch.
        let last = packet.hops as usize + 1 == links.len();
        let batch = if last { self.hosts[*to].coalesce } else { 0 };
        let fate = self.links[link].offer(self.now, packet, &mut |at, packet| {
            let at = if batch > 1 { at.next_multiple_of(batch) } else { at };
            events.push(at, Event::Packet(packet));
        });
        match fate {
            Fate::Passed => {}
            Fate::Held(until) => events.push(until, Event::Link(link as u32)),
            Fate::TooBig(packet, mtu) => {
                if self.medium == Medium::Ip
                    && let Some(bytes) = packet::too_big(&packet.bytes, mtu)
                    && let Some(path) = self.routes[to * self.hosts.len() + from]
                {
                    // The router is next door.
                    let hops = self.paths[path as usize].2.len() as u32;
                    events.push(self.now + 50_000, Event::Packet(Packet { path, hops, bytes }));
                }
            }
        }
    }

    /// A packet has come to its host, and with it all that come at the same moment: a batch.
    fn arrive(&mut self, host: usize, packet: &Packet) -> Result<(), Violation> {
        self.hosts[host].touched.clear();
        self.receive(host, &packet.bytes);
        while self.events.next_is_packet_at(self.now) {
            let Some((at, Event::Packet(packet))) = self.events.pop() else { break };
            let (_, to, links) = &self.paths[packet.path as usize];
            if *to == host && packet.hops as usize == links.len() {
                self.summary.events += 1;
                self.receive(host, &packet.bytes);
            } else {
                // Another host's, or a link's: it comes after this round, at the same time.
                self.events.push(at, Event::Packet(packet));
                break;
            }
        }
        self.round(host)
    }

    fn receive(&mut self, index: usize, bytes: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.add(self.now, index, Direction::In, bytes);
        }
        let host = &mut self.hosts[index];
        host.stack.receive(Instant::from_nanos(self.now), bytes);
        if host.live.len() > FEW {
            if let Some((from, theirs, ours)) = packet::ports(self.medium, bytes)
                && let Some(id) = self.by_ports.get(&(index, ours, from, theirs))
            {
                host.touched.push(*id);
            }
        } else {
            host.touched.clear();
            host.touched.extend_from_slice(&host.live);
        }
    }

    fn endpoint_wakes(&mut self, id: usize) -> Result<(), Violation> {
        let endpoint = &mut self.endpoints[id];
        if endpoint.wake_at != self.now {
            return Ok(());
        }
        endpoint.wake_at = u64::MAX;
        let index = endpoint.host;
        let host = &mut self.hosts[index];
        host.touched.clear();
        host.touched.push(id);
        if endpoint.progress == Progress::Waiting {
            // The stack learns the time first.
            host.stack.poll(Instant::from_nanos(self.now));
            let socket = host
                .stack
                .connect(endpoint.remote, endpoint.local.port())
                .map_err(|e| Violation(format!("cannot open a connection: {e}")))?;
            host.opened += 1;
            endpoint.open(socket);
        }
        self.round(index)
    }

    /// What a worker does in one round: timers and wishes, then the applications, then what they wished.
    fn round(&mut self, index: usize) -> Result<(), Violation> {
        let now = Instant::from_nanos(self.now);
        let host = &mut self.hosts[index];
        if host.goes_round(self.now) {
            return Err(Violation(format!("host {index} goes round and round at the same moment")));
        }
        host.stack.poll(now);
        let closed = self.accept(index)?;
        // Twice: what the first round reads may open a window whose update the second sends.
        if self.run_applications(index)? || closed {
            self.hosts[index].stack.poll(now);
        }
        self.transmit(index)?;
        let host = &mut self.hosts[index];
        if let Some(at) = host.wake(self.now) {
            self.events.push(at, Event::Host(index as u32));
        }
        self.check_host(index)
    }

    /// Takes the connections that wait. `true`: one was not wanted.
    fn accept(&mut self, index: usize) -> Result<bool, Violation> {
        let mut closed = false;
        let host = &mut self.hosts[index];
        for listener in &host.listeners {
            while let Some(socket) = host.stack.accept(*listener) {
                let (local, remote) = host.stack.addresses(socket).map_err(|e| Violation(e.to_string()))?;
                let other = host_at(remote);
                let id = self.by_ports.get(&(index, local.port(), other, remote.port()));
                let Some(id) = id.copied() else {
                    return Err(Violation(format!("accepts a connection that nobody opened: {remote}")));
                };
                host.opened += 1;
                if self.endpoints[id].progress != Progress::Waiting {
                    // A cookie is good more than once: the acknowledgement that completed the handshake, come
                    // twice, opens the connection anew when it is over.
                    if !self.rules.replays {
                        return Err(Violation(format!("accepts a connection twice: {remote}")));
                    }
                    if let Some(watch) = &mut self.watch {
                        watch.forget(local, remote);
                    }
                    host.stack.close(socket);
                    closed = true;
                    continue;
                }
                self.endpoints[id].open(socket);
                host.touched.push(id);
            }
        }
        Ok(closed)
    }

    fn run_applications(&mut self, index: usize) -> Result<bool, Violation> {
        let mut asked = false;
        let mut touched = std::mem::take(&mut self.hosts[index].touched);
        for id in touched.drain(..) {
            let endpoint = &mut self.endpoints[id];
            if !endpoint.is_open() {
                continue;
            }
            let (wake, before) = (endpoint.wake_at, (endpoint.sent, endpoint.received, endpoint.closed));
            asked |= endpoint.run(self.now, &mut self.hosts[index].stack, &mut self.buffer)?;
            if endpoint.wake_at != wake && endpoint.wake_at != u64::MAX {
                self.events.push(endpoint.wake_at, Event::Endpoint(id as u32));
            }
            if before != (endpoint.sent, endpoint.received, endpoint.closed)
                && let Some(watch) = &mut self.watch
            {
                watch.offer(endpoint.local, endpoint.remote, endpoint.offer());
            }
            if !endpoint.is_open() {
                self.hosts[index].live.retain(|l| *l != id);
                self.open -= 1;
                self.check_end(id)?;
            }
        }
        self.hosts[index].touched = touched;
        Ok(asked)
    }

    fn transmit(&mut self, index: usize) -> Result<(), Violation> {
        while let Some(bytes) = self.hosts[index].stack.transmit() {
            self.summary.packets += 1;
            self.summary.digest = digest(self.summary.digest, self.now, &bytes);
            if let Some(capture) = &mut self.capture {
                capture.add(self.now, index, Direction::Out, &bytes);
            }
            if let Some(watch) = &mut self.watch {
                watch.sent(&bytes)?;
            }
            let to = match self.medium {
                Medium::Ethernet => Some(1 - index),
                Medium::Ip => packet::destination(self.medium, &bytes),
            };
            let hosts = self.hosts.len();
            let path = to.filter(|to| *to < hosts).and_then(|to| self.routes[index * hosts + to]);
            let Some(path) = path else {
                return Err(Violation(format!("host {index} sends a packet to nowhere")));
            };
            self.hop(Packet { path, hops: 0, bytes })?;
        }
        Ok(())
    }
}

fn digest(before: u64, now: u64, packet: &[u8]) -> u64 {
    let mut digest = before ^ now.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ packet.len() as u64;
    let head = &packet[..packet.len().min(80)];
    for word in head.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        digest = (digest ^ u64::from_le_bytes(bytes)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    digest
}
