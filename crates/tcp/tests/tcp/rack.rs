//! Losses found by time (RFC 8985), and by counting where that is switched off (RFC 6675).

use bypath_tcp::{Config, CongestionControl};

use crate::script::{Script, Seg, again, ms, next_offset, out_for_a_while, with_sack};

/// A round trip later all that is out arrives, but for its first segment; returns how long that is waited for
/// before it goes out again, at most so many milliseconds. Then it arrives.
fn patience(s: &mut Script, most: u64) -> Option<u64> {
    // Everything out at one time.
    let una = next_offset(s);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, una));
    let nxt_before = next_offset(s);
    s.now = s.now + ms(100);
    s.deliver(Seg::ack(0, una).sack(&[(una + 1_000, nxt_before)]));
    let first = |sent: &[crate::script::Sent]| again(sent).first() == Some(&(una, 1_000));
    let mut waited = first(&s.poll_all()).then_some(0);
    for n in 1..=most {
        if waited.is_some() {
            break;
        }
        waited = first(&s.pass(ms(1))).then_some(n);
    }
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, nxt_before));
    waited
}

#[test]
fn only_what_was_sent_before_what_arrived_is_lost_though_it_went_out_in_one_burst() {
    let window = Config { congestion: CongestionControl::None, fixed_window: 100_000, ..with_sack() };
    let mut s = Script::open(window);
    assert_eq!(s.write(10_000).len(), 10);
    s.now = s.now + ms(100);
    s.deliver(Seg::ack(0, 0).sack(&[(2_000, 3_000), (4_000, 5_000)]));
    let mut sent = s.poll_all();
    sent.extend(s.pass(ms(30)));
    assert_eq!(again(&sent), [(0, 1_000), (1_000, 1_000), (3_000, 1_000)]);
}

#[test]
fn a_retransmission_that_is_answered_too_soon_does_not_make_the_rest_overdue() {
    let mut s = out_for_a_while(10, with_sack());
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 4_000)]))), [(0, 1_000)]);
    s.now = s.now + ms(1);
    // The first sending has arrived after all.
    assert_eq!(again(&s.answer(Seg::ack(0, 4_000))), []);
    s.now = s.now + ms(1);
    assert_eq!(again(&s.answer(Seg::ack(0, 5_000))), []);
}

#[test]
fn the_echoed_timestamp_tells_that_the_first_sending_was_answered() {
    let mut s = out_for_a_while(10, Config { timestamps: true, undo: false, ..with_sack() });
    let stamp = s.own_stamp() - 100;
    let len = i64::from(s.conn.mss());
    s.deliver(Seg::ack(0, 0).sack(&[(len, 4 * len)]));
    assert_eq!(again(&s.poll_all()), [(0, len as u32)]);
    // Late by more than a round trip, so that the time alone would not tell.
    s.now = s.now + ms(110);
    let peer = s.stamp();
    assert_eq!(again(&s.answer(Seg::ack(0, 4 * len).stamp(peer, stamp))), []);
    let mut s = out_for_a_while(10, Config { timestamps: true, undo: false, ..with_sack() });
    s.deliver(Seg::ack(0, 0).sack(&[(len, 4 * len)]));
    s.poll_all();
    let stamp = s.own_stamp();
    s.now = s.now + ms(110);
    let peer = s.stamp();
    let sent = s.answer(Seg::ack(0, 4 * len).stamp(peer, stamp));
    assert_eq!(again(&sent)[0], (4 * len, len as u32), "the second: what was sent before it had its time");
}

#[test]
fn a_sample_shorter_than_any_before_is_not_taken_from_what_was_sent_twice() {
    let mut s = out_for_a_while(10, Config { timestamps: true, ..with_sack() });
    let len = i64::from(s.conn.mss());
    s.deliver(Seg::ack(0, 0).sack(&[(len, 4 * len)]));
    s.poll_all();
    let srtt = s.conn.srtt_ns();
    // Both sendings in one tick of the timestamps, and the first is answered.
    let (peer, stamp) = (s.stamp(), s.own_stamp());
    s.now = s.now + std::time::Duration::from_micros(20);
    s.answer(Seg::ack(0, 4 * len).stamp(peer, stamp));
    assert_eq!(s.conn.srtt_ns(), srtt);
}

#[test]
fn patience_grows_with_reports_of_duplicates_and_is_short_again_after_sixteen_recoveries() {
    let mut s = Script::open(Config { congestion: CongestionControl::NewReno, ..with_sack() });
    s.write(10_000_000);
    s.now = s.now + ms(100);
    // The path reorders; a first recovery proves needless.
    s.deliver(Seg::ack(0, 0).sack(&[(1_000, 4_000)]));
    assert_eq!(again(&s.poll_all()), [(0, 1_000)]);
    let end = next_offset(&s);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, end).sack(&[(0, 1_000)]));
    assert_eq!(s.conn.stats().spurious_recoveries, 1);
    for n in 0..16 {
        assert_eq!(patience(&mut s, 100), Some(50), "two quarters of the round trip, {n}");
    }
    assert_eq!(patience(&mut s, 100), Some(25));
}

#[test]
fn patience_grows_once_a_round_trip_and_to_one_round_trip_at_most() {
    let mut s = Script::open(with_sack());
    s.write(10_000_000);
    s.now = s.now + ms(100);
    for _ in 0..8 {
        let (una, end) = (s.una(), next_offset(&s));
        s.deliver(Seg::ack(0, una).sack(&[(una + 1_000, end)]));
        let mut sent = s.poll_all();
        sent.extend(s.pass(ms(110)));
        assert_eq!(again(&sent)[0], (una, 1_000));
        let end = next_offset(&s);
        s.now = s.now + ms(100);
        s.answer(Seg::ack(0, end).sack(&[(una, una + 1_000)]));
        s.answer(Seg::ack(0, end).sack(&[(una, una + 1_000)]));
        s.now = s.now + ms(100);
    }
    let longest = patience(&mut s, 200);
    assert!(longest.is_some_and(|n| (80..=130).contains(&n)), "{longest:?}");
}

#[test]
fn a_timeout_takes_for_lost_what_had_its_time_and_not_what_went_out_a_moment_ago() {
    let mut s = Script::open(Config { f_rto: false, ..with_sack() });
    s.write(1_000);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 1_000));
    s.write(3_000);
    // The probe, and nothing is heard. Shortly before the timeout the application writes more.
    s.pass(ms(480));
    s.write(2_000);
    let sent = s.pass(ms(60));
    assert_eq!(s.conn.stats().timeouts, 1);
    assert_eq!(again(&sent), [(1_000, 1_000)]);
    let sent = s.answer(Seg::ack(0, 4_000));
    assert_eq!(again(&sent), [], "the last two are under way");
}

mod by_counting {
    use super::*;

    fn counting() -> Config {
        Config { rack: false, congestion: CongestionControl::NewReno, ..with_sack() }
    }

    #[test]
    fn three_segments_beyond_a_hole_show_it_lost_and_two_do_not_however_long_it_takes() {
        let mut s = out_for_a_while(10, counting());
        s.deliver(Seg::ack(0, 0).sack(&[(1_000, 3_000)]));
        assert_eq!(again(&s.poll_all()), []);
        assert_eq!(again(&s.pass(ms(90))), []);
        assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(1_000, 4_000)]))), [(0, 1_000)]);
    }

    #[test]
    fn three_separate_runs_show_a_loss_however_short_they_are() {
        let mut s = Script::open(Config { nodelay: true, ..counting() });
        for _ in 0..8 {
            s.write(10);
        }
        s.now = s.now + ms(100);
        assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(10, 20), (30, 40)]))), []);
        let sent = s.answer(Seg::ack(0, 0).sack(&[(50, 60), (10, 20), (30, 40)]));
        assert_eq!(again(&sent)[0], (0, 10));
    }

    #[test]
    fn the_last_segment_is_rescued_once_in_a_recovery() {
        let mut s = Script::open(counting());
        s.write(8_000);
        s.now = s.now + ms(100);
        let mut sent = s.answer(Seg::ack(0, 0).sack(&[(1_000, 7_000)]));
        s.now = s.now + ms(50);
        sent.extend(s.answer(Seg::ack(0, 0).sack(&[(1_000, 7_000)])));
        sent.extend(s.answer(Seg::ack(0, 0).sack(&[(1_000, 7_000)])));
        assert_eq!(again(&sent), [(0, 1_000), (7_000, 1_000)]);
        assert_eq!(s.conn.stats().timeouts, 0);
    }
}

mod limited_transmit {
    use super::*;

    #[test]
    fn what_arrived_beyond_a_hole_lets_new_data_out() {
        let mut s = out_for_a_while(10, with_sack());
        let sent = s.answer(Seg::ack(0, 0).sack(&[(1_000, 2_000)]));
        assert_eq!(crate::script::ranges(&sent), [(10_000, 1_000)]);
    }

    #[test]
    fn switched_off_nothing_goes_out_before_recovery() {
        for sack in [true, false] {
            let mut s = out_for_a_while(10, Config { limited_transmit: false, sack, ..with_sack() });
            for n in 1..=2 {
                let seg = Seg::ack(0, 0);
                let sent = s.answer(if sack { seg.sack(&[(1_000, 1_000 * (n + 1))]) } else { seg });
                assert_eq!(sent, [], "{sack}");
            }
        }
    }
}
