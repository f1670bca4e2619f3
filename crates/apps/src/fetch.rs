//! The interface of the clients: a [`Request`] goes in, the body streams into a [`Sink`], a
//! [`Report`] comes out, whether it went well or not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Budget, CancelToken};
use crate::dns::{Family, ResolverConfig};
use crate::error::FetchError;
use crate::ftp;
use crate::http;
use crate::net::Network;
use crate::target::{Scheme, Target};

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; empty if there is none.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A part of a file, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first offset to the second, both included.
    Inclusive(u64, u64),
    /// From the offset to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

/// Who opens FTP's data connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataMode {
    /// We do, to where the server says (EPSV, PASV).
    #[default]
    Passive,
    /// The server does, to where we say (EPRT, PORT): the given address, or the one that the control
    /// connection uses.
    Active(Option<IpAddr>),
}

/// What to fetch, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The URL.
    pub target: Target,
    /// Only headers (HTTP), or size and time (FTP), are wanted; they are what the sink gets.
    pub head: bool,
    /// Bytes that are here already: the body begins behind them.
    pub resume_from: Option<u64>,
    /// A part of the file. Not together with `resume_from`.
    pub range: Option<ByteRange>,
    /// How many HTTP redirects are followed; `None` follows none and delivers the answer as it is.
    pub max_redirects: Option<u32>,
    /// An HTTP status of 400 or more is an error, and its body is not delivered.
    pub fail_on_status: bool,
    /// Login; takes precedence over what the URL has.
    pub credentials: Option<Credentials>,
    /// The family of addresses to use.
    pub family: Family,
    /// FTP's data connections.
    pub data_mode: DataMode,
    /// A limit for all of it.
    pub max_time: Option<Duration>,
}

impl Request {
    /// A request for the whole of `target`: up to 50 redirects, errors for error statuses, passive mode.
    pub fn new(target: Target) -> Request {
        Request {
            target,
            head: false,
            resume_from: None,
            range: None,
            max_redirects: Some(50),
            fail_on_status: true,
            credentials: None,
            family: Family::Any,
            data_mode: DataMode::Passive,
            max_time: None,
        }
    }
}

/// What is known of a body before its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyInfo {
    /// Where in the file the body begins.
    pub offset: u64,
    /// How many bytes the body has, if the server tells.
    pub length: Option<u64>,
}

/// Where a body goes. Any `FnMut(&[u8]) -> io::Result<()>` is one.
pub trait Sink {
    /// Called once before the first byte, also for an empty body; not called when there is none.
    fn begin(&mut self, _info: &BodyInfo) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next bytes, 256 KiB at most.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Sink for F {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self(bytes)
    }
}

/// When the steps were done, from the start of the transfer. A step that was not needed or not
/// reached has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The name was resolved.
    pub namelookup: Option<Duration>,
    /// The connection was established.
    pub connect: Option<Duration>,
    /// The first byte of the answer (HTTP) or of the data (FTP) came.
    pub starttransfer: Option<Duration>,
    /// All was over.
    pub total: Duration,
}

/// What happened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The URL that was fetched in the end, after redirects, without credentials.
    pub effective_url: String,
    /// Bytes that the sink has taken.
    pub bytes: u64,
    /// What the server said of the body.
    pub body: Option<BodyInfo>,
    /// The last HTTP status or FTP reply code.
    pub status: Option<u16>,
    /// Redirects that were followed.
    pub redirects: u32,
    /// The name that had addresses, which the search list may have completed.
    pub resolved_name: Option<String>,
    /// Names that were asked for and do not exist, in the order of the search list.
    pub names_tried: Vec<String>,
    /// The server.
    pub remote: Option<SocketAddr>,
    /// Our end of the (control) connection.
    pub local: Option<SocketAddr>,
    /// TCP segments sent again, over all connections of the transfer.
    pub retransmits: u64,
    /// When the steps were done.
    pub timings: Timings,
    /// Oddities that did not keep the transfer from going on, in words.
    pub notes: Vec<String>,
}

/// The outcome of a transfer, with its report in either case.
#[derive(Debug)]
pub struct Transfer {
    /// What happened.
    pub report: Report,
    /// Whether it is complete.
    pub result: Result<(), FetchError>,
}

/// What all transfers of a client have in common.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Name servers, search list and their options.
    pub resolver: ResolverConfig,
    /// How long to wait for a connection, over all addresses of a host.
    pub connect_timeout: Duration,
    /// How long a server may be silent; `None` waits for ever.
    pub idle_timeout: Option<Duration>,
    /// Stops the transfers.
    pub cancel: CancelToken,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            resolver: ResolverConfig::default(),
            connect_timeout: Duration::from_secs(60),
            idle_timeout: Some(Duration::from_secs(120)),
            cancel: CancelToken::default(),
        }
    }
}

/// Fetches one URL after another and keeps HTTP connections open in between.
pub struct Client {
    network: Arc<dyn Network>,
    config: ClientConfig,
    http: http::Pool,
}

impl Client {
    /// A client whose connections go through `network`.
    pub fn new(network: Arc<dyn Network>, config: ClientConfig) -> Client {
        Client { network, config, http: http::Pool::default() }
    }
}

/// What one transfer works with.
pub(crate) struct Exchange<'a> {
    pub(crate) network: &'a dyn Network,
    pub(crate) resolver: &'a ResolverConfig,
    pub(crate) connect_timeout: Duration,
    pub(crate) request: &'a Request,
    pub(crate) budget: Budget,
    pub(crate) report: Report,
    sink: &'a mut dyn Sink,
}

impl Exchange<'_> {
    pub(crate) fn begin(&mut self, info: BodyInfo) -> Result<(), FetchError> {
        self.report.body = Some(info);
        self.sink.begin(&info).map_err(FetchError::Write)
    }

    pub(crate) fn deliver(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.sink.data(bytes).map_err(FetchError::Write)?;
        self.report.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn first_byte(&mut self) {
        if self.report.timings.starttransfer.is_none() {
            self.report.timings.starttransfer = Some(self.budget.started.elapsed());
        }
    }

    pub(crate) fn note(&mut self, text: String) {
        tracing::warn!("{text}");
        self.report.notes.push(text);
    }
}

/// Fetches `request` into `sink`.
pub fn fetch(client: &mut Client, request: &Request, sink: &mut dyn Sink) -> Transfer {
    let config = &client.config;
    let mut exchange = Exchange {
        network: &*client.network,
        resolver: &config.resolver,
        connect_timeout: config.connect_timeout,
        request,
        budget: Budget::new(request.max_time, config.idle_timeout, config.cancel.clone()),
        report: Report { effective_url: request.target.public_url(), ..Report::default() },
        sink,
    };
    let result = match request.target.scheme() {
        Scheme::Http => http::get(&mut client.http, &mut exchange),
        Scheme::Ftp => ftp::get(&mut exchange),
    };
    let mut report = exchange.report;
    report.timings.total = exchange.budget.started.elapsed();
    Transfer { report, result }
}
