//! Frames for the engine that arrived on a queue without a socket.
//!
//! A socket takes frames of its own queue only. When a NIC gets more queues while an engine runs, frames of the engine's
//! flows come on queues that nobody has bound; passed on, the kernel would answer them with resets. The steering
//! program copies them into a ring of its own instead: slower, and still every frame.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libbpf_rs::{ErrorKind, MapHandle, RingBufferBuilder};

use crate::error::XdpError;

/// How often the reader looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// In front of a frame: its queue and its length, 4 bytes each.
const HEADER: usize = 8;

/// The reading end.
#[derive(Debug)]
pub struct Strays {
    ring: MapHandle,
}

impl Strays {
    pub(super) fn new(ring: MapHandle) -> Self {
        Strays { ring }
    }

    /// Hands each frame, and the queue that it came on, to `take`, until `ending` is set.
    ///
    /// # Errors
    /// What the system says when the ring cannot be read (any more).
    pub fn read(self, ending: &AtomicBool, mut take: impl FnMut(u32, &[u8])) -> Result<(), XdpError> {
        let refused = |error: libbpf_rs::Error| {
            XdpError::system("reading frames of queues without a socket", std::io::Error::other(error))
        };
        let mut builder = RingBufferBuilder::new();
        let deliver = |record: &[u8]| {
            if let Some((queue, frame)) = parse(record) {
                take(queue, frame);
            }
            // However fast they come: an error ends the reading.
            if ending.load(Ordering::Acquire) { -libc::ECANCELED } else { 0 }
        };
        builder.add(&self.ring, deliver).map_err(refused)?;
        let ring = builder.build().map_err(refused)?;
        while !ending.load(Ordering::Acquire) {
            match ring.poll(LOOK) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted || ending.load(Ordering::Acquire) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }
}

/// A record's queue and frame.
fn parse(record: &[u8]) -> Option<(u32, &[u8])> {
    let (header, frame) = record.split_at_checked(HEADER)?;
    let number = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, frame.get(..number(4)? as usize)?))
}
