//! The head of an answer, read by httparse: status, framing of the body (RFC 9112 section 6.3), whether the connection
//! is kept. Nothing is allocated for a head that comes in one piece.

/// More than any server in use sends.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 64;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// The connection carries further answers.
    pub(super) keeps_alive: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A head that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a head and tells its length; `None`: it is not complete yet. `bodiless`: it answers a HEAD.
pub(super) fn parse(input: &[u8], bodiless: bool) -> Result<Option<(Head, usize)>, Malformed> {
    // A server that speaks another protocol is not waited for.
    if !b"HTTP/".starts_with(&input[..input.len().min(5)]) {
        return Err(Malformed);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let len = match response.parse(input) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
        _ => return Err(Malformed),
    };
    let (Some(status), Some(version)) = (response.code, response.version) else { return Err(Malformed) };
    let mut length = None;
    let mut chunked = false;
    let (mut close, mut keep) = (false, false);
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = number(field.value).ok_or(Malformed)?;
            if length.is_some_and(|before| before != value) {
                return Err(Malformed);
            }
            length = Some(value);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked {
                return Err(Malformed);
            }
        } else if field.name.eq_ignore_ascii_case("connection") {
            for option in field.value.split(|b| *b == b',') {
                close |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                keep |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    let framing = match (chunked, length) {
        _ if bodiless || status < 200 || status == 204 || status == 304 => Framing::Length(0),
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    let keeps_alive = framing != Framing::UntilClose && !close && (version == 1 || keep);
    Ok(Some((Head { status, framing, keeps_alive }, len)))
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits.trim_ascii()).ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Malformed> {
        parse(text.as_bytes(), false).map(|head| head.map(|(head, _)| head))
    }

    #[test]
    fn framing_and_persistence_follow_the_fields() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: Close\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
                Framing::Length(5),
                true,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0), true),
        ];
        for (text, framing, keeps_alive) in cases {
            let head = head(text).unwrap().unwrap();
            assert_eq!((head.framing, head.keeps_alive), (framing, keeps_alive), "{text}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused_at_once_and_half_a_head_waited_for() {
        assert_eq!(head("220 ftp server"), Err(Malformed));
        assert_eq!(head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), Err(Malformed));
        assert_eq!(head("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"), Err(Malformed));
        assert_eq!(head("HTT"), Ok(None));
        assert_eq!(head("HTTP/1.1 200 OK\r\nContent-"), Ok(None));
    }
}
