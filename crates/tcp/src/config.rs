//! What can be set on a connection, with the defaults of a modern host.

use core::time::Duration;

/// Which algorithm decides how much may be in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionControl {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681 with RFC 6582.
    NewReno,
    /// BBRv3, draft-ietf-ccwg-bbr: a model of the path instead of losses.
    Bbr,
    /// RFC 8257: slows down by the part of the data that is marked. For data centers whose switches mark early; it
    /// always asks for ECN.
    Dctcp,
    /// None at all: a window of [`Config::fixed_window`] bytes whatever is lost. For load generation on a network
    /// that nobody else uses; results that were made with it must say so.
    None,
}

impl CongestionControl {
    /// Its name, as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "newreno",
            Self::Bbr => "bbr",
            Self::Dctcp => "dctcp",
            Self::None => "none",
        }
    }
}

/// When SYNs are answered with cookies, of which nothing is kept (RFC 4987).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// While there is no room for another half-open connection.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: a SYN without room is not answered.
    Off,
}

/// Explicit congestion notification (RFC 3168), where the congestion control answers marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnMode {
    /// Neither asked for nor agreed to.
    Off,
    /// Agreed to when the peer asks.
    #[default]
    Accept,
    /// Asked for, and agreed to. If the SYN is lost, the next does without.
    Request,
    /// Asked for with accurate feedback (RFC 9768), and agreed to in either form.
    Accurate,
}

/// Whether data leaves at a steady rate, or a window at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// Where the congestion control is made for it: BBR.
    #[default]
    Auto,
    /// Always: by twice the window a round trip in slow start, by a fifth more than the window later.
    On,
    /// Never, not even where the congestion control counts on it.
    Off,
}

/// What is made of the metrics that earlier connections to the same host have left (RFC 9040).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsCache {
    /// Nothing is kept, not even Fast Open cookies.
    Off,
    /// The round trip (for the first timeout only, and only to make it longer), the path's MTU, Fast Open cookies.
    /// So Linux has it, and so it can do no harm: a threshold from a bad day would hold back all that follow.
    #[default]
    Careful,
    /// And the slow-start threshold, and a smaller window than the initial one.
    Full,
}

/// Whether sizes are tried by sending them (RFC 4821), as Linux numbers it in `tcp_mtu_probing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuProbing {
    /// Timeouts change no size; only what routers say does.
    Off,
    /// A black hole is found by its timeouts and recovered from; then larger sizes are tried.
    #[default]
    OnBlackHole,
    /// Connections begin with a size that passes nearly everywhere, and try larger ones.
    Always,
}

/// Settings of one connection. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// Congestion control algorithm.
    pub congestion: CongestionControl,
    /// The window of [`CongestionControl::None`].
    pub fixed_window: u32,
    /// Pacing.
    pub pacing: Pacing,
    /// Explicit congestion notification. Linux agrees to it and does not ask (`tcp_ecn` is 2).
    pub ecn: EcnMode,
    /// Largest payload that fits our end of the path without options (MTU less IP and TCP headers).
    pub mss: u16,
    /// Largest payload that is sent to a peer which does not say what it takes (RFC 9293 MUST-15): 536, and 1220
    /// over IPv6.
    pub default_mss: u16,
    /// Hop limit (time to live) of the packets, for whoever writes their IP header.
    pub hop_limit: u8,
    /// Differentiated services code point of the packets, 0 to 63, for whoever writes their IP header.
    pub dscp: u8,
    /// An ICMP error that may pass by itself ends an opening connection, as it does on Linux. RFC 9293 has it
    /// reported only (MUST-56), so that a route which comes back is found.
    pub soft_errors_end_opening: bool,
    /// How the path's MTU is found besides what routers say.
    pub mtu_probing: MtuProbing,
    /// No black hole makes segments smaller than this, payload and options; the engine sets it for IPv6, whose links all
    /// carry 1,280 bytes.
    pub least_path_mss: u16,
    /// Challenge acknowledgements (RFC 5961) of a connection in a second.
    pub challenge_acks_per_connection: u8,
    /// About as many in a second for all connections of a stack together; the number itself is random.
    pub challenge_acks_per_stack: u32,
    /// Most the receive buffer will ever hold; decides the window scale offered (RFC 7323 section 2).
    pub receive_buffer: u32,
    /// What the receive buffer holds when the connection opens, if that is less than
    /// [`receive_buffer`](Self::receive_buffer).
    pub initial_receive_buffer: u32,
    /// Let the receive buffer grow with what the application takes in a round trip; else it has its full size
    /// from the start.
    pub tune_receive_buffer: bool,
    /// Let what an application may write ahead grow with the congestion window; else it is the whole send
    /// buffer from the start.
    pub tune_send_buffer: bool,
    /// Initial congestion window in segments (RFC 6928: 10).
    pub initial_window_segments: u32,
    /// Give up, after a pause, a congestion window that nothing has confirmed since (RFC 5681 section 4.1), and
    /// bit by bit the part of it that the application does not fill (RFC 7661).
    pub slow_start_after_idle: bool,
    /// Offer timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Report data that was received twice (RFC 2883), beside selective acknowledgements.
    pub dsack: bool,
    /// Find losses by time (RFC 8985), where both ends know selective acknowledgements; else by what they pass
    /// over (RFC 6675).
    pub rack: bool,
    /// Probe for a lost tail rather than wait for a timeout (RFC 8985 section 7). Needs `rack`.
    pub tail_loss_probe: bool,
    /// In recovery, send in proportion to what arrives (RFC 6937, RFC 9937).
    pub prr: bool,
    /// Take a reduction back that duplicate reports or echoed timestamps show to have answered no loss
    /// (RFC 3708, RFC 4015).
    pub undo: bool,
    /// Find out whether a timeout was needed (RFC 5682).
    pub f_rto: bool,
    /// Send new data on the first duplicate acknowledgements (RFC 3042).
    pub limited_transmit: bool,
    /// Count the retransmission timeout of the last few segments from when they were sent (RFC 7765). Off, as
    /// in Linux: with tail loss probes it gains little.
    pub rto_restart: bool,
    /// Offer window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Send small segments at once (no Nagle).
    pub nodelay: bool,
    /// With Nagle, a small segment waits behind anything outstanding (RFC 896), not just behind another small one.
    pub strict_nagle: bool,
    /// Longest an acknowledgement of in-order data waits (RFC 9293 section 3.8.6.3: under 500 ms).
    pub delayed_ack: Duration,
    /// Acknowledge this many first segments at once, so that the peer's slow start is not held back.
    pub quick_acks: u8,
    /// Acknowledge at once when this many full segments have come (RFC 9293 SHLD-19: 2); 1: every one.
    pub ack_every: u8,
    /// PSH on the last segment of each write, and once in half a window of a long one, as Linux does; else only
    /// on the last of all that is to be sent (RFC 9293 MUST-61).
    pub push_each_write: bool,
    /// Lower bound of the retransmission timeout. RFC 6298 says 1 s and lets hosts do with less; 200 ms is
    /// what Linux does.
    pub min_rto: Duration,
    /// Timeout before the first round-trip sample (RFC 6298 section 2.1).
    pub initial_rto: Duration,
    /// Upper bound of the retransmission timeout (RFC 6298 section 2.4: at least 60 s).
    pub max_rto: Duration,
    /// Give up when sent data stays unacknowledged this long (R2 of RFC 9293 section 3.8.3, at least 100 s).
    pub user_timeout: Duration,
    /// Retransmission timeouts in a row, without an answer, after which the application is told
    /// ([`Events::STALLED`](crate::Events::STALLED); R1 of RFC 9293 section 3.8.3, at least 3).
    pub stall_timeouts: u8,
    /// Give up opening after this long (RFC 9293 MUST-23: at least 3 minutes).
    pub connect_timeout: Duration,
    /// How often a SYN-ACK is sent again before the half-open connection is forgotten (Linux: 5, 63 seconds in
    /// all).
    pub syn_ack_retries: u8,
    /// Half-open connections of a stack, over all listeners; each listener has at most as many as its backlog.
    pub max_half_open: u32,
    /// What becomes of a SYN for which there is no such room.
    pub syn_cookies: CookieMode,
    /// When the accept queue is full: reset the peer that completes its handshake, instead of letting it try
    /// again (Linux: `tcp_abort_on_overflow`, off).
    pub abort_on_overflow: bool,
    /// Connections in TIME-WAIT of a stack; no more than it may have connections. Beyond that they end at once, as
    /// on Linux.
    pub max_time_wait: u32,
    /// Let a new connection of ours follow on one in TIME-WAIT, where timestamps keep the two apart (RFC 6191). It
    /// is done when the port is named, or none else is left.
    pub time_wait_reuse: bool,
    /// How long a connection must have rested in TIME-WAIT before one of ours follows on it. A second, as on Linux,
    /// suits every clock that timestamps may tick by; ours ticks every millisecond, and a peer that keeps no
    /// TIME-WAIT of its own need not be waited for longer than that.
    pub time_wait_rest: Duration,
    /// Use Fast Open for those who give data with the connection (RFC 7413); servers are asked for it one by one.
    pub fast_open: bool,
    /// What becomes of metrics of earlier connections.
    pub metrics: MetricsCache,
    /// Hosts of which a stack keeps metrics.
    pub metrics_hosts: u32,
    /// Probe an idle peer after this long; `None`: never (RFC 9293 section 3.8.4, off by default).
    pub keep_alive: Option<Duration>,
    /// Between keep-alive probes.
    pub keep_alive_interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub keep_alive_probes: u8,
    /// How long TIME-WAIT lasts, twice the maximum segment lifetime.
    pub time_wait: Duration,
    /// How long a connection whose application is gone may stay in FIN-WAIT-2.
    pub fin_wait_2: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            congestion: CongestionControl::Cubic,
            fixed_window: 1 << 20,
            pacing: Pacing::Auto,
            ecn: EcnMode::Accept,
            mss: 1460,
            default_mss: 536,
            hop_limit: 64,
            dscp: 0,
            soft_errors_end_opening: false,
            mtu_probing: MtuProbing::OnBlackHole,
            least_path_mss: 512,
            challenge_acks_per_connection: 10,
            challenge_acks_per_stack: 1_000,
            receive_buffer: 6 << 20,
            initial_receive_buffer: 1 << 17,
            tune_receive_buffer: true,
            tune_send_buffer: true,
            initial_window_segments: 10,
            slow_start_after_idle: true,
            timestamps: true,
            sack: true,
            dsack: true,
            rack: true,
            tail_loss_probe: true,
            prr: true,
            undo: true,
            f_rto: true,
            limited_transmit: true,
            rto_restart: false,
            window_scaling: true,
            nodelay: false,
            strict_nagle: false,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            ack_every: 2,
            push_each_write: true,
            min_rto: Duration::from_millis(200),
            initial_rto: Duration::from_secs(1),
            max_rto: Duration::from_secs(120),
            user_timeout: Duration::from_secs(924),
            stall_timeouts: 3,
            connect_timeout: Duration::from_secs(190),
            syn_ack_retries: 5,
            max_half_open: 4_096,
            syn_cookies: CookieMode::Auto,
            abort_on_overflow: false,
            max_time_wait: 16_384,
            time_wait_reuse: true,
            time_wait_rest: Duration::from_secs(1),
            fast_open: true,
            metrics: MetricsCache::Careful,
            metrics_hosts: 1_024,
            keep_alive: None,
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// The idle time after which a peer is probed, if keep-alive is turned on without naming one: RFC 9293 MUST-28
    /// has two hours at least.
    pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(7_200);

    /// What the receive buffer holds when the connection opens.
    pub fn first_receive_buffer(&self) -> u32 {
        if self.tune_receive_buffer {
            self.receive_buffer.min(self.initial_receive_buffer)
        } else {
            self.receive_buffer
        }
    }

    /// The window scale to offer: the smallest shift that lets the whole buffer be advertised, at most 14
    /// (RFC 7323 section 2.3).
    pub fn window_scale(&self) -> u8 {
        let mut shift = 0;
        while shift < 14 && (self.receive_buffer >> shift) > u32::from(u16::MAX) {
            shift += 1;
        }
        shift
    }
}
