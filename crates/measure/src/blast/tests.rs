//! Frames over the wire in memory: what is made is right by the headers' own rules, and what a wire does to it is what
//! is counted.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bypath_wire::checksum::transport_ok;
use bypath_wire::ethernet::{EtherType, EthernetHeader};
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::tcp::TcpHeader;
use bypath_wire::udp::UdpHeader;
use bypath_xdp::memory::pair;
use bypath_xdp::{Device, Impairments, MemoryConfig, MemoryDevice, RxBatch};
use crossbeam::channel::unbounded;
use proptest::prelude::*;

use super::headers::{HeaderSpec, Transport};
use super::inspect::{Inspection, Seen, inspect};
use super::maker::{Content, FrameMaker};
use super::receive::{ReceiveGauge, ReceivePlan, ReceiveReport, Receiver, turn_round};
use super::sequence::SequenceCounts;
use super::signature::Kind;
use super::sizes::Sizes;
use super::template::Template;

fn spec() -> HeaderSpec {
    HeaderSpec {
        dst_mac: "02:00:00:00:00:02".parse().unwrap(),
        src_mac: "02:00:00:00:00:01".parse().unwrap(),
        vlan: Default::default(),
        src_ip: "198.18.0.1".parse().unwrap(),
        dst_ip: "198.18.0.2".parse().unwrap(),
        transport: Transport::Udp,
        src_port: "1024".parse().unwrap(),
        dst_port: "9".parse().unwrap(),
        dscp: 0,
        ttl: 64,
    }
}

fn wire(impairments: Impairments) -> (MemoryDevice, MemoryDevice) {
    let config = MemoryConfig { mtu: 9000, ..MemoryConfig::default() };
    pair(&config, impairments, Impairments::none()).unwrap()
}

fn content(spec: &HeaderSpec, sizes: &str) -> Arc<Content> {
    Content::generated(spec, &sizes.parse().unwrap(), true).unwrap()
}

/// The frames that `count` turns of the maker put on the wire.
fn frames(content: &Arc<Content>, count: usize) -> Vec<Vec<u8>> {
    let (mut near, mut far) = wire(Impairments::none());
    let mut maker = FrameMaker::new(content, 0, 1);
    let mut batch = RxBatch::with_capacity(64);
    let (mut frames, mut packet) = (Vec::new(), Vec::new());
    for turn in 0..count {
        assert!(maker.send(&mut near, 0, Kind::Data, turn as u64).is_some());
        near.flush();
        far.receive(&mut batch);
        for frame in batch.drain() {
            packet.extend_from_slice(far.area().bytes(&frame));
            if !frame.more() {
                frames.push(std::mem::take(&mut packet));
            }
            far.release(frame);
        }
        far.flush();
    }
    assert_eq!(frames.len(), count);
    frames
}

/// What the headers of a frame say, after everything in them was found right.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Told {
    macs: [String; 2],
    vlan: Vec<u16>,
    addresses: [IpAddr; 2],
    ports: [u16; 2],
    len: usize,
}

fn told(frame: &[u8]) -> Told {
    let (ethernet, link) = EthernetHeader::parse(frame).unwrap();
    let (src, dst, protocol, at, end): (IpAddr, IpAddr, _, _, _) = if ethernet.ethertype == EtherType::IPV4 {
        let (ip, len) = Ipv4Header::parse(&frame[link..]).unwrap();
        assert!(ipv4::checksum_ok(&frame[link..link + len]), "the IPv4 header's sum");
        (ip.src.into(), ip.dst.into(), ip.protocol, link + len, link + usize::from(ip.total_len))
    } else {
        let (ip, len) = Ipv6Header::parse(&frame[link..]).unwrap();
        let end = link + len + usize::from(ip.payload_len);
        (ip.src.into(), ip.dst.into(), ip.next_header, link + len, end)
    };
    assert_eq!(end, frame.len(), "no padding");
    let segment = &frame[at..end];
    assert!(transport_ok(src, dst, protocol, segment), "the transport's sum");
    let ports = if protocol == 17 {
        let (udp, _) = UdpHeader::parse(segment).unwrap();
        assert_eq!(usize::from(udp.len), segment.len());
        assert_ne!(udp.checksum, 0);
        [udp.src_port, udp.dst_port]
    } else {
        let (tcp, _) = TcpHeader::parse(segment).unwrap();
        [tcp.src_port, tcp.dst_port]
    };
    Told {
        macs: [ethernet.src.to_string(), ethernet.dst.to_string()],
        vlan: ethernet.vlan.iter().map(|tag| tag.id).collect(),
        addresses: [src, dst],
        ports,
        len: frame.len(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_frame_is_right_by_its_headers_and_intact_to_the_receiver(
        v6 in any::<bool>(),
        tcp in any::<bool>(),
        tags in 0usize..=2,
        size in 64u16..=9018,
        other in 64u16..=1518,
        counts in prop::array::uniform6(1u64..5),
    ) {
        let mut spec = spec();
        let [a, b, c, d, e, f] = counts.map(|count| count - 1);
        if v6 {
            spec.src_ip = format!("fd00::1-fd00::{:x}", 1 + a).parse().unwrap();
            spec.dst_ip = format!("fd00::ff-fd00::{:x}", 0xff + b).parse().unwrap();
        } else {
            spec.src_ip = format!("198.18.0.254-198.18.1.{a}").parse().unwrap();
            spec.dst_ip = format!("198.19.0.1-198.19.0.{}", 1 + b).parse().unwrap();
        }
        spec.src_port = format!("65000-{}", 65000 + c).parse().unwrap();
        spec.dst_port = format!("9-{}", 9 + d).parse().unwrap();
        spec.src_mac = format!("02:00:00:00:00:01-02:00:00:00:00:{:02x}", 1 + e).parse().unwrap();
        spec.dst_mac = format!("02:00:00:00:01:01-02:00:00:00:01:{:02x}", 1 + f).parse().unwrap();
        spec.transport = if tcp { Transport::Tcp } else { Transport::Udp };
        spec.vlan.extend([100, 200].into_iter().take(tags));
        let least = (spec.len() + 18 + 4) as u16;
        let sizes = format!("{},{}", size.max(least), other.max(least));
        for (turn, frame) in frames(&content(&spec, &sizes), 12).iter().enumerate() {
            let told = told(frame);
            let turn = turn as u64;
            prop_assert_eq!(&told.addresses, &[spec.src_ip.at(turn), spec.dst_ip.at(turn)]);
            prop_assert_eq!(told.ports, [spec.src_port.at(turn), spec.dst_port.at(turn)]);
            prop_assert_eq!(&told.macs, &[spec.src_mac.at(turn).to_string(), spec.dst_mac.at(turn).to_string()]);
            prop_assert_eq!(told.vlan.len(), tags);
            let Seen::Intact(signature) = inspect(frame) else { panic!("not intact") };
            prop_assert_eq!(signature.time_ns, turn);
        }
    }
}

#[test]
fn imix_frames_come_seven_four_one_in_every_twelve() {
    let lens: Vec<usize> = frames(&content(&spec(), "imix"), 36).iter().map(Vec::len).collect();
    for dozen in lens.chunks(12) {
        let count = |len: usize| dozen.iter().filter(|is| **is == len).count();
        assert_eq!([60, 590, 1514].map(count), [7, 4, 1]);
    }
}

#[test]
fn ranges_are_gone_through_together_and_their_flows_are_numbered_apart() {
    let mut spec = spec();
    spec.src_port = "1000-1002".parse().unwrap();
    spec.dst_ip = "198.18.0.2-198.18.0.3".parse().unwrap();
    let content = content(&spec, "64");
    assert_eq!((content.flows(), content.streams()), (6, 6));
    let frames = frames(&content, 12);
    let flows: HashSet<Told> = frames.iter().map(|frame| told(frame)).collect();
    assert_eq!(flows.len(), 6);
    for (turn, frame) in frames.iter().enumerate() {
        let Seen::Intact(signature) = inspect(frame) else { panic!("not intact") };
        assert_eq!((signature.stream as usize, signature.sequence as usize), (turn % 6, turn / 6));
    }
}

#[test]
fn every_single_flipped_bit_past_the_ethernet_header_is_noticed() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let frame = &frames(&content(&HeaderSpec { transport, ..spec() }, "100"), 1)[0];
        for bit in 14 * 8..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(inspect(&bad), Seen::Damaged, "bit {bit}");
        }
    }
}

#[test]
fn a_frame_in_pieces_is_seen_as_it_is_whole() {
    let frame = &frames(&content(&spec(), "9000"), 1)[0];
    for cut in [100, 1001, 4096] {
        let mut inspection = Inspection::begin(&frame[..cut]);
        for piece in frame[cut..].chunks(777) {
            inspection.more(piece);
        }
        let (seen, len) = inspection.end();
        assert!(matches!(seen, Seen::Intact(_)), "cut at {cut}");
        assert_eq!(len, frame.len());
    }
    assert_eq!(Inspection::begin(&frame[..1000]).end().0, Seen::Damaged, "the end is missing");
}

#[test]
fn a_frame_that_is_turned_round_goes_back_and_is_still_right() {
    for (src, dst) in [("198.18.0.1", "198.18.0.2"), ("fd00::1", "fd00::2")] {
        let mut spec = spec();
        (spec.src_ip, spec.dst_ip) = (src.parse().unwrap(), dst.parse().unwrap());
        spec.vlan.push(7);
        let mut frame = frames(&content(&spec, "128"), 1).remove(0);
        let there = told(&frame);
        turn_round(&mut frame);
        let back = told(&frame);
        assert_eq!(back.addresses, [there.addresses[1], there.addresses[0]]);
        assert_eq!(back.macs, [there.macs[1].clone(), there.macs[0].clone()]);
        assert_eq!(back.ports, [there.ports[1], there.ports[0]]);
    }
}

#[test]
fn captured_frames_are_signed_where_there_is_room_and_sent_as_they_are_where_not() {
    let long = frames(&content(&spec(), "200"), 1).remove(0);
    let signed = Template::captured(&long, true);
    assert!(signed.is_signed());
    let mut arp = vec![0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    let plain = Template::captured(&arp, true);
    assert!(!plain.is_signed() && plain.frame_len() == 60);
    let mut out = vec![0; 60];
    plain.write_head(&mut [], None, &mut out);
    plain.render_rest(0, &mut out);
    assert_eq!(out, arp);
}

#[test]
fn frames_that_cannot_hold_their_headers_are_refused_with_the_least_that_can() {
    let sizes = |text: &str| text.parse::<Sizes>().unwrap();
    assert!(Content::generated(&spec(), &sizes("64"), true).is_ok());
    let tcp = HeaderSpec { transport: Transport::Tcp, ..spec() };
    let error = Content::generated(&tcp, &sizes("64"), true).unwrap_err().to_string();
    assert!(error.contains("the least is 76"), "{error}");
    assert!(Content::generated(&tcp, &sizes("64"), false).is_ok());
    let mixed = HeaderSpec { src_ip: "fd00::1".parse().unwrap(), ..spec() };
    assert!(Content::generated(&mixed, &sizes("128"), true).is_err());
}

/// Sends `count` frames over a wire that does this to them. Returns what the receiver saw and what the wire did.
fn over(impairments: Impairments, count: usize) -> (ReceiveReport, bypath_xdp::WireStats) {
    let (mut near, mut far) = wire(impairments);
    let content = content(&spec(), "128");
    let mut maker = FrameMaker::new(&content, 0, 1);
    let plan = ReceivePlan {
        same_clock: false,
        may_sleep: false,
        reflect: false,
        grace: Duration::ZERO,
        until_end_marks: false,
    };
    let (gauge, (to_main, _from)) = (ReceiveGauge::default(), unbounded());
    let mut receiver = Receiver::new(&plan, &gauge, to_main);
    for turn in 0..count {
        assert!(maker.send(&mut near, 0, Kind::Data, 0).is_some());
        near.flush();
        near.advance(Duration::from_micros(turn as u64));
        receiver.poll(&mut far, None);
        far.flush();
    }
    near.advance(Duration::from_secs(3600));
    while receiver.poll(&mut far, None) > 0 {
        far.flush();
    }
    (receiver.finish(), near.wire_stats())
}

fn counts(report: &ReceiveReport) -> SequenceCounts {
    report.streams.iter().fold(SequenceCounts::default(), |sum, stream| sum.plus(stream.counts))
}

#[test]
fn what_the_wire_loses_repeats_and_damages_is_counted_exactly() {
    let count = 20_000;
    let (report, _) = over(Impairments::none(), count);
    assert_eq!(counts(&report), SequenceCounts { unique: count as u64, ..SequenceCounts::default() });

    let (report, wire) = over(Impairments { seed: 1, loss: 0.02, ..Impairments::none() }, count);
    assert!(wire.lost > 0);
    assert_eq!(count as u64 - counts(&report).unique, wire.lost);

    let (report, wire) = over(Impairments { seed: 2, duplicate: 0.02, ..Impairments::none() }, count);
    assert!(wire.duplicated > 0);
    assert_eq!(counts(&report).duplicates, wire.duplicated);
}
