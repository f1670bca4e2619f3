//! How large the buffers should be. The receive buffer follows from what the application takes in a round
//! trip, as Linux has it (dynamic right-sizing): twice that and some more, so that a sender whose window doubles every
//! round trip is never held back by ours. The send buffer follows from the congestion window.
//!
//! Sizes only grow, up to the limit in [`Config`](crate::Config): a window that was offered is never taken
//! back. Whoever keeps the bytes asks [`Connection::receive_buffer`] and [`Connection::send_buffer`] how many
//! to keep, and says with [`Connection::on_read`] what the application has taken.

use bypath_wire::seq::SeqNum;

use crate::config::Config;
use crate::connection::{Bits, Connection};
use crate::segment::Segment;
use crate::time::Instant;

/// Full segments that pass between two samples of the receiver's round trip.
const SAMPLE_EVERY: u32 = 8;

/// A tick of the peer's echo of our timestamps (milliseconds).
const TICK_NS: u64 = 1_000_000;

/// What the receiver knows of its round trip and of its application.
#[derive(Debug)]
pub(crate) struct ReceiveTuner {
    /// Bytes the receive buffer should hold now.
    pub(crate) buffer: u32,
    /// Bytes that it does hold, where there was no memory for more.
    pub(crate) present: u32,
    /// Round trip as a receiver sees it; 0: not known.
    rtt_ns: u64,
    /// The next sample is taken when this has been received.
    pub(crate) sample_after: SeqNum,
    /// When the window that ends at `sample_after` was offered; without timestamps only.
    offered_at: Instant,
    /// Up to where the application had read when the present round trip began, and when that was.
    round_began: (SeqNum, Instant),
    /// Most bytes taken in one round trip.
    most_in_round: u32,
}

impl ReceiveTuner {
    pub(crate) fn new(config: &Config) -> Self {
        let buffer = config.first_receive_buffer();
        Self {
            buffer,
            present: buffer,
            rtt_ns: 0,
            sample_after: SeqNum(0),
            offered_at: Instant::NEVER,
            round_began: (SeqNum(0), Instant::ZERO),
            most_in_round: buffer.min(10 * u32::from(config.mss)),
        }
    }

    /// What has to be kept of a connection that sleeps.
    pub(crate) fn kept(&self) -> [u32; 3] {
        [self.buffer, self.present, self.most_in_round]
    }

    /// Goes on from what [`ReceiveTuner::kept`] has told.
    pub(crate) fn resume(
        config: &Config,
        now: Instant,
        rcv_nxt: SeqNum,
        srtt_ns: u64,
        [buffer, present, most_in_round]: [u32; 3],
    ) -> Self {
        let mut tuner = Self { buffer, present, most_in_round, ..Self::new(config) };
        tuner.start(now, rcv_nxt, Some(srtt_ns));
        tuner
    }

    /// The connection is open: measuring begins.
    pub(crate) fn start(&mut self, now: Instant, rcv_nxt: SeqNum, handshake_ns: Option<u64>) {
        self.rtt_ns = handshake_ns.unwrap_or(0);
        self.sample_after = rcv_nxt;
        self.round_began = (rcv_nxt, now);
    }

    fn sample(&mut self, ns: u64, least_ns: u64) {
        let sample = ns.max(least_ns).max(1);
        self.rtt_ns = if self.rtt_ns == 0 || sample < self.rtt_ns {
            sample
        } else {
            // The peer's pauses are in it as well: a larger one is believed slowly.
            self.rtt_ns + (sample - self.rtt_ns) / 8
        };
    }

    /// A round trip has passed in which the application took `copied` bytes.
    fn grow(&mut self, copied: u32, mss: u32, limit: u32) {
        let before = self.most_in_round.max(1);
        if copied <= before {
            return;
        }
        self.most_in_round = copied;
        let wanted = u64::from(copied) * 2 + 16 * u64::from(mss);
        // The rate rises: in the round trip that this answers it will have risen again.
        let rise = wanted * u64::from(copied - before) / u64::from(before);
        let wanted = wanted + 2 * rise.min(2 * wanted);
        if wanted > u64::from(self.buffer) {
            // By doubling: whoever moves the bytes to a larger place does it seldom.
            let rounded = u32::try_from(wanted.next_power_of_two()).unwrap_or(u32::MAX);
            self.buffer = rounded.min(limit).max(self.buffer);
        }
    }
}

impl Connection {
    /// Bytes that the receive buffer should hold now; grows up to
    /// [`Config::receive_buffer`](crate::Config::receive_buffer).
    pub fn receive_buffer(&self) -> u32 {
        self.cold.tuner.buffer
    }

    /// Bytes that the send buffer should hold now: what is in flight, and as much again to be sent when it is
    /// acknowledged. Once more for an algorithm whose window losses leave as it is (as Linux has it for BBR): what has
    /// arrived behind a hole takes room until the hole is filled. The caller has bounds of its own.
    pub fn send_buffer(&self) -> u32 {
        let window = self.hot.window;
        let windows = if self.cold.congestion.rules_recovery() { 3 } else { 2 };
        window.cwnd.saturating_mul(windows).saturating_add(16 * window.mss)
    }

    /// Of what has been received in order the application has yet to take `unread` bytes. Call it when it has
    /// taken some, before [`Connection::set_receive_space`].
    pub fn on_read(&mut self, now: Instant, unread: u32) {
        let limit = self.cold.config.receive_buffer;
        let tuner = &mut self.cold.tuner;
        if tuner.buffer >= limit || !self.cold.config.tune_receive_buffer {
            return;
        }
        let rtt = tuner.rtt_ns;
        let (before, since) = tuner.round_began;
        if rtt == 0 || now.nanos_since(since) < rtt {
            return;
        }
        let read = self.hot.rcv_nxt - unread;
        let copied = u32::try_from(read.offset_from(before)).unwrap_or(0);
        tuner.grow(copied, self.hot.window.mss, limit);
        tuner.round_began = (read, now);
    }

    /// Data has arrived after a while without a sample of the receiver's round trip: from the time stamp that
    /// the peer echoes, or from how long it took the peer to use up a window.
    #[inline(never)]
    pub(crate) fn measure_receiver_rtt(&mut self, now: Instant, segment: &Segment<'_>) {
        let least = self.cold.rtt.min_ns().unwrap_or(0);
        let rcv_nxt = self.hot.rcv_nxt;
        let edge = self.hot.rcv_edge;
        let clock = self.timestamps(now).value;
        let stamped = self.hot.bits.has(Bits::TIMESTAMPS);
        let tuner = &mut self.cold.tuner;
        match segment.options.timestamps {
            Some(ts) if stamped => {
                tuner.sample_after = rcv_nxt + SAMPLE_EVERY * self.hot.window.mss;
                let ticks = clock.wrapping_sub(ts.echo);
                if ticks < u32::MAX / 2 {
                    tuner.sample((u64::from(ticks) * TICK_NS).max(TICK_NS / 2), least);
                }
            }
            _ => {
                if tuner.offered_at != Instant::NEVER {
                    let took = now.nanos_since(tuner.offered_at);
                    // A sender that is not held back by the window takes longer than a round trip for it.
                    if tuner.rtt_ns == 0 || took < tuner.rtt_ns {
                        tuner.sample(took, least);
                    }
                }
                tuner.offered_at = now;
                tuner.sample_after = edge.later(rcv_nxt + 1);
            }
        }
    }
}
