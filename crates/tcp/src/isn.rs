//! Initial sequence numbers by RFC 6528: a clock plus a keyed hash of the connection's four-tuple.

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use bypath_wire::seq::SeqNum;
use siphasher::sip::SipHasher24;

use crate::time::Instant;

/// Chooses initial sequence numbers and timestamp offsets. One per stack, keyed with secret random numbers.
#[derive(Clone, Debug)]
pub struct IsnGenerator {
    key: (u64, u64),
}

impl IsnGenerator {
    /// A generator with a secret key; take it from the system's random source.
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    fn hash(&self, local: SocketAddr, remote: SocketAddr, purpose: u8) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        (local, remote, purpose).hash(&mut hasher);
        hasher.finish()
    }

    /// `ISN = M + F(local, remote, secret)` with M a clock of 4 µs ticks (RFC 6528 section 3).
    pub fn initial_sequence(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> SeqNum {
        let clock = (now.as_nanos() / 4_000) as u32;
        SeqNum((self.hash(local, remote, 0) as u32).wrapping_add(clock))
    }

    /// Offset of a connection's timestamp clock, so that it tells nothing of the host's uptime
    /// (RFC 7323 section 5.4).
    pub fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.hash(local, remote, 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn the_clock_moves_a_tuple_s_number_by_one_every_four_microseconds() {
        let isn = IsnGenerator::new((1, 2));
        let (a, b) = (addr("198.18.0.1:1"), addr("198.18.0.2:2"));
        let first = isn.initial_sequence(Instant::ZERO, a, b);
        let later = isn.initial_sequence(Instant::from_nanos(4_000_000), a, b);
        assert_eq!(later.offset_from(first), 1_000);
    }

    #[test]
    fn another_tuple_and_another_key_give_unrelated_numbers() {
        let isn = IsnGenerator::new((1, 2));
        let (a, b, c) = (addr("198.18.0.1:1"), addr("198.18.0.2:2"), addr("198.18.0.2:3"));
        let at = Instant::ZERO;
        assert_ne!(isn.initial_sequence(at, a, b), isn.initial_sequence(at, a, c));
        assert_ne!(isn.initial_sequence(at, a, b), IsnGenerator::new((1, 3)).initial_sequence(at, a, b));
        assert_ne!(isn.timestamp_offset(a, b), isn.timestamp_offset(a, c));
    }
}
