//! Whether a result is to be believed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The judgement on a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// True when nothing speaks against it.
    pub valid: bool,
    /// What speaks against it; empty when valid.
    pub reasons: Vec<Reason>,
    /// What was looked at. A check whose facts were not measured is not in it, and its silence means nothing.
    pub checked: Vec<ReasonCode>,
}

/// One thing that speaks against a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people: what is wrong, and what to do about it.
    pub message: String,
    /// What was measured, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// What would have been accepted, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Unit of both: `nanoseconds`, `packets`, `ratio`, `count` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Kinds of reasons. `docs/verdict.md` says of each which limit it has, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReasonCode {
    /// The generator acted later than its schedule said.
    GeneratorLate,
    /// The generator could not begin what was due.
    GeneratorBehind,
    /// Packets were lost at our own rings, or could not be sent because a ring was full.
    RingsFull,
    /// A worker had no time left.
    CpuSaturated,
    /// A worker's processor was used by somebody else.
    CpuShared,
    /// Our own end dropped packets.
    Drops,
    /// The clock went backwards or jumped.
    ClockUnstable,
    /// The sockets are not bound in the mode that was asked for.
    WrongMode,
    /// Packets were lost on a link that should lose none.
    UnexpectedLoss,
    /// Bytes arrived that were not those that had been sent.
    Corruption,
    /// The confidence interval of the repeats is too wide.
    IntervalTooWide,
    /// Too few values for the percentiles that are reported.
    TooFewSamples,
    /// Values were larger than the histograms hold.
    Saturated,
    /// The throughput was not steady over the run.
    Unsteady,
    /// Requests or connections failed.
    Errors,
    /// The run was cut short.
    Partial,
}

impl ReasonCode {
    /// Its name in results.
    pub fn name(self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    }
}
