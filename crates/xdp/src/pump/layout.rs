//! What the pump's program and we share: the structures of `bpf/pump.h`, and their mappings into this process.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::XdpError;

/// Limits of `bpf/pump.h`.
mod header {
    #![allow(dead_code, reason = "not every limit of the header concerns the loader")]
    include!(concat!(env!("OUT_DIR"), "/pump_h.rs"));
}
pub(crate) use header::*;

/// `struct pump_desc`, in one word so that it is written at once: chunk in the low half, then offset, then length.
pub(super) fn desc(chunk: u32, offset: u16, len: u16) -> u64 {
    u64::from(chunk) | u64::from(offset) << 32 | u64::from(len) << 48
}

/// `struct pump_ring`.
#[repr(C)]
pub(super) struct Ring {
    pub(super) producer: AtomicU64,
    pub(super) port: AtomicU64,
    gap1: [u64; 6],
    pub(super) consumer: AtomicU64,
    pub(super) refused: AtomicU64,
    gap2: [u64; 6],
    pub(super) slots: [AtomicU64; PUMP_SLOTS as usize],
}

/// `struct pump_state`.
#[repr(C)]
pub(super) struct State {
    pub(super) turns: AtomicU64,
    task: AtomicU64,
    unflushed: AtomicU64,
    from: AtomicU64,
    burst: AtomicU64,
    pub(super) idle: AtomicU64,
    gap: [u64; 2],
    pub(super) sent: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) error: AtomicI64,
}

const _: () = assert!(offset_of!(Ring, consumer) == 64 && offset_of!(Ring, slots) == 128);
const _: () = assert!(offset_of!(State, sent) == 64 && size_of::<State>() == 96);

/// `struct pump_ring` and `struct pump_state` are arrays of these in their maps, which round sizes up to 8 bytes.
const _: () = assert!(size_of::<Ring>().is_multiple_of(8) && size_of::<State>().is_multiple_of(8));

/// A BPF array map of `T`, mapped into this process.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    at: NonNull<T>,
    count: usize,
    len: usize,
}

// SAFETY: the mapping belongs to this value until Drop, and T consists of atomics, which any thread may touch.
unsafe impl<T: Sync> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps an array of `count` values.
    pub(super) fn new(map: BorrowedFd<'_>, count: usize) -> Result<Self, XdpError> {
        let len = (count * size_of::<T>()).next_multiple_of(4096);
        let at = map_shared(map, len, 0)?.cast();
        Ok(Mapped { at, count, len })
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        // SAFETY: the index is below the number of values mapped, the kernel has zeroed them, and zero is a value of the
        // atomics they consist of; they stay mapped for the life of self.
        (at < self.count).then(|| unsafe { self.at.add(at).as_ref() })
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: at and len are what `new` mapped, and references into it borrow self.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// Maps a part of a BPF array map.
pub(super) fn map_shared(map: BorrowedFd<'_>, len: usize, offset: u64) -> Result<NonNull<u8>, XdpError> {
    let flags = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
    let at = unsafe { mmap(std::ptr::null_mut(), len, flags, MapFlags::SHARED, map, offset) }
        .map_err(|error| XdpError::system("mapping the pump's memory", error.into()))?;
    NonNull::new(at.cast())
        .ok_or_else(|| XdpError::system("mapping the pump's memory", std::io::ErrorKind::OutOfMemory.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_lies_in_its_word_as_the_program_reads_it() {
        let bytes = desc(0x0102_0304, 0x0506, 0x0708).to_le_bytes();
        assert_eq!(bytes, [4, 3, 2, 1, 6, 5, 8, 7]);
    }
}
