//! Challenge acknowledgements (RFC 5961) and their limits: a few a second for each connection, and for all of a
//! stack a number that nobody can guess. With a fixed number an attacker who shares the stack could count
//! how many are left, and so learn which connections exist and where their windows are (CVE-2016-5696).

use crate::connection::{Bits, Connection};
use crate::segment::{Events, Received};
use crate::time::Instant;

/// What a connection has sent of them.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    /// The second in which `sent` were sent (RFC 5961 section 7).
    second: u64,
    sent: u8,
    /// The last one asked for an acknowledgement that nothing else had.
    asked: bool,
}

impl Connection {
    /// A challenge acknowledgement, if not too many went out this second.
    pub(crate) fn challenge(&mut self, now: Instant, out: &mut Received) {
        let waiting = self.hot.bits.has(Bits::ACK_NOW);
        if self.limited_ack(now) {
            self.cold.challenges.asked = !waiting;
            self.cold.stats.challenge_acks += 1;
            out.events.insert(Events::CHALLENGED);
        } else {
            self.cold.stats.challenge_acks_withheld += 1;
        }
    }

    /// Takes back the challenge acknowledgement of the segment that was just received: the stack as a whole has
    /// sent enough of them.
    pub fn withhold_challenge(&mut self) {
        if core::mem::take(&mut self.cold.challenges.asked) {
            self.hot.bits.clear(Bits::ACK_NOW);
        }
        self.cold.stats.challenge_acks = self.cold.stats.challenge_acks.saturating_sub(1);
        self.cold.stats.challenge_acks_withheld += 1;
    }

    /// An acknowledgement that carries no news. `false`: too many went out this second.
    pub(crate) fn limited_ack(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        let most = self.cold.config.challenge_acks_per_connection;
        let challenges = &mut self.cold.challenges;
        if second != challenges.second {
            challenges.second = second;
            challenges.sent = 0;
        }
        if challenges.sent >= most {
            return false;
        }
        challenges.sent += 1;
        self.hot.bits.set(Bits::ACK_NOW);
        true
    }
}

/// The limit for all connections of a stack together. In each second it is another number, between half of what
/// was asked for and half as much again.
#[derive(Clone, Debug)]
pub struct ChallengeLimiter {
    per_second: u32,
    second: u64,
    left: u32,
    random: u64,
}

impl ChallengeLimiter {
    /// About `per_second` of them; take the seed from the system's random source.
    pub const fn new(per_second: u32, seed: u64) -> Self {
        Self { per_second, second: u64::MAX, left: 0, random: seed | 1 }
    }

    /// Whether one more may go out now.
    pub fn allow(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.left = self.per_second / 2 + self.below(self.per_second.saturating_add(1));
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }

    /// A number below `bound`, by xorshift64*.
    fn below(&mut self, bound: u32) -> u32 {
        let mut x = self.random;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        let high = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((high * u64::from(bound.max(1))) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed_in(limiter: &mut ChallengeLimiter, second: u64) -> u32 {
        let now = Instant::from_nanos(second * 1_000_000_000);
        (0..10_000).map(|_| u32::from(limiter.allow(now))).sum()
    }

    #[test]
    fn every_second_has_another_limit_around_what_was_asked_for() {
        let mut limiter = ChallengeLimiter::new(1_000, 7);
        let counts: Vec<u32> = (0..200).map(|second| allowed_in(&mut limiter, second)).collect();
        assert!(counts.iter().all(|n| (500..=1_500).contains(n)), "{counts:?}");
        let distinct: std::collections::HashSet<u32> = counts.iter().copied().collect();
        assert!(distinct.len() > 150, "{}", distinct.len());
        let mean = counts.iter().sum::<u32>() / 200;
        assert!((900..1_100).contains(&mean), "{mean}");
    }

    #[test]
    fn another_seed_has_other_limits() {
        let limits = |seed| {
            let mut limiter = ChallengeLimiter::new(1_000, seed);
            (0..8).map(|second| allowed_in(&mut limiter, second)).collect::<Vec<_>>()
        };
        assert_ne!(limits(1), limits(3));
    }
}
