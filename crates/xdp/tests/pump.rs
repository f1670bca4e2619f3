//! The pump as a transmit path of AF_XDP devices, over veth pairs in private namespaces. Needs root.

mod common;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bypath_xdp::{
    AttachMode, Device, LoadPolicy, MultiBuffer, NicFacts, Pump, PumpConfig, PumpUse, QueueConfig, Steering,
    XdpDevice, XdpError,
};
use common::traffic::{End, OWN, exchange, open, packet, receive, send};
use common::{FAR, NEAR, Wire};

/// Frames of each device.
const FRAMES: u32 = 1024;

/// One that runs from its beginning, on the first core.
fn always() -> PumpConfig {
    PumpConfig { frames: FRAMES, ..PumpConfig::default() }
}

/// One that is started by any load worth the name, however busy the machine is.
fn eager() -> PumpConfig {
    let policy = LoadPolicy {
        start_at: 1_000,
        stop_below: 500,
        idle_for: Duration::from_millis(100),
        max_core_busy: 1.0,
        must_pay: false,
    };
    PumpConfig { when: PumpUse::UnderLoad(policy), ..always() }
}

fn queues(queues: &[u32]) -> QueueConfig {
    QueueConfig { queues: queues.to_vec(), frames: FRAMES, ..QueueConfig::default() }
}

fn open_with(pump: &Pump, name: &str, config: &QueueConfig) -> Result<End, XdpError> {
    let steering = Steering::attach(name, AttachMode::Auto)?;
    steering.own_address(IpAddr::V4(OWN))?;
    let device = XdpDevice::open_with_pump(&steering, config, pump)?;
    Ok(End { device, steering })
}

/// A pump that runs, the near end that sends by it, the far end.
fn pumped(wire: &Wire) -> (Pump, End, End) {
    let far = wire.far.run(|| open(FAR, &QueueConfig::default())).expect("far end");
    let pump = Pump::load(&always()).expect("pump");
    let mut near = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).expect("near end");
    pump.begin().expect("the far end has a program");
    // As every loop does before it sends for the first time.
    receive(&mut near.device);
    (pump, near, far)
}

#[test]
fn packets_of_all_lengths_arrive_once_and_in_order() {
    let wire = Wire::new(1, 1500);
    let (pump, mut near, mut far) = pumped(&wire);
    exchange(&mut near.device, &mut far.device, 0, 5000, |number| 60 + (number as usize * 7) % 1455);
    assert_eq!(near.device.stats().tx_pumped, 5000);
    let stats = pump.stats();
    // One more to try the interface out.
    assert_eq!((stats.sent, stats.dropped, stats.refused, stats.starts), (5001, 0, 0, 1), "{stats:?}");
    assert_eq!(stats.trouble, None);
}

#[test]
fn the_longest_frame_that_it_takes_arrives() {
    let wire = Wire::new(1, 3306);
    let (_pump, mut near, mut far) = pumped(&wire);
    exchange(&mut near.device, &mut far.device, 0, 500, |number| 3320 - (number as usize % 5));
}

#[test]
fn a_full_ring_makes_the_sender_wait_and_drops_nothing() {
    let wire = Wire::new(1, 1500);
    let (_pump, mut near, mut far) = pumped(&wire);
    let start = Instant::now();
    let (mut sent, mut got, mut refused) = (0u32, 0u32, 0u32);
    while got < 20_000 {
        // As much as there is room for, without any regard for the receiver's pace but that of its ring.
        while sent < 20_000 && sent - got < 1500 {
            if !send(&mut near.device, 0, &packet(200, sent)) {
                refused += 1;
                break;
            }
            sent += 1;
        }
        near.device.flush();
        for (_, bytes) in receive(&mut far.device) {
            assert_eq!(bytes, packet(200, got), "packet {got}");
            got += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{got} of {sent}: {:?}", near.device.stats());
    }
    assert_eq!(near.device.stats().tx_ring_full, 0);
    assert!(refused > 0, "the sender never met a full ring");
}

#[test]
fn frames_come_back_for_use() {
    let wire = Wire::new(1, 1500);
    let (_pump, mut near, _far) = pumped(&wire);
    let room = near.device.tx_room();
    for number in 0..100 {
        assert!(send(&mut near.device, 0, &packet(100, number)));
    }
    let start = Instant::now();
    while near.device.tx_room() < room {
        near.device.flush();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", near.device.stats());
    }
}

#[test]
fn one_pump_serves_two_devices_of_one_interface() {
    let wire = Wire::new(2, 1500);
    let mut far = wire.far.run(|| open(FAR, &queues(&[0, 1]))).unwrap();
    let pump = Pump::load(&PumpConfig { devices: 2, ..always() }).unwrap();
    let mut first = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap();
    let mut second =
        wire.near.run(|| XdpDevice::open_with_pump(&first.steering, &queues(&[1]), &pump)).unwrap();
    pump.begin().unwrap();
    receive(&mut first.device);
    receive(&mut second);
    let (mut got, start) = ([0u32; 2], Instant::now());
    for round in 0..300 {
        assert!(send(&mut first.device, 0, &packet(100, round)) && send(&mut second, 1, &packet(600, round)));
        while got.iter().sum::<u32>() < (round + 1) * 2 {
            first.device.flush();
            second.flush();
            for (_, bytes) in receive(&mut far.device) {
                let which = usize::from(bytes.len() == 600);
                assert_eq!(bytes, packet([100, 600][which], got[which]));
                got[which] += 1;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{got:?}");
        }
    }
    assert_eq!((first.device.stats().tx_pumped, second.stats().tx_pumped), (300, 300));
}

#[test]
fn one_pump_serves_interfaces_of_two_namespaces() {
    let (one, other) = (Wire::new(1, 1500), Wire::new(1, 1500));
    let pump = Pump::load(&PumpConfig { devices: 2, ..always() }).unwrap();
    let mut ends: Vec<(End, End)> = [&one, &other]
        .map(|wire| {
            let far = wire.far.run(|| open(FAR, &QueueConfig::default())).unwrap();
            (wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap(), far)
        })
        .into();
    pump.begin().unwrap();
    for (near, far) in &mut ends {
        exchange(&mut near.device, &mut far.device, 0, 500, |number| 60 + number as usize);
    }
}

#[test]
fn it_is_taken_up_under_load_and_left_when_idle_without_loss_or_reordering() {
    let wire = Wire::new(1, 1500);
    let mut far = wire.far.run(|| open(FAR, &QueueConfig::default())).unwrap();
    let pump = Pump::load(&eager()).unwrap();
    let mut near = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap();
    pump.begin().unwrap();
    assert!(!pump.stats().running);
    let start = Instant::now();
    let (mut sent, mut got) = (0u32, 0u32);
    // Bursts with pauses between them, until both changes have been seen twice.
    while pump.stats().starts < 2 || pump.stats().running || near.device.stats().tx_pumped == u64::from(sent)
    {
        let burst = Instant::now();
        while burst.elapsed() < Duration::from_millis(400) || got < sent {
            let more = burst.elapsed() < Duration::from_millis(400);
            while more && sent - got < 200 && send(&mut near.device, 0, &packet(300, sent)) {
                sent += 1;
            }
            near.device.flush();
            for (_, bytes) in receive(&mut far.device) {
                assert_eq!(bytes, packet(300, got), "packet {got}, {:?}", near.device.stats());
                got += 1;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{got}/{sent} {:?}", pump.stats());
        }
        let pause = Instant::now();
        while pump.stats().running && pause.elapsed() < Duration::from_secs(10) {
            near.device.flush();
        }
    }
    let stats = near.device.stats();
    assert!(stats.tx_pumped > 0 && stats.tx_pumped < stats.tx_packets, "{stats:?}");
    assert_eq!(u64::from(got), stats.tx_packets);
}

#[test]
fn a_device_outlives_its_pump_and_loses_nothing() {
    let wire = Wire::new(1, 1500);
    let (pump, mut near, mut far) = pumped(&wire);
    let start = Instant::now();
    let (mut sent, mut got, mut pump) = (0u32, 0u32, Some(pump));
    while got < 3000 {
        while sent < 3000 && sent - got < 300 && send(&mut near.device, 0, &packet(100, sent)) {
            sent += 1;
        }
        near.device.flush();
        if got > 1000 {
            drop(pump.take());
        }
        for (_, bytes) in receive(&mut far.device) {
            assert_eq!(bytes, packet(100, got), "packet {got}");
            got += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{got} of {sent}");
    }
    let stats = near.device.stats();
    assert!(stats.tx_pumped > 1000 && stats.tx_pumped < 3000, "{stats:?}");
}

#[test]
fn nothing_stays_attached() {
    let wire = Wire::new(1, 1500);
    drop(pumped(&wire));
    assert_eq!(wire.near.run(|| NicFacts::read(NEAR)).unwrap().program, None);
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = threads.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    // Other tests of this process have pumps of their own when they run as threads: then there is nothing to compare.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!(names.filter(|name| name.starts_with("bypath-pump")).count(), 0);
    }
    let again = wire.near.run(|| open(NEAR, &QueueConfig::default()));
    assert!(again.is_ok(), "{:?}", again.err());
}

/// Names the namespace that the child below works in.
const CHILD_NAMESPACE: &str = "BYPATH_TEST_NAMESPACE";

/// Not a test: what the next one starts as a process of its own, and kills.
#[test]
#[ignore = "runs as the child of a_process_that_is_killed_leaves_nothing"]
fn the_child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD_NAMESPACE) else { return };
    let namespace = std::fs::File::open(path).unwrap();
    let network = Some(rustix::thread::LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), network).unwrap();
    let pump = Pump::load(&always()).unwrap();
    let mut near = open_with(&pump, NEAR, &queues(&[0])).unwrap();
    pump.begin().unwrap();
    receive(&mut near.device);
    for number in 0.. {
        send(&mut near.device, 0, &packet(200, number));
        near.device.flush();
    }
}

#[test]
fn a_process_that_is_killed_leaves_nothing() {
    let wire = Wire::new(1, 1500);
    let mut far = wire.far.run(|| open(FAR, &QueueConfig::default())).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_that_is_killed", "--ignored"])
        .env(CHILD_NAMESPACE, wire.near.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while receive(&mut far.device).is_empty() && start.elapsed() < Duration::from_secs(20) {}
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(far.device.stats().rx_packets > 0, "the child sent nothing");
    // What it had handed over arrives; then it is silent, and the interface is as it was.
    let silent = Instant::now();
    while !receive(&mut far.device).is_empty() && silent.elapsed() < Duration::from_secs(20) {}
    assert_eq!(wire.near.run(|| NicFacts::read(NEAR)).unwrap().program, None);
    let again = wire.near.run(|| open(NEAR, &QueueConfig::default()));
    assert!(again.is_ok(), "{:?}", again.err());
}

#[test]
fn an_interface_that_goes_away_takes_nothing_with_it() {
    let wire = Wire::new(1, 1500);
    let (pump, mut near, far) = pumped(&wire);
    wire.near.ip(&format!("link del {NEAR}"));
    drop(far);
    for number in 0..100 {
        let _ = send(&mut near.device, 0, &packet(100, number));
    }
    let start = Instant::now();
    while pump.stats().refused < 100 {
        near.device.flush();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", pump.stats());
    }
    assert!(pump.stats().trouble.is_some());
}

#[test]
fn a_peer_that_takes_no_such_frames_is_told_with_what_helps() {
    let wire = Wire::new(1, 1500);
    let pump = Pump::load(&always()).unwrap();
    let _near = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap();
    let error = pump.begin().unwrap_err().to_string();
    assert!(error.contains("turn GRO on there") && error.contains("--tx ring"), "{error}");
    assert!(!pump.stats().running);
}

#[test]
fn a_peer_with_gro_takes_them() {
    let wire = Wire::new(1, 1500);
    wire.far.ethtool(&format!("-K {FAR} gro on"));
    let pump = Pump::load(&always()).unwrap();
    let _near = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap();
    pump.begin().unwrap();
    assert!(pump.stats().running);
}

#[test]
fn an_mtu_beyond_a_page_and_settings_that_cannot_work_are_told() {
    let wire = Wire::new(1, 9000);
    let pump = Pump::load(&always()).unwrap();
    let error = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).err().unwrap().to_string();
    assert!(error.contains("3306") && error.contains("9000"), "{error}");
    drop(wire);

    let wire = Wire::new(1, 1500);
    for (config, words) in [
        (QueueConfig { frames: 512, ..queues(&[0]) }, "the pump was made for another"),
        (QueueConfig { frame_size: 2048, ..queues(&[0]) }, "4096"),
        (QueueConfig { multi_buffer: MultiBuffer::On, ..queues(&[0]) }, "several frames"),
    ] {
        let error = wire.near.run(|| open_with(&pump, NEAR, &config)).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let near = wire.near.run(|| open_with(&pump, NEAR, &queues(&[0]))).unwrap();
    let second = wire.near.run(|| XdpDevice::open_with_pump(&near.steering, &queues(&[0]), &pump));
    assert!(second.err().unwrap().to_string().contains("another one was opened"));

    for (config, words) in [
        (PumpConfig { core: 1000, ..always() }, "does not exist"),
        (PumpConfig { batch: 12, ..always() }, "power of two"),
        (PumpConfig { devices: 64, ..always() }, "1 to 63"),
    ] {
        let error = Pump::load(&config).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_interface_without_ndo_xdp_xmit_is_told() {
    let wire = Wire::new(1, 1500);
    wire.near.ip("link set lo mtu 1500");
    let pump = Pump::load(&always()).unwrap();
    let _lo = wire.near.run(|| open_with(&pump, "lo", &queues(&[0]))).unwrap();
    let error = pump.begin().unwrap_err().to_string();
    assert!(error.contains("ndo_xdp_xmit") && error.contains("--tx ring"), "{error}");
}
