//! What `bypath-trace` reads of serial links and applications: Van Jacobson's compression, PPP, and lines.

use bypath_trace::app::{Conversation, Protocol, Said, Side, of_datagram};
use bypath_trace::ppp::hdlc::{self, AsyncMap, Deframer};
use bypath_trace::ppp::{Carried, Link, Message};
use bypath_trace::style::Style;
use bypath_trace::style::ipformat::Ipformat;
use bypath_trace::vj::{Compressor, Expander, Kind};
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use bypath_wire::checksum::Sum;

use crate::tape::Tape;

/// A TCP packet of the middle of a connection.
const PACKET: [u8; 44] = [
    0x45, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0, 0, 110, 0, 0, 0, 1, 0, 0, 0,
    9, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0, b'd', b'a', b't', b'a',
];

/// Packets through both ends: each comes back as it was, or, after a loss, not at all. A second expander is fed with
/// anything, and what it puts together is as long as it says.
pub fn vj(data: &[u8]) {
    let mut tape = Tape::new(data);
    let how = tape.byte();
    let mut compressor = Compressor::new(usize::from(how & 7) + 1);
    if how & 8 != 0 {
        compressor = compressor.naming_every_slot();
    }
    let (mut expander, mut victim) = (Expander::new(), Expander::new());
    let mut last = PACKET.to_vec();
    let (mut frame, mut packet) = (Vec::new(), Vec::new());
    let mut lossy = false;
    while !tape.is_over() {
        let step = tape.byte();
        let mut sent = last.clone();
        match step & 7 {
            0 => {
                let len = usize::from(tape.byte() & 127);
                sent = tape.take(len).to_vec();
            }
            1 => {
                expander.lost();
                lossy = true;
            }
            2 => {
                let kind = [Kind::Ip, Kind::UncompressedTcp, Kind::CompressedTcp][usize::from(step >> 3) % 3];
                let missing = usize::from(tape.byte() & 1) * usize::from(tape.u16());
                let len = usize::from(tape.byte());
                let frame = tape.take(len);
                if victim.expand(kind, frame, missing, &mut packet).is_err() {
                    assert!(packet.is_empty());
                } else if kind == Kind::CompressedTcp {
                    let stated = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                    assert_eq!(stated, packet.len() + missing);
                    assert!(bypath_wire::ipv4::checksum_ok(&packet));
                }
                continue;
            }
            patches => {
                for _ in 0..patches {
                    let (place, value) = (usize::from(tape.byte()) % sent.len().max(1), tape.byte());
                    if let Some(byte) = sent.get_mut(place) {
                        *byte = value;
                    }
                }
                if step & 0x80 != 0 {
                    sent.resize(usize::from(step >> 3 & 15) + 40, step);
                    sent[2..4].copy_from_slice(&[0, (step >> 3 & 15) + 40]);
                }
            }
        }
        // Right checksums of IP headers are compressed more often.
        let header = usize::from(sent.first().copied().unwrap_or(0) & 15) * 4;
        if step & 0x40 != 0 && header >= 20 && sent.len() >= header {
            sent[10..12].fill(0);
            let checksum = Sum::of(&sent[..header]).finish();
            sent[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        let kind = compressor.compress(&sent, &mut frame);
        assert!(frame.len() <= sent.len());
        match expander.expand(kind, &frame, 0, &mut packet) {
            Ok(()) => assert_eq!(packet, sent),
            // A connection whose first packet had a right TCP checksum and now has a wrong one looks like a loss.
            Err(_) => assert!(lossy || kind == Kind::CompressedTcp),
        }
        if sent.len() >= 40 {
            last = sent;
        }
    }
}

/// Bytes of a line, and frames of both directions: the states stay sound, and every frame can be told and printed.
pub fn ppp(data: &[u8]) {
    let mut tape = Tape::new(data);
    let how = tape.byte();
    let map = AsyncMap(tape.u32());
    let (mut link, mut style, mut out) = (Link::new(), Ipformat::new(), Vec::new());
    let mut deframer = Deframer::new(map, 2000);
    let mut number = 0;
    while !tape.is_over() {
        let step = tape.byte();
        let len = usize::from(tape.byte());
        let bytes = tape.take(len);
        if how & 1 != 0 {
            let mut line = Vec::new();
            hdlc::encode(bytes, map, &mut line);
            let mut whole = None;
            Deframer::new(map, 2000).push(&line, |frame| whole = frame.map(<[u8]>::to_vec).ok());
            assert_eq!(whole.as_deref(), Some(bytes).filter(|bytes| !bytes.is_empty()));
            deframer.push(bytes, |_| {});
        }
        let direction = [None, Some(Direction::In), Some(Direction::Out)][usize::from(step & 3) % 3];
        let missing = if step & 4 != 0 { usize::from(step >> 3) } else { 0 };
        if let Some(unwrapped) = link.unwrap_frame(direction, bytes, missing) {
            match unwrapped.carried {
                Carried::Other(payload) => {
                    if let Some(message) = Message::read(unwrapped.header.protocol, payload) {
                        assert!(!message.to_string().contains(char::is_control));
                    }
                }
                Carried::Packet(packet, Kind::CompressedTcp) => assert!(packet.len() >= 40),
                _ => {}
            }
        }
        number += 1;
        let links = [LinkType::PPP, LinkType::PPP_HDLC, LinkType::PPP_WITH_DIRECTION, LinkType::ETHERNET];
        let record = Record {
            number,
            time: Timestamp(i64::from(step) << 24),
            link: links[usize::from(step >> 5 & 3)],
            interface: Some(u32::from(step >> 7)),
            direction,
            original_len: (bytes.len() + missing) as u32,
            data: bytes,
            ..Record::default()
        };
        out.clear();
        style.record(&record, &mut out).unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        assert!(!text.contains(|character: char| character.is_control() && character != '\n'));
    }
}

/// What two sides say, in pieces and with gaps, and datagrams.
pub fn app(data: &[u8]) {
    let mut tape = Tape::new(data);
    let protocols = [Protocol::Dns, Protocol::Http, Protocol::Ftp, Protocol::Pop3, Protocol::Smtp];
    let mut conversation = Conversation::new(tape.one_of(&protocols));
    let mut said = |said: Said<'_>| {
        assert!(!said.to_string().contains(char::is_control));
        if let Said::Ftp(ftp) = said {
            let _ = ftp.data_port();
        }
    };
    while !tape.is_over() {
        let step = tape.byte();
        let side = if step & 1 == 0 { Side::Client } else { Side::Server };
        match step & 14 {
            2 => conversation.gap(side, u64::from(tape.u32()) << (step >> 4), &mut said),
            4 => conversation.end(side, &mut said),
            6 => {
                let len = usize::from(tape.byte());
                if let Some(message) = of_datagram(53, 1024, tape.take(len)) {
                    said(message);
                }
            }
            _ => {
                let len = usize::from(tape.byte());
                conversation.push(side, tape.take(len), &mut said);
            }
        }
    }
}
