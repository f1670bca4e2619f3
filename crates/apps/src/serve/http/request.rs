//! Requests of HTTP/1.1 (RFC 9112) as they arrive: bytes to a request, or to the status that refuses it.

use super::Status;

/// Header lines that a request may have.
const MOST_HEADERS: usize = 100;

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Options,
    /// Known, and not for files.
    Other,
    Unknown,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    None,
    Length(u64),
    Chunked,
}

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) method_name: &'a str,
    pub(super) target: &'a str,
    /// 0 or 1, of HTTP/1.
    pub(super) minor: u8,
    pub(super) keep_alive: bool,
    pub(super) body: BodyKind,
    pub(super) expects_continue: bool,
    pub(super) range: Option<&'a [u8]>,
    pub(super) if_range: Option<&'a [u8]>,
    pub(super) if_match: Option<&'a [u8]>,
    pub(super) if_none_match: Option<&'a [u8]>,
    pub(super) if_modified_since: Option<&'a [u8]>,
    pub(super) if_unmodified_since: Option<&'a [u8]>,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// Not a whole head yet.
    Partial,
    /// A head of so many bytes.
    Whole(Request<'a>, usize),
    /// None that can be answered otherwise than by this, after which the connection ends.
    Bad(Status),
}

/// Reads the head that `bytes` begin with.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut raw = httparse::Request::new(&mut headers);
    match raw.parse(bytes) {
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(len)) => match understand(&raw) {
            Ok(request) => Parsed::Whole(request, len),
            Err(status) => Parsed::Bad(status),
        },
        Err(httparse::Error::TooManyHeaders) => Parsed::Bad(Status::HeadersTooLarge),
        Err(httparse::Error::Version) => Parsed::Bad(Status::VersionNotSupported),
        Err(_) => Parsed::Bad(Status::BadRequest),
    }
}

/// What header lines say of the connection and the body together.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    codings: bool,
    chunked: bool,
    hosts: usize,
    close: bool,
    keep_alive: bool,
}

fn understand<'h, 'b>(raw: &httparse::Request<'h, 'b>) -> Result<Request<'b>, Status> {
    let (Some(name), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(Status::BadRequest);
    };
    let mut request = Request {
        method: method(name),
        method_name: name,
        target,
        minor,
        keep_alive: false,
        body: BodyKind::None,
        expects_continue: false,
        range: None,
        if_range: None,
        if_match: None,
        if_none_match: None,
        if_modified_since: None,
        if_unmodified_since: None,
    };
    let mut framing = Framing::default();
    for header in raw.headers.iter() {
        take_header(&mut request, &mut framing, header.name, header.value)?;
    }
    // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
    if framing.hosts > 1 || (minor == 1 && framing.hosts == 0) {
        return Err(Status::BadRequest);
    }
    request.keep_alive = !framing.close && (minor == 1 || framing.keep_alive);
    request.body = match framing {
        // Both are how requests are smuggled (RFC 9112 section 6.1), and so is a coding that ends otherwise than in
        // chunked.
        Framing { codings: true, length: Some(_), .. } => return Err(Status::BadRequest),
        Framing { codings: true, chunked: true, .. } if minor == 1 => BodyKind::Chunked,
        Framing { codings: true, .. } => return Err(Status::NotImplemented),
        Framing { length: Some(0) | None, .. } => BodyKind::None,
        Framing { length: Some(length), .. } => BodyKind::Length(length),
    };
    Ok(request)
}

fn take_header<'b>(
    request: &mut Request<'b>,
    framing: &mut Framing,
    name: &str,
    value: &'b [u8],
) -> Result<(), Status> {
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
    // By length first: most header lines are none of these.
    match name.len() {
        4 if is("host") => framing.hosts += 1,
        5 if is("range") => request.range = Some(value),
        6 if is("expect") => {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Status::ExpectationFailed);
            }
            request.expects_continue = request.minor == 1;
        }
        8 if is("if-range") => request.if_range = Some(value),
        8 if is("if-match") => request.if_match = Some(value),
        10 if is("connection") => {
            for option in value.split(|b| *b == b',') {
                framing.close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                framing.keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
            }
        }
        13 if is("if-none-match") => request.if_none_match = Some(value),
        14 if is("content-length") => {
            let length = digits(value).ok_or(Status::BadRequest)?;
            if framing.length.is_some_and(|other| other != length) {
                return Err(Status::BadRequest);
            }
            framing.length = Some(length);
        }
        17 if is("if-modified-since") => request.if_modified_since = Some(value),
        17 if is("transfer-encoding") => {
            // A second coding after chunked would make its end unknown.
            framing.chunked = !framing.codings && value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            framing.codings = true;
        }
        19 if is("if-unmodified-since") => request.if_unmodified_since = Some(value),
        _ => {}
    }
    Ok(())
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "POST" | "PUT" | "DELETE" | "PATCH" | "TRACE" | "CONNECT" => Method::Other,
        _ => Method::Unknown,
    }
}

/// A number without sign, blanks or more than 19 digits.
pub(super) fn digits(value: &[u8]) -> Option<u64> {
    let good = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    good.then(|| value.iter().fold(0, |n: u64, b| n * 10 + u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Parsed::Whole(request, len) if len == text.len() => request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn bad(text: &str) -> Status {
        match parse(text.as_bytes()) {
            Parsed::Bad(status) => status,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn connections_stay_as_version_and_header_say() {
        for (head, stays) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(whole(head).keep_alive, stays, "{head:?}");
        }
    }

    #[test]
    fn bodies_are_delimited_in_one_way_or_refused() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(whole(&head("")).body, BodyKind::None);
        assert_eq!(whole(&head("Content-Length: 12\r\nContent-Length: 12\r\n")).body, BodyKind::Length(12));
        assert_eq!(whole(&head("Transfer-Encoding: Chunked\r\n")).body, BodyKind::Chunked);
        for lines in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: \r\n",
            "Host: b\r\n",
        ] {
            assert_eq!(bad(&head(lines)), Status::BadRequest, "{lines:?}");
        }
        for lines in ["Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"]
        {
            assert_eq!(bad(&head(lines)), Status::NotImplemented, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_for_its_cause() {
        assert_eq!(bad("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
        assert_eq!(bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Status::VersionNotSupported);
        assert_eq!(bad("GET /\r\n\r\n"), Status::BadRequest);
        assert_eq!(bad("\x16\x03\x01\x02\x00"), Status::BadRequest);
        assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\nExpect: rain\r\n\r\n"), Status::ExpectationFailed);
        let many = "x: y\r\n".repeat(MOST_HEADERS + 1);
        assert_eq!(bad(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Status::HeadersTooLarge);
        assert_eq!(parse(b"GET / HT"), Parsed::Partial);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Parsed::Whole(_, len) = parse(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
