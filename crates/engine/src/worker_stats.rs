//! A worker's figures: what it moved, what it dropped and why, and how much of its time it had something to do.

use bypath_xdp::DeviceStats;

use crate::account::CycleAccount;
use crate::counters::Counters;

/// Figures of one worker since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerStats {
    /// Its number.
    pub worker: usize,
    /// Nanoseconds in rounds of its loop in which there was something to do.
    pub busy_ns: u64,
    /// Nanoseconds in the others: it looked for work, or slept.
    pub idle_ns: u64,
    /// Rounds of its loop.
    pub rounds: u64,
    /// Of these, rounds in which there was something to do.
    pub busy_rounds: u64,
    /// What its busy time went into, where an account is kept ([`crate::EngineBuilder::profile`]).
    pub account: Option<CycleAccount>,
    /// Connections in any state.
    pub flows: usize,
    pub(crate) counters: Counters,
    pub(crate) device: DeviceStats,
}

impl WorkerStats {
    /// Packets received.
    pub fn rx_packets(&self) -> u64 {
        self.device.rx_packets
    }

    /// Packets sent.
    pub fn tx_packets(&self) -> u64 {
        self.device.tx_packets
    }

    /// Bytes received, link headers included.
    pub fn rx_bytes(&self) -> u64 {
        self.device.rx_bytes
    }

    /// Bytes sent, link headers included.
    pub fn tx_bytes(&self) -> u64 {
        self.device.tx_bytes
    }

    /// TCP segments received.
    pub fn segments_in(&self) -> u64 {
        self.counters.segs_in
    }

    /// TCP segments sent, those sent again included.
    pub fn segments_out(&self) -> u64 {
        self.counters.segs_out
    }

    /// TCP segments sent again.
    pub fn retransmits(&self) -> u64 {
        self.counters.segs_retrans
    }

    /// Packets that arrived here and were passed on to other workers.
    pub fn handed_off(&self) -> u64 {
        self.counters.handed_off
    }

    /// Times that the transmit ring had no room for all that was to be sent: the device, not the worker, was
    /// the bound. What could not be sent then was sent later, and is no drop.
    pub fn transmit_stalls(&self) -> u64 {
        self.counters.transmit_stalls
    }

    /// Packets not used, by cause; only causes that were seen.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counters.drops().chain(device_drops(&self.device))
    }

    /// What else was counted, by name; only what has happened.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counters.tallies()
    }
}

/// Packets that the device has lost, by cause; only causes that were seen.
pub(crate) fn device_drops(device: &DeviceStats) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    [
        ("rx_dropped", device.rx_dropped),
        ("rx_invalid_descs", device.rx_invalid_descs),
        ("rx_unexpected", device.rx_unexpected),
        ("rx_ring_full", device.rx_ring_full),
        ("fill_ring_empty", device.fill_ring_empty),
        ("tx_invalid_descs", device.tx_invalid_descs),
        ("tx_ring_full", device.tx_ring_full),
    ]
    .into_iter()
    .filter(|(_, n)| *n > 0)
}
