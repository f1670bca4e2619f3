//! Keep-alive.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, State};

use crate::script::{Script, Seg, plain, ranges};

const HOUR: Duration = Duration::from_secs(3_600);

fn alive() -> Config {
    Config {
        keep_alive: Some(HOUR),
        keep_alive_interval: Duration::from_secs(60),
        keep_alive_probes: 3,
        ..plain()
    }
}

#[test]
fn an_idle_connection_sends_nothing_by_default() {
    let mut s = Script::open(plain());
    assert_eq!(s.pass(HOUR * 100), []);
}

#[test]
fn an_idle_peer_is_probed_from_before_the_window() {
    let mut s = Script::open(alive());
    let opened = s.now;
    let sent = s.pass(HOUR);
    assert_eq!(ranges(&sent), [(-1, 0)]);
    assert_eq!(sent[0].at, (opened - crate::script::EPOCH) + HOUR);
}

#[test]
fn an_answer_ends_the_probing_for_another_while() {
    let mut s = Script::open(alive());
    s.pass(HOUR);
    s.answer(Seg::ack(0, 0));
    assert_eq!(s.pass(HOUR - Duration::from_secs(1)), []);
    assert_eq!(s.pass(Duration::from_secs(60)).len(), 1);
}

#[test]
fn data_puts_the_probing_off() {
    let mut s = Script::open(alive());
    s.pass(HOUR / 2);
    s.answer(Seg::data(0, 100, 0));
    assert_eq!(s.pass(HOUR / 2), []);
    assert_eq!(s.pass(HOUR / 2).len(), 1);
}

#[test]
fn a_peer_that_answers_no_probe_is_given_up() {
    let mut s = Script::open(alive());
    let sent = s.pass(HOUR + Duration::from_secs(179));
    assert_eq!(sent.len(), 3);
    assert_eq!(s.state(), State::Established);
    s.pass(Duration::from_secs(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn data_that_is_outstanding_is_the_probe() {
    let mut s = Script::open(Config { keep_alive: Some(Duration::from_secs(10)), ..alive() });
    s.write(100);
    let sent = s.pass(Duration::from_secs(30));
    assert!(sent.iter().all(|t| t.range() == (0, 100)), "{sent:?}");
}

#[test]
fn a_peer_that_probes_us_is_answered() {
    let mut s = Script::open(plain());
    assert_eq!(ranges(&s.answer(Seg::ack(-1, 0))), [(0, 0)]);
    assert_eq!(ranges(&s.answer(Seg::data(-1, 1, 0))), [(0, 0)], "with the old byte that some send");
}

#[test]
fn half_closed_it_probes_and_does_not_close() {
    let mut s = Script::open(alive());
    s.close();
    s.answer(Seg::ack(0, 1));
    let sent = s.pass(HOUR);
    assert_eq!(sent.len(), 1);
    s.answer(Seg::ack(0, 1));
    assert_eq!(s.state(), State::FinWait2);
}
