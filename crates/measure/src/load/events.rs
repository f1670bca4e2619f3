//! What follows from what happens on a client's connections: times are recorded, the next request is begun, failures
//! are counted by cause, connections are closed and opened again.

use std::sync::atomic::Ordering;

use bypath::{CloseReason, ConnectionId, ServiceConnection};

use super::cause::Cause;
use super::client::{Client, RETRY};
use super::exchange::{Answer, DATA, Event, Exchange, MAIN};
use super::session::{InFlight, Phase};
use super::tally::{class_hist, hist};
use super::wire::Line;

/// How long the end of a connection is waited for before it is reset.
const LINGER: u64 = 1_000_000_000;

impl<E: Exchange> Client<E> {
    /// Whose connection this is.
    fn owner(&self, id: ConnectionId) -> Option<(usize, u8)> {
        let (index, lane) = self.owners.get(id)?;
        (self.sessions[index].lanes[usize::from(lane)] == Some(id)).then_some((index, lane))
    }

    pub(super) fn opened(&mut self, connection: &mut ServiceConnection<'_>) {
        let Some((index, lane)) = self.owner(connection.id()) else { return };
        let t = self.since_start(connection.now());
        let handshake_ns = connection.stats().handshake_rtt_ns;
        connection.set_nodelay(true);
        let session = &mut self.sessions[index];
        session.progress_at = t;
        if lane == DATA {
            let mut line = Line::new(connection, &mut session.queued[usize::from(lane)]);
            self.exchange.lane_opened(&mut session.state, &mut line);
            return;
        }
        session.local = Some(connection.local_addr().ip());
        session.phase = Phase::Preparing;
        session.idle_since = t;
        session.queued = [0; 2];
        session.acknowledged = [0; 2];
        session.told = Default::default();
        let waited = t.saturating_sub(session.opened_at);
        self.open += 1;
        if let Some(tally) = self.tally() {
            tally.counts.connections_opened += 1;
            // A handshake whose SYN was sent again has no round-trip time that is sure.
            tally.hist.record(hist::CONNECT, if handshake_ns > 0 { handshake_ns } else { waited });
        }
        self.control.reached.store(true, Ordering::Relaxed);
        let session = &mut self.sessions[index];
        let mut line = Line::new(connection, &mut session.queued[0]);
        if self.exchange.opened(&mut session.state, &mut line) {
            self.ready(index, connection, t);
        }
    }

    /// Requests may go out.
    fn ready(&mut self, index: usize, connection: &mut ServiceConnection<'_>, t: u64) {
        self.sessions[index].phase = Phase::Open;
        if !self.share.per_connection {
            self.refill(index, connection, t);
            return;
        }
        let (intended, started) = (self.sessions[index].intended, self.sessions[index].opened_at);
        if !self.send_request(index, connection, intended, started) {
            self.note_end(t);
            self.close(index, connection, t);
        }
    }

    /// Begins as many requests as are due and have room.
    pub(super) fn refill(&mut self, index: usize, connection: &mut ServiceConnection<'_>, t: u64) {
        while self.sessions[index].in_flight.len() < self.share.pipeline {
            let Some(intended) = self.demand.take(t) else { break };
            self.begin(index, connection, intended, t);
        }
        self.list_if_free(index);
    }

    /// A client with room for a request waits for one.
    pub(super) fn list_if_free(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let room = session.in_flight.len() < self.share.pipeline;
        if self.share.open_loop && room && !session.listed {
            session.listed = true;
            self.free.push_back(index as u32);
            if self.free.len() == 1 {
                self.wake_soon();
            }
        }
    }

    /// Begins one request.
    pub(super) fn begin(
        &mut self,
        index: usize,
        connection: &mut ServiceConnection<'_>,
        intended: u64,
        t: u64,
    ) {
        self.note_begin(index, intended, t);
        if !self.send_request(index, connection, intended, t) {
            if let Some(tally) = self.tally() {
                tally.counts.requests += 1;
            }
            self.note_end(t);
        }
    }

    /// Counts a begin, and how late it is through no fault of the server's: since it should have been, or since there
    /// was a client for it.
    pub(super) fn note_begin(&mut self, index: usize, intended: u64, t: u64) {
        let (open_loop, possible) = (self.share.open_loop, self.sessions[index].idle_since.max(intended));
        let counts_requests = self.share.counts_requests;
        if let Some(tally) = self.tally() {
            tally.counts.requests_started += u64::from(counts_requests);
            if open_loop {
                tally.counts.intended += 1;
                tally.hist.record(hist::LATENESS, t.saturating_sub(possible));
            }
        }
    }

    fn send_request(
        &mut self,
        index: usize,
        connection: &mut ServiceConnection<'_>,
        intended: u64,
        started: u64,
    ) -> bool {
        let t = self.since_start(connection.now());
        let session = &mut self.sessions[index];
        session.idle_since = t;
        if session.in_flight.is_empty() {
            session.progress_at = t;
        }
        let mut line = Line::new(connection, &mut session.queued[0]);
        let answered = self.exchange.request(&mut session.state, &mut line);
        if answered {
            session.in_flight.push_back(InFlight { intended, started, first_byte: None });
            self.under_way += 1;
        }
        answered
    }

    pub(super) fn received(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        let Some((index, lane)) = self.owner(connection.id()) else { return };
        let t = self.since_start(connection.now());
        self.clock = t;
        let payload = lane == self.exchange.payload_lane();
        if let Some(tally) = self.tally().filter(|_| payload) {
            tally.counts.bytes_received += data.len() as u64;
        }
        self.sessions[index].progress_at = t;
        let mut rest = data;
        while !rest.is_empty() {
            let session = &mut self.sessions[index];
            if !matches!(session.phase, Phase::Open | Phase::Preparing) {
                return;
            }
            match session.in_flight.front_mut() {
                Some(front) if payload && front.first_byte.is_none() => {
                    front.first_byte = Some(t);
                    let waited = t.saturating_sub(front.intended);
                    if let Some(tally) = self.tally() {
                        tally.hist.record(hist::FIRST_BYTE, waited);
                    }
                }
                None if session.phase == Phase::Open && lane == MAIN && !self.exchange.takes_unasked() => {
                    self.broken(index, connection, Cause::Malformed, t);
                    return;
                }
                _ => {}
            }
            let session = &mut self.sessions[index];
            let mut line = Line::new(connection, &mut session.queued[usize::from(lane)]);
            let (taken, event) = self.exchange.receive(&mut session.state, lane, &mut line, rest);
            rest = rest.get(taken..).unwrap_or_default();
            if !self.follow(index, connection, event, t) {
                return;
            }
        }
    }

    pub(super) fn acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        let Some((index, lane)) = self.owner(connection.id()) else { return };
        let t = self.since_start(connection.now());
        self.clock = t;
        let outstanding = connection.outstanding();
        let payload = lane == self.exchange.payload_lane();
        let session = &mut self.sessions[index];
        session.progress_at = t;
        let at = usize::from(lane);
        let acknowledged = session.queued[at].saturating_sub(outstanding);
        let new = acknowledged.saturating_sub(session.acknowledged[at]);
        session.acknowledged[at] = acknowledged;
        if let Some(tally) = self.tally().filter(|_| payload) {
            tally.counts.bytes_sent += new;
        }
        let session = &mut self.sessions[index];
        if session.phase != Phase::Open {
            return;
        }
        let mut line = Line::new(connection, &mut session.queued[at]);
        let event = self.exchange.acknowledged(&mut session.state, &mut line);
        self.follow(index, connection, event, t);
    }

    pub(super) fn peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        let Some((index, lane)) = self.owner(connection.id()) else {
            connection.close();
            return;
        };
        let t = self.since_start(connection.now());
        self.clock = t;
        let session = &mut self.sessions[index];
        if session.phase == Phase::Preparing && lane == MAIN {
            self.broken(index, connection, Cause::ClosedEarly, t);
            return;
        }
        if session.phase == Phase::Open {
            let pending = !session.in_flight.is_empty();
            let event = self.exchange.peer_closed(&mut session.state, lane, pending);
            if !self.follow(index, connection, event, t) {
                return;
            }
        }
        if lane == MAIN {
            // Requests that nobody will answer any more: a server that keeps a connection for so many only.
            self.fail_under_way(index, t);
            self.close(index, connection, t);
        }
        connection.close();
    }

    /// Draws the consequences. `false`: the connection is of no use any more.
    fn follow(&mut self, index: usize, connection: &mut ServiceConnection<'_>, event: Event, t: u64) -> bool {
        match event {
            Event::More => true,
            Event::Ready => {
                self.ready(index, connection, t);
                true
            }
            Event::Done(answer) => {
                self.complete(index, answer, t);
                self.go_on(index, connection, answer, t)
            }
            Event::Failed(cause, answer) => {
                self.error(cause);
                if self.sessions[index].in_flight.pop_front().is_some() {
                    self.count_failed(1, t);
                }
                self.go_on(index, connection, answer, t)
            }
            Event::Broken(cause) => {
                self.broken(index, connection, cause, t);
                false
            }
            Event::Open(port) => {
                self.wanted.push_back((index as u32, port));
                self.wake_soon();
                true
            }
        }
    }

    /// After an answer: the next request, or the end of the connection.
    fn go_on(
        &mut self,
        index: usize,
        connection: &mut ServiceConnection<'_>,
        answer: Answer,
        t: u64,
    ) -> bool {
        self.sessions[index].idle_since = t;
        if answer.last || self.share.per_connection {
            self.fail_under_way(index, t);
            self.close(index, connection, t);
            return false;
        }
        if self.sessions[index].lanes[MAIN as usize] == Some(connection.id()) {
            self.refill(index, connection, t);
        } else {
            // Ended on the second connection: the next request goes out on the first one.
            self.resumable.push_back(index as u32);
            self.wake_soon();
        }
        true
    }

    fn complete(&mut self, index: usize, answer: Answer, t: u64) {
        let Some(done) = self.sessions[index].in_flight.pop_front() else { return };
        self.under_way = self.under_way.saturating_sub(1);
        self.note_end(t);
        let Some(tally) = self.tally() else { return };
        tally.counts.requests += 1;
        tally.hist.record(hist::REQUEST, t.saturating_sub(done.intended));
        tally.hist.record(hist::SERVICE, t.saturating_sub(done.started));
        if let Some(class) = tally.class_of(answer.body) {
            class.record(answer.body);
            class.hist.record(class_hist::FILE, t.saturating_sub(done.intended));
            if let Some(first) = done.first_byte {
                class.hist.record(class_hist::FIRST_BYTE, first.saturating_sub(done.intended));
            }
        }
    }

    fn count_failed(&mut self, requests: u64, t: u64) {
        if requests == 0 {
            return;
        }
        self.under_way = self.under_way.saturating_sub(requests);
        self.note_end(t);
        if let Some(tally) = self.tally() {
            tally.counts.requests_failed += requests;
        }
    }

    fn fail_under_way(&mut self, index: usize, t: u64) {
        let lost = self.sessions[index].in_flight.len() as u64;
        self.sessions[index].in_flight.clear();
        if lost > 0 {
            self.sessions[index].back_off = true;
            self.error(Cause::ClosedEarly);
            self.count_failed(lost, t);
        }
    }

    /// Ends a connection in good order.
    fn close(&mut self, index: usize, connection: &mut ServiceConnection<'_>, t: u64) {
        let session = &mut self.sessions[index];
        if session.phase == Phase::Closing || session.lanes[MAIN as usize] != Some(connection.id()) {
            return;
        }
        session.phase = Phase::Closing;
        let serial = session.serial;
        let stats = *connection.stats();
        if let Some(recorder) = self.recorder.as_mut() {
            self.sessions[index].told.tell(&stats, &mut recorder.record().counts);
        }
        if self.share.reset {
            connection.abort();
        } else if !self.share.server_closes {
            connection.close();
        }
        self.closing.push_back((t + LINGER, index as u32, serial));
    }

    /// A connection that is of no use any more.
    fn broken(&mut self, index: usize, connection: &mut ServiceConnection<'_>, cause: Cause, t: u64) {
        self.error(cause);
        let stats = *connection.stats();
        if let Some(recorder) = self.recorder.as_mut() {
            self.sessions[index].told.tell(&stats, &mut recorder.record().counts);
        }
        connection.abort();
        let other = self.sessions[index].lanes.iter().flatten().find(|id| **id != connection.id()).copied();
        for id in [Some(connection.id()), other].into_iter().flatten() {
            self.owners.clear(id);
        }
        self.orphans.extend(other);
        self.sessions[index].lanes = [None; 2];
        self.count_closed(false);
        let lost = self.sessions[index].in_flight.len() as u64;
        self.sessions[index].in_flight.clear();
        self.count_failed(lost, t);
        self.ended_early(index, t);
    }

    /// The client is without a connection, and had not meant to be.
    pub(super) fn ended_early(&mut self, index: usize, t: u64) {
        let session = &mut self.sessions[index];
        let lost = session.in_flight.len() as u64;
        session.in_flight.clear();
        session.phase = Phase::Absent;
        self.exchange.reset(&mut session.state);
        self.count_failed(lost, t);
        self.retry.push_back((t + RETRY, index as u32));
        self.wake_soon();
    }

    pub(super) fn count_closed(&mut self, reset: bool) {
        self.open = self.open.saturating_sub(1);
        if let Some(tally) = self.tally() {
            tally.counts.connections_closed += 1;
            tally.counts.connections_reset += u64::from(reset);
        }
    }

    pub(super) fn closed(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some((index, lane)) = self.owner(id) else { return };
        self.owners.clear(id);
        let session = &mut self.sessions[index];
        session.lanes[usize::from(lane)] = None;
        let t = self.clock;
        if lane == DATA {
            // How it ended, its own end of the protocol has told; but for one that failed.
            if let Some(cause) = Cause::of_open(reason) {
                self.error(cause);
                if let Some(main) = self.sessions[index].lanes[MAIN as usize].take() {
                    self.owners.clear(main);
                    self.orphans.push(main);
                    self.count_closed(false);
                    self.ended_early(index, t);
                }
            }
            return;
        }
        match session.phase {
            Phase::Opening => {
                let cause = Cause::of_opening(reason);
                self.opening_failed(index, cause, t);
                self.wake_soon();
            }
            Phase::Closing => {
                session.phase = Phase::Absent;
                self.exchange.reset(&mut session.state);
                self.count_closed(reason == CloseReason::Reset);
                let session = &mut self.sessions[index];
                session.idle_since = t;
                if std::mem::take(&mut session.back_off) {
                    self.retry.push_back((t + RETRY, index as u32));
                } else {
                    self.absent.push_back(index as u32);
                }
                self.wake_soon();
            }
            Phase::Preparing | Phase::Open => {
                let reset = reason == CloseReason::Reset;
                self.error(Cause::of_open(reason).unwrap_or(Cause::ClosedEarly));
                self.count_closed(reset);
                self.ended_early(index, t);
            }
            Phase::Absent => {}
        }
    }
}
