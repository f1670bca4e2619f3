//! The POP3 log-in in ipformat's layout: every field that was noted down is read back out of what is printed.

mod vectors;

use bypath_trace::read::Capture;
use bypath_trace::style::Style;
use bypath_trace::style::ipformat::Ipformat;
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use vectors::{Packet, unhex};

fn print(packets: &[Packet]) -> String {
    let mut style = Ipformat::new();
    let mut out = Vec::new();
    style.begin(&mut out).unwrap();
    for packet in packets {
        style.record(&packet.record(), &mut out).unwrap();
    }
    style.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text of each packet, without the line of its number.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.contains(" #:") && line.ends_with("---") {
            assert_eq!(line.trim_matches('-').trim(), format!("#:{}", blocks.len() + 1));
            blocks.push(String::new());
        } else if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The word behind a label.
fn field<'a>(block: &'a str, label: &str) -> &'a str {
    let (_, rest) = block.split_once(label).unwrap_or_else(|| panic!("no {label:?} in\n{block}"));
    rest.split_whitespace().next().unwrap()
}

fn number(block: &str, label: &str) -> u64 {
    let word = field(block, label);
    word.parse().unwrap_or_else(|_| panic!("{label} {word}"))
}

fn hex(block: &str, label: &str) -> u64 {
    u64::from_str_radix(field(block, label), 16).unwrap()
}

fn address(block: &str, label: &str) -> String {
    let numbers: Vec<String> =
        field(block, label).split('.').map(|number| number.parse::<u8>().unwrap().to_string()).collect();
    numbers.join(".")
}

/// The bytes of the hexadecimal block.
fn data(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some((_, rows)) = block.split_once(" DATA ---") {
        for (row, line) in rows.lines().skip(1).enumerate() {
            assert_eq!(usize::from_str_radix(&line[1..5], 16).unwrap(), row * 16);
            bytes.extend(unhex(&line[7..56].replace(' ', "")));
        }
    }
    bytes
}

#[test]
fn every_field_that_was_noted_down_is_printed() {
    let packets = vectors::pop3_over_ppp();
    let text = print(&packets);
    let blocks = blocks(&text);
    assert_eq!(blocks.len(), 18);
    for (packet, block) in packets.iter().zip(&blocks) {
        let noted = &packet.noted;
        let n = noted.n;
        let is = |label: &str, value: u64| assert_eq!(number(block, label), value, "{n}: {label}\n{block}");
        assert_eq!(field(block, "Delta Time:"), format!("{:.3}sec", noted.delta_seconds), "{n}");
        is("Packet Length:", noted.packet_length.unwrap().into());
        match noted.compressed_length {
            Some(length) => is("Compressed and Unfiltered Length:", length.into()),
            None => assert!(!block.contains("Unfiltered"), "{n}"),
        }
        match noted.ppp_protocol {
            Some(protocol) => assert_eq!(hex(block, "PPP:  Protocol:"), u64::from(protocol), "{n}"),
            None => assert!(!block.contains("PPP"), "{n}"),
        }
        assert_eq!(address(block, "Dest: "), noted.dst.to_string(), "{n}");
        assert_eq!(address(block, "Source: "), noted.src.to_string(), "{n}");
        assert!(block.contains("Version: 4 Correct   Header Length: 20 bytes"), "{n}");

        assert_eq!(hex(block, "Type Of Service:"), u64::from(noted.tos), "{n}");
        for line in ["000. ....   Routine", "...0 ....   Normal Delay", ".... 0...   Normal Throughput"] {
            assert!(block.contains(line), "{n}: {line}");
        }
        is("Total Len:", noted.total_length.into());
        assert_eq!(hex(block, "Id:"), u64::from(noted.id), "{n}");
        is("IP:   Flags:", (noted.frag >> 13).into());
        let fragment = if noted.frag & 0x4000 != 0 { ".1..   Don't Fragment" } else { ".0..   May Fragment" };
        assert!(block.contains(fragment) && block.contains("..0.   Last Fragment"), "{n}");
        is("Fragment Offset:", 0);
        is("Time To Live:", noted.ttl.into());
        assert!(block.contains("Protocol: 6 TCP"), "{n}");
        assert!(block.contains(&format!("Header Checksum: {:04X} (Correct)", noted.ip_checksum)), "{n}");
        assert!(block.contains("IP:   No Options"), "{n}");

        is("Source Port:", noted.sport.into());
        is("Dest Port:", noted.dport.into());
        is("Sequence #:", noted.seq.into());
        is("Ack #:", noted.ack.into());
        is("Offset: ", 0);
        is("TCP:  Offset:", 20 + noted.tcp_options.len() as u64 / 2);
        for name in ["URG", "ACK", "PSH", "RST", "SYN", "FIN"] {
            let set = noted.flags.iter().any(|flag| flag == name);
            assert_eq!(block.contains(&format!("<{name}>")), set, "{n}: {name}");
        }
        is("Window:", noted.window.into());
        assert!(block.contains(&format!("   Checksum: {:04X} (Correct)", noted.tcp_checksum)), "{n}");
        is("Urgent Pointer:", noted.urg.into());
        match block.split_once("TCP:  Options: ").map(|(_, rest)| rest.lines().next().unwrap()) {
            Some(options) => {
                let (_, bytes) = options.split_once(": ").unwrap();
                assert_eq!(bytes.replace(' ', "").to_lowercase(), noted.tcp_options, "{n}");
                assert!(block.contains("Maximum Segment Size: 1460"), "{n}");
            }
            None => assert!(noted.tcp_options.is_empty() && block.contains("TCP:  No Options"), "{n}"),
        }
        assert_eq!(data(block), unhex(noted.payload_hex.as_deref().unwrap()), "{n}");
    }
}

#[test]
fn a_compressed_packet_is_laid_out_like_this() {
    let text = print(&vectors::pop3_over_ppp());
    let expected = "\
-------------------------- #:9 --------------------------
 Delta Time:     0.000sec   Packet Length: 55 bytes (37 hex)
 PPP:  Protocol: 2D VJ compressed TCP/IP   Sent
 PPP:  Compressed and Unfiltered Length: 23 bytes (17 hex)
 IP:   Dest: 207.217.121.215   Source: 209.179.045.140
----------------------- IP HEADER -----------------------
 IP:   Version: 4 Correct   Header Length: 20 bytes
 IP:   Type Of Service: 00
 IP:       000. ....   Routine
 IP:       ...0 ....   Normal Delay
 IP:       .... 0...   Normal Throughput
 IP:       .... .0..   Normal Reliability
 IP:   Total Len: 54 (x36) bytes   Id: 5C3A
 IP:   Flags: 2
 IP:       .1..   Don't Fragment
 IP:       ..0.   Last Fragment
 IP:   Fragment Offset: 000
 IP:   Time To Live: 64 sec   Protocol: 6 TCP
 IP:   Header Checksum: 9597 (Correct)
 IP:   No Options
---------------------- TCP HEADER -----------------------
 TCP:  Source Port: 51690 (Unassigned port)   Dest Port: 110 (pop3)
 TCP:  Sequence #: 2383959363
 TCP:  Ack #: 1959031695
 TCP:  Offset: 20 bytes
 TCP:  Flags: 18
 TCP:      ..0. ....          Urgent bit Off
 TCP:      ...1 ....   <ACK>  Acknowledgement bit On
 TCP:      .... 1...   <PSH>  Push bit On
 TCP:      .... .0..          Reset bit Off
 TCP:      .... ..0.          Synchronize bit Off
 TCP:      .... ...0          Finish bit Off
 TCP:  Window: 33580   Checksum: 6776 (Correct)
 TCP:  Urgent Pointer: 0
 TCP:  No Options
------------------------- DATA --------------------------
 0000   55 53 45 52 20 73 74 65 76 65 33 35 0D 0A         USER steve35..
------------------------- #:10 --------------------------
";
    let from = text.find("-------------------------- #:9").unwrap();
    assert_eq!(&text[from..from + expected.len()], expected);
}

#[test]
fn a_capture_file_of_both_interfaces_is_printed_the_same() {
    let packets = vectors::pop3_over_ppp();
    let file = vectors::capture_of(&packets);
    let mut capture = Capture::open(&file[..]).unwrap();
    let (mut style, mut out) = (Ipformat::new(), Vec::new());
    while let Some(record) = capture.next_record().unwrap() {
        style.record(&record, &mut out).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap(), print(&packets));
}

fn record<'a>(link: LinkType, data: &'a [u8], direction: Option<Direction>) -> Record<'a> {
    let original_len = data.len() as u32;
    let time = Timestamp(0);
    Record { number: 1, time, link, direction, original_len, data, ..Record::default() }
}

fn print_one(style: &mut Ipformat, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    style.record(record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_wrong_checksum_is_told_with_the_right_one() {
    let mut packets = vectors::pop3_login();
    packets[13].bytes[8] -= 1;
    packets[13].bytes[50] ^= 0x20;
    let text = print(&packets[13..14]);
    assert!(text.contains("Header Checksum: 5A40 (Incorrect, should be 5B40)"), "{text}");
    assert!(text.contains("Checksum: CAFC (Incorrect, should be "), "{text}");
    packets[13].bytes.truncate(50);
    let cut = Record { original_len: 79, ..packets[13].record() };
    let text = print_one(&mut Ipformat::new(), &cut);
    assert!(text.contains("Checksum: CAFC (Not Verified)"), "{text}");
    assert!(text.contains("Packet Length: 79 bytes"), "{text}");
}

#[test]
fn what_cannot_be_expanded_is_told_and_shown() {
    let packets = vectors::pop3_over_ppp();
    let text = print(&packets[8..9]);
    assert!(text.contains("Not expanded: no full packet of connection 15 came before it"), "{text}");
    assert!(text.contains("Compressed and Unfiltered Length: 23 bytes"), "{text}");
    assert!(text.contains("USER steve3\n"), "{text}");
}

#[test]
fn the_negotiation_of_a_link_is_told_and_its_map_is_kept() {
    let mut style = Ipformat::new();
    let mut print = |direction: u8, frame: &[u8]| {
        let data = [&[direction, 0xff, 0x03], frame].concat();
        print_one(&mut style, &record(LinkType::PPP_WITH_DIRECTION, &data, None))
    };
    let text = print(0, b"\xc0\x21\x01\x01\0\x0e\x02\x06\0\0\0\0\x03\x04\xc0\x23");
    for line in [
        " PPP:  Protocol: C021 LCP   Received\n",
        " LCP:  Code: 1 Configure-Request   Id: 1\n LCP:  Length: 14 bytes\n",
        " LCP:      async map 00000000\n LCP:      authentication PAP\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    // 14 bytes, protocol, address and control, flag and check sequence; and the control characters escaped.
    assert!(text.contains("Packet Length: 21 bytes"), "{text}");
    assert!(text.contains("Compressed and Unfiltered Length: 3"), "{text}");
    print(1, b"\xc0\x21\x02\x01\0\x0a\x02\x06\0\0\0\0");
    // What is sent now is not escaped any more.
    let text = print(1, b"\xc0\x23\x01\x02\0\x0d\x03ada\x04s3cr");
    assert!(!text.contains("Unfiltered"), "{text}");
    assert!(text.contains(" PAP:  name \"ada\", password \"s3cr\"\n"), "{text}");
}

#[test]
fn other_packets_have_their_fields_too() {
    let arp = unhex("ffffffffffff0200000000010806000108000604000102000000000ac61200010000000000000ac61200");
    let mut arp = arp;
    arp.truncate(42);
    let text = print_one(&mut Ipformat::new(), &record(LinkType::ETHERNET, &arp, None));
    assert!(text.contains(" DIX:  Dest: FF:FF:FF:FF:FF:FF   Source: 02:00:00:00:00:01\n"), "{text}");
    assert!(text.contains(" ARP:  Operation: 1 ARP Request\n"), "{text}");

    let download = vectors::ftp_download();
    let text = print(&download[..1]);
    assert!(text.contains(" UDP:  Source Port: 1107 (Unassigned port)   Dest Port: 53 (domain)\n"), "{text}");
    assert!(text.contains(" UDP:  Length: 77 (x4D) bytes   Checksum: "), "{text}");
    assert_eq!(text.matches("(Correct)").count(), 2, "{text}");
}

#[test]
fn any_bytes_can_be_printed() {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut style = Ipformat::new();
    for link in [0, 1, 9, 50, 101, 113, 204, 228, 229, 276, 9999] {
        for len in (0..120).chain([0, 1, 40, 60]) {
            let mut data: Vec<u8> = (0..len).map(|_| next()).collect();
            // Every other one of PPP is a frame of something that is understood.
            if let (true, Some(first)) = (len % 2 == 0, data.first_mut()) {
                *first = [0x2d, 0x2f, 0x21, 0x45][len / 2 % 4];
            }
            print_one(&mut style, &record(LinkType(link), &data, None));
        }
    }
}
