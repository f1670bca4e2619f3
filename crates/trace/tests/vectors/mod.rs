//! Two sessions that were noted down field by field, made into packets again: an FTP download of 1999 with its DNS
//! look-ups, and a POP3 log-in over PPP with Van Jacobson compression.
//!
//! For tests: `mod vectors;` in a file of `tests/`. Headers, texts and TCP checksums are those of the wire. What was not
//! noted down is made up so that lengths and checksums are right: the names of the look-ups, and the bytes of the file.
//! So is when the download's packets were sent: 20 ms apart.
#![allow(dead_code, reason = "each test needs a part of it")]

mod dns;

use std::net::Ipv4Addr;

use bypath_trace::vj::{Compressor, Kind};
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use bypath_wire::checksum::{Sum, pseudo_header_v4, transport_ok};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use serde::Deserialize;

const FTP: &str = include_str!("../../../wire/tests/vectors/ftp-download.json");
const POP3: &str = include_str!("../../../wire/tests/vectors/pop3-login.json");

/// The host that downloads.
pub(crate) const FTP_CLIENT: Ipv4Addr = Ipv4Addr::new(141, 2, 28, 110);
/// The host that logs in.
pub(crate) const POP3_CLIENT: Ipv4Addr = Ipv4Addr::new(209, 179, 45, 140);

/// A packet as it was noted down.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Noted {
    pub(crate) n: u64,
    #[serde(default)]
    pub(crate) delta_seconds: f64,
    pub(crate) packet_length: Option<u32>,
    pub(crate) compressed_length: Option<u32>,
    pub(crate) ppp_protocol: Option<u16>,
    pub(crate) direction: Option<String>,
    #[serde(default = "tcp")]
    pub(crate) proto: String,
    pub(crate) tos: u8,
    pub(crate) total_length: u16,
    pub(crate) id: u16,
    pub(crate) frag: u16,
    pub(crate) ttl: u8,
    pub(crate) ip_checksum: u16,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    #[serde(default)]
    pub(crate) seq: u32,
    #[serde(default)]
    pub(crate) ack: u32,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    #[serde(default)]
    pub(crate) window: u16,
    #[serde(default)]
    pub(crate) tcp_checksum: u16,
    #[serde(default)]
    pub(crate) urg: u16,
    #[serde(default)]
    pub(crate) tcp_options: String,
    pub(crate) payload: Option<String>,
    pub(crate) payload_hex: Option<String>,
    pub(crate) raw_ip_hex: Option<String>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

#[derive(Deserialize)]
struct Capture {
    packets: Vec<Noted>,
}

/// A packet of a session, and what was noted down about it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) noted: Noted,
    pub(crate) time: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) interface: u32,
    pub(crate) direction: Option<Direction>,
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    /// The packet as a capture would hold it.
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            number: self.noted.n,
            time: self.time,
            link: self.link,
            interface: Some(self.interface),
            direction: self.direction,
            original_len: self.bytes.len() as u32,
            data: &self.bytes,
            ..Record::default()
        }
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The 80 packets of the download, raw IPv4. A capture by the client: `direction` tells who sent.
pub(crate) fn ftp_download() -> Vec<Packet> {
    let noted = serde_json::from_str::<Capture>(FTP).unwrap().packets;
    let start = 925_000_000_000_000_000;
    let packets = noted.into_iter().enumerate().map(|(at, noted)| {
        let outward = noted.src == FTP_CLIENT;
        Packet {
            bytes: rebuilt(&noted),
            time: Timestamp(start + at as i64 * 20_000_000),
            link: LinkType::RAW,
            interface: 0,
            direction: Some(if outward { Direction::Out } else { Direction::In }),
            noted,
        }
    });
    packets.collect()
}

/// The 18 packets of the log-in as raw IPv4: four on the loopback interface, fourteen over PPP, put back together.
pub(crate) fn pop3_login() -> Vec<Packet> {
    let noted = serde_json::from_str::<Capture>(POP3).unwrap().packets;
    let mut now = 1_048_532_420_000_000_000;
    let packets = noted.into_iter().map(|noted| {
        now += (noted.delta_seconds * 1000.0).round() as i64 * 1_000_000;
        Packet {
            bytes: unhex(noted.raw_ip_hex.as_deref().unwrap()),
            time: Timestamp(now),
            link: LinkType::RAW,
            interface: u32::from(noted.ppp_protocol.is_some()),
            direction: noted
                .ppp_protocol
                .map(|_| if noted.src == POP3_CLIENT { Direction::Out } else { Direction::In }),
            noted,
        }
    });
    packets.collect()
}

/// The same as the PPP link carried them: packets 5 to 18 are PPP frames after a byte that tells the direction, those in the
/// middle of the connection compressed. The client compresses the protocol field of compressed packets, its peer does not.
pub(crate) fn pop3_over_ppp() -> Vec<Packet> {
    let mut compressors = [Compressor::new(16).naming_every_slot(), Compressor::new(16).naming_every_slot()];
    let mut packets = pop3_login();
    let mut frame = Vec::new();
    for packet in packets.iter_mut().filter(|packet| packet.noted.ppp_protocol.is_some()) {
        let sent = packet.direction == Some(Direction::Out);
        let kind = compressors[usize::from(sent)].compress(&packet.bytes, &mut frame);
        let protocol = match kind {
            Kind::Ip => 0x21,
            Kind::UncompressedTcp => 0x2f,
            Kind::CompressedTcp => 0x2d,
        };
        let mut bytes = vec![u8::from(sent)];
        if !sent || kind == Kind::Ip {
            bytes.push(0);
        }
        bytes.push(protocol);
        bytes.extend_from_slice(&frame);
        packet.bytes = bytes;
        packet.link = LinkType::PPP_WITH_DIRECTION;
    }
    packets
}

/// The bytes of a packet of the download.
fn rebuilt(noted: &Noted) -> Vec<u8> {
    let header = Ipv4Header {
        dscp_ecn: noted.tos,
        total_len: noted.total_length,
        id: noted.id,
        dont_fragment: noted.frag & 0x4000 != 0,
        more_fragments: noted.frag & 0x2000 != 0,
        fragment_offset: (noted.frag & 0x1fff) * 8,
        ttl: noted.ttl,
        protocol: if noted.proto == "TCP" { protocol::TCP } else { protocol::UDP },
        checksum: 0,
        src: noted.src,
        dst: noted.dst,
        ..Ipv4Header::default()
    };
    let mut bytes = vec![0; noted.total_length.into()];
    assert_eq!(header.emit(&mut bytes), 20);
    let body = if noted.proto == "TCP" { segment(noted) } else { dns::datagram(noted) };
    bytes[20..].copy_from_slice(&body);
    bytes
}

fn segment(noted: &Noted) -> Vec<u8> {
    let options = unhex(&noted.tcp_options);
    let mut bytes = Vec::new();
    bytes.extend(noted.sport.to_be_bytes());
    bytes.extend(noted.dport.to_be_bytes());
    bytes.extend(noted.seq.to_be_bytes());
    bytes.extend(noted.ack.to_be_bytes());
    let flags = noted.flags.iter().map(|flag| match flag.as_str() {
        "FIN" => 1,
        "SYN" => 2,
        "RST" => 4,
        "PSH" => 8,
        "ACK" => 16,
        "URG" => 32,
        other => panic!("{other}?"),
    });
    bytes.extend([((20 + options.len()) * 4) as u8, flags.sum()]);
    bytes.extend(noted.window.to_be_bytes());
    bytes.extend(noted.tcp_checksum.to_be_bytes());
    bytes.extend(noted.urg.to_be_bytes());
    bytes.extend(options);
    match &noted.payload {
        Some(text) => bytes.extend(text.bytes()),
        None => {
            // A word in the file makes its segment's checksum what it was.
            let len = usize::from(noted.total_length) - 20 - bytes.len();
            let place = bytes.len() + 2;
            bytes.extend((0..len).map(|at| (noted.seq as usize + at * 7) as u8));
            bytes[place..place + 2].fill(0);
            let pseudo = pseudo_header_v4(noted.src, noted.dst, protocol::TCP, bytes.len() as u32);
            let word = pseudo.add(Sum::of(&bytes)).finish();
            bytes[place..place + 2].copy_from_slice(&word.to_be_bytes());
        }
    }
    assert!(
        transport_ok(noted.src.into(), noted.dst.into(), protocol::TCP, &bytes),
        "packet {} has another checksum than it had",
        noted.n
    );
    bytes
}

/// The packets as a capture file, pcapng, with an interface for each of theirs.
pub(crate) fn capture_of(packets: &[Packet]) -> Vec<u8> {
    use bypath_trace::write::{self, Interface, PcapngWriter, Section};
    let mut writer = PcapngWriter::new(Vec::new(), &Section::default()).unwrap();
    let last = packets.iter().map(|packet| packet.interface).max().unwrap_or(0);
    for number in 0..=last {
        let link = packets.iter().find(|packet| packet.interface == number).map(|packet| packet.link);
        writer.interface(&Interface { link: link.unwrap_or(LinkType::RAW), ..Interface::default() }).unwrap();
    }
    for packet in packets {
        let written = write::Packet {
            interface: packet.interface,
            time: packet.time,
            original_len: packet.bytes.len() as u32,
            data: &packet.bytes,
            direction: packet.direction,
            queue: None,
            dropped_before: 0,
            verdict: None,
            comments: &[],
        };
        writer.packet(&written).unwrap();
    }
    writer.into_inner()
}
