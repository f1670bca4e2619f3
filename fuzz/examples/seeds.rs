//! Writes what the targets begin with to `fuzz/corpus`: packets of two real sessions (the vectors of
//! `crates/wire`), and packets and scripts made here. `cargo xtask fuzz --keep` then chooses from it what is
//! committed as `fuzz/seeds`.

use std::fs;
use std::path::{Path, PathBuf};

use bypath_wire::arp::ArpPacket;
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};
use serde_json::Value;

/// Seeds of one target, numbered.
struct Seeds {
    dir: PathBuf,
    next: u32,
}

impl Seeds {
    fn of(target: &str) -> Seeds {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&dir).unwrap();
        Seeds { dir, next: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.next += 1;
        fs::write(self.dir.join(format!("seed-{:03}", self.next)), bytes).unwrap();
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The IP packets of a session that were noted down byte by byte.
fn vectors(name: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/tests/vectors").join(name);
    let session: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let packets = session["packets"].as_array().unwrap();
    packets.iter().filter_map(|packet| Some(unhex(packet["raw_ip_hex"].as_str()?))).collect()
}

fn main() {
    let packets: Vec<Vec<u8>> =
        ["pop3-login.json", "ftp-download.json"].into_iter().flat_map(vectors).collect();
    wire(&packets);
    stories(&packets);
}

/// The sessions as packets of a capture, whole and in pieces that inputs have room for.
fn stories(packets: &[Vec<u8>]) {
    let mut story = Seeds::of("trace_story");
    for part in packets.chunks(18) {
        let mut bytes = vec![1];
        for packet in part.iter().filter(|packet| packet.len() < 600) {
            bytes.push(0x80);
            bytes.extend((packet.len() as u16).to_be_bytes());
            bytes.extend(packet);
            bytes.push(14);
        }
        story.add(&bytes);
    }
    // A handshake, a request, its answer, a byte that is lost and sent again, and the ends.
    story.add(&[
        1, 0x08, 2, 0, 0, 0, 0, 10, 0x0c, 0x12, 0, 0, 0, 0, 10, 0x00, 0x10, 0, 0, 0, 12, 0x00, 0x18, 0, 0,
        0x40, 12, 0x04, 0x18, 0, 0, 0x41, 12, 0x04, 0x10, 20, 0, 0x81, 12, 0x18, 0x10, 0, 128, 0, 5, 5, 12,
        0x04, 0x10, 140, 0, 0x81, 12, 0x04, 0x11, 0, 0, 0, 14, 0x00, 0x11, 0, 0, 0, 14, 0x04, 0x10, 0, 0, 0,
        14,
    ]);
}

fn wire(packets: &[Vec<u8>]) {
    let (mut link, mut ip) = (Seeds::of("wire_link"), Seeds::of("wire_ip"));
    let (mut transport, mut checksum) = (Seeds::of("wire_transport"), Seeds::of("wire_checksum"));
    for packet in packets {
        ip.add(packet);
        transport.add(&packet[usize::from(packet[0] & 15) * 4..]);
        checksum.add(packet);
    }
    let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
    let arp = ArpPacket::request(mac(1), [198, 18, 0, 1].into(), [198, 18, 0, 2].into());
    for tags in [&[][..], &[VlanTag::new(7)], &[VlanTag::new(7), VlanTag::new(4095)]] {
        let vlan = tags.iter().copied().collect();
        let header = EthernetHeader { dst: MacAddr::BROADCAST, src: mac(1), ethertype: EtherType::ARP, vlan };
        let mut frame = [0; 64];
        let n = header.emit(&mut frame);
        arp.emit(&mut frame[n..]);
        link.add(&frame);
    }
    link.add(mac(255).to_string().as_bytes());
    // Extension headers: hop-by-hop, destination options, fragment, authentication, then UDP.
    ip.add(&[
        0, 60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 51, 0, 0, 1, 0, 0, 0, 9, 17, 1, 0, 0, 0, 0, 0, 1,
    ]);
    let mut icmp = Seeds::of("wire_icmp");
    let quoted = packets.first().map(Vec::as_slice).unwrap_or_default();
    for head in [
        [8, 0, 0, 0, 0, 1, 0, 2],
        [3, 4, 0, 0, 0, 0, 5, 0],
        [11, 0, 0, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 0, 0, 5, 0],
    ] {
        icmp.add(&[&head, quoted].concat());
    }
    // A router's advertisement with link address, MTU and a prefix; a neighbour's.
    let mut router = vec![
        134, 0, 0, 0, 64, 0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5,
        220,
    ];
    router.extend([3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xfd]);
    router.extend([0; 15]);
    icmp.add(&router);
    let neighbour =
        [&[136, 0, 0, 0, 0xe0, 0, 0, 0, 0xfd][..], &[0; 14], &[1, 2, 1, 2, 0, 0, 0, 0, 1]].concat();
    icmp.add(&neighbour);
}
