//! A connection on which nothing happens, in a small form: a server with a million of them should not keep for each what
//! loss recovery or congestion control may want some day.
//!
//! Only a plain one goes to sleep: established, with nothing outstanding, nothing to send, nothing stored, no loss under
//! repair and nothing rare under way. It wakes as it was in everything that the peer or the application can see. What it
//! forgets is what a pause makes worthless anyway: how fast the path delivered, how its packets were reordered, and where
//! CUBIC stood in its epoch (RFC 9438 section 4.8 begins a new one after a pause, RFC 5681 section 4.1 the window).

use std::sync::Arc;

use bypath_wire::seq::SeqNum;

use crate::autotune::ReceiveTuner;
use crate::config::Config;
use crate::connection::{Bits, Connection, Hot};
use crate::ecn::EcnState;
use crate::receive::PeerSegment;
use crate::state::State;
use crate::stats::ConnectionStats;
use crate::time::Instant;
use crate::validation::Usage;

/// What a connection may have agreed upon, and sleep all the same.
const AGREED: Bits = Bits::TIMESTAMPS
    .or(Bits::SACK)
    .or(Bits::NODELAY)
    .or(Bits::ECN)
    .or(Bits::ECHO)
    .or(Bits::SYN_RETRANSMITTED);

/// See the module.
#[derive(Debug)]
pub struct Asleep {
    config: Arc<Config>,
    acknowledged: u64,
    last_heard: Instant,
    lifetime_at: Instant,
    /// Round trips of four seconds and more keep a connection awake.
    srtt_ns: u32,
    rttvar_ns: u32,
    min_rtt_ns: u32,
    handshake_rtt_ns: u32,
    /// None of the rare ones has happened.
    counted: [u32; 3],
    iss: SeqNum,
    rcv_nxt: SeqNum,
    rcv_edge: SeqNum,
    rcv_space: u32,
    last_ack_sent: SeqNum,
    snd_una: SeqNum,
    snd_wnd: u32,
    max_snd_wnd: u32,
    snd_wl1: SeqNum,
    snd_wl2: SeqNum,
    ts_recent: u32,
    ts_offset: u32,
    bits: Bits,
    cwnd: u32,
    ssthresh: u32,
    tuned: [u32; 3],
    reassembly_limit: u32,
    ecn: EcnState,
    peer_segment: PeerSegment,
    peer_mss: u16,
    path_mss: [u16; 4],
    snd_scale: u8,
    rcv_scale: u8,
    quick_acks: u8,
    passive: bool,
}

const _: () = assert!(size_of::<Asleep>() <= 224, "little is kept of a connection that sleeps");

impl Connection {
    /// The small form of a plain connection; none of any other.
    pub fn asleep(&self) -> Option<Asleep> {
        let (hot, cold) = (&self.hot, &*self.cold);
        let quiet = hot.state == State::Established
            && !hot.bits.has_other_than(AGREED)
            && hot.queued == hot.acknowledged
            && hot.snd_una == hot.snd_nxt
            && hot.ack_at == Instant::NEVER
            && hot.rtx_at == Instant::NEVER
            && (hot.extra_acks, hot.dup_acks) == (0, 0);
        let plain = cold.scoreboard.is_empty()
            && cold.scoreboard.lost_bytes() == 0
            && cold.assembler.is_empty()
            && cold.fin_ahead.is_none()
            && cold.reorder_at == Instant::NEVER
            && cold.pacer.wake_at.is_none()
            && (cold.probes_unanswered, cold.rtt.backoff()) == (0, 0)
            && cold.close_reason.is_none()
            && !cold.fast_open.early
            && cold.urgent.is_unused()
            && cold.congestion.may_be_forgotten();
        if !quiet || !plain {
            return None;
        }
        let stats = &cold.stats;
        let usual = ConnectionStats {
            segs_in: stats.segs_in,
            segs_out: stats.segs_out,
            data_segs_out: stats.data_segs_out,
            handshake_rtt_ns: stats.handshake_rtt_ns,
            ..ConnectionStats::default()
        };
        if usual != *stats {
            return None;
        }
        let small = |count: u64| u32::try_from(count).ok();
        Some(Asleep {
            config: cold.config.clone(),
            acknowledged: hot.acknowledged,
            last_heard: hot.last_heard,
            lifetime_at: cold.lifetime_at,
            srtt_ns: small(cold.rtt.srtt_ns()?)?,
            rttvar_ns: small(cold.rtt.rttvar_ns())?,
            min_rtt_ns: small(cold.rtt.min_ns()?)?,
            handshake_rtt_ns: small(stats.handshake_rtt_ns)?,
            counted: [small(stats.segs_in)?, small(stats.segs_out)?, small(stats.data_segs_out)?],
            iss: cold.iss,
            rcv_nxt: hot.rcv_nxt,
            rcv_edge: hot.rcv_edge,
            rcv_space: hot.rcv_space,
            last_ack_sent: hot.last_ack_sent,
            snd_una: hot.snd_una,
            snd_wnd: hot.snd_wnd,
            max_snd_wnd: hot.max_snd_wnd,
            snd_wl1: hot.snd_wl1,
            snd_wl2: hot.snd_wl2,
            ts_recent: hot.ts_recent,
            ts_offset: hot.ts_offset,
            bits: hot.bits,
            cwnd: hot.window.cwnd,
            ssthresh: hot.window.ssthresh,
            tuned: cold.tuner.kept(),
            reassembly_limit: cold.reassembly_limit,
            ecn: cold.ecn,
            peer_segment: cold.peer_segment,
            peer_mss: cold.peer_mss,
            path_mss: cold.path_mtu.kept()?,
            snd_scale: hot.snd_scale,
            rcv_scale: hot.rcv_scale,
            quick_acks: hot.quick_acks,
            passive: cold.passive,
        })
    }
}

impl Asleep {
    /// When the connection has to be woken, whatever happens.
    pub fn next_deadline(&self) -> Instant {
        self.lifetime_at
    }

    /// The connection as it was.
    pub fn wake(&self) -> Connection {
        let heard = self.last_heard;
        let mut conn =
            Connection::new(self.config.clone(), heard, self.iss, self.ts_offset, State::Established);
        let cold = &mut *conn.cold;
        cold.small_end = self.snd_una;
        cold.recovery_point = self.snd_una;
        cold.lifetime_at = self.lifetime_at;
        cold.peer_mss = self.peer_mss;
        cold.reassembly_limit = self.reassembly_limit;
        cold.peer_segment = self.peer_segment;
        cold.path_mtu.resume(self.path_mss);
        cold.tuner = ReceiveTuner::resume(&self.config, heard, self.rcv_nxt, self.srtt_ns.into(), self.tuned);
        cold.ecn = self.ecn;
        cold.passive = self.passive;
        cold.usage = Usage::new(self.snd_una, heard);
        cold.push.resume(self.acknowledged);
        cold.stats.handshake_rtt_ns = self.handshake_rtt_ns.into();
        let [segs_in, segs_out, data_segs_out] = self.counted;
        (cold.stats.segs_in, cold.stats.segs_out) = (segs_in.into(), segs_out.into());
        cold.stats.data_segs_out = data_segs_out.into();
        cold.rtt.resume(self.srtt_ns.into(), self.rttvar_ns.into(), self.min_rtt_ns.into());
        if self.bits.has(Bits::SACK) && self.config.rack && self.config.tail_loss_probe {
            cold.rtt.use_probes();
        }
        let rto_ns = cold.rtt.rto_ns();
        let hot = &mut conn.hot;
        *hot = Hot {
            rcv_nxt: self.rcv_nxt,
            rcv_edge: self.rcv_edge,
            rcv_space: self.rcv_space,
            snd_una: self.snd_una,
            snd_nxt: self.snd_una,
            snd_wnd: self.snd_wnd,
            snd_wl1: self.snd_wl1,
            snd_wl2: self.snd_wl2,
            ts_recent: self.ts_recent,
            ts_offset: self.ts_offset,
            bits: self.bits,
            state: State::Established,
            snd_scale: self.snd_scale,
            rcv_scale: self.rcv_scale,
            ack_at: Instant::NEVER,
            acknowledged: self.acknowledged,
            queued: self.acknowledged,
            rtx_at: Instant::NEVER,
            aux_at: Instant::NEVER,
            rto_ns,
            last_heard: heard,
            window: hot.window,
            last_ack_sent: self.last_ack_sent,
            max_snd_wnd: self.max_snd_wnd,
            extra_acks: 0,
            quick_acks: self.quick_acks,
            dup_acks: 0,
        };
        conn.refresh_mss();
        (conn.hot.window.cwnd, conn.hot.window.ssthresh) = (self.cwnd, self.ssthresh);
        conn.refresh_aux();
        conn
    }
}
