//! Did the generator keep its schedule?

use super::{Findings, Told, limit, ratio};
use crate::result::{ReasonCode, RunResult, metric};
use crate::text::{count, duration_ns, percent};

pub(super) fn check(result: &RunResult, findings: &mut Findings) {
    let Some(generator) = &result.generator else { return };
    let p99 = |name: &str| {
        result.latency.get(name).filter(|found| found.count > 0).map(|found| found.p99_ns as f64)
    };
    let reported = p99(metric::REQUEST).or_else(|| p99(metric::FILE)).or_else(|| p99(metric::ROUND_TRIP));
    let most = reported
        .map_or(limit::LATENESS_ALONE_NS, |p99| (p99 * limit::LATENESS_RATIO).max(limit::LATENESS_FLOOR_NS));
    if generator.lateness.count > 0 {
        let late = generator.lateness.p99_ns as f64;
        findings.check(ReasonCode::GeneratorLate, late > most, || {
            let share = reported.map_or(String::new(), |p99| {
                format!(", {} of the p99 that is reported", percent(late / p99))
            });
            Told::with(
                format!(
                    "the generator acted {} late at p99{share}, so the latencies are partly its own: give it a core of its own, \
                     more workers (-P) or a lower rate (-R)",
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
        Told::with(
            format!(
                "{} of {} that were due were never begun, because no connection was free: the target is slower than the rate; \
                 lower it (-R) or use more connections (-c)",
                count(generator.not_started),
                count(generator.intended)
            ),
            missing,
            limit::NOT_STARTED_RATIO,
            "ratio",
        )
    });
}
