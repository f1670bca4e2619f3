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
