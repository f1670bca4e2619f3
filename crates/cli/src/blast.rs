//! `bypath blast`: raw frames sent, received, or sent back.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bypath_measure::blast::bench::{Bench, IntervalSample, SidePlan, TrialPlan, TrialReport};
use bypath_measure::blast::maker::Content;
use bypath_measure::blast::outcome::{self, Flow};
use bypath_measure::blast::pacer::Rate;
use bypath_measure::blast::port::Port;
use bypath_measure::blast::sizes::Sizes;
use bypath_measure::blast::{BlastError, judge};
use bypath_measure::conditions::Watch;
use bypath_measure::repeat::repeated;
use bypath_measure::result::{ErrorCode, RunResult, metric};
use bypath_measure::verdict::judge_into;
use clap::Args;

use crate::engine_args::PollChoice;
use crate::exports::ExportArgs;
use crate::frame_text::{interval_line, summary};
use crate::live::Live;
use crate::port_args::{FrameArgs, PortArgs};
use crate::result_args::{ResultArgs, parse_seconds};

/// How long a run is when nothing is said.
const DURATION: Duration = Duration::from_secs(10);
/// How long stragglers are waited for.
const GRACE: Duration = Duration::from_millis(200);

/// The options of `bypath blast`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BlastArgs {
    /// How fast to send, all workers together: frames a second (100000, 1.5M, 2Mpps), bits a second of Ethernet frames
    /// (10Gbit), or "wire" for as fast as it goes.
    #[arg(short = 'R', long, default_value = "wire")]
    rate: Rate,

    /// Frame sizes in bytes, FCS included: 1518, a list 64,512 with weights 64x7,594x4,1518, a range 64-1518, or imix. The
    /// shortest that holds headers and signature by default.
    #[arg(long, value_name = "SIZES", conflicts_with = "replay")]
    size: Option<Sizes>,

    /// Seconds to send, 10 if -n is not given either; with --receive and --reflect, seconds to run, endless by default.
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_seconds)]
    time: Option<Duration>,

    /// Frames to send.
    #[arg(short = 'n', long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Seconds to send before what counts.
    #[arg(short = 'O', long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    warm_up: Duration,

    /// Receive only: frames for --dst-ip and --dst-port, from a `bypath blast` elsewhere. Ends when its senders say so.
    #[arg(long, conflicts_with_all = ["reflect", "to_dev", "count", "replay"])]
    receive: bool,

    /// Send every frame for --dst-ip and --dst-port back to where it came from.
    #[arg(long, conflicts_with_all = ["to_dev", "count", "replay"])]
    reflect: bool,

    /// The senders share our clock, being on this machine: measure the time of flight. Implied by --to-dev.
    #[arg(long)]
    same_clock: bool,

    /// Do not tell the receiver at the end how many frames there were.
    #[arg(long)]
    no_end_marks: bool,

    #[command(flatten)]
    ports: PortArgs,

    #[command(flatten)]
    frames: FrameArgs,

    /// Run it so many times, and tell medians, spread and confidence.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,

    #[command(flatten)]
    results: ResultArgs,

    #[command(flatten)]
    exports: ExportArgs,
}

/// Runs the command.
pub(crate) fn run(args: &BlastArgs) -> ExitCode {
    let mut result = RunResult::new("blast", env!("CARGO_PKG_VERSION"));
    result.pattern = Some(args.pattern().to_owned());
    match Live::open(&args.results, &args.exports, "blast") {
        Err((code, message)) => result.fail(code, message),
        Ok(mut live) => {
            args.ports.capture.around(&mut result, |result| {
                if let Err(error) = args.measure(result, &mut live) {
                    result.fail(code_of(&error), error.to_string());
                }
            });
            live.finish(&mut result);
        }
    }
    args.results.give(result, &summary)
}

/// What an error is for programs.
pub(crate) fn code_of(error: &BlastError) -> ErrorCode {
    match error {
        BlastError::Device(_) => ErrorCode::Interface,
        BlastError::Unreachable { .. } => ErrorCode::Unreachable,
        BlastError::System { .. } => ErrorCode::Other,
        _ => ErrorCode::Usage,
    }
}

/// A flag that Ctrl-C sets.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, BlastError> {
    let failed = |source| BlastError::System { action: "listening for signals", source };
    crate::signals::stop_flag().map_err(failed)
}

impl BlastArgs {
    fn pattern(&self) -> &'static str {
        match (self.receive, self.reflect, &self.ports.to_dev) {
            (true, ..) => "receive",
            (_, true, _) => "reflect",
            (.., Some(_)) => "both",
            _ => "send",
        }
    }

    fn measure(&self, result: &mut RunResult, live: &mut Live<'_>) -> Result<(), BlastError> {
        let stop = stop_on_signals()?;
        let (near, far) = (self.ports.near()?, self.ports.far());
        let listens = self.receive || self.reflect;
        let content = if listens {
            None
        } else {
            Some(self.frames.content(self.size.as_ref(), &near, far.as_ref())?)
        };
        let wanted = self.frames.wanted(content.as_deref())?;
        let mut ports = vec![Port::open(&near, if listens { &wanted } else { &[] })?];
        if let Some(far) = &far {
            ports.push(Port::open(far, &wanted)?);
        }
        if let Some(content) = &content {
            ports[0].check_len(content.longest())?;
        }
        let plan = self.plan(content.clone());
        self.note(
            result,
            content.as_deref(),
            &ports[0],
            &wanted.iter().map(|w| w.addresses.to_string()).collect::<Vec<_>>(),
        );
        let mut bench = Bench { ports, cores: self.ports.pins(), tap: self.ports.capture.sink() };
        judge::conditions(&bench, &mut result.conditions);
        let receives = listens || far.is_some();
        let base = result.clone();
        let once = || {
            let mut one = RunResult { started_unix_seconds: unix_seconds(), ..base.clone() };
            if let Err(error) = self.trial(&mut one, &mut bench, &plan, receives, &stop, live) {
                one.fail(code_of(&error), error.to_string());
            }
            one
        };
        *result = repeated(self.repeat, &judge::expectations(), once);
        Ok(())
    }

    /// Once.
    fn trial(
        &self,
        result: &mut RunResult,
        bench: &mut Bench,
        plan: &TrialPlan,
        receives: bool,
        stop: &AtomicBool,
        live: &mut Live<'_>,
    ) -> Result<(), BlastError> {
        let sends = plan.sides[0].send.is_some();
        let title = format!("bypath blast {} on {}", self.pattern(), bench.ports[0].facts().name);
        live.begin(result, &[title], plan.duration.map(|duration| duration.as_secs_f64()));
        let mut watch = Watch::begin();
        let mut tell = |sample: &IntervalSample| {
            watch.look();
            let interval = outcome::interval(sample, sends, receives, false);
            live.interval(&interval, interval_line);
            live.histograms(&interval, [(metric::ONE_WAY, &sample.one_way)]);
        };
        let report = bench.trial(plan, stop, &mut tell)?;
        watch.end(&mut result.conditions);
        self.conclude(result, bench, &report, plan);
        let ended_by_hand = stop.load(Ordering::Relaxed) && (sends || self.time.is_some());
        if ended_by_hand {
            result.cut_short(ErrorCode::Interrupted, "interrupted: this is what was counted until then");
        }
        judge_into(result, &judge::expectations());
        Ok(())
    }

    fn plan(&self, content: Option<Arc<Content>>) -> TrialPlan {
        let both = self.ports.to_dev.is_some();
        let sends = content.is_some();
        let near = SidePlan { send: content, receive: self.receive, reflect: self.reflect };
        let far = SidePlan { receive: both, ..SidePlan::default() };
        TrialPlan {
            sides: [near, far],
            rate: self.rate,
            warm_up: if sends { self.warm_up } else { Duration::ZERO },
            duration: match (self.time, self.count) {
                (None, None) if sends => Some(DURATION),
                (time, _) => time,
            },
            frames: self.count,
            grace: GRACE,
            same_clock: both || self.same_clock,
            spin: self.ports.poll == PollChoice::Busy,
            end_marks: !both && !self.no_end_marks && !self.reflect && !self.frames.no_signature,
            interval: self.results.interval,
        }
    }

    fn note(&self, result: &mut RunResult, content: Option<&Content>, port: &Port, addresses: &[String]) {
        result.target = Some(addresses.join(","));
        result.set("dev", &port.facts().name);
        result.set("to-dev", &self.ports.to_dev);
        result.set("workers", self.ports.workers);
        if let Some(content) = content {
            result.set("rate", rate_text(self.rate));
            result.set("size", self.size.as_ref().map(ToString::to_string));
            result.set("mean-size-bytes", content.mean_size());
            result.set("flows", content.flows());
            result.set("signature", content.is_signed());
            result.set("replay", &self.frames.replay);
        }
    }

    fn conclude(&self, result: &mut RunResult, bench: &Bench, report: &TrialReport, plan: &TrialPlan) {
        result.warm_up_seconds = plan.warm_up.as_secs_f64();
        let flow = match report.sides.as_slice() {
            [near, far] => Flow::between(Some(near), Some(far)),
            [only] if plan.sides[0].send.is_some() => Flow::between(Some(only), None),
            _ => Flow::between(None, report.sides.first()),
        };
        let size = plan.sides[0].send.as_ref().map_or(0.0, |content| content.mean_size());
        let intended = plan.rate.frames_per_second(size);
        outcome::fill(result, bench, report, std::slice::from_ref(&flow), intended);
        judge::notes(result, &flow, plan, report);
        judge::transmitted(result, bench, report);
    }
}

/// Now, as results have it.
pub(crate) fn unix_seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// A rate as it would be written.
pub(crate) fn rate_text(rate: Rate) -> String {
    match rate {
        Rate::Wire => "wire".to_owned(),
        Rate::Frames(rate) => format!("{rate} frames/s"),
        Rate::Bits(rate) => format!("{rate} bit/s"),
    }
}
