//! Where each connection's sequence numbers began, for those that are printed relative to it.

use std::net::IpAddr;

use hashbrown::HashMap;

/// When so many connections are known, all are forgotten; each begins anew with its next packet.
const MOST: usize = 1 << 20;

/// Addresses and ports, in an order that is the same for both directions.
type Key = (IpAddr, IpAddr, u16, u16);

/// The beginnings of connections.
#[derive(Debug, Default)]
pub(super) struct Flows {
    known: HashMap<Key, (u32, u32)>,
}

/// A segment's place in its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relative {
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    /// What selective acknowledgements are relative to.
    pub(super) sack: u32,
}

/// A segment, as far as it matters here.
pub(super) struct Segment {
    pub(super) source: (IpAddr, u16),
    pub(super) destination: (IpAddr, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    pub(super) syn: bool,
}

impl Flows {
    /// As tcpdump counts: the first segment with an acknowledgement, and every one with a SYN besides, is printed as it is,
    /// and those after it are relative to it.
    pub(super) fn relative(&mut self, segment: &Segment) -> Relative {
        let (source, destination) = (segment.source, segment.destination);
        let reversed = source.1 > destination.1 || (source.1 == destination.1 && source.0 > destination.0);
        let (low, high) = if reversed { (destination, source) } else { (source, destination) };
        let (sequence, acknowledgment) = (segment.sequence, segment.acknowledgment);
        let mine = (sequence, acknowledgment.wrapping_sub(1));
        let key = (low.0, high.0, low.1, high.1);
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let mut is_new = false;
        let start = self.known.entry(key).or_insert_with(|| {
            is_new = true;
            if reversed { (mine.1, mine.0) } else { mine }
        });
        if segment.syn {
            *start = if reversed { (mine.1, mine.0) } else { mine };
            is_new = true;
        }
        let (own, other) = if reversed { (start.1, start.0) } else { *start };
        if is_new {
            return Relative { sequence, acknowledgment, sack: other };
        }
        Relative {
            sequence: sequence.wrapping_sub(own),
            acknowledgment: acknowledgment.wrapping_sub(other),
            sack: other,
        }
    }
}
