//! Closing, one segment at a time: FIN in every order, half-open streams, TIME-WAIT, orphans.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, DropCause, Events, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, ms, plain, ranges};

#[test]
fn fin_follows_the_last_byte() {
    let mut s = Script::open(plain());
    s.conn.set_queued(300);
    let sent = s.close();
    assert_eq!(ranges(&sent), [(0, 300)]);
    assert!(sent[0].fin());
    assert_eq!(s.state(), State::FinWait1);
}

#[test]
fn bytes_given_after_close_are_ignored() {
    let mut s = Script::open(plain());
    s.close();
    assert_eq!(s.write(100), []);
    assert_eq!(s.conn.queued(), 0);
}

#[test]
fn we_close_first_and_wait() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::ack(0, 1));
    assert_eq!(s.state(), State::FinWait2);
    let sent = s.answer(Seg::fin(0, 1));
    assert_eq!(s.state(), State::TimeWait);
    assert_eq!(sent[0].ack, 1);
    assert!(s.events.contains(Events::PEER_CLOSED) && s.events.contains(Events::TIME_WAIT));
    s.pass(ms(59_999));
    assert_eq!(s.state(), State::TimeWait);
    s.pass(ms(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Finished));
}

#[test]
fn the_peer_closes_first_and_we_do_not_wait() {
    let mut s = Script::open(plain());
    let sent = s.answer(Seg::fin(0, 0));
    assert_eq!((s.state(), sent[0].ack), (State::CloseWait, 1));
    assert_eq!(ranges(&s.write(100)), [(0, 100)], "our direction is open");
    s.answer(Seg::ack(1, 100));
    assert!(s.close()[0].fin());
    assert_eq!(s.state(), State::LastAck);
    s.deliver(Seg::ack(1, 101));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Finished));
    assert!(s.events.contains(Events::CLOSED));
}

#[test]
fn data_arrives_in_both_halves_of_fin_wait() {
    let mut s = Script::open(plain());
    s.close();
    assert_eq!(s.deliver(Seg::data(0, 100, 0)).deliver, 100);
    assert_eq!(s.deliver(Seg::data(100, 100, 1)).deliver, 100);
    assert_eq!(s.state(), State::FinWait2);
    assert_eq!(s.deliver(Seg::data(200, 100, 1)).deliver, 100);
}

#[test]
fn fins_that_cross_lead_through_closing_to_time_wait() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::fin(0, 0));
    assert_eq!(s.state(), State::Closing);
    s.answer(Seg::ack(1, 1));
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn a_fin_that_acknowledges_ours_leads_straight_to_time_wait() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::fin(0, 1));
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn data_and_fin_in_one_segment() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::data(0, 100, 0).with(TcpFlags::FIN));
    assert_eq!(out.deliver, 100);
    assert!(out.events.contains(Events::PEER_CLOSED));
    assert_eq!(s.poll().unwrap().ack, 101);
}

#[test]
fn fin_ahead_of_its_turn_counts_when_its_turn_comes() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::data(100, 100, 0).with(TcpFlags::FIN));
    assert!(!out.events.contains(Events::PEER_CLOSED));
    let out = s.deliver(Seg::data(0, 100, 0));
    assert_eq!((out.deliver, out.released), (100, 100));
    assert!(out.events.contains(Events::PEER_CLOSED));
    assert_eq!(s.state(), State::CloseWait);
    assert_eq!(s.poll().unwrap().ack, 201);
}

#[test]
fn a_bare_fin_ahead_of_its_turn_counts_too() {
    let mut s = Script::open(plain());
    s.deliver(Seg::fin(100, 0));
    assert_eq!(s.poll_all()[0].ack, 0);
    s.deliver(Seg::data(0, 100, 0));
    assert_eq!((s.state(), s.poll_all()[0].ack), (State::CloseWait, 101));
}

#[test]
fn a_fin_with_data_beyond_it_is_no_fin() {
    let mut s = Script::open(plain());
    s.deliver(Seg::fin(100, 0));
    s.deliver(Seg::data(50, 100, 0));
    let out = s.deliver(Seg::data(0, 50, 0));
    assert_eq!((out.deliver, out.released, s.state()), (50, 100, State::Established));
}

#[test]
fn a_repeated_fin_is_acknowledged_and_starts_the_wait_anew() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::fin(0, 1));
    s.pass(Duration::from_secs(50));
    assert_eq!(s.answer(Seg::fin(0, 1))[0].ack, 1);
    s.pass(Duration::from_secs(50));
    assert_eq!(s.state(), State::TimeWait);
    s.pass(Duration::from_secs(10));
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn a_new_syn_may_follow_in_time_wait() {
    let waiting = || {
        let mut s = Script::open(plain());
        s.close();
        s.answer(Seg::fin(0, 1));
        s
    };
    let mut s = waiting();
    let out = s.deliver(Seg::new(TcpFlags::SYN, 5_000, 0));
    assert!(out.events.contains(Events::REOPEN));
    assert_eq!(s.state(), State::Closed);

    let mut s = waiting();
    let out = s.deliver(Seg::new(TcpFlags::SYN, -500, 0));
    assert!(!out.events.contains(Events::REOPEN), "an old one");
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn a_later_timestamp_lets_a_new_syn_follow_from_any_number() {
    let mut s = Script::open(Config { timestamps: true, ..plain() });
    s.close();
    s.answer(Seg::fin(0, 1));
    s.pass(ms(10));
    assert!(s.deliver(Seg::new(TcpFlags::SYN, -500, 0)).events.contains(Events::REOPEN));
}

#[test]
fn data_for_an_application_that_is_gone_is_answered_with_reset() {
    let mut s = Script::open(plain());
    s.close();
    s.conn.orphan(s.now);
    let out = s.deliver(Seg::data(0, 100, 1));
    assert_eq!(out.dropped, Some(DropCause::AfterClose));
    assert!(out.reply.unwrap().flags.contains(TcpFlags::RST));
    assert_eq!(s.state(), State::Closed);
}

#[test]
fn an_orphan_still_sends_what_it_was_given() {
    let mut s = Script::open(plain());
    s.conn.set_queued(5_000);
    s.conn.close(s.now);
    s.conn.orphan(s.now);
    assert_eq!(s.poll_all().len(), 5);
    s.answer(Seg::ack(0, 5_001));
    assert_eq!(s.state(), State::FinWait2);
    s.answer(Seg::fin(0, 5_001));
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn an_orphan_does_not_stay_in_fin_wait_2() {
    for before in [true, false] {
        let mut s = Script::open(plain());
        s.close();
        if before {
            s.conn.orphan(s.now);
            s.answer(Seg::ack(0, 1));
        } else {
            s.answer(Seg::ack(0, 1));
            s.conn.orphan(s.now);
        }
        s.pass(ms(59_999));
        assert_eq!(s.state(), State::FinWait2);
        s.pass(ms(1));
        assert_eq!(s.state(), State::Closed);
    }
}

#[test]
fn half_closed_it_may_wait_for_ever() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::ack(0, 1));
    s.pass(Duration::from_secs(100_000));
    assert_eq!(s.state(), State::FinWait2);
}

#[test]
fn closing_twice_is_closing_once() {
    let mut s = Script::open(plain());
    assert_eq!(s.close().len(), 1);
    assert_eq!(s.close(), []);
    assert_eq!(s.state(), State::FinWait1);
}

#[test]
fn data_after_the_peers_fin_is_not_used() {
    let mut s = Script::open(plain());
    s.answer(Seg::fin(0, 0));
    let out = s.deliver(Seg::data(1, 100, 0));
    assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::AfterClose)));
    assert_eq!(s.state(), State::CloseWait);
}

#[test]
fn a_closed_connection_answers_with_reset() {
    let mut s = Script::open(plain());
    s.conn.abort(s.now);
    let out = s.deliver(Seg::data(0, 100, 0));
    assert!(out.reply.unwrap().flags.contains(TcpFlags::RST));
    assert_eq!(s.poll(), None);
}
