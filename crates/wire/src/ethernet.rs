//! Ethernet II frames, with up to two VLAN tags (IEEE 802.3 §3.1, 802.1Q, 802.1ad).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use arrayvec::ArrayVec;

use crate::bytes::{get, get_u16, put, put_u16};
use crate::{Result, WireError};

/// Bytes of a header without tags.
pub const HEADER_LEN: usize = 14;
/// Bytes that each VLAN tag adds.
pub const VLAN_TAG_LEN: usize = 4;

/// A 48-bit link address in transmission order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations: `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// No station: `00:00:00:00:00:00`.
    pub const UNSPECIFIED: MacAddr = MacAddr([0; 6]);

    /// The group bit is set. True for broadcast too.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// All 48 bits are set.
    #[inline]
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// Where frames to an IPv4 multicast group go: `01:00:5e` and the low 23 bits (RFC 1112 §6.4).
    #[must_use]
    pub const fn multicast_v4(group: Ipv4Addr) -> MacAddr {
        let [_, b, c, d] = group.octets();
        MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// Where frames to an IPv6 multicast group go: `33:33` and the low 32 bits (RFC 2464 §7).
    #[must_use]
    pub const fn multicast_v6(group: Ipv6Addr) -> MacAddr {
        let [a, b, c, d] = (group.to_bits() as u32).to_be_bytes();
        MacAddr([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = WireError;

    /// Reads six hexadecimal octets of one or two digits, parted by `:` or `-`.
    fn from_str(text: &str) -> Result<MacAddr> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(WireError::Truncated)?;
            if part.is_empty() || part.len() > 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(WireError::BadValue);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| WireError::BadValue)?;
        }
        if parts.next().is_some() { Err(WireError::BadLength) } else { Ok(MacAddr(octets)) }
    }
}

/// What a frame carries (IEEE 802 numbers, host order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct EtherType(pub u16);

impl EtherType {
    /// Internet Protocol version 4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// Address Resolution Protocol.
    pub const ARP: EtherType = EtherType(0x0806);
    /// Customer VLAN tag (802.1Q).
    pub const VLAN: EtherType = EtherType(0x8100);
    /// Internet Protocol version 6.
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// Service VLAN tag (802.1ad).
    pub const SERVICE_VLAN: EtherType = EtherType(0x88a8);

    /// A VLAN tag follows, not a payload.
    #[inline]
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        matches!(self, EtherType::VLAN | EtherType::SERVICE_VLAN)
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

/// One VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// Which kind of tag: [`EtherType::VLAN`] or [`EtherType::SERVICE_VLAN`].
    pub kind: EtherType,
    /// Priority code point, 0 to 7.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// VLAN identifier, 0 to 4095.
    pub id: u16,
}

impl VlanTag {
    /// A customer tag of this identifier, priority 0.
    #[must_use]
    pub const fn new(id: u16) -> VlanTag {
        VlanTag { kind: EtherType::VLAN, priority: 0, drop_eligible: false, id }
    }

    const fn from_tci(kind: EtherType, tci: u16) -> VlanTag {
        VlanTag { kind, priority: (tci >> 13) as u8, drop_eligible: tci & 0x1000 != 0, id: tci & 0x0fff }
    }

    const fn tci(self) -> u16 {
        ((self.priority & 7) as u16) << 13 | (self.drop_eligible as u16) << 12 | (self.id & 0x0fff)
    }
}

/// An Ethernet II header: 14 bytes, plus four per VLAN tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EthernetHeader {
    /// Receiving station.
    pub dst: MacAddr,
    /// Sending station.
    pub src: MacAddr,
    /// What follows the tags.
    pub ethertype: EtherType,
    /// Tags, outermost first.
    pub vlan: ArrayVec<VlanTag, 2>,
}

impl EthernetHeader {
    /// Reads a header; returns it with its length. A third tag is left in place as `ethertype`.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when the frame ends within the header or its tags.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(EthernetHeader, usize)> {
        let (head, mut rest) = frame.split_first_chunk::<HEADER_LEN>().ok_or(WireError::Truncated)?;
        let mut header = EthernetHeader {
            dst: MacAddr(get::<0, 6, _>(head)),
            src: MacAddr(get::<6, 6, _>(head)),
            ethertype: EtherType(get_u16::<12, _>(head)),
            vlan: ArrayVec::new_const(),
        };
        while header.ethertype.is_vlan() && !header.vlan.is_full() {
            let (tag, after) = rest.split_first_chunk::<VLAN_TAG_LEN>().ok_or(WireError::Truncated)?;
            header.vlan.push(VlanTag::from_tci(header.ethertype, get_u16::<0, _>(tag)));
            header.ethertype = EtherType(get_u16::<2, _>(tag));
            rest = after;
        }
        let len = header.encoded_len();
        Ok((header, len))
    }

    /// Bytes that [`emit`](Self::emit) writes: 14, 18 or 22.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEADER_LEN + VLAN_TAG_LEN * self.vlan.len()
    }

    /// Writes the header; returns its length, or 0 when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let len = self.encoded_len();
        let Some((head, mut rest)) = out.get_mut(..len).and_then(<[u8]>::split_first_chunk_mut::<HEADER_LEN>)
        else {
            return 0;
        };
        put::<0, 6, _>(head, self.dst.0);
        put::<6, 6, _>(head, self.src.0);
        put_u16::<12, _>(head, self.vlan.first().map_or(self.ethertype, |tag| tag.kind).0);
        for (index, tag) in self.vlan.iter().enumerate() {
            let Some((bytes, after)) = rest.split_first_chunk_mut::<VLAN_TAG_LEN>() else { return 0 };
            put_u16::<0, _>(bytes, tag.tci());
            put_u16::<2, _>(bytes, self.vlan.get(index + 1).map_or(self.ethertype, |tag| tag.kind).0);
            rest = after;
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_reads_back_what_it_prints() {
        let mac = MacAddr([0x02, 0, 0x5e, 0x10, 0xff, 0x0a]);
        assert_eq!(mac.to_string(), "02:00:5e:10:ff:0a");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!("2-0-5E-10-FF-A".parse(), Ok(mac));
    }

    #[test]
    fn a_misspelt_mac_address_is_refused() {
        for text in ["", "02:00:5e:10:ff", "02:00:5e:10:ff:0a:01", "02:00:5e:10:ff:+a", "02:00:5e:10:ff:100"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn multicast_groups_map_to_their_link_addresses() {
        assert_eq!(MacAddr::multicast_v4([224, 129, 2, 3].into()), MacAddr([1, 0, 0x5e, 1, 2, 3]));
        let group = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(MacAddr::multicast_v6(group), MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
        assert!(MacAddr::multicast_v6(group).is_multicast() && MacAddr::BROADCAST.is_multicast());
    }

    #[test]
    fn a_third_tag_is_left_as_the_ethertype() {
        let mut frame = [0; 30];
        frame[12..14].copy_from_slice(&[0x88, 0xa8]);
        frame[16..18].copy_from_slice(&[0x81, 0x00]);
        frame[20..22].copy_from_slice(&[0x81, 0x00]);
        let (header, len) = EthernetHeader::parse(&frame).unwrap();
        assert_eq!((len, header.ethertype, header.vlan.len()), (22, EtherType::VLAN, 2));
    }
}
