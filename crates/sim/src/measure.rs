//! Bulk transfers through one bottleneck, and what they get of it: for tables of goodput, and for questions of
//! fairness. With what theory says beside it.

use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath_tcp::{Config, CongestionControl};

use crate::app::Script;
use crate::link::{LinkSpec, LinkStats, Queue, nanos};
use crate::loss::Loss;
use crate::plan::{ConnectionPlan, HostPlan, Plan};
use crate::world::World;

/// A link that all flows share, in the direction of their data. The way back has the same delay and no limit.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    /// Seed of all chance.
    pub seed: u64,
    /// Bits a second.
    pub rate: u64,
    /// Round-trip time of an empty path.
    pub rtt: Duration,
    /// What may wait for it.
    pub queue: Queue,
    /// How data is lost on it.
    pub loss: Loss,
    /// Further traits of the link; what is above overrides them.
    pub link: LinkSpec,
    /// Largest receive buffer and send buffer of the ends.
    pub buffers: u32,
    /// Further settings of TCP; the algorithm and the buffers override them.
    pub tcp: Config,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self {
            seed: 1,
            rate: 100_000_000,
            rtt: Duration::from_millis(20),
            queue: Queue::Packets(100),
            loss: Loss::None,
            link: LinkSpec::default(),
            buffers: 1 << 22,
            tcp: Config::default(),
        }
    }
}

/// What a flow came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FlowResult {
    /// Bytes that the receiving application got while it was measured.
    pub bytes: u64,
    /// The same, bits a second.
    pub goodput: f64,
}

/// What all flows came to.
pub struct Measured {
    /// Each flow.
    pub flows: Vec<FlowResult>,
    /// The bottleneck.
    pub link: LinkStats,
    /// The network as it stands, for further questions. Flow `i` goes from host `i` to the last host.
    pub world: World,
}

/// Payload of a full segment on Ethernet with timestamps, bytes.
pub const PAYLOAD: f64 = 1448.0;
/// Its IP packet, bytes.
pub const PACKET: f64 = 1500.0;

impl Bottleneck {
    /// The network of flows with these algorithms, each from a host of its own, beginning at these times.
    pub fn plan(&self, flows: &[(CongestionControl, Duration)]) -> Plan {
        let mut plan = Plan::new(self.seed);
        let receiver = flows.len();
        let forward = LinkSpec {
            rate: self.rate,
            delay: self.rtt / 2,
            queue: self.queue,
            loss: self.loss.clone(),
            ..self.link.clone()
        };
        plan.links.push(forward);
        let back = LinkSpec { rate: 0, delay: self.rtt / 2, ..LinkSpec::default() };
        plan.links.push(back);
        for (index, (algorithm, at)) in flows.iter().enumerate() {
            let tcp = Config { congestion: *algorithm, receive_buffer: self.buffers, ..self.tcp.clone() };
            plan.hosts.push(self.host(tcp, 16));
            plan.paths.push((index, receiver, vec![0]));
            plan.paths.push((receiver, index, vec![1]));
            plan.connections.push(ConnectionPlan {
                hosts: [index, receiver],
                ports: [40_000, 80],
                scripts: [Script::bulk(u64::MAX / 4), Script::sink()],
                at: *at,
                after: None,
            });
        }
        let tcp = Config { receive_buffer: self.buffers, ..self.tcp.clone() };
        plan.hosts.push(self.host(tcp, flows.len() + 16));
        plan.rules.most_events = u64::MAX;
        plan
    }

    fn host(&self, tcp: Config, connections: usize) -> HostPlan {
        let options = StackOptions {
            tcp,
            send_buffer: self.buffers as usize,
            max_connections: connections,
            ..StackOptions::default()
        };
        HostPlan { options, backlog: connections, ..HostPlan::default() }
    }

    /// Runs the flows, and measures from `warm_up` on for `time`.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn measure(
        &self,
        flows: &[(CongestionControl, Duration)],
        warm_up: Duration,
        time: Duration,
    ) -> Measured {
        let mut world = World::new(&self.plan(flows)).unwatched();
        let hold = |result: Result<(), crate::invariants::Violation>| {
            if let Err(why) = result {
                panic!("{why} in {self:?}");
            }
        };
        hold(world.run_until(nanos(warm_up)));
        let received = |world: &World| -> Vec<u64> {
            (0..flows.len()).map(|i| world.endpoints()[2 * i + 1].received).collect()
        };
        let before = received(&world);
        hold(world.run_until(nanos(warm_up + time)));
        let flows = received(&world)
            .iter()
            .zip(before)
            .map(|(after, before)| FlowResult {
                bytes: after - before,
                goodput: (after - before) as f64 * 8.0 / time.as_secs_f64(),
            })
            .collect();
        Measured { flows, link: world.link(0), world }
    }

    /// One flow alone, from its beginning.
    pub fn alone(&self, algorithm: CongestionControl, time: Duration) -> Measured {
        self.measure(&[(algorithm, Duration::ZERO)], Duration::ZERO, time)
    }

    /// Most payload that the link carries, bits a second.
    pub fn capacity(&self) -> f64 {
        self.rate as f64 * PAYLOAD / PACKET
    }

    /// What theory expects of a flow alone, bits a second: the response function of its algorithm to random loss, or
    /// the link's capacity if that is less. `None`: it has none.
    pub fn expected(&self, algorithm: CongestionControl) -> Option<f64> {
        let segments = match (&self.loss, algorithm) {
            (Loss::None, _) => f64::INFINITY,
            (Loss::Random(p), CongestionControl::NewReno) => reno_response(*p),
            (Loss::Random(p), CongestionControl::Cubic) => cubic_response(*p, self.rtt.as_secs_f64()),
            // What is lost takes its share of the link, and no more.
            (Loss::Random(p), CongestionControl::Bbr) => return Some(self.capacity() * (1.0 - p)),
            _ => return None,
        };
        Some((segments * PAYLOAD * 8.0 / self.rtt.as_secs_f64()).min(self.capacity()))
    }
}

/// Average window of Reno at a probability of loss, segments (Mathis et al., 1997; RFC 3649 section 2).
pub fn reno_response(loss: f64) -> f64 {
    1.2 / loss.sqrt()
}

/// Average window of CUBIC, segments (RFC 9438 section 5.1, equation 6, and section 4.3: never less than Reno's).
pub fn cubic_response(loss: f64, rtt: f64) -> f64 {
    const C: f64 = 0.4;
    const BETA: f64 = 0.7;
    let cubic = (C * (3.0 + BETA) / (4.0 * (1.0 - BETA))).powf(0.25) * rtt.powf(0.75) / loss.powf(0.75);
    cubic.max(reno_response(loss))
}

/// Jain's index: 1 when all get the same, `1 / n` when one gets all.
pub fn fairness(shares: impl IntoIterator<Item = f64>) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        n += 1.0;
        sum += share;
        squares += share * share;
    }
    if squares == 0.0 { 1.0 } else { sum * sum / (n * squares) }
}
