//! What a worker counts in an interval: numbers and histograms, handed over whole at its end.

use crate::histogram::{HistogramSet, Merge};
use crate::result::{Totals, metric};

use super::cause::{Cause, Codes};

/// The histograms of a load, by number.
pub(super) mod hist {
    pub(in crate::load) const CONNECT: usize = 0;
    pub(in crate::load) const PACKET: usize = 1;
    pub(in crate::load) const FIRST_BYTE: usize = 2;
    pub(in crate::load) const REQUEST: usize = 3;
    pub(in crate::load) const SERVICE: usize = 4;
    pub(in crate::load) const LATENESS: usize = 5;
}

/// Their names in results.
const NAMES: [&str; 6] = [
    metric::CONNECT,
    metric::PACKET,
    metric::FIRST_BYTE,
    metric::REQUEST,
    metric::REQUEST_SERVICE,
    metric::LATENESS,
];

/// The histograms of a size class.
pub(super) mod class_hist {
    pub(in crate::load) const FIRST_BYTE: usize = 0;
    pub(in crate::load) const FILE: usize = 1;
}

const CLASS_NAMES: [&str; 2] = [metric::FIRST_BYTE, metric::FILE];

/// Upper ends of the size classes of `files`, bytes.
pub(super) const CLASS_LIMITS: [u64; 6] = [4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20, u64::MAX];

/// Declares counters that are added field by field.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Counters of a worker; those of an interval are the differences.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct Counts {
            $($(#[$doc])* pub(super) $field: u64,)*
            /// By cause.
            pub(super) errors: [u64; Cause::COUNT],
        }

        impl Counts {
            pub(super) fn add(&mut self, other: &Counts) {
                $(self.$field += other.$field;)*
                for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
                    *mine += theirs;
                }
            }
        }
    };
}

counts! {
    connections_attempted,
    connections_opened,
    connections_failed,
    connections_closed,
    connections_reset,
    /// Requests answered completely and correctly.
    requests,
    requests_started,
    requests_failed,
    bytes_sent,
    bytes_received,
    bytes_verified,
    bytes_corrupt,
    segments_sent,
    segments_received,
    segments_retransmitted,
    segments_reordered,
    segments_duplicated,
    segments_lost,
    retransmission_timeouts,
    packets_sent,
    packets_received,
    wire_bytes_sent,
    wire_bytes_received,
    /// Requests that the schedule wanted to be begun.
    intended,
    /// Rounds in which the device had no room.
    transmit_stalls,
    receive_ring_full,
    busy_ns,
    idle_ns,
    /// Time for which the worker's thread was ready to run and did not: somebody else used its processor.
    waiting_ns,
}

/// Files of one size class.
#[derive(Clone, Debug)]
pub(super) struct ClassTally {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) smallest: u64,
    pub(super) largest: u64,
    pub(super) hist: HistogramSet,
}

impl ClassTally {
    fn new() -> Self {
        Self { files: 0, bytes: 0, smallest: u64::MAX, largest: 0, hist: HistogramSet::new(&CLASS_NAMES) }
    }

    pub(super) fn record(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        self.smallest = self.smallest.min(bytes);
        self.largest = self.largest.max(bytes);
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    pub(super) hist: HistogramSet,
    /// One for each of [`CLASS_LIMITS`]; none for patterns without files.
    pub(super) classes: Vec<ClassTally>,
    /// Connections that were open at the end of the interval.
    pub(super) open: u64,
    /// Requests that were under way then.
    pub(super) under_way: u64,
    /// Packets not used since the worker began, by cause: filled in at the end of an interval.
    pub(super) drops: Vec<(&'static str, u64)>,
    /// The worker's thread, as the kernel calls it.
    pub(super) thread: i32,
    /// This is the last.
    pub(super) last: bool,
    /// The worker says that there is no use in going on, and why.
    pub(super) given_up: Option<Cause>,
    /// What the server has said of requests that failed.
    pub(super) codes: Codes,
}

impl Tally {
    pub(super) fn new(with_classes: bool) -> Self {
        let classes = if with_classes { CLASS_LIMITS.len() } else { 0 };
        Self {
            counts: Counts::default(),
            hist: HistogramSet::new(&NAMES),
            classes: (0..classes).map(|_| ClassTally::new()).collect(),
            open: 0,
            under_way: 0,
            drops: Vec::with_capacity(64),
            thread: 0,
            last: false,
            given_up: None,
            codes: Codes::default(),
        }
    }

    pub(super) fn error(&mut self, cause: Cause) {
        self.counts.errors[cause as usize] += 1;
    }

    /// The class that a file of so many bytes belongs to.
    pub(super) fn class_of(&mut self, bytes: u64) -> Option<&mut ClassTally> {
        let at = CLASS_LIMITS.iter().position(|limit| bytes <= *limit)?;
        self.classes.get_mut(at)
    }

    /// The counters as a result tells them. `requests` says whether the pattern has such.
    pub(super) fn totals(&self, requests: bool) -> Totals {
        let c = &self.counts;
        let files = !self.classes.is_empty();
        let mut totals = Totals {
            connections_attempted: Some(c.connections_attempted),
            connections_opened: Some(c.connections_opened),
            connections_failed: Some(c.connections_failed),
            connections_closed: Some(c.connections_closed),
            connections_reset: Some(c.connections_reset),
            connections_open_at_end: Some(self.open),
            requests: requests.then_some(c.requests),
            requests_started: requests.then_some(c.requests_started),
            requests_failed: requests.then_some(c.requests_failed),
            files: files.then_some(c.requests),
            bytes_sent: Some(c.bytes_sent),
            bytes_received: Some(c.bytes_received),
            bytes_verified: Some(c.bytes_verified),
            bytes_corrupt: Some(c.bytes_corrupt),
            segments_sent: Some(c.segments_sent),
            segments_received: Some(c.segments_received),
            segments_retransmitted: Some(c.segments_retransmitted),
            segments_reordered: Some(c.segments_reordered),
            segments_duplicated: Some(c.segments_duplicated),
            segments_lost: Some(c.segments_lost),
            retransmission_timeouts: Some(c.retransmission_timeouts),
            packets_sent: Some(c.packets_sent),
            packets_received: Some(c.packets_received),
            wire_bytes_sent: Some(c.wire_bytes_sent),
            wire_bytes_received: Some(c.wire_bytes_received),
            ..Totals::default()
        };
        for (cause, count) in Cause::ALL.iter().zip(c.errors) {
            totals.error(cause.name(), count);
        }
        totals
    }
}

impl Merge for Tally {
    fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.hist.merge(&other.hist);
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.files += theirs.files;
            mine.bytes += theirs.bytes;
            mine.smallest = mine.smallest.min(theirs.smallest);
            mine.largest = mine.largest.max(theirs.largest);
            mine.hist.merge(&theirs.hist);
        }
        self.given_up = self.given_up.or(other.given_up);
        self.codes.merge(other.codes);
    }

    fn clear(&mut self) {
        self.counts = Counts::default();
        self.hist.clear();
        for class in &mut self.classes {
            class.hist.clear();
            (class.files, class.bytes, class.smallest, class.largest) = (0, 0, u64::MAX, 0);
        }
        self.open = 0;
        self.under_way = 0;
        self.drops.clear();
        self.last = false;
        self.given_up = None;
        self.codes = Codes::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_smallest_class_that_holds_it() {
        let mut tally = Tally::new(true);
        for bytes in [0, 4096, 4097, u64::MAX] {
            tally.class_of(bytes).unwrap().record(bytes);
        }
        let files: Vec<u64> = tally.classes.iter().map(|class| class.files).collect();
        assert_eq!(files, [2, 1, 0, 0, 0, 1]);
        assert_eq!(tally.classes[0].largest, 4096);
    }

    #[test]
    fn what_is_cleared_adds_nothing() {
        let mut tally = Tally::new(true);
        tally.counts.requests = 3;
        tally.error(Cause::Reset);
        tally.hist.record(hist::REQUEST, 1000);
        tally.class_of(5).unwrap().record(5);
        let mut total = Tally::new(true);
        total.merge(&tally);
        assert_eq!(total.totals(true).errors.get("reset_by_peer"), Some(&1));
        tally.clear();
        let before = total.counts;
        total.merge(&tally);
        assert_eq!(total.counts, before);
        assert_eq!(total.classes[0].files, 1);
    }
}
