//! Tries what the search asks for, on a bench, and writes down every trial.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::search::{self, LimitedBy, Outcome};
use crate::blast::bench::{Bench, SidePlan, TrialPlan};
use crate::blast::maker::Content;
use crate::blast::outcome::{Flow, count_drops};
use crate::blast::pacer::Rate;
use crate::blast::sizes::FCS_LEN;
use crate::blast::{BlastError, judge};
use crate::histogram::{Merge, NanoHistogram};
use crate::result::{FrameLoss, FrameSizeResult, Step, Totals, metric};

/// Bursts are tried up to what full rate sends in so long.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// Which benchmarks are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tests {
    /// Throughput; latency and the curve need it or a rate.
    pub throughput: bool,
    /// Latency at the throughput.
    pub latency: bool,
    /// Frame loss rate.
    pub loss: bool,
    /// Back-to-back frames.
    pub back_to_back: bool,
}

/// How they are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which.
    pub tests: Tests,
    /// The highest rate tried, frames a second in each direction; `None`: what the generator reaches.
    pub max_rate: Option<f64>,
    /// Share of the frames that may be lost and still count as none.
    pub tolerance: f64,
    /// How exactly the throughput is searched, as a share of the highest rate.
    pub resolution: f64,
    /// Length of a trial.
    pub trial: Duration,
    /// Sending before each trial that does not count.
    pub warm_up: Duration,
    /// How long stragglers are waited for after a trial.
    pub grace: Duration,
    /// Pause before the next trial.
    pub settle: Duration,
    /// Repetitions of the search for the longest burst; their mean is told.
    pub bursts: u32,
    /// Step of the loss curve, as a share of the highest rate.
    pub loss_step: f64,
    /// Spin instead of sleeping.
    pub spin: bool,
}

/// One size at a time.
pub struct Benchmark<'a> {
    /// The open interfaces.
    pub bench: &'a mut Bench,
    /// How.
    pub settings: &'a Settings,
    /// Ends it.
    pub stop: &'a AtomicBool,
    /// Hears of each trial, and its times of flight.
    pub tell: &'a mut dyn FnMut(&Step, &NanoHistogram),
    /// When it began.
    pub began: Instant,
    /// The trials so far.
    pub steps: Vec<Step>,
}

/// Why a benchmark ended before its time.
#[derive(Debug)]
pub enum Ended {
    /// Somebody asked for it.
    Stopped,
    /// It cannot go on.
    Failed(BlastError),
}

impl From<BlastError> for Ended {
    fn from(error: BlastError) -> Ended {
        Ended::Failed(error)
    }
}

/// A trial's figures.
struct Trial {
    outcome: Outcome,
    one_way: NanoHistogram,
}

impl Benchmark<'_> {
    /// Runs the benchmarks with what each side sends; all frames are of one size.
    ///
    /// # Errors
    /// The run was stopped, or an interface has gone.
    pub fn run(&mut self, content: [Option<&Arc<Content>>; 2]) -> Result<FrameSizeResult, Ended> {
        let content = content.map(|side| side.cloned());
        let Some(size) = content.iter().flatten().map(|content| content.longest() + FCS_LEN).max() else {
            return Err(BlastError::Usage("nothing to send in either direction".into()).into());
        };
        let mut found = FrameSizeResult { frame_bytes: size as u32, ..FrameSizeResult::default() };
        let max = match self.settings.max_rate {
            Some(max) => max,
            None => self.trial(&content, size, Rate::Wire, None, "as fast as it goes")?.outcome.offered,
        };
        found.max_offered_frames_per_second = Some(max);
        let mut rate = max;
        if self.settings.tests.throughput {
            let (resolution, tolerance) = (self.settings.resolution, self.settings.tolerance);
            let mut trial = |rate: f64| {
                self.trial(&content, size, Rate::Frames(rate), None, "throughput").map(|trial| trial.outcome)
            };
            let throughput = search::throughput(max, resolution, tolerance, &mut trial)?;
            rate = throughput.rate;
            found.throughput_frames_per_second = Some(rate);
            found.throughput_bits_per_second = Some(rate * size as f64 * 8.0);
            let limited = if throughput.limited_by == LimitedBy::Device { "device" } else { "generator" };
            found.throughput_limited_by = Some(limited.to_owned());
        }
        if self.settings.tests.latency && rate > 0.0 {
            let trial = self.trial(&content, size, Rate::Frames(rate), None, "latency")?;
            found.latency = Some(trial.one_way.summary(true));
        }
        if self.settings.tests.loss {
            let step = self.settings.loss_step;
            let mut trial = |rate: f64| {
                self.trial(&content, size, Rate::Frames(rate), None, "frame loss").map(|trial| trial.outcome)
            };
            let curve = search::loss_curve(max, step, &mut trial)?;
            let point = |(share, outcome): (f64, Outcome)| FrameLoss {
                rate_ratio: share,
                offered_frames_per_second: outcome.offered,
                loss_ratio: outcome.loss,
            };
            found.frame_loss = curve.into_iter().map(point).collect();
        }
        if self.settings.tests.back_to_back {
            let longest = (max * LONGEST_BURST.as_secs_f64()).max(1.0) as u64;
            let mut sum = 0;
            for _ in 0..self.settings.bursts.max(1) {
                let mut trial = |burst: u64| {
                    let trial = self.trial(&content, size, Rate::Wire, Some(burst), "back to back")?;
                    Ok::<_, Ended>(trial.outcome.loss == 0.0)
                };
                sum += search::back_to_back(longest, &mut trial)?;
            }
            found.back_to_back_frames = Some(sum as f64 / f64::from(self.settings.bursts.max(1)));
        }
        Ok(found)
    }

    fn trial(
        &mut self,
        content: &[Option<Arc<Content>>; 2],
        size: usize,
        rate: Rate,
        burst: Option<u64>,
        what: &str,
    ) -> Result<Trial, Ended> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Ended::Stopped);
        }
        std::thread::sleep(self.settings.settle);
        let [near, far] = content;
        let plan = TrialPlan {
            sides: [
                SidePlan { send: near.clone(), receive: far.is_some(), reflect: false },
                SidePlan { send: far.clone(), receive: near.is_some(), reflect: false },
            ],
            rate,
            // A burst must find the device's buffers empty.
            warm_up: if burst.is_some() { Duration::ZERO } else { self.settings.warm_up },
            duration: burst.is_none().then_some(self.settings.trial),
            frames: burst,
            grace: self.settings.grace,
            spin: self.settings.spin,
            interval: Duration::from_secs(3600),
            ..TrialPlan::default()
        };
        let started = self.began.elapsed().as_secs_f64();
        let report = self.bench.trial(&plan, self.stop, &mut |_| {})?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(Ended::Stopped);
        }
        let (near_side, far_side) = (report.sides.first(), report.sides.get(1));
        let mut flows = Vec::new();
        if near.is_some() {
            flows.push(Flow::between(near_side, far_side));
        }
        if far.is_some() {
            flows.push(Flow::between(far_side, near_side));
        }
        // With both directions a rate is that of the slower one, and a loss that of the worse one.
        let seconds = report.seconds.max(1e-9);
        let offered = flows.iter().map(|flow| flow.sent as f64 / seconds).fold(f64::INFINITY, f64::min);
        // What our own rings lost had come through the device.
        let own_loss = |flow: &Flow| {
            let all: u64 =
                report.sides.iter().map(|side| side.device.rx_ring_full + side.device.rx_dropped).sum();
            all as f64 / flow.sent.max(1) as f64
        };
        let loss = flows.iter().map(|flow| (flow.loss_ratio() - own_loss(flow)).max(0.0)).fold(0.0, f64::max);
        let (mut totals, mut one_way) = (Totals::default(), NanoHistogram::new());
        let intended = rate.frames_per_second(size as f64);
        let verdict = Some(judge::verdict(&flows, intended, &report));
        for flow in &flows {
            flow.add_to(&mut totals, true, true);
            one_way.merge(&flow.one_way);
        }
        let ended = started + report.seconds;
        let mut step = Step {
            name: name(what, rate, burst),
            intended_per_second: intended,
            frame_bytes: Some(size as u32),
            start_seconds: started,
            end_seconds: ended,
            rates: crate::result::Rates::of(&totals, report.seconds),
            totals,
            verdict,
            ..Step::default()
        };
        if !one_way.is_empty() {
            step.latency.insert(metric::ONE_WAY.to_owned(), one_way.summary(false));
        }
        report.sides.iter().for_each(|side| count_drops(&mut step.drops, side));
        (self.tell)(&step, &one_way);
        self.steps.push(step);
        Ok(Trial { outcome: Outcome { offered, loss }, one_way })
    }
}

fn name(what: &str, rate: Rate, burst: Option<u64>) -> String {
    match (rate, burst) {
        (_, Some(burst)) => format!("{what}: {burst} frames"),
        (Rate::Frames(rate), _) => format!("{what} at {rate:.0} frames/s"),
        _ => what.to_owned(),
    }
}
