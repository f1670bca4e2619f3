//! The same run several times: sums, and how far the runs lie apart.

use std::collections::BTreeMap;

use crate::histogram::{Merge, NanoHistogram};
use crate::result::{
    Cpu, HistogramSummary, InterfaceCounters, Interval, Rates, Repeat, RunResult, RunState, metric,
};
use crate::stats::{Width, spread};
use crate::verdict::{Expectations, judge_into};

/// Measures `count` times, until one of the runs fails or is stopped, and makes one result of them.
pub fn repeated(count: u32, expected: &Expectations, mut once: impl FnMut() -> RunResult) -> RunResult {
    let mut results = Vec::new();
    for _ in 0..count.max(1) {
        results.push(once());
        if results.last().is_some_and(|result| result.state != RunState::Complete) {
            break;
        }
    }
    combine(results, expected)
}

/// One result of several of the same settings: counts and histograms are added up, and `spread` tells how far the runs lie
/// apart. A single one stays as it is.
pub fn combine(results: Vec<RunResult>, expected: &Expectations) -> RunResult {
    let mut parts = results.iter();
    let Some(mut all) = parts.next().cloned() else {
        return RunResult::new("", env!("CARGO_PKG_VERSION"));
    };
    if results.len() == 1 {
        return all;
    }
    for result in parts {
        let offset = all.duration_seconds;
        all.totals.add(&result.totals);
        add_latencies(&mut all.latency, &result.latency);
        for (cause, count) in &result.drops {
            *all.drops.entry(cause.clone()).or_default() += count;
        }
        if let (Some(mine), Some(theirs)) = (&mut all.cpu, &result.cpu) {
            add_cpu(mine, theirs);
        }
        if let (Some(mine), Some(theirs)) = (&mut all.generator, &result.generator) {
            mine.intended += theirs.intended;
            mine.started += theirs.started;
            mine.not_started += theirs.not_started;
            mine.lateness = added(&mine.lateness, &theirs.lateness);
        }
        all.intervals.extend(result.intervals.iter().map(|interval| Interval {
            start_seconds: interval.start_seconds + offset,
            end_seconds: interval.end_seconds + offset,
            ..interval.clone()
        }));
        all.duration_seconds += result.duration_seconds;
        for (mine, theirs) in all.interfaces.iter_mut().zip(&result.interfaces) {
            add_interface(mine, theirs);
        }
        (all.state, all.error) = (result.state, result.error.clone());
        all.notes.extend(result.notes.iter().cloned());
    }
    all.rates = Rates::of(&all.totals, all.duration_seconds);
    if let Some(cpu) = &mut all.cpu {
        cpu.per_gigabyte(&all.totals);
    }
    // A run that was cut short is no sample of the same test.
    let measured: Vec<&RunResult> = results.iter().filter(|r| r.state == RunState::Complete).collect();
    all.spread = spreads(&measured);
    all.repeats = results.iter().zip(1..).map(|(result, number)| repeat(result, number)).collect();
    judge_into(&mut all, expected);
    all
}

fn repeat(result: &RunResult, number: u32) -> Repeat {
    Repeat {
        number,
        started_unix_seconds: result.started_unix_seconds,
        state: result.state,
        error: result.error.clone(),
        duration_seconds: result.duration_seconds,
        totals: result.totals.clone(),
        rates: result.rates.clone(),
        latency: result.latency.clone(),
        drops: result.drops.clone(),
        cpu: result.cpu.clone(),
        verdict: result.verdict.clone(),
    }
}

fn add_cpu(mine: &mut Cpu, theirs: &Cpu) {
    mine.user_seconds += theirs.user_seconds;
    mine.system_seconds += theirs.system_seconds;
    mine.total_seconds += theirs.total_seconds;
    for (mine, theirs) in mine.workers.iter_mut().zip(&theirs.workers) {
        let worse = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).max_by(f64::total_cmp);
        mine.busy_ratio = worse(mine.busy_ratio, theirs.busy_ratio);
        mine.waiting_ratio = worse(mine.waiting_ratio, theirs.waiting_ratio);
    }
}

fn add_interface(mine: &mut InterfaceCounters, theirs: &InterfaceCounters) {
    mine.kernel_packets_received += theirs.kernel_packets_received;
    mine.kernel_bytes_received += theirs.kernel_bytes_received;
    mine.kernel_drops_received += theirs.kernel_drops_received;
    mine.kernel_packets_sent += theirs.kernel_packets_sent;
    mine.kernel_bytes_sent += theirs.kernel_bytes_sent;
    mine.kernel_drops_sent += theirs.kernel_drops_sent;
    mine.packets_received += theirs.packets_received;
    mine.packets_sent += theirs.packets_sent;
    for (cause, count) in &theirs.steering {
        *mine.steering.entry(cause.clone()).or_default() += count;
    }
}

fn add_latencies(mine: &mut BTreeMap<String, HistogramSummary>, theirs: &BTreeMap<String, HistogramSummary>) {
    for (name, summary) in theirs {
        let sum = mine.get(name).map_or_else(|| summary.clone(), |before| added(before, summary));
        mine.insert(name.clone(), sum);
    }
}

/// Both distributions as one; the larger one if a histogram is missing.
fn added(a: &HistogramSummary, b: &HistogramSummary) -> HistogramSummary {
    let decode = |summary: &HistogramSummary| NanoHistogram::decode(summary.hdr.as_deref()?).ok();
    match (decode(a), decode(b)) {
        (Some(mut both), Some(other)) => {
            both.merge(&other);
            HistogramSummary { saturated: a.saturated + b.saturated, ..both.summary(true) }
        }
        _ => {
            if a.count >= b.count {
                a.clone()
            } else {
                b.clone()
            }
        }
    }
}

/// How far the runs lie apart, in rates and percentiles.
fn spreads(results: &[&RunResult]) -> BTreeMap<String, crate::result::Spread> {
    let mut values: BTreeMap<String, (Width, Vec<f64>)> = BTreeMap::new();
    let mut note = |name: String, width: Width, value: f64| {
        values.entry(name).or_insert((width, Vec::new())).1.push(value);
    };
    for result in results {
        // A share of few packets is not to be compared like a rate.
        let rates = result.rates.measured().filter(|(name, value)| *value > 0.0 && !name.ends_with("_ratio"));
        for (name, value) in rates {
            note(format!("rates.{name}"), Width::RATE, value);
        }
        // Lateness is the generator's, and judged as such.
        for (name, latency) in result.latency.iter().filter(|(name, _)| *name != metric::LATENESS) {
            let path = |figure: &str| format!("latency.{name}.{figure}");
            // Ten values at least lie beyond a percentile whose spread is told.
            if latency.count >= 20 {
                note(path("p50_ns"), Width::TIME_NS, latency.p50_ns as f64);
            }
            if latency.count >= 1_000 {
                note(path("p99_ns"), Width::TIME_NS, latency.p99_ns as f64);
            }
            if latency.count >= 10_000 {
                note(path("p99_9_ns"), Width::TAIL_NS, latency.p99_9_ns as f64);
            }
        }
    }
    let known = values.into_iter();
    known.filter_map(|(name, (width, values))| Some((name, spread(&values, width)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(requests: u64, ns: u64) -> RunResult {
        let mut result = RunResult::new("load", "0");
        result.totals.requests = Some(requests);
        let mut histogram = NanoHistogram::new();
        histogram.record_n(ns, requests);
        result.latency.insert("request".into(), histogram.summary(true));
        result.finish(2.0);
        result
    }

    #[test]
    fn repeats_are_added_up_and_their_medians_told() {
        let results = vec![one(100, 1_000), one(120, 1_500), one(110, 2_000)];
        let all = combine(results, &Expectations::default());
        assert_eq!(all.totals.requests, Some(330));
        assert_eq!(all.rates.requests_per_second, Some(55.0));
        assert_eq!((all.latency["request"].count, all.repeats.len()), (330, 3));
        assert_eq!(all.latency["request"].max_ns, 2_000);
        assert_eq!(all.spread["rates.requests_per_second"].median, 55.0);
        assert_eq!(all.spread["latency.request.p50_ns"].median, 1_500.0);
    }

    #[test]
    fn a_run_that_was_cut_short_is_no_sample() {
        let mut short = one(1, 9_000);
        short.cut_short(crate::result::ErrorCode::Interrupted, "interrupted");
        let all = combine(vec![one(100, 1_000), one(120, 1_000), short], &Expectations::default());
        assert_eq!((all.state, all.repeats.len()), (RunState::Partial, 3));
        assert_eq!(all.spread["rates.requests_per_second"].count, 2);
    }

    #[test]
    fn one_run_is_what_it_is() {
        let result = one(100, 1_000);
        assert_eq!(combine(vec![result.clone()], &Expectations::default()), result);
    }
}
