//! The programs that are compared, and what they say of themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bypath_lab::Lab;
use serde_json::Value;

use crate::row::{Row, Spread, median, spread};

/// Where the echo server of both labs is.
pub(crate) const ECHO_PORT: u16 = 7;

/// Why there is no comparison.
pub(crate) type Error = String;

/// Two labs with the same servers: offloads off, where everybody can talk, and on, for the kernel alone.
pub(crate) struct Bench<'a> {
    pub(crate) bypath: &'a Path,
    pub(crate) plain: &'a Lab,
    pub(crate) offloaded: &'a Lab,
    pub(crate) mtu: u32,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) file_bytes: u64,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Bypath,
    Kernel,
    KernelOffloaded,
}

impl Bench<'_> {
    /// All comparisons, in turn.
    pub(crate) fn run(&self, rows: &mut Vec<Row>) -> Result<(), Error> {
        let ceiling = median(&self.several(|| self.ceiling())?);
        let gigabits = "Gbit/s";
        let file = |who| self.file(who);
        let size = self.file_bytes >> 20;
        rows.extend(self.compare(
            &format!("file {size} MiB"),
            gigabits,
            ["curl", "curl, offloads on"],
            Some(ceiling),
            &file,
        )?);
        let peers = ["kernel sockets", "kernel, offloads on"];
        rows.extend(self.compare("rr 64 B", "round trips/s", peers, None, &|who| self.round_trips(who))?);
        let close = |who| self.http(who, false);
        let keep = |who| self.http(who, true);
        let peers = ["wrk", "wrk, offloads on"];
        rows.extend(self.compare("http keep-alive", "requests/s", peers, None, &keep)?);
        rows.extend(self.compare("http close", "requests/s", peers, None, &close)?);
        Ok(())
    }

    fn several(&self, mut once: impl FnMut() -> Result<f64, Error>) -> Result<Vec<f64>, Error> {
        (0..self.rounds).map(|_| once()).collect()
    }

    /// Everybody once in each round.
    fn compare(
        &self,
        name: &str,
        unit: &'static str,
        peers: [&'static str; 2],
        ceiling: Option<f64>,
        once: &dyn Fn(Who) -> Result<f64, Error>,
    ) -> Result<Vec<Row>, Error> {
        let everybody = [Who::Bypath, Who::Kernel, Who::KernelOffloaded];
        let mut values = [const { Vec::new() }; 3];
        for _ in 0..self.rounds {
            for (values, who) in values.iter_mut().zip(everybody) {
                values.push(once(who)?);
            }
        }
        let [ours, theirs @ ..] = &values;
        let row = |(peer, theirs): (&'static str, &Vec<f64>)| {
            let (bypath, peer_value) = (median(ours), median(theirs));
            Row {
                name: format!("{name}, MTU {}", self.mtu),
                unit,
                bypath,
                peer,
                peer_value,
                ceiling,
                ratio: if peer_value > 0.0 { bypath / peer_value } else { 0.0 },
                spread: Spread { bypath: spread(ours), peer: spread(theirs) },
                conditions: self.conditions(),
            }
        };
        Ok(peers.into_iter().zip(theirs).map(row).collect())
    }

    fn conditions(&self) -> BTreeMap<String, String> {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        [
            ("kernel", kernel.trim().to_owned()),
            ("load_average_1_minute", load.split(' ').next().unwrap_or_default().to_owned()),
            ("cores", cores.to_string()),
            ("driver", "veth".to_owned()),
            ("mode", "copy".to_owned()),
            ("mtu", self.mtu.to_string()),
            ("rounds", self.rounds.to_string()),
            ("server", "nginx on the kernel's stack".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Payload that raw frames of the MTU's size carry one way, as much as TCP would have in them.
    fn ceiling(&self) -> Result<f64, Error> {
        let (near, far) = (self.plain.near(), self.plain.far());
        let size = (self.mtu + 18).to_string();
        let mut command = Command::new(self.bypath);
        command.args(["blast", "--json", "--size", &size, "-t", &self.seconds.to_string()]);
        command.args(["--netns", near.netns(), "--dev", near.interface()]);
        command.args(["--to-netns", far.netns(), "--to-dev", far.interface()]);
        let result = json(&mut command)?;
        let frames = number(&result, "/rates/packets_received_per_second")?;
        // Less IP and TCP headers with timestamps.
        Ok(frames * f64::from(self.mtu - 52) * 8.0 / 1e9)
    }

    fn file(&self, who: Who) -> Result<f64, Error> {
        let lab = self.lab(who);
        let url = format!("http://{}/large", lab.far().ipv4());
        let bytes_per_second = if who == Who::Bypath {
            let mut command = Command::new(self.bypath);
            command.args(["get", "--json", "-o", "/dev/null", "--max-time", "120"]);
            command.args(["--netns", lab.near().netns(), "--dev", lab.near().interface(), &url]);
            number(&json(&mut command)?, "/speed_download")?
        } else {
            let mut command = lab.near().command("curl").map_err(|error| error.to_string())?;
            command.args(["-sf", "-o", "/dev/null", "--max-time", "120", "-w", "%{speed_download}", &url]);
            let printed = output(&mut command)?;
            printed.trim().parse().map_err(|_| format!("curl printed {printed:?}"))?
        };
        Ok(bytes_per_second * 8.0 / 1e9)
    }

    /// One connection, 64 bytes there and back, to the same kernel echo server. The peer is the same program on the
    /// kernel's sockets.
    fn round_trips(&self, who: Who) -> Result<f64, Error> {
        let lab = self.lab(who);
        let target = format!("{}:{ECHO_PORT}", lab.far().ipv4());
        let mut command = Command::new(self.bypath);
        command.args(["latency", &target, "--json", "-t", &self.seconds.to_string()]);
        command.args(["--netns", lab.near().netns(), "--dev", lab.near().interface()]);
        if who != Who::Bypath {
            command.args(["--stack", "kernel"]);
        }
        number(&json(&mut command)?, "/rates/requests_per_second")
    }

    fn http(&self, who: Who, keep_alive: bool) -> Result<f64, Error> {
        let lab = self.lab(who);
        let url = format!("http://{}/small", lab.far().ipv4());
        let seconds = self.seconds.to_string();
        if who == Who::Bypath {
            let mut command = Command::new(self.bypath);
            command.args(["load", "http", &url, "-c", "16", "-t", &seconds, "--json"]);
            command.args(["--netns", lab.near().netns(), "--dev", lab.near().interface()]);
            if !keep_alive {
                command.arg("--close");
            }
            return number(&json(&mut command)?, "/rates/requests_per_second");
        }
        let mut command = lab.near().command("wrk").map_err(|error| error.to_string())?;
        command.args(["-t", "1", "-c", "16", "-d", &seconds]);
        if !keep_alive {
            command.args(["-H", "Connection: close"]);
        }
        let printed = output(command.arg(&url))?;
        let line = printed.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        let rate = line.and_then(|rate| rate.trim().parse().ok());
        rate.ok_or_else(|| format!("wrk printed {printed:?}"))
    }

    fn lab(&self, who: Who) -> &Lab {
        if who == Who::KernelOffloaded { self.offloaded } else { self.plain }
    }
}

fn output(command: &mut Command) -> Result<String, Error> {
    let name = format!("{command:?}");
    let done = command.output().map_err(|error| format!("{name}: {error}"))?;
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(printed);
    }
    Err(format!("{name} failed ({}): {printed} {}", done.status, String::from_utf8_lossy(&done.stderr)))
}

fn json(command: &mut Command) -> Result<Value, Error> {
    let printed = output(command)?;
    serde_json::from_str(&printed)
        .map_err(|error| format!("{command:?} printed no JSON ({error}): {printed}"))
}

fn number(document: &Value, pointer: &str) -> Result<f64, Error> {
    document.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| format!("no {pointer} in {document}"))
}
