//! `bypath serve`: its options, the servers' start, and their end with what they have done.

mod access_log;
mod ports;

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bypath::{Engine, EngineError, EngineStats};
use bypath_apps::serve::{Role, Root, ServeConfig, Server, Site, WorkerTotals};
use bypath_measure::conditions;
use bypath_measure::export::{Output, json, print_json};
use bypath_measure::result::{ErrorCode, Profile, RunResult};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::access_log::AccessLog;
use self::ports::{PortDir, PortRange, ServicePort};
use crate::engine_args::EngineArgs;
use crate::stack::enter_netns;

/// How often it is looked whether to end.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of answers' heads and echoes that a connection may have unacknowledged. Files are not copied and need none.
const SEND_BUFFER: usize = 64 * 1024;
/// Source ports for FTP's active mode, on an address that is shared with the kernel.
const ACTIVE_PORTS: usize = 64;

/// The options of `bypath serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Serve the files of DIR by HTTP at PORT. May be given again.
    #[arg(long, value_name = "PORT=DIR")]
    http: Vec<PortDir>,

    /// Serve the files of DIR by FTP at PORT, to anybody. May be given again.
    #[arg(long, value_name = "PORT=DIR")]
    ftp: Vec<PortDir>,

    /// Let FTP clients upload, rename and delete.
    #[arg(long)]
    writable: bool,

    /// Ports for FTP's passive mode.
    #[arg(long, value_name = "FIRST-LAST", default_value = "61000-61063")]
    ftp_ports: PortRange,

    /// Send back what comes, by TCP and UDP (RFC 862).
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "7")]
    echo: Option<ServicePort>,

    /// Drop what comes (RFC 863).
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "9")]
    discard: Option<ServicePort>,

    /// Send lines of characters without an end (RFC 864).
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "19")]
    chargen: Option<ServicePort>,

    /// Send date and time of day as text (RFC 867).
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "13")]
    daytime: Option<ServicePort>,

    /// Send the time as a number (RFC 868).
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "37")]
    time: Option<ServicePort>,

    /// Answer the requests of load tests, each with as many bytes as it asks for.
    #[arg(long, value_name = "PORT")]
    rr: Option<ServicePort>,

    /// Be the other end of load tests' streams, up, down or both.
    #[arg(long, value_name = "PORT")]
    stream: Option<ServicePort>,

    /// Do not list directories that have no index.html.
    #[arg(long)]
    no_listing: bool,

    /// Write a line for each request and transfer to FILE; "-" is stdout.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// End after so many seconds; without it, by Ctrl-C or SIGTERM.
    #[arg(long, value_name = "SECONDS", value_parser = ports::seconds)]
    max_time: Option<Duration>,

    /// Print what was done as JSON at the end, or write it to FILE.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    engine: EngineArgs,
}

/// What clients may use up.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = ports::connections)]
    max_connections: usize,

    /// End a connection on which nothing moves for so many seconds; 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = ports::seconds_or_never)]
    idle_timeout: Duration,

    /// End a connection whose HTTP request takes longer to arrive; 0: never.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = ports::seconds_or_never)]
    request_timeout: Duration,

    /// Longest head of an HTTP request, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16_384, value_parser = ports::head_size)]
    max_request: usize,

    /// Longest body of an HTTP request, bytes; it is read and dropped.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    max_body: u64,
}

/// Why nothing is served.
struct Refused {
    code: ErrorCode,
    message: String,
}

impl Refused {
    fn usage(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::Usage, message: message.into() }
    }
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        let code = match error {
            EngineError::Config(_) | EngineError::Namespace { .. } => ErrorCode::Usage,
            _ => ErrorCode::Interface,
        };
        Self { code, message: error.to_string() }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let started = Instant::now();
    let mut result = RunResult::new("serve", env!("CARGO_PKG_VERSION"));
    args.note(&mut result);
    args.engine.capture.around(&mut result, |result| {
        if let Err(refused) = serve(args, result) {
            result.fail(refused.code, refused.message);
        }
    });
    result.finish(started.elapsed().as_secs_f64());
    finish(args, result)
}

impl ServeArgs {
    /// What is to be served, if that can be.
    fn config(&self) -> Result<ServeConfig, Refused> {
        let mut sites = Vec::new();
        for (dirs, role) in [(&self.http, Role::Http as fn(Root) -> Role), (&self.ftp, Role::Ftp)] {
            for PortDir { port, dir } in dirs {
                let root = Root::open(dir)
                    .map_err(|error| Refused::usage(format!("cannot serve {}: {error}", dir.display())))?;
                sites.push(Site { port: *port, role: role(root) });
            }
        }
        let services = [
            (&self.echo, Role::Echo),
            (&self.discard, Role::Discard),
            (&self.chargen, Role::Chargen),
            (&self.daytime, Role::Daytime),
            (&self.time, Role::Time),
            (&self.rr, Role::Rr),
            (&self.stream, Role::Stream),
        ];
        sites.extend(
            services
                .into_iter()
                .filter_map(|(port, role)| port.as_ref().map(|port| Site { port: port.0, role })),
        );
        if sites.is_empty() {
            let text = "nothing to serve: give --http PORT=DIR, --ftp PORT=DIR, --echo, --rr PORT or another service";
            return Err(Refused::usage(text));
        }
        for (i, site) in sites.iter().enumerate() {
            if let Some(other) = sites.iter().take(i).find(|other| other.port == site.port) {
                let text =
                    format!("{} and {} both want port {}", other.role.name(), site.role.name(), site.port);
                return Err(Refused::usage(text));
            }
        }
        let never = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
        let config = ServeConfig {
            sites,
            writable: self.writable,
            listing: !self.no_listing,
            max_head: self.limits.max_request,
            max_body: self.limits.max_body,
            idle_timeout: never(self.limits.idle_timeout),
            request_timeout: never(self.limits.request_timeout),
            passive_ports: self.ftp_ports.0.clone(),
        };
        if let Some(site) =
            config.sites.iter().find(|s| config.has_ftp() && config.passive_ports.contains(&s.port))
        {
            let text = format!("port {} of {} lies in --ftp-ports", site.port, site.role.name());
            return Err(Refused::usage(text));
        }
        if self.writable && !config.has_ftp() {
            return Err(Refused::usage("--writable is for --ftp PORT=DIR, which is not given"));
        }
        if self.json_on_stdout() && self.access_log.as_deref() == Some(Path::new("-")) {
            return Err(Refused::usage("--json and \"--access-log -\" both want stdout"));
        }
        Ok(config)
    }

    fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// The options, as the result tells them.
    fn note(&self, result: &mut RunResult) {
        let dirs = |dirs: &[PortDir]| dirs.iter().map(ToString::to_string).collect::<Vec<_>>();
        result.set("http", dirs(&self.http));
        result.set("ftp", dirs(&self.ftp));
        let services = [
            ("echo", &self.echo),
            ("discard", &self.discard),
            ("chargen", &self.chargen),
            ("daytime", &self.daytime),
            ("time", &self.time),
            ("rr", &self.rr),
            ("stream", &self.stream),
        ];
        for (name, port) in services {
            if let Some(port) = port {
                result.set(name, port.0);
            }
        }
        result.set("writable", self.writable);
        result.set("max_connections", self.limits.max_connections);
        result.set("idle_timeout_seconds", self.limits.idle_timeout.as_secs_f64());
        result.set("request_timeout_seconds", self.limits.request_timeout.as_secs_f64());
    }
}

/// Serves until it is to end, and fills in what was done.
fn serve(args: &ServeArgs, result: &mut RunResult) -> Result<(), Refused> {
    let config = Arc::new(args.config()?);
    // Before there is a thread: a signal that comes from here on ends the command in order.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Refused::usage(format!("cannot watch for Ctrl-C: {error}")))?;
    let log = args.access_log.as_deref().map(AccessLog::open).transpose().map_err(Refused::usage)?;
    if let Some(Err(error)) = args.engine.netns.as_deref().map(enter_netns) {
        return Err(Refused::usage(error.message));
    }
    let workers = args.engine.cores.as_ref().map_or(1, |cores| cores.0.len()).max(1);
    let totals: Vec<Arc<WorkerTotals>> = (0..workers).map(|_| Arc::default()).collect();
    let engine = start(args, &config, &totals, log.as_ref())?;
    tell(args, &config, &engine);
    let started = Instant::now();
    loop {
        if engine.wait(LOOK) {
            result.fail(ErrorCode::Interface, format!("the interface {} is gone", engine.info().interface));
            break;
        }
        let over = args.max_time.is_some_and(|most| started.elapsed() >= most);
        if over || signals.pending().next().is_some() {
            break;
        }
    }
    let stats = engine.stop();
    fill(result, &engine, &stats, &totals);
    if let Some(Err(error)) = log.map(AccessLog::close) {
        result.fail(ErrorCode::Output, format!("the access log is incomplete: {error}"));
    }
    Ok(())
}

fn start(
    args: &ServeArgs,
    config: &Arc<ServeConfig>,
    totals: &[Arc<WorkerTotals>],
    log: Option<&AccessLog>,
) -> Result<Engine, Refused> {
    let workers = totals.len();
    let (config, totals, lines) = (config.clone(), totals.to_vec(), log.map(AccessLog::lines));
    let (ports, dealt, datagrams) = (config.ports(), config.dealt_ports(), config.datagram_ports());
    let has_ftp = config.has_ftp();
    let make = move |worker: usize| {
        let totals = totals.get(worker).cloned().unwrap_or_default();
        Server::new(config.clone(), totals, (worker, workers), lines.clone())
    };
    let mut builder = args
        .engine
        .builder()
        .send_buffer(SEND_BUFFER)
        .max_connections(args.limits.max_connections.div_ceil(workers))
        .service(ports, make)
        .service_ports_dealt(dealt)
        .service_datagrams(datagrams);
    if has_ftp {
        builder = builder.client_ports(ACTIVE_PORTS);
    }
    Ok(builder.start()?)
}

/// Where it serves, for people.
fn tell(args: &ServeArgs, config: &ServeConfig, engine: &Engine) {
    let mut text = String::new();
    for site in &config.sites {
        let addresses = &engine.info().addresses;
        let routed = |ip: &&IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        for address in addresses.iter().filter(routed) {
            let at = std::net::SocketAddr::new(*address, site.port);
            let line = match &site.role {
                Role::Http(root) => format!("http://{at}/ from {}\n", root.path().display()),
                Role::Ftp(root) => format!("ftp://{at}/ from {}\n", root.path().display()),
                role => format!("{} at {at}\n", role.name()),
            };
            text.push_str(&line);
        }
    }
    let info = engine.info();
    let sends = match info.pump_core {
        Some(core) => format!("{} on core {core}", info.transmit_path),
        None => info.transmit_path.clone(),
    };
    let (driver, mode, xdp) = (&info.driver, &info.mode, &info.xdp);
    text.push_str(&format!("on {} ({driver}, {mode}, {xdp}, sends by {sends})\n", info.interface));
    if info.queues.len() > 1 {
        text.push_str(&format!("{} queues, spreading of packets: {}\n", info.queues.len(), info.spreading));
    }
    for advice in &info.advice {
        text.push_str(&format!("{advice}\n"));
    }
    if let Some(reason) = &info.without_pump {
        text.push_str(&format!("no pump: {reason}\n"));
    }
    // With stdout or stderr closed there is nobody to tell.
    let _ = if args.json_on_stdout() {
        std::io::stderr().lock().write_all(text.as_bytes())
    } else {
        std::io::stdout().lock().write_all(text.as_bytes())
    };
}

fn fill(result: &mut RunResult, engine: &Engine, stats: &EngineStats, totals: &[Arc<WorkerTotals>]) {
    let sum = |count: fn(&WorkerTotals) -> u64| Some(totals.iter().map(|worker| count(worker)).sum::<u64>());
    let all = &mut result.totals;
    all.connections_opened = sum(|t| t.connections_opened.get());
    all.connections_closed = sum(|t| t.connections_closed.get());
    all.requests = sum(|t| t.requests.get());
    all.bytes_received = sum(|t| t.bytes_received.get());
    all.bytes_sent = sum(|t| t.bytes_sent.get());
    all.segments_sent = Some(stats.segments_out);
    all.segments_retransmitted = Some(stats.retransmits);
    all.packets_sent = Some(stats.tx_packets);
    all.packets_received = Some(stats.rx_packets);
    for (trouble, count) in totals.iter().flat_map(|worker| worker.troubles()).filter(|(_, n)| *n > 0) {
        *all.errors.entry(trouble.name().to_owned()).or_default() += count;
    }
    result.drops = stats.drops.iter().cloned().collect();
    result.profile = Profile::of(stats);
    conditions::engine(engine.info(), &mut result.conditions);
    conditions::transmitted(stats, &mut result.conditions);
    result.notes.extend(conditions::engine_notes(engine.info(), stats));
}

/// Tells what was done, or what is wrong.
fn finish(args: &ServeArgs, mut result: RunResult) -> ExitCode {
    let to_file = args.json.as_deref().filter(|_| !args.json_on_stdout());
    if let Some(path) = to_file
        && let Err(error) = Output::create(path).and_then(|output| output.complete(json(&result).as_bytes()))
    {
        result.fail(ErrorCode::Output, error.to_string());
    }
    // With stdout or stderr closed there is nobody to tell.
    if args.json_on_stdout() {
        if let Err(error) = print_json(&result) {
            result.fail(ErrorCode::Output, error.to_string());
        }
    } else if result.error.is_none() {
        let count = |n: Option<u64>| n.unwrap_or_default();
        let totals = &result.totals;
        let mut text = format!(
            "{} connections, {} requests, {} bytes sent, {} received\n",
            count(totals.connections_opened),
            count(totals.requests),
            count(totals.bytes_sent),
            count(totals.bytes_received)
        );
        for (cause, n) in &totals.errors {
            text.push_str(&format!("  {cause}: {n}\n"));
        }
        for note in &result.notes {
            text.push_str(&format!("{note}\n"));
        }
        if let Some(profile) = &result.profile {
            text.push_str(&profile.table());
        }
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
    if let Some(error) = &result.error {
        let _ = writeln!(std::io::stderr().lock(), "bypath serve: {}", error.message);
    }
    ExitCode::from(result.exit_code(false))
}
