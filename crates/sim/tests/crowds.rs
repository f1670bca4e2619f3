//! Flows that meet: what two get of one link, and a thousand that begin at once.

use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath_sim::app::{Progress, Script};
use bypath_sim::link::{LinkSpec, Queue};
use bypath_sim::measure::{Bottleneck, fairness};
use bypath_sim::plan::{ConnectionPlan, HostPlan, Plan};
use bypath_sim::world::World;
use bypath_tcp::CongestionControl;

fn two(algorithm: CongestionControl) -> f64 {
    let path = Bottleneck {
        rate: 20_000_000,
        rtt: Duration::from_millis(40),
        queue: Queue::Bytes(100_000),
        // Without a little noise the two fall into step.
        link: LinkSpec { jitter: Duration::from_micros(500), ..LinkSpec::default() },
        ..Bottleneck::default()
    };
    let flows = [(algorithm, Duration::ZERO), (algorithm, Duration::from_secs(5))];
    let measured = path.measure(&flows, Duration::from_secs(15), Duration::from_secs(45));
    let shares: Vec<f64> = measured.flows.iter().map(|f| f.goodput).collect();
    let used = shares.iter().sum::<f64>() / path.capacity();
    let index = fairness(shares.iter().copied());
    println!("{algorithm:?}: {shares:.0?} bit/s, index {index:.3}, {:.1} % of the link", used * 100.0);
    assert!(used > 0.9, "{algorithm:?} leaves the link idle");
    index
}

#[test]
fn two_cubic_flows_share_a_link() {
    assert!(two(CongestionControl::Cubic) > 0.9);
}

#[test]
fn two_newreno_flows_share_a_link() {
    assert!(two(CongestionControl::NewReno) > 0.9);
}

#[test]
fn two_bbr_flows_share_a_link() {
    assert!(two(CongestionControl::Bbr) > 0.9);
}

/// A thousand connections of twenty hosts send to one at the same moment, over a queue for a tenth of their first
/// windows.
#[test]
fn a_thousand_flows_into_one_port_all_arrive() {
    const HOSTS: usize = 20;
    const EACH: usize = 50;
    const BYTES: u64 = 50_000;
    let mut plan = Plan::new(1);
    let host = |connections| HostPlan {
        options: StackOptions {
            max_connections: connections,
            send_buffer: 1 << 16,
            ..StackOptions::default()
        },
        backlog: connections,
        ..HostPlan::default()
    };
    let delay = Duration::from_micros(50);
    plan.links = vec![
        LinkSpec { rate: 1_000_000_000, delay, queue: Queue::Packets(1_000), ..LinkSpec::default() },
        LinkSpec { rate: 0, delay, ..LinkSpec::default() },
    ];
    for index in 0..HOSTS {
        plan.hosts.push(host(EACH));
        plan.paths.push((index, HOSTS, vec![0]));
        plan.paths.push((HOSTS, index, vec![1]));
        for n in 0..EACH {
            plan.connections.push(ConnectionPlan {
                hosts: [index, HOSTS],
                ports: [40_000 + n as u16, 80],
                scripts: [Script::bulk(BYTES), Script::sink()],
                at: Duration::from_micros((index * EACH + n) as u64 % 97),
                after: None,
            });
        }
    }
    plan.hosts.push(host(HOSTS * EACH));
    plan.rules.stop_when_done = true;
    let mut world = World::new(&plan);
    let summary = world.run().expect("invariants");
    let receivers = || world.endpoints().iter().skip(1).step_by(2);
    assert!(receivers().all(|e| e.progress == Progress::Done && e.received == BYTES));
    let last = receivers().map(|e| e.last_read_at).max().unwrap_or(0) as f64 / 1e9;
    let goodput = (HOSTS * EACH) as f64 * BYTES as f64 * 8.0 / last;
    println!("incast: {last:.2} s, {:.0} Mbit/s, {:?}, {summary:?}", goodput / 1e6, world.link(0));
    // The link takes 0.4 s; what is beyond that is waiting for timeouts.
    assert!(goodput > 100e6);
}
