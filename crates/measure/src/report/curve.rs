//! Percentile curves: quantiles on an axis of 1/(1-p), as HdrHistogram plots them, so that each further nine has the
//! same room.

use super::chart::{About, Chart, NAMES};
use super::format::nanoseconds;
use super::scale::{Axis, Unit, quantile_label};
use crate::histogram::NanoHistogram;

const HEIGHT: f64 = 420.0;
/// Columns that the script tells of.
const COLUMNS: u32 = 180;

/// One curve.
pub(super) struct Curve<'a> {
    pub(super) name: String,
    /// Class of its colour.
    pub(super) class: String,
    pub(super) histogram: &'a NanoHistogram,
}

/// The picture; nothing if no curve has values.
pub(super) fn picture(id: &str, title: &str, curves: &[Curve<'_>]) -> String {
    let curves: Vec<&Curve<'_>> = curves.iter().filter(|curve| !curve.histogram.is_empty()).collect();
    let (Some(most), Some(lowest), Some(highest)) = (
        curves.iter().map(|curve| curve.histogram.count()).max(),
        curves.iter().map(|curve| curve.histogram.min()).min(),
        curves.iter().map(|curve| curve.histogram.max()).max(),
    ) else {
        return String::new();
    };
    let y = Axis::fitting(Unit::Nanoseconds, lowest as f64, highest as f64);
    let about = About {
        id,
        title,
        summary: &summary(&curves),
        height: HEIGHT,
        right: NAMES,
        x_name: "percentile, each further nine as wide as the one before",
        y_name: if y.is_log() { "latency, logarithmic" } else { "latency" },
    };
    let mut chart = Chart::new(&about, Axis::quantiles(most), y);
    for curve in &curves {
        let steps = steps(curve.histogram);
        chart.line(&format!("curve {}", curve.class), &steps);
        let (marks, says) = marks(curve, chart.x.bounds().1);
        chart.dots(&curve.class, &marks, &says);
        chart.name(&curve.class, curve.histogram.max() as f64, &curve.name);
    }
    let quantiles: Vec<f64> = {
        let (from, to) = (chart.area[0], chart.area[2]);
        (0..=COLUMNS).map(|i| chart.x.value(from + (to - from) * f64::from(i) / f64::from(COLUMNS))).collect()
    };
    let columns: Vec<(f64, String)> = quantiles.iter().map(|q| (*q, precise_label(*q))).collect();
    chart.columns(&columns);
    for curve in &curves {
        let values: Vec<Option<f64>> =
            quantiles.iter().map(|q| Some(curve.histogram.quantile(*q) as f64)).collect();
        chart.tell(&curve.class, &curve.name, &values);
    }
    chart.finish()
}

/// The corners of the distribution's staircase: quantile and value.
fn steps(histogram: &NanoHistogram) -> Vec<(f64, Option<f64>)> {
    let all = histogram.count() as f64;
    let mut below = 0;
    let mut corners = Vec::new();
    for (_, highest, count) in histogram.buckets() {
        let value = Some(highest.min(histogram.max()) as f64);
        corners.push((below as f64 / all, value));
        below += count;
        corners.push((below as f64 / all, value));
    }
    corners
}

/// The percentiles that are usually named, as far as there are values for them.
fn marks(curve: &Curve<'_>, last: f64) -> (Vec<(f64, Option<f64>)>, Vec<String>) {
    let count = curve.histogram.count() as f64;
    [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999]
        .into_iter()
        .filter(|quantile| *quantile <= last && (1.0 - quantile) * count >= 1.0)
        .map(|quantile| {
            let value = curve.histogram.quantile(quantile) as f64;
            let says = format!("{}, {}: {}", curve.name, quantile_label(quantile), nanoseconds(value));
            ((quantile, Some(value)), says)
        })
        .unzip()
}

/// A quantile between the usual ones with two digits behind its nines.
fn precise_label(quantile: f64) -> String {
    let rest = (1.0 - quantile).max(1e-16);
    let decimals = (-rest.log10().floor()).max(1.0) as usize - 1;
    format!("{:.decimals$} %", (quantile * 100.0).min(100.0 - 10f64.powi(-(decimals as i32))).max(0.0))
}

fn summary(curves: &[&Curve<'_>]) -> String {
    let told: Vec<String> = curves
        .iter()
        .map(|curve| {
            let at = |quantile| nanoseconds(curve.histogram.quantile(quantile) as f64);
            let max = nanoseconds(curve.histogram.max() as f64);
            format!(
                "{}: median {}, 99 % {}, 99.9 % {}, largest {max}",
                curve.name,
                at(0.5),
                at(0.99),
                at(0.999)
            )
        })
        .collect();
    told.join(". ")
}
