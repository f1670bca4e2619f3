//! A worker's own figures, which count from its start, as those of an interval.

use bypath::WorkerStats;

use super::tally::{Counts, Tally};

/// What the worker's figures were at the last cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before(Counts);

impl Before {
    /// Adds what has come since the last time.
    pub(super) fn count(&mut self, stats: &WorkerStats, tally: &mut Tally) {
        tally.thread = nix::unistd::gettid().as_raw();
        tally.drops.clear();
        tally.drops.extend(stats.drops());
        let ring_full = ["rx_ring_full", "rx_dropped"];
        let lost = tally.drops.iter().filter(|(name, _)| ring_full.contains(name)).map(|(_, n)| n).sum();
        let now = Counts {
            segments_sent: stats.segments_out(),
            segments_received: stats.segments_in(),
            segments_retransmitted: stats.retransmits(),
            packets_sent: stats.tx_packets(),
            packets_received: stats.rx_packets(),
            wire_bytes_sent: stats.tx_bytes(),
            wire_bytes_received: stats.rx_bytes(),
            transmit_stalls: stats.transmit_stalls(),
            receive_ring_full: lost,
            busy_ns: stats.busy_ns,
            idle_ns: stats.idle_ns,
            ..Counts::default()
        };
        let counts = &mut tally.counts;
        let pairs: [(&mut u64, u64, u64); 11] = [
            (&mut counts.segments_sent, now.segments_sent, self.0.segments_sent),
            (&mut counts.segments_received, now.segments_received, self.0.segments_received),
            (&mut counts.segments_retransmitted, now.segments_retransmitted, self.0.segments_retransmitted),
            (&mut counts.packets_sent, now.packets_sent, self.0.packets_sent),
            (&mut counts.packets_received, now.packets_received, self.0.packets_received),
            (&mut counts.wire_bytes_sent, now.wire_bytes_sent, self.0.wire_bytes_sent),
            (&mut counts.wire_bytes_received, now.wire_bytes_received, self.0.wire_bytes_received),
            (&mut counts.transmit_stalls, now.transmit_stalls, self.0.transmit_stalls),
            (&mut counts.receive_ring_full, now.receive_ring_full, self.0.receive_ring_full),
            (&mut counts.busy_ns, now.busy_ns, self.0.busy_ns),
            (&mut counts.idle_ns, now.idle_ns, self.0.idle_ns),
        ];
        for (count, now, before) in pairs {
            *count += now.saturating_sub(before);
        }
        self.0 = now;
    }
}
