//! Timestamps: echoed, protecting against old duplicates, telling apart two sendings.

use std::time::Duration;

use bypath_tcp::{Config, DropCause};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, ms, plain, ranges};

fn stamped() -> Config {
    Config { timestamps: true, ..plain() }
}

#[test]
fn every_segment_carries_our_clock_in_milliseconds_and_the_peers() {
    let mut s = Script::open(stamped());
    s.deliver(Seg::data(0, 100, 0).stamp(9_000, 0));
    let first = s.poll().unwrap().options.timestamps.unwrap();
    assert_eq!(first.echo, 9_000);
    s.pass(ms(250));
    s.deliver(Seg::data(100, 100, 0).stamp(9_250, 0));
    let second = s.poll().unwrap().options.timestamps.unwrap();
    assert_eq!((second.value - first.value, second.echo), (250, 9_250));
}

#[test]
fn a_delayed_acknowledgement_echoes_the_first_segment_it_covers() {
    let mut s = Script::open_later(stamped());
    s.deliver(Seg::data(0, 1_000, 0).stamp(9_000, 0));
    s.deliver(Seg::data(1_000, 1_000, 0).stamp(9_005, 0));
    assert_eq!(s.poll().unwrap().options.timestamps.unwrap().echo, 9_000);
}

#[test]
fn a_segment_beyond_a_hole_is_not_echoed() {
    let mut s = Script::open(stamped());
    s.deliver(Seg::data(0, 1_000, 0).stamp(9_000, 0));
    s.poll();
    s.deliver(Seg::data(2_000, 1_000, 0).stamp(9_005, 0));
    assert_eq!(s.poll().unwrap().options.timestamps.unwrap().echo, 9_000);
}

#[test]
fn an_older_timestamp_is_refused_and_acknowledged() {
    let mut s = Script::open(stamped());
    s.answer(Seg::data(0, 100, 0).stamp(9_000, 0));
    let out = s.deliver(Seg::data(100, 100, 0).stamp(8_999, 0));
    assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::OldTimestamp)));
    assert_eq!(s.poll().unwrap().ack, 100);
}

#[test]
fn the_peers_clock_may_wrap() {
    let mut s = Script::open(stamped());
    let mut clock = s.stamp();
    for n in 0..6 {
        clock = clock.wrapping_add(0x3fff_ffff);
        assert_eq!(s.deliver(Seg::data(100 * n, 100, 0).stamp(clock, 0)).deliver, 100);
        s.poll_all();
    }
}

#[test]
fn after_24_idle_days_an_older_timestamp_is_believed() {
    let mut s = Script::open(stamped());
    s.answer(Seg::data(0, 100, 0).stamp(9_000, 0));
    s.pass(Duration::from_secs(25 * 24 * 3_600));
    assert_eq!(s.deliver(Seg::data(100, 100, 0).stamp(8_000, 0)).deliver, 100);
}

#[test]
fn a_reset_needs_no_timestamp() {
    let mut s = Script::open(stamped());
    s.deliver(Seg::rst(0));
    assert!(s.conn.close_reason().is_some());
}

#[test]
fn a_segment_without_its_timestamp_is_not_fatal() {
    let mut s = Script::open_to(stamped(), Seg::syn_ack().mss(1_000).stamp(9_000, 0));
    s.without_stamps();
    assert_eq!(s.deliver(Seg::data(0, 100, 0)).deliver, 100);
    assert!(s.conn.close_reason().is_none());
    assert_eq!(s.poll().unwrap().options.timestamps.unwrap().echo, 9_000);
}

#[test]
fn the_echo_gives_a_sample_where_karn_has_none() {
    let mut s = Script::open(stamped());
    s.write(500);
    let again = s.pass(ms(300));
    let value = again[0].options.timestamps.unwrap().value;
    let rto_backed_off = s.conn.next_deadline() - s.now;
    s.now = s.now + ms(100);
    let stamp = s.stamp();
    s.answer(Seg::ack(0, 500).stamp(stamp, value));
    let sent = s.write(500);
    assert_eq!(ranges(&sent), [(500, 500)]);
    assert!(s.conn.next_deadline() - s.now < rto_backed_off, "the backoff is over");
}

#[test]
fn an_echo_of_the_first_sending_gives_none() {
    let mut s = Script::open(stamped());
    let value = s.write(500)[0].options.timestamps.unwrap().value;
    let srtt = s.conn.srtt_ns();
    s.pass(ms(310));
    let stamp = s.stamp();
    s.answer(Seg::ack(0, 500).stamp(stamp, value));
    assert_eq!(s.conn.srtt_ns(), srtt);
}

#[test]
fn timestamps_are_not_used_when_the_peer_did_not_agree() {
    let mut s = Script::accepting(stamped(), Seg::syn().mss(1_000));
    s.poll();
    s.deliver(Seg::ack(0, 0));
    assert!(!s.conn.negotiated().0);
    assert_eq!(s.write(10)[0].options.timestamps, None);
    let out = s.deliver(Seg::new(TcpFlags::ACK, 0, 10).len(5).stamp(1, 1));
    assert_eq!(out.deliver, 5);
}
