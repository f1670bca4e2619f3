//! Answers: what a request gets, and the head that tells of it.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use bypath::{SendSource, ServiceConnection};

use super::conditional::{Verdict, judge, same_as};
use super::range::{Part, Ranges, parse as parse_range};
use super::request::{Method, Request};
use super::status::Status;
use super::target::{Where, escape, read};
use super::{Http, Step, listing};
use crate::serve::config::Role;
use crate::serve::context::{Context, say};
use crate::serve::files::{Content, Entry, Facts, Found, Refusal};
use crate::serve::totals::Trouble;

/// Who answers.
const SERVER: &str = concat!("Server: bypath/", env!("CARGO_PKG_VERSION"), "\r\n");

impl Http {
    /// Answers a request that is understood.
    pub(super) fn answer(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
    ) {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return self.options(context, connection, request),
            Method::Other => return self.error(context, connection, Some(request), Status::MethodNotAllowed),
            Method::Unknown => return self.error(context, connection, Some(request), Status::NotImplemented),
        }
        let mut path = std::mem::take(&mut context.path);
        match read(request.target, &mut context.decoded, &mut path) {
            Some(place) => self.file(context, connection, request, &path, place),
            None => self.error(context, connection, Some(request), Status::BadRequest),
        }
        context.path = path;
    }

    /// Answers what is no request, and ends the connection.
    pub(super) fn refuse(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        status: Status,
    ) {
        self.last = true;
        self.step = Step::Over;
        self.since = None;
        self.error(context, connection, None, status);
    }

    fn options(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
    ) {
        self.begin(context, connection, Some(request), Status::NoContent);
        context.out.extend_from_slice(b"Allow: GET, HEAD, OPTIONS\r\n\r\n");
        say(connection, &context.out);
        self.log(context, connection, Some(request), Status::NoContent, 0);
    }

    /// The beginning of an answer's head, up to what depends on its body.
    fn begin(
        &self,
        context: &mut Context,
        connection: &ServiceConnection<'_>,
        request: Option<&Request<'_>>,
        status: Status,
    ) {
        let Context { out, clock, .. } = context;
        out.clear();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.line().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(SERVER.as_bytes());
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(clock.http_date(connection.now()).as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.last {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if request.is_some_and(|request| request.minor == 0) {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }

    /// A status with a few words as its body.
    fn error(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: Option<&Request<'_>>,
        status: Status,
    ) {
        context.trouble(match status.code().as_bytes() {
            b"501" | b"505" | b"400" | b"431" | b"414" => Trouble::BadRequest,
            [b'5', ..] => Trouble::ServerError,
            _ => Trouble::NotServed,
        });
        self.begin(context, connection, request, status);
        if status == Status::MethodNotAllowed {
            context.out.extend_from_slice(b"Allow: GET, HEAD, OPTIONS\r\n");
        }
        let body = [b"<!DOCTYPE html><title>", status.line().as_bytes(), b"</title><h1>"].concat();
        let body = [&body, status.line().as_bytes(), b"</h1>\n"].concat();
        self.whole(context, connection, request, status, &body);
    }

    /// The rest of a head, and a body that is made for this answer.
    fn whole(
        &self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: Option<&Request<'_>>,
        status: Status,
        body: &[u8],
    ) {
        let head =
            "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: ";
        context.out.extend_from_slice(head.as_bytes());
        put(&mut context.out, body.len() as u64);
        context.out.extend_from_slice(b"\r\n\r\n");
        if request.is_none_or(|request| request.method != Method::Head) {
            context.out.extend_from_slice(body);
        }
        say(connection, &context.out);
        self.log(context, connection, request, status, body.len() as u64);
    }

    fn file(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        path: &[u8],
        place: Where,
    ) {
        let config = context.config.clone();
        let Some(Role::Http(root)) = config.sites.get(self.site).map(|site| &site.role) else { return };
        let now = connection.now();
        match context.files.find(now, (self.site, root), path, describe) {
            // What ends in a slash names a directory, and this is none.
            Ok(Found::File(_)) if place.slash => {
                self.error(context, connection, Some(request), Status::NotFound);
            }
            Ok(Found::File(entry)) => self.entry(context, connection, request, &entry),
            Ok(Found::Directory(_)) if !place.slash => {
                self.redirect(context, connection, request, path, place);
            }
            Ok(Found::Directory(dir)) => {
                let index = [path, if path.is_empty() { b"" } else { b"/" }, b"index.html"].concat();
                match context.files.find(now, (self.site, root), &index, describe) {
                    Ok(Found::File(entry)) => self.entry(context, connection, request, &entry),
                    Ok(Found::Directory(_)) | Err(Refusal::NotFound) if config.listing => {
                        match root.list(path, &dir) {
                            Ok(entries) => {
                                let page = listing::page(path, &entries);
                                self.begin(context, connection, Some(request), Status::Ok);
                                self.whole(context, connection, Some(request), Status::Ok, &page);
                            }
                            Err(refusal) => self.refused(context, connection, request, refusal),
                        }
                    }
                    _ => self.error(context, connection, Some(request), Status::Forbidden),
                }
            }
            Err(refusal) => self.refused(context, connection, request, refusal),
        }
    }

    fn refused(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        refusal: Refusal,
    ) {
        let status = match refusal {
            Refusal::NotFound => Status::NotFound,
            Refusal::Forbidden | Refusal::Conflict => Status::Forbidden,
            Refusal::Full | Refusal::Failed => Status::InternalError,
        };
        self.error(context, connection, Some(request), status);
    }

    /// To the same path with a slash, so that the links of the page lead into the directory.
    fn redirect(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        path: &[u8],
        place: Where,
    ) {
        self.begin(context, connection, Some(request), Status::MovedPermanently);
        // The path has no empty parts: it cannot be taken for a host.
        context.out.extend_from_slice(b"Location: /");
        escape(path, &mut context.out);
        context.out.push(b'/');
        let query = request.target.get(place.query_at..).unwrap_or_default();
        context.out.extend(query.bytes().filter(|b| b.is_ascii_graphic()));
        context.out.extend_from_slice(b"\r\n");
        self.whole(context, connection, Some(request), Status::MovedPermanently, b"<h1>Moved</h1>\n");
    }

    fn entry(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        entry: &Entry,
    ) {
        let modified = entry.facts.time();
        match judge(request, &entry.etag, modified) {
            Verdict::Proceed => {}
            Verdict::PreconditionFailed => {
                return self.error(context, connection, Some(request), Status::PreconditionFailed);
            }
            Verdict::NotModified => {
                self.begin(context, connection, Some(request), Status::NotModified);
                let validators =
                    ["ETag: ", &entry.etag, "\r\nLast-Modified: ", &entry.last_modified, "\r\n\r\n"];
                validators.iter().for_each(|text| context.out.extend_from_slice(text.as_bytes()));
                say(connection, &context.out);
                return self.log(context, connection, Some(request), Status::NotModified, 0);
            }
        }
        let len = entry.content.len();
        let ranges = match (request.method, request.range) {
            (Method::Get, Some(range))
                if request.if_range.is_none_or(|known| same_as(known, &entry.etag, modified)) =>
            {
                parse_range(range, len)
            }
            _ => Ranges::Whole,
        };
        match ranges {
            Ranges::Whole => {
                self.begin(context, connection, Some(request), Status::Ok);
                context.out.extend_from_slice(&entry.head);
                say(connection, &context.out);
                self.log(context, connection, Some(request), Status::Ok, len);
                if request.method == Method::Get && len > 0 {
                    self.give(connection, &entry.content, (0, len), Vec::new());
                }
            }
            Ranges::Unsatisfiable => {
                let status = Status::RangeNotSatisfiable;
                context.trouble(Trouble::NotServed);
                self.begin(context, connection, Some(request), status);
                // Writing into memory does not fail.
                let _ = write!(context.out, "Content-Range: bytes */{len}\r\n");
                self.whole(context, connection, Some(request), status, b"<h1>Range Not Satisfiable</h1>\n");
            }
            Ranges::Parts(parts) => match parts.as_slice() {
                [part] => self.part(context, connection, request, entry, *part),
                parts => self.parts(context, connection, request, entry, parts),
            },
        }
    }

    /// One range.
    fn part(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        entry: &Entry,
        (from, end): Part,
    ) {
        self.begin(context, connection, Some(request), Status::PartialContent);
        let _ = write!(
            context.out,
            "Content-Type: {}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\
             Last-Modified: {}\r\nETag: {}\r\n\r\n",
            entry.mime,
            end - from,
            end - 1,
            entry.content.len(),
            entry.last_modified,
            entry.etag
        );
        say(connection, &context.out);
        self.log(context, connection, Some(request), Status::PartialContent, end - from);
        self.give(connection, &entry.content, (from, end), Vec::new());
    }

    /// Several ranges, each with a head of its own (RFC 9110 section 14.6).
    fn parts(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        request: &Request<'_>,
        entry: &Entry,
        parts: &[Part],
    ) {
        let len = entry.content.len();
        let boundary = format!("bypath-{:016x}", connection.now().as_nanos() ^ len.rotate_left(32));
        let head = |(from, end): &Part| {
            format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: bytes {from}-{}/{len}\r\n\r\n",
                entry.mime,
                end - 1
            )
        };
        let heads: Vec<String> = parts.iter().map(head).collect();
        let last = format!("\r\n--{boundary}--\r\n");
        let bytes: u64 = parts.iter().map(|(from, end)| end - from).sum();
        let total = bytes + heads.iter().map(String::len).sum::<usize>() as u64 + last.len() as u64;
        self.begin(context, connection, Some(request), Status::PartialContent);
        let _ = write!(
            context.out,
            "Content-Type: multipart/byteranges; boundary={boundary}\r\nContent-Length: {total}\r\n\
             Last-Modified: {}\r\nETag: {}\r\n\r\n",
            entry.last_modified, entry.etag
        );
        say(connection, &context.out);
        self.log(context, connection, Some(request), Status::PartialContent, total);
        let mut left = parts.len();
        for (head, part) in heads.iter().zip(parts) {
            say(connection, head.as_bytes());
            left -= 1;
            if left > 0 {
                connection.send_part(entry.content.clone(), part.0, part.1 - part.0);
            } else {
                self.give(connection, &entry.content, *part, last.clone().into_bytes());
            }
        }
    }

    /// A line of the access log, in the common format.
    fn log(
        &self,
        context: &mut Context,
        connection: &ServiceConnection<'_>,
        request: Option<&Request<'_>>,
        status: Status,
        bytes: u64,
    ) {
        if !context.logs() {
            return;
        }
        let time = crate::serve::civil::Civil::of(context.clock.unix(connection.now())).log();
        context.log(|| {
            let peer = connection.peer_addr().ip();
            let code = status.code();
            match request {
                Some(request) => {
                    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
                    let target: Cow<'_, str> = match request.target.bytes().all(plain) {
                        true => request.target.into(),
                        false => request.target.escape_default().to_string().into(),
                    };
                    let (method, minor) = (request.method_name, request.minor);
                    format!("{peer} - - [{time}] \"{method} {target} HTTP/1.{minor}\" {code} {bytes}\n")
                }
                None => format!("{peer} - - [{time}] \"-\" {code} {bytes}\n"),
            }
        });
    }
}

/// What there is to say of a file that has just been opened.
fn describe(facts: &Facts, path: &[u8], content: Content) -> Entry {
    let len = content.len();
    let name = std::path::PathBuf::from(String::from_utf8_lossy(path).into_owned());
    let mime = mime_guess::from_path(name).first_or_octet_stream().to_string();
    let etag = format!("\"{:x}.{:x}-{len:x}\"", facts.modified, facts.modified_nanos);
    let last_modified = httpdate::fmt_http_date(facts.time());
    let head = format!(
        "Content-Type: {mime}\r\nContent-Length: {len}\r\nLast-Modified: {last_modified}\r\nETag: {etag}\r\n\
         Accept-Ranges: bytes\r\n\r\n"
    );
    Entry { content: Arc::new(content), facts: *facts, etag, last_modified, mime, head: head.into_bytes() }
}

fn put(out: &mut Vec<u8>, n: u64) {
    // Writing into memory does not fail.
    let _ = write!(out, "{n}");
}
