//! Which instructions take a sum: the portable loop for what is short, else the widest vectors this CPU has.
//! The CPU is asked once; after that a long input costs one relaxed load and a branch that always goes the
//! same way, which is less than an indirect call.

use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Below this many bytes the portable loop, inlined, is done before a vector routine has been called and
/// has reduced its lanes. Every header is shorter.
const WIDE_FROM: usize = 128;

#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    if bytes.len() < WIDE_FROM { portable::sum(bytes) } else { wide_sum(bytes) }
}

#[inline]
pub(super) fn copy_and_sum(src: &[u8], dst: &mut [u8]) -> u64 {
    if src.len() < WIDE_FROM { portable::copy_and_sum(src, dst) } else { wide_copy_and_sum(src, dst) }
}

#[cfg(not(target_arch = "x86_64"))]
fn wide_sum(bytes: &[u8]) -> u64 {
    portable::sum(bytes)
}

#[cfg(not(target_arch = "x86_64"))]
fn wide_copy_and_sum(src: &[u8], dst: &mut [u8]) -> u64 {
    portable::copy_and_sum(src, dst)
}

#[cfg(target_arch = "x86_64")]
fn wide_sum(bytes: &[u8]) -> u64 {
    match level() {
        _ if bytes.len() > x86::MAX_LEN => portable::sum(bytes),
        // SAFETY: the probe found AVX-512F and AVX-512BW on this CPU.
        Level::Avx512 => unsafe { x86::sum_avx512(bytes) },
        // SAFETY: the probe found AVX2 on this CPU.
        Level::Avx2 => unsafe { x86::sum_avx2(bytes) },
        Level::Portable => portable::sum(bytes),
    }
}

#[cfg(target_arch = "x86_64")]
fn wide_copy_and_sum(src: &[u8], dst: &mut [u8]) -> u64 {
    match level() {
        _ if src.len() > x86::MAX_LEN => portable::copy_and_sum(src, dst),
        // SAFETY: the probe found AVX-512F and AVX-512BW on this CPU.
        Level::Avx512 => unsafe { x86::copy_and_sum_avx512(src, dst) },
        // SAFETY: the probe found AVX2 on this CPU.
        Level::Avx2 => unsafe { x86::copy_and_sum_avx2(src, dst) },
        Level::Portable => portable::copy_and_sum(src, dst),
    }
}

#[cfg(target_arch = "x86_64")]
use probe::{Level, level};

#[cfg(target_arch = "x86_64")]
mod probe {
    use std::sync::atomic::{AtomicU8, Ordering};

    /// The widest instruction set to use.
    #[derive(Clone, Copy)]
    pub(super) enum Level {
        Portable,
        Avx2,
        Avx512,
    }

    const UNKNOWN: u8 = 0;
    const PORTABLE: u8 = 1;
    const AVX2: u8 = 2;
    const AVX512: u8 = 3;

    // Relaxed is enough: whoever reads a stale UNKNOWN asks the CPU and stores the same answer.
    static CACHED: AtomicU8 = AtomicU8::new(UNKNOWN);

    #[inline(always)]
    pub(super) fn level() -> Level {
        match CACHED.load(Ordering::Relaxed) {
            AVX512 => Level::Avx512,
            AVX2 => Level::Avx2,
            PORTABLE => Level::Portable,
            _ => ask(),
        }
    }

    #[cold]
    fn ask() -> Level {
        let (level, code) = if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            (Level::Avx512, AVX512)
        } else if is_x86_feature_detected!("avx2") {
            (Level::Avx2, AVX2)
        } else {
            (Level::Portable, PORTABLE)
        };
        CACHED.store(code, Ordering::Relaxed);
        level
    }
}
