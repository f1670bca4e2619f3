//! What is told of a run while it goes on: lines, or with `--tui` the display; and what the files of `--csv` and its like and
//! Prometheus hear of it.

use bypath_measure::histogram::NanoHistogram;
use bypath_measure::result::{ErrorCode, Interval, RunResult};

use crate::exports::{ExportArgs, Exports};
use crate::result_args::ResultArgs;
use crate::tui::Display;

/// Where intervals are told.
pub(crate) struct Live<'a> {
    results: &'a ResultArgs,
    exports: Exports,
    display: Option<Display>,
}

impl<'a> Live<'a> {
    /// Opens everything that was asked for, so that what cannot be had is known before the run. Nothing is told yet.
    pub(crate) fn open(
        results: &'a ResultArgs,
        exports: &ExportArgs,
        command: &str,
    ) -> Result<Live<'a>, (ErrorCode, String)> {
        results.check()?;
        Ok(Live { results, exports: exports.open(command)?, display: None })
    }

    /// A run begins that is described by these lines, the first of which can stand alone; it lasts so many seconds, if
    /// that is known. `result` has its settings and conditions.
    pub(crate) fn begin(&mut self, result: &RunResult, heading: &[String], duration_seconds: Option<f64>) {
        self.exports.started(result);
        if self.results.tui {
            // Of an earlier run: it gives the terminal back before the next takes it.
            self.display = None;
            let title = heading.first().map_or("bypath", String::as_str);
            match Display::start(title, duration_seconds) {
                Ok(display) => self.display = Some(display),
                // The run does not depend on being watched.
                Err(error) => crate::complain!("bypath: no display: {error}"),
            }
        }
        if self.display.is_none() {
            heading.iter().for_each(|line| self.results.line(line));
        }
    }

    /// An interval has ended, which this line tells of.
    pub(crate) fn interval(&mut self, interval: &Interval, line: impl FnOnce(&Interval) -> String) {
        match &mut self.display {
            // A terminal that went away ends the run by itself, with SIGHUP.
            Some(display) => drop(display.interval(interval)),
            None => self.results.line(&line(interval)),
        }
    }

    /// Its distributions, whole.
    pub(crate) fn histograms<'n, 'h>(
        &mut self,
        interval: &Interval,
        histograms: impl IntoIterator<Item = (&'n str, &'h NanoHistogram)>,
    ) {
        self.exports.interval(interval, histograms);
    }

    /// Gives the terminal back and writes the files, which is a failure of the run where it cannot be.
    pub(crate) fn finish(self, result: &mut RunResult) {
        drop(self.display);
        self.exports.finish(result);
    }
}
