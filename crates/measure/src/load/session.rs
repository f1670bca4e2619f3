//! One client of a load, and which connection belongs to which client.

use std::collections::VecDeque;
use std::net::IpAddr;

use bypath::{ConnectionId, ConnectionStats};

use super::tally::Counts;

/// Where a client stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has no connection.
    #[default]
    Absent,
    /// SYN is sent.
    Opening,
    /// The connection is open, and requests must wait: for a greeting, a login.
    Preparing,
    /// Requests may go out.
    Open,
    /// Nothing more is wanted; the end of the connection is.
    Closing,
}

/// A request that is under way. Times are nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    /// When it should have been begun.
    pub(super) intended: u64,
    /// When it was.
    pub(super) started: u64,
    /// Of its answer, when the first byte came.
    pub(super) first_byte: Option<u64>,
}

/// One client.
#[derive(Debug, Default)]
pub(super) struct Session<S> {
    pub(super) phase: Phase,
    /// The main connection, and the second one of protocols that have one.
    pub(super) lanes: [Option<ConnectionId>; 2],
    /// Our address, of its main connection.
    pub(super) local: Option<IpAddr>,
    /// When the connection was begun, and when it should have been.
    pub(super) opened_at: u64,
    pub(super) intended: u64,
    /// Since when it could have taken another request.
    pub(super) idle_since: u64,
    /// When anything last came from the peer.
    pub(super) progress_at: u64,
    /// Bytes given to be sent on each lane, and of them those acknowledged.
    pub(super) queued: [u64; 2],
    pub(super) acknowledged: [u64; 2],
    pub(super) in_flight: VecDeque<InFlight>,
    /// It is in the list of those that wait for a request.
    pub(super) listed: bool,
    /// It failed, and should not connect again at once.
    pub(super) back_off: bool,
    /// Counts its connections, so that a deadline of an earlier one means nothing to the next.
    pub(super) serial: u32,
    pub(super) told: Told,
    pub(super) state: S,
}

/// What of a connection's counters has been told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    retransmitted: u64,
    reordered: u64,
    duplicated: u64,
    needless: u64,
    timeouts: u64,
}

impl Told {
    /// Adds what is new.
    pub(super) fn tell(&mut self, stats: &ConnectionStats, counts: &mut Counts) {
        let now = Told {
            retransmitted: stats.segs_retrans,
            reordered: stats.out_of_order_in,
            duplicated: stats.dsacks_out,
            needless: stats.dsacks_in,
            timeouts: stats.timeouts,
        };
        counts.segments_reordered += now.reordered.saturating_sub(self.reordered);
        counts.segments_duplicated += now.duplicated.saturating_sub(self.duplicated);
        counts.retransmission_timeouts += now.timeouts.saturating_sub(self.timeouts);
        // What was sent again and reported as a duplicate by the peer had not been lost (RFC 2883).
        let lost = |told: &Told| told.retransmitted.saturating_sub(told.needless);
        counts.segments_lost += lost(&now).saturating_sub(lost(self));
        *self = now;
    }
}

/// Nobody's connection.
const NOBODY: u32 = u32::MAX;

/// Clients by the slot of their connection.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<u32>);

impl Owners {
    pub(super) fn set(&mut self, id: ConnectionId, session: usize, lane: u8) {
        let slot = id.slot();
        if slot >= self.0.len() {
            self.0.resize(slot + 1, NOBODY);
        }
        self.0[slot] = (session as u32) << 1 | u32::from(lane);
    }

    pub(super) fn clear(&mut self, id: ConnectionId) {
        if let Some(owner) = self.0.get_mut(id.slot()) {
            *owner = NOBODY;
        }
    }

    /// The client and the lane that the connection may belong to: the client knows whether it does.
    pub(super) fn get(&self, id: ConnectionId) -> Option<(usize, u8)> {
        let owner = self.0.get(id.slot()).copied().filter(|owner| *owner != NOBODY)?;
        Some(((owner >> 1) as usize, (owner & 1) as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_has_counted_is_told_once() {
        let mut told = Told::default();
        let mut counts = Counts::default();
        let mut stats = ConnectionStats { segs_retrans: 5, dsacks_in: 2, ..ConnectionStats::default() };
        told.tell(&stats, &mut counts);
        told.tell(&stats, &mut counts);
        assert_eq!(counts.segments_lost, 3);
        stats.out_of_order_in = 4;
        told.tell(&stats, &mut counts);
        assert_eq!((counts.segments_lost, counts.segments_reordered), (3, 4));
    }
}
