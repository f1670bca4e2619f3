//! A fixed amount of work in one function, for tools that count instead of measuring time. The same work costs the same
//! number of instructions on every machine, whatever else it does:
//!
//! ```sh
//! cargo build --release -p bypath-benches --example instructions
//! valgrind --tool=callgrind --toggle-collect='*measured*' --callgrind-out-file=rr.out \
//!     target/release/examples/instructions rr 64 20000
//! callgrind_annotate rr.out | head -60
//! ```
//!
//! `rr FLOWS REQUESTS`, `stream FLOWS MEGABYTES`, the latter with `timestamps` if that is added. It says how many packets
//! and how much CPU time that took.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bypath::in_memory::{Pair, PairOptions};
use bypath_benches::{Asked, Asker, Echo, Sink, Streamer};

/// Requests under way at once, as in the bench.
const UNDER_WAY: usize = 64;

#[inline(never)]
fn measured(pair: &mut Pair, done: &dyn Fn() -> bool) {
    while !done() {
        pair.turn();
    }
}

/// CPU time so far, nanoseconds, as the kernel's ticks count it: the exact clock is not to be had under valgrind.
fn cpu_time_ns() -> u64 {
    let times = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    times.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Measures what makes `progress` greater by `amount`, after as much to warm up.
fn run(pair: &mut Pair, amount: u64, progress: &dyn Fn() -> u64) {
    let warm = progress() + amount / 10;
    while progress() < warm {
        pair.turn();
    }
    let packets = |pair: &Pair| pair.stats().iter().map(|stats| stats.segments_out()).sum::<u64>();
    let (before, begun) = (packets(pair), progress());
    let since = cpu_time_ns();
    let end = begun + amount;
    measured(pair, &|| progress() >= end);
    let spent = cpu_time_ns() - since;
    let (packets, done) = (packets(pair) - before, progress() - begun);
    println!("{done} done, {packets} packets, {:.1} ns a packet", spent as f64 / packets as f64);
}

fn rr(connections: usize, requests: u64) -> Result<(), std::io::Error> {
    let done = Arc::new(Asked::default());
    let asker = Asker::new(connections, UNDER_WAY.min(connections.div_ceil(4)), &done);
    let tcp = bypath::TcpConfig { max_half_open: 1 << 20, nodelay: true, ..bypath::TcpConfig::default() };
    let options = PairOptions { connections, frames: 1 << 12, tcp, ..PairOptions::default() };
    let mut pair = Pair::new(&options, asker, Echo)?;
    while done.open.load(Ordering::Relaxed) < connections as u64 {
        pair.turn();
    }
    done.go.store(1, Ordering::Relaxed);
    run(&mut pair, requests, &|| done.answered.load(Ordering::Relaxed));
    Ok(())
}

fn stream(connections: usize, megabytes: u64, timestamps: bool) -> Result<(), std::io::Error> {
    let sink = Sink::default();
    let received = Arc::clone(&sink.received);
    let tcp = bypath::TcpConfig { timestamps, ..bypath::TcpConfig::default() };
    let options = PairOptions { connections, tcp, ..PairOptions::default() };
    let mut pair = Pair::new(&options, Streamer { connections, writes: false }, sink)?;
    run(&mut pair, megabytes << 20, &|| received.load(Ordering::Relaxed));
    Ok(())
}

fn main() -> Result<(), std::io::Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse().ok());
    let timestamps = args.iter().any(|arg| arg == "timestamps");
    match (args.first().map(String::as_str), number(1), number(2)) {
        (Some("rr"), Some(flows), Some(requests)) => rr(flows, requests as u64),
        (Some("stream"), Some(flows), Some(megabytes)) => stream(flows, megabytes as u64, timestamps),
        _ => {
            eprintln!("usage: instructions rr FLOWS REQUESTS | stream FLOWS MEGABYTES [timestamps]");
            std::process::exit(2);
        }
    }
}
