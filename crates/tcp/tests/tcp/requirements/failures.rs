//! Section 3.8.3 and 3.8.4: the thresholds R1 and R2, and keep-alive as it is switched on a connection.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, Events, State};

use crate::script::{Script, Seg, ms, plain, ranges};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// As [`plain`], with the thresholds of the default.
fn silent_peer() -> Script {
    let mut s = Script::open(plain());
    s.write(500);
    s
}

/// Whether the stall has been told; forgets it.
fn stalled(s: &mut Script) -> bool {
    std::mem::replace(&mut s.events, Events::none()).contains(Events::STALLED)
}

#[test]
fn the_third_timeout_in_a_row_is_told_once() {
    let mut s = silent_peer();
    // 300, 900 and 2100 ms after the first sending.
    assert_eq!(s.pass(ms(2_000)).len(), 2);
    assert!(!stalled(&mut s));
    assert_eq!(s.pass(ms(200)).len(), 1);
    assert!(stalled(&mut s));
    assert!(s.pass(Duration::from_secs(60)).len() > 2);
    assert!(!stalled(&mut s), "once is enough");
    assert_eq!(s.state(), State::Established, "R1 ends nothing");
}

#[test]
fn progress_starts_the_count_of_timeouts_anew() {
    let mut s = Script::open(plain());
    s.write(2_000);
    s.pass(ms(2_000));
    s.answer(Seg::ack(0, 1_000));
    let two_more = s.pass(ms(4_500));
    assert_eq!(two_more.len(), 2, "{two_more:?}");
    assert!(!stalled(&mut s));
    assert_eq!(s.pass(Duration::from_secs(10)).len(), 1);
    assert!(stalled(&mut s));
}

#[test]
fn an_opening_that_is_not_answered_is_told_too() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.pass(ms(6_999));
    assert!(!stalled(&mut s));
    s.pass(ms(1));
    assert!(stalled(&mut s));
    assert_eq!(s.state(), State::SynSent);
}

#[test]
fn r1_is_configurable() {
    let mut s = Script::open(Config { stall_timeouts: 5, ..plain() });
    s.write(500);
    // 300 ms, and doubled four times.
    s.pass(ms(300 * 31 - 1));
    assert!(!stalled(&mut s));
    s.pass(ms(1));
    assert!(stalled(&mut s));
}

#[test]
fn by_default_an_opening_is_tried_for_three_minutes() {
    let mut s = Script::connecting(Config::default());
    s.poll();
    let again = s.pass(Duration::from_secs(180));
    assert!(again.last().unwrap().at > Duration::from_secs(120), "{again:?}");
    assert_eq!(s.state(), State::SynSent);
    s.pass(Duration::from_secs(20));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut), "and not for ever");
}

#[test]
fn by_default_data_is_tried_for_more_than_a_hundred_seconds() {
    let mut s = Script::open(Config::default());
    s.write(500);
    assert!(s.pass(Duration::from_secs(100)).len() >= 5);
    assert_eq!(s.state(), State::Established);
    s.pass(Duration::from_secs(1_000));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn r2_can_be_shortened_while_data_waits() {
    let mut s = silent_peer();
    s.pass(10 * SECOND);
    // Long before the next retransmission, which is due 19 s after the first.
    s.conn.set_user_timeout(12 * SECOND);
    assert_eq!(s.pass(2 * SECOND - ms(1)), []);
    assert_eq!(s.state(), State::Established);
    s.pass(ms(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn r2_can_be_lengthened_while_data_waits() {
    let mut s = Script::open(Config { user_timeout: 30 * SECOND, ..plain() });
    s.write(500);
    s.pass(10 * SECOND);
    s.conn.set_user_timeout(60 * SECOND);
    s.pass(49 * SECOND);
    assert_eq!(s.state(), State::Established);
    s.pass(2 * SECOND);
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn keep_alive_can_be_turned_on_and_off_again() {
    let mut s = Script::open(plain());
    s.conn.set_keep_alive(Some(HOUR));
    assert_eq!(ranges(&s.pass(HOUR)), [(-1, 0)]);
    s.answer(Seg::ack(0, 0));
    s.conn.set_keep_alive(None);
    assert_eq!(s.pass(HOUR * 100), []);
    assert_eq!(s.state(), State::Established);
}

#[test]
fn keep_alive_turned_on_late_counts_from_the_last_word_of_the_peer() {
    let mut s = Script::open(plain());
    s.pass(HOUR / 2);
    s.conn.set_keep_alive(Some(HOUR));
    assert_eq!(s.pass(HOUR / 2 - ms(1)), []);
    assert_eq!(s.pass(ms(1)).len(), 1);
}

#[test]
fn keep_alive_does_not_disturb_time_wait() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::fin(0, 1));
    s.conn.set_keep_alive(None);
    s.pass(Duration::from_secs(60));
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn the_idle_time_of_keep_alive_is_two_hours_unless_another_is_named() {
    assert!(Config::KEEP_ALIVE_IDLE >= HOUR * 2);
    assert_eq!(Config::default().keep_alive, None);
}

#[test]
fn one_lost_answer_to_a_probe_ends_nothing() {
    let mut s = Script::open(Config { keep_alive: Some(HOUR), keep_alive_probes: 3, ..plain() });
    assert_eq!(s.pass(HOUR).len(), 1);
    assert_eq!(s.pass(Duration::from_secs(75)).len(), 1, "the second probe");
    s.answer(Seg::ack(0, 0));
    assert_eq!(s.pass(HOUR - Duration::from_secs(76)), []);
    assert_eq!(s.state(), State::Established);
}
