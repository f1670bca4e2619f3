//! How other threads wake a worker.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crate::socket::shared::Wake;

/// Wakes a worker that sleeps; costs a load when it does not.
#[derive(Debug)]
pub(crate) struct WorkerWaker {
    event: OwnedFd,
    pub(crate) asleep: AtomicBool,
}

impl WorkerWaker {
    pub(crate) fn new() -> std::io::Result<Self> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        Ok(Self { event: rustix::event::eventfd(0, flags)?, asleep: AtomicBool::new(false) })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    pub(crate) fn drain(&self) {
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
    }
}

impl Wake for WorkerWaker {
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) {
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}

impl Wake for Arc<WorkerWaker> {
    fn wake(&self) {
        (**self).wake();
    }
}
