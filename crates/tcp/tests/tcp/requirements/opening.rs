//! Sections 3.5 and 3.7.1: who opened, and the size of segments.

use bypath_tcp::{CloseReason, Config, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, plain, ranges};

#[test]
fn a_reset_in_syn_received_by_passive_open_is_no_refusal() {
    let mut s = Script::accepting(plain(), Seg::syn());
    s.poll();
    s.deliver(Seg::rst(0));
    assert_eq!(s.conn.close_reason(), Some(CloseReason::Reset));
}

#[test]
fn a_peer_that_names_no_mss_gets_what_its_family_takes() {
    for default_mss in [536, 1_220] {
        let config = || Config { default_mss, mss: 1_400, ..plain() };
        let mut s = Script::open_to(config(), Seg::syn_ack());
        assert_eq!(ranges(&s.write(3_000))[0], (0, u32::from(default_mss)));
        let mut s = Script::accepting(config(), Seg::syn());
        s.poll();
        s.answer(Seg::ack(0, 0));
        assert_eq!(ranges(&s.write(3_000))[0], (0, u32::from(default_mss)));
    }
}

#[test]
fn the_segment_size_is_announced_in_syns_and_nowhere_else() {
    let mut s = Script::connecting(Config { keep_alive: Some(std::time::Duration::from_secs(9)), ..plain() });
    assert!(s.poll().unwrap().options.mss.is_some());
    let mut sent = s.answer(Seg::syn_ack().mss(1_000));
    sent.extend(s.write(2_000));
    sent.extend(s.answer(Seg::data(0, 10, 2_000)));
    sent.extend(s.pass(std::time::Duration::from_secs(10)));
    sent.extend(s.answer(Seg::rst(5)));
    sent.extend(s.close());
    assert!(
        sent.iter().any(|t| t.len > 0) && sent.iter().any(|t| t.len == 0) && sent.iter().any(|t| t.fin())
    );
    assert!(sent.iter().all(|t| t.options.mss.is_none() && !t.flags.contains(TcpFlags::SYN)));
    let reset = s.conn.abort(s.now).unwrap();
    assert_eq!(reset.options.mss, None);

    let mut s = Script::accepting(plain(), Seg::syn());
    assert!(s.poll().unwrap().options.mss.is_some(), "in a SYN-ACK too");
}

#[test]
fn a_segment_size_named_later_changes_nothing() {
    let mut s = Script::open(plain());
    s.answer(Seg::data(0, 10, 0).mss(100));
    assert_eq!(s.conn.mss(), 1_000);
}

#[test]
fn a_crossed_syn_is_answered_whoever_opened() {
    let mut s = Script::connecting(plain());
    s.poll();
    s.answer(Seg::syn().mss(800));
    assert_eq!(s.state(), State::SynReceived);
    s.deliver(Seg::ack(0, 0));
    assert_eq!((s.state(), s.conn.mss()), (State::Established, 800), "the crossed SYN counted");
}
