//! Connections that open, and those that cannot.

use std::io::ErrorKind;

use crate::net::*;
use bypath::by_hand::StackOptions;
use bypath::{CookieMode, TcpConfig};

#[test]
fn a_port_where_nobody_listens_refuses() {
    for family in FAMILIES {
        let mut net = Net::clean();
        let socket = net.stacks[A].connect(family.at(B, 81), 0).unwrap();
        net.run(SECOND);
        assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(net.connections(), [0, 0]);
        assert_eq!(net.dropped(B, "no_listener"), 1);
    }
}

#[test]
fn an_address_without_a_route_is_an_error_at_once() {
    let mut net = Net::clean();
    let error = net.stacks[A].connect("192.0.2.1:80".parse().unwrap(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn a_neighbour_that_does_not_answer_is_a_host_unreachable() {
    for family in FAMILIES {
        let mut net = Net::new([ethernet(A), ethernet(B)], CLEAN, 1);
        let remote = std::net::SocketAddr::new(family.nobody(), 80);
        let socket = net.stacks[A].connect(remote, 0).unwrap();
        assert!(net.until(5 * SECOND, |net| net.stacks[A].is_connected(socket).is_err()));
        assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(net.connections(), [0, 0]);
        // The failure is remembered for a while: the next attempt need not wait.
        let again = net.stacks[A].connect(remote, 0).unwrap();
        net.poll();
        assert_eq!(net.stacks[A].is_connected(again).unwrap_err().kind(), ErrorKind::HostUnreachable);
    }
}

#[test]
fn a_connection_aborted_while_its_neighbour_is_asked_for_leaves_nothing_behind() {
    let mut net = Net::new([ethernet(A), ethernet(B)], CLEAN, 1);
    let remote = std::net::SocketAddr::new(Family::V4.nobody(), 80);
    let aborted = net.stacks[A].connect(remote, 0).unwrap();
    let closed = net.stacks[A].connect(remote, 0).unwrap();
    net.poll();
    net.stacks[A].abort(aborted).unwrap();
    net.stacks[A].close(closed);
    net.run(10 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn the_backlog_bounds_connections_that_wait_and_the_others_try_again() {
    let mut net = Net::clean();
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 3);
    let sockets: Vec<_> = (0..3).map(|_| net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap()).collect();
    net.run(SECOND);
    let late = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND / 2);
    assert!(sockets.iter().all(|s| net.stacks[A].is_connected(*s).unwrap()));
    assert!(!net.stacks[A].is_connected(late).unwrap());
    assert_eq!(net.dropped(B, "backlog"), 1);
    assert_eq!(net.connections(), [4, 3]);
    for _ in 0..3 {
        assert!(net.stacks[B].accept(listener).is_some());
    }
    assert!(net.stacks[B].accept(listener).is_none());
    // Its next SYN finds room.
    net.run(SECOND);
    assert!(net.stacks[A].is_connected(late).unwrap());
    assert!(net.stacks[B].accept(listener).is_some());
}

#[test]
fn half_open_connections_are_bounded_and_free_their_place_when_they_time_out() {
    let tcp = TcpConfig { syn_cookies: CookieMode::Off, ..TcpConfig::default() };
    let mut net = Net::new([options(A), StackOptions { tcp, ..options(B) }], CLEAN, 1);
    net.stacks[B].listen(Family::V4.at(B, 80), 2);
    // A's answers are lost from here on: handshakes stay half open.
    for port in 1..=5u16 {
        net.stacks[A].connect(Family::V4.at(B, 80), 1000 + port).unwrap();
    }
    net.poll();
    net.wire.loss = 1_000;
    net.run(SECOND / 2);
    assert_eq!(net.stacks[B].connections(), 2);
    assert_eq!(net.stacks[B].half_open(), 2);
    assert_eq!(net.dropped(B, "syn_queue"), 3);
    net.run(1_000 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
    net.wire.loss = 0;
    let socket = net.stacks[A].connect(Family::V4.at(B, 80), 2000).unwrap();
    net.run(SECOND);
    assert!(net.stacks[A].is_connected(socket).unwrap());
}

#[test]
fn nobody_at_all_is_a_timeout() {
    let mut net = Net::new([options(A), options(B)], Wire { loss: 1_000, ..CLEAN }, 1);
    let socket = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    assert!(net.until(1_000 * SECOND, |net| net.stacks[A].is_connected(socket).is_err()));
    assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(net.connections(), [0, 0]);
}

#[test]
fn both_ends_may_open_at_the_same_time() {
    let mut net = Net::clean();
    let a = net.stacks[A].connect(Family::V4.at(B, 2222), 1111).unwrap();
    let b = net.stacks[B].connect(Family::V4.at(A, 1111), 2222).unwrap();
    net.run(SECOND);
    assert!(net.stacks[A].is_connected(a).unwrap() && net.stacks[B].is_connected(b).unwrap());
    let mut pumps = [Pump::new(A, a, 50_000), Pump::new(B, b, 50_000)];
    assert!(net.until(60 * SECOND, |net| {
        pumps.iter_mut().for_each(|p| p.turn(net));
        pumps.iter().all(|p| p.ended)
    }));
}

#[test]
fn a_full_flow_table_refuses_in_silence_and_an_opener_gives_up() {
    let small = StackOptions { max_connections: 2, ..options(B) };
    let mut net = Net::new([options(A), small], CLEAN, 1);
    net.stacks[B].listen(Family::V4.at(B, 80), 16);
    let connect =
        |net: &mut Net| [0; 2].map(|_| net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap()).to_vec();
    let mut sockets = connect(&mut net);
    net.run(SECOND / 4);
    sockets.extend(connect(&mut net));
    net.run(SECOND / 4);
    assert_eq!(net.stacks[B].connections(), 2);
    assert_eq!(net.dropped(B, "flow_table"), 2);
    let open = sockets.iter().filter(|s| net.stacks[A].is_connected(**s).unwrap()).count();
    assert_eq!(open, 2);
    let refused = net.stacks[B].connect(Family::V4.at(A, 9), 1234).unwrap();
    net.poll();
    assert!(net.stacks[B].is_connected(refused).is_err());
    // The port is free again.
    net.stacks[B].connect(Family::V4.at(A, 9), 1234).unwrap();
}

#[test]
fn a_port_in_use_cannot_be_taken_twice_and_is_free_after_the_connection() {
    let mut net = Net::clean();
    let first = net.stacks[A].connect(Family::V4.at(B, 81), 5555).unwrap();
    let error = net.stacks[A].connect(Family::V4.at(B, 82), 5555).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    net.run(SECOND);
    assert!(net.stacks[A].is_connected(first).is_err());
    net.stacks[A].connect(Family::V4.at(B, 82), 5555).unwrap();
}
