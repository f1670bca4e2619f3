//! A network before it runs: hosts, links, paths, and the connections that applications will open.

use std::time::Duration;

use bypath::by_hand::StackOptions;

use crate::app::Script;
use crate::link::LinkSpec;
use crate::packet::Medium;

/// A network, before it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all chance.
    pub seed: u64,
    /// What packets begin with. Ethernet is for two hosts only.
    pub medium: Medium,
    /// Settings of each host's stack; `link` and `seed` are set here.
    pub hosts: Vec<HostPlan>,
    /// All links.
    pub links: Vec<LinkSpec>,
    /// From which host to which over which links.
    pub paths: Vec<(usize, usize, Vec<usize>)>,
    /// The connections.
    pub connections: Vec<ConnectionPlan>,
    /// When it ends, and what is forgiven.
    pub rules: Rules,
}

impl Plan {
    /// A network without hosts.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            medium: Medium::Ip,
            hosts: Vec::new(),
            links: Vec::new(),
            paths: Vec::new(),
            connections: Vec::new(),
            rules: Rules::default(),
        }
    }

    /// Two hosts and a link each way.
    pub fn pair(seed: u64, hosts: [HostPlan; 2], there: LinkSpec, back: LinkSpec) -> Self {
        Self {
            hosts: hosts.into(),
            links: vec![there, back],
            paths: vec![(0, 1, vec![0]), (1, 0, vec![1])],
            ..Self::new(seed)
        }
    }

    /// Adds a connection that host 0 opens to host 1 at the beginning.
    #[must_use]
    pub fn with(mut self, client: Script, server: Script) -> Self {
        let n = self.connections.len() as u16;
        self.connections.push(ConnectionPlan {
            hosts: [0, 1],
            ports: [40_000 + n, 80],
            scripts: [client, server],
            at: Duration::ZERO,
            after: None,
        });
        self
    }
}

/// When a run ends, and what is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Connections may end by an error without being reset by an application: the network is that bad.
    pub may_fail: bool,
    /// An old acknowledgement may open a connection again, as SYN cookies let it.
    pub replays: bool,
    /// More virtual time than this is a failure.
    pub limit: Duration,
    /// More events than this are a failure.
    pub most_events: u64,
    /// Stops when every application is done, and does not wait for TIME-WAIT.
    pub stop_when_done: bool,
    /// Stops then, whatever is left.
    pub stop_at: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            may_fail: false,
            replays: false,
            limit: Duration::from_secs(4 * 3_600),
            most_events: 50_000_000,
            stop_when_done: false,
            stop_at: None,
        }
    }
}

impl Rules {
    /// Whether the end is not an end in good order.
    pub(crate) fn stops_early(&self) -> bool {
        self.stop_when_done || self.stop_at.is_some()
    }
}

/// A host, before it runs.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Settings of its stack.
    pub options: StackOptions,
    /// It has an IPv6 address rather than an IPv4 address.
    pub v6: bool,
    /// Packets that arrive within the same so many nanoseconds are one batch.
    pub coalesce: Duration,
    /// Connections that may wait to be accepted.
    pub backlog: usize,
    /// After each connection that it accepts, it accepts none for so long.
    pub accept_pause: Duration,
    /// Its applications give their first bytes with the connection, and take them with it (RFC 7413).
    pub fast_open: bool,
}

impl Default for HostPlan {
    fn default() -> Self {
        Self {
            options: StackOptions::default(),
            v6: false,
            coalesce: Duration::ZERO,
            backlog: 1_024,
            accept_pause: Duration::ZERO,
            fast_open: false,
        }
    }
}

/// A connection, before it is opened.
#[derive(Clone, Debug)]
pub struct ConnectionPlan {
    /// Who opens it, and who listens.
    pub hosts: [usize; 2],
    /// Their ports.
    pub ports: [u16; 2],
    /// What their applications do.
    pub scripts: [Script; 2],
    /// When it is opened; or how long after the end of the one before it.
    pub at: Duration,
    /// The connection, by its number, whose ports it takes when both ends of that are done.
    pub after: Option<usize>,
}
