//! TCP Fast Open (RFC 7413), both sides: between two stacks, and with peers that are played by hand.

use bypath::TcpConfig;
use bypath::by_hand::{StackOptions, TcpPort, TcpSocket};
use bypath_wire::tcp::TcpOptions;

use crate::net::*;
use crate::raw::*;

/// B listens with Fast Open for so many at once.
fn net_with(pending: usize) -> (Net, TcpPort) {
    let mut net = Net::clean();
    let listener = net.stacks[B].listen(Family::V4.at(B, 80), 8);
    net.stacks[B].set_fast_open(listener, pending);
    net.log = Some(Vec::new());
    (net, listener)
}

fn open(net: &mut Net, bytes: &[u8]) -> TcpSocket {
    let (socket, given) = net.stacks[A].connect_with_data(Family::V4.at(B, 80), 0, bytes).unwrap();
    assert_eq!(given, bytes.len());
    socket
}

/// A has a cookie of B's.
fn acquainted(pending: usize) -> (Net, TcpPort) {
    let (mut net, listener) = net_with(pending);
    open(&mut net, b"first");
    net.run(SECOND);
    assert!(net.stacks[B].accept(listener).is_some());
    net.log = Some(Vec::new());
    (net, listener)
}

fn read(net: &mut Net, side: usize, socket: TcpSocket) -> Vec<u8> {
    let mut buffer = [0; 4_096];
    let n = net.stacks[side].recv(socket, &mut buffer).unwrap().unwrap_or(0);
    buffer[..n].to_vec()
}

/// Flags, length of the payload, length of the Fast Open option's cookie.
fn seen(net: &Net) -> Vec<(usize, u16, usize, Option<usize>)> {
    let log = net.log.as_ref().unwrap();
    let read = |(side, packet): &(usize, Vec<u8>)| {
        let (header, n) = bypath_wire::tcp::TcpHeader::parse(&packet[20..]).unwrap();
        let options = TcpOptions::parse(&packet[40..20 + n]).unwrap();
        (*side, header.flags.bits(), packet.len() - 20 - n, options.fast_open.map(|cookie| cookie.len()))
    };
    log.iter().map(read).collect()
}

#[test]
fn the_first_connection_asks_for_a_cookie_and_sends_its_data_after_the_handshake() {
    let (mut net, listener) = net_with(4);
    open(&mut net, b"first");
    net.run(SECOND);
    let seen = seen(&net);
    assert_eq!(seen[0], (A, 0x02, 0, Some(0)));
    assert_eq!(seen[1], (B, 0x12, 0, Some(8)));
    let server = net.stacks[B].accept(listener).unwrap();
    assert_eq!(read(&mut net, B, server), b"first");
    assert_eq!((net.counted(A, "fast_open_sent"), net.counted(B, "fast_open_taken")), (0, 0));
}

#[test]
fn the_second_connection_sends_data_with_the_syn_and_has_the_answer_after_one_round_trip() {
    let (mut net, listener) = acquainted(4);
    let client = open(&mut net, b"question");
    net.run(MS);
    assert_eq!(seen(&net)[0], (A, 0x02, 8, Some(8)));
    // The server reads and answers before the handshake is complete.
    let server = net.stacks[B].accept(listener).unwrap();
    assert_eq!(read(&mut net, B, server), b"question");
    net.stacks[B].send(server, b"answer").unwrap();
    net.run(MS);
    assert_eq!(read(&mut net, A, client), b"answer");
    assert!(net.stacks[A].is_connected(client).unwrap());
    assert_eq!((net.counted(A, "fast_open_sent"), net.counted(B, "fast_open_taken")), (1, 1));
    assert_eq!((net.stacks[A].retransmits(), net.stacks[B].retransmits()), (0, 0));
}

#[test]
fn both_streams_are_whole_whatever_is_lost_of_a_fast_open() {
    for seed in 0..40 {
        let (mut net, listener) = acquainted(4);
        net.wire.loss = 250;
        net.reseed(seed);
        net.log = None;
        let first = stream(0, 0, 3_000);
        let client = open(&mut net, &first);
        let mut server = None;
        let met = net.until(100 * SECOND, |net| {
            server = server.or_else(|| net.stacks[B].accept(listener));
            server.is_some() && net.stacks[A].is_connected(client).unwrap()
        });
        assert!(met, "seed {seed}");
        let mut a = Pump { sent: 3_000, ..Pump::new(A, client, 60_000) };
        let mut b = Pump::new(B, server.unwrap(), 60_000);
        assert!(net.until(600 * SECOND, |net| {
            a.turn(net);
            b.turn(net);
            a.ended && b.ended
        }));
        assert_eq!((a.received, b.received), (60_000, 60_000), "seed {seed}");
        net.stacks[A].close(client);
        net.stacks[B].close(server.unwrap());
        net.run(1_000 * SECOND);
        // The one that asked for the cookie is still there.
        assert_eq!(net.connections(), [1, 1], "seed {seed}");
    }
}

#[test]
fn a_server_grants_and_takes_nothing_unless_its_listener_wants_it() {
    let (mut net, _) = net_with(0);
    open(&mut net, b"first");
    net.run(SECOND);
    assert_eq!(seen(&net)[1], (B, 0x12, 0, None));
}

#[test]
fn a_server_that_has_forgotten_its_key_answers_as_always_and_gives_a_new_cookie() {
    let (mut net, _) = acquainted(4);
    let mut other = Lone::new(&StackOptions { seed: 99, ..options(B) });
    let listener = other.stack.listen(Family::V4.at(B, 80), 8);
    other.stack.set_fast_open(listener, 4);
    std::mem::swap(&mut net.stacks[B], &mut other.stack);
    let client = open(&mut net, b"question");
    net.run(SECOND);
    let seen = seen(&net);
    assert_eq!((seen[0], seen[1]), ((A, 0x02, 8, Some(8)), (B, 0x12, 0, Some(8))));
    let server = net.stacks[B].accept(listener).unwrap();
    assert_eq!(read(&mut net, B, server), b"question");
    assert_eq!((net.counted(A, "fast_open_fallback"), net.counted(B, "fast_open_bad_cookie")), (1, 1));
    assert!(net.stacks[A].is_connected(client).unwrap());
    // And the new one is good.
    open(&mut net, b"again");
    net.run(SECOND);
    assert_eq!(net.counted(B, "fast_open_taken"), 1);
}

#[test]
fn no_more_wait_for_the_end_of_their_handshake_than_the_listener_allows() {
    let (mut net, listener) = acquainted(2);
    for _ in 0..3 {
        open(&mut net, b"data");
    }
    net.poll();
    net.run(MS);
    assert_eq!((net.counted(B, "fast_open_taken"), net.counted(B, "fast_open_limit")), (2, 1));
    net.run(SECOND);
    for _ in 0..3 {
        let server = net.stacks[B].accept(listener).unwrap();
        assert_eq!(read(&mut net, B, server), b"data");
    }
    // The handshakes are complete: there is room again.
    open(&mut net, b"data");
    net.run(SECOND);
    assert_eq!(net.counted(B, "fast_open_taken"), 3);
}

#[test]
fn a_syn_with_data_that_is_not_answered_is_sent_again_plain_and_the_next_connection_is_plain_too() {
    let (mut net, listener) = acquainted(4);
    net.wire.loss = 1_000;
    let client = open(&mut net, b"question");
    net.run(SECOND / 2);
    net.wire.loss = 0;
    net.run(2 * SECOND);
    let seen_now = seen(&net);
    assert_eq!((seen_now[0], seen_now[1]), ((A, 0x02, 8, Some(8)), (A, 0x02, 0, None)));
    let server = net.stacks[B].accept(listener).unwrap();
    assert_eq!(read(&mut net, B, server), b"question");
    assert!(net.stacks[A].is_connected(client).unwrap());
    net.log = Some(Vec::new());
    open(&mut net, b"careful");
    net.run(SECOND);
    assert_eq!(seen(&net)[0], (A, 0x02, 0, None));
}

#[test]
fn switched_off_neither_side_has_the_option() {
    let tcp = TcpConfig { fast_open: false, ..TcpConfig::default() };
    let mut net = Net::new([StackOptions { tcp, ..options(A) }, options(B)], CLEAN, 1);
    net.stacks[B].listen(Family::V4.at(B, 80), 8);
    net.log = Some(Vec::new());
    open(&mut net, b"first");
    net.run(SECOND);
    assert_eq!(seen(&net)[0], (A, 0x02, 0, None));
}

#[test]
fn more_than_fits_into_the_syn_follows_the_handshake() {
    let (mut net, listener) = acquainted(4);
    let all = stream(0, 0, 5_000);
    open(&mut net, &all);
    net.run(SECOND);
    // 1460 less the options: MSS, SACK and timestamps, window scale, and ten bytes of cookie padded to twelve.
    assert_eq!(seen(&net)[0], (A, 0x02, 1_460 - 32, Some(8)));
    let server = net.stacks[B].accept(listener).unwrap();
    let mut got = read(&mut net, B, server);
    got.extend(read(&mut net, B, server));
    assert_eq!(got, all);
}

/// A server by hand that takes `n` bytes of the SYN's data.
fn server_that_takes(n: u32) -> (Lone, Tcp, Vec<Tcp>) {
    let mut lone = Lone::new(&options(B));
    let there = peer(9);
    let cookie = || [7; 8].into_iter().collect();
    for round in 0.. {
        let (socket, _) = lone.stack.connect_with_data(address(there), 4_000 + round, &[5; 100]).unwrap();
        let syn = lone.sent().remove(0);
        assert_eq!((syn.flags, syn.payload.len()), (SYN, if round == 0 { 0 } else { 100 }));
        let taken = if round == 0 { 0 } else { n };
        let mut options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
        options.fast_open = (round == 0).then(cookie);
        let answer = Tcp { port: 4_000 + round, ..Tcp::new(there, SYN_ACK, 9_000, syn.seq + 1 + taken) };
        let sent = lone.give(&answer.options(options));
        assert!(lone.stack.is_connected(socket).unwrap());
        if round == 1 {
            return (lone, syn, sent);
        }
    }
    unreachable!()
}

#[test]
fn what_a_server_does_not_take_of_the_syn_s_data_is_sent_at_once() {
    for taken in [0, 30, 100] {
        let (lone, syn, sent) = server_that_takes(taken);
        let data: Vec<_> = sent.iter().map(|s| (s.seq, s.payload.len())).collect();
        assert_eq!(data, [(syn.seq + 1 + taken, 100 - taken as usize)]);
        let whole = u64::from(taken == 100);
        assert_eq!((lone.counted("fast_open_sent"), lone.counted("fast_open_fallback")), (whole, 1 - whole));
    }
}

#[test]
fn an_acknowledgement_beyond_the_syn_s_data_is_answered_with_reset() {
    let mut lone = Lone::new(&options(B));
    let socket = lone.stack.connect_with_data(address(peer(9)), 4_000, &[5; 100]).unwrap().0;
    let syn = lone.sent().remove(0);
    let reset = lone.answer(&Tcp { port: 4_000, ..Tcp::new(peer(9), SYN_ACK, 9_000, syn.seq + 2) });
    assert_eq!((reset.flags, reset.seq), (RST, syn.seq + 2));
    assert!(!lone.stack.is_connected(socket).unwrap());
}

#[test]
fn the_syn_ack_of_a_fast_open_is_sent_again_and_then_it_is_given_up_and_makes_room() {
    let (mut lone, listener) = Lone::listening(&options(B), 8);
    lone.stack.set_fast_open(listener, 1);
    let ask = TcpOptions { mss: Some(1_460), fast_open: Some(Default::default()), ..TcpOptions::default() };
    let cookie = lone.answer(&Tcp::new(peer(9), SYN, 0, 0).options(ask.clone())).options.fast_open;
    lone.pass(100 * SECOND);
    let syn = Tcp { peer: (peer(9).0, 1_001), ..Tcp::new(peer(9), SYN, 50, 0) };
    let syn = syn.options(TcpOptions { fast_open: cookie, ..ask }).payload(b"data");
    let first = lone.answer(&syn);
    assert_eq!((first.flags, first.ack), (SYN_ACK, 55));
    let again: Vec<_> = lone.pass(100 * SECOND).into_iter().filter(|s| s.flags == SYN_ACK).collect();
    assert_eq!(again.len(), 5);
    assert!(again.iter().all(|s| (s.seq, s.ack) == (first.seq, 55)));
    assert_eq!(lone.stack.connections(), 0);
    assert_eq!(lone.answer(&Tcp { seq: 80, ..syn }).ack, 85, "there is room for another");
}

#[test]
fn an_option_of_impossible_length_or_outside_a_syn_is_as_if_it_were_not_there() {
    for len in [1, 2, 3, 5, 7, 15] {
        let (mut lone, listener) = Lone::listening(&options(B), 8);
        lone.stack.set_fast_open(listener, 4);
        let with = |len| TcpOptions {
            mss: Some(1_460),
            fast_open: Some(std::iter::repeat_n(7, len).collect()),
            ..TcpOptions::default()
        };
        let syn = Tcp::new(peer(9), SYN, 0, 0).options(with(len)).payload(b"data");
        let answer = lone.answer(&syn);
        assert_eq!((answer.flags, answer.ack, answer.options.fast_open), (SYN_ACK, 1, None), "{len}");
        assert_eq!(lone.counted("fast_open_bad_cookie"), 0);
        let ack = Tcp::new(peer(9), ACK, 1, answer.seq + 1).options(TcpOptions { mss: None, ..with(8) });
        assert_eq!(lone.give(&ack), []);
        assert!(lone.stack.accept(listener).is_some(), "{len}");
    }
}

#[test]
fn a_cookie_is_good_for_the_address_that_it_was_given_to_only() {
    let (mut lone, listener) = Lone::listening(&options(B), 8);
    lone.stack.set_fast_open(listener, 4);
    let with = |cookie| TcpOptions { mss: Some(1_460), fast_open: Some(cookie), ..TcpOptions::default() };
    let granted = lone.answer(&Tcp::new(peer(9), SYN, 0, 0).options(with(Default::default())));
    let cookie = granted.options.fast_open.unwrap();
    let ack_of = |lone: &mut Lone, who: u8, cookie| {
        let syn = Tcp { peer: (peer(who).0, 2_000), ..Tcp::new(peer(who), SYN, 50, 0) };
        lone.answer(&syn.options(with(cookie)).payload(b"data")).ack
    };
    let guess = std::iter::repeat_n(7, 8).collect();
    assert_eq!(ack_of(&mut lone, 9, guess), 51, "made up");
    assert_eq!(ack_of(&mut lone, 10, cookie.clone()), 51, "another's");
    let syn = Tcp { peer: (peer(9).0, 2_001), ..Tcp::new(peer(9), SYN, 50, 0) };
    assert_eq!(lone.answer(&syn.options(with(cookie)).payload(b"data")).ack, 55);
    assert_eq!((lone.counted("fast_open_bad_cookie"), lone.counted("fast_open_taken")), (2, 1));
}

#[test]
fn data_of_a_syn_that_comes_again_is_reported_where_it_lies() {
    let (mut lone, listener) = Lone::listening(&options(B), 8);
    lone.stack.set_fast_open(listener, 4);
    let with = |cookie| TcpOptions { fast_open: Some(cookie), ..modern(10) };
    let granted = lone.answer(&Tcp::new(peer(9), SYN, 0, 0).options(with(Default::default())));
    let syn = Tcp { peer: (peer(9).0, 2_000), ..Tcp::new(peer(9), SYN, 50, 0) };
    let syn = syn.options(with(granted.options.fast_open.unwrap())).payload(b"data");
    let syn_ack = lone.answer(&syn);
    assert_eq!(syn_ack.ack, 55);
    let echo = syn_ack.options.timestamps.unwrap().value;
    let ack = Tcp { peer: syn.peer, ..Tcp::new(peer(9), ACK, 55, syn_ack.seq + 1) };
    lone.give(&ack.stamp(11, echo));
    let report = lone.answer(&Tcp { options: modern(12), ..syn }).options.sack;
    let blocks: Vec<_> = report.iter().map(|b| (b.left.0, b.right.0)).collect();
    assert_eq!(blocks, [(51, 55)]);
}
