//! RFC 5961: what is challenged, and how often.

use bypath_tcp::{Config, DropCause, Events};
use bypath_wire::tcp::TcpFlags;

use crate::script::{Script, Seg, ms, plain};

fn blind() -> [(Seg, DropCause); 4] {
    [
        (Seg::rst(10), DropCause::BlindReset),
        (Seg::new(TcpFlags::SYN, 10, 0), DropCause::BlindSyn),
        (Seg::ack(0, 5_000), DropCause::BadAck),
        (Seg::ack(0, -100_000), DropCause::BadAck),
    ]
}

#[test]
fn each_blind_segment_is_challenged_and_counted_by_its_cause() {
    for (seg, cause) in blind() {
        let mut s = Script::open(plain());
        let out = s.deliver(seg);
        assert_eq!(out.dropped, Some(cause));
        assert!(out.events.contains(Events::CHALLENGED));
        let sent = s.poll_all();
        assert_eq!((sent.len(), sent[0].seq, sent[0].ack, sent[0].flags), (1, 0, 0, TcpFlags::ACK));
    }
}

#[test]
fn a_connection_sends_ten_challenges_in_a_second_and_counts_the_rest() {
    let mut s = Script::open(plain());
    let sent: usize = (0..100).map(|_| s.answer(Seg::rst(10)).len()).sum();
    assert_eq!(sent, 10);
    let stats = s.conn.stats();
    assert_eq!((stats.challenge_acks, stats.challenge_acks_withheld), (10, 90));
    s.pass(ms(1_000));
    assert_eq!(s.answer(Seg::rst(10)).len(), 1);
    let mut s = Script::open(Config { challenge_acks_per_connection: 1, ..plain() });
    assert_eq!((0..100).map(|_| s.answer(Seg::rst(10)).len()).sum::<usize>(), 1);
}

#[test]
fn a_challenge_that_the_stack_withholds_is_not_sent() {
    let mut s = Script::open(plain());
    s.deliver(Seg::rst(10));
    s.conn.withhold_challenge();
    assert_eq!(s.poll_all(), []);
    assert_eq!((s.conn.stats().challenge_acks, s.conn.stats().challenge_acks_withheld), (0, 1));
}

#[test]
fn an_acknowledgement_that_was_due_anyway_is_sent_though_the_challenge_is_withheld() {
    let mut s = Script::open(plain());
    s.deliver(Seg::data(0, 100, 0));
    s.deliver(Seg::rst(110));
    s.conn.withhold_challenge();
    assert_eq!(s.poll_all().len(), 1);
}
