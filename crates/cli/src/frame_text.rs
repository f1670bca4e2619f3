//! What is printed of raw frames while they are sent, and in the end.

use std::fmt::Write as _;

use bypath_measure::result::{Interval, RunResult, metric};
use bypath_measure::text::{bits_per_second, count, duration_ns};

/// One interval on one line.
pub(crate) fn interval_line(interval: &Interval) -> String {
    let mut line = format!("[{:6.1}-{:6.1} s]", interval.start_seconds, interval.end_seconds);
    let rates = &interval.rates;
    let directions = [
        ("sent", rates.packets_sent_per_second, rates.wire_sent_bits_per_second),
        ("received", rates.packets_received_per_second, rates.wire_received_bits_per_second),
    ];
    for (name, packets, bits) in directions {
        if let (Some(packets), Some(bits)) = (packets, bits) {
            let _ =
                write!(line, "  {name} {:>11} frames/s {:>13}", count(packets as u64), bits_per_second(bits));
        }
    }
    if let Some(one_way) = interval.latency.get(metric::ONE_WAY) {
        let _ = write!(
            line,
            "  one way p50 {} p99 {}",
            duration_ns(one_way.p50_ns as f64),
            duration_ns(one_way.p99_ns as f64)
        );
    }
    line
}

/// One interval of a latency run on one line.
pub(crate) fn latency_line(interval: &Interval) -> String {
    let mut line = format!("[{:6.1}-{:6.1} s]", interval.start_seconds, interval.end_seconds);
    let answers = interval.rates.requests_per_second.or(interval.rates.packets_received_per_second);
    let _ = write!(line, "  {:>11} answers/s", count(answers.unwrap_or(0.0) as u64));
    let main = [metric::REQUEST, metric::ROUND_TRIP].into_iter().find_map(|name| interval.latency.get(name));
    if let Some(times) = main {
        let figures = [("p50", times.p50_ns), ("p99", times.p99_ns), ("max", times.max_ns)];
        for (name, ns) in figures {
            let _ = write!(line, "  {name} {}", duration_ns(ns as f64));
        }
    }
    let errors = interval.totals.error_count();
    if errors > 0 {
        let _ = write!(line, "  errors {}", count(errors));
    }
    line
}

/// The whole on a few lines.
pub(crate) fn summary(result: &RunResult) -> String {
    let mut text = String::new();
    let (totals, rates) = (&result.totals, &result.rates);
    let directions = [
        ("sent", totals.packets_sent, rates.packets_sent_per_second, rates.wire_sent_bits_per_second),
        (
            "received",
            totals.packets_received,
            rates.packets_received_per_second,
            rates.wire_received_bits_per_second,
        ),
    ];
    for (name, frames, per_second, bits) in directions {
        if let (Some(frames), Some(per_second), Some(bits)) = (frames, per_second, bits) {
            let _ = writeln!(
                text,
                "{name:<10} {:>14} frames in {:.2} s, {} frames/s, {}",
                count(frames),
                result.duration_seconds,
                count(per_second as u64),
                bits_per_second(bits),
            );
        }
    }
    let counts = [
        ("lost", totals.packets_lost),
        ("reordered", totals.packets_reordered),
        ("duplicated", totals.packets_duplicated),
        ("corrupt", totals.packets_corrupt),
    ];
    for (name, frames) in counts {
        if let Some(frames) = frames {
            let share = match totals.packets_sent.or(totals.packets_received) {
                Some(all) if all > 0 && frames > 0 => {
                    format!(" ({:.4} %)", frames as f64 / all as f64 * 100.0)
                }
                _ => String::new(),
            };
            let _ = writeln!(text, "{name:<10} {:>14} frames{share}", count(frames));
        }
    }
    times(result, &mut text);
    for interface in &result.interfaces {
        let _ = writeln!(
            text,
            "{:<10} the kernel counted {} sent and {} received ({} dropped); we {} and {}",
            interface.interface,
            count(interface.kernel_packets_sent),
            count(interface.kernel_packets_received),
            count(interface.kernel_drops_received),
            count(interface.packets_sent),
            count(interface.packets_received),
        );
    }
    for (cause, frames) in &result.drops {
        let _ = writeln!(text, "dropped    {:>14} {cause}", count(*frames));
    }
    text.push_str(&spreads(result));
    for note in &result.notes {
        let _ = writeln!(text, "note       {note}");
    }
    text.push_str(&verdict(result));
    text
}

/// The judgement, on a line for each reason.
pub(crate) fn verdict(result: &RunResult) -> String {
    match &result.verdict {
        None => String::new(),
        Some(verdict) if verdict.valid => "verdict    valid\n".to_owned(),
        Some(verdict) => {
            verdict.reasons.iter().map(|reason| format!("INVALID    {}\n", reason.message)).collect()
        }
    }
}

/// How far repeated runs lie apart, on a line for each figure.
pub(crate) fn spreads(result: &RunResult) -> String {
    let mut text = String::new();
    for (name, spread) in &result.spread {
        let wide = if spread.too_wide { ", too wide" } else { "" };
        if let (Some(low), Some(high)) = (spread.ci95_low, spread.ci95_high) {
            let figures = format!("median {:.4e}, 95 % within {low:.4e} to {high:.4e}{wide}", spread.median);
            let _ = writeln!(text, "  {name:<40} {figures}");
        }
    }
    text
}

/// Each distribution on a line.
fn times(result: &RunResult, text: &mut String) {
    let titles = [
        (metric::ONE_WAY, "one way"),
        (metric::ROUND_TRIP, "round trip"),
        (metric::REQUEST, "round trip"),
        (metric::REQUEST_SERVICE, "uncorrected"),
        (metric::LATENESS, "lateness"),
    ];
    for (name, title) in titles {
        let Some(times) = result.latency.get(name).filter(|times| times.count > 0) else { continue };
        let figures = [
            ("min", times.min_ns),
            ("p50", times.p50_ns),
            ("p90", times.p90_ns),
            ("p99", times.p99_ns),
            ("p99.9", times.p99_9_ns),
            ("max", times.max_ns),
        ];
        let figures: Vec<String> =
            figures.into_iter().map(|(name, ns)| format!("{name} {}", duration_ns(ns as f64))).collect();
        let _ = writeln!(text, "{title:<11} {}", figures.join("  "));
    }
}

/// A latency run on a few lines.
pub(crate) fn latency_summary(result: &RunResult) -> String {
    if result.pattern.as_deref() == Some("raw") {
        return summary(result);
    }
    let mut text = String::new();
    let totals = &result.totals;
    let _ = writeln!(
        text,
        "answered    {} of {} messages in {:.2} s, {}/s",
        count(totals.requests.unwrap_or(0)),
        count(totals.requests_started.unwrap_or(0)),
        result.duration_seconds,
        count(result.rates.requests_per_second.unwrap_or(0.0) as u64),
    );
    for (cause, errors) in &totals.errors {
        let _ = writeln!(text, "{cause:<11} {}", count(*errors));
    }
    times(result, &mut text);
    text.push_str(&spreads(result));
    text.push_str(&verdict(result));
    text
}
