//! The handful of figures that a reader looks for first.

use super::format;
use super::html::escape;
use super::series::main_metrics;
use crate::result::RunResult;

/// At most that many, so that they fit two rows.
const MOST: usize = 8;

/// Figures in large print.
pub(super) fn tiles(result: &RunResult) -> String {
    let mut tiles: Vec<(String, String)> = Vec::new();
    let rates = [
        ("goodput_sent_bits_per_second", "goodput sent"),
        ("goodput_received_bits_per_second", "goodput received"),
        ("requests_per_second", "requests"),
        ("files_per_second", "files"),
        ("connections_per_second", "connections opened"),
        ("packets_sent_per_second", "packets sent"),
        ("packets_received_per_second", "packets received"),
    ];
    let has_goodput = rates[..2].iter().any(|(name, _)| result.rates.get(name) > Some(0.0));
    for (name, label) in rates {
        if name.starts_with("packets") && has_goodput {
            continue;
        }
        if let Some(rate) = result.rates.get(name).filter(|rate| *rate > 0.0) {
            tiles.push((format::by_name(name, rate), label.to_owned()));
        }
    }
    tiles.truncate(3);
    for metric in main_metrics(result.latency.keys()) {
        let Some(latency) = result.latency.get(metric).filter(|latency| latency.count > 0) else { continue };
        let name = format::words(metric);
        for (quantile, ns) in
            [("50 %", latency.p50_ns), ("99 %", latency.p99_ns), ("99.9 %", latency.p99_9_ns)]
        {
            tiles.push((format::nanoseconds(ns as f64), format!("{name} latency, {quantile}")));
        }
    }
    tiles.truncate(MOST - 2);
    if let Some(ratio) = result.rates.retransmitted_ratio {
        tiles.push((format::share(ratio), "segments retransmitted".to_owned()));
    } else if let (Some(lost), Some(sent)) = (result.totals.packets_lost, result.totals.packets_sent)
        && sent > 0
    {
        tiles.push((format::share(lost as f64 / sent as f64), "packets lost".to_owned()));
    }
    if let Some(seconds) = result.cpu.as_ref().and_then(|cpu| cpu.seconds_per_gigabyte) {
        tiles.push((
            format!("{} s", format::significant(seconds, 3)),
            "processor time for a gigabyte".to_owned(),
        ));
    }
    tiles.truncate(MOST);
    if tiles.is_empty() {
        return String::new();
    }
    let items: String = tiles
        .iter()
        .map(|(value, label)| format!("<div><dd>{}</dd><dt>{}</dt></div>\n", escape(value), escape(label)))
        .collect();
    format!("<dl class=\"tiles\">\n{items}</dl>\n")
}
