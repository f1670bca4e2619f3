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
    let (from, src_tail) = src.as_chunks::<32>();
    let (to, dst_tail) = dst.as_chunks_mut::<32>();
    let mut lanes = Lanes256::zero();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: 32 readable and 32 writable bytes; neither access asks for alignment.
        unsafe {
            let vector = _mm256_loadu_si256(from.as_ptr().cast());
            _mm256_storeu_si256(to.as_mut_ptr().cast(), vector);
            lanes.add(vector);
        }
    }
    add_with_carry(lanes.total(), portable::copy_and_sum(src_tail, dst_tail))
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
    let (from, src_tail) = src.as_chunks::<64>();
    let (to, dst_tail) = dst.as_chunks_mut::<64>();
    let mut lanes = Lanes512::zero();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: 64 readable and 64 writable bytes; neither access asks for alignment.
        unsafe {
            let vector = _mm512_loadu_si512(from.as_ptr().cast());
            _mm512_storeu_si512(to.as_mut_ptr().cast(), vector);
            lanes.add(vector);
        }
    }
    let mask = first_bytes(src_tail.len().min(dst_tail.len()));
    // SAFETY: the mask leaves only bytes that both tails have; those masked out are not accessed.
    unsafe {
        let vector = _mm512_maskz_loadu_epi8(mask, src_tail.as_ptr().cast());
        _mm512_mask_storeu_epi8(dst_tail.as_mut_ptr().cast(), mask, vector);
        lanes.add(vector);
    }
    lanes.total()
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

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn total(self) -> u64 {
        _mm512_reduce_add_epi64(_mm512_add_epi64(self.low, self.high)) as u64
    }
}
