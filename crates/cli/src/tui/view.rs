//! What the display knows of the run.

use std::collections::BTreeMap;

use bypath_measure::result::{Interval, ReasonCode, RunResult, Totals, Verdict};
use bypath_measure::verdict::{Expectations, judge};

/// Intervals that are kept for the sparklines: more than a terminal is wide.
const MOST: usize = 512;

/// A run as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(super) title: String,
    pub(super) duration_seconds: Option<f64>,
    /// Oldest first, the latest last.
    pub(super) intervals: Vec<Interval>,
    /// Of the measurement, without warm-up.
    pub(super) totals: Totals,
    pub(super) drops: BTreeMap<String, u64>,
    /// The largest value of each distribution since the measurement began.
    pub(super) largest: BTreeMap<String, u64>,
    pub(super) verdict: Option<Verdict>,
}

impl View {
    pub(crate) fn new(title: &str, duration_seconds: Option<f64>) -> View {
        View { title: title.to_owned(), duration_seconds, ..View::default() }
    }

    pub(crate) fn push(&mut self, interval: &Interval) {
        // What ends before the measurement begins is warm-up.
        if interval.end_seconds > 1e-9 {
            self.totals.add(&interval.totals);
            for (cause, count) in &interval.drops {
                *self.drops.entry(cause.clone()).or_default() += count;
            }
            for (name, latency) in &interval.latency {
                let largest = self.largest.entry(name.clone()).or_default();
                *largest = (*largest).max(latency.max_ns);
            }
        }
        if self.intervals.len() == MOST {
            self.intervals.remove(0);
        }
        // The histogram is large and is not looked at here.
        let mut kept = interval.clone();
        kept.latency.values_mut().for_each(|latency| latency.hdr = None);
        self.intervals.push(kept);
        if self.elapsed() > 0.0 {
            self.verdict = Some(self.so_far());
        }
    }

    /// What of the verdict can be told before the end: what was lost, damaged, or failed. The rest needs the whole run.
    fn so_far(&self) -> Verdict {
        let mut result = RunResult::new("", "");
        (result.totals, result.drops) = (self.totals.clone(), self.drops.clone());
        result.finish(self.elapsed());
        let mut verdict = judge(&result, &Expectations::default());
        verdict.reasons.retain(|reason| {
            use ReasonCode::{Corruption, Drops, Errors, RingsFull, UnexpectedLoss};
            matches!(reason.code, Corruption | Drops | Errors | RingsFull | UnexpectedLoss)
        });
        verdict.valid = verdict.reasons.is_empty();
        verdict
    }

    /// Seconds measured so far; negative during warm-up.
    pub(super) fn elapsed(&self) -> f64 {
        self.intervals.last().map_or(0.0, |interval| interval.end_seconds)
    }

    /// How much of the measurement is done, 0 to 1, if it has an end.
    pub(super) fn progress(&self) -> Option<f64> {
        let duration = self.duration_seconds.filter(|duration| *duration > 0.0)?;
        Some((self.elapsed() / duration).clamp(0.0, 1.0))
    }

    /// The rates that were measured, with their values in all intervals.
    pub(super) fn rates(&self) -> Vec<(&'static str, Vec<f64>)> {
        const SHOWN: [&str; 8] = [
            "goodput_sent_bits_per_second",
            "goodput_received_bits_per_second",
            "requests_per_second",
            "files_per_second",
            "connections_per_second",
            "packets_sent_per_second",
            "packets_received_per_second",
            "packets_per_second",
        ];
        SHOWN
            .into_iter()
            .map(|name| (name, self.intervals.iter().map(|i| i.rates.get(name).unwrap_or(0.0)).collect()))
            .filter(|(_, values): &(_, Vec<f64>)| values.iter().any(|value| *value > 0.0))
            .collect()
    }
}
