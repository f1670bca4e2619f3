//! Packets cut anywhere, and what is read of them.

use super::*;

/// Ethernet, two VLAN tags, IPv4, TCP with options, four bytes.
fn tagged_segment() -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 9, 8, 0];
    packet.extend([0x45, 0, 0, 56, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend([0x30, 0x39, 0, 80, 0, 0, 0, 5, 0, 0, 0, 9, 0x80, 0x18, 1, 0, 0, 0, 0, 0]);
    packet.extend([1, 3, 3, 7, 254, 6, 1, 2, 3, 4, 2, 0]);
    packet.extend(b"data");
    packet
}

#[test]
fn a_tagged_segment_is_taken_apart() {
    let bytes = tagged_segment();
    let packet = dissect(LinkType::ETHERNET, &bytes);
    assert_eq!(
        packet.vlans.iter().map(|vlan| (vlan.tpid, vlan.id())).collect::<Vec<_>>(),
        [(0x88a8, 7), (0x8100, 9)]
    );
    assert_eq!(packet.ports(), Some((12345, 80)));
    assert_eq!((packet.payload, packet.payload_len), (b"data".as_slice(), 4));
    assert_eq!(packet.offsets, Offsets { network: Some(22), transport: Some(42), payload: 74 });
    assert!(!packet.truncated);
    let options: Vec<TcpOption<'_>> = packet.tcp().unwrap().options().collect();
    assert_eq!(
        options,
        [
            TcpOption::Nop,
            TcpOption::WindowScale(7),
            TcpOption::Other { kind: 254, data: &[1, 2, 3, 4] },
            TcpOption::Malformed { kind: 2, len: Some(0), data: &[] },
        ]
    );
}

#[test]
fn whatever_is_cut_off_is_said_to_be_missing() {
    let bytes = tagged_segment();
    for len in 0..bytes.len() {
        let packet = dissect(LinkType::ETHERNET, &bytes[..len]);
        assert!(packet.truncated, "{len} bytes");
        assert_eq!(packet.ports().is_some(), len >= 46, "{len} bytes");
    }
}

#[test]
fn padding_is_no_payload() {
    let mut bytes = tagged_segment();
    bytes.extend([0; 20]);
    assert_eq!(dissect(LinkType::ETHERNET, &bytes).payload, b"data");
}

#[test]
fn ppp_headers_may_be_compressed() {
    let ip: Vec<u8> = tagged_segment()[22..].to_vec();
    for header in [&[0xff, 3, 0, 0x21][..], &[0xff, 3, 0x21], &[0, 0x21], &[0x21]] {
        let packet = [header, &ip].concat();
        let dissection = dissect(LinkType::PPP, &packet);
        let header_len = header.len();
        assert_eq!(dissection.link, Link::Ppp { direction: None, protocol: 0x21, header_len });
        assert_eq!(dissection.payload, b"data");
        let directed = [&[1][..], &packet].concat();
        let Link::Ppp { direction, .. } = dissect(LinkType::PPP_WITH_DIRECTION, &directed).link else {
            panic!()
        };
        assert_eq!(direction, Some(crate::Direction::Out));
    }
}
