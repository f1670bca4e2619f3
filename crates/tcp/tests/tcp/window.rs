//! Both windows: zero-window probes, silly windows on either side, shrinking, what is advertised and when.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, DropCause, State, Store};

use crate::script::{Script, Seg, ms, plain, ranges};

const RTO: Duration = ms(300);

/// A peer whose window has closed on `queued` bytes that wait.
fn shut(queued: u64) -> Script {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(0));
    assert_eq!(s.write(queued), []);
    s
}

#[test]
fn no_more_is_sent_than_the_window_holds() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(2_500));
    let sent = s.write(10_000);
    assert_eq!(ranges(&sent), [(0, 1_000), (1_000, 1_000)], "500 bytes are not worth a segment");
}

#[test]
fn a_shut_window_is_probed_with_one_byte_at_doubling_intervals() {
    let mut s = shut(5_000);
    let began = ms(100);
    let sent = s.pass(Duration::from_secs(5));
    assert!(sent.iter().all(|t| t.range() == (0, 1) && !t.again));
    let at: Vec<Duration> = sent.iter().map(|t| t.at - began).collect();
    assert_eq!(at, [RTO, RTO * 3, RTO * 7, RTO * 15]);
    assert_eq!(s.conn.stats().window_probes, 4);
    assert_eq!(s.conn.stats().timeouts, 0);
}

#[test]
fn a_window_that_opens_lets_everything_out_at_once() {
    let mut s = shut(3_001);
    s.pass(RTO);
    s.answer(Seg::ack(0, 0).window(0));
    let sent = s.answer(Seg::ack(0, 0).window(10_000));
    assert_eq!(ranges(&sent), [(0, 1), (1, 1_000), (1_001, 1_000), (2_001, 1_000)]);
    assert_eq!(s.conn.stats().fast_recoveries, 0);
}

#[test]
fn a_probe_that_was_taken_is_not_sent_again() {
    let mut s = shut(3_000);
    s.pass(RTO);
    let sent = s.answer(Seg::ack(0, 1).window(10_000));
    assert_eq!(sent[0].range(), (1, 1_000));
}

#[test]
fn a_peer_that_answers_probes_is_waited_for_without_end() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(60), ..plain() });
    s.answer(Seg::ack(0, 0).window(0));
    s.write(1_000);
    for _ in 0..100 {
        let sent = s.pass(Duration::from_secs(30));
        if !sent.is_empty() {
            s.answer(Seg::ack(0, 0).window(0));
        }
    }
    assert_eq!(s.state(), State::Established);
}

#[test]
fn a_peer_that_does_not_answer_probes_is_given_up() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(60), ..plain() });
    s.answer(Seg::ack(0, 0).window(0));
    s.write(1_000);
    s.pass(Duration::from_secs(61));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn a_shut_window_cannot_hold_what_no_application_waits_for() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(60), ..plain() });
    s.answer(Seg::ack(0, 0).window(0));
    s.write(1_000);
    s.close();
    s.conn.orphan(s.now);
    for _ in 0..100 {
        s.pass(Duration::from_secs(1));
        s.answer(Seg::ack(0, 0).window(0));
    }
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn fin_waits_for_a_place_in_the_window_and_probes_for_it() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(500));
    let sent = s.write(500);
    assert_eq!(ranges(&sent), [(0, 500)]);
    assert_eq!(s.close(), []);
    assert_eq!(s.answer(Seg::ack(0, 500).window(0)), []);
    let probe = s.pass(ms(400));
    assert!(probe[0].fin() && probe[0].len == 0);
    s.answer(Seg::ack(0, 501).window(0));
    assert_eq!(s.state(), State::FinWait2);
    assert_eq!(s.pass(Duration::from_secs(600)), [], "and then there is nothing to probe for");
}

#[test]
fn a_small_opening_is_used_only_after_a_while() {
    let mut s = Script::open(plain());
    s.window = 10_000;
    s.answer(Seg::ack(0, 0).window(10_000));
    s.answer(Seg::ack(0, 0).window(0));
    s.write(5_000);
    assert_eq!(s.answer(Seg::ack(0, 0).window(100)), [], "silly window");
    let sent = s.pass(ms(700));
    assert_eq!(ranges(&sent), [(0, 100)], "and yet not for ever");
}

#[test]
fn half_of_the_largest_window_is_worth_a_segment() {
    let mut s = Script::open_to(plain(), Seg::syn_ack().mss(1_000).window(800));
    assert_eq!(ranges(&s.write(5_000)), [(0, 800)]);
    assert_eq!(ranges(&s.answer(Seg::ack(0, 800).window(400))), [(800, 400)]);
}

#[test]
fn a_window_that_shrinks_stops_new_data_and_what_was_sent_is_kept() {
    let mut s = Script::open(plain());
    assert_eq!(s.write(10_000).len(), 10);
    s.answer(Seg::ack(0, 2_000).window(3_000));
    s.conn.set_queued(30_000);
    assert_eq!(s.poll_all(), []);
    let sent = s.answer(Seg::ack(0, 10_000).window(3_000));
    assert_eq!(ranges(&sent), [(10_000, 1_000), (11_000, 1_000), (12_000, 1_000)]);
}

#[test]
fn a_window_that_shrinks_to_nothing_does_not_end_the_connection() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(60), ..plain() });
    s.write(5_000);
    s.answer(Seg::ack(0, 1_000).window(0));
    for _ in 0..50 {
        if !s.pass(Duration::from_secs(10)).is_empty() {
            s.answer(Seg::ack(0, 1_000).window(0));
        }
    }
    assert_eq!(s.state(), State::Established);
    let sent = s.answer(Seg::ack(0, 1_000).window(20_000));
    assert_eq!(sent[0].range(), (1_000, 1_000), "at once, not after the timeout that has grown");
}

#[test]
fn an_older_segment_does_not_bring_back_an_older_window() {
    let mut s = Script::open(plain());
    s.write(2_000);
    s.answer(Seg::ack(100, 1_000).window(5_000));
    s.answer(Seg::ack(0, 0).window(60_000));
    assert_eq!(s.conn.peer_window(), 5_000);
}

#[test]
fn nagle_holds_a_small_segment_while_another_is_outstanding() {
    let mut s = Script::open(plain());
    assert_eq!(ranges(&s.write(10)), [(0, 10)]);
    assert_eq!(s.write(10), []);
    assert_eq!(s.write(10), []);
    assert_eq!(ranges(&s.answer(Seg::ack(0, 10))), [(10, 20)]);
}

#[test]
fn nagle_lets_a_full_segment_go() {
    let mut s = Script::open(plain());
    s.write(10);
    assert_eq!(ranges(&s.write(1_500)), [(10, 1_000)]);
}

#[test]
fn nagle_lets_a_small_segment_follow_full_ones() {
    let mut s = Script::open(plain());
    assert_eq!(ranges(&s.write(1_500)), [(0, 1_000), (1_000, 500)]);
    assert_eq!(s.write(100), [], "a small one waits behind a small one");
}

#[test]
fn strict_nagle_holds_a_small_segment_behind_full_ones() {
    let mut s = Script::open(Config { strict_nagle: true, ..plain() });
    assert_eq!(ranges(&s.write(1_500)), [(0, 1_000)]);
    assert_eq!(ranges(&s.answer(Seg::ack(0, 1_000))), [(1_000, 500)]);
}

#[test]
fn nagle_does_not_hold_the_end_of_the_stream() {
    let mut s = Script::open(plain());
    s.write(10);
    s.conn.set_queued(20);
    assert_eq!(ranges(&s.close()), [(10, 10)]);
}

#[test]
fn nodelay_sends_small_segments_at_once() {
    let mut s = Script::open(Config { nodelay: true, ..plain() });
    assert_eq!(ranges(&s.write(10)), [(0, 10)]);
    assert_eq!(ranges(&s.write(10)), [(10, 10)]);
    s.conn.set_nodelay(false);
    assert_eq!(s.write(10), []);
    s.conn.set_nodelay(true);
    assert_eq!(ranges(&s.poll_all()), [(20, 10)]);
}

#[test]
fn the_window_advertised_is_what_is_left_of_the_buffer() {
    let mut s = Script::open(plain());
    let sent = s.answer(Seg::data(0, 1_000, 0));
    assert_eq!((sent[0].ack, sent[0].window), (1_000, 19_000));
}

#[test]
fn reading_a_little_does_not_move_the_edge() {
    let mut s = Script::open(plain());
    for n in 0..20 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    s.conn.set_receive_space(999);
    assert_eq!(s.poll_all(), []);
    assert_eq!(s.answer(Seg::data(0, 1, 0))[0].window, 0);
}

#[test]
fn a_window_worth_two_segments_is_announced_after_it_was_shut() {
    let mut s = Script::open(plain());
    for n in 0..20 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    s.conn.set_receive_space(1_500);
    assert_eq!(s.poll_all(), []);
    s.conn.set_receive_space(2_000);
    let sent = s.poll_all();
    assert_eq!((sent.len(), sent[0].ack, sent[0].window), (1, 20_000, 2_000));
}

#[test]
fn a_buffer_that_memory_keeps_small_is_announced_when_it_is_empty_again() {
    let mut s = Script::open(plain());
    for n in 0..20 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    // The connection wishes for 20,000 bytes, of which this would not be worth a word.
    s.conn.set_receive_space_of(900, 900);
    assert_eq!(s.poll_all()[0].window, 900);
}

#[test]
fn a_buffer_that_is_half_empty_again_is_announced() {
    let mut s = Script::open_later(plain());
    for n in 0..12 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    s.conn.set_receive_space(17_000);
    assert_eq!(s.poll_all(), []);
    s.conn.set_receive_space(18_000);
    assert_eq!(s.poll_all()[0].window, 18_000);
}

#[test]
fn what_lies_beyond_the_window_is_cut_off() {
    let mut s = Script::open(plain());
    for n in 0..19 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    let out = s.deliver(Seg::data(19_000, 1_500, 0));
    assert_eq!((out.deliver, out.dropped), (1_000, Some(DropCause::OutOfWindow)));
    let out = s.deliver(Seg::data(20_000, 1, 0));
    assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::OutOfWindow)));
    assert_eq!(s.poll_all()[0].window, 0);
}

#[test]
fn a_probe_of_our_shut_window_is_answered_and_its_acknowledgement_counts() {
    let mut s = Script::open(plain());
    for n in 0..20 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    s.write(100);
    let sent = s.answer(Seg::data(20_000, 1, 100));
    assert_eq!(s.conn.acknowledged(), 100);
    assert_eq!((sent[0].ack, sent[0].window), (20_000, 0));
}

#[test]
fn the_scaled_window_is_never_more_than_there_is() {
    let config =
        Config { window_scaling: true, receive_buffer: 1_000_000, tune_receive_buffer: false, ..plain() };
    let mut s = Script::open_to(config, Seg::syn_ack().mss(1_000).scale(0));
    let sent = s.answer(Seg::data(0, 999, 0));
    let shift = 4;
    assert!(u32::from(sent[0].window) << shift <= 999_001);
    assert!(u32::from(sent[0].window) << shift > 998_000);
}

#[test]
fn reassembly_keeps_no_more_than_its_limit() {
    let mut s = Script::open(plain());
    s.conn.set_reassembly_limit(3_000);
    let out = s.deliver(Seg::data(2_500, 1_000, 0));
    assert_eq!(out.store, Some(Store { skip: 0, len: 500, ahead: 2_500 }));
    let out = s.deliver(Seg::data(5_000, 1_000, 0));
    assert_eq!((out.store, out.dropped), (None, Some(DropCause::ReassemblyFull)));
    s.conn.set_reassembly_limit(0);
    assert_eq!(s.deliver(Seg::data(1_000, 10, 0)).store, None);
}

#[test]
fn what_was_stored_is_released_when_the_gap_closes() {
    let mut s = Script::open(plain());
    assert!(s.deliver(Seg::data(1_000, 1_000, 0)).store.is_some());
    assert!(s.deliver(Seg::data(2_000, 500, 0)).store.is_some());
    let out = s.deliver(Seg::data(0, 1_000, 0));
    assert_eq!((out.deliver, out.released), (1_000, 1_500));
    assert_eq!(s.poll_all()[0].ack, 2_500);
}

#[test]
fn an_overlap_with_what_was_delivered_is_skipped() {
    let mut s = Script::open(plain());
    s.deliver(Seg::data(0, 1_000, 0));
    let out = s.deliver(Seg::data(400, 1_000, 0));
    assert_eq!((out.skip, out.deliver), (600, 400));
}
