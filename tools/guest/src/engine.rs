//! `bypath` in one of the hosts, always in zero-copy mode, and what its JSON says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, Result, until};
use crate::site::{Host, Site};

/// How long a download may take, in seconds. The slowest is that of a guest whose host is busy, over a link that was down.
const DOWNLOAD_SECONDS: u64 = 60;
/// How long a server may run.
const SERVER_SECONDS: u64 = 150;

/// Where the engine runs and what it may use. The guest has two processors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine<'a> {
    pub(crate) host: &'a Host,
    pub(crate) cores: &'a str,
    /// An address of its own; else it borrows ports of the kernel's.
    pub(crate) own_address: bool,
    pub(crate) more: &'a [&'a str],
}

impl<'a> Engine<'a> {
    /// With an address of its own, on one core.
    pub(crate) fn on(host: &'a Host, cores: &'a str) -> Self {
        Engine { host, cores, own_address: true, more: &[] }
    }

    /// A command of bypath's with the engine's options.
    pub(crate) fn start(&self, command: &str, args: &[&str], seconds: u64) -> Result<Program> {
        let own = format!("{}/24", self.host.engine_ip);
        let mut all = vec![command, "--dev", self.host.nic, "--mode", "zerocopy", "--cores", self.cores];
        if self.own_address {
            all.extend(["--ip", &own]);
        }
        all.extend(self.more);
        all.extend(args);
        Program::start(&mut self.host.command("bypath", &all), seconds)
    }

    /// Starts to serve files, echoes and requests, and waits until it does.
    pub(crate) fn serve(&self, site: &Site) -> Result<Program> {
        let http = format!("80={}", site.dir.display());
        let args = ["--http", &http, "--echo", "--rr", "5000", "--json"];
        let mut server = self.start("serve", &args, SERVER_SECONDS)?;
        server.wait_for(&format!("({}, zerocopy, native", site.driver))?;
        Ok(server)
    }

    /// Starts to fetch the file from an address.
    pub(crate) fn get(&self, from: &str) -> Result<Download> {
        let file = PathBuf::from(format!("/run/{}.received", self.host.nic));
        let _ = fs::remove_file(&file);
        let (to, url) = (file.to_string_lossy().into_owned(), format!("http://{from}/file"));
        let program = self.start("get", &["-s", "--json", "-o", &to, &url], DOWNLOAD_SECONDS)?;
        Ok(Download { program, file })
    }
}

/// A `bypath get` that runs.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) program: Program,
    file: PathBuf,
}

impl Download {
    /// Waits until a part of the file is there and more is to come.
    pub(crate) fn wait_until_under_way(&mut self) -> Result<()> {
        let dir = self.file.parent().map(PathBuf::from).unwrap_or_default();
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // It is written under another name of the same beginning until it is complete.
        let has_bytes = || {
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            let mut parts = entries.filter(|entry| entry.file_name().to_string_lossy().contains(&name));
            parts.any(|entry| entry.metadata().is_ok_and(|data| data.len() > 64 << 10))
        };
        until("a part of the file", Duration::from_secs(60), has_bytes)?;
        if self.program.is_running() {
            return Ok(());
        }
        Err(format!("the download was over too soon:\n{}", self.program.said()))
    }

    /// Waits for its end, checks the file and how the sockets were bound. Returns what it says of itself.
    pub(crate) fn finish(self, site: &Site) -> Result<Value> {
        let ended = self.program.succeed()?;
        let result = json(&ended.out)?;
        site.check(&self.file)?;
        let engine = &result["engine"];
        if engine["mode"] != "zerocopy" || engine["driver"] != site.driver.as_str() {
            return Err(format!("not in zero-copy mode on {}: {engine}", site.driver));
        }
        Ok(result)
    }
}

/// A few words on a download.
pub(crate) fn remark(result: &Value) -> String {
    let rate = result["speed_download"].as_f64().unwrap_or_default() / 1e6;
    format!("{rate:.0} MB/s, {} sent again, drops {}", result["retransmits"], result["engine"]["drops"])
}

/// The one document on stdout.
pub(crate) fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("not one JSON document ({error}):\n{text}"))
}
