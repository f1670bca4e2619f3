//! Urgent data: in-line, with a mark, in both directions.

use bypath_tcp::{Config, Events, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{OURS, Script, Seg, THEIRS, ms, plain};

fn mark(s: &Script) -> Option<i64> {
    s.conn.urgent_mark().map(|mark| i64::from(mark.offset_from(THEIRS)))
}

#[test]
fn urgent_data_is_delivered_in_its_place_with_a_mark_after_it() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::data(0, 10, 0).urgent(4));
    assert_eq!((out.skip, out.deliver, out.dropped), (0, 10, None));
    assert!(out.events.contains(Events::URGENT));
    assert_eq!(mark(&s), Some(4), "the octet that follows the urgent data");
}

#[test]
fn the_mark_is_told_before_the_data_that_it_is_about() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::ack(0, 0).urgent(60_000));
    assert!(out.events.contains(Events::URGENT));
    assert_eq!(mark(&s), Some(60_000), "any length, beyond the window too");
}

#[test]
fn each_advance_of_the_mark_is_told_and_nothing_else() {
    let mut s = Script::open(plain());
    assert!(s.deliver(Seg::data(0, 10, 0).urgent(20)).events.contains(Events::URGENT));
    assert!(!s.deliver(Seg::data(10, 5, 0).urgent(10)).events.contains(Events::URGENT), "the same place");
    assert!(!s.deliver(Seg::data(15, 1, 0).urgent(2)).events.contains(Events::URGENT), "it cannot recede");
    assert!(s.deliver(Seg::data(16, 1, 0).urgent(100)).events.contains(Events::URGENT));
    assert_eq!(mark(&s), Some(116));
}

#[test]
fn a_pointer_to_what_was_received_already_means_nothing() {
    let mut s = Script::open(plain());
    s.deliver(Seg::data(0, 1_000, 0));
    for pointer in [0, 1] {
        let out = s.deliver(Seg::data(999, 2, 0).urgent(pointer));
        assert!(!out.events.contains(Events::URGENT));
    }
    assert_eq!(mark(&s), None);
}

#[test]
fn without_urg_the_pointer_is_not_looked_at() {
    let mut s = Script::open(plain());
    let mut seg = Seg::data(0, 10, 0).urgent(5);
    seg.unset(TcpFlags::URG);
    assert!(!s.deliver(seg).events.contains(Events::URGENT));
    assert_eq!(mark(&s), None);
}

#[test]
fn segments_point_after_the_urgent_data_until_it_is_acknowledged() {
    let mut s = Script::open(Config { nodelay: true, ..plain() });
    s.conn.set_queued(2_500);
    s.conn.set_urgent(1_200);
    let sent = s.poll_all();
    let told: Vec<_> = sent.iter().map(|t| (t.seq, t.flags.contains(TcpFlags::URG), t.urgent)).collect();
    assert_eq!(told, [(0, true, 1_200), (1_000, true, 200), (2_000, false, 0)]);
    let again = s.pass(ms(400));
    assert_eq!((again[0].seq, again[0].urgent), (0, 1_200), "sent again, it says the same");
    s.answer(Seg::ack(0, 1_200));
    s.conn.set_queued(2_600);
    assert!(s.answer(Seg::ack(0, 2_500)).iter().all(|t| !t.flags.contains(TcpFlags::URG)));
}

#[test]
fn urgent_data_is_announced_through_a_shut_window() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(0));
    s.conn.set_queued(100_000);
    s.conn.set_urgent(300);
    let sent = s.poll_all();
    assert_eq!((sent.len(), sent[0].len, sent[0].urgent), (1, 0, 300));
}

#[test]
fn a_mark_further_than_the_field_can_say_is_pointed_towards() {
    let mut s = Script::open(plain());
    s.conn.set_queued(100_000);
    s.conn.set_urgent(90_000);
    assert_eq!(s.poll().map(|t| t.urgent), Some(u16::MAX));
    assert_eq!(s.conn.snd_nxt(), OURS + 1_000);
}

#[test]
fn only_what_was_given_can_be_urgent_and_the_mark_never_recedes() {
    let mut s = Script::open(plain());
    s.conn.set_queued(100);
    s.conn.set_urgent(101);
    s.conn.set_urgent(0);
    assert_eq!(s.poll_all()[0].urgent, 0);
    let mut s = Script::open(plain());
    s.conn.set_queued(100);
    s.conn.set_urgent(60);
    s.conn.set_urgent(50);
    assert_eq!(s.poll_all()[0].urgent, 60);
}

#[test]
fn urg_after_the_peer_s_fin_means_nothing() {
    let mut s = Script::open(plain());
    s.answer(Seg::fin(0, 0));
    assert_eq!(s.state(), State::CloseWait);
    assert!(!s.deliver(Seg::ack(1, 0).urgent(9)).events.contains(Events::URGENT));
}
