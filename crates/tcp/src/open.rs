//! Opening, from either end (RFC 9293 section 3.5): what is offered, and what the two SYNs agree on.

use std::sync::Arc;

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpOptions, Timestamps};

use crate::assembler::Assembler;
use crate::autotune::ReceiveTuner;
use crate::challenge::Challenges;
use crate::config::Config;
use crate::congestion::{Congestion, Window};
use crate::connection::{Bits, Cold, Connection, Hot};
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
use crate::segment::Segment;
use crate::stall::Stall;
use crate::state::State;
use crate::stats::ConnectionStats;
use crate::tail_loss::TailLoss;
use crate::time::Instant;
use crate::undo::Undo;
use crate::urgent::Urgent;
use crate::validation::Usage;

impl Connection {
    /// Active open: SYN-SENT, with a SYN to send. `iss` and `ts_offset` come from
    /// [`IsnGenerator`](crate::IsnGenerator).
    pub fn connect(config: impl Into<Arc<Config>>, now: Instant, iss: SeqNum, ts_offset: u32) -> Self {
        Self::new(config.into(), now, iss, ts_offset, State::SynSent)
    }

    /// Passive open: a listener has received `syn` (SYN set, neither RST nor ACK). SYN-RECEIVED, with a
    /// SYN-ACK to send.
    pub fn accept(
        config: impl Into<Arc<Config>>,
        now: Instant,
        iss: SeqNum,
        ts_offset: u32,
        syn: &Segment<'_>,
    ) -> Self {
        let mut conn = Self::new(config.into(), now, iss, ts_offset, State::SynReceived);
        conn.cold.passive = true;
        conn.negotiate(syn);
        conn
    }

    pub(crate) fn new(config: Arc<Config>, now: Instant, iss: SeqNum, ts_offset: u32, state: State) -> Self {
        let mut bits = Bits::default();
        bits.set(Bits::SEND_SYN);
        if config.nodelay {
            bits.set(Bits::NODELAY);
        }
        let rtt = RttEstimator::new(&config);
        let lifetime_at = now + config.connect_timeout;
        let tuner = ReceiveTuner::new(&config);
        let peer_segment = PeerSegment::new(&config);
        let hot = Hot {
            rcv_nxt: SeqNum(0),
            rcv_edge: SeqNum(0),
            rcv_space: tuner.buffer,
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            snd_wl1: SeqNum(0),
            snd_wl2: iss,
            ts_recent: 0,
            ts_offset,
            bits,
            state,
            snd_scale: 0,
            rcv_scale: 0,
            quick_acks: config.quick_acks,
            dup_acks: 0,
            ack_at: Instant::NEVER,
            acknowledged: 0,
            queued: 0,
            rtx_at: Instant::NEVER,
            aux_at: lifetime_at,
            rto_ns: rtt.rto_ns(),
            last_heard: now,
            window: Window { cwnd: 0, ssthresh: u32::MAX, mss: u32::from(config.mss) },
            last_ack_sent: SeqNum(0),
            max_snd_wnd: 0,
            extra_acks: 0,
        };
        let cold = Box::new(Cold {
            iss,
            small_end: iss,
            congestion: Congestion::new(&config),
            usage: Usage::new(iss, now),
            pacer: Pacer::default(),
            ecn: EcnState::default(),
            rtt,
            scoreboard: Scoreboard::default(),
            assembler: Assembler::default(),
            rack: Rack::default(),
            prr: Prr::default(),
            undo: Undo::default(),
            f_rto: FRto::Off,
            tail_loss: TailLoss::default(),
            rescued: false,
            recovery_point: iss,
            syn_sent_at: now,
            stalled_since: now,
            reorder_at: Instant::NEVER,
            lifetime_at,
            probes_unanswered: 0,
            reassembly_limit: config.receive_buffer,
            peer_mss: config.default_mss,
            stall: Stall::default(),
            reassembly_quota: u32::MAX,
            path_mtu: PathMtu::new(config.mss),
            close_reason: None,
            challenges: Challenges::default(),
            urgent: Urgent::default(),
            passive: false,
            fast_open: FastOpen::default(),
            expected: PathMetrics::default(),
            fin_ahead: None,
            duplicates: Duplicates::new(),
            stats: ConnectionStats::default(),
            peer_segment,
            tuner,
            push: Push::default(),
            config,
        });
        Self { hot, cold }
    }

    /// What our SYN offers; a SYN-ACK offers only what the peer's SYN did.
    pub(crate) fn syn_options(&self, now: Instant) -> TcpOptions {
        let config = &self.cold.config;
        let clock = crate::request::clock(now, self.hot.ts_offset);
        if self.hot.state != State::SynReceived {
            return offer(config, None, clock);
        }
        let agreed = TcpOptions {
            timestamps: self
                .hot
                .bits
                .has(Bits::TIMESTAMPS)
                .then_some(Timestamps { value: self.hot.ts_recent, echo: 0 }),
            sack_permitted: self.hot.bits.has(Bits::SACK),
            window_scale: self.scaling_agreed().then_some(0),
            ..TcpOptions::default()
        };
        offer(config, Some(&agreed), clock)
    }

    /// Window scaling was in both SYNs. A shift of zero is agreement too: it is kept apart by the peer's
    /// scale being recorded with its high bit set until the connection is established.
    fn scaling_agreed(&self) -> bool {
        self.hot.snd_scale & SCALE_OFFERED != 0
    }

    /// Takes over what the peer's SYN says (RFC 9293 section 3.10.7.2 and 3.10.7.3).
    pub(crate) fn negotiate(&mut self, syn: &Segment<'_>) {
        let config = &self.cold.config;
        let options = syn.options;
        let hot = &mut self.hot;
        // The window that our own SYN announced, if there was one, begins behind the peer's.
        let announced = hot.rcv_edge.offset_from(hot.rcv_nxt) as u32;
        hot.rcv_nxt = syn.header.seq + 1;
        hot.last_ack_sent = hot.rcv_nxt;
        hot.rcv_edge = hot.rcv_nxt + announced;
        if let (true, Some(ts)) = (config.timestamps, options.timestamps) {
            hot.bits.set(Bits::TIMESTAMPS);
            hot.ts_recent = ts.value;
        }
        if config.sack && options.sack_permitted {
            hot.bits.set(Bits::SACK);
        }
        if let (true, Some(scale)) = (config.window_scaling, options.window_scale) {
            // RFC 7323 section 2.3: a shift above 14 is used as 14.
            hot.snd_scale = scale.min(14) | SCALE_OFFERED;
            hot.rcv_scale = config.window_scale();
        }
        // The window in a SYN is never scaled.
        hot.snd_wnd = u32::from(syn.header.window);
        hot.max_snd_wnd = hot.snd_wnd;
        hot.snd_wl1 = syn.header.seq;
        hot.snd_wl2 = hot.snd_una;
        self.cold.peer_mss = options.mss.unwrap_or(self.cold.config.default_mss);
        self.refresh_mss();
        self.negotiate_ecn(syn);
        self.hot.window.cwnd = self.initial_window();
    }

    pub(crate) fn initial_window(&self) -> u32 {
        if let Some(bytes) = self.cold.congestion.initial_window() {
            return bytes;
        }
        initial_window(self.cold.config.initial_window_segments, self.hot.window.mss)
    }

    /// Both SYNs are acknowledged.
    pub(crate) fn establish(&mut self, now: Instant) {
        self.hot.snd_scale &= !SCALE_OFFERED;
        self.hot.state =
            if self.hot.bits.has(Bits::FIN_QUEUED) { State::FinWait1 } else { State::Established };
        self.hot.rtx_at = Instant::NEVER;
        self.hot.bits.clear(Bits::SEND_SYN);
        self.cold.fast_open.early = false;
        if self.hot.bits.has(Bits::SYN_RETRANSMITTED) {
            self.cold.rtt.start_after_syn_timeout();
            // RFC 6928 section 2 and RFC 5681 section 3.1: a lost SYN leaves an initial window of one segment.
            self.hot.window.cwnd = self.cold.congestion.initial_window().unwrap_or(self.hot.window.mss);
        } else if self.cold.syn_sent_at != Instant::NEVER {
            let rtt = now.nanos_since(self.cold.syn_sent_at);
            self.cold.stats.handshake_rtt_ns = rtt.max(1);
            self.cold.rtt.sample(rtt);
        }
        self.use_expectations();
        if self.hot.bits.has(Bits::SACK) && self.cold.config.rack && self.cold.config.tail_loss_probe {
            self.cold.rtt.use_probes();
        }
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.start_pacing();
        self.cold.stalled_since = now;
        self.cold.tuner.start(now, self.hot.rcv_nxt, self.cold.rtt.srtt_ns());
        self.start_path_mtu(now);
        self.start_keep_alive(now);
    }
}

/// What a SYN offers; an answer offers of it only what the `peer`'s SYN did. `clock` is our timestamp clock.
pub(crate) fn offer(config: &Config, peer: Option<&TcpOptions>, clock: u32) -> TcpOptions {
    let sack = config.sack && peer.is_none_or(|p| p.sack_permitted);
    let timestamps = config.timestamps && peer.is_none_or(|p| p.timestamps.is_some());
    let scale = config.window_scaling && peer.is_none_or(|p| p.window_scale.is_some());
    let echo = peer.and_then(|p| p.timestamps).map_or(0, |ts| ts.value);
    TcpOptions {
        mss: Some(config.mss),
        sack_permitted: sack,
        timestamps: timestamps.then_some(Timestamps { value: clock, echo }),
        window_scale: scale.then(|| config.window_scale()),
        ..TcpOptions::default()
    }
}

/// Marks in `snd_scale`, before the connection is established, that the peer's SYN had the option.
pub(crate) const SCALE_OFFERED: u8 = 0x80;

/// RFC 6928: ten segments, but no more than 14,600 bytes unless that is less than two segments.
fn initial_window(segments: u32, mss: u32) -> u32 {
    let bytes = segments.saturating_mul(mss);
    if segments == 10 { bytes.min((2 * mss).max(14_600)) } else { bytes.max(mss) }
}
