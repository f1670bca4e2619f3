//! Lines of text above TCP, and DNS over it.

use super::{Cut, Printed, Printer, u8_in};
use crate::style::page::say;

const HTTP: &[&str] = &[
    "GET",
    "PUT",
    "COPY",
    "HEAD",
    "LOCK",
    "MOVE",
    "POLL",
    "POST",
    "BCOPY",
    "BMOVE",
    "MKCOL",
    "TRACE",
    "LABEL",
    "MERGE",
    "DELETE",
    "SEARCH",
    "UNLOCK",
    "REPORT",
    "UPDATE",
    "NOTIFY",
    "BDELETE",
    "CONNECT",
    "OPTIONS",
    "CHECKIN",
    "PROPFIND",
    "CHECKOUT",
    "CCM_POST",
    "SUBSCRIBE",
    "PROPPATCH",
    "BPROPFIND",
    "BPROPPATCH",
    "UNCHECKOUT",
    "MKACTIVITY",
    "MKWORKSPACE",
    "UNSUBSCRIBE",
    "RPC_CONNECT",
    "VERSION-CONTROL",
    "BASELINE-CONTROL",
];

const RTSP: &[&str] = &[
    "OPTIONS",
    "DESCRIBE",
    "ANNOUNCE",
    "SETUP",
    "PLAY",
    "PAUSE",
    "TEARDOWN",
    "GET_PARAMETER",
    "SET_PARAMETER",
    "REDIRECT",
    "RECORD",
];

/// Words of more bytes are no words.
const LONGEST_WORD: usize = 128;

/// A protocol of lines.
struct Lines {
    name: &'static str,
    /// As it is printed.
    shown: &'static str,
    /// Words that requests begin with; without them everything is taken for text.
    requests: Option<&'static [&'static str]>,
    /// Replies have their code as the second word.
    code_is_second: bool,
}

impl Printer {
    pub(super) fn over_tcp(&mut self, data: &[u8], len: usize, source: u16, destination: u16) -> Printed {
        let is = |ports: &[u16]| ports.contains(&source) || ports.contains(&destination);
        let lines = if is(&[25]) {
            Lines { name: "smtp", shown: "SMTP", requests: None, code_is_second: false }
        } else if is(&[21]) {
            Lines { name: "ftp", shown: "FTP", requests: None, code_is_second: false }
        } else if is(&[80, 8080]) {
            Lines { name: "http", shown: "HTTP", requests: Some(HTTP), code_is_second: true }
        } else if is(&[554, 8554]) {
            Lines { name: "rtsp", shown: "RTSP", requests: Some(RTSP), code_is_second: true }
        } else if is(&[53]) {
            return self.domain_over_tcp(data, len);
        } else {
            return Ok(());
        };
        self.page.put(": ").put(lines.shown);
        self.protocol = lines.name;
        self.text_protocol(data, len, &lines)
    }

    fn domain_over_tcp(&mut self, data: &[u8], len: usize) -> Printed {
        // Over TCP a message comes after its length.
        self.protocol = "domain";
        if len < 2 {
            say!(self.page, " [DNS over TCP: length {len} < 2]");
            self.invalid();
            return Ok(());
        }
        self.domain(data, len, false, true)
    }

    fn text_protocol(&mut self, data: &[u8], len: usize, lines: &Lines) -> Printed {
        if !lines.is_text(data, len) {
            return Ok(());
        }
        if self.options.verbose == 0 {
            return self.text_line(": ", data, 0, len).map(drop);
        }
        say!(self.page, ", length: {len}");
        let mut at = 0;
        while at < len {
            match self.text_line("\n\t", data, at, len)? {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(())
    }

    /// A line, and where the next begins; none where this is no text, or ends without an end of line.
    fn text_line(
        &mut self,
        before: &str,
        data: &[u8],
        start: usize,
        len: usize,
    ) -> Result<Option<usize>, Cut> {
        let mut at = start;
        let next = loop {
            if at >= len {
                break None;
            }
            match u8_in(data, at)? {
                b'\n' => break Some(at + 1),
                b'\r' => {
                    if at + 1 >= len || u8_in(data, at + 1)? != b'\n' {
                        return Ok(None);
                    }
                    break Some(at + 2);
                }
                byte if byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t') => at += 1,
                _ => return Ok(None),
            }
        };
        self.page.put(before);
        self.page.bytes.extend_from_slice(data.get(start..at).unwrap_or_default());
        if next.is_none() {
            self.truncated();
        }
        Ok(next)
    }
}

impl Lines {
    /// Whether this begins with a request or a reply.
    fn is_text(&self, data: &[u8], len: usize) -> bool {
        let Some(requests) = self.requests else { return true };
        let Some((first, rest)) = word(data, 0, len) else { return false };
        if requests.iter().any(|request| request.as_bytes().eq_ignore_ascii_case(first)) {
            return true;
        }
        let code =
            if self.code_is_second { word(data, rest, len).map(|(word, _)| word) } else { Some(first) };
        code.is_some_and(
            |code| matches!(code, [a, b, c] if [a, b, c].iter().all(|digit| digit.is_ascii_digit())),
        )
    }
}

/// The word at a place and where the next begins; none where the capture ends within it.
fn word(data: &[u8], start: usize, len: usize) -> Option<(&[u8], usize)> {
    let mut end = start;
    while end < len && data.get(end)?.is_ascii_graphic() {
        end += 1;
    }
    if end == start || end - start >= LONGEST_WORD {
        return None;
    }
    let mut next = end;
    while next < len && matches!(data.get(next), Some(b' ' | b'\t')) {
        next += 1;
    }
    Some((data.get(start..end)?, next))
}
