//! The engine over the pump, its second transmit path, against kernel peers. Needs root.

mod exchange;

use std::time::{Duration, Instant};

use bypath::{Engine, EngineBuilder, LoadPolicy, TransmitPath};
use bypath_lab::{Lab, LabBuilder};

use exchange::{LONG, MIB, assert_all_arrived, exchange, service};

fn lab() -> LabBuilder {
    Lab::builder().name_prefix("p").gro(true)
}

fn engine(lab: &Lab) -> EngineBuilder {
    Engine::builder().netns(lab.near().netns()).interface(lab.near().interface()).pump_core(0)
}

/// Takes the pump for any load, however busy the machine is.
fn eager() -> LoadPolicy {
    LoadPolicy {
        start_at: 2_000,
        stop_below: 1_000,
        idle_for: Duration::from_millis(100),
        max_core_busy: 1.0,
        must_pay: false,
    }
}

#[test]
fn netns_64_mib_each_way_are_intact_over_the_pump() {
    let lab = lab().up().unwrap();
    let service = service(lab.far(), 64 * MIB);
    let engine = engine(&lab).transmit_path(TransmitPath::Pump).start().unwrap();
    assert_eq!((engine.info().transmit_path.as_str(), engine.info().pump_core), ("pump", Some(0)));
    exchange(&engine, &service, 64 * MIB);
    assert_all_arrived(&service, 1, 64 * MIB);
    let stats = engine.stop();
    assert_eq!(stats.tx_pumped, stats.tx_packets);
    let pump = stats.pump.unwrap();
    // One frame more than the packets tried the interface out.
    assert_eq!((pump.sent, pump.dropped, pump.refused), (stats.tx_packets + 1, 0, 0), "{:?}", pump.trouble);
}

#[test]
fn netns_two_workers_share_one_pump() {
    let lab = lab().queues(2).up().unwrap();
    let service = service(lab.far(), MIB);
    let builder = engine(&lab).cores(vec![0, 1]).pump_core(1).transmit_path(TransmitPath::Pump);
    let engine = builder.start().unwrap();
    // So many that neither worker goes without.
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| exchange(&engine, &service, MIB));
        }
    });
    assert_all_arrived(&service, 24, MIB);
    let stats = engine.stop();
    assert!(stats.workers.iter().all(|worker| worker.segments_out() > 0), "{:?}", stats.workers);
    assert_eq!(stats.tx_pumped, stats.tx_packets);
    assert_eq!(stats.pump.unwrap().starts, 1);
}

#[test]
fn netns_auto_takes_the_pump_under_load_and_leaves_it_when_idle() {
    let lab = lab().up().unwrap();
    let service = service(lab.far(), 32 * MIB);
    let engine = engine(&lab).transmit_path(TransmitPath::Auto).pump_policy(eager()).start().unwrap();
    assert_eq!(engine.info().without_pump, None);
    let mut exchanges = 0;
    for round in 0..2 {
        let started = Instant::now();
        let before = engine.stats().tx_pumped;
        // The load must last longer than it takes to be seen, and that depends on the machine.
        while engine.stats().tx_pumped == before {
            assert!(started.elapsed() < LONG, "round {round}: {:?}", engine.stats().pump);
            exchange(&engine, &service, 32 * MIB);
            exchanges += 1;
        }
        while engine.stats().pump.is_some_and(|pump| pump.running) {
            assert!(started.elapsed() < LONG, "round {round}: {:?}", engine.stats().pump);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert_all_arrived(&service, exchanges, 32 * MIB);
    let stats = engine.stop();
    assert!(stats.tx_pumped < stats.tx_packets, "{stats:?}");
    let pump = stats.pump.unwrap();
    // A kernel that is slow to take packets loses some, as any receiver does: then it is told, and TCP has sent them again.
    assert_eq!(pump.refused, 0, "{pump:?}");
    assert_eq!(pump.trouble.is_some(), pump.dropped > 0, "{pump:?}");
    assert!(pump.dropped <= stats.retransmits, "{pump:?}, {} sent again", stats.retransmits);
}

#[test]
fn netns_auto_goes_on_by_the_ring_where_the_peer_takes_nothing_from_the_pump() {
    let lab = lab().gro(false).up().unwrap();
    let service = service(lab.far(), 32 * MIB);
    let engine = engine(&lab).transmit_path(TransmitPath::Auto).pump_policy(eager()).start().unwrap();
    let started = Instant::now();
    let trouble = loop {
        exchange(&engine, &service, 32 * MIB);
        if let Some(trouble) = engine.stats().pump.and_then(|pump| pump.trouble) {
            break trouble;
        }
        assert!(started.elapsed() < LONG, "the pump was never tried");
    };
    assert!(trouble.contains("GRO"), "{trouble}");
    assert_eq!(engine.stop().tx_pumped, 0);
}

#[test]
fn netns_a_pump_that_cannot_be_had_is_refused_with_the_reason() {
    let refusal = |lab: &Lab, builder: EngineBuilder| {
        let error = builder.transmit_path(TransmitPath::Pump).start().unwrap_err().to_string();
        let link = lab.near().output("ip", &["-d", "link", "show", lab.near().interface()]).unwrap();
        assert!(!link.contains("prog/xdp"), "{link}");
        error
    };
    let plain = lab().gro(false).up().unwrap();
    let error = refusal(&plain, engine(&plain));
    assert!(error.contains("turn GRO on there") && error.contains("--tx ring"), "{error}");
    let error = refusal(&plain, engine(&plain).pump_core(4_000));
    assert!(error.contains("the pump's core") && error.contains("4000"), "{error}");
    let jumbo = lab().mtu(9000).up().unwrap();
    let error = refusal(&jumbo, engine(&jumbo));
    assert!(error.contains("3306") && error.contains("ip link set near0 mtu"), "{error}");
    let auto = engine(&jumbo).transmit_path(TransmitPath::Auto).start().unwrap();
    assert_eq!(auto.info().transmit_path, "ring");
    assert!(auto.info().without_pump.as_ref().is_some_and(|reason| reason.contains("3306")));
}
