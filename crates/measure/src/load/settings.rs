//! What a load is to be: the pattern, its shape, and what cannot be.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::files::FilesSettings;
use super::http::HttpSettings;
use crate::verdict::Expectations;

/// A load. [`LoadSettings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// What clients do.
    pub pattern: Pattern,
    /// The server.
    pub target: SocketAddr,
    /// Clients: connections at the same time.
    pub connections: u32,
    /// Length of the measurement; none: until [`LoadSettings::count`] is reached.
    pub duration: Option<Duration>,
    /// Requests, or connections or transfers where these are what is counted.
    pub count: Option<u64>,
    /// Begins a second, whatever the server does (open loop); none: each after the last answer (closed loop).
    pub rate: Option<Rate>,
    /// Growth of the load.
    pub ramp: Option<Ramp>,
    /// Time before the measurement, whose figures do not count.
    pub warm_up: Duration,
    /// Length of the intervals that are reported.
    pub interval: Duration,
    /// A client that hears nothing for so long gives its connection up, and so does the run when none hears anything.
    pub timeout: Duration,
    /// Addresses to connect from, in turn; the one that the routes choose if there are none.
    pub local_ips: Vec<IpAddr>,
    /// Requests under way on each connection.
    pub pipeline: usize,
    /// Connections are reset instead of closed where a connection carries one request: no TIME-WAIT.
    pub reset: bool,
    /// Compare what is received with what it should be.
    pub verify: bool,
    /// Record the latency of every packet.
    pub packet_latency: bool,
    /// Of random schedules.
    pub seed: u64,
    /// Keep the histograms of intervals in the result, for heat maps.
    pub keep_interval_histograms: bool,
    /// What the verdict goes by.
    pub expected: Expectations,
}

/// What clients do.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// As many bytes as go.
    Stream(StreamSettings),
    /// Requests and responses on connections that are kept.
    Rr(RrSettings),
    /// A connection for each request.
    Crr(RrSettings),
    /// Connections that are opened and closed again.
    Connect,
    /// Connections that are opened and kept.
    Hold {
        /// Each sends a byte so often.
        trickle: Option<Duration>,
    },
    /// HTTP/1.1.
    Http(HttpSettings),
    /// Files by HTTP or FTP.
    Files(FilesSettings),
}

impl Pattern {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stream(_) => "stream",
            Self::Rr(_) => "rr",
            Self::Crr(_) => "crr",
            Self::Connect => "connect",
            Self::Hold { .. } => "hold",
            Self::Http(_) => "http",
            Self::Files(_) => "files",
        }
    }
}

/// What is spoken to a server in `rr`, `crr` and `stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Only payload: to a server that discards, from one that sends. For `stream`.
    Plain,
    /// The server sends back what it gets.
    Echo,
    /// That of `bypath serve --rr` and `--stream`, which is told what to send and reports what it got.
    Bypath,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Echo => "echo",
            Self::Bypath => "bypath",
        }
    }
}

/// Of `rr` and `crr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrSettings {
    /// Bytes of a request.
    pub request_bytes: u32,
    /// Bytes of a response.
    pub response_bytes: u32,
    /// [`Protocol::Echo`] or [`Protocol::Bypath`].
    pub protocol: Protocol,
}

/// Which way a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Up,
    /// From the server.
    Down,
    /// Both at once.
    Both,
}

impl Direction {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

/// Of `stream`.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Which way.
    pub direction: Direction,
    /// Bytes of each transfer in each direction; none: until the time is up.
    pub size: Option<u64>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Read and sent instead of the pattern.
    pub source: Option<PathBuf>,
    /// Where received bytes go.
    pub sink: SinkSettings,
}

/// Where received bytes go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SinkSettings {
    /// Nowhere.
    #[default]
    Null,
    /// Into this file; with one client only.
    File(PathBuf),
    /// Into files in this directory, which are removed when they are complete.
    Directory(PathBuf),
}

/// A rate of begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Over all clients.
    pub per_second: f64,
    /// With exponentially distributed gaps, as of many independent users, instead of equal ones.
    pub poisson: bool,
}

/// Growth of the load in equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// How many.
    pub steps: u32,
    /// Over so long; none: over the warm-up, or without one over the measurement.
    pub over: Option<Duration>,
}

/// Why settings cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Impossible(pub String);

fn impossible<T>(why: impl Into<String>) -> Result<T, Impossible> {
    Err(Impossible(why.into()))
}

impl LoadSettings {
    /// A load of that pattern: one connection, ten seconds, closed loop.
    pub fn new(pattern: Pattern, target: SocketAddr) -> Self {
        Self {
            pattern,
            target,
            connections: 1,
            duration: Some(Duration::from_secs(10)),
            count: None,
            rate: None,
            ramp: None,
            warm_up: Duration::ZERO,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            local_ips: Vec::new(),
            pipeline: 1,
            reset: false,
            verify: true,
            packet_latency: true,
            seed: 1,
            keep_interval_histograms: false,
            expected: Expectations::default(),
        }
    }

    /// Whether these settings can be run.
    ///
    /// # Errors
    /// [`Impossible`], with what to change.
    pub fn check(&self) -> Result<(), Impossible> {
        if self.connections == 0 {
            return impossible("no connections would do nothing: give at least 1 with -c");
        }
        if self.connections > MAX_CONNECTIONS {
            return impossible(format!("more than {MAX_CONNECTIONS} connections are not possible: lower -c"));
        }
        if self.target.port() == 0 {
            return impossible("port 0 cannot be connected to: give the server's port");
        }
        if self.duration.is_some_and(|d| d.is_zero()) || self.count == Some(0) {
            return impossible("a run of no length measures nothing: raise -t or -n");
        }
        if self.interval < Duration::from_millis(10) {
            return impossible("intervals below 10 ms cost more than they tell: raise -i");
        }
        if self.pipeline == 0 || self.pipeline > MAX_PIPELINE {
            return impossible(format!("a pipeline has 1 to {MAX_PIPELINE} requests"));
        }
        if self.duration.is_none() && self.count.is_none() && !self.is_sized() {
            return impossible("nothing says when to end: give -t, -n or --size");
        }
        if let Some(family) = self.local_ips.iter().find(|ip| ip.is_ipv4() != self.target.is_ipv4()) {
            return impossible(format!("{family} cannot connect to {}: another family", self.target.ip()));
        }
        let pipelines = matches!(self.pattern, Pattern::Rr(_) | Pattern::Http(_));
        if self.pipeline > 1 && !pipelines {
            return impossible("only rr and http have pipelines: leave --pipeline out");
        }
        self.check_rate()?;
        self.check_ramp()?;
        self.check_pattern()
    }

    /// Whether the transfers have an end of their own.
    pub(super) fn is_sized(&self) -> bool {
        matches!(&self.pattern, Pattern::Stream(s) if s.size.is_some() || s.source.is_some())
    }

    fn check_rate(&self) -> Result<(), Impossible> {
        let Some(rate) = self.rate else { return Ok(()) };
        if !rate.per_second.is_finite() || rate.per_second <= 0.0 {
            return impossible("a rate is a number above zero: see -R");
        }
        if rate.per_second > MAX_RATE {
            return impossible(format!("a rate above {MAX_RATE} a second is not possible: lower -R"));
        }
        match &self.pattern {
            Pattern::Stream(_) => {
                impossible("a stream has no requests that -R could pace: use --cc none:BYTES or a size")
            }
            Pattern::Hold { .. } => impossible("hold opens its connections with --ramp, not with -R"),
            _ => Ok(()),
        }
    }

    fn check_ramp(&self) -> Result<(), Impossible> {
        let Some(ramp) = self.ramp else { return Ok(()) };
        if ramp.steps == 0 || ramp.steps > 10_000 {
            return impossible("a ramp has 1 to 10000 steps");
        }
        if ramp.over.is_none() && self.warm_up.is_zero() && self.duration.is_none() {
            return impossible("nothing says how long the ramp lasts: write --ramp STEPS:SECONDS");
        }
        if ramp.over.is_some_and(|over| over.is_zero()) {
            return impossible("a ramp that takes no time is none");
        }
        Ok(())
    }

    fn check_pattern(&self) -> Result<(), Impossible> {
        match &self.pattern {
            Pattern::Rr(rr) | Pattern::Crr(rr) => check_rr(rr),
            Pattern::Stream(stream) => self.check_stream(stream),
            Pattern::Hold { trickle } if trickle.is_some_and(|t| t.is_zero()) => {
                impossible("a trickle without pauses is a stream")
            }
            Pattern::Hold { .. } if self.count.is_some() => {
                impossible("hold has no requests that -n could count: use -c and -t")
            }
            Pattern::Http(http) => http.check(),
            Pattern::Files(files) => files.check(),
            _ => Ok(()),
        }
    }

    fn check_stream(&self, stream: &StreamSettings) -> Result<(), Impossible> {
        if stream.size == Some(0) {
            return impossible("a transfer of 0 bytes measures nothing: raise --size");
        }
        if stream.source.is_some() && stream.direction != Direction::Up {
            return impossible("a file is sent in direction up: leave -F, or give --direction up");
        }
        if matches!(stream.sink, SinkSettings::File(_)) && self.connections > 1 {
            return impossible("one file cannot take several connections: use --sink DIRECTORY, or -c 1");
        }
        if stream.protocol == Protocol::Echo && stream.direction != Direction::Both {
            return impossible("an echo goes both ways: give --direction both");
        }
        Ok(())
    }
}

/// More than any machine's memory holds.
const MAX_CONNECTIONS: u32 = 100_000_000;
const MAX_PIPELINE: usize = 4096;
/// More than any wire carries.
const MAX_RATE: f64 = 1e9;

fn check_rr(rr: &RrSettings) -> Result<(), Impossible> {
    if rr.request_bytes == 0 || rr.response_bytes == 0 {
        return impossible("a request and its response have at least 1 byte each: see --size");
    }
    match rr.protocol {
        Protocol::Plain => impossible("requests need a server that answers: --protocol echo or bypath"),
        Protocol::Echo if rr.request_bytes != rr.response_bytes => impossible(
            "an echo is as long as its request: give one size, or --protocol bypath to `bypath serve --rr`",
        ),
        Protocol::Bypath if rr.request_bytes < 8 => {
            impossible("with --protocol bypath a request has at least 8 bytes, its header")
        }
        _ => Ok(()),
    }
}
