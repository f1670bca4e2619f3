//! FTP (RFC 959, 2428, 3659): a control connection's session, its data connections, and what they ask of each other.

mod command;
mod data;
mod listing;
mod passive;
mod session;
mod transfer;
mod upload;

use std::net::{IpAddr, SocketAddr};

use bypath::ConnectionId;

pub(super) use data::{Data, End, Job};
pub(super) use passive::Passive;
pub(super) use session::Session;

/// What one connection wants of another; done when the worker wakes the service.
#[derive(Debug)]
pub(super) enum Action {
    /// Open a data connection for a session.
    Connect { control: ConnectionId, from: IpAddr, to: SocketAddr },
    /// Hand a data connection its job.
    Give { data: ConnectionId, job: Job },
    /// Reset a data connection.
    Abort { data: ConnectionId },
    /// A session's data connection has done its job, or failed.
    Ended { control: ConnectionId, end: End },
    /// No data connection came.
    TimedOut(ConnectionId),
}
