//! Ports on own addresses, and on shared ones in namespaces.

use std::collections::HashSet;
use std::net::{TcpListener, UdpSocket};

use super::*;
use crate::testnet::in_fresh_netns;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn remote(n: u8) -> SocketAddr {
    SocketAddr::from(([198, 18, 0, n], 80))
}

fn own() -> PortAllocator {
    PortAllocator::new(Ownership::Own, 0).unwrap()
}

fn shared() -> PortAllocator {
    PortAllocator::new(Ownership::Shared, 1).unwrap()
}

#[test]
fn reads_the_forms_of_proc() {
    assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
    assert_eq!(parse_range(""), None);
    assert_eq!(parse_list("8080,9000-9010\n"), [8080..=8080, 9000..=9010]);
    assert_eq!(parse_list("\n"), []);
}

#[test]
fn shared_ports_avoid_the_kernels_range_and_what_is_reserved() {
    let ports = shared_candidates(Some(32768..=60999), &[2000..=2999, 61000..=61000]);
    assert_eq!((ports.first(), ports.last()), (Some(&1024), Some(&65535)));
    assert!(!ports.iter().any(|p| (32768..=61000).contains(p) || (2000..3000).contains(p)));
}

#[test]
fn a_kernel_range_that_covers_everything_is_shared() {
    assert_eq!(shared_candidates(Some(1024..=65535), &[]).len(), 64512);
}

#[test]
fn every_port_of_an_own_address_is_had_once_per_destination() {
    let ports = own();
    let mut used = HashSet::new();
    let mut leases = Vec::new();
    for _ in 0..64512 {
        let lease = ports.for_connection(Transport::Tcp, LOCAL, remote(1), |p| !used.contains(&p)).unwrap();
        assert!(lease.port() >= FIRST_USER_PORT && used.insert(lease.port()));
        leases.push(lease);
    }
    let error = ports.for_connection(Transport::Tcp, LOCAL, remote(1), |p| !used.contains(&p)).unwrap_err();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrNotAvailable);
    let other = ports.for_connection(Transport::Tcp, LOCAL, remote(2), |_| true);
    assert!(other.is_ok(), "another destination may use the same ports");
    drop((leases, other));
    assert_eq!(ports.in_use(), 0);
}

#[test]
fn a_listener_has_its_port_alone() {
    let ports = own();
    let addr = SocketAddr::new(LOCAL, 80);
    let lease = ports.exactly(Transport::Tcp, addr).unwrap();
    let error = ports.exactly(Transport::Tcp, addr).unwrap_err();
    assert_eq!(error.to_string(), "TCP port 80 of 127.0.0.1 is in use by another socket of this engine");
    assert!(ports.exactly(Transport::Udp, addr).is_ok());
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    assert!(ports.exactly(Transport::Tcp, everywhere).is_err());
    drop(lease);
    let _all = ports.exactly(Transport::Tcp, everywhere).unwrap();
    assert!(ports.exactly(Transport::Tcp, addr).is_err());
}

#[test]
fn a_listeners_port_is_no_source_port() {
    let ports = own();
    let listener = ports.any(Transport::Tcp, LOCAL).unwrap();
    let only = listener.port();
    let lease = ports.for_connection(Transport::Tcp, LOCAL, remote(1), |p| p == only);
    assert!(matches!(lease, Err(PortError::Exhausted { .. })));
}

#[test]
fn source_ports_start_where_an_outsider_cannot_guess() {
    let first = |allocator: &PortAllocator, n| {
        allocator.for_connection(Transport::Tcp, LOCAL, remote(n), |_| true).unwrap().port()
    };
    let starts: HashSet<u16> = (0..16).map(|_| first(&own(), 1)).collect();
    assert!(starts.len() > 8, "{starts:?}");
    let one = own();
    let towards: HashSet<u16> = (0..16).map(|n| first(&one, n)).collect();
    assert!(towards.len() > 8, "{towards:?}");
    let again: HashSet<u16> = (0..16).map(|_| first(&one, 1)).collect();
    assert_eq!(again.len(), 16, "a port just given back is not the next");
}

#[test]
fn steps_between_ports_are_of_random_length_and_seldom_the_same() {
    let steps = |secret| {
        let allocator = PortAllocator::with_secret(Ownership::Own, 0, secret).unwrap();
        let next = || allocator.for_connection(Transport::Tcp, LOCAL, remote(1), |_| true).unwrap().port();
        let ports: Vec<u16> = (0..200).map(|_| next()).collect();
        let count = u32::from(u16::MAX - FIRST_USER_PORT) + 1;
        let step = |w: &[u16]| (u32::from(w[1]) + count - u32::from(w[0])) % count;
        (ports.windows(2).map(step).collect::<Vec<u32>>(), ports)
    };
    let (first, ports) = steps([1, 2]);
    assert!(first.iter().all(|step| (1..=MAX_STEP).contains(step)));
    assert!(first.iter().collect::<HashSet<_>>().len() > 120);
    assert!(ports.iter().collect::<HashSet<_>>().len() > 190, "hardly a port is used again soon");
    let (other, _) = steps([1, 3]);
    let alike = first.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(alike < 10, "one sequence tells nothing of another: {alike}");
    assert_eq!(steps([1, 2]).1, ports, "and the secret decides all of it");
}

#[test]
fn netns_a_leased_port_is_closed_to_the_kernel_until_it_is_dropped() {
    in_fresh_netns(|| {
        let ports = shared();
        for ip in [LOCAL, Ipv6Addr::LOCALHOST.into()] {
            let tcp = ports.for_connection(Transport::Tcp, ip, remote(1), |_| true).unwrap();
            let udp = ports.any(Transport::Udp, ip).unwrap();
            assert!(!(32768..=60999).contains(&tcp.port()));
            let (tcp_addr, udp_addr) = ((ip, tcp.port()), (ip, udp.port()));
            assert_eq!(TcpListener::bind(tcp_addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            assert_eq!(UdpSocket::bind(udp_addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            let second = ports.for_connection(Transport::Tcp, ip, remote(2), |p| p == tcp.port()).unwrap();
            drop((tcp, udp));
            assert!(TcpListener::bind(tcp_addr).is_err(), "the second connection holds it");
            drop(second);
            assert!(TcpListener::bind(tcp_addr).is_ok());
            assert!(UdpSocket::bind(udp_addr).is_ok());
        }
    });
}

#[test]
fn netns_a_port_of_the_kernel_is_named_in_the_error_and_passed_over() {
    in_fresh_netns(|| {
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        let ports = shared();
        let addr = SocketAddr::new(LOCAL, 8080);
        let error = ports.exactly(Transport::Tcp, addr).unwrap_err();
        assert!(error.to_string().starts_with("TCP port 8080 of 127.0.0.1 is in use by the kernel"));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
        let lease = ports.for_connection(Transport::Tcp, LOCAL, remote(1), |p| p == 8080 || p == 8081);
        assert_eq!(lease.unwrap().port(), 8081);
        drop(listener);
        assert!(ports.exactly(Transport::Tcp, addr).is_ok());
    });
}

#[test]
fn netns_an_address_that_the_kernel_does_not_have_is_an_error_of_its_own() {
    in_fresh_netns(|| {
        let error = shared().any(Transport::Udp, IpAddr::from([198, 18, 0, 1])).unwrap_err();
        assert!(matches!(error, PortError::Kernel { .. }), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn netns_connections_of_the_kernel_do_not_get_a_leased_port() {
    in_fresh_netns(|| {
        // A kernel range of two ports, one of them leased here.
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
        let listener = TcpListener::bind((LOCAL, 80)).unwrap();
        let _lease = shared().exactly(Transport::Tcp, SocketAddr::new(LOCAL, 40000)).unwrap();
        let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(connected.local_addr().unwrap().port(), 40001);
        assert!(std::net::TcpStream::connect(listener.local_addr().unwrap()).is_err());
    });
}
