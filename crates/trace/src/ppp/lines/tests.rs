//! Beside what tcpdump printed.

use super::*;

/// Frames from their protocol field on, and what `tcpdump -v` printed of them, version 4.99.3.
#[rustfmt::skip]
const PRINTED: &[(&str, &str)] = &[
    (
        "c021010100180206000a00000506deadbeef070208020304c023",
        "LCP, Conf-Request (0x01), id 1, length 26\n\tencoded length 24 (=Option(s) length 20)\n\t  ACCM Option (0x02), length 6: 0x000a0000\n\t  Magic-Num Option (0x05), length 6: 0xdeadbeef\n\t  PFC Option (0x07), length 2\n\t  ACFC Option (0x08), length 2\n\t  Auth-Prot Option (0x03), length 4: PAP",
    ),
    (
        "c0210201000e010405dc0506deadbeef",
        "LCP, Conf-Ack (0x02), id 1, length 16\n\tencoded length 14 (=Option(s) length 10)\n\t  MRU Option (0x01), length 4: 1500\n\t  Magic-Num Option (0x05), length 6: 0xdeadbeef",
    ),
    (
        "c021030200090305c22305",
        "LCP, Conf-Nack (0x03), id 2, length 11\n\tencoded length 9 (=Option(s) length 5)\n\t  Auth-Prot Option (0x03), length 5: CHAP, MD5",
    ),
    (
        "c0210402000d0d0306110406001202",
        "LCP, Conf-Reject (0x04), id 2, length 15\n\tencoded length 13 (=Option(s) length 9)\n\t  Call-Back Option (0x0d), length 3: : Callback Operation CBCP (6)\n\t  MRRU Option (0x11), length 4: 1536\n\t  12-Bit seq # Option (0x12), length 2",
    ),
    (
        "c0210503000b75736572206875",
        "LCP, Term-Request (0x05), id 3, length 13\n\tencoded length 11 (=Option(s) length 7)",
    ),
    (
        "c02106030004",
        "LCP, Term-Ack (0x06), id 3, length 6\n\tencoded length 4 (=Option(s) length 0)",
    ),
    (
        "c021070400080e010004",
        "LCP, Code-Reject (0x07), id 4, length 10\n\tencoded length 8 (=Option(s) length 4)",
    ),
    (
        "c0210805000880fd0101",
        "LCP, Prot-Reject (0x08), id 5, length 10\n\tencoded length 8 (=Option(s) length 4)\n\t  Rejected CCP Protocol (0x80fd)\n\t  Rejected Packet\n\t    0x0000:  0101",
    ),
    (
        "c02109060008deadbeef",
        "LCP, Echo-Request (0x09), id 6, length 10\n\tencoded length 8 (=Option(s) length 4)\n\t  Magic-Num 0xdeadbeef",
    ),
    (
        "c0210a06000adeadbeef0102",
        "LCP, Echo-Reply (0x0a), id 6, length 12\n\tencoded length 10 (=Option(s) length 6)\n\t  Magic-Num 0xdeadbeef\n\t  -----trailing data-----\n\t  0x0000:  0102",
    ),
    (
        "c0210b060008deadbeef",
        "LCP, Disc-Req (0x0b), id 6, length 10\n\tencoded length 8 (=Option(s) length 4)\n\t  Magic-Num 0xdeadbeef",
    ),
    (
        "c0210d06000cdeadbeef0000003c",
        "LCP, Time-Rem (0x0d), id 6, length 14\n\tencoded length 12 (=Option(s) length 8)\n\t  Magic-Num 0xdeadbeef, Seconds-Remaining 60s",
    ),
    (
        "c0230107000d036164610473336372",
        "PAP, Auth-Req (0x01), id 7, Peer ada, Name s3cr",
    ),
    (
        "c0230207000803796573",
        "PAP, Auth-ACK (0x02), id 7, Msg yes",
    ),
    (
        "c0230307000500",
        "PAP, Auth-NACK (0x03), id 7, Msg ",
    ),
    (
        "c2230108000c0401020304697370",
        "CHAP, Challenge (0x01), id 8, Value 01020304, Name isp",
    ),
    (
        "c2230208000c04aabbccdd616461",
        "CHAP, Response (0x02), id 8, Value aabbccdd, Name ada",
    ),
    (
        "c223030800066f6b",
        "CHAP, Success (0x03), id 8, Msg ok",
    ),
    (
        "c223040800066e6f",
        "CHAP, Fail (0x04), id 8, Msg no",
    ),
    (
        "80210109001c0306000000000206002d0f01810600000000830600000000",
        "IPCP, Conf-Request (0x01), id 9, length 30\n\tencoded length 28 (=Option(s) length 24)\n\t  IP-Addr Option (0x03), length 6: 0.0.0.0\n\t  IP-Comp Option (0x02), length 6: VJ-Comp (0x2d):\n\t  Pri-DNS Option (0x81), length 6: 0.0.0.0\n\t  Sec-DNS Option (0x83), length 6: 0.0.0.0",
    ),
    (
        "80210209000a03060a000001",
        "IPCP, Conf-Ack (0x02), id 9, length 12\n\tencoded length 10 (=Option(s) length 6)\n\t  IP-Addr Option (0x03), length 6: 10.0.0.1",
    ),
    (
        "80210109000e010a0a0000010a000002",
        "IPCP, Conf-Request (0x01), id 9, length 16\n\tencoded length 14 (=Option(s) length 10)\n\t  IP-Addrs Option (0x01), length 10: src 10.0.0.1, dst 10.0.0.2",
    ),
    (
        "80fd010a000f15032f1a0478001804782f",
        "CCP, Conf-Request (0x01), id 10, length 17\n\tencoded length 15 (=Option(s) length 11)\n\t  BSD-Comp Option (0x15), length 3: Version: 1, Dictionary Bits: 15\n\t  Deflate Option (0x1a), length 4: Window: 7K, Method: zlib (0x8), MBZ: 0, CHK: 0\n\t  MVRCA Option (0x18), length 4: Features: 1, PxP: Enabled, History: 24, #CTX-ID: 47",
    ),
    (
        "80fd010a000c1206010000e10102",
        "CCP, Conf-Request (0x01), id 10, length 14\n\tencoded length 12 (=Option(s) length 8)\n\t  MPPC Option (0x12), length 6\n\t    0x0000:  0100 00e1\n\t  Pred-1 Option (0x01), length 2",
    ),
    (
        "80fd0e0b0004",
        "CCP, Reset-Req (0x0e), id 11, length 6\n\tencoded length 4 (=Option(s) length 0)",
    ),
    (
        "80fd0f0b0004",
        "CCP, Reset-Ack (0x0f), id 11, length 6\n\tencoded length 4 (=Option(s) length 0)",
    ),
    (
        "8057010c000e010a0011223344556677",
        "IP6CP, Conf-Request (0x01), id 12, length 16\n\tencoded length 14 (=Option(s) length 10)\n\t  Interface-ID Option (0x01), length 10: 0011:2233:4455:6677",
    ),
    (
        "00fd123456",
        "compressed PPP data",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn print(frame: &[u8], verbose: bool) -> Option<String> {
    let (header, payload) = crate::ppp::Header::parse(frame).unwrap();
    control(header.protocol, payload, payload.len(), verbose)
}

#[test]
fn packets_are_printed_as_tcpdump_prints_them() {
    for (frame, printed) in PRINTED {
        let frame = unhex(frame);
        assert_eq!(print(&frame, true).as_deref(), Some(*printed));
        assert_eq!(print(&frame, false).as_deref(), printed.lines().next());
    }
}

#[test]
fn odd_characters_are_told_as_tcpdump_tells_them() {
    let frame = b"\xc0\x23\x03\x01\0\x09\x04\xff\x01a\xa0";
    assert_eq!(print(frame, false).as_deref(), Some("PAP, Auth-NACK (0x03), id 1, Msg M-^?^AaM- "));
}

#[test]
fn what_is_cut_or_odd_is_left_to_others() {
    let payload = &unhex("0101000e0206000a0000");
    assert_eq!(control(Protocol::LCP, payload, 20, true), None);
    assert_eq!(control(Protocol::LQR, payload, 10, true), None);
    assert_eq!(print(&unhex("c02101010008 0200 000a".replace(' ', "").as_str()), true), None);
}
