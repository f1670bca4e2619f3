//! CSV: a line for each interval, each step, and the whole.
//!
//! Columns are the fields of the JSON document by their names; those that were not measured in any line are left out. The first
//! column says what a line is: `interval`, `step` or `total`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::result::{Interval, Rates, RunResult, Step, Totals, metric};

/// A line of the table.
struct Row<'a> {
    part: &'static str,
    name: &'a str,
    start_seconds: f64,
    end_seconds: f64,
    totals: &'a Totals,
    rates: &'a Rates,
    latency: BTreeMap<&'a str, [u64; 4]>,
}

const LATENCY: [&str; 4] = ["count", "p50_ns", "p99_ns", "max_ns"];

impl<'a> Row<'a> {
    fn interval(of: &'a Interval) -> Row<'a> {
        let latency =
            of.latency.iter().map(|(name, l)| (name.as_str(), [l.count, l.p50_ns, l.p99_ns, l.max_ns]));
        Row {
            part: "interval",
            name: "",
            start_seconds: of.start_seconds,
            end_seconds: of.end_seconds,
            totals: &of.totals,
            rates: &of.rates,
            latency: latency.collect(),
        }
    }

    fn step(of: &'a Step) -> Row<'a> {
        let latency =
            of.latency.iter().map(|(name, l)| (name.as_str(), [l.count, l.p50_ns, l.p99_ns, l.max_ns]));
        Row {
            part: "step",
            name: &of.name,
            start_seconds: of.start_seconds,
            end_seconds: of.end_seconds,
            totals: &of.totals,
            rates: &of.rates,
            latency: latency.collect(),
        }
    }

    fn total(of: &'a RunResult) -> Row<'a> {
        let latency =
            of.latency.iter().map(|(name, l)| (name.as_str(), [l.count, l.p50_ns, l.p99_ns, l.max_ns]));
        Row {
            part: "total",
            name: "",
            start_seconds: 0.0,
            end_seconds: of.duration_seconds,
            totals: &of.totals,
            rates: &of.rates,
            latency: latency.collect(),
        }
    }
}

/// The table, its header first.
pub fn csv(result: &RunResult) -> String {
    let mut rows: Vec<Row<'_>> = result.intervals.iter().map(Row::interval).collect();
    rows.extend(result.steps.iter().map(Row::step));
    rows.push(Row::total(result));

    let seen = |measured: fn(&Row<'_>, &str) -> bool, names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| rows.iter().any(|row| measured(row, name))).collect()
    };
    let totals = seen(|row, name| row.totals.get(name).is_some(), Totals::NAMES);
    let rates = seen(|row, name| row.rates.get(name).is_some(), Rates::NAMES);
    let mut distributions: Vec<&str> = rows.iter().flat_map(|row| row.latency.keys().copied()).collect();
    distributions.sort_by_key(|name| (metric::order(name), *name));
    distributions.dedup();

    let mut out = String::from("part,name,start_seconds,end_seconds");
    for name in totals.iter().chain(&rates) {
        // Writing to a String does not fail, here and below.
        let _ = write!(out, ",{name}");
    }
    for name in &distributions {
        for figure in LATENCY {
            let _ = write!(out, ",{}", quoted(&format!("{name}_{figure}")));
        }
    }
    out.push('\n');
    for row in &rows {
        let _ =
            write!(out, "{},{},{:.6},{:.6}", row.part, quoted(row.name), row.start_seconds, row.end_seconds);
        for name in &totals {
            cell(&mut out, row.totals.get(name));
        }
        for name in &rates {
            cell(&mut out, row.rates.get(name));
        }
        for name in &distributions {
            let figures = row.latency.get(name);
            (0..LATENCY.len()).for_each(|at| cell(&mut out, figures.and_then(|figures| figures.get(at))));
        }
        out.push('\n');
    }
    out
}

fn cell(out: &mut String, value: Option<impl std::fmt::Display>) {
    out.push(',');
    if let Some(value) = value {
        let _ = write!(out, "{value}");
    }
}

/// As RFC 4180 section 2 wants it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
