//! Segments as tests read and write them: out of the log, and by hand from one side to the other.

use std::net::IpAddr;

use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::tcp::{CHECKSUM_OFFSET, TcpHeader, TcpOptions};

use crate::datagrams::ip_packet;
use crate::net::Family;

/// A TCP segment with what a test asks of its IP header.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) src: IpAddr,
    pub(crate) hop_limit: u8,
    pub(crate) dscp: u8,
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: usize,
}

/// Reads a packet without link header; `None` if it carries no TCP.
pub(crate) fn seen(packet: &[u8]) -> Option<Seen> {
    let (src, hop_limit, traffic_class, protocol, start, end) = if packet[0] >> 4 == 4 {
        let (header, n) = Ipv4Header::parse(packet).unwrap();
        let end = usize::from(header.total_len);
        (IpAddr::V4(header.src), header.ttl, header.dscp_ecn, header.protocol, n, end)
    } else {
        let (header, n) = Ipv6Header::parse(packet).unwrap();
        let end = n + usize::from(header.payload_len);
        (IpAddr::V6(header.src), header.hop_limit, header.traffic_class, header.next_header, n, end)
    };
    if protocol != protocol::TCP {
        return None;
    }
    let (header, n) = TcpHeader::parse(&packet[start..]).unwrap();
    let options = TcpOptions::parse(&packet[start + 20..start + n]).unwrap();
    let payload = end - start - n;
    Some(Seen { src, hop_limit, dscp: traffic_class >> 2, header, options, payload })
}

/// The segments that a side has sent.
pub(crate) fn sent_by(log: &[(usize, Vec<u8>)], side: usize) -> Vec<Seen> {
    log.iter().filter(|(from, _)| *from == side).filter_map(|(_, packet)| seen(packet)).collect()
}

/// The packet with a segment from a side to the other, as somebody else would send it.
pub(crate) fn segment(
    family: Family,
    from: usize,
    header: &TcpHeader,
    options: &TcpOptions,
    payload: &[u8],
) -> Vec<u8> {
    let mut tcp = vec![0; 20 + options.encoded_len()];
    header.emit(options, &mut tcp);
    tcp.extend_from_slice(payload);
    let pseudo = pseudo_header(family.ip(from), family.ip(1 - from), protocol::TCP, tcp.len() as u32);
    let sum = pseudo.add(Sum::of(&tcp)).finish();
    tcp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    ip_packet(family, from, protocol::TCP, &tcp)
}
