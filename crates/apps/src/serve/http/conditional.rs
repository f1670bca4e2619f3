//! Conditional requests (RFC 9110 section 13): whether a client that knows a file already gets it again.

use std::time::SystemTime;

use super::request::Request;

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    NotModified,
    PreconditionFailed,
}

/// Of a file with this tag and time.
pub(super) fn judge(request: &Request<'_>, etag: &str, modified: SystemTime) -> Verdict {
    // The order of RFC 9110 section 13.2.2.
    if let Some(tags) = request.if_match {
        if !names(tags, etag, false) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(date) = request.if_unmodified_since.and_then(date)
        && modified > date
    {
        return Verdict::PreconditionFailed;
    }
    if let Some(tags) = request.if_none_match {
        if names(tags, etag, true) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = request.if_modified_since.and_then(date)
        && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether the parts of a file that the client has belong to this one, so that a range continues it.
pub(super) fn same_as(if_range: &[u8], etag: &str, modified: SystemTime) -> bool {
    match if_range {
        [b'"', ..] | [b'W', b'/', ..] => if_range == etag.as_bytes(),
        other => date(other) == Some(modified),
    }
}

/// Whether a list of entity tags names this one. A weak tag is as good only where `weak` says so.
fn names(list: &[u8], etag: &str, weak: bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        while let [b' ' | b'\t' | b',', later @ ..] = rest {
            rest = later;
        }
        let is_weak = rest.starts_with(b"W/");
        let tag = if is_weak { &rest[2..] } else { rest };
        let [b'"', inside @ ..] = tag else { return false };
        let Some(end) = inside.iter().position(|b| *b == b'"') else { return false };
        let (whole, later) = tag.split_at(end + 2);
        if whole == etag.as_bytes() && (weak || !is_weak) {
            return true;
        }
        rest = later;
    }
}

fn date(value: &[u8]) -> Option<SystemTime> {
    std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::request::{Parsed, parse};
    use super::*;

    const TAG: &str = "\"1-2\"";

    fn verdict(lines: &str) -> Verdict {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        let Parsed::Whole(request, _) = parse(head.as_bytes()) else { panic!("{head:?}") };
        // Sun, 06 Nov 1994 08:49:37 GMT
        judge(&request, TAG, UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn tags_and_dates_decide_in_the_order_of_the_rfc() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        for (lines, expected) in [
            ("If-None-Match: \"1-2\"", NotModified),
            ("If-None-Match: \"x\", W/\"1-2\"", NotModified),
            ("If-None-Match: *", NotModified),
            ("If-None-Match: \"x,\"1-2\"", Proceed),
            ("If-None-Match: 1-2", Proceed),
            ("If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT", Proceed),
            ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", NotModified),
            ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", Proceed),
            ("If-Modified-Since: yesterday", Proceed),
            ("If-Match: \"1-2\"", Proceed),
            ("If-Match: W/\"1-2\"", PreconditionFailed),
            ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT", PreconditionFailed),
            ("If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT", Proceed),
        ] {
            assert_eq!(verdict(lines), expected, "{lines}");
        }
    }

    #[test]
    fn a_range_continues_only_the_same_file() {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert!(same_as(b"\"1-2\"", TAG, modified));
        assert!(same_as(b"Sun, 06 Nov 1994 08:49:37 GMT", TAG, modified));
        for other in [&b"W/\"1-2\""[..], b"\"1-3\"", b"Sun, 06 Nov 1994 08:49:38 GMT", b""] {
            assert!(!same_as(other, TAG, modified));
        }
    }
}
