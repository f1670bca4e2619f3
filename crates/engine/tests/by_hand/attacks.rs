//! Blind attacks on whole stacks, what routers and liars say of the path, and urgent data from end to end.

use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::icmpv4::{self, Icmpv4};
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::protocol;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use crate::buffers::tcp_of;
use crate::datagrams::ip_packet;
use crate::net::*;

/// A segment from `from` to the other side, with good checksums.
pub(crate) fn forged(family: Family, from: usize, header: &TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut segment = [0; 20].to_vec();
    header.emit(&TcpOptions::default(), &mut segment);
    segment.extend_from_slice(payload);
    segment[16..18].fill(0);
    let (src, dst) = (family.ip(from), family.ip(1 - from));
    let sum = pseudo_header(src, dst, protocol::TCP, segment.len() as u32).add(Sum::of(&segment)).finish();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip_packet(family, from, protocol::TCP, &segment)
}

#[test]
fn blind_resets_on_many_connections_are_challenged_within_a_limit_over_all_of_them() {
    let mut both = [options(A), options(B)];
    both[B].tcp.challenge_acks_per_stack = 20;
    let mut net = Net::new(both, CLEAN, 1);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 64);
    net.log = Some(Vec::new());
    for _ in 0..50 {
        net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    }
    net.run(SECOND);
    while net.stacks[B].accept(listener).is_some() {}
    let mut acks: Vec<TcpHeader> = Vec::new();
    for (side, packet) in net.log.as_ref().unwrap() {
        let (header, ..) = tcp_of(packet);
        if *side == A && header.flags == TcpFlags::ACK {
            acks.push(header);
        }
    }
    assert_eq!(acks.len(), 50);
    net.now = 10 * SECOND;
    net.log = Some(Vec::new());
    for ack in &acks {
        let reset = TcpHeader { seq: ack.seq + 100, flags: TcpFlags::RST, ..*ack };
        net.inject(B, &forged(Family::V4, A, &reset, &[]));
    }
    let answered = net.log.as_ref().unwrap().len() as u64;
    assert!((10..=30).contains(&answered), "{answered}");
    assert_eq!(net.dropped(B, "tcp_blind_reset"), 50);
    assert_eq!(net.dropped(B, "challenge_limit"), 50 - answered);
    assert_eq!(net.connections(), [50, 50]);
}

#[test]
fn blind_syn_reset_and_data_change_nothing() {
    for family in FAMILIES {
        let mut net = Net::clean();
        let (client, server, _) = net.connected(family);
        net.run(SECOND);
        net.stacks[A].send(client, b"before").unwrap();
        net.run(SECOND);
        let mut buffer = [0; 100];
        assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(6));
        let (ours, theirs) = net.stacks[A].addresses(client).unwrap();
        let base = TcpHeader {
            src_port: ours.port(),
            dst_port: theirs.port(),
            window: 1_000,
            flags: TcpFlags::ACK,
            ..TcpHeader::default()
        };
        // Everywhere in the sequence space, most of it outside the window.
        for n in 0..256u32 {
            let seq = SeqNum(n << 24);
            for flags in [TcpFlags::RST, TcpFlags::SYN, TcpFlags::ACK, TcpFlags::ACK | TcpFlags::FIN] {
                let ack = SeqNum(n.wrapping_mul(77) << 20);
                let payload: &[u8] = if flags.contains(TcpFlags::ACK) { b"evil" } else { b"" };
                net.inject(B, &forged(family, A, &TcpHeader { seq, ack, flags, ..base }, payload));
            }
            net.run(20 * MS);
        }
        assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), None, "nothing was taken");
        net.stacks[A].send(client, b"after").unwrap();
        net.run(SECOND);
        assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(5));
        assert_eq!(&buffer[..5], b"after");
    }
}

/// An ICMP error that quotes the header of a segment from A.
fn too_big(family: Family, quoted: &TcpHeader, mtu: u32) -> Vec<u8> {
    let mut original = forged(family, A, quoted, &[0; 8]);
    original.truncate(if family == Family::V4 { 28 } else { 60 });
    let mut bytes = vec![0; 8 + original.len()];
    match family {
        Family::V4 => {
            let error = Icmpv4::DestinationUnreachable {
                code: icmpv4::unreachable::FRAGMENTATION_NEEDED,
                next_hop_mtu: mtu as u16,
                original: &original,
            };
            error.emit(&mut bytes);
            ip_packet(family, B, protocol::ICMP, &bytes)
        }
        Family::V6 => {
            let (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) = (family.ip(A), family.ip(B)) else {
                unreachable!()
            };
            Icmpv6::PacketTooBig { mtu, original: &original }.emit(b, a, &mut bytes);
            ip_packet(family, B, protocol::ICMPV6, &bytes)
        }
    }
}

#[test]
fn errors_about_a_size_are_believed_only_about_what_is_outstanding() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    net.log = Some(Vec::new());
    net.wire.loss = 1_000;
    net.stacks[A].send(client, &[1; 4_000]).unwrap();
    net.poll();
    let first = tcp_of(&net.log.as_ref().unwrap()[0].1).0;
    for (seq, mtu) in
        [(first.seq + 1_000_000, 600), (first.seq - 1, 600), (first.seq, 1_500), (first.seq, 9_000)]
    {
        net.inject(A, &too_big(Family::V4, &TcpHeader { seq, ..first }, mtu));
    }
    assert_eq!(net.dropped(A, "icmp_refused"), 4);
    net.wire.loss = 0;
    net.inject(A, &too_big(Family::V4, &first, 1_000));
    assert_eq!(net.dropped(A, "icmp_refused"), 4);
    let (_, _, len) = tcp_of(&net.log.as_ref().unwrap().last().unwrap().1);
    assert!(len <= 1_000 - 52, "{len}");
    net.run(5 * SECOND);
    let mut buffer = [0; 5_000];
    assert_eq!(net.stacks[B].recv(server, &mut buffer).unwrap(), Some(4_000));
}

#[test]
fn no_router_makes_packets_of_ipv6_smaller_than_every_link_carries() {
    let mut net = Net::clean();
    let (client, ..) = net.connected(Family::V6);
    net.log = Some(Vec::new());
    net.wire.loss = 1_000;
    net.stacks[A].send(client, &[1; 4_000]).unwrap();
    net.poll();
    let quoted = net.log.as_ref().unwrap()[0].1.clone();
    let header = TcpHeader::parse(&quoted[40..]).unwrap().0;
    for mtu in [0, 68, 576, 1_279] {
        net.inject(A, &too_big(Family::V6, &header, mtu));
    }
    assert_eq!(net.dropped(A, "icmp_refused"), 4);
    net.log = Some(Vec::new());
    net.inject(A, &too_big(Family::V6, &header, 1_280));
    let longest = net.log.as_ref().unwrap().iter().map(|(_, packet)| packet.len()).max();
    assert_eq!(longest, Some(1_280));
}

#[test]
fn a_path_that_swallows_large_packets_is_recovered_from() {
    for (family, carries) in [(Family::V4, 1_100), (Family::V6, 1_280)] {
        let mut net = Net::clean();
        net.wire.swallows_above = carries;
        exchange(&mut net, family, 100_000, 50_000);
    }
}

#[test]
fn urgent_data_arrives_in_its_place_and_the_reader_learns_where_it_ends() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    assert_eq!(net.stacks[B].urgent_mark(server).unwrap(), None);
    assert_eq!(net.stacks[A].send(client, b"usual ").unwrap(), 6);
    assert_eq!(net.stacks[A].send_urgent(client, b"URGENT").unwrap(), 6);
    net.stacks[A].send(client, b" usual").unwrap();
    net.run(SECOND);
    assert_eq!(net.stacks[B].urgent_mark(server).unwrap(), Some(12));
    let mut buffer = [0; 100];
    assert_eq!(net.stacks[B].recv(server, &mut buffer[..10]).unwrap(), Some(10));
    assert_eq!(net.stacks[B].urgent_mark(server).unwrap(), Some(12), "two more bytes of it");
    assert_eq!(net.stacks[B].recv(server, &mut buffer[10..]).unwrap(), Some(8));
    assert_eq!(&buffer[..18], b"usual URGENT usual");
    assert_eq!(net.stacks[B].urgent_mark(server).unwrap(), None);
    assert_eq!(net.stacks[B].urgent_mark(server).unwrap(), None);
}
