//! Random TCP sessions through both ends, with and without loss, and the odd cases one by one.

use proptest::prelude::*;

use bypath_wire::checksum::{Sum, pseudo_header_v4};

use super::{Compressor, Expander, Kind, Tossed};

/// What a packet of a made-up connection looks like.
#[derive(Clone, Debug)]
struct Packet {
    connection: u8,
    tos: u8,
    id: u16,
    fragment: u16,
    ttl: u8,
    ip_options: Vec<u8>,
    seq: u32,
    ack: u32,
    odd_bits: u8,
    flags: u8,
    window: u16,
    urgent: u16,
    tcp_options: Vec<u8>,
    data: Vec<u8>,
}

impl Packet {
    fn of(connection: u8) -> Self {
        Self {
            connection,
            tos: 0,
            id: 1000,
            fragment: 0x4000,
            ttl: 64,
            ip_options: Vec::new(),
            seq: 1_000_000 * u32::from(connection),
            ack: 5000,
            odd_bits: 0,
            flags: 0x10,
            window: 8192,
            urgent: 0,
            tcp_options: Vec::new(),
            data: Vec::new(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let tcp_len = 20 + self.tcp_options.len();
        let ip_len = 20 + self.ip_options.len();
        let total = (ip_len + tcp_len + self.data.len()) as u16;
        let mut bytes = vec![0x40 | (ip_len / 4) as u8, self.tos];
        bytes.extend(total.to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, self.connection]);
        bytes.extend(&self.ip_options);
        let checksum = Sum::of(&bytes).finish();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());

        let mut tcp = Vec::new();
        tcp.extend((1024 + u16::from(self.connection)).to_be_bytes());
        tcp.extend(110_u16.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([((tcp_len / 4) as u8 * 16) | self.odd_bits & 15, self.flags | self.odd_bits & 0xc0]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&self.tcp_options);
        tcp.extend(&self.data);
        let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, self.connection].into());
        let checksum = pseudo_header_v4(from, to, 6, tcp.len() as u32).add(Sum::of(&tcp)).finish();
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend(tcp);
        bytes
    }
}

/// One change of a connection, and the packet that it sends then.
#[derive(Clone, Debug)]
enum Step {
    Data(u16),
    Ack(u32),
    Echo,
    Window(u16),
    Urgent(u16),
    Calm,
    Id(u16),
    Push(bool),
    Flags(u8),
    OddBits(u8),
    Back(u16),
    Again,
    Options(u8, Vec<u8>),
    IpOptions(u8),
    Ttl(u8),
    Tos(u8),
    Fragment(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u16..700).prop_map(Step::Data),
        4 => prop_oneof![0_u32..300, any::<u32>()].prop_map(Step::Ack),
        3 => Just(Step::Echo),
        3 => any::<u16>().prop_map(Step::Window),
        2 => any::<u16>().prop_map(Step::Urgent),
        2 => Just(Step::Calm),
        2 => any::<u16>().prop_map(Step::Id),
        3 => any::<bool>().prop_map(Step::Push),
        1 => (0_u8..64).prop_map(Step::Flags),
        1 => any::<u8>().prop_map(Step::OddBits),
        1 => any::<u16>().prop_map(Step::Back),
        2 => Just(Step::Again),
        1 => (0_u8..11, proptest::collection::vec(any::<u8>(), 40)).prop_map(|(n, b)| Step::Options(n, b)),
        1 => (0_u8..11).prop_map(Step::IpOptions),
        1 => any::<u8>().prop_map(Step::Ttl),
        1 => any::<u8>().prop_map(Step::Tos),
        1 => any::<u16>().prop_map(Step::Fragment),
    ]
}

/// The packets of some connections, each changed step by step.
fn session(steps: &[(u8, Step)]) -> Vec<Vec<u8>> {
    let mut connections: Vec<Packet> = (0..6).map(Packet::of).collect();
    let mut packets = Vec::new();
    for (connection, step) in steps {
        let now = &mut connections[usize::from(connection % 6)];
        let sent = now.data.len();
        if !matches!(step, Step::Again) {
            now.seq = now.seq.wrapping_add(sent as u32);
            now.data.clear();
        }
        let once = now.clone();
        match step {
            Step::Data(len) => now.data = (0..*len).map(|at| at as u8).collect(),
            Step::Ack(more) => now.ack = now.ack.wrapping_add(*more),
            Step::Echo => {
                now.ack = now.ack.wrapping_add(sent as u32);
                now.data = b"x".to_vec();
            }
            Step::Window(window) => now.window = *window,
            Step::Urgent(urgent) => (now.flags, now.urgent) = (now.flags | 0x20, *urgent),
            Step::Calm => now.flags &= !0x20,
            Step::Id(id) => now.id = *id,
            Step::Push(push) => now.flags = now.flags & !8 | u8::from(*push) << 3,
            Step::Flags(flags) => now.flags = *flags,
            Step::OddBits(bits) => now.odd_bits = *bits,
            Step::Back(back) => now.seq = now.seq.wrapping_sub((*back).into()),
            Step::Again => {}
            Step::Options(words, bytes) => now.tcp_options = bytes[..usize::from(words % 11) * 4].to_vec(),
            Step::IpOptions(words) => now.ip_options = vec![1; usize::from(words % 11) * 4],
            Step::Ttl(ttl) => now.ttl = *ttl,
            Step::Tos(tos) => now.tos = *tos,
            Step::Fragment(fragment) => now.fragment = *fragment,
        }
        now.id = now.id.wrapping_add(1);
        packets.push(now.bytes());
        if matches!(step, Step::Flags(_) | Step::Fragment(_)) {
            (now.flags, now.fragment) = (once.flags, once.fragment);
        }
    }
    packets
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    proptest::collection::vec((any::<u8>(), step()), 1..120)
}

fn compressor(slots: usize, names: bool) -> Compressor {
    let compressor = Compressor::new(slots);
    if names { compressor.naming_every_slot() } else { compressor }
}

proptest! {
    #[test]
    fn every_bit_comes_back(steps in steps(), slots in 1_usize..8, names: bool) {
        let mut compressor = compressor(slots, names);
        let mut expander = Expander::new();
        let (mut frame, mut packet) = (Vec::new(), Vec::new());
        for sent in session(&steps) {
            let kind = compressor.compress(&sent, &mut frame);
            prop_assert_eq!(expander.expand(kind, &frame, 0, &mut packet), Ok(()));
            prop_assert_eq!(&packet, &sent);
        }
    }

    #[test]
    fn after_a_loss_a_connection_is_tossed_until_its_next_full_packet(
        steps in steps(),
        losses in proptest::collection::vec(any::<bool>(), 120),
        slots in 1_usize..8,
        names: bool,
    ) {
        let mut compressor = compressor(slots, names);
        let mut expander = Expander::new();
        let (mut frame, mut packet) = (Vec::new(), Vec::new());
        let mut since = std::collections::HashSet::new();
        for (sent, lost) in session(&steps).into_iter().zip(losses) {
            let kind = compressor.compress(&sent, &mut frame);
            if lost {
                expander.lost();
                since.clear();
                continue;
            }
            let destination = sent[19];
            if kind == Kind::UncompressedTcp {
                since.insert(destination);
            }
            let expanded = expander.expand(kind, &frame, 0, &mut packet);
            if kind != Kind::CompressedTcp || since.contains(&destination) && expanded.is_ok() {
                prop_assert_eq!(expanded, Ok(()));
                prop_assert_eq!(&packet, &sent);
            } else {
                prop_assert!(expanded.is_err(), "what no full packet came before is tossed");
                prop_assert!(packet.is_empty());
                // A frame without a number after the loss of the one that named it is the only other cause.
                let unnamed = expanded == Err(Tossed::Unnamed);
                prop_assert!(!since.contains(&destination) || unnamed);
            }
        }
    }

    #[test]
    fn bytes_of_anybody_are_taken(frames in proptest::collection::vec(
        (0_u8..4, proptest::collection::vec(any::<u8>(), 0..80)), 0..40), missing in 0_usize..70_000)
    {
        let mut expander = Expander::new();
        let mut packet = Vec::new();
        for (kind, frame) in frames {
            let kind = match kind {
                0 => Kind::Ip,
                1 => Kind::UncompressedTcp,
                _ => Kind::CompressedTcp,
            };
            let expanded = expander.expand(kind, &frame, missing, &mut packet);
            prop_assert!(expanded.is_ok() || packet.is_empty());
        }
    }

    #[test]
    fn bytes_of_anybody_come_back_through_both(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..20),
    ) {
        let mut compressor = Compressor::new(16);
        let mut expander = Expander::new();
        let (mut frame, mut packet) = (Vec::new(), Vec::new());
        for sent in packets {
            let kind = compressor.compress(&sent, &mut frame);
            prop_assert_eq!(expander.expand(kind, &frame, 0, &mut packet), Ok(()));
            prop_assert_eq!(&packet, &sent);
        }
    }
}

/// Both ends, fed one packet after the other.
struct Both {
    compressor: Compressor,
    expander: Expander,
    frame: Vec<u8>,
}

impl Both {
    fn new() -> Self {
        Self { compressor: Compressor::new(16), expander: Expander::new(), frame: Vec::new() }
    }

    /// The kind of the frame; the frame stays in `self.frame`.
    fn send(&mut self, packet: &Packet) -> Kind {
        let kind = self.compressor.compress(&packet.bytes(), &mut self.frame);
        let mut back = Vec::new();
        self.expander.expand(kind, &self.frame, 0, &mut back).unwrap();
        assert_eq!(back, packet.bytes());
        kind
    }
}

fn next(packet: &Packet) -> Packet {
    let seq = packet.seq.wrapping_add(packet.data.len() as u32);
    Packet { id: packet.id.wrapping_add(1), seq, data: Vec::new(), ..packet.clone() }
}

#[test]
fn a_stream_of_data_costs_three_bytes_a_packet() {
    let mut both = Both::new();
    let first = Packet { data: vec![1; 512], ..Packet::of(1) };
    assert_eq!(both.send(&first), Kind::UncompressedTcp);
    let second = Packet { data: vec![2; 512], ..next(&first) };
    assert_eq!(both.send(&second), Kind::CompressedTcp);
    assert_eq!(both.frame.len(), 3 + 512);
    assert_eq!(both.frame[0], 0x0f);
}

#[test]
fn echoed_typing_costs_three_bytes_a_packet() {
    let mut both = Both::new();
    let first = Packet { data: b"l".to_vec(), ..Packet::of(1) };
    both.send(&first);
    let second = Packet { data: b"s".to_vec(), ack: first.ack + 1, ..next(&first) };
    assert_eq!(both.send(&second), Kind::CompressedTcp);
    assert_eq!((both.frame[0], both.frame.len()), (0x0b, 4));
}

#[test]
fn changes_that_look_like_a_special_case_go_in_full() {
    let mut both = Both::new();
    let first = Packet::of(1);
    both.send(&first);
    // Sequence number, window and urgent pointer at once: the mask of echoed typing.
    let second = Packet { window: 1, urgent: 9, flags: 0x30, seq: first.seq + 40, ..next(&first) };
    assert_eq!(both.send(&second), Kind::UncompressedTcp);
    let third = Packet { window: 2, urgent: 8, ack: second.ack + 1, seq: second.seq + 40, ..next(&second) };
    assert_eq!(both.send(&third), Kind::UncompressedTcp);
}

#[test]
fn urgent_data_is_compressed_and_no_special_case_follows_it() {
    let mut both = Both::new();
    let first = Packet { data: vec![0; 10], ..Packet::of(1) };
    both.send(&first);
    let urgent = Packet { urgent: 0, flags: 0x30, ack: first.ack + 7, data: vec![1; 5], ..next(&first) };
    assert_eq!(both.send(&urgent), Kind::CompressedTcp);
    // Urgent pointer zero, in three bytes; acknowledgement and sequence number in one each.
    assert_eq!(both.frame[3..8], [0, 0, 0, 7, 10]);
    let calm = Packet { flags: 0x10, data: vec![2; 5], ..next(&urgent) };
    assert_eq!(both.send(&calm), Kind::CompressedTcp);
    assert_eq!((both.frame[0], both.frame[3]), (0x08, 5));
}

#[test]
fn a_retransmission_and_a_probe_go_in_full() {
    let mut both = Both::new();
    let first = Packet { data: vec![0; 10], ..Packet::of(1) };
    both.send(&first);
    let again = Packet { id: first.id + 1, ..first.clone() };
    assert_eq!(both.send(&again), Kind::UncompressedTcp);
    let ack = next(&again);
    assert_eq!(both.send(&ack), Kind::CompressedTcp);
    let same = Packet { id: ack.id + 1, ..ack.clone() };
    assert_eq!(both.send(&same), Kind::UncompressedTcp, "an acknowledgement again");
    let data = Packet { data: vec![3; 4], ..next(&same) };
    assert_eq!(both.send(&data), Kind::CompressedTcp, "data after an acknowledgement is news");
    assert_eq!(both.frame.len(), 3 + 4);
}

#[test]
fn the_ends_of_a_connection_go_as_plain_ip() {
    let mut both = Both::new();
    for flags in [0x02, 0x12, 0x11, 0x14, 0x04, 0x00] {
        assert_eq!(both.send(&Packet { flags, ..Packet::of(1) }), Kind::Ip);
    }
    assert_eq!(both.send(&Packet { fragment: 0x2000, ..Packet::of(1) }), Kind::Ip);
    assert_eq!(both.send(&Packet { fragment: 5, ..Packet::of(1) }), Kind::Ip);
}

#[test]
fn the_slot_is_named_when_it_is_another_and_the_oldest_is_reused() {
    let mut both = Both { compressor: Compressor::new(2), ..Both::new() };
    let mut last: Vec<Packet> = (0..3).map(Packet::of).collect();
    let mut talk = |both: &mut Both, connection: usize| {
        last[connection] = Packet { ack: last[connection].ack + 1, ..next(&last[connection]) };
        (both.send(&last[connection]), both.frame[0] & 0x40 != 0)
    };
    assert_eq!(talk(&mut both, 0).0, Kind::UncompressedTcp);
    assert_eq!(talk(&mut both, 0), (Kind::CompressedTcp, false));
    assert_eq!(talk(&mut both, 1).0, Kind::UncompressedTcp);
    assert_eq!(talk(&mut both, 0), (Kind::CompressedTcp, true));
    assert_eq!(talk(&mut both, 2).0, Kind::UncompressedTcp, "in the place of 1");
    assert_eq!(talk(&mut both, 0), (Kind::CompressedTcp, true));
    assert_eq!(talk(&mut both, 1).0, Kind::UncompressedTcp, "in the place of 2");
}

#[test]
fn an_unseen_loss_shows_in_the_checksum_and_the_retransmission_heals_it() {
    let mut compressor = Compressor::new(16);
    let mut expander = Expander::new();
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let first = Packet { data: vec![0; 10], ..Packet::of(1) };
    let second = Packet { data: vec![1; 10], ..next(&first) };
    let third = Packet { data: vec![2; 10], ..next(&second) };
    let again = Packet { id: third.id + 1, ..second.clone() };
    let kind = compressor.compress(&first.bytes(), &mut frame);
    expander.expand(kind, &frame, 0, &mut packet).unwrap();
    compressor.compress(&second.bytes(), &mut frame);
    let kind = compressor.compress(&third.bytes(), &mut frame);
    let slot = 15;
    assert_eq!(expander.expand(kind, &frame, 0, &mut packet), Err(Tossed::Checksum { slot }));
    assert_eq!(expander.expand(kind, &frame, 0, &mut packet), Err(Tossed::Lost { slot }));
    let kind = compressor.compress(&again.bytes(), &mut frame);
    assert_eq!(kind, Kind::UncompressedTcp);
    expander.expand(kind, &frame, 0, &mut packet).unwrap();
    assert_eq!(packet, again.bytes());
}

#[test]
fn a_cut_frame_gives_the_lengths_of_the_whole_packet() {
    let mut compressor = Compressor::new(16);
    let mut expander = Expander::new();
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let first = Packet { data: vec![0; 10], ..Packet::of(1) };
    let second = Packet { data: vec![1; 300], ..next(&first) };
    let third = Packet { data: vec![2; 10], ..next(&second) };
    let kind = compressor.compress(&first.bytes(), &mut frame);
    expander.expand(kind, &frame, 0, &mut packet).unwrap();
    let kind = compressor.compress(&second.bytes(), &mut frame);
    expander.expand(kind, &frame[..8], frame.len() - 8, &mut packet).unwrap();
    assert_eq!(packet, second.bytes()[..45]);
    let kind = compressor.compress(&third.bytes(), &mut frame);
    expander.expand(kind, &frame, 0, &mut packet).unwrap();
    assert_eq!(packet, third.bytes());
}

#[test]
fn frames_before_the_first_full_packet_are_tossed() {
    let mut expander = Expander::new();
    let mut packet = Vec::new();
    let mut expand = |frame: &[u8]| expander.expand(Kind::CompressedTcp, frame, 0, &mut packet);
    assert_eq!(expand(&[0x0f, 1, 2, 3]), Err(Tossed::Unnamed));
    assert_eq!(expand(&[0x4f, 3, 1, 2]), Err(Tossed::Unknown { slot: 3 }));
    assert_eq!(expand(&[0x40]), Err(Tossed::Short));
    assert_eq!(expand(&[]), Err(Tossed::Short));
    assert_eq!(
        expander.expand(Kind::UncompressedTcp, &[0x45; 30], 0, &mut packet),
        Err(Tossed::Short),
        "no headers"
    );
}

#[test]
fn frames_of_an_unknown_connection_are_not_taken_for_those_of_another() {
    let mut compressor = Compressor::new(2);
    let mut expander = Expander::new();
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let mut kept = [Packet::of(1), Packet::of(2)];
    let mut expanded = Vec::new();
    // The first frame is missing, and with it all that is known of the first connection.
    for (at, connection) in [0, 1, 0, 0, 1].into_iter().enumerate() {
        kept[connection] = Packet { data: vec![1; 9], ..next(&kept[connection]) };
        let kind = compressor.compress(&kept[connection].bytes(), &mut frame);
        if at > 0 {
            expanded.push(expander.expand(kind, &frame, 0, &mut packet));
        }
    }
    let unknown = Err(Tossed::Unknown { slot: 1 });
    assert_eq!(expanded, [Ok(()), unknown, unknown, Ok(())]);
}

#[test]
fn a_connection_whose_checksums_are_always_wrong_is_not_tossed_for_it() {
    let mut compressor = Compressor::new(16);
    let mut expander = Expander::new();
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let mut last = Packet::of(1);
    for _ in 0..3 {
        last = Packet { data: vec![7; 9], ..next(&last) };
        let mut bytes = last.bytes();
        bytes[36] ^= 1;
        let kind = compressor.compress(&bytes, &mut frame);
        expander.expand(kind, &frame, 0, &mut packet).unwrap();
        assert_eq!(packet, bytes);
    }
}
