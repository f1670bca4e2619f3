//! The words that tcpdump 4.99 has for what sets a link up: equal to its own, with and without `-v`, for whole packets of
//! LCP, IPCP, IPV6CP, CCP, PAP and CHAP with well-formed options.

mod options;
#[cfg(test)]
mod tests;

use std::fmt;

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
}
