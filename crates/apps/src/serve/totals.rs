//! What the servers of one worker have counted. The worker writes, anybody may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes. Adding costs a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// What it has come to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a request was refused or a connection ended otherwise than in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The client asked for what is not there, or what it may not have (HTTP 403 to 416, FTP 550).
    NotServed,
    /// The client's request could not be understood (HTTP 400, 431, 501, 505, FTP 500 to 504).
    BadRequest,
    /// The server could not do it (HTTP 500 and above, FTP 451, 452).
    ServerError,
    /// Nothing came for longer than the idle time.
    IdleTimeout,
    /// A request took too long to arrive.
    RequestTimeout,
    /// The client reset the connection.
    ResetByPeer,
    /// The client stopped acknowledging.
    TimedOut,
    /// A file became shorter while it was sent.
    FileTruncated,
    /// A client of the load services broke their protocol.
    Protocol,
    /// A data connection came from a stranger, or unasked for.
    Stranger,
    /// Bytes of a checked upload were not of the test pattern.
    WrongBytes,
    /// Lines of the access log that there was no room for.
    LogDropped,
}

impl Trouble {
    /// All of them, by their number.
    pub const ALL: [Self; 12] = [
        Self::NotServed,
        Self::BadRequest,
        Self::ServerError,
        Self::IdleTimeout,
        Self::RequestTimeout,
        Self::ResetByPeer,
        Self::TimedOut,
        Self::FileTruncated,
        Self::Protocol,
        Self::Stranger,
        Self::WrongBytes,
        Self::LogDropped,
    ];

    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotServed => "not_served",
            Self::BadRequest => "bad_request",
            Self::ServerError => "server_error",
            Self::IdleTimeout => "idle_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::ResetByPeer => "reset_by_peer",
            Self::TimedOut => "timed_out",
            Self::FileTruncated => "file_truncated",
            Self::Protocol => "protocol",
            Self::Stranger => "stranger",
            Self::WrongBytes => "wrong_bytes",
            Self::LogDropped => "log_dropped",
        }
    }
}

/// The counts of one worker.
#[derive(Debug, Default)]
pub struct WorkerTotals {
    /// Connections taken.
    pub connections_opened: Counter,
    /// Of these, over by now.
    pub connections_closed: Counter,
    /// Requests answered: of HTTP, FTP commands, of `rr`.
    pub requests: Counter,
    /// Bytes received by the applications.
    pub bytes_received: Counter,
    /// Bytes that clients have acknowledged.
    pub bytes_sent: Counter,
    /// Datagrams answered, by echo.
    pub datagrams: Counter,
    troubles: [Counter; Trouble::ALL.len()],
}

impl WorkerTotals {
    pub(super) fn trouble(&self, trouble: Trouble) {
        if let Some(counter) = self.troubles.get(trouble as usize) {
            counter.add(1);
        }
    }

    /// How often each kind of trouble was seen.
    pub fn troubles(&self) -> impl Iterator<Item = (Trouble, u64)> + '_ {
        Trouble::ALL.into_iter().zip(self.troubles.iter().map(Counter::get))
    }
}
