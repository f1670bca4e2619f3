//! Hosts, links and connections on a virtual clock: takes the next event, lets the host that it concerns do what
//! a worker's round does, carries what it sends, and checks what must hold.

use bypath::by_hand::Stack;
use bypath_tcp::Instant;
use hashbrown::HashMap;

use crate::app::Endpoint;
use crate::capture::{Capture, Direction};
use crate::event::{Event, Events, Packet};
use crate::host::{FEW, Host};
use crate::invariants::{Violation, WireWatch};
use crate::link::{Fate, Link, LinkStats, nanos};
use crate::opening::Successor;
use crate::packet::{self, Medium};
use crate::plan::{Plan, Rules};

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
    pub(crate) by_ports: HashMap<(usize, u16, usize, u16), usize, ahash::RandomState>,
    pub(crate) watch: Option<WireWatch>,
    capture: Option<Capture>,
    pub(crate) now: u64,
    summary: Summary,
    pub(crate) buffer: Vec<u8>,
    pub(crate) open: usize,
    /// The connections that take the ports of others, by those.
    pub(crate) successors: HashMap<usize, Successor, ahash::RandomState>,
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
            successors: HashMap::with_hasher(ahash::RandomState::with_seeds(1, 3, 5, 7)),
        };
        for (index, connection) in plan.connections.iter().enumerate() {
            world.add(plan, index, connection);
        }
        world
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
            Event::Accept(host) => self.accept_again(host as usize)?,
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

    /// What a worker does in one round: timers and wishes, then the applications, then what they wished.
    pub(crate) fn round(&mut self, index: usize) -> Result<(), Violation> {
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
                self.make_way(id);
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
