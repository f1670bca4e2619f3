//! Two workers against one: pairs of workers with flows of their own, each pair on a thread and a core of its own,
//! asking 64 bytes and answering. Goal 13. Told are packets a second of the clock, which is what other work on the
//! cores takes away from, and packets a second of CPU time, which is what sharing anything would cost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bypath::in_memory::{Pair, PairOptions};
use bypath_benches::{Asked, Asker, Echo, cpu_time};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const CONNECTIONS: usize = 64;
/// Requests under way at once, of each pair.
const UNDER_WAY: usize = 16;
/// Turns between looks at the clock.
const TURNS: u32 = 256;

/// Packets a second of the clock, and of CPU time, of all pairs together.
#[derive(Clone, Copy, Debug)]
struct Rate {
    wall: f64,
    cpu: f64,
}

/// One pair's work: packets, seconds of the clock and of CPU time.
fn work(core: usize, length: Duration, start: &Barrier, stop: &AtomicBool) -> (u64, f64, f64) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where it is not allowed the kernel's choice has to do.
    let _ = sched_setaffinity(None, &cores);
    let done = Arc::new(Asked::default());
    let tcp = bypath::TcpConfig { nodelay: true, ..bypath::TcpConfig::default() };
    let options = PairOptions { connections: CONNECTIONS, frames: 1 << 12, tcp, ..PairOptions::default() };
    let mut pair = Pair::new(&options, Asker::new(CONNECTIONS, UNDER_WAY, &done), Echo)
        .unwrap_or_else(|error| panic!("no pair of workers: {error}"));
    while done.open.load(Ordering::Relaxed) < CONNECTIONS as u64 {
        pair.turn();
    }
    done.go.store(1, Ordering::Relaxed);
    (0..100 * TURNS).for_each(|_| pair.turn());
    let packets = |pair: &Pair| pair.stats().iter().map(|stats| stats.segments_out()).sum::<u64>();
    start.wait();
    let (before, since, spent) = (packets(&pair), Instant::now(), cpu_time());
    while !stop.load(Ordering::Relaxed) {
        (0..TURNS).for_each(|_| pair.turn());
        if since.elapsed() >= length {
            // All stop when the first is done: none has the machine for itself.
            stop.store(true, Ordering::Relaxed);
        }
    }
    (packets(&pair) - before, since.elapsed().as_secs_f64(), (cpu_time() - spent).as_secs_f64())
}

fn rate(cores: &[usize], length: Duration) -> Rate {
    let (start, stop) = (Barrier::new(cores.len()), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> =
            cores.iter().map(|core| scope.spawn(|| work(*core, length, &start, &stop))).collect();
        workers.into_iter().fold(Rate { wall: 0.0, cpu: 0.0 }, |sum, worker| {
            let (packets, wall, cpu) = worker.join().unwrap_or_else(|_| panic!("a pair has failed"));
            Rate { wall: sum.wall + packets as f64 / wall, cpu: sum.cpu + packets as f64 / cpu }
        })
    })
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, length) = if quick { (5, Duration::from_millis(300)) } else { (15, Duration::from_secs(1)) };
    let allowed = sched_getaffinity(None).unwrap_or_else(|error| panic!("no cores are known: {error}"));
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(2).collect();
    if cores.len() < 2 {
        println!("two workers against one: there is only one core");
        return;
    }
    // In turn, so that what else happens on the machine meets both alike.
    let runs: Vec<(Rate, Rate)> =
        (0..rounds).map(|n| (rate(&cores[n % 2..][..1], length), rate(&cores, length))).collect();
    let of = |tell: fn(&(Rate, Rate)) -> f64| median(runs.iter().map(tell).collect());
    println!(
        "two workers against one: {:.2} x by the clock ({:.2} million packets/s against {:.2}), {:.2} x by CPU time",
        of(|(one, two)| two.wall / one.wall),
        of(|(_, two)| two.wall) / 1e6,
        of(|(one, _)| one.wall) / 1e6,
        of(|(one, two)| two.cpu / one.cpu),
    );
}
