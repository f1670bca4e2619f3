//! Packets as bytes: those that arrive are written, those that the stack sends are read and their checksums verified.

use std::net::{IpAddr, SocketAddr};

use bypath_wire::checksum::{Sum, pseudo_header, transport_ok};
use bypath_wire::icmpv4::Icmpv4;
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::{protocol, version};
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::{self, Ipv6Header};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{CHECKSUM_OFFSET, MIN_HEADER_LEN, TcpFlags, TcpHeader};

use crate::script::TcpOption;

const ACC_ECN_0: u8 = 172;
const ACC_ECN_1: u8 = 174;
const EXPERIMENT: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// A segment in the numbers of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<TcpOption>,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a list of options, without padding.
pub(crate) fn option_bytes(options: &[TcpOption]) -> Vec<u8> {
    let mut out = Vec::new();
    for option in options {
        let (kind, body) = match option {
            TcpOption::Eol => {
                out.push(0);
                continue;
            }
            TcpOption::Nop => {
                out.push(1);
                continue;
            }
            TcpOption::Rest => continue,
            TcpOption::Raw(bytes) => {
                out.extend_from_slice(bytes);
                continue;
            }
            TcpOption::Mss(mss) => (2, mss.to_be_bytes().to_vec()),
            TcpOption::WindowScale(shift) => (3, vec![*shift]),
            TcpOption::SackOk => (4, Vec::new()),
            TcpOption::Sack(blocks) => {
                let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
                (5, edges.flat_map(|edge| edge.to_be_bytes()).collect())
            }
            TcpOption::Timestamps { value, echo } => (8, [value.to_be_bytes(), echo.to_be_bytes()].concat()),
            TcpOption::Md5(digest) => (19, digest.clone()),
            TcpOption::FastOpen(cookie) => (34, cookie.clone()),
            TcpOption::FastOpenExp(cookie) => (EXPERIMENT, [&FAST_OPEN_MAGIC[..], cookie].concat()),
            TcpOption::AccEcn(ect1_first, counters) => {
                let kind = if *ect1_first { ACC_ECN_1 } else { ACC_ECN_0 };
                (kind, counters.iter().flat_map(|n| n.to_be_bytes().into_iter().skip(1)).collect())
            }
            TcpOption::Other(kind, body) => (*kind, body.clone()),
        };
        out.push(kind);
        out.push(u8::try_from(body.len() + 2).unwrap_or(u8::MAX));
        out.extend(body);
    }
    out
}

/// The options in `bytes`, one by one as they stand there.
fn read_options(mut bytes: &[u8]) -> Result<Vec<TcpOption>, String> {
    let word = |b: &[u8]| b.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
    let mut options = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        if kind <= 1 {
            options.push(if kind == 0 { TcpOption::Eol } else { TcpOption::Nop });
            bytes = rest;
            continue;
        }
        let len = rest.first().copied().map_or(0, usize::from);
        let Some((option, rest)) = bytes.split_at_checked(len).filter(|_| len >= 2) else {
            return Err(format!("the TCP option of kind {kind} says that it is {len} bytes long"));
        };
        bytes = rest;
        let body = option.get(2..).unwrap_or_default();
        options.push(match (kind, body.len()) {
            (2, 2) => TcpOption::Mss(u16::try_from(word(body)).unwrap_or(0)),
            (3, 1) => TcpOption::WindowScale(u8::try_from(word(body)).unwrap_or(0)),
            (4, 0) => TcpOption::SackOk,
            (5, n) if n % 8 == 0 => {
                let (blocks, _) = body.as_chunks::<8>();
                TcpOption::Sack(blocks.iter().map(|b| (word(&b[..4]), word(&b[4..]))).collect())
            }
            (8, 8) => TcpOption::Timestamps { value: word(&body[..4]), echo: word(&body[4..]) },
            (19, _) => TcpOption::Md5(body.to_vec()),
            (34, _) => TcpOption::FastOpen(body.to_vec()),
            (EXPERIMENT, n) if n >= 2 && body[..2] == FAST_OPEN_MAGIC => {
                TcpOption::FastOpenExp(body[2..].to_vec())
            }
            (ACC_ECN_0 | ACC_ECN_1, n) if n % 3 == 0 => {
                TcpOption::AccEcn(kind == ACC_ECN_1, body.chunks(3).map(word).collect())
            }
            _ => TcpOption::Other(kind, body.to_vec()),
        });
    }
    Ok(options)
}

/// An IP packet around `body`, whose checksum has been written.
fn ip_packet(src: IpAddr, dst: IpAddr, tos: u8, ttl: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet = vec![0; ipv4::MIN_HEADER_LEN + body.len()];
            let total_len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
            let header =
                Ipv4Header { dscp_ecn: tos, total_len, ttl, protocol, src, dst, ..Ipv4Header::default() };
            header.emit(&mut packet);
            packet[ipv4::MIN_HEADER_LEN..].copy_from_slice(body);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet = vec![0; ipv6::HEADER_LEN + body.len()];
            let payload_len = u16::try_from(body.len()).unwrap_or(u16::MAX);
            let header = Ipv6Header {
                traffic_class: tos,
                payload_len,
                next_header: protocol,
                hop_limit: ttl,
                src,
                dst,
                ..Ipv6Header::default()
            };
            header.emit(&mut packet);
            packet[ipv6::HEADER_LEN..].copy_from_slice(body);
        }
        _ => packet = Vec::new(),
    }
    packet
}

/// The bytes of a segment. `None`: its options take more than 40 bytes.
pub(crate) fn segment(live: &Live) -> Option<Vec<u8>> {
    let options = option_bytes(&live.options);
    let header_len = MIN_HEADER_LEN + options.len().next_multiple_of(4);
    let header = TcpHeader {
        src_port: live.src.port(),
        dst_port: live.dst.port(),
        seq: SeqNum(live.seq),
        ack: SeqNum(live.ack),
        flags: TcpFlags::from_bits_truncate(live.flags),
        window: live.window,
        checksum: 0,
        urgent: live.urgent,
    };
    let mut bytes = vec![0; header_len + live.payload.len()];
    if header.emit_raw(&options, &mut bytes) == 0 {
        return None;
    }
    bytes[header_len..].copy_from_slice(&live.payload);
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let sum = pseudo_header(live.src.ip(), live.dst.ip(), protocol::TCP, len).add(Sum::of(&bytes)).finish();
    bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    Some(ip_packet(live.src.ip(), live.dst.ip(), live.tos, live.ttl, protocol::TCP, &bytes))
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mtu: u32,
}

/// An ICMP error from `dst` of the segment quoted to its sender.
pub(crate) fn icmp_error(error: IcmpError, quoted: &Live) -> Option<Vec<u8>> {
    let whole = segment(quoted)?;
    let (from, to) = (quoted.dst.ip(), quoted.src.ip());
    // As much as routers quote: the headers, and for IPv6 what fits.
    let original = whole.get(..whole.len().min(if to.is_ipv4() { 28 } else { 1_200 }))?;
    let rest = error.mtu.to_be_bytes();
    let mut body = vec![0; 8 + original.len()];
    let protocol = match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let message = Icmpv6::Other { kind: error.kind, code: error.code, rest, data: original };
            message.emit(from, to, &mut body);
            protocol::ICMPV6
        }
        _ => {
            Icmpv4::Other { kind: error.kind, code: error.code, rest, data: original }.emit(&mut body);
            protocol::ICMP
        }
    };
    Some(ip_packet(from, to, 0, 64, protocol, &body))
}

/// Reads a packet that the stack has sent. `Ok(None)`: it is not TCP.
pub(crate) fn read(packet: &[u8]) -> Result<Option<Live>, String> {
    let wrong = |e: bypath_wire::WireError| format!("the stack has sent a packet that is none: {e}");
    let (src, dst, tos, ttl, next, at, end): (IpAddr, IpAddr, _, _, _, _, _) = if version(packet) == Ok(4) {
        let (h, n) = Ipv4Header::parse(packet).map_err(wrong)?;
        if !ipv4::checksum_ok(packet) {
            return Err("the IPv4 checksum is wrong".to_owned());
        }
        (h.src.into(), h.dst.into(), h.dscp_ecn, h.ttl, h.protocol, n, usize::from(h.total_len))
    } else {
        let (h, n) = Ipv6Header::parse(packet).map_err(wrong)?;
        let end = n + usize::from(h.payload_len);
        (h.src.into(), h.dst.into(), h.traffic_class, h.hop_limit, h.next_header, n, end)
    };
    let body = packet.get(at..end).unwrap_or_default();
    if next != protocol::TCP {
        return Ok(None);
    }
    if !transport_ok(src, dst, protocol::TCP, body) {
        return Err("the TCP checksum is wrong".to_owned());
    }
    let (header, n) = TcpHeader::parse(body).map_err(wrong)?;
    Ok(Some(Live {
        src: SocketAddr::new(src, header.src_port),
        dst: SocketAddr::new(dst, header.dst_port),
        tos,
        ttl,
        flags: header.flags.bits(),
        seq: header.seq.0,
        ack: header.ack.0,
        window: header.window,
        urgent: header.urgent,
        options: read_options(body.get(MIN_HEADER_LEN..n).unwrap_or_default())?,
        payload: body.get(n..).unwrap_or_default().to_vec(),
    }))
}
