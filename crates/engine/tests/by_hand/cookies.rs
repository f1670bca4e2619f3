//! SYN cookies at a listener, and what a flood of SYNs does to those who mean it.

use bypath::by_hand::StackOptions;
use bypath::{CookieMode, Instant, TcpConfig};
use bypath_wire::tcp::TcpOptions;

use crate::net::*;
use crate::raw::*;

fn with(syn_cookies: CookieMode) -> StackOptions {
    StackOptions { tcp: TcpConfig { syn_cookies, ..TcpConfig::default() }, ..options(B) }
}

/// Two SYNs that are never heard of again leave no room.
fn under_pressure() -> (Lone, bypath::by_hand::TcpPort) {
    let (mut lone, listener) = Lone::listening(&options(B), 2);
    for n in [200, 201] {
        lone.give(&Tcp::new(peer(n), SYN, 0, 0));
    }
    (lone, listener)
}

#[test]
fn without_room_a_syn_is_answered_and_nothing_of_it_is_kept() {
    let (mut lone, listener) = under_pressure();
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 7_000, 0).options(modern(50)));
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN_ACK, 7_001));
    assert_eq!((lone.stack.half_open(), lone.stack.connections()), (2, 2));
    assert_eq!((lone.counted("syn_cookies_sent"), lone.dropped("syn_queue")), (1, 0));
    lone.now += 300 * MS;
    let echo = syn_ack.options.timestamps.unwrap().value;
    let last = Tcp::new(peer(9), ACK, 7_001, syn_ack.seq + 1).stamp(51, echo).payload(b"with data");
    lone.give(&last);
    let socket = lone.stack.accept(listener).unwrap();
    assert_eq!(lone.counted("syn_cookies_accepted"), 1);
    let mut buffer = [0; 16];
    assert_eq!(lone.stack.recv(socket, &mut buffer).unwrap(), Some(9));
    // The window scale and the MSS were kept in the answer.
    lone.stack.send(socket, &[1; 100_000]).unwrap();
    let sent: usize = lone.sent().iter().map(|s| s.payload.len()).sum();
    assert_eq!(sent, 10 * 1_448);
}

#[test]
fn with_room_nothing_is_a_cookie_and_always_everything_is() {
    let (mut lone, _) = Lone::listening(&options(B), 2);
    lone.give(&Tcp::new(peer(9), SYN, 0, 0));
    assert_eq!((lone.counted("syn_cookies_sent"), lone.stack.half_open()), (0, 1));
    let (mut lone, listener) = Lone::listening(&with(CookieMode::Always), 2);
    lone.handshake(peer(9), 0);
    assert_eq!((lone.counted("syn_cookies_sent"), lone.counted("syn_cookies_accepted")), (1, 1));
    assert!(lone.stack.accept(listener).is_some());
}

#[test]
fn forged_and_stale_acknowledgements_are_refused_and_counted() {
    let (mut lone, listener) = Lone::listening(&with(CookieMode::Always), 2);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 7_000, 0));
    let forged = lone.answer(&Tcp::new(peer(9), ACK, 7_001, syn_ack.seq + 2));
    assert_eq!((forged.flags, forged.seq), (RST, syn_ack.seq + 2));
    assert_eq!(lone.dropped("syn_cookie"), 1);
    lone.now += 100 * SECOND;
    lone.give(&Tcp::new(peer(10), SYN, 7_000, 0));
    lone.now += 21 * SECOND;
    let stale = lone.answer(&Tcp::new(peer(9), ACK, 7_001, syn_ack.seq + 1));
    assert_eq!(stale.flags, RST);
    assert_eq!(lone.dropped("syn_cookie"), 2);
    assert!(lone.stack.accept(listener).is_none());
}

#[test]
fn acknowledgements_are_not_tried_as_cookies_long_after_the_last_one_was_given() {
    let (mut lone, _) = under_pressure();
    lone.give(&Tcp::new(peer(9), SYN, 7_000, 0));
    lone.pass(121 * SECOND);
    assert_eq!(lone.answer(&Tcp::new(peer(9), ACK, 1, 1)).flags, RST);
    assert_eq!((lone.dropped("syn_cookie"), lone.dropped("no_listener")), (0, 1));
}

#[test]
fn a_cookie_finds_the_accept_queue_full_and_may_try_again() {
    let (mut lone, listener) = Lone::listening(&with(CookieMode::Always), 1);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 7_000, 0));
    lone.handshake(peer(10), 0);
    let last = Tcp::new(peer(9), ACK, 7_001, syn_ack.seq + 1).payload(b"x");
    assert_eq!(lone.give(&last), []);
    assert_eq!(lone.dropped("backlog"), 1);
    assert!(lone.stack.accept(listener).is_some());
    assert_eq!(lone.answer(&last).ack, 7_002);
    assert!(lone.stack.accept(listener).is_some());
}

#[test]
fn an_acknowledgement_that_comes_again_after_the_end_does_not_open_the_connection_anew() {
    let (mut lone, listener) = Lone::listening(&with(CookieMode::Always), 2);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 7_000, 0));
    let next = syn_ack.seq + 1;
    let last = Tcp::new(peer(9), ACK, 7_001, next);
    lone.give(&last);
    let socket = lone.stack.accept(listener).unwrap();
    // The peer closes first, so that nothing of it rests in TIME-WAIT here.
    lone.give(&Tcp::new(peer(9), ACK | FIN, 7_001, next));
    lone.stack.close(socket);
    assert_eq!(lone.sent().len(), 1);
    lone.give(&Tcp::new(peer(9), ACK, 7_002, next + 1));
    assert_eq!(lone.stack.connections(), 0);
    for late in [last.clone(), last.payload(b"the first request")] {
        let answer = lone.answer(&late);
        assert_eq!((answer.flags, answer.seq), (RST, next));
    }
    assert_eq!((lone.stack.connections(), lone.dropped("syn_cookie")), (0, 2));
    assert!(lone.stack.accept(listener).is_none());
    // The same peer may come again.
    lone.handshake(peer(9), 90_000);
    assert!(lone.stack.accept(listener).is_some());
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// The `n`th SYN of a flood: sources that have a route and answer nothing.
fn flood_syn(n: u32) -> Tcp {
    let from = (0x0a00_0000 | n.wrapping_mul(2_654_435_761) >> 8, (n % 60_000) as u16 + 1_024);
    let options = if n.is_multiple_of(2) {
        modern(n)
    } else {
        TcpOptions { mss: Some(1_460), ..TcpOptions::default() }
    };
    Tcp::new(from, SYN, n.wrapping_mul(40_503), 0).options(options)
}

/// Moves bytes from A to B while `per_ms` SYNs come to B in every millisecond; returns how long it took, in
/// virtual time.
fn transfer_under(per_ms: u32, bytes: u64) -> (Net, u64, u32) {
    let mut net = Net::clean();
    net.stacks[B].add_gateway("198.18.0.9".parse().unwrap());
    let (client, server, listener) = net.connected(Family::V4);
    let (mut a, mut b) = (Pump::new(A, client, bytes), Pump::new(B, server, 0));
    net.stacks[B].shutdown(server).unwrap();
    let (started, mut sent, mut answered, mut before) = (net.now, 0u32, 0u32, 0);
    while !b.ended {
        for _ in 0..per_ms {
            net.stacks[B].receive(Instant::from_nanos(net.now), &flood_syn(sent).encode());
            sent += 1;
            if sent == 50_000 {
                before = resident_kib();
            }
        }
        // What goes to the flood's sources is answered by nobody.
        net.stacks[B].poll(Instant::from_nanos(net.now));
        let out: Vec<_> = std::iter::from_fn(|| net.stacks[B].transmit()).collect();
        for packet in out {
            if packet[16] == 10 {
                answered += 1;
            } else {
                net.carry(B, packet);
            }
        }
        net.run(MS);
        a.turn(&mut net);
        b.turn(&mut net);
    }
    if per_ms > 0 {
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 2_048, "{grown} KiB more after {sent} SYNs");
        assert!(answered > sent / 10 * 9, "{answered} of {sent} answered");
        // One who means it gets in, in the midst of it.
        let late = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
        assert!(net.until(10 * SECOND, |net| net.stacks[A].is_connected(late).unwrap()));
        net.run(10 * MS);
        assert!(net.stacks[B].accept(listener).is_some());
    }
    assert_eq!(b.received, bytes);
    let took = net.now - started;
    (net, took, sent)
}

#[test]
fn a_million_syns_take_no_memory_and_a_transfer_goes_on_beside_them() {
    const BYTES: u64 = 256 << 20;
    let (_, alone, _) = transfer_under(0, BYTES);
    let per_ms = (1_000_000 * MS / alone) as u32 + 1;
    let (net, flooded, sent) = transfer_under(per_ms, BYTES);
    assert!(sent >= 1_000_000, "{sent}");
    assert!(alone * 10 >= flooded * 9, "{alone} ns alone, {flooded} ns under the flood");
    assert!(net.stacks[B].half_open() <= 8, "the backlog");
    assert!(net.counted(B, "syn_cookies_sent") > 999_000);
    assert_eq!(net.counted(B, "syn_cookies_accepted"), 1);
    assert_eq!(net.stacks[B].retransmits(), net.counted(B, "syn_ack_retrans"));
}
