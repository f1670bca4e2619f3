//! Selective acknowledgements, sent and acted upon.

use std::time::Duration;

use bypath_tcp::Config;

use crate::script::{Script, Seg, again, ms, with_sack};

/// Ten segments out, a round trip ago.
fn ten_out() -> Script {
    ten_out_with(with_sack())
}

fn ten_out_with(config: Config) -> Script {
    let mut s = Script::open(config);
    assert_eq!(s.write(100_000).len(), 10);
    s.now = s.now + ms(100);
    s
}

#[test]
fn three_segments_beyond_a_hole_retransmit_it() {
    let mut s = ten_out();
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 2_000)]))), []);
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 3_000)]))), []);
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 4_000)]))), [(0, 1_000)]);
    assert_eq!(s.conn.stats().fast_recoveries, 1);
}

#[test]
fn only_the_holes_are_retransmitted() {
    let mut s = ten_out();
    s.deliver(Seg::ack(0, 0).sack(&[(8_000, 10_000), (5_000, 6_000), (1_000, 3_000)]));
    let mut sent = s.poll_all();
    for n in 0..20 {
        s.now = s.now + ms(1);
        sent.extend(s.answer(Seg::ack(n, 0).sack(&[(8_000, 10_000), (5_000, 6_000), (1_000, 3_000)])));
    }
    assert_eq!(again(&sent), [(0, 1_000), (3_000, 1_000), (4_000, 1_000), (6_000, 1_000), (7_000, 1_000)]);
}

#[test]
fn a_late_segment_is_waited_for_a_quarter_of_the_round_trip() {
    let mut s = ten_out();
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 2_000)]))), []);
    assert_eq!(again(&s.pass(ms(24))), []);
    assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
}

#[test]
fn reordering_within_that_time_costs_nothing() {
    let mut s = ten_out();
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 2_000)]));
    s.pass(ms(10));
    s.answer(Seg::ack(0, 2_000));
    let sent = s.pass(ms(100));
    assert_eq!(again(&sent), []);
    assert_eq!(s.conn.stats().fast_recoveries, 0);
}

#[test]
fn a_lost_retransmission_is_noticed_without_a_timeout() {
    let mut s = ten_out();
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 10_000)]))), [(0, 1_000)]);
    let nxt = i64::from(s.conn.snd_nxt().offset_from(crate::script::OURS));
    assert!(nxt > 10_000, "recovery lets new data out");
    s.now = s.now + ms(101);
    let mut sent = s.answer(Seg::ack(0, 0).sack(&[(1_000, nxt)]));
    sent.extend(s.pass(ms(60)));
    assert_eq!(again(&sent)[0], (0, 1_000));
    assert_eq!(s.conn.stats().timeouts, 0);
}

#[test]
fn recovery_ends_when_all_that_was_out_is_acknowledged() {
    let mut s = ten_out();
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 10_000)]));
    let cwnd = s.conn.cwnd();
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 10_000));
    assert!(s.conn.cwnd() <= cwnd + 1_000);
    s.answer(Seg::ack(0, 10_000).sack(&[(11_000, 14_000)]));
    assert_eq!(s.conn.stats().fast_recoveries, 2);
}

#[test]
fn a_timeout_does_not_send_again_what_the_peer_holds() {
    let mut s = ten_out_with(Config { f_rto: false, ..with_sack() });
    s.deliver(Seg::ack(0, 0).sack(&[(1_000, 2_000)]));
    let mut sent = s.pass(ms(1_000));
    sent.extend(s.answer(Seg::ack(0, 2_000)));
    assert!(again(&sent).iter().all(|&(seq, _)| seq != 1_000), "{sent:?}");
    assert!(again(&sent).contains(&(2_000, 1_000)));
}

#[test]
fn a_peer_that_threw_away_what_it_held_gets_it_again() {
    let mut s = ten_out();
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 10_000)]));
    // It acknowledges up to its block and no further: the block is gone.
    s.answer(Seg::ack(0, 1_000));
    let sent = s.pass(Duration::from_secs(3));
    assert!(again(&sent).contains(&(1_000, 1_000)), "{sent:?}");
}

#[test]
fn blocks_that_cannot_be_are_ignored() {
    let mut s = ten_out();
    let bad = [(3_000, 2_000), (9_000, 50_000), (-500, 1_000), (40_000, 41_000)];
    let sent = s.answer(Seg::ack(0, 0).sack(&bad));
    assert_eq!(sent, []);
    assert_eq!(s.pass(ms(99)), [], "not even a reordering timer");
}

#[test]
fn a_hole_is_reported() {
    let mut s = Script::open(with_sack());
    let sent = s.answer(Seg::data(1_000, 1_000, 0));
    assert_eq!(sent[0].ack, 0);
    assert_eq!(sent[0].sack(), [(1_000, 2_000)]);
}

#[test]
fn the_block_that_changed_last_is_reported_first() {
    let mut s = Script::open(with_sack());
    s.answer(Seg::data(1_000, 500, 0));
    s.answer(Seg::data(3_000, 500, 0));
    s.answer(Seg::data(5_000, 500, 0));
    let sent = s.answer(Seg::data(1_500, 500, 0));
    assert_eq!(sent[0].sack(), [(1_000, 2_000), (5_000, 5_500), (3_000, 3_500)]);
}

#[test]
fn four_blocks_fit_and_three_beside_timestamps() {
    for (timestamps, blocks) in [(false, 4), (true, 3)] {
        let mut s = Script::open(Config { timestamps, ..with_sack() });
        let last = (0..6).map(|n| s.answer(Seg::data(1_000 + 2_000 * n, 500, 0))).last().unwrap();
        assert_eq!(last[0].options.sack.len(), blocks);
        assert!(last[0].options.encoded_len() <= 40);
    }
}

#[test]
fn segments_shrink_to_make_room_for_blocks() {
    let mut s = Script::open(with_sack());
    s.deliver(Seg::data(1_000, 500, 0));
    s.deliver(Seg::data(3_000, 500, 0));
    let sent = s.write(5_000);
    assert_eq!(sent[0].len, 1_000 - 20);
    assert_eq!(sent[0].options.encoded_len(), 20);
}

#[test]
fn no_blocks_once_the_holes_are_filled() {
    let mut s = Script::open(with_sack());
    s.answer(Seg::data(1_000, 1_000, 0));
    let sent = s.answer(Seg::data(0, 1_000, 0));
    assert_eq!((sent[0].ack, sent[0].sack()), (2_000, vec![]));
}

#[test]
fn a_duplicate_is_reported_once() {
    let mut s = Script::open(with_sack());
    s.answer(Seg::data(0, 1_000, 0));
    let sent = s.answer(Seg::data(200, 300, 0));
    assert_eq!(sent[0].sack(), [(200, 500)], "RFC 2883");
    assert_eq!(s.answer(Seg::data(1_000, 10, 0))[0].sack(), []);
}

#[test]
fn nothing_is_reported_to_a_peer_that_did_not_ask() {
    let mut s = Script::accepting(with_sack(), Seg::syn());
    s.poll();
    s.deliver(Seg::ack(0, 0));
    assert_eq!(s.answer(Seg::data(1_000, 1_000, 0))[0].sack(), []);
}

#[test]
fn the_window_is_not_cut_twice_for_losses_of_one_flight() {
    let mut s = ten_out();
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 4_000)]));
    let cut = s.conn.ssthresh();
    s.answer(Seg::ack(0, 0).sack(&[(5_000, 10_000), (1_000, 4_000)]));
    s.answer(Seg::ack(0, 4_000).sack(&[(5_000, 10_000)]));
    assert_eq!(s.conn.ssthresh(), cut);
}
