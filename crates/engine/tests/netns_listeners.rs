//! Sockets that are bound and dropped while a kernel peer is quick: who is told of a port finds it served, and
//! connections outlive the listener that took them. Needs root.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener as KernelListener, TcpStream as KernelStream, UdpSocket as KernelUdp};
use std::time::{Duration, Instant};

use bypath::{Engine, TcpConfig, TcpListener, TcpStream, UdpSocket};
use bypath_lab::Lab;

/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);
/// Often enough to meet a race that is lost now and then.
const TIMES: usize = 300;

fn start() -> (Lab, Engine) {
    let lab = Lab::builder().name_prefix("l").up().unwrap();
    let tcp = TcpConfig { time_wait: Duration::from_millis(50), ..TcpConfig::default() };
    let near = lab.near();
    let engine = Engine::builder().netns(near.netns()).interface(near.interface()).tcp(tcp).start().unwrap();
    (lab, engine)
}

fn connect(lab: &Lab, listener: &TcpListener) -> (TcpStream, KernelStream) {
    let theirs = lab.far().run(|| KernelStream::connect(listener.local_addr())).unwrap().unwrap();
    listener.set_accept_timeout(Some(LONG));
    let (ours, _) = listener.accept().unwrap();
    ours.set_read_timeout(Some(LONG)).unwrap();
    theirs.set_read_timeout(Some(LONG)).unwrap();
    (ours, theirs)
}

/// A word each way, and an end in order.
fn talk((mut ours, mut theirs): (TcpStream, KernelStream)) {
    let mut word = [0; 4];
    theirs.write_all(b"ping").unwrap();
    ours.read_exact(&mut word).unwrap();
    ours.write_all(b"pong").unwrap();
    theirs.read_exact(&mut word).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ours.read(&mut word).unwrap(), 0);
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(theirs.read(&mut word).unwrap(), 0);
}

#[test]
fn netns_a_connection_to_a_listener_that_was_bound_just_now_is_not_refused() {
    let (lab, engine) = start();
    let refused: Vec<_> = lab
        .far()
        .run(|| {
            let tries = (0..TIMES).map(|_| {
                let listener = TcpListener::bind(&engine, lab.near().at(0)).unwrap();
                KernelStream::connect(listener.local_addr()).err()
            });
            tries.flatten().collect()
        })
        .unwrap();
    assert!(refused.is_empty(), "{} of {TIMES}: {:?}", refused.len(), refused[0]);
}

#[test]
fn netns_a_datagram_to_a_socket_that_was_bound_just_now_arrives() {
    let (lab, engine) = start();
    let lost: usize = lab
        .far()
        .run(|| {
            let peer = KernelUdp::bind(lab.far().at(0)).unwrap();
            let tries = (0..TIMES).filter(|_| {
                let socket = UdpSocket::bind(&engine, lab.near().at(0)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                // An ICMP error for the one before is told here.
                let _ = peer.take_error();
                peer.send_to(b"early", socket.local_addr()).unwrap();
                socket.recv_from(&mut [0; 8]).is_err()
            });
            tries.take(3).count()
        })
        .unwrap();
    assert_eq!(lost, 0);
}

#[test]
fn netns_an_accepted_connection_outlives_its_listener() {
    let (lab, engine) = start();
    for _ in 0..TIMES {
        let listener = TcpListener::bind(&engine, lab.near().at(0)).unwrap();
        let pair = connect(&lab, &listener);
        drop(listener);
        talk(pair);
    }
}

#[test]
fn netns_a_port_is_bound_again_at_once_and_by_one_listener_though_connections_to_it_are_left() {
    let (lab, engine) = start();
    let mut listener = TcpListener::bind(&engine, lab.near().at(0)).unwrap();
    let at = listener.local_addr();
    let mut pairs = Vec::new();
    for _ in 0..TIMES {
        pairs.push(connect(&lab, &listener));
        drop(listener);
        listener = TcpListener::bind(&engine, at).unwrap();
        assert_eq!(TcpListener::bind(&engine, at).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    pairs.into_iter().for_each(talk);
    talk(connect(&lab, &listener));
}

#[test]
fn netns_a_port_goes_back_to_the_kernel_when_its_listener_and_the_last_connection_are_gone() {
    let (lab, engine) = start();
    let kernel_may = |at| lab.near().run(|| KernelListener::bind(at)).unwrap().map(drop);
    let listener = TcpListener::bind(&engine, lab.near().at(0)).unwrap();
    let at = listener.local_addr();
    let pair = connect(&lab, &listener);
    drop(listener);
    // The control plane has heard of that when it answers this.
    assert_eq!(engine.stats().flows, 1);
    assert_eq!(kernel_may(at).unwrap_err().kind(), ErrorKind::AddrInUse);
    talk(pair);
    let started = Instant::now();
    while kernel_may(at).is_err() {
        assert!(started.elapsed() < LONG, "{:?}", engine.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
}
