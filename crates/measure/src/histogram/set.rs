//! Several histograms with names, as one thing to fill, merge and report.

use std::collections::BTreeMap;

use super::{Merge, NanoHistogram};
use crate::result::{HistogramSummary, IntervalLatency};

/// Histograms by number on the data path, and by name in the result.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSet {
    names: &'static [&'static str],
    histograms: Vec<NanoHistogram>,
}

impl HistogramSet {
    /// One empty histogram for each name.
    pub fn new(names: &'static [&'static str]) -> HistogramSet {
        HistogramSet { names, histograms: names.iter().map(|_| NanoHistogram::new()).collect() }
    }

    /// Records a value in the histogram of that number; a number that there is none for is ignored.
    #[inline]
    pub fn record(&mut self, number: usize, ns: u64) {
        if let Some(histogram) = self.histograms.get_mut(number) {
            histogram.record(ns);
        }
    }

    /// Records `n` equal values.
    #[inline]
    pub fn record_n(&mut self, number: usize, ns: u64, n: u64) {
        if let Some(histogram) = self.histograms.get_mut(number) {
            histogram.record_n(ns, n);
        }
    }

    /// The histograms with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &NanoHistogram)> {
        self.names.iter().copied().zip(&self.histograms)
    }

    /// The histogram of that name.
    pub fn get(&self, name: &str) -> Option<&NanoHistogram> {
        self.iter().find(|(known, _)| *known == name).map(|(_, histogram)| histogram)
    }

    /// What a result says of them; those without values are left out.
    pub fn summaries(&self) -> BTreeMap<String, HistogramSummary> {
        let full = self.iter().filter(|(_, histogram)| !histogram.is_empty());
        full.map(|(name, histogram)| (name.to_owned(), histogram.summary(true))).collect()
    }

    /// What an interval says of them; those without values are left out.
    pub fn interval_latency(&self, keep: bool) -> BTreeMap<String, IntervalLatency> {
        let full = self.iter().filter(|(_, histogram)| !histogram.is_empty());
        full.map(|(name, histogram)| (name.to_owned(), histogram.interval_latency(keep))).collect()
    }
}

impl Merge for HistogramSet {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            if !theirs.is_empty() {
                mine.merge(theirs);
            }
        }
    }

    fn clear(&mut self) {
        for histogram in self.histograms.iter_mut().filter(|histogram| !histogram.is_empty()) {
            histogram.clear();
        }
    }
}
