//! The options of TCP: every one that is there, the unknown and the malformed included.

use super::bytes::{array_at, from, u8_at, u16_at, u32_at};

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// No more options.
    End,
    /// Nothing.
    Nop,
    /// The largest segment that the sender takes, bytes.
    MaximumSegmentSize(u16),
    /// The shift of the sender's windows.
    WindowScale(u8),
    /// Selective acknowledgements are understood.
    SackPermitted,
    /// Selective acknowledgements: pairs of edges, raw. See [`TcpOption::sack_blocks`].
    Sack(&'a [u8]),
    /// Timestamps (RFC 7323).
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The clock of the other end as it was heard.
        echo: u32,
    },
    /// Another option, or a known one of an odd length.
    Other {
        /// Its kind.
        kind: u8,
        /// What follows kind and length.
        data: &'a [u8],
    },
    /// What cannot be an option: a length of 0 or 1, or one beyond the end. Nothing can be read behind it.
    Malformed {
        /// Its kind.
        kind: u8,
        /// The length that it says, where that is there.
        len: Option<u8>,
        /// What is there behind kind and length.
        data: &'a [u8],
    },
}

impl<'a> TcpOption<'a> {
    /// The number of its kind.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            TcpOption::End => 0,
            TcpOption::Nop => 1,
            TcpOption::MaximumSegmentSize(_) => 2,
            TcpOption::WindowScale(_) => 3,
            TcpOption::SackPermitted => 4,
            TcpOption::Sack(_) => 5,
            TcpOption::Timestamps { .. } => 8,
            TcpOption::Other { kind, .. } | TcpOption::Malformed { kind, .. } => *kind,
        }
    }

    /// The blocks of selective acknowledgements: first sequence number, and the one behind the last.
    pub fn sack_blocks(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let bytes = if let TcpOption::Sack(bytes) = self { *bytes } else { &[] };
        bytes.chunks_exact(8).filter_map(|block| u32_at(block, 0).zip(u32_at(block, 4)))
    }

    fn read(kind: u8, data: &'a [u8]) -> TcpOption<'a> {
        let known = match (kind, data.len()) {
            (2, 2) => u16_at(data, 0).map(TcpOption::MaximumSegmentSize),
            (3, 1) => u8_at(data, 0).map(TcpOption::WindowScale),
            (4, 0) => Some(TcpOption::SackPermitted),
            (5, len) if len % 8 == 0 => Some(TcpOption::Sack(data)),
            (8, 8) => array_at(data, 0).map(u32::from_be_bytes).zip(u32_at(data, 4)).map(timestamps),
            _ => None,
        };
        known.unwrap_or(TcpOption::Other { kind, data })
    }
}

fn timestamps<'a>((value, echo): (u32, u32)) -> TcpOption<'a> {
    TcpOption::Timestamps { value, echo }
}

/// The options of a header, one after the other, up to the one that ends them or to the first that cannot be.
#[derive(Clone, Debug)]
pub struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> TcpOptions<'a> {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> TcpOptions<'a> {
        TcpOptions { rest: bytes }
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        let kind = u8_at(self.rest, 0)?;
        if kind < 2 {
            self.rest = if kind == 0 { &[] } else { from(self.rest, 1) };
            return Some(if kind == 0 { TcpOption::End } else { TcpOption::Nop });
        }
        let len = u8_at(self.rest, 1);
        let data = len.filter(|&len| len >= 2).and_then(|len| self.rest.get(2..usize::from(len)));
        let Some(data) = data else {
            let data = from(self.rest, 2);
            self.rest = &[];
            return Some(TcpOption::Malformed { kind, len, data });
        };
        self.rest = from(self.rest, 2 + data.len());
        Some(TcpOption::read(kind, data))
    }
}
