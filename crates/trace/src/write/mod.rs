//! Captures written: pcapng with nanoseconds, in one file or in a ring of them.
//!
//! [`PcapngWriter`] knows the format, [`RingFiles`] which file is written to. Neither knows where packets come from.

mod pcapng;
mod ring_files;
#[cfg(test)]
mod tests;

pub use pcapng::{Interface, Packet, PcapngWriter, Section, Statistics, block_len};
pub use ring_files::{Preamble, RingFiles};
