//! The intervals of a run: what the measuring thread counts in each goes to the thread that tells of it, whole.

use crate::histogram::interval::{self, Collector, Recorder, Slice};
use crate::histogram::{HistogramSet, Merge};
use crate::result::{Interval, Totals, metric};

use super::PingPlan;

/// The time from when a message was due, among the histograms of an interval; without a schedule that is when it was sent.
pub(super) const REQUEST: usize = 0;
/// The time from when it was sent, which only a run with a schedule tells apart.
pub(super) const SERVICE: usize = 1;

/// Structures beside the one being filled: the other thread may be an interval late.
const SPARES: usize = 2;

/// What is counted in one interval.
#[derive(Debug)]
pub struct PingSlice {
    pub(super) counts: PingCounts,
    pub(super) times: HistogramSet,
}

/// Its counts.
#[derive(Debug, Default)]
pub(super) struct PingCounts {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) lost: u64,
    pub(super) wrong: u64,
}

impl Merge for PingSlice {
    fn merge(&mut self, other: &Self) {
        self.counts.sent += other.counts.sent;
        self.counts.answered += other.counts.answered;
        self.counts.lost += other.counts.lost;
        self.counts.wrong += other.counts.wrong;
        self.times.merge(&other.times);
    }

    fn clear(&mut self) {
        self.counts = PingCounts::default();
        self.times.clear();
    }
}

/// The measuring side.
pub type PingRecorder = Recorder<PingSlice>;

/// The side that tells.
#[derive(Debug)]
pub(super) struct PingCollector {
    collector: Collector<PingSlice>,
    plan: PingPlan,
    told: Vec<Interval>,
}

/// Who hears of intervals: the interval and its distributions, whole.
pub type Tell<'a> = dyn FnMut(&Interval, &HistogramSet) + 'a;

/// Both sides.
pub(super) fn channel(plan: &PingPlan) -> (PingRecorder, PingCollector) {
    let names: &'static [&'static str] =
        if plan.rate.is_some() { &[metric::REQUEST, metric::REQUEST_SERVICE] } else { &[metric::ROUND_TRIP] };
    let make = || PingSlice { counts: PingCounts::default(), times: HistogramSet::new(names) };
    let (recorder, collector) = interval::channel(0, SPARES, make);
    (recorder, PingCollector { collector, plan: plan.clone(), told: Vec::new() })
}

impl PingCollector {
    /// Tells of the intervals that have ended.
    pub(super) fn tell(&mut self, tell: &mut Tell<'_>) {
        while let Some(slice) = self.collector.try_take() {
            let interval = self.interval(&slice);
            tell(&interval, &slice.data.times);
            self.told.push(interval);
            self.collector.give_back(slice);
        }
    }

    /// Tells of the last ones, and gives all. A rest that is shorter than half of an interval is none.
    pub(super) fn finish(mut self, tell: &mut Tell<'_>) -> Vec<Interval> {
        let half = self.plan.interval.as_secs_f64() / 2.0;
        let is_rest = |i: &Interval| i.end_seconds - i.start_seconds < half;
        while let Some(slice) = self.collector.try_take() {
            let interval = self.interval(&slice);
            if !is_rest(&interval) || self.told.is_empty() {
                tell(&interval, &slice.data.times);
                self.told.push(interval);
            }
            self.collector.give_back(slice);
        }
        self.told
    }

    fn interval(&self, slice: &Slice<PingSlice>) -> Interval {
        let counts = &slice.data.counts;
        let bytes = |messages: u64| Some(messages * self.plan.size as u64);
        let mut totals = Totals {
            requests_started: Some(counts.sent),
            requests: Some(counts.answered),
            requests_failed: Some(counts.lost + counts.wrong),
            bytes_sent: bytes(counts.sent),
            bytes_received: bytes(counts.answered + counts.wrong),
            ..Totals::default()
        };
        totals.error("timed_out", counts.lost);
        totals.error("wrong_answer", counts.wrong);
        let seconds = |ns: u64| ns as f64 / 1e9;
        let mut interval = Interval::new(seconds(slice.start_ns), seconds(slice.end_ns), totals);
        interval.latency = slice.data.times.interval_latency(self.plan.keep_histograms);
        interval
    }
}
