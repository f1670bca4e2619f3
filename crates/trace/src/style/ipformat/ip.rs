//! The headers of IPv4 and IPv6.

use std::fmt;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use bypath_wire::checksum::Sum;

use super::{separator, verdict};
use crate::layers::{Ipv4, Ipv6};

/// An address with three digits for each of its bytes.
pub(super) struct Padded(pub(super) Ipv4Addr);

impl fmt::Display for Padded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.octets();
        write!(f, "{a:03}.{b:03}.{c:03}.{d:03}")
    }
}

/// The name of a protocol above IP.
fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        0 => "Hop-by-Hop",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IP",
        6 => "TCP",
        17 => "UDP",
        41 => "IPv6",
        43 => "Routing",
        44 => "Fragment",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "ICMPv6",
        59 => "No Next Header",
        60 => "Destination Options",
        89 => "OSPF",
        132 => "SCTP",
        _ => "Unknown",
    }
}

const PRECEDENCE: [&str; 8] = [
    "Routine",
    "Priority",
    "Immediate",
    "Flash",
    "Flash Override",
    "CRITIC/ECP",
    "Internetwork Control",
    "Network Control",
];

/// One bit among dots: `place` is the number of bits to its left.
pub(super) fn bit(place: usize, on: bool) -> [u8; 9] {
    let mut bits = *b".... ....";
    bits[place + usize::from(place > 3)] = if on { b'1' } else { b'0' };
    bits
}

/// Text of bits, which are characters.
pub(super) fn text(bits: &[u8]) -> &str {
    std::str::from_utf8(bits).unwrap_or_default()
}

pub(super) fn v4(ip: &Ipv4<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, " IP:   Dest: {}   Source: {}", Padded(ip.destination), Padded(ip.source))?;
    separator("IP HEADER", out)?;
    let version = ip.header.first().map_or(0, |first| first >> 4);
    let right = if version == 4 { "Correct" } else { "Incorrect" };
    writeln!(out, " IP:   Version: {version} {right}   Header Length: {} bytes", ip.header_len)?;
    writeln!(out, " IP:   Type Of Service: {:02X}", ip.tos)?;
    let precedence = usize::from(ip.tos >> 5);
    writeln!(out, " IP:       {precedence:03b}. ....   {}", PRECEDENCE[precedence])?;
    for (place, off, on) in [
        (3, "Normal Delay", "Low Delay"),
        (4, "Normal Throughput", "High Throughput"),
        (5, "Normal Reliability", "High Reliability"),
    ] {
        let set = ip.tos >> (7 - place) & 1 != 0;
        writeln!(out, " IP:       {}   {}", text(&bit(place, set)), if set { on } else { off })?;
    }
    if ip.tos & 3 != 0 {
        let ecn = ["", "ECT(1)", "ECT(0)", "Congestion Experienced"][usize::from(ip.tos & 3)];
        writeln!(out, " IP:       .... ..{:02b}   {ecn}", ip.tos & 3)?;
    }
    writeln!(out, " IP:   Total Len: {len} (x{len:X}) bytes   Id: {:04X}", ip.id, len = ip.total_len)?;
    writeln!(out, " IP:   Flags: {}", ip.fragment_field() >> 13)?;
    if ip.reserved {
        writeln!(out, " IP:       1...   Reserved bit set")?;
    }
    let (may, more) = (ip.dont_fragment, ip.more_fragments);
    writeln!(
        out,
        " IP:       .{}..   {}",
        u8::from(may),
        if may { "Don't Fragment" } else { "May Fragment" }
    )?;
    writeln!(
        out,
        " IP:       ..{}.   {}",
        u8::from(more),
        if more { "More Fragments" } else { "Last Fragment" }
    )?;
    writeln!(out, " IP:   Fragment Offset: {:03}", ip.fragment_offset)?;
    let name = protocol_name(ip.protocol);
    writeln!(out, " IP:   Time To Live: {} sec   Protocol: {} {name}", ip.ttl, ip.protocol)?;
    let expected = (ip.header.len() == ip.header_len)
        .then(|| Sum::of(&ip.header[..10]).add(Sum::of(&ip.header[12..])).finish());
    writeln!(out, " IP:   Header Checksum: {:04X} {}", ip.checksum, verdict(ip.checksum, expected))?;
    let options = ip.header.get(20..).unwrap_or_default();
    if options.is_empty() {
        return writeln!(out, " IP:   No Options");
    }
    write!(out, " IP:   Options: {} bytes:", options.len())?;
    options.iter().try_for_each(|byte| write!(out, " {byte:02X}"))?;
    writeln!(out)?;
    for option in ip.options() {
        let name = match option.kind {
            0 => "End of Options",
            1 => "No Operation",
            7 => "Record Route",
            68 => "Timestamp",
            130 => "Security",
            131 => "Loose Source Route",
            136 => "Stream Id",
            137 => "Strict Source Route",
            148 => "Router Alert",
            _ => "Unknown",
        };
        writeln!(out, " IP:       {name} ({}), {} bytes", option.kind, option.len)?;
    }
    Ok(())
}

pub(super) fn v6(ip: &Ipv6<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, " IPV6: Dest: {}   Source: {}", ip.destination, ip.source)?;
    separator("IPV6 HEADER", out)?;
    writeln!(out, " IPV6: Traffic Class: {:02X}   Flow Label: {:05X}", ip.traffic_class, ip.flow_label)?;
    let name = protocol_name(ip.next_header);
    writeln!(out, " IPV6: Payload Len: {len} (x{len:X}) bytes", len = ip.payload_len)?;
    writeln!(out, " IPV6: Hop Limit: {}   Next Header: {} {name}", ip.hop_limit, ip.next_header)?;
    for extension in ip.extensions() {
        let name = protocol_name(extension.kind);
        writeln!(out, " IPV6: Extension: {} {name}, {} bytes", extension.kind, extension.bytes.len())?;
    }
    Ok(())
}
