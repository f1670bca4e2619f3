//! What `--json` prints: one object for one URL, an array of such objects for several, in the order of the
//! command line. It is printed at the end in every case, whether the transfers succeeded, failed, were
//! interrupted or never began.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use bypath_apps::{FetchError, Report};
use bypath_measure::capture::CaptureSummary;
use bypath_measure::result::Profile;
use serde::Serialize;

/// Exit code of usage errors, as in curl.
pub(crate) const USAGE: u8 = 2;
/// Exit code of an engine that cannot start on its interface: curl's for an interface that it cannot use.
pub(crate) const INTERFACE: u8 = 45;
/// The shells' code for a command that ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// One transfer. Times are in seconds from its start, 0 for steps that were not reached or not needed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Record {
    /// As given; null for a usage error.
    pub(crate) url: Option<String>,
    /// Where redirects have led to.
    pub(crate) effective_url: Option<String>,
    pub(crate) exit_code: u8,
    pub(crate) error: Option<String>,
    /// The last HTTP status or FTP reply code.
    pub(crate) status: Option<u16>,
    /// Bytes received in this transfer, not counting those that were there before.
    pub(crate) bytes: u64,
    /// Of the whole file, with `--sha256`, if it is complete.
    pub(crate) sha256: Option<String>,
    /// The file, if it is complete.
    pub(crate) output: Option<String>,
    /// What is there of it, if it is not.
    pub(crate) part: Option<String>,
    /// Bytes that were there before, with `-C -`.
    pub(crate) resumed_from: u64,
    pub(crate) time_namelookup: f64,
    pub(crate) time_connect: f64,
    pub(crate) time_starttransfer: f64,
    pub(crate) time_total: f64,
    /// Bytes a second over the total time.
    pub(crate) speed_download: f64,
    /// TCP segments that our end has sent again.
    pub(crate) retransmits: u64,
    pub(crate) redirects: u32,
    pub(crate) local: Option<String>,
    pub(crate) remote: Option<String>,
    /// The name that had addresses, completed by the search list, and the names before it that had none.
    pub(crate) resolved_name: Option<String>,
    pub(crate) names_tried: Vec<String>,
    /// Oddities of the server that did not stop the transfer.
    pub(crate) notes: Vec<String>,
    pub(crate) engine: Option<EngineFacts>,
    /// The capture of the whole command, with `--pcap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureSummary>,
}

/// What carried the transfer. With `--stack kernel`, only the kernel's release is known.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct EngineFacts {
    /// How the rings are bound: "zerocopy" or "copy"; "kernel" with `--stack kernel`.
    pub(crate) mode: String,
    /// How the steering program is attached: "native" or "generic".
    pub(crate) xdp: Option<String>,
    /// The packet memory lies on huge pages.
    pub(crate) huge_pages: Option<bool>,
    pub(crate) driver: Option<String>,
    pub(crate) mtu: Option<u32>,
    pub(crate) queues: Option<u32>,
    pub(crate) workers: Option<u32>,
    pub(crate) congestion_control: Option<String>,
    /// Bytes; with the congestion control "none" only.
    pub(crate) fixed_window: Option<u32>,
    /// By which way frames left: "ring", "pump" or "ring+pump".
    pub(crate) transmit_path: Option<String>,
    pub(crate) kernel: String,
    pub(crate) rx_packets: u64,
    pub(crate) tx_packets: u64,
    pub(crate) drops: BTreeMap<String, u64>,
    /// Where the time of the workers went, with `--profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<Profile>,
}

impl Record {
    /// A transfer that never began.
    pub(crate) fn refused(url: Option<&str>, exit_code: u8, error: &str) -> Record {
        let (url, error) = (url.map(str::to_owned), Some(error.to_owned()));
        Record { url, exit_code, error, ..Record::default() }
    }

    /// Takes over what a transfer reports.
    pub(crate) fn fill(&mut self, report: &Report) {
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        let total = report.timings.total.as_secs_f64();
        self.effective_url = Some(report.effective_url.clone());
        self.status = report.status;
        self.bytes = report.bytes;
        self.time_namelookup = seconds(report.timings.namelookup);
        self.time_connect = seconds(report.timings.connect);
        self.time_starttransfer = seconds(report.timings.starttransfer);
        self.time_total = total;
        self.speed_download = if total > 0.0 { report.bytes as f64 / total } else { 0.0 };
        self.retransmits = report.retransmits;
        self.redirects = report.redirects;
        self.local = report.local.map(|a| a.to_string());
        self.remote = report.remote.map(|a| a.to_string());
        self.resolved_name = report.resolved_name.clone();
        self.names_tried.clone_from(&report.names_tried);
        self.notes.clone_from(&report.notes);
    }

    pub(crate) fn fail(&mut self, error: &FetchError) {
        self.exit_code = error.exit_code();
        self.error = Some(error.to_string());
    }
}

/// The release of the running kernel.
pub(crate) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Prints the records as one document on stdout.
pub(crate) fn print(records: &[Record]) {
    let text = match records {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(several),
    };
    if let Ok(text) = text {
        // With stdout closed there is nobody left to tell.
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }
}
