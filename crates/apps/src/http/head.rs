//! The head of a response: status line and fields by httparse, and what they say about the body's
//! framing (RFC 9112 section 6.3).

use crate::error::FetchError;

/// The longest head that is read. Servers in use keep to 8 or 16 KiB.
pub(super) const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;

/// Status and fields of a response.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) reason: String,
    /// HTTP/1.1 as opposed to 1.0.
    pub(super) http11: bool,
    fields: Vec<(String, Vec<u8>)>,
    /// The head as it came, with the empty line.
    pub(super) raw: Vec<u8>,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// The `Content-Range` of a 206 or a 416 (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First and last byte; none in a 416.
    pub(super) bytes: Option<(u64, u64)>,
    /// The whole file's length, if it is told.
    pub(super) total: Option<u64>,
}

impl Head {
    /// Reads a head off the beginning of `input`; `None` when it is not complete yet.
    pub(super) fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, FetchError> {
        let weird = |what: &str| FetchError::WeirdReply(what.to_owned());
        let input = &input[..input.len().min(MAX_HEAD)];
        // Told apart early, so that a server that speaks another protocol is not waited for.
        let start = &input[..input.len().min(5)];
        if !b"HTTP/".starts_with(start) {
            return Err(weird("it does not begin with HTTP/1"));
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let len = match config.parse_response(&mut response, input) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if input.len() >= MAX_HEAD => {
                return Err(FetchError::WeirdReply(format!("its head is longer than {MAX_HEAD} bytes")));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(e) => return Err(FetchError::WeirdReply(format!("malformed HTTP head: {e}"))),
        };
        let (Some(status), Some(version)) = (response.code, response.version) else {
            return Err(weird("it has no status"));
        };
        let head = Head {
            status,
            reason: response.reason.unwrap_or_default().to_owned(),
            http11: version == 1,
            fields: response.headers.iter().map(|f| (f.name.to_owned(), f.value.to_vec())).collect(),
            raw: input[..len].to_vec(),
        };
        Ok(Some((head, len)))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }

    /// The first field of that name, if it is readable.
    pub(super) fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).find_map(|v| std::str::from_utf8(v).ok()).map(str::trim)
    }

    /// The elements of all list-valued fields of that name, in lower case.
    fn list(&self, name: &str) -> Vec<String> {
        let text = |v: &[u8]| String::from_utf8_lossy(v).to_ascii_lowercase();
        let values: Vec<String> = self.all(name).map(text).collect();
        let items = values.iter().flat_map(|v| v.split(','));
        items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    /// How the body of this answer to a HEAD or a GET is delimited.
    pub(super) fn framing(&self, to_head: bool) -> Result<Framing, FetchError> {
        if to_head || self.status == 204 || self.status == 304 {
            return Ok(Framing::Empty);
        }
        let codings = self.list("transfer-encoding");
        if !codings.is_empty() {
            return match codings.as_slice() {
                [only] if only == "chunked" => Ok(Framing::Chunked),
                [only] if only == "identity" => Ok(Framing::UntilClose),
                _ => Err(FetchError::WeirdReply(format!(
                    "the transfer coding \"{}\" was not offered",
                    codings.join(", ")
                ))),
            };
        }
        Ok(self.content_length()?.map_or(Framing::UntilClose, Framing::Length))
    }

    /// Content-Length: the same number several times is one number, different ones are a lie
    /// (RFC 9112 section 6.3 item 5).
    pub(super) fn content_length(&self) -> Result<Option<u64>, FetchError> {
        let mut length = None;
        for item in self.list("content-length") {
            let digits = item.bytes().all(|b| b.is_ascii_digit());
            let value = item.parse::<u64>().ok().filter(|_| digits);
            match (value, length) {
                (Some(value), None) => length = Some(value),
                (Some(value), Some(before)) if value == before => {}
                _ => {
                    return Err(FetchError::WeirdReply("Content-Length is not one number".to_owned()));
                }
            }
        }
        Ok(length)
    }

    /// Whether the connection may carry another request (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self) -> bool {
        let options = self.list("connection");
        let has = |option: &str| options.iter().any(|o| o == option);
        // Both framings at once smell of a smuggled response: RFC 9112 section 6.3 item 3.
        let both =
            self.all("transfer-encoding").next().is_some() && self.all("content-length").next().is_some();
        !has("close") && !both && (self.http11 || has("keep-alive"))
    }

    /// Where a redirect leads, if this is one.
    pub(super) fn redirect(&self) -> Option<&str> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then(|| self.field("location")).flatten()
    }

    pub(super) fn content_range(&self) -> Option<ContentRange> {
        let (bytes, total) =
            self.field("content-range")?.strip_prefix("bytes")?.trim_start().split_once('/')?;
        let bytes = match bytes {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
            }
        };
        let total = if total == "*" { None } else { Some(total.trim().parse().ok()?) };
        Some(ContentRange { bytes, total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Head {
        let bytes = text.replace('\n', "\r\n");
        Head::parse(bytes.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn an_incomplete_head_asks_for_more() {
        assert!(Head::parse(b"").unwrap().is_none());
        assert!(Head::parse(b"HT").unwrap().is_none());
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
    }

    #[test]
    fn another_protocol_is_noticed_at_once() {
        assert_eq!(Head::parse(b"220 ftp ready").unwrap_err().exit_code(), 8);
        assert_eq!(Head::parse(b"<html>").unwrap_err().exit_code(), 8);
        assert_eq!(Head::parse(b"HTTP/2 200\r\n\r\n").unwrap_err().exit_code(), 8);
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let long = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; MAX_HEAD]].concat();
        assert_eq!(Head::parse(&long).unwrap_err().exit_code(), 8);
    }

    #[test]
    fn chunked_takes_precedence_over_a_length_and_ends_keep_alive() {
        let head = head("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: Chunked\n\n");
        assert_eq!(head.framing(false).unwrap(), Framing::Chunked);
        assert!(!head.keeps_alive());
    }

    #[test]
    fn repeated_lengths_must_agree() {
        let same = head("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5, 5\n\n");
        assert_eq!(same.framing(false).unwrap(), Framing::Length(5));
        for bad in ["5, 6", "-5", "+5", "5x", "99999999999999999999999"] {
            let head = head(&format!("HTTP/1.1 200 OK\nContent-Length: {bad}\n\n"));
            assert_eq!(head.framing(false).unwrap_err().exit_code(), 8, "{bad}");
        }
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        let length = "Content-Length: 5\n\n";
        assert_eq!(head(&format!("HTTP/1.1 204 No\n{length}")).framing(false).unwrap(), Framing::Empty);
        assert_eq!(head(&format!("HTTP/1.1 304 No\n{length}")).framing(false).unwrap(), Framing::Empty);
        assert_eq!(head(&format!("HTTP/1.1 200 OK\n{length}")).framing(true).unwrap(), Framing::Empty);
    }

    #[test]
    fn keep_alive_is_the_default_of_1_1_alone() {
        assert!(head("HTTP/1.1 200 OK\n\n").keeps_alive());
        assert!(!head("HTTP/1.0 200 OK\n\n").keeps_alive());
        assert!(head("HTTP/1.0 200 OK\nConnection: Keep-Alive\n\n").keeps_alive());
        assert!(!head("HTTP/1.1 200 OK\nConnection: foo, close\n\n").keeps_alive());
    }

    #[test]
    fn reads_content_ranges() {
        let range =
            |value: &str| head(&format!("HTTP/1.1 206 P\nContent-Range: {value}\n\n")).content_range();
        let expected = ContentRange { bytes: Some((5, 9)), total: Some(10) };
        assert_eq!(range("bytes 5-9/10"), Some(expected));
        assert_eq!(range("bytes */10"), Some(ContentRange { bytes: None, total: Some(10) }));
        assert_eq!(range("bytes 5-9/*"), Some(ContentRange { bytes: Some((5, 9)), total: None }));
        assert_eq!(range("lines 5-9/10"), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::parse(&[b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat());
        }
    }
}
