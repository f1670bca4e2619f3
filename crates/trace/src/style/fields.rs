//! Fields by the names that tshark has for them: as columns, and as JSON.

mod table;

use std::io::{self, Write};

use super::Style;
use super::page::{Page, say};
use crate::layers::{Dissection, dissect};
use crate::record::{Record, Timestamp};
pub use table::{Field, find, known};

/// The columns that are shown when none are asked for.
pub const USUAL: &[&str] = &[
    "frame.number",
    "frame.time_relative",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.proto",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "frame.len",
];

/// What a field has in a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Number(u64),
    /// With so many digits.
    Hex(u64, usize),
    Seconds(i64),
    Ip(std::net::IpAddr),
    Mac(&'a [u8]),
    Bytes(&'a [u8]),
    Flag(bool),
}

/// A packet, and those before it as far as fields tell of them.
pub(crate) struct View<'a> {
    pub(crate) record: &'a Record<'a>,
    pub(crate) packet: Dissection<'a>,
    pub(crate) first: Timestamp,
    pub(crate) previous: Timestamp,
}

/// The times of packets before.
#[derive(Debug, Default)]
struct Before {
    first: Option<Timestamp>,
    previous: Option<Timestamp>,
}

impl Before {
    fn view<'a>(&mut self, record: &'a Record<'a>) -> View<'a> {
        let first = *self.first.get_or_insert(record.time);
        let previous = self.previous.replace(record.time).unwrap_or(record.time);
        View { record, packet: dissect(record.link, record.data), first, previous }
    }
}

/// Columns with tabs between them.
#[derive(Debug)]
pub struct Fields {
    columns: Vec<&'static Field>,
    before: Before,
    page: Page,
}

impl Fields {
    /// With these columns.
    #[must_use]
    pub fn new(columns: Vec<&'static Field>) -> Fields {
        Fields { columns, before: Before::default(), page: Page::default() }
    }
}

impl Style for Fields {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        let view = self.before.view(record);
        let page = &mut self.page;
        page.bytes.clear();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                page.byte(b'\t');
            }
            let mut several = false;
            column.each(&view, &mut |value| {
                if several {
                    page.byte(b',');
                }
                several = true;
                write_value(page, value);
            });
        }
        page.byte(b'\n');
        out.write_all(&page.bytes)
    }
}

/// An array with an object for each packet. It is complete also when the capture was not.
#[derive(Debug, Default)]
pub struct Json {
    columns: Vec<&'static Field>,
    before: Before,
    page: Page,
    any: bool,
}

impl Json {
    /// With these fields; none are all that a packet has.
    #[must_use]
    pub fn new(columns: Vec<&'static Field>) -> Json {
        let columns = if columns.is_empty() { known().iter().collect() } else { columns };
        Json { columns, ..Json::default() }
    }

    /// What comes before an element.
    fn next(&mut self) {
        self.page.bytes.clear();
        self.page.put(if self.any { ",\n" } else { "\n" });
        self.any = true;
    }
}

impl Style for Json {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"[")
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        let view = self.before.view(record);
        self.next();
        let page = &mut self.page;
        page.byte(b'{');
        let mut any = false;
        for column in &self.columns {
            let mut values = 0;
            let start = page.bytes.len();
            column.each(&view, &mut |value| {
                match values {
                    0 if any => say!(page, ", \"{}\": ", column.name),
                    0 => say!(page, "\"{}\": ", column.name),
                    _ => page.put(", "),
                };
                values += 1;
                write_json(page, value);
            });
            if values > 1 || (values == 1 && column.repeats) {
                // A field that may come more than once is an array.
                let colon = page.bytes[start..].windows(3).position(|bytes| bytes == b"\": ").unwrap_or(0);
                page.bytes.insert(start + colon + 3, b'[');
                page.byte(b']');
            }
            any |= values > 0;
        }
        page.byte(b'}');
        out.write_all(&page.bytes)
    }

    fn failed(&mut self, error: &str, out: &mut dyn Write) -> io::Result<()> {
        self.next();
        let error = serde_json::Value::from(error);
        say!(self.page, "{{\"error\": {error}}}");
        out.write_all(&self.page.bytes)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"\n]\n")
    }
}

fn write_value(page: &mut Page, value: Value<'_>) {
    match value {
        Value::Number(number) => page.number(number),
        Value::Hex(number, digits) => say!(page, "0x{number:0digits$x}"),
        Value::Seconds(nanos) => {
            let sign = if nanos < 0 { "-" } else { "" };
            let nanos = nanos.unsigned_abs();
            say!(page, "{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
        }
        Value::Ip(address) => say!(page, "{address}"),
        Value::Mac(bytes) => page.mac(bytes),
        Value::Bytes(bytes) => {
            bytes.iter().for_each(|&byte| {
                page.hex(byte);
            });
            page
        }
        Value::Flag(set) => page.byte(if set { b'1' } else { b'0' }),
    };
}

fn write_json(page: &mut Page, value: Value<'_>) {
    match value {
        Value::Number(_) => write_value(page, value),
        Value::Flag(set) => {
            page.put(if set { "true" } else { "false" });
        }
        _ => {
            page.byte(b'"');
            write_value(page, value);
            page.byte(b'"');
        }
    }
}
