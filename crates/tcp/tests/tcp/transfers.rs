//! Streams in both directions through networks of every kind, each from many seeds.

use std::time::Duration;

use bypath_tcp::{Config, CongestionControl, EcnMode, Pacing};

use crate::sim::{App, Path, Rng, Scenario, World, Writing};

/// Options and algorithm by the bits of `n`.
fn config(n: u64) -> Config {
    Config {
        sack: n & 1 == 0,
        timestamps: n & 2 == 0,
        window_scaling: n & 4 == 0,
        congestion: if n & 8 == 0 { CongestionControl::Cubic } else { CongestionControl::NewReno },
        ..Config::default()
    }
}

fn both(path: Path) -> [Path; 2] {
    [path.clone(), path]
}

fn sends(bytes: u64) -> App {
    App { send: bytes, ..App::default() }
}

/// A bulk transfer both ways with every combination of options, over `seeds` seeds each.
fn bulk(seeds: u64, path: &Path) {
    for n in 0..16 * seeds {
        let mut scenario = Scenario::new(n);
        scenario.configs = [config(n), config(n)];
        scenario.apps = [sends(200_000), sends(120_000)];
        scenario.paths = both(path.clone());
        // Timeouts grow beyond a minute where a quarter is lost: whoever waits must outlast them.
        for config in &mut scenario.configs {
            config.time_wait = Duration::from_secs(1_000);
            config.user_timeout = Duration::from_secs(20_000);
        }
        scenario.limit = Duration::from_secs(50_000);
        scenario.run();
    }
}

#[test]
fn streams_arrive_intact_on_a_quiet_path_without_retransmissions() {
    for n in 0..32 {
        let mut scenario = Scenario::new(n);
        scenario.configs = [config(n), config(n)];
        scenario.apps = [sends(200_000), sends(120_000)];
        let world = scenario.run();
        for host in &world.hosts {
            assert_eq!(host.conn().stats().segs_retrans, 0, "seed {n}");
        }
    }
}

#[test]
fn streams_arrive_intact_with_one_percent_lost() {
    bulk(10, &Path { loss: 0.01, ..Path::default() });
}

#[test]
fn streams_arrive_intact_with_five_percent_lost() {
    bulk(10, &Path { loss: 0.05, ..Path::default() });
}

#[test]
fn streams_arrive_intact_with_a_quarter_lost() {
    bulk(2, &Path { loss: 0.25, ..Path::default() });
}

#[test]
fn streams_arrive_intact_when_reordered() {
    bulk(8, &Path { reorder: 0.1, ..Path::default() });
}

#[test]
fn streams_arrive_intact_when_duplicated() {
    bulk(8, &Path { duplicate: 0.1, ..Path::default() });
}

#[test]
fn streams_arrive_intact_through_a_short_queue() {
    bulk(4, &Path { rate: 500_000, queue: 15_000, ..Path::default() });
}

#[test]
fn streams_arrive_intact_through_everything_at_once() {
    bulk(10, &Path { loss: 0.03, reorder: 0.05, duplicate: 0.03, ..Path::default() });
}

/// Anything at all, from the seed.
fn anything(seed: u64) -> World {
    let mut rng = Rng(seed ^ 0x5eed);
    let mut scenario = Scenario::new(seed);
    for i in 0..2 {
        let nothing = Duration::ZERO;
        scenario.configs[i] = Config {
            mss: rng.pick(&[536, 1_000, 1_460, 1_460, 8_960]),
            receive_buffer: rng.pick(&[900, 3_000, 5_001, 65_535, 70_000, 300_000, 1 << 20]),
            nodelay: rng.chance(0.5),
            delayed_ack: rng.pick(&[nothing, Duration::from_millis(40), Duration::from_millis(200)]),
            quick_acks: rng.pick(&[0, 16]),
            min_rto: Duration::from_millis(rng.pick(&[200, 1_000])),
            keep_alive: rng.pick(&[None, Some(Duration::from_millis(300)), Some(Duration::from_secs(5))]),
            initial_window_segments: rng.pick(&[1, 10, 10, 64]),
            congestion: rng.pick(&EVERY_ALGORITHM),
            ecn: rng.pick(&[EcnMode::Off, EcnMode::Accept, EcnMode::Request, EcnMode::Accurate]),
            pacing: rng.pick(&[Pacing::Auto, Pacing::Auto, Pacing::On, Pacing::Off]),
            fixed_window: 20_000,
            ..config(rng.next())
        };
        scenario.apps[i] = App {
            send: rng.pick(&[0, 1, 1_000, 20_000, 100_000]),
            writing: if rng.chance(0.5) {
                Writing::AtOnce
            } else {
                Writing::Pieces(rng.range(50, 20_000), Duration::from_micros(rng.range(100, 300_000)))
            },
            reading: rng
                .chance(0.5)
                .then(|| (rng.range(100, 20_000) as u32, Duration::from_micros(rng.range(100, 500_000)))),
            // At least one of them must begin.
            closes_first: i == 0 || rng.chance(0.5),
        };
        scenario.paths[i] = Path {
            delay: Duration::from_micros(rng.pick(&[5, 500, 10_000, 100_000])),
            rate: rng.pick(&[200_000, 10_000_000, 1_000_000_000]),
            queue: rng.pick(&[20_000, 1 << 20]),
            loss: rng.pick(&[0.0, 0.0, 0.01, 0.05]),
            reorder: rng.pick(&[0.0, 0.0, 0.1]),
            overtaken: (0.0, 0),
            duplicate: rng.pick(&[0.0, 0.0, 0.05]),
            mark: rng.pick(&[0, 10_000, 100_000]),
            drop_data: Vec::new(),
        };
    }
    scenario.simultaneous_open = rng.chance(0.15);
    scenario.limit = Duration::from_secs(50_000);
    scenario.run()
}

#[test]
fn any_mixture_of_hosts_applications_and_networks_ends_well() {
    let seeds = match std::env::var("SIM_SEED") {
        Ok(seed) => seed.parse().map(|seed: u64| seed..seed + 1).unwrap_or(0..0),
        Err(_) => 0..3_000,
    };
    for seed in seeds {
        anything(seed);
    }
}

#[test]
fn a_slow_reader_with_a_small_buffer_gets_everything() {
    for n in 0..64 {
        let mut scenario = Scenario::new(n);
        let small = Config { receive_buffer: 1_000 + 977 * n as u32, ..config(n) };
        scenario.configs = [config(n), small];
        scenario.apps[0] = sends(60_000);
        scenario.apps[1].reading = Some((700, Duration::from_millis(30)));
        scenario.apps[1].closes_first = false;
        scenario.paths = both(Path { loss: if n % 2 == 0 { 0.0 } else { 0.03 }, ..Path::default() });
        scenario.run();
    }
}

/// One stream of 2 MB over `path` from 20 seeds: segments lost, segments sent again, timeouts.
fn totals(path: &Path, config: &Config) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    for seed in 0..20 {
        let mut scenario = Scenario::new(seed);
        scenario.configs = [config.clone(), config.clone()];
        scenario.apps[0] = sends(2_000_000);
        scenario.apps[1].closes_first = false;
        scenario.paths = both(path.clone());
        let world = scenario.run();
        let stats = world.hosts[0].conn().stats();
        sum.0 += world.links[0].lost;
        sum.1 += stats.segs_retrans;
        sum.2 += stats.timeouts;
    }
    sum
}

const EVERY_ALGORITHM: [CongestionControl; 5] = [
    CongestionControl::Cubic,
    CongestionControl::NewReno,
    CongestionControl::Bbr,
    CongestionControl::Dctcp,
    CongestionControl::None,
];

const ALGORITHMS: [CongestionControl; 2] = [CongestionControl::Cubic, CongestionControl::NewReno];

#[test]
fn with_sack_what_was_lost_is_sent_again_and_hardly_more() {
    for congestion in ALGORITHMS {
        let config = Config { congestion, ..Config::default() };
        for (loss, timeouts_allowed) in [(0.01, 2), (0.05, 60)] {
            let (lost, again, timeouts) = totals(&Path { loss, ..Path::default() }, &config);
            assert!(again <= lost + lost / 20 && timeouts <= timeouts_allowed, "{lost} {again} {timeouts}");
        }
        let (lost, again, timeouts) = totals(&Path { queue: 60_000, ..Path::default() }, &config);
        assert_eq!((again, timeouts), (lost, 0), "a full queue is survived without a timeout");
    }
}

#[test]
fn without_sack_one_percent_lost_needs_few_timeouts() {
    for congestion in ALGORITHMS {
        let config = Config { congestion, sack: false, ..Config::default() };
        let (lost, again, timeouts) = totals(&Path { loss: 0.01, ..Path::default() }, &config);
        assert!(again <= 2 * lost && timeouts <= 10, "{lost} {again} {timeouts}");
    }
}

#[test]
fn reordering_is_mistaken_for_loss_only_until_it_is_known() {
    for congestion in ALGORITHMS {
        let config = Config { congestion, ..Config::default() };
        let (_, again, timeouts) = totals(&Path { reorder: 0.02, ..Path::default() }, &config);
        // Of 28,000 segments 560 come late, half of them by more than the quarter of a round trip waited.
        assert!(again <= 400 && timeouts == 0, "{again} {timeouts}");
    }
}
