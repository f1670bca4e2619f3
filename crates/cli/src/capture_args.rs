//! The options by which commands that drive the engine, or send frames, write what they received and sent.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bypath::TapSink;
use bypath_measure::capture::{CaptureSettings, Recording, Watcher};
use bypath_measure::export::OutputError;
use bypath_measure::result::{ErrorCode, RunResult};
use clap::Args;

/// The smallest file of a ring: one that holds a jumbo frame and what is around it.
const LEAST_SIZE: u64 = 64 << 10;

/// What is captured, and where to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    /// Write every packet that is received and sent to FILE, as pcapng, with what became of it and why it was sent.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Let the capture not grow beyond SIZE, such as 100M.
    #[arg(long, value_name = "SIZE", requires = "pcap")]
    pcap_size: Option<Size>,

    /// Go on in another file when one has reached --pcap-size, and keep the last N of them.
    #[arg(long, value_name = "N", requires = "pcap_size", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pcap_files: Option<u16>,

    /// Capture so many bytes of each packet; all of them by default.
    #[arg(long, value_name = "BYTES", requires = "pcap", value_parser = clap::value_parser!(u32).range(14..=65_535))]
    snaplen: Option<u32>,

    /// Where the packets go, once there is a capture.
    #[arg(skip)]
    sink: Arc<OnceLock<TapSink>>,
}

impl CaptureArgs {
    /// Makes the file, if one is wanted; from here on [`CaptureArgs::sink`] knows where packets go.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub(crate) fn begin(&self) -> Result<Option<Recording>, OutputError> {
        self.begin_watched(None)
    }

    /// The same, with somebody who sees what is captured.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub(crate) fn begin_watched(&self, watcher: Option<Watcher>) -> Result<Option<Recording>, OutputError> {
        let Some(path) = &self.pcap else { return Ok(None) };
        let settings = CaptureSettings {
            path: path.clone(),
            size: self.pcap_size.map(|size| size.0),
            files: self.pcap_files.map(usize::from),
            snap_len: self.snaplen,
        };
        let recording = Recording::start_watched(&settings, watcher)?;
        if let Some(sink) = recording.sink() {
            // A command has one capture.
            let _ = self.sink.set(sink);
        }
        Ok(Some(recording))
    }

    /// What the engine or the devices are to be given.
    pub(crate) fn sink(&self) -> Option<TapSink> {
        self.sink.get().cloned()
    }

    /// Runs a measurement while the capture is taken. The engine has stopped when it returns.
    pub(crate) fn around(&self, result: &mut RunResult, measure: impl FnOnce(&mut RunResult)) {
        match self.begin() {
            Err(error) => result.fail(ErrorCode::Output, error.to_string()),
            Ok(recording) => {
                measure(result);
                conclude(recording, result);
            }
        }
    }
}

/// Ends the capture, and tells of it in the result.
pub(crate) fn conclude(recording: Option<Recording>, result: &mut RunResult) {
    match recording.map(Recording::finish) {
        None | Some(Ok(None)) => {}
        Some(Ok(Some(summary))) => {
            result.notes.extend(summary.note());
            result.capture = Some(summary);
        }
        Some(Err(error)) => result.fail(ErrorCode::Output, error.to_string()),
    }
}

/// A size in bytes, with k, M or G behind it for powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is not a size of 64k or more, such as 100M or 2G");
        let (digits, shift) = match text.chars().last() {
            Some('k' | 'K') => (&text[..text.len() - 1], 10),
            Some('M') => (&text[..text.len() - 1], 20),
            Some('G') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(bad)?;
        if (LEAST_SIZE..1 << 60).contains(&bytes) { Ok(Self(bytes)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(size("100000"), Ok(100_000));
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("2G"), Ok(2 << 30));
        for bad in ["", "M", "10", "1.5M", "-1", "63k", "99999999999G", "5X"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
