//! Captures in pcapng, with nanoseconds (draft-ietf-opsawg-pcapng): one interface for each host, and of each
//! packet whether it was sent or received there.

use crate::packet::Medium;

/// Packets of a run.
#[derive(Clone, Debug)]
pub struct Capture {
    bytes: Vec<u8>,
    packets: u64,
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reached its host.
    In = 1,
    /// Left its host.
    Out = 2,
}

impl Capture {
    /// An empty capture of `hosts` interfaces.
    pub fn new(medium: Medium, hosts: usize) -> Self {
        let mut capture = Self { bytes: Vec::new(), packets: 0 };
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4du32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend(u64::MAX.to_le_bytes());
        capture.block(SECTION_HEADER, &section);
        for host in 0..hosts {
            let link = if medium == Medium::Ethernet { LINKTYPE_ETHERNET } else { LINKTYPE_RAW };
            let mut interface = Vec::new();
            interface.extend(link.to_le_bytes());
            interface.extend([0, 0]);
            interface.extend(0u32.to_le_bytes());
            option(&mut interface, 2, format!("host{host}").as_bytes());
            // if_tsresol: 10 to the power of -9.
            option(&mut interface, 9, &[9]);
            option(&mut interface, 0, &[]);
            capture.block(INTERFACE, &interface);
        }
        capture
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let len = (body.len() as u32 + 12).to_le_bytes();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(len);
        self.bytes.extend(body);
        self.bytes.extend(len);
    }

    /// Adds a packet seen by `host` at `now` nanoseconds.
    pub fn add(&mut self, now: u64, host: usize, direction: Direction, packet: &[u8]) {
        let mut body = Vec::with_capacity(packet.len() + 40);
        body.extend((host as u32).to_le_bytes());
        body.extend(((now >> 32) as u32).to_le_bytes());
        body.extend((now as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        body.extend(packet);
        body.resize(body.len().next_multiple_of(4), 0);
        option(&mut body, 2, &(direction as u32).to_le_bytes());
        option(&mut body, 0, &[]);
        self.block(ENHANCED_PACKET, &body);
        self.packets += 1;
    }

    /// Packets so far.
    pub fn len(&self) -> u64 {
        self.packets
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}
