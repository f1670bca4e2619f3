//! SYN cookies that connections were made of. A cookie is good for two minutes and nothing of it is kept, so that
//! the acknowledgement that completed its handshake, coming once more when the connection is over, would make the
//! connection anew. Which cookies are spent is remembered as hashes, in a table of fixed size: in each set of four
//! places the oldest makes room.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use bypath_tcp::Instant;
use bypath_wire::SeqNum;
use siphasher::sip::SipHasher13;

/// Places in a set.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    hash: u64,
    /// Nothing is remembered here any more from then on, in nanoseconds.
    until: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SpentCookies {
    key: (u64, u64),
    sets: usize,
    /// Taken with the first cookie that is spent.
    places: Vec<Spent>,
}

impl SpentCookies {
    /// For about `capacity` cookies.
    pub(crate) fn new(capacity: usize, key: (u64, u64)) -> Self {
        Self { key, sets: capacity.div_ceil(WAYS).max(1), places: Vec::new() }
    }

    fn hash(&self, local: SocketAddr, remote: SocketAddr, cookie: SeqNum) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        (local, remote, cookie.0).hash(&mut hasher);
        hasher.finish()
    }

    fn set_of(&self, hash: u64) -> std::ops::Range<usize> {
        let set = (hash % self.sets as u64) as usize;
        set * WAYS..(set + 1) * WAYS
    }

    /// A connection was made of `cookie`, which is good until `until`.
    pub(crate) fn spend(
        &mut self,
        (local, remote): (SocketAddr, SocketAddr),
        cookie: SeqNum,
        until: Instant,
    ) {
        if self.places.is_empty() {
            self.places.resize(self.sets * WAYS, Spent::default());
        }
        let hash = self.hash(local, remote, cookie);
        let set = self.set_of(hash);
        let oldest = self.places.get_mut(set).and_then(|set| set.iter_mut().min_by_key(|spent| spent.until));
        if let Some(place) = oldest {
            *place = Spent { hash, until: until.as_nanos() };
        }
    }

    /// Whether a connection was made of it.
    pub(crate) fn is_spent(
        &self,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        cookie: SeqNum,
    ) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let hash = self.hash(local, remote, cookie);
        let set = self.places.get(self.set_of(hash)).unwrap_or_default();
        set.iter().any(|spent| spent.hash == hash && spent.until > now.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> (SocketAddr, SocketAddr) {
        (SocketAddr::from(([198, 18, 0, 1], 80)), SocketAddr::from(([198, 18, 0, 2], port)))
    }

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn a_cookie_is_spent_for_its_connection_and_as_long_as_it_is_good() {
        let mut spent = SpentCookies::new(64, (1, 2));
        assert!(!spent.is_spent(at(0), ends(1), SeqNum(7)));
        spent.spend(ends(1), SeqNum(7), at(100));
        assert!(spent.is_spent(at(99), ends(1), SeqNum(7)));
        assert!(!spent.is_spent(at(100), ends(1), SeqNum(7)));
        assert!(!spent.is_spent(at(0), ends(2), SeqNum(7)) && !spent.is_spent(at(0), ends(1), SeqNum(8)));
    }

    #[test]
    fn of_more_than_there_are_places_the_latest_are_remembered() {
        let mut spent = SpentCookies::new(64, (1, 2));
        for n in 1..=10_000 {
            spent.spend(ends(n), SeqNum(7), at(1_000_000 + u64::from(n)));
            assert!(spent.is_spent(at(0), ends(n), SeqNum(7)));
        }
        assert_eq!(spent.places.len(), 64);
        assert!(!spent.is_spent(at(0), ends(1), SeqNum(7)));
    }
}
