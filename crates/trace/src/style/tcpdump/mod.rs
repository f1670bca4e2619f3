//! The lines of tcpdump 4.99, byte for byte for ARP, ICMP, ICMPv6, UDP, DNS and TCP.
//!
//! [`Tcpdump`] prints what tcpdump prints, down to how it ends a line where a packet is cut off: the bytes that are there
//! end somewhere, a printer that reads beyond gives up with `Cut`, and the line ends with the name of the protocol that
//! was being printed. So each printer works on bytes, in the order in which the line reads, and not on the dissection,
//! which would know too much. What is not claimed is in `docs/decode.md`.

mod app;
mod arp;
mod clock;
mod dns;
mod edns;
mod flows;
mod hex;
mod icmp;
mod icmp6;
mod ip;
mod ip6;
mod link;
mod node;
mod old;
mod options;
mod ppp;
mod shim;
mod tcp;
mod udp;

use std::io::{self, Write};

use super::Style;
use super::names::Names;
use super::page::Page;
use crate::layers::bytes::{array_at, u8_at, u16_at, u32_at};
use crate::ppp::Links;
use crate::record::Record;
use clock::Clock;
pub use clock::TimeForm;
use flows::Flows;
pub use old::{OldOptions, Tcpdump3};

/// What is asked of the style, as of tcpdump.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-t` up to five times.
    pub time: TimeForm,
    /// `-v`: how often.
    pub verbose: u8,
    /// `-e`: the link layer too.
    pub link: bool,
    /// `-S`: sequence numbers as they are.
    pub absolute: bool,
    /// `-x`, `-X`, `-A`: the bytes too.
    pub dump: Dump,
    /// `-xx`, `-XX`, `-AA`: with those of the link layer.
    pub dump_link: bool,
    /// `-n`: no names, neither of hosts and ports nor of makers of interfaces.
    pub numeric: bool,
    /// `-#`: packets are numbered.
    pub numbers: bool,
}

/// How bytes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dump {
    /// Not at all.
    #[default]
    None,
    /// In hexadecimal.
    Hex,
    /// In hexadecimal, and as text beside it.
    HexAscii,
    /// As text.
    Ascii,
}

/// The packet ends before what was to be printed.
struct Cut;

type Printed = Result<(), Cut>;

/// Packets may be within packets. Nobody nests them deeper than this but to do harm.
const DEEPEST: u8 = 24;

/// The style.
#[derive(Debug)]
pub struct Tcpdump {
    clock: Clock,
    printer: Printer,
    count: u64,
}

/// What prints a packet.
#[derive(Debug)]
struct Printer {
    options: Options,
    names: Names,
    flows: Flows,
    /// What PPP frames before this one said.
    links: Links,
    /// The line until now.
    page: Page,
    /// The protocol that is being printed.
    protocol: &'static str,
    /// It is said already that the packet is cut off.
    ended: bool,
    /// How many packets are within each other here.
    depth: u8,
}

impl Tcpdump {
    /// With the names of hosts and ports that are to be used, where [`Options::numeric`] does not forbid it.
    #[must_use]
    pub fn new(options: Options, names: Names) -> Tcpdump {
        let names = if options.numeric { Names::default() } else { names };
        let clock = Clock::new(options.time);
        Tcpdump { clock, printer: Printer::new(options, names), count: 0 }
    }
}

impl Style for Tcpdump {
    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.count += 1;
        let printer = &mut self.printer;
        printer.page.bytes.clear();
        if printer.options.numbers {
            super::page::say!(printer.page, "{:>5}  ", self.count);
        }
        self.clock.print(record.time, &mut printer.page);
        printer.packet(record);
        printer.page.byte(b'\n');
        out.write_all(&printer.page.bytes)
    }
}

impl Printer {
    fn new(options: Options, names: Names) -> Printer {
        let (flows, page) = (Flows::default(), Page::default());
        Printer { options, names, flows, links: Links::default(), page, protocol: "", ended: false, depth: 0 }
    }

    fn packet(&mut self, record: &Record<'_>) {
        if record.data.is_empty() {
            self.page.put("[Invalid header: caplen==0]");
            return;
        }
        let mut header = link::len(record.link, record.data);
        self.ended = false;
        self.depth = 0;
        if self.link(record).is_err() && !self.ended {
            self.truncated();
            // tcpdump no longer knows the header's length then, and shows all bytes.
            header = 0;
        }
        self.dump(record.data, header);
    }

    /// The end of a line about a packet that is cut off.
    fn truncated(&mut self) {
        let protocol = self.protocol;
        self.page.put(" [|").put(protocol).byte(b']');
    }

    /// The end of such a line where tcpdump has expected it, which lets it go on to what comes below the line.
    fn cut(&mut self) -> Cut {
        self.truncated();
        self.ended = true;
        Cut
    }

    /// Goes into a packet that may be within another.
    fn enter(&mut self) -> Printed {
        self.depth += 1;
        if self.depth > DEEPEST { Err(Cut) } else { Ok(()) }
    }

    fn invalid(&mut self) {
        self.page.put(" (invalid)");
    }
}

fn u8_in(bytes: &[u8], at: usize) -> Result<u8, Cut> {
    u8_at(bytes, at).ok_or(Cut)
}

fn u16_in(bytes: &[u8], at: usize) -> Result<u16, Cut> {
    u16_at(bytes, at).ok_or(Cut)
}

fn u32_in(bytes: &[u8], at: usize) -> Result<u32, Cut> {
    u32_at(bytes, at).ok_or(Cut)
}

fn array_in<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Cut> {
    array_at(bytes, at).ok_or(Cut)
}

/// The bytes from `at` on, `len` of them, all of which must be there.
fn all_of(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], Cut> {
    bytes.get(at..at + len).ok_or(Cut)
}

/// The names of the bits that are set, with a comma between them.
fn bits(table: &[(u32, &'static str)], bits: u32) -> String {
    let names: Vec<&str> = table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The name of a number in a table.
fn named(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|(key, _)| *key == number).map(|(_, name)| *name)
}
