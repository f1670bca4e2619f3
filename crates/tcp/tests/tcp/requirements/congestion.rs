//! RFC 5681: what may be in flight, and what a loss leaves of it.

use bypath_tcp::{Config, CongestionControl};

use crate::script::{OURS, Script, Seg, ms, plain, ranges};

fn reno() -> Config {
    Config { congestion: CongestionControl::NewReno, receive_buffer: 60_000, ..plain() }
}

fn outstanding(s: &Script) -> u32 {
    s.conn.snd_nxt().offset_from(OURS) as u32 - s.conn.acknowledged() as u32
}

/// Ten segments out, a round trip ago.
fn ten_out() -> Script {
    let mut s = Script::open(reno());
    assert_eq!(s.write(200_000).len(), 10);
    s.now = s.now + ms(100);
    s
}

#[test]
fn no_more_is_in_flight_than_the_congestion_window() {
    for congestion in [CongestionControl::NewReno, CongestionControl::Cubic] {
        let mut s = Script::open(Config { congestion, ..reno() });
        s.window = 60_000;
        s.write(1_000_000);
        let mut acked = 0;
        for n in 0..500 {
            assert!(
                outstanding(&s) <= s.conn.cwnd(),
                "{congestion:?}: {} of {}",
                outstanding(&s),
                s.conn.cwnd()
            );
            s.now = s.now + ms(if n % 20 == 0 { 100 } else { 1 });
            acked += 1_000;
            s.answer(Seg::ack(0, acked));
        }
        assert!(s.conn.cwnd() > 20_000);
    }
}

#[test]
fn the_handshake_does_not_open_the_window() {
    let s = Script::open(reno());
    assert_eq!(s.conn.cwnd(), 10_000);
    let mut s = Script::accepting(reno(), Seg::syn().mss(1_000));
    s.poll();
    s.answer(Seg::ack(0, 0));
    assert_eq!(s.conn.cwnd(), 10_000);
}

#[test]
fn an_acknowledgement_in_slow_start_opens_the_window_by_no_more_than_it_acknowledges() {
    let mut s = ten_out();
    for n in 1..=10 {
        let before = s.conn.cwnd();
        s.answer(Seg::ack(0, 1_000 * n));
        assert!(s.conn.cwnd() <= before + 1_000);
    }
    assert!(s.conn.cwnd() > 15_000, "and it does open");
}

#[test]
fn congestion_avoidance_adds_a_segment_in_a_round_trip() {
    let mut s = ten_out();
    for _ in 0..3 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    let end = i64::from(s.conn.snd_nxt().offset_from(OURS));
    s.answer(Seg::ack(0, end));
    let (began, mut acked) = (s.conn.cwnd(), end);
    assert_eq!(began, s.conn.ssthresh());
    for _ in 0..4 {
        s.now = s.now + ms(100);
        let before = s.conn.cwnd();
        let end = i64::from(s.conn.snd_nxt().offset_from(OURS));
        while acked < end {
            acked += 1_000;
            s.answer(Seg::ack(0, acked.min(end)));
        }
        let grown = s.conn.cwnd() - before;
        assert!(grown <= 1_000, "{grown}");
    }
    assert!(s.conn.cwnd() >= began + 2_000, "{} after {began}", s.conn.cwnd());
}

#[test]
fn the_first_two_duplicates_leave_the_window_as_it_is() {
    let mut s = ten_out();
    let before = (s.conn.cwnd(), s.conn.ssthresh());
    for _ in 0..2 {
        s.answer(Seg::ack(0, 0));
        assert_eq!((s.conn.cwnd(), s.conn.ssthresh()), before);
    }
}

#[test]
fn what_limited_transmit_sent_does_not_count_when_the_window_is_halved() {
    let mut s = ten_out();
    for _ in 0..2 {
        assert_eq!(s.answer(Seg::ack(0, 0)).len(), 1, "a new segment for each");
    }
    s.answer(Seg::ack(0, 0));
    assert_eq!(s.conn.ssthresh(), 5_000);
}

#[test]
fn a_timeout_halves_the_threshold_once_for_all_its_repetitions() {
    let mut s = ten_out();
    let first = s.pass(ms(300));
    assert_eq!(ranges(&first), [(0, 1_000)]);
    assert_eq!((s.conn.ssthresh(), s.conn.cwnd()), (5_000, 1_000));
    s.pass(ms(2_000));
    assert!(s.conn.stats().timeouts >= 2);
    assert_eq!((s.conn.ssthresh(), s.conn.cwnd()), (5_000, 1_000));
}

#[test]
fn losses_in_two_windows_lower_the_window_twice() {
    let mut s = ten_out();
    for _ in 0..3 {
        s.deliver(Seg::ack(0, 0));
    }
    s.poll_all();
    let once = s.conn.ssthresh();
    let end = i64::from(s.conn.snd_nxt().offset_from(OURS));
    s.now = s.now + ms(100);
    s.answer(Seg::ack(0, end));
    s.now = s.now + ms(100);
    for _ in 0..3 {
        s.answer(Seg::ack(0, end));
    }
    assert_eq!(s.conn.stats().fast_recoveries, 2);
    assert!(s.conn.ssthresh() <= once.div_ceil(2) + 1_000, "{} after {once}", s.conn.ssthresh());
}
