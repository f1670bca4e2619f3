//! Small, ordinary and large packets.

use crate::*;

/// Fills a connection each way of a wire that carries packets of at most `mtu` bytes.
fn a_wire_of(mtu: u32, ways: &[Way]) {
    // IPv6 needs 1280, and so does a lab: links are narrowed when it stands.
    let lab = bad_wire(mtu.max(1280));
    for host in [lab.near(), lab.far()] {
        host.output("ip", &["link", "set", "dev", host.interface(), "mtu", &mtu.to_string()]).unwrap();
    }
    let engine = engine(&lab, hasty()).start().unwrap();
    let pairs: Vec<_> = ways.iter().map(|way| (way, pair(&lab, &engine, *way))).collect();
    std::thread::scope(|scope| {
        for (_, pair) in &pairs {
            scope.spawn(|| exchange(pair, amount(1 << 20)));
        }
    });
    drop(pairs);
    wait_for_no_flows(&engine);
    let middle = lab.middle().unwrap();
    assert!(middle.inward().lost > 0 && middle.outward().lost > 0);
}

#[test]
fn netns_a_megabyte_each_way_in_packets_of_576_bytes() {
    a_wire_of(576, &WAYS[..2]);
}

#[test]
fn netns_a_megabyte_each_way_in_packets_of_1500_bytes() {
    a_wire_of(1500, &WAYS);
}

#[test]
fn netns_a_megabyte_each_way_in_packets_of_9000_bytes() {
    a_wire_of(9000, &WAYS);
}
