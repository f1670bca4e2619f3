//! When acknowledgements go out.

use std::time::Duration;

use bypath_tcp::{Config, DropCause};

use crate::script::{Script, Seg, ms, plain, ranges};

#[test]
fn the_first_segments_are_acknowledged_at_once() {
    let mut s = Script::open(Config { quick_acks: 3, ..plain() });
    for n in 0..3 {
        assert_eq!(s.answer(Seg::data(100 * n, 100, 0)).len(), 1);
    }
    assert_eq!(s.answer(Seg::data(300, 100, 0)), []);
}

#[test]
fn a_lone_segment_is_acknowledged_after_forty_milliseconds() {
    let mut s = Script::open_later(plain());
    let at = s.now;
    assert_eq!(s.answer(Seg::data(0, 100, 0)), []);
    assert_eq!(s.conn.next_deadline() - at, ms(40));
    let sent = s.pass(ms(40));
    assert_eq!((sent.len(), sent[0].ack), (1, 100));
}

#[test]
fn every_second_segment_is_acknowledged_at_once() {
    let mut s = Script::open_later(plain());
    for n in 0..5 {
        assert_eq!(s.answer(Seg::data(2_000 * n, 1_000, 0)), []);
        assert_eq!(s.answer(Seg::data(2_000 * n + 1_000, 1_000, 0)).len(), 1);
    }
    assert_eq!(s.pass(Duration::from_secs(10)), []);
}

#[test]
fn a_batch_is_acknowledged_once() {
    let mut s = Script::open_later(plain());
    for n in 0..7 {
        s.deliver(Seg::data(1_000 * n, 1_000, 0));
    }
    let sent = s.poll_all();
    assert_eq!((sent.len(), sent[0].ack), (1, 7_000));
}

#[test]
fn data_of_ours_carries_the_acknowledgement() {
    let mut s = Script::open_later(plain());
    s.deliver(Seg::data(0, 100, 0));
    let sent = s.write(50);
    assert_eq!((sent.len(), sent[0].ack), (1, 100));
    s.answer(Seg::ack(100, 50));
    assert_eq!(s.pass(Duration::from_secs(10)), []);
}

#[test]
fn data_ahead_of_its_turn_is_answered_at_once() {
    let mut s = Script::open_later(plain());
    let sent = s.answer(Seg::data(1_000, 1_000, 0));
    assert_eq!((sent.len(), sent[0].ack), (1, 0));
}

#[test]
fn each_segment_ahead_of_its_turn_gives_a_peer_without_sack_one_duplicate() {
    let mut s = Script::open_later(plain());
    for n in 1..4 {
        s.deliver(Seg::data(1_000 * n, 1_000, 0));
    }
    let sent = s.poll_all();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|t| t.ack == 0 && t.len == 0));
}

#[test]
fn the_closing_of_a_gap_is_acknowledged_at_once() {
    let mut s = Script::open_later(plain());
    s.answer(Seg::data(1_000, 1_000, 0));
    assert_eq!(s.answer(Seg::data(0, 1_000, 0))[0].ack, 2_000);
}

#[test]
fn a_duplicate_is_acknowledged_at_once() {
    let mut s = Script::open_later(plain());
    s.deliver(Seg::data(0, 1_000, 0));
    s.pass(ms(40));
    let out = s.deliver(Seg::data(0, 1_000, 0));
    assert_eq!(out.dropped, Some(DropCause::Duplicate));
    assert_eq!(s.poll_all()[0].ack, 1_000);
}

#[test]
fn a_plain_acknowledgement_is_not_answered() {
    let mut s = Script::open(plain());
    s.write(100);
    assert_eq!(s.answer(Seg::ack(0, 100)), []);
    assert_eq!(s.answer(Seg::ack(0, 100)), []);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_challenged_and_not_used() {
    let mut s = Script::open(plain());
    s.write(100);
    let out = s.deliver(Seg::data(0, 10, 101));
    assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::BadAck)));
    assert_eq!(ranges(&s.poll_all()), [(100, 0)]);
    assert_eq!(s.conn.acknowledged(), 0);
}

#[test]
fn an_acknowledgement_from_long_ago_is_challenged_and_its_data_not_used() {
    let mut s = Script::open_to(plain(), Seg::syn_ack().window(1_000));
    s.window = 1_000;
    s.write(5_000);
    for n in 1..=9 {
        s.answer(Seg::ack(0, 500 * n).window(1_000));
    }
    let una = s.conn.acknowledged() as i64;
    assert!(una > 2_000);
    let out = s.deliver(Seg::data(0, 10, una - 1_001));
    assert_eq!(out.dropped, Some(DropCause::BadAck));
    let out = s.deliver(Seg::data(0, 10, una - 1_000));
    assert_eq!(out.deliver, 10, "an old one within the window is no harm");
}

#[test]
fn an_old_duplicate_still_tells_what_the_peer_has() {
    let mut s = Script::open(plain());
    s.answer(Seg::data(0, 500, 0));
    s.write(100);
    s.answer(Seg::data(0, 500, 100));
    assert_eq!(s.conn.acknowledged(), 100);
}

#[test]
fn a_segment_without_ack_is_not_used() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::new(bypath_wire::tcp::TcpFlags::empty(), 0, 0).len(10));
    assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::NoAck)));
}

#[test]
fn bare_segments_from_nowhere_are_answered_ten_times_a_second_at_most() {
    let mut s = Script::open(plain());
    let answers: usize = (0..100).map(|_| s.answer(Seg::ack(-500, 0)).len()).sum();
    assert_eq!(answers, 10);
    s.pass(ms(1_000));
    assert_eq!(s.answer(Seg::ack(-500, 0)).len(), 1);
}

#[test]
fn an_acknowledgement_from_the_right_edge_of_a_full_window_counts() {
    let mut s = Script::open(plain());
    s.write(100);
    s.answer(Seg::ack(20_000, 100));
    assert_eq!(s.conn.acknowledged(), 100);
}

#[test]
fn acknowledgements_come_from_within_the_peers_window_while_it_is_probed() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(0));
    s.write(1_000);
    s.pass(ms(300));
    let sent = s.answer(Seg::data(0, 1, 0).window(0));
    assert_eq!(sent[0].seq, 0, "from beyond it the peer would answer, and we would, and so on");
}
