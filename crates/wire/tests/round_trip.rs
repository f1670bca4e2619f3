//! For every format: what is written reads back the same, a buffer that is too short is left alone, and no
//! bytes whatever make a parser panic.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use bypath_wire::arp::{ArpOperation, ArpPacket};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};
use bypath_wire::icmpv4::{self, Icmpv4};
use bypath_wire::icmpv6::{self, Icmpv6};
use bypath_wire::ip;
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::{Ipv6Header, upper_layer};
use bypath_wire::ndp::{Ndp, NdpOptions, PrefixInfo};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};
use bypath_wire::udp::UdpHeader;
use proptest::option;
use proptest::prelude::*;

/// Writes with `emit` into a buffer that is longer than needed, shorter, and exact; returns the exact bytes.
fn written(emit: impl Fn(&mut [u8]) -> usize) -> Vec<u8> {
    let mut roomy = vec![0xee; 4096];
    let len = emit(&mut roomy);
    assert!(roomy[len..].iter().all(|&byte| byte == 0xee), "writes beyond its length");
    for short in [len.saturating_sub(1), len / 2, 0] {
        let mut cramped = vec![0xee; short];
        assert!(short == len || emit(&mut cramped) == 0, "claims to fit in {short} of {len}");
        assert!(cramped.iter().all(|&byte| byte == 0xee), "half-written in {short} of {len}");
    }
    let mut exact = vec![0; len];
    assert_eq!(emit(&mut exact), len);
    assert_eq!(exact, roomy[..len]);
    exact
}

/// Whatever could be read from arbitrary bytes survives being written and read again.
fn settles<T: Debug + PartialEq>(
    read: &T,
    emit: impl Fn(&T, &mut [u8]) -> usize,
    parse: impl Fn(&[u8]) -> T,
) {
    let mut bytes = vec![0; 70_000];
    let len = emit(read, &mut bytes);
    assert!(len > 0);
    assert_eq!(&parse(&bytes), read);
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn ethernet() -> impl Strategy<Value = EthernetHeader> {
    let kind = prop_oneof![Just(EtherType::VLAN), Just(EtherType::SERVICE_VLAN)];
    let tag = (kind, 0u8..8, any::<bool>(), 0u16..4096)
        .prop_map(|(kind, priority, drop_eligible, id)| VlanTag { kind, priority, drop_eligible, id });
    let ethertype = any::<u16>().prop_map(EtherType).prop_filter("a tag", |kind| !kind.is_vlan());
    (mac(), mac(), ethertype, prop::collection::vec(tag, 0..=2)).prop_map(|(dst, src, ethertype, tags)| {
        EthernetHeader { dst, src, ethertype, vlan: tags.into_iter().collect() }
    })
}

fn ipv4_header() -> impl Strategy<Value = Ipv4Header> {
    let options = (0usize..=10).prop_flat_map(|words| prop::collection::vec(any::<u8>(), words * 4));
    let fragment = (any::<bool>(), any::<bool>(), (0u16..8192).prop_map(|units| units * 8));
    let rest = (any::<u8>(), any::<u16>(), any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), 0u16..200);
    (options, fragment, rest).prop_map(
        |(options, fragment, (dscp_ecn, id, ttl, protocol, src, dst, payload))| Ipv4Header {
            dscp_ecn,
            total_len: 20 + options.len() as u16 + payload,
            id,
            dont_fragment: fragment.0,
            more_fragments: fragment.1,
            fragment_offset: fragment.2,
            ttl,
            protocol,
            checksum: 0,
            src: Ipv4Addr::from_bits(src),
            dst: Ipv4Addr::from_bits(dst),
            options: options.into_iter().collect(),
        },
    )
}

fn tcp_header() -> impl Strategy<Value = TcpHeader> {
    let numbers = (any::<u32>(), any::<u32>());
    let words = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>());
    (numbers, words).prop_map(|((seq, ack), (src_port, dst_port, flags, window, checksum, urgent))| {
        TcpHeader {
            src_port,
            dst_port,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags: TcpFlags::from_bits_truncate(flags),
            window,
            checksum,
            urgent,
        }
    })
}

/// Any options, more than fit included.
fn tcp_options() -> impl Strategy<Value = TcpOptions> {
    let timestamps = (any::<u32>(), any::<u32>()).prop_map(|(value, echo)| Timestamps { value, echo });
    let block = (any::<u32>(), any::<u32>())
        .prop_map(|(left, right)| SackBlock { left: SeqNum(left), right: SeqNum(right) });
    let cookie = prop::collection::vec(any::<u8>(), 0..=16);
    (
        option::of(any::<u16>()),
        option::of(any::<u8>()),
        any::<bool>(),
        option::of(timestamps),
        prop::collection::vec(block, 0..=4),
        option::of(cookie),
    )
        .prop_map(|(mss, window_scale, sack_permitted, timestamps, sack, fast_open)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            timestamps,
            sack: sack.into_iter().collect(),
            fast_open: fast_open.map(|cookie| cookie.into_iter().collect()),
        })
}

fn icmpv4_message(data: &[u8]) -> impl Strategy<Value = Icmpv4<'_>> {
    (any::<u8>(), any::<u16>(), any::<u16>(), 0u8..6).prop_map(move |(code, a, b, which)| match which {
        0 => Icmpv4::EchoRequest { id: a, sequence: b, data },
        1 => Icmpv4::EchoReply { id: a, sequence: b, data },
        2 => Icmpv4::DestinationUnreachable { code, next_hop_mtu: a, original: data },
        3 => Icmpv4::TimeExceeded { code, original: data },
        4 => Icmpv4::ParameterProblem { code, pointer: a as u8, original: data },
        _ => Icmpv4::Other { kind: 13, code, rest: u32::from(a).to_be_bytes(), data },
    })
}

fn icmpv6_message(data: &[u8]) -> impl Strategy<Value = Icmpv6<'_>> {
    let ndp = ndp_message().prop_map(Icmpv6::Ndp);
    let other = (any::<u8>(), any::<u32>(), 0u8..7).prop_map(move |(code, word, which)| {
        let (id, sequence) = ((word >> 16) as u16, word as u16);
        match which {
            0 => Icmpv6::DestinationUnreachable { code, original: data },
            1 => Icmpv6::PacketTooBig { mtu: word, original: data },
            2 => Icmpv6::TimeExceeded { code, original: data },
            3 => Icmpv6::ParameterProblem { code, pointer: word, original: data },
            4 => Icmpv6::EchoRequest { id, sequence, data },
            5 => Icmpv6::EchoReply { id, sequence, data },
            _ => Icmpv6::Other { kind: 143, code, rest: word.to_be_bytes(), data },
        }
    });
    prop_oneof![ndp, other]
}

fn ndp_options() -> impl Strategy<Value = NdpOptions> {
    let prefix = (any::<u128>(), 0u8..=128, any::<[bool; 2]>(), any::<[u32; 2]>()).prop_map(
        |(prefix, len, [on_link, autonomous], [valid_lifetime, preferred_lifetime])| PrefixInfo {
            prefix: Ipv6Addr::from_bits(prefix),
            len,
            on_link,
            autonomous,
            valid_lifetime,
            preferred_lifetime,
        },
    );
    (option::of(mac()), option::of(mac()), option::of(any::<u32>()), prop::collection::vec(prefix, 0..=4))
        .prop_map(|(source_link, target_link, mtu, prefixes)| NdpOptions {
            source_link,
            target_link,
            mtu,
            prefixes: prefixes.into_iter().collect(),
        })
}

fn ndp_message() -> impl Strategy<Value = Ndp> {
    let target = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits >> 1));
    (target, ndp_options(), any::<[bool; 3]>(), any::<[u32; 2]>(), any::<u16>(), any::<u8>(), 0u8..4)
        .prop_map(
            |(
                target,
                options,
                [a, b, c],
                [reachable_time, retrans_timer],
                router_lifetime,
                hop_limit,
                which,
            )| {
                match which {
                    0 => Ndp::NeighborSolicitation { target, options },
                    1 => {
                        Ndp::NeighborAdvertisement { router: a, solicited: b, overrides: c, target, options }
                    }
                    2 => Ndp::RouterSolicitation { options },
                    _ => Ndp::RouterAdvertisement {
                        hop_limit,
                        managed: a,
                        other_config: b,
                        router_lifetime,
                        reachable_time,
                        retrans_timer,
                        options,
                    },
                }
            },
        )
}

proptest! {
    #[test]
    fn ethernet_headers_read_back(header in ethernet(), payload in bytes(50)) {
        let mut frame = written(|out| header.emit(out));
        let len = frame.len();
        frame.extend(payload);
        prop_assert_eq!(EthernetHeader::parse(&frame), Ok((header, len)));
    }

    #[test]
    fn arp_packets_read_back(operation: u16, macs: [[u8; 6]; 2], ips: [u32; 2]) {
        let packet = ArpPacket {
            operation: ArpOperation(operation),
            sender_mac: MacAddr(macs[0]),
            sender_ip: Ipv4Addr::from_bits(ips[0]),
            target_mac: MacAddr(macs[1]),
            target_ip: Ipv4Addr::from_bits(ips[1]),
        };
        prop_assert_eq!(ArpPacket::parse(&written(|out| packet.emit(out))), Ok(packet));
    }

    #[test]
    fn ipv4_headers_read_back_with_a_valid_checksum(header in ipv4_header()) {
        let mut packet = written(|out| header.emit(out));
        let len = packet.len();
        prop_assert!(ipv4::checksum_ok(&packet));
        packet.resize(header.total_len.into(), 0);
        let (parsed, parsed_len) = Ipv4Header::parse(&packet).unwrap();
        prop_assert_eq!((Ipv4Header { checksum: 0, ..parsed }, parsed_len), (header, len));
        packet.pop();
        prop_assert!(Ipv4Header::parse(&packet).is_err());
    }

    #[test]
    fn ipv6_headers_read_back(class: u8, label in 0u32..1 << 20, next: u8, hops: u8, src: u128, dst: u128) {
        let header = Ipv6Header {
            traffic_class: class,
            flow_label: label,
            payload_len: 0,
            next_header: next,
            hop_limit: hops,
            src: Ipv6Addr::from_bits(src),
            dst: Ipv6Addr::from_bits(dst),
        };
        prop_assert_eq!(Ipv6Header::parse(&written(|out| header.emit(out))), Ok((header, 40)));
    }

    #[test]
    fn udp_headers_read_back(src_port: u16, dst_port: u16, checksum: u16, payload in bytes(100)) {
        let header = UdpHeader { src_port, dst_port, len: 8 + payload.len() as u16, checksum };
        let mut datagram = written(|out| header.emit(out));
        datagram.extend(payload);
        prop_assert_eq!(UdpHeader::parse(&datagram), Ok((header, 8)));
    }

    #[test]
    fn tcp_headers_and_options_read_back_as_far_as_they_fit(header in tcp_header(), options in tcp_options()) {
        let segment = written(|out| header.emit(&options, out));
        let (parsed, data_offset) = TcpHeader::parse(&segment).unwrap();
        prop_assert_eq!((parsed, data_offset), (header, segment.len()));
        prop_assert_eq!(data_offset, 20 + options.encoded_len());

        let read = TcpOptions::parse(&segment[20..]).unwrap();
        prop_assert!(options.sack.starts_with(&read.sack));
        let kept = TcpOptions { sack: read.sack.clone(), fast_open: read.fast_open.clone(), ..options.clone() };
        prop_assert_eq!(&read, &kept);
        let dropped = read != options;
        prop_assert!(!dropped || segment.len() + 8 > 60 || options.fast_open.is_some(), "{:?}", options);
        prop_assert!(read.fast_open.is_none() || read.fast_open == options.fast_open);

        let mut alone = vec![0; read.encoded_len()];
        prop_assert_eq!(read.emit(&mut alone), segment.len() - 20);
        prop_assert_eq!(&alone, &segment[20..]);
    }

    #[test]
    fn icmpv4_messages_read_back_with_a_valid_checksum(
        (data, message) in bytes(200).prop_flat_map(|data| {
            let data: &'static [u8] = data.leak();
            (Just(data), icmpv4_message(data))
        }),
    ) {
        let packet = written(|out| message.emit(out));
        prop_assert!(icmpv4::checksum_ok(&packet));
        prop_assert_eq!(packet.len(), 8 + data.len());
        prop_assert_eq!(Icmpv4::parse(&packet), Ok(message));
    }

    #[test]
    fn icmpv6_messages_read_back_with_a_valid_checksum(
        message in bytes(200).prop_flat_map(|data| icmpv6_message(data.leak())),
        src: u128,
        dst: u128,
    ) {
        let (src, dst) = (Ipv6Addr::from_bits(src), Ipv6Addr::from_bits(dst));
        let packet = written(|out| message.emit(src, dst, out));
        prop_assert_eq!(packet.len(), message.encoded_len());
        prop_assert!(icmpv6::checksum_ok(src, dst, &packet));
        prop_assert_eq!(Icmpv6::parse(&packet), Ok(message));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(mut packet in bytes(300), lead in 0u8..16, first: u8) {
        let zero = Ipv6Addr::UNSPECIFIED;
        for steered in [false, true] {
            // Of bytes left to chance few pass the first check; some are led past it.
            if steered && let Some(byte) = packet.first_mut() {
                *byte = [0x45, 0x4f, 0x60, 0x46, 8, 0, 3, 11, 12, 133, 134, 135, 136, 128, 2, 4][usize::from(lead)];
            }
            if steered && let Some(word) = packet.get_mut(2..4) {
                word.copy_from_slice(&[0, 64]);
            }
            let _ = (ip::version(&packet), ipv4::checksum_ok(&packet), icmpv4::checksum_ok(&packet));
            let _ = (icmpv6::checksum_ok(zero, zero, &packet), upper_layer(first, &packet));
            if let Ok((header, _)) = EthernetHeader::parse(&packet) {
                settles(&header, EthernetHeader::emit, |b| EthernetHeader::parse(b).unwrap().0);
            }
            if let Ok(arp) = ArpPacket::parse(&packet) {
                settles(&arp, ArpPacket::emit, |b| ArpPacket::parse(b).unwrap());
            }
            if let Ok((mut header, len)) = Ipv4Header::parse(&packet) {
                prop_assert!(packet.get(len..header.total_len.into()).is_some());
                let mut fresh = vec![0; header.encoded_len()];
                header.emit(&mut fresh);
                header.checksum = u16::from_be_bytes([fresh[10], fresh[11]]);
                settles(&header, Ipv4Header::emit, |b| Ipv4Header::parse(b).unwrap().0);
            }
            if let Ok((header, len)) = Ipv6Header::parse(&packet) {
                prop_assert!(packet.get(len..len + usize::from(header.payload_len)).is_some());
                settles(&header, Ipv6Header::emit, |b| Ipv6Header::parse(b).unwrap().0);
            }
            if let Ok((header, len)) = UdpHeader::parse(&packet) {
                prop_assert!(packet.get(len..header.len.into()).is_some());
                settles(&header, UdpHeader::emit, |b| UdpHeader::parse(b).unwrap().0);
            }
            if let Ok((header, len)) = TcpHeader::parse(&packet) {
                let raw = packet.get(20..len).unwrap();
                let mut again = [0; 60];
                prop_assert_eq!(header.emit_raw(raw, &mut again), len);
                prop_assert_eq!(TcpHeader::parse(&again[..len]), Ok((header, len)));
                prop_assert_eq!(&again[20..len], raw);
            }
            if let Ok(options) = TcpOptions::parse(&packet) {
                let mut encoded = [0; 40];
                let len = options.emit(&mut encoded);
                prop_assert!(TcpOptions::parse(&encoded[..len]).is_ok());
            }
            if let Ok(message) = Icmpv4::parse(&packet) {
                let again = written(|out| message.emit(out));
                prop_assert_eq!(Icmpv4::parse(&again), Ok(message));
            }
            if let Ok(message) = Icmpv6::parse(&packet) {
                let again = written(|out| message.emit(zero, zero, out));
                prop_assert_eq!(Icmpv6::parse(&again), Ok(message));
            }
            let _ = Ndp::parse(&packet);
        }
    }

    #[test]
    fn chains_of_extension_headers_end_inside_the_packet_or_fail(
        kinds in prop::collection::vec(prop::sample::select(vec![0u8, 6, 17, 43, 44, 50, 51, 58, 59, 60, 135]), 1..20),
        noise in bytes(200),
    ) {
        let mut packet: Vec<u8> = kinds.iter().skip(1).flat_map(|&kind| [kind, 0, 0, 1, 0, 0, 0, 7]).collect();
        packet.extend(noise);
        if let Ok(upper) = upper_layer(kinds[0], &packet) {
            prop_assert!(upper.offset <= packet.len());
        }
    }

    #[test]
    fn options_left_to_chance_never_panic(options in bytes(41), kind in prop::sample::select(vec![2u8, 3, 4, 5, 8, 34])) {
        let _ = TcpOptions::parse(&options);
        let mut led = options.clone();
        if let Some(first) = led.first_mut() {
            *first = kind;
        }
        let _ = TcpOptions::parse(&led);
    }
}

#[test]
fn an_empty_fast_open_cookie_is_a_request() {
    let options = TcpOptions { fast_open: Some(ArrayVec::new()), ..TcpOptions::default() };
    let mut bytes = [0; 4];
    assert_eq!(options.emit(&mut bytes), 4);
    assert_eq!(bytes, [34, 2, 1, 1]);
    assert_eq!(TcpOptions::parse(&bytes), Ok(options));
}
