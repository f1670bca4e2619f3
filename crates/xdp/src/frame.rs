//! The frame token, and the batch that receive fills.
//!
//! A [`Frame`] stands for one chunk of a [`UmemArea`](crate::UmemArea) and is the right to read and
//! write it. It can be neither copied nor cloned, so a chunk has one owner at any moment: the free
//! list, the fill ring, a batch, the application, or the TX ring. A token that is dropped instead of
//! released goes to its area's lost-and-found, from where the device takes it back at the next flush.

use crate::umem::{self, AreaId};

/// One chunk of packet memory, owned.
///
/// Offsets and lengths count from the start of the chunk's data room (what the kernel keeps in front
/// of it as headroom is not visible). 16 bytes, so a batch of 32 fits eight cache lines.
#[derive(Debug)]
#[must_use = "release or transmit the frame; dropping it takes the slow way back to the free list"]
pub struct Frame {
    pub(crate) area: AreaId,
    pub(crate) index: u32,
    pub(crate) len: u16,
    pub(crate) offset: u16,
    pub(crate) queue: u16,
    pub(crate) more: bool,
}

const _: () = assert!(size_of::<Frame>() == 16);

impl Frame {
    pub(crate) fn new(area: AreaId, index: u32) -> Self {
        Frame { area, index, len: 0, offset: 0, queue: 0, more: false }
    }

    /// Ends the token and yields its chunk: for the pool and the rings, which own it from here on.
    pub(crate) fn into_index(self) -> u32 {
        let index = self.index;
        std::mem::forget(self);
        index
    }

    /// Bytes of packet data in this frame.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// True when the frame holds no data.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the number of packet bytes. What does not fit a chunk is cut to the largest chunk there is;
    /// the device refuses frames that reach over their own chunk.
    pub fn set_len(&mut self, len: u32) {
        self.len = u16::try_from(len).unwrap_or(u16::MAX);
    }

    /// Where the packet data begins, in bytes from the start of the chunk's data room.
    pub fn offset(&self) -> usize {
        usize::from(self.offset)
    }

    /// Moves the start of the packet data; the length stays.
    pub fn set_offset(&mut self, offset: u32) {
        self.offset = u16::try_from(offset).unwrap_or(u16::MAX);
    }

    /// True when the next frame continues this packet.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Says that the next frame continues this packet.
    pub fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// Which chunk of its memory this is, below [`UmemArea::frames`](crate::UmemArea::frames): for users that remember
    /// what they wrote there.
    pub fn slot(&self) -> usize {
        self.index as usize
    }

    /// The queue it came from, or is to leave by.
    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// Chooses the queue to leave by; a queue that the device does not serve means its first.
    pub fn set_queue(&mut self, queue: u16) {
        self.queue = queue;
    }
}

impl Drop for Frame {
    #[cold]
    fn drop(&mut self) {
        umem::return_orphan(self.area, self.index);
    }
}

/// Received frames in order, packets back to back. Never grows beyond the capacity it was made with.
#[derive(Debug)]
pub struct RxBatch {
    frames: Vec<Frame>,
    capacity: usize,
}

impl RxBatch {
    /// A batch of at most `capacity` frames, allocated once.
    pub fn with_capacity(capacity: usize) -> Self {
        RxBatch { frames: Vec::with_capacity(capacity), capacity }
    }

    /// The frames received, oldest first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The same, to be edited in place.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// Takes all frames out, oldest first. What the iterator is not asked for goes back to the pool.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Frame> {
        self.frames.drain(..)
    }

    /// Frames in the batch.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True when nothing is in the batch.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames it can still take.
    pub fn room(&self) -> usize {
        self.capacity - self.frames.len()
    }

    /// Frames it can take when empty.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends a frame; the caller has asked [`room`](Self::room) first.
    pub(crate) fn push(&mut self, frame: Frame) {
        debug_assert!(self.room() > 0, "a batch was filled beyond its capacity");
        self.frames.push(frame);
    }
}
