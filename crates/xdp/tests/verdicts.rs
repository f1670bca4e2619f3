//! The steering program's verdicts on built frames, by `BPF_PROG_TEST_RUN`. Needs root, but no NIC.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use bypath_xdp::{Protocol, SteeringProgram, XdpError};

const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

const OWN4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SHARED4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const OTHER4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x11, 0x2233);
const SHARED6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A loaded program with a socket on queue 0, one own and one shared address of each family.
struct Bench {
    program: SteeringProgram,
    _socket: Option<OwnedFd>,
}

fn load() -> SteeringProgram {
    match SteeringProgram::load() {
        Ok(program) => program,
        Err(error) => panic!("these tests load a BPF program and so need root: {error}"),
    }
}

impl Bench {
    fn new() -> Self {
        let bench = Bench::without_socket();
        let socket = rustix::net::socket(rustix::net::AddressFamily::XDP, rustix::net::SocketType::RAW, None)
            .expect("an AF_XDP socket");
        bench.program.set_socket(0, socket.as_fd()).expect("set_socket");
        Bench { _socket: Some(socket), ..bench }
    }

    fn without_socket() -> Self {
        let program = load();
        for own in [IpAddr::V4(OWN4), IpAddr::V6(OWN6)] {
            program.own_address(own).expect("own_address");
        }
        for shared in [IpAddr::V4(SHARED4), IpAddr::V6(SHARED6)] {
            program.own_ports(shared, Protocol::Tcp, 8080..=8080).expect("own_ports");
            program.own_ports(shared, Protocol::Udp, 5000..=6000).expect("own_ports");
        }
        Bench { program, _socket: None }
    }

    /// Runs the program and says what it decided and under which causes it counted that.
    fn judge(&self, frame: &[u8]) -> (u32, Vec<String>) {
        let before = self.program.counters();
        let action = self.program.verdict(frame).expect("BPF_PROG_TEST_RUN");
        let after = self.program.counters();
        let counted = before.into_iter().zip(after).flat_map(|((cause, old), (_, new))| {
            std::iter::repeat_n(cause, usize::try_from(new - old).expect("counters grow"))
        });
        (action, counted.collect())
    }

    #[track_caller]
    fn expect(&self, frame: &[u8], action: u32, cause: &str) {
        assert_eq!(self.judge(frame), (action, vec![cause.to_owned()]));
    }
}

fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for tag in tags {
        frame.extend_from_slice(&tag.to_be_bytes());
        frame.extend_from_slice(&[0, 42]);
    }
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn ipv4_packet(to: Ipv4Addr, protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options;
    let mut packet = vec![0; header_len];
    packet[0] = 0x40 | (header_len / 4) as u8;
    packet[2..4].copy_from_slice(&((header_len + payload.len()) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = 64;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&[198, 18, 0, 9]);
    packet[16..20].copy_from_slice(&to.octets());
    packet.extend_from_slice(payload);
    packet
}

fn v4(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4_packet(to, protocol, 0, 0, payload))
}

/// Extension headers as (type, body) with the body padded by the caller to 8 bytes less two.
fn v6(to: Ipv6Addr, extensions: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    for (at, (_, body)) in extensions.iter().enumerate() {
        rest.push(extensions.get(at + 1).map_or(protocol, |(kind, _)| *kind));
        rest.extend_from_slice(body);
    }
    rest.extend_from_slice(payload);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    packet.push(extensions.first().map_or(protocol, |(kind, _)| *kind));
    packet.push(255);
    packet.extend_from_slice(&Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(&rest);
    ethernet(&[], 0x86dd, &packet)
}

fn transport(protocol: u8, port: u16) -> Vec<u8> {
    let mut header = vec![0; if protocol == TCP { 20 } else { 8 }];
    header[..2].copy_from_slice(&40000u16.to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header
}

fn arp(operation: u8, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend_from_slice(&[2, 0, 0, 0, 0, 1, 198, 18, 0, 9, 2, 0, 0, 0, 0, 2]);
    packet.extend_from_slice(&target.octets());
    ethernet(&[], 0x0806, &packet)
}

fn solicitation(to: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    v6(to, &[], ICMPV6, &message)
}

#[test]
fn everything_for_an_own_address_goes_to_the_engine() {
    let bench = Bench::new();
    for port in [1, 8080, 65535] {
        bench.expect(&v4(OWN4, TCP, &transport(TCP, port)), REDIRECT, "redirect_tcp");
        bench.expect(&v6(OWN6, &[], UDP, &transport(UDP, port)), REDIRECT, "redirect_udp");
    }
    bench.expect(&v4(OWN4, ICMP, &[8; 8]), REDIRECT, "redirect_icmp");
    bench.expect(&v6(OWN6, &[], ICMPV6, &[128; 8]), REDIRECT, "redirect_icmp");
    bench.expect(&v6(OWN6, &[], ICMPV6, &[136; 24]), REDIRECT, "redirect_ndp");
}

#[test]
fn arp_goes_by_its_target_whether_it_asks_or_answers() {
    let bench = Bench::new();
    for operation in [1, 2] {
        bench.expect(&arp(operation, OWN4), REDIRECT, "redirect_arp");
        bench.expect(&arp(operation, SHARED4), PASS, "pass_not_ours");
        bench.expect(&arp(operation, OTHER4), PASS, "pass_not_ours");
    }
    bench.expect(&arp(1, OWN4)[..41], PASS, "pass_malformed");
}

#[test]
fn a_solicitation_goes_by_its_target() {
    let bench = Bench::new();
    let group = |low: u16| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff11, low);
    bench.expect(&solicitation(group(0x2233), OWN6), REDIRECT, "redirect_ndp");
    bench.expect(&solicitation(OWN6, OWN6), REDIRECT, "redirect_ndp");
    bench.expect(&solicitation(group(2), SHARED6), PASS, "pass_not_ours");
    bench.expect(&v6(group(0x2233), &[], ICMPV6, &[130; 24]), PASS, "pass_not_ours");
    bench.expect(&v6(group(0x2233), &[], ICMPV6, &[135; 23]), PASS, "pass_malformed");
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    bench.expect(&v6(all_nodes, &[], ICMPV6, &[134; 24]), PASS, "pass_not_ours");
}

#[test]
fn of_a_shared_address_only_the_chosen_ports_are_the_engines() {
    let bench = Bench::new();
    for (port, ours) in [(8079, false), (8080, true), (8081, false), (5000, false)] {
        let (action, cause) = if ours { (REDIRECT, "redirect_tcp") } else { (PASS, "pass_other_port") };
        bench.expect(&v4(SHARED4, TCP, &transport(TCP, port)), action, cause);
        bench.expect(&v6(SHARED6, &[], TCP, &transport(TCP, port)), action, cause);
    }
    for (port, ours) in
        [(4999, false), (5000, true), (5555, true), (6000, true), (6001, false), (8080, false)]
    {
        let (action, cause) = if ours { (REDIRECT, "redirect_udp") } else { (PASS, "pass_other_port") };
        bench.expect(&v4(SHARED4, UDP, &transport(UDP, port)), action, cause);
        bench.expect(&v6(SHARED6, &[], UDP, &transport(UDP, port)), action, cause);
    }
    bench.expect(&v4(SHARED4, ICMP, &[8; 8]), PASS, "pass_other_protocol");
    bench.expect(&v6(SHARED6, &[], ICMPV6, &[128; 8]), PASS, "pass_other_protocol");
    bench.expect(&v4(SHARED4, 132, &[0; 20]), PASS, "pass_other_protocol");
}

#[test]
fn what_is_not_ours_passes() {
    let bench = Bench::new();
    bench.expect(&v4(OTHER4, TCP, &transport(TCP, 8080)), PASS, "pass_not_ours");
    bench.expect(&v6(Ipv6Addr::LOCALHOST, &[], TCP, &transport(TCP, 8080)), PASS, "pass_not_ours");
    bench.expect(&v4(Ipv4Addr::BROADCAST, UDP, &transport(UDP, 5000)), PASS, "pass_not_ours");
    bench.expect(&ethernet(&[], 0x88cc, &[0; 46]), PASS, "pass_not_ip");
    bench.expect(&ethernet(&[], 0x0100, &[0; 46]), PASS, "pass_not_ip");
}

#[test]
fn one_and_two_vlan_tags_are_looked_through_and_a_third_is_not() {
    let bench = Bench::new();
    let packet = ipv4_packet(OWN4, TCP, 0, 0, &transport(TCP, 80));
    bench.expect(&ethernet(&[0x8100], 0x0800, &packet), REDIRECT, "redirect_tcp");
    bench.expect(&ethernet(&[0x88a8, 0x8100], 0x0800, &packet), REDIRECT, "redirect_tcp");
    bench.expect(&ethernet(&[0x8100, 0x8100, 0x8100], 0x0800, &packet), PASS, "pass_not_ip");
    bench.expect(&ethernet(&[0x8100], 0x8100, &[]), PASS, "pass_malformed");
}

#[test]
fn ip_options_and_extension_headers_are_stepped_over() {
    let bench = Bench::new();
    for options in [4, 20, 40] {
        let packet = ipv4_packet(SHARED4, TCP, options, 0, &transport(TCP, 8080));
        bench.expect(&ethernet(&[], 0x0800, &packet), REDIRECT, "redirect_tcp");
    }
    let (short, long, authentication) = (&[0; 7][..], &[[2].as_slice(), &[0; 22]].concat()[..], &[4; 23][..]);
    let chains: [&[(u8, &[u8])]; 4] = [
        &[(0, short)],
        &[(0, long), (43, short), (60, short)],
        &[(51, authentication)],
        &[(60, short), (60, short), (60, short), (60, short), (60, short), (60, short), (60, short)],
    ];
    for chain in chains {
        bench.expect(&v6(SHARED6, chain, TCP, &transport(TCP, 8080)), REDIRECT, "redirect_tcp");
        bench.expect(&v6(SHARED6, chain, TCP, &transport(TCP, 8081)), PASS, "pass_other_port");
    }
    let endless = vec![(60u8, short); 20];
    bench.expect(&v6(OWN6, &endless, TCP, &transport(TCP, 1)), DROP, "drop_malformed");
    bench.expect(&v6(SHARED6, &endless, TCP, &transport(TCP, 8080)), PASS, "pass_malformed");
}

#[test]
fn fragments_are_dropped_for_an_own_address_and_left_to_the_kernel_for_a_shared_one() {
    let bench = Bench::new();
    for field in [0x2000, 0x0001, 0x2001] {
        let own = ipv4_packet(OWN4, TCP, 0, field, &transport(TCP, 80));
        let shared = ipv4_packet(SHARED4, TCP, 0, field, &transport(TCP, 8080));
        bench.expect(&ethernet(&[], 0x0800, &own), DROP, "drop_fragment");
        bench.expect(&ethernet(&[], 0x0800, &shared), PASS, "pass_fragment");
    }
    let dont_fragment = ipv4_packet(OWN4, TCP, 0, 0x4000, &transport(TCP, 80));
    bench.expect(&ethernet(&[], 0x0800, &dont_fragment), REDIRECT, "redirect_tcp");
    bench.expect(&v6(OWN6, &[(44, &[0; 7])], TCP, &transport(TCP, 80)), DROP, "drop_fragment");
    bench.expect(&v6(SHARED6, &[(44, &[0; 7])], TCP, &transport(TCP, 8080)), PASS, "pass_fragment");
}

#[test]
fn malformed_packets_are_dropped_for_an_own_address_and_passed_otherwise() {
    let bench = Bench::new();
    for (to, action, cause) in [(OWN4, DROP, "drop_malformed"), (SHARED4, PASS, "pass_malformed")] {
        let good = v4(to, TCP, &transport(TCP, 8080));
        let broken = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] = value;
            frame
        };
        bench.expect(&broken(14, 0x44), action, cause);
        bench.expect(&broken(14, 0x65), action, cause);
        bench.expect(&broken(14, 0x4f), action, cause);
        bench.expect(&broken(17, 19), action, cause);
        bench.expect(&broken(17, 39), action, cause);
        bench.expect(&broken(17, 255), action, cause);
        bench.expect(&v4(to, UDP, &[0; 7]), action, cause);
    }
    for (to, action, cause) in [(OWN6, DROP, "drop_malformed"), (SHARED6, PASS, "pass_malformed")] {
        let mut long = v6(to, &[], TCP, &transport(TCP, 8080));
        long[19] += 1;
        bench.expect(&long, action, cause);
        bench.expect(&v6(to, &[(60, &[200; 7])], TCP, &transport(TCP, 8080)), action, cause);
        bench.expect(&v6(to, &[], TCP, &[0; 19]), action, cause);
    }
    bench.expect(&v4(OWN4, TCP, &[])[..33], PASS, "pass_malformed");
    bench.expect(&v6(OWN6, &[], TCP, &[])[..53], PASS, "pass_malformed");
    bench.expect(&v4(OWN4, 132, &[0; 20]), DROP, "drop_protocol");
    bench.expect(&v6(OWN6, &[], 59, &[0; 8]), DROP, "drop_protocol");
}

#[test]
fn padding_behind_the_ip_packet_is_no_harm() {
    let bench = Bench::new();
    let mut frame = v4(OWN4, UDP, &transport(UDP, 5));
    frame.resize(60, 0);
    bench.expect(&frame, REDIRECT, "redirect_udp");
}

#[test]
fn without_a_socket_own_traffic_is_dropped_and_shared_traffic_passes() {
    let bench = Bench::without_socket();
    bench.expect(&v4(OWN4, TCP, &transport(TCP, 8080)), DROP, "drop_no_socket");
    bench.expect(&arp(1, OWN4), DROP, "drop_no_socket");
    bench.expect(&v4(SHARED4, TCP, &transport(TCP, 8080)), PASS, "pass_no_socket");
}

#[test]
fn without_a_socket_but_with_a_reader_frames_take_a_detour() {
    let bench = Bench::without_socket();
    let strays = bench.program.strays().unwrap();
    let long = v4(SHARED4, TCP, &[&transport(TCP, 8080)[..], &[7; 1400]].concat());
    let frames = [arp(1, OWN4), long, v6(OWN6, &[], UDP, &transport(UDP, 9))];
    for frame in &frames {
        bench.expect(frame, DROP, "redirect_stray");
    }
    // What is not the engine's is none of its business.
    bench.expect(&v4(SHARED4, TCP, &transport(TCP, 81)), PASS, "pass_other_port");

    let (ending, mut read) = (AtomicBool::new(false), Vec::new());
    strays
        .read(&ending, |queue, frame| {
            read.push((queue, frame.to_vec()));
            ending.store(read.len() == frames.len(), Ordering::Release);
        })
        .unwrap();
    assert_eq!(read, frames.map(|frame| (0, frame)));
}

#[test]
fn a_detour_that_nobody_empties_is_full_one_day_and_says_so() {
    let bench = Bench::without_socket();
    let strays = bench.program.strays().unwrap();
    let frame = v4(OWN4, UDP, &[&transport(UDP, 9)[..], &[7; 1400]].concat());
    let causes: Vec<_> = (0..2_000).map(|_| bench.judge(&frame).1).collect();
    let taken = causes.iter().take_while(|cause| **cause == ["redirect_stray"]).count();
    assert!(taken > 1_000, "{taken}");
    assert!(causes[taken..].iter().all(|cause| *cause == ["drop_stray"]) && taken < causes.len(), "{taken}");

    let (ending, mut read) = (AtomicBool::new(false), 0);
    strays
        .read(&ending, |_, _| {
            read += 1;
            ending.store(read == taken, Ordering::Release);
        })
        .unwrap();
    bench.expect(&frame, DROP, "redirect_stray");
}

#[test]
fn ports_come_and_go_one_by_one_and_take_their_address_with_the_last() {
    let bench = Bench::new();
    let (program, address) = (&bench.program, IpAddr::V4(SHARED4));
    let frame = |port| v4(SHARED4, TCP, &transport(TCP, port));
    program.own_ports(address, Protocol::Tcp, 63..=64).unwrap();
    bench.expect(&frame(62), PASS, "pass_other_port");
    bench.expect(&frame(63), REDIRECT, "redirect_tcp");
    bench.expect(&frame(64), REDIRECT, "redirect_tcp");
    bench.expect(&frame(65), PASS, "pass_other_port");
    program.disown_ports(address, Protocol::Tcp, 63..=63).unwrap();
    bench.expect(&frame(63), PASS, "pass_other_port");
    bench.expect(&frame(64), REDIRECT, "redirect_tcp");
    program.own_ports(address, Protocol::Tcp, 0..=65535).unwrap();
    for port in [0, 1, 64, 32768, 65535] {
        bench.expect(&frame(port), REDIRECT, "redirect_tcp");
    }
    program.disown_ports(address, Protocol::Tcp, 0..=65535).unwrap();
    bench.expect(&frame(8080), PASS, "pass_other_port");
    program.disown_ports(address, Protocol::Udp, 0..=65535).unwrap();
    bench.expect(&frame(8080), PASS, "pass_not_ours");
    program.own_address(address).unwrap();
    bench.expect(&frame(8080), REDIRECT, "redirect_tcp");
}

#[test]
fn an_address_is_owned_in_one_way_at_a_time() {
    let bench = Bench::new();
    let error = bench.program.own_address(IpAddr::V4(SHARED4)).unwrap_err();
    assert!(matches!(error, XdpError::OwnedOtherwise { .. }));
    assert!(error.to_string().contains("give it up first"), "{error}");
    let error = bench.program.own_ports(IpAddr::V4(OWN4), Protocol::Tcp, 1..=1).unwrap_err();
    assert!(matches!(error, XdpError::OwnedOtherwise { .. }));
    bench.program.disown_address(IpAddr::V4(OWN4)).unwrap();
    bench.expect(&v4(OWN4, TCP, &transport(TCP, 1)), PASS, "pass_not_ours");
    bench.program.own_ports(IpAddr::V4(OWN4), Protocol::Tcp, 1..=1).unwrap();
    bench.expect(&v4(OWN4, TCP, &transport(TCP, 1)), REDIRECT, "redirect_tcp");
}

#[test]
fn a_hundred_thousand_own_addresses_fit() {
    let program = load();
    for number in 0..100_000u32 {
        program.own_address(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))).unwrap();
    }
    let last = v4(Ipv4Addr::from_bits(0x0a00_0000 + 99_999), TCP, &transport(TCP, 1));
    assert_eq!(program.verdict(&last).unwrap(), DROP);
}

#[test]
fn the_sixty_fifth_shared_address_is_refused_with_the_limit() {
    let program = load();
    let share =
        |number: u32| program.own_ports(IpAddr::V4(Ipv4Addr::from_bits(number)), Protocol::Udp, 1..=1);
    for number in 1..=64 {
        share(number).unwrap();
    }
    let error = share(65).unwrap_err().to_string();
    assert!(error.contains("at most 64"), "{error}");
    program.disown_address(IpAddr::V4(Ipv4Addr::from_bits(7))).unwrap();
    share(65).unwrap();
}
