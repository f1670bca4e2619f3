//! What is told of a run while it goes on: lines, or with `--tui` the display.

use bypath_measure::result::Interval;

use crate::result_args::ResultArgs;
use crate::tui::Display;

/// Where intervals are told.
pub(crate) struct Live<'a> {
    results: &'a ResultArgs,
    display: Option<Display>,
}

impl<'a> Live<'a> {
    /// Nothing is told yet.
    pub(crate) fn new(results: &'a ResultArgs) -> Live<'a> {
        Live { results, display: None }
    }

    /// A run begins that is described by these lines, the first of which can stand alone; it lasts so many seconds, if
    /// that is known.
    pub(crate) fn begin(&mut self, heading: &[String], duration_seconds: Option<f64>) {
        if self.results.tui {
            // Of an earlier run: it gives the terminal back before the next takes it.
            self.display = None;
            let title = heading.first().map_or("bypath", String::as_str);
            match Display::start(title, duration_seconds) {
                Ok(display) => self.display = Some(display),
                // The run does not depend on being watched.
                Err(error) => eprintln!("bypath: no display: {error}"),
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
}
