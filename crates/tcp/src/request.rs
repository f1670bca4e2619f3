//! A connection request at a listener: a SYN that was answered and whose answer is not acknowledged yet
//! (SYN-RECEIVED after a passive open, RFC 9293 section 3.10.7.4). It keeps what the SYN said and nothing
//! else, so that half-open connections are cheap; a [`Connection`] is made when the handshake completes.

use std::sync::Arc;

use core::time::Duration;

use arrayvec::ArrayVec;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::autotune::ReceiveTuner;
use crate::config::Config;
use crate::connection::{Bits, Connection};
use crate::ecn::answer_to_syn;
use crate::open::offer;
use crate::reset::{bare, reset_for};
use crate::segment::{Purpose, Segment, TxSegment};
use crate::stats::DropCause;
use crate::time::Instant;

/// No window scale in the SYN.
const NO_SCALE: u8 = u8::MAX;

/// What a SYN said, and how it was answered. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    irs: SeqNum,
    iss: SeqNum,
    /// The peer's timestamp, if it sends them.
    stamp: Option<u32>,
    window: u16,
    /// 0: not said.
    mss: u16,
    scale: u8,
    sack: bool,
    /// Of the SYN: its ECN bits decide what is agreed on.
    flags: TcpFlags,
    /// Answers sent.
    sent: u8,
    /// When the first of them went out; never, if that was not kept.
    sent_at: Instant,
}

const _: () = assert!(size_of::<Request>() <= 40, "a half-open connection is small");

/// What a segment means to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The handshake is complete: [`Request::open`] the connection and give it the segment.
    Open,
    /// The peer has not got the answer: send [`Request::syn_ack`] again.
    Again,
    /// Send this; the request stays.
    Answer(TxSegment, DropCause),
    /// Nothing to do; the request stays.
    Ignore(DropCause),
    /// The request is over, and the listener listens on.
    Forget(DropCause),
}

impl Request {
    /// Takes `syn` (SYN set, neither RST nor ACK), which is answered with the initial sequence number `iss`.
    pub fn new(now: Instant, iss: SeqNum, syn: &Segment<'_>) -> Self {
        let options = syn.options;
        Self {
            irs: syn.header.seq,
            iss,
            stamp: options.timestamps.map(|ts| ts.value),
            window: syn.header.window,
            mss: options.mss.unwrap_or(0),
            scale: options.window_scale.map_or(NO_SCALE, |scale| scale.min(14)),
            sack: options.sack_permitted,
            flags: syn.header.flags,
            sent: 0,
            sent_at: now,
        }
    }

    /// The request that `ack` shows to have been there: all that is known of it is what a cookie kept, the
    /// peer's MSS and its options.
    pub(crate) fn recalled(ack: &Segment<'_>, mss: u16, kept: Kept) -> Self {
        Self {
            irs: ack.header.seq - 1,
            iss: ack.header.ack - 1,
            stamp: ack.options.timestamps.map(|ts| ts.value),
            window: ack.header.window,
            mss,
            scale: kept.scale.unwrap_or(NO_SCALE),
            sack: kept.sack,
            flags: if kept.ecn { TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR } else { TcpFlags::SYN },
            sent: 1,
            sent_at: Instant::NEVER,
        }
    }

    /// Initial sequence number of our side.
    pub fn iss(&self) -> SeqNum {
        self.iss
    }

    /// How often it was answered.
    pub fn answers(&self) -> u8 {
        self.sent
    }

    /// The SYN again, as far as it was kept.
    fn syn(&self) -> (TcpHeader, TcpOptions) {
        let header =
            TcpHeader { seq: self.irs, flags: self.flags, window: self.window, ..TcpHeader::default() };
        let options = TcpOptions {
            mss: (self.mss != 0).then_some(self.mss),
            window_scale: (self.scale != NO_SCALE).then_some(self.scale),
            sack_permitted: self.sack,
            timestamps: self.stamp.map(|value| Timestamps { value, echo: 0 }),
            ..TcpOptions::default()
        };
        (header, options)
    }

    /// The answer to the SYN. It grants `cookie` to a peer that asked for one (RFC 7413 section 4.1.1).
    pub fn syn_ack(
        &mut self,
        config: &Config,
        now: Instant,
        ts_offset: u32,
        cookie: Option<ArrayVec<u8, 16>>,
    ) -> TxSegment {
        self.sent = self.sent.saturating_add(1);
        let (_, syn) = self.syn();
        let mut options = offer(config, Some(&syn), clock(now, ts_offset));
        options.fast_open = cookie;
        let mut segment = bare(self.iss, self.irs + 1, TcpFlags::SYN | TcpFlags::ACK);
        segment.flags |= answer_to_syn(config, self.flags);
        segment.window = first_window(config);
        segment.options = options;
        segment.retransmission = self.sent > 1;
        if segment.retransmission {
            segment.purpose = Purpose::HandshakeAgain;
        }
        segment
    }

    /// How long the last answer is waited for: twice as long each time (RFC 6298 section 5.5).
    pub fn patience(&self, config: &Config) -> Duration {
        let doublings = u32::from(self.sent.saturating_sub(1)).min(16);
        (config.initial_rto * (1 << doublings)).min(config.max_rto)
    }

    /// Takes a segment for the request, check by check as RFC 9293 section 3.10.7.4 has them.
    pub fn on_segment(
        &self,
        config: &Config,
        now: Instant,
        ts_offset: u32,
        segment: &Segment<'_>,
    ) -> Verdict {
        let header = segment.header;
        let flags = header.flags;
        let rcv_nxt = self.irs + 1;
        let again = flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST) == TcpFlags::SYN;
        if again && header.seq == self.irs {
            // The first SYN's options count: the answer to them may be under way.
            return Verdict::Again;
        }
        let answer = |cause| Verdict::Answer(self.acknowledgement(config, now, ts_offset), cause);
        if self.is_stale(config, segment) {
            return answer(DropCause::OldTimestamp);
        }
        let window = u32::from(first_window(config));
        let len = segment.sequence_len();
        let acceptable = header.seq.in_window(rcv_nxt, window.max(1))
            || (len > 1 && (header.seq + (len - 1)).in_window(rcv_nxt, window));
        if !acceptable {
            return if flags.contains(TcpFlags::RST) {
                Verdict::Ignore(DropCause::OutOfWindow)
            } else {
                answer(DropCause::OutOfWindow)
            };
        }
        if flags.contains(TcpFlags::RST) {
            // RFC 5961 section 3.2; the right one takes a passive connection back to LISTEN.
            return if header.seq == rcv_nxt {
                Verdict::Forget(DropCause::StrayReset)
            } else {
                answer(DropCause::BlindReset)
            };
        }
        if flags.contains(TcpFlags::SYN) {
            // Another SYN than the one that was answered: the peer has begun anew, or somebody pretends that
            // it has. Back to LISTEN; a peer that is there says SYN again (RFC 9293 section 3.10.7.4, fourth
            // check).
            return Verdict::Forget(DropCause::BlindSyn);
        }
        if !flags.contains(TcpFlags::ACK) {
            return Verdict::Ignore(DropCause::NoAck);
        }
        if header.ack != self.iss + 1 {
            return match reset_for(segment) {
                Some(reset) => Verdict::Answer(reset, DropCause::BadAck),
                None => Verdict::Ignore(DropCause::BadAck),
            };
        }
        Verdict::Open
    }

    /// Both ends send timestamps, and this one is older than the SYN's (RFC 7323 section 5).
    fn is_stale(&self, config: &Config, segment: &Segment<'_>) -> bool {
        match (self.stamp, segment.options.timestamps) {
            (Some(first), Some(ts)) if config.timestamps && !segment.header.flags.contains(TcpFlags::RST) => {
                (ts.value.wrapping_sub(first) as i32) < 0
            }
            _ => false,
        }
    }

    fn acknowledgement(&self, config: &Config, now: Instant, ts_offset: u32) -> TxSegment {
        let mut ack = bare(self.iss + 1, self.irs + 1, TcpFlags::ACK);
        let shift = if self.scale != NO_SCALE && config.window_scaling { config.window_scale() } else { 0 };
        ack.window = first_window(config) >> shift;
        ack.options.timestamps = self
            .stamp
            .filter(|_| config.timestamps)
            .map(|echo| Timestamps { value: clock(now, ts_offset), echo });
        ack
    }

    /// The connection, in SYN-RECEIVED with its SYN-ACK sent: it takes the segment that completes the
    /// handshake next.
    pub fn open(&self, config: impl Into<Arc<Config>>, now: Instant, ts_offset: u32) -> Connection {
        let (header, options) = self.syn();
        let syn = Segment::new(&header, &options, 0);
        let mut conn = Connection::accept(config, now, self.iss, ts_offset, &syn);
        let _ = conn.poll_transmit(now);
        conn.cold.syn_sent_at = self.sent_at;
        conn.cold.stats.segs_in = u64::from(self.sent);
        conn.cold.stats.segs_out = u64::from(self.sent);
        conn.cold.stats.segs_retrans = u64::from(self.sent - self.sent.min(1));
        if self.sent > 1 {
            conn.hot.bits.set(Bits::SYN_RETRANSMITTED);
        }
        conn
    }
}

/// What a SYN cookie keeps of the options, where the peer sends timestamps back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) ecn: bool,
}

/// The window in a SYN: never scaled, so it says at most 65,535.
pub(crate) fn first_window(config: &Config) -> u16 {
    u16::try_from(ReceiveTuner::new(config).buffer).unwrap_or(u16::MAX)
}

/// Our timestamp clock.
pub(crate) fn clock(now: Instant, ts_offset: u32) -> u32 {
    ((now.as_nanos() / 1_000_000) as u32).wrapping_add(ts_offset)
}
