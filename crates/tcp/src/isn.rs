//! Initial sequence numbers by RFC 6528: a clock plus a keyed hash of the connection's four-tuple.
//!
//! A peer that keeps a connection in TIME-WAIT takes a new one between the same ends only if its numbers or its
//! timestamps are beyond the old one's (RFC 6191): key and clock have to outlive the stack, see
//! [`IsnGenerator::running_since`].

use core::hash::{Hash, Hasher};
use core::net::SocketAddr;

use bypath_wire::seq::SeqNum;
use siphasher::sip::SipHasher24;

use crate::time::Instant;

/// Chooses initial sequence numbers and timestamp offsets. One per stack, keyed with secret random numbers.
#[derive(Clone, Debug)]
pub struct IsnGenerator {
    key: (u64, u64),
    /// What the clock showed at [`Instant::ZERO`], nanoseconds.
    began_ns: u64,
}

impl IsnGenerator {
    /// A generator with a secret key; take it from the system's random source.
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key, began_ns: 0 }
    }

    /// The same whose clock showed `ns` nanoseconds at [`Instant::ZERO`]: time since the host's start, if numbers
    /// are to go on where an earlier stack with this key left off.
    #[must_use]
    pub const fn running_since(self, ns: u64) -> Self {
        Self { began_ns: ns, ..self }
    }

    fn hash(&self, local: SocketAddr, remote: SocketAddr, purpose: u8) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        (local, remote, purpose).hash(&mut hasher);
        hasher.finish()
    }

    /// `ISN = M + F(local, remote, secret)` with M a clock of 4 µs ticks (RFC 6528 section 3).
    pub fn initial_sequence(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> SeqNum {
        let clock = (self.began_ns.wrapping_add(now.as_nanos()) / 4_000) as u32;
        SeqNum((self.hash(local, remote, 0) as u32).wrapping_add(clock))
    }

    /// Offset of a connection's timestamp clock, so that it tells nothing of the host's uptime
    /// (RFC 7323 section 5.4).
    pub fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        (self.hash(local, remote, 1) as u32).wrapping_add((self.began_ns / 1_000_000) as u32)
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
    fn numbers_and_timestamps_go_on_where_an_earlier_stack_with_the_key_left_off() {
        let (a, b) = (addr("198.18.0.1:1"), addr("198.18.0.2:2"));
        let second = 1_000_000_000;
        let earlier = IsnGenerator::new((1, 2)).running_since(5 * second);
        let later = IsnGenerator::new((1, 2)).running_since(9 * second);
        let number = |isn: &IsnGenerator, at| isn.initial_sequence(Instant::from_nanos(at), a, b);
        assert_eq!(number(&earlier, 4 * second), number(&later, 0));
        let value = |isn: &IsnGenerator, at| {
            crate::request::clock(Instant::from_nanos(at), isn.timestamp_offset(a, b))
        };
        assert_eq!(value(&earlier, 4 * second), value(&later, 0));
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
