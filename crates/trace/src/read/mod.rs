//! Reading captures: pcap and pcapng, of either byte order, from anything that can be read.
//!
//! A [`Capture`] is a stream. It holds one block of the file at a time and never looks back, so that a capture of any size
//! can come through a pipe. The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. What is no
//! capture is refused with what it is; what is damaged is read up to the damage, and then refused with the place.

mod foreign;
mod pcap;
mod pcapng;
mod window;

use std::io::{self, Read};

use crate::record::{LinkType, Record};
use window::Window;

/// Packets longer than this are taken for damage: four times what IP allows. libpcap has the same limit.
pub const LONGEST_PACKET: u32 = 262_144;

/// Why a capture cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system could not read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is nothing in it, not even a header.
    #[error("is empty, so it is no capture: a capture without packets has a header at least")]
    Empty,
    /// It is something else.
    #[error("is no pcap or pcapng capture, but {0}")]
    Foreign(String),
    /// It is of a version or kind that nobody has seen.
    #[error("has {0}, which cannot be read")]
    Unsupported(String),
    /// It ends in the middle of something.
    #[error("is cut off after {offset} bytes, within {within}: of {needed} bytes there are {got}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What should go on there.
        within: &'static str,
        /// Bytes that this should have.
        needed: u64,
        /// Bytes that are there.
        got: u64,
    },
    /// Its bytes contradict each other.
    #[error("is damaged at byte {offset}: {what}")]
    Corrupt {
        /// Where the damage is.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

/// One of a capture's interfaces, as far as the capture tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What its packets begin with.
    pub link: LinkType,
    /// Bytes that were kept of each packet; 0 where there was no limit.
    pub snap_len: u32,
    /// Its name.
    pub name: Option<String>,
    /// How its timestamps count.
    pub(crate) clock: pcapng::Clock,
}

impl Interface {
    /// One that keeps whole packets.
    #[must_use]
    pub fn named(name: &str, link: LinkType) -> Interface {
        Interface { link, snap_len: 0, name: Some(name.to_owned()), clock: pcapng::Clock::default() }
    }
}

/// The format of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic format, with timestamps in microseconds.
    PcapMicros,
    /// The classic format, with timestamps in nanoseconds.
    PcapNanos,
    /// The classic format with longer packet headers, as some old systems wrote it.
    PcapModified,
    /// The block format.
    Pcapng,
}

/// A capture that is being read.
#[derive(Debug)]
pub struct Capture<R> {
    window: Window<R>,
    format: Format,
    big_endian: bool,
    interfaces: Vec<Interface>,
    comments: Vec<String>,
    packets: u64,
}

impl<R: Read> Capture<R> {
    /// Reads the beginning.
    ///
    /// # Errors
    /// When it is no capture, or cannot be read.
    pub fn open(input: R) -> Result<Capture<R>, ReadError> {
        let mut window = Window::new(input);
        let magic = match window.peek(4)? {
            [] => return Err(ReadError::Empty),
            [a, b, c, d, ..] => [*a, *b, *c, *d],
            short => return Err(foreign::name(short)),
        };
        let mut capture = Capture {
            window,
            format: Format::Pcapng,
            big_endian: false,
            interfaces: Vec::new(),
            comments: Vec::new(),
            packets: 0,
        };
        if magic == pcapng::SECTION_HEADER {
            capture.open_pcapng()?;
        } else if let Some((format, big_endian)) = pcap::magic(magic) {
            capture.format = format;
            capture.big_endian = big_endian;
            capture.open_pcap()?;
        } else {
            return Err(foreign::name(capture.window.peek(foreign::ENOUGH)?));
        }
        Ok(capture)
    }

    /// The next packet, `None` at the end.
    ///
    /// # Errors
    /// When the capture is cut off or damaged here; the packets before are fine, and there are none behind.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        match self.format {
            Format::Pcapng => self.next_pcapng(),
            _ => self.next_pcap(),
        }
    }

    /// Reads up to the next packet, so that [`interfaces`](Capture::interfaces) knows the one that it is of.
    ///
    /// # Errors
    /// As [`next_record`](Capture::next_record).
    pub fn advance(&mut self) -> Result<(), ReadError> {
        if self.format == Format::Pcapng {
            self.next_block()?;
        }
        Ok(())
    }

    /// The format that it has.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The interfaces that it has told of until now. A pcap file has one; those of a pcapng file come as it is read.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> u32 {
        let Some(&[a, b, c, d]) = bytes.get(at..at + 4) else { return 0 };
        if self.big_endian { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) }
    }

    fn u16_at(&self, bytes: &[u8], at: usize) -> u16 {
        let Some(&[a, b]) = bytes.get(at..at + 2) else { return 0 };
        if self.big_endian { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) }
    }
}

/// Old systems wrote their own numbers for IP without a link header.
fn link_type(number: u16) -> LinkType {
    match number {
        12 | 14 => LinkType::RAW,
        other => LinkType(other),
    }
}
