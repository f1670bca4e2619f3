//! ARP and its relatives (RFC 826, RFC 903), for hardware and protocol addresses of any length.

use std::net::Ipv4Addr;

use super::bytes::{array_at, from, u8_at, u16_at, up_to};

/// An ARP packet. Addresses are as long as the packet says, shorter where it is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp<'a> {
    /// The kind of hardware address: 1 is Ethernet.
    pub hardware: u16,
    /// The kind of protocol address, an ethertype.
    pub protocol: u16,
    /// Length of a hardware address.
    pub hardware_len: u8,
    /// Length of a protocol address.
    pub protocol_len: u8,
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Who sends this.
    pub sender_hardware: &'a [u8],
    /// Who sends this.
    pub sender_protocol: &'a [u8],
    /// Who is asked for, or answered.
    pub target_hardware: &'a [u8],
    /// Who is asked for, or answered.
    pub target_protocol: &'a [u8],
}

impl<'a> Arp<'a> {
    /// Reads a packet.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Arp<'a>> {
        let (hardware_len, protocol_len) = (u8_at(bytes, 4)?, u8_at(bytes, 5)?);
        let (hl, pl) = (usize::from(hardware_len), usize::from(protocol_len));
        let address = |at, len| up_to(from(bytes, 8 + at), len);
        Some(Arp {
            hardware: u16_at(bytes, 0)?,
            protocol: u16_at(bytes, 2)?,
            hardware_len,
            protocol_len,
            operation: u16_at(bytes, 6)?,
            sender_hardware: address(0, hl),
            sender_protocol: address(hl, pl),
            target_hardware: address(hl + pl, hl),
            target_protocol: address(2 * hl + pl, pl),
        })
    }

    /// Its length.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        8 + 2 * (usize::from(self.hardware_len) + usize::from(self.protocol_len))
    }

    /// Whether addresses are missing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.target_protocol.len() < usize::from(self.protocol_len)
            || self.target_hardware.len() < usize::from(self.hardware_len)
    }

    /// The sender and the target, where they are IPv4 addresses.
    #[must_use]
    pub fn ipv4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let address = |bytes| array_at::<4>(bytes, 0).map(Ipv4Addr::from);
        if self.protocol_len != 4 || self.protocol != super::ethertype::IPV4 {
            return None;
        }
        Some((address(self.sender_protocol)?, address(self.target_protocol)?))
    }
}
