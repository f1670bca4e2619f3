//! Throughput and latency over the time of the run.

use super::chart::{About, Chart, NAMES, colour, legend};
use super::format::{nanoseconds, words};
use super::html::figure;
use super::scale::{Axis, Unit};
use super::series::{Column, ColumnLatency};
use crate::result::Rates;

const HEIGHT: f64 = 260.0;

/// Rates that are drawn into one picture, having one unit.
struct Panel {
    id: &'static str,
    title: &'static str,
    unit: Unit,
    lines: &'static [(&'static str, &'static str)],
}

const PANELS: [Panel; 6] = [
    Panel {
        id: "goodput",
        title: "Goodput",
        unit: Unit::BitsPerSecond,
        lines: &[("goodput_sent_bits_per_second", "sent"), ("goodput_received_bits_per_second", "received")],
    },
    Panel {
        id: "wire",
        title: "On the wire",
        unit: Unit::BitsPerSecond,
        lines: &[("wire_sent_bits_per_second", "sent"), ("wire_received_bits_per_second", "received")],
    },
    Panel {
        id: "requests",
        title: "Requests",
        unit: Unit::PerSecond,
        lines: &[("requests_per_second", "requests")],
    },
    Panel {
        id: "connections",
        title: "Connections opened",
        unit: Unit::PerSecond,
        lines: &[("connections_per_second", "connections")],
    },
    Panel { id: "files", title: "Files", unit: Unit::PerSecond, lines: &[("files_per_second", "files")] },
    Panel {
        id: "packets",
        title: "Packets",
        unit: Unit::PerSecond,
        lines: &[("packets_sent_per_second", "sent"), ("packets_received_per_second", "received")],
    },
];

/// The time axis for these columns.
pub(super) fn time_axis(columns: &[Column]) -> Axis {
    let from = columns.iter().map(|column| column.start).fold(f64::INFINITY, f64::min);
    let to = columns.iter().map(|column| column.end).fold(f64::NEG_INFINITY, f64::max);
    if from < to { Axis::exact(Unit::Seconds, from, to) } else { Axis::exact(Unit::Seconds, 0.0, 1.0) }
}

/// A picture for each kind of rate that was measured and is not zero throughout.
pub(super) fn throughput(columns: &[Column]) -> String {
    PANELS.iter().map(|panel| throughput_panel(columns, panel)).collect()
}

fn throughput_panel(columns: &[Column], panel: &Panel) -> String {
    let measured: Vec<(&str, &str)> = panel
        .lines
        .iter()
        .filter(|(rate, _)| columns.iter().any(|column| rate_of(&column.rates, rate) > Some(0.0)))
        .copied()
        .collect();
    let values = |rate: &str| -> Vec<(f64, Option<f64>)> {
        columns.iter().map(|column| (column.middle(), rate_of(&column.rates, rate))).collect()
    };
    let highest =
        measured.iter().flat_map(|(rate, _)| values(rate)).filter_map(|(_, v)| v).fold(0.0, f64::max);
    if measured.is_empty() {
        return String::new();
    }
    let about = About {
        id: &format!("time-{}", panel.id),
        title: &format!("{} over time", panel.title),
        summary: &format!("At most {}.", Axis::linear(panel.unit, 0.0, highest).tell(highest)),
        height: HEIGHT,
        right: NAMES,
        x_name: "seconds since the start of the measurement",
        y_name: panel.title,
    };
    let mut chart = Chart::new(&about, time_axis(columns), Axis::linear(panel.unit, 0.0, highest));
    warm_up(&mut chart, columns);
    chart.columns(&columns.iter().map(|column| (column.middle(), column.name())).collect::<Vec<_>>());
    for (i, (rate, name)) in measured.iter().enumerate() {
        draw(&mut chart, columns, &colour(i), name, &values(rate), measured.len() == 1);
    }
    let names = measured.iter().enumerate().map(|(i, (_, name))| (colour(i), *name));
    let legend = if measured.len() > 1 { legend(names) } else { String::new() };
    figure(&format!("{} over time", panel.title), &(legend + &chart.finish()))
}

/// What was lost, sent again or dropped, interval by interval; nothing if nothing was.
pub(super) fn losses(columns: &[Column]) -> String {
    type Count = fn(&Column) -> Option<u64>;
    let all: [(&str, Count); 4] = [
        ("retransmitted", |column| column.totals.segments_retransmitted),
        ("reordered", |column| column.totals.segments_reordered.or(column.totals.packets_reordered)),
        ("lost", |column| column.totals.packets_lost),
        ("dropped", |column| Some(column.drops)),
    ];
    let per_second = |column: &Column, count: Count| {
        count(column).map(|count| count as f64 / (column.end - column.start).max(f64::MIN_POSITIVE))
    };
    let seen: Vec<(&str, Count)> =
        all.into_iter().filter(|(_, count)| columns.iter().any(|column| count(column) > Some(0))).collect();
    let highest = seen
        .iter()
        .flat_map(|(_, count)| columns.iter().filter_map(|c| per_second(c, *count)))
        .fold(0.0, f64::max);
    if seen.is_empty() {
        return String::new();
    }
    let about = About {
        id: "time-losses",
        title: "Retransmissions and drops over time",
        summary: &format!("At most {} packets a second.", super::format::number(highest)),
        height: HEIGHT,
        right: NAMES,
        x_name: "seconds since the start of the measurement",
        y_name: "packets",
    };
    let mut chart = Chart::new(&about, time_axis(columns), Axis::linear(Unit::PerSecond, 0.0, highest));
    warm_up(&mut chart, columns);
    chart.columns(&columns.iter().map(|column| (column.middle(), column.name())).collect::<Vec<_>>());
    for (i, (name, count)) in seen.iter().enumerate() {
        let points: Vec<(f64, Option<f64>)> =
            columns.iter().map(|column| (column.middle(), per_second(column, *count))).collect();
        draw(&mut chart, columns, &colour(i), name, &points, seen.len() == 1);
    }
    let legend = legend(seen.iter().enumerate().map(|(i, (name, _))| (colour(i), *name)));
    figure("Retransmissions and drops over time", &(legend + &chart.finish()))
}

fn rate_of(rates: &Rates, name: &str) -> Option<f64> {
    rates.get(name).filter(|rate| rate.is_finite())
}

/// What of a distribution is drawn over time: its name, its colour, its value.
type Quantile = (&'static str, usize, fn(&ColumnLatency) -> f64);

const QUANTILES: [Quantile; 3] = [("50 %", 0, |l| l.p50), ("99 %", 1, |l| l.p99), ("largest", 5, |l| l.max)];

/// Percentiles of one distribution over time.
pub(super) fn latency(columns: &[Column], metric: &str) -> String {
    let of = |column: &Column| column.latency.get(metric).filter(|latency| latency.count > 0).cloned();
    let known: Vec<ColumnLatency> = columns.iter().filter_map(of).collect();
    if known.is_empty() {
        return String::new();
    }
    let lowest = known.iter().map(|latency| latency.p50).fold(f64::INFINITY, f64::min);
    let highest = known.iter().map(|latency| latency.max).fold(0.0, f64::max);
    let y = Axis::fitting(Unit::Nanoseconds, lowest, highest);
    let name = words(metric);
    let about = About {
        id: &format!("time-{metric}"),
        title: &format!("Latency over time: {name}"),
        summary: &format!("Medians from {}, largest value {}.", nanoseconds(lowest), nanoseconds(highest)),
        height: HEIGHT,
        right: NAMES,
        x_name: "seconds since the start of the measurement",
        y_name: &if y.is_log() { format!("{name} latency, logarithmic") } else { format!("{name} latency") },
    };
    let mut chart = Chart::new(&about, time_axis(columns), y);
    warm_up(&mut chart, columns);
    chart.columns(&columns.iter().map(|column| (column.middle(), column.name())).collect::<Vec<_>>());
    for (quantile, number, value) in QUANTILES {
        let points: Vec<(f64, Option<f64>)> = columns
            .iter()
            .map(|column| (column.middle(), of(column).map(|latency| value(&latency))))
            .collect();
        draw(&mut chart, columns, &colour(number), quantile, &points, false);
    }
    let legend = legend(QUANTILES.iter().map(|(quantile, number, _)| (colour(*number), *quantile)));
    figure(&format!("Latency over time: {name}"), &(legend + &chart.finish()))
}

fn draw(
    chart: &mut Chart,
    columns: &[Column],
    class: &str,
    name: &str,
    points: &[(f64, Option<f64>)],
    is_alone: bool,
) {
    let says: Vec<String> = points
        .iter()
        .zip(columns)
        .map(|((_, value), column)| {
            format!("{name}, {}: {}", column.name(), chart.y.tell(value.unwrap_or(0.0)))
        })
        .collect();
    if is_alone {
        chart.fill_below(class, points);
    }
    chart.line(class, points);
    chart.dots(class, points, &says);
    chart.tell(class, name, &points.iter().map(|(_, value)| *value).collect::<Vec<_>>());
    if let Some(last) = points.iter().rev().find_map(|(_, value)| *value) {
        chart.name(class, last, name);
    }
}

/// Shades what came before the measurement.
pub(super) fn warm_up(chart: &mut Chart, columns: &[Column]) {
    let is_before = |column: &&Column| column.end <= 1e-9;
    if columns.iter().any(|column| is_before(&column)) {
        let [left, top, _, bottom] = chart.area;
        let end = chart.x.place(0.0);
        chart.svg.rect("warm-up", (left, top), (end - left, bottom - top));
        chart.svg.text("note", (left + 6.0, top + 14.0), super::svg::Anchor::Start, "warm-up");
    }
}
