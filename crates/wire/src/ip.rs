//! What IPv4 and IPv6 share: the version nibble and the protocol numbers.

use crate::{Result, WireError};

/// Protocol and next-header numbers (IANA).
pub mod protocol {
    /// IPv6 Hop-by-Hop Options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Internet Control Message Protocol for IPv4.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// IPv6 Routing Header.
    pub const ROUTING: u8 = 43;
    /// IPv6 Fragment Header.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// Authentication Header.
    pub const AUTHENTICATION: u8 = 51;
    /// Internet Control Message Protocol for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 Destination Options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// The IP version that a packet claims: its first four bits, unchecked.
///
/// # Errors
/// [`WireError::Truncated`] when there are no bytes.
#[inline]
pub fn version(packet: &[u8]) -> Result<u8> {
    packet.first().map(|byte| byte >> 4).ok_or(WireError::Truncated)
}
