//! A load from its settings to its result.

use std::time::{Duration, Instant};

use bypath::{EngineBuilder, EngineError};

use crate::conditions::Watch;
use crate::histogram::HistogramSet;
use crate::repeat::repeated;
use crate::result::{ErrorCode, Interval, Profile, RunResult};

use super::collect::{Collected, Terms, collect};
use super::outcome::{Facts, fill};
use super::plan::{NoPlan, Plan};
use super::settings::{LoadSettings, Pattern};

/// How long after the engine is ready the run begins, so that all workers begin together.
const HEAD_START: Duration = Duration::from_millis(20);

/// Who hears of a run while it lasts.
pub trait Observer {
    /// The engine runs: `result` has the settings and the conditions.
    fn started(&mut self, result: &RunResult) {
        let _ = result;
    }

    /// An interval has ended; those of the warm-up begin before 0 s.
    fn interval(&mut self, interval: &Interval) {
        let _ = interval;
    }

    /// The distributions of the interval that was just told, whole.
    fn histograms(&mut self, interval: &Interval, histograms: &HistogramSet) {
        let _ = (interval, histograms);
    }

    /// Whether the run should end now, with what it has. Asked several times a second.
    fn wants_to_stop(&mut self) -> bool {
        false
    }
}

/// Nobody.
impl Observer for () {}

/// Looks at the clock whenever an interval has ended.
struct Watched<'a> {
    observer: &'a mut dyn Observer,
    watch: Watch,
}

impl Observer for Watched<'_> {
    fn interval(&mut self, interval: &Interval) {
        self.watch.look();
        self.observer.interval(interval);
    }

    fn histograms(&mut self, interval: &Interval, histograms: &HistogramSet) {
        self.observer.histograms(interval, histograms);
    }

    fn wants_to_stop(&mut self) -> bool {
        self.observer.wants_to_stop()
    }
}

/// Runs a load `count` times, each on an engine of its own, until one of them fails or is stopped.
pub fn run_repeated(
    settings: &LoadSettings,
    mut engine: impl FnMut() -> EngineBuilder,
    workers: usize,
    count: u32,
    observer: &mut dyn Observer,
) -> RunResult {
    repeated(count, &settings.expected, || run(settings, engine(), workers, observer))
}

/// Runs a load with that many workers on an engine of these settings. Every failure is told in the result.
pub fn run(
    settings: &LoadSettings,
    engine: EngineBuilder,
    workers: usize,
    observer: &mut dyn Observer,
) -> RunResult {
    let mut result = RunResult::new("load", env!("CARGO_PKG_VERSION"));
    super::outcome::describe(settings, workers, &mut result);
    let (builder, plan) = match Plan::new(settings, engine, workers.max(1)) {
        Ok(plan) => plan,
        Err(NoPlan::Impossible(why)) => {
            result.fail(ErrorCode::Usage, why.to_string());
            return result;
        }
        Err(NoPlan::Io(doing, error)) => {
            result.fail(ErrorCode::Output, format!("{doing}: {error}"));
            return result;
        }
    };
    let engine = match builder.start() {
        Ok(engine) => engine,
        Err(error) => {
            let usage = matches!(error, EngineError::Config(_) | EngineError::Namespace { .. });
            let code = if usage { ErrorCode::Usage } else { ErrorCode::Interface };
            result.fail(code, error.to_string());
            return result;
        }
    };
    crate::conditions::engine(engine.info(), &mut result.conditions);
    observer.started(&result);
    let begun = Instant::now() + HEAD_START;
    // It can be set once, and is set here only.
    let _ = plan.control.start.set(begun);
    let terms = Terms {
        files: matches!(settings.pattern, Pattern::Files(_)),
        requests: !matches!(settings.pattern, Pattern::Connect | Pattern::Hold { .. }),
        may_be_silent: matches!(settings.pattern, Pattern::Hold { .. }),
        timeout: settings.timeout,
        keep_histograms: settings.keep_interval_histograms,
    };
    let mut watched = Watched { observer, watch: Watch::begin() };
    let collected: Collected = collect(&plan, &terms, &mut watched);
    watched.watch.end(&mut result.conditions);
    let stats = engine.stop();
    crate::conditions::transmitted(&stats, &mut result.conditions);
    result.notes.extend(crate::conditions::engine_notes(engine.info(), &stats));
    result.profile = Profile::of(&stats);
    drop(engine);
    let sink_errors = plan.writers.into_iter().filter_map(super::sink::SinkWriter::finish).collect();
    let facts = Facts { settings, collected, stats, steps: plan.steps, window: plan.window, sink_errors };
    fill(facts, &mut result);
    result
}
