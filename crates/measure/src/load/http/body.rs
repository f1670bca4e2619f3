//! Where a body ends: by its length, by its chunks (RFC 9112 section 7.1), or with the connection.

use super::head::{Framing, Malformed};

/// A body that is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are missing.
    Length(u64),
    Chunks(Chunk),
    UntilClose,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size: the value, and how many digits there were.
    Size(u64, u8),
    /// Behind them, up to the end of the line.
    Extension(u64),
    /// So many bytes of the chunk are missing.
    Data(u64),
    /// The end of the line behind the data.
    AfterData,
    /// In the trailer: bytes in the current line without its end.
    Trailer(u32),
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// So many were taken, and these of them are content.
    Content(usize, &'a [u8]),
    /// So many were taken, and the body has ended.
    End(usize),
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(Chunk::Size(0, 0)),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes some of the bytes. With none left in the body it ends without taking any.
    pub(super) fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Malformed> {
        match self {
            Self::Length(0) => Ok(Step::End(0)),
            Self::Length(left) => {
                let content = &bytes[..bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
                *left -= content.len() as u64;
                Ok(Step::Content(content.len(), content))
            }
            Self::UntilClose => Ok(Step::Content(bytes.len(), bytes)),
            Self::Chunks(chunk) => chunk.take(bytes),
        }
    }
}

impl Chunk {
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Malformed> {
        let Some(byte) = bytes.first().copied() else { return Ok(Step::Content(0, &[])) };
        *self = match (*self, byte) {
            (Self::Data(left), _) => {
                let content = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                let left = left - content.len() as u64;
                *self = if left == 0 { Self::AfterData } else { Self::Data(left) };
                return Ok(Step::Content(content.len(), content));
            }
            (Self::Size(value, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // Fifteen digits are more than anybody's chunk has, and cannot overflow.
                let digit = (byte as char).to_digit(16).filter(|_| digits < 15).ok_or(Malformed)?;
                Self::Size(value << 4 | u64::from(digit), digits + 1)
            }
            (Self::Size(_, 0), _) => return Err(Malformed),
            (Self::Size(value, _) | Self::Extension(value), b'\n') => {
                if value == 0 {
                    Self::Trailer(0)
                } else {
                    Self::Data(value)
                }
            }
            (Self::Size(value, _) | Self::Extension(value), _) => Self::Extension(value),
            (Self::AfterData, b'\r') => Self::AfterData,
            (Self::AfterData, b'\n') => Self::Size(0, 0),
            (Self::AfterData, _) => return Err(Malformed),
            (Self::Trailer(0), b'\n') => return Ok(Step::End(1)),
            (Self::Trailer(_), b'\n') => Self::Trailer(0),
            (Self::Trailer(n), b'\r') => Self::Trailer(n),
            (Self::Trailer(n), _) if n < 64 * 1024 => Self::Trailer(n + 1),
            (Self::Trailer(_), _) => return Err(Malformed),
        };
        Ok(Step::Content(1, &[]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The content and the bytes taken, when the body has ended.
    fn read(mut body: Body, pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let (mut content, mut taken) = (Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match body.take(rest)? {
                    Step::Content(n, bytes) => {
                        content.extend_from_slice(bytes);
                        taken += n;
                        rest = &rest[n..];
                    }
                    Step::End(n) => return Ok(Some((content, taken + n))),
                }
            }
        }
        Ok(None)
    }

    const CHUNKED: &[u8] = b"5;name=x\r\nhello\r\n00A\r\n, all of u\r\n0\r\nTrailer: 1\r\n\r\nHTTP/1.1";

    #[test]
    fn chunks_are_put_together_and_the_next_answer_left_alone() {
        let whole = read(Body::new(Framing::Chunked), &[CHUNKED]).unwrap();
        assert_eq!(whole, Some((b"hello, all of u".to_vec(), CHUNKED.len() - 8)));
    }

    #[test]
    fn sizes_that_are_none_are_refused() {
        for bad in [&b"\r\n"[..], b"xyz\r\n", b"5\r\nhelloX", b"11111111111111111\r\n"] {
            assert_eq!(read(Body::new(Framing::Chunked), &[bad]), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(at in 0..CHUNKED.len()) {
            let (a, b) = CHUNKED.split_at(at);
            let whole = read(Body::new(Framing::Chunked), &[CHUNKED]);
            prop_assert_eq!(read(Body::new(Framing::Chunked), &[a, b]), whole);
        }
    }
}
