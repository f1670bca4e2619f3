//! The board against small examples and against a model that knows every byte.

use super::*;
use proptest::prelude::*;

fn t(n: u64) -> Instant {
    Instant::from_nanos(n)
}
fn s(n: u32) -> SeqNum {
    SeqNum(n.wrapping_add(u32::MAX - 2_000))
}
fn block(l: u32, r: u32) -> SackBlock {
    SackBlock { left: s(l), right: s(r) }
}

#[test]
fn segments_of_one_burst_share_a_span() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(100), t(1));
    b.sent(s(100), s(200), t(1));
    b.sent(s(200), s(300), t(2));
    assert_eq!(b.spans.len(), 2);
    assert_eq!(b.in_flight(), 300);
}

#[test]
fn a_sack_in_the_middle_leaves_the_edges_in_flight() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(1_000), t(1));
    let mut p = Progress::default();
    b.sack(block(300, 600), &mut p);
    assert_eq!(p.newly_sacked, 300);
    assert_eq!(b.in_flight(), 700);
    b.sack(block(300, 600), &mut p);
    assert_eq!(p.newly_sacked, 300, "the same block again brings nothing new");
}

#[test]
fn the_tail_has_room_for_fin_only_while_the_peer_does_not_hold_it() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(3_001), t(1));
    assert_eq!(b.tail(1_000, true), Some((s(2_000), 1_001)));
    b.sack(block(2_500, 3_001), &mut Progress::default());
    assert_eq!(b.tail(1_000, true), Some((s(2_000), 500)));
    b.sack(block(2_000, 2_500), &mut Progress::default());
    assert_eq!(b.tail(1_000, true), Some((s(1_000), 1_000)));
}

#[test]
fn retransmission_of_a_part_leaves_the_rest_lost() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(1_000), t(1));
    b.mark_lost(|_| true);
    assert_eq!(b.in_flight(), 0);
    assert_eq!(b.next_lost(400), Some((s(0), 400)));
    b.retransmitted(s(0), 400, t(5));
    assert_eq!(b.in_flight(), 400);
    assert_eq!(b.next_lost(400), Some((s(400), 400)));
    let mut p = Progress::default();
    b.acknowledge(s(400), &mut p);
    assert_eq!(p.rtt_sent_at, None, "Karn: no sample from what was sent twice");
    assert_eq!(b.lost_bytes(), 600);
}

#[test]
fn on_a_full_board_a_retransmission_counts_for_what_it_sends() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(1_000), t(1));
    for i in 1..MAX_SPANS as u32 {
        b.sent(s(990 + 10 * i), s(1_000 + 10 * i), t(u64::from(i) + 300_000));
    }
    assert_eq!(b.spans.len(), MAX_SPANS);
    let others = b.in_flight() - 1_000;
    b.mark_lost(|span| span.start == s(0));
    for (n, now) in (1..=9).zip(100_000..) {
        assert_eq!(b.next_lost(100), Some((s(100 * (n - 1)), 100)));
        b.retransmitted(s(100 * (n - 1)), 100, t(now));
        assert_eq!(b.in_flight(), others + 100 * n);
        assert_eq!(b.lost_bytes(), 1_000 - 100 * n);
    }
    assert_eq!(b.spans.len(), MAX_SPANS + 1);
    // All of it is overdue at once, by the time of the last.
    let newest = (t(200_000), s(1_000_000));
    b.mark_overdue(newest, 50_000, t(150_007));
    assert_eq!(b.lost_bytes(), 100, "not before the last of it is");
    b.mark_overdue(newest, 50_000, t(150_008));
    assert_eq!(b.lost_bytes(), 1_000);
}

proptest! {
    #[test]
    fn agrees_with_a_byte_by_byte_model(
        ops in prop::collection::vec((0u8..5, 0u32..60, 1u32..30), 1..80)
    ) {
        #[derive(Clone, Copy, Default)]
        struct Byte { sacked: bool, lost: bool }
        let mut b = Scoreboard::default();
        let mut model: Vec<Byte> = Vec::new(); // by absolute position
        let (mut una, mut now) = (0u32, 0u64);
        for (op, at, len) in ops {
            now += 1;
            let nxt = model.len() as u32;
            match op {
                0 => {
                    b.sent(s(nxt), s(nxt + len), t(now));
                    model.resize((nxt + len) as usize, Byte::default());
                }
                1 if una + at < nxt => {
                    una += at;
                    b.acknowledge(s(una), &mut Progress::default());
                }
                2 if una + at + len < nxt => {
                    b.sack(block(una + at, una + at + len), &mut Progress::default());
                    for x in &mut model[(una + at) as usize..(una + at + len) as usize] {
                        *x = Byte { sacked: true, lost: false };
                    }
                }
                3 => {
                    b.mark_lost(|_| true);
                    for x in &mut model[una as usize..] {
                        x.lost = !x.sacked;
                    }
                }
                4 => if let Some((start, n)) = b.next_lost(len) {
                    b.retransmitted(start, n, t(now));
                    let from = start.offset_from(s(0)) as usize;
                    for x in &mut model[from..from + n as usize] {
                        prop_assert!(x.lost);
                        x.lost = false;
                    }
                },
                _ => {}
            }
            let live = &model[una as usize..];
            prop_assert_eq!(b.sacked_bytes(), live.iter().filter(|x| x.sacked).count() as u32);
            prop_assert_eq!(b.lost_bytes(), live.iter().filter(|x| x.lost).count() as u32);
            prop_assert_eq!(b.in_flight(), live.iter().filter(|x| !x.lost && !x.sacked).count() as u32);
        }
    }
}

#[test]
fn a_crowded_board_joins_sendings_that_are_close_in_time_and_only_those() {
    let mut b = Scoreboard { grain_ns: 10, ..Scoreboard::default() };
    for n in 0..CROWDED as u32 {
        b.sent(s(n), s(n + 1), t(u64::from(n)));
    }
    assert_eq!(b.spans.len(), CROWDED);
    let (from, now) = (CROWDED as u32, CROWDED as u64 - 1);
    b.sent(s(from), s(from + 1), t(now + 10));
    assert_eq!(b.spans.len(), CROWDED, "close to the last");
    b.sent(s(from + 1), s(from + 2), t(now + 11));
    assert_eq!(b.spans.len(), CROWDED + 1, "not close to the first of the last");
    assert_eq!(b.spans.back().map(|s| s.sent_at), Some(t(now + 11)));
}

#[test]
fn a_peer_that_holds_every_other_byte_and_acknowledges_none_does_not_make_the_board_grow() {
    let mut b = Scoreboard::default();
    for n in 0..10 * MAX_SPANS as u32 {
        b.sent(s(2 * n), s(2 * n + 2), t(u64::from(n)));
        // Half of a segment, a whole one, or all of the last run: whatever it takes.
        let last = b.spans.back().map_or(s(0), |s| s.start);
        let left = if n % 3 == 0 { s(2 * n) } else { last };
        let right = if n % 2 == 0 { s(2 * n + 1) } else { s(2 * n + 2) };
        b.sack(SackBlock { left, right }, &mut Progress::default());
        assert!(b.spans.len() <= MAX_SPANS + 1, "{}", b.spans.len());
    }
}

#[test]
fn what_is_no_longer_thought_lost_may_be_found_lost_again() {
    let mut b = Scoreboard::default();
    b.sent(s(0), s(10), t(1));
    b.sent(s(10), s(20), t(2));
    assert_eq!(b.mark_overdue((t(2), s(20)), 0, t(9)), Instant::NEVER);
    assert_eq!(b.lost_bytes(), 10);
    b.unmark_lost();
    assert_eq!((b.lost_bytes(), b.next_lost(10)), (0, None));
    b.mark_overdue((t(2), s(20)), 0, t(9));
    assert_eq!(b.next_lost(10), Some((s(0), 10)));
}

proptest! {
    /// The marks by time against a look at every span.
    #[test]
    fn what_is_overdue_is_found_without_looking_at_everything(
        ops in prop::collection::vec((0u8..7, 0u32..60, 1u32..30, 0u64..20), 1..120)
    ) {
        let mut b = Scoreboard::default();
        let (mut una, mut nxt, mut now) = (0u32, 0u32, 0u64);
        for (op, at, len, patience) in ops {
            now += 1;
            match op {
                0 | 1 => {
                    b.sent(s(nxt), s(nxt + len), t(now));
                    nxt += len;
                }
                2 if una + at <= nxt => {
                    una += at;
                    b.acknowledge(s(una), &mut Progress::default());
                }
                3 if una + at + len <= nxt => {
                    b.sack(block(una + at, una + at + len), &mut Progress::default());
                }
                4 => if let Some((start, n)) = b.next_lost(len) {
                    prop_assert_eq!(Some(start), b.spans.iter().find(|s| s.lost).map(|s| s.start));
                    b.retransmitted(start, n, t(now));
                },
                5 => if let Some((start, n)) = b.tail(len, false) {
                    b.retransmitted(start, n, t(now));
                },
                6 => {
                    let Some(newest) = b.spans.get(at as usize % b.spans.len().max(1)).copied() else { continue };
                    let older = |s: &Span| {
                        !s.sacked && !s.lost && sent_after(newest.sent_at, newest.end, s.sent_at, s.end)
                    };
                    let due = |s: &Span| s.sent_at.plus_nanos(patience).is_due(t(now));
                    let expected: Vec<bool> = b.spans.iter().map(|s| s.lost || (older(s) && due(s))).collect();
                    let next = b.spans.iter().filter(|s| older(s) && !due(s))
                        .map(|s| s.sent_at.plus_nanos(patience)).min().unwrap_or(Instant::NEVER);
                    let found = b.mark_overdue((newest.sent_at, newest.end), patience, t(now));
                    prop_assert_eq!(b.spans.iter().map(|s| s.lost).collect::<Vec<_>>(), expected);
                    prop_assert_eq!(found, next);
                }
                _ => {}
            }
            let sum = |of: fn(&Span) -> bool| b.spans.iter().filter(|s| of(s)).map(Span::len).sum::<u32>();
            prop_assert_eq!(b.lost_bytes(), sum(|s| s.lost));
            prop_assert_eq!(b.sacked_bytes(), sum(|s| s.sacked));
        }
    }
}
