//! Results in the formats of other programs: JSON, CSV, HdrHistogram's two, Prometheus'.
//!
//! [`Outputs`] is what a command needs: it is opened before the run, so that a path that cannot be written is an error
//! before any traffic is sent; it takes each interval as it ends; and it is finished with the result. A file gets its
//! name when it is complete, and not before ([`Output`]).

mod csv;
mod endpoint;
mod hgrm;
mod hlog;
mod json;
mod output;
mod prometheus;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::histogram::NanoHistogram;
use crate::result::{ErrorCode, HistogramSummary, Interval, RunResult, RunState, metric};

pub use csv::csv;
pub use endpoint::Endpoint;
pub use hgrm::hgrm;
pub use hlog::Hlog;
pub use json::{json, print, print_json};
pub(crate) use output::advice;
pub use output::{Output, OutputError};
pub use prometheus::page;

/// Where a command's result goes, besides the terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// `--json FILE`; `-` is standard output.
    pub json: Option<PathBuf>,
    /// `--csv FILE`.
    pub csv: Option<PathBuf>,
    /// `--hgrm FILE`: the main distribution; the others go beside it, to `NAME.DISTRIBUTION.EXTENSION`.
    pub hgrm: Option<PathBuf>,
    /// `--hlog FILE`.
    pub hlog: Option<PathBuf>,
    /// `--prometheus ADDR`.
    pub prometheus: Option<SocketAddr>,
}

/// The outputs of a run.
#[derive(Debug, Default)]
pub struct Outputs {
    json: Option<Output>,
    csv: Option<Output>,
    hgrm: Option<Output>,
    hlog: Option<Hlog>,
    endpoint: Option<Endpoint>,
    error: Option<OutputError>,
}

impl Outputs {
    /// Opens all of them. `started_unix_seconds` is the start of the measurement.
    ///
    /// # Errors
    /// The first that cannot be written or bound. Nothing is left behind then.
    pub fn open(targets: &Targets, started_unix_seconds: f64) -> Result<Outputs, OutputError> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::create).transpose();
        let hlog = open(&targets.hlog)?;
        Ok(Outputs {
            json: open(&targets.json)?,
            csv: open(&targets.csv)?,
            hgrm: open(&targets.hgrm)?,
            hlog: hlog.map(|output| Hlog::begin(output, started_unix_seconds)).transpose()?,
            endpoint: targets.prometheus.map(Endpoint::bind).transpose()?,
            error: None,
        })
    }

    /// Where Prometheus finds the figures, with the port that was bound.
    pub fn prometheus(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(Endpoint::address)
    }

    /// Takes an interval that has ended, with its full histograms. A disk that is full now does not end the run: that is
    /// told at its end.
    pub fn interval<'n, 'h>(
        &mut self,
        interval: &Interval,
        histograms: impl IntoIterator<Item = (&'n str, &'h NanoHistogram)>,
    ) {
        let Some(hlog) = &mut self.hlog else { return };
        if let Err(error) = hlog.interval(interval.start_seconds, interval.end_seconds, histograms) {
            self.hlog = None;
            self.error.get_or_insert(error);
        }
    }

    /// Shows Prometheus the figures until now.
    pub fn publish(&self, so_far: &RunResult) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.publish(page(so_far));
        }
    }

    /// Writes everything, and gives the files their names. Of a run that failed there is only JSON to be written: what an
    /// earlier run has left under the other names is worth more.
    ///
    /// # Errors
    /// The first that could not be written; the others are written all the same. The result is a failure then, also in its
    /// JSON.
    pub fn finish(self, result: &mut RunResult) -> Result<(), OutputError> {
        let Outputs { json: json_file, csv: csv_file, hgrm: hgrm_file, hlog, endpoint, error } = self;
        drop(endpoint);
        let mut first = error;
        let mut note = |outcome: Result<(), OutputError>| {
            if let Err(error) = outcome {
                first.get_or_insert(error);
            }
        };
        let measured = result.state != RunState::Failed;
        if let Some(hlog) = hlog.filter(|_| measured) {
            note(finish_log(hlog, result));
        }
        if let Some(output) = csv_file.filter(|_| measured) {
            note(output.complete(csv(result).as_bytes()));
        }
        if let Some(output) = hgrm_file.filter(|_| measured) {
            note(histograms(output, result));
        }
        if let Some(error) = &first {
            result.fail(ErrorCode::Output, error.to_string());
        }
        // Last, so that it tells what has become of the others.
        if let Some(Err(error)) = json_file.map(|output| output.complete(json(result).as_bytes())) {
            result.fail(ErrorCode::Output, error.to_string());
            first.get_or_insert(error);
        }
        first.map_or(Ok(()), Err)
    }
}

/// Ends the log. Where no interval was taken as it ended, the log is made of what the result has kept: coarser intervals, or
/// the whole run as one.
fn finish_log(mut hlog: Hlog, result: &RunResult) -> Result<(), OutputError> {
    let decode = |text: &Option<String>| NanoHistogram::decode(text.as_deref()?).ok();
    if hlog.is_empty() {
        for interval in &result.intervals {
            let kept = interval.latency.iter().filter_map(|(name, l)| Some((name.as_str(), decode(&l.hdr)?)));
            let kept: Vec<(&str, NanoHistogram)> = kept.collect();
            let histograms = kept.iter().map(|(name, histogram)| (*name, histogram));
            hlog.interval(interval.start_seconds, interval.end_seconds, histograms)?;
        }
    }
    if hlog.is_empty() {
        let kept = result.latency.iter().filter_map(|(name, s)| Some((name.as_str(), decode(&s.hdr)?)));
        let kept: Vec<(&str, NanoHistogram)> = kept.collect();
        hlog.interval(0.0, result.duration_seconds, kept.iter().map(|(name, histogram)| (*name, histogram)))?;
    }
    hlog.finish()
}

/// The distribution that a result is mainly about.
fn main_distribution(result: &RunResult) -> Option<&str> {
    let main = [metric::REQUEST, metric::ROUND_TRIP, metric::ONE_WAY, metric::PACKET, metric::CONNECT];
    let known = main.into_iter().find(|name| result.latency.contains_key(*name));
    known.or_else(|| result.latency.keys().next().map(String::as_str))
}

/// Writes one file for each distribution.
fn histograms(output: Output, result: &RunResult) -> Result<(), OutputError> {
    let main = main_distribution(result);
    let path = output.path().to_owned();
    let text = |summary: &HistogramSummary| {
        let kept = summary.hdr.as_deref();
        hgrm(&kept.and_then(|text| NanoHistogram::decode(text).ok()).unwrap_or_default())
    };
    // Of RFC 2544 the frame sizes are what others have names for.
    let by_size =
        result.frame_sizes.iter().filter_map(|size| Some((size.frame_bytes, size.latency.as_ref()?)));
    let by_size: Vec<(String, &HistogramSummary)> =
        by_size.map(|(bytes, latency)| (bytes.to_string(), latency)).collect();
    let first =
        main.and_then(|name| result.latency.get(name)).or(by_size.first().map(|(_, latency)| *latency));
    output.complete(first.map(text).unwrap_or_else(|| hgrm(&NanoHistogram::new())).as_bytes())?;
    let named = result.latency.iter().filter(|(name, _)| Some(name.as_str()) != main);
    let others = by_size.iter().skip(usize::from(main.is_none())).map(|(name, latency)| (name, *latency));
    for (name, summary) in named.chain(others) {
        Output::create(&beside(&path, name))?.complete(text(summary).as_bytes())?;
    }
    Ok(())
}

/// `out.hgrm` and `packet`: `out.packet.hgrm`.
fn beside(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension() {
        Some(extension) => path.with_file_name(format!("{stem}.{name}.{}", extension.to_string_lossy())),
        None => path.with_file_name(format!("{stem}.{name}")),
    }
}

#[cfg(test)]
mod tests;
