//! Are there enough values, and do they agree with each other?

use super::{Findings, Told, limit};
use crate::result::{HistogramSummary, ReasonCode, RunResult, metric};
use crate::stats::Steadiness;
use crate::text::{count, percent};

/// The distributions whose 99th percentile people read; the first that there is counts.
const MAIN: [&str; 4] = [metric::REQUEST, metric::ROUND_TRIP, metric::ONE_WAY, metric::PACKET];

pub(super) fn check(result: &RunResult, findings: &mut Findings) {
    enough(result, findings);
    saturated(result, findings);
    repeats(result, findings);
    steadiness(result, findings);
}

fn enough(result: &RunResult, findings: &mut Findings) {
    let found = MAIN.iter().find_map(|name| Some((name, result.latency.get(*name)?)));
    let Some((name, summary)) = found else { return };
    findings.check(ReasonCode::TooFewSamples, summary.count < limit::SAMPLES, || {
        Told::with(
            format!(
                "the percentiles of \"{name}\" are made of {} values, and a p99 needs {}: run longer (-t) or more (-n)",
                count(summary.count),
                count(limit::SAMPLES)
            ),
            summary.count as f64,
            limit::SAMPLES as f64,
            "count",
        )
    });
}

fn saturated(result: &RunResult, findings: &mut Findings) {
    let total: u64 = result.latency.values().map(|summary: &HistogramSummary| summary.saturated).sum();
    if result.latency.is_empty() {
        return;
    }
    findings.check(ReasonCode::Saturated, total > 0, || {
        Told::with(
            format!("{} values were above one hour, which is all that a histogram holds", count(total)),
            total as f64,
            0.0,
            "count",
        )
    });
}

fn repeats(result: &RunResult, findings: &mut Findings) {
    if result.spread.is_empty() {
        return;
    }
    let wide: Vec<&String> =
        result.spread.iter().filter(|(_, spread)| spread.too_wide).map(|(name, _)| name).collect();
    findings.check(ReasonCode::IntervalTooWide, !wide.is_empty(), || {
        let names: Vec<&str> = wide.iter().map(|name| name.as_str()).collect();
        let runs = result.repeats.len();
        Told::with(
            format!(
                "after {runs} runs the 95 % confidence interval is too wide for {}: repeat more often (--repeat) or longer (-t), on a \
                 machine that does nothing else",
                names.join(", ")
            ),
            wide.len() as f64,
            0.0,
            "count",
        )
    });
}

fn steadiness(result: &RunResult, findings: &mut Findings) {
    // A ramp is not meant to be steady, nor is holding connections that were opened at its beginning; and an interval
    // that is cut short tells nothing of rates.
    if !result.steps.is_empty() || result.pattern.as_deref() == Some("hold") {
        return;
    }
    let longest = result.intervals.iter().map(|i| i.end_seconds - i.start_seconds).fold(0.0, f64::max);
    let whole: Vec<_> = result
        .intervals
        .iter()
        .filter(|i| i.start_seconds >= 0.0 && i.end_seconds - i.start_seconds > 0.9 * longest)
        .collect();
    let Some((what, rates, events)) = main_rate(&whole) else { return };
    let Some(found) = Steadiness::of(&rates, events) else { return };
    findings.check(ReasonCode::Unsteady, found.variation > limit::VARIATION, || {
        Told::with(
            format!(
                "{what} varied by {} from interval to interval ({} of {} were stalls): find out what disturbs it before comparing",
                percent(found.variation),
                found.stalls,
                found.intervals
            ),
            found.variation,
            limit::VARIATION,
            "ratio",
        )
    });
    findings.check(ReasonCode::Unsteady, found.drift.abs() > limit::DRIFT, || {
        let way = if found.drift < 0.0 { "fell" } else { "rose" };
        Told::with(
            format!(
                "{what} {way} by {} from the first third of the run to the last: use a longer warm-up (-O) or run (-t)",
                percent(found.drift.abs())
            ),
            found.drift.abs(),
            limit::DRIFT,
            "ratio",
        )
    });
}

/// What the run was about: its name, its rate in each interval, and how many events that is made of.
fn main_rate(intervals: &[&crate::result::Interval]) -> Option<(&'static str, Vec<f64>, u64)> {
    let sum = |of: fn(&crate::result::Interval) -> Option<u64>| {
        let events: u64 = intervals.iter().filter_map(|i| of(i)).sum();
        (events > 0).then_some(events)
    };
    let rates = |of: fn(&crate::result::Interval) -> Option<f64>| {
        intervals.iter().map(|i| of(i).unwrap_or(0.0)).collect::<Vec<f64>>()
    };
    if let Some(events) = sum(|i| i.totals.requests) {
        return Some(("the request rate", rates(|i| i.rates.requests_per_second), events));
    }
    if let Some(events) = sum(|i| i.totals.connections_opened).filter(|_| sum(payload).is_none()) {
        return Some(("the connection rate", rates(|i| i.rates.connections_per_second), events));
    }
    if let Some(bytes) = sum(payload) {
        let of = |i: &crate::result::Interval| {
            let sent = i.rates.goodput_sent_bits_per_second.unwrap_or(0.0);
            Some(sent + i.rates.goodput_received_bits_per_second.unwrap_or(0.0))
        };
        return Some(("the goodput", rates(of), bytes));
    }
    let packets = |i: &crate::result::Interval| i.totals.packets_sent.or(i.totals.packets_received);
    let events = sum(packets)?;
    Some(("the packet rate", rates(|i| i.rates.packets_per_second), events))
}

fn payload(interval: &crate::result::Interval) -> Option<u64> {
    match (interval.totals.bytes_sent, interval.totals.bytes_received) {
        (None, None) => None,
        (sent, received) => Some(sent.unwrap_or(0) + received.unwrap_or(0)),
    }
}
