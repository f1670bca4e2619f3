//! Known bytes and the edges of each format.

use std::net::Ipv6Addr;

use bypath_wire::WireError;
use bypath_wire::arp::{ArpOperation, ArpPacket};
use bypath_wire::ethernet::MacAddr;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::{Fragment, UpperLayer, upper_layer};
use bypath_wire::ndp::{Ndp, solicited_node};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpHeader, TcpOptions, Timestamps};
use bypath_wire::udp::{UdpHeader, stored_checksum};

fn encoded(options: &TcpOptions) -> Vec<u8> {
    let mut bytes = vec![0; options.encoded_len()];
    assert_eq!(options.emit(&mut bytes), bytes.len());
    bytes
}

fn syn() -> TcpOptions {
    TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 0x01020304, echo: 0 }),
        ..TcpOptions::default()
    }
}

fn blocks(count: u32) -> TcpOptions {
    let block = |n| SackBlock { left: SeqNum(n * 100), right: SeqNum(n * 100 + 50) };
    TcpOptions { sack: (1..=count).map(block).collect(), ..TcpOptions::default() }
}

#[test]
fn a_syn_carries_its_options_in_the_order_of_linux() {
    let expected = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
    assert_eq!(encoded(&syn()), expected);
}

#[test]
fn without_sack_permitted_timestamps_follow_two_nops() {
    let options = TcpOptions { sack_permitted: false, mss: None, window_scale: None, ..syn() };
    assert_eq!(encoded(&options), [1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0]);
}

#[test]
fn without_timestamps_sack_permitted_follows_two_nops() {
    assert_eq!(encoded(&TcpOptions { timestamps: None, ..syn() })[4..8], [1, 1, 4, 2]);
}

#[test]
fn a_selective_acknowledgment_follows_two_nops() {
    assert_eq!(encoded(&blocks(1)), [1, 1, 5, 10, 0, 0, 0, 100, 0, 0, 0, 150]);
}

#[test]
fn beside_timestamps_three_blocks_fit_and_the_last_is_left_out() {
    assert_eq!(blocks(4).encoded_len(), 36);
    let options = TcpOptions { timestamps: Some(Timestamps::default()), ..blocks(4) };
    assert_eq!(options.encoded_len(), 40);
    assert_eq!(TcpOptions::parse(&encoded(&options)).unwrap().sack, blocks(3).sack);
}

#[test]
fn unknown_options_are_skipped_and_nothing_is_read_after_the_end() {
    let bytes = [253, 4, 9, 9, 2, 4, 5, 0xb4, 0, 3, 3, 7];
    let expected = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    assert_eq!(TcpOptions::parse(&bytes), Ok(expected));
}

#[test]
fn an_option_of_wrong_length_is_refused() {
    for bytes in [
        &[2, 3, 5][..],
        &[3, 2],
        &[4, 3, 0],
        &[5, 2],
        &[5, 9, 0, 0, 0, 0, 0, 0, 0],
        &[8, 4, 0, 0],
        &[9, 0],
        &[9, 1],
    ] {
        assert_eq!(TcpOptions::parse(bytes), Err(WireError::BadLength), "{bytes:?}");
    }
    for bytes in [&[2][..], &[2, 4, 5], &[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0], &[253, 255]] {
        assert_eq!(TcpOptions::parse(bytes), Err(WireError::Truncated), "{bytes:?}");
    }
}

#[test]
fn a_data_offset_inside_the_fixed_header_or_beyond_the_segment_is_refused() {
    let mut segment = [0; 24];
    for (offset, expected) in
        [(4, Some(WireError::BadLength)), (5, None), (6, None), (7, Some(WireError::Truncated))]
    {
        segment[12] = offset << 4;
        assert_eq!(TcpHeader::parse(&segment).err(), expected, "data offset {offset}");
    }
}

#[test]
fn reserved_bits_of_tcp_are_ignored() {
    let mut segment = [0; 20];
    (segment[12], segment[13]) = (0x5e, 0x02);
    let (header, _) = TcpHeader::parse(&segment).unwrap();
    assert_eq!(header.flags, bypath_wire::tcp::TcpFlags::SYN);
}

#[test]
fn an_ipv4_header_says_what_is_wrong_with_it() {
    let mut packet = [0; 24];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 20]);
    assert_eq!(Ipv4Header::parse(&packet).map(|(_, len)| len), Ok(20));
    let mut parse_with = |first: u8, total: u8| {
        (packet[0], packet[3]) = (first, total);
        Ipv4Header::parse(&packet).err()
    };
    assert_eq!(parse_with(0x65, 20), Some(WireError::BadVersion));
    assert_eq!(parse_with(0x44, 20), Some(WireError::BadLength));
    assert_eq!(parse_with(0x46, 20), Some(WireError::BadLength));
    assert_eq!(parse_with(0x45, 25), Some(WireError::Truncated));
    assert_eq!(parse_with(0x46, 24), None);
    assert_eq!(Ipv4Header::parse(&packet[..19]).err(), Some(WireError::Truncated));
}

#[test]
fn extension_headers_are_walked_to_the_transport() {
    // Hop-by-hop of 8 bytes, routing of 16, destination options of 8, then TCP.
    let mut packet = vec![43, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 0, 0, 0, 0];
    packet.extend([0; 8]);
    packet.extend([6, 0, 0, 0, 0, 0, 0, 0, 0xaa]);
    assert_eq!(upper_layer(0, &packet), Ok(UpperLayer { protocol: 6, offset: 32, fragment: None }));
    assert_eq!(upper_layer(0, &packet[..31]), Err(WireError::Truncated));
    assert_eq!(upper_layer(6, &[]), Ok(UpperLayer { protocol: 6, offset: 0, fragment: None }));
}

#[test]
fn an_authentication_header_is_counted_in_words_of_four() {
    let packet = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(upper_layer(51, &packet).unwrap().offset, 24);
}

#[test]
fn a_first_fragment_shows_its_transport_and_a_later_one_ends_the_walk() {
    let first = [60, 0, 0, 1, 0, 0, 0, 7, 17, 0, 0, 0, 0, 0, 0, 0];
    let upper = upper_layer(44, &first).unwrap();
    assert_eq!((upper.protocol, upper.offset), (17, 16));
    assert_eq!(upper.fragment, Some(Fragment { offset: 0, more: true, id: 7 }));
    let later = [60, 0, 0x05, 0xa8, 0, 0, 0, 7, 17, 0, 0, 0, 0, 0, 0, 0];
    let upper = upper_layer(44, &later).unwrap();
    assert_eq!((upper.protocol, upper.offset), (60, 8));
    assert_eq!(upper.fragment, Some(Fragment { offset: 1448, more: false, id: 7 }));
}

#[test]
fn hop_by_hop_options_anywhere_but_first_are_refused() {
    assert_eq!(upper_layer(60, &[0; 32]), Err(WireError::BadValue));
}

#[test]
fn endless_extension_headers_are_given_up() {
    let packet: Vec<u8> = [60, 0, 0, 0, 0, 0, 0, 0].repeat(100);
    assert_eq!(upper_layer(60, &packet), Err(WireError::TooManyHeaders));
}

#[test]
fn an_arp_request_is_answered_to_whoever_asked() {
    let (asker, owner) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    let request = ArpPacket::request(asker, [198, 18, 0, 1].into(), [198, 18, 0, 2].into());
    let reply = request.reply_from(owner);
    assert_eq!(reply.operation, ArpOperation::REPLY);
    assert_eq!((reply.sender_mac, reply.sender_ip), (owner, [198, 18, 0, 2].into()));
    assert_eq!((reply.target_mac, reply.target_ip), (asker, [198, 18, 0, 1].into()));
}

#[test]
fn arp_for_anything_but_ipv4_over_ethernet_is_refused() {
    let mut bytes = [0; 28];
    ArpPacket::request(MacAddr::BROADCAST, [0; 4].into(), [0; 4].into()).emit(&mut bytes);
    for at in [1, 3, 4, 5] {
        let mut other = bytes;
        other[at] ^= 1;
        assert_eq!(ArpPacket::parse(&other), Err(WireError::BadValue), "byte {at}");
    }
}

#[test]
fn a_udp_length_below_its_header_or_beyond_the_packet_is_refused() {
    let mut datagram = [0; 12];
    for (len, expected) in
        [(7, Some(WireError::BadLength)), (8, None), (12, None), (13, Some(WireError::Truncated))]
    {
        datagram[5] = len;
        assert_eq!(UdpHeader::parse(&datagram).err(), expected, "length {len}");
    }
}

#[test]
fn a_udp_checksum_of_zero_is_stored_as_all_ones() {
    assert_eq!((stored_checksum(0), stored_checksum(1)), (0xffff, 1));
}

#[test]
fn solicitations_go_to_the_group_of_the_last_24_bits() {
    let address: Ipv6Addr = "2001:db8::ab:cd12:3456".parse().unwrap();
    assert_eq!(solicited_node(address), "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn neighbor_discovery_refuses_what_rfc_4861_says_to_discard() {
    let mut message = [0; 32];
    (message[0], message[24], message[25]) = (135, 1, 1);
    assert!(Ndp::parse(&message).is_ok());
    let mut with = |at: usize, value: u8| {
        let before = std::mem::replace(&mut message[at], value);
        let result = Ndp::parse(&message);
        message[at] = before;
        result.err()
    };
    assert_eq!(with(1, 1), Some(WireError::BadValue), "code");
    assert_eq!(with(8, 0xff), Some(WireError::BadValue), "multicast target");
    assert_eq!(with(25, 0), Some(WireError::BadLength), "option of length zero");
    assert_eq!(with(25, 2), Some(WireError::Truncated), "option beyond the message");
    assert_eq!(with(0, 137), Some(WireError::BadValue), "redirect");
}

/// Every choice of the four options that a SYN may carry, byte by byte as Linux has it.
#[test]
fn every_subset_of_the_options_of_a_syn_lies_where_linux_puts_it() {
    for choice in 0..16u8 {
        let [mss, sack, stamps, scale] = [1, 2, 4, 8].map(|bit| choice & bit != 0);
        let options = TcpOptions {
            mss: mss.then_some(1460),
            sack_permitted: sack,
            timestamps: stamps.then_some(Timestamps { value: 0x01020304, echo: 0x05060708 }),
            window_scale: scale.then_some(7),
            ..TcpOptions::default()
        };
        let mut expected: Vec<u8> = Vec::new();
        if mss {
            expected.extend([2, 4, 0x05, 0xb4]);
        }
        match (sack, stamps) {
            (true, true) => expected.extend([4, 2]),
            (true, false) => expected.extend([1, 1, 4, 2]),
            (false, true) => expected.extend([1, 1]),
            (false, false) => {}
        }
        if stamps {
            expected.extend([8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        if scale {
            expected.extend([1, 3, 3, 7]);
        }
        assert_eq!(encoded(&options), expected, "choice {choice:04b}");
        assert_eq!(TcpOptions::parse(&expected), Ok(options));
    }
}
