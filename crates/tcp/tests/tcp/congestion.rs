//! The congestion window: when it grows, when it is given up, and that a fixed one stays.

use bypath_tcp::{Config, CongestionControl};

use crate::script::{Script, Seg, ms, plain};

const FAR: u16 = 65_000;

fn open(config: Config) -> Script {
    let mut s = Script::open(Config { slow_start_after_idle: true, ..config });
    s.window = FAR;
    s
}

/// Writes `len` bytes and has them acknowledged a round trip later.
fn exchange(s: &mut Script, len: u64) {
    let before = s.conn.acknowledged();
    s.write(len);
    while s.conn.acknowledged() < before + len {
        s.pass(ms(10));
        let all = i64::from(s.conn.snd_nxt().offset_from(crate::script::OURS));
        s.answer(Seg::ack(0, all));
    }
}

#[test]
fn a_window_that_the_application_fills_grows() {
    let mut s = open(plain());
    exchange(&mut s, 20_000);
    assert_eq!(s.conn.cwnd(), 20_000);
}

#[test]
fn a_window_that_the_application_does_not_fill_stays_as_it_is() {
    let mut s = open(plain());
    for _ in 0..50 {
        exchange(&mut s, 2_000);
    }
    assert_eq!(s.conn.cwnd(), 10_000);
}

#[test]
fn an_application_that_fills_half_of_the_window_may_double_in_slow_start() {
    let mut s = open(plain());
    exchange(&mut s, 6_000);
    assert_eq!(s.conn.cwnd(), 16_000);
}

#[test]
fn a_part_of_the_window_that_is_not_used_for_a_timeout_is_given_up_half() {
    let mut s = open(plain());
    exchange(&mut s, 40_000);
    let large = s.conn.cwnd();
    // Less than a timeout between any two writes: no restart.
    for _ in 0..20 {
        exchange(&mut s, 1_000);
        s.pass(ms(30));
    }
    assert!(s.conn.cwnd() < large * 3 / 4, "{} of {large}", s.conn.cwnd());
    assert!(s.conn.cwnd() >= 10_000, "never below the initial window");
}

#[test]
fn a_pause_leaves_the_initial_window_and_the_threshold_remembers() {
    let mut s = open(plain());
    exchange(&mut s, 40_000);
    let large = s.conn.cwnd();
    s.pass(ms(5_000));
    s.write(1_000);
    assert_eq!(s.conn.cwnd(), 10_000);
    assert!(s.conn.ssthresh() >= large * 3 / 4);
}

#[test]
fn with_the_switch_off_a_pause_changes_nothing() {
    let mut s = Script::open(Config { slow_start_after_idle: false, ..plain() });
    s.window = FAR;
    exchange(&mut s, 40_000);
    let large = s.conn.cwnd();
    s.pass(ms(5_000));
    for _ in 0..20 {
        exchange(&mut s, 1_000);
        s.pass(ms(30));
    }
    assert_eq!(s.conn.cwnd(), large);
}

#[test]
fn a_fixed_window_is_filled_at_once_and_no_loss_moves_it() {
    let config = Config { congestion: CongestionControl::None, fixed_window: 30_000, ..plain() };
    let mut s = open(config);
    assert_eq!(s.conn.congestion_control(), CongestionControl::None);
    assert_eq!(s.write(100_000).len(), 30);
    s.pass(ms(1_000));
    assert!(s.conn.stats().timeouts > 0);
    assert_eq!(s.conn.cwnd(), 30_000);
}
