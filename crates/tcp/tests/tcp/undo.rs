//! Reductions that answered no loss are taken back: by reports of duplicates, by echoed timestamps, by F-RTO.

use bypath_tcp::{Config, CongestionControl};

use crate::script::{Script, Seg, again, ms, next_offset, out_for_a_while, plain, ranges, with_sack};

#[test]
fn a_recovery_of_which_everything_is_reported_twice_is_taken_back() {
    for congestion in [CongestionControl::Cubic, CongestionControl::NewReno] {
        let mut s = out_for_a_while(10, Config { congestion, prr: false, ..with_sack() });
        s.deliver(Seg::ack(0, 0).sack(&[(2_000, 7_000)]));
        assert_eq!(again(&s.poll_all()).len(), 2);
        let end = next_offset(&s);
        s.answer(Seg::ack(0, end));
        assert!(s.conn.ssthresh() <= 7_000);
        s.answer(Seg::ack(0, end).sack(&[(0, 1_000)]));
        assert_eq!(s.conn.stats().spurious_recoveries, 0, "one of two");
        s.answer(Seg::ack(0, end).sack(&[(1_000, 2_000)]));
        assert_eq!(s.conn.stats().spurious_recoveries, 1);
        assert_eq!((s.conn.cwnd() >= 10_000, s.conn.ssthresh()), (true, u32::MAX), "{congestion:?}");
    }
}

#[test]
fn duplicates_of_what_was_never_sent_again_take_nothing_back() {
    let mut s = out_for_a_while(10, with_sack());
    s.deliver(Seg::ack(0, 0).sack(&[(1_000, 5_000)]));
    s.poll_all();
    let (end, ssthresh) = (next_offset(&s), s.conn.ssthresh());
    s.answer(Seg::ack(0, 3_000));
    // From before the recovery: the network doubles what it carries.
    s.answer(Seg::ack(0, end).sack(&[(-1_000, -500)]));
    assert_eq!((s.conn.ssthresh(), s.conn.stats().spurious_recoveries), (ssthresh, 0));
}

#[test]
fn an_echo_of_the_first_sending_takes_a_recovery_back_at_once() {
    let mut s = out_for_a_while(10, Config { timestamps: true, ..with_sack() });
    let len = i64::from(s.conn.mss());
    let first = s.own_stamp() - 100;
    s.deliver(Seg::ack(0, 0).sack(&[(len, 4 * len)]));
    assert_eq!(again(&s.poll_all()), [(0, len as u32)]);
    s.now = s.now + ms(5);
    let (peer, end) = (s.stamp(), 4 * len);
    s.answer(Seg::ack(0, end).stamp(peer, first));
    assert_eq!(s.conn.stats().spurious_recoveries, 1);
    assert!(s.conn.cwnd() >= 10 * len as u32);
    assert_eq!(s.conn.ssthresh(), u32::MAX);
}

#[test]
fn an_echo_of_what_an_earlier_recovery_sent_again_says_nothing_of_this_one() {
    let config = Config { timestamps: true, initial_window_segments: 10, ..with_sack() };
    let fixed = Config { congestion: CongestionControl::None, fixed_window: 40_000, ..config };
    let mut s = Script::open(fixed);
    let len = i64::from(s.conn.mss());
    s.write(10 * len as u64);
    s.now = s.now + ms(100);
    // The first is lost: a recovery to the end of the ten. Ten more go out in it, and the eleventh is lost, too.
    assert_eq!(again(&s.answer(Seg::ack(0, 0).sack(&[(len, 4 * len)]))), [(0, len as u32)]);
    assert_eq!(s.write(10 * len as u64).len(), 10);
    s.now = s.now + ms(50);
    let early = s.own_stamp();
    let sent = s.answer(Seg::ack(0, 0).sack(&[(11 * len, 15 * len), (len, 10 * len)]));
    assert!(again(&sent).contains(&(10 * len, len as u32)), "{sent:?}");
    // That recovery is over, and another finds that the sixteenth is lost.
    s.now = s.now + ms(50);
    let peer = s.stamp();
    let blocks = [(16 * len, 20 * len), (11 * len, 15 * len)];
    let sent = s.answer(Seg::ack(0, 10 * len).sack(&blocks).stamp(peer, early));
    assert_eq!(again(&sent), [(15 * len, len as u32)]);
    assert_eq!(s.conn.stats().fast_recoveries, 2);
    // What the first sent again arrives, with its stamp.
    s.now = s.now + ms(1);
    let peer = s.stamp();
    s.answer(Seg::ack(0, 15 * len).sack(&[(16 * len, 20 * len)]).stamp(peer, early));
    // The path is not taken to reorder: three segments beyond a hole are enough.
    s.now = s.now + ms(100);
    let peer = s.stamp();
    s.answer(Seg::ack(0, 20 * len).stamp(peer, s.own_stamp() - 100));
    assert_eq!(s.conn.stats().spurious_recoveries, 0);
    s.write(10 * len as u64);
    s.now = s.now + ms(100);
    let sent = s.answer(Seg::ack(0, 20 * len).sack(&[(21 * len, 24 * len)]));
    assert_eq!(again(&sent), [(20 * len, len as u32)]);
}

#[test]
fn a_report_of_what_an_earlier_recovery_sent_again_takes_this_one_not_back() {
    let mut s = Script::open(Config { congestion: CongestionControl::NewReno, prr: false, ..with_sack() });
    s.write(200_000);
    s.now = s.now + ms(100);
    // A recovery to the end of the ten; what is new in it goes out, and of that the first is lost.
    s.deliver(Seg::ack(0, 0).sack(&[(1_000, 10_000)]));
    s.poll_all();
    let end = next_offset(&s);
    assert!(end >= 14_000, "{end}");
    s.now = s.now + ms(50);
    let sent = s.answer(Seg::ack(0, 0).sack(&[(11_000, 14_000), (1_000, 10_000)]));
    assert!(again(&sent).contains(&(10_000, 1_000)), "{sent:?}");
    s.answer(Seg::ack(0, 10_000).sack(&[(11_000, 14_000)]));
    // Another.
    s.now = s.now + ms(100);
    let end = next_offset(&s);
    s.deliver(Seg::ack(0, 10_000).sack(&[(15_000, end), (11_000, 14_000)]));
    s.poll_all();
    let before = s.conn.stats().spurious_recoveries;
    let all = next_offset(&s);
    // The earlier retransmission was in vain, that of this recovery was not.
    s.answer(Seg::ack(0, all).sack(&[(10_000, 11_000)]));
    assert_eq!(s.conn.stats().spurious_recoveries, before);
    assert!(s.conn.ssthresh() < u32::MAX);
}

#[test]
fn an_echo_of_the_second_sending_takes_nothing_back() {
    let mut s = out_for_a_while(10, Config { timestamps: true, ..with_sack() });
    let len = i64::from(s.conn.mss());
    s.deliver(Seg::ack(0, 0).sack(&[(len, 4 * len)]));
    s.poll_all();
    let second = s.own_stamp();
    s.now = s.now + ms(100);
    let (peer, end) = (s.stamp(), next_offset(&s));
    s.answer(Seg::ack(0, end).stamp(peer, second));
    assert_eq!(s.conn.stats().spurious_recoveries, 0);
    assert!(s.conn.ssthresh() < u32::MAX);
}

#[test]
fn a_timeout_that_an_echo_shows_needless_is_taken_back_with_its_doubling() {
    let mut s = out_for_a_while(10, Config { timestamps: true, f_rto: false, ..plain() });
    let len = i64::from(s.conn.mss());
    let first = s.own_stamp() - 100;
    assert_eq!(again(&s.pass(ms(1_000))).len(), 2, "two timeouts");
    let peer = s.stamp();
    let sent = s.answer(Seg::ack(0, len).stamp(peer, first));
    assert_eq!(again(&sent), []);
    assert_eq!((s.conn.stats().timeouts, s.conn.stats().spurious_timeouts), (2, 1));
    assert!(s.conn.cwnd() >= 10 * len as u32);
    let sent = s.pass(ms(2_000));
    assert!(sent[0].at + ms(0) > ms(0) && again(&sent)[0].0 == len);
}

#[test]
fn a_peer_that_reports_duplicates_and_takes_nothing_does_not_shorten_the_timeout() {
    let mut s = out_for_a_while(10, Config { f_rto: false, ..with_sack() });
    let mut timeouts = Vec::new();
    for _ in 0..5 {
        let before = s.conn.stats().timeouts;
        while s.conn.stats().timeouts == before {
            let next = s.conn.next_deadline();
            s.now = next;
            s.conn.on_timer(next);
            for t in s.poll_all().iter().filter(|t| t.again) {
                let all = (0, 10_000);
                s.deliver(Seg::ack(0, 0).sack(&[(t.seq, t.seq + i64::from(t.len)), all]));
            }
        }
        timeouts.push(s.now);
    }
    assert!(s.conn.stats().spurious_timeouts > 1, "{:?}", s.conn.stats());
    let waits: Vec<u64> = timeouts.windows(2).map(|t| t[1].nanos_since(t[0])).collect();
    assert!(waits.windows(2).all(|w| w[1] > w[0] + w[0] / 2), "{waits:?}");
}

#[test]
fn switched_off_nothing_is_taken_back() {
    let mut s = out_for_a_while(10, Config { undo: false, ..with_sack() });
    s.deliver(Seg::ack(0, 0).sack(&[(1_000, 5_000)]));
    s.poll_all();
    let end = next_offset(&s);
    s.answer(Seg::ack(0, end).sack(&[(0, 1_000)]));
    assert_eq!(s.conn.stats().spurious_recoveries, 0);
    assert!(s.conn.ssthresh() < u32::MAX);
}

mod f_rto {
    use super::*;

    #[test]
    fn after_a_timeout_and_an_acknowledgement_new_data_goes_out_first() {
        let mut s = out_for_a_while(10, plain());
        assert_eq!(ranges(&s.pass(ms(300))), [(0, 1_000)]);
        let sent = s.answer(Seg::ack(0, 1_000));
        assert_eq!(ranges(&sent), [(10_000, 1_000), (11_000, 1_000)]);
    }

    #[test]
    fn what_is_acknowledged_without_having_been_sent_again_shows_the_timeout_needless() {
        let mut s = out_for_a_while(10, plain());
        s.pass(ms(300));
        assert_eq!(s.conn.cwnd(), 1_000);
        s.answer(Seg::ack(0, 1_000));
        let sent = s.answer(Seg::ack(0, 2_000));
        assert_eq!(again(&sent), []);
        assert_eq!(s.conn.stats().spurious_timeouts, 1);
        assert_eq!((s.conn.cwnd() >= 10_000, s.conn.ssthresh()), (true, u32::MAX));
        let sent = s.answer(Seg::ack(0, 12_000));
        assert_eq!(again(&sent), []);
    }

    #[test]
    fn a_duplicate_shows_the_loss_to_be_real() {
        let mut s = out_for_a_while(10, plain());
        s.pass(ms(300));
        s.answer(Seg::ack(0, 1_000));
        assert_eq!(again(&s.answer(Seg::ack(0, 1_000))), [(1_000, 1_000)]);
        assert_eq!(s.conn.stats().spurious_timeouts, 0);
    }

    #[test]
    fn with_sack_the_first_sign_of_an_original_is_enough() {
        let mut s = out_for_a_while(10, Config { tail_loss_probe: false, ..with_sack() });
        assert_eq!(again(&s.pass(ms(300))), [(0, 1_000)]);
        s.answer(Seg::ack(0, 0).sack(&[(3_000, 4_000)]));
        assert_eq!(s.conn.stats().spurious_timeouts, 1);
        assert!(s.conn.cwnd() >= 10_000);
    }

    #[test]
    fn with_sack_what_overtakes_shows_the_loss_to_be_real() {
        let mut s = out_for_a_while(10, Config { tail_loss_probe: false, ..with_sack() });
        s.pass(ms(300));
        let sent = s.answer(Seg::ack(0, 1_000));
        assert_eq!(again(&sent), []);
        let sent = s.answer(Seg::ack(0, 1_000).sack(&[(10_000, 11_000)]));
        assert_eq!(again(&sent)[0], (1_000, 1_000));
        assert_eq!(s.conn.stats().spurious_timeouts, 0);
    }

    #[test]
    fn without_new_data_what_is_lost_follows_at_once() {
        let mut s = Script::open(plain());
        s.write(5_000);
        s.pass(ms(300));
        assert_eq!(ranges(&s.answer(Seg::ack(0, 1_000))), [(1_000, 1_000), (2_000, 1_000)]);
    }

    #[test]
    fn without_sack_an_acknowledgement_of_the_retransmission_and_more_proves_nothing() {
        let mut s = out_for_a_while(10, plain());
        s.pass(ms(300));
        // The peer held 1,000..5,000 all along.
        s.answer(Seg::ack(0, 5_000));
        assert_eq!(s.conn.stats().spurious_timeouts, 0);
    }

    #[test]
    fn a_timeout_in_fast_recovery_is_not_doubted() {
        let mut s = out_for_a_while(10, with_sack());
        s.deliver(Seg::ack(0, 0).sack(&[(1_000, 4_000)]));
        s.poll_all();
        s.pass(ms(510));
        assert_eq!(s.conn.stats().timeouts, 1);
        let sent = s.answer(Seg::ack(0, 4_000));
        assert_eq!(again(&sent)[0], (4_000, 1_000));
    }

    #[test]
    fn switched_off_what_is_lost_follows_at_once() {
        let mut s = out_for_a_while(10, Config { f_rto: false, ..plain() });
        s.pass(ms(300));
        assert_eq!(ranges(&s.answer(Seg::ack(0, 1_000))), [(1_000, 1_000), (2_000, 1_000)]);
    }
}
