//! What is served, where, and within which limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::files::Root;

/// What the connections to a port get.
#[derive(Clone, Debug)]
pub enum Role {
    /// HTTP/1.1, files of a directory.
    Http(Root),
    /// FTP, files of a directory.
    Ftp(Root),
    /// RFC 862, by UDP as well.
    Echo,
    /// RFC 863.
    Discard,
    /// RFC 864.
    Chargen,
    /// RFC 867.
    Daytime,
    /// RFC 868.
    Time,
    /// Requests and responses of load tests.
    Rr,
    /// Streams of load tests.
    Stream,
}

impl Role {
    /// Its name, as the option of the command has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Ftp(_) => "ftp",
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Daytime => "daytime",
            Self::Time => "time",
            Self::Rr => "rr",
            Self::Stream => "stream",
        }
    }
}

/// A port and what is there.
#[derive(Clone, Debug)]
pub struct Site {
    /// TCP port, and UDP port of echo.
    pub port: u16,
    /// What is there.
    pub role: Role,
}

/// Settings of the servers.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// What is served; each port once.
    pub sites: Vec<Site>,
    /// FTP clients may upload, rename and delete.
    pub writable: bool,
    /// Directories without `index.html` are listed by HTTP.
    pub listing: bool,
    /// Longest head of an HTTP request, bytes.
    pub max_head: usize,
    /// Longest body of an HTTP request, bytes; it is read and dropped.
    pub max_body: u64,
    /// A connection is ended when nothing moves on it for so long; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// The head of an HTTP request must arrive within this; `None`: whenever.
    pub request_timeout: Option<Duration>,
    /// Ports for passive data connections of FTP, dealt to the workers in turn.
    pub passive_ports: RangeInclusive<u16>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            writable: false,
            listing: true,
            max_head: 16 * 1024,
            max_body: 1 << 20,
            idle_timeout: Some(Duration::from_secs(300)),
            request_timeout: Some(Duration::from_secs(30)),
            passive_ports: 61_000..=61_063,
        }
    }
}

impl ServeConfig {
    /// Whether one of the sites is FTP.
    pub fn has_ftp(&self) -> bool {
        self.sites.iter().any(|site| matches!(site.role, Role::Ftp(_)))
    }

    /// The TCP ports that the engine must give to the service.
    pub fn ports(&self) -> Vec<u16> {
        self.sites.iter().map(|site| site.port).collect()
    }

    /// The TCP ports that it must deal to the workers.
    pub fn dealt_ports(&self) -> Vec<u16> {
        if self.has_ftp() { self.passive_ports.clone().collect() } else { Vec::new() }
    }

    /// The UDP ports that it must give to the service.
    pub fn datagram_ports(&self) -> Vec<u16> {
        let echoes = self.sites.iter().filter(|site| matches!(site.role, Role::Echo));
        echoes.map(|site| site.port).collect()
    }
}
