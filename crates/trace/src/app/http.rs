//! HTTP/1.x (RFC 9112), and the 0.9 of people who type it: heads line by line, bodies by their length.

use std::fmt;

use crate::printable::Printable;

use super::lines::Lines;
use super::{Said, Side};

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http<'a> {
    /// The first line of a request. Without a version it is 0.9, and there is no head.
    Request {
        /// GET and its like.
        method: &'a [u8],
        /// What is asked for.
        target: &'a [u8],
        /// `HTTP/1.1`, or empty.
        version: &'a [u8],
    },
    /// The first line of a response.
    Response {
        /// `HTTP/1.1`.
        version: &'a [u8],
        /// 200 and its like.
        status: u16,
        /// The text behind it.
        reason: &'a [u8],
    },
    /// A field of a head, or of what follows a chunked body.
    Field {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The empty line behind a head.
    HeadEnd {
        /// What follows.
        body: Body,
    },
    /// Bytes of a body.
    Data {
        /// How many of them are in what was given last, framing of chunks left out.
        len: usize,
        /// How many there were up to now.
        so_far: u64,
        /// How many there will be, where that is known.
        total: Option<u64>,
    },
    /// The body is complete.
    BodyEnd {
        /// How long it was, bytes.
        total: u64,
    },
    /// A line that is none of these.
    Other(&'a [u8]),
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, each with its length before it.
    Chunked,
    /// Everything until the connection ends.
    UntilClose,
    /// Another protocol: after `CONNECT`, or 101.
    Tunnel,
}

impl fmt::Display for Http<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Request { method, target, version: b"" } => {
                write!(f, "{} {}", Printable(method), Printable(target))
            }
            Self::Request { method, target, version } => {
                write!(f, "{} {} {}", Printable(method), Printable(target), Printable(version))
            }
            Self::Response { version, status, reason: b"" } => {
                write!(f, "{} {status:03}", Printable(version))
            }
            Self::Response { version, status, reason } => {
                write!(f, "{} {status:03} {}", Printable(version), Printable(reason))
            }
            Self::Field { name, value } => write!(f, "{}: {}", Printable(name), Printable(value)),
            Self::HeadEnd { body } => match body {
                Body::None => f.write_str("end of head, no body"),
                Body::Length(len) => write!(f, "end of head, a body of {len} bytes follows"),
                Body::Chunked => f.write_str("end of head, a body in chunks follows"),
                Body::UntilClose => f.write_str("end of head, a body follows"),
                Body::Tunnel => f.write_str("end of head, another protocol follows"),
            },
            Self::Data { len, so_far, total: None } if so_far == len as u64 => {
                write!(f, "{len} bytes of body")
            }
            Self::Data { len, so_far, total: None } => write!(f, "{len} bytes of body, {so_far} so far"),
            Self::Data { len, so_far, total: Some(total) } => {
                write!(f, "{len} bytes of body, {so_far} of {total}")
            }
            Self::BodyEnd { total } => write!(f, "end of body, {total} bytes"),
            Self::Other(line) => Printable(line).fmt(f),
        }
    }
}

/// What a response has to know of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A response without a body, whatever its head says.
    Head,
    /// What follows a successful response is another protocol.
    Connect,
    /// There is no head.
    Simple,
    /// Anything else.
    Other,
}

#[derive(Clone, Copy, Default)]
enum Place {
    /// Before a first line; empty lines are allowed there.
    #[default]
    Start,
    /// Between fields.
    Head,
    /// In a body of a known length, so many bytes before its end.
    Length(u64),
    /// Before the line with a chunk's length.
    ChunkLength,
    /// In a chunk, so many bytes before its end.
    Chunk(u64),
    /// Before the line end after a chunk.
    ChunkEnd,
    /// Among the fields after the last chunk.
    Trailer,
    /// In a body that ends with the connection.
    UntilClose,
    /// In another protocol.
    Tunnel,
    /// Somewhere: bytes are missing, and a first line has to be found.
    Astray,
}

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Half {
    place: Place,
    lines: Lines,
    /// Of the head that is under way.
    length: Option<u64>,
    chunked: bool,
    status: u16,
    asked: Option<Asked>,
    /// Bytes of the body that were there, and how many there will be.
    so_far: u64,
    total: Option<u64>,
}

impl Half {
    /// Takes bytes of `side`. A response takes what its request was from `next_asked`, a request tells it to `tell`.
    pub(super) fn push(
        &mut self,
        side: Side,
        mut bytes: &[u8],
        asked: &mut std::collections::VecDeque<Asked>,
        said: &mut dyn FnMut(Said<'_>),
    ) {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Length(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.data(taken, said);
                    self.place = Place::Length(left - taken as u64);
                    if left == taken as u64 {
                        self.end_body(said);
                    }
                    &bytes[taken..]
                }
                Place::Chunk(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.data(taken, said);
                    self.place = Place::Chunk(left - taken as u64);
                    if left == taken as u64 {
                        self.place = Place::ChunkEnd;
                    }
                    &bytes[taken..]
                }
                Place::UntilClose => {
                    self.data(bytes.len(), said);
                    &[]
                }
                Place::Tunnel => &[],
                Place::Start
                    if side == Side::Server
                        && !self.lines.has_begun()
                        && asked.front() == Some(&Asked::Simple) =>
                {
                    asked.pop_front();
                    self.begin_body(Place::UntilClose, None);
                    bytes
                }
                _ => {
                    let mut lines = std::mem::take(&mut self.lines);
                    let rest = lines.next(bytes, &mut |line| self.line(side, line, asked, said));
                    self.lines = lines;
                    rest.unwrap_or_default()
                }
            };
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, len: u64, said: &mut dyn FnMut(Said<'_>)) {
        match &mut self.place {
            Place::Length(left) | Place::Chunk(left) if *left > len => {
                *left -= len;
                self.so_far += len;
            }
            Place::Length(left) if *left == len => {
                self.so_far += len;
                self.end_body(said);
            }
            Place::UntilClose => self.so_far = self.so_far.saturating_add(len),
            Place::Tunnel => {}
            place => {
                *place = Place::Astray;
                self.lines.gap();
            }
        }
    }

    /// The side has nothing more to say.
    pub(super) fn end(&mut self, said: &mut dyn FnMut(Said<'_>)) {
        if matches!(self.place, Place::UntilClose) {
            self.end_body(said);
        }
    }

    fn line(
        &mut self,
        side: Side,
        line: &[u8],
        asked: &mut std::collections::VecDeque<Asked>,
        said: &mut dyn FnMut(Said<'_>),
    ) {
        match self.place {
            Place::Start if line.is_empty() => {}
            Place::Start | Place::Astray => {
                let first = match side {
                    Side::Client => request(line),
                    Side::Server => response(line),
                };
                match first {
                    Some(first) => {
                        self.begin_head(&first, asked);
                        said(Said::Http(first));
                    }
                    None if matches!(self.place, Place::Astray) => {}
                    None => said(Said::Http(Http::Other(line))),
                }
            }
            Place::Head if line.is_empty() => self.end_head(side, said),
            Place::Trailer if line.is_empty() => self.end_body(said),
            Place::Head | Place::Trailer => match line.iter().position(|&byte| byte == b':') {
                Some(colon) => {
                    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
                    self.field(name, value);
                    said(Said::Http(Http::Field { name, value }));
                }
                None => said(Said::Http(Http::Other(line))),
            },
            Place::ChunkEnd => self.place = Place::ChunkLength,
            Place::ChunkLength => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let length = std::str::from_utf8(&line[..digits]).ok();
                match length.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
                    Some(0) => self.place = Place::Trailer,
                    Some(length) => self.place = Place::Chunk(length),
                    None => self.place = Place::Astray,
                }
            }
            Place::Length(_) | Place::Chunk(_) | Place::UntilClose | Place::Tunnel => {}
        }
    }

    fn begin_head(&mut self, first: &Http<'_>, asked: &mut std::collections::VecDeque<Asked>) {
        /// Requests that have no response yet; more are not remembered.
        const MOST: usize = 64;
        (self.length, self.chunked, self.status) = (None, false, 0);
        self.place = Place::Head;
        match *first {
            Http::Request { method, version, .. } => {
                let kind = match method {
                    _ if version.is_empty() => Asked::Simple,
                    b"HEAD" => Asked::Head,
                    b"CONNECT" => Asked::Connect,
                    _ => Asked::Other,
                };
                if kind == Asked::Simple {
                    self.place = Place::Start;
                }
                if asked.len() < MOST {
                    asked.push_back(kind);
                }
                self.asked = Some(kind);
            }
            Http::Response { status, .. } => {
                self.status = status;
                // Interim responses belong to the same request.
                let is_interim = status / 100 == 1 && status != 101;
                self.asked = if is_interim { None } else { asked.pop_front() };
            }
            _ => {}
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let value = value.to_ascii_lowercase();
            self.chunked = value.ends_with(b"chunked");
        }
    }

    /// What follows, by RFC 9112 §6.3.
    fn end_head(&mut self, side: Side, said: &mut dyn FnMut(Said<'_>)) {
        let body = match side {
            Side::Server if self.status == 101 => Body::Tunnel,
            Side::Server if self.status / 100 == 1 || matches!(self.status, 204 | 304) => Body::None,
            Side::Server if self.asked == Some(Asked::Head) => Body::None,
            Side::Server if self.asked == Some(Asked::Connect) && self.status / 100 == 2 => Body::Tunnel,
            _ if self.chunked => Body::Chunked,
            _ => match (self.length, side) {
                (Some(0), _) | (None, Side::Client) => Body::None,
                (Some(length), _) => Body::Length(length),
                (None, Side::Server) => Body::UntilClose,
            },
        };
        said(Said::Http(Http::HeadEnd { body }));
        match body {
            Body::None => self.place = Place::Start,
            Body::Length(length) => self.begin_body(Place::Length(length), Some(length)),
            Body::Chunked => self.begin_body(Place::ChunkLength, None),
            Body::UntilClose => self.begin_body(Place::UntilClose, None),
            Body::Tunnel => self.place = Place::Tunnel,
        }
        if side == Side::Client && self.asked == Some(Asked::Connect) {
            self.place = Place::Tunnel;
        }
    }

    fn begin_body(&mut self, place: Place, total: Option<u64>) {
        (self.place, self.so_far, self.total) = (place, 0, total);
    }

    fn data(&mut self, len: usize, said: &mut dyn FnMut(Said<'_>)) {
        self.so_far += len as u64;
        said(Said::Http(Http::Data { len, so_far: self.so_far, total: self.total }));
    }

    fn end_body(&mut self, said: &mut dyn FnMut(Said<'_>)) {
        self.place = Place::Start;
        said(Said::Http(Http::BodyEnd { total: self.so_far }));
    }
}

fn request(line: &[u8]) -> Option<Http<'_>> {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let (method, target) = (words.next()?, words.next()?);
    let version = words.next().unwrap_or_default();
    let is_method = method.iter().all(|&byte| byte.is_ascii_alphabetic() || byte == b'-');
    let simple = version.is_empty() && method == b"GET";
    (is_method && (simple || version.starts_with(b"HTTP/")) && words.next().is_none())
        .then_some(Http::Request { method, target, version })
}

fn response(line: &[u8]) -> Option<Http<'_>> {
    let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (version, rest) = line.split_at(space);
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !version.starts_with(b"HTTP/") || digits != 3 {
        return None;
    }
    let status = std::str::from_utf8(&rest[..3]).ok()?.parse().ok()?;
    Some(Http::Response { version, status, reason: rest[3..].trim_ascii_start() })
}
