//! The wires that are measured on, the servers at their far ends, and how bypath is run there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bypath_lab::peer::Nginx;
use bypath_lab::process::Transport;
use bypath_lab::{Host, Lab, Process};
use nix::sys::signal::Signal;

use crate::Error;
use crate::options::Options;
use crate::program::output;

/// Ports of the kernel's servers.
pub(crate) const IPERF_PORT: u16 = 5201;
pub(crate) const SOCKPERF_PORT: u16 = 11_111;
/// Ports of ours, beside which nginx has 80.
pub(crate) const HTTP_PORT: u16 = 8080;
pub(crate) const RR_PORT: u16 = 5000;
pub(crate) const STREAM_PORT: u16 = 5001;
pub(crate) const ECHO_PORT: u16 = 7;

/// What is the same for all wires.
pub(crate) struct Place {
    pub(crate) bypath: PathBuf,
    served: tempfile::TempDir,
    /// The transmit paths that this bypath can be told to take.
    pub(crate) paths: Vec<&'static str>,
    /// The processors of client and server.
    cores: [usize; 2],
}

impl Place {
    /// Looks at bypath, and makes the files that are served.
    pub(crate) fn new(options: &Options) -> Result<Place, Error> {
        let served = tempfile::tempdir().map_err(|error| format!("making a directory: {error}"))?;
        for (name, bytes) in [("large", options.file_bytes), ("small", 1024)] {
            let file = std::fs::File::create(served.path().join(name));
            file.and_then(|file| file.set_len(bytes)).map_err(|error| format!("making {name}: {error}"))?;
        }
        let help = output(Command::new(&options.bypath).args(["load", "--help"]))?;
        let paths = if help.contains("--tx ") { vec!["ring", "pump"] } else { vec!["ring"] };
        let count = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let bypath = options.bypath.clone();
        Ok(Place { bypath, served, paths, cores: [count - 1, 0] })
    }

    /// The processor of the sending end.
    pub(crate) fn sender(&self) -> usize {
        self.cores[0]
    }

    /// The processor of the receiving end.
    pub(crate) fn receiver(&self) -> usize {
        self.cores[1]
    }
}

/// Two labs with the same servers: offloads off, where everybody can talk, and on, for the kernel alone. The engine and a
/// kernel with its offloads on cannot talk: a veth pair has no NIC that fills checksums in.
pub(crate) struct Wire {
    pub(crate) mtu: u32,
    pub(crate) plain: Side,
    pub(crate) offloaded: Side,
}

/// One lab.
pub(crate) struct Side {
    // Servers end before their lab is removed.
    _nginx: Nginx,
    nginx_group: u32,
    iperf3: Process,
    _sockperf: Process,
    pub(crate) lab: Lab,
}

impl Wire {
    /// Makes the labs and starts the kernel's servers.
    pub(crate) fn up(place: &Place, mtu: u32) -> Result<Wire, Error> {
        let side = |offloads| Side::up(place, mtu, offloads).map_err(|error| error.to_string());
        Ok(Wire { mtu, plain: side(false)?, offloaded: side(true)? })
    }

    /// What a row was measured under.
    pub(crate) fn conditions(&self, options: &Options, less_is_better: bool) -> BTreeMap<String, String> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let load = read("/proc/loadavg");
        [
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("cpu", cpu.map_or(String::new(), |(_, model)| model.to_owned())),
            ("cores", cores.to_string()),
            ("load_average_1_minute", load.split(' ').next().unwrap_or_default().to_owned()),
            ("driver", "veth".to_owned()),
            ("mode", "copy".to_owned()),
            ("mtu", self.mtu.to_string()),
            ("rounds", options.rounds.to_string()),
            ("seconds", options.seconds.to_string()),
            ("better", if less_is_better { "less" } else { "more" }.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl Side {
    fn up(place: &Place, mtu: u32, offloads: bool) -> bypath_lab::Result<Side> {
        let lab = Lab::builder().name_prefix("vs").mtu(mtu).offloads(offloads).up()?;
        let far = lab.far();
        let mut nginx = Nginx::serving(place.served.path()).directives("access_log off;").start(far)?;
        let mut iperf3 = far.command("iperf3")?;
        iperf3.args(["-s", "-p", &IPERF_PORT.to_string()]);
        let mut iperf3 = Process::start(far, "iperf3", &mut iperf3)?;
        iperf3.wait_listening(Transport::Tcp, IPERF_PORT)?;
        let mut sockperf = far.command("sockperf")?;
        sockperf.args(["sr", "--tcp", "-i", &far.ipv4().to_string(), "-p", &SOCKPERF_PORT.to_string()]);
        let mut sockperf = Process::start(far, "sockperf", &mut sockperf)?;
        sockperf.wait_listening(Transport::Tcp, SOCKPERF_PORT)?;
        let nginx_group = nginx.process().id();
        Ok(Side { _nginx: nginx, nginx_group, iperf3, _sockperf: sockperf, lab })
    }

    /// The process group of nginx.
    pub(crate) fn nginx(&self) -> u32 {
        self.nginx_group
    }

    /// The process group of iperf3's server.
    pub(crate) fn iperf3(&self) -> u32 {
        self.iperf3.id()
    }

    /// A command on the near host.
    pub(crate) fn near(&self, program: &str) -> Result<Command, Error> {
        self.lab.near().command(program).map_err(|error| error.to_string())
    }

    /// The far host's address.
    pub(crate) fn far_ip(&self) -> String {
        self.lab.far().ipv4().to_string()
    }
}

/// bypath on one host of the plain lab, with a processor of its own.
pub(crate) fn bypath(place: &Place, host: &Host, core: usize, args: &[&str]) -> Command {
    let mut command = Command::new(&place.bypath);
    command.args(args).args(["--netns", host.netns(), "--dev", host.interface()]);
    command.args(["--cores", &core.to_string()]);
    command
}

/// bypath at the near end.
pub(crate) fn client(place: &Place, wire: &Wire, args: &[&str]) -> Command {
    bypath(place, wire.plain.lab.near(), place.cores[0], args)
}

/// The same where frames leave by a pump. It takes the client's processor, so the client shares the server's; the pump does what
/// would be the server's kernel's work as well.
pub(crate) fn client_with_pump(place: &Place, wire: &Wire, args: &[&str]) -> Command {
    let mut command = bypath(place, wire.plain.lab.near(), place.cores[1], args);
    command.args(["--tx", "pump", "--pump-core", &place.cores[0].to_string()]);
    command
}

/// The processors of both ends, for one process that is both.
pub(crate) fn both_cores(place: &Place) -> String {
    format!("{},{}", place.cores[0], place.cores[1])
}

/// `bypath serve` at the far end, for as long as it lives.
pub(crate) struct Served(Process);

impl Served {
    /// Starts it: all its services, with further options of the engine.
    pub(crate) fn start(place: &Place, wire: &Wire, options: &[&str]) -> Result<Served, Error> {
        let far = wire.plain.lab.far();
        let site = |port: u16, dir: &Path| format!("{port}={}", dir.display());
        let (http, rr, stream) =
            (site(HTTP_PORT, place.served.path()), RR_PORT.to_string(), STREAM_PORT.to_string());
        let args = ["serve", "--http", &http, "--rr", &rr, "--stream", &stream, "--echo"];
        let mut command = bypath(place, far, place.cores[1], &args);
        command.args(options);
        let mut start = || {
            let mut process = Process::start(far, "bypath-serve", &mut command)?;
            process.wait_log(&format!("on {} (", far.interface()))?;
            Ok(process)
        };
        start().map(Served).map_err(|error: bypath_lab::LabError| error.to_string())
    }

    /// Its process group.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It gives the interface back, which the next measurement needs.
        let _ = self.0.end(Signal::SIGINT);
    }
}
