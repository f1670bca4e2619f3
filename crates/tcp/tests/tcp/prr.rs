//! Proportional rate reduction (RFC 9937): how much goes out on each acknowledgement of a recovery.

use bypath_tcp::{Config, CongestionControl};

use crate::script::{Script, Seg, again, ms, out_for_a_while, with_sack};

fn reno() -> Config {
    Config { congestion: CongestionControl::NewReno, initial_window_segments: 20, ..with_sack() }
}

/// The first segment is lost, the others arrive one by one. Segments sent on each acknowledgement.
fn one_lost(s: &mut Script) -> Vec<usize> {
    (2..=20).map(|n| s.answer(Seg::ack(0, 0).sack(&[(1_000, 1_000 * n)])).len()).collect()
}

#[test]
fn half_a_segment_goes_out_for_each_that_arrives_all_through_the_round_trip() {
    let mut s = out_for_a_while(20, reno());
    let sent = one_lost(&mut s);
    // Two by limited transmit, the retransmission, and then about every second arrival lets one out: ten of the twenty-two.
    assert_eq!(sent[..3], [1, 1, 1]);
    assert!(sent.iter().all(|&n| n <= 1), "{sent:?}");
    let silent = sent[3..].windows(4).any(|w| w == [0; 4]);
    assert!(!silent, "no long silence at its beginning: {sent:?}");
    let total: usize = sent[3..].iter().sum();
    assert!((7..=9).contains(&total), "{total} of 16: {sent:?}");
    let end = 20_000 + 1_000 * (2 + total as i64);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, end));
    assert_eq!((s.conn.cwnd(), s.conn.ssthresh()), (10_000, 10_000), "and ends where it was to");
}

#[test]
fn switched_off_it_is_silent_for_half_the_round_trip() {
    let mut s = out_for_a_while(20, Config { prr: false, ..reno() });
    let sent = one_lost(&mut s);
    assert!(sent[3..].windows(6).any(|w| w == [0; 6]), "{sent:?}");
}

#[test]
fn when_most_is_lost_the_window_is_not_filled_in_one_burst() {
    let mut s = out_for_a_while(20, reno());
    // Fifteen of twenty are lost: the pipe is far below its target of ten.
    let sent = s.answer(Seg::ack(0, 0).sack(&[(15_000, 20_000)]));
    assert_eq!(again(&sent).len(), 5, "as many as arrived: {sent:?}");
    // Progress without more losses: one more than arrived for each (slow start).
    s.now = s.now + ms(100);
    let sent = s.answer(Seg::ack(0, 1_000).sack(&[(15_000, 20_000)]));
    assert_eq!(sent.len(), 2, "{sent:?}");
}

#[test]
fn a_loss_found_by_the_reordering_timer_is_retransmitted_at_once() {
    let mut s = out_for_a_while(20, reno());
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 2_000)]));
    assert_eq!(again(&s.pass(ms(26))), [(0, 1_000)]);
}
