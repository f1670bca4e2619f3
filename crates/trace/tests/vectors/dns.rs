//! The look-ups before the download: three names that do not exist, by a search list, and one that does. Only lengths and
//! ports were noted down; the names here have those lengths.

use bypath_wire::checksum::{Sum, pseudo_header_v4};
use bypath_wire::ip::protocol;

use super::Noted;

/// The host that was looked for.
const HOST: &str = "diamant.rz.campuses.example";
/// What the resolver tried behind it, in this order, and then nothing.
const SEARCH: [&str; 4] = [".dialin.campuses.example", ".rz.campuses.example", ".campuses.example", ""];
/// The name servers of the host's zone.
const SERVERS: &[u8] = b"abcdefgh";

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;

/// The UDP datagram of a look-up or its answer.
pub(super) fn datagram(noted: &Noted) -> Vec<u8> {
    let look_up = (noted.n as usize - 1) / 2;
    let is_answer = noted.sport == 53;
    let mut message = Vec::new();
    // The transaction, and flags: recursion desired; in an answer also available, and that there is no such name.
    let exists = SEARCH[look_up].is_empty();
    let flags: u16 = match (is_answer, exists) {
        (false, _) => 0x0100,
        (true, false) => 0x8583,
        (true, true) => 0x8580,
    };
    let counts = match (is_answer, exists) {
        (false, _) => [1, 0, 0, 0],
        (true, false) => [1, 0, 1, 0],
        (true, true) => [1, 1, SERVERS.len() as u16, SERVERS.len() as u16],
    };
    for word in [look_up as u16 + 1, flags].into_iter().chain(counts) {
        message.extend(word.to_be_bytes());
    }
    name(&mut message, &format!("{HOST}{}", SEARCH[look_up]));
    message.extend([0, A as u8, 0, 1]);
    if is_answer && exists {
        record(&mut message, 12, A, &[141, 2, 150, 16]);
        // The zone's name is the last two labels of the host's.
        let zone = 12 + (HOST.len() - "campuses.example".len()) as u16;
        let mut servers = Vec::new();
        for &server in SERVERS {
            servers.push(message.len() as u16 + 12);
            let [high, low] = (0xc000 | zone).to_be_bytes();
            record(&mut message, zone, NS, &[1, server, high, low]);
        }
        for (server, last) in servers.into_iter().zip(10..) {
            record(&mut message, server, A, &[141, 2, 1, last]);
        }
    } else if is_answer {
        let mut soa = Vec::new();
        name(&mut soa, "dns1.campuses.example");
        name(&mut soa, "hostmaster.sun.example");
        for word in [1_999_042_401_u32, 28_800, 7200, 604_800, 86_400] {
            soa.extend(word.to_be_bytes());
        }
        // The last two labels again.
        let zone = 12 + (HOST.len() + SEARCH[look_up].len() - "campuses.example".len()) as u16;
        record(&mut message, zone, SOA, &soa);
    }

    let mut bytes = Vec::new();
    bytes.extend(noted.sport.to_be_bytes());
    bytes.extend(noted.dport.to_be_bytes());
    bytes.extend((8 + message.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(message);
    assert_eq!(bytes.len() + 20, usize::from(noted.total_length), "packet {} has another length", noted.n);
    let pseudo = pseudo_header_v4(noted.src, noted.dst, protocol::UDP, bytes.len() as u32);
    let checksum = pseudo.add(Sum::of(&bytes)).finish();
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
}

/// A resource record whose name is a pointer, good for a day.
fn record(message: &mut Vec<u8>, name: u16, kind: u16, data: &[u8]) {
    message.extend((0xc000 | name).to_be_bytes());
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message.extend(86_400_u32.to_be_bytes());
    message.extend((data.len() as u16).to_be_bytes());
    message.extend(data);
}
