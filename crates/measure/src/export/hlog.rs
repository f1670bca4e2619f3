//! HdrHistogram's interval log: a line for each interval and distribution, tagged with its name. Values are in
//! nanoseconds; the maximum, which is there for people, is in milliseconds as in the logs of the Java implementation.

use std::fmt::Write as _;

use super::{Output, OutputError};
use crate::histogram::NanoHistogram;

/// A log that is being written.
#[derive(Debug)]
pub struct Hlog {
    output: Output,
    line: String,
    empty: bool,
}

impl Hlog {
    /// Writes the head. Times in the log are seconds from `started_unix_seconds`, the start of the measurement.
    pub fn begin(mut output: Output, started_unix_seconds: f64) -> Result<Hlog, OutputError> {
        let head = format!(
            "#[bypath {version}: values in nanoseconds, one tag for each distribution]\n\
             #[Histogram log format version 1.3]\n\
             #[StartTime: {started_unix_seconds:.3} (seconds since epoch)]\n\
             #[BaseTime: {started_unix_seconds:.3} (seconds since epoch)]\n\
             #[MaxValueDivisor: 1000000.000]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            version = env!("CARGO_PKG_VERSION"),
        );
        output.append(head.as_bytes())?;
        Ok(Hlog { output, line: String::new(), empty: true })
    }

    /// Adds an interval; distributions without values are left out, as is what lies before the measurement.
    pub fn interval<'n, 'h>(
        &mut self,
        start_seconds: f64,
        end_seconds: f64,
        histograms: impl IntoIterator<Item = (&'n str, &'h NanoHistogram)>,
    ) -> Result<(), OutputError> {
        if start_seconds < 0.0 {
            return Ok(());
        }
        for (name, histogram) in histograms.into_iter().filter(|(_, histogram)| !histogram.is_empty()) {
            self.line.clear();
            let (length, max) = (end_seconds - start_seconds, histogram.max() as f64 / 1e6);
            // A tag ends at a comma and holds no space. Writing to a String does not fail.
            let tag = name.replace([',', ' ', '\r', '\n'], "_");
            let _ = writeln!(
                self.line,
                "Tag={tag},{start_seconds:.3},{length:.3},{max:.3},{}",
                histogram.encode()
            );
            self.output.append(self.line.as_bytes())?;
            self.empty = false;
        }
        Ok(())
    }

    /// Whether no interval is in it.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Gives the log its name.
    pub fn finish(self) -> Result<(), OutputError> {
        self.output.commit()
    }
}
