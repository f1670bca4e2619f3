//! Asks the processor for memory that will be needed soon, so that waiting for one line of it overlaps with waiting for
//! others. Changes nothing else.

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Fetches all of `value`, and nothing that it points to.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    prefetch_part(value, 0, size_of_val(value));
}

/// Fetches the first `len` bytes from `from` on of `value`, or as many as it has.
#[inline(always)]
pub fn prefetch_part<T: ?Sized>(value: &T, from: usize, len: usize) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let end = (from + len).min(size_of_val(value));
    let mut at = from;
    while at < end {
        line(start.wrapping_add(at));
        at += LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint: it neither reads nor faults, whatever the address; SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn line(_: *const u8) {}
