//! Open ends of a wire, and packets that tell whether they arrived once, whole and in order.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bypath_xdp::{AttachMode, Device, QueueConfig, RxBatch, Steering, XdpDevice, XdpError};

use super::{FAR, NEAR, Wire};

/// The address that both ends own.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 77);

/// One open end of the wire.
pub(crate) struct End {
    pub(crate) device: XdpDevice,
    pub(crate) steering: Steering,
}

pub(crate) fn open(name: &str, config: &QueueConfig) -> Result<End, XdpError> {
    let steering = Steering::attach(name, AttachMode::Auto)?;
    steering.own_address(IpAddr::V4(OWN))?;
    let device = XdpDevice::open(&steering, config)?;
    Ok(End { device, steering })
}

pub(crate) fn both(wire: &Wire, config: &QueueConfig) -> (End, End) {
    let near = wire.near.run(|| open(NEAR, config)).expect("near end");
    let far = wire.far.run(|| open(FAR, config)).expect("far end");
    (near, far)
}

/// A UDP packet to the own address, its payload made from `tag`.
pub(crate) fn packet(len: usize, tag: u32) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..6].copy_from_slice(&[0xff; 6]);
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes[14] = 0x45;
    bytes[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
    bytes[22] = 64;
    bytes[23] = 17;
    bytes[30..34].copy_from_slice(&OWN.octets());
    bytes[38..40].copy_from_slice(&((len - 34) as u16).to_be_bytes());
    for (at, byte) in bytes[42..].iter_mut().enumerate() {
        *byte = (at as u32).wrapping_mul(31).wrapping_add(tag) as u8;
    }
    bytes
}

pub(crate) fn send(device: &mut XdpDevice, queue: u16, bytes: &[u8]) -> bool {
    let area = device.area().clone();
    let parts: Vec<&[u8]> = bytes.chunks(area.chunk_size()).collect();
    if device.tx_room() < parts.len() {
        return false;
    }
    for (at, part) in parts.iter().enumerate() {
        let mut frame = device.alloc().expect("tx_room promised a frame");
        area.bytes_mut(&mut frame)[..part.len()].copy_from_slice(part);
        frame.set_len(part.len() as u32);
        frame.set_more(at + 1 < parts.len());
        frame.set_queue(queue);
        device.transmit(frame);
    }
    true
}

/// What has arrived, with the queue it came from.
pub(crate) fn receive(device: &mut XdpDevice) -> Vec<(u16, Vec<u8>)> {
    let area = device.area().clone();
    let mut batch = RxBatch::with_capacity(64);
    device.receive(&mut batch);
    let (mut packets, mut bytes) = (Vec::new(), Vec::new());
    for frame in batch.drain() {
        bytes.extend_from_slice(area.bytes(&frame));
        if !frame.more() {
            packets.push((frame.queue(), std::mem::take(&mut bytes)));
        }
        device.release(frame);
    }
    device.flush();
    packets
}

/// Sends `count` packets on a queue in small bursts and checks that each arrives, once, in order.
pub(crate) fn exchange(
    from: &mut XdpDevice,
    to: &mut XdpDevice,
    queue: u16,
    count: u32,
    len: impl Fn(u32) -> usize,
) {
    let start = Instant::now();
    let (mut sent, mut got) = (0, 0);
    while got < count {
        while sent < count && sent - got < 64 && send(from, queue, &packet(len(sent), sent)) {
            sent += 1;
        }
        from.flush();
        for (arrived_on, bytes) in receive(to) {
            assert_eq!(bytes, packet(len(got), got), "packet {got}");
            assert_eq!(arrived_on, queue);
            got += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{got} of {sent} arrived: {:?}", to.stats());
    }
    assert_eq!(u64::from(count), from.stats().tx_packets);
    assert_eq!(u64::from(count), to.stats().rx_packets);
    assert_eq!((to.stats().rx_ring_full, to.stats().rx_dropped), (0, 0));
}
