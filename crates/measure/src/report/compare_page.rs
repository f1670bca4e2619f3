//! The page of several results: what they are, in what they differ, their figures beside each other, their curves on
//! the same axes.

use super::chart::{colour, legend};
use super::compare::{Comparison, Measured, Metric, Named, Significance};
use super::curve::{self, Curve};
use super::html::{Cell, Table, document, escape, figure, identifier, section};
use super::spreads::heading;
use super::verdict::standing;
use super::{format, tables};
use crate::histogram::NanoHistogram;
use crate::result::metric;

/// The page.
pub(super) fn page(runs: &[Named]) -> String {
    let comparison = Comparison::of(runs);
    let title = format!("bypath: {} runs compared", runs.len());
    let mut body = format!(
        "<header>\n<h1>{}</h1>\n<p class=\"when\">Changes are against run A.</p>\n</header>\n<main>\n",
        escape(&title)
    );
    body += &warning(runs, &comparison);
    body += &section("runs", "Runs", &list(runs));
    body += &section("figures", "Figures", &figures(&comparison));
    body += &section("latency", "Latency", &latency(runs));
    body += &section("differences", "What else differs", &differences(&comparison));
    body += "</main>\n";
    document(&title, &body)
}

/// What a reader must know before comparing.
fn warning(runs: &[Named], comparison: &Comparison) -> String {
    let mut items = Vec::new();
    for (run, letter) in runs.iter().zip('A'..) {
        let (word, class) = standing(&run.result);
        if class != "good" {
            items.push(format!("Run {letter} is {word}."));
        }
    }
    if !comparison.differences.is_empty() {
        let names: Vec<&str> = comparison.differences.keys().map(String::as_str).collect();
        items.push(format!("The runs were made under different conditions: {}.", names.join(", ")));
    }
    if comparison.runs.len() > 1 && runs.iter().any(|run| run.result.spread.is_empty()) {
        items.push("Not every run was repeated, so that some differences may be chance.".to_owned());
    }
    let (class, sign, headline) = match items.is_empty() {
        true => ("good", "✓", "Valid runs under the same conditions."),
        false => ("doubt", "!", "Before you compare:"),
    };
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escape(item))).collect();
    let list = if items.is_empty() { String::new() } else { format!("<ul>\n{items}</ul>\n") };
    format!(
        "<section id=\"verdict\" class=\"verdict {class}\" aria-label=\"Verdict\">\n<span class=\"sign\" \
         aria-hidden=\"true\">{sign}</span>\n<div><p class=\"headline\">{headline}</p>\n{list}</div>\n</section>\n"
    )
}

fn list(runs: &[Named]) -> String {
    let mut table = Table::new("The runs", &["", "name", "what", "started", "#seconds", "#runs", "verdict"]);
    for (i, (run, letter)) in runs.iter().zip('A'..).enumerate() {
        let result = &run.result;
        let (word, class) = standing(result);
        let name = format!("<i class=\"swatch {}\"></i>{}", colour(i), escape(&run.name));
        let cells = [
            Cell::html(name),
            Cell::text(&super::page::title(result)),
            Cell::text(&format::utc(result.started_unix_seconds)),
            Cell::number(format::significant(result.duration_seconds, 4)),
            Cell::number(format::count(result.repeats.len().max(1) as u64)),
            Cell::text(word).class(class),
        ];
        table.row(&letter.to_string(), &cells);
    }
    table.finish()
}

fn figures(comparison: &Comparison) -> String {
    let letters: Vec<String> = comparison.runs.iter().zip('A'..).map(|(_, l)| format!("#{l}")).collect();
    let columns: Vec<&str> = std::iter::once("").chain(letters.iter().map(String::as_str)).collect();
    let mut table =
        Table::new("Medians where runs were repeated, and their 95 % confidence intervals", &columns);
    for metric in &comparison.metrics {
        let cells: Vec<Cell> = metric
            .values
            .iter()
            .map(|value| match value {
                Some(measured) => Cell::html(cell(metric, measured)).class("n"),
                None => Cell::number("–"),
            })
            .collect();
        table.row(&heading(&metric.path), &cells);
    }
    table.finish()
        + "<p class=\"key\"><b class=\"good\">better</b> and <b class=\"bad\">worse</b> by more than the runs scatter; \
           <b class=\"same\">≈</b> within their confidence intervals; without a sign where a run was not repeated.</p>\n"
}

fn cell(metric: &Metric, measured: &Measured) -> String {
    let tell = |value: f64| format::by_name(&metric.path, value);
    let mut html = escape(&tell(measured.value)).into_owned();
    if let Some(change) = measured.change_ratio {
        let (class, sign) = match measured.significance {
            Significance::Clear if metric.is_better(change) => ("good", ""),
            Significance::Clear => ("bad", ""),
            Significance::WithinSpread => ("same", "≈ "),
            Significance::Unknown => ("unknown", ""),
        };
        html += &format!(" <b class=\"{class}\">{sign}{}</b>", escape(&format::change(change)));
    }
    if let Some((low, high)) = measured.ci95 {
        html += &format!("<br><small>{} to {}</small>", escape(&tell(low)), escape(&tell(high)));
    }
    html
}

/// A picture for each distribution that at least one run has with its histogram.
fn latency(runs: &[Named]) -> String {
    let mut names: Vec<&String> = runs.iter().flat_map(|run| tables::in_order(&run.result.latency)).collect();
    names.sort_by_key(|name| (metric::order(name), name.as_str()));
    names.dedup();
    names.into_iter().map(|name| overlay(runs, name)).collect()
}

fn overlay(runs: &[Named], name: &str) -> String {
    let decode = |run: &Named| NanoHistogram::decode(run.result.latency.get(name)?.hdr.as_deref()?).ok();
    let decoded: Vec<(usize, NanoHistogram)> =
        runs.iter().enumerate().filter_map(|(i, run)| Some((i, decode(run)?))).collect();
    let letter = |i: usize| ('A'..).nth(i).unwrap_or('?');
    let curves: Vec<Curve<'_>> = decoded
        .iter()
        .map(|(i, histogram)| Curve { name: letter(*i).to_string(), class: colour(*i), histogram })
        .collect();
    let title = format!("Percentiles of latency: {}", format::words(name));
    let picture = curve::picture(&format!("percentiles-{}", identifier(name)), &title, &curves);
    if picture.is_empty() {
        return String::new();
    }
    let names: Vec<(String, String)> =
        decoded.iter().map(|(i, _)| (colour(*i), format!("{}  {}", letter(*i), runs[*i].name))).collect();
    figure(&title, &(legend(names.iter().map(|(class, name)| (class.clone(), name.as_str()))) + &picture))
}

fn differences(comparison: &Comparison) -> String {
    let letters: Vec<String> = comparison.runs.iter().zip('A'..).map(|(_, l)| l.to_string()).collect();
    let columns: Vec<&str> = std::iter::once("").chain(letters.iter().map(String::as_str)).collect();
    let mut table = Table::new("Conditions and options that are not the same", &columns);
    for (name, values) in &comparison.differences {
        let cells: Vec<Cell> =
            values.iter().map(|value| Cell::text(value.as_deref().unwrap_or("–"))).collect();
        table.row(name, &cells);
    }
    table.finish()
}
