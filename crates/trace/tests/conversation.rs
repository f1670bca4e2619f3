//! Tracking of connections, segment by segment.

mod support;

use bypath_trace::conversation::{Cause, Close, End, Kind, Limits, Marks, State, Table};
use bypath_trace::layers::TcpFlags;
use support::{CLIENT, SERVER, Talk};

const A: TcpFlags = TcpFlags::ACK;
const MS: i64 = 1_000_000;

#[test]
fn a_handshake_is_recognised_and_its_agreement_told() {
    let mut talk = Talk::default();
    assert_eq!(talk.syn().kind, Kind::Syn);
    let answer = talk.after(10 * MS).syn_ack();
    assert_eq!(answer.kind, Kind::SynAck);
    assert_eq!(answer.states, [State::Established, State::SynReceived]);
    let third = talk.after(5 * MS).client(1, 0, A, 1);
    assert_eq!(third.kind, Kind::HandshakeAck);
    assert_eq!(third.states, [State::Established; 2]);
    let summary = talk.summary();
    assert_eq!(summary.handshake_ns, Some(15 * MS));
    let agreed = summary.agreed.unwrap();
    assert!(agreed.sack && !agreed.timestamps && !agreed.ecn);
    assert_eq!(agreed.mss, [Some(1460), Some(1460)]);
    assert_eq!(agreed.window_scale, Some([7, 7]));
}

#[test]
fn an_acknowledgment_tells_what_it_covers_and_gives_a_sample() {
    let mut talk = Talk::open();
    talk.client(1, 1000, A, 1);
    talk.after(MS).client(1001, 500, A, 1);
    let ack = talk.after(20 * MS).server(1, 0, A, 1501);
    let covered = ack.covered.unwrap();
    assert_eq!((covered.bytes, covered.segments, covered.rtt), (1500, 2, Some(20 * MS)));
    assert!(covered.all);
}

#[test]
fn three_duplicates_cause_a_fast_retransmission_and_recovery_goes_on() {
    let mut talk = Talk::open();
    for n in 0..6 {
        talk.client(1 + n * 100, 100, A, 1);
    }
    talk.after(20 * MS);
    for n in 1..=3 {
        assert_eq!(talk.server(1, 0, A, 1).kind, Kind::DuplicateAck(n));
    }
    let again = talk.client(1, 100, A, 1).again.unwrap();
    assert_eq!((again.cause, again.first, again.times), (Cause::DuplicateAcks(3), Some(4), 2));
    talk.after(20 * MS).server(1, 0, A, 101);
    let next = talk.client(101, 100, A, 1);
    assert!(next.is(Marks::RETRANSMISSION));
    assert_eq!(next.again.unwrap().cause, Cause::Recovery(13));
}

#[test]
fn identifications_that_are_counted_tell_what_was_overtaken() {
    let mut talk = Talk::open();
    for n in 0..10 {
        talk.id(100 + n as u16).client(1 + n * 100, 100, A, 1);
    }
    // 110 and 111 are not there yet, 112 is.
    talk.id(112).client(1_201, 100, A, 1);
    // At once, and yet it was sent again: the number is a later one.
    let again = talk.id(113).client(1_001, 100, A, 1);
    assert!(again.is(Marks::RETRANSMISSION) && !again.is(Marks::OUT_OF_ORDER));
    // After more than a round trip, and yet only overtaken.
    let late = talk.after(500 * MS).id(111).client(1_101, 100, A, 1);
    assert!(late.is(Marks::OUT_OF_ORDER) && !late.is(Marks::RETRANSMISSION));
}

#[test]
fn identifications_that_are_not_counted_tell_nothing() {
    for id in [|_: u16| 0, |n: u16| n.wrapping_mul(0x9e37)] {
        let mut talk = Talk::open();
        for n in 0..10 {
            talk.id(id(n as u16)).client(1 + n * 100, 100, A, 1);
        }
        talk.id(id(12)).client(1_201, 100, A, 1);
        assert!(talk.id(id(13)).client(1_001, 100, A, 1).is(Marks::OUT_OF_ORDER));
        assert!(talk.after(500 * MS).id(id(11)).client(1_101, 100, A, 1).is(Marks::RETRANSMISSION));
    }
}

#[test]
fn sack_tells_what_is_missing_and_causes_a_retransmission() {
    let mut talk = Talk::open();
    for n in 0..3 {
        talk.client(1 + n * 100, 100, A, 1);
    }
    let report = talk.after(20 * MS).sack(1, &[(101, 301)]);
    assert_eq!(report.selective.fresh, 200);
    assert_eq!(report.selective.missing, Some((1, 101)));
    assert_eq!(report.kind, Kind::DuplicateAck(1));
    assert_eq!(talk.client(1, 100, A, 1).again.unwrap().cause, Cause::Sacked(200));
}

#[test]
fn silence_causes_timeouts_that_are_counted() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    assert_eq!(talk.after(250 * MS).client(1, 100, A, 1).again.unwrap().cause, Cause::Timeout(1));
    let third = talk.after(500 * MS).client(1, 100, A, 1).again.unwrap();
    assert_eq!((third.cause, third.times, third.after), (Cause::Timeout(2), 3, Some(500 * MS)));
}

#[test]
fn a_tail_sent_again_before_the_timeout_is_a_probe() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    talk.client(101, 100, A, 1);
    assert_eq!(talk.after(30 * MS).client(101, 100, A, 1).again.unwrap().cause, Cause::TailProbe);
}

#[test]
fn what_was_acknowledged_is_sent_again_needlessly() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    talk.after(10 * MS).server(1, 0, A, 101);
    assert_eq!(talk.client(1, 100, A, 1).again.unwrap().cause, Cause::AlreadyAcknowledged);
    assert_eq!(talk.summary().from_client.needless_retransmissions, 1);
}

#[test]
fn a_duplicate_report_shows_which_retransmission_was_needless() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    let again = talk.after(250 * MS).client(1, 100, A, 1).number;
    talk.after(MS).server(1, 0, A, 101);
    let report = talk.after(MS).sack(101, &[(1, 101)]);
    assert!(report.is(Marks::DUPLICATE_SACK));
    assert_eq!(report.needless, Some(again));
}

#[test]
fn what_was_overtaken_fills_its_gap_within_a_round_trip() {
    let mut talk = Talk::open();
    let later = talk.client(101, 100, A, 1);
    assert_eq!((later.gap, later.is(Marks::GAP)), (100, true));
    let late = talk.after(MS).client(1, 100, A, 1);
    assert!(late.is(Marks::OUT_OF_ORDER) && late.again.is_none());
}

#[test]
fn a_gap_filled_after_a_round_trip_was_sent_again() {
    let mut talk = Talk::open();
    talk.client(101, 100, A, 1);
    let again = talk.after(50 * MS).client(1, 100, A, 1);
    assert!(again.is(Marks::RETRANSMISSION));
    assert_eq!(again.again.unwrap().first, None);
}

#[test]
fn a_window_closes_is_probed_and_opens_again() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    assert!(talk.window(0).server(1, 0, A, 101).is(Marks::ZERO_WINDOW));
    let probe = talk.after(300 * MS).window(512).client(100, 0, A, 1);
    assert_eq!(probe.kind, Kind::WindowProbe);
    assert_eq!(talk.window(0).server(1, 0, A, 101).kind, Kind::WindowProbeAck);
    let opened = talk.after(100 * MS).window(512).server(1, 0, A, 101);
    assert!(opened.is(Marks::WINDOW_OPENED) && opened.kind == Kind::WindowUpdate);
    assert_eq!(opened.window.was_closed_for, Some(400 * MS));
    assert_eq!(opened.window.now, 512 << 7);
}

#[test]
fn data_up_to_the_last_byte_of_the_window_fills_it() {
    let mut talk = Talk::open();
    talk.window(8).server(1, 0, A, 1);
    assert!(!talk.client(1, 1000, A, 1).is(Marks::WINDOW_FULL));
    let full = talk.client(1001, 24, A, 1);
    assert!(full.is(Marks::WINDOW_FULL));
    assert_eq!(full.room, Some(0));
}

#[test]
fn a_keep_alive_is_asked_and_answered() {
    let mut talk = Talk::open();
    talk.client(1, 10, A, 1);
    talk.server(1, 0, A, 11);
    assert_eq!(talk.after(7_200_000 * MS).client(10, 1, A, 1).kind, Kind::KeepAlive);
    assert_eq!(talk.server(1, 0, A, 11).kind, Kind::KeepAliveAck);
}

#[test]
fn an_acknowledgment_that_waited_was_delayed() {
    let mut talk = Talk::open();
    talk.client(1, 10, A, 1);
    talk.after(10 * MS).server(1, 0, A, 11);
    talk.client(11, 10, A, 1);
    let delayed = talk.after(50 * MS).server(1, 0, A, 21);
    assert!(delayed.is(Marks::DELAYED_ACK));
    assert_eq!(delayed.covered.unwrap().held, Some(40 * MS));
}

#[test]
fn who_closes_goes_through_time_wait_and_the_other_half_may_go_on() {
    let mut talk = Talk::open();
    assert_eq!(talk.client(1, 0, A | TcpFlags::FIN, 1).states[0], State::FinWait1);
    let acked = talk.server(1, 0, A, 2);
    assert!(acked.covered.unwrap().fin);
    assert_eq!(acked.states, [State::FinWait2, State::CloseWait]);
    assert!(talk.server(1, 100, A, 2).is(Marks::HALF_CLOSED));
    talk.client(2, 0, A, 101);
    assert_eq!(talk.server(101, 0, A | TcpFlags::FIN, 2).states[1], State::LastAck);
    assert_eq!(talk.client(2, 0, A, 102).states, [State::TimeWait, State::Closed]);
    let summary = talk.summary();
    assert_eq!((summary.closed_by, summary.closed_how), (Some(End::Client), Some(Close::Fin)));
}

#[test]
fn a_reset_outside_the_window_changes_nothing() {
    let mut talk = Talk::open();
    assert!(talk.client(90_000_000, 0, TcpFlags::RST, 0).is(Marks::RESET_IGNORED));
    assert_eq!(talk.client(1, 0, TcpFlags::RST, 0).states, [State::Closed; 2]);
    assert_eq!(talk.summary().closed_how, Some(Close::Reset));
}

#[test]
fn an_answer_of_an_earlier_connection_and_its_reset_change_nothing() {
    let mut talk = Talk::default();
    talk.syn();
    let old = talk.server(700, 0, A, 5_000);
    assert!(old.is(Marks::OF_EARLIER));
    assert!(talk.client(5_000, 0, TcpFlags::RST, 0).is(Marks::OF_EARLIER));
    talk.syn();
    assert_eq!(talk.syn_ack().kind, Kind::SynAck);
    assert_eq!(talk.client(1, 0, A, 1).states, [State::Established; 2]);
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Talk::starting(u32::MAX - 50, u32::MAX);
    talk.syn();
    talk.syn_ack();
    talk.client(1, 0, A, 1);
    for n in 0..100_i64 {
        let data = talk.client(1 + n * 100, 100, A, 1);
        assert_eq!((data.seq, data.marks), (1 + n * 100, Marks::empty()));
    }
    assert_eq!(talk.server(1, 0, A, 10_001).covered.unwrap().bytes, 10_000);
}

#[test]
fn a_capture_that_begins_in_the_middle_counts_from_there() {
    let mut talk = Talk::starting(1_000_000, 2_000_000);
    let first = talk.server(500, 100, A, 700);
    assert!(first.first && first.is(Marks::BEGINS_IN_THE_MIDDLE));
    // Port 80 is the server's.
    assert_eq!((first.from, first.seq), (End::Server, 1));
    let ack = talk.client(700, 0, A, 600);
    assert_eq!(ack.covered.unwrap().bytes, 100);
    assert!(ack.window.scale_unknown);
    assert_eq!(talk.server(600, 10, A, 700).marks, Marks::empty());
}

#[test]
fn ports_taken_again_begin_another_conversation() {
    let mut talk = Talk::open();
    talk.client(1, 0, A | TcpFlags::RST, 1);
    talk.restart(77_777, 88_888);
    let second = talk.syn();
    assert!(second.first && second.reuses_ports);
    assert_eq!(second.conversation, 2);
    assert_eq!(talk.table.retired().len(), 1);
}

#[test]
fn a_syn_in_a_living_connection_counts_when_it_is_answered() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    talk.restart(77_777, 88_888);
    let stray = talk.syn();
    assert!(stray.is(Marks::STRAY_SYN));
    assert_eq!((stray.conversation, stray.kind), (1, Kind::Ignored));
    let answer = talk.syn_ack();
    assert_eq!((answer.conversation, answer.kind), (2, Kind::SynAck));
}

#[test]
fn bytes_that_the_capture_lacks_are_noticed_when_they_are_acknowledged() {
    let mut talk = Talk::open();
    talk.client(1, 100, A, 1);
    assert!(talk.server(1, 0, A, 501).is(Marks::ACKED_UNSEEN));
    assert_eq!(talk.client(501, 100, A, 1).marks, Marks::empty());
    assert_eq!(talk.summary().from_client.not_captured_bytes, 400);
}

#[test]
fn a_full_table_gives_up_what_was_silent_longest() {
    let mut table = Table::new(Limits { conversations: 100, segments: 1_000 });
    let mut retired = 0;
    for n in 0..10_000_u16 {
        let mut segment = support::segment(u64::from(n), CLIENT, SERVER);
        segment.from.set_port(n);
        segment.flags = TcpFlags::SYN;
        table.observe(&segment);
        retired += table.retired().len();
    }
    assert_eq!((table.conversations().len(), retired), (100, 9_900));
    assert_eq!(table.conversations()[0].id(), 9_901);
}

#[test]
fn what_is_never_acknowledged_does_not_grow_without_bound() {
    let mut table = Table::new(Limits { conversations: 100, segments: 1_000 });
    for n in 0..100_000_u32 {
        let mut segment = support::segment(u64::from(n), CLIENT, SERVER);
        segment.from.set_port((n % 50) as u16);
        segment.seq += n / 50 * 10;
        (segment.len, segment.flags) = (10, A);
        table.observe(&segment);
    }
    // 2,000 segments of each of 50 would be outstanding.
    assert!(table.evicted() > 90);
}
