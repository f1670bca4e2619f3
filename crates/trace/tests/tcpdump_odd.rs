//! What is rare on the wire, beside tcpdump: options of EDNS, questions between nodes, Frame Relay's addresses, and
//! datagrams and fragments that say less than they should.

mod peer;

use peer::build::{Segment, ethernet, ipv6, pcap_cut, udp_over_v4, v6};
use peer::dns::{name, question, record};
use peer::tcpdump::{compare, compare_frames, v4_frames};

/// Options enough for what does not depend on how a packet is dumped.
const FLAGS: &[&str] = &["-nt", "-ntv", "-ntvv", "-ntvvv", "-nte"];

/// Captures that end anywhere within these frames.
fn compare_cut(frames: &[Vec<u8>]) {
    for frame in frames {
        let cut: Vec<(Vec<u8>, usize)> =
            (1..frame.len()).map(|len| (frame[..len].to_vec(), frame.len())).collect();
        compare(&pcap_cut(1, &cut), &["-nt", "-ntv"]);
    }
}

#[test]
fn what_comes_with_a_reset_reads_the_same() {
    let texts: &[(u16, &[u8])] = &[
        (80, b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        (554, b"RTSP/1.0 200 OK\r\n"),
        (21, b"421 closing\r\n"),
        (25, b"554 no\r\n"),
        (80, b"text"),
        (9, b"nobody's"),
        (53, b"\0\x0c\0\x07\x81\x80\0\0\0\0\0\0\0\0"),
        (53, b"\0"),
    ];
    let segments =
        texts.iter().map(|(from, data)| Segment { from: *from, data, flags: 0x14, ..Segment::default() });
    compare_frames(&v4_frames(segments.map(|segment| segment.over_v4())));
}

#[test]
fn short_messages_of_dns_read_the_same() {
    let header = [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut packets = Vec::new();
    for len in 0..=header.len() {
        packets.push(udp_over_v4(40_000, 53, &header[..len]));
        packets.push(udp_over_v4(5353, 5353, &header[..len]));
        let data = [&(len as u16).to_be_bytes()[..], &header[..len]].concat();
        packets.push(Segment { to: 53, data: &data, ..Segment::default() }.over_v4());
    }
    // A datagram that ends before its packet does, and a record that does not.
    let mut message = question(0x8180, [1, 1, 0, 0], 1, 1);
    message.extend(record(1, 1, 60, &[198, 18, 0, 9]));
    let mut packet = udp_over_v4(53, 40_000, &message);
    packet[25] -= 3;
    packets.push(packet);
    let frames = v4_frames(packets);
    compare(&peer::build::pcap(1, &frames), FLAGS);
    compare_cut(&frames[30..31]);
}

/// Questions with one option.
fn asked_with(option: u16, data: &[u8]) -> Vec<u8> {
    let mut message = question(0x0100, [1, 0, 0, 1], 1, 1);
    message.extend([0, 0, 41, 0x10, 0, 0, 0, 0x80, 0]);
    message.extend((data.len() as u16 + 8).to_be_bytes());
    message.extend([option.to_be_bytes(), (data.len() as u16).to_be_bytes()].concat());
    message.extend(data);
    message.extend([1, 0x61, 0, 0]);
    udp_over_v4(40_000, 53, &message)
}

#[test]
fn options_of_edns_read_the_same() {
    let every: Vec<u8> = (0..=255).collect();
    let bodies: &[&[u8]] = &[
        b"",
        b"A",
        b"\0",
        &[0, 100],
        &[0x4a, 0x5c, 1, 2],
        &[0, 0, 1, 0],
        b"\x03abc\0",
        b"\x03abc\xc0\0",
        b"\x03abc",
        b"\x03ab",
        b"\xc0\x0c",
        b"\x80",
        b"\x41\x0c\xab\xcd\x03abc\0",
        b"\x41\x02\xff\0",
        &[1; 7],
        &[1; 8],
        &[1; 15],
        &[1; 16],
        &[1; 40],
        &[1; 41],
        &every,
    ];
    let mut packets = Vec::new();
    for option in (1..20).chain([99]) {
        packets.extend(bodies.iter().map(|data| asked_with(option, data)));
    }
    for family in 0..4 {
        for prefix in [0, 1, 7, 8, 24, 25, 32, 33, 56, 57, 127, 128, 129, 255] {
            for len in 0..18 {
                let data = [&[0, family, prefix, 5][..], &v6(1), &[7, 7]].concat();
                packets.push(asked_with(8, &data[..4 + len]));
            }
        }
    }
    packets.extend((0..4).map(|len| asked_with(8, &[0, 1, 24][..len.min(3)])));
    compare(&peer::build::pcap(1, &v4_frames(packets)), FLAGS);
}

#[test]
fn rare_records_of_dns_read_the_same() {
    let mut records = Vec::new();
    for kind in [249, 251, 252, 253, 254, 255, 65, 257] {
        records.push(record(kind, 1, 60, &[0; 12]));
    }
    for class in [0, 1, 3, 254, 255, 26_454, 0x8000, 0x8001, 0x8003, 0xe756, 0xffff] {
        records.push(record(99, class, 60, &[1, 2]));
    }
    for ttl in [604_799, 604_800, 31_535_999, 31_536_000, 0x7fff_ffff, u32::MAX] {
        records.push(record(1, 1, ttl, &[1, 2, 3, 4]));
    }
    let address = [0x20, 1, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for prefix in 0..=140 {
        let own = &address[..16_usize.saturating_sub(usize::from(prefix / 8))];
        records.push(record(38, 1, 60, &[&[prefix], own, &name("a.example")].concat()));
    }
    for data in
        [&b""[..], b"\0", b"\x80", b"\x80\0", b"\x40\x01", b"\x80\xc0\x0c", b"\x80\x80", b"\x80\x42\x01"]
    {
        records.push(record(38, 1, 60, data));
    }
    for bits in [&[1, 0x80][..], &[4, 0xa5], &[8, 0xaa], &[9, 0xff, 0xff], &[12, 0xab, 0xcd], &[20, 1, 2, 3]]
    {
        records.push(record(5, 1, 60, &[b"\x03abc\x41", bits, &[0]].concat()));
    }
    let mut packets = Vec::new();
    for record in &records {
        let message = [&question(0x8180, [1, 1, 0, 0], 1, 1)[..], record].concat();
        packets.push(udp_over_v4(53, 40_000, &message));
        packets.push(udp_over_v4(5353, 5353, &message));
    }
    compare(&peer::build::pcap(1, &v4_frames(packets)), FLAGS);
}

#[test]
fn an_authentication_without_code_reads_the_same() {
    let options: &[&[u8]] = &[&[29, 4, 1, 2], &[29, 5, 1, 2, 3], &[29, 3, 1], &[29, 4, 1, 2, 1, 1]];
    let segments = options.iter().map(|options| Segment { options, ..Segment::default() }.over_v4());
    compare(&peer::build::pcap(1, &v4_frames(segments)), FLAGS);
}

#[test]
fn options_of_ipv6_read_the_same() {
    let options: &[&[u8]] = &[
        &[0; 6],
        &[0, 0, 5, 2, 0, 1],
        &[5, 2, 0, 1, 0, 0],
        &[1, 0, 5, 2, 0, 1],
        &[0, 0, 1, 2, 0, 0],
        &[1, 0, 0, 1, 0, 0],
        &[0xc2, 4, 0, 0, 1, 0],
        &[0xc2, 2, 0, 0, 1, 0],
        &[5, 0, 0, 0, 0, 0],
        &[5, 4, 0, 1, 0, 0],
        &[0x3e, 0, 0, 0, 0, 0],
        &[0x3e, 5, 0, 0, 0, 0],
        &[1, 6, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 1],
        &[0, 0, 0, 0, 5, 2],
        &[0xc9, 4, 0, 0, 0, 0],
        &[0xc9, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0],
        &[0xc9, 14, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0, 0, 0],
    ];
    let inside = peer::build::datagram(1, 9, b"data");
    let mut frames = Vec::new();
    for header in [0, 60] {
        for options in options {
            let extension = [&[17, ((options.len() + 2) / 8 - 1) as u8][..], options].concat();
            frames.push(ethernet(0x86dd, &ipv6(0, header, &extension, 17, &inside, 6)));
        }
    }
    compare(&peer::build::pcap(1, &frames), FLAGS);
}

#[test]
fn fragments_of_ipv6_that_are_cut_off_read_the_same() {
    let echo = [128, 0, 0, 0, 0, 7, 0, 1, 9];
    let first = ipv6(0, 44, &[58, 0, 0, 1, 0, 0, 0, 9], 58, &echo, 2);
    let only = ipv6(0, 44, &[17, 0, 0, 0, 0, 0, 0, 9], 17, &peer::build::datagram(1, 9, b"data"), 6);
    compare_cut(&[ethernet(0x86dd, &first), ethernet(0x86dd, &only)]);
}

#[test]
fn addresses_of_frame_relay_read_the_same() {
    let addresses: &[(&[u8], &[u8])] = &[
        (&[0x28, 0x61], &[4, 0x21]),
        (&[0x28, 0x60], &[0, 0]),
        (&[0x28, 0x64, 0x33], &[0x28, 0x64, 0x35]),
        (&[0x28, 0x60, 0x32, 0x41], &[0xfe, 0xfe, 0xfe, 0xff]),
        (&[0x28, 0x60, 0x32, 0x40], &[0x28, 0x61, 0x32, 0x43]),
        (&[0x29], &[0x28]),
        (&[], &[]),
        (&[0x28, 0x61, 1, 2, 3, 4], &[0; 6]),
        (&[0x28, 0x60, 0x32, 0x40, 1, 1], &[1; 6]),
    ];
    let mut frames = Vec::new();
    for (sender, target) in addresses {
        for operation in [1, 2, 3, 4, 8, 9, 10] {
            for hardware in [15, 1, 6] {
                let header = [0, hardware, 8, 0, sender.len() as u8, 4, 0, operation];
                let packet = [&header[..], sender, &[198, 18, 0, 1], target, &[198, 18, 0, 2]].concat();
                frames.push(ethernet(0x0806, &packet));
            }
        }
    }
    compare(&peer::build::pcap(1, &frames), FLAGS);
}

#[test]
fn what_nodes_ask_of_each_other_reads_the_same() {
    let twice = [name("a.example"), vec![0]].concat();
    let addresses = [&[0, 0, 0, 9][..], &v6(3), &[0, 0, 1, 0], &v6(4), &[1, 2, 3]].concat();
    let data: &[&[u8]] = &[
        b"",
        b"\0",
        &v6(5),
        &[198, 18, 0, 9],
        &[1; 17],
        &twice,
        b"\x04host",
        b"\x04host\0",
        b"\x04host\0\0",
        b"\x04host\0\0\0",
        b"\x04host\x03",
        b"\x04host\x03ab",
        b"\x04host\x03abc",
        b"\0\0\0\x07\x04host",
        b"\0\0\0\x07\x01a\x01\xff\0\0",
        b"\0\0\0\x07",
        &addresses,
    ];
    let ask = |kind: u8, code: u8, question: u8, flags: u8, data: &[u8]| {
        let message = [&[kind, code, 0, 0, 0, question, 0, flags][..], b"nonce123", data].concat();
        ethernet(0x86dd, &ipv6(0, 58, &[], 58, &message, 2))
    };
    let mut frames = Vec::new();
    for kind in [139, 140] {
        for code in 0..5 {
            for question in 0..6 {
                frames.extend(data.iter().map(|data| ask(kind, code, question, 0, data)));
            }
        }
        for question in 0..5 {
            frames.extend((0..8).map(|bit| ask(kind, 0, question, 1 << bit, &addresses)));
            frames.push(ask(kind, 0, question, 0xff, b"\0\0\0\x07\x04host"));
        }
        for len in 4..20 {
            let message = [&[kind, 0, 0, 0, 0, 2, 0, 0][..], b"nonce123 and"].concat();
            frames.push(ethernet(0x86dd, &ipv6(0, 58, &[], 58, &message[..len], 2)));
        }
    }
    compare(&peer::build::pcap(1, &frames), FLAGS);
    compare_cut(&[
        ask(139, 0, 2, 0, &v6(5)),
        ask(139, 1, 3, 0, &twice),
        ask(140, 0, 3, 0, &addresses),
        ask(140, 0, 2, 1, b"\0\0\0\x07\x04host"),
    ]);
}

#[test]
fn ipv4_addresses_within_ipv6_read_the_same() {
    let mut frames = Vec::new();
    for end in [[0, 0, 1, 2], [0, 1, 0, 2], [198, 18, 0, 9], [0xff, 0xff, 0, 0]] {
        let mut packet = Segment::default().over_v6();
        packet[8..20].fill(0);
        packet[20..24].copy_from_slice(&end);
        frames.push(ethernet(0x86dd, &packet));
        packet[18..20].fill(0xff);
        frames.push(ethernet(0x86dd, &packet));
    }
    compare(&peer::build::pcap(1, &frames), FLAGS);
}
