//! How long a transfer may take, and how it is told to stop.
//!
//! Blocking calls wait for one [`TICK`] at a time and ask the budget in between, so that a deadline
//! or Ctrl-C takes effect however silent the peer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::FetchError;

/// The longest that a cancelled transfer goes on waiting for its peer.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Stops a transfer from another thread.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Tells the transfer to stop at the next opportunity, within about a tenth of a second.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The time limits of one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// When the transfer began.
    pub(crate) started: Instant,
    /// All of it, from the first query to the last byte.
    pub(crate) total: Option<Duration>,
    /// Silence of the peer.
    pub(crate) idle: Option<Duration>,
    pub(crate) cancel: CancelToken,
}

impl Budget {
    pub(crate) fn new(total: Option<Duration>, idle: Option<Duration>, cancel: CancelToken) -> Self {
        Budget { started: Instant::now(), total, idle, cancel }
    }

    /// Time left in total; `None` when there is no limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.total.map(|total| total.saturating_sub(self.started.elapsed()))
    }

    /// Fails when the transfer was cancelled or its time is up. `doing` completes "timed out while".
    pub(crate) fn check(&self, doing: &str) -> Result<(), FetchError> {
        if self.cancel.is_cancelled() {
            return Err(FetchError::Interrupted);
        }
        match self.left() {
            Some(Duration::ZERO) => Err(self.timed_out(doing)),
            _ => Ok(()),
        }
    }

    /// Like [`Budget::check`], and fails when nothing has come since `since`.
    pub(crate) fn check_idle(&self, since: Instant, doing: &str) -> Result<(), FetchError> {
        self.check(doing)?;
        match self.idle {
            Some(limit) if since.elapsed() >= limit => {
                Err(FetchError::Timeout { doing: doing.to_owned(), after: since.elapsed() })
            }
            _ => Ok(()),
        }
    }

    /// How long one blocking call may take now.
    pub(crate) fn tick(&self) -> Duration {
        self.cap(TICK)
    }

    /// `limit`, or what is left in total if that is less; never zero, which sockets refuse.
    pub(crate) fn cap(&self, limit: Duration) -> Duration {
        self.left().map_or(limit, |left| left.min(limit)).max(Duration::from_millis(1))
    }

    pub(crate) fn timed_out(&self, doing: &str) -> FetchError {
        FetchError::Timeout { doing: doing.to_owned(), after: self.started.elapsed() }
    }
}
