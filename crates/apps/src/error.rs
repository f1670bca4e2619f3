//! Why a transfer failed, and the exit code that curl would give it.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::dns::DnsError;

/// Why a transfer failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL names a protocol that is not spoken here.
    #[error("the protocol \"{0}\" is not supported: use ftp:// or http://")]
    UnsupportedScheme(String),
    /// The URL cannot be used.
    #[error("bad URL \"{url}\": {reason}")]
    BadUrl {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host's name has no address.
    #[error("could not resolve the host: {0}")]
    Resolve(#[from] DnsError),
    /// No connection to any of the host's addresses.
    #[error("could not connect to {peer}: {source}")]
    Connect {
        /// Host, address and port.
        peer: String,
        /// What the last attempt said.
        source: io::Error,
    },
    /// The server does not speak the protocol as it should.
    #[error("weird server reply: {0}")]
    WeirdReply(String),
    /// The server does not let us into the directory.
    #[error("the server denied access to the directory \"{directory}\": {reply}")]
    AccessDenied {
        /// The path segment that was refused.
        directory: String,
        /// The server's words.
        reply: String,
    },
    /// The server did not open the data connection it was asked for.
    #[error("the server did not connect back to {listening} within {after:?}")]
    AcceptTimeout {
        /// Where the data connection was awaited.
        listening: String,
        /// How long.
        after: Duration,
    },
    /// No passive data connection could be agreed upon.
    #[error("passive mode failed: {0}")]
    PassiveFailed(String),
    /// The server refused TYPE.
    #[error("could not set the transfer type: {0}")]
    TypeFailed(String),
    /// The body ended before it was complete.
    #[error("partial transfer: {received} bytes received{}: {cause}", of_expected(*.expected))]
    Partial {
        /// Bytes that arrived in this transfer.
        received: u64,
        /// Bytes that were announced for this transfer, if they were.
        expected: Option<u64>,
        /// How it ended.
        cause: String,
    },
    /// The server refused to send the file, for another reason than that it is not there.
    #[error("the server would not send the file: {0}")]
    RetrFailed(String),
    /// The HTTP server answered with an error status.
    #[error("the server answered {status}{}", spaced(.reason))]
    HttpStatus {
        /// 400 to 599.
        status: u16,
        /// The words beside it.
        reason: String,
    },
    /// The receiver of the body could not take it.
    #[error("could not write the body: {0}")]
    Write(#[source] io::Error),
    /// Time is up.
    #[error("timed out after {:.1} s while {doing}", .after.as_secs_f64())]
    Timeout {
        /// What was going on.
        doing: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Neither EPRT nor PORT was taken.
    #[error("active mode failed: {0}")]
    PortFailed(String),
    /// The server cannot start in the middle of a file.
    #[error("the server refused to resume: {0}")]
    RestFailed(String),
    /// The server cannot send the range that was asked for.
    #[error("range error: {0}")]
    Range(String),
    /// What is there already does not fit what the server has.
    #[error("cannot resume: {have} bytes are here, but the server's file has {size}")]
    BadResume {
        /// Bytes on this side.
        have: u64,
        /// Bytes on the server.
        size: u64,
    },
    /// Redirected once too often.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// How many are allowed.
        limit: u32,
    },
    /// The server closed the connection without a word.
    #[error("empty reply from the server")]
    Empty,
    /// A request could not be sent.
    #[error("could not send to the server: {0}")]
    Send(#[source] io::Error),
    /// A reply could not be received.
    #[error("could not receive from the server: {0}")]
    Recv(String),
    /// User name or password are not accepted.
    #[error("login denied: {0}")]
    LoginDenied(String),
    /// There is no such file on the server.
    #[error("no such file on the server: {0}")]
    NotFound(String),
    /// Stopped through a [`crate::CancelToken`].
    #[error("interrupted")]
    Interrupted,
}

impl FetchError {
    /// The exit code that curl's manual lists for this failure; 130, as shells have it, for an
    /// interrupted one.
    pub fn exit_code(&self) -> u8 {
        match self {
            FetchError::UnsupportedScheme(_) => 1,
            FetchError::BadUrl { .. } => 3,
            FetchError::Resolve(_) => 6,
            FetchError::Connect { .. } => 7,
            FetchError::WeirdReply(_) => 8,
            FetchError::AccessDenied { .. } => 9,
            FetchError::AcceptTimeout { .. } => 12,
            FetchError::PassiveFailed(_) => 13,
            FetchError::TypeFailed(_) => 17,
            FetchError::Partial { .. } => 18,
            FetchError::RetrFailed(_) => 19,
            FetchError::HttpStatus { .. } => 22,
            FetchError::Write(_) => 23,
            FetchError::Timeout { .. } => 28,
            FetchError::PortFailed(_) => 30,
            FetchError::RestFailed(_) => 31,
            FetchError::Range(_) => 33,
            FetchError::BadResume { .. } => 36,
            FetchError::TooManyRedirects { .. } => 47,
            FetchError::Empty => 52,
            FetchError::Send(_) => 55,
            FetchError::Recv(_) => 56,
            FetchError::LoginDenied(_) => 67,
            FetchError::NotFound(_) => 78,
            FetchError::Interrupted => 130,
        }
    }
}

fn of_expected(expected: Option<u64>) -> String {
    expected.map(|n| format!(" of {n}")).unwrap_or_default()
}

fn spaced(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" {reason}") }
}
