//! Bytes from one end to the other on one core: every segment built, summed, checked and acknowledged. Goal 1.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bypath::in_memory::{Pair, PairOptions};
use bypath_benches::{Figures, Sink, SmolStream, Streamer, config};
use criterion::{Criterion, Throughput};

fn ours(c: &mut Criterion, figures: &Figures, name: &str, flows: usize, writes: bool, timestamps: bool) {
    let sink = Sink { copy_to: writes.then(|| vec![0; 2048].into()), ..Sink::default() };
    let received = Arc::clone(&sink.received);
    let options = PairOptions {
        connections: flows,
        tcp: bypath::TcpConfig { timestamps, ..bypath::TcpConfig::default() },
        ..PairOptions::default()
    };
    let streamer = Streamer { connections: flows, writes };
    let mut pair =
        Pair::new(&options, streamer, sink).unwrap_or_else(|error| panic!("no pair of workers: {error}"));
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Bytes(1));
    group.bench_function(name, |b| {
        figures.measure(b, name, |bytes| {
            let end = received.load(Ordering::Relaxed) + bytes;
            while received.load(Ordering::Relaxed) < end {
                pair.turn();
            }
        });
    });
    group.finish();
}

fn main() {
    let mut c = config();
    let figures = Figures::default();
    ours(&mut c, &figures, "bypath, MSS 1460", 1, false, false);
    ours(&mut c, &figures, "bypath, MSS 1448 and timestamps", 1, false, true);
    ours(&mut c, &figures, "bypath, copied in and out", 1, true, false);
    ours(&mut c, &figures, "bypath, 100 flows", 100, false, false);
    let mut smol = SmolStream::new();
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Bytes(1));
    group.bench_function("smoltcp", |b| figures.measure(b, "smoltcp", |bytes| smol.run(bytes)));
    group.finish();
    c.final_summary();
    for name in [
        "bypath, MSS 1460",
        "bypath, MSS 1448 and timestamps",
        "bypath, copied in and out",
        "bypath, 100 flows",
    ] {
        figures.print(name, "smoltcp", |ns| format!("{:.1} Gbit/s", 8.0 / ns));
    }
}
