//! Trying out whether an interface takes frames from the pump, before anything that matters goes that way.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Shared;
use super::layout::{PUMP_CHUNK, PUMP_SLOTS, desc};
use crate::error::XdpError;

/// IEEE 802 local experimental EtherType: nobody takes such a frame for theirs.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// The shortest frame there is, without FCS.
const LEN: usize = 60;
/// How long the pump may take for one frame.
const PATIENCE: Duration = Duration::from_secs(2);

impl Shared {
    /// Sends one frame from each interface to itself, and hears what its driver says.
    ///
    /// # Errors
    /// [`XdpError::NoPump`], with what is wrong.
    pub(super) fn probe(&self) -> Result<(), XdpError> {
        let interfaces: Vec<_> =
            self.interfaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for facts in &interfaces {
            let port = self.seats.iter().position(|note| {
                note.taken.load(Ordering::Acquire)
                    && note.ifindex.load(Ordering::Relaxed) == u64::from(facts.ifindex)
            });
            let Some(port) = port else { continue };
            let mut frame = [0; LEN];
            frame[..6].copy_from_slice(&facts.mac.0);
            frame[6..12].copy_from_slice(&facts.mac.0);
            frame[12..14].copy_from_slice(&EXPERIMENT);
            let refuse = |reason| XdpError::NoPump { name: facts.name.clone(), reason };
            match self.send_one(port, &frame)? {
                Some(0) => {}
                Some(errno) => return Err(refuse(self.reason(errno))),
                None => return Err(refuse("it does not run: its core is taken by something else".into())),
            }
        }
        Ok(())
    }

    /// Sends a frame by a port: what the driver says about it. `None`: the pump did not get round to it.
    fn send_one(&self, port: usize, frame: &[u8; LEN]) -> Result<Option<i64>, XdpError> {
        let at = self.seats.len();
        let (ring, state) = (self.ring(at), self.state());
        let chunk = at as u32 * self.frames_per_seat;
        let area = self.map_chunks(u64::from(chunk) * u64::from(PUMP_CHUNK), 1)?;
        let (base, _) = area.memory();
        // SAFETY: the chunk is for this alone, it is longer than the frame, and the pump does not look at it before it is
        // on the ring.
        unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), base.cast(), LEN) };
        let lost = || {
            let refused = ring.refused.load(Ordering::Acquire) + state.refused.load(Ordering::Acquire);
            refused + state.dropped.load(Ordering::Acquire)
        };
        let before = lost();
        state.error.store(0, Ordering::Relaxed);
        let next = ring.producer.load(Ordering::Relaxed);
        ring.port.store(port as u64, Ordering::Relaxed);
        let slot = &ring.slots[(next % u64::from(PUMP_SLOTS)) as usize];
        slot.store(desc(chunk, 0, LEN as u16), Ordering::Relaxed);
        ring.producer.store(next + 1, Ordering::Release);
        let start = Instant::now();
        let mut flushed_at = None;
        while start.elapsed() < PATIENCE {
            if ring.consumer.load(Ordering::Acquire) == next + 1 {
                let turns = state.turns.load(Ordering::Acquire);
                let flushed = *flushed_at.get_or_insert(turns + 2 * u64::from(self.batch));
                if turns >= flushed {
                    return Ok(Some(match (lost() > before, state.error.load(Ordering::Acquire)) {
                        (false, _) => 0,
                        (true, 0) => -i64::from(libc::ENODEV),
                        (true, errno) => errno,
                    }));
                }
            }
            sleep(Duration::from_micros(100));
        }
        Ok(None)
    }
}
