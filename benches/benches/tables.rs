//! Finding a flow, and setting timers, among one flow to a million; beside what the standard library offers, since
//! smoltcp looks at all its sockets in turn.

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use bypath::parts::{Flows, Timers};
use bypath_benches::{Figures, config};
use criterion::{BenchmarkId, Criterion};

const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];

fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(198, 18, 0, 2), 80))
}

fn remote(n: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0xc612_0101 + n / 60_000), 1_024 + (n % 60_000) as u16))
}

/// Visits all of a power of two in no order that a prefetcher knows.
fn scattered(at: u64, flows: u32) -> u32 {
    (((at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * u64::from(flows)) >> 32) as u32
}

fn look_up(c: &mut Criterion, figures: &Figures) {
    let mut group = c.benchmark_group("flow look-up");
    for flows in SIZES {
        let mut table = Flows::with_capacity(flows as usize);
        let mut map = HashMap::new();
        for n in 0..flows {
            assert!(table.insert(local(), remote(n), n));
            map.insert((local(), remote(n)), n);
        }
        let name = format!("bypath, {flows} flows");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            figures.measure(b, &name, |units| {
                for at in 0..units {
                    black_box(table.find(local(), remote(scattered(at, flows))));
                }
            });
        });
        let name = format!("std's map, {flows} flows");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            figures.measure(b, &name, |units| {
                for at in 0..units {
                    black_box(map.get(&(local(), remote(scattered(at, flows)))));
                }
            });
        });
    }
    group.finish();
}

fn timers(c: &mut Criterion, figures: &Figures) {
    let mut group = c.benchmark_group("timers");
    for flows in SIZES {
        let mut wheel = Timers::with_capacity(flows as usize);
        (0..flows).for_each(|flow| wheel.schedule(flow, 200_000_000 + u64::from(flow)));
        let (mut now, mut at) = (0, 0);
        let name = format!("bypath, {flows} timers");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            // Each is moved, as by an acknowledgement, 200 ms into the future, and those that are due fire.
            figures.measure(b, &name, |units| {
                for _ in 0..units {
                    (now, at) = (now + 1_000, at + 1);
                    wheel.schedule(scattered(at, flows), now + 200_000_000);
                    while let Some(fired) = wheel.pop_due(now) {
                        wheel.schedule(fired, now + 200_000_000);
                    }
                }
            });
        });
        let mut set: BTreeSet<(u64, u32)> =
            (0..flows).map(|flow| (200_000_000 + u64::from(flow), flow)).collect();
        let mut due: Vec<u64> = (0..flows).map(|flow| 200_000_000 + u64::from(flow)).collect();
        let (mut now, mut at) = (0, 0);
        let name = format!("std's ordered set, {flows} timers");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            figures.measure(b, &name, |units| {
                for _ in 0..units {
                    (now, at) = (now + 1_000, at + 1);
                    let mut flow = scattered(at, flows);
                    loop {
                        set.remove(&(due[flow as usize], flow));
                        due[flow as usize] = now + 200_000_000;
                        set.insert((now + 200_000_000, flow));
                        match set.first() {
                            Some((first, fired)) if *first <= now => flow = *fired,
                            _ => break,
                        }
                    }
                }
            });
        });
    }
    group.finish();
}

fn main() {
    let mut c = config();
    let figures = Figures::default();
    look_up(&mut c, &figures);
    timers(&mut c, &figures);
    c.final_summary();
    let tell = |ns: f64| format!("{ns:.1} ns");
    for n in SIZES {
        figures.print(&format!("bypath, {n} flows"), &format!("std's map, {n} flows"), tell);
    }
    for n in SIZES {
        figures.print(&format!("bypath, {n} timers"), &format!("std's ordered set, {n} timers"), tell);
    }
}
