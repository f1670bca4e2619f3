//! Duplicates are reported (RFC 2883), each of its cases.

use bypath_tcp::Config;

use crate::script::{Script, Seg, ms, with_sack};

fn open() -> Script {
    Script::open(with_sack())
}

#[test]
fn a_duplicate_of_what_was_delivered() {
    let mut s = open();
    s.answer(Seg::data(0, 1_000, 0));
    let sent = s.answer(Seg::data(0, 1_000, 0));
    assert_eq!((sent[0].ack, sent[0].sack()), (1_000, vec![(0, 1_000)]));
}

#[test]
fn a_segment_whose_front_was_delivered() {
    let mut s = open();
    s.answer(Seg::data(0, 1_000, 0));
    let sent = s.answer(Seg::data(500, 1_000, 0));
    assert_eq!((sent[0].ack, sent[0].sack()), (1_500, vec![(500, 1_000)]));
}

#[test]
fn a_duplicate_of_what_is_held_with_the_block_that_holds_it_behind() {
    let mut s = open();
    s.answer(Seg::data(1_000, 1_000, 0));
    s.answer(Seg::data(4_000, 1_000, 0));
    let sent = s.answer(Seg::data(1_200, 300, 0));
    assert_eq!(sent[0].sack(), [(1_200, 1_500), (1_000, 2_000), (4_000, 5_000)]);
}

#[test]
fn a_segment_of_which_a_part_is_held() {
    let mut s = open();
    s.answer(Seg::data(1_000, 1_000, 0));
    let sent = s.answer(Seg::data(1_500, 1_000, 0));
    assert_eq!(sent[0].sack(), [(1_500, 2_000), (1_000, 2_500)]);
}

#[test]
fn of_a_segment_over_several_held_runs_the_first_is_reported() {
    let mut s = open();
    s.answer(Seg::data(1_000, 200, 0));
    s.answer(Seg::data(1_500, 200, 0));
    let sent = s.answer(Seg::data(900, 1_000, 0));
    assert_eq!(sent[0].sack(), [(1_000, 1_200), (900, 1_900)]);
}

#[test]
fn a_segment_that_fills_the_hole_and_brings_what_was_held() {
    let mut s = open();
    s.answer(Seg::data(1_000, 1_000, 0));
    let sent = s.answer(Seg::data(0, 1_500, 0));
    assert_eq!((sent[0].ack, sent[0].sack()), (2_000, vec![(1_000, 1_500)]));
}

#[test]
fn each_duplicate_has_an_acknowledgement_of_its_own_when_several_come_at_once() {
    let mut s = open();
    for n in 0..6 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    s.deliver(Seg::data(0, 1_000, 0));
    s.deliver(Seg::data(2_000, 1_000, 0));
    s.deliver(Seg::data(4_000, 1_000, 0));
    let reports: Vec<_> = s.poll_all().iter().map(|t| t.sack()).collect();
    assert_eq!(reports, [[(0, 1_000)], [(2_000, 3_000)], [(4_000, 5_000)]]);
    assert_eq!(s.conn.stats().dsacks_out, 3);
}

#[test]
fn duplicates_that_adjoin_are_one_report() {
    let mut s = open();
    s.answer(Seg::data(0, 2_000, 0));
    s.deliver(Seg::data(0, 1_000, 0));
    s.deliver(Seg::data(1_000, 1_000, 0));
    let sent = s.poll_all();
    assert_eq!((sent.len(), sent[0].sack()), (1, vec![(0, 2_000)]));
}

#[test]
fn a_report_goes_with_data_which_makes_room_for_it() {
    for timestamps in [false, true] {
        let mut s = Script::open(Config { timestamps, ..with_sack() });
        s.answer(Seg::data(0, 1_000, 0));
        s.deliver(Seg::data(0, 1_000, 0));
        let full = s.conn.mss();
        let sent = s.write(5_000);
        assert_eq!((sent[0].sack(), sent[0].len), (vec![(0, 1_000)], full - 12), "{timestamps}");
        assert_eq!((sent[1].sack(), sent[1].len), (vec![], full));
    }
}

#[test]
fn each_is_reported_once() {
    let mut s = open();
    s.answer(Seg::data(0, 1_000, 0));
    s.answer(Seg::data(0, 1_000, 0));
    assert_eq!(s.answer(Seg::data(1_000, 1_000, 0))[0].sack(), []);
    assert_eq!(s.pass(ms(1_000)), []);
}

#[test]
fn switched_off_nothing_is_reported() {
    let mut s = Script::open(Config { dsack: false, ..with_sack() });
    s.answer(Seg::data(0, 1_000, 0));
    assert_eq!(s.answer(Seg::data(0, 1_000, 0))[0].sack(), []);
}

#[test]
fn a_fin_that_came_early_is_reported_as_held() {
    let mut s = open();
    let sent = s.answer(Seg::fin(1_000, 0));
    assert_eq!(sent[0].sack(), [(1_000, 1_001)]);
    let sent = s.answer(Seg::data(500, 500, 0));
    assert_eq!(sent[0].sack(), [(500, 1_001)]);
    let sent = s.answer(Seg::data(0, 500, 0));
    assert_eq!((sent[0].ack, sent[0].sack()), (1_001, vec![]));
}
