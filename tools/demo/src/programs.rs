//! Running programs to their end, unless Ctrl-C comes first.

use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{DemoError, Result, io};

const WATCH_EVERY: Duration = Duration::from_millis(10);

/// Whether somebody wants the demo to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Notes signals from now on, instead of ending at once: the lab must be removed first.
    pub(crate) fn on_signals() -> Result<Stop> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(io("watching for Ctrl-C"))?;
        }
        Ok(Stop(flag))
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(DemoError::Interrupted) } else { Ok(()) }
    }

    /// What a program prints; an error with all of it when it fails.
    pub(crate) fn run(&self, command: &mut Command) -> Result<String> {
        let line = line(command);
        let file = || tempfile::tempfile().map_err(io("making a temporary file"));
        let (mut stdout, mut stderr) = (file()?, file()?);
        let copy = |file: &std::fs::File| file.try_clone().map_err(io("sharing a temporary file"));
        command.stdin(Stdio::null()).stdout(copy(&stdout)?).stderr(copy(&stderr)?);
        let mut child = Guard(command.spawn().map_err(io(&line))?);
        let status = loop {
            if let Some(status) = child.0.try_wait().map_err(io(&line))? {
                break status;
            }
            self.check()?;
            std::thread::sleep(WATCH_EVERY);
        };
        self.check()?;
        let text = |file: &mut std::fs::File| {
            let mut bytes = Vec::new();
            // What was printed is for the reader's information only.
            let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let out = text(&mut stdout);
        if status.success() {
            return Ok(out);
        }
        let output = format!("{out}{}", text(&mut stderr));
        Err(DemoError::Program { command: line, status: status.to_string(), output })
    }
}

/// A program that does not outlive us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn line(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
