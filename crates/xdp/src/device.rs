//! What the engine sees of a NIC: the device trait, the facts about it and its counters.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use bypath_wire::ethernet::MacAddr;

use crate::frame::{Frame, RxBatch};
use crate::umem::UmemArea;

/// How the sockets are bound to the driver, read back from the kernel and never what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The NIC reads and writes the packet memory itself.
    ZeroCopy,
    /// The kernel copies each packet.
    Copy,
    /// No kernel at all: the in-memory wire.
    Memory,
}

/// Where the steering program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// In the driver, before an skb exists.
    Native,
    /// In the stack, on an skb: works everywhere, slowly.
    Generic,
    /// No program: the in-memory wire.
    None,
}

impl fmt::Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Bound::ZeroCopy => "zerocopy",
            Bound::Copy => "copy",
            Bound::Memory => "memory",
        })
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Attached::Native => "native",
            Attached::Generic => "generic",
            Attached::None => "none",
        })
    }
}

/// Ethernet header and two VLAN tags, in bytes: what a packet may carry on top of the MTU.
pub(crate) const LINK_HEADERS: u32 = 14 + 4 + 4;

/// Facts about an open device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Interface name.
    pub name: String,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Kernel driver.
    pub driver: String,
    /// The queues served, as the NIC numbers them.
    pub queues: Vec<u32>,
    /// How the sockets were bound, as the kernel reports it.
    pub mode: Bound,
    /// Where the steering program runs.
    pub attach: Attached,
    /// True when a packet may span several frames.
    pub multi_buffer: bool,
    /// Longest Ethernet frame that can be sent and received, in bytes, without FCS.
    pub max_packet_len: u32,
    /// True when the packet memory lies on huge pages.
    pub huge_pages: bool,
    /// True when the kernel asks to be woken instead of being kicked for each batch.
    pub need_wakeup: bool,
    /// True when the kernel accepted busy polling.
    pub busy_poll: bool,
}

/// Counters since the device was opened, over all its queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets handed to the wire.
    pub tx_packets: u64,
    /// Bytes received, Ethernet headers included.
    pub rx_bytes: u64,
    /// Bytes handed to the wire, Ethernet headers included.
    pub tx_bytes: u64,
    /// Packets lost on the way to us for another cause than those below.
    pub rx_dropped: u64,
    /// Fill descriptors that the kernel refused.
    pub rx_invalid_descs: u64,
    /// Descriptors of frames that the kernel did not have: an error of the driver. They are not used.
    pub rx_unexpected: u64,
    /// Packets lost because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times the kernel found no frame to receive into.
    pub fill_ring_empty: u64,
    /// TX descriptors that the kernel refused.
    pub tx_invalid_descs: u64,
    /// Times the kernel found nothing to send.
    pub tx_ring_empty: u64,
    /// Packets given up by us because the TX ring had no room for them or they did not fit the device.
    pub tx_ring_full: u64,
    /// Of the packets handed to the wire, those that went by the pump.
    pub tx_pumped: u64,
    /// System calls made to start transmission or reception.
    pub kicks: u64,
    /// Of those, the ones the kernel answered with "later" (EAGAIN, EBUSY, ENOBUFS, ENETDOWN).
    pub kick_errors: u64,
}

impl DeviceStats {
    /// The sum of two devices' counters.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        DeviceStats {
            rx_packets: self.rx_packets + other.rx_packets,
            tx_packets: self.tx_packets + other.tx_packets,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            tx_bytes: self.tx_bytes + other.tx_bytes,
            rx_dropped: self.rx_dropped + other.rx_dropped,
            rx_invalid_descs: self.rx_invalid_descs + other.rx_invalid_descs,
            rx_unexpected: self.rx_unexpected + other.rx_unexpected,
            rx_ring_full: self.rx_ring_full + other.rx_ring_full,
            fill_ring_empty: self.fill_ring_empty + other.fill_ring_empty,
            tx_invalid_descs: self.tx_invalid_descs + other.tx_invalid_descs,
            tx_ring_empty: self.tx_ring_empty + other.tx_ring_empty,
            tx_ring_full: self.tx_ring_full + other.tx_ring_full,
            tx_pumped: self.tx_pumped + other.tx_pumped,
            kicks: self.kicks + other.kicks,
            kick_errors: self.kick_errors + other.kick_errors,
        }
    }
}

/// A NIC as the engine drives it. One thread owns a device; nothing in it is shared.
///
/// A loop looks like: `receive`, work, `alloc` and `transmit`, then one `flush`; `wait` when idle.
pub trait Device: Send {
    /// Facts that do not change while the device is open.
    fn info(&self) -> &DeviceInfo;

    /// The memory that its frames point into.
    fn area(&self) -> &Arc<UmemArea>;

    /// Appends what has arrived, whole packets only. Returns the frames appended.
    fn receive(&mut self, batch: &mut RxBatch) -> usize;

    /// Gives a frame back.
    fn release(&mut self, frame: Frame);

    /// Frames that `alloc` and `transmit` will accept now.
    fn tx_room(&self) -> usize;

    /// An empty frame: offset 0, length 0, last of its packet.
    fn alloc(&mut self) -> Option<Frame>;

    /// Queues a frame to be sent at the next `flush`. The frames of a packet follow each other.
    /// A packet that finds no room is dropped whole and counted in `tx_ring_full`.
    fn transmit(&mut self, frame: Frame);

    /// Submits what was queued, kicks the kernel if it wants that, takes back what was sent and tops
    /// up the memory to receive into. Once a batch.
    fn flush(&mut self);

    /// Whether frames wait that the last `flush` could not hand over: flush again soon.
    fn has_unsent(&self) -> bool {
        false
    }

    /// Sleeps until a packet arrives, `wake` becomes readable, or `timeout` passes (`None`: forever).
    /// A signal ends the sleep early, without an error.
    fn wait(&mut self, timeout: Option<Duration>, wake: Option<BorrowedFd<'_>>) -> io::Result<()>;

    /// The counters.
    fn stats(&self) -> DeviceStats;
}
