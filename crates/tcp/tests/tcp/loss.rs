//! Loss and reordering as paths have them, over whole transfers: what is sent again, and what waits for a
//! timeout.

use std::time::Duration;

use bypath_tcp::{Config, ConnectionStats};

use crate::sim::{App, Path, Scenario, World};

/// One stream of `bytes` over `path`, there and back alike.
fn stream(seed: u64, bytes: u64, path: &Path, config: &Config) -> World {
    let mut scenario = Scenario::new(seed);
    scenario.configs = [config.clone(), config.clone()];
    scenario.apps[0] = App { send: bytes, ..App::default() };
    scenario.apps[1].closes_first = false;
    scenario.paths = [path.clone(), path.clone()];
    scenario.run()
}

fn sender(world: &World) -> &ConnectionStats {
    world.hosts[0].conn().stats()
}

/// A wire of a laboratory: short and fast, one frame in a hundred lost, one overtaken by up to eight.
fn bad_wire() -> Path {
    Path {
        delay: Duration::from_micros(50),
        rate: 250_000_000,
        loss: 0.01,
        overtaken: (0.01, 8),
        ..Path::default()
    }
}

/// Milliseconds from the first SYN to the last byte read.
fn took(world: &World) -> u64 {
    world.hosts[1].read_all_at.nanos_since(world.began) / 1_000_000
}

#[test]
fn a_bad_wire_costs_no_timeout_and_hardly_more_than_what_it_lost() {
    for seed in 0..5 {
        let world = stream(seed, 40_000_000, &bad_wire(), &Config::default());
        let (s, lost) = (sender(&world), world.links[0].lost);
        assert_eq!(s.timeouts, 0, "seed {seed}: {s:?}");
        assert!(s.segs_retrans <= lost + lost / 4, "seed {seed}: lost {lost}, {s:?}");
        // 160 ms are what the rate allows.
        assert!(took(&world) < 400, "seed {seed}: {} ms", took(&world));
    }
}

/// Every hundredth segment arrives behind the third after it; none is lost, in no queue either.
fn reorders_three_deep() -> Path {
    Path { delay: Duration::from_millis(10), overtaken: (0.01, 3), queue: 16 << 20, ..Path::default() }
}

#[test]
fn a_path_that_reorders_three_deep_costs_no_retransmission_after_the_first() {
    for seed in 0..20 {
        let world = stream(seed, 4_000_000, &reorders_three_deep(), &Config::default());
        let s = sender(&world);
        assert!(s.segs_retrans <= 1, "seed {seed}: {s:?}");
        assert_eq!((s.timeouts, s.fast_recoveries), (0, s.spurious_recoveries), "seed {seed}: {s:?}");
    }
}

#[test]
fn half_a_window_lost_at_once_is_recovered_without_a_timeout() {
    for half in [5, 12, 22] {
        // A window of twice `half` segments, of which the second half is lost, and then the first.
        for from in [0, half] {
            let path = Path { drop_data: (from..from + half).collect(), ..Path::default() };
            let config = Config { initial_window_segments: 2 * half, ..Config::default() };
            let world = stream(1, 2 * 1_448 * u64::from(half), &path, &config);
            let s = sender(&world);
            assert_eq!(s.timeouts, 0, "{half} from {from}: {s:?}");
            assert!(took(&world) < 250, "{half} from {from}: {} ms", took(&world));
        }
    }
}

#[test]
fn a_lost_tail_of_any_length_is_recovered_without_a_timeout() {
    for lost in 1..10 {
        let path = Path { drop_data: (20 - lost..20).collect(), ..Path::default() };
        let world = stream(1, 20 * 1_448, &path, &Config::default());
        let s = sender(&world);
        assert_eq!((s.timeouts, s.tail_loss_probes), (0, 1), "{lost}: {s:?}");
    }
}
