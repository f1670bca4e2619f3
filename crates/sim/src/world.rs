//! Hosts, links and connections on a virtual clock: takes the next event, lets the host that it concerns do what
//! a worker's round does, carries what it sends, and checks what must hold.

use std::net::SocketAddr;
use std::time::Duration;

use bypath::by_hand::{Link as StackLink, Stack, StackOptions, TcpPort};
use bypath_tcp::Instant;
use hashbrown::HashMap;

use crate::app::{Endpoint, Progress, Script};
use crate::capture::{Capture, Direction};
use crate::event::{Event, Events};
use crate::invariants::{Violation, WireWatch};
use crate::link::{Fate, Link, LinkSpec, LinkStats, nanos};
use crate::packet::{self, Medium, host_address, host_mac};

/// A network, before it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all chance.
    pub seed: u64,
    /// What packets begin with. Ethernet is for two hosts only.
    pub medium: Medium,
    /// Settings of each host's stack; `link` and `seed` are set here.
    pub hosts: Vec<HostPlan>,
    /// All links.
    pub links: Vec<LinkSpec>,
    /// From which host to which over which links.
    pub paths: Vec<(usize, usize, Vec<usize>)>,
    /// The connections.
    pub connections: Vec<ConnectionPlan>,
    /// Connections may end by an error without being reset by an application: the network is that bad.
    pub may_fail: bool,
    /// More virtual time than this is a failure.
    pub limit: Duration,
    /// More events than this are a failure.
    pub most_events: u64,
    /// Stops when every application is done, and does not wait for TIME-WAIT.
    pub stop_when_done: bool,
    /// Stops then, whatever is left.
    pub stop_at: Option<Duration>,
}

impl Plan {
    /// A network without hosts.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            medium: Medium::Ip,
            hosts: Vec::new(),
            links: Vec::new(),
            paths: Vec::new(),
            connections: Vec::new(),
            may_fail: false,
            limit: Duration::from_secs(4 * 3_600),
            most_events: 50_000_000,
            stop_when_done: false,
            stop_at: None,
        }
    }

    /// Two hosts and a link each way.
    pub fn pair(seed: u64, hosts: [HostPlan; 2], there: LinkSpec, back: LinkSpec) -> Self {
        Self {
            hosts: hosts.into(),
            links: vec![there, back],
            paths: vec![(0, 1, vec![0]), (1, 0, vec![1])],
            ..Self::new(seed)
        }
    }

    /// Adds a connection that host 0 opens to host 1 at the beginning.
    #[must_use]
    pub fn with(mut self, client: Script, server: Script) -> Self {
        let n = self.connections.len() as u16;
        self.connections.push(ConnectionPlan {
            hosts: [0, 1],
            ports: [40_000 + n, 80],
            scripts: [client, server],
            at: Duration::ZERO,
        });
        self
    }
}

/// A host, before it runs.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Settings of its stack.
    pub options: StackOptions,
    /// It has an IPv6 address rather than an IPv4 address.
    pub v6: bool,
    /// Packets that arrive within the same so many nanoseconds are one batch.
    pub coalesce: Duration,
    /// Connections that may wait to be accepted.
    pub backlog: usize,
}

impl Default for HostPlan {
    fn default() -> Self {
        Self { options: StackOptions::default(), v6: false, coalesce: Duration::ZERO, backlog: 1_024 }
    }
}

/// A connection, before it is opened.
#[derive(Clone, Debug)]
pub struct ConnectionPlan {
    /// Who opens it, and who listens.
    pub hosts: [usize; 2],
    /// Their ports.
    pub ports: [u16; 2],
    /// What their applications do.
    pub scripts: [Script; 2],
    /// When it is opened.
    pub at: Duration,
}

struct Host {
    stack: Stack,
    listeners: Vec<TcpPort>,
    /// Endpoints that are not done.
    live: Vec<usize>,
    touched: Vec<usize>,
    wake_at: u64,
    coalesce: u64,
    /// Rounds at the same nanosecond.
    rounds: (u64, u32),
    opened: usize,
}

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
    plan_limits: (u64, u64, bool, bool, u64),
    medium: Medium,
    hosts: Vec<Host>,
    links: Vec<Link>,
    paths: Vec<(usize, usize, Vec<usize>)>,
    /// Path of `from * hosts + to`.
    routes: Vec<Option<u32>>,
    events: Events,
    endpoints: Vec<Endpoint>,
    /// By host, own port, other host, its port.
    by_ports: HashMap<(usize, u16, usize, u16), usize, ahash::RandomState>,
    watch: Option<WireWatch>,
    capture: Option<Capture>,
    now: u64,
    summary: Summary,
    buffer: Vec<u8>,
    open: usize,
}

/// Rounds of one host at the same nanosecond: more are a loop that no time passes in.
const ROUNDS_AT_ONCE: u32 = 10_000;
/// With more endpoints than this, a host looks only at those that packets concern.
const FEW: usize = 8;

impl World {
    /// The network of a plan, before its first event.
    ///
    /// # Panics
    /// When the plan names hosts or links that it does not have.
    pub fn new(plan: &Plan) -> Self {
        let n = plan.hosts.len();
        let mut hosts = Vec::with_capacity(n);
        let mut mtu = 0;
        for (index, host) in plan.hosts.iter().enumerate() {
            let mut options = host.options.clone();
            options.seed = plan.seed.rotate_left(17) ^ index as u64;
            options.link = match plan.medium {
                Medium::Ethernet => StackLink::Ethernet(host_mac(index)),
                Medium::Ip => StackLink::Ip,
            };
            mtu = mtu.max(options.mtu);
            let mut stack = Stack::new(&options).expect("a stack");
            stack.add_address(host_address(index, host.v6), if host.v6 { 64 } else { 16 });
            let mut ports: Vec<u16> =
                plan.connections.iter().filter(|c| c.hosts[1] == index).map(|c| c.ports[1]).collect();
            ports.sort_unstable();
            ports.dedup();
            let listeners = ports
                .into_iter()
                .map(|port| stack.listen((host_address(index, host.v6), port).into(), host.backlog))
                .collect();
            hosts.push(Host {
                stack,
                listeners,
                live: Vec::new(),
                touched: Vec::new(),
                wake_at: u64::MAX,
                coalesce: nanos(host.coalesce),
                rounds: (0, 0),
                opened: 0,
            });
        }
        let mut routes = vec![None; n * n];
        for (index, (from, to, _)) in plan.paths.iter().enumerate() {
            routes[from * n + to] = Some(index as u32);
        }
        let links = plan.links.iter().zip(1..);
        let mut world = Self {
            plan_limits: (
                nanos(plan.limit),
                plan.most_events,
                plan.may_fail,
                plan.stop_when_done,
                plan.stop_at.map_or(u64::MAX, nanos),
            ),
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
            watch: Some(WireWatch::new(plan.medium, mtu)),
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

    /// Takes the next event. `false`: there is none, or the plan says to stop.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn step(&mut self) -> Result<bool, Violation> {
        let (limit, most, _, stop_when_done, stop_at) = self.plan_limits;
        if stop_when_done && self.open == 0 {
            return Ok(false);
        }
        let Some((at, event)) = self.events.pop() else { return Ok(false) };
        if at > stop_at {
            return Ok(false);
        }
        self.now = at;
        self.summary.events += 1;
        if at > limit || self.summary.events > most {
            return Err(Violation(format!(
                "not done after {} s and {} events",
                at as f64 / 1e9,
                self.summary.events
            )));
        }
        match event {
            Event::Packet { path, hops, bytes } => self.hop(path, hops, bytes)?,
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
                let path = self.paths.iter().position(|(_, _, links)| links.contains(&(link as usize)));
                // Reordering links belong to one path, or to one link of several that end alike.
                if let Some(path) = path {
                    let hops =
                        self.paths[path].2.iter().position(|l| *l == link as usize).unwrap_or(0) as u32 + 1;
                    self.links[link as usize].release(at, &mut |at, bytes| {
                        events.push(at, Event::Packet { path: path as u32, hops, bytes });
                    });
                }
            }
        }
        Ok(true)
    }

    fn hop(&mut self, path: u32, hops: u32, bytes: Vec<u8>) -> Result<(), Violation> {
        let (_, to, links) = &self.paths[path as usize];
        match links.get(hops as usize) {
            Some(link) => {
                let link = *link;
                self.offer(link, path, hops, bytes);
                Ok(())
            }
            None => {
                let to = *to;
                self.arrive(to, bytes)
            }
        }
    }

    fn offer(&mut self, link: usize, path: u32, hops: u32, bytes: Vec<u8>) {
        let events = &mut self.events;
        // At the last hop packets wait for the end of the host's batch.
        let (from, to, links) = &self.paths[path as usize];
        let batch = if hops as usize + 1 == links.len() { self.hosts[*to].coalesce } else { 0 };
        let fate = self.links[link].offer(self.now, bytes, &mut |at, bytes| {
            let at = if batch > 1 { at.next_multiple_of(batch) } else { at };
            events.push(at, Event::Packet { path, hops: hops + 1, bytes });
        });
        match fate {
            Fate::Passed => {}
            Fate::Held(until) => events.push(until, Event::Link(link as u32)),
            Fate::TooBig(packet, mtu) => {
                if self.medium == Medium::Ip
                    && let Some(answer) = packet::too_big(&packet, mtu)
                    && let Some(back) = self.routes[to * self.hosts.len() + from]
                {
                    // The router is next door.
                    let hops = self.paths[back as usize].2.len() as u32;
                    events.push(self.now + 50_000, Event::Packet { path: back, hops, bytes: answer });
                }
            }
        }
    }

    fn arrive(&mut self, host: usize, bytes: Vec<u8>) -> Result<(), Violation> {
        self.hosts[host].touched.clear();
        self.receive(host, &bytes);
        while self.events.next_is_packet_at(self.now) {
            let Some((at, Event::Packet { path, hops, bytes })) = self.events.pop() else { break };
            let (_, to, links) = &self.paths[path as usize];
            if *to == host && hops as usize == links.len() {
                self.summary.events += 1;
                self.receive(host, &bytes);
            } else {
                // Another host's: it comes after this round, at the same time.
                self.events.push(at, Event::Packet { path, hops, bytes });
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
        host.rounds = if host.rounds.0 == self.now { (self.now, host.rounds.1 + 1) } else { (self.now, 0) };
        if host.rounds.1 > ROUNDS_AT_ONCE {
            return Err(Violation(format!("host {index} goes round and round at the same moment")));
        }
        host.stack.poll(now);
        self.accept(index)?;
        // Twice: what the first round reads may open a window whose update the second sends.
        if self.run_applications(index)? {
            self.hosts[index].stack.poll(now);
        }
        self.transmit(index)?;
        let host = &mut self.hosts[index];
        if let Some(deadline) = host.stack.next_deadline() {
            let at = deadline.as_nanos().max(self.now + 1);
            if at < host.wake_at {
                host.wake_at = at;
                self.events.push(at, Event::Host(index as u32));
            }
        }
        self.check_host(index)
    }

    fn accept(&mut self, index: usize) -> Result<(), Violation> {
        let host = &mut self.hosts[index];
        for listener in &host.listeners {
            while let Some(socket) = host.stack.accept(*listener) {
                let (local, remote) = host.stack.addresses(socket).map_err(|e| Violation(e.to_string()))?;
                let other = packet_host(remote);
                let id = self.by_ports.get(&(index, local.port(), other, remote.port()));
                let Some(id) = id.copied() else {
                    return Err(Violation(format!("accepts a connection that nobody opened: {remote}")));
                };
                if self.endpoints[id].progress != Progress::Waiting {
                    return Err(Violation(format!("accepts a connection twice: {remote}")));
                }
                host.opened += 1;
                self.endpoints[id].open(socket);
                host.touched.push(id);
            }
        }
        Ok(())
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
            self.hop(path, 0, bytes)?;
        }
        Ok(())
    }

    /// What must hold of a host after a round.
    fn check_host(&mut self, index: usize) -> Result<(), Violation> {
        let host = &self.hosts[index];
        if host.stack.connections() > host.opened + self.endpoints.len() {
            return Err(Violation(format!("host {index} has more connections than were ever opened")));
        }
        if host.live.len() > FEW || host.stack.next_deadline().is_some() {
            return Ok(());
        }
        let Some(watch) = &self.watch else { return Ok(()) };
        for id in &host.live {
            let endpoint = &self.endpoints[*id];
            // An application that pauses has not seen yet that its connection is over.
            let alive = endpoint.socket.is_some_and(|socket| !host.stack.is_closed(socket));
            if alive && watch.acknowledged(endpoint.local, endpoint.remote) < endpoint.sent {
                return Err(Violation(format!(
                    "a silent stall: {} has data that {} has not acknowledged, and no timer runs",
                    endpoint.local, endpoint.remote
                )));
            }
        }
        Ok(())
    }

    /// What must hold of an application that is done.
    fn check_end(&self, id: usize) -> Result<(), Violation> {
        let endpoint = &self.endpoints[id];
        let other = &self.endpoints[id ^ 1];
        let may_fail = self.plan_limits.2 || endpoint.script().aborts() || other.script().aborts();
        match endpoint.progress {
            Progress::Failed(kind) if !may_fail => Err(Violation(format!(
                "the connection of {} to {} failed: {kind}",
                endpoint.local, endpoint.remote
            ))),
            Progress::Done if !other.script().aborts() && endpoint.received != other.script().total() => {
                Err(Violation(format!(
                    "the stream from {} to {} ended after {} of {} bytes",
                    endpoint.remote,
                    endpoint.local,
                    endpoint.received,
                    other.script().total()
                )))
            }
            _ => Ok(()),
        }
    }

    fn at_end(&self) -> Result<(), Violation> {
        let (_, _, may_fail, stop_when_done, stop_at) = self.plan_limits;
        for (index, link) in self.links.iter().enumerate() {
            if !link.is_conserved() {
                return Err(Violation(format!("link {index} has lost count: {:?}", link.stats)));
            }
        }
        if stop_when_done || stop_at != u64::MAX {
            return Ok(());
        }
        let mut forgotten = vec![0; self.hosts.len()];
        for (id, endpoint) in self.endpoints.iter().enumerate() {
            let other = &self.endpoints[id ^ 1];
            let excused = may_fail || other.script().aborts() || endpoint.script().aborts();
            // Nobody tells an end that only waits that the other has gone, when the reset is lost. That is TCP
            // without keep-alives.
            let acked = self
                .watch
                .as_ref()
                .is_none_or(|w| w.acknowledged(endpoint.local, endpoint.remote) >= endpoint.sent);
            if endpoint.is_open() && excused && acked {
                forgotten[endpoint.host] += 1;
                continue;
            }
            if endpoint.is_open() || (endpoint.progress == Progress::Waiting && !excused) {
                return Err(Violation(format!(
                    "nothing will ever happen again, and {} is not done with {}: {:?}, sent {}, received {}",
                    endpoint.local, endpoint.remote, endpoint.progress, endpoint.sent, endpoint.received
                )));
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let left = host.stack.connections();
            if left > forgotten[index] {
                return Err(Violation(format!("host {index} is left with {left} connections and no timer")));
            }
        }
        if self.events.packets() > 0 {
            return Err(Violation("packets are left".into()));
        }
        Ok(())
    }
}

/// The host that has an address.
fn packet_host(address: SocketAddr) -> usize {
    let low = match address.ip() {
        std::net::IpAddr::V4(a) => u16::from_be_bytes([a.octets()[2], a.octets()[3]]),
        std::net::IpAddr::V6(a) => a.segments()[7],
    };
    usize::from(low).wrapping_sub(1)
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
