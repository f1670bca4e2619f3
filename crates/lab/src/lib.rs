//! A network of two hosts, or two hosts and a bad wire between them, out of network namespaces.
//!
//! [`Lab`] makes and removes the namespaces; [`Host`] runs programs and closures inside one of them;
//! [`peer`] starts servers that somebody else wrote (nginx, vsftpd, dnsmasq); [`TcpService`] is a plain
//! kernel TCP server; [`MiddleBox`] loses, reorders, duplicates and corrupts frames by a seed; [`pcap`]
//! and [`Capture`] look at what was on the wire. Tests, the demo and `bypath lab` use it. Nothing here
//! knows the engine: the lab depends on no other crate of the workspace, so that it can judge them all.
//!
//! It needs root and the programs `ip` and `ethtool`; the errors say what to install or run.

pub mod capture;
pub mod error;
pub mod host;
pub mod impair;
pub mod kernel_tcp;
pub mod lab;
pub mod middle;
pub mod pattern;
pub mod pcap;
pub mod peer;
mod ping;
pub mod process;
pub mod record;
pub mod tool;
mod tune;

pub use capture::Capture;
pub use error::LabError;
pub use host::Host;
pub use impair::Impairments;
pub use kernel_tcp::{TcpJob, TcpService};
pub use lab::{Lab, LabBuilder};
pub use middle::{MiddleBox, MiddleCounts};
pub use pattern::Pattern;
pub use process::Process;
pub use record::{HostRecord, LabRecord};

/// What most functions of this crate return.
pub type Result<T> = std::result::Result<T, LabError>;
