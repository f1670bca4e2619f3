//! HdrHistogram's table of percentiles, as its plotters read it. Values are in microseconds.

use std::fmt::Write as _;

use crate::histogram::NanoHistogram;

/// Lines for each halving of the distance to 100 %, as the other implementations have it.
const TICKS: u32 = 5;
/// Values are divided by this.
const NS_PER_UNIT: f64 = 1_000.0;

/// The table of one histogram.
pub fn hgrm(histogram: &NanoHistogram) -> String {
    let counts = histogram.as_hdr();
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for at in counts.iter_quantiles(TICKS) {
        total += at.count_since_last_iteration();
        let value = at.value_iterated_to() as f64 / NS_PER_UNIT;
        let share = at.quantile_iterated_to();
        // Writing to a String does not fail, here and below.
        let _ = write!(out, "{value:12.3} {share:2.12} {total:10}");
        if share < 1.0 {
            let _ = write!(out, " {:14.2}", 1.0 / (1.0 - share));
        }
        out.push('\n');
    }
    let (mean, deviation) = (counts.mean() / NS_PER_UNIT, counts.stdev() / NS_PER_UNIT);
    let max = counts.max() as f64 / NS_PER_UNIT;
    // A bucket has two half-buckets for each significant digit's worth of values, rounded up to a power of two.
    let sub_buckets = (2 * 10u64.pow(u32::from(counts.sigfig()))).next_power_of_two();
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", counts.len());
    let _ = writeln!(out, "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", counts.buckets());
    out
}
