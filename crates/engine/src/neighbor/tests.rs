//! Life and death of cache entries.

use proptest::prelude::*;

use super::*;

const ANSWER: Heard = Heard::Answer { overrides: true };
const GRATUITOUS: Heard = Heard::Announcement { overrides: true };

fn ip(n: u8) -> IpAddr {
    IpAddr::from([198, 18, 0, n])
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn cache() -> NeighborCache {
    NeighborCache::new(4, 7)
}

fn events(cache: &mut NeighborCache, now: u64) -> Vec<NeighborEvent> {
    let mut out = Vec::new();
    cache.poll(now, &mut |e| out.push(e));
    out
}

fn ask(n: u8) -> NeighborEvent {
    NeighborEvent::Ask { target: ip(n), unicast: None }
}

#[test]
fn asks_three_times_a_second_apart_then_reports_unreachable() {
    let mut c = cache();
    assert_eq!(c.resolve(5, ip(1)), Resolution::Pending);
    assert_eq!(c.next_deadline(), Some(5));
    for n in 0..3 {
        assert_eq!(events(&mut c, 5 + n * SECOND_NS), [ask(1)]);
        assert_eq!(events(&mut c, 5 + n * SECOND_NS), []);
    }
    assert_eq!(events(&mut c, 5 + 3 * SECOND_NS), [NeighborEvent::Unreachable(ip(1))]);
    assert_eq!(c.resolve(5 + 3 * SECOND_NS, ip(1)), Resolution::Unreachable);
    assert_eq!(events(&mut c, 5 + 4 * SECOND_NS), []);
    assert_eq!(c.resolve(5 + 4 * SECOND_NS, ip(1)), Resolution::Pending, "asked afresh");
}

#[test]
fn an_answer_releases_what_waited() {
    let mut c = cache();
    c.resolve(0, ip(1));
    assert_eq!(events(&mut c, 0), [ask(1)]);
    assert!(c.heard(1, ip(1), mac(1), ANSWER));
    assert_eq!(c.resolve(2, ip(1)), Resolution::Known(mac(1)));
    assert_eq!(c.next_deadline(), None);
}

#[test]
fn nobody_creates_an_entry_but_by_asking_for_us() {
    let mut c = cache();
    assert!(!c.heard(0, ip(1), mac(1), ANSWER));
    assert!(!c.heard(0, ip(1), mac(1), GRATUITOUS));
    assert_eq!(c.len(), 0);
    assert!(!c.heard(0, ip(1), mac(1), Heard::Question));
    assert_eq!(c.resolve(0, ip(1)), Resolution::Known(mac(1)));
}

#[test]
fn group_and_zero_link_addresses_are_ignored() {
    let mut c = cache();
    c.resolve(0, ip(1));
    for bad in [MacAddr::BROADCAST, MacAddr::UNSPECIFIED, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        assert!(!c.heard(0, ip(1), bad, ANSWER));
        assert!(!c.learn_from_kernel(0, ip(1), bad, true));
    }
    assert_eq!(c.resolve(0, ip(1)), Resolution::Pending);
}

#[test]
fn a_stale_neighbour_is_used_while_it_is_probed_and_kept_if_it_answers() {
    let mut c = cache();
    c.resolve(0, ip(1));
    c.heard(0, ip(1), mac(1), ANSWER);
    let later = REACHABLE_NS + 1;
    assert_eq!(c.resolve(later, ip(1)), Resolution::Known(mac(1)));
    let probe = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
    assert_eq!(events(&mut c, later + DELAY_NS - 1), []);
    assert_eq!(events(&mut c, later + DELAY_NS), [probe]);
    assert_eq!(c.resolve(later + DELAY_NS, ip(1)), Resolution::Known(mac(1)));
    c.heard(later + DELAY_NS, ip(1), mac(1), ANSWER);
    assert_eq!(c.next_deadline(), None);
}

#[test]
fn a_neighbour_that_left_becomes_unreachable_after_three_probes() {
    let mut c = cache();
    c.heard(0, ip(1), mac(1), Heard::Question);
    c.resolve(0, ip(1));
    let mut seen = Vec::new();
    while let Some(at) = c.next_deadline() {
        seen.extend(events(&mut c, at));
    }
    let probe = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
    assert_eq!(seen, [probe, probe, probe, NeighborEvent::Unreachable(ip(1))]);
    assert_eq!(c.len(), 0);
}

#[test]
fn progress_of_a_connection_spares_the_probe() {
    let mut c = cache();
    c.heard(0, ip(1), mac(1), Heard::Question);
    c.resolve(0, ip(1));
    c.confirm(SECOND_NS, ip(1));
    assert_eq!(events(&mut c, 20 * SECOND_NS), []);
    c.confirm(0, ip(9));
    assert_eq!(c.len(), 1);
}

#[test]
fn a_new_link_address_is_taken_over_after_the_lock_time_only() {
    let mut c = cache();
    c.resolve(0, ip(1));
    c.heard(0, ip(1), mac(1), ANSWER);
    c.heard(LOCK_NS - 1, ip(1), mac(2), GRATUITOUS);
    assert_eq!(c.resolve(LOCK_NS - 1, ip(1)), Resolution::Known(mac(1)));
    c.heard(LOCK_NS, ip(1), mac(2), Heard::Announcement { overrides: false });
    assert_eq!(c.resolve(LOCK_NS, ip(1)), Resolution::Known(mac(1)));
    c.heard(LOCK_NS, ip(1), mac(2), GRATUITOUS);
    assert_eq!(c.resolve(LOCK_NS, ip(1)), Resolution::Known(mac(2)));
}

#[test]
fn what_the_kernel_says_stands_against_the_network() {
    let mut c = cache();
    c.resolve(0, ip(1));
    assert!(c.learn_from_kernel(0, ip(1), mac(1), true));
    c.heard(10 * SECOND_NS, ip(1), mac(2), ANSWER);
    assert_eq!(c.resolve(3600 * SECOND_NS, ip(1)), Resolution::Known(mac(1)));
    assert_eq!(c.next_deadline(), None);
}

#[test]
fn the_kernel_is_asked_to_check_a_neighbour_that_is_used_for_long() {
    let mut c = cache();
    c.learn_from_kernel(0, ip(1), mac(1), false);
    assert_eq!(c.resolve(REACHABLE_NS, ip(1)), Resolution::Known(mac(1)));
    let check = NeighborEvent::Ask { target: ip(1), unicast: Some(mac(1)) };
    assert_eq!(events(&mut c, REACHABLE_NS), [check]);
    assert_eq!(c.resolve(REACHABLE_NS + 1, ip(1)), Resolution::Known(mac(1)));
    assert_eq!(events(&mut c, REACHABLE_NS + 1), []);
    assert!(!c.forget(ip(1)));
    assert_eq!(c.resolve(REACHABLE_NS + 2, ip(1)), Resolution::Pending);
    assert!(c.forget(ip(1)), "something waited");
    assert_eq!(c.next_deadline(), None);
}

#[test]
fn a_full_table_drops_the_longest_unused_and_never_a_question() {
    let mut c = cache();
    for n in 1..=3 {
        c.heard(u64::from(n), ip(n), mac(n), Heard::Question);
    }
    c.learn_from_kernel(0, ip(4), mac(4), true);
    c.resolve(9, ip(1));
    for n in 5..=7 {
        assert_eq!(c.resolve(10, ip(n)), Resolution::Pending);
    }
    assert_eq!(c.resolve(10, ip(8)), Resolution::Unreachable);
    assert_eq!((c.len(), c.overflows()), (4, 1));
    assert_eq!(c.resolve(10, ip(4)), Resolution::Known(mac(4)));
}

#[test]
fn link_down_forgets_all_but_the_configured() {
    let mut c = cache();
    c.resolve(0, ip(1));
    c.learn_from_kernel(0, ip(2), mac(2), true);
    c.clear();
    assert_eq!((c.len(), c.next_deadline()), (1, None));
}

proptest! {
    #[test]
    fn stays_bounded_and_every_question_ends(
        ops in prop::collection::vec((0u8..5, 0u8..8, 0u64..40 * SECOND_NS), 1..200),
    ) {
        let mut c = cache();
        let mut now = 0;
        for (op, n, pause) in ops {
            match op {
                0 => { c.resolve(now, ip(n)); }
                1 => { c.heard(now, ip(n), mac(n), ANSWER); }
                2 => { c.heard(now, ip(n), mac(n), Heard::Question); }
                3 => c.confirm(now, ip(n)),
                _ => now += pause,
            }
            c.poll(now, &mut |_| {});
            prop_assert!(c.len() <= 4);
            prop_assert!(c.next_deadline().is_none_or(|at| at > now));
            let filed = c.entries.values().filter(|e| e.due.is_some()).count();
            prop_assert_eq!(filed, c.due.len());
        }
        let mut turns = 0;
        while let Some(at) = c.next_deadline() {
            c.poll(at, &mut |_| {});
            turns += 1;
            prop_assert!(turns < 100);
        }
    }
}
