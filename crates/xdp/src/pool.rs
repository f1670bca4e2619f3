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
    ledger: Ledger,
}

impl Pool {
    /// A pool in which every chunk of the area is free.
    pub(crate) fn new(area: Arc<UmemArea>) -> Self {
        let frames = area.frames();
        Pool { free: (0..frames).rev().collect(), ledger: Ledger::new(frames), area }
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
        Some(index)
    }

    /// A chunk that the kernel has received into becomes a token.
    #[inline]
    pub(crate) fn received(&mut self, index: u32) -> Frame {
        self.ledger.moved(index, Owner::Fill, Owner::Held);
        Frame::new(self.area.id(), index)
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
