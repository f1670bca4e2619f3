//! Bytes to headers and back: link, network and transport formats, and the Internet checksum.
//!
//! Nothing here reads a clock, owns memory beyond its own return value, allocates or panics. The stack
//! above (TCP, engine, trace) calls it for every packet; the devices below never do.
//!
//! Every format follows one shape:
//!
//! - `parse(&[u8])` checks all lengths the format states against the bytes that are there, once, and
//!   returns the header with the number of bytes it took. Ethernet padding after the packet is fine.
//!   Checksums are a separate question (`checksum_ok`), because a device may have answered it already.
//! - `emit(&self, &mut [u8]) -> usize` writes the header and returns its length in bytes. If the buffer
//!   is too short it writes nothing and returns 0, so a full frame is never half a header.
//!
//! Addresses are `std::net` types; ports, lengths and windows are host-order integers.

pub mod arp;
mod bytes;
pub mod checksum;
pub mod cycles;
mod error;
pub mod ethernet;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod ordinary;
pub mod prefetch;
pub mod seq;
pub mod tcp;
pub mod udp;

pub use error::{Result, WireError};
pub use seq::SeqNum;
