//! Runs side by side: which figures differ, whether by more than the runs scatter, and under which conditions they were
//! measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::spreads::heading;
use super::verdict::standing;
use super::{format, tables};
use crate::result::RunResult;

/// A result and what the user calls it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Usually the name of its file.
    pub name: String,
    /// The result.
    pub result: RunResult,
}

/// Several results compared with the first of them.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Always `bypath.comparison/1` in this version.
    pub schema: &'static str,
    /// The runs, in the order given.
    pub runs: Vec<RunFacts>,
    /// Conditions and options in which the runs differ: the name, and what each run has.
    pub differences: BTreeMap<String, Vec<Option<String>>>,
    /// The figures that at least one run has.
    pub metrics: Vec<Metric>,
}

/// What a run is.
#[derive(Clone, Debug, Serialize)]
pub struct RunFacts {
    /// What the user calls it.
    pub name: String,
    /// Command, pattern and target.
    pub title: String,
    /// When it began, seconds since 1970-01-01 UTC.
    pub started_unix_seconds: f64,
    /// `valid`, `not valid`, `not judged`, `cut short` or `failed`.
    pub standing: &'static str,
}

/// One figure of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    /// Where it is in a result: `rates.requests_per_second`, `latency.packet.p99_ns`.
    pub path: String,
    /// Whether less of it is better.
    pub lower_is_better: bool,
    /// For each run its value, if it has one.
    pub values: Vec<Option<Measured>>,
}

/// A figure of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The value; of repeated runs the median.
    pub value: f64,
    /// The smallest and the largest of repeated runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// The 95 % confidence interval of repeated runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<(f64, f64)>,
    /// Its difference from the first run's, as a share of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_ratio: Option<f64>,
    /// Whether that is more than the runs scatter.
    pub significance: Significance,
}

/// Whether a difference is more than chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Significance {
    /// The confidence intervals do not meet.
    Clear,
    /// The confidence intervals overlap: the difference may be chance.
    WithinSpread,
    /// At least one of the two was not repeated, so nobody knows.
    Unknown,
}

/// Facts that are never the same and mean no other conditions.
const VOLATILE: [&str; 12] = [
    "clock resolution ns",
    "clock read cost ns",
    "clock backward steps",
    "clock drift ppm",
    "clock largest jump ns",
    "machine load",
    "json",
    "csv",
    "hgrm",
    "hlog",
    "html",
    "prometheus",
];

impl Comparison {
    /// Compares the runs with the first.
    pub fn of(runs: &[Named]) -> Comparison {
        let facts = runs.iter().map(|run| RunFacts {
            name: run.name.clone(),
            title: super::page::title(&run.result),
            started_unix_seconds: run.result.started_unix_seconds,
            standing: standing(&run.result).0,
        });
        Comparison {
            schema: "bypath.comparison/1",
            runs: facts.collect(),
            differences: differences(runs),
            metrics: metrics(runs),
        }
    }

    /// A table for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (run, letter) in self.runs.iter().zip('A'..) {
            let started = format::utc(run.started_unix_seconds);
            let _ = writeln!(text, "{letter}  {}: {}, {started}, {}", run.name, run.title, run.standing);
        }
        text.push('\n');
        if self.differences.is_empty() {
            text.push_str("The conditions and options are the same.\n\n");
        } else {
            text.push_str("The runs differ in more than their results:\n");
            let mut rows = vec![self.head("")];
            for (name, values) in &self.differences {
                let cells = values.iter().map(|value| value.clone().unwrap_or_else(|| "–".to_owned()));
                rows.push(std::iter::once(format!("  {name}")).chain(cells).collect());
            }
            text.push_str(&aligned(&rows));
            text.push('\n');
        }
        let mut rows = vec![self.head("Results")];
        for metric in &self.metrics {
            let cells = metric.values.iter().map(|value| match value {
                Some(measured) => metric.tell(measured),
                None => "–".to_owned(),
            });
            rows.push(std::iter::once(heading(&metric.path)).chain(cells).collect());
        }
        text.push_str(&aligned(&rows));
        text.push_str("\nPer cent: change against A. ");
        text.push_str(
            "* more than the runs scatter, ~ within their 95 % confidence intervals, no sign: not repeated, unknown.\n",
        );
        text
    }

    fn head(&self, first: &str) -> Vec<String> {
        let letters = self.runs.iter().zip('A'..).map(|(_, letter)| letter.to_string());
        std::iter::once(first.to_owned()).chain(letters).collect()
    }
}

impl Metric {
    /// Whether a change of this sign is for the better.
    pub fn is_better(&self, change_ratio: f64) -> bool {
        (change_ratio < 0.0) == self.lower_is_better
    }

    fn tell(&self, measured: &Measured) -> String {
        let mut text = format::by_name(&self.path, measured.value);
        if let Some(change) = measured.change_ratio {
            let mark = match measured.significance {
                Significance::Clear => " *",
                Significance::WithinSpread => " ~",
                Significance::Unknown => "",
            };
            let _ = write!(text, " ({}{mark})", format::change(change));
        }
        text
    }
}

/// Columns as wide as they must be, the first to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width.saturating_sub(cell.chars().count()));
            match i {
                0 => line += &format!("{cell}{room}"),
                _ => line += &format!("  {room}{cell}"),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn differences(runs: &[Named]) -> BTreeMap<String, Vec<Option<String>>> {
    let facts: Vec<BTreeMap<String, String>> = runs.iter().map(|run| facts(&run.result)).collect();
    let names: BTreeSet<&String> = facts.iter().flat_map(BTreeMap::keys).collect();
    names
        .into_iter()
        .filter(|name| !VOLATILE.iter().any(|volatile| name.starts_with(volatile)))
        .map(|name| (name.clone(), facts.iter().map(|facts| facts.get(name).cloned()).collect::<Vec<_>>()))
        .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect()
}

fn facts(result: &RunResult) -> BTreeMap<String, String> {
    let conditions = serde_json::to_value(&result.conditions).unwrap_or_default();
    let mut facts = tables::flatten(&conditions);
    let settings = serde_json::to_value(&result.settings).unwrap_or_default();
    facts.extend(tables::flatten(&settings).into_iter().map(|(name, value)| (format!("--{name}"), value)));
    for volatile in VOLATILE {
        facts.remove(&format!("--{volatile}"));
    }
    facts.insert("bypath".to_owned(), result.version.clone());
    facts.insert("command".to_owned(), result.command.clone());
    facts.extend(result.pattern.iter().map(|pattern| ("pattern".to_owned(), pattern.clone())));
    facts.extend(result.target.iter().map(|target| ("target".to_owned(), target.clone())));
    facts
}

/// The figures worth comparing, in the order in which they are told.
fn metrics(runs: &[Named]) -> Vec<Metric> {
    let mut paths: Vec<String> = Vec::new();
    let mut add = |path: String| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    for name in crate::result::Rates::NAMES {
        // What follows from those sent and received alone.
        if *name != "packets_per_second" && runs.iter().any(|run| run.result.rates.get(name) > Some(0.0)) {
            add(format!("rates.{name}"));
        }
    }
    for run in runs {
        for name in tables::in_order(&run.result.latency) {
            for quantile in ["p50_ns", "p99_ns", "p99_9_ns", "max_ns"] {
                add(format!("latency.{name}.{quantile}"));
            }
        }
    }
    add("cpu.seconds_per_gigabyte".to_owned());
    add("totals.packets_lost".to_owned());
    add("totals.requests_failed".to_owned());
    paths
        .into_iter()
        .map(|path| metric(runs, path))
        .filter(|m| m.values.iter().any(Option::is_some))
        .collect()
}

fn metric(runs: &[Named], path: String) -> Metric {
    let mut values: Vec<Option<Measured>> = runs.iter().map(|run| measured(&run.result, &path)).collect();
    if let Some(Some(first)) = values.first().cloned() {
        for other in values.iter_mut().skip(1).flatten() {
            if first.value != 0.0 {
                other.change_ratio = Some((other.value - first.value) / first.value);
            }
            other.significance = match (first.ci95, other.ci95) {
                (Some(a), Some(b)) if a.1 < b.0 || b.1 < a.0 => Significance::Clear,
                (Some(_), Some(_)) => Significance::WithinSpread,
                _ => Significance::Unknown,
            };
        }
    }
    let lower = ["latency.", "cpu.", "totals."].iter().any(|begin| path.starts_with(begin));
    Metric { lower_is_better: lower || path.ends_with("retransmitted_ratio"), path, values }
}

fn measured(result: &RunResult, path: &str) -> Option<Measured> {
    let alone = |value: f64| Measured {
        value,
        range: None,
        ci95: None,
        change_ratio: None,
        significance: Significance::Unknown,
    };
    if let Some(spread) = result.spread.get(path).filter(|spread| spread.median.is_finite()) {
        return Some(Measured {
            range: Some((spread.min, spread.max)),
            ci95: spread.ci95_low.zip(spread.ci95_high),
            ..alone(spread.median)
        });
    }
    let document = match path.split_once('.')? {
        ("rates", name) => return result.rates.get(name).map(alone),
        ("totals", name) => return result.totals.get(name).map(|count| alone(count as f64)),
        ("cpu", name) => serde_json::to_value(result.cpu.as_ref()?).ok()?.get(name).cloned(),
        ("latency", rest) => {
            let (name, quantile) = rest.split_once('.')?;
            let summary = result.latency.get(name).filter(|summary| summary.count > 0)?;
            serde_json::to_value(summary).ok()?.get(quantile).cloned()
        }
        _ => None,
    };
    document.as_ref().and_then(Value::as_f64).map(alone)
}
