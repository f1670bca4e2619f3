use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bypath_tcp::DropCause;
use proptest::prelude::*;

use super::*;
use crate::counters::Counters;

/// A packet as a reader had it, without what differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    /// Since the writer's epoch.
    time: i64,
    worker: usize,
    sent: bool,
    bytes: Vec<u8>,
    missed: u32,
}

struct Rig {
    sink: TapSink,
    tap: Tap,
    epoch: Instant,
}

impl Rig {
    fn new(options: TapOptions) -> Self {
        let epoch = Instant::now();
        let (sink, tap) = tap(options);
        Self { sink, tap, epoch }
    }

    fn small() -> Self {
        Self::new(TapOptions { ring_bytes: 1, ..TapOptions::default() })
    }

    fn writer(&self, worker: usize) -> TapWriter {
        self.sink.writer(0, worker, self.epoch)
    }

    fn drain(&mut self) -> Vec<Got> {
        let base = self.tap_base();
        let mut all = Vec::new();
        self.tap.drain(|record| {
            all.push(Got {
                time: record.time_ns - base,
                worker: record.worker,
                sent: record.is_sent(),
                bytes: record.data.to_vec(),
                missed: record.missed_before,
            });
        });
        all
    }

    fn tap_base(&self) -> i64 {
        self.sink.clock.unix_of(self.epoch)
    }
}

fn sent(writer: &mut TapWriter, bytes: &[u8]) {
    writer.sent(0, bytes, std::iter::empty());
}

fn times(all: &[Got]) -> Vec<i64> {
    all.iter().map(|got| got.time).collect()
}

#[test]
fn a_round_is_seen_when_it_is_handed_over_and_in_the_order_of_time() {
    let mut rig = Rig::small();
    let mut writer = rig.writer(3);
    writer.begin(10);
    writer.received(11, 5, b"first", &[]);
    sent(&mut writer, b"answer");
    writer.received(11, 5, b"sec", &[b"o", b"nd"]);
    assert!(rig.drain().is_empty());
    writer.handed_over(20);
    let all = rig.drain();
    let bytes: Vec<&[u8]> = all.iter().map(|got| &got.bytes[..]).collect();
    assert_eq!(bytes, [&b"first"[..], b"second", b"answer"]);
    assert_eq!(times(&all), [11, 11, 20]);
    assert!(all.iter().all(|got| got.worker == 3 && got.missed == 0));
    assert!(rig.drain().is_empty());
    assert_eq!(rig.tap.stats().packets, 3);
}

#[test]
fn a_packet_is_cut_and_its_length_is_told() {
    let mut rig = Rig::new(TapOptions { snap_len: 6, ring_bytes: 1 });
    let mut writer = rig.writer(0);
    writer.received(1, 0, b"abcd", &[b"efgh", b"ijkl"]);
    sent(&mut writer, b"abc");
    writer.handed_over(2);
    let mut seen = Vec::new();
    rig.tap.drain(|record| seen.push((record.data.to_vec(), record.original_len)));
    assert_eq!(seen, [(b"abcdef".to_vec(), 12), (b"abc".to_vec(), 3)]);
}

#[test]
fn verdicts_and_meanings_are_those_of_their_packets() {
    let mut rig = Rig::small();
    let mut writer = rig.writer(0);
    let mut counters = Counters::default();
    counters.count_tcp(DropCause::Duplicate);
    writer.received(1, 0, b"a", &[]);
    writer.note(Note::Refusal, counters.cause());
    sent(&mut writer, b"b");
    writer.judge(counters.cause(), Note::None);
    writer.received(1, 0, b"c", &[]);
    writer.judge(0, Note::PassedOn);
    writer.received(1, 0, b"d", &[]);
    writer.judge(0, Note::AheadOfTurn);
    writer.note(Note::TailProbe, 0);
    sent(&mut writer, b"e");
    sent(&mut writer, b"f");
    writer.handed_over(2);
    let mut seen = Vec::new();
    rig.tap.drain(|record| {
        seen.push((record.data[0], record.verdict, record.meaning));
    });
    let expected = [
        (b'a', TapVerdict::Dropped("tcp_duplicate"), None),
        (b'c', TapVerdict::PassedOn, None),
        (b'd', TapVerdict::Used, Some(TapMeaning::AheadOfTurn)),
        (b'b', TapVerdict::Sent, Some(TapMeaning::Refusal("tcp_duplicate"))),
        (b'e', TapVerdict::Sent, Some(TapMeaning::TailProbe)),
        (b'f', TapVerdict::Sent, None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_finds_no_room_is_counted_and_told_with_the_next_that_does() {
    let mut rig = Rig::small();
    let mut writer = rig.writer(0);
    let mut offered = 0;
    while rig.tap.stats().missed == 0 {
        sent(&mut writer, &[7; 1000]);
        offered += 1;
    }
    sent(&mut writer, &[7; 500]);
    writer.handed_over(1);
    let kept = rig.drain().len();
    assert_eq!(kept, offered - 1);
    sent(&mut writer, b"next");
    sent(&mut writer, b"after");
    writer.handed_over(2);
    let missed: Vec<u32> = rig.drain().iter().map(|got| got.missed).collect();
    assert_eq!(missed, [if kept == offered { 1 } else { offered as u32 - kept as u32 + 1 }, 0]);
    let stats = rig.tap.stats();
    assert_eq!((stats.packets, stats.missed, stats.missed_bytes), (kept as u64 + 2, 2, 1500));
}

#[test]
fn a_worker_with_nothing_to_show_holds_the_others_back_until_its_time_has_come() {
    let mut rig = Rig::small();
    let (mut one, mut other) = (rig.writer(0), rig.writer(1));
    other.begin(5);
    one.received(10, 0, b"x", &[]);
    one.handed_over(10);
    assert!(rig.drain().is_empty(), "the other one may still show something older");
    other.received(6, 0, b"y", &[]);
    other.handed_over(7);
    assert_eq!(times(&rig.drain()), [6]);
    other.begin(11);
    assert_eq!(times(&rig.drain()), [10]);
    one.received(12, 0, b"x", &[]);
    one.handed_over(12);
    other.asleep();
    assert_eq!(times(&rig.drain()), [12], "who sleeps shows nothing older than now");
    other.awake(11);
    one.received(13, 0, b"x", &[]);
    one.handed_over(13);
    assert!(rig.drain().is_empty());
    drop(other);
    assert_eq!(times(&rig.drain()), [13], "who has ended shows nothing any more");
}

#[test]
fn it_is_over_when_all_writers_are_gone_and_nobody_can_make_another() {
    let Rig { sink, mut tap, epoch } = Rig::small();
    assert!(!tap.is_over());
    let mut writer = sink.writer(0, 0, epoch);
    sent(&mut writer, b"last");
    writer.handed_over(1);
    drop(sink);
    assert!(!tap.is_over());
    drop(writer);
    let mut count = 0;
    tap.run(|| false, |_| count += 1);
    assert!(tap.is_over() && count == 1);
}

#[test]
fn who_stops_reading_gets_what_waits_for_others() {
    let mut rig = Rig::small();
    let (mut one, _other) = (rig.writer(0), rig.writer(1));
    sent(&mut one, b"x");
    one.handed_over(1);
    let mut count = 0;
    rig.tap.run(|| true, |_| count += 1);
    assert_eq!(count, 1);
}

#[test]
fn figures_are_kept_of_workers_that_are_gone_and_told_by_interface() {
    let mut rig = Rig::small();
    let names =
        ["near0", "far0", "near0"].map(|name| TapInterface { name: name.into(), ..TapInterface::default() });
    let numbers = names.each_ref().map(|interface| rig.sink.interface(interface));
    assert_eq!(numbers, [0, 1, 0]);
    assert_eq!(rig.tap.interfaces(), names[..2]);
    for number in numbers {
        let mut writer = rig.sink.writer(number, 0, rig.epoch);
        sent(&mut writer, b"x");
        writer.handed_over(1);
        drop(writer);
        rig.drain();
    }
    assert_eq!([0, 1].map(|number| rig.tap.stats_of(number).packets), [2, 1]);
    assert_eq!(rig.tap.stats().packets, 3);
}

#[test]
fn a_zero_window_of_the_peer_is_noticed_in_its_packets() {
    let segment = |flags: u8, window: u8, v6: bool| {
        let mut frame = vec![0; 14];
        frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
        let mut network = vec![0; if v6 { 40 } else { 20 }];
        (network[0], network[if v6 { 6 } else { 9 }]) = (if v6 { 0x60 } else { 0x45 }, 6);
        frame.extend(network);
        let mut tcp = [0; 20];
        (tcp[12], tcp[13], tcp[15]) = (0x50, flags, window);
        frame.extend(tcp);
        frame
    };
    let mut rig = Rig::small();
    let mut writer = rig.writer(0);
    let cases = [
        (segment(0x10, 0, false), true),
        (segment(0x10, 0, true), true),
        (segment(0x10, 1, false), false),
        (segment(0x12, 0, false), false),
        (segment(0x14, 0, true), false),
        (segment(0x10, 0, false)[..40].to_vec(), false),
        (vec![0; 60], false),
    ];
    for (frame, _) in &cases {
        writer.received(1, 0, frame, &[]);
    }
    writer.handed_over(1);
    let mut seen = Vec::new();
    rig.tap.drain(|record| seen.push(record.meaning == Some(TapMeaning::PeerZeroWindow)));
    assert_eq!(seen, cases.map(|(_, shut)| shut));
}

#[test]
fn two_workers_and_a_reader_in_threads_of_their_own() {
    const EACH: u32 = 200_000;
    let Rig { sink, mut tap, epoch } = Rig::new(TapOptions { ring_bytes: 1 << 18, ..TapOptions::default() });
    let workers: Vec<_> = (0..2)
        .map(|worker| {
            let mut writer = sink.writer(0, worker, epoch);
            std::thread::spawn(move || {
                let now = || epoch.elapsed().as_nanos() as u64;
                for n in 0..EACH {
                    if n % 20 == 0 {
                        writer.begin(now());
                    }
                    let bytes = [n as u8; 300];
                    writer.received(now(), 0, &n.to_ne_bytes(), &[&bytes[..(n % 300) as usize]]);
                    if n % 20 == 19 {
                        writer.handed_over(now());
                    }
                    if n % 5_000 == 19 {
                        writer.asleep();
                        std::thread::sleep(Duration::from_micros(300));
                        writer.awake(now());
                    }
                }
            })
        })
        .collect();
    drop(sink);
    let (mut last, mut next, mut got, mut missed) = (i64::MIN, [0u32; 2], 0u64, 0u64);
    let mut check = |record: &TapRecord<'_>| {
        assert!(record.time_ns >= last, "worker {} goes back", record.worker);
        last = record.time_ns;
        let n = u32::from_ne_bytes([record.data[0], record.data[1], record.data[2], record.data[3]]);
        assert_eq!(n, next[record.worker] + record.missed_before);
        assert!(record.data[4..].iter().all(|byte| *byte == n as u8));
        assert_eq!(record.data.len(), 4 + (n % 300) as usize);
        next[record.worker] = n + 1;
        got += 1;
        missed += u64::from(record.missed_before);
    };
    tap.run(|| false, &mut check);
    for worker in workers {
        worker.join().unwrap();
    }
    let stats = tap.stats();
    assert_eq!(stats.packets, got);
    assert_eq!(got + stats.missed, 2 * u64::from(EACH));
    assert!(missed <= stats.missed);
}

proptest! {
    #[test]
    fn a_tap_is_a_queue_that_forgets_only_what_it_says(
        rounds in prop::collection::vec(
            (prop::collection::vec((0usize..9_000, any::<bool>()), 0..12), any::<bool>()), 1..60)
    ) {
        let mut rig = Rig::small();
        let mut writer = rig.writer(0);
        let mut model: VecDeque<Got> = VecDeque::new();
        let (mut now, mut missed, mut lost) = (0u64, 0u32, 0u64);
        for (packets, drains) in rounds {
            now += 10;
            writer.begin(now);
            let mut round = Vec::new();
            for (n, (len, is_sent)) in packets.into_iter().enumerate() {
                let bytes = vec![n as u8; len];
                let before = rig.tap.stats().missed;
                if is_sent {
                    sent(&mut writer, &bytes);
                } else {
                    writer.received(now, 0, &bytes, &[]);
                }
                if rig.tap.stats().missed > before {
                    missed += 1;
                    lost += len as u64;
                    continue;
                }
                let time = now as i64 + if is_sent { 5 } else { 0 };
                round.push(Got { time, worker: 0, sent: is_sent, bytes, missed: std::mem::take(&mut missed) });
            }
            writer.handed_over(now + 5);
            round.sort_by_key(|got| got.time);
            model.extend(round);
            if drains {
                prop_assert_eq!(rig.drain(), model.drain(..).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(rig.drain(), model.drain(..).collect::<Vec<_>>());
        prop_assert_eq!(rig.tap.stats().missed_bytes, lost);
    }
}

/// `cargo test --release -p bypath --lib -- --ignored --nocapture what_a_packet_costs`
#[test]
#[ignore = "a measurement, which a busy machine makes longer"]
fn what_a_packet_costs_a_worker() {
    use rustix::time::{ClockId, clock_gettime};
    const ROUNDS: u32 = 20_000;
    for (len, snap_len) in [(66, u32::MAX), (1514, 96), (1514, u32::MAX), (9014, u32::MAX)] {
        let Rig { sink, mut tap, epoch } = Rig::new(TapOptions { snap_len, ..TapOptions::default() });
        let mut writer = sink.writer(0, 0, epoch);
        drop(sink);
        let reader = std::thread::spawn(move || {
            let mut bytes = 0;
            tap.run(|| false, |record| bytes += record.data.len());
            (bytes, tap.stats())
        });
        let packet = vec![1; len];
        let cpu = || {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
        };
        let begun = cpu();
        for round in 0..u64::from(ROUNDS) {
            writer.begin(round);
            for _ in 0..32 {
                writer.received(round, 0, &packet, &[]);
                sent(&mut writer, &packet);
            }
            writer.handed_over(round);
            // What a worker does besides: the reader is to keep up.
            std::thread::yield_now();
        }
        let ns = (cpu() - begun) as f64 / f64::from(ROUNDS * 64);
        drop(writer);
        let (_, stats) = reader.join().unwrap();
        let missed = 100.0 * stats.missed as f64 / f64::from(ROUNDS * 64);
        println!(
            "{len:>5} bytes, {:>5} kept: {ns:6.1} ns a packet, {missed:.1} % missed",
            len.min(snap_len as usize)
        );
    }
}
