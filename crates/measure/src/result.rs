//! The result of a run: one document for every command, whether the run was complete, cut short or failed.
//!
//! What is here is data. It is filled in by the commands, written by [`crate::export`], told by [`crate::text`],
//! judged by [`crate::verdict`]. Units are in the names; what was not measured is absent, and zero means that
//! it was measured and is zero. `docs/results.md` explains every field, `docs/schema/result.json` is the schema.
//!
//! ```
//! use bypath_measure::result::{ErrorCode, RunResult};
//!
//! let mut result = RunResult::new("load", env!("CARGO_PKG_VERSION"));
//! result.pattern = Some("rr".to_owned());
//! result.set("connections", 100);
//! result.totals.requests = Some(1_000_000);
//! result.finish(10.0);
//! assert_eq!(result.rates.requests_per_second, Some(100_000.0));
//! assert_eq!(result.exit_code(false), 0);
//!
//! let failed = RunResult::failed("load", "0.1.0", ErrorCode::Usage, "--connections must be at least 1");
//! assert_eq!(failed.exit_code(false), 2);
//! ```

mod conditions;
mod counters;
mod latency;
mod parts;
mod spread;
mod verdict;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::capture::CaptureSummary;
pub use crate::profile::{PhaseTime, Profile};
pub use conditions::{Clock, Conditions, MachineLoad};
pub use counters::{Rates, Totals};
pub use latency::{HistogramSummary, IntervalLatency, metric};
pub use parts::{
    Class, Cpu, FrameLoss, FrameSizeResult, Generator, InterfaceCounters, Interval, Step, WorkerCpu,
};
pub use spread::{Repeat, Spread};
pub use verdict::{Reason, ReasonCode, Verdict};

/// What [`RunResult::schema`] says in this version. It changes when a field changes its meaning or goes away; new fields
/// do not change it.
pub const SCHEMA: &str = "bypath.result/1";

/// How far a run came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// As long as it was asked for.
    #[default]
    Complete,
    /// Cut short, by Ctrl-C or by the peer, with what had been measured by then.
    Partial,
    /// No measurement came of it; `error` says why.
    Failed,
}

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// An option that is unknown, missing or impossible.
    Usage,
    /// The engine cannot start on its interface: not there, not permitted, mode not to be had.
    Interface,
    /// The target's name has no address.
    Resolve,
    /// No route to the target, or its neighbour does not answer.
    Unreachable,
    /// The target refuses connections.
    Refused,
    /// The target does not answer.
    TimedOut,
    /// No local port is left for another connection.
    PortsExhausted,
    /// The peer closed or reset what it should have kept, or stopped answering in mid-run.
    PeerGone,
    /// The peer sent what the protocol does not allow, or bytes that are not those that were expected.
    PeerLied,
    /// The peer answered in good order, and not with what was asked for: an HTTP status, an FTP reply. The message says which.
    UnexpectedStatus,
    /// A report, a sink or a source cannot be written or read.
    Output,
    /// Interrupted by a signal.
    Interrupted,
    /// The verdict is `invalid`, and `--strict` makes that a failure.
    Invalid,
    /// Anything else: the message tells.
    Other,
}

/// Why a run failed or was cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, and what to do about it.
    pub message: String,
}

/// The document. See the module's head for how it is filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// Always `bypath.result/1` in this version.
    pub schema: String,
    /// Version of bypath.
    pub version: String,
    /// The command: `load`, `blast`, `rfc2544`, `latency` …
    pub command: String,
    /// The load pattern, or the command's variant: `stream`, `rr`, `http`, `udp` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What was measured, as given: an address and port, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// When the run started, seconds since 1970-01-01 UTC.
    pub started_unix_seconds: f64,
    /// How far the run came.
    pub state: RunState,
    /// Why it did not come further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// The options of the run, by their long names.
    pub settings: BTreeMap<String, Value>,
    /// What the run ran on.
    pub conditions: Conditions,
    /// Seconds before the measurement, whose figures are not in it.
    pub warm_up_seconds: f64,
    /// Length of the measurement, seconds.
    pub duration_seconds: f64,
    /// Counts over the whole measurement.
    pub totals: Totals,
    /// The counts by second, over the whole measurement.
    pub rates: Rates,
    /// Distributions by name: `connect`, `packet`, `first_byte`, `request`, `request_service` …
    pub latency: BTreeMap<String, HistogramSummary>,
    /// How well the load generator kept its schedule; open loop only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// Packets not used, by cause, at our end and where known in the NIC. Causes that were looked at and not seen are 0 or absent.
    pub drops: BTreeMap<String, u64>,
    /// What the kernel counted on the interfaces meanwhile, for commands that send and receive raw frames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceCounters>,
    /// Processor time of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Where the time of the engine's workers went, with `--profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The measurement in slices, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<Interval>,
    /// The steps of `--ramp`, or the trials of a search, in the order in which they ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Of `rfc2544`: what was found for each frame size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frame_sizes: Vec<FrameSizeResult>,
    /// Parts of the load that are told apart, such as the size classes of `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Whether to believe it. Absent when there is nothing to judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The single runs of `--repeat`. Then `totals`, `latency` and `drops` above are their sums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Repeat>,
    /// Over the repeats, by the metric's path in this document (`rates.requests_per_second`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spread: BTreeMap<String, Spread>,
    /// The capture that was taken meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureSummary>,
    /// What else a reader should know: oddities that did no harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RunResult {
    /// An empty result of a run that starts now.
    pub fn new(command: &str, version: &str) -> RunResult {
        RunResult {
            schema: SCHEMA.to_owned(),
            version: version.to_owned(),
            command: command.to_owned(),
            pattern: None,
            target: None,
            started_unix_seconds: unix_seconds(SystemTime::now()),
            state: RunState::Complete,
            error: None,
            settings: BTreeMap::new(),
            conditions: Conditions::default(),
            warm_up_seconds: 0.0,
            duration_seconds: 0.0,
            totals: Totals::default(),
            rates: Rates::default(),
            latency: BTreeMap::new(),
            generator: None,
            drops: BTreeMap::new(),
            interfaces: Vec::new(),
            cpu: None,
            profile: None,
            intervals: Vec::new(),
            steps: Vec::new(),
            frame_sizes: Vec::new(),
            classes: Vec::new(),
            verdict: None,
            repeats: Vec::new(),
            spread: BTreeMap::new(),
            capture: None,
            notes: Vec::new(),
        }
    }

    /// The result of a run that never began, such as one with impossible options.
    pub fn failed(command: &str, version: &str, code: ErrorCode, message: impl Into<String>) -> RunResult {
        let mut result = RunResult::new(command, version);
        result.fail(code, message);
        result
    }

    /// Makes it a failure. What was filled in stays.
    pub fn fail(&mut self, code: ErrorCode, message: impl Into<String>) {
        self.state = RunState::Failed;
        self.error = Some(RunError { code, message: message.into() });
    }

    /// Marks it as cut short: what was measured until then is there.
    pub fn cut_short(&mut self, code: ErrorCode, message: impl Into<String>) {
        self.state = RunState::Partial;
        self.error = Some(RunError { code, message: message.into() });
    }

    /// Notes an option of the run. What cannot be told in JSON is left out.
    pub fn set(&mut self, option: &str, value: impl Serialize) {
        if let Ok(value) = serde_json::to_value(value) {
            self.settings.insert(option.to_owned(), value);
        }
    }

    /// Ends the measurement after that many seconds: the rates follow from the totals.
    pub fn finish(&mut self, duration_seconds: f64) {
        self.duration_seconds = finite(duration_seconds).unwrap_or(0.0).max(0.0);
        self.rates = Rates::of(&self.totals, self.duration_seconds);
        if let Some(cpu) = &mut self.cpu {
            cpu.per_gigabyte(&self.totals);
        }
    }

    /// What the process should end with: 0, 1 for a run that failed, 2 for wrong usage, 130 after Ctrl-C, and, if the user
    /// is `strict`, 3 when the verdict is against the result.
    ///
    /// A run cut short by its peer counts as failed; one that was interrupted has 130, as shells expect.
    pub fn exit_code(&self, strict: bool) -> u8 {
        match (self.state, self.error.as_ref().map(|error| error.code)) {
            (_, Some(ErrorCode::Usage)) => 2,
            (_, Some(ErrorCode::Interrupted)) => 130,
            (RunState::Failed | RunState::Partial, _) => 1,
            (RunState::Complete, _) if strict && self.verdict.as_ref().is_some_and(|v| !v.valid) => 3,
            (RunState::Complete, _) => 0,
        }
    }
}

/// Seconds since 1970-01-01 UTC.
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Only numbers that JSON can hold: it has neither infinities nor NaN.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
