//! The style tcpdump beside tcpdump itself: every line of every capture, with every option.

mod peer;

use peer::build::{Segment, V4, datagram, ethernet, ipv6, pcap, pcap_cut, tag, udp_over_v4, v6};
use peer::committed;
use peer::dns::{name, question, record};
use peer::tcpdump::{FLAGS, compare, compare_frames, v4_frames};

#[test]
fn traffic_of_a_kernel_reads_the_same() {
    compare(&committed("kernel.pcap"), FLAGS);
}

#[test]
fn tagged_traffic_reads_the_same() {
    compare(&committed("tagged.pcap"), FLAGS);
}

#[test]
fn cooked_captures_read_the_same() {
    compare(&committed("cooked.pcap"), FLAGS);
    compare(&committed("cooked2.pcap"), FLAGS);
}

#[test]
fn packets_cut_anywhere_end_their_lines_the_same() {
    let whole = [
        ethernet(
            0x0800,
            &Segment { options: OPTIONS[0], data: b"GET / HTTP/1.0\r\n\r\n", to: 80, ..Segment::default() }
                .over_v4(),
        ),
        ethernet(
            0x86dd,
            &Segment { options: OPTIONS[1], data: b"220 hello\r\n", from: 21, ..Segment::default() }
                .over_v6(),
        ),
        ethernet(0x0800, &udp_over_v4(53, 40_000, &answer())),
        ethernet(
            0x0800,
            &V4 { options: &[7, 11, 12, 1, 2, 3, 4, 0, 0, 0, 0, 0], ..V4::default() }.carry(
                1,
                &[8, 0, 0, 0, 0, 1, 0, 2, 9, 9],
                2,
            ),
        ),
        ethernet(0x0806, &arp(1)),
    ];
    for frame in &whole {
        let cut: Vec<(Vec<u8>, usize)> =
            (0..frame.len()).map(|len| (frame[..len].to_vec(), frame.len())).collect();
        compare(&pcap_cut(1, &cut), &["-nt", "-ntv", "-ntvv", "-nte"]);
    }
}

/// Options, whole words of them.
const OPTIONS: [&[u8]; 2] = [
    &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7],
    &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 1, 5, 18, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0],
];

#[test]
fn every_option_of_tcp_reads_the_same() {
    let options: &[&[u8]] = &[
        OPTIONS[0],
        OPTIONS[1],
        &[0],
        &[1, 1, 1, 0],
        &[2, 3, 5],
        &[2, 6, 1, 2, 3, 4],
        &[3, 4, 7, 7],
        &[4, 3, 0],
        &[5, 9, 1, 2, 3, 4, 5, 6, 7],
        &[5, 2],
        &[6, 6, 0, 0, 0, 1, 7, 6, 0, 0, 0, 1],
        &[11, 6, 0, 0, 0, 1, 12, 6, 0, 0, 0, 2, 13, 6, 0, 0, 0, 3],
        &[8, 9, 0, 0, 0, 9, 0, 0, 0],
        &[19, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        &[20, 4, 0x80, 5],
        &[28, 4, 0, 9, 28, 4, 0x80, 9],
        &[29, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        &[29, 2],
        &[34, 2],
        &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[34, 5, 1, 2, 3],
        &[253, 4, 0xf9, 0x89],
        &[254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8],
        &[254, 6, 1, 2, 3, 4],
        &[253, 3, 1],
        &[99, 2, 98, 5, 1, 2, 3],
        &[99, 0],
        &[99, 1, 5],
        &[99, 90, 5],
        &[1, 1, 99, 90],
        &[172, 11, 0, 0, 1, 0, 0, 2, 0, 0, 3],
    ];
    let mut frames = Vec::new();
    for flags in [0x02, 0x12, 0x10] {
        for options in options {
            frames.push(Segment { options, flags, ..Segment::default() }.over_v4());
            frames.push(Segment { options, flags, data: b"text", ..Segment::default() }.over_v4());
        }
    }
    compare_frames(&v4_frames(frames));
}

#[test]
fn every_flag_and_wrapped_numbers_read_the_same() {
    let every =
        (0..512).map(|flags| Segment { flags, urgent: 5, from: flags + 1, ..Segment::default() }.over_v4());
    let wrapped = (0..6_u32).map(|at| {
        let sequence = (u32::MAX - 20).wrapping_add(at * 10);
        Segment {
            sequence,
            flags: if at == 0 { 0x12 } else { 0x18 },
            data: b"0123456789",
            ..Segment::default()
        }
        .over_v4()
    });
    let back =
        Segment { from: 9, to: 40_000, sequence: 5001, acknowledgment: u32::MAX - 5, ..Segment::default() }
            .over_v4();
    let reset = Segment { flags: 4, data: b"because\x01of\xff this and that and more", ..Segment::default() }
        .over_v4();
    compare_frames(&v4_frames(every.chain(wrapped).chain([back, reset])));
}

#[test]
fn lines_of_text_over_tcp_read_the_same() {
    let texts: &[(u16, &[u8])] = &[
        (80, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (80, b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody\x01\x02"),
        (80, b"binary\x00\x01"),
        (80, b"get nothing"),
        (8080, b"OPTIONS * HTTP/1.0\n\n"),
        (3128, b"CONNECT a:1 HTTP/1.0\r\n"),
        (21, b"USER ada\r\nPASS secret\r\n"),
        (21, b"220-many\r\n220 lines\r\n"),
        (21, b"half a line"),
        (25, b"EHLO a.test\r\n"),
        (25, b"250 OK\rbroken"),
        (554, b"PLAY rtsp://a RTSP/1.0\r\nCSeq: 1\r\n"),
        (9, b"discarded"),
    ];
    let segments =
        texts.iter().map(|(to, data)| Segment { to: *to, data, flags: 0x18, ..Segment::default() }.over_v4());
    compare_frames(&v4_frames(segments));
}

fn answer() -> Vec<u8> {
    let mut message = question(0x8580, [1, 2, 1, 1], 1, 1);
    message.extend(record(5, 1, 3600, &name("other.example")));
    message.extend(record(1, 1, 86_399, &[198, 18, 0, 9]));
    message.extend(record(2, 1, 1, &[1, b'n', 0xc0, 12]));
    message.extend(record(28, 1, 0, &v6(9)));
    message
}

#[test]
fn dns_reads_the_same() {
    let mut messages = vec![answer()];
    for kind in (0..110).chain([249, 250, 251, 252, 253, 254, 255, 256, 257, 999]) {
        messages.push(question(0x0100, [1, 0, 0, 0], kind, 1));
    }
    for class in [3, 4, 254, 255, 7] {
        messages.push(question(0x0100, [1, 0, 0, 0], 1, class));
    }
    for bit in 0..16 {
        messages.push(question(1 << bit, [1, 0, 0, 0], 1, 1));
        messages.push(question(0x8000 | 1 << bit, [1, 0, 0, 0], 1, 1));
    }
    for code in 0..16 {
        messages.push(question(0x8180 | code, [1, 0, 0, 0], 1, 1));
        messages.push(question(code << 11, [1, 0, 0, 0], 1, 1));
    }
    messages.push(question(0x0100, [0, 1, 2, 3], 1, 1));
    let soa = [
        name("a.example"),
        name("b.example"),
        vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5],
    ]
    .concat();
    let records: &[(u16, u16, Vec<u8>)] = &[
        (6, 1, soa),
        (15, 1, [vec![0, 10], name("mail.example")].concat()),
        (16, 1, [&[5][..], b"a \x01\xffb", &[3], b"two"].concat()),
        (33, 1, [vec![0, 1, 0, 2, 0x1f, 0x90], name("web.example")].concat()),
        (12, 1, name("ptr.example")),
        (39, 1, name("d.example")),
        (28, 1, v6(3).to_vec()),
        (1, 3, vec![1, 2, 3, 4]),
        (43, 1, vec![1, 2, 3, 4]),
        (1, 1, vec![1, 2]),
        (5, 1, vec![0xc0, 12]),
        (5, 1, vec![0xc0, 41]),
        (5, 1, vec![0xff, 0xff]),
        (5, 1, vec![0x80]),
        (99, 1, [&[3][..], b"spf"].concat()),
        (65, 1, vec![1, 2, 3]),
    ];
    for (kind, class, data) in records {
        let mut message = question(0x8180, [1, 1, 0, 0], *kind, 1);
        message.extend(record(*kind, *class, 90_061, data));
        messages.push(message);
    }
    for options in [
        &[][..],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 3, 0, 2, 65, 66, 0, 12, 0, 3, 0, 0, 0],
        &[0, 99, 0, 1, 7],
    ] {
        for (class, ttl) in [(1232_u16, 0x8000_u32), (512, 0), (4096, 0x0100_0000)] {
            for flags in [0x0100, 0x8180] {
                let mut message = question(flags, [1, 0, 0, 1], 1, 1);
                message.push(0);
                message.extend([41_u16.to_be_bytes(), class.to_be_bytes()].concat());
                message.extend(ttl.to_be_bytes());
                message.extend((options.len() as u16).to_be_bytes());
                message.extend(options);
                messages.push(message);
            }
        }
    }
    let over_udp = messages.iter().map(|message| udp_over_v4(40_000, 53, message));
    let over_tcp = messages.iter().map(|message| {
        let data = [&(message.len() as u16).to_be_bytes()[..], message].concat();
        Segment { to: 53, data: &data, ..Segment::default() }.over_v4()
    });
    let multicast = messages.iter().map(|message| udp_over_v4(5353, 5353, message));
    compare_frames(&v4_frames(over_udp.chain(over_tcp).chain(multicast)));
}

#[test]
fn datagrams_of_the_port_of_broadcoms_shim_read_the_same() {
    let inner = Segment { options: OPTIONS[0], ..Segment::default() }.over_v4();
    let framed = ethernet(0x0800, &inner);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for kind in 0..16_u32 {
        let payload: &[u8] = match kind {
            4 | 5 => &inner,
            7 => &framed,
            _ => &[0x60; 44],
        };
        let word = ((kind & 7) << 29) | (kind << 25) | ((kind & 7) << 22) | (1000 + kind);
        let data = [&word.to_be_bytes()[..], payload].concat();
        frames.push(ethernet(0x0800, &udp_over_v4(49_152, 9, &data)));
    }
    frames.push(ethernet(0x0800, &udp_over_v4(9, 49_152, &[0x88, 0, 0, 1])));
    frames.push(ethernet(0x0800, &udp_over_v4(49_152, 9, &[1, 2, 3])));
    frames.push(ethernet(0x0800, &udp_over_v4(49_152, 9, &[0x88, 0, 0, 1, 0x11])));
    frames.push(ethernet(0x0800, &udp_over_v4(49_152, 9, &[0x88, 0, 0, 1])));
    compare_frames(&frames);
    for frame in &frames[4..7] {
        let cut: Vec<(Vec<u8>, usize)> =
            (0..frame.len()).map(|len| (frame[..len].to_vec(), frame.len())).collect();
        compare(&pcap_cut(1, &cut), &["-nt", "-ntv", "-ntvv", "-nte"]);
    }
}

#[test]
fn udp_reads_the_same() {
    let good = udp_over_v4(1, 9, b"data");
    let mut no_checksum = good.clone();
    no_checksum[26..28].fill(0);
    let mut wrong = good.clone();
    wrong[27] ^= 1;
    let mut short = good.clone();
    short[24..26].copy_from_slice(&[0, 3]);
    let mut long = good.clone();
    long[24..26].copy_from_slice(&[0, 99]);
    // The first fragment of a long one.
    let mut first = good.clone();
    first[6] |= 0x20;
    first[24..26].copy_from_slice(&[15, 168]);
    let mut frames =
        v4_frames([good, no_checksum, wrong, short, long, first, V4::default().around(17, &[1, 2, 3])]);
    for over_v6 in [
        ipv6(0, 17, &[], 17, &datagram(1, 9, b"data"), 6),
        ipv6(0x0b81_2345, 17, &[], 17, &datagram(1, 9, b""), 6),
    ] {
        let mut wrong = over_v6.clone();
        wrong[47] ^= 1;
        frames.extend([ethernet(0x86dd, &over_v6), ethernet(0x86dd, &wrong)]);
    }
    compare_frames(&frames);
}

#[test]
fn icmp_reads_the_same() {
    let quoted = udp_over_v4(40_000, 33_434, b"probe");
    let tcp = Segment::default().over_v4();
    let other = V4::default().around(200, &[0; 12]);
    let mut frames = Vec::new();
    for quoted in [&quoted, &tcp, &other] {
        for (kind, codes) in [(3, 0..18), (4, 0..1), (5, 0..5), (11, 0..3), (12, 0..3)] {
            for code in codes {
                let message = [&[kind, code, 0, 0, 0, 0, 5, 0xdc][..], quoted].concat();
                frames.push(V4::default().carry(1, &message, 2));
                let message = [&[kind, code, 0, 0, 0, 0, 0, 0][..], quoted].concat();
                frames.push(V4::default().carry(1, &message, 2));
            }
        }
    }
    for kind in [0, 1, 2, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 30, 40, 255] {
        let body: Vec<u8> = (0..24).collect();
        frames.push(V4::default().carry(1, &[&[kind, 0, 0, 0], &body[..]].concat(), 2));
    }
    frames.push(V4::default().carry(
        1,
        &[9, 0, 0, 0, 2, 2, 7, 8, 1, 2, 3, 4, 0, 0, 0, 1, 5, 6, 7, 8, 0, 0, 0, 2],
        2,
    ));
    frames.push(V4::default().carry(1, &[9, 0, 0, 0, 0, 2, 0, 30], 2));
    let mut wrong = V4::default().carry(1, &[8, 0, 0, 0, 0, 1, 0, 2, 9, 9], 2);
    wrong[22] ^= 5;
    frames.push(wrong);
    compare_frames(&v4_frames(frames));
}

#[test]
fn icmp6_reads_the_same() {
    let quoted = ipv6(0, 17, &[], 17, &datagram(40_000, 33_434, b"probe"), 6);
    let tcp = Segment::default().over_v6();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for quoted in [&quoted, &tcp] {
        for (kind, codes) in [(1_u8, 0..6_u8), (2, 0..1), (3, 0..3), (4, 0..5)] {
            for code in codes {
                messages.push([&[kind, code, 0, 0, 0, 0, 5, 0][..], quoted].concat());
            }
        }
    }
    messages.push(vec![128, 0, 0, 0, 0, 7, 0, 1, 9]);
    messages.push(vec![129, 0, 0, 0, 0, 7, 0, 1, 9]);
    let link = [1, 1, 2, 0, 0, 0, 0, 1];
    let prefix = [&[3, 4, 64, 0xc0, 0, 0, 14, 16, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &v6(0)].concat();
    let servers = [&[25, 3, 0, 0, 0, 0, 4, 0][..], &v6(7)].concat();
    let search = [&[31, 3, 0, 0, 0, 0, 4, 0][..], &name("a.example"), &[0; 5]].concat();
    let route = [&[24, 3, 48, 8, 0, 0, 1, 0][..], &v6(0)].concat();
    let other =
        [&[5, 1, 0, 0, 0, 0, 5, 0xdc][..], &[7, 1, 0, 0, 0, 0, 3, 0xe8], &[8, 1, 0, 0, 0, 1, 0, 2]].concat();
    let unknown = [200, 1, 1, 2, 3, 4, 5, 6];
    let options = [&link[..], &prefix, &servers, &search, &route, &other, &unknown, &link].concat();
    messages.push([&[133, 0, 0, 0, 0, 0, 0, 0][..], &link].concat());
    for flags in [0, 0x08, 0x18, 0xe0, 0xff] {
        messages.push([&[134, 0, 0, 0, 64, flags, 7, 8, 0, 0, 0, 1, 0, 0, 0, 2][..], &options].concat());
    }
    for flags in [0, 0x20, 0x60, 0xe0] {
        messages.push([&[136, 0, 0, 0, flags, 0, 0, 0][..], &v6(1), &[2, 1, 2, 0, 0, 0, 0, 1]].concat());
    }
    messages.push([&[135, 0, 0, 0, 0, 0, 0, 0][..], &v6(1), &link].concat());
    messages.push([&[135, 0, 0, 0, 0, 0, 0, 0][..], &v6(1), &[1, 0]].concat());
    messages.push([&[137, 0, 0, 0, 0, 0, 0, 0][..], &v6(1), &v6(2), &link].concat());
    for kind in [130, 131, 132] {
        messages.push([&[kind, 0, 0, 0, 3, 0xe8, 0, 0][..], &v6(5)].concat());
    }
    messages.push([&[130, 0, 0, 0, 0x90, 1, 0, 0][..], &v6(5), &[10, 0x90, 0, 1], &v6(6)].concat());
    messages.push([&[130, 0, 0, 0, 0, 1, 0, 0][..], &v6(5), &[0, 9, 0, 0]].concat());
    messages.push(vec![130, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let mut report = vec![143, 0, 0, 0, 0, 0, 0, 7];
    for kind in 1..8 {
        report.extend([kind, 0, 0, 1]);
        report.extend(v6(kind));
        report.extend(v6(9));
    }
    messages.push(report);
    for kind in [141, 142, 200, 255, 77] {
        messages.push(vec![kind, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    }
    let mut frames: Vec<Vec<u8>> =
        messages.iter().map(|m| ethernet(0x86dd, &ipv6(0, 58, &[], 58, m, 2))).collect();
    let mut wrong = ipv6(0, 58, &[], 58, &[128, 0, 0, 0, 0, 7, 0, 1, 9], 2);
    wrong[43] ^= 1;
    frames.push(ethernet(0x86dd, &wrong));
    compare_frames(&frames);
}

#[test]
fn headers_of_ip_read_the_same() {
    let inside = datagram(1, 9, b"data");
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let options: &[&[u8]] = &[
        &[7, 11, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0],
        &[131, 11, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0],
        &[137, 7, 4, 1, 2, 3, 4, 0],
        &[68, 12, 5, 0, 0, 0, 0, 1, 0, 0, 0, 2],
        &[68, 12, 13, 0x51, 1, 2, 3, 4, 0, 0, 0, 2],
        &[68, 12, 5, 3, 1, 2, 3, 4, 0, 0, 0, 2],
        &[68, 8, 5, 9, 1, 2, 3, 4],
        &[148, 4, 0, 0],
        &[148, 4, 0, 9],
        &[130, 4, 1, 2, 82, 4, 1, 2],
        &[1, 1, 1, 0],
        &[99, 3, 1, 0],
        &[99, 1, 1, 0],
        &[99, 60, 1, 0],
        &[7, 2, 0, 0],
        &[7, 4, 9, 0],
    ];
    for options in options {
        frames.push(V4 { options, ..V4::default() }.carry(17, &inside, 6));
    }
    for tos in [0, 1, 2, 3, 0xb8] {
        for fragment in [0, 0x4000, 0x8000, 0x2000, 0x2003, 3, 0xe000] {
            frames.push(V4 { tos, fragment, ..V4::default() }.carry(17, &inside, 6));
        }
    }
    for protocol in 0..=255 {
        frames.push(V4 { fragment: 3, ..V4::default() }.around(protocol, &inside));
    }
    for protocol in [0, 3, 5, 58, 61, 133, 200, 255] {
        frames.push(V4 { ttl: 0, ..V4::default() }.around(protocol, &inside));
    }
    let mut wrong = udp_over_v4(1, 9, b"data");
    wrong[10] ^= 1;
    let mut longer = udp_over_v4(1, 9, b"data");
    longer[3] += 10;
    let mut shorter = udp_over_v4(1, 9, b"data");
    shorter[3] = 10;
    let mut version = udp_over_v4(1, 9, b"data");
    version[0] = 0x65;
    let mut header = udp_over_v4(1, 9, b"data");
    header[0] = 0x42;
    frames.extend([wrong, longer, shorter, version, header]);
    frames.push(V4::default().around(4, &udp_over_v4(1, 9, b"inner")));
    frames.push(V4::default().around(41, &Segment::default().over_v6()));
    let mut frames = v4_frames(frames);
    let echo = [128, 0, 0, 0, 0, 7, 0, 1, 9];
    let chains: &[(u8, &[u8])] = &[
        (0, &[58, 0, 5, 2, 0, 0, 1, 0]),
        (60, &[58, 0, 1, 4, 0, 0, 0, 0]),
        (60, &[58, 0, 0, 0, 0x3e, 2, 1, 2]),
        (44, &[58, 0, 0, 1, 0, 0, 0, 9]),
        (44, &[58, 0, 0, 8, 0, 0, 0, 9]),
        (0, &[60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0]),
        (59, &[]),
        (200, &[]),
    ];
    for (next, chain) in chains {
        frames.push(ethernet(0x86dd, &ipv6(0x0021_2345, *next, chain, 58, &echo, 2)));
    }
    let mut version = Segment::default().over_v6();
    version[0] = 0x45;
    let mut longer = Segment::default().over_v6();
    longer[5] += 9;
    frames.extend([ethernet(0x86dd, &version), ethernet(0x86dd, &longer), ethernet(0x86dd, &[0x60; 20])]);
    compare_frames(&frames);
}

fn arp(operation: u8) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend([2, 0, 0, 0, 0, 1, 198, 18, 0, 1, 2, 0, 0, 0, 0, 9, 198, 18, 0, 2]);
    packet
}

#[test]
fn arp_and_frames_of_other_types_read_the_same() {
    let mut frames: Vec<Vec<u8>> = (0..12).map(|operation| ethernet(0x0806, &arp(operation))).collect();
    let mut asks = arp(1);
    asks[18..24].fill(0);
    frames.push(ethernet(0x0806, &asks));
    for (at, value) in [(1, 6), (1, 77), (2, 9), (4, 0), (5, 3)] {
        let mut odd = arp(1);
        odd[at] = value;
        frames.push(ethernet(0x0806, &odd));
    }
    frames.push(ethernet(0x8035, &arp(3)));
    frames.push(ethernet(0x1234, b"unknown to everybody"));
    frames.push(ethernet(0x8100, &tag(0x3007, 0x0800, &udp_over_v4(1, 9, b"data"))));
    frames.push(ethernet(0x88a8, &tag(5, 0x8100, &tag(0xe064, 0x86dd, &Segment::default().over_v6()))));
    frames.push(ethernet(0x8100, &tag(1, 0x1234, b"unknown")));
    compare_frames(&frames);
}

#[test]
fn packets_without_a_link_layer_read_the_same() {
    let packets = [udp_over_v4(1, 9, b"data"), Segment::default().over_v6(), vec![0x10; 30]];
    compare(&pcap(101, &packets), FLAGS);
    compare(&pcap(228, &packets[..1]), FLAGS);
    compare(&pcap(229, &packets[1..2]), FLAGS);
    let null: Vec<Vec<u8>> =
        packets[..2].iter().zip([2_u32, 24]).map(|(p, f)| [&f.to_le_bytes()[..], p].concat()).collect();
    compare(&pcap(0, &null), FLAGS);
}

#[test]
fn ports_and_hosts_have_the_names_of_the_system() {
    let local = V4 { from: [127, 0, 0, 1], to: [127, 0, 0, 1], ..V4::default() };
    let ports = [(53, 1000), (80, 443), (21, 22), (67, 123), (8080, 65_535), (110, 25)];
    let tcp = ports
        .iter()
        .map(|&(from, to)| local.carry(6, &Segment { from, to, ..Segment::default() }.bytes(), 16));
    let udp = ports
        .iter()
        .filter(|(from, _)| !matches!(from, 53 | 67))
        .map(|&(from, to)| local.carry(17, &datagram(from, to, b"x"), 6));
    let fragment = V4 { fragment: 9, ..local }.around(17, b"rest");
    compare(&pcap(101, &tcp.chain(udp).chain([fragment]).collect::<Vec<_>>()), &["-t", "-tv"]);
}
