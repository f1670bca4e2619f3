//! Megabytes both ways, intact, whatever the wire does.

use crate::net::*;
use bypath::CongestionControl;
use bypath::by_hand::StackOptions;

fn with_mtu(side: usize, mtu: u32) -> StackOptions {
    StackOptions { mtu, ..ethernet(side) }
}

#[test]
fn a_megabyte_each_way_over_a_clean_wire_needs_no_retransmission() {
    for family in FAMILIES {
        for mode in [options, ethernet] {
            let mut net = Net::new([mode(A), mode(B)], CLEAN, 1);
            exchange(&mut net, family, 1 << 20, 1 << 20);
            assert_eq!((net.stacks[A].retransmits(), net.stacks[B].retransmits()), (0, 0), "{family:?}");
            assert_eq!((net.stacks[A].drops(), net.stacks[B].drops()), (vec![], vec![]));
        }
    }
}

#[test]
fn megabytes_arrive_intact_over_a_bad_wire_whatever_the_seed() {
    for seed in 0..12 {
        for family in FAMILIES {
            let mut net = Net::new([ethernet(A), ethernet(B)], BAD, seed);
            exchange(&mut net, family, 2 << 20, 1 << 20);
            assert!(net.stacks[A].retransmits() > 0);
            assert!(net.corrupted > 10, "the wire has corrupted {} packets", net.corrupted);
            let seen = net.dropped(A, "transport_checksum") + net.dropped(B, "transport_checksum");
            assert!(seen > 0);
        }
    }
}

#[test]
fn one_direction_alone_survives_each_impairment_alone() {
    for (name, wire) in [
        ("loss", Wire { loss: 50, ..CLEAN }),
        ("reordering", Wire { reorder: 300, ..CLEAN }),
        ("duplication", Wire { duplicate: 300, ..CLEAN }),
        ("corruption", Wire { corrupt: 100, ..CLEAN }),
    ] {
        for seed in 0..4 {
            eprintln!("{name}, seed {seed}");
            let mut net = Net::new([options(A), options(B)], wire, seed);
            exchange(&mut net, Family::V4, 1 << 20, 0);
            exchange(&mut net, Family::V6, 0, 1 << 20);
        }
    }
}

#[test]
fn segments_fill_the_smaller_of_the_two_mtus() {
    for (mtus, largest) in
        [([576, 1500], 576), ([1500, 1500], 1500), ([9000, 9000], 9000), ([9000, 1280], 1280)]
    {
        for family in FAMILIES {
            if family == Family::V6 && mtus[0] < 1280 {
                continue;
            }
            let mut net = Net::new([with_mtu(A, mtus[0]), with_mtu(B, mtus[1])], CLEAN, 3);
            net.log = Some(Vec::new());
            exchange(&mut net, family, 300_000, 300_000);
            for side in [A, B] {
                let log = net.log.as_ref().unwrap();
                let most = log.iter().filter(|(from, _)| *from == side).map(|(_, p)| p.len() - 14).max();
                assert_eq!(most, Some(largest), "side {side}, {family:?}");
            }
            net.wire = BAD;
            exchange(&mut net, family, 300_000, 300_000);
        }
    }
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_nothing_is_lost() {
    let mut net = Net::clean();
    let (client, server, _) = net.connected(Family::V4);
    let mut a = Pump::new(A, client, 4 << 20);
    let stalled = net.until(30 * SECOND, |net| {
        a.turn(net);
        false
    });
    assert!(!stalled && a.sent < 2 << 20, "{} bytes went out with nobody reading", a.sent);
    let mut b = Pump::new(B, server, 0);
    net.stacks[B].shutdown(server).unwrap();
    assert!(net.until(120 * SECOND, |net| {
        a.turn(net);
        b.turn(net);
        b.ended
    }));
    assert_eq!(b.received, 4 << 20);
}

#[test]
fn many_connections_at_once_do_not_mix_their_bytes() {
    let mut net = Net::new([ethernet(A), ethernet(B)], BAD, 9);
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 64);
    let mut pumps = Vec::new();
    for _ in 0..40 {
        let socket = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
        pumps.push(Pump::new(A, socket, 100_000));
    }
    let mut accepted = 0;
    let done = net.until(300 * SECOND, |net| {
        while let Some(socket) = net.stacks[B].accept(listener) {
            accepted += 1;
            pumps.push(Pump::new(B, socket, 100_000));
        }
        for pump in &mut pumps {
            pump.turn(net);
        }
        pumps.len() == 80 && pumps.iter().all(|p| p.ended)
    });
    assert!(done, "{accepted} accepted, {pumps:?}");
    assert!(pumps.iter().all(|p| p.received == 100_000));
}

#[test]
fn every_mixture_of_options_and_small_buffers_carries_the_same_bytes() {
    let switch = |n: u64, bit: u32| n >> bit & 1 == 1;
    for n in 0..64 {
        let make = |side: usize, n: u64| {
            let mut o = ethernet(side);
            o.tcp.timestamps = switch(n, 0);
            o.tcp.sack = switch(n, 1);
            o.tcp.window_scaling = switch(n, 2);
            o.tcp.nodelay = switch(n, 3);
            o.tcp.receive_buffer = if switch(n, 4) { 1 << 20 } else { 5_000 };
            o.send_buffer = if switch(n, 5) { 1 << 18 } else { 3_000 };
            o.tcp.congestion =
                if switch(n, 1) { CongestionControl::NewReno } else { CongestionControl::Cubic };
            o
        };
        // The two ends do not agree on what they offer.
        let mut net = Net::new([make(A, n), make(B, n.rotate_right(3) ^ 5)], BAD, n);
        let family = FAMILIES[n as usize % 2];
        exchange(&mut net, family, 120_000, 80_000);
        net.run(400 * SECOND);
        assert_eq!(net.connections(), [0, 0], "mixture {n}");
    }
}
