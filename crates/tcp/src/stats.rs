//! Counters of a connection, and the causes for which segments are not used.

/// Why a segment, or a part of it, was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropCause {
    /// Outside the receive window (RFC 9293 section 3.10.7.4, first check).
    OutOfWindow,
    /// All of it was received before.
    Duplicate,
    /// Timestamp older than the last (RFC 7323 section 5, PAWS).
    OldTimestamp,
    /// Acknowledges what was never sent, or what was acknowledged long ago (RFC 5961 section 5).
    BadAck,
    /// No ACK where one is required.
    NoAck,
    /// RST in the window but not at its edge (RFC 5961 section 3).
    BlindReset,
    /// SYN on a synchronized connection (RFC 5961 section 4).
    BlindSyn,
    /// RST where it means nothing.
    StrayReset,
    /// Ahead of its turn, and nothing left to keep it in.
    ReassemblyFull,
    /// Data after the application or the peer closed this direction.
    AfterClose,
    /// The connection is closed.
    Closed,
}

impl DropCause {
    /// How many there are.
    pub const COUNT: usize = 11;

    /// All of them, by their number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::OutOfWindow,
        Self::Duplicate,
        Self::OldTimestamp,
        Self::BadAck,
        Self::NoAck,
        Self::BlindReset,
        Self::BlindSyn,
        Self::StrayReset,
        Self::ReassemblyFull,
        Self::AfterClose,
        Self::Closed,
    ];

    /// Its name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfWindow => "tcp_out_of_window",
            Self::Duplicate => "tcp_duplicate",
            Self::OldTimestamp => "tcp_old_timestamp",
            Self::BadAck => "tcp_bad_ack",
            Self::NoAck => "tcp_no_ack",
            Self::BlindReset => "tcp_blind_reset",
            Self::BlindSyn => "tcp_blind_syn",
            Self::StrayReset => "tcp_stray_reset",
            Self::ReassemblyFull => "tcp_reassembly_full",
            Self::AfterClose => "tcp_after_close",
            Self::Closed => "tcp_closed",
        }
    }
}

/// What a connection has counted since it opened (names after RFC 4898 where it has one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Segments received.
    pub segs_in: u64,
    /// Segments sent, retransmissions included.
    pub segs_out: u64,
    /// Segments that carried data.
    pub data_segs_out: u64,
    /// Segments sent again.
    pub segs_retrans: u64,
    /// Bytes sent again.
    pub octets_retrans: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Times loss recovery was entered without a timeout.
    pub fast_recoveries: u64,
    /// Of these, those that turned out to have been needless (RFC 4898: SpuriousFrDetected).
    pub spurious_recoveries: u64,
    /// Of the timeouts, those that turned out to have been needless (RFC 4898: SpuriousRtoDetected).
    pub spurious_timeouts: u64,
    /// Tail loss probes sent (RFC 8985 section 7).
    pub tail_loss_probes: u64,
    /// Of these, those that repaired a loss.
    pub tail_loss_recoveries: u64,
    /// Acknowledgements that reported a duplicate (RFC 4898: DSACKDups).
    pub dsacks_in: u64,
    /// Duplicates reported to the peer (RFC 2883).
    pub dsacks_out: u64,
    /// Duplicate acknowledgements received.
    pub dup_acks_in: u64,
    /// Segments received ahead of their turn.
    pub out_of_order_in: u64,
    /// Zero-window probes sent.
    pub window_probes: u64,
    /// Keep-alive probes sent.
    pub keep_alive_probes: u64,
    /// Challenge acknowledgements sent (RFC 5961).
    pub challenge_acks: u64,
    /// Packets received that routers had marked (RFC 3168).
    pub ce_in: u64,
    /// Acknowledgements received that told of marked packets.
    pub ecn_signals: u64,
    /// Challenge acknowledgements not sent, for the limits of this connection or of the stack.
    pub challenge_acks_withheld: u64,
    /// Times the path was found to swallow segments of the present size (RFC 4821 section 7.6).
    pub mtu_black_holes: u64,
    /// Segments sent larger than what is known to pass, to learn whether they do (RFC 4821).
    pub mtu_probes: u64,
    /// Of those, lost.
    pub mtu_probes_lost: u64,
    /// First round-trip time, from the handshake, in nanoseconds; 0 if unknown.
    pub handshake_rtt_ns: u64,
}
