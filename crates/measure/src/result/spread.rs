//! Results of a run that was repeated.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cpu, HistogramSummary, Rates, RunError, RunState, Totals, Verdict};

/// One of several runs of the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Repeat {
    /// Which one, from 1.
    pub number: u32,
    /// When it started, seconds since 1970-01-01 UTC.
    pub started_unix_seconds: f64,
    /// How far it came.
    pub state: RunState,
    /// Why it did not come further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// Length of its measurement, seconds.
    pub duration_seconds: f64,
    /// Its counts.
    pub totals: Totals,
    /// Its counts by second.
    pub rates: Rates,
    /// Its distributions.
    pub latency: BTreeMap<String, HistogramSummary>,
    /// Packets not used, by cause.
    pub drops: BTreeMap<String, u64>,
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// The judgement on it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// How far the repeats lie apart in one metric. `docs/results.md` says how the interval is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Values: runs that have measured it.
    pub count: u32,
    /// Median.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Lower end of the 95 % confidence interval. Absent for fewer than two values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95_low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95_high: Option<f64>,
    /// How the interval was made: `t` or `order_statistics`. Absent with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Whether the interval is too wide for the median to be relied upon, or there is none.
    pub too_wide: bool,
}
