//! The words that tcpdump 4.99 has for what sets a link up: equal to its own, with and without `-v`, for whole packets of
//! LCP, IPCP, IPV6CP, CCP, PAP and CHAP with well-formed options.

use std::fmt;
use std::net::Ipv4Addr;

use super::options::algorithm;
use super::{CcpOption, Chap, Code, Control, IpcpOption, LcpOption, Message, Pap, Protocol};

/// Its names of protocols, as a header of `-e` and before a packet.
#[must_use]
pub(crate) fn protocol_name(protocol: Protocol) -> Option<&'static str> {
    Some(match protocol.0 {
        0x0021 => "IP",
        0x002d => "VJC IP",
        0x002f => "VJNC IP",
        0x003d => "ML",
        0x0057 => "IP6",
        0x00fd => "Compressed",
        0x0281 => "MPLS UCAST",
        0x8021 => "IPCP",
        0x8053 => "ECP",
        0x8057 => "IP6CP",
        0x80fd => "CCP",
        0x8281 => "MPLSCP",
        0xc021 => "LCP",
        0xc023 => "PAP",
        0xc025 => "LQM",
        0xc02b => "BACP",
        0xc223 => "CHAP",
        0xc227 => "EAP",
        _ => return None,
    })
}

/// A packet in its words. `payload` begins behind the protocol field and is `len` bytes long on the wire; nothing for protocols
/// that it shows as bytes, and packets that are cut off.
#[must_use]
pub(crate) fn control(protocol: Protocol, payload: &[u8], len: usize, verbose: bool) -> Option<String> {
    if protocol == Protocol::COMPRESSED {
        return Some("compressed PPP data".to_owned());
    }
    let message = Message::read(protocol, payload)?;
    let packet = *message.packet();
    if payload.len() < len {
        return None;
    }
    let mut line = Line(String::new());
    match message {
        Message::Pap(_, pap) => line.pap(&packet, &pap),
        Message::Chap(_, chap) => line.chap(&packet, &chap),
        _ => line.negotiation(protocol, &packet, len, verbose)?,
    }
    Some(line.0)
}

struct Line(String);

impl Line {
    fn say(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = fmt::Write::write_fmt(&mut self.0, arguments);
    }

    /// Bytes as characters: control characters after a caret, those with the top bit after `M-`.
    fn characters(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ascii = byte & 0x7f;
            if byte != ascii {
                self.0.push_str("M-");
            }
            if matches!(ascii, b' '..=b'~') {
                self.0.push(ascii.into());
            } else {
                self.0.push('^');
                self.0.push((ascii ^ 0x40).into());
            }
        }
    }

    fn hex_lines(&mut self, indent: &str, bytes: &[u8]) {
        for (row, bytes) in bytes.chunks(16).enumerate() {
            self.say(format_args!("\n{indent}0x{:04x}: ", row * 16));
            for pair in bytes.chunks(2) {
                self.0.push(' ');
                pair.iter().for_each(|byte| self.say(format_args!("{byte:02x}")));
            }
        }
    }

    fn pap(&mut self, packet: &Control<'_>, pap: &Pap<'_>) {
        let code = packet.code.0;
        let name = ["Auth-Req", "Auth-ACK", "Auth-NACK"].get(usize::from(code).wrapping_sub(1));
        self.say(format_args!(
            "PAP, {} (0x{code:02x}), id {}",
            name.unwrap_or(&"unknown"),
            packet.identifier
        ));
        match pap {
            Pap::Request(name, password) => {
                self.0.push_str(", Peer ");
                self.characters(name);
                self.0.push_str(", Name ");
                self.characters(password);
            }
            Pap::Ack(text) | Pap::Nak(text) if !packet.body.is_empty() => {
                self.0.push_str(", Msg ");
                self.characters(text);
            }
            _ => {}
        }
    }

    fn chap(&mut self, packet: &Control<'_>, chap: &Chap<'_>) {
        let code = packet.code.0;
        let name = ["Challenge", "Response", "Success", "Fail"].get(usize::from(code).wrapping_sub(1));
        self.say(format_args!(
            "CHAP, {} (0x{code:02x}), id {}",
            name.unwrap_or(&"unknown"),
            packet.identifier
        ));
        match chap {
            Chap::Challenge(value, name) | Chap::Response(value, name) => {
                self.0.push_str(", Value ");
                value.iter().for_each(|byte| self.say(format_args!("{byte:02x}")));
                self.0.push_str(", Name ");
                self.characters(name);
            }
            Chap::Success(text) | Chap::Failure(text) => {
                self.0.push_str(", Msg ");
                self.characters(text);
            }
            Chap::Other => {}
        }
    }

    fn negotiation(
        &mut self,
        protocol: Protocol,
        packet: &Control<'_>,
        len: usize,
        verbose: bool,
    ) -> Option<()> {
        let code = packet.code.0;
        let name = match code {
            0 => "Vendor-Extension",
            1 => "Conf-Request",
            2 => "Conf-Ack",
            3 => "Conf-Nack",
            4 => "Conf-Reject",
            5 => "Term-Request",
            6 => "Term-Ack",
            7 => "Code-Reject",
            8 => "Prot-Reject",
            9 => "Echo-Request",
            10 => "Echo-Reply",
            11 => "Disc-Req",
            12 => "Ident",
            13 => "Time-Rem",
            14 => "Reset-Req",
            15 => "Reset-Ack",
            _ => "Unknown Opcode",
        };
        let id = packet.identifier;
        self.say(format_args!(
            "{}, {name} (0x{code:02x}), id {id}, length {}",
            protocol_name(protocol)?,
            len + 2
        ));
        if !verbose {
            return Some(());
        }
        let stated = usize::from(packet.length);
        if stated < 4 {
            self.say(format_args!("\n\tencoded length {stated} (< 4))"));
            return Some(());
        }
        if stated > len {
            self.say(format_args!("\n\tencoded length {stated} (> packet length {len}))"));
            return Some(());
        }
        self.say(format_args!("\n\tencoded length {stated} (=Option(s) length {})", stated - 4));
        self.body(protocol, packet)
    }

    fn body(&mut self, protocol: Protocol, packet: &Control<'_>) -> Option<()> {
        match (packet.code, packet.body) {
            (Code(1..=4), _) => {
                let mut items = packet.items();
                for (kind, data) in items.by_ref() {
                    let len = data.len() + 2;
                    match protocol {
                        Protocol::LCP => self.lcp(LcpOption::read((kind, data)), kind, len, data)?,
                        Protocol::IPCP => self.ipcp(IpcpOption::read((kind, data)), len)?,
                        Protocol::CCP => self.ccp(CcpOption::read((kind, data)), len)?,
                        Protocol::IPV6CP => self.ipv6cp(kind, data)?,
                        // It knows no options of others.
                        _ => return Some(()),
                    }
                }
                items.rest().is_empty().then_some(())
            }
            (Code::PROTOCOL_REJECT, &[high, low, ref rest @ ..]) => {
                let rejected = Protocol(u16::from_be_bytes([high, low]));
                let name = protocol_name(rejected);
                let unknown = format!("unknown (0x{:04x})", rejected.0);
                let name = name.unwrap_or(&unknown);
                self.say(format_args!("\n\t  Rejected {name} Protocol (0x{:04x})", rejected.0));
                if !rest.is_empty() {
                    self.0.push_str("\n\t  Rejected Packet");
                    self.hex_lines("\t    ", rest);
                }
                Some(())
            }
            (Code(9..=11), &[a, b, c, d, ref rest @ ..]) => {
                self.say(format_args!("\n\t  Magic-Num 0x{:08x}", u32::from_be_bytes([a, b, c, d])));
                if !rest.is_empty() {
                    self.0.push_str("\n\t  -----trailing data-----");
                    self.hex_lines("\t  ", rest);
                }
                Some(())
            }
            (Code::TIME_REMAINING, &[a, b, c, d, e, f, g, h]) => {
                let (magic, seconds) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                self.say(format_args!("\n\t  Magic-Num 0x{magic:08x}, Seconds-Remaining {seconds}s"));
                Some(())
            }
            (Code(5..=7 | 14 | 15), _) | (_, []) => Some(()),
            _ => None,
        }
    }

    fn lcp(&mut self, option: LcpOption<'_>, kind: u8, len: usize, data: &[u8]) -> Option<()> {
        let mut named =
            |name: &str| self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}"));
        match option {
            LcpOption::Mru(mru) => {
                named("MRU");
                self.say(format_args!(": {mru}"));
            }
            LcpOption::AsyncMap(map) => {
                named("ACCM");
                self.say(format_args!(": 0x{:08x}", map.0));
            }
            LcpOption::Authentication(protocol, rest) => {
                named("Auth-Prot");
                self.say(format_args!(": {}", protocol_name(protocol)?));
                match (protocol, rest) {
                    (Protocol::CHAP, &[number]) => match algorithm(number) {
                        // Later ones it does not know.
                        Some(name @ "MD5") => self.say(format_args!(", {name}")),
                        Some("MS-CHAP") => self.0.push_str(", MS-CHAPv1"),
                        Some("MS-CHAP-v2") => self.0.push_str(", MS-CHAPv2"),
                        _ => self.say(format_args!(", Unknown Auth Alg {number}")),
                    },
                    (Protocol::PAP | Protocol::EAP, []) => {}
                    _ => return None,
                }
            }
            LcpOption::Quality(protocol, _) => {
                named("Qual-Prot");
                self.0.push_str(if protocol == Protocol::LQR { ": LQR" } else { ": unknown" });
            }
            LcpOption::Magic(number) => {
                named("Magic-Num");
                self.say(format_args!(": 0x{number:08x}"));
            }
            LcpOption::ProtocolFieldCompression => named("PFC"),
            LcpOption::AddressControlFieldCompression => named("ACFC"),
            LcpOption::Callback(&[operation]) => {
                named("Call-Back");
                let name = match operation {
                    0 => "User authentication",
                    1 => "Dialing string",
                    2 => "Location identifier",
                    3 => "E.164 number",
                    4 => "X.500 distinguished name",
                    6 => "CBCP",
                    _ => return None,
                };
                self.say(format_args!(": : Callback Operation {name} ({operation})"));
            }
            LcpOption::Mrru(mrru) => {
                named("MRRU");
                self.say(format_args!(": {mrru}"));
            }
            LcpOption::ShortSequence => named("12-Bit seq #"),
            LcpOption::Callback(_) | LcpOption::Endpoint(..) => return None,
            LcpOption::Other(..) => match (kind, data) {
                (9, _) => named("FCS-Alt"),
                (10, _) => named("SDP"),
                _ => return None,
            },
        }
        Some(())
    }

    fn ipcp(&mut self, option: IpcpOption<'_>, len: usize) -> Option<()> {
        let mut named = |name: &str, kind: u8| {
            self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}: "));
        };
        match option {
            IpcpOption::Addresses(source, destination) => {
                named("IP-Addrs", 1);
                self.say(format_args!("src {source}, dst {destination}"));
            }
            IpcpOption::VanJacobson(_) => {
                named("IP-Comp", 2);
                self.0.push_str("VJ-Comp (0x2d):");
            }
            IpcpOption::Address(address) => {
                named("IP-Addr", 3);
                self.address(address);
            }
            IpcpOption::MobileAddress(address) => {
                named("Home-Addr", 4);
                self.address(address);
            }
            IpcpOption::Dns(place, address) => {
                named(if place == 1 { "Pri-DNS" } else { "Sec-DNS" }, if place == 1 { 129 } else { 131 });
                self.address(address);
            }
            IpcpOption::Nbns(place, address) => {
                named(if place == 1 { "Pri-NBNS" } else { "Sec-NBNS" }, if place == 1 { 130 } else { 132 });
                self.address(address);
            }
            IpcpOption::Compression(..) | IpcpOption::Other(..) => return None,
        }
        Some(())
    }

    fn address(&mut self, address: Ipv4Addr) {
        self.say(format_args!("{address}"));
    }

    fn ccp(&mut self, option: CcpOption<'_>, len: usize) -> Option<()> {
        let kind = option.algorithm;
        let name = match kind {
            0 => "OUI",
            1 => "Pred-1",
            2 => "Pred-2",
            3 => "Puddle",
            16 => "HP-PPC",
            17 => "Stac",
            18 => "MPPC",
            19 => "Gand-FZA",
            20 => "V.42bis",
            21 => "BSD-Comp",
            23 => "LZS-DCP",
            24 => "MVRCA",
            26 => "Deflate",
            _ => return None,
        };
        self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}"));
        match (kind, option.data) {
            (21, &[code]) => {
                self.say(format_args!(": Version: {}, Dictionary Bits: {}", code >> 5, code & 31));
            }
            (26, &[method, check]) => {
                let way = if method & 15 == 8 { "zlib" } else { "unknown" };
                self.say(format_args!(
                    ": Window: {}K, Method: {way} (0x{:x}), MBZ: {}, CHK: {}",
                    method >> 4,
                    method & 15,
                    check >> 2,
                    check & 3
                ));
            }
            (1 | 2, _) => {}
            (24, &[features, context]) => self.say(format_args!(
                ": Features: {}, PxP: {}, History: {}, #CTX-ID: {context}",
                features >> 6,
                if features & 0x20 != 0 { "Enabled" } else { "Disabled" },
                features & 0x1f
            )),
            (21 | 24 | 26, _) => return None,
            (_, data) => self.hex_lines("\t    ", data),
        }
        Some(())
    }

    fn ipv6cp(&mut self, kind: u8, data: &[u8]) -> Option<()> {
        let (1, &[a, b, c, d, e, f, g, h]) = (kind, data) else { return None };
        self.say(format_args!(
            "\n\t  Interface-ID Option (0x01), length 10: {a:02x}{b:02x}:{c:02x}{d:02x}:{e:02x}{f:02x}:{g:02x}{h:02x}"
        ));
        Some(())
    }
}

#[cfg(test)]
mod tests {
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
        let (header, payload) = super::super::Header::parse(frame).unwrap();
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
}
