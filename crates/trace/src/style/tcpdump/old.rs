//! The lines of tcpdump 3, as the traces of the nineties have them.
//!
//! `eth0 > a.4064 > b.www: S 1:1(0) win 32120 <mss 1460,sackOK> (DF)`: the interface and the direction where the capture
//! tells of them, letters of the flags, ranges of sequence numbers with their length, options between angle brackets, and
//! at the end what is to be said of the IP header.

use std::io::{self, Write};

use super::clock::Clock;
use super::flows::Segment;
use super::{Names, Options, Printer};
use crate::layers::{
    Arp, Dissection, Ipv4, Link, Network, Tcp, TcpFlags, TcpOption, Transport, dissect, protocol,
};
use crate::read::Interface;
use crate::record::{Direction, Record};
use crate::style::Style;
use crate::style::page::say;

/// What differed between the builds of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OldOptions {
    /// The range of sequence numbers is printed of segments without data too.
    pub empty_ranges: bool,
    /// Addresses are on a line of their own, as where traces were set into a text.
    pub wrap: bool,
}

/// The style.
#[derive(Debug)]
pub struct Tcpdump3 {
    clock: Clock,
    printer: Printer,
    old: OldOptions,
    interfaces: Vec<String>,
    count: u64,
}

impl Tcpdump3 {
    /// Of the options, `-e`, `-x`, `-X` and `-A` are not known here.
    #[must_use]
    pub fn new(options: Options, old: OldOptions, names: Names) -> Tcpdump3 {
        let names = if options.numeric { Names::default() } else { names };
        let clock = Clock::new(options.time);
        Tcpdump3 { clock, printer: Printer::new(options, names), old, interfaces: Vec::new(), count: 0 }
    }
}

impl Style for Tcpdump3 {
    fn interfaces(&mut self, interfaces: &[Interface]) {
        let names =
            interfaces.iter().map(|interface| interface.name.clone().unwrap_or_else(|| "?".to_owned()));
        self.interfaces = names.collect();
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.count += 1;
        let printer = &mut self.printer;
        printer.page.bytes.clear();
        if printer.options.numbers {
            say!(printer.page, "{:>5}  ", self.count);
        }
        self.clock.print(record.time, &mut printer.page);
        let packet = dissect(record.link, record.data);
        if let Some(direction) = direction(record, &packet) {
            let name = record.interface.and_then(|index| self.interfaces.get(index as usize));
            printer.page.put(name.map_or("?", String::as_str));
            printer.page.put(if direction == Direction::In { " < " } else { " > " });
        }
        printer.old_packet(record, &packet, self.old);
        printer.page.byte(b'\n');
        out.write_all(&printer.page.bytes)
    }
}

fn direction(record: &Record<'_>, packet: &Dissection<'_>) -> Option<Direction> {
    record.direction.or(match packet.link {
        Link::Cooked { packet_type: 4, .. } => Some(Direction::Out),
        Link::Cooked { .. } => Some(Direction::In),
        Link::Ppp { direction, .. } => direction,
        _ => None,
    })
}

impl Printer {
    fn old_packet(&mut self, record: &Record<'_>, packet: &Dissection<'_>, old: OldOptions) {
        match &packet.network {
            Network::Arp(arp) => self.old_arp(arp),
            Network::Ipv4(ip) => {
                self.old_transport(packet, old);
                self.old_ipv4(ip, packet);
            }
            Network::Ipv6(ip) => {
                self.old_transport(packet, old);
                if self.options.verbose > 0 {
                    say!(self.page, " (len {}, hlim {})", ip.payload_len, ip.hop_limit);
                }
            }
            Network::Cut { ethertype } => {
                say!(self.page, "[|{}]", super::link::type_name(*ethertype).unwrap_or("ether"));
            }
            Network::Other { ethertype } => {
                say!(self.page, "0x{ethertype:04x} {}", record.original_len);
            }
            Network::None => {
                self.page.put("[|ether]");
            }
        }
    }

    fn old_arp(&mut self, arp: &Arp<'_>) {
        let Some((sender, target)) = arp.ipv4() else {
            say!(self.page, "arp-#{} for proto #{} hardware #{}", arp.operation, arp.protocol, arp.hardware);
            return;
        };
        match arp.operation {
            1 => {
                self.page.put("arp who-has ");
                self.host4(target);
                self.page.put(" tell ");
                self.host4(sender);
            }
            2 => {
                self.page.put("arp reply ");
                self.host4(sender);
                self.page.put(" is-at ").mac(arp.sender_hardware);
            }
            3 => {
                self.page.put("rarp who-is ").mac(arp.target_hardware);
                self.page.put(" tell ").mac(arp.sender_hardware);
            }
            4 => {
                self.page.put("rarp reply ").mac(arp.target_hardware).put(" at ");
                self.host4(target);
            }
            other => {
                say!(self.page, "arp-#{other}");
            }
        }
    }

    fn old_transport(&mut self, packet: &Dissection<'_>, old: OldOptions) {
        let Some((source, destination)) = packet.network.addresses() else { return };
        let own = if packet.tcp().is_some() { protocol::TCP } else { protocol::UDP };
        self.host(source);
        if let Some((port, _)) = packet.ports() {
            self.page.byte(b'.');
            self.port(own, port);
        }
        self.page.put(" > ");
        self.host(destination);
        if let Some((_, port)) = packet.ports() {
            self.page.byte(b'.');
            self.port(own, port);
        }
        self.page.put(if old.wrap { ":\n   " } else { ": " });
        match &packet.transport {
            Transport::Tcp(tcp) => self.old_tcp(tcp, packet, old),
            Transport::Udp(udp) if udp.source == 53 || udp.destination == 53 => {
                // The lines of DNS have kept their form, but for what may be missing at their end.
                if self.domain(packet.payload, packet.payload_len, false, false).is_err() && !self.ended {
                    self.page.put(" [|domain]");
                }
            }
            Transport::Udp(_) => {
                say!(self.page, "udp {}", packet.payload_len);
            }
            Transport::Icmpv4(icmp) => {
                self.page.put("icmp: ");
                if self.icmp_message(&icmp_bytes(icmp, packet), icmp.kind, icmp.code).is_err() {
                    self.page.put("[|icmp]");
                }
            }
            Transport::Icmpv6(icmp) => {
                let name = super::icmp6::type_name(icmp.kind);
                match name {
                    Some(name) => say!(self.page, "icmp6: {name}"),
                    None => say!(self.page, "icmp6: type-#{}", icmp.kind),
                };
            }
            Transport::Cut { protocol: protocol::TCP, .. } => {
                self.page.put("[|tcp]");
            }
            Transport::Cut { .. } => {
                self.page.put("[|udp]");
            }
            Transport::Other { protocol } => {
                say!(self.page, "ip-proto-{protocol} {}", packet.payload_len);
            }
            Transport::Fragment { .. } | Transport::None => {}
        }
    }

    fn old_tcp(&mut self, tcp: &Tcp<'_>, packet: &Dissection<'_>, old: OldOptions) {
        const LETTERS: [(TcpFlags, u8); 6] = [
            (TcpFlags::SYN, b'S'),
            (TcpFlags::FIN, b'F'),
            (TcpFlags::RST, b'R'),
            (TcpFlags::PSH, b'P'),
            (TcpFlags::CWR, b'W'),
            (TcpFlags::ECE, b'E'),
        ];
        let set = LETTERS.iter().filter(|(flag, _)| tcp.flags.contains(*flag));
        let before = self.page.bytes.len();
        set.for_each(|&(_, letter)| self.page.bytes.push(letter));
        if self.page.bytes.len() == before {
            self.page.byte(b'.');
        }
        let has_ack = tcp.flags.contains(TcpFlags::ACK);
        let (mut sequence, mut acknowledgment, mut sack) = (tcp.sequence, tcp.acknowledgment, 0);
        if has_ack
            && !self.options.absolute
            && let Some((source, destination)) = packet.network.addresses()
        {
            let place = self.flows.relative(&Segment {
                source: (source, tcp.source),
                destination: (destination, tcp.destination),
                sequence,
                acknowledgment,
                syn: tcp.flags.contains(TcpFlags::SYN),
            });
            (sequence, acknowledgment, sack) = (place.sequence, place.acknowledgment, place.sack);
        }
        let len = packet.payload_len as u32;
        let talks = tcp.flags.intersects(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        if len > 0 || talks || old.empty_ranges || self.options.verbose > 1 {
            say!(self.page, " {sequence}:{}({len})", sequence.wrapping_add(len));
        }
        if has_ack {
            say!(self.page, " ack {acknowledgment}");
        }
        say!(self.page, " win {}", tcp.window);
        if tcp.flags.contains(TcpFlags::URG) {
            say!(self.page, " urg {}", tcp.urgent);
        }
        self.old_options(tcp, sack);
    }

    fn old_options(&mut self, tcp: &Tcp<'_>, sack: u32) {
        if tcp.options.is_empty() {
            return;
        }
        self.page.put(" <");
        for (at, option) in tcp.options().enumerate() {
            if at > 0 {
                self.page.byte(b',');
            }
            match option {
                TcpOption::End => self.page.put("eol"),
                TcpOption::Nop => self.page.put("nop"),
                TcpOption::MaximumSegmentSize(size) => say!(self.page, "mss {size}"),
                TcpOption::WindowScale(shift) => say!(self.page, "wscale {shift}"),
                TcpOption::SackPermitted => self.page.put("sackOK"),
                TcpOption::Timestamps { value, echo } => say!(self.page, "timestamp {value} {echo}"),
                TcpOption::Sack(_) => {
                    say!(self.page, "sack sack {} ", option.sack_blocks().count());
                    for (start, end) in option.sack_blocks() {
                        say!(self.page, "{{{}:{}}}", start.wrapping_sub(sack), end.wrapping_sub(sack));
                    }
                    self.page.byte(b' ')
                }
                TcpOption::Other { kind, data } => {
                    say!(self.page, "opt-{kind}:");
                    self.hex_digits(data, data.len());
                    &mut self.page
                }
                TcpOption::Malformed { .. } => self.page.put("[bad opt]"),
            };
        }
        if tcp.options_cut() {
            self.page.put("[|tcp]");
        }
        self.page.byte(b'>');
    }

    fn old_ipv4(&mut self, ip: &Ipv4<'_>, packet: &Dissection<'_>) {
        if ip.is_fragment() {
            let len = ip.payload_len().unwrap_or(packet.payload_len);
            let more = if ip.more_fragments { "+" } else { "" };
            say!(self.page, " (frag {}:{len}@{}{more})", ip.id, ip.fragment_offset);
        } else if ip.dont_fragment {
            self.page.put(" (DF)");
        }
        if ip.tos != 0 {
            say!(self.page, " [tos 0x{:x}]", ip.tos);
        }
        if ip.ttl <= 1 {
            say!(self.page, " [ttl {}]", ip.ttl);
        }
        if self.options.verbose > 0 {
            say!(self.page, " (ttl {}, id {})", ip.ttl, ip.id);
        }
    }
}

/// The message again, with the four bytes that were taken off it.
fn icmp_bytes(icmp: &crate::layers::Icmp, packet: &Dissection<'_>) -> Vec<u8> {
    let [high, low] = icmp.checksum.to_be_bytes();
    [&[icmp.kind, icmp.code, high, low], packet.payload].concat()
}
