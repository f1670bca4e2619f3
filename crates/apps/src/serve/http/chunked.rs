//! The body of a request in chunks, read to its end and dropped.

use crate::http::{Decoder, Step};

/// A body that is skipped.
#[derive(Debug)]
pub(super) struct Chunked {
    decoder: Decoder,
    left: u64,
}

impl Chunked {
    /// Of at most so many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { decoder: Decoder::new(), left: most }
    }

    /// Skips what belongs to the body: how many bytes that are, and whether the body ends with them. The error: it is
    /// broken, or too long.
    pub(super) fn skip(&mut self, input: &[u8]) -> Result<(usize, bool), ()> {
        let mut at = 0;
        loop {
            match self.decoder.step(input.get(at..).unwrap_or_default()).map_err(|_| ())? {
                Step::More => return Ok((input.len(), false)),
                Step::Data { taken, data } => {
                    at += taken;
                    self.left = self.left.checked_sub(data.len() as u64).ok_or(())?;
                }
                Step::Done { taken } => return Ok((at + taken, true)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_ends_where_it_says_and_within_its_limit() {
        let body = b"5\r\nhello\r\n3;x=y\r\nyou\r\n0\r\nt: u\r\n\r\nGET";
        for cut in 0..body.len() {
            let mut chunks = Chunked::new(8);
            let (a, b) = body.split_at(cut);
            let (n, done) = chunks.skip(a).unwrap();
            if done {
                assert_eq!(&body[n..], b"GET");
                continue;
            }
            assert_eq!(n, cut);
            let (n, done) = chunks.skip(b).unwrap();
            assert!(done);
            assert_eq!(&b[n..], b"GET");
        }
        assert_eq!(Chunked::new(7).skip(body), Err(()));
        assert_eq!(Chunked::new(7).skip(b"x\r\n"), Err(()));
    }
}
