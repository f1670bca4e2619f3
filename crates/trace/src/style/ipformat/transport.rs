//! TCP, UDP and ICMP.

use std::io::{self, Write};
use std::net::IpAddr;

use bypath_wire::checksum::{Sum, pseudo_header};

use super::ip::{bit, text};
use super::{separator, verdict};
use crate::layers::{Icmp, Network, Tcp, TcpFlags, TcpOption, Udp, protocol};

/// The checksum that a segment should have, its own at `place` left out; nothing without a whole segment.
fn expected(network: &Network<'_>, number: u8, segment: Option<&[u8]>, place: usize) -> Option<u16> {
    let segment = segment?;
    let (source, destination): (IpAddr, IpAddr) = network.addresses()?;
    let sum = match number {
        // ICMP of IPv4 has no pseudo-header.
        protocol::ICMP => Sum::default(),
        _ => pseudo_header(source, destination, number, u32::try_from(segment.len()).ok()?),
    };
    let (before, after) = (segment.get(..place)?, segment.get(place + 2..)?);
    Some(sum.add(Sum::of(before)).add(Sum::of(after)).finish())
}

/// A port and its name.
fn port(port: u16) -> String {
    match name(port) {
        Some(name) => format!("{port} ({name})"),
        None => format!("{port} (Unassigned port)"),
    }
}

/// The names that ports had when the format was made.
fn name(port: u16) -> Option<&'static str> {
    Some(match port {
        7 => "echo",
        9 => "discard",
        13 => "daytime",
        19 => "chargen",
        20 => "ftp-data",
        21 => "ftp",
        22 => "ssh",
        23 => "telnet",
        25 => "smtp",
        37 => "time",
        53 => "domain",
        67 => "bootps",
        68 => "bootpc",
        69 => "tftp",
        79 => "finger",
        80 => "http",
        110 => "pop3",
        111 => "sunrpc",
        113 => "auth",
        119 => "nntp",
        123 => "ntp",
        137 => "netbios-ns",
        138 => "netbios-dgm",
        139 => "netbios-ssn",
        143 => "imap",
        161 => "snmp",
        162 => "snmp-trap",
        443 => "https",
        514 => "syslog",
        520 => "route",
        _ => return None,
    })
}

pub(super) fn tcp(
    tcp: &Tcp<'_>,
    network: &Network<'_>,
    segment: Option<&[u8]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    separator("TCP HEADER", out)?;
    writeln!(out, " TCP:  Source Port: {}   Dest Port: {}", port(tcp.source), port(tcp.destination))?;
    writeln!(out, " TCP:  Sequence #: {}", tcp.sequence)?;
    writeln!(out, " TCP:  Ack #: {}", tcp.acknowledgment)?;
    writeln!(out, " TCP:  Offset: {} bytes", tcp.header_len)?;
    writeln!(out, " TCP:  Flags: {:02X}", tcp.flags.bits())?;
    if tcp.flags.contains(TcpFlags::AE) {
        writeln!(out, " TCP:    1 .... ....   <AE>   Accurate ECN bit On")?;
    }
    for (place, name, long, always) in [
        (0, "CWR", "Congestion Window Reduced", false),
        (1, "ECE", "ECN Echo", false),
        (2, "URG", "Urgent", true),
        (3, "ACK", "Acknowledgement", true),
        (4, "PSH", "Push", true),
        (5, "RST", "Reset", true),
        (6, "SYN", "Synchronize", true),
        (7, "FIN", "Finish", true),
    ] {
        let on = tcp.flags.bits() >> (7 - place) & 1 != 0;
        let bits = bit(place, on);
        match on {
            true => writeln!(out, " TCP:      {}   <{name}>  {long} bit On", text(&bits))?,
            false if always => writeln!(out, " TCP:      {}          {long} bit Off", text(&bits))?,
            false => {}
        }
    }
    let verdict = verdict(tcp.checksum, expected(network, protocol::TCP, segment, 16));
    writeln!(out, " TCP:  Window: {}   Checksum: {:04X} {verdict}", tcp.window, tcp.checksum)?;
    writeln!(out, " TCP:  Urgent Pointer: {}", tcp.urgent)?;
    if tcp.options.is_empty() {
        return writeln!(out, " TCP:  No Options");
    }
    write!(out, " TCP:  Options: {} bytes:", tcp.options.len())?;
    tcp.options.iter().try_for_each(|byte| write!(out, " {byte:02X}"))?;
    writeln!(out)?;
    for option in tcp.options() {
        write!(out, " TCP:      ")?;
        match option {
            TcpOption::End => writeln!(out, "End of Options")?,
            TcpOption::Nop => writeln!(out, "No Operation")?,
            TcpOption::MaximumSegmentSize(size) => writeln!(out, "Maximum Segment Size: {size}")?,
            TcpOption::WindowScale(shift) => writeln!(out, "Window Scale: {shift}")?,
            TcpOption::SackPermitted => writeln!(out, "Selective Acknowledgements Permitted")?,
            TcpOption::Sack(_) => {
                write!(out, "Selective Acknowledgements:")?;
                option.sack_blocks().try_for_each(|(from, to)| write!(out, " {from}-{to}"))?;
                writeln!(out)?;
            }
            TcpOption::Timestamps { value, echo } => {
                writeln!(out, "Timestamp: {value}   Echo Reply: {echo}")?;
            }
            TcpOption::Other { kind, data } => writeln!(out, "Unknown ({kind}), {} bytes", data.len() + 2)?,
            TcpOption::Malformed { kind, .. } => writeln!(out, "Malformed ({kind})")?,
        }
    }
    Ok(())
}

pub(super) fn udp(
    udp: &Udp,
    network: &Network<'_>,
    segment: Option<&[u8]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    separator("UDP HEADER", out)?;
    writeln!(out, " UDP:  Source Port: {}   Dest Port: {}", port(udp.source), port(udp.destination))?;
    let verdict = match udp.checksum {
        0 => "(None)".to_owned(),
        checksum => verdict(checksum, expected(network, protocol::UDP, segment, 6)),
    };
    writeln!(
        out,
        " UDP:  Length: {len} (x{len:X}) bytes   Checksum: {:04X} {verdict}",
        udp.checksum,
        len = udp.len
    )
}

pub(super) fn icmp(
    label: &str,
    icmp: &Icmp,
    network: &Network<'_>,
    segment: Option<&[u8]>,
    out: &mut dyn Write,
) -> io::Result<()> {
    separator(&format!("{label} HEADER"), out)?;
    let number = if label == "ICMP" { protocol::ICMP } else { protocol::ICMPV6 };
    let name = match (number, icmp.kind) {
        (protocol::ICMP, 0) | (protocol::ICMPV6, 129) => "Echo Reply",
        (protocol::ICMP, 3) | (protocol::ICMPV6, 1) => "Destination Unreachable",
        (protocol::ICMP, 4) => "Source Quench",
        (protocol::ICMP, 5) | (protocol::ICMPV6, 137) => "Redirect",
        (protocol::ICMP, 8) | (protocol::ICMPV6, 128) => "Echo Request",
        (protocol::ICMP, 11) | (protocol::ICMPV6, 3) => "Time Exceeded",
        (protocol::ICMP, 12) | (protocol::ICMPV6, 4) => "Parameter Problem",
        (protocol::ICMP, 13) => "Timestamp Request",
        (protocol::ICMP, 14) => "Timestamp Reply",
        (protocol::ICMPV6, 2) => "Packet Too Big",
        (protocol::ICMPV6, 133) => "Router Solicitation",
        (protocol::ICMPV6, 134) => "Router Advertisement",
        (protocol::ICMPV6, 135) => "Neighbor Solicitation",
        (protocol::ICMPV6, 136) => "Neighbor Advertisement",
        _ => "Unknown",
    };
    let label = format!("{label}:");
    writeln!(out, " {label:<5} Type: {} {name}   Code: {}", icmp.kind, icmp.code)?;
    let verdict = verdict(icmp.checksum, expected(network, number, segment, 2));
    writeln!(out, " {label:<5} Checksum: {:04X} {verdict}", icmp.checksum)
}
