//! Programs that run for a while: each has a time, a log, and is ended when its owner drops it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What went wrong, as it is told.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Waits until something holds.
pub(crate) fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > patience {
            return Err(format!("{what}: not within {} s", patience.as_secs()));
        }
        sleep(LOOK);
    }
    Ok(())
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
    until: Instant,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// By which exit code or signal.
    pub(crate) status: ExitStatus,
    /// What it wrote to stdout.
    pub(crate) out: String,
    /// To stderr.
    pub(crate) err: String,
}

impl Program {
    /// Starts a command that may take so many seconds.
    pub(crate) fn start(command: &mut Command, seconds: u64) -> Result<Program> {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let name = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (out, err) =
            (PathBuf::from(format!("/run/{number}.out")), PathBuf::from(format!("/run/{number}.err")));
        let file =
            |path: &PathBuf| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        command.stdin(Stdio::null()).stdout(file(&out)?).stderr(file(&err)?);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Program { name, child, out, err, until: Instant::now() + Duration::from_secs(seconds) })
    }

    /// What it has written so far, both to stdout and stderr.
    pub(crate) fn said(&self) -> String {
        let text = |path: &PathBuf| fs::read(path).unwrap_or_default();
        [text(&self.out), text(&self.err)].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    /// Waits until it has said something, and still runs.
    pub(crate) fn wait_for(&mut self, text: &str) -> Result<()> {
        while !self.said().contains(text) {
            if let Some(status) = self.try_wait()? {
                return Err(format!(
                    "`{}` ended ({status}) before it said \"{text}\":\n{}",
                    self.name,
                    self.said()
                ));
            }
            if Instant::now() > self.until {
                return Err(format!("`{}` has not said \"{text}\":\n{}", self.name, self.said()));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| format!("`{}`: {error}", self.name))
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.try_wait(), Ok(None))
    }

    /// Waits for its end, whatever its exit code.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        loop {
            if let Some(status) = self.try_wait()? {
                let text = |path: &PathBuf| {
                    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
                };
                return Ok(Ended { status, out: text(&self.out), err: text(&self.err) });
            }
            if Instant::now() > self.until {
                return Err(format!("`{}` does not end:\n{}", self.name, self.said()));
            }
            sleep(LOOK);
        }
    }

    /// Waits for its end, and fails unless it ended well.
    pub(crate) fn succeed(self) -> Result<Ended> {
        let name = self.name.clone();
        let ended = self.wait()?;
        if ended.status.success() {
            return Ok(ended);
        }
        Err(format!("`{name}` failed ({}):\n{}{}", ended.status, ended.out, ended.err))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(id), signal).map_err(|error| format!("`{}`: {error}", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that takes a moment, and fails unless it ends well.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    Program::start(command, 30)?.succeed().map(|ended| ended.out)
}
