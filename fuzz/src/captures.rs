//! Captures and packets, as `bypath decode` reads and prints them.

use bypath_trace::filter::Filter;
use bypath_trace::layers::dissect;
use bypath_trace::read::{Capture, LONGEST_PACKET};
use bypath_trace::style::fields::{Fields, Json, known};
use bypath_trace::style::tcpdump::{Dump, OldOptions, Options, Tcpdump, Tcpdump3, TimeForm};
use bypath_trace::style::{Names, Style};
use bypath_trace::{LinkType, Record, Timestamp};

use crate::tape::Tape;

const LINKS: [u16; 10] = [1, 101, 113, 276, 0, 108, 9, 204, 228, 229];

/// A line is no longer than so many times its packet, and so much besides: nothing grows without bound.
const LINE_PER_BYTE: usize = 2_000;
const LINE: usize = 100_000;

/// A file: it is read to its end or its damage, packets are numbered one after the other and no longer than packets are,
/// and JSON of them is JSON.
pub fn capture(data: &[u8]) {
    let Ok(mut capture) = Capture::open(data) else { return };
    let mut json = Json::new(Vec::new());
    let mut out = Vec::new();
    let mut number = 0;
    // Writing to memory does not fail.
    json.begin(&mut out).unwrap();
    let error = loop {
        if let Err(error) = capture.advance() {
            break Some(error);
        }
        let links: Vec<LinkType> = capture.interfaces().iter().map(|interface| interface.link).collect();
        match capture.next_record() {
            Ok(Some(record)) => {
                number += 1;
                assert_eq!(record.number, number);
                assert!(record.data.len() <= LONGEST_PACKET as usize && record.data.len() <= data.len());
                assert!(links.contains(&record.link));
                json.record(&record, &mut out).unwrap();
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    if let Some(error) = &error {
        json.failed(&error.to_string(), &mut out).unwrap();
    }
    json.end(&mut out).unwrap();
    let packets: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(packets.len() as u64, number + u64::from(error.is_some()));
}

/// Packets, some of them cut: they are taken apart within their bounds, and every style prints a line that ends.
pub fn packet(data: &[u8]) {
    let mut tape = Tape::new(data);
    let link = LinkType(LINKS[usize::from(tape.byte()) % LINKS.len()]);
    let how = tape.byte();
    let dump = [Dump::None, Dump::Hex, Dump::HexAscii, Dump::Ascii][usize::from(how >> 6)];
    let options = Options {
        time: TimeForm::of_count(how % 6).unwrap_or_default(),
        verbose: how >> 3 & 3,
        link: how & 32 != 0,
        absolute: how & 1 != 0,
        dump,
        dump_link: how & 2 != 0,
        numeric: how & 4 != 0,
        numbers: true,
    };
    let filter = Filter::compile("not (port 80 or vlan 7) and (ip6 multicast or net 10 or less 99)").unwrap();
    let mut styles: [Box<dyn Style>; 4] = [
        Box::new(Tcpdump::new(options.clone(), Names::default())),
        Box::new(Tcpdump3::new(options, OldOptions::default(), Names::default())),
        Box::new(Fields::new(known().iter().collect())),
        Box::new(Json::new(Vec::new())),
    ];
    let mut number = 0;
    while !tape.is_over() {
        number += 1;
        let missing = u32::from(tape.byte());
        let len = usize::from(tape.u16());
        let bytes = tape.take(len);
        let record = Record {
            number,
            time: Timestamp(number as i64 * -1_000_003),
            link,
            original_len: bytes.len() as u32 + missing,
            data: bytes,
            ..Record::default()
        };
        let dissection = dissect(link, bytes);
        assert!(dissection.payload.len() <= bytes.len());
        assert!(dissection.payload.len() <= dissection.payload_len);
        let _ = filter.takes(&record, &dissection);
        for style in &mut styles {
            let mut out = Vec::new();
            style.record(&record, &mut out).unwrap();
            assert!(
                out.len() <= LINE + bytes.len() * LINE_PER_BYTE,
                "{} bytes of a packet of {}",
                out.len(),
                bytes.len()
            );
        }
    }
}
