//! The kernel at work in namespaces of its own.

use std::time::Instant;

use super::*;
use crate::testnet::{in_fresh_netns, ip};

fn prefix(text: &str, len: u8) -> Prefix {
    Prefix::new(text.parse().unwrap(), len)
}

/// Waits for the event that `wanted` accepts; other events before it are passed over.
fn wait_for(watch: &mut KernelWatch, wanted: impl Fn(&KernelEvent) -> bool) -> KernelEvent {
    let end = Instant::now() + Duration::from_secs(10);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Some(event) = watch.poll(Some(left)).unwrap()
            && wanted(&event)
        {
            return event;
        }
    }
    panic!("the event did not come")
}

/// A veth pair `near`/`far`, up, with 198.18.0.1/24 on `near`.
fn pair() {
    ip("link add near mtu 1400 type veth peer name far");
    ip("link set far up");
    ip("link set near up");
    ip("address add 198.18.0.1/24 dev near");
}

#[test]
fn netns_takes_stock_of_an_interface() {
    in_fresh_netns(|| {
        pair();
        ip("address add 2001:db8::1/64 dev near nodad");
        ip("route add default via 198.18.0.254 mtu 1300 metric 7");
        ip("route add 203.0.113.0/24 via inet6 2001:db8::9 dev near");
        ip("route add 10.9.0.0/16 dev far");
        ip("route add table 77 10.0.0.0/8 dev near");
        ip("neighbour add 198.18.0.2 lladdr 02:00:00:00:00:02 dev near");
        ip("neighbour add 198.18.0.3 lladdr 02:00:00:00:00:03 dev near nud reachable");
        ip("neighbour add 198.18.0.4 lladdr 02:00:00:00:00:04 dev far nud reachable");
        let state = Interface::read("near").unwrap();
        assert_eq!((state.name.as_str(), state.mtu, state.up, state.carrier), ("near", 1400, true, true));
        assert!(!state.mac.is_multicast() && state.mac != MacAddr::UNSPECIFIED);
        assert!(state.addresses.contains(&prefix("198.18.0.1", 24)));
        assert!(state.addresses.contains(&prefix("2001:db8::1", 64)));
        let default =
            state.routes.iter().find(|r| r.destination == Prefix::default_of(r.destination.addr())).unwrap();
        assert_eq!((default.gateway, default.mtu), ("198.18.0.254".parse().ok(), Some(1300)));
        assert_eq!(default.metric, 7);
        let via = state.routes.iter().find(|r| r.destination == prefix("203.0.113.0", 24)).unwrap();
        assert_eq!(via.gateway, "2001:db8::9".parse().ok());
        let link = state.routes.iter().find(|r| r.destination == prefix("198.18.0.0", 24)).unwrap();
        assert_eq!((link.gateway, link.source), (None, "198.18.0.1".parse().ok()));
        assert!(!state.routes.iter().any(|r| r.destination.addr().to_string().starts_with("10.")));
        let neighbor = |n: u8, permanent| KernelNeighbor {
            ip: IpAddr::from([198, 18, 0, n]),
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            permanent,
        };
        assert!(state.neighbors.contains(&neighbor(2, true)));
        assert!(state.neighbors.contains(&neighbor(3, false)));
        assert_eq!(state.neighbors.iter().filter(|n| n.ip.is_ipv4()).count(), 2);
    });
}

#[test]
fn netns_an_unknown_interface_is_named_in_the_error() {
    in_fresh_netns(|| {
        for name in ["nosuch0", "", "a-name-far-too-long-for-linux"] {
            let error = Interface::read(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains(name));
        }
    });
}

#[test]
fn netns_reports_what_changes_on_the_link() {
    in_fresh_netns(|| {
        pair();
        let (_, mut watch) = KernelWatch::start("near").unwrap();
        ip("link set near mtu 1300");
        wait_for(&mut watch, |e| *e == KernelEvent::MtuChanged(1300));
        ip("link set far down");
        wait_for(&mut watch, |e| *e == KernelEvent::LinkDown);
        ip("link set far up");
        wait_for(&mut watch, |e| *e == KernelEvent::LinkUp);
        ip("address add 198.18.0.7/24 dev near");
        wait_for(&mut watch, |e| *e == KernelEvent::AddressAdded(prefix("198.18.0.7", 24)));
        ip("address del 198.18.0.7/24 dev near");
        wait_for(&mut watch, |e| *e == KernelEvent::AddressRemoved(prefix("198.18.0.7", 24)));
        ip("route add 10.0.0.0/8 via 198.18.0.9");
        let entry = RouteEntry {
            destination: prefix("10.0.0.0", 8),
            gateway: "198.18.0.9".parse().ok(),
            source: None,
            metric: 0,
            mtu: None,
        };
        wait_for(&mut watch, |e| *e == KernelEvent::RouteAdded(entry));
        ip("route del 10.0.0.0/8");
        wait_for(&mut watch, |e| *e == KernelEvent::RouteRemoved(entry));
        ip("link del near");
        wait_for(&mut watch, |e| *e == KernelEvent::LinkGone);
    });
}

#[test]
fn netns_a_quiet_interface_reports_nothing_and_does_not_block() {
    in_fresh_netns(|| {
        // Without the addresses that IPv6 makes by itself, and announces when it pleases.
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        pair();
        let (_, mut watch) = KernelWatch::start("near").unwrap();
        ip("link add other type veth peer name another");
        assert_eq!(watch.poll(Some(Duration::from_millis(1))).unwrap(), None);
    });
}

#[test]
fn netns_the_kernel_resolves_a_neighbour_when_asked() {
    in_fresh_netns(|| {
        pair();
        let far_mac = Interface::read("far").unwrap().mac;
        let far_side = crate::testnet::Netns::fresh();
        ip(&format!("link set far netns {}", far_side.path()));
        far_side.ip("address add 198.18.0.2/24 dev far");
        far_side.ip("link set far up");
        let (state, mut watch) = KernelWatch::start("near").unwrap();
        let mut kernel = KernelNeighbors::open(state.index).unwrap();
        let target = "198.18.0.2".parse().unwrap();
        kernel.ask(target).unwrap();
        let learned = KernelNeighbor { ip: target, mac: far_mac, permanent: false };
        wait_for(&mut watch, |e| *e == KernelEvent::NeighborLearned(learned));
        kernel.ask(target).unwrap();
        ip("neighbour del 198.18.0.2 dev near");
        wait_for(&mut watch, |e| *e == KernelEvent::NeighborGone(target));
    });
}

#[test]
fn netns_the_kernel_reports_a_neighbour_that_does_not_answer() {
    in_fresh_netns(|| {
        pair();
        std::fs::write("/proc/sys/net/ipv4/neigh/near/retrans_time_ms", "20").unwrap();
        let (state, mut watch) = KernelWatch::start("near").unwrap();
        let mut kernel = KernelNeighbors::open(state.index).unwrap();
        let target = "198.18.0.66".parse().unwrap();
        kernel.ask(target).unwrap();
        wait_for(&mut watch, |e| *e == KernelEvent::NeighborGone(target));
    });
}
