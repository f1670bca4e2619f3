//! Results made up for reports: what a run of a minute might have measured, the same for the same seed.

#![allow(dead_code, reason = "each test file uses its part")]

use bypath_measure::histogram::{Merge, NanoHistogram};
use bypath_measure::result::{
    Class, Cpu, Interval, Reason, ReasonCode, Repeat, RunResult, Spread, Step, Totals, Verdict, WorkerCpu,
};

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around zero, mostly within one.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.unit()).sum::<f64>() - 3.0
    }
}

const NAMES: [&str; 4] = ["packet", "first_byte", "request", "request_service"];

/// A run of `seconds` with everything in it that a page can show. `slower` stretches its times.
pub(crate) fn load(seed: u64, seconds: u32, slower: f64) -> RunResult {
    let mut dice = Dice(seed.max(1));
    let mut result = RunResult::new("load", "0.1.0");
    result.pattern = Some("rr".to_owned());
    result.target = Some("198.18.0.2:7".to_owned());
    result.started_unix_seconds = 1_790_000_000.0;
    result.warm_up_seconds = 3.0;
    conditions(&mut result);

    let mut sums: Vec<NanoHistogram> = NAMES.iter().map(|_| NanoHistogram::new()).collect();
    for second in -3..i64::from(seconds) {
        let has_stall = (seconds / 2..seconds / 2 + 2).any(|at| i64::from(at) == second);
        let mut each: Vec<NanoHistogram> = NAMES.iter().map(|_| NanoHistogram::new()).collect();
        let mut totals = Totals::default();
        let requests = (11_500.0 + 400.0 * dice.bell()) as u64 / if has_stall { 2 } else { 1 };
        for _ in 0..requests {
            let base = 18_000.0 * slower * (0.22 * dice.bell()).exp();
            let tail = if dice.unit() < 0.004 { 250_000.0 * (0.8 * dice.bell()).exp() } else { 0.0 };
            let stall = if has_stall { dice.unit() * 90e6 } else { 0.0 };
            let second_mode = if dice.unit() < 0.12 { 16_000.0 } else { 0.0 };
            let packet = base + tail + second_mode;
            let service = packet * 1.3 + 9_000.0;
            for (histogram, ns) in each.iter_mut().zip([packet, service * 0.9, service + stall, service]) {
                histogram.record(ns as u64);
            }
        }
        totals.requests = Some(requests);
        totals.bytes_sent = Some(requests * 1_400);
        totals.bytes_received = Some(requests * 46_000);
        totals.segments_sent = Some(requests * 4);
        totals.segments_retransmitted = Some(if has_stall { 340 } else { (dice.unit() * 4.0) as u64 });
        totals.segments_received = Some(requests * 33);
        let mut interval = Interval::new(second as f64, second as f64 + 1.0, totals);
        if has_stall {
            interval.drops.insert("receive_ring_full".to_owned(), 220);
        }
        for ((name, one), sum) in NAMES.iter().zip(&each).zip(&mut sums) {
            interval.latency.insert((*name).to_owned(), one.interval_latency(true));
            if second >= 0 {
                sum.merge(one);
            }
        }
        if second >= 0 {
            result.totals.add(&interval.totals);
        }
        result.intervals.push(interval);
    }
    for (name, sum) in NAMES.iter().zip(&sums) {
        result.latency.insert((*name).to_owned(), sum.summary(true));
    }
    result.totals.connections_opened = Some(100);
    result.totals.error("timed_out", 12);
    result.totals.error("reset", 3);
    result.drops = [("receive_ring_full", 440), ("bad_checksum", 2), ("no_listener", 17)]
        .into_iter()
        .map(|(cause, count)| (cause.to_owned(), count))
        .collect();
    let mut cpu = Cpu::new(41.2, 18.7);
    cpu.workers = vec![WorkerCpu {
        worker: 0,
        core: Some(2),
        busy_ratio: Some(0.83),
        waiting_ratio: Some(0.002),
        transmit_ring_full: Some(0),
        receive_ring_full: Some(440),
    }];
    result.cpu = Some(cpu);
    result.verdict = Some(Verdict {
        valid: true,
        reasons: Vec::new(),
        checked: vec![
            ReasonCode::GeneratorLate,
            ReasonCode::RingsFull,
            ReasonCode::CpuSaturated,
            ReasonCode::ClockUnstable,
        ],
    });
    result.finish(f64::from(seconds));
    result
}

fn conditions(result: &mut RunResult) {
    for (option, value) in [("connections", 100), ("duration", 60), ("request-size", 64)] {
        result.set(option, value);
    }
    let conditions = &mut result.conditions;
    conditions.kernel = Some("6.18.0".to_owned());
    conditions.cpu = Some("A processor of this year, 3.1 GHz".to_owned());
    conditions.cores_available = Some(8);
    conditions.cores = vec![2];
    conditions.stack = Some("engine".to_owned());
    conditions.interface = Some("eth1".to_owned());
    conditions.driver = Some("ice".to_owned());
    conditions.mode = Some("zerocopy".to_owned());
    conditions.xdp = Some("native".to_owned());
    conditions.transmit_path = Some("ring".to_owned());
    conditions.mtu = Some(1500);
    conditions.queues = vec![0];
    conditions.offloads = [("tx-checksum-ip-generic", false), ("generic-receive-offload", false)]
        .into_iter()
        .map(|(name, on)| (name.to_owned(), on))
        .collect();
    conditions.congestion_control = Some("cubic".to_owned());
}

/// The same with a verdict against it.
pub(crate) fn not_valid(seed: u64) -> RunResult {
    let mut result = load(seed, 20, 1.0);
    result.verdict = Some(Verdict {
        valid: false,
        reasons: vec![Reason {
            code: ReasonCode::GeneratorLate,
            message: "the generator acted late; give it more workers or a lower rate".to_owned(),
            measured: Some(1_234_567.0),
            limit: Some(100_000.0),
            unit: Some("nanoseconds".to_owned()),
        }],
        checked: vec![ReasonCode::GeneratorLate],
    });
    result
}

/// The same with steps, classes and repetitions.
pub(crate) fn repeated(seed: u64, slower: f64) -> RunResult {
    let mut result = load(seed, 20, slower);
    for step in 1..=5u32 {
        let part = load(seed + u64::from(step), 2, slower * (1.0 + f64::from(step * step) / 20.0));
        result.steps.push(Step {
            name: format!("{},000 requests/s", step * 10),
            intended_per_second: Some(f64::from(step) * 10_000.0),
            start_seconds: f64::from(step - 1) * 4.0,
            end_seconds: f64::from(step) * 4.0,
            totals: part.totals.clone(),
            rates: part.rates.clone(),
            latency: part.latency.clone(),
            verdict: part.verdict.clone(),
            ..Step::default()
        });
        if step <= 3 {
            result.repeats.push(Repeat {
                number: step,
                started_unix_seconds: result.started_unix_seconds + f64::from(step) * 30.0,
                duration_seconds: 20.0,
                totals: part.totals,
                rates: part.rates,
                latency: part.latency,
                verdict: part.verdict,
                ..Repeat::default()
            });
        }
    }
    for (name, bytes) in [("4 KiB", 4_096), ("1 MiB", 1_048_576)] {
        let part = load(seed + bytes, 2, slower);
        let mut class = Class {
            name: name.to_owned(),
            min_bytes: Some(bytes),
            max_bytes: Some(bytes),
            ..Class::default()
        };
        (class.totals, class.rates, class.latency) = (part.totals, part.rates, part.latency);
        result.classes.push(class);
    }
    let request = result.latency["request"].p99_ns as f64;
    let rate = result.rates.requests_per_second.unwrap_or_default();
    for (path, median, scatter) in
        [("latency.request.p99_ns", request, 0.02), ("rates.requests_per_second", rate, 0.004)]
    {
        result.spread.insert(
            path.to_owned(),
            Spread {
                count: 5,
                median,
                mean: median,
                min: median * (1.0 - scatter),
                max: median * (1.0 + scatter),
                ci95_low: Some(median * (1.0 - scatter * 0.8)),
                ci95_high: Some(median * (1.0 + scatter * 0.8)),
                method: Some("t".to_owned()),
                too_wide: false,
            },
        );
    }
    result
}
