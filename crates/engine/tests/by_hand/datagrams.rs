//! UDP and ICMP: datagrams both ways, ports where nobody listens, echo, and errors that concern connections.

use std::io::ErrorKind;
use std::net::IpAddr;

use bypath_wire::icmpv4::{self, Icmpv4};
use bypath_wire::icmpv6::{self, Icmpv6};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;

use crate::net::*;

/// An IP packet from side A to side B, or back.
pub(crate) fn ip_packet(family: Family, from: usize, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 60 + payload.len()];
    let n = match (family.ip(from), family.ip(1 - from)) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                total_len: (20 + payload.len()) as u16,
                ttl: 64,
                protocol,
                src,
                dst,
                ..Ipv4Header::default()
            };
            header.emit(&mut out)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header {
                payload_len: payload.len() as u16,
                next_header: protocol,
                hop_limit: 64,
                src,
                dst,
                ..Ipv6Header::default()
            };
            header.emit(&mut out)
        }
        _ => unreachable!("one family"),
    };
    out.truncate(n);
    out.extend_from_slice(payload);
    out
}

/// An ICMP message from a side to the other, in an IP packet.
pub(crate) fn icmp_v4(from: usize, message: &Icmpv4<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.emit(&mut bytes);
    ip_packet(Family::V4, from, protocol::ICMP, &bytes)
}

pub(crate) fn icmp_v6(from: usize, message: &Icmpv6<'_>) -> Vec<u8> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (Family::V6.ip(from), Family::V6.ip(1 - from)) else {
        unreachable!("IPv6")
    };
    let mut bytes = vec![0; message.encoded_len()];
    message.emit(src, dst, &mut bytes);
    ip_packet(Family::V6, from, protocol::ICMPV6, &bytes)
}

/// What a router says when a packet of `side` is too big for it.
fn too_big(family: Family, side: usize, mtu: u16, original: &[u8]) -> Vec<u8> {
    let original = &original[..original.len().min(200)];
    match family {
        Family::V4 => icmp_v4(
            1 - side,
            &Icmpv4::DestinationUnreachable {
                code: icmpv4::unreachable::FRAGMENTATION_NEEDED,
                next_hop_mtu: mtu,
                original,
            },
        ),
        Family::V6 => icmp_v6(1 - side, &Icmpv6::PacketTooBig { mtu: mtu.into(), original }),
    }
}

#[test]
fn datagrams_go_both_ways_with_their_sources() {
    for family in FAMILIES {
        for mode in [options, ethernet] {
            let mut net = Net::new([mode(A), mode(B)], CLEAN, 1);
            let a = net.stacks[A].bind_udp(family.at(A, 1000));
            let b = net.stacks[B].bind_udp(family.at(B, 2000));
            for n in 0..50u8 {
                assert!(net.stacks[A].send_to(a, &vec![n; usize::from(n) * 29], family.at(B, 2000)));
            }
            net.run(SECOND);
            for n in 0..50u8 {
                let (from, bytes) = net.stacks[B].recv_from(b).unwrap();
                assert_eq!((from, bytes), (family.at(A, 1000), vec![n; usize::from(n) * 29]));
            }
            assert!(net.stacks[B].send_to(b, b"back", family.at(A, 1000)));
            net.run(SECOND);
            assert_eq!(net.stacks[A].recv_from(a), Some((family.at(B, 2000), b"back".to_vec())));
            assert_eq!(net.stacks[A].recv_from(a), None);
        }
    }
}

#[test]
fn a_corrupted_datagram_is_never_delivered() {
    for seed in 0..4 {
        let mut net = Net::new([options(A), options(B)], Wire { corrupt: 500, ..CLEAN }, seed);
        let a = net.stacks[A].bind_udp(Family::V6.at(A, 1000));
        let b = net.stacks[B].bind_udp(Family::V6.at(B, 2000));
        for n in 0..200u8 {
            net.stacks[A].send_to(a, &[n; 100], Family::V6.at(B, 2000));
            net.run(10 * MS);
        }
        let mut arrived = 0;
        while let Some((_, bytes)) = net.stacks[B].recv_from(b) {
            assert!(bytes.len() == 100 && bytes.iter().all(|x| *x == bytes[0]));
            arrived += 1;
        }
        assert!((50..190).contains(&arrived), "{arrived}");
    }
}

#[test]
fn a_datagram_for_nobody_is_answered_and_the_sender_told() {
    for family in FAMILIES {
        let mut net = Net::clean();
        let a = net.stacks[A].bind_udp(family.at(A, 1000));
        net.stacks[A].send_to(a, b"hello?", family.at(B, 9));
        net.run(SECOND);
        assert_eq!(net.dropped(B, "no_socket"), 1);
        assert_eq!(net.stacks[A].refused_by(a), Some(family.at(B, 9)));
        assert_eq!(net.stacks[A].refused_by(a), None);
    }
}

#[test]
fn a_datagram_longer_than_the_mtu_is_not_sent() {
    let mut net = Net::clean();
    let a = net.stacks[A].bind_udp(Family::V4.at(A, 1000));
    net.stacks[A].send_to(a, &[0; 1473], Family::V4.at(B, 9));
    net.stacks[A].send_to(a, &[0; 70_000], Family::V4.at(B, 9));
    net.run(SECOND);
    assert_eq!(net.dropped(A, "too_long"), 2);
    net.stacks[A].send_to(a, &[0; 1472], Family::V4.at(B, 9));
    net.run(SECOND);
    assert_eq!(net.dropped(B, "no_socket"), 1);
}

#[test]
fn answers_to_strangers_are_bounded_in_a_second() {
    let mut net = Net::clean();
    net.log = Some(Vec::new());
    let datagram = ip_packet(Family::V6, A, protocol::UDP, &{
        let mut udp = vec![0x10, 0, 0, 9, 0, 8, 0, 0];
        let sum = bypath_wire::checksum::pseudo_header(Family::V6.ip(A), Family::V6.ip(B), protocol::UDP, 8)
            .add(bypath_wire::checksum::Sum::of(&udp));
        udp[6..8].copy_from_slice(&sum.finish().to_be_bytes());
        udp
    });
    for _ in 0..1_500 {
        net.inject(B, &datagram);
    }
    assert_eq!(net.log.as_ref().unwrap().len(), 1_000);
    assert_eq!(net.dropped(B, "rate_limited"), 500);
}

#[test]
fn echo_requests_are_answered_with_what_they_carried() {
    for len in [0, 1, 56, 1_400] {
        let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let mut net = Net::clean();
        net.log = Some(Vec::new());
        net.inject(B, &icmp_v4(A, &Icmpv4::EchoRequest { id: 7, sequence: 3, data: &data }));
        net.inject(B, &icmp_v6(A, &Icmpv6::EchoRequest { id: 8, sequence: 4, data: &data }));
        let log = net.log.unwrap();
        assert_eq!(log.len(), 2);
        let reply = Icmpv4::parse(&log[0].1[20..]).unwrap();
        assert_eq!(reply, Icmpv4::EchoReply { id: 7, sequence: 3, data: &data });
        let reply = Icmpv6::parse(&log[1].1[40..]).unwrap();
        assert_eq!(reply, Icmpv6::EchoReply { id: 8, sequence: 4, data: &data });
    }
}

#[test]
fn a_final_unreachable_ends_an_opening_connection_but_not_an_open_one() {
    for family in FAMILIES {
        let mut net = Net::clean();
        net.log = Some(Vec::new());
        let socket = net.stacks[A].connect(family.at(B, 80), 0).unwrap();
        net.poll();
        let syn = net.log.as_ref().unwrap()[0].1.clone();
        let error = |original: &[u8]| match family {
            Family::V4 => {
                let code = icmpv4::unreachable::PROHIBITED;
                icmp_v4(B, &Icmpv4::DestinationUnreachable { code, next_hop_mtu: 0, original })
            }
            Family::V6 => {
                let code = icmpv6::unreachable::PROHIBITED;
                icmp_v6(B, &Icmpv6::DestinationUnreachable { code, original })
            }
        };
        // About a sequence number that was never sent: somebody is guessing (RFC 5927 section 4).
        let mut guess = syn.clone();
        let seq = if family == Family::V4 { 24 } else { 44 };
        guess[seq] ^= 0x40;
        net.inject(A, &error(&guess));
        assert_eq!(net.connections()[A], 1);
        net.inject(A, &error(&syn));
        assert_eq!(net.stacks[A].is_connected(socket).unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(net.connections()[A], 0);

        net.run(SECOND);
        let (client, _, _) = net.connected(family);
        net.stacks[A].send(client, b"data under way").unwrap();
        net.poll();
        let sent = net.log.as_ref().unwrap().iter().rfind(|(from, _)| *from == A).unwrap().1.clone();
        net.inject(A, &error(&sent));
        net.run(SECOND);
        assert!(net.stacks[A].is_connected(client).unwrap());
    }
}

#[test]
fn segments_shrink_when_a_router_says_they_are_too_big() {
    for family in FAMILIES {
        let mut net = Net::clean();
        net.log = Some(Vec::new());
        let (client, server, _) = net.connected(family);
        let (mut a, mut b) = (Pump::new(A, client, 400_000), Pump::new(B, server, 0));
        net.stacks[B].shutdown(server).unwrap();
        let mut told = false;
        assert!(net.until(60 * SECOND, |net| {
            a.turn(net);
            b.turn(net);
            let last = net.log.as_ref().unwrap().iter().rfind(|(from, p)| *from == A && p.len() > 1300);
            let last = last.map(|(_, p)| p.clone());
            if !told && b.received > 100_000 {
                // Nobody has a link this small; then the truth, about each packet that was too long.
                net.inject(A, &too_big(family, A, 68, &[0; 40]));
                net.wire.swallows_above = 1300;
                net.log.as_mut().unwrap().clear();
                told = true;
            } else if told && let Some(last) = last {
                net.inject(A, &too_big(family, A, 1300, &last));
            }
            b.ended
        }));
        assert!(told);
        assert_eq!(b.received, 400_000);
        // Larger ones had arrived before: the router is believed when the segment that it quoted has timed out
        // (RFC 5927 section 7.2), and from there on no larger one is sent.
        let log = net.log.unwrap();
        let sizes: Vec<usize> = log.iter().filter(|(from, _)| *from == A).map(|(_, p)| p.len()).collect();
        let believed = sizes.iter().rposition(|len| *len > 1300).map_or(0, |at| at + 1);
        assert_eq!(sizes[believed..].iter().max(), Some(&1300));
        let after: usize = sizes[believed..].iter().sum();
        assert!(after > 100_000, "{after}");
    }
}

#[test]
fn a_lying_router_cannot_shrink_segments_below_what_hosts_agree_on() {
    for (family, least) in [(Family::V4, 552), (Family::V6, 1500)] {
        let mut net = Net::clean();
        net.log = Some(Vec::new());
        let (client, server, _) = net.connected(family);
        net.stacks[A].send(client, &[1; 20_000]).unwrap();
        net.poll();
        let sent = net.log.as_ref().unwrap().iter().rfind(|(from, p)| *from == A && p.len() == 1500);
        let lie = too_big(family, A, 20, &sent.unwrap().1.clone());
        net.inject(A, &lie);
        net.log.as_mut().unwrap().clear();
        net.run(SECOND);
        net.stacks[A].send(client, &[1; 20_000]).unwrap();
        net.run(SECOND);
        let most =
            net.log.as_ref().unwrap().iter().filter(|(from, _)| *from == A).map(|(_, p)| p.len()).max();
        // Of IPv6 a size below 1,280 is no news at all (RFC 8201 section 4).
        assert_eq!(most, Some(least));
        let mut out = vec![0; 50_000];
        assert_eq!(net.stacks[B].recv(server, &mut out).unwrap(), Some(40_000));
    }
}

#[test]
fn a_datagram_to_the_other_family_is_counted_and_not_sent() {
    let mut net = Net::clean();
    net.log = Some(Vec::new());
    for (from, to) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let socket = net.stacks[A].bind_udp(from.at(A, 53));
        assert!(net.stacks[A].send_to(socket, b"lost", to.at(B, 53)));
    }
    net.run(SECOND);
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!(net.dropped(A, "unreachable"), 2);
}
