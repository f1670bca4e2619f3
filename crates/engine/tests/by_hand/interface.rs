//! What RFC 9293 section 3.9 asks of the interface to users: opening from and to addresses, listeners that leave one
//! another alone, and what can be set for one connection.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath::{Report, TcpConfig};
use bypath_wire::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use crate::net::*;
use crate::segments::{Seen, seen, segment, sent_by};

const HOUR: u64 = 3_600 * SECOND;

/// A net that keeps a log.
fn logged() -> Net {
    let mut net = Net::clean();
    net.log = Some(Vec::new());
    net
}

/// What A has sent since this was asked last.
fn news(net: &mut Net) -> Vec<Seen> {
    let log = net.log.replace(Vec::new()).unwrap();
    sent_by(&log, A)
}

#[test]
fn a_connection_is_opened_from_the_address_that_is_named() {
    let mut net = logged();
    net.stacks[A].add_address("198.18.0.9".parse().unwrap(), 24);
    let remote = Family::V4.at(B, 80);
    net.stacks[B].listen(remote, 4);
    for (wanted, port) in
        [("198.18.0.9:0", None), ("198.18.0.9:4000", Some(4_000)), ("198.18.0.1:4000", Some(4_000))]
    {
        let wanted: SocketAddr = wanted.parse().unwrap();
        let socket = net.stacks[A].connect_from(wanted, remote).unwrap();
        net.run(SECOND);
        assert!(net.stacks[A].is_connected(socket).unwrap());
        let syn = &news(&mut net)[0];
        assert_eq!(syn.src, wanted.ip());
        assert!(port.is_none_or(|port| port == syn.header.src_port));
        assert_eq!(net.stacks[A].addresses(socket).unwrap().0.ip(), wanted.ip());
    }
    let stranger: SocketAddr = "198.18.0.50:0".parse().unwrap();
    let error = net.stacks[A].connect_from(stranger, remote).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn the_routes_choose_the_local_address_when_none_is_named() {
    let mut net = logged();
    net.stacks[A].add_address("198.19.7.1".parse().unwrap(), 24);
    net.stacks[A].connect("198.19.7.2:80".parse().unwrap(), 0).unwrap();
    net.poll();
    assert_eq!(news(&mut net)[0].src.to_string(), "198.19.7.1");
    net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.poll();
    assert_eq!(news(&mut net)[0].src, Family::V4.ip(A));
}

#[test]
fn a_connection_keeps_its_local_address() {
    let mut net = logged();
    let (client, _, _) = net.connected(Family::V4);
    news(&mut net);
    // From here on the routes would choose another one.
    net.stacks[A].add_address("198.18.0.9".parse().unwrap(), 32);
    net.stacks[A].add_address("198.18.0.3".parse().unwrap(), 30);
    net.stacks[A].send(client, &[1; 5_000]).unwrap();
    net.run(SECOND);
    let sent = news(&mut net);
    assert!(sent.len() > 3 && sent.iter().all(|s| s.src == Family::V4.ip(A)));
}

#[test]
fn opening_to_a_broadcast_or_group_address_is_an_error_at_once() {
    let mut net = logged();
    for remote in ["255.255.255.255", "198.18.0.255", "224.0.0.1", "239.1.2.3", "0.0.0.0", "ff02::1", "::"] {
        let remote = SocketAddr::new(remote.parse().unwrap(), 80);
        let error = net.stacks[A].connect(remote, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{remote}");
        let source = if remote.is_ipv4() { Family::V4.at(A, 0) } else { Family::V6.at(A, 0) };
        assert!(net.stacks[A].connect_from(source, remote).is_err(), "{remote}");
    }
    net.run(SECOND);
    assert!(news(&mut net).is_empty());
}

#[test]
fn a_second_listener_at_an_address_leaves_the_first_and_its_connections_alone() {
    let mut net = Net::clean();
    let (client, server, first) = net.connected(Family::V4);
    let local = Family::V4.at(B, 80);
    let waiting = net.stacks[A].connect(local, 0).unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[B].try_listen(local, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
    let second = net.stacks[B].listen(local, 1);
    let later = net.stacks[A].connect(local, 0).unwrap();
    net.run(SECOND);
    assert!(net.stacks[B].accept(second).is_none());
    // Nor does its end end anything.
    net.stacks[B].close_listener(second);
    let last = net.stacks[A].connect(local, 0).unwrap();
    net.run(SECOND);
    for socket in [waiting, later, last] {
        assert!(net.stacks[A].is_connected(socket).unwrap());
        assert!(net.stacks[B].accept(first).is_some());
    }
    net.stacks[A].send(client, b"still here").unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[B].recv(server, &mut [0; 64]).unwrap(), Some(10));
    // The address is free when its listener is gone.
    net.stacks[B].close_listener(first);
    net.stacks[B].try_listen(local, 1).unwrap();
}

#[test]
fn a_port_can_be_listened_on_while_connections_from_it_open() {
    let mut net = Net::clean();
    net.wire.loss = 1_000;
    let in_syn_sent = net.stacks[A].connect(Family::V4.at(B, 80), 1_111).unwrap();
    net.run(SECOND / 2);
    net.wire.loss = 0;
    // And one half open from the same port, by a SYN that crossed ours.
    let in_syn_received = net.stacks[A].connect(Family::V4.at(B, 2_222), 1_112).unwrap();
    net.poll();
    let listeners = [1_111, 1_112].map(|port| net.stacks[A].listen(Family::V4.at(A, port), 4));
    for (listener, port) in listeners.into_iter().zip([1_111, 1_112]) {
        let caller = net.stacks[B].connect(Family::V4.at(A, port), 0).unwrap();
        net.run(SECOND / 4);
        assert!(net.stacks[B].is_connected(caller).unwrap());
        assert!(net.stacks[A].accept(listener).is_some());
    }
    assert!(!net.stacks[A].is_connected(in_syn_sent).unwrap(), "still opening");
    assert_eq!(net.stacks[A].is_connected(in_syn_received).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_reset_of_a_half_open_connection_leaves_the_listener_listening() {
    let mut net = logged();
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 4);
    let header = |flags, seq| TcpHeader {
        src_port: 999,
        dst_port: 80,
        seq: SeqNum(seq),
        flags,
        ..TcpHeader::default()
    };
    let none = TcpOptions::default();
    net.wire.loss = 1_000;
    net.inject(B, &segment(Family::V4, A, &header(TcpFlags::SYN, 1_000), &none, &[]));
    assert_eq!(net.stacks[B].connections(), 1);
    net.inject(B, &segment(Family::V4, A, &header(TcpFlags::RST, 1_001), &none, &[]));
    assert_eq!(net.stacks[B].connections(), 0);
    net.wire.loss = 0;
    net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND);
    assert!(net.stacks[B].accept(listener).is_some());
}

/// The first segment with data that B sends to a peer whose SYN had no options.
fn first_data_to_a_plain_peer(family: Family) -> usize {
    let mut net = logged();
    let listener = net.stacks[B].listen(family.at(B, 80), 4);
    net.wire.loss = 1_000;
    let header = |flags, seq, ack| TcpHeader {
        src_port: 999,
        dst_port: 80,
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags,
        window: 60_000,
        ..TcpHeader::default()
    };
    let none = TcpOptions::default();
    net.inject(B, &segment(family, A, &header(TcpFlags::SYN, 1_000, 0), &none, &[]));
    let syn_ack = sent_by(net.log.as_ref().unwrap(), B).pop().unwrap();
    let ack = syn_ack.header.seq.0.wrapping_add(1);
    net.inject(B, &segment(family, A, &header(TcpFlags::ACK, 1_001, ack), &none, &[]));
    let server = net.stacks[B].accept(listener).unwrap();
    net.stacks[B].send(server, &[0; 5_000]).unwrap();
    net.poll();
    sent_by(net.log.as_ref().unwrap(), B).into_iter().map(|s| s.payload).find(|n| *n > 0).unwrap()
}

#[test]
fn a_peer_without_options_gets_536_bytes_over_ipv4_and_1220_over_ipv6() {
    assert_eq!(first_data_to_a_plain_peer(Family::V4), 536);
    assert_eq!(first_data_to_a_plain_peer(Family::V6), 1_220);
}

#[test]
fn the_segment_size_announced_is_the_mtu_less_both_fixed_headers() {
    for mtu in [1_280, 1_500, 9_000, 65_535] {
        for (family, headers) in [(Family::V4, 40), (Family::V6, 60)] {
            let with_mtu = |side| StackOptions { mtu, ..options(side) };
            let mut net = Net::new([with_mtu(A), with_mtu(B)], CLEAN, 1);
            net.log = Some(Vec::new());
            net.connected(family);
            let log = net.log.as_ref().unwrap();
            for side in [A, B] {
                let syn = &sent_by(log, side)[0];
                assert_eq!(syn.options.mss, Some((mtu - headers) as u16), "side {side}, {family:?}");
            }
        }
    }
}

#[test]
fn packets_that_wait_together_are_acknowledged_once() {
    let mut net = logged();
    let (client, _, _) = net.connected(Family::V4);
    net.stacks[A].send(client, &[0; 14_000]).unwrap();
    net.poll();
    let log = net.log.replace(Vec::new()).unwrap();
    let data: Vec<_> =
        log.into_iter().filter(|(from, p)| *from == A && seen(p).unwrap().payload > 0).collect();
    assert!(data.len() >= 9);
    // All of them, then a look at what B says.
    let now = bypath::Instant::from_nanos(net.now);
    for (_, packet) in &data {
        net.stacks[B].receive(now, packet);
    }
    net.wire.loss = 1_000;
    net.poll();
    let answers = sent_by(net.log.as_ref().unwrap(), B);
    assert_eq!(answers.len(), 1);
}

#[test]
fn the_hop_limit_is_what_is_configured_and_what_is_set() {
    for family in FAMILIES {
        let tcp = TcpConfig { hop_limit: 9, ..TcpConfig::default() };
        let mut net = Net::new([StackOptions { tcp, ..options(A) }, options(B)], CLEAN, 1);
        net.log = Some(Vec::new());
        let (client, _, _) = net.connected(family);
        assert!(news(&mut net).iter().all(|s| s.hop_limit == 9));
        net.stacks[A].set_hop_limit(client, 200).unwrap();
        net.stacks[A].send(client, b"further").unwrap();
        net.run(SECOND);
        let sent = news(&mut net);
        assert!(!sent.is_empty() && sent.iter().all(|s| s.hop_limit == 200));
        assert_eq!(net.stacks[A].set_hop_limit(client, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
        // Set before the SYN goes out, it holds for the SYN; and resets of strangers have it too.
        let second = net.stacks[A].connect(family.at(B, 81), 0).unwrap();
        net.stacks[A].set_hop_limit(second, 3).unwrap();
        net.poll();
        assert_eq!(news(&mut net)[0].hop_limit, 3);
        let stray = TcpHeader { src_port: 1, dst_port: 2, flags: TcpFlags::ACK, ..TcpHeader::default() };
        net.inject(A, &segment(family, B, &stray, &TcpOptions::default(), &[]));
        assert_eq!(news(&mut net).last().unwrap().hop_limit, 9);
    }
}

#[test]
fn differentiated_services_are_what_is_configured_and_can_change_on_the_way() {
    for family in FAMILIES {
        let tcp = TcpConfig { dscp: 10, ..TcpConfig::default() };
        let mut net = Net::new([StackOptions { tcp, ..options(A) }, options(B)], CLEAN, 1);
        net.log = Some(Vec::new());
        let (client, server, _) = net.connected(family);
        assert!(news(&mut net).iter().all(|s| s.dscp == 10));
        for dscp in [46, 63, 0, 1] {
            net.stacks[A].set_dscp(client, dscp).unwrap();
            net.stacks[A].send(client, b"marked").unwrap();
            net.run(SECOND);
            // And of bare acknowledgements.
            net.stacks[B].send(server, b"answer").unwrap();
            net.run(SECOND);
            let sent = news(&mut net);
            assert!(sent.iter().any(|s| s.payload > 0) && sent.iter().any(|s| s.payload == 0));
            assert!(sent.iter().all(|s| s.dscp == dscp), "{dscp}: {sent:?}");
        }
        assert_eq!(net.stacks[A].set_dscp(client, 64).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn the_user_timeout_is_set_for_one_connection() {
    let mut net = Net::clean();
    let (client, _, _) = net.connected(Family::V4);
    let other = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND);
    net.stacks[A].set_user_timeout(client, Duration::from_secs(20)).unwrap();
    net.wire.loss = 1_000;
    for socket in [client, other] {
        net.stacks[A].send(socket, b"anybody?").unwrap();
    }
    net.run(19 * SECOND);
    assert!(net.stacks[A].is_connected(client).unwrap());
    net.run(2 * SECOND);
    assert_eq!(net.stacks[A].is_connected(client).unwrap_err().kind(), ErrorKind::TimedOut);
    net.run(100 * SECOND);
    assert!(net.stacks[A].is_connected(other).unwrap());
}

#[test]
fn keep_alive_is_switched_for_one_connection_and_waits_two_hours_unless_told_otherwise() {
    let mut net = logged();
    let (client, _, _) = net.connected(Family::V4);
    let other = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND);
    news(&mut net);
    net.stacks[A].set_keep_alive(client, true).unwrap();
    net.run(2 * HOUR - 2 * SECOND);
    assert!(news(&mut net).is_empty());
    net.run(3 * SECOND);
    assert_eq!(news(&mut net).len(), 1, "a probe of one of them");
    net.stacks[A].set_keep_alive(client, false).unwrap();
    net.stacks[A].set_keep_alive_idle(other, Duration::from_secs(60)).unwrap();
    net.run(SECOND);
    net.run(10 * HOUR);
    let port = net.stacks[A].addresses(other).unwrap().0.port();
    let probes = news(&mut net);
    assert!(probes.len() >= 400 && probes.iter().all(|s| s.header.src_port == port));
    assert!(net.stacks[A].is_connected(client).unwrap() && net.stacks[A].is_connected(other).unwrap());
}

#[test]
fn a_peer_that_falls_silent_is_reported_once_whether_open_or_opening() {
    let mut net = Net::clean();
    let (client, _, _) = net.connected(Family::V4);
    net.wire.loss = 1_000;
    net.stacks[A].send(client, b"anybody?").unwrap();
    let opening = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.run(SECOND / 2);
    for socket in [client, opening] {
        assert_eq!(net.stacks[A].take_report(socket), None);
    }
    net.run(20 * SECOND);
    for socket in [client, opening] {
        assert_eq!(net.stacks[A].take_report(socket), Some(Report::Stalled));
        assert_eq!(net.stacks[A].take_report(socket), None);
        assert!(net.stacks[A].is_connected(socket).is_ok(), "R1 ends nothing");
    }
}

/// A packet whose IPv4 header has these options, which are whole words.
fn with_ip_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut out = packet[..20].to_vec();
    out.extend_from_slice(options);
    out.extend_from_slice(&packet[20..]);
    out[0] = 0x45 + (options.len() / 4) as u8;
    let len = out.len() as u16;
    out[2..4].copy_from_slice(&len.to_be_bytes());
    crate::hostile::fix_ipv4(&mut out);
    out
}

#[test]
fn ip_options_that_mean_nothing_here_are_skipped() {
    // Router alert, a timestamp, record route, an experiment, and the end of the list.
    let lists: [&[u8]; 5] = [
        &[0x94, 4, 0, 0],
        &[68, 8, 5, 0, 0, 0, 0, 0],
        &[7, 7, 4, 0, 0, 0, 0, 1],
        &[0x9e, 3, 7, 0],
        &[1, 1, 0x5e, 5, 1, 2, 3, 0],
    ];
    for list in lists {
        let mut net = logged();
        let listener = net.stacks[B].listen(Family::V4.at(B, 80), 4);
        let header = TcpHeader { src_port: 9, dst_port: 80, flags: TcpFlags::SYN, ..TcpHeader::default() };
        let syn =
            segment(Family::V4, A, &header, &TcpOptions { mss: Some(900), ..TcpOptions::default() }, &[]);
        net.inject(B, &with_ip_options(&syn, list));
        let answer = sent_by(net.log.as_ref().unwrap(), B).pop().unwrap();
        assert_eq!(answer.header.flags, TcpFlags::SYN | TcpFlags::ACK, "{list:?}");
        assert!(net.stacks[B].accept(listener).is_none());
    }
}

#[test]
fn packets_that_choose_their_way_are_dropped_and_counted() {
    // Loose and strict, behind another option too, and a list that cannot be read.
    let lists: [&[u8]; 4] = [
        &[131, 7, 4, 198, 18, 0, 9, 0],
        &[137, 7, 8, 198, 18, 0, 9, 0],
        &[1, 0x94, 4, 0, 0, 131, 7, 4, 1, 2, 3, 4],
        &[0x94, 0, 131, 3],
    ];
    let mut net = logged();
    net.stacks[B].listen(Family::V4.at(B, 80), 4);
    let header = TcpHeader { src_port: 9, dst_port: 80, flags: TcpFlags::SYN, ..TcpHeader::default() };
    let syn = segment(Family::V4, A, &header, &TcpOptions::default(), &[]);
    for list in lists {
        net.inject(B, &with_ip_options(&syn, list));
    }
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!((net.dropped(B, "source_route"), net.stacks[B].connections()), (4, 0));
}

#[test]
fn a_syn_to_a_broadcast_or_group_address_is_discarded_in_silence() {
    let mut net = logged();
    net.stacks[B].listen("0.0.0.0:80".parse().unwrap(), 4);
    let header = TcpHeader { src_port: 9, dst_port: 80, flags: TcpFlags::SYN, ..TcpHeader::default() };
    let syn = segment(Family::V4, A, &header, &TcpOptions::default(), &[]);
    for dst in [[198, 18, 0, 255], [255, 255, 255, 255], [224, 0, 0, 1]] {
        let mut packet = syn.clone();
        packet[16..20].copy_from_slice(&dst);
        crate::hostile::fix_ipv4(&mut packet);
        crate::hostile::fix_tcp(&mut packet);
        net.inject(B, &packet);
    }
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!((net.dropped(B, "not_ours"), net.stacks[B].connections()), (3, 0));
}
