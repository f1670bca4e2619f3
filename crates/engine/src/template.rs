//! The headers that all packets of a flow share, built once: Ethernet and IP with their addresses, and the
//! part of the checksums that does not change.

use std::net::{IpAddr, SocketAddr};

use bypath_tcp::Ecn;
use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;

/// What the stack's packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// An Ethernet header.
    Ethernet,
    /// Nothing: raw IP.
    Ip,
}

/// Of an Ethernet header.
const ETHERNET: usize = 14;
/// Ethernet and IPv6.
const MAX_LEN: usize = ETHERNET + 40;
/// RFC 1700's recommendation, and everyone's default.
const HOP_LIMIT: u8 = 64;

/// Headers up to the transport header.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: [u8; MAX_LEN],
    len: usize,
    link: usize,
    v6: bool,
    /// Of the IPv4 header without length, identification and checksum.
    ip_sum: Sum,
    /// Of the pseudo-header without the length.
    pub(crate) pseudo: Sum,
}

impl Template {
    /// Headers for `protocol` from `local` to `remote`; link addresses come with [`Template::set_link`].
    pub(crate) fn new(medium: Medium, protocol: u8, local: IpAddr, remote: IpAddr) -> Self {
        let link = if medium == Medium::Ethernet { ETHERNET } else { 0 };
        let mut bytes = [0; MAX_LEN];
        let mut template = Self {
            bytes,
            len: 0,
            link,
            v6: false,
            ip_sum: Sum::default(),
            pseudo: pseudo_header(local, remote, protocol, 0),
        };
        let ip_len = match (local, remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = Ipv4Header {
                    ttl: HOP_LIMIT,
                    dont_fragment: true,
                    protocol,
                    src,
                    dst,
                    ..Ipv4Header::default()
                };
                let n = header.emit(&mut bytes[link..]);
                // The parts that change are summed when they are known.
                for at in [link + 2, link + 3, link + 10, link + 11] {
                    bytes[at] = 0;
                }
                template.ip_sum = Sum::of(&bytes[link..link + n]);
                n
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                template.v6 = true;
                let header = Ipv6Header {
                    hop_limit: HOP_LIMIT,
                    next_header: protocol,
                    src,
                    dst,
                    ..Ipv6Header::default()
                };
                header.emit(&mut bytes[link..])
            }
            _ => 0,
        };
        template.bytes = bytes;
        template.len = link + ip_len;
        template
    }

    /// Of a flow between two sockets.
    pub(crate) fn for_flow(medium: Medium, protocol: u8, local: SocketAddr, remote: SocketAddr) -> Self {
        Self::new(medium, protocol, local.ip(), remote.ip())
    }

    /// Sets the link addresses.
    pub(crate) fn set_link(&mut self, src: MacAddr, dst: MacAddr) {
        if self.link > 0 {
            let ethertype = if self.v6 { EtherType::IPV6 } else { EtherType::IPV4 };
            EthernetHeader { dst, src, ethertype, ..EthernetHeader::default() }.emit(&mut self.bytes);
        }
    }

    /// The link address that packets go to; of no use where there is no link header.
    pub(crate) fn destination(&self) -> MacAddr {
        MacAddr(self.bytes.first_chunk().copied().unwrap_or_default())
    }

    /// Hop limit (time to live) other than the default.
    pub(crate) fn set_hop_limit(&mut self, limit: u8) {
        self.bytes[self.link + if self.v6 { 7 } else { 8 }] = limit;
        self.sum_ip();
    }

    /// Differentiated services code point; the two bits of ECN beside it stay as they are.
    pub(crate) fn set_dscp(&mut self, dscp: u8) {
        let ip = &mut self.bytes[self.link..];
        if self.v6 {
            ip[0] = 0x60 | (dscp >> 2) & 0x0f;
            ip[1] = ip[1] & 0x3f | dscp << 6;
        } else {
            ip[1] = ip[1] & 0x03 | dscp << 2;
        }
        self.sum_ip();
    }

    /// Sums the IPv4 header anew, after a change of it.
    fn sum_ip(&mut self) {
        if !self.v6 {
            self.ip_sum = Sum::of(&self.bytes[self.link..self.len]);
        }
    }

    /// Bytes before the transport header.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the IP header.
    pub(crate) fn ip_len(&self) -> usize {
        self.len - self.link
    }

    /// Writes the headers for a transport segment of `transport_len` bytes to the front of `out`, which is
    /// long enough. `id` is the IPv4 identification, `ecn` the low bits of the traffic class.
    #[inline]
    pub(crate) fn write(&self, out: &mut [u8], transport_len: usize, id: u16, ecn: Ecn) {
        // Of a known length it is a few moves. What lies behind the headers is written later.
        if let Some(out) = out.first_chunk_mut::<MAX_LEN>() {
            *out = self.bytes;
        } else if out.len() >= self.len {
            self.copy_short(out);
        } else {
            return;
        }
        if (self.link, self.v6) == (ETHERNET, false)
            && let Some(ip) = out.get_mut(ETHERNET..).and_then(|out| out.first_chunk_mut::<20>())
        {
            return self.finish_v4(ip, transport_len, id, ecn);
        }
        let ip = &mut out[self.link..];
        if self.v6 {
            ip[1] |= ecn.bits() << 4;
            ip[4..6].copy_from_slice(&(transport_len as u16).to_be_bytes());
        } else if let Some(ip) = ip.first_chunk_mut() {
            self.finish_v4(ip, transport_len, id, ecn);
        }
    }

    /// Out of line, so that it does not become one copy of unknown length with the usual one.
    #[cold]
    #[inline(never)]
    fn copy_short(&self, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(&self.bytes[..self.len]) {
            *to = *from;
        }
    }

    #[inline(always)]
    fn finish_v4(&self, ip: &mut [u8; 20], transport_len: usize, id: u16, ecn: Ecn) {
        let total = (20 + transport_len) as u16;
        ip[1] |= ecn.bits();
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        let checksum = self.ip_sum.add_u16(u16::from(ecn.bits())).add_u16(total).add_u16(id).finish();
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bypath_wire::ipv4;

    #[test]
    fn an_ipv4_header_from_the_template_parses_and_sums_up() {
        let (a, b) = ("198.18.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap());
        let mut t = Template::new(Medium::Ethernet, 6, a, b);
        t.set_link(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let mut out = [0u8; 14 + 20 + 100];
        t.write(&mut out, 100, 777, Ecn::Ect0);
        let (header, n) = Ipv4Header::parse(&out[14..]).unwrap();
        assert!(ipv4::checksum_ok(&out[14..]));
        assert_eq!((n, header.total_len, header.id, header.dont_fragment), (20, 120, 777, true));
        assert_eq!(header.dscp_ecn, 2);
        let (ether, _) = EthernetHeader::parse(&out).unwrap();
        assert_eq!(ether.ethertype, EtherType::IPV4);
    }

    #[test]
    fn an_ipv6_header_from_the_template_carries_the_length() {
        let (a, b) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let t = Template::new(Medium::Ip, 6, a, b);
        let mut out = [0u8; 40 + 60];
        t.write(&mut out, 60, 0, Ecn::Ce);
        let (header, _) = Ipv6Header::parse(&out).unwrap();
        assert_eq!((header.payload_len, header.next_header, header.hop_limit), (60, 6, 64));
        assert_eq!((header.traffic_class, header.flow_label), (3, 0));
    }
}
