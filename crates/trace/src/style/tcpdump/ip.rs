//! IPv4, and what is above IP of either version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, u16_at, up_to};
use crate::layers::{checksum, protocol};
use crate::style::page::say;

/// Names of protocols above IP.
const PROTOCOLS: &[(u16, &str)] = &[
    (0, "Options"),
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IPIP"),
    (6, "TCP"),
    (8, "EGP"),
    (9, "IGRP"),
    (17, "UDP"),
    (33, "DCCP"),
    (41, "IPv6"),
    (43, "Routing"),
    (44, "Fragment"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (55, "Mobile IP"),
    (58, "ICMPv6"),
    (62, "Mobile IP (old)"),
    (88, "EIGRP"),
    (89, "OSPF"),
    (103, "PIM"),
    (108, "Compressed IP"),
    (112, "VRRP"),
    (113, "PGM"),
    (132, "SCTP"),
    (135, "Mobility"),
    (143, "Ethernet"),
];

pub(super) fn protocol_name(number: u8) -> &'static str {
    super::named(PROTOCOLS, u16::from(number)).unwrap_or("unknown")
}

/// Protocols whose printers write the addresses themselves.
pub(super) fn writes_addresses(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | 33 | 132)
}

/// The packet around what a printer prints.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) source: IpAddr,
    /// Where it goes; of a source-routed packet, where it goes in the end.
    pub(super) destination: IpAddr,
    pub(super) final_destination: IpAddr,
    /// What the fixed header says comes next.
    pub(super) next: u8,
    pub(super) fragmented: bool,
    /// IPv6: its payload length, 0 in jumbograms.
    pub(super) payload_len: u16,
    pub(super) is_v6: bool,
    pub(super) bytes: &'a [u8],
}

impl Around<'_> {
    /// The checksum over a pseudo-header and these bytes: 0 when it is right.
    pub(super) fn checksum(&self, protocol: u8, bytes: &[u8], len: usize) -> u16 {
        let address = |address: IpAddr| match address {
            IpAddr::V4(address) => checksum::of(&address.octets()),
            IpAddr::V6(address) => checksum::of(&address.octets()),
        };
        let pseudo =
            address(self.source) + address(self.final_destination) + u64::from(protocol) + len as u64;
        checksum::fold(pseudo + checksum::of(bytes))
    }
}

/// What a checksum should be that is `stated`, where the sum over everything came out as `sum`.
pub(super) fn should_be(stated: u16, sum: u16) -> u16 {
    let shouldbe = u32::from(stated) + u32::from(sum);
    let folded = (shouldbe & 0xffff) + (shouldbe >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

impl Printer {
    pub(super) fn host4(&mut self, address: Ipv4Addr) {
        match self.names.host(address.into()) {
            Some(name) => self.page.put(name),
            None => self.page.ipv4(address),
        };
    }

    pub(super) fn host6(&mut self, address: Ipv6Addr) {
        match self.names.host(address.into()) {
            Some(name) => self.page.put(name),
            // An address that has nothing but an IPv4 address at its end is written as such, as of old.
            None => match address.segments() {
                [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
                    let [.., a, b, c, d] = address.octets();
                    self.page.put("::").ipv4(Ipv4Addr::new(a, b, c, d))
                }
                _ => self.page.ipv6(address),
            },
        };
    }

    pub(super) fn host(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.host4(address),
            IpAddr::V6(address) => self.host6(address),
        }
    }

    pub(super) fn ipv4(&mut self, bytes: &[u8], len: usize) -> Printed {
        self.protocol = "ip";
        self.enter()?;
        let first = u8_in(bytes, 0)?;
        if first >> 4 != 4 {
            match first >> 4 {
                6 => self.page.put("IP6, wrong link-layer encapsulation"),
                version => say!(self.page, "IP{version}"),
            };
            self.invalid();
            return Ok(());
        }
        if !self.options.link {
            self.page.put("IP ");
        }
        let fixed = array_in::<20>(bytes, 0)?;
        if len < 20 {
            say!(self.page, "truncated-ip {len}");
            return Ok(());
        }
        let header_len = usize::from(first & 15) * 4;
        if header_len < 20 {
            say!(self.page, "bad-hlen {header_len}");
            return Ok(());
        }
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let total = usize::from(word(2));
        if len < total {
            say!(self.page, "truncated-ip - {} bytes missing! ", total - len);
        }
        if total < header_len {
            say!(self.page, "bad-len {total}");
            return Ok(());
        }
        let bytes = up_to(bytes, total);
        let fragment = word(6);
        if self.options.verbose > 0 {
            self.ipv4_details(bytes, &fixed, header_len)?;
        }
        let source = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
        let destination = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
        let next = fixed[9];
        if fragment & 0x1fff != 0 {
            self.host4(source);
            self.page.put(" > ");
            self.host4(destination);
            self.page.byte(b':');
            self.protocol_by_name(next);
            return Ok(());
        }
        if !writes_addresses(next) {
            self.host4(source);
            self.page.put(" > ");
            self.host4(destination);
            self.page.put(": ");
        }
        if bytes.len() < header_len {
            let have = bytes.len();
            say!(self.page, " [remaining caplen({have}) < header length({header_len})]");
            return Err(Cut);
        }
        let around = Around {
            source: source.into(),
            destination: destination.into(),
            final_destination: final_destination(up_to(bytes, header_len), destination).into(),
            next,
            fragmented: fragment & 0x2000 != 0,
            payload_len: 0,
            is_v6: false,
            bytes,
        };
        self.above_ip(next, from(bytes, header_len), total - header_len, &around)
    }

    fn ipv4_details(&mut self, bytes: &[u8], fixed: &[u8; 20], header_len: usize) -> Printed {
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let (tos, fragment, ttl) = (fixed[1], word(6), fixed[8]);
        say!(self.page, "(tos 0x{tos:x}");
        self.page.put(["", ",ECT(1)", ",ECT(0)", ",CE"][usize::from(tos & 3)]);
        if ttl >= 1 {
            self.page.put(", ttl ").number(ttl);
        }
        self.page.put(", id ").number(word(4));
        self.page.put(", offset ").number((fragment & 0x1fff) * 8);
        self.page.put(", flags [");
        let flags =
            super::bits(&[(0x2000, "+"), (0x4000, "DF"), (0x8000, "rsvd")], u32::from(fragment & 0xe000));
        self.page.put(&flags).put("], proto ").put(protocol_name(fixed[9]));
        say!(self.page, " ({}), length {}", fixed[9], word(2));
        let mut cut = false;
        if header_len > 20 {
            self.page.put(", options (");
            cut = !self.ipv4_options(from(bytes, 20), header_len - 20)?;
            self.page.put(if cut { " [truncated-option]" } else { "" });
            self.page.byte(b')');
        }
        if let Some(header) = bytes.get(..header_len) {
            let sum = checksum::fold(checksum::of(header));
            if sum != 0 {
                let stated = word(10);
                say!(self.page, ", bad cksum {stated:x} (->{:x})!", should_be(stated, sum));
            }
        }
        self.page.put(")\n    ");
        if cut {
            self.host4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]));
            self.page.put(" > ");
            self.host4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]));
            self.page.put(": ");
            return Err(Cut);
        }
        Ok(())
    }

    /// What is above IP.
    pub(super) fn above_ip(&mut self, next: u8, bytes: &[u8], len: usize, around: &Around<'_>) -> Printed {
        match next {
            protocol::TCP => self.tcp(bytes, len, around),
            protocol::UDP => self.udp(bytes, len, around),
            protocol::ICMP if !around.is_v6 => self.icmp(bytes, len, around),
            protocol::ICMP => {
                self.page.put("[ICMP requires IPv4]");
                self.invalid();
                Ok(())
            }
            protocol::ICMPV6 if around.is_v6 => self.icmp6(bytes, len, around),
            protocol::ICMPV6 => {
                self.page.put("[ICMPv6 requires IPv6]");
                self.invalid();
                Ok(())
            }
            4 => self.ipv4(bytes, len),
            41 => self.ipv6(bytes, len),
            59 => {
                self.page.put("no next header");
                Ok(())
            }
            other => {
                self.protocol_by_name(other);
                say!(self.page, " {len}");
                Ok(())
            }
        }
    }

    fn protocol_by_name(&mut self, protocol: u8) {
        match self.names.protocol(protocol) {
            Some(name) => say!(self.page, " {name}"),
            None => say!(self.page, " ip-proto-{protocol}"),
        };
    }

    /// `false` where the capture ends within an option.
    fn ipv4_options(&mut self, bytes: &[u8], mut len: usize) -> Result<bool, Cut> {
        const NAMES: &[(u16, &str)] = &[
            (0, "EOL"),
            (1, "NOP"),
            (68, "timestamp"),
            (130, "security"),
            (7, "RR"),
            (137, "SSRR"),
            (131, "LSRR"),
            (148, "RA"),
            (82, "traceroute"),
        ];
        let mut at = 0;
        while len > 0 {
            if at > 0 {
                self.page.byte(b',');
            }
            let kind = u8_in(bytes, at)?;
            match super::named(NAMES, u16::from(kind)) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "unknown {kind}"),
            };
            let option_len = if kind < 2 { 1 } else { usize::from(u8_in(bytes, at + 1)?) };
            if (kind > 1 && option_len < 2) || option_len > len {
                say!(self.page, " [bad length {option_len}]");
                return Ok(true);
            }
            if bytes.len() < at + option_len {
                return Ok(false);
            }
            // Lengths that lie make tcpdump read on beyond the option.
            let option = from(bytes, at);
            match kind {
                0 => return Ok(true),
                68 => self.timestamp_option(option, option_len)?,
                7 | 137 | 131 => self.route_option(option, option_len)?,
                148 if option_len < 4 => {
                    say!(self.page, " [bad length {option_len}]");
                }
                148 => {
                    if let Some(value) = u16_at(option, 2).filter(|&value| value != 0) {
                        say!(self.page, " value {value}");
                    }
                }
                _ => {}
            }
            at += option_len;
            len -= option_len;
        }
        Ok(true)
    }

    fn route_option(&mut self, option: &[u8], len: usize) -> Printed {
        if len < 3 {
            say!(self.page, " [bad length {len}]");
            return Ok(());
        }
        let pointer = u8_in(option, 2)?;
        if (len + 1) & 3 != 0 {
            say!(self.page, " [bad length {len}]");
        }
        let end = usize::from(pointer).wrapping_sub(1);
        if end < 3 || (end.wrapping_add(1)) & 3 != 0 || end > len + 1 {
            say!(self.page, " [bad ptr {pointer}]");
        }
        for at in (3..len).step_by(4) {
            let hop = array_in::<4>(option, at)?;
            self.page.byte(b' ');
            self.host4(hop.into());
            if end > at {
                self.page.byte(b',');
            }
        }
        Ok(())
    }

    fn timestamp_option(&mut self, option: &[u8], len: usize) -> Printed {
        if len < 4 {
            say!(self.page, "[bad length {len}]");
            return Ok(());
        }
        let (pointer, flags) = (u8_in(option, 2)?, u8_in(option, 3)?);
        self.page.put(" TS{");
        let hop_len = if flags & 15 == 0 { 4 } else { 8 };
        if !(len - 4).is_multiple_of(hop_len) {
            say!(self.page, "[bad length {len}]");
        }
        let end = usize::from(pointer).wrapping_sub(1);
        if end < 4 || (end.wrapping_sub(4)) % hop_len != 0 || end > len + 1 {
            say!(self.page, "[bad ptr {pointer}]");
        }
        let mut at = 0;
        match flags & 15 {
            0 => self.page.put("TSONLY"),
            1 => self.page.put("TS+ADDR"),
            3 => self.page.put("PRESPEC"),
            other => say!(self.page, "[bad ts type {other}]"),
        };
        if matches!(flags & 15, 0 | 1 | 3) {
            at = 4;
            while at < len {
                let time = u32_in(option, at + hop_len - 4)?;
                self.page.put(if end == at { " ^ " } else { " " }).number(time).byte(b'@');
                if hop_len == 8 {
                    self.host4(array_in::<4>(option, at)?.into());
                }
                at += hop_len;
            }
        }
        if end == at {
            self.page.put(" ^ ");
        }
        if flags >> 4 != 0 {
            say!(self.page, " [{} hops not recorded]}} ", flags >> 4);
        } else {
            self.page.byte(b'}');
        }
        Ok(())
    }

    /// Addresses, with ports where the fixed header says that these are the transport's.
    pub(super) fn ends(&mut self, around: &Around<'_>, own: u8, ports: Option<(u16, u16)>) {
        let with_addresses = around.next == own;
        let (source, destination) = (around.source, around.destination);
        let Some((from, to)) = ports else {
            if with_addresses {
                self.host(source);
                self.page.put(" > ");
                self.host(destination);
                self.page.put(if own == protocol::TCP { ":" } else { ": " });
            }
            return;
        };
        if with_addresses {
            self.host(source);
            self.page.byte(b'.');
        }
        self.port(own, from);
        self.page.put(" > ");
        if with_addresses {
            self.host(destination);
            self.page.byte(b'.');
        }
        self.port(own, to);
        self.page.put(": ");
    }

    pub(super) fn port(&mut self, own: u8, port: u16) {
        let name = if own == protocol::TCP { self.names.tcp(port) } else { self.names.udp(port) };
        match name {
            Some(name) => self.page.put(name),
            None => self.page.number(port),
        };
    }
}

/// Where a packet goes in the end: the last hop of a source route, which the checksums of the transports are made with.
fn final_destination(header: &[u8], destination: Ipv4Addr) -> Ipv4Addr {
    let mut options = from(header, 20);
    while let Some(&kind) = options.first() {
        let len = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(options.get(1).copied().unwrap_or(0)),
        };
        let Some(option) = options.get(..len).filter(|option| !option.is_empty()) else { break };
        if matches!(kind, 131 | 137)
            && let [.., a, b, c, d] = option
            && len >= 7
        {
            return Ipv4Addr::new(*a, *b, *c, *d);
        }
        options = from(options, len);
        if kind > 1 && len < 2 {
            break;
        }
    }
    destination
}

/// For those who write addresses of packets that are quoted.
pub(super) fn quoted_v4(bytes: &[u8], at: usize) -> Result<Ipv4Addr, Cut> {
    Ok(Ipv4Addr::from(array_in::<4>(bytes, at)?))
}

/// The ports of a quoted packet's transport.
pub(super) fn quoted_port(bytes: &[u8], at: usize) -> Result<u16, Cut> {
    u16_in(bytes, at + 2)
}
