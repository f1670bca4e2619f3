//! How far repeated runs lie apart: a table with a strip for each figure.

use super::format;
use super::html::{Cell, Table, identifier};
use super::svg::{Path, Svg};
use crate::result::{RunResult, Spread};

const WIDTH: f64 = 220.0;
const HEIGHT: f64 = 20.0;

/// The table; nothing if the run was not repeated.
pub(super) fn table(result: &RunResult) -> String {
    let columns = ["", "#median", "#smallest", "#largest", "#95 % confidence", "", ""];
    let mut table =
        Table::new("Over the runs: the bar is the confidence interval, the tick the median", &columns);
    for (name, spread) in &result.spread {
        let tell = |value: f64| format::by_name(name, value);
        let interval = match (spread.ci95_low, spread.ci95_high) {
            (Some(low), Some(high)) => format!("{} to {}", tell(low), tell(high)),
            _ => "–".to_owned(),
        };
        let width = if spread.too_wide { Cell::text("too wide").class("bad") } else { Cell::text("") };
        let cells = [
            Cell::number(tell(spread.median)),
            Cell::number(tell(spread.min)),
            Cell::number(tell(spread.max)),
            Cell::number(interval),
            Cell::html(strip(name, spread)).class("strip"),
            width,
        ];
        table.row(&heading(name), &cells);
    }
    table.finish()
}

/// `rates.requests_per_second` as `Requests per second`, `latency.packet.p99_ns` as `Packet latency, 99 %`.
pub(super) fn heading(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["latency", metric, quantile] => {
            let quantile = match *quantile {
                "p50_ns" => "50 %",
                "p75_ns" => "75 %",
                "p90_ns" => "90 %",
                "p99_ns" => "99 %",
                "p99_9_ns" => "99.9 %",
                "p99_99_ns" => "99.99 %",
                "min_ns" => "smallest",
                "mean_ns" => "mean",
                "stdev_ns" => "standard deviation",
                "max_ns" => "largest",
                other => other,
            };
            format!("{} latency, {quantile}", format::title(metric))
        }
        [_, name] => {
            let name = name.strip_suffix("_bits_per_second").unwrap_or(name);
            let name = name.strip_suffix("_ratio").unwrap_or(name);
            format::title(name)
        }
        _ => format::title(path),
    }
}

fn strip(name: &str, spread: &Spread) -> String {
    let low = spread.ci95_low.unwrap_or(spread.min).min(spread.min);
    let high = spread.ci95_high.unwrap_or(spread.max).max(spread.max);
    if !(low.is_finite() && high.is_finite()) {
        return String::new();
    }
    // From zero, so that a strip that looks wide is wide.
    let from = low.min(0.0);
    let place = |value: f64| {
        if high > from { 4.0 + (value - from) / (high - from) * (WIDTH - 8.0) } else { WIDTH / 2.0 }
    };
    let id = format!("spread-{}", identifier(name));
    let title = format!("{}: the runs from zero to the largest", heading(name));
    let mut svg = Svg::new(&id, WIDTH, HEIGHT, &title, "");
    let middle = HEIGHT / 2.0;
    svg.line("axis", (4.0, middle), (WIDTH - 4.0, middle));
    if let (Some(low), Some(high)) = (spread.ci95_low, spread.ci95_high) {
        svg.rect(
            "interval",
            (place(low.max(from)), middle - 5.0),
            ((place(high) - place(low.max(from))).max(1.0), 10.0),
        );
    }
    let mut ends = Path::default();
    for value in [spread.min, spread.max] {
        ends.move_to(place(value), middle - 4.0);
        ends.line_to(place(value), middle + 4.0);
    }
    svg.path("line ends", &ends);
    let at = place(spread.median);
    svg.line("median-tick", (at, 2.0), (at, HEIGHT - 2.0));
    svg.finish()
}
