//! Lines out of a stream that is cut anywhere, in bounded memory.

/// What is kept of a line that has not ended yet, bytes. The rest of a longer one is dropped.
pub const LONGEST_LINE: usize = 8192;

/// The line that has not ended yet.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// The rest of the line that is under way is nobody's: its beginning is missing.
    headless: bool,
}

impl Lines {
    /// Calls `found` with the first line that ends in `bytes`, without its line end, and returns what follows it. Without an end
    /// it keeps what there is and returns nothing.
    pub(super) fn next<'b>(&mut self, bytes: &'b [u8], found: &mut dyn FnMut(&[u8])) -> Option<&'b [u8]> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            let room = LONGEST_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return None;
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if std::mem::take(&mut self.headless) {
            self.begun.clear();
        } else if self.begun.is_empty() {
            let line = &line[..line.len().min(LONGEST_LINE)];
            found(line.strip_suffix(b"\r").unwrap_or(line));
        } else {
            let room = LONGEST_LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&line[..line.len().min(room)]);
            found(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun));
            self.begun.clear();
        }
        Some(rest)
    }

    /// Bytes are missing: what was begun has no end, and what comes has no beginning.
    pub(super) fn gap(&mut self) {
        self.begun.clear();
        self.headless = true;
    }

    /// Whether a line has begun and not ended.
    pub(super) fn has_begun(&self) -> bool {
        self.headless || !self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(after) =
                lines.next(rest, &mut |line| found.push(String::from_utf8_lossy(line).into_owned()))
            {
                rest = after;
            }
        }
        found
    }

    #[test]
    fn lines_end_where_they_end() {
        assert_eq!(lines(&[b"one\r\ntw", b"o\r", b"\nthree\n\r\nfo"]), ["one", "two", "three", ""]);
    }

    #[test]
    fn a_line_without_an_end_is_kept_up_to_a_limit() {
        let mut kept = Lines::default();
        for _ in 0..100 {
            assert!(kept.next(&[b'x'; 1000], &mut |_| panic!()).is_none());
        }
        assert_eq!(kept.begun.len(), LONGEST_LINE);
        let mut len = 0;
        assert_eq!(kept.next(b"y\nz", &mut |line| len = line.len()), Some(&b"z"[..]));
        assert_eq!((len, kept.begun.len()), (LONGEST_LINE, 0));
    }

    #[test]
    fn half_a_line_after_a_gap_is_nobodys() {
        let mut kept = Lines::default();
        kept.next(b"USER", &mut |_| panic!());
        kept.gap();
        assert!(kept.has_begun());
        assert_eq!(kept.next(b"ss\nUSER ada\n", &mut |_| panic!()), Some(&b"USER ada\n"[..]));
        let mut found = Vec::new();
        kept.next(b"USER ada\n", &mut |line| found = line.to_vec());
        assert_eq!(found, b"USER ada");
    }
}
