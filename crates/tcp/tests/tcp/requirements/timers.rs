//! RFC 6298: the retransmission timer. RFC 8985 section 7.3: what goes before it.

use std::time::Duration;

use bypath_tcp::Config;

use crate::script::{OURS, Script, Seg, ms, plain, ranges, with_sack};

const MS: u64 = 1_000_000;

/// One segment, acknowledged a round trip later.
fn round_trip(s: &mut Script, rtt: Duration) {
    s.write(100);
    s.now = s.now + rtt;
    let end = i64::from(s.conn.snd_nxt().offset_from(OURS));
    s.answer(Seg::ack(0, end));
}

#[test]
fn the_variance_is_reckoned_with_the_mean_before_the_sample_changes_it() {
    let mut s = Script::open(plain());
    assert_eq!((s.conn.srtt_ns(), s.conn.rttvar_ns()), (Some(100 * MS), 50 * MS));
    round_trip(&mut s, ms(140));
    // 3/4 of 50 and 1/4 of |100 - 140|; 7/8 of 100 and 1/8 of 140.
    assert_eq!((s.conn.srtt_ns(), s.conn.rttvar_ns()), (Some(105 * MS), 47_500_000));
}

#[test]
fn every_round_trip_gives_a_sample() {
    let mut s = Script::open(plain());
    for _ in 0..10 {
        let before = s.conn.srtt_ns();
        round_trip(&mut s, ms(250));
        assert!(s.conn.srtt_ns() > before);
    }
}

#[test]
fn after_a_lost_syn_data_waits_three_seconds() {
    let mut s = Script::connecting(Config { initial_rto: ms(1_000), ..plain() });
    s.poll();
    assert_eq!(s.pass(ms(1_000)).len(), 1);
    s.answer(Seg::syn_ack().mss(1_000));
    let sent = s.write(100)[0].at;
    assert_eq!(s.pass(ms(2_999)), []);
    assert_eq!(s.pass(ms(1))[0].at - sent, ms(3_000));
}

#[test]
fn no_segment_is_sent_again_before_its_timeout_has_passed() {
    let mut s = Script::open(plain());
    let first = s.write(1_000)[0].at;
    s.pass(ms(200));
    // Sent 200 ms later: the timer that the first one started is not its own.
    let second = s.write(1_000)[0].at;
    s.pass(ms(50));
    s.answer(Seg::ack(0, 1_000));
    let again = s.pass(ms(1_000));
    assert!(again[0].at - second >= ms(300) && again[0].at - first >= ms(300), "{again:?}");
}

#[test]
fn no_second_probe_of_the_tail_before_a_round_trip_was_measured() {
    let mut s = Script::open(with_sack());
    s.write(3_000);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 2_000));
    assert_eq!(ranges(&s.pass(ms(301))), [(2_000, 1_000)]);
    assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (1, 0));
    // The peer had it: the probe is answered, and nothing is measured by Karn's rule.
    s.answer(Seg::ack(0, 3_000).sack(&[(2_000, 3_000)]));
    s.write(3_000);
    assert_eq!(ranges(&s.pass(ms(320))), [(3_000, 1_000)], "by the timer, from the left");
    assert_eq!((s.conn.stats().tail_loss_probes, s.conn.stats().timeouts), (1, 1));
}
