//! A data connection: one listing, one file down or one file up, then it closes.

use std::collections::VecDeque;
use std::sync::Arc;

use bypath::{ConnectionId, SendSource, ServiceConnection};

use super::Action;
use super::upload::Upload;
use crate::serve::context::{Context, say};
use crate::serve::files::{Content, Refusal};
use crate::serve::totals::Trouble;

/// Of a mapped file, given last.
const TAIL: u64 = 4096;

/// What a data connection has to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Send a file from here on.
    File(Arc<Content>, u64),
    /// Send this.
    Text(Vec<u8>),
    /// Receive a file.
    Upload(Box<Upload>),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it arrived: so many bytes.
    Complete(u64),
    /// The connection could not be opened.
    NotOpened,
    /// The connection broke.
    Broken,
    /// The server's side failed.
    Failed(Refusal),
}

#[derive(Debug)]
enum State {
    /// Its session has no job for it yet.
    Idle,
    Ready(Job),
    /// The end of a file is held back: from where.
    Sending(Arc<Content>, u64),
    /// All was given.
    Closing(Option<Arc<Content>>),
    Receiving(Box<Upload>),
    /// The session has been told.
    Over,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Data {
    control: ConnectionId,
    state: State,
    open: bool,
    peer_closed: bool,
    /// Of an upload, what came before its job.
    early: Vec<u8>,
}

impl Data {
    pub(super) fn new(control: ConnectionId, job: Option<Job>) -> Self {
        Self {
            control,
            state: job.map_or(State::Idle, State::Ready),
            open: false,
            peer_closed: false,
            early: Vec::new(),
        }
    }

    pub(crate) fn set_job(&mut self, job: Job) {
        if matches!(self.state, State::Idle) {
            self.state = State::Ready(job);
        }
    }

    fn end(&mut self, end: End, actions: &mut VecDeque<Action>) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            actions.push_back(Action::Ended { control: self.control, end });
        }
    }

    /// It is open: begins if there is a job.
    pub(crate) fn begin(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        actions: &mut VecDeque<Action>,
    ) {
        self.open = true;
        let State::Ready(_) = self.state else { return };
        let State::Ready(job) = std::mem::replace(&mut self.state, State::Idle) else { return };
        match job {
            Job::Text(text) => {
                say(connection, &text);
                connection.close();
                self.state = State::Closing(None);
            }
            Job::File(content, from) => {
                let len = content.len();
                let from = from.min(len);
                if content.is_mapped() {
                    let tail = from.max(len.saturating_sub(TAIL));
                    connection.send_part(content.clone(), from, tail - from);
                    self.state = State::Sending(content, tail);
                } else {
                    connection.send_part(content, from, len - from);
                    connection.close();
                    self.state = State::Closing(None);
                }
            }
            Job::Upload(upload) => {
                self.state = State::Receiving(upload);
                let early = std::mem::take(&mut self.early);
                connection.set_unread(0);
                self.on_data(context, connection, &early, actions);
                if self.peer_closed {
                    return self.on_peer_closed(context, connection, actions);
                }
            }
        }
        self.resume(context, connection, actions);
    }

    /// More was acknowledged.
    pub(crate) fn resume(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        actions: &mut VecDeque<Action>,
    ) {
        if let State::Sending(content, tail) = &self.state
            && connection.unsent() == 0
        {
            let bytes = content.bytes_at(*tail).to_vec();
            let watched = content.clone();
            if watched.is_intact() {
                say(connection, &bytes);
                connection.close();
                self.state = State::Closing(Some(watched));
            }
        }
        let intact = match &self.state {
            State::Sending(content, _) | State::Closing(Some(content)) => content.is_intact(),
            _ => true,
        };
        if !intact {
            context.trouble(Trouble::FileTruncated);
            connection.abort();
            return self.end(End::Failed(Refusal::Failed), actions);
        }
        if matches!(self.state, State::Closing(_)) && connection.outstanding() == 0 {
            self.end(End::Complete(connection.acknowledged()), actions);
        }
    }

    pub(crate) fn on_data(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        data: &[u8],
        actions: &mut VecDeque<Action>,
    ) {
        match &mut self.state {
            State::Receiving(upload) => {
                if let Err(refusal) = upload.write(data) {
                    context.trouble(Trouble::ServerError);
                    connection.abort();
                    self.end(End::Failed(refusal), actions);
                }
            }
            // Before STOR has been dealt with: the client is held back by its window.
            State::Idle | State::Ready(_) => {
                self.early.extend_from_slice(data);
                connection.set_unread(self.early.len());
            }
            State::Sending(..) | State::Closing(_) | State::Over => {}
        }
    }

    pub(crate) fn on_peer_closed(
        &mut self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
        actions: &mut VecDeque<Action>,
    ) {
        self.peer_closed = true;
        if !matches!(self.state, State::Receiving(_)) {
            return;
        }
        if let State::Receiving(upload) = std::mem::replace(&mut self.state, State::Idle) {
            let end = match upload.finish() {
                Ok(bytes) => End::Complete(bytes),
                Err(refusal) => {
                    context.trouble(Trouble::ServerError);
                    End::Failed(refusal)
                }
            };
            self.end(end, actions);
            connection.close();
        }
    }

    /// The connection is gone. An upload that was not complete goes with it.
    pub(crate) fn gone(mut self, actions: &mut VecDeque<Action>) {
        let end = if self.open { End::Broken } else { End::NotOpened };
        self.end(end, actions);
    }
}
