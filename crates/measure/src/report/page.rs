//! The page of one result, section by section.

use super::chart::{colour, legend};
use super::curve::{self, Curve};
use super::figures;
use super::format;
use super::html::{document, escape, figure, section};
use super::series::{columns, main_metrics};
use super::{heat, ramp, spreads, tables, timeline, verdict};
use crate::histogram::NanoHistogram;
use crate::result::RunResult;

/// The page.
pub(super) fn page(result: &RunResult) -> String {
    let title = title(result);
    let mut body = format!(
        "<header>\n<h1>{}</h1>\n<p class=\"when\">{}</p>\n</header>\n<main>\n",
        escape(&title),
        escape(&when(result))
    );
    body += &verdict::banner(result);
    body += &figures::tiles(result);
    body += &section("latency", "Latency", &latency(result));
    body += &section("spread", "Repeated runs", &(spreads::table(result) + &tables::repeats(result)));
    body += &section("steps", "Steps", &(ramp::charts(result) + &tables::steps(result)));
    body += &section("classes", "Parts of the load", &tables::classes(result));
    body += &section("time", "Over time", &over_time(result));
    let errors = tables::causes("Errors, by cause", &result.totals.errors);
    body += &section("drops", "Drops and errors", &(drops(result) + &errors));
    body += &section("counts", "Counts", &tables::totals(&result.totals, result.duration_seconds));
    body += &section("generator", "Generator", &tables::generator(result));
    body += &section("cpu", "Processor", &tables::cpu(result));
    body += &section("conditions", "Conditions", &conditions(result));
    body += &section("notes", "Notes", &tables::notes(&result.notes));
    body += "</main>\n";
    document(&title, &body)
}

/// `bypath load rr, 198.18.0.2:7`.
pub(super) fn title(result: &RunResult) -> String {
    let mut title = format!("bypath {}", result.command);
    if let Some(pattern) = &result.pattern {
        title.push(' ');
        title.push_str(pattern);
    }
    if let Some(target) = &result.target {
        title.push_str(", ");
        title.push_str(target);
    }
    title
}

fn when(result: &RunResult) -> String {
    let mut text = format!(
        "{}, measured for {}",
        format::utc(result.started_unix_seconds),
        format::seconds(result.duration_seconds)
    );
    if result.warm_up_seconds > 0.0 {
        text.push_str(&format!(" after {} of warm-up", format::seconds(result.warm_up_seconds)));
    }
    text.push_str(&format!(", by bypath {}", result.version));
    text
}

fn latency(result: &RunResult) -> String {
    let decoded: Vec<(String, NanoHistogram)> = tables::in_order(&result.latency)
        .into_iter()
        .filter_map(|name| {
            let histogram = NanoHistogram::decode(result.latency[name].hdr.as_deref()?).ok()?;
            Some((format::words(name), histogram))
        })
        .collect();
    let curves: Vec<Curve<'_>> = decoded
        .iter()
        .enumerate()
        .map(|(i, (name, histogram))| Curve { name: name.clone(), class: colour(i), histogram })
        .collect();
    let picture = curve::picture("percentiles", "Percentiles of latency", &curves);
    let mut text = String::new();
    if !picture.is_empty() {
        let names = curves.iter().map(|curve| (curve.class.clone(), curve.name.as_str()));
        text += &figure("Percentiles of latency", &(legend(names) + &picture));
    }
    text + &tables::latency("Distributions", &result.latency)
}

fn over_time(result: &RunResult) -> String {
    let columns = columns(result);
    if columns.is_empty() {
        return String::new();
    }
    let mut text = timeline::throughput(&columns);
    let mut names: Vec<&String> = columns.iter().flat_map(|column| column.latency.keys()).collect();
    names.sort();
    names.dedup();
    for metric in main_metrics(names.iter().copied()) {
        text += &timeline::latency(&columns, metric);
        text += &heat::map(&columns, metric);
    }
    text + &timeline::losses(&columns)
}

fn drops(result: &RunResult) -> String {
    if result.drops.is_empty() {
        return "<p>No drops were counted.</p>\n".to_owned();
    }
    tables::causes("Packets not used, by cause", &result.drops)
}

fn conditions(result: &RunResult) -> String {
    let conditions = serde_json::to_value(&result.conditions).unwrap_or_default();
    let settings = serde_json::to_value(&result.settings).unwrap_or_default();
    let text = tables::facts("What it ran on", &tables::flatten(&conditions))
        + &tables::facts("Options", &tables::flatten(&settings));
    if text.is_empty() { text } else { format!("<div class=\"beside\">{text}</div>\n") }
}
