//! Packets built byte by byte, with right checksums, and captures of them.

use bypath_trace::layers::checksum;

pub(crate) const HERE: [u8; 4] = [198, 18, 0, 1];
pub(crate) const THERE: [u8; 4] = [198, 18, 0, 2];

/// An IPv6 address with this last byte.
pub(crate) fn v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xfd, 0]);
    address[15] = last;
    address
}

pub(crate) fn ethernet(ethertype: u16, inside: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(inside);
    frame
}

/// A tag, and what is behind it.
pub(crate) fn tag(tci: u16, ethertype: u16, inside: &[u8]) -> Vec<u8> {
    [&tci.to_be_bytes(), &ethertype.to_be_bytes(), inside].concat()
}

/// The fields of an IPv4 header that tests change.
#[derive(Clone, Copy)]
pub(crate) struct V4<'a> {
    pub(crate) from: [u8; 4],
    pub(crate) to: [u8; 4],
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) fragment: u16,
    pub(crate) ttl: u8,
    pub(crate) options: &'a [u8],
}

impl Default for V4<'_> {
    fn default() -> Self {
        V4 { from: HERE, to: THERE, tos: 0, id: 7, fragment: 0x4000, ttl: 64, options: &[] }
    }
}

impl V4<'_> {
    pub(crate) fn around(&self, protocol: u8, inside: &[u8]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut packet = vec![0x40 | (header_len / 4) as u8, self.tos];
        packet.extend(((header_len + inside.len()) as u16).to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(self.from);
        packet.extend(self.to);
        packet.extend(self.options);
        let sum = checksum::fold(checksum::of(&packet));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(inside);
        packet
    }

    /// A transport's bytes, whose checksum is at this place.
    pub(crate) fn carry(&self, protocol: u8, bytes: &[u8], checksum_at: usize) -> Vec<u8> {
        let pseudo = checksum::of(&self.from) + checksum::of(&self.to);
        let pseudo = if protocol == 1 { 0 } else { pseudo + u64::from(protocol) + bytes.len() as u64 };
        self.around(protocol, &summed(bytes, checksum_at, pseudo))
    }
}

fn summed(bytes: &[u8], checksum_at: usize, pseudo: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let sum = checksum::fold(pseudo + checksum::of(&bytes));
    bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An IPv6 packet: `next` announces the first of the extension headers, or what is carried.
pub(crate) fn ipv6(
    class_and_label: u32,
    next: u8,
    extensions: &[u8],
    protocol: u8,
    bytes: &[u8],
    checksum_at: usize,
) -> Vec<u8> {
    let (from, to) = (v6(1), v6(2));
    let pseudo = checksum::of(&from) + checksum::of(&to) + u64::from(protocol) + bytes.len() as u64;
    let mut packet = (0x6000_0000 | class_and_label).to_be_bytes().to_vec();
    packet.extend(((extensions.len() + bytes.len()) as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(extensions);
    packet.extend(summed(bytes, checksum_at, pseudo));
    packet
}

/// A TCP segment. Options are filled up to whole words by zeros.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl Default for Segment<'_> {
    fn default() -> Self {
        Segment {
            from: 40_000,
            to: 9,
            sequence: 1000,
            acknowledgment: 5000,
            flags: 0x10,
            window: 512,
            urgent: 0,
            options: &[],
            data: &[],
        }
    }
}

impl Segment<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        let mut segment = [self.from.to_be_bytes(), self.to.to_be_bytes()].concat();
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgment.to_be_bytes());
        segment.extend(((((20 + options.len()) / 4) as u16) << 12 | self.flags).to_be_bytes());
        segment.extend(self.window.to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(self.urgent.to_be_bytes());
        segment.extend(options);
        segment.extend(self.data);
        segment
    }

    pub(crate) fn over_v4(&self) -> Vec<u8> {
        V4::default().carry(6, &self.bytes(), 16)
    }

    pub(crate) fn over_v6(&self) -> Vec<u8> {
        ipv6(0, 6, &[], 6, &self.bytes(), 16)
    }
}

pub(crate) fn datagram(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len()) as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &len.to_be_bytes(), &[0, 0], data].concat()
}

pub(crate) fn udp_over_v4(from: u16, to: u16, data: &[u8]) -> Vec<u8> {
    V4::default().carry(17, &datagram(from, to, data), 6)
}

/// A pcap file: a packet a tenth of a second, from 2001-09-09 01:46:39.9 on.
pub(crate) fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let whole: Vec<(Vec<u8>, usize)> = packets.iter().map(|packet| (packet.clone(), packet.len())).collect();
    pcap_cut(link, &whole)
}

/// The same with packets of which the capture has but the beginning: what there is, and the length on the wire.
pub(crate) fn pcap_cut(link: u32, packets: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(262_144_u32.to_le_bytes());
    file.extend(link.to_le_bytes());
    for (at, (data, len)) in packets.iter().enumerate() {
        let tenths = 9_999_999_999 + at as u64;
        file.extend(((tenths / 10) as u32).to_le_bytes());
        file.extend(((tenths % 10) as u32 * 100_000).to_le_bytes());
        file.extend((data.len() as u32).to_le_bytes());
        file.extend((*len as u32).to_le_bytes());
        file.extend(data);
    }
    file
}
