//! The port bitmaps of shared addresses, in memory that the BPF program reads and we write.

use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{BITMAP_TCP, BITMAP_UDP, BITMAPS_PER_ADDRESS, MAX_SHARED, PORT_WORDS, Protocol};
use crate::error::XdpError;

/// Bytes of the whole array map.
const LEN: usize = (MAX_SHARED * BITMAPS_PER_ADDRESS * PORT_WORDS) as usize * size_of::<u64>();

/// All bitmaps, and which slots are in use.
#[derive(Debug)]
pub(super) struct PortBitmaps {
    words: NonNull<AtomicU64>,
    used: Vec<bool>,
}

// SAFETY: the mapping belongs to this value until Drop, and its words are only reached as atomics.
unsafe impl Send for PortBitmaps {}

impl PortBitmaps {
    /// Maps the array.
    pub(super) fn map(ports: BorrowedFd<'_>) -> Result<Self, XdpError> {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let at = unsafe { mmap(std::ptr::null_mut(), LEN, flags, MapFlags::SHARED, ports, 0) }
            .map_err(|error| XdpError::system("mapping the port bitmaps", error.into()))?;
        let words = NonNull::new(at.cast()).ok_or_else(|| {
            XdpError::system("mapping the port bitmaps", std::io::ErrorKind::OutOfMemory.into())
        })?;
        Ok(PortBitmaps { words, used: vec![false; MAX_SHARED as usize] })
    }

    /// An unused slot, now in use and empty.
    pub(super) fn allocate(&mut self) -> Option<u32> {
        let slot = self.used.iter().position(|used| !used)?;
        self.used[slot] = true;
        u32::try_from(slot).ok()
    }

    /// Empties a slot and frees it.
    pub(super) fn free(&mut self, slot: u32) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for word in self.bitmap(slot, protocol) {
                word.store(0, Ordering::Relaxed);
            }
        }
        if let Some(used) = self.used.get_mut(slot as usize) {
            *used = false;
        }
    }

    /// Sets or clears a range of ports, a word at a time.
    pub(super) fn set(&mut self, slot: u32, protocol: Protocol, ports: RangeInclusive<u16>, on: bool) {
        if ports.is_empty() {
            return;
        }
        let (first, last) = (usize::from(*ports.start()), usize::from(*ports.end()));
        let bitmap = self.bitmap(slot, protocol);
        for (at, word) in bitmap.iter().enumerate().take(last / 64 + 1).skip(first / 64) {
            let from = first.max(at * 64) - at * 64;
            let to = last.min(at * 64 + 63) - at * 64;
            let mask = (u64::MAX << from) & (u64::MAX >> (63 - to));
            if on {
                word.fetch_or(mask, Ordering::Relaxed);
            } else {
                word.fetch_and(!mask, Ordering::Relaxed);
            }
        }
    }

    /// True when no port of either protocol is set.
    pub(super) fn is_empty(&self, slot: u32) -> bool {
        [Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .all(|protocol| self.bitmap(slot, protocol).iter().all(|word| word.load(Ordering::Relaxed) == 0))
    }

    fn bitmap(&self, slot: u32, protocol: Protocol) -> &[AtomicU64] {
        let which = match protocol {
            Protocol::Tcp => BITMAP_TCP,
            Protocol::Udp => BITMAP_UDP,
        };
        let words = PORT_WORDS as usize;
        let at = (slot.min(MAX_SHARED - 1) * BITMAPS_PER_ADDRESS + which) as usize * words;
        // SAFETY: slot is below MAX_SHARED and which below BITMAPS_PER_ADDRESS, so the bitmap lies inside
        // the LEN bytes mapped. The kernel only reads the words, and we write them as atomics.
        unsafe { std::slice::from_raw_parts(self.words.add(at).as_ptr(), words) }
    }
}

impl Drop for PortBitmaps {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping, and no slice outlives a method.
        if let Err(error) = unsafe { munmap(self.words.as_ptr().cast(), LEN) } {
            tracing::warn!(%error, "the port bitmaps could not be unmapped");
        }
    }
}
