//! The connection: what it remembers, laid out by how often it is touched, and what the application may
//! ask of it. Segments come in through `input`, go out through `output`.

use std::mem::offset_of;
use std::sync::Arc;

use bypath_wire::prefetch::prefetch_part;
use bypath_wire::seq::SeqNum;

use crate::assembler::Assembler;
use crate::autotune::ReceiveTuner;
use crate::challenge::Challenges;
use crate::config::{Config, CongestionControl};
use crate::congestion::{Congestion, Window};
use crate::ecn::EcnState;
use crate::f_rto::FRto;
use crate::fast_open::FastOpen;
use crate::pacing::Pacer;
use crate::path_metrics::PathMetrics;
use crate::path_mtu::PathMtu;
use crate::prr::Prr;
use crate::push::Push;
use crate::rack::Rack;
use crate::receive::PeerSegment;
use crate::rtt::RttEstimator;
use crate::sack_report::Duplicates;
use crate::scoreboard::Scoreboard;
use crate::stall::Stall;
use crate::state::State;
use crate::stats::ConnectionStats;
use crate::tail_loss::TailLoss;
use crate::time::Instant;
use crate::undo::Undo;
use crate::urgent::Urgent;
use crate::validation::Usage;

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides closed.
    Finished,
    /// The peer answered our SYN with RST.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer did not answer in time.
    TimedOut,
    /// The network says that the peer cannot be reached.
    Unreachable,
    /// The application gave it up.
    Aborted,
}

/// Single bits of a connection's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(u32);

impl Bits {
    /// Both ends agreed on timestamps.
    pub(crate) const TIMESTAMPS: Self = Self(1);
    /// Both ends agreed on selective acknowledgement.
    pub(crate) const SACK: Self = Self(1 << 1);
    /// An acknowledgement must go out now.
    pub(crate) const ACK_NOW: Self = Self(1 << 2);
    /// The application has no more to send: FIN follows the last byte.
    pub(crate) const FIN_QUEUED: Self = Self(1 << 3);
    /// FIN has been sent at least once; it is the last of the sequence numbers up to `snd_nxt`.
    pub(crate) const FIN_SENT: Self = Self(1 << 4);
    /// Nagle's algorithm is off.
    pub(crate) const NODELAY: Self = Self(1 << 5);
    /// Fast recovery, until `recovery_point` is acknowledged.
    pub(crate) const RECOVERY: Self = Self(1 << 6);
    /// Recovery after a timeout, until `recovery_point` is acknowledged.
    pub(crate) const LOSS: Self = Self(1 << 7);
    /// Bytes are stored ahead of their turn.
    pub(crate) const HOLES: Self = Self(1 << 8);
    /// SYN (or SYN-ACK) is to be sent.
    pub(crate) const SEND_SYN: Self = Self(1 << 9);
    /// The retransmission timer runs as the persist timer.
    pub(crate) const PERSIST: Self = Self(1 << 10);
    /// One segment may be sent whatever the windows say: a probe, or the first retransmission.
    pub(crate) const FORCE: Self = Self(1 << 11);
    /// A probe without data is to be sent (keep-alive).
    pub(crate) const PROBE: Self = Self(1 << 12);
    /// The application takes no more data: what comes is answered with RST.
    pub(crate) const DEAF: Self = Self(1 << 13);
    /// The application is gone altogether.
    pub(crate) const ORPHAN: Self = Self(1 << 14);
    /// SYN was sent more than once: its acknowledgement gives no round-trip sample.
    pub(crate) const SYN_RETRANSMITTED: Self = Self(1 << 15);
    /// Data leaves at a rate, see `pacing`.
    pub(crate) const PACED: Self = Self(1 << 19);
    /// Data waits for a moment to come, see `pacing`.
    pub(crate) const HELD: Self = Self(1 << 23);
    /// Both ends agreed on ECN, see `ecn`.
    pub(crate) const ECN: Self = Self(1 << 20);
    /// Marks have come that the peer is to be told of, or every segment counts them: none is as predicted.
    pub(crate) const ECHO: Self = Self(1 << 21);
    /// The next new data says that the window was reduced.
    pub(crate) const CWR: Self = Self(1 << 22);

    /// A tail loss probe is to be sent.
    pub(crate) const TAIL_PROBE: Self = Self(1 << 16);
    /// A tail loss probe is under way.
    pub(crate) const TAIL_PROBED: Self = Self(1 << 17);
    /// Something was received twice, and is to be reported.
    pub(crate) const DSACK: Self = Self(1 << 18);

    /// An acknowledgement is due for nothing but that a second full segment has come.
    pub(crate) const ACK_DUE: Self = Self(1 << 27);

    /// Urgent data has not been acknowledged.
    pub(crate) const URGENT: Self = Self(1 << 24);
    /// A segment larger than usual is to be tried, or under way.
    pub(crate) const MTU_PROBE: Self = Self(1 << 25);
    /// It is under way.
    pub(crate) const MTU_PROBED: Self = Self(1 << 26);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
    pub(crate) const fn has_other_than(self, other: Self) -> bool {
        self.0 & !other.0 != 0
    }
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }
    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// What the predicted path reads and writes: two cache lines, receiving first, sending second.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    pub(crate) rcv_nxt: SeqNum,
    /// Right edge of the window that the peer has been told of; never moves back.
    pub(crate) rcv_edge: SeqNum,
    /// Bytes from `rcv_nxt` on that there is room for.
    pub(crate) rcv_space: u32,
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    /// Peer's window in bytes.
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_wl2: SeqNum,
    pub(crate) ts_recent: u32,
    pub(crate) ts_offset: u32,
    pub(crate) bits: Bits,
    pub(crate) state: State,
    pub(crate) snd_scale: u8,
    pub(crate) rcv_scale: u8,
    pub(crate) ack_at: Instant,
    /// Stream bytes that the peer has acknowledged.
    pub(crate) acknowledged: u64,

    /// Stream bytes that the application has given so far.
    pub(crate) queued: u64,
    pub(crate) rtx_at: Instant,
    /// The earliest of the rare timers, see `timers`.
    pub(crate) aux_at: Instant,
    pub(crate) rto_ns: u64,
    pub(crate) last_heard: Instant,
    pub(crate) window: Window,
    /// `rcv_nxt` when the last acknowledgement went out.
    pub(crate) last_ack_sent: SeqNum,
    /// Largest window the peer ever offered.
    pub(crate) max_snd_wnd: u32,
    /// Duplicate acknowledgements to send besides the next one (for a peer without SACK).
    pub(crate) extra_acks: u8,
    /// Immediate acknowledgements left.
    pub(crate) quick_acks: u8,
    /// Duplicate acknowledgements in a row (without SACK only).
    pub(crate) dup_acks: u8,
}

const _: () = assert!(size_of::<Hot>() == 128, "the predicted path fits two cache lines");

/// Everything else: what segments in order touch first, see [`Connection::prefetch`].
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Cold {
    /// The same for many connections.
    pub(crate) config: Arc<Config>,
    /// Where the last segment that was less than full ends.
    pub(crate) small_end: SeqNum,
    /// Recovery ends when this is acknowledged.
    pub(crate) recovery_point: SeqNum,
    /// Since when the peer has owed us progress.
    pub(crate) stalled_since: Instant,
    pub(crate) peer_segment: PeerSegment,
    pub(crate) rtt: RttEstimator,
    pub(crate) tuner: ReceiveTuner,
    pub(crate) usage: Usage,
    pub(crate) scoreboard: Scoreboard,
    pub(crate) stats: ConnectionStats,
    pub(crate) congestion: Congestion,
    pub(crate) push: Push,
    pub(crate) pacer: Pacer,
    pub(crate) iss: SeqNum,
    pub(crate) ecn: EcnState,
    pub(crate) assembler: Assembler,
    pub(crate) rack: Rack,
    pub(crate) prr: Prr,
    pub(crate) undo: Undo,
    pub(crate) f_rto: FRto,
    pub(crate) tail_loss: TailLoss,
    /// The last segment was sent again, as a recovery does once at most (RFC 6675).
    pub(crate) rescued: bool,
    /// When SYN went out, for the first round-trip sample.
    pub(crate) syn_sent_at: Instant,
    /// Timeouts since then.
    pub(crate) stall: Stall,
    /// RACK's reordering timer.
    pub(crate) reorder_at: Instant,
    /// Keep-alive, TIME-WAIT, FIN-WAIT-2 and opening: never two of them at once.
    pub(crate) lifetime_at: Instant,
    pub(crate) probes_unanswered: u8,
    /// Bytes of out-of-order data that the caller can keep.
    pub(crate) reassembly_limit: u32,
    /// Bytes of out-of-order data that may be kept, whatever their place.
    pub(crate) reassembly_quota: u32,
    /// What the peer announced, or the default.
    pub(crate) peer_mss: u16,
    pub(crate) path_mtu: PathMtu,
    pub(crate) close_reason: Option<CloseReason>,
    pub(crate) challenges: Challenges,
    pub(crate) urgent: Urgent,
    pub(crate) passive: bool,
    pub(crate) fast_open: FastOpen,
    /// What earlier connections have seen of the path.
    pub(crate) expected: PathMetrics,
    /// Sequence number of a FIN that came ahead of its turn.
    pub(crate) fin_ahead: Option<SeqNum>,
    /// What was received twice, to report once (RFC 2883).
    pub(crate) duplicates: Duplicates,
}

/// One TCP connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) hot: Hot,
    pub(crate) cold: Box<Cold>,
}

impl Connection {
    /// Asks for what a segment in order will touch of `self`, which has been fetched itself.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_part(&*self.cold, 0, offset_of!(Cold, push) + 16);
    }

    /// Asks for what [`Connection::prefetch`] has fetched points to.
    #[inline]
    pub fn prefetch_more(&self) {
        self.cold.scoreboard.prefetch();
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.hot.state
    }

    /// Why it is over, once it is.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.cold.close_reason
    }

    /// Counters.
    pub fn stats(&self) -> &ConnectionStats {
        &self.cold.stats
    }

    /// Stream bytes that the peer has acknowledged: what lies before need not be kept.
    pub fn acknowledged(&self) -> u64 {
        self.hot.acknowledged
    }

    /// Stream bytes given by the application so far.
    pub fn queued(&self) -> u64 {
        self.hot.queued
    }

    /// Smoothed round-trip time in nanoseconds, once there is one.
    pub fn srtt_ns(&self) -> Option<u64> {
        self.cold.rtt.srtt_ns()
    }

    /// Round-trip time variation in nanoseconds (RFC 6298).
    pub fn rttvar_ns(&self) -> u64 {
        self.cold.rtt.rttvar_ns()
    }

    /// The congestion control in use. Results of a connection without any ([`CongestionControl::None`]) must say
    /// so.
    pub fn congestion_control(&self) -> CongestionControl {
        self.cold.config.congestion
    }

    /// Congestion window, bytes.
    pub fn cwnd(&self) -> u32 {
        self.hot.window.cwnd
    }

    /// Slow-start threshold, bytes.
    pub fn ssthresh(&self) -> u32 {
        self.hot.window.ssthresh
    }

    /// Payload bytes of a full segment.
    pub fn mss(&self) -> u32 {
        self.hot.window.mss
    }

    /// The peer's receive window, bytes.
    pub fn peer_window(&self) -> u32 {
        self.hot.snd_wnd
    }

    /// Whether both ends agreed on timestamps, selective acknowledgements.
    pub fn negotiated(&self) -> (bool, bool) {
        (self.hot.bits.has(Bits::TIMESTAMPS), self.hot.bits.has(Bits::SACK))
    }

    /// The next sequence number to be sent; an initial number beyond it is safe for a successor.
    pub fn snd_nxt(&self) -> SeqNum {
        self.hot.snd_nxt
    }

    /// The next sequence number expected from the peer.
    pub fn rcv_nxt(&self) -> SeqNum {
        self.hot.rcv_nxt
    }

    /// Where in our stream a sequence number of what is outstanding lies; `None` for all others.
    pub fn offset_of(&self, seq: SeqNum) -> Option<u64> {
        let ours = seq.at_or_after(self.hot.snd_una) && seq.at_or_before(self.hot.snd_nxt);
        (ours && self.hot.state.is_synchronized())
            .then(|| self.hot.acknowledged + u64::from(seq.offset_from(self.hot.snd_una).unsigned_abs()))
    }

    /// How far what is stored ahead of its turn reaches, in bytes from the next one expected.
    pub fn stored_ahead(&self) -> u32 {
        let end = self.cold.assembler.ranges().last().map_or(self.hot.rcv_nxt, |range| range.right);
        u32::try_from(end.offset_from(self.hot.rcv_nxt)).unwrap_or(0)
    }

    /// Whether data is stored ahead of its turn.
    pub fn has_holes(&self) -> bool {
        self.hot.bits.has(Bits::HOLES)
    }

    /// The application's stream now ends at `total` bytes; less than before is ignored, as is anything
    /// after [`Connection::close`]. Each call that adds something is one write: its last segment carries PSH.
    pub fn set_queued(&mut self, total: u64) {
        if total > self.hot.queued && !self.hot.bits.has(Bits::FIN_QUEUED) {
            self.hot.queued = total;
            self.note_write(total);
        }
    }

    /// Send small segments at once, or let them wait for an acknowledgement (Nagle).
    pub fn set_nodelay(&mut self, on: bool) {
        if on {
            self.hot.bits.set(Bits::NODELAY);
        } else {
            self.hot.bits.clear(Bits::NODELAY);
        }
    }

    /// How many bytes of out-of-order data the caller can keep; 0 refuses all of it.
    pub fn set_reassembly_limit(&mut self, bytes: u32) {
        self.cold.reassembly_limit = bytes;
    }

    /// How many bytes the connection may keep ahead of their turn, whatever their place, for the sake of all
    /// others; [`Connection::reassembly_bytes`] says how many it does.
    pub fn set_reassembly_quota(&mut self, bytes: u32) {
        self.cold.reassembly_quota = bytes;
    }

    /// Bytes kept ahead of their turn.
    pub fn reassembly_bytes(&self) -> u32 {
        self.cold.assembler.stored()
    }

    /// The application has no more to send (RFC 9293 section 3.10.4, CLOSE): FIN follows what is queued.
    /// Receiving goes on.
    pub fn close(&mut self, now: Instant) {
        match self.hot.state {
            State::SynSent => self.finish(CloseReason::Aborted),
            State::SynReceived | State::Established | State::CloseWait => {
                self.hot.bits.set(Bits::FIN_QUEUED);
                if self.hot.state == State::Established {
                    self.hot.state = State::FinWait1;
                } else if self.hot.state == State::CloseWait {
                    self.hot.state = State::LastAck;
                }
                self.note_work_began(now);
            }
            _ => {}
        }
    }

    /// The application will read no more. Data that still comes is answered with RST
    /// (RFC 9293 section 3.6.1), and FIN-WAIT-2 is bounded.
    pub fn orphan(&mut self, now: Instant) {
        self.hot.bits.set(Bits::DEAF.or(Bits::ORPHAN));
        if self.hot.state == State::FinWait2 {
            self.cold.lifetime_at = now + self.cold.config.fin_wait_2;
            self.refresh_aux();
        }
    }

    /// Gives the connection up (RFC 9293 section 3.10.5, ABORT). The reset to send, if the peer knows of
    /// the connection.
    pub fn abort(&mut self, now: Instant) -> Option<crate::TxSegment> {
        let reset = match self.hot.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => Some(self.reset_segment(now)),
            State::SynSent | State::TimeWait | State::Closed => None,
        };
        self.finish(CloseReason::Aborted);
        reset
    }

    /// Whether an ICMP error that quotes `seq` is about something of ours that is under way, and not somebody's
    /// guess (RFC 5927 section 4).
    pub fn concerns(&self, seq: SeqNum) -> bool {
        self.hot.state != State::Closed
            && seq.at_or_after(self.hot.snd_una)
            && seq.at_or_before(self.hot.snd_nxt)
    }

    /// The network cannot reach the peer: `hard` errors end an opening connection, soft ones are only
    /// told of (RFC 9293 section 3.9.2.2), unless [`Config::soft_errors_end_opening`]. `seq` is the sequence
    /// number quoted in the error.
    pub fn on_unreachable(&mut self, seq: SeqNum, hard: bool) -> bool {
        let ours = self.concerns(seq);
        let hard = hard || self.cold.config.soft_errors_end_opening;
        if ours && hard && matches!(self.hot.state, State::SynSent | State::SynReceived) {
            self.finish(CloseReason::Unreachable);
            return true;
        }
        false
    }

    /// Ends the connection.
    pub(crate) fn finish(&mut self, reason: CloseReason) {
        self.hot.state = State::Closed;
        self.cold.close_reason.get_or_insert(reason);
        self.cold.scoreboard.clear();
        self.cold.assembler.clear();
        self.cold.reorder_at = Instant::NEVER;
        self.cold.lifetime_at = Instant::NEVER;
        self.cold.pacer.wake_at = None;
        self.cold.path_mtu.raise_at = Instant::NEVER;
        self.hot.ack_at = Instant::NEVER;
        self.hot.rtx_at = Instant::NEVER;
        self.hot.aux_at = Instant::NEVER;
        self.hot.extra_acks = 0;
        self.hot.bits.clear(
            Bits::ACK_NOW
                .or(Bits::ACK_DUE)
                .or(Bits::SEND_SYN)
                .or(Bits::PROBE)
                .or(Bits::FORCE)
                .or(Bits::HOLES),
        );
    }

    /// Payload bytes of a full segment follow from the peer's MSS, the path and the options that every
    /// segment carries (RFC 9293 section 3.7.1, RFC 6691).
    pub(crate) fn refresh_mss(&mut self) {
        let options = if self.hot.bits.has(Bits::TIMESTAMPS) { 12 } else { 0 };
        let whole = self.cold.peer_mss.max(MIN_MSS).min(self.cold.path_mtu.mss.max(MIN_MSS));
        self.hot.window.mss = u32::from(whole - options);
        self.cold.scoreboard.delivery.set_segment(self.hot.window.mss);
    }

    /// Work that the peer must answer begins: from here the user timeout counts.
    pub(crate) fn note_work_began(&mut self, now: Instant) {
        if self.cold.scoreboard.is_empty() {
            self.cold.stalled_since = now;
        }
    }

    /// Sequence number that FIN has, or would have.
    pub(crate) fn fin_seq(&self) -> SeqNum {
        // While the SYN is unacknowledged the stream begins one after it.
        let syn = u32::from(!self.hot.state.is_synchronized() && self.hot.snd_una == self.cold.iss);
        self.hot.snd_una + syn + (self.hot.queued - self.hot.acknowledged) as u32
    }
}

/// A peer that announces less would make every header cost more than what it carries: the smallest segment
/// of options and payload that is sent.
pub(crate) const MIN_MSS: u16 = 48;
