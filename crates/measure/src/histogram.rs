//! Histograms of nanoseconds, and how they get from the workers to the results.
//!
//! A [`NanoHistogram`] holds 0 ns to one hour with three significant digits in 27 ki counters. Recording is a few
//! instructions and never allocates; what is above an hour is recorded as an hour and counted. Workers record into a
//! structure of their own and hand it over once an interval ([`interval`]); merging, percentiles and encoding are
//! done elsewhere.

mod encode;
pub mod interval;
mod set;

use hdrhistogram::Histogram;

use crate::result::{HistogramSummary, IntervalLatency};

pub use encode::DecodeError;
pub use set::HistogramSet;

/// The largest value that can be told: one hour.
pub const HIGHEST_NS: u64 = 3_600_000_000_000;

/// Significant digits.
pub const DIGITS: u8 = 3;

/// Significant digits of the histograms of intervals in a result: enough for a heat map, a tenth of the size.
pub const INTERVAL_DIGITS: u8 = 2;

/// What workers fill and others add up.
pub trait Merge {
    /// Adds what the other one has.
    fn merge(&mut self, other: &Self);

    /// Forgets everything. Does not allocate or free.
    fn clear(&mut self);
}

/// A histogram of nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct NanoHistogram {
    counts: Histogram<u64>,
    saturated: u64,
}

impl Default for NanoHistogram {
    fn default() -> Self {
        NanoHistogram::new()
    }
}

impl NanoHistogram {
    /// An empty one. Its memory is touched, so that recording causes no page faults.
    pub fn new() -> NanoHistogram {
        let mut histogram = NanoHistogram::with_digits(DIGITS);
        histogram.clear();
        histogram
    }

    fn with_digits(digits: u8) -> NanoHistogram {
        // The bounds are constants that the crate accepts, as every test here shows.
        #[allow(clippy::expect_used, reason = "no input has part in it")]
        let counts = Histogram::new_with_bounds(1, HIGHEST_NS, digits).expect("bounds that are valid");
        NanoHistogram { counts, saturated: 0 }
    }

    /// Records one value. What is above [`HIGHEST_NS`] is recorded as that, and counted.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.record_n(ns, 1);
    }

    /// Records `n` equal values.
    #[inline]
    pub fn record_n(&mut self, ns: u64, n: u64) {
        if ns > HIGHEST_NS {
            self.saturated += n;
        }
        self.counts.saturating_record_n(ns.min(HIGHEST_NS), n);
    }

    /// Values recorded.
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// Values that were too large.
    pub fn saturated(&self) -> u64 {
        self.saturated
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The value below or at which that share of all values lies (0 to 1), 0 for an empty histogram. It is the highest
    /// value of its bucket: at most 0.1 % too high, and never above the maximum.
    pub fn quantile(&self, share: f64) -> u64 {
        self.counts.value_at_quantile(share)
    }

    /// Largest value, rounded up as percentiles are.
    pub fn max(&self) -> u64 {
        self.counts.max()
    }

    /// Smallest value, rounded down.
    pub fn min(&self) -> u64 {
        self.counts.min()
    }

    /// Mean.
    pub fn mean(&self) -> f64 {
        self.counts.mean()
    }

    /// The buckets that are not empty, smallest first: lowest value, highest value, count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.counts.iter_recorded().map(|at| {
            let value = at.value_iterated_to();
            (self.counts.lowest_equivalent(value), self.counts.highest_equivalent(value), at.count_at_value())
        })
    }

    /// The histogram below, for HdrHistogram's own formats.
    pub fn as_hdr(&self) -> &Histogram<u64> {
        &self.counts
    }

    /// The figures that are read most. `keep` says whether the histogram comes along.
    pub fn summary(&self, keep: bool) -> HistogramSummary {
        let shares = [0.5, 0.75, 0.9, 0.99, 0.999, 0.9999];
        let mut values = [0; 6];
        for (value, found) in values.iter_mut().zip(self.counts.value_at_quantiles(shares)) {
            *value = found;
        }
        let [p50_ns, p75_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns] = values;
        HistogramSummary {
            count: self.count(),
            saturated: self.saturated,
            min_ns: self.min(),
            mean_ns: self.mean(),
            stdev_ns: self.counts.stdev(),
            p50_ns,
            p75_ns,
            p90_ns,
            p99_ns,
            p99_9_ns,
            p99_99_ns,
            max_ns: self.max(),
            hdr: keep.then(|| self.encode()),
        }
    }

    /// The figures of an interval. `keep` says whether the histogram comes along, with [`INTERVAL_DIGITS`].
    pub fn interval_latency(&self, keep: bool) -> IntervalLatency {
        IntervalLatency {
            count: self.count(),
            p50_ns: self.quantile(0.5),
            p99_ns: self.quantile(0.99),
            max_ns: self.max(),
            hdr: keep.then(|| self.coarse(INTERVAL_DIGITS).encode()),
        }
    }

    /// The same with fewer significant digits.
    #[must_use]
    pub fn coarse(&self, digits: u8) -> NanoHistogram {
        let mut coarse = NanoHistogram::with_digits(digits.clamp(1, DIGITS));
        coarse.add_buckets(&self.counts);
        coarse.saturated = self.saturated;
        coarse
    }

    /// Adds bucket by bucket what another histogram of whatever shape has.
    fn add_buckets(&mut self, other: &Histogram<u64>) {
        for at in other.iter_recorded() {
            let value = other.median_equivalent(at.value_iterated_to()).min(HIGHEST_NS);
            self.counts.saturating_record_n(value, at.count_at_value());
        }
    }
}

impl Merge for NanoHistogram {
    fn merge(&mut self, other: &Self) {
        self.saturated += other.saturated;
        // Only a histogram that was decoded can have another shape.
        if self.counts.add(&other.counts).is_err() {
            self.add_buckets(&other.counts);
        }
    }

    fn clear(&mut self) {
        self.counts.reset();
        self.saturated = 0;
    }
}

#[cfg(test)]
mod tests;
