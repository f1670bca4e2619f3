//! PPP on a serial line: flags around frames, bytes that are escaped, and the check sequence (RFC 1662).

/// Stands between frames.
pub const FLAG: u8 = 0x7e;
/// Says that the next byte was changed.
pub const ESCAPE: u8 = 0x7d;
/// What an escaped byte is changed by.
const CHANGE: u8 = 0x20;
/// The frame check sequence over a frame and its check sequence, when nothing was damaged (RFC 1662 §C.2).
const GOOD: u16 = 0xf0b8;

/// Which of the 32 control characters a sender escapes: bit 0 for NUL, bit 19 for XOFF. The *async control
/// character map* of LCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AsyncMap(pub u32);

impl AsyncMap {
    /// What links use until they agreed on something: all of them.
    pub const ALL: Self = Self(0xffff_ffff);
    /// XON and XOFF, which modems take for themselves: 000A0000.
    pub const XON_XOFF: Self = Self(0x000a_0000);

    /// Whether `byte` is sent as two.
    #[must_use]
    pub const fn escapes(self, byte: u8) -> bool {
        byte == FLAG || byte == ESCAPE || byte < 0x20 && self.0 >> byte & 1 != 0
    }
}

/// The 16-bit frame check sequence of `bytes`, going on from `fcs`; begin with 0xffff (RFC 1662 §C.2).
const fn check(fcs: u16, bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u16;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 != 0 { value >> 1 ^ 0x8408 } else { value >> 1 };
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        table
    };
    let mut fcs = fcs;
    let mut at = 0;
    while at < bytes.len() {
        fcs = fcs >> 8 ^ TABLE[((fcs ^ bytes[at] as u16) & 0xff) as usize];
        at += 1;
    }
    fcs
}

/// The check sequence of a frame, from its first field to its payload, in the order it is sent.
#[must_use]
pub const fn fcs16(frame: &[u8]) -> [u8; 2] {
    (!check(0xffff, frame)).to_le_bytes()
}

/// How many bytes a frame is on the line: one flag, the frame and its check sequence, with what is escaped.
#[must_use]
pub fn line_len(frame: &[u8], map: AsyncMap) -> usize {
    let fcs = fcs16(frame);
    let bytes = frame.iter().chain(&fcs);
    1 + frame.len() + fcs.len() + bytes.filter(|&&byte| map.escapes(byte)).count()
}

/// Appends to `line` what is sent for a frame: a flag, the frame and its check sequence escaped, a flag.
pub fn encode(frame: &[u8], map: AsyncMap, line: &mut Vec<u8>) {
    line.push(FLAG);
    for &byte in frame.iter().chain(&fcs16(frame)) {
        if map.escapes(byte) {
            line.extend([ESCAPE, byte ^ CHANGE]);
        } else {
            line.push(byte);
        }
    }
    line.push(FLAG);
}

/// Why bytes between two flags are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadFrame {
    /// The check sequence is wrong: bytes were damaged or lost.
    #[error("the check sequence is wrong")]
    Damaged,
    /// The sender gave it up: an escape before the flag.
    #[error("the sender gave the frame up")]
    Aborted,
    /// Longer than frames are.
    #[error("longer than a frame can be")]
    TooLong,
}

/// Finds frames in the bytes of a line.
pub struct Deframer {
    map: AsyncMap,
    frame: Vec<u8>,
    limit: usize,
    escaped: bool,
    /// Bytes before the first flag, and after too many, are nobody's.
    skipping: bool,
}

impl Deframer {
    /// A deframer for a sender that escapes what `map` says: such bytes that come unescaped were added by the line and are
    /// dropped. Frames are up to `limit` bytes long, with their check sequence.
    #[must_use]
    pub fn new(map: AsyncMap, limit: usize) -> Self {
        Self { map, frame: Vec::new(), limit, escaped: false, skipping: true }
    }

    /// Takes bytes and calls `found` for each frame that ends in them, without its check sequence.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Result<&[u8], BadFrame>)) {
        for &byte in bytes {
            if byte == FLAG {
                let aborted = std::mem::take(&mut self.escaped);
                if !std::mem::take(&mut self.skipping) {
                    match self.frame.len() {
                        _ if aborted => found(Err(BadFrame::Aborted)),
                        0 => {}
                        len if len < 3 || check(0xffff, &self.frame) != GOOD => found(Err(BadFrame::Damaged)),
                        len => found(Ok(&self.frame[..len - 2])),
                    }
                }
                self.frame.clear();
            } else if self.skipping || byte < 0x20 && self.map.escapes(byte) {
            } else if byte == ESCAPE {
                self.escaped = true;
            } else if self.frame.len() == self.limit {
                found(Err(BadFrame::TooLong));
                self.skipping = true;
                self.escaped = false;
                self.frame.clear();
            } else {
                let change = if std::mem::take(&mut self.escaped) { CHANGE } else { 0 };
                self.frame.push(byte ^ change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(deframer: &mut Deframer, line: &[u8]) -> Vec<Result<Vec<u8>, BadFrame>> {
        let mut all = Vec::new();
        deframer.push(line, |frame| all.push(frame.map(<[u8]>::to_vec)));
        all
    }

    #[test]
    fn the_check_sequence_is_that_of_the_standard() {
        // CRC-16/X-25 of the digits 1 to 9.
        assert_eq!(fcs16(b"123456789"), 0x906e_u16.to_le_bytes());
    }

    #[test]
    fn what_the_map_names_is_escaped() {
        let mut line = Vec::new();
        encode(&[0x11, 0x7d, 0x7e, 0x12, 0x13], AsyncMap::XON_XOFF, &mut line);
        assert_eq!(line[..10], [0x7e, 0x7d, 0x31, 0x7d, 0x5d, 0x7d, 0x5e, 0x12, 0x7d, 0x33]);
        let shorter = line_len(&[0x11, 0x7d, 0x7e, 0x12, 0x13], AsyncMap(0));
        assert_eq!(line_len(&[0x11, 0x7d, 0x7e, 0x12, 0x13], AsyncMap::XON_XOFF), shorter + 2);
    }

    #[test]
    fn damage_is_told_and_the_next_frame_is_whole() {
        let mut deframer = Deframer::new(AsyncMap(0), 100);
        let mut line = b"noise".to_vec();
        encode(b"one", AsyncMap(0), &mut line);
        let at = line.len() + 2;
        encode(b"two", AsyncMap(0), &mut line);
        line[at] ^= 4;
        encode(b"three", AsyncMap(0), &mut line);
        line.extend([b'x', ESCAPE, FLAG]);
        let (one, three) = (Ok(b"one".to_vec()), Ok(b"three".to_vec()));
        let expected = vec![one, Err(BadFrame::Damaged), three, Err(BadFrame::Aborted)];
        assert_eq!(frames(&mut deframer, &line), expected);
    }

    #[test]
    fn a_line_without_flags_costs_no_more_than_the_limit() {
        let mut deframer = Deframer::new(AsyncMap(0), 10);
        let mut line = vec![FLAG];
        line.extend([1; 1000]);
        assert_eq!(frames(&mut deframer, &line), [Err(BadFrame::TooLong)]);
        assert!(deframer.frame.is_empty());
        let mut line = Vec::new();
        encode(b"whole", AsyncMap(0), &mut line);
        assert_eq!(frames(&mut deframer, &line), [Ok(b"whole".to_vec())]);
    }

    #[test]
    fn characters_that_the_line_added_are_dropped() {
        let mut line = Vec::new();
        encode(b"pause", AsyncMap::XON_XOFF, &mut line);
        line.insert(3, 0x13);
        line.insert(5, 0x11);
        let mut deframer = Deframer::new(AsyncMap::XON_XOFF, 100);
        assert_eq!(frames(&mut deframer, &line), [Ok(b"pause".to_vec())]);
    }

    proptest! {
        #[test]
        fn frames_come_back_from_a_line_cut_anywhere(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            map: u32,
            cut in 1_usize..20,
        ) {
            let mut line = Vec::new();
            for frame in &sent {
                let before = line.len();
                encode(frame, AsyncMap(map), &mut line);
                prop_assert_eq!(line.len() - before, line_len(frame, AsyncMap(map)) + 1);
            }
            let mut deframer = Deframer::new(AsyncMap(map), 100);
            let mut back = Vec::new();
            for piece in line.chunks(cut) {
                back.extend(frames(&mut deframer, piece));
            }
            prop_assert_eq!(back, sent.into_iter().map(Ok).collect::<Vec<_>>());
        }
    }
}
