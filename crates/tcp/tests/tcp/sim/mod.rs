//! Two endpoints and a network between them, on a virtual clock, from one seed.
//!
//! Every segment sent is checked against what any TCP must hold to, every byte delivered against the
//! stream it belongs to, and at every step either something is scheduled or nothing is left to do.

mod host;
mod link;

use std::time::Duration;

use bypath_tcp::{Config, Connection, Instant, State};
use bypath_wire::seq::SeqNum;

pub(crate) use host::{App, Host, Writing};
pub(crate) use link::{Link, Path};

/// A random number generator that is easy to reason about: SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// From `low` up to and without `high`.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.range(0, of.len() as u64) as usize]
    }
}

/// What one simulation is made of. Index 0 opens; index 1 listens, or opens too.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) configs: [Config; 2],
    pub(crate) apps: [App; 2],
    /// From 0 to 1, and back.
    pub(crate) paths: [Path; 2],
    pub(crate) simultaneous_open: bool,
    /// More virtual time than this is a failure.
    pub(crate) limit: Duration,
}

impl Scenario {
    /// A quiet path of 10 ms and 10 MB/s, nothing to send.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            configs: [Config::default(), Config::default()],
            apps: [App::default(), App::default()],
            paths: [Path::default(), Path::default()],
            simultaneous_open: false,
            limit: Duration::from_secs(3_600),
        }
    }

    /// Runs to the end and returns what is left.
    pub(crate) fn run(self) -> World {
        let seed = self.seed;
        let described = format!("{self:?}");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(self);
            world.run();
            world
        }));
        match result {
            Ok(world) => world,
            Err(cause) => {
                eprintln!("failing seed: {seed}\n{described}");
                std::panic::resume_unwind(cause)
            }
        }
    }
}

/// The endpoints, the network, the clock.
pub(crate) struct World {
    pub(crate) started: Instant,
    pub(crate) began: Instant,
    pub(crate) now: Instant,
    pub(crate) hosts: [Host; 2],
    pub(crate) links: [Link; 2],
    limit: Instant,
    trace: bool,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let mut rng = Rng(scenario.seed);
        let now = Instant::from_nanos(rng.range(0, 1 << 40));
        let [a, b] = scenario.configs;
        let [app_a, app_b] = scenario.apps;
        let mut hosts = [Host::new(0, a, app_a), Host::new(1, b, app_b)];
        // Near the wrap half of the time.
        let isn = |rng: &mut Rng| {
            let n = rng.next() as u32;
            SeqNum(if n & 1 == 0 { n } else { u32::MAX - (n >> 14) })
        };
        let (isn_a, isn_b, ts_a, ts_b) = (isn(&mut rng), isn(&mut rng), rng.next() as u32, rng.next() as u32);
        hosts[0].open(Connection::connect(hosts[0].config.clone(), now, isn_a, ts_a));
        hosts[1].listen_with = (isn_b, ts_b);
        if scenario.simultaneous_open {
            hosts[1].open(Connection::connect(hosts[1].config.clone(), now, isn_b, ts_b));
        }
        let [to, back] = scenario.paths;
        let links = [Link::new(to, rng.next()), Link::new(back, rng.next())];
        let trace = std::env::var_os("SIM_TRACE").is_some();
        Self { started: now, began: now, now, hosts, links, limit: now + scenario.limit, trace }
    }

    fn finished(&self) -> bool {
        self.hosts.iter().all(Host::is_finished)
    }

    fn next_time(&self) -> Instant {
        let hosts = self.hosts.iter().map(Host::next_time);
        let links = self.links.iter().map(Link::next_time);
        hosts.chain(links).min().unwrap_or(Instant::NEVER)
    }

    fn run(&mut self) {
        self.exchange();
        while !self.finished() {
            let next = self.next_time();
            assert_ne!(next, Instant::NEVER, "silent stall: {self}");
            assert!(next <= self.limit, "not done in time: {self}");
            self.now = self.now.max(next);
            for to in [1, 0] {
                while let Some(packet) = self.links[1 - to].arrival(self.now) {
                    if self.trace {
                        eprintln!("{:>14} {} got  {packet}", self.now.as_nanos() / 1_000, to);
                    }
                    if let Some(reply) = self.hosts[to].receive(self.now, packet) {
                        self.links[to].send(self.now, reply);
                    }
                }
            }
            for host in &mut self.hosts {
                host.wake(self.now);
            }
            self.exchange();
        }
        for host in &self.hosts {
            host.check_finished();
        }
    }

    /// Everything that the endpoints want to send goes into the network.
    fn exchange(&mut self) {
        for from in [0, 1] {
            for _ in 0..100_000 {
                let Some(packet) = self.hosts[from].transmit(self.now) else { break };
                if self.trace {
                    eprintln!("{:>14} {} sent {packet}", self.now.as_nanos() / 1_000, from);
                }
                self.links[from].send(self.now, packet);
            }
            assert!(self.hosts[from].transmit(self.now).is_none(), "no end of segments: {self}");
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "at {} ns", self.now.as_nanos())?;
        for host in &self.hosts {
            writeln!(f, "{host}")?;
        }
        Ok(())
    }
}

/// Whether nothing more can happen to a connection.
pub(crate) fn is_over(conn: &Connection) -> bool {
    conn.state() == State::Closed
}
