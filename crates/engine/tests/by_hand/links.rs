//! Ethernet: ARP and Neighbor Discovery asked and answered, frames for others, neighbours that move.

use std::net::IpAddr;

use bypath::by_hand::Stack;
use bypath_wire::arp::{ArpOperation, ArpPacket};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::ip::protocol;

use crate::datagrams::ip_packet;
use crate::net::*;

fn frame(dst: MacAddr, src: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 14];
    EthernetHeader { dst, src, ethertype, ..EthernetHeader::default() }.emit(&mut out);
    out.extend_from_slice(payload);
    out
}

fn over_ethernet(wire: Wire) -> Net {
    let mut net = Net::new([ethernet(A), ethernet(B)], wire, 4);
    net.log = Some(Vec::new());
    net
}

fn questions(net: &Net, family: Family) -> usize {
    let log = net.log.as_ref().unwrap();
    log.iter()
        .filter(|(_, p)| match family {
            Family::V4 => p[12..14] == [0x08, 0x06] && p[21] == 1,
            Family::V6 => p[12..14] == [0x86, 0xdd] && p[20] == protocol::ICMPV6 && p[54] == 135,
        })
        .count()
}

#[test]
fn the_first_packet_waits_for_the_link_address_and_nobody_asks_twice() {
    for family in FAMILIES {
        let mut net = over_ethernet(CLEAN);
        let (client, server, _) = net.connected(family);
        // The one who was asked has learned from the question.
        assert_eq!(questions(&net, family), 1, "{family:?}");
        net.stacks[B].send(server, b"x").unwrap();
        net.run(SECOND);
        let mut buffer = [0; 8];
        assert_eq!(net.stacks[A].recv(client, &mut buffer).unwrap(), Some(1));
        assert_eq!(questions(&net, family), 1);
    }
}

#[test]
fn questions_are_repeated_when_they_are_lost() {
    for seed in 0..20 {
        for family in FAMILIES {
            let mut net = Net::new([ethernet(A), ethernet(B)], Wire { loss: 300, ..CLEAN }, seed);
            let remote = family.at(B, 80);
            net.stacks[B].listen(remote, 4);
            let mut socket = net.stacks[A].connect(remote, 0).unwrap();
            // Three questions in vain are a host unreachable, and then one tries again.
            assert!(net.until(60 * SECOND, |net| match net.stacks[A].is_connected(socket) {
                Ok(open) => open,
                Err(_) => {
                    socket = net.stacks[A].connect(remote, 0).unwrap();
                    false
                }
            }));
        }
    }
}

#[test]
fn both_sides_resolve_for_datagrams_too() {
    for family in FAMILIES {
        let mut net = over_ethernet(CLEAN);
        let a = net.stacks[A].bind_udp(family.at(A, 1));
        let b = net.stacks[B].bind_udp(family.at(B, 2));
        net.stacks[A].send_to(a, b"there", family.at(B, 2));
        net.stacks[B].send_to(b, b"and back", family.at(A, 1));
        net.run(SECOND);
        assert_eq!(net.stacks[B].recv_from(b).unwrap().1, b"there");
        assert_eq!(net.stacks[A].recv_from(a).unwrap().1, b"and back");
    }
}

#[test]
fn a_question_about_our_address_is_answered_and_others_are_not() {
    let mut net = over_ethernet(CLEAN);
    let (IpAddr::V4(a), IpAddr::V4(b), IpAddr::V4(nobody)) =
        (Family::V4.ip(A), Family::V4.ip(B), Family::V4.nobody())
    else {
        unreachable!("IPv4")
    };
    for (target, answers) in [(b, 1), (nobody, 0)] {
        let mut arp = [0; 28];
        ArpPacket::request(MACS[A], a, target).emit(&mut arp);
        net.inject(B, &frame(MacAddr::BROADCAST, MACS[A], EtherType::ARP, &arp));
        let log = net.log.as_mut().unwrap();
        assert_eq!(log.len(), answers);
        if let Some((_, reply)) = log.pop() {
            let arp = ArpPacket::parse(&reply[14..]).unwrap();
            assert_eq!((arp.operation, arp.sender_mac, arp.sender_ip), (ArpOperation::REPLY, MACS[B], b));
            assert_eq!((arp.target_mac, arp.target_ip), (MACS[A], a));
        }
    }
}

#[test]
fn frames_for_other_stations_and_unknown_types_are_counted() {
    let mut net = over_ethernet(CLEAN);
    let packet = ip_packet(Family::V4, A, protocol::UDP, &[0; 8]);
    net.inject(B, &frame(MacAddr([2, 0, 0, 0, 0, 99]), MACS[A], EtherType::IPV4, &packet));
    assert_eq!(net.dropped(B, "not_ours"), 1);
    net.inject(B, &frame(MACS[B], MACS[A], EtherType(0x88cc), &packet));
    assert_eq!(net.dropped(B, "protocol"), 1);
    net.inject(B, &frame(MACS[B], MACS[A], EtherType::IPV4, &packet[..19]));
    assert_eq!(net.dropped(B, "malformed"), 1);
    assert!(net.log.unwrap().is_empty());
}

#[test]
fn a_broadcast_frame_is_never_answered_whatever_it_carries() {
    let mut net = over_ethernet(CLEAN);
    for transport in [protocol::TCP, protocol::UDP] {
        // A SYN, or a datagram, for a port where nobody listens, with a good checksum.
        let mut payload = vec![0x10, 0, 0, 9, 0, 8, 0, 0];
        if transport == protocol::TCP {
            payload = vec![0x10, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0];
        }
        let (src, dst) = (Family::V4.ip(A), Family::V4.ip(B));
        let sum = bypath_wire::checksum::pseudo_header(src, dst, transport, payload.len() as u32)
            .add(bypath_wire::checksum::Sum::of(&payload));
        let at = if transport == protocol::TCP { 16 } else { 6 };
        payload[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
        let packet = ip_packet(Family::V4, A, transport, &payload);
        net.inject(B, &frame(MacAddr::BROADCAST, MACS[A], EtherType::IPV4, &packet));
    }
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!((net.dropped(B, "not_ours"), net.dropped(B, "no_socket")), (1, 1));
}

#[test]
fn short_frames_padded_by_the_link_carry_no_padding_into_the_stream() {
    let mut net = over_ethernet(CLEAN);
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[A].send(client, b"ab").unwrap();
    net.wire.loss = 1_000;
    net.poll();
    let mut padded = net.log.as_ref().unwrap().iter().rfind(|(from, _)| *from == A).unwrap().1.clone();
    padded.extend_from_slice(&[0xee; 18]);
    net.inject(B, &padded);
    let mut buffer = [0; 64];
    assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(2));
    assert_eq!(&buffer[..2], b"ab");
}

#[test]
fn a_busy_connection_vouches_for_its_neighbour() {
    let mut net = over_ethernet(CLEAN);
    let (client, server, _) = net.connected(Family::V4);
    let mut buffer = [0; 64];
    for _ in 0..240 {
        net.stacks[A].send(client, b"tick").unwrap();
        net.run(SECOND / 2);
        net.stacks[B].recv(server, &mut buffer).unwrap();
    }
    assert_eq!(questions(&net, Family::V4), 1);
}

#[test]
fn a_neighbour_that_gets_another_link_address_is_found_again() {
    let mut net = over_ethernet(CLEAN);
    let (client, server, listener) = net.connected(Family::V4);
    net.run(2 * SECOND);
    // B's host is replaced: gratuitous ARP tells of the new link address. The flow follows at its next timeout.
    let IpAddr::V4(b) = Family::V4.ip(B) else { unreachable!("IPv4") };
    let moved = MacAddr([2, 0, 0, 0, 0, 0x33]);
    let mut arp = [0; 28];
    ArpPacket::request(moved, b, b).emit(&mut arp);
    net.inject(A, &frame(MacAddr::BROADCAST, moved, EtherType::ARP, &arp));
    net.wire.loss = 1_000;
    net.stacks[A].send(client, b"where are you?").unwrap();
    net.log.as_mut().unwrap().clear();
    net.run(5 * SECOND);
    let last = net.log.as_ref().unwrap().iter().rfind(|(from, _)| *from == A).unwrap();
    assert_eq!(last.1[..6], moved.0);
    let _ = (server, listener);
}

#[test]
fn what_is_not_in_the_network_goes_to_the_gateway() {
    let mut net = over_ethernet(CLEAN);
    net.stacks[A].add_gateway(Family::V4.ip(B));
    net.stacks[A].connect("192.0.2.9:80".parse().unwrap(), 0).unwrap();
    net.run(SECOND);
    let log = net.log.unwrap();
    let syn = log.iter().find(|(from, p)| *from == A && p[12..14] == [8, 0]).unwrap();
    assert_eq!((&syn.1[..6], &syn.1[30..34]), (&MACS[B].0[..], &[192, 0, 2, 9][..]));
}

#[test]
fn without_a_link_address_a_reset_is_counted_and_not_sent() {
    let mut stack = with_addresses(Stack::new(&ethernet(B)).unwrap(), B);
    stack.listen(Family::V4.at(B, 80), 4);
    let at = bypath::Instant::ZERO;
    // A SYN, and then the ACK of something that the stack has not even been able to send.
    for (seq, ack, flags) in [(100_u32, 0_u32, 0x02), (101, 7, 0x10)] {
        let mut segment = vec![0x9c, 0x40, 0, 80];
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        let mut packet = ip_packet(Family::V4, A, protocol::TCP, &segment);
        crate::hostile::fix_tcp(&mut packet);
        stack.receive(at, &frame(MACS[B], MACS[A], EtherType::IPV4, &packet));
    }
    stack.poll(at);
    while let Some(sent) = stack.transmit() {
        assert_eq!(sent[12..14], EtherType::ARP.0.to_be_bytes());
    }
    assert_eq!(stack.drops().iter().find(|(cause, _)| *cause == "unreachable"), Some(&("unreachable", 1)));
}
