//! Connections in TIME-WAIT: small entries, bounded in number. The flow, its socket's rings and the connection are
//! given back when TIME-WAIT begins; when there is no room for another entry the connection ends there and then,
//! counted, as on Linux.

use std::net::SocketAddr;
use std::sync::Arc;

use bypath_tcp::{CloseReason, ConnectionInfo, Instant, Remains, TimeWait};
use bypath_wire::SeqNum;

use super::tcp::Arrival;
use super::{Stack, StackEvent};
use crate::counters::{Cause, Tally};
use crate::flow::Keeper;
use crate::flow_table::FlowKey;
use crate::packet::Egress;
use crate::socket::shared::SocketShared;

/// What is kept of a flow.
pub(super) struct Resting {
    remains: TimeWait,
    /// The socket, while its application has it: it learns of the end.
    shared: Option<Arc<SocketShared>>,
    keeper: Keeper,
}

impl Stack {
    /// Keeps what is left of a flow; gives the socket back when there is no room.
    pub(super) fn rest(
        &mut self,
        (key, keeper): (FlowKey, Keeper),
        remains: TimeWait,
        shared: Option<Arc<SocketShared>>,
    ) -> Result<(), Option<Arc<SocketShared>>> {
        let until = remains.until().as_nanos();
        let followable = self.successor(Instant::NEVER, &remains).is_some();
        match self.resting.insert(key, Resting { remains, shared, keeper }, until) {
            Ok(_) => {
                match keeper {
                    Keeper::Client => self.client_ports.rest(key.local(), key.remote()),
                    Keeper::Control if followable => self.events.push_back(StackEvent::FlowRests(key)),
                    _ => {}
                }
                Ok(())
            }
            Err(resting) => {
                self.counters.tally(Tally::TimeWaitOverflow);
                Err(resting.shared)
            }
        }
    }

    /// A segment for a connection in TIME-WAIT. Where a new one that takes its place may begin, if this is its SYN.
    pub(super) fn on_resting<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) -> Option<SeqNum> {
        let (key, resting) = self.resting.get_mut(index)?;
        let ends = (key.local(), key.remote());
        let ts_offset = self.isn.timestamp_offset(ends.0, ends.1);
        let before = resting.remains.until();
        let verdict = resting.remains.on_segment(now, ts_offset, arrival.segment);
        let until = resting.remains.until();
        if until != before {
            self.resting.schedule(index, until.as_nanos());
        }
        match verdict {
            Remains::Ignore(cause) => {
                if let Some(cause) = cause {
                    self.counters.count_tcp(cause);
                }
            }
            Remains::Answer(answer, cause) => {
                self.counters.count_tcp(cause);
                if self.may_answer(now) {
                    self.send_outside(now, ends, &answer, arrival.queue, egress);
                } else {
                    self.counters.count(Cause::RateLimited);
                }
            }
            Remains::Over => self.end_rest(index),
            Remains::Reopen(least) => {
                self.counters.tally(Tally::TimeWaitReopened);
                self.end_rest(index);
                return Some(least);
            }
        }
        None
    }

    pub(super) fn advance_resting(&mut self, now: Instant) {
        while let Some(index) = self.resting.pop_due(now.as_nanos()) {
            self.end_rest(index);
        }
    }

    /// What is left to tell of a connection in TIME-WAIT.
    pub(super) fn resting_info(&self, key: &FlowKey) -> Option<ConnectionInfo> {
        Some(self.resting.get(self.resting.find(key)?)?.1.remains.info())
    }

    fn end_rest(&mut self, index: u32) {
        if let Some((key, resting)) = self.resting.remove(index) {
            if let Some(shared) = resting.shared {
                shared.set_closed(CloseReason::Finished);
            }
            if resting.keeper == Keeper::Control {
                self.events.push_back(StackEvent::FlowClosed(key));
            }
        }
    }

    /// All of them end: the engine stops.
    pub(super) fn end_all_rest(&mut self) {
        for index in self.resting.indices(|_, _| true) {
            self.end_rest(index);
        }
    }

    /// Whether a connection between these ends may be opened: there is none, or one in TIME-WAIT that it may follow
    /// on.
    pub(crate) fn may_connect(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(key) = FlowKey::new(local, remote) else { return false };
        if self.table.find(&key).is_some() || self.half_open.find(&key).is_some() {
            return false;
        }
        self.resting.find(&key).is_none() || self.may_follow(now, local, remote)
    }

    /// Whether there is a connection in TIME-WAIT between these ends that a new one may follow on.
    pub(crate) fn may_follow(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> bool {
        let resting = FlowKey::new(local, remote).and_then(|key| self.resting.find(&key));
        let Some((_, resting)) = resting.and_then(|index| self.resting.get(index)) else { return false };
        self.successor(now, &resting.remains).is_some()
    }

    /// Where a connection of ours that follows on this one would begin, if it may.
    fn successor(&self, now: Instant, remains: &TimeWait) -> Option<SeqNum> {
        let tcp = &self.config.tcp;
        if tcp.time_wait_reuse { remains.successor(now, tcp.time_wait_rest) } else { None }
    }

    /// Whether there is a connection in TIME-WAIT between these ends.
    pub(super) fn is_resting(&self, key: &FlowKey) -> bool {
        self.resting.find(key).is_some()
    }

    /// Ends it, for the connection that follows on it and begins at this number or beyond (RFC 6191).
    pub(super) fn follow(&mut self, now: Instant, key: &FlowKey) -> Option<SeqNum> {
        if !self.may_follow(now, key.local(), key.remote()) {
            return None;
        }
        let index = self.resting.find(key)?;
        let least = self.resting.get(index).and_then(|(_, resting)| self.successor(now, &resting.remains));
        self.counters.tally(Tally::TimeWaitReused);
        self.end_rest(index);
        least
    }
}
