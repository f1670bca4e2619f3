//! What a connection tells of itself, in the manner of Linux's `TCP_INFO`: for diagnosis and for tests that ask.
//! Nothing here is kept for the asking; it is gathered from what the connection remembers anyway.

use crate::config::CongestionControl;
use crate::connection::{Bits, Connection};
use crate::ecn::EcnFeedback;
use crate::scoreboard::Span;
use crate::state::State;
use crate::stats::ConnectionStats;

/// Where loss recovery stands, by the names that Linux has for it (`tcpi_ca_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecoveryState {
    /// Nothing unusual.
    #[default]
    Open,
    /// Duplicate acknowledgements or selective ones, and nothing taken for lost yet.
    Disorder,
    /// The window was reduced because the network marked packets.
    Reduced,
    /// Fast recovery.
    Recovery,
    /// Recovery after a timeout.
    Loss,
}

/// A snapshot of a connection. Counts of segments are of full segments' worth within what was sent together: small
/// segments of one burst count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Where it is in its life.
    pub state: State,
    /// Where loss recovery stands.
    pub recovery: RecoveryState,
    /// Both ends agreed on timestamps.
    pub timestamps: bool,
    /// Both ends agreed on selective acknowledgement.
    pub sack: bool,
    /// A window is scaled in either direction.
    pub window_scaling: bool,
    /// Shift of the windows that the peer announces.
    pub snd_scale: u8,
    /// Shift of the windows that are announced to the peer.
    pub rcv_scale: u8,
    /// Timeouts in a row without an answer.
    pub backoff: u8,
    /// Unanswered keep-alive probes.
    pub probes: u8,
    /// Retransmission timeout, nanoseconds.
    pub rto_ns: u64,
    /// Smoothed round-trip time, nanoseconds; 0 before the first sample.
    pub srtt_ns: u64,
    /// Its mean deviation, nanoseconds.
    pub rttvar_ns: u64,
    /// Smallest round-trip time seen, nanoseconds; 0 before the first sample.
    pub min_rtt_ns: u64,
    /// Payload of a full segment, bytes.
    pub mss: u32,
    /// What we announced as the largest segment, bytes.
    pub advertised_mss: u32,
    /// Congestion control; what was measured without any ([`CongestionControl::None`]) must say so.
    pub congestion: CongestionControl,
    /// What was agreed on about ECN.
    pub ecn: EcnFeedback,
    /// Bytes a second at which data leaves; 0: it is not paced.
    pub pacing_rate: u64,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow-start threshold, bytes; `u32::MAX`: none yet.
    pub ssthresh: u32,
    /// The peer's window, bytes.
    pub snd_wnd: u32,
    /// Window last announced to the peer, what is left of it, bytes.
    pub rcv_wnd: u32,
    /// Segments sent and not acknowledged, those that the peer holds included.
    pub unacked: u32,
    /// Of these, segments that the peer says it holds.
    pub sacked: u32,
    /// Of these, segments thought lost and not sent again.
    pub lost: u32,
    /// Of these, segments sent again and not known to have arrived.
    pub retransmitted: u32,
    /// Bytes of the stream that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Bytes given by the application and never sent.
    pub not_sent: u64,
    /// Counters.
    pub stats: ConnectionStats,
}

impl Connection {
    /// What there is to tell of the connection.
    pub fn info(&self) -> ConnectionInfo {
        let (hot, cold) = (&self.hot, &*self.cold);
        let mss = hot.window.mss.max(1);
        let sent = u64::from(hot.snd_nxt.offset_from(hot.snd_una).unsigned_abs());
        ConnectionInfo {
            state: hot.state,
            recovery: self.recovery_state(),
            timestamps: hot.bits.has(Bits::TIMESTAMPS),
            sack: hot.bits.has(Bits::SACK),
            window_scaling: hot.snd_scale != 0 || hot.rcv_scale != 0,
            snd_scale: hot.snd_scale & 0x0f,
            rcv_scale: hot.rcv_scale,
            backoff: cold.rtt.backoff(),
            probes: cold.probes_unanswered,
            rto_ns: hot.rto_ns,
            srtt_ns: cold.rtt.srtt_ns().unwrap_or(0),
            rttvar_ns: cold.rtt.rttvar_ns(),
            min_rtt_ns: cold.rtt.min_ns().unwrap_or(0),
            mss: hot.window.mss,
            advertised_mss: u32::from(cold.config.mss),
            congestion: self.congestion_control(),
            ecn: self.ecn(),
            pacing_rate: self.pacing_rate().unwrap_or(0),
            cwnd: hot.window.cwnd,
            ssthresh: hot.window.ssthresh,
            snd_wnd: hot.snd_wnd,
            rcv_wnd: self.advertised(),
            unacked: self.count(mss, |_| true),
            sacked: self.count(mss, |span| span.sacked),
            lost: self.count(mss, |span| span.lost),
            retransmitted: self.count(mss, |span| span.retransmitted && !span.sacked && !span.lost),
            bytes_acked: hot.acknowledged,
            not_sent: hot.queued.saturating_sub(hot.acknowledged).saturating_sub(sent),
            stats: cold.stats,
        }
    }

    fn recovery_state(&self) -> RecoveryState {
        let bits = self.hot.bits;
        if bits.has(Bits::LOSS) {
            RecoveryState::Loss
        } else if bits.has(Bits::RECOVERY) {
            RecoveryState::Recovery
        } else if self.is_reduced_by_marks() {
            RecoveryState::Reduced
        } else if self.hot.dup_acks > 0 || self.cold.scoreboard.sacked_bytes() > 0 {
            RecoveryState::Disorder
        } else {
            RecoveryState::Open
        }
    }

    fn count(&self, mss: u32, which: impl Fn(&Span) -> bool) -> u32 {
        let spans = self.cold.scoreboard.spans();
        spans.filter(|span| which(span)).map(|span| span.len().div_ceil(mss)).sum()
    }
}
