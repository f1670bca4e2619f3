//! The checksum with AVX2 and AVX-512. Wanted is the sum of all 32-bit words: 2^32 is 1 modulo 2^16 - 1.
//!
//! Each 64-bit lane is added up twice, whole (`all`, losing carries) and its upper half alone (`high`, which
//! loses none before 2^32 additions). The lower halves then add up to `all - (high << 32)`, exactly, because
//! their own sum is below 2^64. That is one operation less for each vector than masking them out.
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
    let Some((head, from, to)) = split_copying_ends::<32>(src, dst) else {
        return copy_and_sum_short(src, dst);
    };
    let ((from, tail), (to, _)) = (from.as_chunks::<32>(), to.as_chunks_mut::<32>());
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
    let ends = add_with_carry(portable::sum(head), portable::sum(tail));
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
    let Some((head, from, to)) = split_copying_ends::<64>(src, dst) else {
        return copy_and_sum_short(src, dst);
    };
    let ((from, tail), (to, _)) = (from.as_chunks::<64>(), to.as_chunks_mut::<64>());
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
    for end in [head, tail] {
        // SAFETY: the mask leaves only the bytes of `end`; those masked out are not accessed.
        lanes.add(unsafe { _mm512_maskz_loadu_epi8(first_bytes(end.len()), end.as_ptr().cast()) });
    }
    lanes.total()
}

/// Copies the first and the last `N` bytes as whole vectors, which the loop between then overlaps: masked
/// stores take many times as long. Returns the bytes before the next vector boundary of `dst`, and source and
/// destination from there on, because stores across cache lines cost double; an odd number of bytes would
/// turn the words of the sum round, so then it returns none. `None`, with nothing copied, when there is less
/// than a vector.
#[inline(always)]
fn split_copying_ends<'a, 'b, const N: usize>(
    src: &'a [u8],
    dst: &'b mut [u8],
) -> Option<(&'a [u8], &'a [u8], &'b mut [u8])> {
    if src.len() < N || src.len() != dst.len() {
        return None;
    }
    *dst.first_chunk_mut::<N>()? = *src.first_chunk::<N>()?;
    *dst.last_chunk_mut::<N>()? = *src.last_chunk::<N>()?;
    let head = dst.as_ptr().addr().wrapping_neg() & (N - 1);
    let head = if head.is_multiple_of(2) { head } else { 0 };
    let (head, from) = src.split_at_checked(head)?;
    Some((head, from, dst.get_mut(head.len()..)?))
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

/// Accumulators of 256 bits: whole lanes, and their upper halves.
struct Lanes256 {
    all: __m256i,
    high: __m256i,
}

impl Lanes256 {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> Lanes256 {
        Lanes256 { all: _mm256_setzero_si256(), high: _mm256_setzero_si256() }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(&mut self, vector: __m256i) {
        self.all = _mm256_add_epi64(self.all, vector);
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
        let low = _mm256_sub_epi64(self.all, _mm256_slli_epi64::<32>(self.high));
        let lanes = _mm256_add_epi64(low, self.high);
        let pair = _mm_add_epi64(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
        (_mm_cvtsi128_si64(pair) as u64).wrapping_add(_mm_extract_epi64::<1>(pair) as u64)
    }
}

/// Accumulators of 512 bits: whole lanes, and their upper halves.
struct Lanes512 {
    all: __m512i,
    high: __m512i,
}

impl Lanes512 {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Lanes512 {
        Lanes512 { all: _mm512_setzero_si512(), high: _mm512_setzero_si512() }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(&mut self, vector: __m512i) {
        self.all = _mm512_add_epi64(self.all, vector);
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
        let low = _mm512_sub_epi64(self.all, _mm512_slli_epi64::<32>(self.high));
        _mm512_reduce_add_epi64(_mm512_add_epi64(low, self.high)) as u64
    }
}
