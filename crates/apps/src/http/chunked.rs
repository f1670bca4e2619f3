//! The chunked transfer coding (RFC 9112 section 7.1), decoded as it arrives in pieces of any size.

/// Room for chunk extensions and trailers together. They are skipped, not kept, but a server must not
/// be able to keep us busy with them for ever.
const MAX_SKIPPED: usize = 64 * 1024;
/// Hexadecimal digits that a 64-bit length can have.
const MAX_DIGITS: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hexadecimal length, after so many digits.
    Size(u32),
    /// Behind the length: extensions up to the end of the line.
    Extension,
    /// In a chunk with so many bytes to come.
    Data,
    /// Behind a chunk.
    DataCr,
    DataLf,
    /// At the beginning of a trailer line.
    TrailerStart,
    TrailerLine,
    /// Behind the carriage return of the empty line that ends it all.
    LastLf,
    Done,
}

/// What the decoder made of the beginning of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// All was taken, and more is needed.
    More,
    /// So many bytes were taken, and this is the end of them.
    Data { taken: usize, data: &'a [u8] },
    /// The body ended after so many bytes.
    Done { taken: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    state: State,
    left: u64,
    skipped: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Decoder { state: State::Size(0), left: 0, skipped: 0 }
    }

    /// Decodes up to the next piece of data. The error says what is wrong.
    pub(crate) fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, &'static str> {
        let mut at = 0;
        while let Some(&b) = input.get(at) {
            if self.state == State::Data {
                let room = input.len() - at;
                let len = usize::try_from(self.left).map_or(room, |left| left.min(room));
                self.left -= len as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step::Data { taken: at + len, data: &input[at..at + len] });
            }
            if self.state == State::Done {
                break;
            }
            self.state = self.advance(b)?;
            at += 1;
        }
        Ok(if self.state == State::Done { Step::Done { taken: at } } else { Step::More })
    }

    fn advance(&mut self, b: u8) -> Result<State, &'static str> {
        Ok(match (self.state, b) {
            (State::Size(digits), _) if b.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err("a chunk length is too long");
                }
                let digit = (b as char).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(0), _) => return Err("a chunk has no length"),
            // A bare LF ends a line, as RFC 9112 section 2.2 lets recipients have it.
            (State::Size(_) | State::Extension, b'\n') => {
                if self.left == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                }
            }
            (State::Size(_), b';' | b' ' | b'\t' | b'\r') => State::Extension,
            (State::Size(_), _) => return Err("a chunk length is not hexadecimal"),
            (State::Extension, _) => self.skip(State::Extension)?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataCr | State::DataLf, b'\n') => {
                self.left = 0;
                State::Size(0)
            }
            (State::DataCr | State::DataLf, _) => return Err("a chunk is longer than its length"),
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::LastLf, b'\n') => State::Done,
            (State::LastLf, _) => return Err("the trailer section is malformed"),
            (State::TrailerLine, b'\n') => State::TrailerStart,
            (State::TrailerStart | State::TrailerLine, _) => self.skip(State::TrailerLine)?,
            (State::Data | State::Done, _) => self.state,
        })
    }

    fn skip(&mut self, next: State) -> Result<State, &'static str> {
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED { Err("chunk extensions and trailers are too long") } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `pieces` one after the other; returns the body and what is left of the last piece.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), &'static str> {
        let mut decoder = Decoder::new();
        let mut body = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match decoder.step(rest)? {
                    Step::More => break,
                    Step::Data { taken, data } => {
                        body.extend_from_slice(data);
                        rest = &rest[taken..];
                    }
                    Step::Done { .. } => return Ok((body, true)),
                }
            }
        }
        Ok((body, false))
    }

    const EXAMPLE: &[u8] =
        b"4\r\nWiki\r\n7;a=\"b;c\"\r\npedia i\r\nB \r\nn \r\nchunks.\r\n0\r\nX-Sum: 1\r\nY: z\r\n\r\n";

    #[test]
    fn decodes_chunks_extensions_and_trailers() {
        assert_eq!(decode(&[EXAMPLE]), Ok((b"Wikipedia in \r\nchunks.".to_vec(), true)));
    }

    #[test]
    fn leaves_what_follows_the_body() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.step(b"0\r\n\r\nHTTP/1.1"), Ok(Step::Done { taken: 5 }));
    }

    #[test]
    fn refuses_malformed_lengths() {
        for bad in [&b"\r\n"[..], b"x\r\n", b"-1\r\n", b"0x5\r\n", b"11111111111111111\r\n", b" 5\r\n"] {
            assert!(decode(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refuses_a_chunk_that_is_longer_than_its_length() {
        assert!(decode(&[b"2\r\nabc\r\n0\r\n\r\n"]).is_err());
    }

    #[test]
    fn refuses_endless_extensions_and_trailers() {
        let long = vec![b'x'; MAX_SKIPPED + 1];
        assert!(decode(&[b"5;", &long]).is_err());
        assert!(decode(&[b"0\r\n", &long]).is_err());
    }

    proptest! {
        #[test]
        fn cuts_between_reads_do_not_matter(cuts in proptest::collection::vec(0..EXAMPLE.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&EXAMPLE[from..cut]);
                from = cut;
            }
            pieces.push(&EXAMPLE[from..]);
            prop_assert_eq!(decode(&pieces), Ok((b"Wikipedia in \r\nchunks.".to_vec(), true)));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&bytes]);
        }
    }
}
