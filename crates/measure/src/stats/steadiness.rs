//! Whether a rate was steady over a run.

use super::{deviation, mean, median};

/// How a count per interval varied over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steadiness {
    /// Intervals looked at.
    pub intervals: usize,
    /// Standard deviation over mean, without the part that chance alone gives to counts (that of a Poisson process).
    pub variation: f64,
    /// How far the last third lies above or below the first, as a share of the mean: a run that was still warming up, or a
    /// target that was slowing down.
    pub drift: f64,
    /// Intervals with less than a tenth of the median: stalls.
    pub stalls: usize,
}

impl Steadiness {
    /// Intervals below which nothing is said.
    pub const FEWEST: usize = 5;

    /// Looks at the counts of intervals of equal length, given by second; `events` is how many events they are made of
    /// altogether. `None` for fewer than five intervals, or when nothing happened.
    pub fn of(rates: &[f64], events: u64) -> Option<Steadiness> {
        if rates.len() < Self::FEWEST || events == 0 || rates.iter().any(|rate| !rate.is_finite()) {
            return None;
        }
        let mean_rate = mean(rates).filter(|mean| *mean > 0.0)?;
        let relative = deviation(rates)? / mean_rate;
        let by_chance = rates.len() as f64 / events as f64;
        let third = rates.len() / 3;
        let first = mean(rates.get(..third)?)?;
        let last = mean(rates.get(rates.len() - third..)?)?;
        let stall_below = median(rates)? / 10.0;
        Some(Steadiness {
            intervals: rates.len(),
            variation: (relative * relative - by_chance).max(0.0).sqrt(),
            drift: (last - first) / mean_rate,
            stalls: rates.iter().filter(|rate| **rate < stall_below).count(),
        })
    }
}
