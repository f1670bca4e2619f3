//! TIME-WAIT: what is kept of a connection, for how many, what is answered, and who may follow on it.

use std::io::ErrorKind;

use bypath::TcpConfig;
use bypath::by_hand::{StackOptions, TcpSocket};
use bypath_wire::tcp::TcpHeader;

use crate::buffers::tcp_of;
use crate::net::*;
use crate::raw::*;

fn with(tcp: TcpConfig) -> StackOptions {
    StackOptions { tcp, ..options(A) }
}

/// A connection from A's port 4321, which A closes first.
fn rested(net: &mut Net) -> TcpSocket {
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    let client = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap();
    net.run(100 * MS);
    let server = net.stacks[B].accept(listener).unwrap();
    net.stacks[A].shutdown(client).unwrap();
    net.run(100 * MS);
    net.stacks[B].close(server);
    net.run(100 * MS);
    assert_eq!(net.connections(), [1, 0]);
    client
}

#[test]
fn a_socket_learns_of_the_end_when_time_wait_is_over() {
    let mut net = Net::clean();
    let client = rested(&mut net);
    let mut buffer = [0; 8];
    assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), Some(0));
    net.run(59 * SECOND);
    assert!(!net.stacks[A].is_closed(client));
    net.run(2 * SECOND);
    assert!(net.stacks[A].is_closed(client) && net.stacks[A].is_connected(client).unwrap());
    assert_eq!((net.connections(), net.stacks[A].next_deadline()), ([0, 0], None));
}

#[test]
fn a_named_port_is_used_again_a_second_after_the_last_segment() {
    let mut net = Net::clean();
    rested(&mut net);
    let error = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    net.run(SECOND);
    let again = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap();
    net.run(100 * MS);
    assert!(net.stacks[A].is_connected(again).unwrap());
    assert_eq!((net.counted(A, "time_wait_reused"), net.connections()), (1, [1, 1]));
    net.stacks[A].abort(again).unwrap();
    net.run(100 * MS);
    // The port is free, as after any connection.
    net.stacks[A].connect(Family::V4.at(B, 81), 4_321).unwrap();
}

#[test]
fn a_stack_that_is_told_to_waits_two_milliseconds_before_it_follows_on() {
    let hasty = TcpConfig { time_wait_rest: std::time::Duration::ZERO, ..TcpConfig::default() };
    let mut net = Net::new([with(hasty), options(B)], CLEAN, 1);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    for round in 0..50 {
        let client = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap();
        net.run(10 * MS);
        let server = net.stacks[B].accept(listener).expect("each successor is taken by the peer");
        net.stacks[A].close(client);
        net.run(MS);
        net.stacks[B].close(server);
        net.run(MS);
        assert!(net.stacks[A].connect(Family::V4.at(B, 80), 4_321).is_err(), "too early");
        net.run(3 * MS);
        assert_eq!(net.counted(A, "time_wait_reused"), round);
    }
}

/// The first segment with SYN of A's that was logged.
fn first_syn(net: &Net) -> TcpHeader {
    let log = net.log.as_ref().unwrap();
    let mut sent = log.iter().filter(|(side, _)| *side == A).map(|(_, packet)| tcp_of(packet).0);
    sent.find(|header| header.flags.contains(SYN)).unwrap()
}

#[test]
fn a_port_that_is_used_again_begins_beyond_everything_that_was_sent_from_it() {
    // RFC 9293 section 3.6.1, for as much as moves the first connection's numbers far beyond the clock that initial
    // numbers are taken from.
    for bytes in [0, 3_000_000] {
        let mut net = Net::clean();
        let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
        let client = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap();
        net.run(100 * MS);
        let server = net.stacks[B].accept(listener).unwrap();
        let (mut a, mut b) = (Pump::new(A, client, bytes), Pump::new(B, server, 0));
        net.until(60 * SECOND, |net| {
            a.turn(net);
            b.turn(net);
            b.received == bytes
        });
        net.stacks[A].shutdown(client).unwrap();
        net.log = Some(Vec::new());
        net.run(100 * MS);
        net.stacks[B].close(server);
        net.run(100 * MS);
        let sent = net.log.take().unwrap();
        let last = sent.iter().filter(|(side, _)| *side == A).map(|(_, packet)| tcp_of(packet).0).next_back();
        net.run(SECOND);
        net.log = Some(Vec::new());
        net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap();
        net.run(100 * MS);
        let ahead = first_syn(&net).seq.offset_from(last.unwrap().seq);
        assert!(ahead > 0, "{ahead} after {bytes} bytes");
    }
}

#[test]
fn without_timestamps_or_against_the_configuration_a_port_in_time_wait_is_not_used_again() {
    let no_stamps = TcpConfig { timestamps: false, ..TcpConfig::default() };
    let no_reuse = TcpConfig { time_wait_reuse: false, ..TcpConfig::default() };
    for tcp in [no_stamps, no_reuse] {
        let mut net = Net::new([with(tcp), options(B)], CLEAN, 1);
        rested(&mut net);
        net.run(10 * SECOND);
        let error = net.stacks[A].connect(Family::V4.at(B, 80), 4_321).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        net.run(51 * SECOND);
        assert!(net.stacks[A].connect(Family::V4.at(B, 80), 4_321).is_ok());
    }
}

#[test]
fn connections_in_time_wait_are_bounded_and_those_beyond_end_at_once() {
    let tcp = TcpConfig { max_time_wait: 3, ..TcpConfig::default() };
    let mut net = Net::new([with(tcp), options(B)], CLEAN, 1);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    let clients: Vec<_> = (0..5).map(|_| net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap()).collect();
    net.run(SECOND);
    for client in &clients {
        net.stacks[A].shutdown(*client).unwrap();
    }
    net.run(SECOND);
    while let Some(server) = net.stacks[B].accept(listener) {
        net.stacks[B].close(server);
    }
    net.run(SECOND);
    assert_eq!((net.connections(), net.counted(A, "time_wait_overflow")), ([3, 0], 2));
    assert_eq!(clients.iter().filter(|c| net.stacks[A].is_closed(**c)).count(), 2);
    net.run(61 * SECOND);
    assert_eq!(net.connections(), [0, 0]);
}

/// A connection of which the stack has closed its side first; its next number, and the peer's is 2.
fn server_rested() -> (Lone, u32) {
    server_rested_after(0)
}

/// The same, when the stack has run for `ns`.
fn server_rested_after(ns: u64) -> (Lone, u32) {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    lone.pass(ns);
    let next = lone.handshake(peer(9), 0);
    let socket = lone.stack.accept(listener).unwrap();
    lone.stack.close(socket);
    assert_eq!(lone.sent().len(), 1);
    let last = lone.answer(&Tcp::new(peer(9), ACK | FIN, 1, next + 1));
    assert_eq!((last.seq, last.ack, last.flags), (next + 1, 2, ACK));
    (lone, next + 1)
}

#[test]
fn time_wait_that_begins_late_in_the_life_of_a_stack_has_its_end_ahead() {
    let (lone, _) = server_rested_after(180 * SECOND);
    let next = lone.stack.next_deadline().map(bypath::Instant::as_nanos);
    assert!(next.is_some_and(|at| at > lone.now), "{next:?} at {}", lone.now);
}

#[test]
fn a_fin_that_comes_again_is_acknowledged_and_time_wait_begins_anew() {
    let (mut lone, next) = server_rested();
    lone.pass(50 * SECOND);
    let again = lone.answer(&Tcp::new(peer(9), ACK | FIN, 1, next));
    assert_eq!((again.seq, again.ack, again.flags), (next, 2, ACK));
    lone.pass(59 * SECOND);
    assert_eq!(lone.stack.connections(), 1);
    lone.pass(2 * SECOND);
    assert_eq!(lone.stack.connections(), 0);
}

#[test]
fn a_reset_ends_time_wait_only_at_the_very_next_number() {
    let (mut lone, next) = server_rested();
    let challenge = lone.answer(&Tcp::new(peer(9), RST, 5, 0));
    assert_eq!((challenge.seq, challenge.ack, challenge.flags), (next, 2, ACK));
    assert_eq!(lone.give(&Tcp::new(peer(9), RST, 70_000_000, 0)), []);
    assert_eq!(lone.stack.connections(), 1);
    assert_eq!(lone.give(&Tcp::new(peer(9), RST, 2, 0)), []);
    assert_eq!(lone.stack.connections(), 0);
}

#[test]
fn a_syn_that_follows_on_begins_beyond_everything_that_was_sent() {
    let (mut lone, next) = server_rested();
    // An old SYN does not.
    let old = lone.answer(&Tcp::new(peer(9), SYN, 0, 0));
    assert_eq!((old.flags, old.ack), (ACK, 2));
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 1_000, 0));
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN_ACK, 1_001));
    assert!(syn_ack.seq.wrapping_sub(next) >= 0x1_0000 && syn_ack.seq.wrapping_sub(next) < 1 << 31);
    assert_eq!((lone.stack.half_open(), lone.counted("time_wait_reopened")), (1, 1));
}
