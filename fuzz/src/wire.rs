//! The parsers of `bypath-wire`: whatever reads settles, that is, what is written from it reads back the same;
//! lengths stay inside the packet; a buffer that is too short is left alone.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bypath_wire::arp::ArpPacket;
use bypath_wire::checksum::{self, Sum};
use bypath_wire::ethernet::{EthernetHeader, MacAddr};
use bypath_wire::icmpv4::{self, Icmpv4};
use bypath_wire::icmpv6::{self, Icmpv6};
use bypath_wire::ip;
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::{self, Ipv6Header};
use bypath_wire::ndp::Ndp;
use bypath_wire::tcp::{MAX_OPTIONS_LEN, TcpFlags, TcpHeader, TcpOptions};
use bypath_wire::udp::UdpHeader;

/// What is looked at of an input, bytes.
const LONGEST: usize = 2048;

const SRC: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const DST: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// What `emit` writes, which is nothing where it does not fit and nothing beyond its length where it does.
fn written(emit: impl Fn(&mut [u8]) -> usize) -> Vec<u8> {
    let mut roomy = vec![0xee; 2 * LONGEST];
    let len = emit(&mut roomy);
    assert!(roomy[len..].iter().all(|&byte| byte == 0xee), "writes beyond its length");
    roomy.truncate(len);
    if len > 0 {
        let mut cramped = vec![0xee; len - 1];
        assert_eq!(emit(&mut cramped), 0, "claims to fit");
        assert!(cramped.iter().all(|&byte| byte == 0xee), "half a header");
    }
    roomy
}

/// What was read survives being written and read again.
fn settles<T: Debug + PartialEq>(read: &T, bytes: &[u8], parse: impl Fn(&[u8]) -> T) {
    assert!(!bytes.is_empty());
    assert_eq!(&parse(bytes), read);
}

/// Ethernet headers, ARP packets, and link addresses as text.
pub fn link(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    if let Ok((header, len)) = EthernetHeader::parse(data) {
        let again = written(|out| header.emit(out));
        assert_eq!(len, again.len());
        // The header has no field that is not kept: it is written as it was read.
        assert_eq!(again, data[..len]);
        if let Some(Ok(arp)) = data.get(len..).map(ArpPacket::parse) {
            let again = written(|out| arp.emit(out));
            assert_eq!(again, data[len..len + again.len()]);
            let reply = arp.reply_from(MacAddr([2, 0, 0, 0, 0, 1]));
            assert_eq!((reply.target_mac, reply.target_ip), (arp.sender_mac, arp.sender_ip));
        }
    }
    if let Ok(arp) = ArpPacket::parse(data) {
        settles(&arp, &written(|out| arp.emit(out)), |b| ArpPacket::parse(b).unwrap());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(mac) = text.parse::<MacAddr>()
    {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
}

/// IPv4 and IPv6 headers, and the walk through extension headers.
pub fn ip(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    assert_eq!(ip::version(data).ok(), data.first().map(|byte| byte >> 4));
    if let Ok((header, len)) = Ipv4Header::parse(data) {
        assert!((ipv4::MIN_HEADER_LEN..=ipv4::MAX_HEADER_LEN).contains(&len));
        assert!(data.get(len..header.total_len.into()).is_some());
        let again = written(|out| header.emit(out));
        assert_eq!(again.len(), len);
        assert!(ipv4::checksum_ok(&again));
        let read = Ipv4Header { checksum: u16::from_be_bytes([again[10], again[11]]), ..header.clone() };
        let parse = |b: &[u8]| Ipv4Header::parse_head(b, header.total_len.into()).unwrap().0;
        settles(&read, &again, parse);
        // All but the reserved flag is kept, so a header that was right is written as it was read. Of the two
        // forms of zero only one is written.
        if ipv4::checksum_ok(data) && data[6] & 0x80 == 0 && header.checksum != 0xffff {
            assert_eq!(again, data[..len]);
        }
        // A cut packet says so; its head alone reads the same.
        let cut = usize::from(header.total_len) - 1;
        assert!(Ipv4Header::parse(&data[..cut]).is_err());
    }
    if let Ok((header, len)) = Ipv6Header::parse(data) {
        let payload = &data[len..len + usize::from(header.payload_len)];
        let again = written(|out| header.emit(out));
        assert_eq!(again, data[..len]);
        walk(header.next_header, payload);
    }
    if let [first, rest @ ..] = data {
        walk(*first, rest);
    }
}

fn walk(next_header: u8, payload: &[u8]) {
    let Ok(upper) = ipv6::upper_layer(next_header, payload) else { return };
    assert!(upper.offset <= payload.len());
    if let Some(fragment) = upper.fragment {
        assert_eq!(fragment.offset % 8, 0);
    } else {
        // What lies behind the walk is no matter of it.
        assert_eq!(ipv6::upper_layer(next_header, &payload[..upper.offset]), Ok(upper));
    }
}

/// ICMP for both families and Neighbor Discovery.
pub fn icmp(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    if let Ok(message) = Icmpv4::parse(data) {
        let again = written(|out| message.emit(out));
        assert_eq!(again.len(), message.encoded_len());
        assert!(icmpv4::checksum_ok(&again));
        assert_eq!(Icmpv4::parse(&again), Ok(message));
    }
    let _ = (icmpv4::checksum_ok(data), icmpv6::checksum_ok(SRC, DST, data));
    if let Ok(message) = Icmpv6::parse(data) {
        let again = written(|out| message.emit(SRC, DST, out));
        assert_eq!(again.len(), message.encoded_len());
        assert!(icmpv6::checksum_ok(SRC, DST, &again));
        assert_eq!(Icmpv6::parse(&again), Ok(message));
    }
    if let Ok(message) = Ndp::parse(data) {
        let again = written(|out| message.emit(SRC, DST, out));
        assert!(again.len() <= data.len(), "options are read or dropped, never made");
        assert_eq!(Ndp::parse(&again), Ok(message));
    }
}

/// TCP headers with their options, option bytes alone, UDP headers.
pub fn transport(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    if let Ok((header, len)) = TcpHeader::parse(data) {
        let raw = &data[20..len];
        let again = written(|out| header.emit_raw(raw, out));
        assert_eq!(&again[20..], raw);
        assert_eq!(TcpHeader::parse(&again), Ok((header, len)));
        options(raw);
        if let Ok(options) = TcpOptions::parse(raw) {
            let again = written(|out| header.emit(&options, out));
            assert_eq!(TcpHeader::parse(&again), Ok((header, again.len())));
        }
    }
    if let [bits, rest @ ..] = data {
        let flags = TcpFlags::from_bits_truncate(u16::from(*bits));
        assert_eq!(TcpHeader { flags, ..TcpHeader::default() }.flags, flags);
        options(&rest[..rest.len().min(MAX_OPTIONS_LEN)]);
    }
    if let Ok((header, len)) = UdpHeader::parse(data) {
        assert!(data.get(len..header.len.into()).is_some());
        assert_eq!(written(|out| header.emit(out)), data[..len]);
        let (src, dst) = (IpAddr::V6(SRC), IpAddr::V6(DST));
        let _ = checksum::transport_ok(src, dst, 17, &data[..header.len.into()]);
    }
}

fn options(raw: &[u8]) {
    let Ok(options) = TcpOptions::parse(raw) else { return };
    assert!(options.encoded_len() <= MAX_OPTIONS_LEN && options.encoded_len() % 4 == 0);
    let again = written(|out| options.emit(out));
    assert_eq!(again.len(), options.encoded_len());
    let mut read = TcpOptions::parse(&again).unwrap();
    // What 40 bytes cannot hold is left out from the end, and nothing else is.
    assert!(options.sack.starts_with(&read.sack));
    if read.fast_open.is_none() && options.fast_open.is_some() {
        assert!(again.len() + 20 > MAX_OPTIONS_LEN, "left out without need");
        read.fast_open.clone_from(&options.fast_open);
    }
    read.sack.clone_from(&options.sack);
    assert_eq!(read, options);
}

/// The textbook loop of RFC 1071 section 4.1.
fn textbook(data: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in data.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// Sums at every alignment, in pieces, while copying, and after an update, against the textbook loop.
pub fn checksum(data: &[u8]) {
    let [at, cut, old, rest @ ..] = data else { return };
    let message = &rest[usize::from(*at % 64).min(rest.len())..];
    let expected = textbook(message);
    assert_eq!(Sum::of(message).fold(), expected);

    let mut copy = vec![0xee; message.len() + 1];
    assert_eq!(checksum::copy_and_sum(message, &mut copy).fold(), expected);
    assert!(&copy[..message.len()] == message && copy[message.len()] == 0xee);

    let (head, tail) = message.split_at(usize::from(*cut).min(message.len()));
    assert_eq!(Sum::of(head).add_at(Sum::of(tail), head.len()), Sum::of(message));

    let (src, dst) = (Ipv4Addr::new(198, 18, 0, *old), Ipv4Addr::new(198, 18, 0, *cut));
    let mut spelt = Vec::new();
    spelt.extend_from_slice(&src.octets());
    spelt.extend_from_slice(&dst.octets());
    spelt.extend_from_slice(&[0, *at]);
    spelt.extend_from_slice(&(message.len() as u16).to_be_bytes());
    spelt.extend_from_slice(message);
    if message.len() <= usize::from(u16::MAX) {
        let sum = checksum::pseudo_header_v4(src, dst, *at, message.len() as u32).add(Sum::of(message));
        assert_eq!(sum.fold(), textbook(&spelt));
    }

    // RFC 1624: a word changed, and the stored checksum brought up to date without the rest.
    if let Some(word) = message.first_chunk::<2>() {
        let before = u16::from_be_bytes(*word);
        let after = u16::from_be_bytes([*old, *cut]);
        copy[..2].copy_from_slice(&after.to_be_bytes());
        let updated = checksum::update16(!expected, before, after);
        let recomputed = !textbook(&copy[..message.len()]);
        // The two forms of zero are one number (RFC 1624 section 3).
        let same = |a: u16, b: u16| a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0);
        assert!(same(updated, recomputed), "{updated:#x} {recomputed:#x}");
    }
}
