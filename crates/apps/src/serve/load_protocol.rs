//! What the services for load tests speak, `--rr` and `--stream`: their headers and the bytes that they send. The page
//! `docs/serve.md` defines them. Servers and load generators both use this.

use std::sync::{Arc, OnceLock};

use bypath::SendSource;

/// The length after which the test pattern repeats itself: a prime, so that no whole number of segments is one.
pub const PATTERN_PERIOD: u64 = 65_521;

/// How often the table holds the period: pieces that end at its end are rare then.
const REPEATS: u64 = 4;

/// The test pattern: byte `n` of a stream is `T[n mod 65521]`, where `T[i] = (i · 2654435761 mod 2³²) >> 24`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestPattern;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let byte = |n: u64| ((((n % PATTERN_PERIOD) * 2_654_435_761) & 0xffff_ffff) >> 24) as u8;
        (0..PATTERN_PERIOD * REPEATS).map(byte).collect()
    })
}

impl TestPattern {
    /// The pattern as a source without an end; one for a worker is enough.
    pub fn source() -> Arc<dyn SendSource> {
        table();
        Arc::new(Self)
    }

    /// The bytes from `offset` on, at least 196,563 of them.
    pub fn at(self, offset: u64) -> &'static [u8] {
        table().get((offset % PATTERN_PERIOD) as usize..).unwrap_or_default()
    }

    /// The offset of the first byte that is not of the pattern, when `data` is from `offset` on.
    pub fn mismatch(self, offset: u64, data: &[u8]) -> Option<u64> {
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let expected = self.at(at);
            let n = rest.len().min(expected.len());
            let (now, later) = rest.split_at(n);
            if now != &expected[..n] {
                let good = now.iter().zip(expected).take_while(|(a, b)| a == b).count();
                return Some(at + good as u64);
            }
            at += n as u64;
            rest = later;
        }
        None
    }
}

impl SendSource for TestPattern {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        self.at(offset)
    }
}

/// What a request to `--rr` begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrHeader {
    /// Length of the request, these eight bytes included.
    pub request_bytes: u32,
    /// Length of the response.
    pub response_bytes: u32,
}

impl RrHeader {
    /// Bytes of the header.
    pub const LEN: usize = 8;

    /// Reads it; `None`: the request would be shorter than its header.
    pub fn parse(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let header = Self {
            request_bytes: u32::from_be_bytes([a, b, c, d]),
            response_bytes: u32::from_be_bytes([e, f, g, h]),
        };
        (header.request_bytes as usize >= Self::LEN).then_some(header)
    }

    /// Writes it.
    pub fn emit(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&self.request_bytes.to_be_bytes());
        out[4..].copy_from_slice(&self.response_bytes.to_be_bytes());
        out
    }
}

/// What a client of `--stream` sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// The client sends.
    pub up: bool,
    /// The server sends.
    pub down: bool,
    /// The server checks what it gets.
    pub check: bool,
    /// Bytes that the server sends; 0: until the client closes its direction.
    pub down_bytes: u64,
}

impl StreamHeader {
    /// Bytes of the header.
    pub const LEN: usize = 16;
    const MAGIC: [u8; 4] = *b"BPS1";

    /// Reads it; `None`: it is none, or asks for nothing.
    pub fn parse(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [m0, m1, m2, m3, flags, 0, 0, 0, length @ ..] = bytes else { return None };
        let header = Self {
            up: flags & 1 != 0,
            down: flags & 2 != 0,
            check: flags & 4 != 0,
            down_bytes: u64::from_be_bytes(length),
        };
        let known = [m0, m1, m2, m3] == Self::MAGIC && flags & !7 == 0;
        let sense = header.down || header.up && header.down_bytes == 0;
        (known && sense).then_some(header)
    }

    /// Writes it.
    pub fn emit(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&Self::MAGIC);
        out[4] = u8::from(self.up) | u8::from(self.down) << 1 | u8::from(self.check) << 2;
        out[8..].copy_from_slice(&self.down_bytes.to_be_bytes());
        out
    }
}

/// What a stream from `--stream` ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Bytes received after the header.
    pub received: u64,
    /// Offset of the first wrong byte among them, if the server was asked to check.
    pub wrong_at: Option<u64>,
    /// Bytes of the test pattern that were sent before this.
    pub sent: u64,
}

impl StreamReport {
    /// Bytes of the report.
    pub const LEN: usize = 24;

    /// Reads it.
    pub fn parse(bytes: [u8; Self::LEN]) -> Self {
        let word =
            |at: usize| bytes.iter().skip(at).take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        Self { received: word(0), wrong_at: Some(word(8)).filter(|at| *at != u64::MAX), sent: word(16) }
    }

    /// Writes it.
    pub fn emit(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.received.to_be_bytes());
        out[8..16].copy_from_slice(&self.wrong_at.unwrap_or(u64::MAX).to_be_bytes());
        out[16..].copy_from_slice(&self.sent.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pattern_begins_as_the_page_says() {
        // By hand: 2654435761 >> 24 = 158, twice that less 2^32 is 1013904226, >> 24 = 60.
        assert_eq!(&TestPattern.at(0)[..3], &[0, 158, 60]);
        assert_eq!(TestPattern.at(PATTERN_PERIOD)[..3], TestPattern.at(0)[..3]);
        assert!(TestPattern.at(PATTERN_PERIOD - 1).len() >= 196_563);
    }

    #[test]
    fn the_first_wrong_byte_is_found() {
        let offset = 3 * PATTERN_PERIOD + 5;
        let mut data: Vec<u8> =
            (0..500_000).map(|n| TestPattern.at(offset + n).first().copied().unwrap()).collect();
        assert_eq!(TestPattern.mismatch(offset, &data), None);
        data[400_001] ^= 1;
        assert_eq!(TestPattern.mismatch(offset, &data), Some(offset + 400_001));
    }

    #[test]
    fn headers_that_make_no_sense_are_refused() {
        assert_eq!(RrHeader::parse([0, 0, 0, 7, 0, 0, 0, 1]), None);
        let good = StreamHeader { up: true, down: false, check: false, down_bytes: 0 };
        assert_eq!(StreamHeader::parse(good.emit()), Some(good));
        for bad in [StreamHeader { up: false, ..good }, StreamHeader { down_bytes: 1, ..good }] {
            assert_eq!(StreamHeader::parse(bad.emit()), None);
        }
        for (at, value) in [(0, b'b'), (4, 9), (5, 1)] {
            let mut bytes = good.emit();
            bytes[at] = value;
            assert_eq!(StreamHeader::parse(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(a in 8u32.., b: u32, c: u64, d: u64, e: Option<u32>) {
            let rr = RrHeader { request_bytes: a, response_bytes: b };
            prop_assert_eq!(RrHeader::parse(rr.emit()), Some(rr));
            let report = StreamReport { received: c, wrong_at: e.map(u64::from), sent: d };
            prop_assert_eq!(StreamReport::parse(report.emit()), report);
        }
    }
}
