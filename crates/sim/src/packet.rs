//! Packets on a simulated link: whose they are, what they say, and the changes that networks make to them.
//!
//! Checksums are summed here in the plainest way on purpose: this judges the code that is fast.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bypath_wire::ethernet::MacAddr;
use bypath_wire::icmpv4::Icmpv4;
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::tcp::{MIN_HEADER_LEN, TcpHeader, TcpOptions};

/// What packets begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// An Ethernet header of 14 bytes.
    Ethernet,
    /// The IP header.
    Ip,
}

const ETHERNET_HEADER: usize = 14;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// ICMPv6 types of Neighbor Discovery (RFC 4861).
const NEIGHBOR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;

impl Medium {
    /// Bytes before the IP header.
    pub fn header_len(self) -> usize {
        match self {
            Self::Ethernet => ETHERNET_HEADER,
            Self::Ip => 0,
        }
    }

    /// The packet from its IP header on; `None` if it is none of IP.
    pub fn ip(self, packet: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Ip => Some(packet),
            Self::Ethernet => {
                let kind = packet.get(12..14)?;
                (kind == IPV4 || kind == IPV6).then(|| &packet[ETHERNET_HEADER..])
            }
        }
    }

    /// Whether a packet asks for a link address, or answers.
    pub(crate) fn is_resolution(self, packet: &[u8]) -> bool {
        let Self::Ethernet = self else { return false };
        let kind = packet.get(12..14).unwrap_or_default();
        kind == ARP
            || kind == IPV6
                && packet.get(20) == Some(&protocol::ICMPV6)
                && packet.get(54).is_some_and(|t| NEIGHBOR_DISCOVERY.contains(t))
    }
}

/// The address of host `index`.
pub fn host_address(index: usize, v6: bool) -> IpAddr {
    let low = index as u16 + 1;
    if v6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low).into()
    } else {
        let [high, low] = low.to_be_bytes();
        Ipv4Addr::new(10, 0, high, low).into()
    }
}

/// The link address of host `index`.
pub fn host_mac(index: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, index as u8 + 1])
}

/// The host that a packet is for, by its address.
pub(crate) fn destination(medium: Medium, packet: &[u8]) -> Option<usize> {
    let ip = medium.ip(packet)?;
    let low = match ip.first()? >> 4 {
        4 => ip.get(18..20)?,
        _ => ip.get(38..40)?,
    };
    usize::from(u16::from_be_bytes([low[0], low[1]])).checked_sub(1)
}

/// Source and destination port of a packet, and the host it comes from, read without any check.
pub(crate) fn ports(medium: Medium, packet: &[u8]) -> Option<(usize, u16, u16)> {
    let ip = medium.ip(packet)?;
    let (from, at) = match ip.first()? >> 4 {
        4 => (ip.get(14..16)?, usize::from(ip[0] & 15) * 4),
        _ => (ip.get(22..24)?, 40),
    };
    let p = ip.get(at..at + 4)?;
    let from = usize::from(u16::from_be_bytes([from[0], from[1]])).checked_sub(1)?;
    Some((from, u16::from_be_bytes([p[0], p[1]]), u16::from_be_bytes([p[2], p[3]])))
}

/// A TCP segment as it is on the wire.
#[derive(Clone, Debug)]
pub struct TcpPacket<'a> {
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
    /// Bytes from the IP header on.
    pub ip_len: usize,
    /// Fixed header.
    pub header: TcpHeader,
    /// Options as read.
    pub options: TcpOptions,
    /// Bytes that the options take.
    pub options_len: usize,
    /// Payload.
    pub payload: &'a [u8],
}

impl<'a> TcpPacket<'a> {
    /// Reads a packet; `Ok(None)` if it is not TCP.
    ///
    /// # Errors
    /// What is wrong with it: lengths, checksums, options.
    pub fn parse(medium: Medium, packet: &'a [u8]) -> Result<Option<Self>, String> {
        let Some(ip) = medium.ip(packet) else { return Ok(None) };
        let wrong = |e| format!("{e}");
        let (src, dst, ecn, next, total, start): (IpAddr, IpAddr, _, _, _, _) =
            match ip.first().map(|b| b >> 4) {
                Some(4) => {
                    let (h, n) = Ipv4Header::parse(ip).map_err(wrong)?;
                    if fold(sum(&ip[..n], 0)) != 0xffff {
                        return Err("the IPv4 header's checksum is wrong".into());
                    }
                    (h.src.into(), h.dst.into(), h.dscp_ecn & 3, h.protocol, usize::from(h.total_len), n)
                }
                _ => {
                    let (h, n) = Ipv6Header::parse(ip).map_err(wrong)?;
                    let total = n + usize::from(h.payload_len);
                    (h.src.into(), h.dst.into(), h.traffic_class & 3, h.next_header, total, n)
                }
            };
        if next != protocol::TCP {
            return Ok(None);
        }
        let segment = ip.get(start..total).ok_or("shorter than it says")?;
        if fold(sum(segment, pseudo(src, dst, segment.len()))) != 0xffff {
            return Err("TCP's checksum is wrong".into());
        }
        let (header, n) = TcpHeader::parse(segment).map_err(wrong)?;
        let options = TcpOptions::parse(&segment[MIN_HEADER_LEN..n]).map_err(wrong)?;
        Ok(Some(Self {
            from: SocketAddr::new(src, header.src_port),
            to: SocketAddr::new(dst, header.dst_port),
            ecn,
            ip_len: total,
            header,
            options,
            options_len: n - MIN_HEADER_LEN,
            payload: &segment[n..],
        }))
    }
}

impl std::fmt::Display for TcpPacket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let h = &self.header;
        let flags: String = h.flags.iter_names().map(|(name, _)| &name[..1]).collect();
        let len = self.payload.len();
        write!(f, "{} > {} {flags} seq {} +{len} ack {}", self.from, self.to, h.seq.0, h.ack.0)?;
        write!(f, " win {}", h.window)?;
        if let Some(ts) = self.options.timestamps {
            write!(f, " ts {}/{}", ts.value, ts.echo)?;
        }
        for block in &self.options.sack {
            write!(f, " [{}..{}]", block.left.0, block.right.0)?;
        }
        Ok(())
    }
}

/// RFC 1071, word by word.
fn sum(bytes: &[u8], start: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let whole: u64 = words.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    start + whole + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

fn pseudo(src: IpAddr, dst: IpAddr, len: usize) -> u64 {
    let addresses = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum(&d.octets(), sum(&s.octets(), 0)),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum(&d.octets(), sum(&s.octets(), 0)),
        _ => 0,
    };
    addresses + u64::from(protocol::TCP) + len as u64
}

/// Marks a packet of a sender that understands (RFC 3168 section 5). `false`: it does not say so.
pub(crate) fn mark_congestion(medium: Medium, packet: &mut [u8]) -> bool {
    let start = medium.header_len();
    if medium.ip(packet).is_none() {
        return false;
    }
    let Some(ip) = packet.get_mut(start..) else { return false };
    match ip.first().map(|b| b >> 4) {
        Some(4) if ip.len() >= 20 && ip[1] & 3 != 0 => {
            ip[1] |= 3;
            let n = usize::from(ip[0] & 15) * 4;
            ip[10..12].fill(0);
            let checksum = !(fold(sum(&ip[..n], 0)) as u16);
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            true
        }
        Some(6) if ip.len() >= 40 && ip[1] >> 4 & 3 != 0 => {
            ip[1] |= 0x30;
            true
        }
        _ => false,
    }
}

/// A router's word to the sender that `packet` does not fit `mtu` (RFC 1191, RFC 8201). Only for packets that
/// begin with IP.
pub(crate) fn too_big(packet: &[u8], mtu: u32) -> Option<Vec<u8>> {
    const QUOTED: usize = 128;
    let original = &packet[..packet.len().min(QUOTED)];
    match packet.first()? >> 4 {
        4 => {
            let (old, _) = Ipv4Header::parse(packet).ok()?;
            let message =
                Icmpv4::DestinationUnreachable { code: 4, next_hop_mtu: u16::try_from(mtu).ok()?, original };
            let mut out = vec![0; 20 + 8 + original.len()];
            let header = Ipv4Header {
                total_len: out.len() as u16,
                protocol: protocol::ICMP,
                src: Ipv4Addr::new(10, 0, 255, 254),
                dst: old.src,
                ttl: 64,
                ..Ipv4Header::default()
            };
            header.emit(&mut out);
            message.emit(&mut out[20..]);
            Some(out)
        }
        _ => {
            let (old, _) = Ipv6Header::parse(packet).ok()?;
            let src = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfffe);
            let message = Icmpv6::PacketTooBig { mtu, original };
            let mut out = vec![0; 40 + message.encoded_len()];
            let header = Ipv6Header {
                payload_len: message.encoded_len() as u16,
                next_header: protocol::ICMPV6,
                src,
                dst: old.src,
                ..Ipv6Header::default()
            };
            header.emit(&mut out);
            message.emit(src, old.src, &mut out[40..]);
            Some(out)
        }
    }
}
