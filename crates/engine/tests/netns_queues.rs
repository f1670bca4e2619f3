//! Many queues: changes under load, hand-off between workers, and what is said at the start. Needs root.

mod exchange;

use std::sync::atomic::{AtomicBool, Ordering};

use std::time::{Duration, Instant};

use bypath::{Engine, EngineBuilder, EngineStats};
use bypath_lab::Lab;

use exchange::{LONG, MIB, assert_all_arrived, exchange, service};

fn engine(lab: &Lab) -> EngineBuilder {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface())
}

#[test]
fn netns_flows_stay_whole_while_ethtool_changes_the_queues() {
    let lab = Lab::builder().name_prefix("q").queues(2).up().unwrap();
    let service = service(lab.far(), 16 * MIB);
    let engine = engine(&lab).cores(vec![0, 1]).start().unwrap();
    let over = AtomicBool::new(false);
    let changes = std::thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut changes = 0;
            while !over.load(Ordering::Relaxed) {
                // With one queue at the other end all packets come to our first; with two they are spread again.
                let count = if changes % 2 == 0 { "1" } else { "2" };
                lab.far().output("ethtool", &["-L", lab.far().interface(), "tx", count]).unwrap();
                changes += 1;
            }
            changes
        });
        let transfers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| exchange(&engine, &service, 16 * MIB))).collect();
        let outcomes: Vec<_> = transfers.into_iter().map(|transfer| transfer.join().is_ok()).collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(outcomes, [true; 4]);
        changer.join().unwrap()
    });
    assert_all_arrived(&service, 4, 16 * MIB);
    assert!(changes >= 2, "the queues changed only {changes} times");
    let stats = engine.stop();
    assert!(stats.handed_off > 0, "no packet came to the other worker: {:?}", stats.workers);
}

/// Packets of the engine's flows come on a queue that it has no socket on, now and then, as when a NIC gets more queues
/// than it had. (A veth queue that is added has no XDP program either, so here the second is there from the start.)
fn flows_stay_whole_beside_a_queue_without_a_socket(
    name: &str,
    adjust: impl FnOnce(EngineBuilder, &Lab) -> EngineBuilder,
) {
    let lab = Lab::builder().name_prefix(name).queues(2).up().unwrap();
    let far = lab.far();
    let queues = |count: &str| far.output("ethtool", &["-L", far.interface(), "tx", count]).unwrap();
    queues("1");
    let service = service(lab.far(), 16 * MIB);
    let engine = adjust(engine(&lab).queues(vec![0]), &lab).start().unwrap();
    assert_eq!((engine.info().queues.as_slice(), engine.info().xdp.as_str()), (&[0][..], "native"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| {
            for count in ["2", "1"].into_iter().cycle() {
                queues(count);
                // Until packets have come on the new queue, or on the old one again.
                let (before, begun) = (engine.stats(), Instant::now());
                let news = |now: EngineStats| {
                    if count == "2" { now.strays > before.strays } else { now.rx_packets > before.rx_packets }
                };
                while !over.load(Ordering::Relaxed) && !news(engine.stats()) {
                    assert!(begun.elapsed() < LONG, "nothing comes on the queues: {:?}", engine.stats());
                    std::thread::sleep(Duration::from_millis(1));
                }
                if over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let transfers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| exchange(&engine, &service, 16 * MIB))).collect();
        let outcomes: Vec<_> = transfers.into_iter().map(|transfer| transfer.join().is_ok()).collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(outcomes, [true; 4]);
        changer.join().unwrap();
    });
    assert_all_arrived(&service, 4, 16 * MIB);
    let stats = engine.stop();
    assert!(stats.strays > 0, "no packet came on the other queue: {stats:?}");
}

#[test]
fn netns_flows_stay_whole_when_packets_come_on_a_queue_without_a_socket() {
    flows_stay_whole_beside_a_queue_without_a_socket("qa", |engine, _| engine);
}

#[test]
fn netns_flows_of_an_address_of_its_own_stay_whole_beside_a_queue_without_a_socket() {
    flows_stay_whole_beside_a_queue_without_a_socket("qo", |engine, lab| {
        engine.own_address(lab.near().spare_ipv4(9).into(), 24)
    });
}

#[test]
fn netns_queues_that_are_served_cannot_be_taken_away() {
    let lab = Lab::builder().name_prefix("q").queues(2).up().unwrap();
    let service = service(lab.far(), MIB);
    let engine = engine(&lab).start().unwrap();
    let refused = lab.near().output("ethtool", &["-L", lab.near().interface(), "rx", "1"]);
    assert!(refused.is_err(), "{refused:?}");
    exchange(&engine, &service, MIB);
    assert_eq!(engine.info().queues, [0, 1]);
    assert_eq!(engine.info().spreading, "unknown");
    assert_eq!(engine.info().advice, Vec::<String>::new());
}

#[test]
fn netns_workers_that_cannot_be_are_told_with_what_can() {
    let lab = Lab::builder().name_prefix("q").up().unwrap();
    let refusal = |builder: EngineBuilder| builder.start().unwrap_err().to_string();
    let error = refusal(engine(&lab).cores(vec![0, 1]));
    assert!(error.contains("2 workers cannot share 1 queues") && error.contains("ethtool -L"), "{error}");
    let error = refusal(engine(&lab).cores(vec![4_000]));
    assert!(error.contains("core 4000 does not exist"), "{error}");
    let error = refusal(engine(&lab).cores(vec![0, 0]));
    assert!(error.contains("core 0") && error.contains("twice"), "{error}");
    let error = refusal(engine(&lab).queues(vec![3]));
    assert!(error.contains("no queue 3"), "{error}");
    let error = refusal(engine(&lab).frames(u32::MAX));
    assert!(error.contains("memory") && error.contains("frames"), "{error}");
}
