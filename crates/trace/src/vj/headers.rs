//! The IP and TCP headers of one packet, kept as the bytes they are: what both ends of the compression remember of a
//! connection.

use std::net::Ipv4Addr;

use bypath_wire::checksum::{Sum, pseudo_header_v4};
use bypath_wire::ip::protocol;

/// IP and TCP headers with all the options they can have, bytes.
const MAX_LEN: usize = 120;

/// Bits of the TCP flags byte.
pub(super) mod flag {
    pub(in crate::vj) const FIN: u8 = 0x01;
    pub(in crate::vj) const SYN: u8 = 0x02;
    pub(in crate::vj) const RST: u8 = 0x04;
    pub(in crate::vj) const PSH: u8 = 0x08;
    pub(in crate::vj) const ACK: u8 = 0x10;
    pub(in crate::vj) const URG: u8 = 0x20;
}

/// Headers of an IPv4 packet that carries TCP, or says so to the one who reads them.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    bytes: [u8; MAX_LEN],
    ip_len: u8,
    len: u8,
}

impl Headers {
    /// The headers at the beginning of `packet`, if both are there; the protocol byte is not looked at.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        let ip_len = usize::from(first & 0x0f) * 4;
        let tcp_len = usize::from(*packet.get(ip_len + 12)? >> 4) * 4;
        if first >> 4 != 4 || ip_len < 20 || tcp_len < 20 {
            return None;
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..ip_len + tcp_len].copy_from_slice(packet.get(..ip_len + tcp_len)?);
        // Both lengths are at most 60.
        Some(Self { bytes, ip_len: ip_len as u8, len: (ip_len + tcp_len) as u8 })
    }

    /// Length of both headers.
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    pub(super) fn ip(&self) -> &[u8] {
        &self.bytes[..self.ip_len.into()]
    }

    pub(super) fn tcp(&self) -> &[u8] {
        &self.bytes[self.ip_len.into()..self.len()]
    }

    fn at(&self, offset: usize) -> u16 {
        u16::from_be_bytes([self.bytes[offset], self.bytes[offset + 1]])
    }

    fn put(&mut self, offset: usize, value: u16) {
        self.bytes[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn tcp_at(&self, offset: usize) -> u16 {
        self.at(usize::from(self.ip_len) + offset)
    }

    fn put_tcp(&mut self, offset: usize, value: u16) {
        self.put(usize::from(self.ip_len) + offset, value);
    }

    fn tcp_long_at(&self, offset: usize) -> u32 {
        u32::from(self.tcp_at(offset)) << 16 | u32::from(self.tcp_at(offset + 2))
    }

    fn put_tcp_long(&mut self, offset: usize, value: u32) {
        self.put_tcp(offset, (value >> 16) as u16);
        self.put_tcp(offset + 2, value as u16);
    }

    pub(super) fn total_len(&self) -> u16 {
        self.at(2)
    }

    pub(super) fn set_total_len(&mut self, len: u16) {
        self.put(2, len);
    }

    /// Bytes of data of the packet, by what its IP header says.
    pub(super) fn data_len(&self) -> u16 {
        self.total_len().saturating_sub(u16::from(self.len))
    }

    pub(super) fn id(&self) -> u16 {
        self.at(4)
    }

    pub(super) fn set_id(&mut self, id: u16) {
        self.put(4, id);
    }

    /// Flags and offset of fragments.
    pub(super) fn fragment(&self) -> u16 {
        self.at(6)
    }

    pub(super) fn protocol(&self) -> u8 {
        self.bytes[9]
    }

    pub(super) fn set_protocol(&mut self, protocol: u8) {
        self.bytes[9] = protocol;
    }

    pub(super) fn source(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[12], self.bytes[13], self.bytes[14], self.bytes[15])
    }

    pub(super) fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::new(self.bytes[16], self.bytes[17], self.bytes[18], self.bytes[19])
    }

    /// Source and destination port.
    pub(super) fn ports(&self) -> (u16, u16) {
        (self.tcp_at(0), self.tcp_at(2))
    }

    pub(super) fn seq(&self) -> u32 {
        self.tcp_long_at(4)
    }

    pub(super) fn set_seq(&mut self, seq: u32) {
        self.put_tcp_long(4, seq);
    }

    pub(super) fn ack(&self) -> u32 {
        self.tcp_long_at(8)
    }

    pub(super) fn set_ack(&mut self, ack: u32) {
        self.put_tcp_long(8, ack);
    }

    /// The TCP flags byte.
    pub(super) fn flags(&self) -> u8 {
        self.tcp_at(12) as u8
    }

    /// Sets or clears one TCP flag.
    pub(super) fn set_flag(&mut self, flag: u8, on: bool) {
        let byte = &mut self.bytes[usize::from(self.ip_len) + 13];
        *byte = if on { *byte | flag } else { *byte & !flag };
    }

    pub(super) fn window(&self) -> u16 {
        self.tcp_at(14)
    }

    pub(super) fn set_window(&mut self, window: u16) {
        self.put_tcp(14, window);
    }

    pub(super) fn tcp_checksum(&self) -> u16 {
        self.tcp_at(16)
    }

    pub(super) fn set_tcp_checksum(&mut self, checksum: u16) {
        self.put_tcp(16, checksum);
    }

    pub(super) fn urgent(&self) -> u16 {
        self.tcp_at(18)
    }

    pub(super) fn set_urgent(&mut self, urgent: u16) {
        self.put_tcp(18, urgent);
    }

    /// The IP checksum that the header should have.
    fn computed_ip_checksum(&self) -> u16 {
        Sum::of(&self.bytes[..10]).add(Sum::of(&self.ip()[12..])).finish()
    }

    /// Whether the IP checksum is what an expander computes.
    pub(super) fn ip_checksum_is_computed(&self) -> bool {
        self.at(10) == self.computed_ip_checksum()
    }

    pub(super) fn compute_ip_checksum(&mut self) {
        self.put(10, self.computed_ip_checksum());
    }

    /// Whether the TCP checksum is right for these headers with `data`.
    pub(super) fn tcp_checksum_fits(&self, data: &[u8]) -> bool {
        let tcp = self.tcp();
        // A packet is at most 65,535 bytes long.
        let len = (tcp.len() + data.len()) as u32;
        // TCP headers are whole words, so the data begins at an even offset.
        pseudo_header_v4(self.source(), self.destination(), protocol::TCP, len)
            .add(Sum::of(tcp))
            .add(Sum::of(data))
            .is_valid()
    }

    /// Whether `other` belongs to the same connection in the same direction.
    pub(super) fn same_connection(&self, other: &Self) -> bool {
        (self.source(), self.destination(), self.ports())
            == (other.source(), other.destination(), other.ports())
    }

    /// Whether the fields that a compressed frame cannot tell are as in `last` (RFC 1144 §3.2.3): lengths and options of both
    /// headers, TOS, fragment bits, TTL, and the TCP bits that are neither PSH nor URG.
    pub(super) fn differs_as_expected(&self, last: &Self) -> bool {
        let (ip, last_ip) = (self.ip(), last.ip());
        let (tcp, last_tcp) = (self.tcp(), last.tcp());
        const CHANGING: u8 = flag::PSH | flag::URG;
        ip.len() == last_ip.len()
            && tcp.len() == last_tcp.len()
            && ip[..2] == last_ip[..2]
            && ip[6..9] == last_ip[6..9]
            && ip[20..] == last_ip[20..]
            && tcp[12] == last_tcp[12]
            && tcp[13] & !CHANGING == last_tcp[13] & !CHANGING
            && tcp[20..] == last_tcp[20..]
    }
}
