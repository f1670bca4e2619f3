//! A DNS stub resolver: asks the configured servers for the addresses of a name (RFC 1034 section
//! 5.3.1), in the way that resolv.conf(5) describes. It caches nothing and trusts its servers to
//! recurse.

mod config;
mod exchange;
mod message;
mod resolver;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

pub use config::ResolverConfig;
pub use resolver::{Lookup, Resolver};

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// Why a name has no address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DnsError {
    /// It is no domain name.
    #[error("\"{0}\" is not a domain name")]
    BadName(String),
    /// The name does not exist (NXDOMAIN), nor does any that the search list makes of it.
    #[error("{name} does not exist (NXDOMAIN){}", Tried(.tried))]
    NoSuchName {
        /// The name as given.
        name: String,
        /// All names that were asked for.
        tried: Vec<String>,
    },
    /// The name exists, but has no address of the family that is wanted.
    #[error("{name} exists, but has no address of the wanted kind")]
    NoAddress {
        /// The name that exists.
        name: String,
    },
    /// No server could answer: SERVFAIL, REFUSED and the like.
    #[error("the name server {server} could not answer for {name}: {response}")]
    ServerFailure {
        /// The name that was asked for.
        name: String,
        /// The server that answered last.
        server: SocketAddr,
        /// Its response code.
        response: String,
    },
    /// No server answered.
    #[error("no answer for {name} from {servers} after {after:.1?}")]
    Timeout {
        /// The name that was asked for.
        name: String,
        /// The servers that kept silent.
        servers: String,
        /// How long they were given.
        after: Duration,
    },
    /// No server could be asked.
    #[error("could not ask the name server {server} for {name}: {source}")]
    Unreachable {
        /// The name that was asked for.
        name: String,
        /// The server that was tried last.
        server: SocketAddr,
        /// What the socket said.
        source: io::Error,
    },
    /// The aliases (CNAME) of the name lead nowhere or in a circle.
    #[error("the aliases of {0} do not end")]
    AliasLoop(String),
}

struct Tried<'a>(&'a [String]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 { write!(f, "; tried {}", self.0.join(", ")) } else { Ok(()) }
    }
}
