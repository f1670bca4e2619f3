//! Filters beside libpcap's compiler.

mod peer;

use bypath_trace::filter::Filter;
use bypath_trace::layers::dissect;
use bypath_trace::read::Capture;
use peer::{committed, tool};

fn taken(filter: &str, capture: &[u8]) -> usize {
    let filter = Filter::compile(filter).unwrap();
    let mut capture = Capture::open(capture).unwrap();
    let mut count = 0;
    while let Some(record) = capture.next_record().unwrap() {
        count += usize::from(filter.takes(&record, &dissect(record.link, record.data)));
    }
    count
}

#[test]
fn filters_take_the_packets_that_libpcap_takes() {
    let capture = committed("kernel.pcap");
    let filters = [
        "",
        "tcp",
        "udp",
        "icmp",
        "arp",
        "ip",
        "ip6",
        "igmp",
        "not ip",
        "! arp",
        "host 198.18.9.1",
        "src 198.18.9.1",
        "dst host 198.18.9.2",
        "src or dst host 198.18.9.1",
        "src and dst 198.18.9.1",
        "host fd00:9::1",
        "ip6 src fd00:9::2",
        "net 198.18.9.0/24",
        "net 198.18",
        "src net 198.18.9.0 mask 255.255.255.0",
        "net fd00:9::/64",
        "port 80",
        "port domain",
        "tcp port 53",
        "udp port 53",
        "src port 80",
        "dst port 80 or 21",
        "port 80 or 21 or 53",
        "portrange 20-80",
        "tcp dst portrange 20-22",
        "host 198.18.9.1 and port 80",
        "tcp and not port 80",
        "(tcp or udp) and (port 53 or port 21)",
        "tcp && port 80 || udp",
        "not (tcp or udp)",
        "not tcp and not udp",
        "less 80",
        "greater 1000",
        "ether host 02:00:00:00:09:01",
        "ether src 02:00:00:00:09:02",
        "ether broadcast",
        "broadcast",
        "ether multicast",
        "multicast",
        "ip multicast",
        "ip6 multicast",
        "ip proto 1",
        "ip proto \\tcp",
        "proto 17",
        "ether proto 0x0800",
        "ether proto \\arp",
        "arp host 198.18.9.2",
        "src host 198.18.9.1 or dst host 198.18.9.1",
        "src 198.18.9.1 or dst 198.18.9.1 and tcp",
    ];
    let mut differ = Vec::new();
    for filter in filters {
        // tcpdump does not take an empty argument for an expression.
        let expression = Some(filter).filter(|filter| !filter.is_empty());
        let args: Vec<&str> = ["-nt", "-r", "-"].into_iter().chain(expression).collect();
        let theirs =
            tool("tcpdump", &args, &capture).lines().filter(|line| !line.starts_with(['\t', ' '])).count();
        let ours = taken(filter, &capture);
        if ours != theirs {
            differ.push(format!("{filter}: {ours} here, {theirs} there"));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn extension_headers_are_looked_through() {
    // Listener reports come behind a hop-by-hop header, where libpcap's compiler does not look.
    let capture = committed("kernel.pcap");
    assert_eq!(taken("icmp6", &capture), taken("ip6 and not tcp and not udp", &capture));
    assert_eq!(taken("icmp6", &capture), taken("ip6 proto 58", &capture));
}

#[test]
fn tags_are_looked_through() {
    let capture = committed("tagged.pcap");
    assert_eq!(
        taken("vlan 7 and tcp", &capture) + taken("vlan 7 and not tcp", &capture),
        taken("vlan 7", &capture)
    );
    assert!(taken("vlan 7", &capture) > 0 && taken("vlan", &capture) > taken("vlan 7", &capture));
    assert!(taken("tcp", &capture) > 0);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = [
        ("port", 5, "missing at the end"),
        ("port http2x", 6, "is no port"),
        ("port 70000", 6, "is no port"),
        ("host a.example", 6, "names are not looked up"),
        ("net 10.0.0.0/40", 5, "is no address"),
        ("tcp and", 8, "missing at the end"),
        ("(tcp", 5, "not closed"),
        ("tcp)", 4, "not expected"),
        ("tcp[13] & 2 != 0", 4, "brackets"),
        ("ether host 1.2.3.4", 12, "is no address like"),
        ("less many", 6, "a number"),
        ("src or", 5, "each other"),
        ("host", 5, "missing at the end"),
    ];
    for (filter, at, what) in wrong {
        let error = Filter::compile(filter).unwrap_err();
        assert!(error.what.contains(what) && error.at == at, "{filter}: {error}");
    }
    assert!(Filter::compile(&"(".repeat(100_000)).unwrap_err().what.contains("too many"));
}
