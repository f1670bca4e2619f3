//! The bytes that loads are made of: the test pattern of our servers, which repeats after a prime number of bytes, so
//! that bytes that arrive at another offset than they were sent from are noticed.

use bypath::SendSource;
use bypath_apps::serve::load_protocol::TestPattern;

/// Where `bytes` first differ from the pattern at `offset`; `None`: nowhere.
pub(super) fn mismatch(offset: u64, bytes: &[u8]) -> Option<u64> {
    TestPattern.mismatch(offset, bytes)
}

/// A stretch of the pattern, as bytes.
pub(super) fn stretch(offset: u64, len: usize) -> Vec<u8> {
    let source = Generated { start: offset, len: len as u64 };
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend_from_slice(source.bytes_at(bytes.len() as u64));
    }
    bytes
}

/// A stretch of the pattern as something to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generated {
    /// Where it begins in the pattern.
    pub(super) start: u64,
    /// How long it is.
    pub(super) len: u64,
}

impl SendSource for Generated {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = TestPattern.at(self.start.wrapping_add(offset));
        &bytes[..bytes.len().min(left)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_byte_is_noticed_where_it_is() {
        let mut bytes = stretch(70_000, 1000);
        assert_eq!(mismatch(70_000, &bytes), None);
        assert!(mismatch(70_001, &bytes).is_some());
        bytes[500] ^= 1;
        assert_eq!(mismatch(70_000, &bytes), Some(70_500));
    }

    #[test]
    fn a_generated_source_reads_the_same_across_the_period() {
        assert_eq!(mismatch(65_000, &stretch(65_000, 500_000)), None);
    }
}
