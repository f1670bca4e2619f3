//! Heat maps: how many values fell into each step of latency, interval by interval.

use super::chart::{About, Chart, NAMES};
use super::format::{count, nanoseconds, words};
use super::hover::HoverCells;
use super::html::{escape, figure};
use super::scale::{Axis, Unit};
use super::series::Column;
use super::svg::Path;
use super::timeline::{time_axis, warm_up};
use crate::histogram::NanoHistogram;

const HEIGHT: f64 = 380.0;
/// Steps of latency.
const ROWS: usize = 56;
/// Colours from few to many, the classes h1 to h10.
const LEVELS: usize = 10;

/// The map of one distribution; nothing if its intervals have no histograms.
pub(super) fn map(columns: &[Column], metric: &str) -> String {
    let histogram = |column: &'_ Column| -> Option<NanoHistogram> {
        column.latency.get(metric)?.histogram.clone().filter(|histogram| !histogram.is_empty())
    };
    let histograms: Vec<Option<NanoHistogram>> = columns.iter().map(histogram).collect();
    let known = || histograms.iter().flatten();
    let (Some(lowest), Some(highest)) =
        (known().map(NanoHistogram::min).min(), known().map(NanoHistogram::max).max())
    else {
        return String::new();
    };
    // Half a bucket of room, so that a distribution of one value is seen.
    let y = Axis::log(Unit::Nanoseconds, (lowest as f64 * 0.97).max(1.0), highest as f64 * 1.03);
    let name = words(metric);
    let about = About {
        id: &format!("heat-{metric}"),
        title: &format!("Heat map of latency: {name}"),
        summary: &format!("From {} to {}.", nanoseconds(lowest as f64), nanoseconds(highest as f64)),
        height: HEIGHT,
        right: NAMES,
        x_name: "seconds since the start of the measurement",
        y_name: &format!("{name} latency, logarithmic"),
    };
    let mut chart = Chart::new(&about, time_axis(columns), y);
    let grid: Vec<Vec<u64>> = histograms
        .iter()
        .map(|histogram| histogram.as_ref().map_or_else(Vec::new, |histogram| rows(&chart, histogram)))
        .collect();
    let most = grid.iter().flatten().copied().max().unwrap_or(1);
    draw(&mut chart, columns, &grid, most);
    warm_up(&mut chart, columns);
    overlay(&mut chart, columns, metric);

    let tops: Vec<f64> = (0..ROWS).map(|row| row_bottom(&chart, row + 1)).collect();
    let names = (0..ROWS).map(|row| {
        let at = |row| nanoseconds(chart.y.value(row_bottom(&chart, row)));
        format!("{} to {}", at(row), at(row + 1))
    });
    let names = names.collect();
    let counts =
        grid.iter().map(|rows| rows.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect()).collect();
    chart.hover.cells = Some(HoverCells { tops, names, counts });
    figure(&format!("Heat map of latency: {name}"), &(scale_of(most, columns) + &chart.finish()))
}

/// How many values lie in each row.
fn rows(chart: &Chart, histogram: &NanoHistogram) -> Vec<u64> {
    let mut rows = vec![0; ROWS];
    for (lowest, highest, count) in histogram.buckets() {
        // The middle of the bucket, where its values are on average.
        let place = chart.y.place((lowest as f64 + highest as f64) / 2.0);
        let [_, top, _, bottom] = chart.area;
        let row = ((bottom - place) / (bottom - top) * ROWS as f64) as usize;
        rows[row.min(ROWS - 1)] += count;
    }
    rows
}

fn row_bottom(chart: &Chart, row: usize) -> f64 {
    let [_, top, _, bottom] = chart.area;
    bottom - (bottom - top) * row as f64 / ROWS as f64
}

/// The colour of a cell with so many values, from 0: logarithmic, since a tail has few of them.
fn level(values: u64, most: u64) -> usize {
    if most <= 1 {
        return LEVELS - 1;
    }
    let part = (values.max(1) as f64).ln() / (most as f64).ln();
    ((part * LEVELS as f64) as usize).min(LEVELS - 1)
}

/// One shape for each colour, with all of its cells.
fn draw(chart: &mut Chart, columns: &[Column], grid: &[Vec<u64>], most: u64) {
    let mut shapes: Vec<Path> = (0..LEVELS).map(|_| Path::default()).collect();
    let height = row_bottom(chart, 0) - row_bottom(chart, 1);
    for (column, rows) in columns.iter().zip(grid) {
        let (left, right) = (chart.x.place(column.start), chart.x.place(column.end));
        for (row, values) in rows.iter().enumerate().filter(|(_, values)| **values > 0) {
            // A little larger than it is, so that no seam shows between neighbours.
            let top = row_bottom(chart, row + 1);
            shapes[level(*values, most)].cell(left, top, right - left + 0.3, height + 0.3);
        }
    }
    chart.svg.open_group("cells");
    for (i, shape) in shapes.iter().enumerate() {
        chart.svg.path(&format!("h{}", i + 1), shape);
    }
    chart.svg.close_group();
}

/// Median and 99th percentile as lines over the map.
fn overlay(chart: &mut Chart, columns: &[Column], metric: &str) {
    chart.columns(&columns.iter().map(|column| (column.middle(), column.name())).collect::<Vec<_>>());
    let latency = |column: &Column| column.latency.get(metric).filter(|latency| latency.count > 0).cloned();
    for (class, name, value) in [
        ("median", "50 %", (|l| l.p50) as fn(&super::series::ColumnLatency) -> f64),
        ("tail", "99 %", |l| l.p99),
        ("largest", "largest", |l| l.max),
    ] {
        let points: Vec<(f64, Option<f64>)> =
            columns.iter().map(|column| (column.middle(), latency(column).map(|l| value(&l)))).collect();
        if class != "largest" {
            chart.line(&format!("halo {class}"), &points);
            chart.line(&format!("over {class}"), &points);
            if let Some(last) = points.iter().rev().find_map(|(_, value)| *value) {
                chart.name("plain", last, name);
            }
        }
        chart.tell(class, name, &points.iter().map(|(_, value)| *value).collect::<Vec<_>>());
    }
}

/// What the colours mean.
fn scale_of(most: u64, columns: &[Column]) -> String {
    let steps: String = (1..=LEVELS).map(|level| format!("<i class=\"h{level}\"></i>")).collect();
    let each = columns.first().map(|column| column.end - column.start).unwrap_or_default();
    let each = super::format::seconds(each);
    format!(
        "<p class=\"heat-scale\"><span>1</span>{steps}<span>{}</span> values in a cell of {}; lines: \
         <b class=\"median\">50 %</b> and <b class=\"tail\">99 %</b></p>\n",
        count(most),
        escape(&each)
    )
}
