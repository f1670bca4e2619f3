//! RFC 7323 and RFC 2018: where options may be, what they say outside of it, and what they do not change.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, DropCause};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, Sent, ms, plain, with_sack};

fn stamped() -> Config {
    Config { timestamps: true, ..plain() }
}

/// Segments of all kinds that a connection sends after its handshake.
fn all_kinds(config: Config) -> Vec<Sent> {
    // Segments of 1,000 bytes beside the timestamps, if there are any.
    let mss = if config.timestamps { 1_012 } else { 1_000 };
    let config = Config { mss, keep_alive: Some(Duration::from_secs(5)), ..config };
    let mut s = Script::open_to(config, Seg::syn_ack().mss(mss).scale(2));
    let mut sent = s.write(2_000);
    sent.extend(s.answer(Seg::ack(0, 1_000)));
    sent.extend(s.pass(ms(400)));
    sent.extend(s.answer(Seg::ack(0, 2_000)));
    sent.extend(s.pass(Duration::from_secs(6)));
    sent.extend(s.answer(Seg::data(0, 10, 2_000)));
    sent.extend(s.answer(Seg::data(500, 10, 2_000)));
    sent.extend(s.answer(Seg::rst(100)));
    sent.extend(s.answer(Seg::ack(10, 2_000).window(0)));
    sent.extend(s.write(100));
    sent.extend(s.pass(Duration::from_secs(2)));
    sent.extend(s.answer(Seg::ack(10, 2_000).window(60_000)));
    sent.extend(s.close());
    assert!(
        sent.iter().any(Sent::fin) && sent.iter().any(|t| t.again) && sent.iter().any(|t| t.seq == 1_999)
    );
    sent
}

#[test]
fn once_agreed_every_segment_has_its_timestamp() {
    let sent = all_kinds(stamped());
    assert!(sent.iter().all(|t| t.options.timestamps.is_some()), "{sent:?}");
    let mut s = Script::open(stamped());
    s.write(10);
    assert!(s.conn.abort(s.now).unwrap().options.timestamps.is_some(), "the reset too");
}

#[test]
fn without_agreement_no_segment_has_a_timestamp() {
    assert!(all_kinds(plain()).iter().all(|t| t.options.timestamps.is_none()));
}

#[test]
fn what_belongs_into_syns_is_in_no_other_segment() {
    let config = Config { window_scaling: true, sack: true, timestamps: true, ..plain() };
    let sent = all_kinds(config);
    assert!(sent.iter().all(|t| !t.options.sack_permitted && t.options.window_scale.is_none()));
}

#[test]
fn a_window_scale_outside_a_syn_is_ignored() {
    let mut s = Script::open(Config { window_scaling: true, ..plain() });
    s.answer(Seg::ack(0, 0).scale(7).window(1_000));
    assert_eq!(s.conn.peer_window(), 1_000);
    let mut s =
        Script::open_to(Config { window_scaling: true, ..plain() }, Seg::syn_ack().mss(1_000).scale(2));
    s.answer(Seg::ack(0, 0).scale(7).window(1_000));
    assert_eq!(s.conn.peer_window(), 4_000);
}

#[test]
fn our_scale_is_used_only_if_the_peer_sent_one() {
    let config = || Config { window_scaling: true, receive_buffer: 1_000_000, ..plain() };
    let mut syn = Script::connecting(config());
    let shift = syn.poll().unwrap().options.window_scale.unwrap();
    assert!(shift >= 4);
    let window = |answer: Seg| {
        let mut s = Script::open_to(config(), answer);
        u32::from(s.answer(Seg::data(0, 1_000, 0))[0].window)
    };
    let (without, with) = (window(Seg::syn_ack().mss(1_000)), window(Seg::syn_ack().mss(1_000).scale(0)));
    assert!(without >= 60_000, "bytes: {without}");
    assert!(with << shift <= 1_000_000 && with << shift >= 60_000, "units of the shift: {with}");
}

#[test]
fn sack_permitted_outside_a_syn_is_ignored() {
    let mut s = Script::accepting(with_sack(), Seg::syn());
    s.poll();
    s.answer(Seg::ack(0, 0).sack_permitted());
    assert!(!s.conn.negotiated().1);
}

#[test]
fn the_echo_of_a_segment_without_ack_is_ignored() {
    let mut s = Script::connecting(stamped());
    s.poll();
    s.now = s.now + ms(100);
    s.answer(Seg::syn().stamp(9_000, 0xdead_beef));
    assert_eq!(s.conn.srtt_ns(), None);
    s.deliver(Seg::ack(0, 0).stamp(9_100, 0));
    assert_eq!(s.conn.srtt_ns(), Some(100_000_000), "the handshake's own sample");
}

#[test]
fn a_reset_is_believed_whatever_its_timestamp() {
    let mut s = Script::open(stamped());
    s.answer(Seg::data(0, 100, 0).stamp(9_000, 0));
    s.deliver(Seg::rst(100).stamp(1, 0));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn the_timestamp_of_a_reset_is_not_remembered() {
    let mut s = Script::open(stamped());
    s.answer(Seg::data(0, 100, 0).stamp(9_000, 0));
    assert_eq!(s.deliver(Seg::rst(101).stamp(9_999, 0)).dropped, Some(DropCause::BlindReset));
    assert_eq!(s.poll().unwrap().options.timestamps.unwrap().echo, 9_000);
}

#[test]
fn a_timestamp_that_was_not_agreed_on_refuses_nothing() {
    let mut s = Script::open(plain());
    assert_eq!(s.deliver(Seg::data(0, 100, 0).stamp(9_000, 0)).deliver, 100);
    assert_eq!(s.deliver(Seg::data(100, 100, 0).stamp(1, 0)).deliver, 100);
}

#[test]
fn what_was_refused_is_not_reported_as_held() {
    let mut s = Script::open(with_sack());
    s.conn.set_reassembly_limit(0);
    let out = s.deliver(Seg::data(1_000, 1_000, 0));
    assert_eq!(out.dropped, Some(DropCause::ReassemblyFull));
    assert_eq!(s.poll_all()[0].sack(), []);
}

#[test]
fn bytes_that_are_only_selectively_acknowledged_are_kept() {
    let mut s = Script::open(with_sack());
    s.write(5_000);
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 5_000)]));
    assert_eq!(s.conn.acknowledged(), 0);
    s.answer(Seg::ack(0, 5_000));
    assert_eq!(s.conn.acknowledged(), 5_000);
}

#[test]
fn a_timeout_sends_the_left_edge_again_even_if_the_peer_has_said_that_it_holds_it() {
    let mut s = Script::open(with_sack());
    s.write(5_000);
    s.now = s.now + ms(50);
    s.answer(Seg::ack(0, 0).sack(&[(1_000, 5_000)]));
    // The peer takes its first byte range late, and then has lost what it had beyond.
    s.answer(Seg::ack(0, 1_000));
    let again = s.pass(Duration::from_secs(5));
    assert!(again.iter().any(|t| t.seq == 1_000 && t.again), "{again:?}");
}

#[test]
fn a_syn_is_challenged_wherever_it_lies() {
    for seq in [-1_000, -1, 0, 5, 19_999, 20_001, 1 << 30] {
        let mut s = Script::open(plain());
        let out = s.deliver(Seg::new(TcpFlags::SYN, seq, 0));
        assert!(out.dropped.is_some() && out.reply.is_none());
        let sent = s.poll_all();
        assert_eq!((sent.len(), sent[0].seq, sent[0].ack, sent[0].flags), (1, 0, 0, TcpFlags::ACK), "{seq}");
        assert_eq!(s.conn.close_reason(), None);
    }
}
