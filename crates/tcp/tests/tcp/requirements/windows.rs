//! Sections 3.4 and 3.8.6: our window shut, our window's edge, the peer's window taken back.

use std::time::Duration;

use bypath_tcp::{CloseReason, Config, Events, State};

use crate::script::{Script, Seg, ms, plain, ranges};

/// A connection whose receive buffer is full.
fn full() -> Script {
    let mut s = Script::open(plain());
    for n in 0..20 {
        s.answer(Seg::data(1_000 * n, 1_000, 0));
    }
    assert_eq!(s.answer(Seg::data(20_000, 1, 0))[0].window, 0);
    s
}

#[test]
fn a_reset_counts_while_our_window_is_shut() {
    let mut s = full();
    s.deliver(Seg::rst(20_000));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn an_urgent_mark_counts_while_our_window_is_shut() {
    let mut s = full();
    let out = s.deliver(Seg::ack(20_000, 0).urgent(50));
    assert!(out.events.contains(Events::URGENT));
    assert!(s.conn.urgent_mark().is_some());
}

#[test]
fn acknowledgements_count_while_our_window_is_shut() {
    let mut s = full();
    s.write(3_000);
    s.answer(Seg::ack(20_000, 2_000));
    assert_eq!(s.conn.acknowledged(), 2_000);
}

#[test]
fn our_window_may_stay_shut_without_end() {
    let mut s = full();
    for _ in 0..2_000 {
        s.pass(Duration::from_secs(60));
        let answer = s.answer(Seg::data(20_000, 1, 0));
        assert_eq!((answer[0].ack, answer[0].window), (20_000, 0));
    }
    assert_eq!(s.state(), State::Established);
}

#[test]
fn the_right_edge_of_our_window_never_moves_back() {
    for scale in [false, true] {
        let config = Config { window_scaling: scale, receive_buffer: 300_000, ..plain() };
        let mut s = Script::open_to(config, Seg::syn_ack().mss(1_000).scale(0));
        let shift = if scale { 3 } else { 0 };
        let (mut sent, mut edge) = (0i64, 0i64);
        // A reader that takes what it likes: the space it leaves goes up and down.
        let mut seed = 7u64;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let len = 1 + (seed >> 40) % 1_000;
            s.conn.set_receive_space(((seed >> 33) % 300_000) as u32);
            let room = (edge - sent).clamp(0, len as i64) as u32;
            for answer in s.answer(Seg::data(sent, room.max(1), 0)) {
                let told = answer.ack + (i64::from(answer.window) << shift);
                // Less than one unit of the scale is lost to rounding (RFC 7323 section 2.4).
                assert!(told + (1 << shift) > edge, "{told} after {edge}");
                edge = edge.max(told);
                sent = answer.ack;
            }
        }
        assert!(sent > 100_000, "{sent}");
    }
}

#[test]
fn what_lies_within_a_window_that_has_shrunk_is_sent_again() {
    let mut s = Script::open(plain());
    assert_eq!(s.write(5_000).len(), 5);
    s.answer(Seg::ack(0, 1_000).window(2_000));
    assert_eq!(ranges(&s.pass(ms(400)))[0], (1_000, 1_000));
    assert_eq!(ranges(&s.answer(Seg::ack(0, 2_000).window(1_000)))[0], (2_000, 1_000));
}

#[test]
fn what_crosses_the_edge_of_a_window_that_has_shrunk_is_sent_again_too() {
    let mut s = Script::open(plain());
    s.write(2_000);
    s.answer(Seg::ack(0, 1_000).window(300));
    assert_eq!(ranges(&s.pass(ms(400))), [(1_000, 1_000)]);
}

#[test]
fn a_later_acknowledgement_brings_its_window_whatever_its_sequence_number() {
    let mut s = Script::open(plain());
    s.write(3_000);
    s.answer(Seg::data(0, 100, 1_000).window(5_000));
    // A retransmission of the peer's first byte that acknowledges more.
    s.answer(Seg::data(0, 100, 2_000).window(4_000));
    assert_eq!(s.conn.peer_window(), 4_000);
}
