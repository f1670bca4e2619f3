//! Pacing: data leaves at a rate, in batches, instead of a window at once. The rate comes from the congestion
//! control; [`Connection::poll_transmit`] holds data back until it is due, and
//! [`Connection::next_deadline`](crate::Connection::next_deadline) says when that is. Acknowledgements, probes and
//! SYNs are not held.
//!
//! The schedule does not depend on how late the caller comes: what a late wake-up has cost is made up for, up to
//! a batch, so that the average is the rate asked for.

use crate::config::Pacing;
use crate::connection::{Bits, Connection};
use crate::time::Instant;

/// Longest time that a batch stands for.
const BATCH_NS: u64 = 1_000_000;
/// Largest batch, bytes: what is handed over at once on a fast path.
const LARGEST_BATCH: u64 = 64 << 10;

/// The rate and the schedule of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pacer {
    /// Bytes a second; 0: not known yet, nothing is held.
    rate: u64,
    /// When what was sent so far has left at the rate.
    next: Instant,
    /// Bytes that the present batch still has.
    left: u32,
    /// Data was held back, and has not been let go since.
    held: bool,
    /// Nothing goes out before, whatever the rate; while `Bits::HELD` says so.
    hold_until: Instant,
    /// When the caller is to ask again; none while nothing is held.
    pub(crate) wake_at: Option<Instant>,
}

impl Pacer {
    /// Bytes that go out together: a millisecond's worth, at least two segments.
    fn batch(&self, mss: u32) -> u32 {
        let bytes = (self.rate / (1_000_000_000 / BATCH_NS)).min(LARGEST_BATCH);
        (bytes as u32).max(2 * mss)
    }

    fn nanos(&self, bytes: u32) -> u64 {
        (u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1))) as u64
    }

    /// Whether data may go out at `now`.
    fn may_send(&mut self, now: Instant, mss: u32) -> bool {
        if self.left > 0 || self.rate == 0 {
            return true;
        }
        if !self.next.is_due(now) {
            self.wake_at = Some(self.next);
            self.held = true;
            return false;
        }
        self.left = self.batch(mss);
        // A caller that was told when to come, and is late by less than a batch, makes up for it. A pause, of the
        // application or for want of a window, is no credit.
        let credit = if core::mem::take(&mut self.held) { self.nanos(self.left) } else { 0 };
        self.next = self.next.max(Instant::from_nanos(now.as_nanos().saturating_sub(credit)));
        true
    }

    /// `bytes` have gone out at `now`.
    fn sent(&mut self, now: Instant, bytes: u32) {
        if self.rate == 0 {
            return;
        }
        self.left = self.left.saturating_sub(bytes);
        let start = if self.next == Instant::ZERO { now } else { self.next };
        self.next = start.plus_nanos(self.nanos(bytes));
    }
}

impl Connection {
    /// Pacing as configured, from the moment that the connection is established.
    pub(crate) fn start_pacing(&mut self) {
        let paced = match self.cold.config.pacing {
            Pacing::On => true,
            Pacing::Off => false,
            Pacing::Auto => self.cold.congestion.needs_pacing(),
        };
        if paced {
            self.hot.bits.set(Bits::PACED);
            self.refresh_pacing();
        }
    }

    /// Whether pacing holds data back at `now`; the deadline then says until when.
    #[inline]
    pub(crate) fn held_by_pacing(&mut self, now: Instant) -> bool {
        self.hot.bits.has(Bits::PACED.or(Bits::HELD)) && !self.hot.bits.has(Bits::FORCE) && self.hold(now)
    }

    /// No data goes out before `until`.
    pub(crate) fn hold_until(&mut self, until: Instant) {
        self.cold.pacer.hold_until = until;
        self.hot.bits.set(Bits::HELD);
    }

    #[inline(never)]
    fn hold(&mut self, now: Instant) -> bool {
        let pacer = &mut self.cold.pacer;
        let stopped = self.hot.bits.has(Bits::HELD) && !pacer.hold_until.is_due(now);
        let held = if stopped {
            pacer.wake_at = Some(pacer.hold_until);
            true
        } else {
            self.hot.bits.clear(Bits::HELD);
            self.hot.bits.has(Bits::PACED) && !pacer.may_send(now, self.hot.window.mss)
        };
        if held {
            self.refresh_aux();
        }
        held
    }

    /// `bytes` of data, new or again, have gone out.
    #[inline]
    pub(crate) fn note_paced(&mut self, now: Instant, bytes: u32) {
        if self.hot.bits.has(Bits::PACED) {
            self.cold.pacer.sent(now, bytes);
        }
    }

    /// The rate after an acknowledgement, or when the connection opens.
    pub(crate) fn refresh_pacing(&mut self) {
        if self.hot.bits.has(Bits::PACED) {
            let srtt_ns = self.cold.rtt.srtt_ns().unwrap_or(0);
            self.cold.pacer.rate = self.cold.congestion.pacing_rate(&self.hot.window, srtt_ns);
        }
    }

    /// Bytes a second at which data leaves; `None`: as fast as the windows let it.
    pub fn pacing_rate(&self) -> Option<u64> {
        (self.hot.bits.has(Bits::PACED) && self.cold.pacer.rate > 0).then_some(self.cold.pacer.rate)
    }

    pub(crate) fn pacing_deadline(&self) -> Instant {
        self.cold.pacer.wake_at.unwrap_or(Instant::NEVER)
    }

    /// The deadline has come, or nothing is held any more.
    pub(crate) fn on_pacing_timer(&mut self, now: Instant) {
        if self.pacing_deadline().is_due(now) {
            self.cold.pacer.wake_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn pacer(rate: u64) -> Pacer {
        Pacer { rate, ..Pacer::default() }
    }

    /// Sends for `ms` milliseconds from `start_ns`, asking `late_ns` after each deadline; bytes and batches.
    fn run(p: &mut Pacer, start_ns: u64, ms: u64, late_ns: u64) -> (u64, u64) {
        let (mut now, end) = (Instant::from_nanos(start_ns), Instant::from_nanos(start_ns + ms * 1_000_000));
        let (mut bytes, mut batches) = (0, 0);
        while now < end {
            if p.may_send(now, MSS) {
                batches += 1;
                while p.may_send(now, MSS) {
                    p.sent(now, MSS);
                    bytes += u64::from(MSS);
                }
            }
            now = p.wake_at.take().expect("held until").plus_nanos(late_ns);
        }
        (bytes, batches)
    }

    #[test]
    fn a_second_at_a_rate_is_the_rate() {
        for rate in [100_000, 12_500_000, 125_000_000, 1_250_000_000] {
            let (bytes, _) = run(&mut pacer(rate), 77_000, 1_000, 0);
            assert!(bytes.abs_diff(rate) <= rate / 100 + 2 * u64::from(MSS), "{bytes} of {rate}");
        }
    }

    #[test]
    fn a_caller_that_is_always_late_still_sends_at_the_rate() {
        let (bytes, _) = run(&mut pacer(125_000_000), 77_000, 1_000, 40_000);
        assert!(bytes.abs_diff(125_000_000) <= 1_250_000, "{bytes}");
    }

    #[test]
    fn a_pause_is_followed_by_a_batch_and_no_burst() {
        let mut p = pacer(12_500_000);
        run(&mut p, 77_000, 10, 0);
        let (bytes, _) = run(&mut p, 10_000_000_000, 10, 0);
        assert!(bytes <= 125_000 + 2 * 12_500 + 2_000, "{bytes} in 10 ms after a pause");
    }

    #[test]
    fn a_batch_is_a_millisecond_of_the_rate_between_two_segments_and_64_kib() {
        assert_eq!(pacer(12_500_000).batch(MSS), 12_500);
        assert_eq!(pacer(100_000).batch(MSS), 2_000);
        assert_eq!(pacer(1_250_000_000).batch(MSS), 65_536);
        let (_, batches) = run(&mut pacer(12_500_000), 77_000, 1_000, 0);
        assert!((900..=1_100).contains(&batches), "{batches} batches in a second");
    }
}
