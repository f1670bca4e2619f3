//! The intervals of a run as columns of a picture: no more than can be told apart, with their histograms decoded.

use std::collections::BTreeMap;

use crate::histogram::{Merge, NanoHistogram};
use crate::result::{Interval, IntervalLatency, Rates, RunResult, Totals, metric};

/// More columns than this are put together.
const MOST: usize = 240;

/// One or more intervals.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) totals: Totals,
    pub(super) rates: Rates,
    pub(super) drops: u64,
    pub(super) latency: BTreeMap<String, ColumnLatency>,
}

/// The distribution of a column.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnLatency {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    pub(super) histogram: Option<NanoHistogram>,
}

impl Column {
    pub(super) fn middle(&self) -> f64 {
        (self.start + self.end) / 2.0
    }

    /// `3–4 s`.
    pub(super) fn name(&self) -> String {
        let tell = |at: f64| super::format::significant((at * 1000.0).round() / 1000.0, 5);
        format!("{}–{} s", tell(self.start), tell(self.end))
    }
}

/// The columns of a result.
pub(super) fn columns(result: &RunResult) -> Vec<Column> {
    let usable: Vec<&Interval> = result
        .intervals
        .iter()
        .filter(|i| {
            i.start_seconds.is_finite() && i.end_seconds.is_finite() && i.end_seconds > i.start_seconds
        })
        .collect();
    let together = usable.len().div_ceil(MOST).max(1);
    usable.chunks(together).map(column).collect()
}

fn column(intervals: &[&Interval]) -> Column {
    let mut column = Column::default();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return column };
    (column.start, column.end) = (first.start_seconds, last.end_seconds);
    for interval in intervals {
        column.totals.add(&interval.totals);
        column.drops += interval.drops.values().sum::<u64>();
        for (name, latency) in &interval.latency {
            column.latency.entry(name.clone()).or_default().add(latency);
        }
    }
    column.rates = match intervals {
        [one] => one.rates.clone(),
        _ => Rates::of(&column.totals, column.end - column.start),
    };
    if intervals.len() > 1 {
        column.latency.values_mut().for_each(ColumnLatency::settle);
    }
    column
}

impl ColumnLatency {
    /// Where histograms are missing, the worst interval speaks for all of them.
    fn add(&mut self, other: &IntervalLatency) {
        let decoded = other.hdr.as_deref().and_then(|text| NanoHistogram::decode(text).ok());
        self.histogram = match (self.histogram.take(), decoded) {
            (Some(mut sum), Some(more)) => {
                sum.merge(&more);
                Some(sum)
            }
            (None, first) if self.count == 0 => first,
            (sum, _) if other.count == 0 => sum,
            _ => None,
        };
        self.count += other.count;
        self.p50 = self.p50.max(other.p50_ns as f64);
        self.p99 = self.p99.max(other.p99_ns as f64);
        self.max = self.max.max(other.max_ns as f64);
    }

    /// Takes the percentiles of several intervals from what they have together.
    fn settle(&mut self) {
        if let Some(histogram) = &self.histogram {
            self.p50 = histogram.quantile(0.5) as f64;
            self.p99 = histogram.quantile(0.99) as f64;
        }
    }
}

/// Which of the names are worth pictures of their own over time: what a user waits for, and the packets.
pub(super) fn main_metrics<'a>(available: impl IntoIterator<Item = &'a String>) -> Vec<&'static str> {
    let available: Vec<&str> = available.into_iter().map(String::as_str).collect();
    let has = |name: &&'static str| available.contains(name);
    let waited_for = [metric::REQUEST, metric::FILE, metric::ROUND_TRIP, metric::ONE_WAY];
    let mut chosen: Vec<&'static str> = waited_for.into_iter().find(has).into_iter().collect();
    chosen.extend(Some(metric::PACKET).filter(has));
    if chosen.is_empty() {
        chosen.extend([metric::CONNECT, metric::FIRST_BYTE].into_iter().find(has));
    }
    chosen
}
