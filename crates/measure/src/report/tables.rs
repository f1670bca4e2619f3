//! The tables of the page: latency, counts, drops, steps, classes, processor time, conditions, settings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::format;
use super::html::{Cell, Table, escape};
use super::series::main_metrics;
use super::verdict::standing;
use crate::result::{HistogramSummary, Rates, RunResult, Totals, metric};

/// The columns of a distribution, besides its name.
const LATENCY_COLUMNS: [&str; 11] = [
    "",
    "#values",
    "#smallest",
    "#mean",
    "#50 %",
    "#75 %",
    "#90 %",
    "#99 %",
    "#99.9 %",
    "#99.99 %",
    "#largest",
];

/// Distributions, one a row, in the order in which they are told.
pub(super) fn latency(caption: &str, latency: &BTreeMap<String, HistogramSummary>) -> String {
    let mut table = Table::new(caption, &LATENCY_COLUMNS);
    for name in in_order(latency) {
        table.row(&format::title(name), &distribution(&latency[name]));
    }
    table.finish()
}

/// The names of distributions that have values, in the order in which they are told.
pub(super) fn in_order(latency: &BTreeMap<String, HistogramSummary>) -> Vec<&String> {
    let mut names: Vec<&String> =
        latency.iter().filter(|(_, summary)| summary.count > 0).map(|(name, _)| name).collect();
    names.sort_by_key(|name| metric::order(name));
    names
}

fn distribution(summary: &HistogramSummary) -> Vec<Cell> {
    let ns = |value: u64| Cell::number(format::nanoseconds(value as f64));
    vec![
        Cell::number(format::count(summary.count)),
        ns(summary.min_ns),
        Cell::number(format::nanoseconds(summary.mean_ns)),
        ns(summary.p50_ns),
        ns(summary.p75_ns),
        ns(summary.p90_ns),
        ns(summary.p99_ns),
        ns(summary.p99_9_ns),
        ns(summary.p99_99_ns),
        ns(summary.max_ns),
    ]
}

/// Counts with what they are by second.
pub(super) fn totals(totals: &Totals, seconds: f64) -> String {
    let mut table = Table::new("Counts", &["", "#count", "#per second"]);
    for (name, count) in totals.measured() {
        let rate = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        table.row(
            &format::title(name),
            &[Cell::number(format::count(count)), Cell::number(format::number(rate))],
        );
    }
    table.finish()
}

/// Counts by cause, the largest first, with a bar for their share.
pub(super) fn causes(caption: &str, counts: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<(&String, u64)> = counts.iter().map(|(cause, count)| (cause, *count)).collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most = sorted.first().map_or(0, |(_, count)| *count).max(1);
    let mut table = Table::new(caption, &["cause", "#count", ""]);
    for (cause, count) in sorted {
        let width = count as f64 / most as f64 * 100.0;
        let bar = format!("<span class=\"bar\" style=\"width:{width:.1}%\"></span>");
        table
            .row(&format::title(cause), &[Cell::number(format::count(count)), Cell::html(bar).class("bars")]);
    }
    table.finish()
}

/// The rate that says most about a part of a run.
fn leading_rate(rates: &Rates) -> Option<String> {
    [
        "requests_per_second",
        "files_per_second",
        "goodput_received_bits_per_second",
        "goodput_sent_bits_per_second",
        "packets_received_per_second",
        "packets_sent_per_second",
        "connections_per_second",
    ]
    .into_iter()
    .find_map(|name| rates.get(name).filter(|rate| *rate > 0.0).map(|rate| format::by_name(name, rate)))
}

/// Steps of a ramp, trials of a search.
pub(super) fn steps(result: &RunResult) -> String {
    let columns = ["", "#intended", "#reached", "#50 %", "#99 %", "#99.9 %", "#largest", "#lost", "verdict"];
    let mut table = Table::new("Steps, in the order in which they ran", &columns);
    for step in &result.steps {
        let latency = main_metrics(step.latency.keys()).first().and_then(|name| step.latency.get(*name));
        let ns = |value: fn(&HistogramSummary) -> u64| {
            Cell::number(latency.map_or_else(dash, |latency| format::nanoseconds(value(latency) as f64)))
        };
        let lost = match (step.totals.packets_lost, step.totals.packets_sent) {
            (Some(lost), Some(sent)) if sent > 0 => format::share(lost as f64 / sent as f64),
            _ => dash(),
        };
        let verdict = match &step.verdict {
            Some(verdict) if verdict.valid => Cell::text("valid").class("good"),
            Some(_) => Cell::text("not valid").class("bad"),
            None => Cell::text("–"),
        };
        let cells = [
            Cell::number(step.intended_per_second.map_or_else(dash, format::per_second)),
            Cell::number(leading_rate(&step.rates).unwrap_or_else(dash)),
            ns(|l| l.p50_ns),
            ns(|l| l.p99_ns),
            ns(|l| l.p99_9_ns),
            ns(|l| l.max_ns),
            Cell::number(lost),
            verdict,
        ];
        table.row(&step.name, &cells);
    }
    table.finish()
}

/// Parts of the load that are told apart: counts and rates, then each distribution that they have.
pub(super) fn classes(result: &RunResult) -> String {
    let mut counts = Table::new("Classes", &["", "#files", "#requests", "#goodput", "#errors"]);
    for class in &result.classes {
        let count = |value: Option<u64>| Cell::number(value.map_or_else(dash, format::count));
        let rates = &class.rates;
        let goodput = [rates.goodput_sent_bits_per_second, rates.goodput_received_bits_per_second];
        let goodput: f64 = goodput.into_iter().flatten().sum();
        let cells = [
            count(class.totals.files),
            count(class.totals.requests),
            Cell::number(if goodput > 0.0 { format::bits_per_second(goodput) } else { dash() }),
            Cell::number(format::count(class.totals.error_count())),
        ];
        counts.row(&class.name, &cells);
    }
    let mut latency = Table::new("Latency by class", &LATENCY_COLUMNS);
    for class in &result.classes {
        for name in in_order(&class.latency) {
            let head = format!("{}, {}", class.name, format::words(name));
            latency.row(&head, &distribution(&class.latency[name]));
        }
    }
    counts.finish() + &latency.finish()
}

/// Processor time, and what the workers did with theirs.
pub(super) fn cpu(result: &RunResult) -> String {
    let Some(cpu) = &result.cpu else { return String::new() };
    let mut table = Table::new("Processor time of this process", &[]);
    let times = [
        ("User space", cpu.user_seconds),
        ("Kernel, on its behalf", cpu.system_seconds),
        ("Together", cpu.total_seconds),
    ];
    for (name, seconds) in times {
        table.row(name, &[Cell::number(format::seconds(seconds))]);
    }
    if let Some(seconds) = cpu.seconds_per_gigabyte {
        table.row("For a gigabyte of payload", &[Cell::number(format::seconds(seconds))]);
    }
    let columns = ["", "#processor", "#busy", "#waiting", "#transmit ring full", "#receive ring full"];
    let mut workers = Table::new("Workers", &columns);
    for worker in &cpu.workers {
        let share = |ratio: Option<f64>| Cell::number(ratio.map_or_else(dash, format::share));
        let count = |value: Option<u64>| Cell::number(value.map_or_else(dash, format::count));
        let cells = [
            count(worker.core.map(u64::from)),
            share(worker.busy_ratio),
            share(worker.waiting_ratio),
            count(worker.transmit_ring_full),
            count(worker.receive_ring_full),
        ];
        workers.row(&format!("Worker {}", worker.worker), &cells);
    }
    table.finish() + &workers.finish()
}

/// How the generator kept its schedule.
pub(super) fn generator(result: &RunResult) -> String {
    let Some(generator) = &result.generator else { return String::new() };
    let mut table = Table::new("The generator against its schedule", &[]);
    let mut row = |head: &str, text: String| table.row(head, &[Cell::number(text)]);
    row("Schedule", generator.schedule.clone());
    row("Intended", format::per_second(generator.intended_per_second));
    row("Due", format::count(generator.intended));
    row("Begun", format::count(generator.started));
    row("Not begun", format::count(generator.not_started));
    row("Late, 50 %", format::nanoseconds(generator.lateness.p50_ns as f64));
    row("Late, 99 %", format::nanoseconds(generator.lateness.p99_ns as f64));
    row("Late at most", format::nanoseconds(generator.lateness.max_ns as f64));
    table.finish()
}

/// Whatever has names and values: conditions, settings.
pub(super) fn facts(caption: &str, facts: &BTreeMap<String, String>) -> String {
    let mut table = Table::new(caption, &[]);
    for (name, value) in facts {
        table.row(name, &[Cell::text(value)]);
    }
    table.finish()
}

/// A value of JSON as names and texts; those of objects within are joined by a space.
pub(super) fn flatten(value: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let Value::Object(fields) = value else { return flat };
    for (name, value) in fields {
        match value {
            Value::Object(_) => {
                for (inner, text) in flatten(value) {
                    flat.insert(format!("{} {inner}", format::words(name)), text);
                }
            }
            value => {
                let text = match value.as_f64() {
                    Some(number) if has_unit(name) => format::by_name(name, number),
                    _ => plain(value),
                };
                flat.insert(format::words(name), text);
            }
        }
    }
    flat
}

/// Names of figures of which another unit than the one in the name is easier to read.
fn has_unit(name: &str) -> bool {
    ["_ns", "_ratio", "_per_second"].iter().any(|end| name.ends_with(end))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "not given".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => format::count(whole),
            None => number.to_string(),
        },
        Value::Object(_) => value.to_string(),
    }
}

/// The single runs of a repetition.
pub(super) fn repeats(result: &RunResult) -> String {
    let columns = ["", "started", "#seconds", "#reached", "#50 %", "#99 %", "#99.9 %", "verdict"];
    let mut table = Table::new("Runs", &columns);
    for repeat in &result.repeats {
        let latency = main_metrics(repeat.latency.keys()).first().and_then(|name| repeat.latency.get(*name));
        let ns = |value: fn(&HistogramSummary) -> u64| {
            Cell::number(latency.map_or_else(dash, |latency| format::nanoseconds(value(latency) as f64)))
        };
        let mut alone = RunResult::new("", "");
        alone.state = repeat.state;
        alone.verdict = repeat.verdict.clone();
        let (word, class) = standing(&alone);
        let cells = [
            Cell::text(&format::utc(repeat.started_unix_seconds)),
            Cell::number(format::significant(repeat.duration_seconds, 4)),
            Cell::number(leading_rate(&repeat.rates).unwrap_or_else(dash)),
            ns(|l| l.p50_ns),
            ns(|l| l.p99_ns),
            ns(|l| l.p99_9_ns),
            Cell::text(word).class(class),
        ];
        table.row(&format!("Run {}", repeat.number), &cells);
    }
    table.finish()
}

/// Notes as a list.
pub(super) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    format!("<ul>\n{items}</ul>\n")
}

fn dash() -> String {
    "–".to_owned()
}
