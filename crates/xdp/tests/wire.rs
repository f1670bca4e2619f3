//! AF_XDP devices over veth pairs in private namespaces. Needs root.

mod common;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use bypath_xdp::{
    AttachMode, Attached, BindMode, Bound, BusyPoll, Device, MultiBuffer, NicFacts, Protocol, QueueConfig,
    Steering, XdpDevice, XdpError, ceiling,
};
use common::traffic::{End, OWN, both, exchange, open, packet, receive, send};
use common::{FAR, NEAR, Wire};

#[test]
fn packets_of_all_lengths_arrive_once_and_in_order() {
    let wire = Wire::new(1, 1500);
    let (mut near, mut far) = both(&wire, &QueueConfig { frames: 512, ..QueueConfig::default() });
    exchange(&mut near.device, &mut far.device, 0, 5000, |number| 60 + (number as usize * 7) % 1455);
}

#[test]
fn an_end_is_described_as_it_was_bound() {
    let wire = Wire::new(1, 1500);
    let config = QueueConfig { busy_poll: Some(BusyPoll::default()), ..QueueConfig::default() };
    let (near, _far) = both(&wire, &config);
    let info = near.device.info();
    assert_eq!((info.mode, info.attach), (Bound::Copy, Attached::Native));
    assert_eq!((info.driver.as_str(), info.mtu, info.multi_buffer), ("veth", 1500, false));
    assert_eq!(info.max_packet_len, 1522);
    assert!(info.busy_poll);
    let facts = wire.near.run(|| NicFacts::read(NEAR)).unwrap();
    assert_eq!(facts.mac, info.mac);
    assert!(facts.up && facts.carrier);
    assert_eq!(facts.program.map(|program| (program.name, program.native)), Some(("steer".into(), true)));
}

#[test]
fn two_queues_of_one_device_keep_their_packets_apart() {
    let wire = Wire::new(2, 1500);
    let config = QueueConfig { queues: vec![0, 1], ..QueueConfig::default() };
    let (mut near, mut far) = both(&wire, &config);
    assert_eq!(wire.near.run(|| NicFacts::read(NEAR)).unwrap().queues(), 2);
    let (mut seen, start) = ([0u32; 2], Instant::now());
    for round in 0..200 {
        for queue in [0, 1] {
            assert!(send(&mut near.device, queue, &packet(100, round)));
        }
        near.device.flush();
        while seen.iter().sum::<u32>() < (round + 1) * 2 {
            for (queue, _) in receive(&mut far.device) {
                seen[usize::from(queue)] += 1;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{seen:?}");
        }
    }
    assert_eq!(seen, [200, 200]);
}

#[test]
fn two_devices_share_a_nic_by_queues() {
    let wire = Wire::new(2, 1500);
    let second = QueueConfig { queues: vec![1], ..QueueConfig::default() };
    let (mut near, mut far) = both(&wire, &QueueConfig::default());
    let mut near_1 = wire.near.run(|| XdpDevice::open(&near.steering, &second)).expect("queue 1");
    let mut far_1 = wire.far.run(|| XdpDevice::open(&far.steering, &second)).expect("queue 1");
    exchange(&mut near.device, &mut far.device, 0, 500, |_| 200);
    exchange(&mut near_1, &mut far_1, 1, 500, |_| 200);
}

#[test]
fn an_mtu_of_9000_travels_in_several_frames() {
    let wire = Wire::new(1, 9000);
    let (mut near, mut far) = both(&wire, &QueueConfig::default());
    assert!(near.device.info().multi_buffer);
    exchange(&mut near.device, &mut far.device, 0, 1000, |number| 60 + (number as usize * 97) % 8955);
}

#[test]
fn the_generic_program_carries_packets_too() {
    let wire = Wire::new(1, 1500);
    let attach = |name: &str| {
        let steering = Steering::attach(name, AttachMode::Generic)?;
        steering.own_address(IpAddr::V4(OWN))?;
        let device = XdpDevice::open(&steering, &QueueConfig::default())?;
        Ok::<End, XdpError>(End { device, steering })
    };
    let mut near = wire.near.run(|| attach(NEAR)).unwrap();
    let mut far = wire.far.run(|| attach(FAR)).unwrap();
    assert_eq!((far.steering.mode(), far.device.info().mode), (Attached::Generic, Bound::Copy));
    exchange(&mut near.device, &mut far.device, 0, 500, |_| 400);
}

#[test]
fn the_kernel_keeps_what_is_not_ours() {
    let wire = Wire::new(1, 1500);
    let far = wire.far.run(|| open(FAR, &QueueConfig::default())).unwrap();
    let shared = "198.18.0.2".parse().unwrap();
    far.steering.own_ports(shared, Protocol::Udp, 7000..=7000).unwrap();
    let kernel = wire.far.run(|| UdpSocket::bind("198.18.0.2:7001")).unwrap();
    kernel.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let client = wire.near.run(|| UdpSocket::bind("198.18.0.1:0")).unwrap();
    let mut far = far;
    client.send_to(b"to the engine", "198.18.0.2:7000").unwrap();
    client.send_to(b"to the kernel", "198.18.0.2:7001").unwrap();
    let mut buffer = [0; 64];
    let (len, _) = kernel.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"to the kernel");
    far.device.wait(Some(Duration::from_secs(10)), None).unwrap();
    let packets = receive(&mut far.device);
    assert_eq!(packets.len(), 1);
    assert!(packets[0].1.ends_with(b"to the engine"));
}

#[test]
fn wait_returns_for_a_packet_and_for_the_time_limit() {
    let wire = Wire::new(1, 1500);
    let (mut near, mut far) = both(&wire, &QueueConfig::default());
    far.device.wait(Some(Duration::from_millis(5)), None).unwrap();
    assert!(receive(&mut far.device).is_empty());
    assert!(send(&mut near.device, 0, &packet(60, 1)));
    near.device.flush();
    let start = Instant::now();
    far.device.wait(Some(Duration::from_secs(20)), None).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(receive(&mut far.device).len(), 1);
}

#[test]
fn a_packet_that_no_queue_can_carry_is_refused_and_its_frames_come_back() {
    let wire = Wire::new(1, 1500);
    let (mut near, _far) = both(&wire, &QueueConfig { frames: 64, ..QueueConfig::default() });
    let room = near.device.tx_room();
    assert!(send(&mut near.device, 0, &packet(1523, 0)));
    assert!(send(&mut near.device, 0, &packet(5000, 0)));
    let empty = near.device.alloc().unwrap();
    near.device.transmit(empty);
    near.device.flush();
    assert_eq!(near.device.stats().tx_ring_full, 3);
    assert_eq!(near.device.tx_room(), room);
}

#[test]
fn a_full_ring_drops_whole_packets_and_loses_no_frame() {
    let wire = Wire::new(1, 9000);
    let small = QueueConfig { tx_ring: 64, completion: 64, frames: 512, ..QueueConfig::default() };
    let (mut near, _far) = both(&wire, &small);
    let room = near.device.tx_room();
    for _ in 0..40 {
        for part in 0..3 {
            let mut frame = near.device.alloc().unwrap();
            let headers = &packet(60, 0);
            near.device.area().clone().bytes_mut(&mut frame)[..60].copy_from_slice(headers);
            frame.set_len(1000);
            frame.set_more(part < 2);
            near.device.transmit(frame);
        }
    }
    assert_eq!(near.device.stats().tx_packets, 21);
    assert_eq!(near.device.stats().tx_ring_full, 19);
    let start = Instant::now();
    while near.device.tx_room() < room {
        near.device.flush();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", near.device.stats());
    }
}

#[test]
fn nothing_is_left_on_the_nic() {
    let wire = Wire::new(1, 1500);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wire.near.run(|| {
            let end = open(NEAR, &QueueConfig::default()).unwrap();
            assert_eq!(end.device.info().name, "nobody is called this");
        });
    }));
    assert!(panicked.is_err());
    let facts = wire.near.run(|| NicFacts::read(NEAR)).unwrap();
    assert_eq!(facts.program, None);
    let again = wire.near.run(|| open(NEAR, &QueueConfig::default()));
    assert!(again.is_ok(), "{:?}", again.err());
}

#[test]
fn the_ceiling_is_measured_and_most_of_what_was_sent_arrives() {
    let wire = Wire::new(1, 1500);
    let (mut near, mut far) = both(&wire, &QueueConfig::default());
    far.steering.own_address(IpAddr::V4(ceiling::DESTINATION)).unwrap();
    let report = ceiling::measure(&mut near.device, &mut far.device, 1514, Duration::from_millis(200));
    assert!(report.received > 0 && report.received <= report.sent, "{report}");
}

#[test]
fn an_interface_that_does_not_exist_is_told() {
    let wire = Wire::new(1, 1500);
    let error = wire.near.run(|| open("vz", &QueueConfig::default())).err().unwrap().to_string();
    assert!(error.contains("`vz`") && error.contains("--netns"), "{error}");
}

#[test]
fn a_link_that_is_down_is_told_with_the_command_to_raise_it() {
    let quick = QueueConfig { carrier_timeout: Duration::from_millis(20), ..QueueConfig::default() };
    let wire = Wire::new(1, 1500);
    wire.far.ip(&format!("link set {FAR} down"));
    let error = wire.far.run(|| open(FAR, &quick)).err().unwrap().to_string();
    assert!(error.contains("not set up") && error.contains("`ip link set vb up`"), "{error}");
    let error = wire.near.run(|| open(NEAR, &quick)).err().unwrap().to_string();
    assert!(error.contains("no carrier") && error.contains("peer or cable"), "{error}");
}

#[test]
fn another_program_on_the_interface_is_named() {
    let wire = Wire::new(1, 1500);
    let _first = wire.near.run(|| Steering::attach(NEAR, AttachMode::Auto)).unwrap();
    for mode in [AttachMode::Auto, AttachMode::Native, AttachMode::Generic] {
        let error = wire.near.run(|| Steering::attach(NEAR, mode)).err().unwrap().to_string();
        assert!(error.contains("`steer` (id ") && error.contains("`ip link set va xdp off`"), "{error}");
    }
}

#[test]
fn a_queue_that_does_not_exist_is_told_with_those_that_do() {
    let wire = Wire::new(2, 1500);
    let third = QueueConfig { queues: vec![0, 2], ..QueueConfig::default() };
    let error = wire.near.run(|| open(NEAR, &third)).err().unwrap().to_string();
    assert!(
        error.contains("no queue 2") && error.contains("0 to 1") && error.contains("ethtool -L"),
        "{error}"
    );
}

/// The kernel gives a queue back some time after its socket was closed.
#[test]
fn a_queue_can_be_had_again_as_soon_as_it_was_given_up() {
    let wire = Wire::new(1, 1500);
    for _ in 0..50 {
        drop(wire.near.run(|| open(NEAR, &QueueConfig::default())).unwrap());
    }
}

#[test]
fn a_queue_that_is_taken_is_told() {
    let wire = Wire::new(1, 1500);
    let first = wire.near.run(|| open(NEAR, &QueueConfig::default())).unwrap();
    let again = wire.near.run(|| XdpDevice::open(&first.steering, &QueueConfig::default()));
    let error = again.err().unwrap().to_string();
    assert!(error.contains("queue 0 of va already has an AF_XDP socket"), "{error}");
}

#[test]
fn zero_copy_where_the_driver_cannot_is_told_with_the_other_modes() {
    let wire = Wire::new(1, 1500);
    let strict = QueueConfig { bind: BindMode::ZeroCopy, ..QueueConfig::default() };
    let error = wire.near.run(|| open(NEAR, &strict)).err().unwrap().to_string();
    assert!(error.contains("veth") && error.contains("--mode copy or auto"), "{error}");
    assert_eq!(wire.near.run(|| NicFacts::read(NEAR)).unwrap().program, None);
}

#[test]
fn an_mtu_beyond_one_frame_without_multi_buffer_is_told_with_the_mtu_that_fits() {
    let wire = Wire::new(1, 9000);
    let single = QueueConfig { multi_buffer: MultiBuffer::Off, ..QueueConfig::default() };
    let error = wire.near.run(|| open(NEAR, &single)).err().unwrap().to_string();
    assert!(error.contains("`ip link set va mtu 3818`"), "{error}");
}

#[test]
fn sizes_that_cannot_work_are_told_with_what_does() {
    let wire = Wire::new(1, 1500);
    let base = QueueConfig::default;
    for (config, words) in [
        (QueueConfig { frame_size: 3000, ..base() }, "2048 or 4096"),
        (QueueConfig { rx_ring: 1000, ..base() }, "a power of two"),
        (QueueConfig { completion: 0, ..base() }, "a power of two"),
        (QueueConfig { frames: 8, ..base() }, "at least 16"),
        (QueueConfig { queues: vec![], ..base() }, "at least queue 0"),
        (QueueConfig { queues: vec![0, 0], ..base() }, "each queue once"),
    ] {
        let error = wire.near.run(|| open(NEAR, &config)).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_process_without_the_rights_is_told_to_run_as_root() {
    let wire = Wire::new(1, 1500);
    let error = wire.near.run(|| {
        // Capabilities belong to the thread, and this one ends with the test.
        let none = rustix::thread::CapabilitySet::empty();
        let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).expect("giving up capabilities");
        open(NEAR, &QueueConfig::default()).err().unwrap().to_string()
    });
    assert!(error.contains("not permitted: run as root (sudo)"), "{error}");
}
