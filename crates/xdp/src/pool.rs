//! The free list of an area, last in first out, so that the chunk used next is still in the cache.

use std::sync::Arc;

use crate::frame::Frame;
use crate::ledger::{Ledger, Owner};
use crate::umem::UmemArea;

/// Free chunks and the ledger of the others.
#[derive(Debug)]
pub(crate) struct Pool {
    area: Arc<UmemArea>,
    free: Vec<u32>,
    /// Which chunks the kernel may receive into: drivers are known that hand out others.
    lent: Vec<bool>,
    ledger: Ledger,
}

impl Pool {
    /// A pool in which every chunk of the area is free.
    pub(crate) fn new(area: Arc<UmemArea>) -> Self {
        let frames = area.frames();
        let lent = vec![false; frames as usize];
        Pool { free: (0..frames).rev().collect(), lent, ledger: Ledger::new(frames), area }
    }

    pub(crate) fn area(&self) -> &Arc<UmemArea> {
        &self.area
    }

    pub(crate) fn available(&self) -> usize {
        self.free.len()
    }

    /// A token for a free chunk.
    #[inline]
    pub(crate) fn alloc(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.ledger.moved(index, Owner::Free, Owner::Held);
        Some(Frame::new(self.area.id(), index))
    }

    /// Ends a token. One of another area finds its own way home.
    #[inline]
    pub(crate) fn release(&mut self, frame: Frame) {
        if frame.area == self.area.id() {
            let index = frame.into_index();
            self.ledger.moved(index, Owner::Held, Owner::Free);
            self.free.push(index);
        }
    }

    /// Takes a free chunk for the kernel to receive into.
    #[inline]
    pub(crate) fn take_for_fill(&mut self) -> Option<u32> {
        let index = self.free.pop()?;
        self.ledger.moved(index, Owner::Free, Owner::Fill);
        if let Some(lent) = self.lent.get_mut(index as usize) {
            *lent = true;
        }
        Some(index)
    }

    /// A chunk that the kernel has received into becomes a token. `None`: the kernel did not have it.
    #[inline]
    pub(crate) fn received(&mut self, index: u32) -> Option<Frame> {
        if !std::mem::take(self.lent.get_mut(index as usize)?) {
            return None;
        }
        self.ledger.moved(index, Owner::Fill, Owner::Held);
        Some(Frame::new(self.area.id(), index))
    }

    /// A token goes to the kernel to be sent.
    #[inline]
    pub(crate) fn transmit(&mut self, frame: Frame) -> u32 {
        let index = frame.into_index();
        self.ledger.moved(index, Owner::Held, Owner::Transmit);
        index
    }

    /// The kernel has sent a chunk.
    #[inline]
    pub(crate) fn completed(&mut self, index: u32) {
        self.ledger.moved(index, Owner::Transmit, Owner::Free);
        self.free.push(index);
    }

    /// Brings home the chunks whose tokens were dropped.
    #[inline]
    pub(crate) fn reclaim_orphans(&mut self) {
        while let Some(index) = self.area.take_orphan() {
            self.ledger.moved(index, Owner::Held, Owner::Free);
            self.free.push(index);
        }
    }

    /// Debug builds: every chunk is accounted for.
    #[inline]
    pub(crate) fn check(&self, in_fill: usize, in_transmit: usize) {
        self.ledger.check(self.free.len(), in_fill, in_transmit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_the_kernel_was_not_lent_is_not_received() {
        let mut pool = Pool::new(UmemArea::map(4, 2048, 0, false).expect("map"));
        let lent = pool.take_for_fill().expect("a chunk");
        assert!(pool.received(lent + 1).is_none() && pool.received(99).is_none());
        let frame = pool.received(lent).expect("lent");
        assert!(pool.received(lent).is_none(), "twice");
        pool.release(frame);
        assert!(pool.received(lent).is_none(), "given back already");
        pool.check(0, 0);
    }
}
