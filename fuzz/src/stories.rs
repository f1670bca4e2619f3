//! Connections of a capture, as tables, stories, streams and pictures tell of them: segments that nearly fit what went before,
//! and packets as they are.

use std::io::Write;
use std::net::SocketAddr;

use bypath_trace::conversation::{End, Limits, Segment, Table};
use bypath_trace::diagram::Diagram;
use bypath_trace::layers::dissect;
use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;
use bypath_trace::style::conversations::Conversations;
use bypath_trace::style::follow::{Follow, Form};
use bypath_trace::{Direction, LinkType, Record, Timestamp};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader};

use crate::packets;
use crate::tape::Tape;

/// Packets of one input: what is printed of each is bounded, and so is what a run takes.
const MOST: u64 = 600;
/// What a story says of one packet is no longer than this and so many times its bytes.
const SAID: usize = 20_000;
const SAID_PER_BYTE: usize = 64;
/// Few, so that conversations make room for others.
const TABLE: Limits = Limits { conversations: 3, segments: 20 };

const SERVERS: [u16; 4] = [80, 21, 110, 9];
const LINES: [&[u8]; 8] = [
    b"GET /a?b HTTP/1.1\r\nHost: c\r\nAuthorization: Basic eDp5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"PORT 198,18,0,1,4,0\r\n",
    b"227 Entering Passive Mode (198,18,0,2,0,9)\r\n",
    b"RETR \x1b[31m<b>&\r\n",
    b"+OK\r\n",
    b"PASS secret\r\n",
];

/// What is known of a connection, so that most segments fit it.
#[derive(Clone, Copy, Default)]
struct Talk {
    next: [u32; 2],
}

/// See the module.
pub fn story(data: &[u8]) {
    let mut tape = Tape::new(data);
    let how = tape.byte();
    let detail = [Detail::Short, Detail::Normal, Detail::Full][usize::from(how) % 3];
    let form = [Form::Text, Form::Hex, Form::Raw][usize::from(how >> 2) % 3];
    let only = [None, Some(End::Client), Some(End::Server)][usize::from(how >> 4) % 3];
    let mut table = Table::new(TABLE);
    let mut told = Told::new(Box::new(Story::new(detail)));
    let mut quiet = [
        Told::new(Box::new(Follow::new(1, form, only))),
        Told::new(Box::new(Diagram::new(None))),
        Told::new(Box::new(Conversations::new(true))),
        Told::new(Box::new(Conversations::new(false))),
    ];
    let mut talks = [Talk::default(); SERVERS.len()];
    let (mut number, mut time) = (0, 1_000_000_000_i64);
    while !tape.is_over() && number < MOST {
        number += 1;
        let op = tape.byte();
        let bytes = if op & 0x80 == 0 { segment(op, &mut talks, &mut tape) } else { as_it_is(&mut tape) };
        let later = tape.byte();
        // From a microsecond to seconds, and back now and then.
        time += if later >= 0xf8 { -1_000_000 } else { 1_000_i64 << (later % 24) };
        let missing = if op & 0x7f == 0x7f { u32::from(tape.byte()) } else { 0 };
        let comments = if op == 0x7e { vec![String::from("said\x07 of it")] } else { Vec::new() };
        let record = Record {
            number,
            time: Timestamp(time),
            link: LinkType::RAW,
            interface: Some(u32::from(later == 0x55)),
            direction: Some(if op & 4 == 0 { Direction::Out } else { Direction::In }),
            missed_before: u64::from(op == 0x7d) << (later % 64),
            original_len: bytes.len() as u32 + missing,
            data: &bytes,
            comments: &comments,
            ..Record::default()
        };
        let packet = dissect(record.link, &bytes);
        if let Some(segment) = Segment::of(&record, &packet, &bytes) {
            let observation = table.observe(&segment);
            assert!(observation.end() >= observation.seq);
            assert!(table.conversations().len() <= TABLE.conversations);
        }
        let said = told.hear(&record);
        assert!(said <= SAID + bytes.len() * SAID_PER_BYTE, "{said} bytes about {}", bytes.len());
        quiet.iter_mut().for_each(|style| {
            style.hear(&record);
        });
    }
    is_harmless(&told.end());
    let [follow, diagram, json, text] = quiet.map(Told::end);
    if form != Form::Raw {
        is_harmless(&follow);
    }
    is_harmless(&text);
    let page = String::from_utf8(diagram).unwrap();
    assert!(page.ends_with("</html>\n") && page.matches("<script").count() == 1);
    let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
}

/// Text that does nothing to a terminal but fill its lines.
fn is_harmless(text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let bad = text.chars().find(|&c| c.is_control() && c != '\n');
    assert_eq!(bad, None, "in {text:?}");
}

/// A style, and what it has written.
struct Told {
    style: Box<dyn Style>,
    out: Vec<u8>,
}

impl Told {
    fn new(mut style: Box<dyn Style>) -> Self {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        style.begin(&mut out).unwrap();
        Self { style, out }
    }

    fn hear(&mut self, record: &Record<'_>) -> usize {
        let before = self.out.len();
        self.style.record(record, &mut self.out).unwrap();
        self.out.len() - before
    }

    /// What was asked for may not be in the capture.
    fn end(mut self) -> Vec<u8> {
        if let Err(error) = self.style.end(&mut self.out) {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            self.out.flush().unwrap();
        }
        self.out
    }
}

fn as_it_is(tape: &mut Tape<'_>) -> Vec<u8> {
    let len = usize::from(tape.u16()) % 2_000;
    tape.take(len).to_vec()
}

fn segment(op: u8, talks: &mut [Talk; SERVERS.len()], tape: &mut Tape<'_>) -> Vec<u8> {
    let which = usize::from(op & 3);
    let from = usize::from(op >> 2 & 1);
    let flags = TcpFlags::from_bits_truncate(u16::from(tape.byte()));
    let near = |base: u32, by: u8| match by {
        0..=127 => base.wrapping_add(u32::from(by) * 100),
        128..=250 => base.wrapping_sub(u32::from(by - 127) * 100),
        251 => base.wrapping_add(1 << 31),
        252 => base.wrapping_sub(1),
        253 => base.wrapping_add(1),
        254 => base.wrapping_add(70_000),
        255 => 0,
    };
    let (by, back) = (tape.byte(), tape.byte());
    let talk = &mut talks[which];
    let seq = near(talk.next[from], by);
    let ack = near(talk.next[1 - from], back);
    let content = tape.byte();
    let taken;
    let zeros = [0; 1_400];
    let payload: &[u8] = match content >> 6 {
        0 => &[],
        1 => LINES[usize::from(content) % LINES.len()],
        2 => &zeros[..usize::from(content & 63) * 20],
        _ => {
            taken = tape.take(usize::from(content & 63));
            taken
        }
    };
    let options = options(tape, ack, op >> 3 & 15);
    let window = [0, 1, 500, 65_535, 8_192][usize::from(content) % 5];
    let next = seq.wrapping_add(payload.len() as u32);
    talk.next[from] = next.wrapping_add(u32::from(flags.intersects(TcpFlags::SYN | TcpFlags::FIN)));
    let port = 40_000 + which as u16;
    let ends: [SocketAddr; 2] = match which {
        3 => ["[fd00::1]:0", "[fd00::2]:0"].map(|end| end.parse().unwrap()),
        _ => ["198.18.0.1:0", "198.18.0.2:0"].map(|end| end.parse().unwrap()),
    };
    let [mut client, mut server] = ends;
    client.set_port(port);
    server.set_port(SERVERS[which]);
    let (sender, receiver) = if from == 0 { (client, server) } else { (server, client) };
    let header = TcpHeader { seq: SeqNum(seq), ack: SeqNum(ack), flags, window, ..TcpHeader::default() };
    let mut bytes = packets::tcp(sender, receiver, op >> 5 & 3, &header, &options, payload);
    if content == 0x3f {
        // Damaged on its way.
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
    }
    bytes
}

fn options(tape: &mut Tape<'_>, ack: u32, kind: u8) -> Vec<u8> {
    match kind {
        1 => vec![2, 4, 5, 0xb4, 4, 2, 1, 3, 3, tape.byte()],
        2 => {
            let (value, echo) = (tape.byte(), tape.byte());
            [&[1, 1, 8, 10, 0, 0, 0, value][..], &[0, 0, 0, echo]].concat()
        }
        3 | 4 => {
            let mut bytes = vec![1, 1, 5, 2 + 8 * (kind - 2)];
            for _ in 0..kind - 2 {
                let left = ack.wrapping_add(u32::from(tape.byte()) * 100).wrapping_sub(1_000);
                let right = left.wrapping_add(u32::from(tape.byte()) * 50);
                bytes.extend(left.to_be_bytes());
                bytes.extend(right.to_be_bytes());
            }
            bytes
        }
        5 => {
            let len = usize::from(tape.byte()) % 40;
            tape.take(len).to_vec()
        }
        6 => vec![34, 2, 1, 1],
        _ => Vec::new(),
    }
}
