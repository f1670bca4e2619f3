//! The checksum on any machine: eight bytes at a time into 128-bit accumulators, whose upper halves collect
//! the carries until one fold at the end. Also what every short input takes, so it is inlined.

/// The sum of `bytes` in native order, congruent modulo 2^16 - 1 and zero only for zeros.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let (words, tail) = rest.as_chunks::<8>();
    let (mut even, mut odd) = (0u128, last(tail));
    for block in blocks {
        // Two chains of add-with-carry, because one alone waits for itself.
        let (words, _) = block.as_chunks::<8>();
        for pair in words.as_chunks::<2>().0 {
            even += widen(pair[0]);
            odd += widen(pair[1]);
        }
    }
    for word in words {
        even += widen(*word);
    }
    let total = even + odd;
    super::add_with_carry(total as u64, (total >> 64) as u64)
}

/// As [`sum`], copying `src` to `dst` on the way. Both are of one length.
#[inline]
pub(super) fn copy_and_sum(src: &[u8], dst: &mut [u8]) -> u64 {
    // Two passes: what was just copied is still in the first-level cache. The loop compiles to a `memcpy`, and
    // unlike `copy_from_slice` it has no panic to reach.
    for (to, from) in dst.iter_mut().zip(src) {
        *to = *from;
    }
    sum(src)
}

#[inline(always)]
fn widen(word: [u8; 8]) -> u128 {
    u64::from_ne_bytes(word).into()
}

/// Fewer than eight bytes, as words of falling size: each begins at an even offset, so they add up.
#[inline(always)]
fn last(mut tail: &[u8]) -> u128 {
    let mut total = 0;
    if let Some((four, rest)) = tail.split_first_chunk::<4>() {
        total += u128::from(u32::from_ne_bytes(*four));
        tail = rest;
    }
    if let Some((two, rest)) = tail.split_first_chunk::<2>() {
        total += u128::from(u16::from_ne_bytes(*two));
        tail = rest;
    }
    if let Some(&byte) = tail.first() {
        total += u128::from(u16::from_ne_bytes([byte, 0]));
    }
    total
}
