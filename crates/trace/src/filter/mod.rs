//! Filters: the part of pcap-filter(7) that is written by hand.
//!
//! Hosts, networks, ports, protocols, VLANs, link addresses and lengths, with `and`, `or`, `not` and parentheses; not the
//! expressions with brackets. They are compiled to a tree that is asked of each dissected packet, so that no C library is
//! needed to build or to run this. Unlike libpcap's, which looks at fixed places, they see through VLAN tags, IPv6 extension
//! headers and every link layer that is known.

mod parse;
mod token;

use std::net::IpAddr;

use crate::layers::{Dissection, Link, Network, Transport, ethertype, protocol};
use crate::record::Record;
pub use parse::FilterError;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    root: Test,
}

/// Which end of a packet must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Either,
    Both,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    All,
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    /// An address within a network of so many bits.
    Net {
        end: End,
        family: Family,
        net: IpAddr,
        bits: u8,
    },
    /// Ports from one to another, of one protocol or any that has ports.
    Ports {
        end: End,
        protocol: Option<u8>,
        low: u16,
        high: u16,
    },
    /// What is above IP.
    Protocol {
        family: Family,
        number: u8,
    },
    /// A type of the network layer.
    Type(u16),
    Mac {
        end: End,
        address: [u8; 6],
    },
    Vlan(Option<u16>),
    EtherBroadcast,
    EtherMulticast,
    Multicast {
        family: Family,
    },
    Less(u32),
    Greater(u32),
}

/// The protocol that an address is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
    Arp,
}

impl Filter {
    /// Compiles an expression. An empty one takes every packet.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(expression: &str) -> Result<Filter, FilterError> {
        Ok(Filter { root: parse::parse(expression)? })
    }

    /// Whether it takes a packet.
    #[must_use]
    pub fn takes(&self, record: &Record<'_>, packet: &Dissection<'_>) -> bool {
        self.root.holds(record, packet)
    }
}

impl End {
    fn holds<T: Copy>(self, (source, destination): (T, T), fits: impl Fn(T) -> bool) -> bool {
        match self {
            End::Source => fits(source),
            End::Destination => fits(destination),
            End::Either => fits(source) || fits(destination),
            End::Both => fits(source) && fits(destination),
        }
    }
}

impl Family {
    fn has(self, network: &Network<'_>) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => matches!(network, Network::Ipv4(_)),
            Family::V6 => matches!(network, Network::Ipv6(_)),
            Family::Arp => matches!(network, Network::Arp(_)),
        }
    }
}

impl Test {
    fn holds(&self, record: &Record<'_>, packet: &Dissection<'_>) -> bool {
        match *self {
            Test::All => true,
            Test::And(ref a, ref b) => a.holds(record, packet) && b.holds(record, packet),
            Test::Or(ref a, ref b) => a.holds(record, packet) || b.holds(record, packet),
            Test::Not(ref test) => !test.holds(record, packet),
            Test::Net { end, family, net, bits } => {
                family.has(&packet.network)
                    && addresses(packet)
                        .is_some_and(|both| end.holds(both, |address| within(address, net, bits)))
            }
            Test::Ports { end, protocol, low, high } => {
                let is_one = protocol.is_none_or(|wanted| above_ip(packet) == Some(wanted));
                is_one
                    && packet.ports().is_some_and(|both| end.holds(both, |port| (low..=high).contains(&port)))
            }
            Test::Protocol { family, number } => {
                family.has(&packet.network) && above_ip(packet) == Some(number)
            }
            Test::Type(wanted) => network_type(packet) == Some(wanted),
            Test::Mac { end, address } => {
                macs(packet).is_some_and(|both| end.holds(both, |mac| mac == address))
            }
            Test::Vlan(None) => !packet.vlans.is_empty(),
            Test::Vlan(Some(id)) => packet.vlans.iter().any(|tag| tag.id() == id),
            Test::EtherBroadcast => macs(packet).is_some_and(|(_, to)| to == [0xff; 6]),
            Test::EtherMulticast => macs(packet).is_some_and(|(_, to)| to[0] & 1 == 1),
            Test::Multicast { family } => {
                family.has(&packet.network)
                    && packet.network.addresses().is_some_and(|(_, to)| match to {
                        // What libpcap takes for multicast has broadcast in it.
                        IpAddr::V4(to) => to.octets()[0] >= 224,
                        IpAddr::V6(to) => to.octets()[0] == 0xff,
                    })
            }
            Test::Less(len) => record.original_len <= len,
            Test::Greater(len) => record.original_len >= len,
        }
    }
}

fn addresses(packet: &Dissection<'_>) -> Option<(IpAddr, IpAddr)> {
    match &packet.network {
        Network::Arp(arp) => arp.ipv4().map(|(sender, target)| (sender.into(), target.into())),
        network => network.addresses(),
    }
}

fn within(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shift = 32 - u32::from(bits.min(32));
            u32::from(a).checked_shr(shift).unwrap_or(0) == u32::from(b).checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shift = 128 - u32::from(bits.min(128));
            u128::from(a).checked_shr(shift).unwrap_or(0) == u128::from(b).checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

fn above_ip(packet: &Dissection<'_>) -> Option<u8> {
    match packet.transport {
        Transport::Tcp(_) => Some(protocol::TCP),
        Transport::Udp(_) => Some(protocol::UDP),
        Transport::Icmpv4(_) => Some(protocol::ICMP),
        Transport::Icmpv6(_) => Some(protocol::ICMPV6),
        Transport::Fragment { protocol, .. }
        | Transport::Cut { protocol, .. }
        | Transport::Other { protocol } => Some(protocol),
        Transport::None => None,
    }
}

fn network_type(packet: &Dissection<'_>) -> Option<u16> {
    match packet.network {
        Network::Arp(_) => Some(ethertype::ARP),
        Network::Ipv4(_) => Some(ethertype::IPV4),
        Network::Ipv6(_) => Some(ethertype::IPV6),
        Network::Other { ethertype } | Network::Cut { ethertype } => Some(ethertype),
        Network::None => None,
    }
}

fn macs(packet: &Dissection<'_>) -> Option<([u8; 6], [u8; 6])> {
    match packet.link {
        Link::Ethernet { destination, source, .. } => Some((source, destination)),
        _ => None,
    }
}
