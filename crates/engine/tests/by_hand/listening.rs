//! Half-open connections and the two queues of a listener: what is kept, for how long, and what happens when
//! there is no more room.

use bypath::by_hand::StackOptions;
use bypath::{CookieMode, TcpConfig};
use bypath_wire::tcp::TcpOptions;

use crate::net::*;
use crate::raw::*;

fn with(tcp: TcpConfig) -> StackOptions {
    StackOptions { tcp, ..options(B) }
}

fn without_cookies() -> StackOptions {
    with(TcpConfig { syn_cookies: CookieMode::Off, ..TcpConfig::default() })
}

#[test]
fn a_syn_ack_is_sent_again_five_times_and_then_the_half_open_connection_is_forgotten() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    let first = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0).options(modern(7)));
    let again = lone.pass(62 * SECOND);
    let seconds: Vec<u64> = again.iter().map(|s| (s.at + MS) / SECOND).collect();
    assert_eq!(seconds, [1, 3, 7, 15, 31]);
    for segment in &again {
        assert_eq!((segment.seq, segment.ack, segment.flags), (first.seq, 5_001, SYN_ACK));
        assert_eq!(segment.options.timestamps.unwrap().echo, 7);
    }
    assert_eq!((lone.stack.half_open(), lone.stack.connections()), (1, 1));
    assert_eq!(lone.pass(2 * SECOND), []);
    assert_eq!((lone.stack.half_open(), lone.stack.connections()), (0, 0));
    assert_eq!((lone.counted("syn_ack_retrans"), lone.counted("half_open_expired")), (5, 1));
    assert_eq!(lone.stack.next_deadline(), None);
}

#[test]
fn a_syn_ack_is_tried_for_three_minutes_where_seven_retries_are_asked_for() {
    let tcp = TcpConfig { syn_ack_retries: 7, ..TcpConfig::default() };
    let (mut lone, _) = Lone::listening(&with(tcp), 4);
    lone.give(&Tcp::new(peer(9), SYN, 0, 0));
    lone.pass(180 * SECOND);
    assert_eq!(lone.stack.half_open(), 1);
    lone.pass(100 * SECOND);
    assert_eq!((lone.stack.half_open(), lone.counted("half_open_expired")), (0, 1));
}

#[test]
fn the_answer_to_a_syn_agrees_to_what_it_offers() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    let answer = lone.answer(&Tcp::new(peer(9), SYN, 0, 0).options(modern(77)));
    assert_eq!(answer.options.mss, Some(1_460));
    assert!(answer.options.sack_permitted && answer.options.window_scale.is_some());
    assert_eq!(answer.options.timestamps.unwrap().echo, 77);
    let answer = lone.answer(&Tcp::new(peer(10), SYN, 0, 0));
    assert_eq!(answer.options, TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
}

#[test]
fn a_repeated_syn_gets_the_same_answer_whatever_options_it_has_now() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    let first = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0).options(modern(7)));
    lone.now += MS;
    let second = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0));
    assert_eq!((second.seq, second.ack, second.flags), (first.seq, first.ack, SYN_ACK));
    assert!(second.options.sack_permitted);
    assert_eq!(lone.stack.half_open(), 1);
}

#[test]
fn data_with_a_syn_that_has_no_cookie_is_left_to_be_sent_again() {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0).payload(b"early"));
    assert_eq!(syn_ack.ack, 5_001);
    lone.give(&Tcp::new(peer(9), ACK, 5_001, syn_ack.seq + 1).payload(b"early"));
    let socket = lone.stack.accept(listener).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(lone.stack.recv(socket, &mut buffer).unwrap(), Some(5));
}

#[test]
fn data_and_fin_with_the_third_segment_reach_the_application() {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0));
    let last = Tcp::new(peer(9), ACK | FIN, 5_001, syn_ack.seq + 1).payload(b"hello");
    assert_eq!(lone.answer(&last).ack, 5_007);
    let socket = lone.stack.accept(listener).unwrap();
    assert_eq!(lone.stack.addresses(socket).unwrap().1, address(peer(9)));
    let mut buffer = [0; 8];
    assert_eq!(lone.stack.recv(socket, &mut buffer).unwrap(), Some(5));
    assert_eq!(lone.stack.recv(socket, &mut buffer).unwrap(), Some(0));
}

#[test]
fn a_reset_ends_a_half_open_connection_only_at_the_very_next_number() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0));
    let challenge = lone.answer(&Tcp::new(peer(9), RST, 5_002, 0));
    assert_eq!((challenge.flags, challenge.ack), (ACK, 5_001));
    assert_eq!(lone.give(&Tcp::new(peer(9), RST, 4_000, 0)), []);
    assert_eq!((lone.stack.half_open(), lone.dropped("tcp_blind_reset")), (1, 1));
    assert_eq!(lone.give(&Tcp::new(peer(9), RST, 5_001, 0)), []);
    assert_eq!(lone.stack.half_open(), 0);
}

#[test]
fn another_syn_from_the_same_place_ends_a_half_open_connection_and_the_next_one_is_answered() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0));
    assert_eq!(lone.give(&Tcp::new(peer(9), SYN, 9_000, 0)), []);
    assert_eq!((lone.stack.half_open(), lone.dropped("tcp_blind_syn")), (0, 1));
    assert_eq!(lone.answer(&Tcp::new(peer(9), SYN, 9_000, 0)).ack, 9_001);
}

#[test]
fn a_wrong_acknowledgement_of_a_syn_ack_is_answered_with_reset_and_the_right_one_still_counts() {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0));
    let reset = lone.answer(&Tcp::new(peer(9), ACK, 5_001, syn_ack.seq + 2));
    assert_eq!((reset.flags, reset.seq), (RST, syn_ack.seq + 2));
    assert!(lone.stack.accept(listener).is_none());
    lone.give(&Tcp::new(peer(9), ACK, 5_001, syn_ack.seq + 1));
    assert!(lone.stack.accept(listener).is_some());
}

#[test]
fn an_old_timestamp_and_a_segment_outside_the_window_do_not_complete_a_handshake() {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    let syn_ack = lone.answer(&Tcp::new(peer(9), SYN, 5_000, 0).options(modern(100)));
    let next = syn_ack.seq + 1;
    let acked = lone.answer(&Tcp::new(peer(9), ACK, 5_001, next).stamp(99, 0));
    assert_eq!((acked.flags, acked.seq, acked.ack), (ACK, next, 5_001));
    let acked = lone.answer(&Tcp::new(peer(9), ACK, 5_001 + 70_000, next).stamp(101, 0));
    assert_eq!((acked.flags, acked.ack), (ACK, 5_001));
    assert_eq!((lone.dropped("tcp_old_timestamp"), lone.dropped("tcp_out_of_window")), (1, 1));
    assert!(lone.stack.accept(listener).is_none());
    assert_eq!(lone.stack.half_open(), 1);
}

#[test]
fn syn_and_fin_in_one_segment_open_nothing() {
    let (mut lone, _) = Lone::listening(&options(B), 4);
    assert_eq!(lone.give(&Tcp::new(peer(9), SYN | FIN, 5_000, 0)), []);
    assert_eq!((lone.stack.half_open(), lone.dropped("syn_fin")), (0, 1));
}

#[test]
fn without_cookies_a_syn_for_which_there_is_no_room_is_dropped() {
    let (mut lone, _) = Lone::listening(&without_cookies(), 2);
    for n in 10..15 {
        lone.give(&Tcp::new(peer(n), SYN, 0, 0));
    }
    assert_eq!((lone.stack.half_open(), lone.dropped("syn_queue")), (2, 3));
}

#[test]
fn half_open_connections_of_a_stack_are_bounded_over_all_listeners() {
    let tcp = TcpConfig { max_half_open: 3, syn_cookies: CookieMode::Off, ..TcpConfig::default() };
    let (mut lone, _) = Lone::listening(&with(tcp), 16);
    lone.stack.listen(Family::V4.at(B, 81), 16);
    for n in 10..14 {
        lone.give(&Tcp::new(peer(n), SYN, 0, 0));
        lone.give(&Tcp { port: 81, ..Tcp::new(peer(n), SYN, 0, 0) });
    }
    assert_eq!((lone.stack.half_open(), lone.dropped("syn_queue")), (3, 5));
}

/// Two connections that nobody accepts fill the queue; a third is half open and acknowledges. Returns its
/// SYN-ACK's sequence number.
fn overflow(lone: &mut Lone) -> (u32, Vec<Tcp>) {
    lone.handshake(peer(10), 0);
    let second = lone.answer(&Tcp::new(peer(11), SYN, 0, 0));
    let third = lone.answer(&Tcp::new(peer(12), SYN, 0, 0));
    lone.give(&Tcp::new(peer(11), ACK, 1, second.seq + 1));
    let sent = lone.give(&Tcp::new(peer(12), ACK, 1, third.seq + 1).payload(b"early"));
    (third.seq, sent)
}

#[test]
fn a_full_accept_queue_ignores_the_end_of_a_handshake_and_the_peer_gets_in_when_there_is_room() {
    let (mut lone, listener) = Lone::listening(&options(B), 2);
    let (iss, sent) = overflow(&mut lone);
    assert_eq!(sent, []);
    assert_eq!((lone.dropped("backlog"), lone.stack.half_open(), lone.stack.connections()), (1, 1, 3));
    // And another SYN is not taken at all.
    assert_eq!(lone.give(&Tcp::new(peer(13), SYN, 0, 0)), []);
    assert_eq!(lone.dropped("backlog"), 2);
    assert!(lone.stack.accept(listener).is_some());
    let again = lone.pass(SECOND + MS);
    assert_eq!(again.iter().map(|s| (s.flags, s.seq)).collect::<Vec<_>>(), [(SYN_ACK, iss)]);
    lone.give(&Tcp::new(peer(12), ACK, 1, iss + 1).payload(b"early"));
    assert!(lone.stack.accept(listener).is_some());
    let third = lone.stack.accept(listener).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(lone.stack.recv(third, &mut buffer).unwrap(), Some(5));
    assert_eq!(lone.stack.half_open(), 0);
}

#[test]
fn a_full_accept_queue_resets_if_that_is_what_the_configuration_says() {
    let options = with(TcpConfig { abort_on_overflow: true, ..TcpConfig::default() });
    let (mut lone, _) = Lone::listening(&options, 2);
    let (iss, sent) = overflow(&mut lone);
    assert_eq!(sent.iter().map(|s| (s.flags, s.seq)).collect::<Vec<_>>(), [(RST, iss + 1)]);
    assert_eq!((lone.stack.half_open(), lone.stack.connections()), (0, 2));
}

#[test]
fn a_half_open_connection_waits_for_its_neighbour_and_goes_when_there_is_none() {
    let mut net = Net::new([ethernet(A), ethernet(B)], CLEAN, 1);
    net.stacks[B].listen(Family::V4.at(B, 80), 4);
    let client = net.stacks[A].connect(Family::V4.at(B, 80), 0).unwrap();
    // A's question and B's answer make both known to each other; the neighbour of this SYN is not.
    let mut frame = MACS[B].0.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend_from_slice(&Tcp::new(peer(77), SYN, 0, 0).encode());
    net.inject(B, &frame);
    assert_eq!(net.stacks[B].half_open(), 1);
    net.run(10 * SECOND);
    assert_eq!((net.stacks[B].half_open(), net.dropped(B, "unreachable")), (0, 1));
    assert!(net.stacks[A].is_connected(client).unwrap());
}

#[test]
fn a_syn_ack_that_waited_for_arp_goes_out_with_the_answer() {
    use bypath_wire::arp::{ArpOperation, ArpPacket};
    let mut net = Net::new([ethernet(A), ethernet(B)], CLEAN, 1);
    net.stacks[B].listen(Family::V4.at(B, 80), 4);
    net.wire.loss = 1_000;
    net.log = Some(Vec::new());
    let mut frame = MACS[B].0.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend_from_slice(&Tcp::new(peer(77), SYN, 0, 0).encode());
    net.inject(B, &frame);
    let asked = net.log.as_mut().unwrap().pop().unwrap().1;
    let (question, _) = (ArpPacket::parse(&asked[14..]).unwrap(), ());
    let reply = ArpPacket {
        operation: ArpOperation::REPLY,
        sender_mac: bypath_wire::ethernet::MacAddr([2, 0, 0, 0, 0, 9]),
        sender_ip: question.target_ip,
        target_mac: MACS[B],
        target_ip: question.sender_ip,
    };
    let mut frame = MACS[B].0.to_vec();
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 9, 8, 6]);
    frame.resize(60, 0);
    reply.emit(&mut frame[14..]);
    net.inject(B, &frame);
    let sent = net.log.as_mut().unwrap().pop().unwrap().1;
    assert_eq!((Tcp::decode(0, &sent[14..]).flags, &sent[..6]), (SYN_ACK, &[2, 0, 0, 0, 0, 9][..]));
}

#[test]
fn an_icmp_error_about_a_syn_ack_ends_the_half_open_connection() {
    use bypath_wire::icmpv4::{self, Icmpv4};
    let (mut lone, _) = Lone::listening(&options(B), 4);
    lone.stack.receive(bypath::Instant::ZERO, &Tcp::new(peer(1), SYN, 5_000, 0).encode());
    lone.stack.poll(bypath::Instant::ZERO);
    let syn_ack = lone.stack.transmit().unwrap();
    let mut wrong = syn_ack.clone();
    wrong[24] ^= 1;
    for (original, left) in [(wrong, 1), (syn_ack, 0)] {
        let error = Icmpv4::DestinationUnreachable {
            code: icmpv4::unreachable::PORT,
            next_hop_mtu: 0,
            original: &original[..28],
        };
        lone.stack.receive(bypath::Instant::ZERO, &crate::datagrams::icmp_v4(A, &error));
        assert_eq!(lone.stack.half_open(), left);
    }
}

#[test]
fn a_listener_that_is_closed_takes_its_half_open_connections_with_it_and_no_other_s() {
    let (mut lone, listener) = Lone::listening(&options(B), 4);
    lone.stack.listen(Family::V4.at(B, 81), 4);
    lone.give(&Tcp::new(peer(9), SYN, 0, 0));
    lone.give(&Tcp { port: 81, ..Tcp::new(peer(9), SYN, 0, 0) });
    lone.stack.close_listener(listener);
    assert_eq!(lone.stack.half_open(), 1);
}

#[test]
fn a_flow_table_without_room_answers_no_syn() {
    let (mut lone, _) = Lone::listening(&StackOptions { max_connections: 1, ..options(B) }, 4);
    lone.handshake(peer(9), 0);
    assert_eq!(lone.give(&Tcp::new(peer(10), SYN, 0, 0)), []);
    assert_eq!(lone.dropped("flow_table"), 1);
}
