//! The client's side of an HTTP/1.1 exchange: request, answer, redirects, body, and the pool of
//! connections that may be used again.

use crate::conn::{BODY_BUFFER, Conn};
use crate::dial::dial;
use crate::error::FetchError;
use crate::fetch::{BodyInfo, ByteRange, Exchange};
use crate::http::basic;
use crate::http::chunked::{Decoder, Step};
use crate::http::head::{Framing, Head};
use crate::target::Target;

/// Interim answers (1xx) that are taken before a server counts as broken.
const MAX_INTERIM: usize = 16;
/// Bodies of redirects and errors up to this length are read away to keep the connection; beyond
/// that a new connection is cheaper.
const MAX_DISCARD: u64 = 64 * 1024;

/// Connections that wait for another request, one for each server.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Vec<(Target, Conn)>,
}

impl Pool {
    fn take(&mut self, target: &Target) -> Option<Conn> {
        let at = self.idle.iter().position(|(origin, _)| origin.same_origin(target))?;
        Some(self.idle.swap_remove(at).1)
    }
}

/// Fetches the request's URL and follows it to where it leads.
pub(crate) fn get(pool: &mut Pool, x: &mut Exchange<'_>) -> Result<(), FetchError> {
    let mut target = x.request.target.clone();
    loop {
        let (mut conn, head) = answer(pool, x, &target)?;
        x.report.status = Some(head.status);
        x.report.effective_url = target.public_url();
        let next = match (x.request.max_redirects, head.redirect()) {
            (Some(limit), Some(_)) if x.report.redirects >= limit => {
                return Err(FetchError::TooManyRedirects { limit });
            }
            (Some(_), Some(location)) => Some(target.join(location)?),
            _ => None,
        };
        let outcome = match next {
            Some(_) => discard(x, &mut conn, &head),
            None => deliver(x, &mut conn, &head),
        };
        x.report.retransmits += conn.take_retransmits();
        let (reusable, result) = match outcome {
            Ok(reusable) => (reusable, Ok(())),
            // An error status is a failed transfer on a healthy connection.
            Err(e @ FetchError::HttpStatus { .. }) => {
                (discard(x, &mut conn, &head).unwrap_or_default(), Err(e))
            }
            Err(e) => return Err(e),
        };
        if reusable {
            pool.idle.push((target.clone(), conn));
        } else {
            conn.close();
        }
        match next {
            Some(next) => {
                x.report.redirects += 1;
                target = next;
            }
            None => return result,
        }
    }
}

/// Sends the request and reads the head of the answer, on a used connection if there is one.
fn answer(pool: &mut Pool, x: &mut Exchange<'_>, target: &Target) -> Result<(Conn, Head), FetchError> {
    let request = request_text(x, target);
    if let Some(mut conn) = pool.take(target) {
        match exchange(x, &mut conn, &request) {
            Ok(head) => {
                x.report.remote = conn.peer_addr().ok();
                x.report.local = conn.local_addr().ok();
                return Ok((conn, head));
            }
            // The server may have closed it meanwhile; GET and HEAD may be sent again (RFC 9112
            // section 9.3.1).
            Err(FetchError::Empty | FetchError::Recv(_) | FetchError::Send(_)) => {}
            Err(e) => return Err(e),
        }
    }
    let stream = dial(x, target)?;
    let mut conn = Conn::new(stream, BODY_BUFFER)?;
    let head = exchange(x, &mut conn, &request);
    if head.is_err() {
        x.report.retransmits += conn.take_retransmits();
    }
    Ok((conn, head?))
}

fn request_text(x: &Exchange<'_>, target: &Target) -> String {
    let request = x.request;
    let method = if request.head { "HEAD" } else { "GET" };
    let mut text = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: bypath/{}\r\nAccept: */*\r\n",
        target.path_and_query(),
        target.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let range = match (request.resume_from, request.range) {
        (Some(from @ 1..), _) => Some(format!("{from}-")),
        (_, Some(ByteRange::Inclusive(first, last))) => Some(format!("{first}-{last}")),
        (_, Some(ByteRange::From(first))) => Some(format!("{first}-")),
        (_, Some(ByteRange::Last(count))) => Some(format!("-{count}")),
        _ => None,
    };
    if let Some(range) = range {
        text.push_str(&format!("Range: bytes={range}\r\n"));
    }
    // A redirect to another server must not carry the login of this one along.
    let home = target.same_origin(&request.target);
    let given = if home { request.credentials.clone() } else { None };
    let inherited = || if home { request.target.credentials() } else { None };
    if let Some(credentials) = given.or_else(|| target.credentials()).or_else(inherited) {
        text.push_str(&format!("Authorization: {}\r\n", basic::authorization(&credentials)));
    }
    text.push_str("\r\n");
    text
}

/// One request on the wire, and the head of its final answer.
fn exchange(x: &mut Exchange<'_>, conn: &mut Conn, request: &str) -> Result<Head, FetchError> {
    let doing = "waiting for the server's answer";
    conn.send(request.as_bytes(), &x.budget, "sending the request")?;
    let mut interim = 0;
    loop {
        match Head::parse(conn.buffered())? {
            Some((head, len)) => {
                conn.consume(len);
                match head.status {
                    101 => return Err(FetchError::WeirdReply("101 Switching Protocols, unasked".to_owned())),
                    100..200 => {
                        interim += 1;
                        if interim > MAX_INTERIM {
                            return Err(FetchError::WeirdReply("nothing but interim answers".to_owned()));
                        }
                    }
                    200..600 => return Ok(head),
                    other => return Err(FetchError::WeirdReply(format!("there is no status {other}"))),
                }
            }
            None => {
                if conn.fill(&x.budget, doing)? == 0 {
                    return Err(match conn.buffered() {
                        [] if interim == 0 => FetchError::Empty,
                        _ => FetchError::Recv("the connection ended in the middle of the head".to_owned()),
                    });
                }
                x.first_byte();
            }
        }
    }
}

/// Hands the answer's body to the sink; tells whether the connection can be used again.
fn deliver(x: &mut Exchange<'_>, conn: &mut Conn, head: &Head) -> Result<bool, FetchError> {
    let request = x.request;
    let framing = head.framing(request.head)?;
    let resumed = request.resume_from.filter(|from| *from > 0 && !request.head);
    if let (Some(from), 416) = (resumed, head.status) {
        let total = head.content_range().and_then(|range| range.total);
        return match total {
            Some(total) if total == from => discard(x, conn, head),
            Some(total) if total < from => Err(FetchError::BadResume { have: from, size: total }),
            _ => Err(FetchError::Range(format!("the server has nothing behind byte {from}"))),
        };
    }
    // What is here already is part of the file; an error's body is not, and must not follow it.
    let failed = head.status >= 400 && (request.fail_on_status || resumed.is_some());
    if request.head {
        x.begin(BodyInfo { offset: 0, length: Some(head.raw.len() as u64) })?;
        x.deliver(&head.raw)?;
    }
    if failed {
        return Err(FetchError::HttpStatus { status: head.status, reason: head.reason.clone() });
    }
    if request.head {
        return Ok(head.keeps_alive() && conn.buffered().is_empty());
    }
    let offset = if head.status < 300 || resumed.is_some() { body_offset(x, head, resumed)? } else { 0 };
    let length = match framing {
        Framing::Empty => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    };
    x.begin(BodyInfo { offset, length })?;
    copy_body(conn, framing, x, |x, bytes| x.deliver(bytes))?;
    Ok(reusable(conn, head, framing))
}

/// Where the body begins in the file, checked against what was asked for.
fn body_offset(x: &mut Exchange<'_>, head: &Head, resumed: Option<u64>) -> Result<u64, FetchError> {
    let first = head.content_range().and_then(|range| range.bytes).map(|(first, _)| first);
    match (resumed, head.status) {
        (Some(from), 206) if first == Some(from) => Ok(from),
        (Some(from), 206) => Err(FetchError::Range(match first {
            Some(first) => format!("byte {from} was asked for, the server begins at {first}"),
            None => "the server does not say where its part begins".to_owned(),
        })),
        (Some(_), _) => Err(FetchError::Range("the server does not send parts of this file".to_owned())),
        (None, 206) => Ok(first.unwrap_or_default()),
        (None, _) => {
            if x.request.range.is_some() {
                x.note("the server ignored the range and sent the whole file".to_owned());
            }
            Ok(0)
        }
    }
}

/// Reads a body away if that is cheap; tells whether the connection can be used again.
fn discard(x: &mut Exchange<'_>, conn: &mut Conn, head: &Head) -> Result<bool, FetchError> {
    let framing = head.framing(x.request.head)?;
    match framing {
        Framing::Length(length) if length > MAX_DISCARD => return Ok(false),
        Framing::UntilClose => return Ok(false),
        _ => {}
    }
    if !head.keeps_alive() {
        return Ok(false);
    }
    let mut seen = 0;
    let read = copy_body(conn, framing, x, |_, bytes| {
        seen += bytes.len() as u64;
        if seen > MAX_DISCARD { Err(FetchError::Recv("too long to discard".to_owned())) } else { Ok(()) }
    });
    match read {
        Ok(()) => Ok(reusable(conn, head, framing)),
        Err(e @ (FetchError::Timeout { .. } | FetchError::Interrupted)) => Err(e),
        Err(_) => Ok(false),
    }
}

fn reusable(conn: &Conn, head: &Head, framing: Framing) -> bool {
    // Bytes behind the body answer no request of ours.
    head.keeps_alive() && framing != Framing::UntilClose && conn.buffered().is_empty()
}

/// Reads a body to its end and passes every piece to `take`.
fn copy_body(
    conn: &mut Conn,
    framing: Framing,
    x: &mut Exchange<'_>,
    mut take: impl FnMut(&mut Exchange<'_>, &[u8]) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    let expected = match framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    let mut decoder = Decoder::new();
    let mut received = 0;
    loop {
        if framing == Framing::Empty || expected == Some(received) {
            return Ok(());
        }
        if conn.buffered().is_empty() {
            let ended = |cause: String| FetchError::Partial { received, expected, cause };
            match conn.fill(&x.budget, "receiving the body") {
                Ok(0) if framing == Framing::UntilClose => return Ok(()),
                Ok(0) => return Err(ended("the server closed the connection".to_owned())),
                Ok(_) => {}
                Err(FetchError::Recv(cause)) => return Err(ended(cause)),
                Err(e) => return Err(e),
            }
        }
        let input = conn.buffered();
        let (taken, data, done) = match framing {
            Framing::Chunked => match decoder.step(input) {
                Ok(Step::More) => (input.len(), &input[..0], false),
                Ok(Step::Data { taken, data }) => (taken, data, false),
                Ok(Step::Done { taken }) => (taken, &input[..0], true),
                Err(what) => return Err(FetchError::Recv(format!("malformed chunked body: {what}"))),
            },
            _ => {
                let left = expected.map_or(u64::MAX, |expected| expected - received);
                let len = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                (len, &input[..len], false)
            }
        };
        if !data.is_empty() {
            take(x, data)?;
            received += data.len() as u64;
        }
        conn.consume(taken);
        if done {
            return Ok(());
        }
    }
}
