//! The block format: sections, interfaces, and packets with options.

use std::io::Read;
use std::ops::Range;

use super::{Capture, Interface, LONGEST_PACKET, ReadError, link_type};
use crate::packet_options as option;
use crate::record::{Direction, Record, Timestamp, XdpAction};

/// The type of the block that every section begins with; it reads the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

/// Blocks that must be seen as a whole are no longer than this: the longest packet and a megabyte of options.
const LONGEST_BLOCK: u32 = LONGEST_PACKET + (1 << 20);
/// More interfaces than any machine has are damage.
const MOST_INTERFACES: usize = 65_536;
/// Names are cut here, so that what is kept of a capture has an end.
const LONGEST_NAME: usize = 256;

/// How the timestamps of an interface count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The resolution as the format has it: a power of ten, or of two when the highest bit is set.
    resolution: u8,
    /// Seconds to be added.
    offset: i64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { resolution: 6, offset: 0 }
    }
}

impl Clock {
    fn time(self, ticks: u64) -> Timestamp {
        let exponent = u32::from(self.resolution & 0x7f);
        let nanos = match self.resolution {
            6 => u128::from(ticks) * 1000,
            9 => u128::from(ticks),
            r if r & 0x80 != 0 => (u128::from(ticks) * 1_000_000_000) >> exponent,
            0..9 => u128::from(ticks) * 10_u128.pow(9 - exponent),
            _ => 10_u128.checked_pow(exponent - 9).map_or(0, |unit| u128::from(ticks) / unit),
        };
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        Timestamp(nanos.saturating_add(self.offset.saturating_mul(1_000_000_000)))
    }
}

/// A packet that was found, before it is lent.
struct Found {
    data: Range<usize>,
    options: Range<usize>,
    interface: u32,
    ticks: Option<u64>,
    original_len: u32,
}

impl<R: Read> Capture<R> {
    pub(super) fn open_pcapng(&mut self) -> Result<(), ReadError> {
        self.section()
    }

    fn corrupt(&self, what: impl Into<String>) -> ReadError {
        ReadError::Corrupt { offset: self.window.offset(), what: what.into() }
    }

    /// As many bytes as the block must have.
    fn need(&mut self, len: usize, within: &'static str) -> Result<(), ReadError> {
        let got = self.window.peek(len)?.len();
        if got < len {
            let offset = self.window.offset() + got as u64;
            return Err(ReadError::Truncated { offset, within, needed: len as u64, got: got as u64 });
        }
        Ok(())
    }

    /// Takes in the header of a section, which decides the byte order and forgets the interfaces.
    fn section(&mut self) -> Result<(), ReadError> {
        self.need(28, "the header of a section")?;
        let header = self.window.ahead(28);
        self.big_endian = match header.get(8..12) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
            Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
            _ => return Err(self.corrupt("the header of a section has no byte order that is known")),
        };
        let (len, major) = (self.u32_at(header, 4), self.u16_at(header, 12));
        if major != 1 {
            return Err(ReadError::Unsupported(format!("version {major} of the pcapng format")));
        }
        if len < 28 || len % 4 != 0 {
            return Err(self.corrupt(format!("the header of a section would have {len} bytes")));
        }
        self.interfaces.clear();
        self.skip_block(len)
    }

    /// Goes past a block, whose length was checked.
    fn skip_block(&mut self, len: u32) -> Result<(), ReadError> {
        let got = self.window.skip(u64::from(len))?;
        if got < u64::from(len) {
            let (offset, needed) = (self.window.offset(), u64::from(len));
            return Err(ReadError::Truncated { offset, within: "a block", needed, got });
        }
        Ok(())
    }

    pub(super) fn next_pcapng(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let Some((kind, len)) = self.next_block()? else { return Ok(None) };
        let found = self.packet(kind, self.window.ahead(len))?;
        Ok(Some(self.lend(found, len)))
    }

    /// Takes in what comes before the next block of a packet. Returns its type and its length, and has it in the window.
    pub(super) fn next_block(&mut self) -> Result<Option<(u32, usize)>, ReadError> {
        loop {
            let got = self.window.peek(12)?.len();
            if got == 0 {
                return Ok(None);
            }
            self.need(12, "the header of a block")?;
            let header = self.window.ahead(12);
            let (kind, len) = (self.u32_at(header, 0), self.u32_at(header, 4));
            if kind == SECTION {
                self.section()?;
                continue;
            }
            if len < 12 || len % 4 != 0 {
                return Err(self.corrupt(format!("a block of type {kind} would have {len} bytes")));
            }
            if !matches!(kind, INTERFACE | OLD_PACKET | SIMPLE_PACKET | PACKET) {
                self.skip_block(len)?;
                continue;
            }
            if len > LONGEST_BLOCK {
                return Err(self.corrupt(format!("a block of type {kind} would have {len} bytes")));
            }
            self.need(len as usize, if kind == INTERFACE { "an interface" } else { "a packet" })?;
            let block = self.window.ahead(len as usize);
            let repeated = self.u32_at(block, len as usize - 4);
            if repeated != len {
                let what = format!("a block begins with the length {len} and ends with {repeated}");
                return Err(self.corrupt(what));
            }
            if kind == INTERFACE {
                let interface = self.interface(block)?;
                self.interfaces.push(interface);
                self.window.take(len as usize);
                continue;
            }
            return Ok(Some((kind, len as usize)));
        }
    }

    fn interface(&self, block: &[u8]) -> Result<Interface, ReadError> {
        if block.len() < 20 {
            return Err(self.corrupt("an interface is too short"));
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(self.corrupt("there are more interfaces than any machine has"));
        }
        let mut interface = Interface {
            link: link_type(self.u16_at(block, 8)),
            snap_len: self.u32_at(block, 12),
            name: None,
            clock: Clock::default(),
        };
        self.each_option(block.get(16..block.len() - 4).unwrap_or_default(), |code, value| {
            match (code, value) {
                (2, name) => {
                    let name = name.get(..name.len().min(LONGEST_NAME)).unwrap_or_default();
                    interface.name = Some(String::from_utf8_lossy(name).into_owned());
                }
                (9, [resolution, ..]) => interface.clock.resolution = *resolution,
                (14, value) if value.len() == 8 => {
                    interface.clock.offset = self.u64_of(value).cast_signed();
                }
                _ => {}
            }
        });
        Ok(interface)
    }

    fn packet(&self, kind: u32, block: &[u8]) -> Result<Found, ReadError> {
        let (fixed, interface, ticks_at) = match kind {
            SIMPLE_PACKET => (12, 0, None),
            PACKET => (28, self.u32_at(block, 8), Some(12)),
            _ => (28, u32::from(self.u16_at(block, 8)), Some(12)),
        };
        let end = block.len() - 4;
        if end < fixed {
            return Err(self.corrupt("a packet is shorter than its header"));
        }
        let Some(from) = self.interfaces.get(interface as usize) else {
            let known = self.interfaces.len();
            let what = format!("packet {} is of interface {interface}, of {known}", self.packets + 1);
            return Err(self.corrupt(what));
        };
        let (len, original_len) = match kind {
            SIMPLE_PACKET => {
                let original = self.u32_at(block, 8);
                let limit = if from.snap_len == 0 { u32::MAX } else { from.snap_len };
                (original.min(limit).min((end - fixed) as u32), original)
            }
            _ => (self.u32_at(block, 20), self.u32_at(block, 24)),
        };
        if len > LONGEST_PACKET || len as usize > end - fixed {
            let what = format!("packet {} would have {len} bytes", self.packets + 1);
            return Err(self.corrupt(what));
        }
        let data = fixed..fixed + len as usize;
        let options = (data.end.next_multiple_of(4)).min(end)..end;
        let ticks = ticks_at
            .map(|at| (u64::from(self.u32_at(block, at)) << 32) | u64::from(self.u32_at(block, at + 4)));
        Ok(Found { data, options, interface, ticks, original_len })
    }

    fn lend(&mut self, found: Found, block_len: usize) -> Record<'_> {
        let mut record = Record::default();
        self.comments.clear();
        if !found.options.is_empty() {
            let mut comments = std::mem::take(&mut self.comments);
            let options = self.window.ahead(block_len).get(found.options).unwrap_or_default();
            self.each_option(options, |code, value| match (code, value) {
                (option::COMMENT, text) => comments.push(String::from_utf8_lossy(text).into_owned()),
                (option::FLAGS, flags) => {
                    record.direction = match self.u32_at(flags, 0) & 3 {
                        1 => Some(Direction::In),
                        2 => Some(Direction::Out),
                        _ => None,
                    }
                }
                (option::DROP_COUNT, count) if count.len() == 8 => record.missed_before = self.u64_of(count),
                (option::QUEUE, queue) if queue.len() == 4 => record.queue = Some(self.u32_at(queue, 0)),
                (option::VERDICT, [option::VERDICT_OF_XDP, action @ ..]) if action.len() == 8 => {
                    record.verdict = XdpAction::from_number(self.u64_of(action));
                }
                _ => {}
            });
            self.comments = comments;
        }
        self.packets += 1;
        let interface = self.interfaces.get(found.interface as usize);
        let clock = interface.map(|interface| interface.clock).unwrap_or_default();
        Record {
            number: self.packets,
            time: found.ticks.map_or(Timestamp::default(), |ticks| clock.time(ticks)),
            link: interface.map(|interface| interface.link).unwrap_or_default(),
            interface: Some(found.interface),
            original_len: found.original_len,
            data: self.window.take(block_len).get(found.data).unwrap_or_default(),
            comments: &self.comments,
            ..record
        }
    }

    /// The number in eight bytes.
    fn u64_of(&self, bytes: &[u8]) -> u64 {
        let (a, b) = (self.u32_at(bytes, 0), self.u32_at(bytes, 4));
        let (high, low) = if self.big_endian { (a, b) } else { (b, a) };
        (u64::from(high) << 32) | u64::from(low)
    }

    /// Options as they come, up to the one that ends them or to the first that does not fit.
    fn each_option<'b>(&self, mut options: &'b [u8], mut take: impl FnMut(u16, &'b [u8])) {
        while options.len() >= 4 {
            let (code, len) = (self.u16_at(options, 0), usize::from(self.u16_at(options, 2)));
            if code == 0 {
                return;
            }
            let Some(value) = options.get(4..4 + len) else { return };
            take(code, value);
            options = options.get((4 + len).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
