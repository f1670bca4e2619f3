//! Frames of the engine's flows that arrive on queues without a socket, on their way to the first worker.
//!
//! The NIC may get more queues while the engine runs (`ethtool -L`), or may have had more than the engine was given.
//! No socket takes what comes there; the steering program copies it into a ring, and a thread from there into one
//! like those between workers. No flow ends for it, but it is slow, and the engine's figures tell of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use bypath_xdp::Strays;

use crate::handoff::HandoffSender;
use crate::socket::shared::Wake;
use crate::waker::WorkerWaker;

/// In the place of the count of hand-offs: nobody has seen this packet yet.
pub(crate) const STRAY: u8 = u8::MAX - 1;

/// The thread between the two rings.
#[derive(Debug)]
pub(crate) struct Detour {
    thread: Option<JoinHandle<()>>,
    ending: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Detour {
    /// Begins to pass on frames.
    pub(crate) fn start(strays: Strays, mut to: HandoffSender, waker: Arc<WorkerWaker>) -> io::Result<Self> {
        let (ending, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::Builder::new().name("bypath-detour".into()).spawn({
            let (ending, lost) = (ending.clone(), lost.clone());
            move || {
                let read = strays.read(&ending, |_, frame| {
                    if to.push(&[frame], STRAY).is_ok() {
                        waker.wake();
                    } else {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                });
                if let Err(error) = read {
                    tracing::warn!(%error, "what arrives on queues without a socket is lost from here on");
                }
            }
        })?;
        Ok(Self { thread: Some(thread), ending, lost })
    }

    /// Frames that the worker had no room for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
