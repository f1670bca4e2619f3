//! ARP for IPv4 over Ethernet (RFC 826). Other hardware and protocol types are refused.

use std::net::Ipv4Addr;

use crate::bytes::{get, get_u16, get_u32, put, put_u16, put_u32};
use crate::ethernet::{EtherType, MacAddr};
use crate::{Result, WireError};

/// Bytes of a packet.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

/// What an ARP packet asks or tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ArpOperation(pub u16);

impl ArpOperation {
    /// Who has `target_ip`?
    pub const REQUEST: ArpOperation = ArpOperation(1);
    /// `sender_ip` is at `sender_mac`.
    pub const REPLY: ArpOperation = ArpOperation(2);
}

/// An ARP packet of 28 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArpPacket {
    /// Request, reply, or something this stack has no use for.
    pub operation: ArpOperation,
    /// Link address of the sender.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender; unspecified in an address probe (RFC 5227 §1.1).
    pub sender_ip: Ipv4Addr,
    /// Link address of the target; zero in a request.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// The question who has `target_ip`, to be broadcast.
    #[must_use]
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> ArpPacket {
        ArpPacket {
            operation: ArpOperation::REQUEST,
            sender_mac,
            sender_ip,
            target_mac: MacAddr::UNSPECIFIED,
            target_ip,
        }
    }

    /// The answer to this request from the station `mac`, which has the address asked for.
    #[must_use]
    pub const fn reply_from(&self, mac: MacAddr) -> ArpPacket {
        ArpPacket {
            operation: ArpOperation::REPLY,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Reads a packet; bytes after it are padding.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 bytes, [`WireError::BadValue`] when it is not IPv4 over Ethernet.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<ArpPacket> {
        let packet = bytes.first_chunk::<PACKET_LEN>().ok_or(WireError::Truncated)?;
        let kind = (get_u16::<0, _>(packet), EtherType(get_u16::<2, _>(packet)), get::<4, 2, _>(packet));
        if kind != (HARDWARE_ETHERNET, EtherType::IPV4, [6, 4]) {
            return Err(WireError::BadValue);
        }
        Ok(ArpPacket {
            operation: ArpOperation(get_u16::<6, _>(packet)),
            sender_mac: MacAddr(get::<8, 6, _>(packet)),
            sender_ip: Ipv4Addr::from_bits(get_u32::<14, _>(packet)),
            target_mac: MacAddr(get::<18, 6, _>(packet)),
            target_ip: Ipv4Addr::from_bits(get_u32::<24, _>(packet)),
        })
    }

    /// Writes the packet; returns 28, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let Some(packet) = out.first_chunk_mut::<PACKET_LEN>() else { return 0 };
        put_u16::<0, _>(packet, HARDWARE_ETHERNET);
        put_u16::<2, _>(packet, EtherType::IPV4.0);
        put::<4, 2, _>(packet, [6, 4]);
        put_u16::<6, _>(packet, self.operation.0);
        put::<8, 6, _>(packet, self.sender_mac.0);
        put_u32::<14, _>(packet, self.sender_ip.to_bits());
        put::<18, 6, _>(packet, self.target_mac.0);
        put_u32::<24, _>(packet, self.target_ip.to_bits());
        PACKET_LEN
    }
}
