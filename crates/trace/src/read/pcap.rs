//! The classic format: a header, and packets with 16 bytes before each.

use std::io::Read;

use super::pcapng::Clock;
use super::{Capture, Format, Interface, LONGEST_PACKET, ReadError, link_type};
use crate::record::{Record, Timestamp};

const HEADER: usize = 24;

/// What a file that begins with these bytes is, and whether in the order of big-endian machines.
pub(super) fn magic(bytes: [u8; 4]) -> Option<(Format, bool)> {
    let known = |number| match number {
        0xa1b2_c3d4 => Some(Format::PcapMicros),
        0xa1b2_3c4d => Some(Format::PcapNanos),
        0xa1b2_cd34 => Some(Format::PcapModified),
        _ => None,
    };
    let big = known(u32::from_be_bytes(bytes)).map(|format| (format, true));
    big.or_else(|| known(u32::from_le_bytes(bytes)).map(|format| (format, false)))
}

impl<R: Read> Capture<R> {
    pub(super) fn open_pcap(&mut self) -> Result<(), ReadError> {
        let got = self.window.peek(HEADER)?.len();
        if got < HEADER {
            return Err(ReadError::Truncated {
                offset: got as u64,
                within: "its header",
                needed: HEADER as u64,
                got: got as u64,
            });
        }
        let header = self.window.ahead(HEADER);
        let (major, minor) = (self.u16_at(header, 4), self.u16_at(header, 6));
        let (snap_len, network) = (self.u32_at(header, 16), self.u32_at(header, 20));
        if major != 2 {
            return Err(ReadError::Unsupported(format!("version {major}.{minor} of the pcap format")));
        }
        self.window.take(HEADER);
        // The upper bits tell of frame check sequences.
        let link = link_type((network & 0xffff) as u16);
        self.interfaces.push(Interface { link, snap_len, name: None, clock: Clock::default() });
        Ok(())
    }

    pub(super) fn next_pcap(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let header_len = if self.format == Format::PcapModified { 24 } else { 16 };
        let got = self.window.peek(header_len)?.len();
        if got == 0 {
            return Ok(None);
        }
        let offset = self.window.offset();
        let truncated = |within, before: usize, got: usize, needed: usize| ReadError::Truncated {
            offset: offset + (before + got) as u64,
            within,
            needed: needed as u64,
            got: got as u64,
        };
        if got < header_len {
            return Err(truncated("the header of a packet", 0, got, header_len));
        }
        let header = self.window.ahead(header_len);
        let [seconds, fraction, len, original_len] = [0, 4, 8, 12].map(|at| self.u32_at(header, at));
        if len > LONGEST_PACKET {
            let what = format!("packet {} would have {len} bytes", self.packets + 1);
            return Err(ReadError::Corrupt { offset, what });
        }
        let whole = header_len + len as usize;
        let got = self.window.peek(whole)?.len();
        if got < whole {
            return Err(truncated("a packet", header_len, got - header_len, len as usize));
        }
        let tick = if self.format == Format::PcapNanos { 1 } else { 1000 };
        let time = Timestamp(i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * tick);
        self.packets += 1;
        let link = self.interfaces.first().map(|interface| interface.link).unwrap_or_default();
        Ok(Some(Record {
            number: self.packets,
            time,
            link,
            original_len,
            data: self.window.take(whole).get(header_len..).unwrap_or_default(),
            ..Record::default()
        }))
    }
}
