//! `bypath load`: its options made into settings, the run, and the lines that tell of it.

mod args;
mod targets;
mod tell;
mod values;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bypath_measure::histogram::HistogramSet;
use bypath_measure::load;
use bypath_measure::result::{ErrorCode, Interval, RunResult};

pub(crate) use args::LoadArgs;

use crate::capture_args::conclude;
use crate::live::Live;
use crate::stack::enter_netns;

/// Prints what happens, and stops on Ctrl-C.
struct Teller<'a> {
    live: Live<'a>,
    stop: Arc<AtomicBool>,
}

impl load::Observer for Teller<'_> {
    fn started(&mut self, result: &RunResult) {
        let seconds = result.settings.get("seconds").and_then(serde_json::Value::as_f64);
        self.live.begin(result, &tell::heading(result), seconds);
    }

    fn interval(&mut self, interval: &Interval) {
        self.live.interval(interval, tell::interval);
    }

    fn histograms(&mut self, interval: &Interval, histograms: &HistogramSet) {
        self.live.histograms(interval, histograms.iter());
    }

    fn wants_to_stop(&mut self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs the command.
pub(crate) fn run(args: &LoadArgs) -> ExitCode {
    let result = measure(args).unwrap_or_else(|(code, message)| {
        let mut failed = RunResult::failed("load", env!("CARGO_PKG_VERSION"), code, message);
        failed.pattern = Some(args.pattern_name().to_owned());
        failed.target = Some(args.target.clone());
        failed
    });
    args.results.give(result, &|result: &RunResult| tell::summary(result))
}

fn measure(args: &LoadArgs) -> Result<RunResult, (ErrorCode, String)> {
    if let Some(Err(error)) = args.engine.netns.as_deref().map(enter_netns) {
        return Err((ErrorCode::Usage, error.message));
    }
    let live = Live::open(&args.results, &args.exports, "load")?;
    let settings = args.settings()?;
    settings.check().map_err(|why| (ErrorCode::Usage, why.to_string()))?;
    let stop = crate::signals::stop_flag()
        .map_err(|error| (ErrorCode::Other, format!("cannot watch for Ctrl-C: {error}")))?;
    let workers = args.workers(&settings)?;
    let mut teller = Teller { live, stop };
    let recording = args.engine.capture.begin().map_err(|error| (ErrorCode::Output, error.to_string()))?;
    let engine = || args.builder(&workers);
    let mut result = load::run_repeated(&settings, engine, workers.len(), args.repeat, &mut teller);
    conclude(recording, &mut result);
    result.target = Some(args.target.clone());
    teller.live.finish(&mut result);
    Ok(result)
}
