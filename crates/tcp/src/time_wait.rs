//! TIME-WAIT without a connection (RFC 9293 section 3.6.1): what is needed to answer old duplicates and to know
//! when the same two ends may be connected again, and nothing else.

use std::time::Duration;

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, Timestamps};

use crate::config::CongestionControl;
use crate::connection::{Bits, Connection};
use crate::ecn::EcnFeedback;
use crate::info::{ConnectionInfo, RecoveryState};
use crate::request::clock;
use crate::reset::bare;
use crate::segment::{Segment, TxSegment};
use crate::state::State;
use crate::stats::{ConnectionStats, DropCause};
use crate::time::Instant;

/// A successor begins this far beyond the last sequence number: farther than any window of the old connection
/// reached that is not scaled, and with timestamps it need not be farther.
const BEYOND: u32 = 0x1_0000;

/// Our timestamps tick every millisecond: those of a successor differ after two.
const TICK: Duration = Duration::from_millis(2);

/// What is left of a connection. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWait {
    rcv_nxt: SeqNum,
    snd_nxt: SeqNum,
    /// What was left of the window that the peer was told of.
    window: u32,
    scale: u8,
    /// The peer's last timestamp, if both ends send them.
    stamp: Option<u32>,
    /// When the last segment came.
    last: Instant,
    until: Instant,
    lasts_ns: u64,
}

const _: () = assert!(size_of::<TimeWait>() <= 56, "little is left of a connection in TIME-WAIT");

/// What a segment means in TIME-WAIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing.
    Ignore(Option<DropCause>),
    /// It is answered; [`TimeWait::until`] may have moved.
    Answer(TxSegment, DropCause),
    /// A SYN that may take the place: a new connection begins at this number or beyond.
    Reopen(SeqNum),
    /// The peer has reset it.
    Over,
}

impl Connection {
    /// What is to be kept of a connection in TIME-WAIT, once it has nothing more to send.
    pub fn time_wait(&self) -> Option<TimeWait> {
        let busy = self.hot.bits.has(Bits::ACK_NOW.or(Bits::ACK_DUE)) || self.hot.extra_acks > 0;
        if self.hot.state != State::TimeWait || busy {
            return None;
        }
        Some(TimeWait {
            rcv_nxt: self.hot.rcv_nxt,
            snd_nxt: self.hot.snd_nxt,
            window: self.advertised(),
            scale: self.hot.rcv_scale,
            stamp: self.hot.bits.has(Bits::TIMESTAMPS).then_some(self.hot.ts_recent),
            last: self.hot.last_heard,
            until: self.cold.lifetime_at,
            lasts_ns: u64::try_from(self.cold.config.time_wait.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}

impl TimeWait {
    /// What there is still to tell of the connection.
    pub fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            state: State::TimeWait,
            recovery: RecoveryState::Open,
            timestamps: self.stamp.is_some(),
            sack: false,
            window_scaling: self.scale != 0,
            snd_scale: 0,
            rcv_scale: self.scale,
            backoff: 0,
            probes: 0,
            rto_ns: 0,
            srtt_ns: 0,
            rttvar_ns: 0,
            min_rtt_ns: 0,
            mss: 0,
            advertised_mss: 0,
            congestion: CongestionControl::default(),
            ecn: EcnFeedback::default(),
            pacing_rate: 0,
            cwnd: 0,
            ssthresh: u32::MAX,
            snd_wnd: 0,
            rcv_wnd: self.window,
            unacked: 0,
            sacked: 0,
            lost: 0,
            retransmitted: 0,
            bytes_acked: 0,
            not_sent: 0,
            stats: ConnectionStats::default(),
        }
    }

    /// When it is over.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Where a connection that we open between the same ends may begin, if it may: both ends send timestamps, and
    /// the last segment is more than `rest` ago ([`Config::time_wait_rest`]), so that its timestamps are later than all
    /// that were sent and nothing old can be taken for new (RFC 6191 section 2, from the other side; RFC 7323
    /// section 5.4).
    ///
    /// [`Config::time_wait_rest`]: crate::Config::time_wait_rest
    pub fn successor(&self, now: Instant, rest: Duration) -> Option<SeqNum> {
        let least = u64::try_from(rest.max(TICK).as_nanos()).unwrap_or(u64::MAX);
        let rested = now.nanos_since(self.last) > least;
        (self.stamp.is_some() && rested).then(|| self.snd_nxt + BEYOND)
    }

    /// Takes a segment, check by check (RFC 9293 section 3.10.7.4).
    pub fn on_segment(&mut self, now: Instant, ts_offset: u32, segment: &Segment<'_>) -> Remains {
        let header = segment.header;
        let flags = header.flags;
        let stamp = segment.options.timestamps.map(|ts| ts.value);
        let later = match (self.stamp, stamp) {
            (Some(before), Some(now)) => now.wrapping_sub(before) as i32,
            _ => 0,
        };
        let opens = flags & (TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK) == TcpFlags::SYN;
        if opens && (later > 0 || header.seq.after(self.rcv_nxt)) {
            return Remains::Reopen(self.snd_nxt + BEYOND);
        }
        let answer = |me: &Self, cause| Remains::Answer(me.acknowledgement(now, ts_offset), cause);
        if later < 0 && !flags.contains(TcpFlags::RST) {
            return answer(self, DropCause::OldTimestamp);
        }
        let len = segment.sequence_len();
        let acceptable = header.seq == self.rcv_nxt
            || header.seq.in_window(self.rcv_nxt, self.window)
            || (len > 0 && (header.seq + (len - 1)).in_window(self.rcv_nxt, self.window));
        if !acceptable {
            if flags.contains(TcpFlags::RST) {
                return Remains::Ignore(Some(DropCause::OutOfWindow));
            }
            if flags.contains(TcpFlags::FIN) {
                // The peer has not got our last acknowledgement: it is owed that for as long again.
                self.restart(now);
            }
            let old = header.seq.before(self.rcv_nxt) && segment.payload_len > 0;
            return answer(self, if old { DropCause::Duplicate } else { DropCause::OutOfWindow });
        }
        if flags.contains(TcpFlags::RST) {
            return if header.seq == self.rcv_nxt {
                Remains::Over
            } else {
                answer(self, DropCause::BlindReset)
            };
        }
        if flags.contains(TcpFlags::SYN) {
            return answer(self, DropCause::BlindSyn);
        }
        if !flags.contains(TcpFlags::ACK) {
            return Remains::Ignore(Some(DropCause::NoAck));
        }
        if header.ack.after(self.snd_nxt) {
            return answer(self, DropCause::BadAck);
        }
        self.last = now;
        if let (Some(recent), Some(stamp), true) =
            (&mut self.stamp, stamp, header.seq.at_or_before(self.rcv_nxt))
        {
            *recent = stamp;
        }
        if len > 0 {
            self.restart(now);
            return answer(self, DropCause::AfterClose);
        }
        Remains::Ignore(None)
    }

    fn restart(&mut self, now: Instant) {
        self.last = now;
        self.until = now.plus_nanos(self.lasts_ns);
    }

    fn acknowledgement(&self, now: Instant, ts_offset: u32) -> TxSegment {
        let mut ack = bare(self.snd_nxt, self.rcv_nxt, TcpFlags::ACK);
        ack.window = u16::try_from(self.window >> self.scale).unwrap_or(u16::MAX);
        ack.options.timestamps = self.stamp.map(|echo| Timestamps { value: clock(now, ts_offset), echo });
        ack
    }
}
