//! The watch on the wire sees each kind of lie, and nothing in an honest exchange.

use std::net::{Ipv4Addr, SocketAddr};

use bypath_lab::Pattern;
use bypath_sim::invariants::{Offer, WireWatch};
use bypath_sim::packet::Medium;
use bypath_wire::SeqNum;
use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::tcp::{CHECKSUM_OFFSET, SackBlock, TcpFlags, TcpHeader, TcpOptions, Timestamps};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);
/// Initial sequence numbers, one of them close to where numbers wrap.
const ISS: [u32; 2] = [u32::MAX - 500, 7_000];
const PATTERN: u64 = 9;

fn address((ip, port): ([u8; 4], u16)) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(ip).into(), port)
}

/// A segment of one side, with numbers counted from the initial ones.
#[derive(Clone, Debug)]
struct Segment {
    side: usize,
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    options: TcpOptions,
    payload: Vec<u8>,
}

impl Segment {
    fn new(side: usize, seq: u32, ack: u32) -> Self {
        let options =
            TcpOptions { timestamps: Some(Timestamps { value: 100, echo: 100 }), ..TcpOptions::default() };
        Self { side, seq, ack, flags: TcpFlags::ACK, window: 1_000, options, payload: Vec::new() }
    }

    /// With `len` bytes of the client's stream.
    fn data(seq: u32, len: usize) -> Self {
        let mut payload = vec![0; len];
        Pattern::new(PATTERN).fill(u64::from(seq) - 1, &mut payload);
        Self { payload, ..Self::new(0, seq, 1) }
    }

    fn bytes(&self) -> Vec<u8> {
        let (from, to) = if self.side == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let header = TcpHeader {
            src_port: from.1,
            dst_port: to.1,
            seq: SeqNum(ISS[self.side]) + self.seq,
            ack: SeqNum(ISS[1 - self.side]) + self.ack,
            flags: self.flags,
            window: self.window,
            ..TcpHeader::default()
        };
        let mut segment = vec![0; 20 + self.options.encoded_len()];
        header.emit(&self.options, &mut segment);
        segment.extend(&self.payload);
        let (src, dst) = (Ipv4Addr::from(from.0), Ipv4Addr::from(to.0));
        let sum = pseudo_header(src.into(), dst.into(), protocol::TCP, segment.len() as u32);
        let sum = sum.add(Sum::of(&segment)).finish();
        segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![0; 20];
        let ip = Ipv4Header {
            total_len: 20 + segment.len() as u16,
            protocol: protocol::TCP,
            ttl: 64,
            src,
            dst,
            ..Ipv4Header::default()
        };
        ip.emit(&mut packet);
        packet.extend(segment);
        packet
    }
}

/// A watch that has seen a handshake with windows scaled by 2 and 3 bits and an MSS of 1000, and 500 bytes of the
/// client acknowledged. The client may send 5000 bytes; the server has a buffer of 8000, the client one of 4000.
fn watch() -> WireWatch {
    let mut watch = WireWatch::new(Medium::Ip, 1_500);
    let (client, server) = (address(CLIENT), address(SERVER));
    let offer =
        Offer { bytes: 5_000, closed: false, pattern: Some(PATTERN), taken: 0, receive_limit: Some(4_000) };
    watch.offer(client, server, offer);
    watch.offer(server, client, Offer { bytes: 0, taken: 500, receive_limit: Some(8_000), ..offer });
    let syn_options = |scale| TcpOptions {
        mss: Some(1_000),
        window_scale: Some(scale),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 100, echo: 0 }),
        ..TcpOptions::default()
    };
    let syn = Segment { flags: TcpFlags::SYN, options: syn_options(2), ..Segment::new(0, 0, 0) };
    let answer =
        Segment { flags: TcpFlags::SYN | TcpFlags::ACK, options: syn_options(3), ..Segment::new(1, 0, 1) };
    for segment in [syn, answer, Segment::new(0, 1, 1), Segment::data(1, 500), Segment::new(1, 1, 501)] {
        watch.sent(&segment.bytes()).expect("an honest exchange");
    }
    watch
}

fn refuses(segment: &Segment, why: &str) {
    let violation = watch().sent(&segment.bytes()).expect_err(why);
    assert!(violation.0.contains(why), "{violation} instead of {why}");
}

#[test]
fn an_honest_exchange_passes() {
    let mut watch = watch();
    let sack = TcpOptions {
        sack: [SackBlock { left: SeqNum(ISS[0]) + 1_000, right: SeqNum(ISS[0]) + 1_400 }]
            .into_iter()
            .collect(),
        ..Segment::new(1, 1, 501).options
    };
    for segment in [
        Segment::data(501, 900),
        Segment { options: sack, ..Segment::new(1, 1, 501) },
        Segment::data(501, 500),
        Segment { window: 888, ..Segment::new(1, 1, 1_401) },
    ] {
        watch.sent(&segment.bytes()).unwrap();
    }
    assert_eq!(watch.acknowledged(address(CLIENT), address(SERVER)), 1_400);
    assert_eq!(watch.seen(), 9);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_seen() {
    refuses(&Segment::new(1, 1, 502), "never sent");
}

#[test]
fn an_acknowledgement_that_goes_back_is_seen() {
    refuses(&Segment::new(1, 1, 500), "goes back");
}

#[test]
fn a_right_edge_that_moves_left_by_a_unit_is_seen() {
    refuses(&Segment { window: 999, ..Segment::new(1, 1, 501) }, "moves left");
}

#[test]
fn a_promise_beyond_the_receive_buffer_is_seen() {
    refuses(&Segment { window: 1_010, ..Segment::new(1, 1, 501) }, "than the receive buffer has");
}

#[test]
fn more_than_the_application_has_given_is_seen() {
    let mut watch = watch();
    let (client, server) = (address(CLIENT), address(SERVER));
    watch.offer(client, server, Offer { bytes: 600, pattern: Some(PATTERN), ..Offer::default() });
    let violation = watch.sent(&Segment::data(501, 101).bytes()).expect_err("a byte too many");
    assert!(violation.0.contains("has not given"), "{violation}");
}

#[test]
fn other_bytes_than_the_applications_are_seen() {
    let mut segment = Segment::data(501, 100);
    segment.payload[50] ^= 1;
    refuses(&segment, "at offset 500");
}

#[test]
fn a_fin_that_nobody_asked_for_is_seen() {
    refuses(&Segment { flags: TcpFlags::FIN | TcpFlags::ACK, ..Segment::new(0, 501, 1) }, "FIN before");
}

#[test]
fn a_gap_in_ones_own_sequence_numbers_is_seen() {
    refuses(&Segment::data(502, 100), "leaves out 1");
}

#[test]
fn data_beyond_the_window_is_seen_but_for_a_probe() {
    let mut watch = watch();
    let (client, server) = (address(CLIENT), address(SERVER));
    watch.offer(client, server, Offer { bytes: 90_000, pattern: Some(PATTERN), ..Offer::default() });
    let edge = 501 + 8_000;
    for seq in (501..edge).step_by(500) {
        watch.sent(&Segment::data(seq, 500).bytes()).unwrap();
    }
    watch.sent(&Segment::data(edge, 1).bytes()).expect("a probe");
    let violation = watch.sent(&Segment::data(edge + 1, 1).bytes()).expect_err("beyond the window");
    assert!(violation.0.contains("beyond the window"), "{violation}");
}

#[test]
fn a_segment_longer_than_the_peers_mss_is_seen() {
    refuses(&Segment::data(501, 989), "MSS");
}

#[test]
fn a_timestamp_that_goes_back_or_is_missing_is_seen() {
    let mut segment = Segment::new(1, 1, 501);
    segment.options.timestamps = Some(Timestamps { value: 99, echo: 100 });
    refuses(&segment, "timestamp goes back");
    segment.options.timestamps = Some(Timestamps { value: 100, echo: 101 });
    refuses(&segment, "timestamp never sent");
    segment.options.timestamps = None;
    refuses(&segment, "without the timestamp");
}

#[test]
fn a_block_of_what_was_never_sent_is_seen() {
    let mut segment = Segment::new(1, 1, 501);
    let at = |n| SeqNum(ISS[0]) + n;
    segment.options.sack.push(SackBlock { left: at(600), right: at(700) });
    refuses(&segment, "a block of what was never sent");
    segment.options.sack[0] = SackBlock { left: at(400), right: at(400) };
    refuses(&segment, "empty or reversed");
}

#[test]
fn a_wrong_checksum_is_seen() {
    for at in [8, 30] {
        let mut bytes = Segment::data(501, 100).bytes();
        bytes[at] ^= 4;
        let violation = watch().sent(&bytes).expect_err("a wrong checksum");
        assert!(violation.0.contains("checksum"), "{violation}");
    }
}

#[test]
fn data_after_a_reset_is_seen() {
    let mut watch = watch();
    watch.sent(&Segment { flags: TcpFlags::RST, ..Segment::new(0, 501, 1) }.bytes()).unwrap();
    let violation = watch.sent(&Segment::data(501, 1).bytes()).expect_err("data after a reset");
    assert!(violation.0.contains("after a reset"), "{violation}");
}
