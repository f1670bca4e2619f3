//! Packets that nobody should send: they are counted, they panic nothing, they change no stream.

use bypath_wire::ip::protocol;
use proptest::prelude::*;

use crate::datagrams::ip_packet;
use crate::net::*;

#[test]
fn fragments_bad_checksums_and_packets_for_others_are_counted() {
    let mut net = Net::clean();
    let good = ip_packet(Family::V4, A, protocol::UDP, &[0x10, 0, 0, 9, 0, 8, 0xde, 0xad]);
    net.inject(B, &good);
    assert_eq!(net.dropped(B, "transport_checksum"), 1);
    let mut bad = good.clone();
    bad[10] ^= 1;
    net.inject(B, &bad);
    assert_eq!(net.dropped(B, "ip_checksum"), 1);
    let mut other = good.clone();
    other[19] = 99;
    fix_ipv4(&mut other);
    net.inject(B, &other);
    assert_eq!(net.dropped(B, "not_ours"), 1);
    let mut fragment = good.clone();
    fragment[6] |= 0x20;
    fix_ipv4(&mut fragment);
    net.inject(B, &fragment);
    let mut v6 = vec![protocol::UDP, 0, 0, 8, 0, 0, 0, 1];
    v6.extend_from_slice(&[0; 8]);
    net.inject(B, &ip_packet(Family::V6, A, 44, &v6));
    assert_eq!(net.dropped(B, "fragment"), 2);
    net.inject(B, &ip_packet(Family::V4, A, 47, &[0; 8]));
    assert_eq!(net.dropped(B, "protocol"), 1);
    net.inject(B, &[]);
    net.inject(B, &[0x45]);
    net.inject(B, &[0x70; 40]);
    assert_eq!(net.dropped(B, "malformed"), 3);
}

#[test]
fn a_syn_from_our_own_address_or_from_nowhere_is_not_answered() {
    let mut net = Net::clean();
    net.stacks[B].listen(Family::V4.at(B, 80), 4);
    net.log = Some(Vec::new());
    net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    net.wire.loss = 1_000;
    net.poll();
    let syn = net.log.as_mut().unwrap().pop().unwrap().1;
    for src in [[198, 18, 0, 2], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let mut liar = syn.clone();
        liar[12..16].copy_from_slice(&src);
        fix_ipv4(&mut liar);
        fix_tcp(&mut liar);
        net.inject(B, &liar);
    }
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!((net.dropped(B, "not_ours"), net.stacks[B].connections()), (4, 0));
}

#[test]
fn tcp_to_a_group_is_not_answered() {
    let mut net = Net::clean();
    net.log = Some(Vec::new());
    net.stacks[A].connect(Family::V6.at(B, 81), 0).unwrap();
    net.wire.loss = 1_000;
    net.poll();
    let mut syn = net.log.as_mut().unwrap().pop().unwrap().1;
    syn[24..40].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    fix_tcp(&mut syn);
    net.inject(B, &syn);
    assert!(net.log.as_ref().unwrap().is_empty());
    assert_eq!(net.dropped(B, "not_ours"), 1);
}

/// Makes the IPv4 header checksum good.
pub(crate) fn fix_ipv4(packet: &mut [u8]) {
    let n = usize::from(packet[0] & 15) * 4;
    if n < 20 || packet.len() < n {
        return;
    }
    packet[10..12].fill(0);
    let sum = bypath_wire::checksum::Sum::of(&packet[..n]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Makes the TCP checksum good, for a packet without IP options or extension headers.
pub(crate) fn fix_tcp(packet: &mut [u8]) {
    let (start, src, dst) = if packet[0] >> 4 == 4 {
        let [a, b]: [[u8; 4]; 2] = [packet[12..16].try_into().unwrap(), packet[16..20].try_into().unwrap()];
        (20, a.into(), std::net::IpAddr::from(b))
    } else {
        let [a, b]: [[u8; 16]; 2] = [packet[8..24].try_into().unwrap(), packet[24..40].try_into().unwrap()];
        (40, a.into(), std::net::IpAddr::from(b))
    };
    if packet.len() < start + 20 {
        return;
    }
    packet[start + 16..start + 18].fill(0);
    let len = packet.len() - start;
    let sum = bypath_wire::checksum::pseudo_header(src, dst, protocol::TCP, len as u32)
        .add(bypath_wire::checksum::Sum::of(&packet[start..]));
    packet[start + 16..start + 18].copy_from_slice(&sum.finish().to_be_bytes());
}

/// How to spoil a packet of a connection.
#[derive(Clone, Debug)]
struct Spoil {
    nth: usize,
    changes: Vec<(usize, u8)>,
    cut: Option<usize>,
    /// Checksums made good again: the fields themselves are hostile, not only damaged.
    fixed: bool,
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let changes = prop::collection::vec((0usize..120, any::<u8>()), 1..5);
    (0usize..200, changes, prop::option::of(0usize..100), any::<bool>())
        .prop_map(|(nth, changes, cut, fixed)| Spoil { nth, changes, cut, fixed })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_panic_nothing(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..60),
        ether in any::<bool>(),
    ) {
        let mode = if ether { ethernet } else { options };
        let mut net = Net::new([mode(A), mode(B)], CLEAN, 1);
        net.stacks[B].listen(Family::V4.at(B, 80), 4);
        for mut packet in packets {
            net.inject(B, &packet);
            // The same, past the first checks.
            if ether && packet.len() > 14 {
                packet[..6].copy_from_slice(&MACS[B].0);
                packet[12] = if packet[13] & 1 == 0 { 0x08 } else { 0x86 };
                packet[13] = if packet[12] == 0x86 { 0xdd } else { [0, 6][usize::from(packet[13] >> 7)] };
                net.inject(B, &packet);
            } else if packet.len() >= 40 {
                packet[0] = 0x45;
                let len = packet.len() as u16;
                packet[2..4].copy_from_slice(&len.to_be_bytes());
                packet[6..8].fill(0);
                packet[9] = [1, 6, 17][usize::from(packet[9]) % 3];
                packet[12..20].copy_from_slice(&[198, 18, 0, 1, 198, 18, 0, 2]);
                fix_ipv4(&mut packet);
                net.inject(B, &packet);
                packet[9] = protocol::TCP;
                fix_ipv4(&mut packet);
                fix_tcp(&mut packet);
                net.inject(B, &packet);
            }
        }
        net.run(SECOND);
    }

    /// Damaged packets beside the good ones: the checksums keep them out, both streams arrive as they were.
    #[test]
    fn damaged_packets_change_no_stream(spoils in prop::collection::vec(spoil(), 1..20), v6 in any::<bool>()) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut net = Net::new([options(A), options(B)], CLEAN, 1);
        net.log = Some(Vec::new());
        let (client, server, _) = net.connected(family);
        let (mut a, mut b) = (Pump::new(A, client, 60_000), Pump::new(B, server, 60_000));
        let done = net.until(60 * SECOND, |net| {
            a.turn(net);
            b.turn(net);
            let log = net.log.clone().unwrap_or_default();
            for s in spoils.iter().filter(|s| !s.fixed) {
                let Some((from, packet)) = log.get(s.nth % log.len().max(1)) else { continue };
                let mut packet = packet.clone();
                // One byte: two changes may cancel each other out in a checksum of sixteen bits.
                let (at, value) = s.changes[0];
                let at = at % packet.len();
                packet[at] ^= value.max(1);
                packet.truncate(s.cut.map_or(packet.len(), |cut| packet.len() - cut.min(packet.len())));
                net.inject(1 - *from, &packet);
            }
            a.ended && b.ended
        });
        prop_assert!(done);
        prop_assert_eq!((a.received, b.received), (60_000, 60_000));
    }

    /// Segments with good checksums and hostile fields: what they carry may be believed, as no checksum speaks
    /// against it, but nothing panics and everything ends.
    #[test]
    fn hostile_fields_panic_nothing(spoils in prop::collection::vec(spoil(), 1..40), v6 in any::<bool>()) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut net = Net::new([options(A), options(B)], CLEAN, 1);
        net.log = Some(Vec::new());
        let (client, server, _) = net.connected(family);
        let mut buffer = [0; 4096];
        for s in &spoils {
            let _ = net.stacks[A].send(client, &[1; 3_000]);
            let _ = net.stacks[B].send(server, &[2; 3_000]);
            let log = net.log.clone().unwrap_or_default();
            let (from, packet) = &log[s.nth % log.len()];
            let mut packet = packet.clone();
            let start = if v6 { 40 } else { 20 };
            for (at, value) in &s.changes {
                let at = start + 4 + at % (packet.len() - start - 4);
                packet[at] = *value;
            }
            fix_tcp(&mut packet);
            net.inject(1 - *from, &packet);
            net.run(20 * MS);
            while let Ok(Some(1..)) = net.stacks[A].recv(client, &mut buffer) {}
            while let Ok(Some(1..)) = net.stacks[B].recv(server, &mut buffer) {}
        }
        net.stacks[A].close(client);
        net.stacks[B].close(server);
        net.run(3_000 * SECOND);
        prop_assert_eq!(net.connections(), [0, 0]);
    }
}
