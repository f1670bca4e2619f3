//! Retransmission without SACK: timeouts, three duplicates, what the round trip teaches.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, CongestionControl, State};

use crate::script::{Script, Seg, again, ms, plain, ranges};

/// RTO after a handshake of 100 ms: srtt + max(4 rttvar, 200 ms).
const RTO: Duration = ms(300);

fn reno() -> Config {
    Config { congestion: CongestionControl::NewReno, ..plain() }
}

/// Ten segments out, and then the acknowledgement of the first.
fn ten_out(config: Config) -> Script {
    let mut s = Script::open(config);
    assert_eq!(s.write(100_000).len(), 10);
    s.now = s.now + ms(100);
    s
}

#[test]
fn retransmits_after_rto_and_doubles_it() {
    let mut s = Script::open(plain());
    let first = s.write(500)[0].at;
    let again = s.pass(Duration::from_secs(5));
    assert!(again.iter().all(|t| t.range() == (0, 500) && t.again));
    let at: Vec<Duration> = again.iter().map(|t| t.at - first).collect();
    assert_eq!(at, [RTO, RTO * 3, RTO * 7, RTO * 15]);
    assert_eq!(s.conn.stats().timeouts, 4);
}

#[test]
fn the_timeout_stops_growing_at_its_upper_bound() {
    let mut s = Script::open(Config { max_rto: Duration::from_secs(2), ..plain() });
    s.write(500);
    let at: Vec<Duration> = s.pass(Duration::from_secs(60)).iter().map(|t| t.at).collect();
    assert_eq!(at[at.len() - 1] - at[at.len() - 2], Duration::from_secs(2));
}

#[test]
fn karn_the_timeout_stays_doubled_until_something_sent_once_is_acknowledged() {
    let mut s = Script::open(plain());
    s.write(500);
    s.pass(RTO * 3);
    let srtt = s.conn.srtt_ns();
    s.answer(Seg::ack(0, 500));
    assert_eq!(s.conn.srtt_ns(), srtt, "no sample from what was sent twice");
    let sent = s.write(500)[0].at;
    assert_eq!(s.pass(RTO * 4)[0].at - sent, RTO * 4);

    let mut s = Script::open(plain());
    s.write(500);
    s.pass(RTO * 3);
    s.answer(Seg::ack(0, 500));
    s.write(500);
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, 1_000));
    let sent = s.write(500)[0].at;
    let again = s.pass(RTO)[0].at - sent;
    assert!(again <= RTO, "a sample ends the backoff: {again:?}");
}

#[test]
fn an_acknowledgement_restarts_the_timer() {
    let mut s = Script::open(plain());
    s.write(3_000);
    s.pass(ms(250));
    s.answer(Seg::ack(0, 1_000));
    assert_eq!(s.pass(ms(250)), [], "250 ms later than the first sending's timeout");
    assert_eq!(s.pass(ms(250))[0].range(), (1_000, 1_000));
}

#[test]
fn nothing_outstanding_means_no_timer() {
    let mut s = Script::open(plain());
    s.write(500);
    s.now = s.now + ms(50);
    s.answer(Seg::ack(0, 500));
    assert_eq!(s.pass(Duration::from_secs(1_000)), []);
}

#[test]
fn a_timeout_leaves_a_window_of_one_segment_that_slow_start_opens() {
    let mut s = ten_out(Config { f_rto: false, ..reno() });
    let again = s.pass(RTO);
    assert_eq!(ranges(&again), [(0, 1_000)]);
    assert_eq!(s.conn.cwnd(), 1_000);
    assert_eq!(s.conn.ssthresh(), 5_000);
    assert_eq!(ranges(&s.answer(Seg::ack(0, 1_000))), [(1_000, 1_000), (2_000, 1_000)]);
}

#[test]
fn the_third_duplicate_retransmits_at_once() {
    let mut s = ten_out(reno());
    s.deliver(Seg::ack(0, 1_000));
    s.poll_all();
    for _ in 0..2 {
        let sent = s.answer(Seg::ack(0, 1_000));
        assert!(sent.iter().all(|t| !t.again), "limited transmit sends only new data");
    }
    let third = s.answer(Seg::ack(0, 1_000));
    assert_eq!(third[0].range(), (1_000, 1_000));
    assert!(third[0].again);
    assert_eq!(s.conn.stats().fast_recoveries, 1);
}

#[test]
fn fast_recovery_halves_what_was_in_flight() {
    let mut s = ten_out(reno());
    for _ in 0..3 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    assert_eq!(s.conn.ssthresh(), 5_000);
    assert_eq!(s.conn.cwnd(), 5_000);
}

#[test]
fn cubic_keeps_seven_tenths() {
    let mut s = ten_out(plain());
    for _ in 0..3 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    assert_eq!(s.conn.cwnd(), 7_000);
}

#[test]
fn further_duplicates_let_new_data_out() {
    let mut s = ten_out(reno());
    for _ in 0..3 {
        s.deliver(Seg::ack(0, 0));
    }
    assert_eq!(ranges(&s.poll_all()), [(0, 1_000)]);
    let mut fresh = Vec::new();
    for _ in 0..6 {
        fresh.extend(s.answer(Seg::ack(0, 0)));
    }
    assert_eq!(ranges(&fresh), [(10_000, 1_000), (11_000, 1_000), (12_000, 1_000), (13_000, 1_000)]);
}

#[test]
fn a_partial_acknowledgement_retransmits_the_next_hole_and_stays_in_recovery() {
    let mut s = ten_out(reno());
    for _ in 0..9 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    let sent = s.answer(Seg::ack(0, 4_000));
    assert_eq!(sent[0].range(), (4_000, 1_000));
    assert!(sent[0].again);
    assert_eq!(s.conn.stats().fast_recoveries, 1);
}

#[test]
fn a_full_acknowledgement_ends_recovery_at_half_the_window() {
    let mut s = ten_out(reno());
    for _ in 0..9 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    let nxt = s.conn.snd_nxt().offset_from(crate::script::OURS);
    s.answer(Seg::ack(0, i64::from(nxt)));
    assert_eq!(s.conn.cwnd(), 5_000);
    for _ in 0..3 {
        s.deliver(Seg::ack(0, i64::from(nxt)));
    }
    assert_eq!(s.conn.stats().fast_recoveries, 2, "it may begin anew");
}

#[test]
fn an_acknowledgement_with_data_or_another_window_is_no_duplicate() {
    let mut s = ten_out(reno());
    for n in 0..5 {
        s.answer(Seg::data(100 * n, 100, 0));
        s.answer(Seg::ack(100 * (n + 1), 0).window(50_000 + n as u16));
    }
    assert_eq!(s.conn.stats().dup_acks_in, 0);
    assert_eq!(s.conn.stats().fast_recoveries, 0);
}

#[test]
fn duplicates_after_a_timeout_start_no_fast_recovery() {
    let mut s = ten_out(reno());
    s.pass(RTO);
    for _ in 0..5 {
        s.answer(Seg::ack(0, 0));
    }
    assert_eq!(s.conn.stats().fast_recoveries, 0);
}

#[test]
fn the_user_timeout_ends_a_connection_whose_peer_is_silent() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(30), ..plain() });
    s.write(500);
    s.pass(ms(29_900));
    assert_eq!(s.state(), State::Established);
    s.pass(ms(200));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn the_user_timeout_counts_from_the_last_progress_not_from_the_last_idle_time() {
    let mut s = Script::open(Config { user_timeout: Duration::from_secs(30), ..plain() });
    s.pass(Duration::from_secs(100));
    s.write(500);
    s.pass(Duration::from_secs(29));
    assert_eq!(s.state(), State::Established);
}

#[test]
fn a_smaller_path_sends_again_in_smaller_pieces_without_a_smaller_window() {
    let mut s = ten_out(reno());
    let cwnd = s.conn.cwnd();
    let first = s.conn.snd_nxt() - 10_000;
    assert!(!s.conn.on_path_mtu(s.now, first + 20_000, 500), "about a segment that is not ours");
    assert!(!s.conn.on_path_mtu(s.now, first, 1_000), "no smaller than it is");
    assert!(s.conn.on_path_mtu(s.now, first, 500));
    let sent = s.poll_all();
    assert_eq!(sent.len(), 20);
    assert!(sent.iter().all(|t| t.len == 500 && t.again));
    s.answer(Seg::ack(0, 500));
    assert!(s.conn.cwnd() >= cwnd);
    assert_eq!(s.conn.stats().fast_recoveries, 0);
}

#[test]
fn a_path_is_not_believed_to_be_absurdly_small() {
    let mut s = ten_out(reno());
    assert!(s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 0));
    assert!(s.conn.mss() >= 36);
}

#[test]
fn after_a_pause_the_window_starts_small_again() {
    let mut s = ten_out(reno());
    for n in 1..=40 {
        s.answer(Seg::ack(0, 1_000 * n));
    }
    assert!(s.conn.cwnd() > 20_000);
    let nxt = i64::from(s.conn.snd_nxt().offset_from(crate::script::OURS));
    for n in 41..=100.min(nxt / 1_000) {
        s.answer(Seg::ack(0, 1_000 * n));
    }
    s.answer(Seg::ack(0, 100_000));
    s.pass(Duration::from_secs(10));
    assert_eq!(s.write(100_000).len(), 10);
}

#[test]
fn a_retransmitted_fin_is_still_a_fin() {
    let mut s = Script::open(plain());
    s.write(300);
    s.close();
    s.answer(Seg::ack(0, 300));
    let again = s.pass(ms(400));
    assert!(again[0].fin() && again[0].again);
    assert_eq!(again[0].range(), (300, 0));
}

#[test]
fn the_smallest_timeout_can_be_set() {
    let mut s = Script::open(Config { min_rto: ms(20), ..plain() });
    // The variance of the handshake's sample fades.
    for n in 0..30 {
        s.write(500);
        s.now = s.now + ms(100);
        s.answer(Seg::ack(0, 500 * (n + 1)));
    }
    let first = s.write(500)[0].at;
    assert_eq!(s.pass(ms(130))[0].at - first, ms(120));
}

#[test]
fn with_restart_the_timeout_of_the_last_segments_counts_from_their_sending() {
    for (rto_restart, after) in [(false, ms(250) + RTO), (true, RTO)] {
        let mut s = Script::open(Config { rto_restart, ..plain() });
        let first = s.write(3_000)[0].at;
        s.pass(ms(100));
        s.answer(Seg::ack(0, 1_000));
        s.pass(ms(150));
        let rto = RTO;
        s.answer(Seg::ack(0, 2_000));
        let again = s.pass(Duration::from_secs(1));
        let waited = again[0].at - first;
        assert!(waited.abs_diff(after) <= ms(120), "{rto_restart}: {waited:?} {rto:?}");
        assert_eq!(again[0].range(), (2_000, 1_000));
    }
}

#[test]
fn with_restart_what_is_out_for_longer_than_the_timeout_gets_a_whole_one() {
    let config = Config { rto_restart: true, timestamps: true, f_rto: false, ..plain() };
    let mut s = Script::open(config);
    let len = i64::from(s.conn.mss());
    s.write(2 * len as u64);
    assert_eq!(again(&s.pass(RTO)), [(0, len as u32)]);
    let (peer, second) = (s.stamp(), s.own_stamp());
    s.pass(ms(200));
    // The answer to the second sending: with its sample the timeout is short again. The other segment has been out
    // for 500 ms.
    s.deliver(Seg::ack(0, len).stamp(peer, second));
    let deadline = s.conn.next_deadline();
    assert!(deadline > s.now + ms(200), "{deadline:?} at {:?}", s.now);
}
