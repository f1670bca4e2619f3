//! One HTTP/1.1 connection: requests in as they arrive, answers out in their order.
//!
//! Answers are given in turn. A request waits while much is still to be sent (so a client that pipelines and does not read
//! is held back by its window), and while the end of a mapped file is held back: the last bytes are given when all
//! before them have been read for sending and the file is known not to have become shorter.

mod answer;
mod chunked;
mod conditional;
mod listing;
mod range;
mod request;
mod status;
mod target;

use std::sync::Arc;

use bypath::{Instant, SendSource, ServiceConnection};

use self::chunked::Chunked;
use self::request::{BodyKind, Parsed, parse};
use self::status::Status;
use super::context::{Context, say};
use super::files::Content;
use super::held::Held;
use super::totals::Trouble;

/// With so many bytes to send and not acknowledged, the next request waits.
const MOST_OUTSTANDING: u64 = 1 << 20;
/// Room for the head of an answer.
const HEAD_ROOM: usize = 2048;
/// Of a mapped file, given last.
const TAIL: u64 = 4096;

/// What the next bytes of the client are.
#[derive(Debug)]
enum Step {
    Head,
    Body(u64),
    Chunked(Chunked),
    /// Not wanted: the connection ends.
    Over,
}

/// The end of an answer from a mapped file.
#[derive(Debug)]
struct Tail {
    content: Arc<Content>,
    from: u64,
    len: u64,
    /// After the file's bytes.
    text: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Http {
    site: usize,
    held: Held,
    /// Bytes of `held` that are known not to end a head.
    scanned: usize,
    step: Step,
    tail: Option<Tail>,
    /// A mapped file that may still be read for sending.
    watched: Option<Arc<Content>>,
    /// No request is taken after this one.
    last: bool,
    peer_closed: bool,
    /// When the head that is arriving began.
    since: Option<Instant>,
}

impl Http {
    pub(super) fn new(site: usize) -> Self {
        Self {
            site,
            held: Held::default(),
            scanned: 0,
            step: Step::Head,
            tail: None,
            watched: None,
            last: false,
            peer_closed: false,
            since: None,
        }
    }

    pub(super) fn on_data(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
    ) {
        if self.held.is_empty() {
            let taken = self.take(context, connection, data);
            if let Some(rest @ [_, ..]) = data.get(taken..) {
                self.held.push(rest);
                connection.set_unread(self.held.len());
            }
        } else {
            self.held.push(data);
            self.take_held(context, connection);
        }
        self.after(connection);
    }

    /// More was acknowledged: there may be room for the rest of an answer, or for the next.
    pub(super) fn resume(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>) {
        if let Some(content) = &self.watched {
            if !content.is_intact() {
                context.trouble(Trouble::FileTruncated);
                self.step = Step::Over;
                self.watched = None;
                return connection.abort();
            }
            if self.tail.is_none() && connection.outstanding() == 0 {
                self.watched = None;
            }
        }
        if self.tail.is_some() {
            self.give_tail(context, connection);
        }
        if !self.held.is_empty() {
            self.take_held(context, connection);
        }
        self.after(connection);
    }

    pub(super) fn on_peer_closed(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>) {
        self.peer_closed = true;
        self.resume(context, connection);
    }

    /// Since when a head has been arriving, if one is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.since
    }

    /// The head that is arriving has taken too long.
    pub(super) fn time_out(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>) {
        context.trouble(Trouble::RequestTimeout);
        if self.tail.is_none() {
            self.refuse(context, connection, Status::RequestTimeout);
        }
        self.after(connection);
    }

    fn take_held(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>) {
        let mut held = std::mem::take(&mut self.held);
        let taken = self.take(context, connection, held.bytes());
        held.consume(taken);
        self.held = held;
        connection.set_unread(self.held.len());
    }

    /// Closes when there is nothing more to answer.
    fn after(&mut self, connection: &mut ServiceConnection<'_>) {
        let done = match self.step {
            Step::Over => true,
            // What is held then is the beginning of a head that never ends.
            _ => self.peer_closed && self.may_answer(connection),
        };
        if done && self.tail.is_none() {
            connection.close();
        }
    }

    fn may_answer(&self, connection: &mut ServiceConnection<'_>) -> bool {
        self.tail.is_none() && connection.outstanding() < MOST_OUTSTANDING && connection.room() >= HEAD_ROOM
    }

    /// Takes what can be dealt with now, and says how many bytes that was.
    fn take(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest @ [_, ..]) = input.get(at..) {
            match &mut self.step {
                Step::Over => return input.len(),
                Step::Body(left) => {
                    let n = (rest.len() as u64).min(*left);
                    *left -= n;
                    at += n as usize;
                    if *left == 0 {
                        self.next();
                    }
                }
                Step::Chunked(chunks) => match chunks.skip(rest) {
                    Ok((n, done)) => {
                        at += n;
                        if done {
                            self.next();
                        }
                    }
                    Err(()) => {
                        // It was answered when its head came.
                        context.trouble(Trouble::BadRequest);
                        self.step = Step::Over;
                    }
                },
                Step::Head => {
                    if !self.may_answer(connection) {
                        return at;
                    }
                    match self.take_head(context, connection, rest) {
                        Some(n) => at += n,
                        None => return at,
                    }
                }
            }
        }
        at
    }

    /// A request is over.
    fn next(&mut self) {
        self.step = if self.last { Step::Over } else { Step::Head };
    }

    /// Answers the request that `input` begins with, and says how long its head is; `None`: it is not whole.
    fn take_head(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        input: &[u8],
    ) -> Option<usize> {
        let first_look = self.scanned == 0;
        if !first_look && !ends_head(input, self.scanned) && input.len() <= context.config.max_head {
            self.scanned = input.len();
            return None;
        }
        let now = connection.now();
        match parse(input) {
            Parsed::Partial if input.len() > context.config.max_head => {
                let line = input.iter().take(context.config.max_head).any(|b| *b == b'\n');
                let status = if line { Status::HeadersTooLarge } else { Status::UriTooLong };
                self.refuse(context, connection, status);
                Some(input.len())
            }
            Parsed::Partial => {
                self.scanned = input.len();
                self.since.get_or_insert(now);
                None
            }
            Parsed::Bad(status) => {
                self.refuse(context, connection, status);
                Some(input.len())
            }
            Parsed::Whole(_, len) if len > context.config.max_head => {
                self.refuse(context, connection, Status::HeadersTooLarge);
                Some(input.len())
            }
            Parsed::Whole(request, len) => {
                self.scanned = 0;
                self.since = None;
                self.last = !request.keep_alive;
                context.totals.requests.add(1);
                self.step = match request.body {
                    BodyKind::None => Step::Head,
                    // The client waits for an answer first, and then need not send the body: after that nobody can tell
                    // what its next bytes are.
                    _ if request.expects_continue => {
                        self.last = true;
                        Step::Over
                    }
                    BodyKind::Length(n) => Step::Body(n),
                    BodyKind::Chunked => Step::Chunked(Chunked::new(context.config.max_body)),
                };
                if matches!(request.body, BodyKind::Length(n) if n > context.config.max_body) {
                    self.refuse(context, connection, Status::ContentTooLarge);
                } else {
                    self.answer(context, connection, &request);
                    if matches!(self.step, Step::Head) {
                        self.next();
                    }
                }
                Some(len)
            }
        }
    }

    /// Gives a part of a file to be sent, and `text` after it.
    fn give(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        content: &Arc<Content>,
        (from, end): (u64, u64),
        text: Vec<u8>,
    ) {
        let len = end - from;
        if !content.is_mapped() {
            connection.send_part(content.clone(), from, len);
            return say(connection, &text);
        }
        let tail = len.min(TAIL);
        connection.send_part(content.clone(), from, len - tail);
        self.watched = Some(content.clone());
        self.tail = Some(Tail { content: content.clone(), from: end - tail, len: tail, text });
    }

    /// Gives the end of a mapped file once all before it has been read, if it is still whole.
    fn give_tail(&mut self, context: &mut Context, connection: &mut ServiceConnection<'_>) {
        if connection.unsent() > 0 {
            return;
        }
        let Some(tail) = self.tail.take() else { return };
        let bytes = tail.content.bytes_at(tail.from);
        context.out.clear();
        context.out.extend_from_slice(bytes.get(..tail.len as usize).unwrap_or(bytes));
        context.out.extend_from_slice(&tail.text);
        if !tail.content.is_intact() {
            context.trouble(Trouble::FileTruncated);
            self.step = Step::Over;
            return connection.abort();
        }
        say(connection, &context.out);
    }
}

/// Whether a head may end in what has come since the first `scanned` bytes were looked at.
fn ends_head(input: &[u8], scanned: usize) -> bool {
    let fresh = input.get(scanned.saturating_sub(3)..).unwrap_or_default();
    fresh.windows(2).any(|pair| pair == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n")
}
