//! How well TCP does where it matters, on paths that theory or the specification says something about.

use std::time::Duration;

use bypath_sim::app::Step;
use bypath_sim::link::{LinkSpec, Queue};
use bypath_sim::loss::Loss;
use bypath_sim::measure::{Bottleneck, Measured};
use bypath_sim::world::World;
use bypath_tcp::{CongestionControl, ConnectionStats};

const MBIT: f64 = 1e6;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What the sender of the first flow has counted.
fn sender(measured: &Measured) -> ConnectionStats {
    let end = &measured.world.endpoints()[0];
    let info = measured.world.stack(0).tcp_info_at(end.local, end.remote);
    info.expect("a connection that goes on").stats
}

/// Average goodput over several seeds, in bits a second.
fn average(path: &Bottleneck, algorithm: CongestionControl, warm_up: Duration, time: Duration) -> f64 {
    let seeds = 1..=4;
    let n = seeds.clone().count() as f64;
    let one = |seed| {
        let path = Bottleneck { seed, ..path.clone() };
        path.measure(&[(algorithm, Duration::ZERO)], warm_up, time).flows[0].goodput
    };
    seeds.map(one).sum::<f64>() / n
}

#[test]
fn cubic_reaches_its_response_function_under_one_percent_of_random_loss() {
    let path = Bottleneck {
        rate: 1_000_000_000,
        rtt: Duration::from_millis(20),
        queue: Queue::Packets(1_000),
        loss: Loss::Random(0.01),
        ..Bottleneck::default()
    };
    let goodput = average(&path, CongestionControl::Cubic, seconds(5), seconds(60));
    let expected = path.expected(CongestionControl::Cubic).expect("a response function");
    println!("CUBIC: {:.2} of {:.2} Mbit/s", goodput / MBIT, expected / MBIT);
    assert!(goodput >= expected);
}

#[test]
fn bbr_fills_a_lossy_path() {
    let path = Bottleneck {
        rate: 100_000_000,
        rtt: Duration::from_millis(40),
        queue: Queue::Bytes(500_000),
        loss: Loss::Random(0.01),
        ..Bottleneck::default()
    };
    let goodput = average(&path, CongestionControl::Bbr, seconds(5), seconds(20));
    // What is lost takes its share of the link.
    let share = goodput / (path.capacity() * 0.99);
    println!("BBR: {:.1} % of what a path with 1 % loss carries", share * 100.0);
    assert!(share >= 0.95);
}

#[test]
fn a_path_of_a_gigabit_and_100_ms_is_filled() {
    let path = Bottleneck {
        rate: 1_000_000_000,
        rtt: Duration::from_millis(100),
        queue: Queue::Bytes(12_500_000),
        buffers: 1 << 26,
        ..Bottleneck::default()
    };
    let measured = path.measure(&[(CongestionControl::Cubic, Duration::ZERO)], seconds(3), seconds(4));
    let share = measured.flows[0].goodput / path.capacity();
    println!("1 Gbit/s, 100 ms: {:.1} % of what fits, {:?}", share * 100.0, sender(&measured));
    assert!(share >= 0.95);
}

/// A transfer of which the data packets of these numbers are lost, once.
fn bursts(bytes: u64, lost: std::ops::Range<u64>) -> (Measured, bool) {
    let path = Bottleneck {
        rate: 100_000_000,
        rtt: Duration::from_millis(40),
        queue: Queue::Packets(2_000),
        loss: Loss::Exactly(lost.collect()),
        ..Bottleneck::default()
    };
    let mut plan = path.plan(&[(CongestionControl::Cubic, Duration::ZERO)]);
    let [client, server] = &mut plan.connections[0].scripts;
    client.steps = vec![Step::Write(bytes)];
    // Open until it has been asked.
    server.steps = vec![Step::Pause(seconds(1_000))];
    let mut world = World::new(&plan);
    world.run_until(5_000_000_000).expect("invariants");
    let whole = world.endpoints()[1].received == bytes;
    (Measured { flows: Vec::new(), link: world.link(0), world }, whole)
}

#[test]
fn a_burst_of_half_a_window_waits_for_no_timeout() {
    // After 10, 20, 40, … packets a round trip: within a window, at its end, and the last of all.
    for (bytes, lost) in [
        (1_000_000, 30..50),
        (1_000_000, 50..70),
        (1_000_000, 100..150),
        (1_000_000, 20..30),
        (1_000_000, 5..10),
    ] {
        let (measured, whole) = bursts(bytes, lost.clone());
        let stats = sender(&measured);
        println!("{lost:?} of {}: {stats:?}", bytes / 1448);
        assert!(whole, "{lost:?}");
        assert_eq!(stats.timeouts, 0, "{lost:?}");
    }
}

#[test]
fn a_lost_tail_waits_for_no_timeout() {
    for (packets, lost) in [(10, 9..10), (10, 5..10), (70, 69..70), (70, 50..70), (150, 110..150)] {
        let (measured, whole) = bursts(packets * 1448, lost.clone());
        let stats = sender(&measured);
        println!("{lost:?} of {packets}: {stats:?}");
        assert!(whole, "{lost:?}");
        assert_eq!(stats.timeouts, 0, "{lost:?} of {packets}");
    }
}

#[test]
fn reordering_three_deep_causes_one_retransmission_at_most() {
    for (share, seed) in
        [0.001, 0.01, 0.1].into_iter().flat_map(|share| (1..=8).map(move |seed| (share, seed)))
    {
        let path = Bottleneck {
            seed,
            rate: 100_000_000,
            rtt: Duration::from_millis(20),
            // Room for all that the buffers hold: nothing is lost.
            queue: Queue::Packets(10_000),
            link: LinkSpec {
                reorder: share,
                reorder_depth: 3,
                // When nothing follows: three segments take less.
                reorder_hold: Duration::from_millis(1),
                ..LinkSpec::default()
            },
            ..Bottleneck::default()
        };
        let measured = path.alone(CongestionControl::Cubic, seconds(3));
        let stats = sender(&measured);
        println!("{share}: {:.1} Mbit/s, {stats:?}, {:?}", measured.flows[0].goodput / MBIT, measured.link);
        assert_eq!(measured.link.queue_full, 0);
        assert!(stats.segs_retrans <= 1, "{share}, seed {seed}: {stats:?}");
    }
}
