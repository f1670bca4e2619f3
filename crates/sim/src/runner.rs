//! Runs seeds, on all cores; of one that fails, prints how to repeat it and leaves a capture.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::capture::Capture;
use crate::invariants::Violation;
use crate::plan::Plan;
use crate::scenario;
use crate::world::{Summary, World};

/// A seed that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// What does not hold.
    pub why: Violation,
    /// Where every packet is.
    pub capture: Option<PathBuf>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.why)?;
        if let Some(capture) = &self.capture {
            writeln!(f, "  packets: {}", capture.display())?;
        }
        write!(
            f,
            "  again:   BYPATH_SIM_SEED={} cargo test -p bypath-sim --test seeds one_seed -- --nocapture",
            self.seed
        )
    }
}

/// Runs a plan to its end. A panic counts as a violation.
///
/// # Errors
/// What does not hold.
pub fn run_plan(plan: &Plan) -> Result<Summary, Violation> {
    guarded(|| World::new(plan).run())
}

fn guarded<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Violation(format!("a panic: {}", text.unwrap_or_default())))
    })
}

/// Runs a plan once more with a capture, whatever comes of it.
pub fn capture_plan(plan: &Plan) -> Option<Capture> {
    let mut world = guarded(|| Ok(World::new(plan).captured())).ok()?;
    let _ = guarded(|| world.run());
    world.capture().cloned()
}

/// Runs one seed.
///
/// # Errors
/// What does not hold, with a capture.
pub fn run_seed(seed: u64) -> Result<Summary, Failure> {
    let plan = scenario::from_seed(seed);
    run_plan(&plan).map_err(|why| {
        let capture = capture_plan(&plan).and_then(|c| save(seed, &c));
        Failure { seed, why, capture }
    })
}

fn save(seed: u64, capture: &Capture) -> Option<PathBuf> {
    let dir = std::env::temp_dir().join("bypath-sim");
    std::fs::create_dir_all(&dir).ok()?;
    let path = dir.join(format!("seed-{seed}.pcapng"));
    std::fs::write(&path, capture.as_bytes()).ok()?;
    Some(path)
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Packets sent in all.
    pub packets: u64,
    /// The digests of all runs together: the same for the same seeds, in any process.
    pub digest: u64,
    /// Those that failed, at most [`MOST_FAILURES`].
    pub failures: Vec<Failure>,
}

/// After so many failures no more seeds are begun.
pub const MOST_FAILURES: usize = 5;

/// Runs `count` seeds from `first` on, on all cores.
pub fn run_seeds(first: u64, count: u64) -> Report {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(0);
    let report = Mutex::new(Report::default());
    let work = || {
        let (mut seeds, mut packets, mut digest) = (0, 0, 0u64);
        loop {
            // Several at a time, so that the counter is no meeting place.
            let from = next.fetch_add(16, Ordering::Relaxed);
            if from >= count || report.lock().is_ok_and(|r| r.failures.len() >= MOST_FAILURES) {
                break;
            }
            for n in from..(from + 16).min(count) {
                seeds += 1;
                match run_seed(first.wrapping_add(n)) {
                    Ok(summary) => {
                        packets += summary.packets;
                        digest = digest.wrapping_add(summary.digest);
                    }
                    Err(failure) => {
                        if let Ok(mut report) = report.lock() {
                            report.failures.push(failure);
                        }
                    }
                }
            }
        }
        if let Ok(mut report) = report.lock() {
            report.seeds += seeds;
            report.packets += packets;
            report.digest = report.digest.wrapping_add(digest);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    report.into_inner().unwrap_or_default()
}
