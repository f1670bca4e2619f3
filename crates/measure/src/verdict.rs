//! Whether a result is to be believed: a pure function from the result, and from what was expected of it, to `valid` or
//! the reasons against it.
//!
//! Every check looks only at what is in the document, so that anybody can make the judgement again. A check whose facts
//! were not measured is left out, and [`Verdict::checked`] says so. `docs/verdict.md` tells the limits and why they are
//! what they are.

mod generator;
pub(crate) mod machine;
mod network;
mod samples;

use crate::result::{Reason, ReasonCode, RunResult, RunState, Verdict};

/// The limits.
pub mod limit {
    /// Lateness of the generator, p99, as a share of the p99 that is reported.
    pub const LATENESS_RATIO: f64 = 0.1;
    /// Lateness below this is never held against a result, nanoseconds.
    pub const LATENESS_FLOOR_NS: f64 = 10_000.0;
    /// Lateness where no latency is reported that it could be a share of, nanoseconds.
    pub const LATENESS_ALONE_NS: f64 = 100_000.0;
    /// Lateness of raw frames, nanoseconds. Their flights are timed from when they really leave.
    pub const FRAME_LATENESS_NS: f64 = 1_000_000.0;
    /// Share of what was due that was never begun.
    pub const NOT_STARTED_RATIO: f64 = 0.01;
    /// Packets that our own end has lost, as a share of all.
    pub const OWN_LOSS_RATIO: f64 = 1e-5;
    /// Packets lost on a link that should lose none, as a share of all.
    pub const LINK_LOSS_RATIO: f64 = 1e-5;
    /// Busy share of a worker.
    pub const BUSY_RATIO: f64 = 0.95;
    /// Share of its time that a worker waited for its processor.
    pub const WAITING_RATIO: f64 = 0.05;
    /// Share of the processors that the hypervisor gave to others.
    pub const STOLEN_RATIO: f64 = 0.02;
    /// Departure of the clock from the one that nobody adjusts, parts per million.
    pub const DRIFT_PPM: f64 = 1_000.0;
    /// Jump of the clock against it, nanoseconds.
    pub const JUMP_NS: f64 = 100_000.0;
    /// Fewest values for a 99th percentile: ten lie beyond it.
    pub const SAMPLES: u64 = 1_000;
    /// Share of requests or connections that failed.
    pub const ERROR_RATIO: f64 = 0.01;
    /// Standard deviation over mean of the intervals.
    pub const VARIATION: f64 = 0.2;
    /// Difference of the last third to the first, as a share of the mean.
    pub const DRIFT: f64 = 0.1;
}

/// What was asked for and supposed, which the result alone does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    /// The mode that was asked for: `zerocopy`, `copy`; `None` for whichever there is.
    pub mode: Option<String>,
    /// Where the steering program was asked to run: `native`, `generic`.
    pub xdp: Option<String>,
    /// The transmit path that was asked for.
    pub transmit_path: Option<String>,
    /// Nothing on the way should lose packets: a cable, a lab, a rate below that of the link.
    pub lossless: bool,
    /// Raw frames were sent: they are timed from when they leave, and what becomes of them is what is measured.
    pub raw_frames: bool,
    /// What is measured is our own end, which may be as busy as it can.
    pub own_end_is_measured: bool,
}

/// Judges a result.
///
/// ```
/// use bypath_measure::result::RunResult;
/// use bypath_measure::verdict::{Expectations, judge};
///
/// let mut result = RunResult::new("load", "0.1.0");
/// result.totals.bytes_corrupt = Some(3);
/// let verdict = judge(&result, &Expectations::default());
/// assert!(!verdict.valid);
/// assert!(verdict.reasons[0].message.starts_with("3 bytes"));
/// ```
pub fn judge(result: &RunResult, expected: &Expectations) -> Verdict {
    let mut findings = Findings::default();
    partial(result, &mut findings);
    generator::check(result, expected, &mut findings);
    machine::check(result, expected, &mut findings);
    network::check(result, expected, &mut findings);
    samples::check(result, &mut findings);
    findings.verdict()
}

/// Judges a result and notes the judgement in it. A run that failed has nothing to be judged.
pub fn judge_into(result: &mut RunResult, expected: &Expectations) {
    result.verdict = (result.state != RunState::Failed).then(|| judge(result, expected));
}

fn partial(result: &RunResult, findings: &mut Findings) {
    let partial = result.state == RunState::Partial;
    findings.check(ReasonCode::Partial, partial, || {
        let why = result.error.as_ref().map_or("", |error| error.message.as_str());
        Told::plain(format!(
            "the run was cut short after {:.1} s ({why}): let it run to its end",
            result.duration_seconds
        ))
    });
}

/// What a check has to tell.
struct Told {
    message: String,
    figures: Option<(f64, f64, &'static str)>,
}

impl Told {
    fn plain(message: String) -> Told {
        Told { message, figures: None }
    }

    /// With what was measured, and its limit, in `unit`.
    fn with(message: String, measured: f64, limit: f64, unit: &'static str) -> Told {
        Told { message, figures: Some((measured, limit, unit)) }
    }
}

/// What the checks have found so far.
#[derive(Default)]
struct Findings {
    reasons: Vec<Reason>,
    checked: Vec<ReasonCode>,
}

impl Findings {
    /// Notes that a check was made; `tell` is asked if it was `wrong`.
    fn check(&mut self, code: ReasonCode, wrong: bool, tell: impl FnOnce() -> Told) {
        if !self.checked.contains(&code) {
            self.checked.push(code);
        }
        if wrong {
            let Told { message, figures } = tell();
            let measured = figures.map(|(measured, _, _)| measured).filter(|value| value.is_finite());
            let limit = figures.map(|(_, limit, _)| limit);
            let unit = figures.map(|(_, _, unit)| unit.to_owned());
            self.reasons.push(Reason { code, message, measured, limit, unit });
        }
    }

    fn verdict(mut self) -> Verdict {
        self.checked.sort_unstable();
        Verdict { valid: self.reasons.is_empty(), reasons: self.reasons, checked: self.checked }
    }
}

/// A share, 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { if part == 0 { 0.0 } else { 1.0 } } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
