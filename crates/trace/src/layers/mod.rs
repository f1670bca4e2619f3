//! A packet taken apart: link, network, transport, payload.
//!
//! [`dissect`] reads what is there. Captures hold packets that are cut, malformed on purpose, or of protocols that nobody
//! asked for, so nothing here fails, panics or allocates: a layer whose fixed header is not wholly there is
//! [`Network::Cut`] or [`Transport::Cut`], lengths that lie are held against the bytes, and [`Dissection::truncated`] says
//! that something is missing. Checksums are not looked at; whoever wants to know asks for it.

mod arp;
pub(crate) mod bytes;
pub mod checksum;
mod ipv4;
mod ipv6;
mod link;
mod options;
mod transport;

pub use arp::Arp;
pub use bypath_wire::tcp::TcpFlags;
pub use ipv4::{Ipv4, Ipv4Option, Ipv4Options};
pub use ipv6::{Extension, Extensions, Ipv6};
pub use link::{Link, Vlan, Vlans};
pub use options::{TcpOption, TcpOptions};
pub use transport::{Icmp, Tcp, Transport, Udp};

use crate::record::LinkType;
use bytes::{from, up_to};

/// Numbers of protocols above IP.
pub mod protocol {
    /// ICMP of IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// Types of what is in an Ethernet frame.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// A VLAN tag of a customer.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A VLAN tag of a provider.
    pub const QINQ: u16 = 0x88a8;
}

/// A packet taken apart.
#[derive(Clone, Debug)]
pub struct Dissection<'a> {
    /// What carries it.
    pub link: Link,
    /// Its VLAN tags, outermost first.
    pub vlans: Vlans,
    /// The network layer.
    pub network: Network<'a>,
    /// The transport layer.
    pub transport: Transport<'a>,
    /// What is above the innermost layer that was recognised, without padding, as far as it was captured.
    pub payload: &'a [u8],
    /// How long that was on the wire, by what the headers say.
    pub payload_len: usize,
    /// Where each layer begins.
    pub offsets: Offsets,
    /// Something is missing that by the headers should be there: the capture has cut it off, or a length lies.
    pub truncated: bool,
}

/// Where layers begin, in bytes from the beginning of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The network layer.
    pub network: Option<usize>,
    /// The transport layer.
    pub transport: Option<usize>,
    /// The payload.
    pub payload: usize,
}

/// The network layer.
#[derive(Clone, Debug)]
pub enum Network<'a> {
    /// ARP.
    Arp(Arp<'a>),
    /// IPv4.
    Ipv4(Ipv4<'a>),
    /// IPv6.
    Ipv6(Ipv6<'a>),
    /// Another; below 1536 this is the length of an IEEE 802.3 frame. For PPP it is the protocol's number.
    Other {
        /// Its type.
        ethertype: u16,
    },
    /// The header of the one with this type is not all there.
    Cut {
        /// Its type.
        ethertype: u16,
    },
    /// The link layer does not tell, or is itself cut off.
    None,
}

impl Network<'_> {
    /// Source and destination, of IPv4 and IPv6.
    #[must_use]
    pub fn addresses(&self) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
        match self {
            Network::Ipv4(ip) => Some((ip.source.into(), ip.destination.into())),
            Network::Ipv6(ip) => Some((ip.source.into(), ip.destination.into())),
            _ => None,
        }
    }
}

/// Takes a packet apart that begins with a header of this type.
#[must_use]
pub fn dissect(link: LinkType, data: &[u8]) -> Dissection<'_> {
    let found = link::parse(link, data);
    let mut dissection = Dissection {
        link: found.link,
        vlans: found.vlans,
        network: Network::None,
        transport: Transport::None,
        payload: from(data, found.len),
        payload_len: data.len().saturating_sub(found.len),
        offsets: Offsets { network: None, transport: None, payload: found.len.min(data.len()) },
        truncated: found.cut,
    };
    if let Some(ethertype) = found.ethertype {
        dissection.offsets.network = Some(found.len);
        dissection.network(ethertype, found.len, from(data, found.len));
    }
    dissection
}

impl<'a> Dissection<'a> {
    /// The TCP header, where there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&Tcp<'a>> {
        if let Transport::Tcp(tcp) = &self.transport { Some(tcp) } else { None }
    }

    /// The UDP header, where there is one.
    #[must_use]
    pub fn udp(&self) -> Option<&Udp> {
        if let Transport::Udp(udp) = &self.transport { Some(udp) } else { None }
    }

    /// Source and destination port, of TCP and UDP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        match &self.transport {
            Transport::Tcp(tcp) => Some((tcp.source, tcp.destination)),
            Transport::Udp(udp) => Some((udp.source, udp.destination)),
            Transport::Cut { ports, .. } => *ports,
            _ => None,
        }
    }

    fn network(&mut self, ethertype: u16, at: usize, bytes: &'a [u8]) {
        let cut = Network::Cut { ethertype };
        match ethertype {
            ethertype::ARP => match Arp::parse(bytes) {
                Some(arp) => {
                    self.truncated |= arp.is_cut();
                    // What is behind an ARP packet is padding.
                    self.set_payload(at + arp.len(), &[], 0);
                    self.network = Network::Arp(arp);
                }
                None => self.cut(cut),
            },
            ethertype::IPV4 => match Ipv4::parse(bytes) {
                Some(ip) => {
                    let len = ip.payload_len().unwrap_or(bytes.len().saturating_sub(ip.header_len));
                    let inner = up_to(from(bytes, ip.header_len), len);
                    self.set_payload(at + ip.header_len, inner, len);
                    let (protocol, offset) = (ip.protocol, ip.fragment_offset);
                    let whole = offset == 0 && !ip.more_fragments;
                    self.network = Network::Ipv4(ip);
                    self.transport(protocol, offset, whole);
                }
                None => self.cut(cut),
            },
            ethertype::IPV6 => match Ipv6::parse(bytes) {
                Some(ip) => {
                    let len = ip.upper_len().unwrap_or(bytes.len().saturating_sub(ip.header_len));
                    let inner = up_to(from(bytes, ip.header_len), len);
                    self.set_payload(at + ip.header_len, inner, len);
                    self.truncated |= ip.extensions_cut;
                    let (protocol, fragment, cut) = (ip.upper, ip.fragment, ip.extensions_cut);
                    self.network = Network::Ipv6(ip);
                    if !cut {
                        let (offset, more) = fragment.unwrap_or_default();
                        self.transport(protocol, offset, offset == 0 && !more);
                    }
                }
                None => self.cut(cut),
            },
            other => self.network = Network::Other { ethertype: other },
        }
    }

    fn cut(&mut self, network: Network<'a>) {
        self.network = network;
        self.truncated = true;
    }

    fn set_payload(&mut self, at: usize, bytes: &'a [u8], len: usize) {
        self.payload = bytes;
        self.payload_len = len;
        self.offsets.payload = at;
        self.truncated |= bytes.len() < len;
    }

    /// What is above IP, which is what the payload was until now.
    fn transport(&mut self, protocol: u8, offset: u16, whole: bool) {
        let (at, bytes, len) = (self.offsets.payload, self.payload, self.payload_len);
        self.offsets.transport = Some(at);
        if offset > 0 {
            self.transport = Transport::Fragment { protocol, offset };
            return;
        }
        self.transport = Transport::parse(protocol, bytes);
        let header_len = match &self.transport {
            Transport::Tcp(tcp) => {
                self.truncated |= tcp.options_cut();
                tcp.header_len
            }
            Transport::Udp(udp) => {
                // A datagram may be shorter than the packet that carries it, and a jumbogram has no length.
                let stated = usize::from(udp.len);
                let end = if stated >= 8 && whole { stated.min(len) } else { len };
                self.truncated |= whole && stated > len;
                self.set_payload(at + 8, up_to(from(bytes, 8), end.saturating_sub(8)), end.saturating_sub(8));
                return;
            }
            Transport::Icmpv4(_) | Transport::Icmpv6(_) => 4,
            Transport::Cut { .. } => {
                self.truncated = true;
                0
            }
            _ => 0,
        };
        self.set_payload(at + header_len, from(bytes, header_len), len.saturating_sub(header_len));
    }
}

#[cfg(test)]
mod tests;
