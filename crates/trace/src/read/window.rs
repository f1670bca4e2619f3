//! The part of a stream that is being looked at.

use std::io::{self, ErrorKind, Read};

/// What is asked of the system at once.
const CHUNK: usize = 256 * 1024;

/// A stream with as many of its next bytes in memory as somebody wanted to see.
#[derive(Debug)]
pub(super) struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        Window { input, bytes: vec![0; CHUNK], start: 0, end: 0, offset: 0 }
    }

    /// Where in the stream it is.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, as many as asked for, fewer at the end.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.end - self.start < len {
            self.fill(len)?;
        }
        Ok(self.ahead(len))
    }

    /// What `peek` has brought, again.
    pub(super) fn ahead(&self, len: usize) -> &[u8] {
        self.bytes.get(self.start..self.end.min(self.start + len)).unwrap_or_default()
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        while self.end < len {
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(0) => break,
                Ok(got) => self.end += got,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on by bytes that were seen, and returns them.
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let len = len.min(self.end - self.start);
        self.start += len;
        self.offset += len as u64;
        &self.bytes[self.start - len..self.start]
    }

    /// Goes on by bytes that nobody wants to see. Returns how many there were.
    pub(super) fn skip(&mut self, len: u64) -> io::Result<u64> {
        let mut left = len;
        while left > 0 {
            let step = left.min(CHUNK as u64) as usize;
            let got = self.peek(step)?.len();
            self.take(got);
            left -= got as u64;
            if got < step {
                break;
            }
        }
        Ok(len - left)
    }
}
