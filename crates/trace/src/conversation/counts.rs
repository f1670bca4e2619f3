//! What is counted of an end.

use serde::Serialize;

/// Counters of what one end has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Bytes of these packets on the wire, as far as the link type tells.
    pub wire_bytes: u64,
    /// Bytes of data, each once.
    pub bytes: u64,
    /// Segments with data.
    pub data_segments: u64,
    /// Segments of which something had been sent before.
    pub retransmissions: u64,
    /// Of these, those without data: a SYN or a FIN alone.
    pub retransmissions_without_data: u64,
    /// Bytes that were sent again.
    pub retransmitted_bytes: u64,
    /// Retransmissions that duplicate acknowledgments or SACK asked for.
    pub fast_retransmissions: u64,
    /// Retransmissions by timeout.
    pub timeouts: u64,
    /// Probes of a lost tail.
    pub tail_probes: u64,
    /// Retransmissions of what had arrived, as far as packets tell.
    pub needless_retransmissions: u64,
    /// Segments that were overtaken.
    pub out_of_order: u64,
    /// Duplicate acknowledgments.
    pub duplicate_acks: u64,
    /// Acknowledgments without data.
    pub pure_acks: u64,
    /// How often its receive window closed.
    pub windows_closed: u64,
    /// For how long it was closed in all, nanoseconds.
    pub closed_ns: u64,
    /// How often it filled the peer's window.
    pub windows_filled: u64,
    /// Probes of the peer's closed window.
    pub window_probes: u64,
    /// Keep-alives.
    pub keep_alives: u64,
    /// Packets that a router marked for congestion.
    pub congestion_marks: u64,
    /// Packets that arrived with a wrong checksum.
    pub damaged: u64,
    /// Bytes that the peer acknowledged and the capture lacks.
    pub not_captured_bytes: u64,
    /// Most bytes that were outstanding.
    pub most_in_flight: u64,
    /// Largest receive window, bytes.
    pub largest_window: u64,
}
