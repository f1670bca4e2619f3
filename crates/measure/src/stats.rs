//! Statistics of repeated runs, and of the intervals of one.
//!
//! # The 95 % confidence interval
//!
//! Which method is used depends on the number of runs, because no distribution-free interval of 95 % exists for fewer
//! than six:
//!
//! - *Two to five runs:* Student's t-interval for the mean. It supposes that runs scatter normally; with an outlier it becomes
//!   wide, which is the right side to be wrong on.
//! - *Six runs and more:* the interval between two order statistics for the median. It supposes nothing but that runs are
//!   independent of each other: the median lies outside of the `k`-th smallest and the `k`-th largest value with probability
//!   `2 · P(Binomial(n, ½) < k)`, and `k` is the largest for which that is at most 5 %.
//!
//! Tests simulate the coverage of both.

mod steadiness;

use crate::result::Spread;

pub use steadiness::Steadiness;

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Student's t-interval for the mean.
    T,
    /// Two order statistics, for the median.
    OrderStatistics,
}

impl Method {
    /// As results call it.
    pub const fn name(self) -> &'static str {
        match self {
            Method::T => "t",
            Method::OrderStatistics => "order_statistics",
        }
    }
}

/// A 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval95 {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How it was made.
    pub method: Method,
}

/// When an interval is too wide: when half of its width is more than both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Width {
    /// Share of the median.
    pub ratio: f64,
    /// In the unit of the values: below this, a difference is of no interest however small the median is.
    pub absolute: f64,
}

impl Width {
    /// Rates, counts and processor time: 5 %, the difference that a comparison of two runs should be able to show.
    pub const RATE: Width = Width { ratio: 0.05, absolute: 0.0 };
    /// Times: 5 % or 2 µs, to which the histograms agree with an independent witness.
    pub const TIME_NS: Width = Width { ratio: 0.05, absolute: 2_000.0 };
    /// Times beyond the 99th percentile, of which there are few: 10 % or 2 µs.
    pub const TAIL_NS: Width = Width { ratio: 0.1, absolute: 2_000.0 };
}

/// The values that are numbers, smallest first.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The median; of an even number of values, the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    median_of_sorted(&sorted(values))
}

fn median_of_sorted(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(values.len() / 2 - 1)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The mean.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of what the values are a sample of; none for fewer than two.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The 95 % confidence interval; none for fewer than two values.
pub fn interval95(values: &[f64]) -> Option<Interval95> {
    let values = sorted(values);
    let n = values.len();
    if let Some(rank) = order_statistic(n) {
        let (low, high) = (*values.get(rank - 1)?, *values.get(n - rank)?);
        return Some(Interval95 { low, high, method: Method::OrderStatistics });
    }
    let (mean, deviation) = (mean(&values)?, deviation(&values)?);
    let half = student_t975(n - 1) * deviation / (n as f64).sqrt();
    Some(Interval95 { low: mean - half, high: mean + half, method: Method::T })
}

/// The rank from either end whose values enclose the median with at least 95 %; none for fewer than six values.
fn order_statistic(n: usize) -> Option<usize> {
    let trials = i32::try_from(n).ok().filter(|n| *n < 1000).unwrap_or(1000);
    // More are no repeats of a run; the ranks of a thousand values enclose the median of more as well.
    let mut term = 0.5f64.powi(trials);
    let mut below = 0.0;
    let mut rank = None;
    for k in 0..trials / 2 {
        below += term;
        if 2.0 * below > 0.05 {
            break;
        }
        rank = usize::try_from(k + 1).ok();
        term *= f64::from(trials - k) / f64::from(k + 1);
    }
    rank.filter(|rank| rank * 2 <= n)
}

/// The 97.5 % quantile of Student's distribution with that many degrees of freedom.
fn student_t975(freedom: usize) -> f64 {
    const TABLE: [f64; 4] = [12.706_205, 4.302_653, 3.182_446, 2.776_445];
    // Five values at most come here; for more, the normal distribution's.
    TABLE.get(freedom.wrapping_sub(1)).copied().unwrap_or(1.959_964)
}

/// What a result says of one metric over the repeats; `None` without any value.
pub fn spread(values: &[f64], width: Width) -> Option<Spread> {
    let values = sorted(values);
    let median = median_of_sorted(&values)?;
    let interval = interval95(&values);
    Some(Spread {
        count: u32::try_from(values.len()).unwrap_or(u32::MAX),
        median,
        mean: mean(&values)?,
        min: *values.first()?,
        max: *values.last()?,
        ci95_low: interval.map(|interval| interval.low),
        ci95_high: interval.map(|interval| interval.high),
        method: interval.map(|interval| interval.method.name().to_owned()),
        too_wide: interval.is_none_or(|interval| too_wide(interval, median, width)),
    })
}

/// Whether the interval is too wide for the median to be relied upon.
pub fn too_wide(interval: Interval95, median: f64, width: Width) -> bool {
    let half = (interval.high - interval.low) / 2.0;
    half > width.absolute && half > median.abs() * width.ratio
}

#[cfg(test)]
mod tests;
