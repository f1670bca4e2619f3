//! When messages are due, and what became of them. One is under way at a time.

use std::time::Duration;

use crate::blast::pacer::{Pacer, Rate};
use crate::histogram::NanoHistogram;
use crate::result::{Generator, Interval, RunResult, metric};

use super::slices::{PingRecorder, REQUEST, SERVICE};

/// Bytes of the number that each message begins with, where there is room for it.
const NUMBER_LEN: usize = 8;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct PingPlan {
    /// Bytes of a message, at least 1.
    pub size: usize,
    /// Messages a second; `None`: the next when the answer is there.
    pub rate: Option<f64>,
    /// Time before what counts.
    pub warm_up: Duration,
    /// Length of the measurement, if it ends by time.
    pub duration: Option<Duration>,
    /// Messages that count, if it ends by number.
    pub count: Option<u64>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Spin instead of sleeping.
    pub spin: bool,
    /// Length of an interval.
    pub interval: Duration,
    /// Whether intervals keep their histograms.
    pub keep_histograms: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct PingReport {
    /// Messages sent that count.
    pub sent: u64,
    /// Of those, answered.
    pub answered: u64,
    /// Of those, not answered in time.
    pub lost: u64,
    /// Answers that were not what had been sent.
    pub wrong: u64,
    /// From sending to the whole answer.
    pub round_trip: NanoHistogram,
    /// From when it was due to the whole answer. Empty without a rate.
    pub corrected: NanoHistogram,
    /// How much later than due messages were sent while nothing was under way: the generator's own fault.
    pub lateness: NanoHistogram,
    /// Messages that were due within the measurement and not sent.
    pub not_sent: u64,
    /// Length of the measurement.
    pub seconds: f64,
    /// Its intervals.
    pub intervals: Vec<Interval>,
}

impl PingReport {
    /// Fills in what was measured.
    pub fn fill(&self, result: &mut RunResult, plan: &PingPlan) {
        let totals = &mut result.totals;
        totals.requests_started = Some(self.sent);
        totals.requests = Some(self.answered);
        totals.requests_failed = Some(self.lost + self.wrong);
        totals.error("timed_out", self.lost);
        totals.error("wrong_answer", self.wrong);
        let bytes = |messages: u64| Some(messages * plan.size as u64);
        (totals.bytes_sent, totals.bytes_received) = (bytes(self.sent), bytes(self.answered + self.wrong));
        totals.bytes_verified = bytes(self.answered);
        let lateness = self.lateness.summary(false);
        if let Some(rate) = plan.rate {
            result.latency.insert(metric::REQUEST.to_owned(), self.corrected.summary(true));
            result.latency.insert(metric::REQUEST_SERVICE.to_owned(), self.round_trip.summary(true));
            result.generator = Some(Generator {
                schedule: "constant".to_owned(),
                seed: None,
                intended_per_second: rate,
                intended: self.sent + self.not_sent,
                started: self.sent,
                not_started: self.not_sent,
                lateness,
            });
        } else {
            result.latency.insert(metric::ROUND_TRIP.to_owned(), self.round_trip.summary(true));
        }
        result.intervals.clone_from(&self.intervals);
        result.finish(self.seconds);
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send the next message.
    Now,
    /// Send it then, by [`crate::blast::clock::now_ns`].
    At(u64),
    /// An answer is awaited until then.
    Answer(u64),
    /// It is over.
    Never,
}

/// The schedule and the figures of a run.
#[derive(Debug)]
pub struct Rounds {
    plan: PingPlan,
    pacer: Option<Pacer>,
    /// When what counts begins.
    from_ns: u64,
    until_ns: u64,
    under_way: Option<UnderWay>,
    /// When the last message was answered or given up.
    free_ns: u64,
    answered_once: bool,
    number: u64,
    message: Vec<u8>,
    report: PingReport,
    /// The current interval: where it goes, and when it began and ends.
    recorder: Option<PingRecorder>,
    interval_ns: (u64, u64),
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    due_ns: u64,
    sent_ns: u64,
    counts: bool,
}

impl Rounds {
    /// A run that begins now.
    pub fn new(plan: &PingPlan, now_ns: u64, recorder: Option<PingRecorder>) -> Rounds {
        let from_ns = now_ns + plan.warm_up.as_nanos() as u64;
        let forever = u64::MAX / 2;
        let until_ns = plan.duration.map_or(forever, |time| from_ns + time.as_nanos() as u64);
        // Contents that a shift would change.
        let message = (0..plan.size.max(1)).map(|at| (at.wrapping_mul(167) >> 3) as u8).collect();
        Rounds {
            pacer: plan.rate.and_then(|rate| Pacer::new(Rate::Frames(rate), now_ns)),
            plan: plan.clone(),
            from_ns,
            until_ns,
            under_way: None,
            free_ns: now_ns,
            answered_once: false,
            number: 0,
            message,
            report: PingReport::default(),
            recorder,
            interval_ns: (from_ns, from_ns + plan.interval.as_nanos() as u64),
        }
    }

    /// Hands the interval over when it has ended.
    fn end_interval(&mut self, now_ns: u64) {
        let (start, end) = self.interval_ns;
        if now_ns < end {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.hand_over(start - self.from_ns, now_ns - self.from_ns);
        }
        let interval = (self.plan.interval.as_nanos() as u64).max(1);
        // The next one ends where it would have, had this one been punctual.
        let late = (now_ns - end) / interval * interval;
        self.interval_ns = (now_ns, end + late + interval);
    }

    /// What to do at `now_ns`. An answer that is overdue is given up here.
    pub fn due(&mut self, now_ns: u64) -> Due {
        self.end_interval(now_ns);
        if let Some(under_way) = self.under_way {
            let limit = under_way.sent_ns + self.plan.timeout.as_nanos() as u64;
            if now_ns < limit {
                return Due::Answer(limit);
            }
            self.report.lost += u64::from(under_way.counts);
            if let Some(recorder) = self.recorder.as_mut().filter(|_| under_way.counts) {
                recorder.record().counts.lost += 1;
            }
            self.under_way = None;
            self.free_ns = now_ns;
        }
        let enough = self.plan.count.is_some_and(|count| self.report.sent >= count);
        if enough || now_ns >= self.until_ns {
            return Due::Never;
        }
        match &self.pacer {
            Some(pacer) if pacer.next_ns() > now_ns => Due::At(pacer.next_ns().min(self.until_ns)),
            _ => Due::Now,
        }
    }

    /// The next message. The caller sends all of it.
    pub fn send(&mut self, now_ns: u64) -> &[u8] {
        let due_ns = match &mut self.pacer {
            Some(pacer) => {
                let due_ns = pacer.next_ns();
                pacer.sent(0);
                due_ns
            }
            None => now_ns,
        };
        let counts = due_ns >= self.from_ns;
        if counts {
            self.report.sent += 1;
            if let Some(recorder) = &mut self.recorder {
                recorder.record().counts.sent += 1;
            }
            if self.pacer.is_some() {
                self.report.lateness.record(now_ns.saturating_sub(due_ns.max(self.free_ns)));
            }
        }
        self.under_way = Some(UnderWay { due_ns, sent_ns: now_ns, counts });
        self.number += 1;
        let number = self.number.to_be_bytes();
        let len = self.message.len().min(NUMBER_LEN);
        self.message[..len].copy_from_slice(&number[NUMBER_LEN - len..]);
        &self.message
    }

    /// The message that is under way, or was last.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Whether any message was answered, those of the warm-up included.
    pub fn has_answers(&self) -> bool {
        self.answered_once
    }

    /// Whether a message is under way.
    pub fn is_waiting(&self) -> bool {
        self.under_way.is_some()
    }

    /// Its answer is there, and `right` or not.
    pub fn answered(&mut self, now_ns: u64, right: bool) {
        let Some(under_way) = self.under_way.take() else { return };
        self.free_ns = now_ns;
        self.answered_once = true;
        if !under_way.counts {
            return;
        }
        let recorder = self.recorder.as_mut().map(PingRecorder::record);
        if !right {
            self.report.wrong += 1;
            if let Some(slice) = recorder {
                slice.counts.wrong += 1;
            }
            return;
        }
        let service = now_ns.saturating_sub(under_way.sent_ns);
        let corrected = now_ns.saturating_sub(under_way.due_ns);
        self.report.answered += 1;
        self.report.round_trip.record(service);
        if self.pacer.is_some() {
            self.report.corrected.record(corrected);
        }
        if let Some(slice) = recorder {
            slice.counts.answered += 1;
            slice.times.record(REQUEST, corrected);
            slice.times.record(SERVICE, service);
        }
    }

    /// Ends the run. A message under way is neither answered nor lost.
    pub fn finish(mut self, now_ns: u64) -> PingReport {
        if self.under_way.is_some_and(|under_way| under_way.counts) {
            self.report.sent -= 1;
        }
        let end = now_ns.min(self.until_ns);
        if let Some(pacer) = &mut self.pacer
            && self.plan.count.is_none()
        {
            while pacer.next_ns() < end {
                self.report.not_sent += u64::from(pacer.next_ns() >= self.from_ns);
                pacer.sent(0);
            }
        }
        self.report.seconds = end.saturating_sub(self.from_ns) as f64 / 1e9;
        if let Some(recorder) = self.recorder.take() {
            let ended = now_ns.max(self.from_ns) - self.from_ns;
            recorder.finish((self.interval_ns.0 - self.from_ns).min(ended), ended);
        }
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: Option<f64>) -> PingPlan {
        PingPlan {
            size: 64,
            rate,
            warm_up: Duration::ZERO,
            duration: Some(Duration::from_secs(1)),
            count: None,
            timeout: Duration::from_millis(500),
            spin: true,
            interval: Duration::from_secs(1),
            keep_histograms: false,
        }
    }

    /// Runs against a server that takes so long for message number n, on a virtual clock.
    fn run(plan: &PingPlan, takes_ns: impl Fn(u64) -> Option<u64>) -> PingReport {
        let (mut now, mut number) = (1_000, 0);
        let mut rounds = Rounds::new(plan, now, None);
        loop {
            match rounds.due(now) {
                Due::Now => {
                    rounds.send(now);
                    number += 1;
                    if let Some(takes) = takes_ns(number) {
                        now += takes;
                        rounds.answered(now, true);
                    }
                }
                Due::At(at) | Due::Answer(at) => now = at,
                Due::Never => return rounds.finish(now),
            }
        }
    }

    #[test]
    fn in_a_closed_loop_the_next_goes_when_the_answer_is_there() {
        let report = run(&plan(None), |_| Some(1_000_000));
        assert_eq!((report.sent, report.answered, report.lost), (1000, 1000, 0));
        assert_eq!(report.corrected.count(), 0);
        assert!((report.round_trip.mean() - 1e6).abs() < 1e3);
    }

    #[test]
    fn a_stall_is_in_the_corrected_times_of_all_that_were_due_meanwhile() {
        // 1,000 a second, 100 ms once: a hundred messages were due, on average 50 ms late.
        let report =
            run(&plan(Some(1000.0)), |number| Some(if number == 500 { 100_000_000 } else { 10_000 }));
        assert_eq!(report.sent, 1000);
        let p99 = report.corrected.quantile(0.99) as f64 / 1e6;
        assert!((85.0..=95.0).contains(&p99), "p99 {p99} ms");
        assert!(report.round_trip.quantile(0.99) < 20_000, "and not in the others");
        assert!(report.lateness.max() < 20_000, "which was not the generator's fault");
    }

    #[test]
    fn what_is_not_answered_in_time_is_lost_and_the_run_goes_on() {
        let report = run(&plan(None), |number| (number != 3).then_some(1_000_000));
        assert_eq!(report.lost, 1);
        assert_eq!(report.sent, report.answered + 1);
        assert!((report.answered as i64 - 500).abs() <= 1, "{}", report.answered);
    }

    #[test]
    fn a_run_by_number_ends_with_it() {
        let by_number = PingPlan { count: Some(17), duration: None, ..plan(None) };
        assert_eq!(run(&by_number, |_| Some(5)).answered, 17);
    }
}
