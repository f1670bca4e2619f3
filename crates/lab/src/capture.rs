//! tcpdump on a host's interface, from the moment the guard exists until it is stopped.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::Result;
use crate::host::Host;
use crate::pcap::{self, ChecksumReport};
use crate::process::Process;

/// A running capture. Dropping it ends it; [`Capture::finish`] ends it and keeps what it wrote.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures whole frames that a filter of pcap-filter(7) accepts (empty: all) into a file.
    ///
    /// # Errors
    /// [`LabError::MissingTool`](crate::LabError::MissingTool),
    /// [`LabError::NotReady`](crate::LabError::NotReady) with what tcpdump said, about the filter too.
    pub fn start(host: &Host, file: &Path, filter: &str) -> Result<Capture> {
        let mut command = host.command("tcpdump")?;
        // A large buffer, no name lookups, each packet written at once, and no change of user: the
        // directory may be for root alone.
        command
            .args(["-i", host.interface(), "-n", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w"])
            .arg(file);
        if !filter.is_empty() {
            command.arg(filter);
        }
        let mut process = Process::start(host, "tcpdump", &mut command)?;
        process.wait_log("listening on")?;
        Ok(Capture { process, file: file.to_owned() })
    }

    /// The file that it writes.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Ends the capture and returns what tcpdump said at its end, with its count of dropped packets.
    ///
    /// # Errors
    /// [`LabError::Io`](crate::LabError::Io).
    pub fn finish(mut self) -> Result<String> {
        self.process.end(Signal::SIGINT)?;
        Ok(self.process.log())
    }

    /// Ends the capture and verifies every checksum in it.
    ///
    /// # Errors
    /// [`LabError::BadCapture`](crate::LabError::BadCapture) when the file is not what tcpdump writes.
    pub fn check(self) -> Result<ChecksumReport> {
        let file = self.file.clone();
        self.finish()?;
        pcap::check_file(&file)
    }
}
