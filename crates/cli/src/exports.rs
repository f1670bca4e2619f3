//! The files and the page that a run's figures go to besides the terminal: CSV, HdrHistogram's table and log, Prometheus.

use std::net::SocketAddr;
use std::path::PathBuf;

use bypath_measure::export::{Outputs, Targets};
use bypath_measure::histogram::NanoHistogram;
use bypath_measure::result::{ErrorCode, Interval, RunResult};
use clap::Args;

/// Where figures go.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Results")]
pub(crate) struct ExportArgs {
    /// Write the intervals as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write the distributions as HdrHistogram's table of percentiles, the others beside the main one.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,

    /// Write every interval's distributions as HdrHistogram's log.
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// Show the figures to Prometheus while the run lasts, at http://ADDR:PORT/metrics.
    #[arg(long, value_name = "ADDR:PORT")]
    prometheus: Option<SocketAddr>,
}

/// They, while the run lasts.
#[derive(Debug)]
pub(crate) struct Exports {
    outputs: Outputs,
    so_far: RunResult,
}

impl ExportArgs {
    /// Opens what was asked for: what cannot be written is known before the run.
    pub(crate) fn open(&self, command: &str) -> Result<Exports, (ErrorCode, String)> {
        let so_far = RunResult::new(command, env!("CARGO_PKG_VERSION"));
        let ExportArgs { csv, hgrm, hlog, prometheus } = self.clone();
        let targets = Targets { json: None, csv, hgrm, hlog, prometheus };
        let outputs = Outputs::open(&targets, so_far.started_unix_seconds);
        outputs
            .map(|outputs| Exports { outputs, so_far })
            .map_err(|error| (ErrorCode::Output, error.to_string()))
    }
}

impl Exports {
    /// The run has begun.
    pub(crate) fn started(&mut self, result: &RunResult) {
        let before = self.so_far.totals.clone();
        self.so_far = RunResult { totals: before, ..result.clone() };
    }

    /// An interval has ended.
    pub(crate) fn interval<'n, 'h>(
        &mut self,
        interval: &Interval,
        histograms: impl IntoIterator<Item = (&'n str, &'h NanoHistogram)>,
    ) {
        self.outputs.interval(interval, histograms);
        if interval.start_seconds >= 0.0 {
            self.so_far.totals.add(&interval.totals);
            self.so_far.totals.connections_open_at_end = interval.totals.connections_open_at_end;
            self.so_far.finish(interval.end_seconds);
        }
        self.outputs.publish(&self.so_far);
    }

    /// Writes all, which is a failure of the run where it cannot be.
    pub(crate) fn finish(self, result: &mut RunResult) {
        if let Err(error) = self.outputs.finish(result) {
            result.fail(ErrorCode::Output, error.to_string());
        }
    }
}
