//! How connections open and end when both ends are real: every order of FINs, lost or not.

use std::time::Duration;

use bypath_tcp::Events;

use crate::sim::{App, Path, Scenario};

fn lossy(n: u64) -> [Path; 2] {
    let path = Path { loss: if n < 4 { 0.0 } else { 0.2 }, ..Path::default() };
    [path.clone(), path]
}

fn saw(world: &crate::sim::World, host: usize, event: Events) -> bool {
    world.hosts[host].events.iter().any(|e| e.contains(event))
}

#[test]
fn the_listener_goes_on_sending_after_the_peer_has_closed() {
    for n in 0..100 {
        let mut scenario = Scenario::new(n);
        scenario.apps[0] = App { send: 100, ..App::default() };
        scenario.apps[1] = App { send: 50_000, closes_first: false, ..App::default() };
        scenario.paths = lossy(n);
        let world = scenario.run();
        assert!(saw(&world, 0, Events::TIME_WAIT), "who closes first waits");
        assert!(!saw(&world, 1, Events::TIME_WAIT));
    }
}

#[test]
fn the_opener_goes_on_sending_after_the_peer_has_closed() {
    for n in 0..100 {
        let mut scenario = Scenario::new(n);
        scenario.apps[0] = App { send: 50_000, closes_first: false, ..App::default() };
        scenario.apps[1] = App { send: 100, ..App::default() };
        scenario.paths = lossy(n);
        let world = scenario.run();
        assert!(!saw(&world, 0, Events::TIME_WAIT));
        assert!(saw(&world, 1, Events::TIME_WAIT));
    }
}

#[test]
fn both_ends_wait_after_a_simultaneous_close() {
    for n in 0..100 {
        let mut scenario = Scenario::new(n);
        scenario.apps[0].send = 1_000;
        scenario.apps[1].send = 1_000;
        scenario.simultaneous_open = true;
        scenario.paths = lossy(n);
        let world = scenario.run();
        if n < 4 {
            assert!(saw(&world, 0, Events::TIME_WAIT) && saw(&world, 1, Events::TIME_WAIT));
        }
    }
}

#[test]
fn a_simultaneous_open_carries_streams_both_ways() {
    for n in 0..100 {
        let mut scenario = Scenario::new(n);
        scenario.apps[0].send = 30_000;
        scenario.apps[1].send = 20_000;
        scenario.simultaneous_open = true;
        scenario.paths = lossy(n);
        // Not quite at the same time for both.
        scenario.paths[0].delay = Duration::from_millis(5 + n % 20);
        let world = scenario.run();
        assert!(saw(&world, 0, Events::ESTABLISHED) && saw(&world, 1, Events::ESTABLISHED));
    }
}

#[test]
fn nothing_to_say_opens_and_closes_cleanly() {
    for n in 0..100 {
        let mut scenario = Scenario::new(n);
        scenario.paths = lossy(n);
        scenario.run();
    }
}
