//! `cargo xtask fuzz`: builds the fuzz targets once, runs each for so many minutes, and ends with a table.
//!
//! The targets are a workspace of their own in `fuzz/`, instrumented by cargo-fuzz. What a target finds worth
//! keeping goes to `fuzz/corpus`, which is not committed; it begins with `fuzz/seeds`, which are.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::shell::{self, Failure, Result, cargo, output, root};

const USAGE: &str = "\
usage: cargo xtask fuzz [--minutes N] [--jobs N] [--keep] [TARGET[=MINUTES]…]

Runs the targets, all unless some are named, for N minutes each (10). With 0 minutes the seeds are run once.

  --jobs N   targets that run at once, as many as there are processors unless told
  --keep     afterwards, replaces the seeds by a small part of the corpus that covers what all of it does";

/// The command that this is again after the build, deaf to Ctrl-C.
pub(crate) const DEAF: &str = "fuzz-deaf";

/// What libFuzzer exits with when it was interrupted.
const INTERRUPTED: i32 = 72;

/// Most files that are committed for a target.
const SEEDS: usize = 48;

/// A target and its time.
#[derive(Clone)]
struct Job {
    target: String,
    minutes: f64,
}

struct Plan {
    jobs: Vec<Job>,
    at_once: usize,
    keep: bool,
}

/// What came of one target.
struct Outcome {
    target: String,
    status: ExitStatus,
    executions: String,
    per_second: String,
    coverage: String,
    findings: Vec<PathBuf>,
}

impl Outcome {
    fn interrupted(&self) -> bool {
        self.status.code() == Some(INTERRUPTED)
    }

    fn failed(&self) -> bool {
        !self.findings.is_empty() || !(self.status.success() || self.interrupted())
    }
}

/// Builds, and goes on as [`run_deaf`]: Ctrl-C shall end the targets, each of which then tells how far it came,
/// and not the table. A shell can have a signal ignored across `exec`, the standard library cannot.
pub(crate) fn run(args: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    if args.iter().any(|arg| arg == "-h" || arg == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    plan(args)?;
    build()?;
    let own = std::env::current_exe().map_err(|e| Failure(format!("where am I? {e}")))?;
    let error = Command::new("/bin/sh")
        .args(["-c", "trap '' INT; exec \"$0\" \"$@\""])
        .arg(own)
        .arg(DEAF)
        .args(args)
        .exec();
    Err(Failure(format!("/bin/sh: {error}")))
}

/// Runs the targets that are built.
pub(crate) fn run_deaf(args: &[String]) -> Result<()> {
    let plan = plan(args)?;
    let queue = Mutex::new(VecDeque::from(plan.jobs.clone()));
    let outcomes = Mutex::new(Vec::new());
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..plan.at_once {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed)
                    && let Some(job) = queue.lock().ok().and_then(|mut queue| queue.pop_front())
                {
                    let outcome = fuzz(&job, &stopped);
                    if outcome.as_ref().map_or(true, Outcome::interrupted) {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes: Vec<Outcome> =
        outcomes.into_inner().unwrap_or_default().into_iter().collect::<Result<_>>()?;
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    table(&outcomes);
    if outcomes.iter().any(Outcome::failed) {
        return Err(Failure("there are findings".into()));
    }
    if outcomes.len() < plan.jobs.len() || outcomes.iter().any(Outcome::interrupted) {
        return Err(Failure("interrupted".into()));
    }
    if plan.keep {
        for job in &plan.jobs {
            keep(&job.target)?;
        }
    }
    Ok(())
}

fn plan(args: &[String]) -> Result<Plan> {
    let all = targets()?;
    let bad = |what: &str| Failure(format!("{what}\n{USAGE}"));
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<f64>().ok()).filter(|n| *n >= 0.0);
    let (mut minutes, mut keep, mut named) = (10.0, false, Vec::new());
    let mut at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--minutes" => minutes = number(args.next()).ok_or_else(|| bad("how many minutes?"))?,
            "--jobs" => at_once = number(args.next()).ok_or_else(|| bad("how many jobs?"))? as usize,
            "--keep" => keep = true,
            _ => {
                let (target, own) = arg.split_once('=').map_or((arg.as_str(), None), |(t, m)| (t, Some(m)));
                if !all.iter().any(|known| known == target) {
                    return Err(bad(&format!("no target is named {target}; there are {}", all.join(", "))));
                }
                let own = match own.map(str::to_owned) {
                    Some(text) => Some(number(Some(&text)).ok_or_else(|| bad("how many minutes?"))?),
                    None => None,
                };
                named.push((target.to_owned(), own));
            }
        }
    }
    if named.is_empty() {
        named = all.into_iter().map(|target| (target, None)).collect();
    }
    let jobs =
        named.into_iter().map(|(target, own)| Job { target, minutes: own.unwrap_or(minutes) }).collect();
    Ok(Plan { jobs, at_once: at_once.max(1), keep })
}

fn home() -> PathBuf {
    root().join("fuzz")
}

/// The targets, by their files.
fn targets() -> Result<Vec<String>> {
    let dir = home().join("fuzz_targets");
    let entries = fs::read_dir(&dir).map_err(|e| Failure(format!("{}: {e}", dir.display())))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// The instrumentation is asked of the compiler by options that only its unstable channel has; this variable
/// gives them to the stable one.
fn cargo_fuzz(args: &[&str]) -> Command {
    let mut command = cargo(args);
    command.current_dir(home()).env("RUSTC_BOOTSTRAP", "1");
    command
}

fn build() -> Result<()> {
    if output(&mut cargo(&["fuzz", "--version"])).is_none() {
        println!("fuzz: installing cargo-fuzz");
        shell::run(&mut cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    println!("fuzz: building the targets");
    // No sanitizer: the code is safe Rust, and runs several times as fast without.
    shell::run(&mut cargo_fuzz(&["fuzz", "build", "--sanitizer", "none", "--target-dir", "target"]))
}

/// The built program of a target.
fn program(target: &str) -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure("`rustc -vV` does not say what machine this is".into()))?;
    Ok(home().join("target").join(host).join("release").join(target))
}

fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).map_err(|e| Failure(format!("{}: {e}", dir.display())))?;
    Ok(dir)
}

fn files(dir: &PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

/// Runs a target for its time; what it says goes to a file.
fn fuzz(job: &Job, stopped: &AtomicBool) -> Result<Outcome> {
    let Job { target, minutes } = job;
    let corpus = made(home().join("corpus").join(target))?;
    let artifacts = made(home().join("artifacts").join(target))?;
    let log = made(home().join("target/logs"))?.join(format!("{target}.log"));
    let before = files(&artifacts);
    let mut command = Command::new(program(target)?);
    command.arg(&corpus).arg(made(home().join("seeds").join(target))?).args([
        "-print_final_stats=1",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-verbosity=1",
    ]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // libFuzzer takes no time at all for no limit.
    let seconds = (minutes * 60.0).ceil() as u64;
    command.arg(if seconds == 0 { "-runs=0".to_owned() } else { format!("-max_total_time={seconds}") });
    let words = home().join("dict").join(format!("{target}.dict"));
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    println!("fuzz: {target} for {minutes} min, log in {}", log.display());
    let sink = || File::options().append(true).open(&log);
    let started = File::create(&log).and_then(|_| Ok((sink()?, sink()?)));
    let (out, err) = started.map_err(|e| Failure(format!("{}: {e}", log.display())))?;
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let status = child.and_then(|child| wait(child, stopped));
    let status = status.map_err(|e| Failure(format!("{target}: {e}")))?;

    let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let stat = |name: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| "-".to_owned(), |value| value.trim_matches([':', ' ']).to_owned())
    };
    let coverage = text.lines().rev().find_map(|line| line.split_once("cov: ")?.1.split(' ').next());
    let findings = files(&artifacts).into_iter().filter(|file| !before.contains(file)).collect();
    let outcome = Outcome {
        target: target.clone(),
        status,
        executions: stat("stat::number_of_executed_units"),
        per_second: stat("stat::average_exec_per_sec"),
        coverage: coverage.unwrap_or("-").to_owned(),
        findings,
    };
    if outcome.failed() {
        let end: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        println!("fuzz: {target} has failed:\n{}", end[end.len().saturating_sub(40)..].join("\n"));
    }
    Ok(outcome)
}

/// Waits for a target. Ctrl-C reaches all of them, but one that has only just begun may not listen yet: when
/// another has stopped for it, this one is told again.
fn wait(mut child: Child, stopped: &AtomicBool) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stopped.load(Ordering::Relaxed) {
            let _ = output(Command::new("kill").args(["-INT", &child.id().to_string()]));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn table(outcomes: &[Outcome]) {
    println!("{:<20}{:>14}{:>10}{:>10}  findings", "target", "executions", "per s", "coverage");
    for outcome in outcomes {
        let Outcome { target, executions, per_second, coverage, findings, .. } = outcome;
        let verdict = match (outcome.failed(), outcome.interrupted()) {
            (true, _) => format!("{} ({})", findings.len(), outcome.status),
            (false, true) => "0 (interrupted)".to_owned(),
            (false, false) => "0".to_owned(),
        };
        println!("{target:<20}{executions:>14}{per_second:>10}{coverage:>10}  {verdict}");
        for finding in findings {
            println!("    {}", finding.display());
        }
    }
}

/// Replaces a target's seeds by the fewest files found that cover what seeds and corpus cover together. They
/// are written in the order of what they add, so that a bound on their number costs little.
fn keep(target: &str) -> Result<()> {
    let (seeds, corpus) = (home().join("seeds").join(target), home().join("corpus").join(target));
    let fresh = home().join("target/keep").join(target);
    let _ = fs::remove_dir_all(&fresh);
    let fresh = made(fresh)?;
    let mut merge = Command::new(program(target)?);
    merge.args(["-set_cover_merge=1", "-max_len=4096"]).args([&fresh, &made(seeds.clone())?, &corpus]);
    if output(&mut merge).is_none() {
        return Err(Failure(format!("{target}: no smaller set was found")));
    }
    let written = |file: &PathBuf| fs::metadata(file).and_then(|found| found.modified()).ok();
    let mut chosen = files(&fresh);
    chosen.sort_by_key(written);
    let failed = |e: std::io::Error| Failure(format!("{}: {e}", seeds.display()));
    fs::remove_dir_all(&seeds).map_err(failed)?;
    made(seeds.clone())?;
    for file in chosen.iter().take(SEEDS) {
        fs::copy(file, seeds.join(file.file_name().unwrap_or_default())).map_err(failed)?;
    }
    println!("fuzz: {target} keeps {} of {} seeds", chosen.len().min(SEEDS), chosen.len());
    Ok(())
}
