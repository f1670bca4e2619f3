//! Sections 3.5.3, 3.6.1 and 3.9.1.2: resets with data, PSH, what is put together.

use bypath_tcp::{CloseReason, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, Sent, plain, ranges};

fn push(sent: &[Sent]) -> Vec<bool> {
    sent.iter().map(|t| t.flags.contains(TcpFlags::PSH)).collect()
}

#[test]
fn a_reset_may_carry_data() {
    let mut s = Script::open(plain());
    let out = s.deliver(Seg::rst(0).len(40));
    assert_eq!(out.deliver, 0);
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn a_reset_ends_time_wait() {
    let mut s = Script::open(plain());
    s.close();
    s.answer(Seg::fin(0, 1));
    assert_eq!(s.state(), State::TimeWait);
    s.deliver(Seg::rst(1));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Finished));
}

#[test]
fn the_last_segment_of_what_is_queued_has_psh() {
    let mut s = Script::open(plain());
    let sent = s.write(2_500);
    assert_eq!(push(&sent), [false, false, true]);
    assert_eq!(s.write(500), [], "Nagle keeps it");
    let rest = s.answer(Seg::ack(0, 2_500));
    assert_eq!((ranges(&rest), push(&rest)), (vec![(2_500, 500)], vec![true]));
    let whole = s.answer(Seg::ack(0, 3_000));
    assert_eq!(whole, []);
    assert_eq!(push(&s.write(1_000)), [true], "a full segment as well, if it is the last");
}

#[test]
fn pushes_of_several_writes_become_one() {
    let mut s = Script::open(plain());
    s.write(10);
    for _ in 0..5 {
        assert_eq!(s.write(100), []);
    }
    let sent = s.answer(Seg::ack(0, 10));
    assert_eq!((ranges(&sent), push(&sent)), (vec![(10, 500)], vec![true]));
}
