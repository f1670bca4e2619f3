//! The signature in a frame's payload, by which the receiver knows what it has: 18 bytes, so that it fits into
//! the shortest UDP frame over IPv4.
//!
//! ```text
//!   0       2       4               7   8               12                      18
//!   | magic | hash  | stream        |kind| sequence     | time sent, nanoseconds |
//! ```
//!
//! Big-endian. The hash covers what follows it. Sequence and time are the low bits of longer numbers; the receiver
//! completes them from what it knows.

/// Bytes of a signature.
pub const LEN: usize = 18;
/// What it begins with.
const MAGIC: u16 = 0xb1a5;
/// Streams that can be told apart.
pub const MAX_STREAMS: u32 = 1 << 24;
const TIME_BITS: u32 = 48;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To be counted.
    Data = 0,
    /// Before the measurement proper: not counted.
    WarmUp = 1,
    /// The stream has ended; its sequence number is the number of frames sent.
    End = 2,
}

/// Who sent a frame, which one it is, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The stream, below [`MAX_STREAMS`].
    pub stream: u32,
    /// What it is for.
    pub kind: Kind,
    /// The low 32 bits of its number within the stream, from 0.
    pub sequence: u32,
    /// The low 48 bits of the sender's monotonic clock, in nanoseconds.
    pub time_ns: u64,
}

impl Signature {
    /// As it lies in the frame.
    #[inline]
    pub fn to_bytes(self) -> [u8; LEN] {
        let words = (self.stream & 0xff_ffff) << 8 | self.kind as u32;
        let time = self.time_ns & ((1 << TIME_BITS) - 1);
        let mut bytes = [0; LEN];
        bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[2..4].copy_from_slice(&hash(words, self.sequence, time).to_be_bytes());
        bytes[4..8].copy_from_slice(&words.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&time.to_be_bytes()[2..]);
        bytes
    }

    /// Reads one. `None` without the magic number, `Some(Err)` with one whose hash is wrong.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Result<Signature, Damaged>> {
        let bytes: &[u8; LEN] = payload.first_chunk()?;
        if bytes[..2] != MAGIC.to_be_bytes() {
            return None;
        }
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (words, sequence) = (u32_at(4), u32_at(8));
        let time_ns = u64::from(u16::from_be_bytes([bytes[12], bytes[13]])) << 32 | u64::from(u32_at(14));
        let kind = match words as u8 {
            0 => Kind::Data,
            1 => Kind::WarmUp,
            2 => Kind::End,
            _ => return Some(Err(Damaged)),
        };
        if hash(words, sequence, time_ns).to_be_bytes() != bytes[2..4] {
            return Some(Err(Damaged));
        }
        Some(Ok(Signature { stream: words >> 8, kind, sequence, time_ns }))
    }

    /// How long ago it was sent, by a clock that is the sender's: nanoseconds, negative when `now_ns` is earlier.
    #[inline]
    pub fn age_ns(&self, now_ns: u64) -> i64 {
        // The difference of 48-bit numbers, its sign taken from its highest bit.
        let shift = 64 - TIME_BITS;
        (now_ns.wrapping_sub(self.time_ns) << shift) as i64 >> shift
    }
}

/// A signature whose hash is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// Sixteen well-mixed bits.
#[inline]
fn hash(words: u32, sequence: u32, time_ns: u64) -> u16 {
    let mut mixed = (u64::from(words) << 32 | u64::from(sequence)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 29 ^ time_ns).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 48) as u16 ^ (mixed >> 20) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Signature =
        Signature { stream: 0xabcdef, kind: Kind::Data, sequence: 0xfedc_ba98, time_ns: 0x1234_5678_9abc };

    #[test]
    fn reads_what_was_written() {
        for kind in [Kind::Data, Kind::WarmUp, Kind::End] {
            let one = Signature { kind, ..ONE };
            assert_eq!(Signature::read(&one.to_bytes()), Some(Ok(one)));
        }
        assert_eq!(Signature::read(&ONE.to_bytes()[..LEN - 1]), None);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..LEN * 8 {
            let mut bytes = ONE.to_bytes();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            let seen = Signature::read(&bytes);
            assert!(!matches!(seen, Some(Ok(_))), "bit {bit}: {seen:?}");
        }
    }

    #[test]
    fn ages_survive_the_clock_wrapping_at_48_bits() {
        let near_end = Signature { time_ns: (1 << TIME_BITS) - 5, ..ONE };
        assert_eq!(near_end.age_ns((1 << TIME_BITS) + 7), 12);
        assert_eq!(near_end.age_ns((1 << TIME_BITS) - 8), -3);
    }
}
