//! What can go wrong before an engine runs, each with what to do about it.

use bypath_xdp::XdpError;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The interface, its driver or the privileges do not allow it.
    #[error(transparent)]
    Xdp(#[from] XdpError),
    /// The network namespace cannot be entered.
    #[error("network namespace {name:?}: {source} (see: ip netns list)")]
    Namespace {
        /// Its name.
        name: String,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// An address of the engine's own is one of the kernel's.
    #[error(
        "{address} belongs to the kernel on {interface}: leave --ip out to share the kernel's addresses, \
         or give an address that nobody uses"
    )]
    AddressInUse {
        /// The address.
        address: std::net::IpAddr,
        /// Where the kernel has it.
        interface: String,
    },
    /// There is nothing to send from.
    #[error("{interface} has no IP address: give the engine one with --ip ADDR/LEN")]
    NoAddress {
        /// The interface.
        interface: String,
    },
    /// Cores that do not exist, more workers than queues, and the like.
    #[error("{0}")]
    Config(String),
    /// A system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the kernel says.
        source: std::io::Error,
    },
}

impl EngineError {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
