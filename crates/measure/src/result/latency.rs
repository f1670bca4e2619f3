//! Distributions of times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The names under which the commands report distributions.
pub mod metric {
    /// SYN to SYN-ACK.
    pub const CONNECT: &str = "connect";
    /// First transmission of each data segment to the ACK that covers it.
    pub const PACKET: &str = "packet";
    /// Intended start of a request to the first byte of its answer.
    pub const FIRST_BYTE: &str = "first_byte";
    /// Intended start of a request to the last byte of its answer: what a user waits, corrected for coordinated omission.
    pub const REQUEST: &str = "request";
    /// Real start of a request to the last byte of its answer: not corrected.
    pub const REQUEST_SERVICE: &str = "request_service";
    /// A file, from the intended start of its request to its last byte.
    pub const FILE: &str = "file";
    /// There and back, of raw frames and datagrams.
    pub const ROUND_TRIP: &str = "round_trip";
    /// There only, where both ends share a clock.
    pub const ONE_WAY: &str = "one_way";
    /// How much later than planned the generator acted.
    pub const LATENESS: &str = "lateness";

    /// All of them, in the order in which they are told.
    pub const ALL: [&str; 9] =
        [CONNECT, PACKET, FIRST_BYTE, REQUEST, REQUEST_SERVICE, FILE, ROUND_TRIP, ONE_WAY, LATENESS];

    /// Where a distribution belongs when several are told: the known ones first, in the order of [`ALL`].
    pub fn order(name: &str) -> usize {
        ALL.iter().position(|known| *known == name).unwrap_or(ALL.len())
    }
}

/// A distribution of times, in nanoseconds: the figures that are read most, and the whole histogram.
///
/// Percentiles are those of HdrHistogram with three significant digits: the highest value of the bucket in which the
/// percentile lies, at most 0.1 % above the truth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistogramSummary {
    /// Values recorded.
    pub count: u64,
    /// Of those, the ones above what the histogram can hold, recorded as its largest value.
    pub saturated: u64,
    /// Smallest value.
    pub min_ns: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Standard deviation.
    pub stdev_ns: f64,
    /// Median.
    pub p50_ns: u64,
    /// 75th percentile.
    pub p75_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p99_9_ns: u64,
    /// 99.99th percentile.
    pub p99_99_ns: u64,
    /// Largest value.
    pub max_ns: u64,
    /// The histogram: HdrHistogram V2, deflated, base64. Absent when it was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
}

/// The distribution of one interval, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IntervalLatency {
    /// Values recorded.
    pub count: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Largest value.
    pub max_ns: u64,
    /// The histogram with two significant digits, for heat maps: HdrHistogram V2, deflated, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
}
