//! The options of `bypath load`, and what they come to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bypath::EngineBuilder;
use bypath_apps::Scheme;
use bypath_measure::load::{
    Direction, FileProtocol, FilesSettings, FtpSettings, HttpSettings, LoadSettings, Method, Pattern,
    Protocol, Ramp, Rate, RrSettings, SinkSettings, StreamSettings,
};
use bypath_measure::result::ErrorCode;
use clap::{Args, ValueEnum};

use super::targets::{self, Failure, usage};
use super::values::{LocalIps, RampText, SizeText, parse_count, parse_rate};
use crate::engine_args::{BindChoice, EngineArgs};
use crate::exports::ExportArgs;
use crate::result_args::{ResultArgs, parse_seconds};

/// How long a run is when nothing is said.
const DURATION: Duration = Duration::from_secs(10);

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatternChoice {
    /// As many bytes as go, up, down or both.
    Stream,
    /// Requests and responses on connections that are kept.
    Rr,
    /// A connection for each request.
    Crr,
    /// Connections that are opened and closed again.
    Connect,
    /// Connections that are opened and kept.
    Hold,
    /// HTTP/1.1 requests, answers checked.
    Http,
    /// Files by HTTP or FTP.
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DirectionChoice {
    /// To the server.
    Up,
    /// From the server.
    Down,
    /// Both at once.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolChoice {
    /// Payload and nothing else: a discard server, a chargen server, any source.
    Plain,
    /// What is sent comes back: any echo server.
    Echo,
    /// That of `bypath serve --rr` and `--stream`.
    Bypath,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ArrivalsChoice {
    /// Equal gaps.
    #[default]
    Constant,
    /// Exponentially distributed gaps, as of many independent users.
    Poisson,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum MethodChoice {
    #[default]
    Get,
    Head,
    Post,
    Put,
}

/// The options of `bypath load`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// What clients do.
    #[arg(value_enum)]
    pattern: PatternChoice,

    /// The server: HOST:PORT, or for http and files a URL.
    pub(super) target: String,

    /// Clients: connections at the same time.
    #[arg(short = 'c', long, value_name = "N", default_value = "1", value_parser = parse_count)]
    connections: u64,

    /// Seconds to measure, 10 if neither -n nor --size says when to end.
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_seconds)]
    time: Option<Duration>,

    /// Requests to make in all; connections with connect, transfers with stream.
    #[arg(short = 'n', long, value_name = "N", value_parser = parse_count)]
    count: Option<u64>,

    /// Requests to begin a second, whatever the server does (open loop): 1000, 50k, 1.5M. Without it each client begins when
    /// it has its answer (closed loop).
    #[arg(short = 'R', long, value_name = "RATE", value_parser = parse_rate)]
    rate: Option<f64>,

    /// How the begins of -R lie in time.
    #[arg(long, value_enum, default_value_t)]
    arrivals: ArrivalsChoice,

    /// Let the load grow in so many equal steps: the rate with -R, else the connections. Over the warm-up, or without one
    /// the whole time, or so many seconds.
    #[arg(long, value_name = "STEPS[:SECONDS]")]
    ramp: Option<RampText>,

    /// Seconds of load before what counts.
    #[arg(short = 'O', long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    warm_up: Duration,

    /// Workers, each on a core of its own; --cores names these.
    #[arg(short = 'P', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Bytes: of a request, with the response's behind a slash if it differs (64, 64/16k); of a transfer with stream; of a file
    /// that goes up.
    #[arg(long, value_name = "BYTES")]
    size: Option<SizeText>,

    /// Requests under way on each connection.
    #[arg(long, value_name = "N", default_value = "1")]
    pipeline: usize,

    /// Client addresses, all for the engine alone, used in turn: 198.18.0.10-198.18.0.99/24, several with commas.
    #[arg(long, value_name = "FIRST[-LAST]/LEN", value_delimiter = ',')]
    local_ips: Vec<LocalIps>,

    /// What is spoken with rr, crr and stream: echo for rr with equal sizes and bypath with others, plain for stream, unless
    /// told here.
    #[arg(long, value_enum)]
    protocol: Option<ProtocolChoice>,

    /// Which way a stream goes, or files by FTP: up stores --size bytes under each path, with the client's number behind it.
    #[arg(long, value_enum)]
    direction: Option<DirectionChoice>,

    /// Send this file with stream; with --direction down, receive into it.
    #[arg(short = 'F', long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Where received files go: null, or a directory in which each is written and, complete, removed.
    #[arg(long, value_name = "DIR", default_value = "null")]
    sink: String,

    /// With hold: each connection sends a byte so often.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    trickle: Option<Duration>,

    /// End connections of one request by RST, which leaves no TIME-WAIT.
    #[arg(long)]
    reset: bool,

    /// Do not record the latency of every packet; the result is marked as without it.
    #[arg(long)]
    no_packet_latency: bool,

    /// Do not compare what is received with what it should be.
    #[arg(long)]
    no_verify: bool,

    /// Give a connection up when nothing is heard on it for so long, and the run when nothing is heard at all.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,

    /// Of random schedules: the same seed gives the same.
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,

    /// Run it so many times, and tell medians, spread and confidence.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) repeat: u32,

    /// Nothing on the way should lose packets: loss makes the result invalid.
    #[arg(long)]
    pub(super) lossless: bool,

    /// Use IPv4 addresses of names only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Use IPv6 addresses of names only.
    #[arg(short = '6', long)]
    ipv6: bool,

    #[command(flatten)]
    http: HttpArgs,

    #[command(flatten)]
    pub(super) results: ResultArgs,

    #[command(flatten)]
    pub(super) exports: ExportArgs,

    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

/// Of `http` and `files`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP and files")]
struct HttpArgs {
    /// The method.
    #[arg(short = 'X', long, value_enum, ignore_case = true, default_value_t)]
    method: MethodChoice,

    /// A further header line, NAME: VALUE.
    #[arg(short = 'H', long, value_name = "LINE")]
    header: Vec<String>,

    /// What is sent with post and put: the text, or @FILE.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,

    /// A file of pages or files to ask for in turn: a path and, if it is not 1, a weight on each line.
    #[arg(long, value_name = "FILE")]
    pages: Option<PathBuf>,

    /// A connection for each request.
    #[arg(long)]
    close: bool,

    /// Every body must be as this file.
    #[arg(long, value_name = "FILE")]
    expect_body: Option<PathBuf>,

    /// Every answer must have this status; any 2xx otherwise.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=999))]
    expect_status: Option<u16>,

    /// User and password for FTP; anonymous otherwise.
    #[arg(short = 'u', long, value_name = "USER:PASSWORD")]
    user: Option<String>,
}

fn read(path: &std::path::Path) -> Result<Arc<Vec<u8>>, Failure> {
    let bytes = std::fs::read(path);
    bytes.map(Arc::new).map_err(|e| (ErrorCode::Usage, format!("reading {}: {e}", path.display())))
}

impl LoadArgs {
    pub(super) fn pattern_name(&self) -> &'static str {
        match self.pattern {
            PatternChoice::Stream => "stream",
            PatternChoice::Rr => "rr",
            PatternChoice::Crr => "crr",
            PatternChoice::Connect => "connect",
            PatternChoice::Hold => "hold",
            PatternChoice::Http => "http",
            PatternChoice::Files => "files",
        }
    }

    /// The load.
    pub(super) fn settings(&self) -> Result<LoadSettings, Failure> {
        self.check_applicable()?;
        let urls = matches!(self.pattern, PatternChoice::Http | PatternChoice::Files);
        let (pattern, target) = if urls {
            let url = targets::url(&self.target)?;
            (self.url_pattern(&url)?, targets::server(&url, self.ipv4, self.ipv6)?)
        } else {
            (self.socket_pattern()?, targets::address(&self.target, self.ipv4, self.ipv6)?)
        };
        let mut settings = LoadSettings::new(pattern, target);
        settings.connections = u32::try_from(self.connections).unwrap_or(u32::MAX);
        settings.count = self.count;
        // A transfer ends by itself.
        let ends = self.count.is_some()
            || matches!(&settings.pattern, Pattern::Stream(s) if s.size.is_some() || s.source.is_some());
        settings.duration = self.time.or((!ends).then_some(DURATION));
        let poisson = self.arrivals == ArrivalsChoice::Poisson;
        settings.rate = self.rate.map(|per_second| Rate { per_second, poisson });
        settings.ramp = self.ramp.as_ref().map(|ramp| Ramp { steps: ramp.steps, over: ramp.over });
        settings.warm_up = self.warm_up;
        settings.interval = self.results.interval;
        settings.timeout = self.timeout;
        settings.local_ips = self.local_ips.iter().flat_map(LocalIps::addresses).collect();
        settings.pipeline = self.pipeline;
        settings.reset = self.reset;
        settings.verify = !self.no_verify;
        settings.packet_latency = !self.no_packet_latency;
        settings.seed = self.seed;
        settings.keep_interval_histograms = self.results.keeps_histograms();
        settings.expected.lossless = self.lossless;
        settings.expected.mode = match self.engine.mode {
            BindChoice::Auto => None,
            BindChoice::Zerocopy => Some("zerocopy".into()),
            BindChoice::Copy => Some("copy".into()),
        };
        Ok(settings)
    }

    /// Options of another pattern are a mistake that should be known.
    fn check_applicable(&self) -> Result<(), Failure> {
        use PatternChoice::{Crr, Files, Hold, Http, Rr, Stream};
        let sized = matches!(self.pattern, Rr | Crr | Stream);
        let web = matches!(self.pattern, Http | Files);
        let http = &self.http;
        let stores = self.pattern == Files && self.target.starts_with("ftp:");
        let strangers = [
            (self.size.is_some() && !sized && !stores, "--size is of rr, crr, stream and of files by FTP"),
            (self.protocol.is_some() && !sized, "--protocol is of rr, crr and stream"),
            (
                self.direction.is_some() && self.pattern != Stream && !stores,
                "--direction is of stream and of files by FTP",
            ),
            (self.file.is_some() && self.pattern != Stream, "-F is of stream"),
            (self.sink != "null" && !matches!(self.pattern, Stream | Files), "--sink is of stream and files"),
            (self.trickle.is_some() && self.pattern != Hold, "--trickle is of hold"),
            (self.pipeline > 1 && !matches!(self.pattern, Rr | Http), "--pipeline is of rr and http"),
            (
                !web && (http.pages.is_some() || http.close || !http.header.is_empty()),
                "--pages, --close and --header are of http and files",
            ),
            (
                self.pattern != Http && (http.body.is_some() || http.method != MethodChoice::Get),
                "--method and --body are of http",
            ),
            (
                !web && (http.expect_body.is_some() || http.expect_status.is_some()),
                "--expect-body and --expect-status are of http and files",
            ),
            (self.rate.is_none() && self.arrivals == ArrivalsChoice::Poisson, "--arrivals needs a rate, -R"),
        ];
        match strangers.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, why)) => usage(format!("{why}: leave it out")),
            None => Ok(()),
        }
    }

    fn socket_pattern(&self) -> Result<Pattern, Failure> {
        let protocol = self.protocol.map(|protocol| match protocol {
            ProtocolChoice::Plain => Protocol::Plain,
            ProtocolChoice::Echo => Protocol::Echo,
            ProtocolChoice::Bypath => Protocol::Bypath,
        });
        Ok(match self.pattern {
            PatternChoice::Rr => Pattern::Rr(self.rr(protocol)?),
            PatternChoice::Crr => Pattern::Crr(self.rr(protocol)?),
            PatternChoice::Connect => Pattern::Connect,
            PatternChoice::Hold => Pattern::Hold { trickle: self.trickle },
            _ => Pattern::Stream(self.stream(protocol)?),
        })
    }

    fn rr(&self, protocol: Option<Protocol>) -> Result<RrSettings, Failure> {
        let size = self.size.unwrap_or(SizeText { first: 64, second: None });
        let (request, response) = (size.first, size.second.unwrap_or(size.first));
        let protocol = protocol.unwrap_or(match request == response {
            true => Protocol::Echo,
            false => Protocol::Bypath,
        });
        let bytes = |n: u64| u32::try_from(n).or_else(|_| usage("a request or response has 4 GiB at most"));
        Ok(RrSettings { request_bytes: bytes(request)?, response_bytes: bytes(response)?, protocol })
    }

    fn stream(&self, protocol: Option<Protocol>) -> Result<StreamSettings, Failure> {
        if self.size.is_some_and(|size| size.second.is_some()) {
            return usage("a stream has one --size, for each direction");
        }
        let direction = match self.direction {
            None | Some(DirectionChoice::Up) => Direction::Up,
            Some(DirectionChoice::Down) => Direction::Down,
            Some(DirectionChoice::Both) => Direction::Both,
        };
        let receives = direction == Direction::Down;
        let sink = match (&self.file, receives) {
            (Some(file), true) => SinkSettings::File(file.clone()),
            _ => self.sink(),
        };
        Ok(StreamSettings {
            direction,
            size: self.size.map(|size| size.first),
            protocol: protocol.unwrap_or(Protocol::Plain),
            source: self.file.clone().filter(|_| !receives),
            sink,
        })
    }

    fn sink(&self) -> SinkSettings {
        match self.sink.as_str() {
            "null" => SinkSettings::Null,
            directory => SinkSettings::Directory(PathBuf::from(directory)),
        }
    }

    fn url_pattern(&self, url: &bypath_apps::Target) -> Result<Pattern, Failure> {
        let pages = targets::pages(url, self.http.pages.as_deref())?;
        if url.scheme() == Scheme::Ftp {
            if self.pattern == PatternChoice::Http {
                return usage("http needs an http:// URL; files takes ftp:// as well");
            }
            let (user, password) = self.login(url);
            let text = |path: &str| String::from_utf8_lossy(&bypath_apps::percent_decode(path)).into_owned();
            let files = pages.iter().map(|page| (text(&page.path), page.weight)).collect();
            let store = match self.direction {
                None | Some(DirectionChoice::Down) => None,
                Some(DirectionChoice::Up) => match self.size {
                    Some(SizeText { first, second: None }) => Some(first),
                    _ => return usage("files that go up need one --size, of each of them"),
                },
                Some(DirectionChoice::Both) => return usage("files go up or down, not both at once"),
            };
            if store.is_none() && self.size.is_some() {
                return usage(
                    "--size is of files that go up (--direction up): those that come have one already",
                );
            }
            let protocol = FileProtocol::Ftp(FtpSettings { user, password, files, store });
            return Ok(Pattern::Files(FilesSettings { protocol, sink: self.sink() }));
        }
        let body = match &self.http.body {
            None => Arc::default(),
            Some(text) => match text.strip_prefix('@') {
                Some(path) => read(path.as_ref())?,
                None => Arc::new(text.clone().into_bytes()),
            },
        };
        let http = HttpSettings {
            authority: url.authority(),
            pages,
            method: match self.http.method {
                MethodChoice::Get => Method::Get,
                MethodChoice::Head => Method::Head,
                MethodChoice::Post => Method::Post,
                MethodChoice::Put => Method::Put,
            },
            headers: self.http.header.clone(),
            body,
            keep_alive: !self.http.close,
            expected_body: self.http.expect_body.as_deref().map(read).transpose()?,
            expected_status: self.http.expect_status,
        };
        Ok(match self.pattern {
            PatternChoice::Files => {
                Pattern::Files(FilesSettings { protocol: FileProtocol::Http(http), sink: self.sink() })
            }
            _ => Pattern::Http(http),
        })
    }

    fn login(&self, url: &bypath_apps::Target) -> (String, String) {
        if let Some(given) = &self.http.user {
            let (user, password) = given.split_once(':').unwrap_or((given, ""));
            return (user.to_owned(), password.to_owned());
        }
        match url.credentials() {
            Some(credentials) => (credentials.user, credentials.password),
            None => ("anonymous".to_owned(), "anonymous@".to_owned()),
        }
    }

    /// The cores of its workers.
    pub(super) fn workers(&self, settings: &LoadSettings) -> Result<Vec<usize>, Failure> {
        if let Some(cores) = &self.engine.cores {
            let cores: Vec<usize> = cores.0.iter().map(|core| *core as usize).collect();
            if self.workers.is_some_and(|wanted| usize::from(wanted) != cores.len()) {
                return usage(format!("-P and --cores differ: --cores names {}", cores.len()));
            }
            return Ok(cores);
        }
        let workers = usize::from(self.workers.unwrap_or(1)).min(settings.connections.max(1) as usize);
        let mut cores = available_cores();
        if cores.len() < workers {
            return usage(format!("there are {} cores for {workers} workers: lower -P", cores.len()));
        }
        Ok(cores.split_off(cores.len() - workers))
    }

    /// The engine for it, on these cores.
    pub(super) fn builder(&self, cores: &[usize]) -> EngineBuilder {
        let mut builder = self.engine.builder();
        for ips in &self.local_ips {
            for address in ips.addresses() {
                if !self.engine.ip.iter().any(|own| own.addr == address) {
                    builder = builder.own_address(address, ips.prefix_len);
                }
            }
        }
        builder.cores(cores.to_vec())
    }
}

/// The cores that this process may use.
fn available_cores() -> Vec<usize> {
    use nix::sched::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(nix::unistd::Pid::from_raw(0));
    set.map_or_else(
        |_| vec![0],
        |set| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect(),
    )
}
