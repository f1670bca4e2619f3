//! What is written, read by tshark and capinfos, by their own idea of the format.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::read::Capture;
use crate::record::{Direction, LinkType, Timestamp, XdpAction};
use crate::style::Style;
use crate::style::fields::{Fields, find};

/// An ARP question, the shortest packet that needs padding when it is cut.
const ARP: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1,
    198, 18, 0, 1, 0, 0, 0, 0, 0, 0, 198, 18, 0, 2,
];
const START: i64 = 1_700_000_000_123_456_789;

fn packet<'a>(n: i64, data: &'a [u8], comments: &'a [&'a str]) -> Packet<'a> {
    Packet {
        interface: 0,
        time: Timestamp(START + n),
        original_len: ARP.len() as u32,
        data,
        direction: Some(if n % 2 == 0 { Direction::Out } else { Direction::In }),
        queue: Some(n as u32),
        dropped_before: 0,
        verdict: None,
        comments,
    }
}

fn interface() -> Interface<'static> {
    Interface {
        name: "near0",
        description: "AF_XDP, copy mode, MTU 1500",
        snap_len: 96,
        mac: Some([2, 0, 0, 0, 0, 1]),
        speed: Some(10_000_000_000),
        hardware: "veth",
        filter: "tcp port 80",
        ..Interface::default()
    }
}

fn tool(name: &str, file: &Path, args: &[&str]) -> String {
    let out = Command::new(name).args(args).arg(file).output().unwrap();
    assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn fields(file: &Path, names: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["-Tfields", "-E", "separator=|"];
    for name in names {
        args.extend(["-e", name]);
    }
    args.push("-r");
    tool("tshark", file, &args).lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

#[test]
fn tshark_reads_back_what_every_packet_says_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.pcapng");
    let section = Section { application: "bypath", os: "Linux", comment: "a test", ..Section::default() };
    let mut writer = PcapngWriter::new(Vec::new(), &section).unwrap();
    assert_eq!(writer.interface(&interface()).unwrap(), 0);
    writer.packet(&packet(0, &ARP, &[])).unwrap();
    let received = Packet {
        verdict: Some(XdpAction::Redirect),
        ..packet(1, &ARP[..17], &["dropped: not_ours", "again"])
    };
    writer.packet(&received).unwrap();
    writer.packet(&Packet { dropped_before: 7, ..packet(2, &ARP[..1], &[]) }).unwrap();
    let bare = Packet { direction: None, queue: None, ..packet(3, &ARP, &[]) };
    writer.packet(&bare).unwrap();
    let written = writer.written();
    let bytes = writer.into_inner();
    assert_eq!(bytes.len() as u64, written);
    std::fs::write(&path, bytes).unwrap();

    let names = [
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "frame.interface_name",
        "frame.interface_description",
        "frame.packet_flags_direction",
        "frame.interface_queue",
        "frame.drop_count",
        "frame.comment",
        "frame.verdict.ebpf_xdp",
    ];
    let rows = fields(&path, &names);
    assert_eq!(rows.len(), 4);
    for (n, row) in rows.iter().enumerate() {
        let nanos = 123_456_789 + n;
        assert!(row[0].contains(&nanos.to_string()), "{row:?}");
        assert_eq!((row[3].as_str(), row[4].as_str()), ("near0", "AF_XDP, copy mode, MTU 1500"));
        assert_eq!(row[1], "42");
    }
    let lens: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(lens, ["42", "17", "1", "42"]);
    let queues: Vec<&str> = rows.iter().map(|row| row[6].as_str()).collect();
    assert_eq!(queues, ["0", "1", "2", ""]);
    let directions: Vec<&str> =
        rows.iter().map(|row| row[5].trim_start_matches("0x").trim_start_matches('0')).collect();
    assert_eq!(directions, ["2", "1", "2", ""]);
    assert_eq!(rows[1][8], "dropped: not_ours,again");
    let verdicts: Vec<&str> = rows.iter().map(|row| row[9].as_str()).collect();
    assert_eq!(verdicts, ["", "4", "", ""]);
    assert_eq!(rows[2][7], "7");
    assert_eq!(rows[0][7], "");

    // And so do we.
    let ours =
        ["frame.len", "frame.cap_len", "frame.interface_queue", "frame.drop_count", "frame.verdict.ebpf_xdp"];
    let theirs: Vec<String> = fields(&path, &ours).iter().map(|row| row.join("\t")).collect();
    let mut style = Fields::new(ours.map(|name| find(name).unwrap()).to_vec());
    let (mut out, file) = (Vec::new(), std::fs::read(&path).unwrap());
    let mut capture = Capture::open(file.as_slice()).unwrap();
    while let Some(record) = capture.next_record().unwrap() {
        style.record(&record, &mut out).unwrap();
    }
    assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), theirs);
}

#[test]
fn capinfos_knows_the_interface_and_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.pcapng");
    let mut writer = PcapngWriter::new(Vec::new(), &Section::default()).unwrap();
    writer.interface(&interface()).unwrap();
    writer.interface(&Interface { name: "raw", link: LinkType::RAW, ..Interface::default() }).unwrap();
    writer.packet(&packet(0, &ARP, &[])).unwrap();
    let statistics = Statistics {
        start: Timestamp(START),
        end: Timestamp(START + 5),
        received: Some(12),
        missed: Some(3),
        delivered: Some(9),
        comment: "3 packets are missing",
        ..Statistics::default()
    };
    writer.statistics(0, &statistics).unwrap();
    std::fs::write(&path, writer.into_inner()).unwrap();
    let told = tool("capinfos", &path, &[]);
    for line in [
        "Name = near0",
        "Encapsulation = Ethernet",
        "Hardware = veth",
        "Speed = 10000000000",
        "Capture length = 96",
        "Time ticks per second = 1000000000",
        "Filter string = tcp port 80",
        "Number of stat entries = 1",
        "Number of packets = 1",
        "Name = raw",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn editcap_rewrites_it_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("c.pcapng"), dir.path().join("copy.pcap"));
    let mut writer = PcapngWriter::new(Vec::new(), &Section::default()).unwrap();
    writer.interface(&Interface::default()).unwrap();
    for n in 0..100 {
        writer.packet(&packet(n, &ARP[..(n as usize % 42) + 1], &["x"])).unwrap();
    }
    std::fs::write(&path, writer.into_inner()).unwrap();
    let out = Command::new("editcap").args(["-F", "nsecpcap"]).arg(&path).arg(&copy).output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    // A header of 24 bytes, and 16 before each packet.
    let expected: usize = 24 + (0..100).map(|n| 16 + n % 42 + 1).sum::<usize>();
    assert_eq!(std::fs::metadata(&copy).unwrap().len(), expected as u64);
}

#[test]
fn a_comment_longer_than_an_option_is_cut_between_characters() {
    let long = "ü".repeat(40_000);
    let mut writer = PcapngWriter::new(Vec::new(), &Section::default()).unwrap();
    writer.interface(&Interface::default()).unwrap();
    let before = writer.written();
    writer.packet(&packet(0, &ARP, &[&long])).unwrap();
    let len = writer.written() - before;
    assert!(len <= block_len(42, &[&long]) as u64);
    let bytes = writer.into_inner();
    let tail = &bytes[before as usize..];
    let text = tail.windows(4).position(|at| at == [1, 0, 0xfe, 0xff]).unwrap() + 4;
    assert!(std::str::from_utf8(&tail[text..text + 0xfffe]).is_ok());
}

#[test]
fn no_packet_block_is_longer_than_it_was_reckoned_to_be() {
    for len in 0..42 {
        let mut writer = PcapngWriter::new(Vec::new(), &Section::default()).unwrap();
        let before = writer.written();
        let full = Packet {
            dropped_before: 1,
            verdict: Some(XdpAction::Pass),
            ..packet(1, &ARP[..len], &["a", "bcdef"])
        };
        writer.packet(&full).unwrap();
        assert_eq!(writer.written() - before, block_len(len, &["a", "bcdef"]) as u64);
    }
}

#[test]
fn a_ring_keeps_the_last_files_each_of_them_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let preamble = |out| {
        let mut writer = PcapngWriter::new(out, &Section::default())?;
        writer.interface(&Interface::default())?;
        Ok(writer)
    };
    let path = dir.path().join("run.pcapng");
    let mut ring = RingFiles::create(&path, 1_000, 3, &preamble).unwrap();
    for n in 0..100 {
        let next = packet(n, &ARP, &[]);
        let statistics = Statistics { delivered: Some(1), ..Statistics::default() };
        let writer = ring
            .room_for(block_len(ARP.len(), &[]), &preamble, |writer| writer.statistics(0, &statistics))
            .unwrap();
        writer.packet(&next).unwrap();
    }
    let names = ring.finish().unwrap();
    let mut there: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    there.sort();
    assert_eq!(there, names);
    assert_eq!(names.len(), 3);
    let mut last = Vec::new();
    for name in &names {
        assert!(std::fs::metadata(name).unwrap().len() <= 1_000 + 200);
        last.extend(fields(name, &["frame.interface_queue"]).into_iter().map(|row| row[0].clone()));
    }
    let expected: Vec<String> = (100 - last.len()..100).map(|n| n.to_string()).collect();
    assert_eq!(last, expected, "the last ones, in order, none twice");
    assert!(!path.exists());
}

#[test]
fn the_files_of_a_run_that_did_not_begin_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let preamble = |out| PcapngWriter::new(out, &Section::default());
    let ring = RingFiles::create(&dir.path().join("run"), 1_000, 3, &preamble).unwrap();
    assert!(dir.path().join("run_00001").exists());
    ring.discard();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
