//! What each congestion control gets out of a path, on virtual time.

use std::time::Duration;

use bypath_tcp::{Config, CongestionControl, EcnMode, Pacing};

use crate::sim::{App, Path, Scenario, World};

const MBIT: u64 = 125_000;

/// A path that both directions share: a rate in bytes a second, a round trip, a queue of so many of its products.
fn path(rate: u64, rtt_ms: u64, queue: f64, loss: f64) -> [Path; 2] {
    let delay = Duration::from_micros(rtt_ms * 500);
    let bdp = rate * rtt_ms / 1_000;
    let queue = (bdp as f64 * queue) as u64;
    let there = Path { delay, rate, queue, loss, ..Path::default() };
    [there.clone(), Path { loss: 0.0, queue: 1 << 20, ..there }]
}

/// One stream of `bytes` over `paths`; the world in the end and bytes a second.
fn stream(seed: u64, config: Config, paths: [Path; 2], bytes: u64) -> (World, f64) {
    let mut scenario = Scenario::new(seed);
    scenario.configs = [config.clone(), config];
    scenario.apps[0] = App { send: bytes, ..App::default() };
    scenario.apps[1].closes_first = false;
    scenario.paths = paths;
    let world = scenario.run();
    let took = world.hosts[1].peer_closed_at - world.started;
    let goodput = bytes as f64 / took.as_secs_f64();
    (world, goodput)
}

fn with(congestion: CongestionControl) -> Config {
    Config { congestion, receive_buffer: 8 << 20, ..Config::default() }
}

#[test]
fn bbr_fills_95_percent_of_100_mbit_s_and_40_ms_with_one_percent_lost() {
    let mut sum = 0.0;
    for seed in 0..3 {
        let (_, goodput) =
            stream(seed, with(CongestionControl::Bbr), path(100 * MBIT, 40, 1.0, 0.01), 200_000_000);
        sum += share(goodput, 100 * MBIT);
    }
    assert!(sum / 3.0 >= 0.95, "{}", sum / 3.0);
}

/// What of the link's rate is filled: beside 1448 bytes of payload, 54 of headers count.
fn share(goodput: f64, rate: u64) -> f64 {
    goodput / rate as f64 * (1448.0 + 54.0) / 1448.0
}

#[test]
fn bbr_fills_a_clean_link_and_leaves_its_queue_nearly_empty() {
    // A queue of ten round trips: whoever fills it is seen in the smoothed round trip.
    let (world, goodput) =
        stream(7, with(CongestionControl::Bbr), path(100 * MBIT, 40, 10.0, 0.0), 100_000_000);
    let share = share(goodput, 100 * MBIT);
    assert!(share >= 0.93, "{share}");
    let stats = world.hosts[0].conn().stats();
    assert_eq!(stats.segs_retrans, 0);
    let srtt = world.hosts[0].conn().srtt_ns().unwrap_or(0);
    assert!(srtt < 80_000_000, "{srtt}");
}

#[test]
fn bbr_through_a_shallow_queue_loses_little() {
    let (world, goodput) =
        stream(7, with(CongestionControl::Bbr), path(100 * MBIT, 40, 0.1, 0.0), 100_000_000);
    let share = share(goodput, 100 * MBIT);
    let stats = world.hosts[0].conn().stats();
    assert!(share >= 0.85, "{share}");
    assert!(stats.segs_retrans * 20 <= stats.data_segs_out, "{stats:?}");
}

#[test]
fn a_window_that_is_paced_needs_no_queue_that_it_fits_in() {
    let lost = |pacing| {
        // Seven tenths of what the path holds, through a queue of a tenth.
        let config = Config { pacing, fixed_window: 350_000, ..with(CongestionControl::None) };
        let (world, _) = stream(3, config, path(100 * MBIT, 40, 0.1, 0.0), 20_000_000);
        world.links[0].lost
    };
    assert_eq!(lost(Pacing::On), 0);
    assert!(lost(Pacing::Off) > 100, "the whole window at once does");
}

#[test]
fn cubic_with_one_percent_lost_gets_what_the_response_function_says() {
    // RFC 9438 section 5 and 4.3, figure 1: where Reno is the faster one, the average window is that of AIMD(3 (1 -
    // beta) / (1 + beta), beta), sqrt(3 / 2 p) segments.
    let window = (1.5_f64 / 0.01).sqrt();
    let expected = window * 1448.0 / 0.020;
    let mut sum = 0.0;
    for seed in 0..8 {
        let (_, goodput) =
            stream(seed, with(CongestionControl::Cubic), path(1_000 * MBIT, 20, 1.0, 0.01), 20_000_000);
        sum += goodput;
    }
    let goodput = sum / 8.0;
    assert!(goodput >= expected, "{:.3} of {:.3} Mbit/s", goodput * 8e-6, expected * 8e-6);
}

#[test]
fn marks_instead_of_losses_slow_cubic_down() {
    let config = Config { ecn: EcnMode::Request, ..with(CongestionControl::Cubic) };
    let paths = path(100 * MBIT, 20, 4.0, 0.0).map(|p| Path { mark: 100_000, ..p });
    let (world, goodput) = stream(5, config, paths, 50_000_000);
    let share = share(goodput, 100 * MBIT);
    let stats = world.hosts[0].conn().stats();
    assert_eq!((world.links[0].lost, stats.segs_retrans), (0, 0));
    assert!(share >= 0.85 && stats.ecn_signals > 0, "{share} {stats:?}");
}

#[test]
fn dctcp_fills_the_link_with_a_queue_not_much_longer_than_the_marking_threshold() {
    for accurate in [false, true] {
        let ecn = if accurate { EcnMode::Accurate } else { EcnMode::Request };
        // A millisecond and a gigabit, marks from 30 packets on; slow start alone goes far beyond that.
        let config = Config { ecn, initial_window_segments: 20, ..with(CongestionControl::Dctcp) };
        let paths = path(1_000 * MBIT, 1, 8.0, 0.0).map(|p| Path { mark: 45_000, ..p });
        let (world, goodput) = stream(5, config, paths, 200_000_000);
        let share = share(goodput, 1_000 * MBIT);
        assert_eq!(world.links[0].lost, 0);
        assert!(share >= 0.9, "accurate {accurate}: {share}");
        assert!(world.links[0].longest_queue < 250_000, "{}", world.links[0].longest_queue);
        let srtt = world.hosts[0].conn().srtt_ns().unwrap_or(0);
        assert!(srtt < 2_000_000, "accurate {accurate}: {srtt}");
    }
}
