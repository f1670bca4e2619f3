//! Packets that only their sender lies in: lengths and checksums are right.

use std::net::{IpAddr, SocketAddr};

use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::icmpv4::Icmpv4;
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::tcp::{CHECKSUM_OFFSET, MAX_HEADER_LEN, MAX_OPTIONS_LEN, TcpHeader};
use bypath_wire::udp::{self, UdpHeader};

/// An IP packet with this payload.
pub fn ip(src: IpAddr, dst: IpAddr, protocol: u8, ecn: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet = vec![0; 20];
            let total_len = (20 + payload.len()) as u16;
            let header = Ipv4Header { total_len, protocol, src, dst, dscp_ecn: ecn, ..Ipv4Header::default() };
            header.emit(&mut packet);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet = vec![0; 40];
            let payload_len = payload.len() as u16;
            let header = Ipv6Header {
                payload_len,
                next_header: protocol,
                // Neighbor Discovery is believed with this alone.
                hop_limit: 255,
                traffic_class: ecn,
                src,
                dst,
                ..Ipv6Header::default()
            };
            header.emit(&mut packet);
        }
        _ => return Vec::new(),
    }
    packet.extend_from_slice(payload);
    packet
}

/// A TCP segment with these option bytes, of which only as many are taken as there is room for.
pub fn tcp(
    from: SocketAddr,
    to: SocketAddr,
    ecn: u8,
    header: &TcpHeader,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = TcpHeader { src_port: from.port(), dst_port: to.port(), checksum: 0, ..*header };
    let mut segment = vec![0; MAX_HEADER_LEN];
    let len = header.emit_raw(&options[..options.len().min(MAX_OPTIONS_LEN)], &mut segment);
    segment.truncate(len);
    segment.extend_from_slice(payload);
    let sum = pseudo_header(from.ip(), to.ip(), protocol::TCP, segment.len() as u32).add(Sum::of(&segment));
    segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
    ip(from.ip(), to.ip(), protocol::TCP, ecn, &segment)
}

/// A UDP datagram.
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let len = (udp::HEADER_LEN + payload.len()) as u16;
    let header = UdpHeader { src_port: from.port(), dst_port: to.port(), len, checksum: 0 };
    let mut bytes = vec![0; udp::HEADER_LEN];
    header.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    let sum = pseudo_header(from.ip(), to.ip(), protocol::UDP, u32::from(len)).add(Sum::of(&bytes));
    let stored = udp::stored_checksum(sum.finish()).to_be_bytes();
    bytes[udp::CHECKSUM_OFFSET..udp::CHECKSUM_OFFSET + 2].copy_from_slice(&stored);
    ip(from.ip(), to.ip(), protocol::UDP, 0, &bytes)
}

/// Which error about a packet.
#[derive(Clone, Copy, Debug)]
pub enum Complaint {
    /// It is too long for a link.
    TooBig(u16),
    /// It cannot be delivered, with the code of its family.
    Unreachable(u8),
}

/// What a router says to the sender of `original`, an IP packet.
pub fn complaint(original: &[u8], what: Complaint) -> Vec<u8> {
    let original = &original[..original.len().min(128)];
    if let Ok((header, _)) = Ipv4Header::parse_head(original, usize::from(u16::MAX)) {
        let (code, next_hop_mtu) = match what {
            Complaint::TooBig(mtu) => (4, mtu),
            Complaint::Unreachable(code) => (code, 0),
        };
        let message = Icmpv4::DestinationUnreachable { code, next_hop_mtu, original };
        let mut bytes = vec![0; message.encoded_len()];
        message.emit(&mut bytes);
        return ip(header.dst.into(), header.src.into(), protocol::ICMP, 0, &bytes);
    }
    let Ok((header, _)) = Ipv6Header::parse_head(original, usize::from(u16::MAX) + 40) else {
        return Vec::new();
    };
    let message = match what {
        Complaint::TooBig(mtu) => Icmpv6::PacketTooBig { mtu: mtu.into(), original },
        Complaint::Unreachable(code) => Icmpv6::DestinationUnreachable { code, original },
    };
    let mut bytes = vec![0; message.encoded_len()];
    message.emit(header.dst, header.src, &mut bytes);
    ip(header.dst.into(), header.src.into(), protocol::ICMPV6, 0, &bytes)
}
