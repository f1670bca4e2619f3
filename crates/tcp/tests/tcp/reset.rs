//! Resets received and sent, and blind attacks (RFC 5961).

use bypath_tcp::{CloseReason, DropCause, Events, Segment, State, reset_for};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};

use crate::script::{Script, Seg, ms, plain, ranges};

#[test]
fn a_reset_at_the_next_number_ends_the_connection() {
    let mut s = Script::open(plain());
    s.deliver(Seg::rst(0));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
    assert!(s.events.contains(Events::CLOSED));
    assert_eq!(s.poll(), None);
}

#[test]
fn a_reset_elsewhere_in_the_window_is_challenged() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::rst(1));
    assert_eq!(out.dropped, Some(DropCause::BlindReset));
    assert_eq!(ranges(&s.poll_all()), [(0, 0)]);
    assert_eq!(s.state(), State::Established);
}

#[test]
fn a_reset_outside_the_window_is_ignored() {
    let mut s = Script::open(plain());
    for seq in [-1, 20_001, 1 << 30] {
        assert_eq!(s.deliver(Seg::rst(seq)).dropped, Some(DropCause::OutOfWindow));
        assert_eq!(s.poll(), None);
    }
}

#[test]
fn a_syn_in_the_window_is_challenged() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::new(TcpFlags::SYN, 500, 0));
    assert_eq!(out.dropped, Some(DropCause::BlindSyn));
    assert_eq!(ranges(&s.poll_all()), [(0, 0)]);
    assert_eq!(s.state(), State::Established);
}

#[test]
fn challenges_are_limited_to_ten_a_second() {
    let mut s = Script::open(plain());
    let count = |s: &mut Script| (0..50).map(|_| s.answer(Seg::rst(7)).len()).sum::<usize>();
    assert_eq!(count(&mut s), 10);
    assert_eq!(s.conn.stats().challenge_acks, 10);
    s.pass(ms(1_000));
    assert_eq!(count(&mut s), 10);
}

#[test]
fn a_reset_in_syn_received_by_active_open_means_refused() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.answer(Seg::syn());
    s.deliver(Seg::rst(0));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Refused));
}

#[test]
fn a_reset_of_our_last_fin_is_an_end_like_any_other() {
    let mut s = Script::open(plain());
    s.answer(Seg::fin(0, 0));
    s.close();
    s.deliver(Seg::rst(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Finished));
}

#[test]
fn a_reset_before_our_data_is_acknowledged_is_told() {
    let mut s = Script::open(plain());
    s.answer(Seg::fin(0, 0));
    s.write(100);
    s.close();
    s.deliver(Seg::rst(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn abort_resets_the_peer_at_the_number_it_expects() {
    let mut s = Script::open(plain());
    s.write(500);
    let reset = s.conn.abort(s.now).unwrap();
    let reset = s.read(reset);
    assert!(reset.flags.contains(TcpFlags::RST));
    assert_eq!(reset.seq, 500);
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Aborted));
}

#[test]
fn abort_has_nobody_to_tell_before_the_peer_answers_and_after_the_end() {
    let mut s = Script::connecting(plain());
    s.poll();
    assert_eq!(s.conn.abort(s.now), None);
    assert_eq!(s.conn.abort(s.now), None);
}

fn stray(flags: TcpFlags, seq: u32, ack: u32, payload_len: u32) -> Option<bypath_tcp::TxSegment> {
    let header = TcpHeader { seq: SeqNum(seq), ack: SeqNum(ack), flags, ..TcpHeader::default() };
    reset_for(&Segment::new(&header, &TcpOptions::default(), payload_len))
}

#[test]
fn a_stray_segment_with_ack_is_reset_at_that_number() {
    let reset = stray(TcpFlags::ACK, 5, 77, 10).unwrap();
    assert_eq!((reset.seq, reset.flags), (SeqNum(77), TcpFlags::RST));
}

#[test]
fn a_stray_segment_without_ack_is_acknowledged_by_the_reset() {
    let reset = stray(TcpFlags::SYN | TcpFlags::FIN, 5, 0, 10).unwrap();
    assert_eq!((reset.seq, reset.ack), (SeqNum(0), SeqNum(17)));
    assert_eq!(reset.flags, TcpFlags::RST | TcpFlags::ACK);
}

#[test]
fn a_reset_is_never_answered() {
    assert_eq!(stray(TcpFlags::RST, 5, 77, 0), None);
    let mut s = Script::open(plain());
    s.conn.abort(s.now);
    assert_eq!(s.deliver(Seg::rst(0)).reply, None);
}
