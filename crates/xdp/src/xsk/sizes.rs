//! How much packet memory the queues of a device get, and how large their rings are.
//!
//! In zero-copy mode the NIC's own ring takes chunks off the fill ring, and must not find it empty: igb (Linux 6.14 to 7.3 at
//! least) then goes once more over descriptors that it has dealt with, and hands out chunks that are ours again. A full
//! RX ring on the other hand is something that every driver bears. So a queue gets chunks for the NIC's ring, for all
//! of its RX ring and for what we hold, and the RX ring is what runs out first.

use super::QueueConfig;
use crate::socket::RingSizes;

/// Chunks of a queue in batches and with the application.
const HELD: u32 = 128;
/// Packets that the RX ring takes at least, while nobody looks at it.
const LEAST_RX_RING: u32 = 1024;

#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Of the packet memory.
    pub(super) frames: u32,
    /// Chunks of each queue with the kernel, to receive into.
    pub(super) fill_target: u32,
    pub(super) rings: RingSizes,
}

impl Sizes {
    /// `nic_ring` are the descriptors of the NIC's RX ring; zero where it takes no chunks of ours. Memory that is
    /// there already (`fixed`) does not grow; the RX ring is all the smaller then.
    pub(super) fn new(config: &QueueConfig, nic_ring: u32, fixed: bool) -> Self {
        let QueueConfig { frames, rx_ring, tx_ring, fill, completion, .. } = *config;
        let queues = u32::try_from(config.queues.len()).unwrap_or(u32::MAX).max(1);
        let fill_target = (frames / 2 / queues).min(fill);
        let rings = RingSizes { rx: rx_ring, tx: tx_ring, fill, completion };
        if nic_ring == 0 {
            return Sizes { frames, fill_target, rings };
        }
        let least = if fixed { 0 } else { nic_ring + HELD + LEAST_RX_RING.min(rx_ring) };
        let fill_target = fill_target.max(least);
        let for_rx = fill_target.saturating_sub(nic_ring + HELD).max(HELD);
        let rings = RingSizes {
            rx: rx_ring.min(1 << for_rx.ilog2()),
            fill: fill.max(fill_target.next_power_of_two()),
            ..rings
        };
        let frames = if fixed { frames } else { frames.max(frames / 2 + fill_target * queues) };
        Sizes { frames, fill_target, rings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(queues: u32) -> QueueConfig {
        QueueConfig { queues: (0..queues).collect(), ..QueueConfig::default() }
    }

    #[test]
    fn where_the_nic_takes_nothing_the_sizes_are_those_asked_for() {
        let sizes = Sizes::new(&config(2), 0, false);
        assert_eq!((sizes.frames, sizes.fill_target, sizes.rings.rx), (4096, 1024, 2048));
    }

    #[test]
    fn the_rx_ring_is_full_before_the_fill_ring_is_empty() {
        for (queues, nic_ring) in [(1, 64), (1, 256), (2, 256), (8, 256), (1, 1024), (4, 4096)] {
            let config = config(queues);
            let Sizes { frames, fill_target, rings } = Sizes::new(&config, nic_ring, false);
            assert!(nic_ring + rings.rx + HELD <= fill_target, "{queues} queues, a ring of {nic_ring}");
            assert!(fill_target <= rings.fill && rings.rx >= LEAST_RX_RING);
            assert!(rings.rx.is_power_of_two() && rings.fill.is_power_of_two());
            // As much is left for sending as without a NIC's ring.
            assert!(frames >= fill_target * queues + config.frames / 2);
        }
    }

    #[test]
    fn memory_that_is_there_does_not_grow() {
        let sizes = Sizes::new(&config(2), 256, true);
        assert_eq!((sizes.frames, sizes.fill_target, sizes.rings.rx), (4096, 1024, 512));
    }
}
