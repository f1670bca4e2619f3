//! The checksum on any machine: eight bytes at a time into a 128-bit accumulator, so that carries are
//! collected in its upper half and folded once at the end.

/// The sum of `bytes` in native order with end-around carry, modulo 2^64 - 1.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut total: u128 = last(tail) as u128;
    for word in words {
        total += u64::from_ne_bytes(*word) as u128;
    }
    super::add_with_carry(total as u64, (total >> 64) as u64)
}

/// Fewer than eight bytes as the native-order word that they would be if zeros followed.
#[inline(always)]
fn last(tail: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(tail) {
        *to = *from;
    }
    u64::from_ne_bytes(word)
}
