//! Packets of two real sessions, rebuilt from the fields that were noted down, carry the very checksums that
//! were on the wire: an FTP download of 1999 and a POP3 login over PPP.

use std::net::Ipv4Addr;

use bypath_wire::checksum::{Sum, copy_and_sum, pseudo_header_v4, transport_ok};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{CHECKSUM_OFFSET, TcpFlags, TcpHeader, TcpOptions};
use serde::Deserialize;

const FTP: &str = include_str!("vectors/ftp-download.json");
const POP3: &str = include_str!("vectors/pop3-login.json");

#[derive(Deserialize)]
struct Capture {
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Packet {
    n: u32,
    #[serde(default = "tcp")]
    proto: String,
    tos: u8,
    total_length: u16,
    id: u16,
    frag: u16,
    ttl: u8,
    ip_checksum: u16,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    sport: u16,
    dport: u16,
    #[serde(default)]
    seq: u32,
    #[serde(default)]
    ack: u32,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    window: u16,
    #[serde(default)]
    tcp_checksum: u16,
    #[serde(default)]
    urg: u16,
    #[serde(default)]
    tcp_options: String,
    payload: Option<String>,
    payload_hex: Option<String>,
    raw_ip_hex: Option<String>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

impl Packet {
    fn ip_header(&self) -> Ipv4Header {
        Ipv4Header {
            dscp_ecn: self.tos,
            total_len: self.total_length,
            id: self.id,
            dont_fragment: self.frag & 0x4000 != 0,
            more_fragments: self.frag & 0x2000 != 0,
            fragment_offset: (self.frag & 0x1fff) * 8,
            ttl: self.ttl,
            protocol: if self.proto == "TCP" { protocol::TCP } else { protocol::UDP },
            checksum: self.ip_checksum,
            src: self.src,
            dst: self.dst,
            ..Ipv4Header::default()
        }
    }

    fn tcp_header(&self) -> TcpHeader {
        let flag = |name: &String| TcpFlags::from_name(name).unwrap();
        TcpHeader {
            src_port: self.sport,
            dst_port: self.dport,
            seq: SeqNum(self.seq),
            ack: SeqNum(self.ack),
            flags: self.flags.iter().map(flag).collect(),
            window: self.window,
            checksum: 0,
            urgent: self.urg,
        }
    }

    /// The bytes after the TCP header, where they were noted down.
    fn payload(&self) -> Option<Vec<u8>> {
        let text = self.payload.as_ref().map(|text| text.as_bytes().to_vec());
        text.or_else(|| self.payload_hex.as_deref().map(unhex))
    }
}

fn packets(json: &str) -> Vec<Packet> {
    serde_json::from_str::<Capture>(json).unwrap().packets
}

#[test]
fn every_ip_header_is_written_with_the_checksum_it_had() {
    let all: Vec<Packet> = packets(FTP).into_iter().chain(packets(POP3)).collect();
    assert_eq!(all.len(), 80 + 18);
    for packet in &all {
        let mut bytes = vec![0; packet.total_length.into()];
        assert_eq!(packet.ip_header().emit(&mut bytes), 20);
        let (parsed, len) = Ipv4Header::parse(&bytes).unwrap();
        assert_eq!(parsed.checksum, packet.ip_checksum, "packet {}", packet.n);
        assert_eq!((parsed, len), (packet.ip_header(), 20));
        assert!(ipv4::checksum_ok(&bytes));
    }
}

#[test]
fn every_tcp_segment_is_written_with_the_checksum_it_had() {
    let mut checked = 0;
    for packet in packets(FTP).iter().chain(&packets(POP3)).filter(|packet| packet.proto == "TCP") {
        let Some(payload) = packet.payload() else { continue };
        let options = TcpOptions::parse(&unhex(&packet.tcp_options)).unwrap();
        let mut segment = vec![0; usize::from(packet.total_length) - 20];

        // The options go out in another order than some came in, but whole words of the sum trade places.
        let header_len = packet.tcp_header().emit(&options, &mut segment);
        assert_eq!(header_len + payload.len(), segment.len(), "packet {}", packet.n);
        let pseudo = pseudo_header_v4(packet.src, packet.dst, protocol::TCP, segment.len() as u32);
        let sum = copy_and_sum(&payload, &mut segment[header_len..]);
        let checksum = pseudo.add(Sum::of(&segment[..header_len])).add(sum).finish();
        assert_eq!(checksum, packet.tcp_checksum, "packet {}", packet.n);

        segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
        assert!(transport_ok(packet.src.into(), packet.dst.into(), protocol::TCP, &segment));
        let (parsed, data_offset) = TcpHeader::parse(&segment).unwrap();
        assert_eq!((parsed, data_offset), (TcpHeader { checksum, ..packet.tcp_header() }, header_len));
        assert_eq!(TcpOptions::parse(&segment[20..data_offset]), Ok(options));
        checked += 1;
    }
    assert_eq!(checked, 53 + 18);
}

#[test]
fn the_whole_packets_of_the_login_are_rebuilt_byte_for_byte() {
    for packet in packets(POP3) {
        let raw = unhex(packet.raw_ip_hex.as_deref().unwrap());
        let mut bytes = vec![0; raw.len()];
        let ip_len = packet.ip_header().emit(&mut bytes);
        let header = TcpHeader { checksum: packet.tcp_checksum, ..packet.tcp_header() };
        let tcp_len = header.emit_raw(&unhex(&packet.tcp_options), &mut bytes[ip_len..]);
        bytes[ip_len + tcp_len..].copy_from_slice(&packet.payload().unwrap());
        assert_eq!(bytes, raw, "packet {}", packet.n);
    }
}
