//! Acknowledgements of streams that wait a moment for more segments to cover.
//!
//! A worker that takes packets off its device as they come would acknowledge every second full segment of a stream, and
//! a peer that sends when it is acknowledged would send two at a time: at both ends each costs what a segment of data
//! costs. So what [`Connection::may_hold_ack`](bypath_tcp::Connection::may_hold_ack) allows is held for a few
//! microseconds, about as long as a NIC's interrupt moderation holds packets back, and for a quarter of that when nothing more comes. Whatever ends a write, leaves a hole
//! or belongs to the beginning of a connection is acknowledged at once.

use std::time::Duration;

use bypath_tcp::Instant;

use super::Stack;
use crate::flow::Flow;
use crate::packet::Egress;

/// Flows whose acknowledgement waits.
#[derive(Debug, Default)]
pub(super) struct HeldAcks {
    /// How long the first of them waits; none waits without.
    patience_ns: u64,
    flows: Vec<u32>,
    /// When all of them go out at the latest.
    latest: Instant,
    /// When they go out if nothing more comes.
    until: Instant,
}

impl HeldAcks {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience_ns: patience.as_nanos() as u64,
            flows: Vec::with_capacity(64),
            latest: Instant::NEVER,
            until: Instant::NEVER,
        }
    }

    /// When the next of them goes out.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        (!self.flows.is_empty()).then(|| self.until.as_nanos())
    }

    /// Takes note of a flow that has nothing to say but an acknowledgement that can wait.
    #[inline]
    pub(super) fn takes(&mut self, now: Instant, index: u32, flow: &mut Flow) -> bool {
        if self.patience_ns == 0 || !flow.conn.may_hold_ack() || flow.pending_reset.is_some() {
            return false;
        }
        if self.flows.is_empty() {
            self.latest = now.plus_nanos(self.patience_ns);
        }
        // A peer that has stopped may be waiting for this very acknowledgement.
        self.until = self.latest.min(now.plus_nanos(self.patience_ns / 4));
        // One that was sent meanwhile and waits again is in the list already.
        if !std::mem::replace(&mut flow.ack_held, true) {
            self.flows.push(index);
        }
        true
    }
}

impl Stack {
    /// Sends the acknowledgements whose time has come.
    pub(super) fn release_acks<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        if self.held_acks.flows.is_empty() || !self.held_acks.until.is_due(now) {
            return;
        }
        let mut flows = std::mem::take(&mut self.held_acks.flows);
        let patience_ns = std::mem::take(&mut self.held_acks.patience_ns);
        for index in flows.drain(..) {
            if let Some(flow) = self.flows.at_mut(index)
                && std::mem::take(&mut flow.ack_held)
            {
                self.flush_flow(now, index, egress);
            }
        }
        self.held_acks.flows = flows;
        self.held_acks.patience_ns = patience_ns;
    }
}
