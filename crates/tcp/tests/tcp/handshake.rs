//! Opening: what the SYNs carry, what follows from the peer's, and openings that fail.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, Events, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, ms, plain, ranges};

#[test]
fn syn_offers_what_is_configured() {
    let mut s = Script::connecting(Config { receive_buffer: 1 << 20, ..Config::default() });
    let syn = s.poll().unwrap();
    assert_eq!(syn.flags, TcpFlags::SYN);
    assert_eq!(syn.options.mss, Some(1_460));
    assert_eq!(syn.options.window_scale, Some(5));
    assert!(syn.options.sack_permitted && syn.options.timestamps.is_some());
    assert_eq!(syn.window, 65_535, "never scaled");
    assert_eq!(s.poll(), None);
}

#[test]
fn syn_offers_nothing_that_is_switched_off() {
    let mut s = Script::connecting(plain());
    let syn = s.poll().unwrap();
    assert_eq!(syn.options.window_scale, None);
    assert!(!syn.options.sack_permitted && syn.options.timestamps.is_none());
}

#[test]
fn syn_ack_offers_only_what_the_syn_did() {
    let mut s = Script::accepting(Config::default(), Seg::syn().mss(1_000).sack_permitted());
    let syn_ack = s.poll().unwrap();
    assert_eq!(syn_ack.flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!((syn_ack.seq, syn_ack.ack), (-1, 0));
    assert!(syn_ack.options.sack_permitted);
    assert_eq!((syn_ack.options.window_scale, syn_ack.options.timestamps), (None, None));
}

#[test]
fn third_segment_establishes_the_listener() {
    let mut s = Script::accepting(plain(), Seg::syn());
    s.poll();
    assert_eq!(s.state(), State::SynReceived);
    s.deliver(Seg::ack(0, 0));
    assert_eq!(s.state(), State::Established);
    assert!(s.events.contains(Events::ESTABLISHED));
}

#[test]
fn data_with_the_third_segment_is_delivered() {
    let mut s = Script::accepting(plain(), Seg::syn());
    s.poll();
    assert_eq!(s.deliver(Seg::data(0, 300, 0)).deliver, 300);
}

#[test]
fn syn_is_sent_again_after_one_second_and_twice_as_long_each_time() {
    let mut s = Script::connecting(plain());
    s.poll();
    let at: Vec<Duration> = s.pass(ms(16_000)).iter().map(|t| t.at).collect();
    assert_eq!(at, [ms(1_000), ms(3_000), ms(7_000), ms(15_000)]);
}

#[test]
fn opening_is_given_up_after_the_connect_timeout() {
    let mut s = Script::connecting(Config { connect_timeout: Duration::from_secs(20), ..plain() });
    s.poll();
    s.pass(ms(19_999));
    assert_eq!(s.state(), State::SynSent);
    s.pass(ms(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
    assert!(s.events.contains(Events::CLOSED));
}

#[test]
fn a_repeated_syn_is_answered_with_the_syn_ack_again() {
    let mut s = Script::accepting(plain(), Seg::syn());
    let first = s.poll().unwrap();
    let again = s.answer(Seg::syn());
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].seq, again[0].flags), (first.seq, first.flags));
    assert!(again[0].again);
}

#[test]
fn a_repeated_syn_ack_is_acknowledged_again() {
    let mut s = Script::open(plain());
    assert_eq!(ranges(&s.answer(Seg::syn_ack())), [(0, 0)]);
}

#[test]
fn the_window_of_a_repeated_syn_ack_is_not_scaled_either() {
    let config = Config { window_scaling: true, ..plain() };
    let mut s = Script::open_to(config, Seg::syn_ack().scale(7).window(5_000));
    s.deliver(Seg::syn_ack().scale(7).window(5_000));
    assert_eq!(s.conn.peer_window(), 5_000);
}

#[test]
fn both_ends_may_open_at_once() {
    let mut s = Script::connecting(plain());
    s.poll();
    let answer = s.answer(Seg::syn());
    assert_eq!(answer[0].flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!(answer[0].seq, -1);
    assert_eq!(s.state(), State::SynReceived);
    s.deliver(Seg::syn_ack());
    assert_eq!(s.state(), State::Established);
    assert!(s.conn.stats().handshake_rtt_ns > 0);
    assert_eq!(s.conn.stats().segs_retrans, 0);
}

#[test]
fn a_peer_that_names_no_mss_gets_536_bytes() {
    let mut s = Script::open_to(plain(), Seg::syn_ack());
    assert_eq!(s.conn.mss(), 536);
    assert_eq!(s.write(536)[0].len, 536);
}

#[test]
fn segments_are_no_larger_than_either_end_can_take() {
    for (peer, expect) in [(900, 900), (1_000, 1_000), (65_535, 1_000)] {
        assert_eq!(Script::open_to(plain(), Seg::syn_ack().mss(peer)).conn.mss(), expect);
    }
}

#[test]
fn an_absurdly_small_mss_is_not_obeyed() {
    for peer in [0, 1, 47] {
        let s = Script::open_to(plain(), Seg::syn_ack().mss(peer));
        assert!(s.conn.mss() >= 36, "{peer}: {}", s.conn.mss());
    }
}

#[test]
fn an_mss_of_65535_on_both_ends_works() {
    let config = Config { mss: 65_535, initial_window_segments: 10, ..plain() };
    let mut s = Script::open(config);
    s.window = 65_535;
    s.deliver(Seg::ack(0, 0));
    assert_eq!(s.write(200_000)[0].len, 65_535);
}

#[test]
fn timestamps_take_their_twelve_bytes_from_the_segment() {
    let s = Script::open(Config { timestamps: true, ..plain() });
    assert_eq!(s.conn.mss(), 988);
}

#[test]
fn ten_segments_go_out_before_the_first_acknowledgement() {
    let mut s = Script::open(plain());
    assert_eq!(s.write(100_000).len(), 10);
}

#[test]
fn large_segments_start_with_14600_bytes() {
    let mut s = Script::open(Config { mss: 4_000, ..plain() });
    let bytes: u32 = s.write(100_000).iter().map(|t| t.len).sum();
    assert_eq!(bytes, 12_000, "as many whole ones as fit");
}

#[test]
fn a_syn_that_was_sent_twice_leaves_a_window_of_one_segment() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.pass(ms(1_100));
    s.deliver(Seg::syn_ack().mss(1_000));
    assert_eq!(ranges(&s.write(5_000)), [(0, 1_000)]);
    assert_eq!(s.conn.srtt_ns(), None, "Karn: no sample");
}

#[test]
fn window_scale_zero_is_agreement_too() {
    let config = Config { window_scaling: true, receive_buffer: 10_000, ..plain() };
    let mut s = Script::accepting(config, Seg::syn().scale(7));
    assert_eq!(s.poll().unwrap().options.window_scale, Some(0));
    s.deliver(Seg::ack(0, 0).window(100));
    assert_eq!(s.conn.peer_window(), 12_800);
}

#[test]
fn a_window_scale_above_14_counts_as_14() {
    let config = Config { window_scaling: true, ..plain() };
    let mut s = Script::open_to(config, Seg::syn_ack().scale(200));
    s.deliver(Seg::ack(0, 0).window(2));
    assert_eq!(s.conn.peer_window(), 2 << 14);
}

#[test]
fn a_scale_that_was_not_offered_is_not_used() {
    let mut s = Script::open_to(plain(), Seg::syn_ack().scale(7));
    s.deliver(Seg::ack(0, 0).window(100));
    assert_eq!(s.conn.peer_window(), 100);
}

#[test]
fn the_window_of_a_syn_is_not_scaled() {
    let config = Config { window_scaling: true, ..plain() };
    let s = Script::open_to(config, Seg::syn_ack().scale(7).window(5_000));
    assert_eq!(s.conn.peer_window(), 5_000);
}

#[test]
fn data_on_a_syn_ack_is_taken_from_its_first_byte() {
    let mut s = Script::connecting(plain());
    s.poll();
    let out = s.deliver(Seg::syn_ack().len(200));
    assert_eq!((out.skip, out.deliver), (0, 200));
    assert_eq!(s.poll().unwrap().ack, 200);
}

#[test]
fn data_on_a_syn_is_left_to_be_sent_again() {
    let mut s = Script::accepting(plain(), Seg::syn().len(100));
    assert_eq!(s.poll().unwrap().ack, 0);
    assert_eq!(s.deliver(Seg::data(0, 100, 0)).deliver, 100);
}

#[test]
fn data_given_before_the_peer_answers_goes_with_the_third_segment() {
    let mut s = Script::connecting(plain());
    s.poll();
    assert_eq!(s.write(100), []);
    let sent = s.answer(Seg::syn_ack());
    assert_eq!(ranges(&sent), [(0, 100)]);
    assert!(sent[0].flags.contains(TcpFlags::ACK));
}

#[test]
fn a_reset_of_our_syn_means_refused() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.deliver(Seg::new(TcpFlags::RST | TcpFlags::ACK, 0, 0));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Refused));
}

#[test]
fn a_reset_that_does_not_acknowledge_our_syn_is_ignored() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.deliver(Seg::rst(0));
    s.deliver(Seg::new(TcpFlags::RST | TcpFlags::ACK, 0, 5));
    assert_eq!(s.state(), State::SynSent);
}

#[test]
fn a_wrong_acknowledgement_in_syn_sent_is_answered_with_reset() {
    let mut s = Script::connecting(plain());
    s.poll();
    let reply = s.deliver(Seg::new(TcpFlags::SYN | TcpFlags::ACK, -1, 7)).reply.unwrap();
    assert_eq!(reply.flags, TcpFlags::RST);
    assert_eq!(s.read(reply).seq, 7);
    assert_eq!(s.state(), State::SynSent);
}

#[test]
fn a_wrong_acknowledgement_in_syn_received_is_answered_with_reset() {
    let mut s = Script::accepting(plain(), Seg::syn());
    s.poll();
    let reply = s.deliver(Seg::ack(0, 9)).reply.unwrap();
    assert_eq!((reply.flags, s.read(reply.clone()).seq), (TcpFlags::RST, 9));
    assert_eq!(s.state(), State::SynReceived);
}

#[test]
fn a_hard_error_ends_an_opening_and_nothing_later() {
    let mut s = Script::connecting(plain());
    s.poll();
    let iss = s.conn.snd_nxt() - 1;
    assert!(!s.conn.on_unreachable(iss + 500, true), "about a segment that is not ours");
    assert!(!s.conn.on_unreachable(iss, false), "soft");
    assert!(s.conn.on_unreachable(iss, true));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Unreachable));

    let mut s = Script::open(plain());
    s.write(100);
    assert!(!s.conn.on_unreachable(s.conn.snd_nxt() - 1, true));
}

#[test]
fn closing_in_syn_sent_aborts() {
    let mut s = Script::connecting(plain());
    s.poll();
    assert_eq!(s.close(), []);
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Aborted));
}

#[test]
fn closing_in_syn_received_sends_fin_once_established() {
    let mut s = Script::accepting(plain(), Seg::syn());
    s.poll();
    assert_eq!(s.close(), []);
    let sent = s.answer(Seg::ack(0, 0));
    assert!(sent[0].fin());
    assert_eq!(s.state(), State::FinWait1);
}
