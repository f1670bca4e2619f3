//! The checksum with AVX2 and AVX-512. Each 64-bit lane is split into its two 32-bit halves and both are
//! added to 64-bit accumulators: 2^32 is 1 modulo 2^16 - 1, and no carry can be lost before 2^32 additions.
//!
//! Callers prove the instruction set (see `dispatch`) and keep inputs below [`MAX_LEN`].

use std::arch::x86_64::*;

use super::{add_with_carry, portable};

/// Inputs up to here cannot overflow an accumulator or its reduction: 4 GiB is 2^26 additions of 2^32.
pub(super) const MAX_LEN: usize = u32::MAX as usize;

/// The sum of `bytes`, as [`portable::sum`].
#[target_feature(enable = "avx2")]
pub(super) fn sum_avx2(bytes: &[u8]) -> u64 {
    let (vectors, tail) = bytes.as_chunks::<32>();
    let mut lanes = Lanes256::zero();
    for vector in vectors {
        // SAFETY: `vector` is 32 readable bytes; the load asks for no alignment.
        lanes.add(unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) });
    }
    add_with_carry(lanes.total(), portable::sum(tail))
}

/// Copies and sums, as [`portable::copy_and_sum`].
#[target_feature(enable = "avx2")]
pub(super) fn copy_and_sum_avx2(src: &[u8], dst: &mut [u8]) -> u64 {
    let head = head_len(dst, 32);
    let (Some((src_head, from)), Some((_, to))) =
        (split_copying_ends::<32>(src, dst, head), dst.split_at_mut_checked(head))
    else {
        return copy_and_sum_short(src, dst);
    };
    let ((from, src_tail), (to, _)) = (from.as_chunks::<32>(), to.as_chunks_mut::<32>());
    let mut lanes = Lanes256::zero();
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
    for (from, to) in from.iter().zip(to) {
        lanes.copy(from, to);
    }
    let ((from, from_rest), (to, to_rest)) = (from_rest.as_chunks::<2>(), to_rest.as_chunks_mut::<2>());
    for (from, to) in from.iter().zip(to) {
        lanes.copy(from, to);
    }
    if let (Some(from), Some(to)) = (from_rest.first_chunk::<1>(), to_rest.first_chunk_mut::<1>()) {
        lanes.copy(from, to);
    }
    let ends = add_with_carry(portable::sum(src_head), portable::sum(src_tail));
    add_with_carry(lanes.total(), ends)
}

/// The sum of `bytes`, as [`portable::sum`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn sum_avx512(bytes: &[u8]) -> u64 {
    let (vectors, tail) = bytes.as_chunks::<64>();
    let mut lanes = Lanes512::zero();
    for vector in vectors {
        // SAFETY: `vector` is 64 readable bytes; the load asks for no alignment.
        lanes.add(unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) });
    }
    // SAFETY: the mask leaves only the bytes of `tail`; those masked out are not accessed.
    lanes.add(unsafe { _mm512_maskz_loadu_epi8(first_bytes(tail.len()), tail.as_ptr().cast()) });
    lanes.total()
}

/// Copies and sums, as [`portable::copy_and_sum`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn copy_and_sum_avx512(src: &[u8], dst: &mut [u8]) -> u64 {
    let head = head_len(dst, 64);
    let (Some((src_head, from)), Some((_, to))) =
        (split_copying_ends::<64>(src, dst, head), dst.split_at_mut_checked(head))
    else {
        return copy_and_sum_short(src, dst);
    };
    let ((from, src_tail), (to, _)) = (from.as_chunks::<64>(), to.as_chunks_mut::<64>());
    let mut lanes = Lanes512::zero();
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
    for (from, to) in from.iter().zip(to) {
        lanes.copy(from, to);
    }
    let ((from, from_rest), (to, to_rest)) = (from_rest.as_chunks::<2>(), to_rest.as_chunks_mut::<2>());
    for (from, to) in from.iter().zip(to) {
        lanes.copy(from, to);
    }
    if let (Some(from), Some(to)) = (from_rest.first_chunk::<1>(), to_rest.first_chunk_mut::<1>()) {
        lanes.copy(from, to);
    }
    for end in [src_head, src_tail] {
        // SAFETY: the mask leaves only the bytes of `end`; those masked out are not accessed.
        lanes.add(unsafe { _mm512_maskz_loadu_epi8(first_bytes(end.len()), end.as_ptr().cast()) });
    }
    lanes.total()
}

/// How far into `dst` its next vector boundary lies. A store across a cache line costs two, so the copy goes
/// on from there; but not by an odd number of bytes, which would turn the words of the sum round.
#[inline(always)]
fn head_len(dst: &[u8], vector: usize) -> usize {
    let head = dst.as_ptr().addr().wrapping_neg() & (vector - 1);
    if head.is_multiple_of(2) { head } else { 0 }
}

/// Copies the first and the last `N` bytes as whole vectors, which the loop between then overlaps: masked
/// stores take many times as long. Returns `src` parted at `head`; `None`, with nothing copied, when it is
/// shorter than a vector.
#[inline(always)]
fn split_copying_ends<'a, const N: usize>(
    src: &'a [u8],
    dst: &mut [u8],
    head: usize,
) -> Option<(&'a [u8], &'a [u8])> {
    let parts = src.split_at_checked(head)?;
    let (first, last) = (src.first_chunk::<N>()?, src.last_chunk::<N>()?);
    *dst.first_chunk_mut::<N>()? = *first;
    *dst.last_chunk_mut::<N>()? = *last;
    Some(parts)
}

/// Out of line, so that the registers it needs are not saved for every packet.
#[cold]
#[inline(never)]
fn copy_and_sum_short(src: &[u8], dst: &mut [u8]) -> u64 {
    portable::copy_and_sum(src, dst)
}

/// A mask of the first `count` bytes of a vector, `count` below 64.
#[inline(always)]
fn first_bytes(count: usize) -> __mmask64 {
    (1 << (count & 63)) - 1
}

/// Accumulators of 256 bits: the low and the high half of each 64-bit lane.
struct Lanes256 {
    low: __m256i,
    high: __m256i,
}

impl Lanes256 {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> Lanes256 {
        Lanes256 { low: _mm256_setzero_si256(), high: _mm256_setzero_si256() }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(&mut self, vector: __m256i) {
        let low = _mm256_and_si256(vector, _mm256_set1_epi64x(0xffff_ffff));
        self.low = _mm256_add_epi64(self.low, low);
        self.high = _mm256_add_epi64(self.high, _mm256_srli_epi64::<32>(vector));
    }

    /// Copies and adds some vectors, all loads before any store: a load that shares its low twelve address
    /// bits with a store in flight waits for it. Blocks also keep the compiler from seeing a plain copy in
    /// the loop around this and making it a call to `memcpy` and a second pass.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn copy<const K: usize>(&mut self, from: &[[u8; 32]; K], to: &mut [[u8; 32]; K]) {
        let mut vectors = [_mm256_setzero_si256(); K];
        for (vector, from) in vectors.iter_mut().zip(from) {
            // SAFETY: `from` is 32 readable bytes; the load asks for no alignment.
            *vector = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        }
        for (vector, to) in vectors.iter().zip(to) {
            // SAFETY: `to` is 32 writable bytes; the store asks for no alignment.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), *vector) };
        }
        for vector in vectors {
            self.add(vector);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn total(self) -> u64 {
        let lanes = _mm256_add_epi64(self.low, self.high);
        let pair = _mm_add_epi64(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
        (_mm_cvtsi128_si64(pair) as u64).wrapping_add(_mm_extract_epi64::<1>(pair) as u64)
    }
}

/// Accumulators of 512 bits: the low and the high half of each 64-bit lane.
struct Lanes512 {
    low: __m512i,
    high: __m512i,
}

impl Lanes512 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Lanes512 {
        Lanes512 { low: _mm512_setzero_si512(), high: _mm512_setzero_si512() }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(&mut self, vector: __m512i) {
        let low = _mm512_and_si512(vector, _mm512_set1_epi64(0xffff_ffff));
        self.low = _mm512_add_epi64(self.low, low);
        self.high = _mm512_add_epi64(self.high, _mm512_srli_epi64::<32>(vector));
    }

    /// Copies and adds some vectors, all loads before any store: a load that shares its low twelve address
    /// bits with a store in flight waits for it. Blocks also keep the compiler from seeing a plain copy in
    /// the loop around this and making it a call to `memcpy` and a second pass.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn copy<const K: usize>(&mut self, from: &[[u8; 64]; K], to: &mut [[u8; 64]; K]) {
        let mut vectors = [_mm512_setzero_si512(); K];
        for (vector, from) in vectors.iter_mut().zip(from) {
            // SAFETY: `from` is 64 readable bytes; the load asks for no alignment.
            *vector = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
        }
        for (vector, to) in vectors.iter().zip(to) {
            // SAFETY: `to` is 64 writable bytes; the store asks for no alignment.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), *vector) };
        }
        for vector in vectors {
            self.add(vector);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn total(self) -> u64 {
        _mm512_reduce_add_epi64(_mm512_add_epi64(self.low, self.high)) as u64
    }
}
