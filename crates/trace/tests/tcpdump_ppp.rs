//! Frames of PPP beside tcpdump itself, and compressed ones, which it gets wrong.

mod peer;
mod vectors;

use bypath_trace::style::Names;
use bypath_trace::style::tcpdump::{Options, Tcpdump, TimeForm};
use peer::build::pcap;
use peer::{assert_same_lines, printed, tcpdump_is_4_99, tool};
use vectors::unhex;

/// From the protocol field on: LCP with all its codes, PAP, CHAP, IPCP, CCP, IPV6CP, and what is shown as bytes.
const FRAMES: &[&str] = &[
    "c021010100180206000a00000506deadbeef070208020304c023",
    "c0210201000e010405dc0506deadbeef",
    "c021030200090305c22305",
    "c0210402000d0d0306110406001202",
    "c0210503000b75736572206875",
    "c02106030004",
    "c021070400080e010004",
    "c0210805000880fd0101",
    "c02109060008deadbeef",
    "c0210a06000adeadbeef0102",
    "c0210b060008deadbeef",
    "c0210d06000cdeadbeef0000003c",
    "c0230107000d036164610473336372",
    "c0230207000803796573",
    "c0230307000500",
    "c2230108000c0401020304697370",
    "c2230208000c04aabbccdd616461",
    "c223030800066f6b",
    "c223040800066e6f",
    "80210109001c0306000000000206002d0f01810600000000830600000000",
    "80210209000a03060a000001",
    "80210109000e010a0a0000010a000002",
    "80fd010a000f15032f1a0478001804782f",
    "80fd010a000c1206010000e10102",
    "80fd0e0b0004",
    "80fd0f0b0004",
    "8057010c000e010a0011223344556677",
    "00fd123456",
    "c0250101010101010101010101010101010101010101",
    "c2270101000501",
    "4003616263",
    "0021450000295c3640004006e0967f0000017f000001c93fc94087b3310187b1b62f501880907022000038",
    "21450000295c3640004006e0967f0000017f000001c93fc94087b3310187b1b62f501880907022000038",
];

fn style(flags: &str) -> Tcpdump {
    let options = Options {
        time: TimeForm::of_count(1).unwrap(),
        verbose: flags.matches('v').count() as u8,
        link: flags.contains('e'),
        numeric: true,
        ..Options::default()
    };
    Tcpdump::new(options, Names::default())
}

fn compare(link: u32, frames: &[Vec<u8>]) {
    if !tcpdump_is_4_99() {
        return;
    }
    let capture = pcap(link, frames);
    for flags in ["-nt", "-ntv", "-nte", "-ntev"] {
        let theirs = tool("tcpdump", &["-r", "-", flags], &capture);
        assert_same_lines(&printed(&mut style(flags), &capture), &theirs, flags);
    }
}

#[test]
fn frames_with_and_without_address_read_the_same() {
    let plain: Vec<Vec<u8>> = FRAMES.iter().map(|frame| unhex(frame)).collect();
    let addressed: Vec<Vec<u8>> = plain.iter().map(|frame| [&[0xff, 0x03], &frame[..]].concat()).collect();
    compare(9, &addressed);
    compare(9, &plain);
    // tcpdump takes no short protocol field there.
    let long = |frame: &&Vec<u8>| frame[2] & 1 == 0;
    compare(50, &addressed.iter().filter(long).cloned().collect::<Vec<_>>());
}

#[test]
fn compressed_packets_have_their_headers_and_directions() {
    let packets: Vec<_> = vectors::pop3_over_ppp().split_off(4);
    let records: Vec<Vec<u8>> = packets.iter().map(|packet| packet.bytes.clone()).collect();
    let text = printed(&mut style("-nte"), &pcap(204, &records));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 14);
    assert_eq!(
        lines[2],
        "Out VJNC IP (0x002f), length 41: 209.179.45.140.51690 > 207.217.121.215.110: Flags [.], ack 1, win 33580, length 0"
    );
    assert_eq!(
        lines[4],
        "Out VJC IP (0x002d), length 20: 209.179.45.140.51690 > 207.217.121.215.110: Flags [P.], seq 1:15, ack 73, win 33580, length 14"
    );
    let text = printed(&mut style("-nt"), &pcap(204, &records[4..]));
    assert_eq!(text.lines().next(), Some("VJC IP, tossed: no full packet of connection 15 came before it"));
}
