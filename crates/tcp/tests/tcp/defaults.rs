//! What Linux does where the RFCs leave a choice, and the switch for it: PSH, immediate and delayed
//! acknowledgements, the initial window.

use bypath_tcp::Config;
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, Sent, ms, plain, ranges};

/// Nothing waits for an acknowledgement.
fn eager() -> Config {
    Config { nodelay: true, ..plain() }
}

fn pushed(sent: &[Sent]) -> Vec<bool> {
    sent.iter().map(|s| s.flags.contains(TcpFlags::PSH)).collect()
}

#[test]
fn the_last_segment_of_a_write_is_pushed() {
    let mut s = Script::open(eager());
    let sent = s.write(3_500);
    assert_eq!(ranges(&sent[3..]), [(3_000, 500)]);
    assert_eq!(pushed(&sent), [false, false, false, true]);
}

#[test]
fn each_write_is_pushed_by_its_own_end_though_they_wait_together() {
    let mut s = Script::open(eager());
    s.answer(Seg::ack(0, 0).window(0));
    assert_eq!(s.write(2_000), []);
    assert_eq!(s.write(2_000), []);
    assert_eq!(s.write(500), []);
    let sent = s.answer(Seg::ack(0, 0).window(20_000));
    assert_eq!(ranges(&sent), [(0, 1_000), (1_000, 1_000), (2_000, 1_000), (3_000, 1_000), (4_000, 500)]);
    assert_eq!(pushed(&sent), [false, true, false, true, true]);
}

#[test]
fn a_write_that_was_joined_with_the_next_in_one_segment_is_not_pushed_in_the_middle() {
    let mut s = Script::open(plain());
    assert_eq!(pushed(&s.write(10)), [true]);
    assert_eq!(s.write(700), [], "Nagle");
    let sent = s.write(700);
    assert_eq!((ranges(&sent), pushed(&sent)), (vec![(10, 1_000)], vec![false]));
    let sent = s.answer(Seg::ack(0, 1_010));
    assert_eq!((ranges(&sent), pushed(&sent)), (vec![(1_010, 400)], vec![true]));
}

#[test]
fn a_segment_sent_again_is_pushed_as_it_was() {
    let mut s = Script::open(eager());
    s.write(2_000);
    s.write(1_000);
    s.answer(Seg::ack(0, 1_000));
    let again = s.pass(ms(1_000));
    assert_eq!((again[0].range(), again[0].again), ((1_000, 1_000), true));
    assert_eq!(pushed(&again[..1]), [true]);
    let rest = s.answer(Seg::ack(0, 2_000));
    assert_eq!((ranges(&rest), pushed(&rest)), (vec![(2_000, 1_000)], vec![true]));
}

#[test]
fn a_long_write_is_pushed_once_in_half_of_the_peer_s_window() {
    let mut s = Script::open_to(Config { initial_window_segments: 30, ..plain() }, Seg::syn_ack().mss(1_000));
    s.window = 8_000;
    let mut sent = s.answer(Seg::ack(0, 0));
    s.conn.set_queued(100_000);
    sent.extend(s.poll_all());
    while sent.len() < 24 {
        let end = sent.last().map_or(0, |s| s.seq + i64::from(s.len));
        sent.extend(s.answer(Seg::ack(0, end)));
    }
    // The window of the SYN-ACK was the largest: 60,000.
    assert_eq!(s.conn.peer_window(), 8_000);
    assert!(pushed(&sent).iter().all(|p| !p));
    while sent.len() < 31 {
        let end = sent.last().map_or(0, |s| s.seq + i64::from(s.len));
        sent.extend(s.answer(Seg::ack(0, end)));
    }
    assert!(sent[29].flags.contains(TcpFlags::PSH), "30,000 bytes");
}

#[test]
fn without_the_switch_only_the_end_of_what_is_queued_is_pushed() {
    let mut s = Script::open(Config { push_each_write: false, ..plain() });
    s.answer(Seg::ack(0, 0).window(0));
    s.write(2_000);
    s.write(1_000);
    let sent = s.answer(Seg::ack(0, 0).window(20_000));
    assert_eq!(pushed(&sent), [false, false, true]);
}

#[test]
fn more_writes_than_are_remembered_push_the_last_of_them_at_least() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(0));
    for _ in 0..1_000 {
        s.write(10);
    }
    let sent = s.answer(Seg::ack(0, 0).window(20_000));
    assert_eq!(sent.last().map(Sent::range), Some((9_000, 1_000)));
    assert_eq!(pushed(&sent).last(), Some(&true));
}

#[test]
fn the_first_segments_are_acknowledged_at_once_then_every_second_full_one() {
    let mut s = Script::open(Config { quick_acks: 3, ..plain() });
    let mut acks = Vec::new();
    for n in 0..9 {
        acks.extend(s.answer(Seg::data(1_000 * n, 1_000, 0)).iter().map(|s| s.ack));
    }
    assert_eq!(acks, [1_000, 2_000, 3_000, 5_000, 7_000, 9_000]);
}

#[test]
fn small_segments_are_acknowledged_when_they_are_worth_more_than_a_full_one() {
    let mut s = Script::open_later(plain());
    let mut at = 0;
    assert_eq!(s.answer(Seg::data(0, 1_000, 0)), []);
    assert_eq!(s.answer(Seg::data(1_000, 1_000, 0)).len(), 1);
    at += 2_000;
    for _ in 0..5 {
        assert_eq!(s.answer(Seg::data(at, 200, 0)), []);
        at += 200;
    }
    assert_eq!(s.answer(Seg::data(at, 200, 0)).len(), 1);
}

#[test]
fn a_lone_segment_is_acknowledged_after_40_ms() {
    let mut s = Script::open_later(plain());
    assert_eq!(s.answer(Seg::data(0, 1_000, 0)), []);
    let sent = s.pass(ms(1_000));
    assert_eq!((sent.len(), sent[0].at), (1, ms(100 + 40)));
}

#[test]
fn every_segment_is_acknowledged_at_once_if_so_wished() {
    let mut s = Script::open_later(Config { ack_every: 1, ..plain() });
    for n in 0..5 {
        assert_eq!(s.answer(Seg::data(7 * n, 7, 0)).len(), 1);
    }
}

#[test]
fn a_peer_whose_segments_have_become_smaller_is_still_acknowledged_every_second_time() {
    let mut s = Script::open_later(plain());
    s.answer(Seg::data(0, 1_000, 0));
    s.answer(Seg::data(1_000, 1_000, 0));
    let mut acks = Vec::new();
    for n in 0..8 {
        let seg = Seg::ack(2_000 + 500 * n, 0).len(500);
        acks.extend(s.answer(seg).iter().map(|s| s.ack - 2_000));
    }
    assert_eq!(acks, [1_000, 2_000, 3_000, 4_000]);
}

#[test]
fn ten_segments_go_out_at_first() {
    let mut s = Script::open(plain());
    assert_eq!(s.write(50_000).len(), 10);
    let mut s = Script::open(Config { initial_window_segments: 3, ..plain() });
    assert_eq!(s.write(50_000).len(), 3);
}
