//! Why frames cannot be sent or received, each with what to do about it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use bypath_xdp::XdpError;
use thiserror::Error;

/// Why a run cannot be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlastError {
    /// Source and destination of two address families.
    #[error("source {src} and destination {dst} are of different families: give both, of one")]
    AddressFamilies {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
    },
    /// Frames that cannot hold their headers.
    #[error(
        "frames of {size} bytes cannot hold their headers{}: the least is {least}, FCS included", if *.signed { " and the signature" } else { "" }
    )]
    SizeTooSmall {
        /// The size asked for, FCS included.
        size: u16,
        /// What would do.
        least: u16,
        /// Whether a signature is among it.
        signed: bool,
    },
    /// Frames that the interface cannot send.
    #[error(
        "frames of {size} bytes exceed what {interface} can send with its MTU of {mtu}: at most {most}, FCS included; `ip link set {interface} mtu …` raises it"
    )]
    SizeTooLarge {
        /// The size asked for, FCS included.
        size: usize,
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// What would do.
        most: usize,
    },
    /// A capture that cannot be used.
    #[error("cannot take frames from {path}: {reason}", path = path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answers for the destination.
    #[error(
        "{address} does not answer on {interface}: nobody there has that address; name the receiver's MAC address with --dst-mac if it answers no ARP"
    )]
    Unreachable {
        /// The destination.
        address: IpAddr,
        /// The interface.
        interface: String,
    },
    /// An option that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A namespace that cannot be entered.
    #[error("cannot enter the network namespace \"{name}\" ({source}): see `ip netns list`, and run as root")]
    Namespace {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] XdpError),
    /// Anything else that the kernel refused.
    #[error("{action}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
