//! From the bytes of a packet to its headers, checksums checked: Ethernet, IPv4 and TCP with timestamps.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use bypath_benches::{Figures, config};
use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{CHECKSUM_OFFSET, MIN_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions, Timestamps};
use criterion::{BenchmarkId, Throughput};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetFrame, Ipv4Packet, Ipv4Repr, TcpPacket, TcpRepr};

const A: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

fn packet(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    let mac = |n| MacAddr([2, 0, 0, 0, 0, n]);
    let ether =
        EthernetHeader { dst: mac(2), src: mac(1), ethertype: EtherType::IPV4, ..EthernetHeader::default() };
    let ip_at = ether.emit(&mut bytes);
    let tcp_len = MIN_HEADER_LEN + 12;
    let total_len = (20 + tcp_len + payload) as u16;
    let ip = Ipv4Header { ttl: 64, protocol: 6, src: A, dst: B, total_len, ..Ipv4Header::default() };
    let tcp_at = ip_at + ip.emit(&mut bytes[ip_at..]);
    let tcp = TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: SeqNum(1),
        ack: SeqNum(2),
        flags: TcpFlags::ACK,
        window: 512,
        checksum: 0,
        urgent: 0,
    };
    let options = TcpOptions { timestamps: Some(Timestamps { value: 3, echo: 4 }), ..TcpOptions::default() };
    tcp.emit(&options, &mut bytes[tcp_at..]);
    let end = tcp_at + tcp_len + payload;
    let sum = pseudo_header(IpAddr::V4(A), IpAddr::V4(B), 6, (tcp_len + payload) as u32)
        .add(Sum::of(&bytes[tcp_at..end]))
        .finish();
    bytes[tcp_at + CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    bytes.truncate(end);
    bytes
}

fn ours(bytes: &[u8]) -> Option<(TcpHeader, u32)> {
    let (_, ip_at) = EthernetHeader::parse(bytes).ok()?;
    let (ip, n) = Ipv4Header::parse(&bytes[ip_at..]).ok()?;
    let segment = bytes.get(ip_at + n..ip_at + usize::from(ip.total_len))?;
    let sum = pseudo_header(IpAddr::V4(ip.src), IpAddr::V4(ip.dst), 6, segment.len() as u32);
    if !ipv4::checksum_ok(&bytes[ip_at..]) || !sum.add(Sum::of(segment)).is_valid() {
        return None;
    }
    let (header, n) = TcpHeader::parse(segment).ok()?;
    let options = TcpOptions::parse(&segment[MIN_HEADER_LEN..n]).ok()?;
    Some((header, options.timestamps?.value))
}

fn smoltcps(bytes: &[u8]) -> Option<u32> {
    let checks = ChecksumCapabilities::default();
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let repr = Ipv4Repr::parse(&ip, &checks).ok()?;
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    let tcp = TcpRepr::parse(&tcp, &repr.src_addr.into(), &repr.dst_addr.into(), &checks).ok()?;
    Some(tcp.timestamp?.tsval)
}

fn main() {
    let mut c = config();
    let figures = Figures::default();
    let mut group = c.benchmark_group("parse");
    for payload in [0, 64, 1448] {
        let bytes = packet(payload);
        assert_eq!((ours(&bytes).map(|(_, value)| value), smoltcps(&bytes)), (Some(3), Some(3)));
        group.throughput(Throughput::Elements(1));
        let name = format!("bypath, {payload} bytes");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            figures.measure(b, &name, |units| {
                (0..units).for_each(|_| _ = black_box(ours(black_box(&bytes))));
            });
        });
        let name = format!("smoltcp, {payload} bytes");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            figures.measure(b, &name, |units| {
                (0..units).for_each(|_| _ = black_box(smoltcps(black_box(&bytes))));
            });
        });
    }
    group.finish();
    c.final_summary();
    for payload in [0, 64, 1448] {
        let (ours, peer) = (format!("bypath, {payload} bytes"), format!("smoltcp, {payload} bytes"));
        figures.print(&ours, &peer, |ns| format!("{ns:.1} ns"));
    }
}
