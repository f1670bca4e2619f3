//! With no source port left a connection follows on one in TIME-WAIT between the same ends (RFC 6191), and the
//! kernel's TCP takes it. Needs root.

use std::io::{ErrorKind, Read};
use std::net::TcpListener as KernelListener;
use std::time::{Duration, Instant};

use bypath::{Engine, TcpStream};
use bypath_lab::Lab;

/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);
/// Source ports that the machine's administrator leaves.
const PORTS: usize = 6;

#[test]
fn netns_a_socket_follows_on_one_in_time_wait_when_no_port_is_left() {
    let lab = Lab::builder().name_prefix("w").up().unwrap();
    let near = lab.near();
    near.set_parameter("net/ipv4/ip_local_reserved_ports", &format!("1-{}", 65_535 - PORTS)).unwrap();
    let listener = lab.far().run(|| KernelListener::bind(lab.far().at(0))).unwrap().unwrap();
    let to = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming() {
            let Ok(mut peer) = peer else { return };
            std::thread::spawn(move || peer.read(&mut [0; 1]));
        }
    });
    let engine = Engine::builder().netns(near.netns()).interface(near.interface()).start().unwrap();
    // Closed here first: TIME-WAIT is on this side, and lasts for a minute.
    let turn = || -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(&engine, to)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(stream.read(&mut [0; 1])?, 0);
        Ok(stream.local_addr().port())
    };
    let mut first: Vec<u16> = (0..PORTS).map(|_| turn().unwrap()).collect();
    let closed = Instant::now();
    assert_eq!(turn().unwrap_err().kind(), ErrorKind::AddrNotAvailable, "none is left");
    let mut second = Vec::new();
    while second.len() < PORTS {
        match turn() {
            Ok(port) => second.push(port),
            Err(error) => assert!(closed.elapsed() < LONG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(closed.elapsed() > Duration::from_secs(1), "sooner than RFC 6191 has it");
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);
    let reused = engine.stats().counts.into_iter().find(|(name, _)| name == "time_wait_reused");
    assert_eq!(reused.map(|(_, n)| n), Some(PORTS as u64));
}

#[test]
fn netns_an_engine_started_again_is_let_in_where_the_peer_keeps_the_old_connections() {
    let lab = Lab::builder().name_prefix("w").up().unwrap();
    let near = lab.near();
    near.set_parameter("net/ipv4/ip_local_reserved_ports", &format!("1-{}", 65_535 - PORTS)).unwrap();
    let listener = lab.far().run(|| KernelListener::bind(lab.far().at(0))).unwrap().unwrap();
    let to = listener.local_addr().unwrap();
    // The peer closes first: TIME-WAIT is on its side, and lasts for a minute.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for _ in 0..3 {
        let engine = Engine::builder().netns(near.netns()).interface(near.interface()).start().unwrap();
        for _ in 0..PORTS {
            let mut stream = TcpStream::connect(&engine, to).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
        // A SYN that meets numbers of before gets an acknowledgement, and has to be sent again.
        assert_eq!(engine.stats().retransmits, 0);
    }
}
