//! The packet memory that frames point into: one mapping cut into equal chunks.
//!
//! The mapping is anonymous and shared with the kernel once a socket registers it. Huge pages are
//! asked for on request; where none are free the area falls back to ordinary pages and says so.

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crossbeam::queue::SegQueue;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::error::XdpError;
use crate::frame::Frame;

/// Names an area for the life of the process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AreaId(u32);

/// The size of pages that `huge_pages` asks for, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// Packet memory: `frames` chunks of `stride` bytes, of which `headroom` in front belong to the kernel.
///
/// Shared between threads behind an [`Arc`]; the right to touch a chunk is its [`Frame`].
#[derive(Debug)]
pub struct UmemArea {
    base: NonNull<u8>,
    mapped: usize,
    frames: u32,
    stride: u32,
    headroom: u32,
    id: AreaId,
    huge_pages: bool,
    orphans: SegQueue<u32>,
}

// SAFETY: the mapping belongs to the area until it is unmapped in Drop, and chunks are only reached
// through `bytes` and `bytes_mut`, which borrow the one Frame that exists for a chunk.
unsafe impl Send for UmemArea {}
// SAFETY: as above: two threads that hold the area hold different frames, hence disjoint chunks.
unsafe impl Sync for UmemArea {}

impl UmemArea {
    /// Maps an area. `stride` is what a chunk takes, `headroom` what its owner cannot use in front.
    pub(crate) fn map(
        frames: u32,
        stride: u32,
        headroom: u32,
        huge_pages: bool,
    ) -> std::io::Result<Arc<UmemArea>> {
        let usable = stride.checked_sub(headroom).filter(|room| *room > 0);
        if frames == 0 || usable.is_none() || stride > u32::from(u16::MAX) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let wanted = frames as usize * stride as usize;
        let huge = huge_pages.then(|| {
            let mapped = wanted.next_multiple_of(HUGE_PAGE);
            map_pages(mapped, MapFlags::HUGETLB).map(|base| (base, mapped))
        });
        let (base, mapped, huge_pages) = match huge {
            Some(Ok((base, mapped))) => (base, mapped, true),
            _ => (map_pages(wanted, MapFlags::empty())?, wanted, false),
        };
        Ok(Self::register(base, mapped, (frames, stride, headroom), huge_pages))
    }

    /// An area over memory that has been mapped already, `frames` chunks of `stride` bytes, and is unmapped with it.
    ///
    /// # Safety
    /// The mapping of `frames * stride` bytes, whole pages, belongs to the area from here on; whoever else reads or
    /// writes it does so by rules of its own that keep it away from chunks whose [`Frame`] exists.
    pub(crate) unsafe fn over(base: NonNull<u8>, frames: u32, stride: u32) -> Arc<UmemArea> {
        Self::register(base, frames as usize * stride as usize, (frames, stride, 0), false)
    }

    fn register(
        base: NonNull<u8>,
        mapped: usize,
        (frames, stride, headroom): (u32, u32, u32),
        huge_pages: bool,
    ) -> Arc<UmemArea> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = AreaId(NEXT.fetch_add(1, Ordering::Relaxed));
        let orphans = SegQueue::new();
        let area = Arc::new(UmemArea { base, mapped, frames, stride, headroom, id, huge_pages, orphans });
        registry().insert(id, Arc::downgrade(&area));
        area
    }

    /// The packet data of a frame: `len` bytes from its offset.
    ///
    /// Empty for a frame of another area or one whose offset and length leave its chunk.
    #[inline]
    pub fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        let (offset, len) = (frame.offset(), frame.len());
        if offset + len > self.chunk_size() {
            return &[];
        }
        match self.chunk(frame) {
            // SAFETY: `chunk` yields the data room of a chunk of this mapping and offset + len stay inside
            // it. The one Frame of that chunk is borrowed for 'a, so neither the kernel (which owns only
            // chunks in its rings, whose tokens are gone) nor another thread writes to it meanwhile.
            Some(start) => unsafe { std::slice::from_raw_parts(start.add(offset).as_ptr(), len) },
            None => &[],
        }
    }

    /// Room to write a frame: everything from its offset to the end of the chunk.
    ///
    /// Empty for a frame of another area or one whose offset leaves its chunk.
    #[inline]
    pub fn bytes_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        let offset = frame.offset();
        if offset > self.chunk_size() {
            return &mut [];
        }
        let room = self.chunk_size() - offset;
        match self.chunk(frame) {
            // SAFETY: as in `bytes`, and the Frame is borrowed mutably, so this is the only slice of it.
            Some(start) => unsafe { std::slice::from_raw_parts_mut(start.add(offset).as_ptr(), room) },
            None => &mut [],
        }
    }

    /// Packet bytes that one frame can hold.
    #[inline]
    pub fn chunk_size(&self) -> usize {
        (self.stride - self.headroom) as usize
    }

    /// Frames in the area.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// True when the area lies on huge pages.
    pub fn huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Address and length of the whole area, for the kernel.
    pub(crate) fn memory(&self) -> (*mut std::ffi::c_void, u64) {
        (self.base.as_ptr().cast(), u64::from(self.frames) * u64::from(self.stride))
    }

    pub(crate) fn id(&self) -> AreaId {
        self.id
    }

    #[inline]
    fn chunk(&self, frame: &Frame) -> Option<NonNull<u8>> {
        if frame.area != self.id || frame.index >= self.frames {
            return None;
        }
        let at = frame.index as usize * self.stride as usize + self.headroom as usize;
        // SAFETY: index < frames, so `at` is inside the mapping of frames * stride bytes.
        Some(unsafe { self.base.add(at) })
    }

    /// Takes back one chunk whose token was dropped.
    pub(crate) fn take_orphan(&self) -> Option<u32> {
        if self.orphans.is_empty() { None } else { self.orphans.pop() }
    }
}

impl Drop for UmemArea {
    fn drop(&mut self) {
        registry().remove(&self.id);
        // SAFETY: base and mapped are what mmap returned, and slices into it borrow the area.
        if let Err(error) = unsafe { munmap(self.base.as_ptr().cast(), self.mapped) } {
            tracing::warn!(%error, "packet memory could not be unmapped");
        }
    }
}

/// Whether so many frames fit the memory that is free. Asked before they are mapped: pages are taken at once then, and
/// the kernel would end processes to have them.
pub(crate) fn check_memory(frames: u64, frame_size: u32) -> Result<(), XdpError> {
    let wanted = frames.saturating_mul(frame_size.into());
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let row = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = row.and_then(|row| row.split_whitespace().next()?.parse::<u64>().ok());
    match kib.map(|kib| kib << 10) {
        Some(available) if wanted > available => Err(XdpError::NoMemory { frames, wanted, available }),
        _ => Ok(()),
    }
}

fn map_pages(len: usize, extra: MapFlags) -> std::io::Result<NonNull<u8>> {
    let flags = MapFlags::SHARED | MapFlags::POPULATE | extra;
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice overlaps nothing.
    let at = unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    NonNull::new(at.cast()).ok_or_else(|| std::io::ErrorKind::OutOfMemory.into())
}

type Registry = HashMap<AreaId, Weak<UmemArea>>;

/// Every living area by its id, so that a dropped token finds its way home without carrying a pointer.
fn registry() -> std::sync::MutexGuard<'static, Registry> {
    static AREAS: OnceLock<Mutex<Registry>> = OnceLock::new();
    AREAS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called when a token is dropped: the chunk waits in its area until the device flushes.
pub(crate) fn return_orphan(area: AreaId, index: u32) {
    let home = registry().get(&area).and_then(Weak::upgrade);
    if let Some(home) = home {
        home.orphans.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_one_area_do_not_overlap() {
        let area = UmemArea::map(4, 2048, 256, false).expect("map");
        let mut frames: Vec<Frame> = (0..4).map(|index| Frame::new(area.id(), index)).collect();
        for (fill, frame) in frames.iter_mut().enumerate() {
            area.bytes_mut(frame).fill(fill as u8);
            frame.set_len(1792);
        }
        for (fill, frame) in frames.iter().enumerate() {
            assert!(area.bytes(frame).iter().all(|byte| usize::from(*byte) == fill));
            assert_eq!(area.bytes(frame).len(), area.chunk_size());
        }
    }

    #[test]
    fn a_frame_of_another_area_shows_nothing() {
        let one = UmemArea::map(1, 2048, 0, false).expect("map");
        let other = UmemArea::map(1, 2048, 0, false).expect("map");
        let mut frame = Frame::new(one.id(), 0);
        frame.set_len(10);
        assert!(other.bytes(&frame).is_empty());
        assert!(other.bytes_mut(&mut frame).is_empty());
        assert_eq!(one.bytes(&frame).len(), 10);
    }

    #[test]
    fn a_length_beyond_the_chunk_shows_nothing() {
        let area = UmemArea::map(1, 2048, 256, false).expect("map");
        let mut frame = Frame::new(area.id(), 0);
        frame.set_offset(1);
        frame.set_len(1792);
        assert!(area.bytes(&frame).is_empty());
        frame.set_offset(5000);
        assert!(area.bytes_mut(&mut frame).is_empty());
    }

    #[test]
    fn a_dropped_frame_is_found_again() {
        let area = UmemArea::map(2, 2048, 0, false).expect("map");
        drop(Frame::new(area.id(), 1));
        assert_eq!(area.take_orphan(), Some(1));
        assert_eq!(area.take_orphan(), None);
    }

    #[test]
    fn missing_huge_pages_fall_back_and_say_so() {
        let area = UmemArea::map(8, 4096, 256, true).expect("map");
        let mut frame = Frame::new(area.id(), 7);
        area.bytes_mut(&mut frame).fill(1);
        let free = std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        if free.is_ok_and(|pages| pages.trim() == "0") {
            assert!(!area.huge_pages());
        }
    }

    #[test]
    fn senseless_layouts_are_refused() {
        for (frames, stride, headroom) in [(0, 2048, 0), (1, 256, 256), (1, 1 << 16, 0)] {
            assert!(UmemArea::map(frames, stride, headroom, false).is_err());
        }
    }
}
