//! `--pcap`: what the engine's tap sees, written as pcapng by a thread of its own.
//!
//! [`CaptureWriter`] knows the file: one that is there whole or not at all, or a ring of files. [`Recording`] is the
//! thread that reads the tap for it. Commands that look at the packets themselves may do without the latter.

mod recording;
mod tapped;
#[cfg(test)]
mod tests;
mod writer;

pub use recording::{Recording, Watcher};
pub(crate) use tapped::{TappedDevice, tapped_writer};
pub use writer::{CaptureSettings, CaptureWriter};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a capture came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureSummary {
    /// The files that are there, oldest first.
    pub files: Vec<String>,
    /// Packets in all that was written, those in files of a ring that are gone included.
    pub packets: u64,
    /// Packets that were seen and not written, because writing did not keep up.
    pub missed: u64,
    /// Packets that were seen after the file had reached its largest size.
    pub beyond_limit: u64,
}

impl CaptureSummary {
    /// What a reader of the result has to know of it, if anything.
    pub fn note(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.missed > 0 {
            let share = 100.0 * self.missed as f64 / (self.packets + self.missed + self.beyond_limit) as f64;
            parts.push(format!(
                "{} packets ({share:.1} %) are missing, since writing did not keep up: a smaller --snaplen takes less",
                self.missed
            ));
        }
        if self.beyond_limit > 0 {
            parts.push(format!("{} packets came after --pcap-size was reached", self.beyond_limit));
        }
        (!parts.is_empty()).then(|| format!("capture: {}", parts.join("; ")))
    }
}
