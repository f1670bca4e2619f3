//! 64 bytes there and 64 back on one core, over one connection to a million, visited at random. A request is two
//! packets, and what acknowledges the last of them when nothing follows on it for long is a third: the figures are for a
//! packet sent, received, processed and answered. Goals 2 and 3.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bypath::in_memory::{Pair, PairOptions};
use bypath_benches::{Asked, Asker, Echo, Figures, SmolRr, config};
use criterion::{BenchmarkId, Criterion, Throughput};

/// Requests under way at once, where there are that many connections.
const UNDER_WAY: usize = 64;
/// Requests that are counted as one turn of the benchmark: many times those under way.
const ROUND: u64 = 4096;
/// How long connections are left alone after they have opened.
const SETTLE: Duration = Duration::from_millis(500);

fn ours(c: &mut Criterion, figures: &Figures, connections: usize, observe_segments: bool) {
    let done = Arc::new(Asked::default());
    let asker = Asker::new(connections, UNDER_WAY.min(connections.div_ceil(4)), &done);
    let tcp = bypath::TcpConfig { max_half_open: 1 << 20, nodelay: true, ..bypath::TcpConfig::default() };
    let options =
        PairOptions { connections, frames: 1 << 12, tcp, observe_segments, ..PairOptions::default() };
    let observed = if observe_segments { ", every packet's latency noted" } else { "" };
    let name = format!("bypath, {connections} flows{observed}");
    let mut group = c.benchmark_group("rr");
    group.throughput(Throughput::Elements(ROUND));
    let mut pair = None;
    let (mut asked, mut sent) = (0, 0);
    group.bench_function(BenchmarkId::from_parameter(&name), |b| {
        // Made here, so that what a filter leaves out costs nothing.
        let pair = pair.get_or_insert_with(|| open(&options, &asker, &done));
        figures.measure_work(b, &name, |rounds| {
            let before = packets(pair);
            let end = done.answered.load(Ordering::Relaxed) + rounds * ROUND;
            while done.answered.load(Ordering::Relaxed) < end {
                pair.turn();
            }
            asked += rounds * ROUND;
            let packets = packets(pair) - before;
            sent += packets;
            packets
        });
    });
    group.finish();
    if asked > 0 {
        println!("{name}: {:.2} packets a request", sent as f64 / asked as f64);
    }
}

fn packets(pair: &Pair) -> u64 {
    pair.stats().iter().map(|stats| stats.segments_out()).sum()
}

fn open(options: &PairOptions, asker: &Asker, done: &Arc<Asked>) -> Pair {
    let mut pair =
        Pair::new(options, asker.clone(), Echo).unwrap_or_else(|error| panic!("no pair of workers: {error}"));
    while done.open.load(Ordering::Relaxed) < options.connections as u64 {
        pair.turn();
    }
    // What opening leaves to be done, acknowledgements that were delayed above all, is no part of it.
    let since = std::time::Instant::now();
    while since.elapsed() < SETTLE {
        pair.turn();
    }
    done.go.store(1, Ordering::Relaxed);
    pair
}

fn smoltcp(c: &mut Criterion, figures: &Figures, connections: usize) {
    let name = format!("smoltcp, {connections} flows");
    let mut group = c.benchmark_group("rr");
    group.throughput(Throughput::Elements(ROUND));
    let mut smol = None;
    group.bench_function(BenchmarkId::from_parameter(&name), |b| {
        let smol =
            smol.get_or_insert_with(|| SmolRr::new(connections, UNDER_WAY.min(connections.div_ceil(4))));
        figures.measure_work(b, &name, |rounds| {
            smol.run(rounds * ROUND);
            // smoltcp sends an acknowledgement with every answer, and none alone.
            rounds * ROUND * 2
        });
    });
    group.finish();
}

fn main() {
    let mut c = config();
    let figures = Figures::default();
    for connections in [1, 64, 1_000, 10_000, 100_000, 1_000_000] {
        ours(&mut c, &figures, connections, false);
    }
    ours(&mut c, &figures, 64, true);
    for connections in [1, 64, 1_000] {
        smoltcp(&mut c, &figures, connections);
    }
    c.final_summary();
    let tell = |ns: f64| format!("{ns:.0} ns a packet");
    for (ours, peer) in [
        ("bypath, 1 flows", "smoltcp, 1 flows"),
        ("bypath, 64 flows", "smoltcp, 64 flows"),
        ("bypath, 1000 flows", "smoltcp, 1000 flows"),
        ("bypath, 10000 flows", "bypath, 1 flows"),
        ("bypath, 100000 flows", "bypath, 1 flows"),
        ("bypath, 1000000 flows", "bypath, 1 flows"),
        ("bypath, 1000000 flows", "bypath, 64 flows"),
        ("bypath, 64 flows, every packet's latency noted", "bypath, 64 flows"),
    ] {
        figures.print(ours, peer, tell);
    }
}
