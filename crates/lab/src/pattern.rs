//! Bytes that say where they belong, for transfers that are checked at their end without a second copy
//! of the data: byte `n` of a stream follows from the stream's seed and `n` alone.

use std::io::{self, Read};

/// A stream of bytes without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

impl Pattern {
    /// The stream of that seed.
    pub const fn new(seed: u64) -> Pattern {
        Pattern { seed }
    }

    /// Eight bytes, by the finisher of SplitMix64 over their position.
    fn word(self, index: u64) -> [u8; 8] {
        let mut x = self.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).to_le_bytes()
    }

    /// Writes the bytes from `offset` on.
    pub fn fill(self, offset: u64, out: &mut [u8]) {
        let (head, words, tail) = self.split(offset, out.len());
        let (first, rest) = out.split_at_mut(head);
        first.copy_from_slice(&self.word(offset / 8)[(offset % 8) as usize..][..head]);
        let start = (offset + head as u64) / 8;
        let (middle, last) = rest.split_at_mut(words * 8);
        for (index, chunk) in (start..).zip(middle.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.word(index));
        }
        last.copy_from_slice(&self.word(start + words as u64)[..tail]);
    }

    /// The offset of the first byte that is not what it should be, when `data` is from `offset` on.
    pub fn mismatch(self, offset: u64, data: &[u8]) -> Option<u64> {
        let (head, words, tail) = self.split(offset, data.len());
        let (first, rest) = data.split_at(head);
        let (middle, last) = rest.split_at(words * 8);
        let start = (offset + head as u64) / 8;
        let whole = first == &self.word(offset / 8)[(offset % 8) as usize..][..head]
            && (start..).zip(middle.chunks_exact(8)).all(|(index, chunk)| chunk == self.word(index))
            && last == &self.word(start + words as u64)[..tail];
        if whole {
            return None;
        }
        let wrong = (offset..).zip(data).find(|(at, byte)| **byte != self.word(at / 8)[(at % 8) as usize]);
        wrong.map(|(at, _)| at)
    }

    /// Cuts a range into bytes up to a whole word, whole words, and bytes after them.
    fn split(self, offset: u64, len: usize) -> (usize, usize, usize) {
        let head = (((8 - offset % 8) % 8) as usize).min(len);
        (head, (len - head) / 8, (len - head) % 8)
    }

    /// The first `len` bytes as a reader.
    pub fn reader(self, len: u64) -> impl Read {
        PatternReader { pattern: self, offset: 0, len }
    }
}

struct PatternReader {
    pattern: Pattern,
    offset: u64,
    len: u64,
}

impl Read for PatternReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.len - self.offset).map_or(out.len(), |left| left.min(out.len()));
        self.pattern.fill(self.offset, &mut out[..n]);
        self.offset += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn pieces_make_the_same_stream_as_the_whole() {
        let pattern = Pattern::new(3);
        let mut whole = [0; 300];
        pattern.fill(0, &mut whole);
        for start in 0..40 {
            for len in 0..40 {
                let mut piece = vec![0; len];
                pattern.fill(start as u64, &mut piece);
                assert_eq!(piece, whole[start..start + len]);
                assert_eq!(pattern.mismatch(start as u64, &piece), None);
            }
        }
    }

    #[test]
    fn finds_the_first_wrong_byte_wherever_it_is() {
        let pattern = Pattern::new(3);
        let mut data = [0; 61];
        pattern.fill(5, &mut data);
        for i in 0..data.len() {
            data[i] ^= 1;
            assert_eq!(pattern.mismatch(5, &data), Some(5 + i as u64));
            data[i] ^= 1;
        }
    }

    #[test]
    fn another_seed_is_another_stream() {
        let (mut a, mut b) = ([0; 64], [0; 64]);
        Pattern::new(1).fill(0, &mut a);
        Pattern::new(2).fill(0, &mut b);
        assert_ne!(a, b);
    }
}
