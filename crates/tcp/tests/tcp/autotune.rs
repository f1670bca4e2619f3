//! Buffers that follow from what they are worth: the receive window grows with what the application takes, up to
//! its limit, and never for an application that does not read.

use std::time::Duration;

use bypath_tcp::{Config, CongestionControl};

use crate::script::{Script, Seg, ms, plain};
use crate::sim::{App, Path, Scenario, World};

const GIGABIT: u64 = 125_000_000;

/// 1 Gbit/s, 100 ms there and back, with a queue of a tenth of that.
fn long_fat(receive_buffer: u32, tune: bool, bytes: u64, reading: Option<(u32, Duration)>) -> World {
    let mut scenario = Scenario::new(7);
    let config = Config {
        receive_buffer,
        tune_receive_buffer: tune,
        // What the sender's window does is not asked here: it is wide from the start.
        initial_window_segments: 12_000,
        congestion: CongestionControl::NewReno,
        ..Config::default()
    };
    scenario.configs = [config.clone(), config];
    scenario.apps[0] = App { send: bytes, ..App::default() };
    scenario.apps[1] = App { reading, closes_first: false, ..App::default() };
    let path = Path { delay: ms(50), rate: GIGABIT, queue: 32 << 20, ..Path::default() };
    scenario.paths = [path.clone(), path];
    scenario.run()
}

/// Seconds from the first segment to the end, without the last wait.
fn seconds(world: &World, began: bypath_tcp::Instant) -> f64 {
    world.now.nanos_since(began) as f64 / 1e9
}

fn transfer_time(receive_buffer: u32, tune: bool, bytes: u64) -> f64 {
    let world = long_fat(receive_buffer, tune, bytes, None);
    let time_wait = Config::default().time_wait.as_secs_f64();
    // The seed decides when the simulation begins, before anything else.
    let mut rng = crate::sim::Rng(7);
    seconds(&world, bypath_tcp::Instant::from_nanos(rng.range(0, 1 << 40))) - time_wait
}

#[test]
fn a_gigabit_over_100_ms_is_filled_after_a_second() {
    let bytes = 100_000_000;
    let took = transfer_time(32 << 20, true, bytes);
    // 0.8 s for the bytes at full rate, 0.2 s to open and to close, and a round trip for each doubling from
    // 128 KiB to what the path holds, which is 12.5 MB.
    assert!(took < 0.8 + 0.2 + 0.9, "{took} s");
}

#[test]
fn with_the_first_window_for_ever_the_same_takes_ten_times_as_long() {
    let took = transfer_time(1 << 17, false, 10_000_000);
    assert!(took > 7.0, "{took} s for a tenth of the bytes");
}

#[test]
fn a_reader_slower_than_the_path_is_not_given_a_larger_buffer() {
    let world = long_fat(32 << 20, true, 2_000_000, Some((10_000, ms(10))));
    // A megabyte a second over 100 ms: 100 kB in a round trip.
    let buffer = world.hosts[1].conn().receive_buffer();
    assert!(buffer <= 1 << 20, "{buffer} of 32 MiB");
}

#[test]
fn the_buffer_grows_without_timestamps_as_well() {
    let mut s = Script::open(Config { receive_buffer: 1 << 20, initial_receive_buffer: 20_000, ..plain() });
    let before = s.conn.receive_buffer();
    read_rounds(&mut s, 20, 18);
    assert_eq!(before, 20_000);
    assert!(s.conn.receive_buffer() > 40_000, "{}", s.conn.receive_buffer());
}

/// `rounds` round trips in each of which the peer sends `segments` and the application takes them.
fn read_rounds(s: &mut Script, rounds: u32, segments: u32) {
    let mut at = 0;
    for _ in 0..rounds {
        for _ in 0..segments {
            s.answer(Seg::data(at, 1_000, 0));
            at += 1_000;
            s.conn.on_read(s.now, 0);
            s.conn.set_receive_space(s.conn.receive_buffer());
        }
        s.pass(ms(100));
    }
}

#[test]
fn a_steady_rate_that_the_buffer_holds_twice_does_not_make_it_grow() {
    let mut s = Script::open(Config { receive_buffer: 1 << 20, initial_receive_buffer: 60_000, ..plain() });
    read_rounds(&mut s, 50, 10);
    assert_eq!(s.conn.receive_buffer(), 60_000);
}

#[test]
fn the_buffer_never_exceeds_its_limit_and_the_switch_gives_all_of_it_at_once() {
    let config = Config { receive_buffer: 50_000, initial_receive_buffer: 20_000, ..plain() };
    let mut s = Script::open(config.clone());
    read_rounds(&mut s, 20, 19);
    assert_eq!(s.conn.receive_buffer(), 50_000);
    let s = Script::open(Config { tune_receive_buffer: false, ..config });
    assert_eq!(s.conn.receive_buffer(), 50_000);
}

#[test]
fn the_scale_follows_from_the_limit_and_not_from_the_first_window() {
    let config = Config { receive_buffer: 6 << 20, window_scaling: true, ..plain() };
    let mut s = Script::connecting(config);
    let syn = s.poll().expect("SYN");
    assert_eq!((syn.options.window_scale, syn.window), (Some(7), 65_535));
}

#[test]
fn the_window_s_edge_never_moves_back_while_the_application_stops_reading() {
    let mut s = Script::open(Config { receive_buffer: 1 << 20, initial_receive_buffer: 20_000, ..plain() });
    let mut edge = 0;
    let mut unread = 0;
    for n in 0..40 {
        let sent = s.answer(Seg::data(1_000 * n, 1_000, 0));
        for segment in sent {
            assert!(segment.ack + i64::from(segment.window) >= edge);
            edge = segment.ack + i64::from(segment.window);
        }
        unread = if n < 10 { 0 } else { unread + 1_000 };
        s.conn.on_read(s.now, unread);
        s.conn.set_receive_space(s.conn.receive_buffer().saturating_sub(unread));
        s.now = s.now + ms(30);
    }
}

#[test]
fn the_send_buffer_follows_the_congestion_window() {
    let mut s = Script::open(plain());
    let before = s.conn.send_buffer();
    assert!(before >= 2 * s.conn.cwnd());
    s.write(10_000);
    s.answer(Seg::ack(0, 10_000));
    assert!(s.conn.cwnd() > 10_000);
    assert_eq!(s.conn.send_buffer() - before, 2 * (s.conn.cwnd() - 10_000));
}
