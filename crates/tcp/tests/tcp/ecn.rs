//! Explicit congestion notification: the agreement, what is marked, echoed and answered (RFC 3168, 8257, 9768).

use bypath_tcp::{Config, CongestionControl, Ecn, EcnFeedback, EcnMode, Pacing};
use bypath_wire::tcp::TcpFlags;

use crate::script::{RTT, Script, Seg, Sent, ms, next_offset, plain, ranges, with_sack};

const CLASSIC: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);
const ACE: TcpFlags = CLASSIC.union(TcpFlags::AE);

fn asks(mode: EcnMode) -> Config {
    Config { ecn: mode, ..with_sack() }
}

/// Opened by us, with ECN agreed.
fn open(mode: EcnMode) -> Script {
    open_with(asks(mode))
}

fn open_with(config: Config) -> Script {
    let answer = if config.ecn == EcnMode::Accurate { TcpFlags::CWR } else { TcpFlags::ECE };
    let s = Script::open_to(config, Seg::syn_ack().mss(1_000).with(answer));
    assert_ne!(s.conn.ecn(), EcnFeedback::None);
    s
}

/// The three bits of a segment as a number.
fn ace(sent: &Sent) -> u32 {
    u32::from(sent.flags.contains(TcpFlags::AE)) << 2
        | u32::from(sent.flags.contains(TcpFlags::CWR)) << 1
        | u32::from(sent.flags.contains(TcpFlags::ECE))
}

fn with_ace(seg: Seg, n: u32) -> Seg {
    let bit = |mask, flag| if n & mask != 0 { flag } else { TcpFlags::empty() };
    seg.with(bit(4, TcpFlags::AE) | bit(2, TcpFlags::CWR) | bit(1, TcpFlags::ECE))
}

#[test]
fn does_not_ask_by_default() {
    let mut s = Script::connecting(plain());
    assert!(!s.poll().expect("SYN").flags.intersects(ACE));
}

#[test]
fn agrees_by_default_when_asked() {
    let mut s = Script::accepting(plain(), Seg::syn().with(CLASSIC));
    let syn_ack = s.poll().expect("SYN-ACK");
    assert_eq!(syn_ack.flags & ACE, TcpFlags::ECE);
    assert_eq!(syn_ack.ecn, Ecn::NotEct);
    assert_eq!(s.conn.ecn(), EcnFeedback::Classic);
}

#[test]
fn refuses_when_switched_off_and_where_marks_would_not_be_answered() {
    let off = Config { ecn: EcnMode::Off, ..plain() };
    let bbr = Config { congestion: CongestionControl::Bbr, ..plain() };
    for config in [off, bbr] {
        let mut s = Script::accepting(config, Seg::syn().with(CLASSIC));
        assert!(!s.poll().expect("SYN-ACK").flags.intersects(ACE));
    }
}

#[test]
fn one_of_the_two_bits_in_a_syn_asks_for_nothing() {
    for half in [TcpFlags::ECE, TcpFlags::CWR] {
        let s = Script::accepting(plain(), Seg::syn().with(half));
        assert_eq!(s.conn.ecn(), EcnFeedback::None);
    }
}

#[test]
fn asks_when_told_to_and_takes_the_answer() {
    let mut s = Script::connecting(asks(EcnMode::Request));
    let syn = s.poll().expect("SYN");
    assert_eq!(syn.flags & ACE, CLASSIC);
    assert_eq!(syn.ecn, Ecn::NotEct);
    s.answer(Seg::syn_ack().with(TcpFlags::ECE));
    assert_eq!(s.conn.ecn(), EcnFeedback::Classic);
}

#[test]
fn a_syn_ack_that_only_reflects_the_bits_is_no_agreement() {
    let mut s = Script::connecting(asks(EcnMode::Request));
    s.poll();
    s.answer(Seg::syn_ack().with(CLASSIC));
    assert_eq!(s.conn.ecn(), EcnFeedback::None);
}

#[test]
fn after_a_lost_syn_the_next_does_without() {
    let mut s = Script::connecting(asks(EcnMode::Request));
    s.poll();
    let again = s.pass(ms(1_000));
    assert!(!again[0].flags.intersects(ACE), "RFC 3168 section 6.1.1.1");
    s.answer(Seg::syn_ack().with(TcpFlags::ECE));
    assert_eq!(s.conn.ecn(), EcnFeedback::None, "it answers the first SYN, and the second said no");
}

#[test]
fn only_new_data_is_sent_as_capable() {
    let mut s = open(EcnMode::Request);
    let sent = s.write(5_000);
    assert!(sent.iter().all(|p| p.ecn == Ecn::Ect0), "{sent:?}");
    let ack = s.answer(Seg::data(0, 100, 0));
    assert_eq!((ack[0].len, ack[0].ecn), (0, Ecn::NotEct));
    let again = s.pass(ms(1_000));
    assert!(again.iter().any(|p| p.again) && again.iter().all(|p| !p.again || p.ecn == Ecn::NotEct));
}

#[test]
fn a_mark_is_echoed_until_the_peer_has_slowed_down() {
    let mut s = open(EcnMode::Request);
    let echo = |sent: &[Sent]| sent[0].flags.contains(TcpFlags::ECE);
    assert!(!echo(&s.answer(Seg::data(0, 1_000, 0).ecn(Ecn::Ect0))));
    assert!(echo(&s.answer(Seg::data(1_000, 1_000, 0).ecn(Ecn::Ce))));
    assert!(echo(&s.answer(Seg::data(2_000, 1_000, 0).ecn(Ecn::Ect0))));
    assert!(!echo(&s.answer(Seg::data(3_000, 1_000, 0).ecn(Ecn::Ect0).with(TcpFlags::CWR))));
    assert!(echo(&s.answer(Seg::data(4_000, 1_000, 0).ecn(Ecn::Ce).with(TcpFlags::CWR))), "marked again");
    assert_eq!(s.conn.stats().ce_in, 2);
}

#[test]
fn an_echo_reduces_the_window_once_a_round_trip_and_new_data_says_so() {
    let mut s = open(EcnMode::Request);
    s.write(50_000);
    s.pass(RTT);
    let before = s.conn.cwnd();
    let sent = s.answer(Seg::ack(0, 2_000).with(TcpFlags::ECE));
    assert_eq!(s.conn.cwnd(), before * 7 / 10 / 1_000 * 1_000, "{sent:?}");
    let reduced = s.conn.cwnd();
    let mut told = sent.iter().filter(|p| p.flags.contains(TcpFlags::CWR)).count();
    for acked in 3..=10 {
        let sent = s.answer(Seg::ack(0, acked * 1_000).with(TcpFlags::ECE));
        told += sent.iter().filter(|p| p.flags.contains(TcpFlags::CWR)).count();
    }
    assert_eq!((s.conn.cwnd(), told), (reduced, 1));
    assert_eq!(s.conn.stats().segs_retrans, 0);
    // The next window is another matter.
    s.pass(ms(50));
    s.answer(Seg::ack(0, 12_000).with(TcpFlags::ECE));
    assert!(s.conn.cwnd() < reduced, "{} {reduced}", s.conn.cwnd());
}

#[test]
fn marks_bring_the_window_down_to_one_segment_which_a_loss_does_not() {
    for congestion in [CongestionControl::Cubic, CongestionControl::NewReno] {
        let mut s = open_with(Config { congestion, ..asks(EcnMode::Request) });
        s.write(200_000);
        for _ in 0..20 {
            s.pass(RTT / 2);
            let all = i64::from(s.conn.snd_nxt().offset_from(crate::script::OURS));
            s.answer(Seg::ack(0, all).with(TcpFlags::ECE));
        }
        assert_eq!(s.conn.cwnd(), 1_000, "{congestion:?}");
        assert!(s.conn.ssthresh() >= 2_000);
    }
}

#[test]
fn marks_at_a_window_of_one_segment_hold_the_next_one_back_twice_as_long_each_time() {
    for (congestion, pacing) in
        [(CongestionControl::Cubic, Pacing::Off), (CongestionControl::NewReno, Pacing::On)]
    {
        let mut s = open_with(Config { congestion, pacing, ..asks(EcnMode::Request) });
        s.write(200_000);
        for _ in 0..20 {
            if s.conn.cwnd() > 1_000 {
                s.pass(RTT / 2);
                let all = next_offset(&s);
                s.answer(Seg::ack(0, all).with(TcpFlags::ECE));
            }
        }
        assert_eq!(s.conn.cwnd(), 1_000);
        let mut waits = Vec::new();
        for _ in 0..4 {
            s.poll_all();
            s.pass(RTT / 2);
            let all = next_offset(&s);
            assert_eq!(s.answer(Seg::ack(0, all).with(TcpFlags::ECE)), [], "{congestion:?}");
            let mut waited = 0;
            let sent = loop {
                waited += 1;
                let sent = s.pass(ms(1));
                if !sent.is_empty() || waited == 10_000 {
                    break sent;
                }
            };
            assert_eq!(ranges(&sent), [(all, 1_000)]);
            waits.push(waited);
        }
        assert!(waits[0] >= 200, "{waits:?}");
        assert!(waits.windows(2).all(|w| w[1] >= w[0] * 17 / 10), "{congestion:?}: {waits:?}");
        // Without a mark the window opens again.
        s.poll_all();
        let all = next_offset(&s);
        assert!(!s.answer(Seg::ack(0, all)).is_empty(), "{congestion:?}");
    }
}

#[test]
fn without_agreement_the_bits_mean_nothing() {
    let mut s = Script::open(plain());
    s.write(10_000);
    s.pass(ms(50));
    let before = s.conn.cwnd();
    s.answer(Seg::ack(0, 2_000).with(TcpFlags::ECE));
    assert!(s.conn.cwnd() >= before);
    let sent = s.answer(Seg::data(0, 1_000, 2_000).ecn(Ecn::Ce));
    assert!(!sent[0].flags.intersects(ACE));
}

#[test]
fn dctcp_asks_and_acknowledges_marked_and_unmarked_segments_apart() {
    let config = Config { congestion: CongestionControl::Dctcp, quick_acks: 0, ..with_sack() };
    let mut s = open_with(config);
    s.deliver(Seg::data(0, 1_000, 0).ecn(Ecn::Ect0));
    let received = s.deliver(Seg::data(1_000, 1_000, 0).ecn(Ecn::Ce));
    let apart = s.read(received.reply.expect("an acknowledgement of the first alone"));
    assert_eq!((apart.ack, apart.flags.contains(TcpFlags::ECE)), (1_000, false));
    let rest = s.pass(ms(40));
    assert_eq!((rest[0].ack, rest[0].flags.contains(TcpFlags::ECE)), (2_000, true));
    s.deliver(Seg::data(2_000, 1_000, 0).ecn(Ecn::Ect0));
    let rest = s.pass(ms(40));
    assert!(!rest[0].flags.contains(TcpFlags::ECE), "no CWR is waited for");
}

#[test]
fn accurate_feedback_is_asked_for_with_three_bits_and_the_answer_is_answered() {
    let mut s = Script::connecting(asks(EcnMode::Accurate));
    assert_eq!(s.poll().expect("SYN").flags & ACE, ACE);
    // The peer saw a SYN that could not be marked; its own answer was.
    let sent = s.answer(with_ace(Seg::syn_ack(), 0b010).ecn(Ecn::Ce));
    assert_eq!(s.conn.ecn(), EcnFeedback::Accurate);
    assert_eq!(ace(&sent[0]), 0b110, "the SYN-ACK was marked");
    assert_eq!(ace(&s.write(1_000)[0]), 6, "and counts: five and one");
}

#[test]
fn a_peer_without_accurate_feedback_is_taken_as_classic_or_not_at_all() {
    for (answer, agreed) in [
        (0b001, EcnFeedback::Classic),
        (0b101, EcnFeedback::Classic),
        (0b000, EcnFeedback::None),
        (0b111, EcnFeedback::None),
    ] {
        let mut s = Script::connecting(asks(EcnMode::Accurate));
        s.poll();
        s.answer(with_ace(Seg::syn_ack(), answer));
        assert_eq!(s.conn.ecn(), agreed, "{answer:03b}");
    }
}

#[test]
fn an_accurate_syn_is_agreed_to_as_accurate_as_is_allowed() {
    for (mode, flags, agreed) in [
        (EcnMode::Accurate, 0b010, EcnFeedback::Accurate),
        (EcnMode::Accept, 0b001, EcnFeedback::Classic),
        (EcnMode::Off, 0b000, EcnFeedback::None),
    ] {
        let mut s = Script::accepting(asks(mode), Seg::syn().with(ACE));
        assert_eq!((ace(&s.poll().expect("SYN-ACK")), s.conn.ecn()), (flags, agreed), "{mode:?}");
    }
}

#[test]
fn bits_that_do_not_get_through_end_accurate_feedback() {
    let mut s = Script::accepting(asks(EcnMode::Accurate), Seg::syn().with(ACE));
    s.poll();
    s.answer(Seg::ack(0, 0));
    assert_eq!(s.conn.ecn(), EcnFeedback::None, "the last of three came with none of the three bits");
}

#[test]
fn marks_are_counted_in_three_bits_and_never_more_than_they_hold() {
    let mut s = open(EcnMode::Accurate);
    assert_eq!(ace(&s.answer(Seg::data(0, 1_000, 0).ecn(Ecn::Ect0))[0]), 5);
    assert_eq!(ace(&s.answer(Seg::data(1_000, 1_000, 0).ecn(Ecn::Ce))[0]), 6);
    let mut early = 0;
    for i in 2..20 {
        early += usize::from(s.deliver(Seg::data(i * 1_000, 1_000, 0).ecn(Ecn::Ce)).reply.is_some());
    }
    assert_eq!(early, 3, "every six marks an acknowledgement that waits for no batch");
}

#[test]
fn a_count_that_moves_reduces_the_window_once_a_round_trip() {
    let mut s = open(EcnMode::Accurate);
    s.write(50_000);
    s.pass(ms(50));
    let before = s.conn.cwnd();
    s.answer(with_ace(Seg::ack(0, 2_000), 5));
    assert!(s.conn.cwnd() >= before, "nothing is marked");
    let before = s.conn.cwnd();
    s.answer(with_ace(Seg::ack(0, 4_000), 6));
    let reduced = s.conn.cwnd();
    assert!(reduced < before, "{reduced} {before}");
    s.answer(with_ace(Seg::ack(0, 6_000), 7));
    assert_eq!(s.conn.cwnd(), reduced);
    s.answer(with_ace(Seg::ack(0, 8_000), 0));
    assert_eq!(s.conn.cwnd(), reduced);
    assert_eq!(s.conn.stats().ecn_signals, 3);
}
