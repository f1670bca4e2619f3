//! A producer's place at the pump: its ring, its part of the packet memory, and what it and the pump tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Shared;
use super::layout::{PUMP_CHUNK, PUMP_OFFSETS, PUMP_SLOTS, Ring, desc};
use crate::error::XdpError;
use crate::umem::UmemArea;

/// Bits of a descriptor's offset that the pump does not look at: which of its queues the producer meant.
const QUEUE_SHIFT: u32 = PUMP_OFFSETS.trailing_zeros();
/// Queues that a producer can tell apart there.
pub(crate) const MAX_SEAT_QUEUES: usize = 1 << (16 - QUEUE_SHIFT);

/// What the keeper of the pump reads and writes of each seat.
#[derive(Debug, Default)]
pub(super) struct SeatNote {
    /// The keeper wants the device to send by the pump.
    pub(super) wanted: AtomicBool,
    /// The device may have frames at the pump.
    pub(super) at_pump: AtomicBool,
    /// Packets that the device was given to send, by either path.
    pub(super) offered: AtomicU64,
    /// Somebody sits there.
    pub(super) taken: AtomicBool,
    /// Where its frames go.
    pub(super) ifindex: AtomicU64,
}

/// One device's place at the pump.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    index: usize,
    /// Its first chunk, as the pump counts them.
    base: u32,
    /// Frames put on the ring.
    next: u64,
    /// Of these, shown to the pump.
    published: u64,
    /// Of these, known to be taken.
    consumed: u64,
    /// Of these, taken back by the device.
    reclaimed: u64,
}

/// A frame that goes back or elsewhere: its chunk, where it lies there, its length, the queue it was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) chunk: u32,
    pub(crate) offset: u16,
    pub(crate) len: u16,
    pub(crate) queue: usize,
}

impl Seat {
    /// A seat that is free, with its packet memory.
    pub(super) fn take(shared: &Arc<Shared>, ifindex: u32) -> Result<(Seat, Arc<UmemArea>), XdpError> {
        let (index, note) = shared.claim()?;
        let frames = shared.frames_per_seat;
        let offset = index as u64 * u64::from(frames) * u64::from(PUMP_CHUNK);
        let outcome = shared.port(index, ifindex).and_then(|()| shared.map_chunks(offset, frames));
        let area = outcome.inspect_err(|_| note.taken.store(false, Ordering::Release))?;
        note.ifindex.store(ifindex.into(), Ordering::Relaxed);
        let ring = shared.ring(index);
        ring.port.store(index as u64, Ordering::Relaxed);
        let at = ring.producer.load(Ordering::Acquire);
        let base = index as u32 * frames;
        let shared = Arc::clone(shared);
        Ok((Seat { shared, index, base, next: at, published: at, consumed: at, reclaimed: at }, area))
    }

    fn ring(&self) -> &Ring {
        self.shared.ring(self.index)
    }

    fn note(&self) -> &SeatNote {
        &self.shared.seats[self.index]
    }

    /// Frames on the ring that the device has not taken back.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        (self.next - self.reclaimed) as usize
    }

    /// Of these, not yet shown to the pump.
    #[inline]
    pub(crate) fn unpublished(&self) -> usize {
        (self.next - self.published) as usize
    }

    /// Whether the pump has taken all that it was shown, as far as is known.
    pub(crate) fn is_drained(&self) -> bool {
        self.consumed == self.published
    }

    /// Puts a frame on the ring; the caller keeps [`Seat::held`] below [`PUMP_SLOTS`].
    #[inline]
    pub(crate) fn push(&mut self, frame: Returned) {
        debug_assert!(self.held() < PUMP_SLOTS as usize && u32::from(frame.offset) < PUMP_OFFSETS);
        let offset = frame.offset | (frame.queue << QUEUE_SHIFT) as u16;
        let slot = &self.ring().slots[(self.next % u64::from(PUMP_SLOTS)) as usize];
        slot.store(desc(self.base + frame.chunk, offset, frame.len), Ordering::Relaxed);
        self.next += 1;
    }

    /// Shows the pump what was put on the ring.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published != self.next {
            self.ring().producer.store(self.next, Ordering::Release);
            self.published = self.next;
        }
    }

    /// Looks how far the pump has come.
    #[inline]
    pub(crate) fn look(&mut self) {
        self.consumed = self.ring().consumer.load(Ordering::Acquire);
    }

    /// The oldest frame that the pump has taken and the device has not taken back.
    #[inline]
    pub(crate) fn reclaim(&mut self) -> Option<u32> {
        (self.reclaimed < self.consumed).then(|| self.read().chunk)
    }

    /// The oldest frame that the pump has not seen. After [`Seat::retract`] also one that it was shown.
    pub(crate) fn take_back(&mut self) -> Option<Returned> {
        (self.reclaimed >= self.published && self.reclaimed < self.next).then(|| self.read())
    }

    /// All frames were taken back: the pump goes on from behind them.
    pub(crate) fn rewind(&mut self) {
        debug_assert_eq!(self.reclaimed, self.next, "frames are left on the ring");
        self.next = self.published;
        self.reclaimed = self.published;
        self.consumed = self.published;
    }

    /// Takes back what the pump was shown and has not taken, when it has ended for good: nothing takes it any more.
    pub(crate) fn retract(&mut self) {
        self.look();
        self.published = self.consumed;
        self.ring().producer.store(self.published, Ordering::Release);
    }

    fn read(&mut self) -> Returned {
        let word =
            self.ring().slots[(self.reclaimed % u64::from(PUMP_SLOTS)) as usize].load(Ordering::Relaxed);
        self.reclaimed += 1;
        let offset = (word >> 32) as u16;
        Returned {
            chunk: (word as u32).wrapping_sub(self.base),
            offset: offset & (PUMP_OFFSETS as u16 - 1),
            len: (word >> 48) as u16,
            queue: usize::from(offset >> QUEUE_SHIFT),
        }
    }

    /// Which path the pump's keeper wants: the pump if true.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.note().wanted.load(Ordering::Acquire)
    }

    /// Whether the pump has ended and will not run again.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Tells the keeper how much there is to send.
    #[inline]
    pub(crate) fn tell_offered(&self, packets: u64) {
        self.note().offered.store(packets, Ordering::Relaxed);
    }

    /// Tells the keeper whether frames may be with the pump.
    pub(crate) fn tell_at_pump(&self, at_pump: bool) {
        self.note().at_pump.store(at_pump, Ordering::Release);
    }

    /// Turns of the pump so far; a frame taken has left when a batch has been begun after it.
    pub(crate) fn turns(&self) -> u64 {
        self.shared.state().turns.load(Ordering::Acquire)
    }

    /// Whether a batch that was under way at that turn is over.
    pub(crate) fn is_flushed(&self, since: u64) -> bool {
        self.turns() >= since + u64::from(self.shared.batch) || !self.shared.running.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let note = self.note();
        note.wanted.store(false, Ordering::Relaxed);
        note.at_pump.store(false, Ordering::Relaxed);
        note.offered.store(0, Ordering::Relaxed);
        let ring = self.ring();
        // Frames that the pump still has would be read from memory that the next device writes to: then the seat
        // stays as it is.
        if ring.consumer.load(Ordering::Acquire) == ring.producer.load(Ordering::Acquire) {
            note.taken.store(false, Ordering::Release);
        }
    }
}
