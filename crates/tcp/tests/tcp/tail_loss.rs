//! Tail loss probes (RFC 8985 section 7). Round trip 100 ms: a probe after 200, a timeout after 300.

use bypath_tcp::Config;

use crate::script::{Script, Seg, again, ms, plain, ranges, with_sack};

#[test]
fn after_two_round_trips_of_silence_the_last_segment_goes_out_again() {
    let mut s = Script::open(with_sack());
    let cwnd = s.conn.cwnd();
    s.write(3_000);
    assert_eq!(s.pass(ms(199)), []);
    assert_eq!(again(&s.pass(ms(2))), [(2_000, 1_000)]);
    assert_eq!(s.conn.cwnd(), cwnd);
    assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (1, 0));
}

#[test]
fn new_data_is_the_better_probe_whatever_the_congestion_window_says() {
    let mut s = Script::open(with_sack());
    assert_eq!(s.write(100_000).len(), 10);
    let sent = s.pass(ms(201));
    assert_eq!((ranges(&sent), sent[0].again), (vec![(10_000, 1_000)], false));
}

#[test]
fn the_peers_window_holds_for_probes_too() {
    let mut s = Script::open(with_sack());
    s.answer(Seg::ack(0, 0).window(3_000));
    assert_eq!(s.write(10_000).len(), 3);
    assert_eq!(again(&s.pass(ms(201))), [(2_000, 1_000)]);
}

#[test]
fn what_nagle_holds_back_is_sent_as_a_probe() {
    let mut s = Script::open(Config { strict_nagle: true, ..with_sack() });
    s.write(2_000);
    assert_eq!(s.write(10), []);
    let sent = s.pass(ms(201));
    assert_eq!((ranges(&sent), sent[0].again), (vec![(2_000, 10)], false));
}

#[test]
fn a_single_segment_is_waited_for_as_long_as_its_acknowledgement_may_be_delayed() {
    let mut s = Script::open(with_sack());
    s.write(1_000);
    assert_eq!(s.pass(ms(299)), []);
    assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
    assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (1, 0), "not beyond the timeout");
}

#[test]
fn the_silence_counts_from_the_last_sending() {
    let mut s = Script::open(Config { nodelay: true, ..with_sack() });
    s.write(2_000);
    s.pass(ms(80));
    s.write(500);
    assert_eq!(s.pass(ms(199)), []);
    assert_eq!(again(&s.pass(ms(2))), [(2_000, 500)]);
}

#[test]
fn one_probe_and_then_the_timeout() {
    let mut s = Script::open(with_sack());
    s.write(3_000);
    s.pass(ms(201));
    assert_eq!(s.pass(ms(298)), []);
    assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
    assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (1, 1));
}

#[test]
fn the_answer_to_a_probe_shows_what_else_of_the_tail_is_lost() {
    let mut s = Script::open(with_sack());
    s.write(5_000);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 2_000));
    let mut sent = s.pass(ms(201));
    s.now = s.now + ms(99);
    sent.extend(s.answer(Seg::ack(0, 2_000).sack(&[(4_000, 5_000)])));
    sent.extend(s.pass(ms(30)));
    s.now = s.now + ms(70);
    sent.extend(s.answer(Seg::ack(0, 3_000).sack(&[(4_000, 5_000)])));
    assert_eq!(again(&sent), [(4_000, 1_000), (2_000, 1_000), (3_000, 1_000)]);
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().fast_recoveries), (0, 1));
}

/// The last of three segments is probed for, and then acknowledged.
fn probed(answer: Seg) -> Script {
    let mut s = Script::open(with_sack());
    s.write(3_000);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 2_000));
    // A single segment: as long as the timeout.
    assert_eq!(again(&s.pass(ms(301))), [(2_000, 1_000)]);
    s.answer(answer);
    s.write(3_000);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 6_000));
    s
}

#[test]
fn a_probe_that_repaired_a_loss_reduces_the_window() {
    let mut s = probed(Seg::ack(0, 3_000));
    assert_eq!(s.conn.stats().tail_loss_recoveries, 1);
    assert!(s.conn.ssthresh() < 10_000);
    let ssthresh = s.conn.ssthresh();
    s.write(1_000);
    s.answer(Seg::ack(0, 7_000));
    assert_eq!(s.conn.ssthresh(), ssthresh, "once");
}

#[test]
fn a_probe_that_the_peer_got_for_the_second_time_does_not() {
    let s = probed(Seg::ack(0, 3_000).sack(&[(2_000, 3_000)]));
    assert_eq!(s.conn.stats().tail_loss_recoveries, 0);
    assert_eq!(s.conn.ssthresh(), u32::MAX);
}

#[test]
fn a_probe_of_new_data_says_nothing_of_a_loss() {
    let mut s = Script::open(with_sack());
    s.write(100_000);
    s.pass(ms(201));
    s.answer(Seg::ack(0, 11_000));
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 15_000));
    assert_eq!(s.conn.ssthresh(), u32::MAX);
}

#[test]
fn a_lost_fin_is_probed_for() {
    let mut s = Script::open(with_sack());
    s.write(2_500);
    s.close();
    let sent = s.pass(ms(201));
    assert!(sent[0].fin() && sent[0].again, "{sent:?}");
}

#[test]
fn no_probe_without_sack_nor_when_switched_off() {
    for config in
        [plain(), Config { tail_loss_probe: false, ..with_sack() }, Config { rack: false, ..with_sack() }]
    {
        let mut s = Script::open(config);
        s.write(3_000);
        assert_eq!(s.pass(ms(299)), []);
        assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
        assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (0, 1));
    }
}

/// Five segments out, all but the first arrive, and it goes out again.
fn recovering() -> Script {
    let mut s = Script::open(with_sack());
    s.write(5_000);
    s.now = s.now + ms(100);
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 5_000)]))), [(0, 1_000)]);
    s
}

#[test]
fn a_silent_recovery_is_probed_with_its_first_segment_and_once() {
    let mut s = recovering();
    assert_eq!(s.pass(ms(199)), []);
    assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
    assert_eq!(s.conn.stats().timeouts, 0);
    assert_eq!(s.pass(ms(298)), []);
    assert_eq!(again(&s.pass(ms(2))), [(0, 1_000)]);
    assert_eq!(s.conn.stats().timeouts, 1);
}

#[test]
fn a_lost_acknowledgement_of_the_retransmission_costs_no_timeout_and_proves_no_haste() {
    let mut s = recovering();
    let ssthresh = s.conn.ssthresh();
    s.pass(ms(201));
    s.now = s.now + ms(99);
    s.answer(Seg::ack(0, 5_000).sack(&[(0, 1_000)]));
    let stats = s.conn.stats();
    assert_eq!((stats.timeouts, stats.spurious_recoveries), (0, 0));
    assert_eq!(s.conn.ssthresh(), ssthresh, "what was sent again first was needed, as far as anybody knows");
}
