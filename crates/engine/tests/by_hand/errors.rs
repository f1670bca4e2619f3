//! ICMP errors about connections (RFC 9293 section 3.9.2.2): who is told, and what they end.

use std::io::ErrorKind;

use bypath::by_hand::StackOptions;
use bypath::{Report, TcpConfig};
use bypath_wire::icmpv4::Icmpv4;
use bypath_wire::icmpv6::Icmpv6;

use crate::datagrams::{icmp_v4, icmp_v6};
use crate::net::*;

/// Unreachable with this code, time exceeded or a parameter problem with the others.
#[derive(Clone, Copy, Debug)]
enum Error {
    Unreachable(u8),
    TimeExceeded(u8),
    ParameterProblem(u8),
}

use Error::{ParameterProblem, TimeExceeded, Unreachable};

/// The packet in which B, or a router that speaks for it, tells A of an error with `original`.
fn error(family: Family, error: Error, original: &[u8]) -> Vec<u8> {
    match family {
        Family::V4 => icmp_v4(
            B,
            &match error {
                Unreachable(code) => Icmpv4::DestinationUnreachable { code, next_hop_mtu: 0, original },
                TimeExceeded(code) => Icmpv4::TimeExceeded { code, original },
                ParameterProblem(code) => Icmpv4::ParameterProblem { code, pointer: 1, original },
            },
        ),
        Family::V6 => icmp_v6(
            B,
            &match error {
                Unreachable(code) => Icmpv6::DestinationUnreachable { code, original },
                TimeExceeded(code) => Icmpv6::TimeExceeded { code, original },
                ParameterProblem(code) => Icmpv6::ParameterProblem { code, pointer: 1, original },
            },
        ),
    }
}

/// Those that RFC 9293 calls soft, by family, with what the application is told.
const SOFT: [(Family, Error, Report); 14] = [
    (Family::V4, Unreachable(0), Report::NetworkUnreachable),
    (Family::V4, Unreachable(1), Report::HostUnreachable),
    (Family::V4, Unreachable(5), Report::SourceRouteFailed),
    (Family::V4, TimeExceeded(0), Report::TimeExceeded),
    (Family::V4, TimeExceeded(1), Report::TimeExceeded),
    (Family::V4, ParameterProblem(0), Report::ParameterProblem),
    (Family::V4, ParameterProblem(1), Report::ParameterProblem),
    (Family::V6, Unreachable(0), Report::NetworkUnreachable),
    (Family::V6, Unreachable(3), Report::HostUnreachable),
    (Family::V6, TimeExceeded(0), Report::TimeExceeded),
    (Family::V6, TimeExceeded(1), Report::TimeExceeded),
    (Family::V6, ParameterProblem(0), Report::ParameterProblem),
    (Family::V6, ParameterProblem(1), Report::ParameterProblem),
    (Family::V6, ParameterProblem(2), Report::ParameterProblem),
];

/// The hard ones.
const HARD: [(Family, Error, Report); 5] = [
    (Family::V4, Unreachable(2), Report::ProtocolUnreachable),
    (Family::V4, Unreachable(3), Report::PortUnreachable),
    (Family::V4, Unreachable(13), Report::Prohibited),
    (Family::V6, Unreachable(1), Report::Prohibited),
    (Family::V6, Unreachable(4), Report::PortUnreachable),
];

/// The last packet that A has sent.
fn last(net: &Net) -> Vec<u8> {
    net.log.as_ref().unwrap().iter().rfind(|(from, _)| *from == A).unwrap().1.clone()
}

fn logged() -> Net {
    let mut net = Net::clean();
    net.log = Some(Vec::new());
    net
}

#[test]
fn soft_errors_end_neither_an_opening_connection_nor_an_open_one_and_are_told() {
    for (family, kind, report) in SOFT {
        let mut net = logged();
        net.wire.loss = 1_000;
        let opening = net.stacks[A].connect(family.at(B, 80), 0).unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, kind, &original));
        assert!(!net.stacks[A].is_connected(opening).unwrap(), "{kind:?}");
        assert_eq!(net.stacks[A].take_report(opening), Some(report));
        assert_eq!(net.stacks[A].take_report(opening), None);
        // The way comes back, and the next SYN finds it.
        net.wire.loss = 0;
        net.stacks[B].listen(family.at(B, 80), 8);
        net.run(2 * SECOND);
        assert!(net.stacks[A].is_connected(opening).unwrap(), "{kind:?}");

        net.stacks[A].send(opening, b"data under way").unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, kind, &original));
        net.run(SECOND);
        assert!(net.stacks[A].is_connected(opening).unwrap(), "{kind:?}");
        assert_eq!(net.stacks[A].take_report(opening), Some(report));
    }
}

#[test]
fn hard_errors_end_an_opening_connection_and_are_told_to_an_open_one() {
    for (family, kind, report) in HARD {
        let mut net = logged();
        let opening = net.stacks[A].connect(family.at(B, 81), 0).unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, kind, &original));
        let end = net.stacks[A].is_connected(opening).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::HostUnreachable, "{kind:?}");
        net.run(SECOND);

        let (client, _, _) = net.connected(family);
        net.stacks[A].send(client, b"data under way").unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, kind, &original));
        net.run(SECOND);
        assert!(net.stacks[A].is_connected(client).unwrap(), "{kind:?}");
        assert_eq!(net.stacks[A].take_report(client), Some(report));
    }
}

#[test]
fn an_error_goes_to_the_connection_that_it_quotes_and_to_no_other() {
    for family in FAMILIES {
        let mut net = logged();
        net.stacks[B].listen(family.at(B, 80), 8);
        let sockets: Vec<_> = (0..3).map(|_| net.stacks[A].connect(family.at(B, 80), 0).unwrap()).collect();
        net.run(SECOND);
        net.stacks[A].send(sockets[1], b"data under way").unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, Unreachable(0), &original));
        let told: Vec<_> = sockets.iter().map(|s| net.stacks[A].take_report(*s)).collect();
        assert_eq!(told, [None, Some(Report::NetworkUnreachable), None]);
    }
}

#[test]
fn an_error_that_quotes_what_was_never_sent_is_not_believed() {
    for (family, at) in [(Family::V4, 24), (Family::V6, 44)] {
        let mut net = logged();
        let (client, _, _) = net.connected(family);
        net.stacks[A].send(client, b"data under way").unwrap();
        net.poll();
        let mut original = last(&net);
        original[at] ^= 0x40;
        net.inject(A, &error(family, Unreachable(0), &original));
        assert_eq!(net.stacks[A].take_report(client), None);
    }
}

#[test]
fn who_asks_for_no_reports_loses_nothing_by_them() {
    let mut net = logged();
    let (client, server, _) = net.connected(Family::V4);
    for _ in 0..200 {
        net.stacks[A].send(client, b"x").unwrap();
        net.poll();
        let original = last(&net);
        for (family, kind, _) in SOFT {
            if family == Family::V4 {
                net.inject(A, &error(family, kind, &original));
            }
        }
        net.run(SECOND / 10);
    }
    let mut out = [0; 512];
    assert_eq!(net.stacks[B].recv(server, &mut out).unwrap(), Some(200));
    // One of each is what is kept.
    let told: Vec<_> = std::iter::from_fn(|| net.stacks[A].take_report(client)).collect();
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn source_quench_is_discarded_in_silence() {
    let mut net = logged();
    let (client, server, _) = net.connected(Family::V4);
    net.stacks[A].send(client, &[0; 30_000]).unwrap();
    net.poll();
    let original = last(&net);
    net.log.as_mut().unwrap().clear();
    let quench = Icmpv4::Other { kind: 4, code: 0, rest: [0; 4], data: &original };
    let drops = net.stacks[A].drops();
    net.inject(A, &icmp_v4(B, &quench));
    assert!(net.log.as_ref().unwrap().is_empty(), "no answer");
    assert_eq!(net.stacks[A].take_report(client), None);
    assert_eq!(net.stacks[A].drops(), drops);
    net.run(SECOND);
    let mut out = [0; 40_000];
    assert_eq!(net.stacks[B].recv(server, &mut out).unwrap(), Some(30_000));
    assert_eq!(net.stacks[A].retransmits(), 0);
}

#[test]
fn a_stack_can_be_made_to_give_up_an_opening_at_the_first_error_as_linux_does() {
    for (family, kind, report) in SOFT {
        let tcp = TcpConfig { soft_errors_end_opening: true, ..TcpConfig::default() };
        let mut net = Net::new([StackOptions { tcp, ..options(A) }, options(B)], CLEAN, 1);
        net.log = Some(Vec::new());
        let opening = net.stacks[A].connect(family.at(B, 80), 0).unwrap();
        net.poll();
        let original = last(&net);
        net.inject(A, &error(family, kind, &original));
        let end = net.stacks[A].is_connected(opening).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::HostUnreachable, "{kind:?}");
        assert_eq!(net.stacks[A].take_report(opening), Some(report));
    }
}
