//! Ordinary segments, many at a time: new data, or a plain acknowledgement, of a connection to which nothing unusual
//! happens. All of a burst is decided upon and accounted for at once, as [`Connection::poll_transmit`] would have
//! segment by segment; the caller cuts it up. Whatever is not ordinary is left to that.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpOptions, Timestamps};

use crate::connection::{Bits, Connection};
use crate::ecn::Ecn;
use crate::segment::{Purpose, TxSegment};
use crate::state::State;
use crate::time::Instant;

/// With any of these something else than new data may be due, or more is to be said than where both streams are.
const UNUSUAL: Bits = Bits::FIN_QUEUED
    .or(Bits::FIN_SENT)
    .or(Bits::RECOVERY)
    .or(Bits::LOSS)
    .or(Bits::HOLES)
    .or(Bits::DSACK)
    .or(Bits::SEND_SYN)
    .or(Bits::PERSIST)
    .or(Bits::FORCE)
    .or(Bits::PROBE)
    .or(Bits::TAIL_PROBE)
    .or(Bits::PACED)
    .or(Bits::HELD)
    .or(Bits::ECN)
    .or(Bits::URGENT)
    .or(Bits::MTU_PROBE);

/// Something is to be acknowledged.
const ACKNOWLEDGE: Bits = Bits::ACK_NOW.or(Bits::ACK_DUE);

/// Segments that differ in nothing but where they lie in the stream, and in the PSH of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Sequence number of the first.
    pub seq: SeqNum,
    /// Acknowledgement number.
    pub ack: SeqNum,
    /// Window field, scaled already.
    pub window: u16,
    /// The only option that there may be.
    pub timestamps: Option<Timestamps>,
    /// Stream offset of the payload.
    pub offset: u64,
    /// Payload bytes of all together; 0: one segment without.
    pub len: u32,
    /// Payload bytes of each, but for a last one that may have less.
    pub each: u32,
    /// PSH on the last.
    pub push: bool,
    /// There may be more to send now.
    pub more: bool,
}

impl Burst {
    /// How many segments it is.
    pub fn count(&self) -> u32 {
        if self.len <= self.each { 1 } else { self.len.div_ceil(self.each) }
    }

    /// They, one by one.
    pub fn segments(&self) -> impl Iterator<Item = TxSegment> + use<> {
        let burst = *self;
        (0..self.count()).map(move |n| {
            let before = n * burst.each;
            let len = burst.each.min(burst.len - before);
            let last = before + len == burst.len;
            TxSegment {
                seq: burst.seq + before,
                ack: burst.ack,
                flags: if burst.push && last { TcpFlags::ACK | TcpFlags::PSH } else { TcpFlags::ACK },
                window: burst.window,
                options: TcpOptions { timestamps: burst.timestamps, ..TcpOptions::default() },
                offset: burst.offset + u64::from(before),
                len,
                retransmission: false,
                purpose: Purpose::Ordinary,
                ecn: Ecn::NotEct,
            }
        })
    }
}

/// What [`Connection::poll_burst`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Send this.
    Burst(Burst),
    /// Nothing is to be sent, until a segment, a timer or the application changes something.
    Nothing,
    /// Nothing was decided: [`Connection::poll_transmit`] says what is to be sent.
    Unusual,
}

impl Connection {
    /// The next segments to send now, at most `most` of them, which is not 0. The caller must send what it gets.
    #[inline]
    pub fn poll_burst(&mut self, now: Instant, most: u32) -> Poll {
        let state = matches!(self.hot.state, State::Established | State::CloseWait);
        let bits = self.hot.bits;
        if !state || bits.has(UNUSUAL) || self.hot.dup_acks != 0 || self.hot.extra_acks != 0 {
            return Poll::Unusual;
        }
        let sent = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let unsent = self.hot.queued - self.hot.acknowledged - u64::from(sent);
        let board = &self.cold.scoreboard;
        if board.lost_bytes() != 0 || board.sacked_bytes() != 0 {
            return Poll::Unusual;
        }
        debug_assert_eq!(board.in_flight(), sent, "what is outstanding is on the board");
        if unsent == 0 {
            self.note_nothing_in_order(now);
            return self.plain_acknowledgement(now);
        }
        let mss = self.hot.window.mss;
        let usable = self.hot.snd_wnd.saturating_sub(sent).min(u32::try_from(unsent).unwrap_or(u32::MAX));
        if usable == 0 {
            return Poll::Unusual;
        }
        if sent == 0 {
            self.restart_after_idle(now);
        }
        let mut len = usable.min(mss);
        let pipe = sent;
        let room = self.hot.window.cwnd.saturating_sub(pipe);
        if len > room && pipe > 0 {
            self.note_usage(now, true);
            return self.plain_acknowledgement(now);
        }
        let offset = self.hot.acknowledged + u64::from(sent);
        let end = if len == mss {
            // A segment that ends a write, or is pushed for another reason, is the last of its burst.
            let until_push = self.cold.push.trigger().saturating_sub(offset).div_ceil(u64::from(mss));
            let until_push = u32::try_from(until_push).unwrap_or(u32::MAX);
            let count = (usable.min(room) / mss).min(most).min(until_push).max(1);
            len = count * mss;
            if self.cold.path_mtu.watches() {
                self.note_full_segment(offset + u64::from(mss));
            }
            offset + u64::from(len)
        } else {
            let last = u64::from(len) == unsent;
            let worth_it = if last {
                bits.has(Bits::NODELAY) || !self.waits_behind_small(sent)
            } else {
                len >= self.hot.max_snd_wnd / 2
            };
            if !worth_it {
                if sent == 0 {
                    self.enter_persist(now, sent);
                }
                return self.plain_acknowledgement(now);
            }
            self.cold.small_end = self.hot.snd_nxt + len;
            offset + u64::from(len)
        };
        if sent == 0 {
            self.cold.stalled_since = now;
        }
        let seq = self.hot.snd_nxt;
        self.hot.snd_nxt = seq + len;
        self.cold.scoreboard.sent(seq, seq + len, now);
        if self.hot.rtx_at == Instant::NEVER {
            self.arm(now);
        }
        let push = self.is_pushed(end, false);
        let more = end != self.hot.queued;
        if !more {
            self.note_nothing_in_order(now);
        }
        let burst = Burst { offset, len, each: mss, push, more, ..self.plain(now, seq) };
        let count = burst.count();
        self.cold.stats.data_segs_out += u64::from(count);
        self.cold.stats.segs_out += u64::from(count - 1);
        Poll::Burst(burst)
    }

    /// Whether nothing is to be sent, nor will be before a segment, a timer or the application changes something: what
    /// [`Connection::poll_burst`] would find, where it is soon found out. `false` says nothing.
    #[inline]
    pub fn has_nothing_to_say(&mut self, now: Instant) -> bool {
        let state = matches!(self.hot.state, State::Established | State::CloseWait);
        let quiet = state && !self.hot.bits.has(UNUSUAL.or(ACKNOWLEDGE)) && self.hot.extra_acks == 0;
        let sent = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        if !quiet || self.hot.queued != self.hot.acknowledged + u64::from(sent) {
            return false;
        }
        let board = &self.cold.scoreboard;
        if board.lost_bytes() != 0 || board.sacked_bytes() != 0 || self.hot.dup_acks != 0 {
            return false;
        }
        self.note_nothing_in_order(now);
        true
    }

    #[inline]
    fn plain_acknowledgement(&mut self, now: Instant) -> Poll {
        if !self.hot.bits.has(ACKNOWLEDGE) {
            return Poll::Nothing;
        }
        Poll::Burst(self.plain(now, self.sequence_of_bare()))
    }

    /// A segment without payload that acknowledges all there is to acknowledge.
    #[inline]
    fn plain(&mut self, now: Instant, seq: SeqNum) -> Burst {
        let window = self.window_field(false);
        self.hot.last_ack_sent = self.hot.rcv_nxt;
        self.hot.ack_at = Instant::NEVER;
        self.hot.bits.clear(ACKNOWLEDGE);
        self.cold.stats.segs_out += 1;
        Burst {
            seq,
            ack: self.hot.rcv_nxt,
            window,
            timestamps: self.timestamps_if_agreed(now),
            offset: 0,
            len: 0,
            each: 1,
            push: false,
            more: false,
        }
    }
}
