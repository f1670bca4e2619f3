//! The figures of a run in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use crate::histogram::NanoHistogram;
use crate::result::{RunResult, Totals};

/// Bounds of the buckets, nanoseconds: 1, 2, 5 in each decade from 1 µs to 50 s.
fn bounds() -> impl Iterator<Item = u64> {
    (3..11).flat_map(|decade| [1, 2, 5].map(|digit| digit * 10u64.pow(decade)))
}

/// The page.
pub fn page(result: &RunResult) -> String {
    let mut out = String::new();
    let labels = labels(result);
    for (name, value) in result.totals.measured() {
        let name = if Totals::NAMES.contains(&name) && name == "connections_open_at_end" {
            // The only count that can fall.
            gauge(&mut out, "bypath_connections_open", "Connections that are open.", &labels, value as f64);
            continue;
        } else {
            format!("bypath_{name}_total")
        };
        let help = name.trim_start_matches("bypath_").trim_end_matches("_total").replace('_', " ");
        head(&mut out, &name, &format!("Count of the run: {help}."), "counter");
        let _ = writeln!(out, "{name}{{{labels}}} {value}");
    }
    by_cause(&mut out, "bypath_errors_total", "Errors by cause.", &labels, &result.totals.errors);
    by_cause(&mut out, "bypath_drops_total", "Packets not used, by cause.", &labels, &result.drops);
    let rates = result.intervals.last().map_or(&result.rates, |interval| &interval.rates);
    for (name, value) in rates.measured() {
        let help = format!("Of the last interval: {}.", name.replace('_', " "));
        gauge(&mut out, &format!("bypath_{name}"), &help, &labels, value);
    }
    gauge(
        &mut out,
        "bypath_duration_seconds",
        "Length of the measurement until now.",
        &labels,
        result.duration_seconds,
    );
    if let Some(verdict) = &result.verdict {
        let valid = f64::from(u8::from(verdict.valid));
        gauge(&mut out, "bypath_valid", "1 when nothing speaks against the result.", &labels, valid);
    }
    histograms(&mut out, result, &labels);
    out
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String does not fail, here and elsewhere in this file.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn gauge(out: &mut String, name: &str, help: &str, labels: &str, value: f64) {
    head(out, name, help, "gauge");
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

fn by_cause(
    out: &mut String,
    name: &str,
    help: &str,
    labels: &str,
    counts: &std::collections::BTreeMap<String, u64>,
) {
    if counts.is_empty() {
        return;
    }
    head(out, name, help, "counter");
    for (cause, count) in counts {
        let _ = writeln!(out, "{name}{{{labels},cause=\"{}\"}} {count}", escaped(cause));
    }
}

fn histograms(out: &mut String, result: &RunResult, labels: &str) {
    let name = "bypath_latency_seconds";
    let decoded: Vec<(&String, NanoHistogram, f64)> = result
        .latency
        .iter()
        .filter_map(|(distribution, summary)| {
            let histogram = NanoHistogram::decode(summary.hdr.as_deref()?).ok()?;
            Some((distribution, histogram, summary.mean_ns))
        })
        .collect();
    if decoded.is_empty() {
        return;
    }
    head(out, name, "Distributions of times, by name.", "histogram");
    for (distribution, histogram, mean_ns) in decoded {
        let distribution = escaped(distribution);
        let mut buckets = histogram.buckets().peekable();
        let mut below = 0;
        for bound in bounds() {
            while let Some((_, _, count)) = buckets.next_if(|(_, highest, _)| *highest <= bound) {
                below += count;
            }
            let le = bound as f64 / 1e9;
            let _ = writeln!(
                out,
                "{name}_bucket{{{labels},distribution=\"{distribution}\",le=\"{le}\"}} {below}"
            );
        }
        let count = histogram.count();
        let sum = mean_ns * count as f64 / 1e9;
        let _ =
            writeln!(out, "{name}_bucket{{{labels},distribution=\"{distribution}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels},distribution=\"{distribution}\"}} {sum}");
        let _ = writeln!(out, "{name}_count{{{labels},distribution=\"{distribution}\"}} {count}");
    }
}

fn labels(result: &RunResult) -> String {
    let mut labels = format!("command=\"{}\"", escaped(&result.command));
    let more = [("pattern", &result.pattern), ("target", &result.target)];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        let _ = write!(labels, ",{name}=\"{}\"", escaped(value));
    }
    labels
}

/// The text format has three characters that must be escaped in the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
