//! Segments that no honest peer sends, in every state: they change nothing, are counted by their cause, and cost
//! no more than an acknowledgement.

use std::time::Duration;

use bypath_tcp::{DropCause, State};
use bypath_wire::tcp::TcpFlags;

use crate::script::{RTT, Script, Seg, ms, plain};

const STATES: [State; 9] = [
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// A connection in `state`, whose peer has sent nothing but, perhaps, FIN.
fn in_state(state: State) -> Script {
    let mut s = match state {
        State::SynSent => {
            let mut s = Script::connecting(plain());
            s.poll();
            return s;
        }
        State::SynReceived => {
            let mut s = Script::accepting(plain(), Seg::syn().mss(1_000));
            s.poll();
            s.now = s.now + RTT;
            return s;
        }
        _ => Script::open(plain()),
    };
    match state {
        State::FinWait1 => drop(s.close()),
        State::FinWait2 => {
            s.close();
            s.answer(Seg::ack(0, 1));
        }
        State::CloseWait => drop(s.answer(Seg::fin(0, 0))),
        State::Closing => {
            s.close();
            s.answer(Seg::fin(0, 0));
        }
        State::LastAck => {
            s.answer(Seg::fin(0, 0));
            s.close();
        }
        State::TimeWait => {
            s.close();
            s.answer(Seg::fin(0, 1));
        }
        _ => {}
    }
    assert_eq!(s.state(), state);
    s
}

#[test]
fn a_segment_outside_the_window_changes_nothing_in_any_state() {
    for state in STATES.into_iter().filter(|state| *state != State::SynSent) {
        for seq in [-1_000_000, -70_000, 100_000, 1_000_000_000] {
            for (flags, len) in [
                (TcpFlags::ACK, 0),
                (TcpFlags::ACK, 1_000),
                (TcpFlags::ACK | TcpFlags::FIN, 10),
                (TcpFlags::RST, 0),
                (TcpFlags::RST | TcpFlags::ACK, 0),
                (TcpFlags::ACK | TcpFlags::URG, 5),
            ] {
                let mut s = in_state(state);
                let before = (s.conn.rcv_nxt(), s.conn.snd_nxt(), s.conn.acknowledged());
                let out = s.deliver(Seg::new(flags, seq, 0).len(len));
                assert!(out.dropped.is_some(), "{state:?} {seq} {flags:?}");
                assert_eq!((out.deliver, out.store, out.reply), (0, None, None), "{state:?} {seq} {flags:?}");
                assert_eq!(s.state(), state, "{seq} {flags:?}");
                assert_eq!((s.conn.rcv_nxt(), s.conn.snd_nxt(), s.conn.acknowledged()), before);
                assert!(s.poll_all().len() <= 1, "{state:?} {seq} {flags:?}");
            }
        }
    }
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused_in_every_state() {
    for state in STATES {
        for beyond in [10, 100_000, 2_000_000_000] {
            let mut s = in_state(state);
            let seq = i64::from(s.conn.rcv_nxt().offset_from(crate::script::THEIRS));
            let seq = if state == State::SynSent { 0 } else { seq };
            let out = s.deliver(Seg::ack(seq, beyond));
            assert_eq!(out.dropped, Some(DropCause::BadAck), "{state:?} {beyond}");
            assert_eq!(s.state(), state);
            assert_eq!(s.conn.acknowledged(), 0);
        }
    }
}

#[test]
fn every_combination_of_flags_in_every_state_at_every_edge_ends_in_a_known_state() {
    for state in STATES {
        for bits in 0..512u16 {
            for (seq, len) in [(0, 0), (0, 1), (1, 3), (-1, 1), (19_999, 2), (20_000, 0), (20_001, 1)] {
                for ack in [-1, 0, 1, 2] {
                    let mut s = in_state(state);
                    let flags = TcpFlags::from_bits_truncate(bits);
                    let out = s.deliver(Seg::new(flags, seq, ack).len(len).urgent_if(bits));
                    assert!(out.skip + out.deliver <= len, "{state:?} {flags:?} {out:?}");
                    if flags.contains(TcpFlags::RST) {
                        assert_eq!(out.reply, None, "a reset is never answered");
                    }
                    let sent = s.poll_all().len();
                    assert!(sent <= 2, "{state:?} {flags:?} {seq}: {sent}");
                }
            }
        }
    }
}

#[test]
fn a_window_that_stays_shut_for_an_hour_is_probed_and_then_used() {
    let mut s = Script::open(plain());
    s.answer(Seg::ack(0, 0).window(0));
    s.write(3_000);
    let mut probes = 0;
    for _ in 0..3_600 {
        for probe in s.pass(Duration::from_secs(1)) {
            assert_eq!(probe.range(), (0, 1));
            probes += 1;
            s.answer(Seg::ack(0, 0).window(0));
        }
    }
    assert_eq!(s.state(), State::Established);
    // Doubling up to two minutes.
    assert!((30..45).contains(&probes), "{probes}");
    assert_eq!(s.conn.stats().mtu_black_holes, 0);
    let sent = s.answer(Seg::ack(0, 0).window(20_000));
    assert!(!sent.is_empty());
}

#[test]
fn timestamps_that_go_backwards_cost_one_acknowledgement_each_and_no_data() {
    let mut s = Script::open(bypath_tcp::Config { timestamps: true, ..plain() });
    let stamp = s.stamp();
    s.deliver(Seg::data(0, 100, 0).stamp(stamp + 50, 0));
    for back in [1, 100, 1 << 30, i32::MAX as u32] {
        let seg = Seg::data(100, 100, 0).stamp((stamp + 50).wrapping_sub(back), 0);
        let out = s.deliver(seg);
        assert_eq!((out.deliver, out.dropped), (0, Some(DropCause::OldTimestamp)), "{back}");
        assert!(s.poll_all().len() <= 1);
    }
    assert_eq!(s.deliver(Seg::data(100, 100, 0).stamp(stamp + 51, 0)).deliver, 100);
}

#[test]
fn an_mss_of_1_costs_no_more_than_headers_of_its_own_size() {
    let mut s = Script::open_to(plain(), Seg::syn_ack().mss(1));
    s.conn.set_queued(10_000);
    let sent = s.poll_all();
    assert!(sent.iter().all(|t| t.len == 48), "{sent:?}");
    let mut s = Script::open_to(plain(), Seg::syn_ack().mss(0));
    assert_eq!(s.write(100).first().map(|t| t.len), Some(48));
}

#[test]
fn an_mss_of_65_535_is_no_more_than_our_own_end_carries() {
    let mut s = Script::open_to(plain(), Seg::syn_ack().mss(u16::MAX));
    assert!(s.write(5_000).iter().all(|t| t.len == 1_000));
}

#[test]
fn a_peer_that_takes_its_window_back_is_not_sent_more_and_is_not_lost() {
    let mut s = Script::open(plain());
    s.write(10_000);
    for window in [5_000, 1_000, 1, 0] {
        assert_eq!(s.answer(Seg::ack(0, 1_000).window(window)), [], "{window}");
    }
    s.pass(ms(5_000));
    s.answer(Seg::ack(0, 10_000).window(20_000));
    assert_eq!(s.conn.acknowledged(), 10_000);
}
