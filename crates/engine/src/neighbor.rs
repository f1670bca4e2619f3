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
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Times a neighbour found no room because the table was full of questions.
    #[cfg(test)]
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

    /// Forgets everything that was not configured: the link went down. Who still waits asks again.
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
mod tests;
