//! Clients get their connections: as many at a time as the ramp has and the burst allows, on the local addresses in turn,
//! and second ones where protocols ask for them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use bypath::{ConnectError, ConnectionId, Desk};

use super::super::cause::Cause;
use super::super::demand::Steps;
use super::super::exchange::{DATA, Exchange, MAIN};
use super::super::session::Phase;
use super::{Client, RETRY};

/// Connections begun in one round, so that the answers of those before are not kept waiting.
const BURST: usize = 64;
/// Failures before anything was ever open, after which the server is taken for not there.
const HOPELESS: u64 = 3;

impl<E: Exchange> Client<E> {
    /// Lets as many clients in as the ramp has for this time.
    pub(super) fn admit(&mut self, t: u64) {
        let target = match self.share.open_loop {
            // There the rate grows.
            true => self.sessions.len(),
            false => {
                let share = Steps::share(self.share.steps, t);
                ((self.sessions.len() as f64 * share).ceil() as usize).min(self.sessions.len())
            }
        };
        while self.admitted < target {
            self.absent.push_back(self.admitted as u32);
            self.admitted += 1;
        }
    }

    /// Opens connections for clients that have none. `true`: there is more to do at once.
    pub(super) fn open_connections(&mut self, desk: &mut Desk<'_>, t: u64) -> bool {
        while let Some((_, index)) = self.retry.front().copied().filter(|(at, _)| *at <= t) {
            self.retry.pop_front();
            self.absent.push_back(index);
        }
        for _ in 0..BURST {
            let Some(index) = self.absent.front().copied() else { return false };
            let intended = match self.share.per_connection {
                true => match self.demand.take(t) {
                    Some(intended) => intended,
                    None => return false,
                },
                false if self.demand.is_exhausted() => return false,
                false => t,
            };
            self.absent.pop_front();
            self.begin_connection(desk, index as usize, intended, t);
        }
        let paced = self.share.open_loop && self.share.per_connection;
        !self.absent.is_empty() && !paced
    }

    pub(super) fn begin_connection(&mut self, desk: &mut Desk<'_>, index: usize, intended: u64, t: u64) {
        if self.share.per_connection {
            self.note_begin(index, intended, t);
        }
        let session = &mut self.sessions[index];
        session.opened_at = t;
        session.progress_at = t;
        session.intended = intended;
        session.serial = session.serial.wrapping_add(1);
        if let Some(tally) = self.tally() {
            tally.counts.connections_attempted += 1;
        }
        match self.connect(desk, self.share.remote) {
            Ok(id) => {
                self.owners.set(id, index, MAIN);
                let session = &mut self.sessions[index];
                session.lanes[MAIN as usize] = Some(id);
                session.phase = Phase::Opening;
            }
            Err(error) => {
                let cause = match error {
                    ConnectError::PortsExhausted => Cause::PortsExhausted,
                    ConnectError::TooManyConnections => Cause::NoRoom,
                    _ => Cause::Unreachable,
                };
                self.opening_failed(index, cause, t);
            }
        }
    }

    pub(super) fn connect(
        &mut self,
        desk: &mut Desk<'_>,
        remote: SocketAddr,
    ) -> Result<ConnectionId, ConnectError> {
        if self.share.locals.is_empty() {
            return desk.connect(remote, None);
        }
        let mut outcome = Err(ConnectError::PortsExhausted);
        for _ in 0..self.share.locals.len() {
            let local = self.share.locals[self.next_local % self.share.locals.len()];
            self.next_local = self.next_local.wrapping_add(1);
            outcome = desk.connect(remote, Some(local));
            if outcome != Err(ConnectError::PortsExhausted) {
                break;
            }
        }
        outcome
    }

    /// A connection could not be opened.
    pub(in crate::load) fn opening_failed(&mut self, index: usize, cause: Cause, t: u64) {
        let per_connection = self.share.per_connection;
        if let Some(tally) = self.tally() {
            tally.counts.connections_failed += 1;
            tally.error(cause);
            if per_connection {
                tally.counts.requests_failed += 1;
            }
            let failed = tally.counts.connections_failed;
            if failed >= HOPELESS && !self.control.reached.load(Ordering::Relaxed) {
                self.given_up = Some(cause);
                self.wake_soon();
            }
        }
        self.sessions[index].phase = Phase::Absent;
        self.retry.push_back((t + RETRY, index as u32));
        if per_connection {
            self.note_end(t);
        }
    }

    /// What callbacks about one connection have left to do with another: second connections are opened, those without a
    /// client reset, requests sent.
    pub(super) fn tidy(&mut self, desk: &mut Desk<'_>, t: u64) {
        while let Some(id) = self.orphans.pop() {
            if let Some(mut connection) = desk.connection(id) {
                connection.abort();
            }
        }
        while let Some(index) = self.resumable.pop_front() {
            let index = index as usize;
            let open = self.sessions[index].phase == Phase::Open;
            let id = self.sessions[index].lanes[MAIN as usize].filter(|_| open);
            if let Some(mut connection) = id.and_then(|id| desk.connection(id)) {
                self.refill(index, &mut connection, t);
            }
        }
        self.open_wanted(desk, t);
    }

    /// Opens the second connections that protocols have asked for.
    pub(super) fn open_wanted(&mut self, desk: &mut Desk<'_>, t: u64) {
        while let Some((index, port)) = self.wanted.pop_front() {
            let index = index as usize;
            let remote = SocketAddr::new(self.share.remote.ip(), port);
            match desk.connect(remote, self.sessions[index].local) {
                Ok(id) => {
                    self.owners.set(id, index, DATA);
                    self.sessions[index].lanes[1] = Some(id);
                    self.sessions[index].queued[1] = 0;
                    self.sessions[index].acknowledged[1] = 0;
                }
                Err(_) => {
                    self.error(Cause::PortsExhausted);
                    self.give_up_connection(desk, index, t);
                }
            }
        }
    }
}
