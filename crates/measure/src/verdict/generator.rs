//! Did the generator keep its schedule?

use super::{Expectations, Findings, Told, limit, ratio};
use crate::result::{ReasonCode, RunResult, metric};
use crate::text::{count, duration_ns, percent};

pub(super) fn check(result: &RunResult, expected: &Expectations, findings: &mut Findings) {
    let Some(generator) = &result.generator else { return };
    let p99 = |name: &str| {
        result.latency.get(name).filter(|found| found.count > 0).map(|found| found.p99_ns as f64)
    };
    let reported = p99(metric::REQUEST).or_else(|| p99(metric::FILE)).or_else(|| p99(metric::ROUND_TRIP));
    let reported = reported.filter(|_| !expected.raw_frames);
    let most = match reported {
        Some(p99) => (p99 * limit::LATENESS_RATIO).max(limit::LATENESS_FLOOR_NS),
        None if expected.raw_frames => limit::FRAME_LATENESS_NS,
        None => limit::LATENESS_ALONE_NS,
    };
    if generator.lateness.count > 0 {
        let late = generator.lateness.p99_ns as f64;
        findings.check(ReasonCode::GeneratorLate, late > most, || {
            let share = reported.map_or(String::new(), |p99| {
                format!(", {} of the p99 that is reported", percent(late / p99))
            });
            let so = if expected.raw_frames { "" } else { ", so the latencies are partly its own" };
            Told::with(
                format!(
                    "the generator acted {} late at p99{share}{so}: give it a core of its own, more workers (-P) or a lower \
                     rate (-R)",
                    duration_ns(late)
                ),
                late,
                most,
                "nanoseconds",
            )
        });
    }
    let missing = ratio(generator.not_started, generator.intended);
    findings.check(ReasonCode::GeneratorBehind, missing > limit::NOT_STARTED_RATIO, || {
        let (due, missed) = (count(generator.intended), count(generator.not_started));
        let message = if expected.raw_frames {
            format!("{missed} of {due} frames that were due were not sent: use more workers (-P), or ask for less (-R)")
        } else {
            format!(
                "{missed} of {due} that were due were never begun, because no connection was free: the target is slower than \
                 the rate; lower it (-R) or use more connections (-c)"
            )
        };
        Told::with(
            message,
            missing,
            limit::NOT_STARTED_RATIO,
            "ratio",
        )
    });
}
