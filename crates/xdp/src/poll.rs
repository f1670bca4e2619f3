//! Sleeping in poll(): the same for sockets and for the in-memory wire.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};

/// Sleeps until a descriptor is ready or the time is up. Being interrupted by a signal is not an error.
pub(crate) fn poll_until(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
