//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, in the order in which they are given.
//!
//! Times are in nanoseconds. A packet's options say which way it went, on which queue, how many before it are missing,
//! and what somebody wanted to remark about it.

use std::io::{self, Write};

use crate::packet_options::{self as option, COMMENT, END};
use crate::record::{Direction, LinkType, Timestamp, XdpAction};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Type and length at a block's beginning, length at its end.
const FRAMING: usize = 12;
/// Of an enhanced packet block, before the packet.
const PACKET_HEADER: usize = 20;

/// What made the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// The machine, such as its processor.
    pub hardware: &'a str,
    /// Its operating system.
    pub os: &'a str,
    /// The program, with its version.
    pub application: &'a str,
    /// A remark about the whole.
    pub comment: &'a str,
}

/// An interface that packets were seen on. Empty strings and `None` are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is, for people.
    pub description: &'a str,
    /// What its packets begin with.
    pub link: LinkType,
    /// Longest packet that is kept whole; 0: all are.
    pub snap_len: u32,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Bits a second.
    pub speed: Option<u64>,
    /// Driver or device model.
    pub hardware: &'a str,
    /// The filter that chose the packets, in pcap-filter(7)'s language.
    pub filter: &'a str,
}

impl Default for Interface<'_> {
    fn default() -> Self {
        Interface {
            name: "",
            description: "",
            link: LinkType::ETHERNET,
            snap_len: 0,
            mac: None,
            speed: None,
            hardware: "",
            filter: "",
        }
    }
}

/// A packet to be written.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Which of the interfaces described, from 0.
    pub interface: u32,
    /// When. Times before 1970 cannot be written and become its first moment.
    pub time: Timestamp,
    /// Bytes on the wire.
    pub original_len: u32,
    /// The bytes that were kept.
    pub data: &'a [u8],
    /// Which way it went.
    pub direction: Option<Direction>,
    /// The queue of the interface that it came on or left by.
    pub queue: Option<u32>,
    /// Packets missing between this and the one before it.
    pub dropped_before: u64,
    /// What an XDP program has decided about it.
    pub verdict: Option<XdpAction>,
    /// Remarks.
    pub comments: &'a [&'a str],
}

/// An interface's figures at the end of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// When capturing began and ended.
    pub start: Timestamp,
    /// See `start`.
    pub end: Timestamp,
    /// Packets that the interface received, where that is known.
    pub received: Option<u64>,
    /// Packets that it lost before anybody could see them.
    pub dropped: Option<u64>,
    /// Packets that were seen and are not in the capture, because it could not keep up.
    pub missed: Option<u64>,
    /// Packets that are in the capture.
    pub delivered: Option<u64>,
    /// A remark.
    pub comment: &'a str,
}

/// Bytes of an enhanced packet block, at most, that keeps `len` bytes of a packet and has these comments.
#[must_use]
pub fn block_len(len: usize, comments: &[&str]) -> usize {
    // Flags, queue, drop count and verdict, and the end of options.
    let options = 8 + 8 + 12 + 16 + 4 + comments.iter().map(|text| option_len(text.len())).sum::<usize>();
    FRAMING + PACKET_HEADER + len.next_multiple_of(4) + options
}

fn option_len(value: usize) -> usize {
    4 + value.min(usize::from(u16::MAX)).next_multiple_of(4)
}

/// Writes one section. What it is given goes out at once, in pieces as small as a header: give it something buffered.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    /// A block being put together, but for packet bytes.
    block: Vec<u8>,
    interfaces: u32,
    written: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a section.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn new(out: W, section: &Section<'_>) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::with_capacity(4096), interfaces: 0, written: 0 };
        writer.begin(SECTION_HEADER);
        writer.put(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0, of a length that is not known.
        writer.put(&[1, 0, 0, 0]);
        writer.put(&u64::MAX.to_le_bytes());
        writer.text(COMMENT, section.comment);
        writer.text(2, section.hardware);
        writer.text(3, section.os);
        writer.text(4, section.application);
        writer.end()?;
        Ok(writer)
    }

    /// Describes an interface; returns the number that its packets give.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn interface(&mut self, interface: &Interface<'_>) -> io::Result<u32> {
        self.begin(INTERFACE_DESCRIPTION);
        self.put(&interface.link.0.to_le_bytes());
        self.put(&[0, 0]);
        self.put(&interface.snap_len.to_le_bytes());
        self.text(2, interface.name);
        self.text(3, interface.description);
        if let Some(mac) = interface.mac {
            self.option(6, &mac);
        }
        if let Some(speed) = interface.speed {
            self.option(8, &speed.to_le_bytes());
        }
        // if_tsresol: ten to the power of minus nine.
        self.option(9, &[9]);
        if !interface.filter.is_empty() {
            // if_filter: a zero byte says that it is text.
            let text: Vec<u8> = std::iter::once(0).chain(interface.filter.bytes()).collect();
            self.option(11, &text);
        }
        self.text(15, interface.hardware);
        self.end()?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
        let (high, low) = halves(packet.time);
        self.block.clear();
        if let Some(direction) = packet.direction {
            let flags: u32 = match direction {
                Direction::In => 1,
                Direction::Out => 2,
            };
            self.option(option::FLAGS, &flags.to_le_bytes());
        }
        if packet.dropped_before > 0 {
            self.option(option::DROP_COUNT, &packet.dropped_before.to_le_bytes());
        }
        if let Some(queue) = packet.queue {
            self.option(option::QUEUE, &queue.to_le_bytes());
        }
        if let Some(action) = packet.verdict {
            let mut value = [option::VERDICT_OF_XDP; 9];
            value[1..].copy_from_slice(&(action as u64).to_le_bytes());
            self.option(option::VERDICT, &value);
        }
        for comment in packet.comments {
            self.text(COMMENT, comment);
        }
        if !self.block.is_empty() {
            self.option(END, &[]);
        }
        let padded = packet.data.len().next_multiple_of(4);
        let total = (FRAMING + PACKET_HEADER + padded + self.block.len()) as u32;
        self.block.extend(total.to_le_bytes());

        let mut header = [0; 8 + PACKET_HEADER];
        let words = [
            ENHANCED_PACKET,
            total,
            packet.interface,
            high,
            low,
            captured,
            packet.original_len.max(captured),
        ];
        for (place, word) in header.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(packet.data)?;
        self.out.write_all(&[0; 3][..padded - packet.data.len()])?;
        self.out.write_all(&self.block)?;
        self.written += u64::from(total);
        Ok(())
    }

    /// Adds an interface's figures.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn statistics(&mut self, interface: u32, statistics: &Statistics<'_>) -> io::Result<()> {
        self.begin(INTERFACE_STATISTICS);
        self.put(&interface.to_le_bytes());
        self.put(&time(statistics.end));
        self.text(COMMENT, statistics.comment);
        self.option(2, &time(statistics.start));
        self.option(3, &time(statistics.end));
        let counts = [
            (4, statistics.received),
            (5, statistics.dropped),
            (7, statistics.missed),
            (8, statistics.delivered),
        ];
        for (code, count) in counts {
            if let Some(count) = count {
                self.option(code, &count.to_le_bytes());
            }
        }
        self.end()
    }

    /// Bytes of all blocks so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What it writes to, from which it may be closed.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// What it writes to.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.put(&kind.to_le_bytes());
        self.put(&[0; 4]);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    fn text(&mut self, code: u16, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.option(code, &text.as_bytes()[..end]);
    }

    /// Values longer than an option can say do not come here.
    fn option(&mut self, code: u16, value: &[u8]) {
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn end(&mut self) -> io::Result<()> {
        self.option(END, &[]);
        let total = self.block.len() as u32 + 4;
        self.put(&total.to_le_bytes());
        self.block[4..8].copy_from_slice(&total.to_le_bytes());
        self.written += u64::from(total);
        self.out.write_all(&self.block)
    }
}

/// The two halves of a time, the upper one first.
fn halves(time: Timestamp) -> (u32, u32) {
    let ns = u64::try_from(time.0).unwrap_or(0);
    ((ns >> 32) as u32, ns as u32)
}

fn time(at: Timestamp) -> [u8; 8] {
    let (high, low) = halves(at);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&high.to_le_bytes());
    bytes[4..].copy_from_slice(&low.to_le_bytes());
    bytes
}
