//! Buffers of whole stacks: they grow where that is worth it, and are bounded for each connection and for all.

use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use crate::net::*;

/// A wire of 100 ms there and back that takes anything.
const LONG: Wire = Wire { delay_ns: 50 * MS, ..CLEAN };

/// The TCP header and the payload length of an IPv4 packet.
pub(crate) fn tcp_of(packet: &[u8]) -> (TcpHeader, TcpOptions, usize) {
    let (_, n) = Ipv4Header::parse(packet).unwrap();
    let (header, m) = TcpHeader::parse(&packet[n..]).unwrap();
    (header, TcpOptions::parse(&packet[n + 20..n + m]).unwrap(), packet.len() - n - m)
}

/// Most bytes that A had sent and B not acknowledged, as the packets tell.
fn most_in_flight(log: &[(usize, Vec<u8>)]) -> u32 {
    let (mut sent, mut acknowledged, mut most) = (None::<SeqNum>, None::<SeqNum>, 0);
    for (side, packet) in log {
        let (header, _, len) = tcp_of(packet);
        if *side == A {
            let end = header.seq + len as u32;
            sent = Some(sent.map_or(end, |s| s.later(end)));
        } else if header.flags.contains(TcpFlags::ACK) {
            acknowledged = Some(header.ack);
        }
        if let (Some(sent), Some(acknowledged)) = (sent, acknowledged) {
            most = most.max(u32::try_from(sent.offset_from(acknowledged)).unwrap_or(0));
        }
    }
    most
}

/// Moves `bytes` from A to B; returns the virtual time it took and the most bytes under way.
fn long_transfer(edit: impl Fn(&mut bypath::by_hand::StackOptions), bytes: u64) -> (u64, u32) {
    let mut both = [options(A), options(B)];
    for o in &mut both {
        edit(o);
    }
    let mut net = Net::new(both, LONG, 1);
    net.log = Some(Vec::new());
    let began = net.now;
    exchange(&mut net, Family::V4, bytes, 0);
    let took = net.now - began;
    (took, most_in_flight(&net.log.take().unwrap()))
}

#[test]
fn a_path_of_a_gigabit_and_100_ms_is_filled() {
    let (took, most) = long_transfer(
        |o| {
            o.tcp.receive_buffer = 32 << 20;
            o.send_buffer = 32 << 20;
        },
        60_000_000,
    );
    // What the path holds at that rate, and less than two seconds to get there by doubling.
    assert!(most >= 12_500_000, "{most} bytes under way");
    assert!(took < 2 * SECOND, "{} ms", took / MS);
}

#[test]
fn windows_that_do_not_grow_leave_it_empty() {
    let (_, most) = long_transfer(|o| o.tcp.initial_receive_buffer = 1 << 17, 100_000);
    assert!(most <= 1 << 17);
    let (took, most) = long_transfer(|o| o.receive_memory = 0, 4_000_000);
    assert!(most <= 1 << 17, "{most}: the stack as a whole had no memory to give");
    assert!(took > 3 * SECOND, "{} ms", took / MS);
}

#[test]
fn an_application_that_does_not_read_gets_no_more_than_the_first_buffer() {
    let mut net = Net::new([options(A), options(B)], LONG, 1);
    let (client, _server, _) = net.connected(Family::V4);
    let mut sent = 0;
    net.until(30 * SECOND, |net| {
        sent += net.stacks[A].send(client, &[7; 4_096]).unwrap();
        false
    });
    // One receive buffer at the peer, and what the send buffer holds.
    assert!(sent <= (1 << 17) + (1 << 18), "{sent}");
    assert!(sent >= 1 << 18);
}

#[test]
fn an_application_writes_ahead_as_far_as_the_window_is_worth() {
    let mut both = [options(A), options(B)];
    both[A].send_buffer = 32 << 20;
    let mut net = Net::new(both.clone(), LONG, 1);
    let (client, server, _) = net.connected(Family::V4);
    let chunk = vec![7; 64 << 20];
    let first = net.stacks[A].send(client, &chunk).unwrap();
    assert_eq!(first, 1 << 18, "nothing is known of the path yet");
    let (mut written, mut read) = (first, 0);
    let mut buffer = vec![0; 1 << 20];
    net.until(2 * SECOND, |net| {
        written += net.stacks[A].send(client, &chunk).unwrap();
        while let Some(n @ 1..) = net.stacks[B].recv(server, &mut buffer).unwrap() {
            read += n;
        }
        false
    });
    assert!(read > 10_000_000 && written - read > 10_000_000, "{read} of {written}");

    both[A].tcp.tune_send_buffer = false;
    let mut net = Net::new(both, LONG, 1);
    let (client, ..) = net.connected(Family::V4);
    assert_eq!(net.stacks[A].send(client, &chunk).unwrap(), 32 << 20, "all of it without the switch");
}

#[test]
fn data_ahead_of_its_turn_is_bounded_over_all_connections() {
    let mut both = [options(A), options(B)];
    both[B].reassembly_memory = 5_000;
    let mut net = Net::new(both, CLEAN, 1);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    let clients: Vec<_> = (0..4).map(|_| net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap()).collect();
    net.run(SECOND);
    let mut servers = Vec::new();
    while let Some(socket) = net.stacks[B].accept(listener) {
        servers.push(socket);
    }
    assert_eq!(servers.len(), 4);
    // The first segment of each is lost, three follow: 12 segments ahead of their turn, of which three fit.
    net.log = Some(Vec::new());
    net.wire.loss = 1_000;
    for client in &clients {
        net.stacks[A].send(*client, &[1; 4 * 1_448]).unwrap();
    }
    net.poll();
    let packets: Vec<_> = net.log.take().unwrap().into_iter().map(|(_, packet)| packet).collect();
    assert_eq!(packets.len(), 16);
    for packet in packets.iter().enumerate().filter(|(n, _)| n % 4 != 0).map(|(_, packet)| packet) {
        net.inject(B, packet);
    }
    assert_eq!(net.dropped(B, "tcp_reassembly_full"), 12 - 3);
    // Nothing is lost by it, and when it is delivered there is room for the next.
    net.wire.loss = 0;
    net.run(30 * SECOND);
    let mut buffer = [0; 10_000];
    for server in servers {
        assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(4 * 1_448));
    }
    let (client, refused) = (clients[0], net.dropped(B, "tcp_reassembly_full"));
    net.wire.loss = 1_000;
    net.log = Some(Vec::new());
    net.stacks[A].send(client, &[1; 3 * 1_448]).unwrap();
    net.poll();
    let packets = net.log.take().unwrap();
    assert!(packets.len() >= 2);
    for (_, packet) in &packets[1..] {
        net.inject(B, packet);
    }
    assert_eq!(net.dropped(B, "tcp_reassembly_full"), refused);
}
