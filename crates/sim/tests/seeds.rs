//! Thousands of small networks, each from its seed. See `docs/testing.md`.

use std::time::Instant;

use bypath_sim::runner::{Report, run_seed, run_seeds};
use bypath_sim::scenario;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

fn judge(first: u64, count: u64) {
    let start = Instant::now();
    let Report { seeds, packets, digest, failures } = run_seeds(first, count);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds from {first}, {packets} packets in {seconds:.1} s: {:.0} seeds a minute, digest {digest:016x}",
        seeds as f64 / seconds * 60.0
    );
    for failure in &failures {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} seeds failed, see above", failures.len());
}

#[test]
fn fixed_seeds_hold() {
    judge(1, 4_000);
}

#[test]
fn fresh_seeds_hold() {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    // Short enough to be typed.
    let first = u64::from_le_bytes(bytes) >> 16;
    judge(first, number("BYPATH_SIM_SEEDS").unwrap_or(400));
}

/// Runs `BYPATH_SIM_SEED`, or the first of all.
#[test]
fn one_seed() {
    let seed = number("BYPATH_SIM_SEED").unwrap_or(1);
    println!("{:?}", scenario::from_seed(seed));
    let start = Instant::now();
    match run_seed(seed) {
        Ok(summary) => println!("seed {seed} holds: {summary:?} in {:?}", start.elapsed()),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    for seed in 0..50 {
        let runs = [run_seed(seed), run_seed(seed)].map(|r| r.unwrap_or_else(|f| panic!("{f}")));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}
