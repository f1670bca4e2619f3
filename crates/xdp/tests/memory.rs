//! The in-memory pair as the engine sees it: whole packets, conservation, and the same from the same seed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bypath_xdp::memory::pair;
use bypath_xdp::{Device, Impairments, MemoryConfig, MemoryDevice, RxBatch, WireClock};
use proptest::prelude::*;

fn config() -> MemoryConfig {
    MemoryConfig { frames: 128, tx_ring: 32, ..MemoryConfig::default() }
}

/// Queues one packet, in as many frames as it takes. False when there is no room.
fn queue(device: &mut MemoryDevice, packet: &[u8]) -> bool {
    let chunk = device.area().chunk_size();
    let parts: Vec<&[u8]> = packet.chunks(chunk).collect();
    if device.tx_room() < parts.len() {
        return false;
    }
    let area = device.area().clone();
    for (at, part) in parts.iter().enumerate() {
        let mut frame = device.alloc().expect("tx_room promised a frame");
        area.bytes_mut(&mut frame)[..part.len()].copy_from_slice(part);
        frame.set_len(part.len() as u32);
        frame.set_more(at + 1 < parts.len());
        device.transmit(frame);
    }
    true
}

/// Receives everything that is there now.
fn collect(device: &mut MemoryDevice) -> Vec<Vec<u8>> {
    let mut batch = RxBatch::with_capacity(32);
    let mut packets = Vec::new();
    let area = device.area().clone();
    while device.receive(&mut batch) > 0 {
        let mut packet = Vec::new();
        for frame in batch.drain() {
            packet.extend_from_slice(area.bytes(&frame));
            let more = frame.more();
            device.release(frame);
            if !more {
                packets.push(std::mem::take(&mut packet));
            }
        }
        assert!(packet.is_empty(), "a batch ended inside a packet");
        device.flush();
    }
    packets
}

#[test]
fn a_packet_arrives_after_flush_and_not_before() {
    let (mut a, mut b) = pair(&config(), Impairments::none(), Impairments::none()).unwrap();
    assert!(queue(&mut a, &[7; 60]));
    assert!(collect(&mut b).is_empty());
    a.flush();
    assert_eq!(collect(&mut b), [vec![7; 60]]);
    assert_eq!((a.stats().tx_packets, a.stats().tx_bytes), (1, 60));
    assert_eq!((b.stats().rx_packets, b.stats().rx_bytes), (1, 60));
}

#[test]
fn a_long_packet_spans_frames_and_stays_whole() {
    let long = MemoryConfig { mtu: 9000, ..config() };
    let (mut a, mut b) = pair(&long, Impairments::none(), Impairments::none()).unwrap();
    let packet: Vec<u8> = (0..9014u32).map(|at| at as u8).collect();
    assert!(a.info().multi_buffer);
    assert!(queue(&mut a, &packet));
    a.flush();
    let mut small = RxBatch::with_capacity(4);
    assert_eq!(b.receive(&mut small), 0, "five frames do not fit a batch of four");
    assert_eq!(collect(&mut b), [packet]);
}

#[test]
fn a_packet_longer_than_the_mtu_is_refused_and_counted() {
    let (mut a, mut b) = pair(&config(), Impairments::none(), Impairments::none()).unwrap();
    assert!(queue(&mut a, &[0; 1523]));
    a.flush();
    assert!(collect(&mut b).is_empty());
    assert_eq!(a.stats().tx_invalid_descs, 1);
}

#[test]
fn a_packet_that_finds_no_room_is_dropped_whole_and_its_frames_come_back() {
    let narrow = MemoryConfig { frames: 16, tx_ring: 2, mtu: 9000, ..MemoryConfig::default() };
    let (mut a, mut b) = pair(&narrow, Impairments::none(), Impairments::none()).unwrap();
    let before = a.tx_room();
    for at in 0..4 {
        let mut frame = a.alloc().unwrap();
        frame.set_len(100);
        frame.set_more(at < 3);
        a.transmit(frame);
    }
    assert_eq!(a.stats().tx_ring_full, 1);
    assert!(queue(&mut a, &[1; 60]), "the next packet is not refused");
    a.flush();
    assert_eq!(a.tx_room(), before);
    assert_eq!(collect(&mut b), [vec![1; 60]]);
}

#[test]
fn dropped_frames_are_back_after_flush() {
    let (mut a, mut b) = pair(&config(), Impairments::none(), Impairments::none()).unwrap();
    for _ in 0..20 {
        for tag in 0..32 {
            assert!(queue(&mut a, &[tag; 64]));
        }
        a.flush();
        let mut batch = RxBatch::with_capacity(32);
        assert_eq!(b.receive(&mut batch), 32);
        drop(batch);
        b.flush();
    }
    assert_eq!(b.stats().rx_packets, 640);
}

#[test]
fn the_clock_of_both_ends_moves_together() {
    let slow = Impairments { delay: Duration::from_millis(10), ..Impairments::none() };
    let (mut a, mut b) = pair(&config(), slow, Impairments::none()).unwrap();
    queue(&mut a, &[1; 60]);
    a.flush();
    assert_eq!(b.next_delivery(), Some(Duration::from_millis(10)));
    a.advance(Duration::from_millis(9));
    assert!(collect(&mut b).is_empty());
    a.advance(Duration::from_millis(10));
    assert_eq!(collect(&mut b).len(), 1);
}

#[test]
fn wait_ends_for_a_packet_a_wake_up_and_a_timeout() {
    let timed = MemoryConfig { clock: WireClock::Monotonic, ..config() };
    let (mut a, mut b) = pair(&timed, Impairments::none(), Impairments::none()).unwrap();
    b.wait(Some(Duration::from_millis(1)), None).unwrap();

    let (wake, waker) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut &waker, b"!").unwrap();
    b.wait(None, Some(wake.as_fd())).unwrap();

    let sleeper = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            b.wait(None, None).unwrap();
            let packets = collect(&mut b);
            if !packets.is_empty() {
                return packets;
            }
        }
        Vec::new()
    });
    queue(&mut a, &[3; 60]);
    a.flush();
    assert_eq!(sleeper.join().unwrap(), [vec![3; 60]]);
}

#[test]
fn two_threads_exchange_everything_under_the_system_clock() {
    const PACKETS: usize = 20_000;
    let timed = MemoryConfig { clock: WireClock::Monotonic, ..config() };
    let roomy = Impairments { queue_limit: PACKETS, ..Impairments::none() };
    let (mut a, mut b) = pair(&timed, roomy.clone(), roomy).unwrap();
    let receiver = std::thread::spawn(move || {
        let (mut seen, start) = (0, Instant::now());
        while seen < PACKETS {
            b.wait(Some(Duration::from_secs(10)), None).unwrap();
            seen += collect(&mut b).len();
            assert!(start.elapsed() < Duration::from_secs(30), "the wire went silent after {seen}");
        }
    });
    let mut sent = 0;
    while sent < PACKETS {
        if queue(&mut a, &[0; 64]) {
            sent += 1;
        }
        if a.tx_room() == 0 || sent == PACKETS {
            a.flush();
        }
    }
    receiver.join().unwrap();
}

fn impairments() -> impl Strategy<Value = Impairments> {
    let chance = || prop_oneof![Just(0.0), 0.0..0.4f64];
    let rate = prop_oneof![Just(None), (100_000..1_000_000_000u64).prop_map(Some)];
    (any::<u64>(), chance(), chance(), chance(), chance(), 0..20u64, rate, 1..64usize).prop_map(
        |(seed, loss, reorder, duplicate, corrupt, delay, rate, queue_limit)| Impairments {
            seed,
            loss,
            reorder,
            duplicate,
            corrupt,
            delay: Duration::from_millis(delay),
            rate,
            queue_limit,
            ..Impairments::none()
        },
    )
}

/// A run of bursts, each a number of packets of one length followed by a step of the clock.
fn run(wire: &Impairments, bursts: &[(u8, u16, u8)]) -> (Vec<Vec<u8>>, MemoryDevice, MemoryDevice) {
    let (mut a, mut b) = pair(&config(), wire.clone(), Impairments::none()).unwrap();
    let mut now = Duration::ZERO;
    let mut arrived = Vec::new();
    let mut tag = 0u32;
    for (count, len, step_ms) in bursts {
        for _ in 0..*count {
            let mut packet = vec![0; usize::from(*len)];
            packet[..4].copy_from_slice(&tag.to_be_bytes());
            tag += u32::from(queue(&mut a, &packet));
        }
        a.flush();
        arrived.extend(collect(&mut b));
        now += Duration::from_millis(u64::from(*step_ms));
        b.advance(now);
        arrived.extend(collect(&mut b));
    }
    (arrived, a, b)
}

proptest! {
    #[test]
    fn every_packet_is_delivered_lost_dropped_or_under_way(
        wire in impairments(),
        bursts in prop::collection::vec((0..40u8, 60..1500u16, 0..10u8), 1..30),
    ) {
        let (arrived, a, mut b) = run(&wire, &bursts);
        let stats = a.wire_stats();
        prop_assert_eq!(stats.delivered, arrived.len() as u64);
        prop_assert_eq!(
            stats.sent + stats.duplicated,
            stats.delivered + stats.lost + stats.queue_drops + stats.in_flight
        );
        b.advance(Duration::from_secs(3600));
        let late = collect(&mut b).len() as u64;
        let after = a.wire_stats();
        prop_assert_eq!(after.in_flight, 0);
        prop_assert_eq!(stats.in_flight, late + after.queue_drops - stats.queue_drops);
        prop_assert_eq!(a.tx_room(), 32);
    }

    #[test]
    fn the_same_seed_gives_the_same_packets(
        wire in impairments(),
        bursts in prop::collection::vec((0..40u8, 60..1500u16, 0..10u8), 1..15),
    ) {
        prop_assert_eq!(run(&wire, &bursts).0, run(&wire, &bursts).0);
    }
}
