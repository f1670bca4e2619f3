//! The ceiling of a wire: how many frames a second a device carries one way when nothing is done with
//! them. What TCP reaches on the same wire is read as a fraction of this.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use bypath_wire::ethernet::{EtherType, EthernetHeader};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::udp::UdpHeader;

use crate::device::{Bound, Device};
use crate::frame::RxBatch;

/// Where the frames are addressed to. The receiving end's steering must own it (`own_address`).
pub const DESTINATION: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 254);
/// Where they claim to come from.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 253);
/// The shortest frame sent: Ethernet, IPv4 and UDP headers, padded to Ethernet's least.
pub const MIN_LEN: usize = 60;

/// Packets between two flushes.
const BATCH: usize = 32;
/// How long the receiver waits for stragglers after the sender has stopped.
const GRACE: Duration = Duration::from_millis(50);

/// What was carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CeilingReport {
    /// Bytes of each Ethernet frame, without FCS.
    pub packet_len: usize,
    /// Packets handed to the wire.
    pub sent: u64,
    /// Packets that arrived.
    pub received: u64,
    /// How long the sender sent.
    pub elapsed: Duration,
    /// How the sending socket was bound.
    pub tx_mode: Bound,
    /// How the receiving socket was bound.
    pub rx_mode: Bound,
}

impl CeilingReport {
    /// Packets received per second.
    pub fn packets_per_second(&self) -> f64 {
        self.received as f64 / self.elapsed.as_secs_f64()
    }

    /// Bits of Ethernet frames received per second, without FCS, preamble and gap.
    pub fn bits_per_second(&self) -> f64 {
        self.packets_per_second() * self.packet_len as f64 * 8.0
    }
}

impl fmt::Display for CeilingReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} B: {:.3} Mpps, {:.2} Gbit/s ({} to {}, {} of {} packets in {:.2} s)",
            self.packet_len,
            self.packets_per_second() / 1e6,
            self.bits_per_second() / 1e9,
            self.tx_mode,
            self.rx_mode,
            self.received,
            self.sent,
            self.elapsed.as_secs_f64(),
        )
    }
}

/// Sends frames of `len` bytes from one device to the other for `duration`, as fast as it goes, in
/// batches, one thread at each end. `len` is brought into the range that the sending device can carry.
pub fn measure(tx: &mut dyn Device, rx: &mut dyn Device, len: usize, duration: Duration) -> CeilingReport {
    let len = len.clamp(MIN_LEN, (tx.info().max_packet_len as usize).max(MIN_LEN));
    let headers = headers(tx, rx, len);
    let (tx_mode, rx_mode) = (tx.info().mode, rx.info().mode);
    let stop = AtomicBool::new(false);
    let (sent, elapsed, received) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_until(rx, len, &stop));
        let (sent, elapsed) = send_for(tx, &headers, len, duration);
        stop.store(true, Ordering::Release);
        (sent, elapsed, receiver.join().unwrap_or(0))
    });
    CeilingReport { packet_len: len, sent, received, elapsed, tx_mode, rx_mode }
}

fn headers(tx: &dyn Device, rx: &dyn Device, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let ethernet = EthernetHeader {
        dst: rx.info().mac,
        src: tx.info().mac,
        ethertype: EtherType::IPV4,
        vlan: ArrayVec::new(),
    };
    let link_len = ethernet.emit(&mut bytes);
    let ip = Ipv4Header {
        dscp_ecn: 0,
        total_len: (len - link_len) as u16,
        id: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: protocol::UDP,
        checksum: 0,
        src: SOURCE,
        dst: DESTINATION,
        options: ArrayVec::new(),
    };
    let ip_len = ip.emit(&mut bytes[link_len..]);
    // RFC 863, discard; checksum 0 means none.
    let udp = UdpHeader { src_port: 9, dst_port: 9, len: (len - link_len - ip_len) as u16, checksum: 0 };
    let udp_len = udp.emit(&mut bytes[link_len + ip_len..]);
    bytes.truncate(link_len + ip_len + udp_len);
    bytes
}

fn send_for(tx: &mut dyn Device, headers: &[u8], len: usize, duration: Duration) -> (u64, Duration) {
    let before = tx.stats();
    let start = Instant::now();
    loop {
        for _ in 0..BATCH {
            if !send_one(tx, headers, len) {
                break;
            }
        }
        tx.flush();
        let elapsed = start.elapsed();
        if elapsed >= duration {
            return (tx.stats().tx_packets - before.tx_packets, elapsed);
        }
    }
}

/// Queues one packet. Only the headers are written: what else the frames hold is sent along.
fn send_one(tx: &mut dyn Device, headers: &[u8], len: usize) -> bool {
    let chunk = tx.area().chunk_size();
    if tx.tx_room() < len.div_ceil(chunk) {
        return false;
    }
    let mut left = len;
    while left > 0 {
        let Some(mut frame) = tx.alloc() else { return false };
        let part = left.min(chunk);
        if left == len
            && let Some(room) = tx.area().bytes_mut(&mut frame).get_mut(..headers.len())
        {
            room.copy_from_slice(headers);
        }
        left -= part;
        frame.set_len(part as u32);
        frame.set_more(left > 0);
        tx.transmit(frame);
    }
    true
}

fn receive_until(rx: &mut dyn Device, len: usize, stop: &AtomicBool) -> u64 {
    let mut batch = RxBatch::with_capacity(BATCH * 2);
    let (mut received, mut packet_len) = (0, 0);
    let mut silent_since: Option<Instant> = None;
    loop {
        if rx.receive(&mut batch) > 0 {
            silent_since = None;
            for frame in batch.drain() {
                packet_len += frame.len();
                if !frame.more() {
                    received += u64::from(packet_len == len);
                    packet_len = 0;
                }
                rx.release(frame);
            }
            rx.flush();
            continue;
        }
        rx.flush();
        if stop.load(Ordering::Acquire) && silent_since.get_or_insert_with(Instant::now).elapsed() > GRACE {
            return received;
        }
        // Sleeping in poll() would charge the sender with a wake-up for each batch; a core that both ends
        // share goes to the sender by yielding.
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impair::Impairments;
    use crate::memory::{MemoryConfig, WireClock, pair};

    #[test]
    fn counts_what_arrives_over_the_wire_in_memory() {
        let config = MemoryConfig { clock: WireClock::Monotonic, mtu: 9000, ..MemoryConfig::default() };
        let (mut a, mut b) = pair(&config, Impairments::none(), Impairments::none()).expect("pair");
        let report = measure(&mut a, &mut b, 5000, Duration::from_millis(50));
        assert!(report.received > 0 && report.received <= report.sent, "{report}");
        assert_eq!(b.stats().rx_bytes, report.received * 5000);
    }

    #[test]
    fn the_length_is_brought_into_range() {
        let config = MemoryConfig { clock: WireClock::Monotonic, ..MemoryConfig::default() };
        let (mut a, mut b) = pair(&config, Impairments::none(), Impairments::none()).expect("pair");
        assert_eq!(measure(&mut a, &mut b, 1, Duration::from_millis(1)).packet_len, MIN_LEN);
        assert_eq!(measure(&mut a, &mut b, 9999, Duration::from_millis(1)).packet_len, 1522);
    }
}
