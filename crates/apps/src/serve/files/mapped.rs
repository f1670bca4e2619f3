//! Files mapped into memory, and what happens when one becomes shorter meanwhile.
//!
//! Reading a mapped page that its file no longer has raises SIGBUS, which ends a process that does not expect it. Here
//! the handler puts pages of zeros where the file's are missing and marks the mapping as spoiled; the reader goes on and
//! its connection is reset as soon as the mark is seen, before the end of the response was given: no client
//! takes the zeros for the file. All code for it is here, since it needs `unsafe`.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Advice, Mmap, MmapOptions};

/// Mappings that may exist at once, in all workers together.
const MOST: usize = 16_384;

/// A mapping that the handler knows. `start` is 0 in a free place and 1 in one that is being filled.
struct Place {
    start: AtomicUsize,
    end: AtomicUsize,
    spoiled: AtomicBool,
}

static PLACES: [Place; MOST] = [const {
    Place { start: AtomicUsize::new(0), end: AtomicUsize::new(0), spoiled: AtomicBool::new(false) }
}; MOST];

static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// A file's bytes, as they are in the page cache.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
    place: usize,
}

impl MappedFile {
    /// Maps the first `len` bytes, of which the file must have all. `None`: too many files are mapped, or the kernel
    /// will not.
    pub(crate) fn new(file: &File, len: usize) -> Option<Self> {
        watch_for_truncation().ok()?;
        // SAFETY: the mapping is only read. Other processes may change the file: the bytes are sent as they are found
        // and nothing depends on their values; pages that go away are replaced by the handler below.
        let map = unsafe { MmapOptions::new().len(len).map(file) }.ok()?;
        let place = PLACES.iter().position(|place| {
            place.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        let start = map.as_ptr() as usize;
        let pages = len.next_multiple_of(PAGE.load(Ordering::Relaxed));
        if let Some(found) = PLACES.get(place) {
            found.spoiled.store(false, Ordering::Relaxed);
            found.end.store(start + pages, Ordering::Relaxed);
            found.start.store(start, Ordering::Release);
        }
        // Only advice: it changes nothing that anybody sees.
        let _ = map.advise(Advice::Sequential);
        Some(Self { map, place })
    }

    /// The bytes; zeros where the file has lost them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether the file has lost bytes that were read here.
    pub(crate) fn is_spoiled(&self) -> bool {
        PLACES.get(self.place).is_some_and(|place| place.spoiled.load(Ordering::Relaxed))
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if let Some(place) = PLACES.get(self.place) {
            place.start.store(0, Ordering::Release);
        }
    }
}

/// Takes over SIGBUS, once for the process.
fn watch_for_truncation() -> io::Result<()> {
    static RESULT: OnceLock<Result<(), i32>> = OnceLock::new();
    RESULT.get_or_init(install).map_err(io::Error::from_raw_os_error)
}

fn install() -> Result<(), i32> {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // SAFETY: an all-zero sigaction is a valid one; the handler has the signature that SA_SIGINFO asks for and uses
    // only atomics and system calls.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)) }
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO; SIGBUS has an address in it.
    let address = unsafe { (*info).si_addr() } as usize;
    let page = PAGE.load(Ordering::Relaxed);
    for place in &PLACES {
        let start = place.start.load(Ordering::Acquire);
        let end = place.end.load(Ordering::Relaxed);
        if start <= 1 || address < start || address >= end {
            continue;
        }
        let from = address & !(page - 1);
        // SAFETY: the pages lie in a mapping of ours that lives, since its owner is just reading it: the owner holds
        // it by reference and gives up its place before it unmaps. They are replaced by pages of the same size that can
        // be read; mmap is a plain system call here and takes no lock in user space.
        let mapped = unsafe {
            libc::mmap(
                from as *mut libc::c_void,
                end - from,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if mapped != libc::MAP_FAILED {
            place.spoiled.store(true, Ordering::Relaxed);
            return;
        }
    }
    // Somebody else's fault: it is repeated, and ends the process as it would have.
    // SAFETY: resetting a signal to its default has no preconditions.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_becomes_shorter_reads_as_zeros_and_is_marked() {
        let path = std::env::temp_dir().join(format!("bypath-mapped-{}", std::process::id()));
        std::fs::write(&path, vec![7u8; 1 << 20]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let other = MappedFile::new(&file, 1 << 20).unwrap();
        let mapped = MappedFile::new(&file, 1 << 20).unwrap();
        assert!(mapped.bytes().iter().all(|b| *b == 7));
        file.set_len(10_000).unwrap();
        assert!(!mapped.is_spoiled());
        assert_eq!(mapped.bytes().iter().filter(|b| **b == 7).count(), 10_000);
        assert!(mapped.is_spoiled() && !other.is_spoiled());
        drop(mapped);
        std::fs::remove_file(&path).unwrap();
    }
}
