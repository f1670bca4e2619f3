//! What a connection on which nothing happens takes: all memory of the process, with both ends in it, by connection and
//! end. Goal 12. `cargo bench -p bypath-benches --bench memory [-- CONNECTIONS]`; a million unless told, with less for
//! `--quick`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bypath::in_memory::{Pair, PairOptions};
use bypath_benches::{Asked, Asker, Echo, resident_bytes};

/// How long connections are left alone before they are counted as idle.
const IDLE: Duration = Duration::from_secs(3);

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let quick = std::env::args().any(|arg| arg == "--quick");
    let usual = if quick { 100_000 } else { 1_000_000 };
    let connections = numbers.first().copied().unwrap_or(usual);
    let done = Arc::new(Asked::default());
    let before = resident_bytes();
    let options = PairOptions { connections, frames: 1 << 12, ..PairOptions::default() };
    let mut pair = Pair::new(&options, Asker::new(connections, 0, &done), Echo)
        .unwrap_or_else(|error| panic!("no pair of workers: {error}"));
    let since = Instant::now();
    let mut most = before;
    let mut looked = since;
    while done.open.load(Ordering::Relaxed) < connections as u64 {
        pair.turn();
        if looked.elapsed() > Duration::from_millis(100) {
            looked = Instant::now();
            most = most.max(resident_bytes());
        }
    }
    let opened = since.elapsed();
    let since = Instant::now();
    while since.elapsed() < IDLE {
        pair.turn();
    }
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / connections as f64 / 2.0;
    println!(
        "{connections} idle connections: {:.0} bytes each end, {:.0} at most while they opened ({:.1} s)",
        each(resident_bytes()),
        each(most),
        opened.as_secs_f64(),
    );
    assert!(pair.stats().iter().all(|stats| stats.flows == connections), "a connection is gone");
}
