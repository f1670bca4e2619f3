//! Bytes of a connection that could not be dealt with when they came.

/// Kept bytes, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    start: usize,
}

/// Room that is kept for the next time; more than that goes back.
const KEEP: usize = 16 * 1024;

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        if self.start > 0 && self.bytes.len() + more.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_in_order() {
        let mut held = Held::default();
        for round in 0..100u8 {
            held.push(&[round; 300]);
            held.consume(250);
        }
        assert_eq!(held.len(), 5_000);
        assert_eq!(held.bytes()[0], 83);
        held.consume(5_000);
        assert!(held.is_empty());
    }
}
