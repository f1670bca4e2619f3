//! Which link address an IP neighbour has: one cache for ARP (RFC 826) and Neighbor Discovery (RFC 4861).
//!
//! The cache does no I/O and owns no packets. [`NeighborCache::resolve`] answers at once; while it answers
//! [`Resolution::Pending`] the caller keeps what it wanted to send (a few packets, RFC 1122 §2.3.2.2), and
//! gets told when to send or drop it. [`NeighborCache::poll`] says which questions to ask now. The messages
//! themselves are read and written in [`discovery`]; where an address is shared with the kernel, the control
//! plane asks the kernel instead and reports with [`NeighborCache::learn_from_kernel`].
//!
//! What others say is believed only so far: nobody can create an entry except by asking for one of our
//! addresses, group and zero link addresses are ignored, permanent entries do not move, the table is
//! bounded, and an entry confirmed within the last second cannot be taken over.

pub(crate) mod discovery;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ahash::RandomState;
use bypath_wire::ethernet::MacAddr;
use hashbrown::HashMap;

const SECOND_NS: u64 = 1_000_000_000;
/// RETRANS_TIMER of RFC 4861 §10; RFC 1122 allows ARP one request per second.
const RETRANSMIT_NS: u64 = SECOND_NS;
/// MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
const MAX_ATTEMPTS: u8 = 3;
/// REACHABLE_TIME.
const REACHABLE_NS: u64 = 30 * SECOND_NS;
/// DELAY_FIRST_PROBE_TIME: how long upper layers have to confirm a stale entry before it is probed.
const DELAY_NS: u64 = 5 * SECOND_NS;
/// How long a neighbour that did not answer stays unreachable without being asked again.
const FAILED_NS: u64 = SECOND_NS;
/// How long a confirmed entry cannot be overwritten, as Linux's `locktime`.
const LOCK_NS: u64 = SECOND_NS;

/// What is known about a neighbour at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// Send to this address.
    Known(MacAddr),
    /// Asked; keep the packet until an event says whether to send or to drop it.
    Pending,
    /// It did not answer, or the table is full of questions.
    Unreachable,
}

/// What the caller of [`NeighborCache::poll`] has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeighborEvent {
    /// Ask for the link address of `target`: everyone, or only the neighbour that had it so far.
    Ask {
        /// The address asked for.
        target: IpAddr,
        /// Destination of the question; `None` is broadcast or the solicited-node group.
        unicast: Option<MacAddr>,
    },
    /// Nobody answered: drop what waits for this neighbour, report the host unreachable.
    Unreachable(IpAddr),
}

/// How a link address came to our ears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The neighbour asked for an address of ours.
    Question,
    /// The neighbour answered us; `overrides` as in RFC 4861 §4.4, always true for ARP.
    Answer {
        /// May replace another link address.
        overrides: bool,
    },
    /// The neighbour announced itself, or talked to somebody else.
    Announcement {
        /// May replace another link address.
        overrides: bool,
    },
}

/// RFC 4861 §7.3.2, and two states of our own at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Incomplete { attempts: u8 },
    Reachable { since: u64 },
    Stale,
    Delay,
    Probe { attempts: u8 },
    Failed,
    Kernel { permanent: bool, asked: u64 },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    state: State,
    mac: MacAddr,
    /// Next timer of this entry, also filed in `NeighborCache::due`.
    due: Option<u64>,
    /// Last time somebody wanted to send to it.
    used: u64,
}

/// Neighbours of one interface. Times are nanoseconds on the caller's clock.
#[derive(Debug)]
pub(crate) struct NeighborCache {
    entries: HashMap<IpAddr, Entry, RandomState>,
    due: BTreeSet<(u64, IpAddr)>,
    capacity: usize,
    overflows: u64,
}

impl NeighborCache {
    /// Room for `capacity` neighbours; `seed` keys the hash, so that no one can crowd a bucket.
    pub(crate) fn new(capacity: usize, seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, seed.rotate_left(17), !seed, seed.rotate_left(43));
        NeighborCache {
            entries: HashMap::with_capacity_and_hasher(capacity, hasher),
            due: BTreeSet::new(),
            capacity: capacity.max(1),
            overflows: 0,
        }
    }

    /// Neighbours in the table, in any state.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Times a neighbour found no room because the table was full of questions.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// The link address to send to `ip` with, asking for it if need be.
    pub(crate) fn resolve(&mut self, now: u64, ip: IpAddr) -> Resolution {
        let Some(entry) = self.entries.get_mut(&ip) else {
            if !self.make_room() {
                self.overflows += 1;
                return Resolution::Unreachable;
            }
            let state = State::Incomplete { attempts: 0 };
            self.put(ip, Entry { state, mac: MacAddr::UNSPECIFIED, due: None, used: now }, Some(now));
            return Resolution::Pending;
        };
        entry.used = now;
        let known = Resolution::Known(entry.mac);
        match entry.state {
            State::Incomplete { .. } => Resolution::Pending,
            State::Failed => Resolution::Unreachable,
            State::Reachable { since } if now < since.saturating_add(REACHABLE_NS) => known,
            State::Reachable { .. } | State::Stale => {
                self.change(ip, State::Delay, Some(now.saturating_add(DELAY_NS)));
                known
            }
            State::Kernel { permanent: false, asked } if now >= asked.saturating_add(REACHABLE_NS) => {
                // The kernel sends nothing to this neighbour itself, so it would never check it again.
                self.change(ip, State::Kernel { permanent: false, asked: now }, Some(now));
                known
            }
            State::Delay | State::Probe { .. } | State::Kernel { .. } => known,
        }
    }

    /// An upper layer saw proof that its packets arrive (RFC 4861 §7.3.1): TCP data was acknowledged.
    pub(crate) fn confirm(&mut self, now: u64, ip: IpAddr) {
        if let Some(entry) = self.entries.get(&ip)
            && matches!(
                entry.state,
                State::Reachable { .. } | State::Stale | State::Delay | State::Probe { .. }
            )
        {
            self.change(ip, State::Reachable { since: now }, None);
        }
    }

    /// Takes note of the link address in a message. True if packets that waited for it can go now.
    ///
    /// The caller has checked the message, and that `ip` is not an address of our own.
    pub(crate) fn heard(&mut self, now: u64, ip: IpAddr, mac: MacAddr, how: Heard) -> bool {
        if mac.is_multicast() || mac == MacAddr::UNSPECIFIED || ip.is_multicast() || ip.is_unspecified() {
            return false;
        }
        let Some(entry) = self.entries.get_mut(&ip) else {
            if how == Heard::Question && self.make_room() {
                self.put(ip, Entry { state: State::Stale, mac, due: None, used: now }, None);
            }
            return false;
        };
        let changed = entry.mac != mac;
        let answered = matches!(how, Heard::Answer { .. });
        let overrides = match how {
            Heard::Question => true,
            Heard::Answer { overrides } | Heard::Announcement { overrides } => overrides,
        };
        match entry.state {
            State::Kernel { .. } => false,
            State::Incomplete { .. } | State::Failed => {
                let waited = matches!(entry.state, State::Incomplete { .. });
                entry.mac = mac;
                let state = if answered { State::Reachable { since: now } } else { State::Stale };
                self.change(ip, state, None);
                waited
            }
            State::Reachable { since } if changed && now < since.saturating_add(LOCK_NS) => false,
            State::Reachable { .. } if changed && !overrides => {
                self.change(ip, State::Stale, None);
                false
            }
            _ if changed && !overrides => false,
            state => {
                entry.mac = mac;
                if answered && matches!(state, State::Probe { .. }) {
                    self.change(ip, State::Reachable { since: now }, None);
                } else if changed {
                    self.change(ip, State::Stale, None);
                }
                false
            }
        }
    }

    /// The kernel knows this neighbour. True if packets that waited for it can go now.
    pub(crate) fn learn_from_kernel(&mut self, now: u64, ip: IpAddr, mac: MacAddr, permanent: bool) -> bool {
        if mac.is_multicast() || mac == MacAddr::UNSPECIFIED {
            return false;
        }
        let state = State::Kernel { permanent, asked: now };
        let Some(entry) = self.entries.get_mut(&ip) else {
            if self.make_room() {
                self.put(ip, Entry { state, mac, due: None, used: now }, None);
            }
            return false;
        };
        let waited = matches!(entry.state, State::Incomplete { .. });
        entry.mac = mac;
        self.change(ip, state, None);
        waited
    }

    /// The kernel gave up on this neighbour or dropped it. True if packets waited for it: drop them.
    pub(crate) fn forget(&mut self, ip: IpAddr) -> bool {
        match self.take(ip) {
            Some(entry) => matches!(entry.state, State::Incomplete { .. }),
            None => false,
        }
    }

    /// Forgets everything that was not configured: the link went down. The caller drops all that waits.
    pub(crate) fn clear(&mut self) {
        self.entries.retain(|_, entry| matches!(entry.state, State::Kernel { permanent: true, .. }));
        self.due.clear();
    }

    /// When to call [`Self::poll`] next.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Reports everything due at `now`.
    pub(crate) fn poll(&mut self, now: u64, event: &mut impl FnMut(NeighborEvent)) {
        while let Some(&(at, ip)) = self.due.first()
            && at <= now
        {
            let Some(entry) = self.entries.get(&ip) else {
                self.due.remove(&(at, ip));
                continue;
            };
            let again = Some(now.saturating_add(RETRANSMIT_NS));
            match entry.state {
                State::Incomplete { attempts } | State::Probe { attempts } if attempts >= MAX_ATTEMPTS => {
                    self.change(ip, State::Failed, Some(now.saturating_add(FAILED_NS)));
                    event(NeighborEvent::Unreachable(ip));
                }
                State::Incomplete { attempts } => {
                    self.change(ip, State::Incomplete { attempts: attempts + 1 }, again);
                    event(NeighborEvent::Ask { target: ip, unicast: None });
                }
                State::Probe { attempts } => {
                    let unicast = Some(entry.mac);
                    self.change(ip, State::Probe { attempts: attempts + 1 }, again);
                    event(NeighborEvent::Ask { target: ip, unicast });
                }
                State::Delay => {
                    let unicast = Some(entry.mac);
                    self.change(ip, State::Probe { attempts: 1 }, again);
                    event(NeighborEvent::Ask { target: ip, unicast });
                }
                State::Kernel { .. } => {
                    let unicast = Some(entry.mac);
                    self.change(ip, entry.state, None);
                    event(NeighborEvent::Ask { target: ip, unicast });
                }
                State::Failed => {
                    self.take(ip);
                }
                State::Reachable { .. } | State::Stale => self.change(ip, entry.state, None),
            }
        }
    }

    /// Ensures room for one more entry: drops the one unused for longest, but neither questions under way
    /// nor configured neighbours.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < self.capacity {
            return true;
        }
        let victim = self
            .entries
            .iter()
            .filter(|(_, e)| {
                !matches!(e.state, State::Incomplete { .. } | State::Kernel { permanent: true, .. })
            })
            .min_by_key(|(_, e)| (e.state != State::Failed, e.used))
            .map(|(&ip, _)| ip);
        victim.is_some_and(|ip| self.take(ip).is_some())
    }

    fn put(&mut self, ip: IpAddr, mut entry: Entry, due: Option<u64>) {
        entry.due = due;
        self.due.extend(due.map(|at| (at, ip)));
        self.entries.insert(ip, entry);
    }

    fn take(&mut self, ip: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&ip)?;
        if let Some(at) = entry.due {
            self.due.remove(&(at, ip));
        }
        Some(entry)
    }

    fn change(&mut self, ip: IpAddr, state: State, due: Option<u64>) {
        let Some(entry) = self.entries.get_mut(&ip) else { return };
        if let Some(at) = entry.due {
            self.due.remove(&(at, ip));
        }
        entry.state = state;
        entry.due = due;
        self.due.extend(due.map(|at| (at, ip)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: Heard = Heard::Answer { overrides: true };
    const GRATUITOUS: Heard = Heard::Announcement { overrides: true };

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([198, 18, 0, n])
    }

    fn mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n])
    }

    fn cache() -> NeighborCache {
        NeighborCache::new(4, 7)
    }

    fn events(cache: &mut NeighborCache, now: u64) -> Vec<NeighborEvent> {
        let mut out = Vec::new();
        cache.poll(now, &mut |e| out.push(e));
        out
    }

    fn ask(n: u8) -> NeighborEvent {
        NeighborEvent::Ask { target: ip(n), unicast: None }
    }

    #[test]
    fn asks_three_times_a_second_apart_then_reports_unreachable() {
        let mut c = cache();
        assert_eq!(c.resolve(5, ip(1)), Resolution::Pending);
        assert_eq!(c.next_deadline(), Some(5));
        for n in 0..3 {
            assert_eq!(events(&mut c, 5 + n * SECOND_NS), [ask(1)]);
            assert_eq!(events(&mut c, 5 + n * SECOND_NS), []);
        }
        assert_eq!(events(&mut c, 5 + 3 * SECOND_NS), [NeighborEvent::Unreachable(ip(1))]);
        assert_eq!(c.resolve(5 + 3 * SECOND_NS, ip(1)), Resolution::Unreachable);
        assert_eq!(events(&mut c, 5 + 4 * SECOND_NS), []);
        assert_eq!(c.resolve(5 + 4 * SECOND_NS, ip(1)), Resolution::Pending, "asked afresh");
    }

    #[test]
    fn an_answer_releases_what_waited() {
        let mut c = cache();
        c.resolve(0, ip(1));
        assert_eq!(events(&mut c, 0), [ask(1)]);
        assert!(c.heard(1, ip(1), mac(1), ANSWER));
        assert_eq!(c.resolve(2, ip(1)), Resolution::Known(mac(1)));
        assert_eq!(c.next_deadline(), None);
    }

    #[test]
    fn nobody_creates_an_entry_but_by_asking_for_us() {
        let mut c = cache();
        assert!(!c.heard(0, ip(1), mac(1), ANSWER));
        assert!(!c.heard(0, ip(1), mac(1), GRATUITOUS));
        assert_eq!(c.len(), 0);
        assert!(!c.heard(0, ip(1), mac(1), Heard::Question));
        assert_eq!(c.resolve(0, ip(1)), Resolution::Known(mac(1)));
    }

    #[test]
    fn group_and_zero_link_addresses_are_ignored() {
        let mut c = cache();
        c.resolve(0, ip(1));
        for bad in [MacAddr::BROADCAST, MacAddr::UNSPECIFIED, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
            assert!(!c.heard(0, ip(1), bad, ANSWER));
            assert!(!c.learn_from_kernel(0, ip(1), bad, true));
        }
        assert_eq!(c.resolve(0, ip(1)), Resolution::Pending);
    }

    #[test]
    fn a_stale_neighbour_is_used_while_it_is_probed_and_kept_if_it_answers() {
        let mut c = cache();
        c.resolve(0, ip(1));
        c.heard(0, ip(1), mac(1), ANSWER);
        let later = REACHABLE_NS + 1;
        assert_eq!(c.resolve(later, ip(1)), Resolution::Known(mac(1)));
        let probe = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
        assert_eq!(events(&mut c, later + DELAY_NS - 1), []);
        assert_eq!(events(&mut c, later + DELAY_NS), [probe]);
        assert_eq!(c.resolve(later + DELAY_NS, ip(1)), Resolution::Known(mac(1)));
        c.heard(later + DELAY_NS, ip(1), mac(1), ANSWER);
        assert_eq!(c.next_deadline(), None);
    }

    #[test]
    fn a_neighbour_that_left_becomes_unreachable_after_three_probes() {
        let mut c = cache();
        c.heard(0, ip(1), mac(1), Heard::Question);
        c.resolve(0, ip(1));
        let mut seen = Vec::new();
        while let Some(at) = c.next_deadline() {
            seen.extend(events(&mut c, at));
        }
        let probe = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
        assert_eq!(seen, [probe, probe, probe, NeighborEvent::Unreachable(ip(1))]);
        assert_eq!(c.len(), 0);
    }

    #[test]
    fn progress_of_a_connection_spares_the_probe() {
        let mut c = cache();
        c.heard(0, ip(1), mac(1), Heard::Question);
        c.resolve(0, ip(1));
        c.confirm(SECOND_NS, ip(1));
        assert_eq!(events(&mut c, 20 * SECOND_NS), []);
        c.confirm(0, ip(9));
        assert_eq!(c.len(), 1);
    }

    #[test]
    fn a_new_link_address_is_taken_over_after_the_lock_time_only() {
        let mut c = cache();
        c.resolve(0, ip(1));
        c.heard(0, ip(1), mac(1), ANSWER);
        c.heard(LOCK_NS - 1, ip(1), mac(2), GRATUITOUS);
        assert_eq!(c.resolve(LOCK_NS - 1, ip(1)), Resolution::Known(mac(1)));
        c.heard(LOCK_NS, ip(1), mac(2), Heard::Announcement { overrides: false });
        assert_eq!(c.resolve(LOCK_NS, ip(1)), Resolution::Known(mac(1)));
        c.heard(LOCK_NS, ip(1), mac(2), GRATUITOUS);
        assert_eq!(c.resolve(LOCK_NS, ip(1)), Resolution::Known(mac(2)));
    }

    #[test]
    fn what_the_kernel_says_stands_against_the_network() {
        let mut c = cache();
        c.resolve(0, ip(1));
        assert!(c.learn_from_kernel(0, ip(1), mac(1), true));
        c.heard(10 * SECOND_NS, ip(1), mac(2), ANSWER);
        assert_eq!(c.resolve(3600 * SECOND_NS, ip(1)), Resolution::Known(mac(1)));
        assert_eq!(c.next_deadline(), None);
    }

    #[test]
    fn the_kernel_is_asked_to_check_a_neighbour_that_is_used_for_long() {
        let mut c = cache();
        c.learn_from_kernel(0, ip(1), mac(1), false);
        assert_eq!(c.resolve(REACHABLE_NS, ip(1)), Resolution::Known(mac(1)));
        let check = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
        assert_eq!(events(&mut c, REACHABLE_NS), [check]);
        assert_eq!(c.resolve(REACHABLE_NS + 1, ip(1)), Resolution::Known(mac(1)));
        assert_eq!(events(&mut c, REACHABLE_NS + 1), []);
        assert!(!c.forget(ip(1)));
        assert_eq!(c.resolve(REACHABLE_NS + 2, ip(1)), Resolution::Pending);
        assert!(c.forget(ip(1)), "something waited");
        assert_eq!(c.next_deadline(), None);
    }

    #[test]
    fn a_full_table_drops_the_longest_unused_and_never_a_question() {
        let mut c = cache();
        for n in 1..=3 {
            c.heard(u64::from(n), ip(n), mac(n), Heard::Question);
        }
        c.learn_from_kernel(0, ip(4), mac(4), true);
        c.resolve(9, ip(1));
        for n in 5..=7 {
            assert_eq!(c.resolve(10, ip(n)), Resolution::Pending);
        }
        assert_eq!(c.resolve(10, ip(8)), Resolution::Unreachable);
        assert_eq!((c.len(), c.overflows()), (4, 1));
        assert_eq!(c.resolve(10, ip(4)), Resolution::Known(mac(4)));
    }

    #[test]
    fn link_down_forgets_all_but_the_configured() {
        let mut c = cache();
        c.resolve(0, ip(1));
        c.learn_from_kernel(0, ip(2), mac(2), true);
        c.clear();
        assert_eq!((c.len(), c.next_deadline()), (1, None));
    }

    proptest! {
        #[test]
        fn stays_bounded_and_every_question_ends(
            ops in prop::collection::vec((0u8..5, 0u8..8, 0u64..40 * SECOND_NS), 1..200),
        ) {
            let mut c = cache();
            let mut now = 0;
            for (op, n, pause) in ops {
                match op {
                    0 => { c.resolve(now, ip(n)); }
                    1 => { c.heard(now, ip(n), mac(n), ANSWER); }
                    2 => { c.heard(now, ip(n), mac(n), Heard::Question); }
                    3 => c.confirm(now, ip(n)),
                    _ => now += pause,
                }
                c.poll(now, &mut |_| {});
                prop_assert!(c.len() <= 4);
                prop_assert!(c.next_deadline().is_none_or(|at| at > now));
                let filed = c.entries.values().filter(|e| e.due.is_some()).count();
                prop_assert_eq!(filed, c.due.len());
            }
            let mut turns = 0;
            while let Some(at) = c.next_deadline() {
                c.poll(at, &mut |_| {});
                turns += 1;
                prop_assert!(turns < 100);
            }
        }
    }
}
