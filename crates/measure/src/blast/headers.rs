//! What the headers of generated frames say, and the frames that come of it: one [`Template`] for each size.

use std::collections::HashMap;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions};
use bypath_wire::udp::UdpHeader;

use super::BlastError;
use super::range::FieldRange;
use super::signature;
use super::sizes::{FCS_LEN, MIN_SIZE, Sizes};
use super::template::{Field, Place, Template};

/// The transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
    /// TCP, an ACK without options.
    Tcp,
}

impl Transport {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Transport::Udp => protocol::UDP,
            Transport::Tcp => protocol::TCP,
        }
    }

    fn header_len(self) -> usize {
        match self {
            Transport::Udp => 8,
            Transport::Tcp => 20,
        }
    }
}

/// The headers of generated frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSpec {
    /// Receiving stations.
    pub dst_mac: FieldRange<MacAddr>,
    /// Sending stations.
    pub src_mac: FieldRange<MacAddr>,
    /// VLAN identifiers, outermost first; of two, the outer is a service tag.
    pub vlan: ArrayVec<u16, 2>,
    /// Source addresses.
    pub src_ip: FieldRange<IpAddr>,
    /// Destination addresses, of the same family.
    pub dst_ip: FieldRange<IpAddr>,
    /// What IP carries.
    pub transport: Transport,
    /// Source ports.
    pub src_port: FieldRange<u16>,
    /// Destination ports.
    pub dst_port: FieldRange<u16>,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
}

impl HeaderSpec {
    fn link_len(&self) -> usize {
        14 + 4 * self.vlan.len()
    }

    fn ip_len(&self) -> usize {
        if self.dst_ip.first().is_ipv4() { 20 } else { 40 }
    }

    /// Bytes of all headers.
    pub fn len(&self) -> usize {
        self.link_len() + self.ip_len() + self.transport.header_len()
    }

    /// Never true: there is always an Ethernet header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The shortest frame that holds them, and a signature if it is to have one; FCS included.
    pub fn least_size(&self, signed: bool) -> u16 {
        let least = self.len() + if signed { signature::LEN } else { 0 } + FCS_LEN;
        (least as u16).max(MIN_SIZE)
    }

    /// Checks what can be checked without a device, and makes a template of each size, with the order in which they
    /// are sent.
    ///
    /// # Errors
    /// Addresses of two families; a size that has no room for headers and signature.
    pub fn templates(&self, sizes: &Sizes, signed: bool) -> Result<(Vec<Template>, Vec<u32>), BlastError> {
        let (src, dst) = (self.src_ip.first(), self.dst_ip.first());
        if src.is_ipv4() != dst.is_ipv4() {
            return Err(BlastError::AddressFamilies { src, dst });
        }
        let least = self.least_size(signed);
        if sizes.shortest() < least {
            return Err(BlastError::SizeTooSmall { size: sizes.shortest(), least, signed });
        }
        let mut templates = Vec::new();
        let mut made = HashMap::new();
        let order = sizes.cycle().iter().map(|size| {
            *made.entry(*size).or_insert_with(|| {
                templates.push(self.template(usize::from(*size) - FCS_LEN, signed));
                templates.len() as u32 - 1
            })
        });
        let order = order.collect();
        Ok((templates, order))
    }

    fn template(&self, frame_len: usize, signed: bool) -> Template {
        let mut bytes = vec![0u8; self.len()];
        let mut tags = ArrayVec::new();
        for (at, id) in self.vlan.iter().enumerate() {
            let outer_of_two = at == 0 && self.vlan.len() == 2;
            let kind = if outer_of_two { EtherType::SERVICE_VLAN } else { EtherType::VLAN };
            tags.push(VlanTag { kind, ..VlanTag::new(*id) });
        }
        let (src, dst) = (self.src_ip.first(), self.dst_ip.first());
        let ethertype = if dst.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let ethernet =
            EthernetHeader { dst: self.dst_mac.first(), src: self.src_mac.first(), ethertype, vlan: tags };
        let ip_at = ethernet.emit(&mut bytes);
        let l4_at = ip_at + self.ip_len();
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let total_len = (frame_len - ip_at) as u16;
                let (protocol, ttl) = (self.transport.number(), self.ttl);
                let dscp_ecn = self.dscp << 2;
                let header =
                    Ipv4Header { dscp_ecn, total_len, ttl, protocol, src, dst, ..Ipv4Header::default() };
                header.emit(&mut bytes[ip_at..]);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let payload_len = (frame_len - l4_at) as u16;
                let (next_header, hop_limit) = (self.transport.number(), self.ttl);
                let traffic_class = self.dscp << 2;
                let header = Ipv6Header {
                    traffic_class,
                    payload_len,
                    next_header,
                    hop_limit,
                    src,
                    dst,
                    ..Ipv6Header::default()
                };
                header.emit(&mut bytes[ip_at..]);
            }
            // Refused by `templates`.
            _ => {}
        }
        let (src_port, dst_port) = (self.src_port.first(), self.dst_port.first());
        match self.transport {
            Transport::Udp => {
                let len = (frame_len - l4_at) as u16;
                UdpHeader { src_port, dst_port, len, checksum: 0 }.emit(&mut bytes[l4_at..]);
            }
            Transport::Tcp => {
                let header = TcpHeader {
                    src_port,
                    dst_port,
                    flags: TcpFlags::ACK,
                    window: 0xffff,
                    ..TcpHeader::default()
                };
                header.emit(&TcpOptions::default(), &mut bytes[l4_at..]);
            }
        }
        Template::generated(bytes, frame_len, signed)
    }

    /// The fields that take several values.
    pub fn fields(&self) -> Vec<Field> {
        let ip_at = self.link_len();
        let l4_at = ip_at + self.ip_len();
        let (src_ip, dst_ip) = if self.dst_ip.first().is_ipv4() { (12, 16) } else { (8, 24) };
        let mut fields = vec![
            Field::new(0, Place::Link, self.dst_mac),
            Field::new(6, Place::Link, self.src_mac),
            Field::new(ip_at + src_ip, Place::Address, self.src_ip),
            Field::new(ip_at + dst_ip, Place::Address, self.dst_ip),
            Field::new(l4_at, Place::Transport, self.src_port),
            Field::new(l4_at + 2, Place::Transport, self.dst_port),
        ];
        fields.retain(|field| field.count() > 1);
        fields
    }
}
