//! Half-open connections: SYNs that were answered and whose answers are not acknowledged. Small entries,
//! bounded for each listener by its backlog and for the stack by its configuration; no socket, no buffer and no
//! connection is made before the handshake is complete.

use std::net::{IpAddr, SocketAddr};

use bypath_tcp::{Instant, Request, Verdict};
use bypath_wire::SeqNum;

use super::Stack;
use super::listen::{Admission, Taker};
use super::tcp::Arrival;
use crate::counters::{Cause, Tally};
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::packet::Egress;

/// A request and who it is for.
pub(super) struct HalfOpen {
    request: Request,
    taker: Taker,
    /// Of the device, on which the peer's packets come.
    queue: u16,
    /// The answer grants a Fast Open cookie.
    grant: bool,
    /// The answer waits for the peer's link address.
    waiting: bool,
}

impl Stack {
    /// Keeps `syn` and answers it. `false`: there is no room.
    pub(super) fn keep_half_open<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        taker: &Taker,
        arrival: &Arrival<'_, '_>,
        (successor, grant): (Option<SeqNum>, bool),
        egress: &mut E,
    ) -> bool {
        let room =
            !self.half_open.is_full() && self.flows.len() + self.half_open.len() < self.config.max_flows;
        if !room || matches!(taker, Taker::Listener(listener) if !listener.may_open()) {
            return false;
        }
        let mut iss = self.isn.initial_sequence(now, key.local(), key.remote());
        if let Some(least) = successor {
            iss = iss.later(least);
        }
        let half = HalfOpen {
            request: Request::new(now, iss, arrival.segment),
            taker: taker.clone(),
            queue: arrival.queue,
            grant,
            waiting: false,
        };
        match self.half_open.insert(key, half, u64::MAX) {
            Ok(index) => self.answer_syn(now, index, egress),
            Err(half) => half.taker.opened(),
        }
        true
    }

    /// Sends the SYN-ACK, and files the time for the next one.
    fn answer_syn<E: Egress>(&mut self, now: Instant, index: u32, egress: &mut E) {
        let Some((key, half)) = self.half_open.get(index) else { return };
        let (ends, queue, retry) = ((key.local(), key.remote()), half.queue, half.request.answers() > 0);
        let Some(route) = self.routes.lookup(ends.1.ip()) else {
            return self.forget(index, Cause::Unreachable);
        };
        let Some(config) = self.config_for(ends.1) else { return };
        match self.resolve(now, route.next_hop) {
            Resolution::Known(_) => {}
            Resolution::Pending => {
                let at = (now + config.initial_rto).as_nanos();
                if let Some((_, half)) = self.half_open.get_mut(index) {
                    half.waiting = true;
                }
                return self.half_open.schedule(index, at);
            }
            Resolution::Unreachable => return self.forget(index, Cause::Unreachable),
        }
        let ts_offset = self.isn.timestamp_offset(ends.0, ends.1);
        let cookie = self.half_open.get(index).filter(|(_, half)| half.grant);
        let cookie = cookie.map(|(key, _)| self.fast_open_cookie(now, key));
        let Some((_, half)) = self.half_open.get_mut(index) else { return };
        half.waiting = false;
        let answer = half.request.syn_ack(&config, now, ts_offset, cookie);
        let due = now + half.request.patience(&config);
        if retry {
            self.counters.tally(Tally::SynAckRetrans);
            self.counters.segs_retrans += 1;
        }
        self.half_open.schedule(index, due.as_nanos());
        self.send_outside(now, ends, &answer, queue, egress);
    }

    /// A segment for a half-open connection.
    pub(super) fn on_half_open<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) {
        let Some((key, half)) = self.half_open.get_mut(index) else { return };
        let key = *key;
        half.queue = arrival.queue;
        let ends = (key.local(), key.remote());
        let ts_offset = self.isn.timestamp_offset(ends.0, ends.1);
        match half.request.on_segment(&self.config.tcp, now, ts_offset, arrival.segment) {
            Verdict::Open => self.complete(now, index, key, arrival, egress),
            Verdict::Again => self.answer_syn(now, index, egress),
            Verdict::Ignore(cause) => self.counters.count_tcp(cause),
            Verdict::Answer(answer, cause) => {
                self.counters.count_tcp(cause);
                if self.may_answer(now) {
                    self.send_outside(now, ends, &answer, arrival.queue, egress);
                } else {
                    self.counters.count(Cause::RateLimited);
                }
            }
            Verdict::Forget(cause) => {
                self.counters.count_tcp(cause);
                self.release(index);
            }
        }
    }

    fn complete<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) {
        let Some((_, half)) = self.half_open.get(index) else { return };
        let (request, taker) = (half.request, half.taker.clone());
        match self.admit(now, key, &request, &taker, arrival, egress) {
            Admission::Open => self.release(index),
            refused => {
                // The request stays: the SYN-ACK is sent again, and the peer's answer may find room.
                self.overflow(now, key, refused, arrival, egress);
                if self.config.tcp.abort_on_overflow {
                    self.release(index);
                }
            }
        }
    }

    /// Sends SYN-ACKs again, and gives up those that were sent often enough.
    pub(super) fn advance_half_open<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        while let Some(index) = self.half_open.pop_due(now.as_nanos()) {
            let Some((_, half)) = self.half_open.get(index) else { continue };
            if half.request.answers() > self.config.tcp.syn_ack_retries {
                self.counters.tally(Tally::HalfOpenExpired);
                self.release(index);
            } else {
                self.answer_syn(now, index, egress);
            }
        }
    }

    /// Half-open connections.
    pub(crate) fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Answers that waited for the link address of `next_hop` go out; or are given up, if it has none.
    pub(super) fn link_of_half_open<E: Egress>(
        &mut self,
        now: Instant,
        next_hop: IpAddr,
        egress: Option<&mut E>,
    ) {
        let routes = &self.routes;
        let waits = |key: &FlowKey, half: &HalfOpen| {
            half.waiting && routes.lookup(key.remote().ip()).is_some_and(|route| route.next_hop == next_hop)
        };
        let found = self.half_open.indices(waits);
        match egress {
            Some(egress) => found.into_iter().for_each(|index| self.answer_syn(now, index, egress)),
            None => found.into_iter().for_each(|index| self.forget(index, Cause::Unreachable)),
        }
    }

    /// The listener at `local` is gone, and with it what it had begun.
    pub(super) fn drop_half_open(&mut self, local: SocketAddr) {
        let gone = self.listeners.get(&local).cloned();
        let theirs = |_: &FlowKey, half: &HalfOpen| match (&half.taker, &gone) {
            (Taker::Listener(a), Some(b)) => std::sync::Arc::ptr_eq(a, b),
            _ => false,
        };
        for index in self.half_open.indices(theirs) {
            self.release(index);
        }
    }

    /// The network cannot reach the peer that a SYN-ACK with the number `seq` went to.
    pub(super) fn half_open_unreachable(&mut self, key: &FlowKey, seq: SeqNum) {
        if let Some(index) = self.half_open.find(key)
            && let Some((_, half)) = self.half_open.get(index)
            && half.request.iss() == seq
        {
            self.forget(index, Cause::Unreachable);
        }
    }

    fn forget(&mut self, index: u32, cause: Cause) {
        self.counters.count(cause);
        self.release(index);
    }

    fn release(&mut self, index: u32) {
        if let Some((_, half)) = self.half_open.remove(index) {
            half.taker.opened();
        }
    }
}

impl Taker {
    /// A half-open connection of it is open, or gone.
    fn opened(&self) {
        if let Self::Listener(listener) = self {
            listener.opened();
        }
    }
}
