//! Captures of every make, and files that are none.

mod peer;

use bypath_trace::read::{Capture, Format, ReadError};
use bypath_trace::{Direction, LinkType, Timestamp, XdpAction};
use peer::build::{ethernet, pcap, udp_over_v4};

fn frame() -> Vec<u8> {
    ethernet(0x0800, &udp_over_v4(1, 9, b"data"))
}

/// A pcap file in any byte order, of any unit of time.
fn classic(magic: u32, big: bool, extra: usize) -> Vec<u8> {
    let four = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let two = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let data = frame();
    let mut file = [&four(magic)[..], &two(2), &two(4), &[0; 8], &four(65_535), &four(1)].concat();
    for second in [7, 5] {
        file.extend([four(second), four(123_456), four(data.len() as u32), four(99)].concat());
        file.extend(vec![0; extra]);
        file.extend(&data);
    }
    file
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let four = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = four(body.len() as u32 + 12);
    [&four(kind)[..], &len, &body, &len].concat()
}

/// A section with an interface of Ethernet in nanoseconds and one of raw IP in the usual unit, and packets of both.
fn section(big: bool) -> Vec<u8> {
    let four = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let two = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut file = block(big, 0x0a0d_0d0a, &[&four(0x1a2b_3c4d)[..], &two(1), &two(0), &[0xff; 8]].concat());
    let options = [&two(2)[..], &two(4), b"eth0", &two(9), &two(1), &[9, 0, 0, 0], &[0; 4]].concat();
    file.extend(block(big, 1, &[&two(1)[..], &two(0), &four(0), &options].concat()));
    file.extend(block(big, 1, &[&two(101)[..], &two(0), &four(0)].concat()));
    file.extend(block(big, 4, b"names nobody asked for"));
    let data = frame();
    let packet = |interface, low, data: &[u8], options: &[u8]| {
        let len = four(data.len() as u32);
        let mut body = [&four(interface)[..], &four(1), &four(low), &len, &len, data].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        block(big, 6, &body)
    };
    let eight = |number: u64| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let note = [&two(1)[..], &two(5), b"a not\0\0\0", &two(2), &two(4), &four(2)].concat();
    let missing = [&two(4)[..], &two(8), &eight((1 << 32) + 9)].concat();
    let queue = [&two(6)[..], &two(4), &four(3)].concat();
    let verdict = [&two(7)[..], &two(9), &[2], &eight(4), &[0; 3]].concat();
    let options = [note, missing, queue, verdict, vec![0; 4]].concat();
    file.extend(packet(0, 5, &data, &options));
    file.extend(packet(1, 7, &data[14..], &[]));
    file.extend(block(big, 3, &[&four(data.len() as u32)[..], &data].concat()));
    file
}

fn error_of(file: &[u8]) -> ReadError {
    match Capture::open(file) {
        Err(error) => error,
        Ok(mut capture) => loop {
            match capture.next_record() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("nothing is wrong"),
                Err(error) => return error,
            }
        },
    }
}

#[test]
fn the_classic_format_is_read_in_every_order_and_unit() {
    let nanos = 7_000_123_456;
    for big in [false, true] {
        for (magic, format, time, extra) in [
            (0xa1b2_c3d4, Format::PcapMicros, 7_123_456_000, 0),
            (0xa1b2_3c4d, Format::PcapNanos, nanos, 0),
            (0xa1b2_cd34, Format::PcapModified, 7_123_456_000, 8),
        ] {
            let file = classic(magic, big, extra);
            let mut capture = Capture::open(file.as_slice()).unwrap();
            assert_eq!(capture.format(), format);
            let first = capture.next_record().unwrap().unwrap();
            assert_eq!((first.number, first.time, first.link), (1, Timestamp(time), LinkType::ETHERNET));
            assert_eq!((first.data, first.original_len), (frame().as_slice(), 99));
            // Times that go backwards are what the capture says.
            let second = capture.next_record().unwrap().unwrap();
            assert_eq!((second.number, second.time.since(Timestamp(time))), (2, -2_000_000_000));
            assert!(capture.next_record().unwrap().is_none());
        }
    }
}

#[test]
fn blocks_are_read_with_interfaces_and_what_each_packet_says_of_itself() {
    for big in [false, true] {
        // Two sections: the interfaces of the first are not those of the second.
        let file = [section(big), section(!big)].concat();
        let mut capture = Capture::open(file.as_slice()).unwrap();
        for round in 0..2 {
            let first = capture.next_record().unwrap().unwrap();
            assert_eq!((first.interface, first.direction), (Some(0), Some(Direction::Out)));
            assert_eq!(
                (first.time, first.comments),
                (Timestamp((1 << 32) + 5), ["a not".to_owned()].as_slice())
            );
            assert_eq!((first.number, first.data), (round * 3 + 1, frame().as_slice()));
            assert_eq!((first.queue, first.missed_before), (Some(3), (1 << 32) + 9));
            assert_eq!(first.verdict, Some(XdpAction::Redirect));
            let second = capture.next_record().unwrap().unwrap();
            assert_eq!((second.queue, second.missed_before, second.verdict), (None, 0, None));
            assert_eq!((second.link, second.time), (LinkType::RAW, Timestamp(((1 << 32) + 7) * 1000)));
            assert!(second.comments.is_empty() && second.direction.is_none());
            let third = capture.next_record().unwrap().unwrap();
            assert_eq!((third.interface, third.data), (Some(0), frame().as_slice()));
            assert_eq!(capture.interfaces()[0].name.as_deref(), Some("eth0"));
        }
        assert!(capture.next_record().unwrap().is_none());
    }
}

#[test]
fn what_is_no_capture_is_named() {
    let known: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b"\x1f\x8b\x08\0rest of it", "compressed by gzip"),
        (b"\x28\xb5\x2f\xfdrest", "compressed by zstd"),
        (b"\x7fELF\x02\x01", "a program"),
        (b"snoop\0\0\0\0\0\0\x02", "a snoop capture"),
        (b"iptrace 2.0\0", "an iptrace capture"),
        (b"12:52:35.467121 eth0 > a > b\n", "text, which begins with \"12:52:35.467121 eth0 > a > b\""),
        (b"\xff\xfe\x01\x02\x03", "the bytes fffe0102"),
        (b"\0\0\0\0\0\0\0\0", "zeros"),
        (b"ab", "text"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 9, 0], "cut off after 6 bytes, within its header"),
        (
            &[
                0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0,
            ],
            "no byte order",
        ),
    ];
    for (file, what) in known {
        let error = error_of(file).to_string();
        assert!(error.contains(what), "{error}");
    }
    let mut old = classic(0xa1b2_c3d4, false, 0);
    old[4] = 1;
    assert!(error_of(&old).to_string().contains("version 1.4"));
}

#[test]
fn a_capture_that_is_cut_off_is_read_up_to_there() {
    for file in [pcap(1, &[frame(), frame(), frame()]), section(false)] {
        let whole = count(&file).0;
        for len in 28..file.len() {
            let (packets, error) = count(&file[..len]);
            assert!(packets <= whole);
            // It may end between two packets: then nothing is missing.
            if let Some(error) = error {
                let ReadError::Truncated { offset, needed, got, .. } = error else { panic!("{error}") };
                assert!(offset == len as u64 && got < needed, "{len}: {offset}, {got} of {needed}");
            }
        }
    }
}

fn count(file: &[u8]) -> (usize, Option<ReadError>) {
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(error) => return (0, Some(error)),
    };
    let mut packets = 0;
    loop {
        match capture.next_record() {
            Ok(Some(_)) => packets += 1,
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

#[test]
fn lengths_that_lie_are_damage_with_a_place() {
    let mut long = pcap(1, &[frame(), frame()]);
    let second = 24 + 16 + frame().len();
    long[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let ReadError::Corrupt { offset, what } = error_of(&long) else { panic!() };
    assert_eq!((offset, what.as_str()), (second as u64, "packet 2 would have 4294967295 bytes"));

    let mut block = section(false);
    let last = block.len() - 4;
    block[last] ^= 4;
    assert!(error_of(&block).to_string().contains("begins with the length"));
    let mut zero = section(false);
    zero[32..36].fill(0);
    assert!(error_of(&zero).to_string().contains("would have 0 bytes"));
}

/// Packets without end, and how many were asked for.
struct Endless {
    header: Vec<u8>,
    packet: Vec<u8>,
    at: u64,
    until: u64,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut got = 0;
        while got < buffer.len() && self.at < self.until {
            let at = self.at as usize;
            let from = match at.checked_sub(self.header.len()) {
                None => &self.header[at..],
                Some(behind) => &self.packet[behind % self.packet.len()..],
            };
            let len = from.len().min(buffer.len() - got);
            buffer[got..got + len].copy_from_slice(&from[..len]);
            got += len;
            self.at += len as u64;
        }
        Ok(got)
    }
}

#[test]
fn a_gigabyte_on_a_pipe_takes_no_more_memory_than_a_packet() {
    let file = pcap(1, &[vec![7; 60_000]]);
    let (header, packet) = (file[..24].to_vec(), file[24..].to_vec());
    let until = 24 + packet.len() as u64 * 18_000;
    let mut capture = Capture::open(Endless { header, packet, at: 0, until }).unwrap();
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    capture.next_record().unwrap().unwrap();
    let before = memory();
    let mut packets = 1;
    while capture.next_record().unwrap().is_some() {
        packets += 1;
    }
    assert_eq!(packets, 18_000);
    // Other tests may run in this process.
    assert!(memory() < before + 100_000, "{before} KiB before, {} after", memory());
}
