//! How fast the path delivers, measured by what each acknowledgement brings
//! (draft-cheng-iccrg-delivery-rate-estimation, now section 4.1 of draft-ietf-ccwg-bbr), and the round trips
//! that are counted by it.
//!
//! Everything that is sent carries a [`Snapshot`] of the counters at that time, in its span of the scoreboard.
//! When it arrives, the difference to the counters of now says how much was delivered in between. The
//! scoreboard calls in; congestion control gets the samples.

#![allow(dead_code, reason = "read by algorithms that measure the path")]

use crate::time::Instant;

/// The counters of a connection at the time at which something was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshot {
    /// When the last delivery before was acknowledged.
    delivered_at: Instant,
    /// When the sending whose acknowledgement that was, had been sent.
    first_sent_at: Instant,
    /// Bytes delivered before.
    pub(crate) delivered: u64,
    /// Bytes lost before, modulo 2^32.
    lost: u32,
    /// Bytes in flight before, without this sending.
    pub(crate) in_flight: u32,
    /// The application, not the window, limited what was in flight.
    app_limited: bool,
}

/// What the delivery of one sending says about the path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSample {
    /// Bytes delivered in the interval.
    pub(crate) delivered: u64,
    /// Nanoseconds in which they were; 0: the interval is too short to mean anything.
    pub(crate) interval_ns: u64,
    /// Bytes that had been delivered when the sending went out.
    pub(crate) prior_delivered: u64,
    /// Bytes that were in flight when it went out, itself included.
    pub(crate) in_flight: u32,
    /// Bytes lost since it went out.
    pub(crate) lost: u32,
    /// The rate is what the application gave, not what the path could.
    pub(crate) app_limited: bool,
}

impl RateSample {
    /// Bytes a second; `None` without an interval.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        if self.interval_ns == 0 {
            return None;
        }
        let bytes = u128::from(self.delivered) * 1_000_000_000 / u128::from(self.interval_ns);
        Some(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// A loss as seen from what was in flight when the lost bytes were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossSample {
    /// Bytes in flight when they were sent, themselves included.
    pub(crate) in_flight: u32,
    /// Bytes lost from then on, these included.
    pub(crate) lost: u32,
    /// How many these are.
    pub(crate) len: u32,
    /// The application, not the window, limited what was in flight.
    pub(crate) app_limited: bool,
}

/// The part of what is in flight whose loss is remarkable: BBR's threshold.
const REMARKABLE: f64 = 0.02;

/// Whether `lost` bytes of `of` are more than 2 %, and not by chance: where 2 % are lost at random, two deviations
/// more are not rare in the few segments that a round trip has.
pub(crate) fn is_remarkable(lost: u64, of: u64, segment: u32) -> bool {
    let segment = f64::from(segment.max(1));
    let expected = REMARKABLE * of as f64 / segment;
    lost as f64 / segment > expected + 2.0 * expected.sqrt()
}

/// The counters of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeliveryRate {
    /// Bytes that are known to have arrived, by acknowledgement or SACK.
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// While the last application-limited bytes are not delivered: where they end, as a count of `delivered`.
    app_limited_until: u64,
    /// Bytes marked lost, modulo 2^32, and how many of them have been told of.
    lost: u32,
    lost_told: u32,
    /// Bytes of a full segment.
    segment: u32,
    /// A round trip is over when something is delivered that was sent after so many bytes had been.
    round_end: u64,
    /// The first loss since the last acknowledgement that exceeds the threshold, in proportion to what was in
    /// flight.
    remarkable: Option<LossSample>,
}

impl DeliveryRate {
    /// Bytes that are known to have arrived.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Full segments have `segment` bytes from here on.
    pub(crate) fn set_segment(&mut self, segment: u32) {
        self.segment = segment;
    }

    /// Whether anything was marked lost since [`DeliveryRate::take_lost`] was last asked.
    pub(crate) fn more_lost(&self) -> bool {
        self.lost != self.lost_told
    }

    /// Bytes marked lost since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u32 {
        let newly = self.lost.wrapping_sub(self.lost_told);
        self.lost_told = self.lost;
        newly
    }

    /// The counters, for something that goes out at `now` while `in_flight` bytes are under way.
    pub(crate) fn on_send(&mut self, now: Instant, in_flight: u32) -> Snapshot {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            delivered: self.delivered,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited_until > 0,
        }
    }

    /// `len` bytes are newly known to have arrived.
    pub(crate) fn on_delivered(&mut self, len: u32) {
        self.delivered += u64::from(len);
    }

    /// `len` bytes that were sent with `sent` are thought lost.
    pub(crate) fn on_lost(&mut self, sent: &Snapshot, len: u32) {
        self.lost = self.lost.wrapping_add(len);
        let loss = LossSample {
            in_flight: sent.in_flight.saturating_add(len),
            lost: self.lost.wrapping_sub(sent.lost),
            len,
            app_limited: sent.app_limited,
        };
        if self.remarkable.is_none()
            && is_remarkable(u64::from(loss.lost), u64::from(loss.in_flight), self.segment)
        {
            self.remarkable = Some(loss);
        }
    }

    /// The first remarkable loss since this was last asked.
    pub(crate) fn take_remarkable_loss(&mut self) -> Option<LossSample> {
        self.remarkable.take()
    }

    /// The application has nothing more to send though it might: until what is in flight now has arrived,
    /// samples say nothing about the path.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// Whether samples are limited by the application.
    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited_until > 0
    }

    /// An acknowledgement at `now` brought deliveries, and the sending that went out last among them did so at
    /// `sent_at` with the counters `sent`. `true`: a round trip is over.
    pub(crate) fn on_ack(&mut self, now: Instant, sent_at: Instant, sent: &Snapshot) -> bool {
        self.delivered_at = now;
        self.first_sent_at = sent_at;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let over = sent.delivered >= self.round_end;
        if over {
            self.round_end = self.delivered;
        }
        over
    }

    /// The sample that this delivery gives; to be asked after [`DeliveryRate::on_ack`]. An interval shorter than
    /// `min_rtt_ns` is a burst of acknowledgements, not a rate.
    pub(crate) fn sample(&self, sent_at: Instant, sent: &Snapshot, len: u32, min_rtt_ns: u64) -> RateSample {
        let send_ns = sent_at.nanos_since(sent.first_sent_at);
        let ack_ns = self.delivered_at.nanos_since(sent.delivered_at);
        let interval = send_ns.max(ack_ns);
        RateSample {
            delivered: self.delivered - sent.delivered,
            interval_ns: if interval < min_rtt_ns { 0 } else { interval },
            prior_delivered: sent.delivered,
            in_flight: sent.in_flight.saturating_add(len),
            lost: self.lost.wrapping_sub(sent.lost),
            app_limited: sent.app_limited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000 * MS + ms * MS)
    }

    #[test]
    fn what_was_delivered_between_sending_and_acknowledgement_is_the_rate() {
        let mut d = DeliveryRate::default();
        let first = d.on_send(at(0), 0);
        let second = d.on_send(at(5), 10_000);
        d.on_delivered(10_000);
        assert!(d.on_ack(at(10), at(0), &first), "the first round trip");
        d.on_delivered(10_000);
        assert!(!d.on_ack(at(15), at(5), &second), "sent in the same round");
        let sample = d.sample(at(5), &second, 10_000, 10 * MS);
        assert_eq!((sample.delivered, sample.interval_ns), (20_000, 15 * MS));
        assert_eq!(sample.bytes_per_second(), Some(1_333_333));
        assert_eq!(sample.in_flight, 20_000);
    }

    #[test]
    fn acknowledgements_that_come_in_a_burst_do_not_raise_the_rate_above_the_rate_of_sending() {
        let mut d = DeliveryRate::default();
        let first = d.on_send(at(0), 0);
        let second = d.on_send(at(50), 10_000);
        d.on_delivered(10_000);
        d.on_ack(at(60), at(0), &first);
        d.on_delivered(10_000);
        // The acknowledgements were held back and arrive together.
        d.on_ack(at(60), at(50), &second);
        let sample = d.sample(at(50), &second, 10_000, 10 * MS);
        assert_eq!(sample.interval_ns, 60 * MS);
    }

    #[test]
    fn an_interval_below_the_smallest_round_trip_gives_no_rate() {
        let mut d = DeliveryRate::default();
        let sent = d.on_send(at(0), 0);
        d.on_delivered(1_000);
        d.on_ack(at(3), at(0), &sent);
        assert_eq!(d.sample(at(0), &sent, 1_000, 10 * MS).bytes_per_second(), None);
    }

    #[test]
    fn samples_are_application_limited_until_all_that_was_in_flight_has_arrived() {
        let mut d = DeliveryRate::default();
        let first = d.on_send(at(0), 0);
        d.on_app_limited(1_000);
        let second = d.on_send(at(1), 1_000);
        d.on_delivered(1_000);
        d.on_ack(at(10), at(0), &first);
        assert!(!d.sample(at(0), &first, 1_000, MS).app_limited);
        assert!(d.is_app_limited());
        d.on_delivered(1_000);
        d.on_ack(at(11), at(1), &second);
        assert!(d.sample(at(1), &second, 1_000, MS).app_limited);
        assert!(!d.is_app_limited());
    }

    #[test]
    fn a_loss_beyond_two_percent_and_beyond_chance_is_remarkable_and_reported_once() {
        let mut d = DeliveryRate::default();
        d.set_segment(1_000);
        let sent = d.on_send(at(0), 99_000);
        for _ in 0..4 {
            d.on_lost(&sent, 1_000);
        }
        assert!(d.take_remarkable_loss().is_none(), "four of a hundred happen where two are lost on average");
        d.on_lost(&sent, 1_000);
        let loss = d.take_remarkable_loss().expect("beyond");
        assert_eq!((loss.lost, loss.in_flight, loss.len), (5_000, 100_000, 1_000));
        assert!(d.take_remarkable_loss().is_none());
    }
}
