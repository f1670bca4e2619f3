//! The size of what the path carries: what routers say and when they are believed, black holes, larger sizes
//! tried again. Segments here are 1,400 bytes, or 1,024 after a black hole.

use std::time::Duration;

use bypath_tcp::{Config, MtuProbing};

use crate::script::{Script, Seg, Sent, ms, with_sack};

fn config() -> Config {
    Config { mss: 1_400, receive_buffer: 60_000, ..with_sack() }
}

fn wide() -> Script {
    Script::open(Config { initial_window_segments: 40, ..config() })
}

fn longest(sent: &[Sent]) -> u32 {
    sent.iter().map(|s| s.len).max().unwrap_or(0)
}

/// A peer behind a path that swallows segments longer than `most`: acknowledges what comes through, for at most
/// `time`. Returns all segments sent.
fn behind(s: &mut Script, most: u32, time: Duration) -> Vec<Sent> {
    let end = s.now + time;
    let mut received = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    let mut sent = s.poll_all();
    while s.now < end {
        all.extend(sent.iter().cloned());
        let una = s.conn.acknowledged() as i64;
        for t in sent.iter().filter(|t| t.len > 0 && t.len <= most) {
            received.insert(t.seq, t.seq + i64::from(t.len));
        }
        let mut next = una;
        let mut blocks: Vec<(i64, i64)> = Vec::new();
        for (&from, &to) in &received {
            if from <= next {
                next = next.max(to);
            } else if let Some(last) = blocks.last_mut().filter(|last| last.1 >= from) {
                last.1 = last.1.max(to);
            } else {
                blocks.push((from, to));
            }
        }
        if sent.iter().any(|t| t.len > 0 && t.len <= most) {
            s.now = s.now + ms(100);
            blocks.truncate(3);
            sent = s.answer(Seg::ack(0, next).sack(&blocks));
        } else {
            let deadline = s.conn.next_deadline();
            if deadline > end {
                s.now = end;
                break;
            }
            let wait = Duration::from_nanos(deadline.nanos_since(s.now));
            sent = s.pass(wait);
        }
    }
    all
}

#[test]
fn a_router_is_believed_at_once_about_a_path_of_which_nothing_is_known() {
    let mut s = wide();
    s.write(5_000);
    assert!(s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 900));
    assert_eq!((s.conn.mss(), longest(&s.poll_all())), (900, 900));
}

#[test]
fn a_size_below_what_has_arrived_is_believed_only_if_the_quoted_data_times_out() {
    let mut s = wide();
    s.write(5_000);
    s.answer(Seg::ack(0, 1_400));
    s.write(5_000);
    assert!(s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 900));
    assert_eq!(s.conn.mss(), 1_400, "1,400 bytes have just arrived");
    let sent = s.pass(ms(4_000));
    assert_eq!(s.conn.mss(), 900);
    assert_eq!(sent.last().map(|t| t.len), Some(900));
}

#[test]
fn a_lie_about_the_size_is_forgotten_when_the_quoted_data_is_acknowledged() {
    let mut s = wide();
    s.write(1_400);
    s.answer(Seg::ack(0, 1_400));
    s.write(2_800);
    assert!(s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 600));
    s.answer(Seg::ack(0, 4_200));
    s.write(2_800);
    s.pass(ms(700));
    assert_eq!(s.conn.mss(), 1_400, "a timeout of other data is another matter");
}

#[test]
fn a_black_hole_is_found_by_its_timeouts_and_recovered_from() {
    let mut s = wide();
    s.conn.set_queued(30_000);
    let sent = behind(&mut s, 1_100, Duration::from_secs(20));
    assert_eq!(s.conn.acknowledged(), 30_000);
    assert_eq!((s.conn.stats().mtu_black_holes, s.conn.mss()), (1, 1_024));
    let found = sent.iter().find(|t| t.len == 1_024).expect("smaller segments");
    // 200 ms and a bit, doubled twice, and a tail loss probe perhaps.
    assert!(found.at < ms(3_500), "{:?}", found.at);
}

#[test]
fn a_narrower_black_hole_is_found_as_well() {
    let mut s = wide();
    s.conn.set_queued(30_000);
    behind(&mut s, 600, Duration::from_secs(60));
    assert_eq!(s.conn.acknowledged(), 30_000);
    assert_eq!((s.conn.stats().mtu_black_holes, s.conn.mss()), (2, 512));
}

#[test]
fn timeouts_of_small_segments_say_nothing_of_the_path_s_size() {
    let mut s = wide();
    s.write(500);
    s.pass(Duration::from_secs(60));
    assert_eq!((s.conn.stats().mtu_black_holes, s.conn.mss()), (0, 1_400));
}

#[test]
fn a_peer_that_takes_no_large_segments_is_not_given_smaller_ones_for_being_silent() {
    let mut s = Script::open_to(config(), Seg::syn_ack().mss(1_000));
    s.write(5_000);
    s.pass(Duration::from_secs(60));
    assert_eq!((s.conn.stats().mtu_black_holes, s.conn.mss()), (0, 1_000));
}

#[test]
fn without_the_switch_no_timeout_changes_the_size() {
    let mut s = Script::open(Config { mtu_probing: MtuProbing::Off, ..config() });
    s.write(5_000);
    s.pass(Duration::from_secs(60));
    assert_eq!((s.conn.stats().mtu_black_holes, s.conn.mss()), (0, 1_400));
}

#[test]
fn no_black_hole_makes_segments_smaller_than_the_least() {
    let mut s = Script::open(Config { least_path_mss: 1_220, ..config() });
    s.write(5_000);
    s.pass(Duration::from_secs(60));
    assert_eq!(s.conn.mss(), 1_220);
}

#[test]
fn after_an_outage_the_old_size_is_tried_again_and_kept() {
    let mut s = wide();
    s.conn.set_queued(10_000);
    behind(&mut s, 0, Duration::from_secs(3));
    assert_eq!(s.conn.mss(), 1_024);
    for n in 2..40 {
        s.conn.set_queued(10_000 * n);
        behind(&mut s, 1_400, Duration::from_secs(1));
    }
    assert_eq!((s.conn.mss(), s.conn.stats().mtu_probes, s.conn.stats().mtu_probes_lost), (1_400, 1, 0));
}

#[test]
fn behind_a_black_hole_the_right_size_is_searched_for_without_slowing_down() {
    let mut s = wide();
    s.conn.set_queued(30_000);
    behind(&mut s, 1_250, Duration::from_secs(20));
    assert_eq!(s.conn.mss(), 1_024);
    let (timeouts, recoveries) = (s.conn.stats().timeouts, s.conn.stats().fast_recoveries);
    for n in 1..60 {
        s.conn.set_queued(30_000 + 20_000 * n);
        behind(&mut s, 1_250, Duration::from_secs(1));
    }
    let stats = s.conn.stats();
    assert!((1_250 - 32..=1_250).contains(&s.conn.mss()), "{}", s.conn.mss());
    assert!(stats.mtu_probes <= 8 && stats.mtu_probes_lost >= 1, "{stats:?}");
    assert_eq!(
        (stats.timeouts, stats.fast_recoveries),
        (timeouts, recoveries),
        "no probe is taken for congestion"
    );
    assert_eq!(s.conn.acknowledged(), s.conn.queued());
}

#[test]
fn what_a_router_said_is_forgotten_after_ten_minutes() {
    let mut s = wide();
    s.write(5_000);
    s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 900);
    behind(&mut s, 900, Duration::from_secs(5));
    s.pass(Duration::from_secs(500));
    s.conn.set_queued(40_000);
    behind(&mut s, 1_400, Duration::from_secs(10));
    assert_eq!(s.conn.mss(), 900);
    s.pass(Duration::from_secs(100));
    s.conn.set_queued(90_000);
    behind(&mut s, 1_400, Duration::from_secs(10));
    assert_eq!((s.conn.mss(), s.conn.stats().mtu_probes), (1_400, 1));
}

#[test]
fn always_probing_begins_small_and_finds_the_largest_size() {
    let mut s =
        Script::open(Config { mtu_probing: MtuProbing::Always, initial_window_segments: 40, ..config() });
    assert_eq!(s.conn.mss(), 1_024);
    s.conn.set_queued(100_000);
    behind(&mut s, 1_400, Duration::from_secs(20));
    assert_eq!((s.conn.mss(), s.conn.acknowledged()), (1_400, 100_000));
}

#[test]
fn a_smaller_interface_shrinks_segments_and_a_larger_one_does_not_undo_what_the_path_said() {
    let mut s = wide();
    s.write(5_000);
    s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 900);
    s.conn.limit_mss(1_200);
    assert_eq!(s.conn.mss(), 900);
    s.conn.limit_mss(800);
    assert_eq!(s.conn.mss(), 800);
}

#[test]
fn a_report_of_a_duplicate_and_a_larger_size_do_not_go_together() {
    let mut s = wide();
    s.deliver(Seg::data(0, 100, 0));
    s.write(5_000);
    s.conn.on_path_mtu(s.now, s.conn.snd_nxt() - 1, 900);
    behind(&mut s, 900, Duration::from_secs(5));
    s.pass(Duration::from_secs(700));
    s.deliver(Seg::data(0, 100, s.una()));
    s.conn.set_queued(40_000);
    let sent = s.poll_all();
    let (report, rest) = sent.split_first().unwrap();
    assert_eq!((report.sack(), report.len), (vec![(0, 100)], 900 - 12));
    assert_eq!(longest(rest), 1_400, "the next may be a probe");
}
