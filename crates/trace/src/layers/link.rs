//! The link layer: Ethernet with VLAN tags, Linux cooked headers, PPP, loopback, or none.

use arrayvec::ArrayVec;

use super::bytes::{array_at, u8_at, u16_at, u32_at};
use super::ethertype;
use crate::record::{Direction, LinkType};

/// Tags beyond these are not looked for.
const MOST_TAGS: usize = 4;

/// The VLAN tags of a frame, outermost first.
pub type Vlans = ArrayVec<Vlan, MOST_TAGS>;

/// A VLAN tag (IEEE 802.1Q, 802.1ad).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The type that announced it.
    pub tpid: u16,
    /// Priority, drop eligibility and identifier in one.
    pub tci: u16,
}

impl Vlan {
    /// The VLAN's identifier.
    #[must_use]
    pub fn id(self) -> u16 {
        self.tci & 0xfff
    }

    /// Priority, 0 to 7.
    #[must_use]
    pub fn priority(self) -> u8 {
        (self.tci >> 13) as u8
    }

    /// It is to be dropped first.
    #[must_use]
    pub fn drop_eligible(self) -> bool {
        self.tci & 0x1000 != 0
    }
}

/// What carries a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet frame.
    Ethernet {
        /// To.
        destination: [u8; 6],
        /// From.
        source: [u8; 6],
        /// The type right behind the addresses, which a VLAN tag may have; below 1536 it is a length.
        ethertype: u16,
    },
    /// Linux' "cooked" header, of captures of all interfaces.
    Cooked {
        /// 0 to us, 1 broadcast, 2 multicast, 3 to others, 4 from us.
        packet_type: u16,
        /// The kind of interface, an ARPHRD number.
        hardware: u16,
        /// The sender's address.
        address: [u8; 8],
        /// How long that is.
        address_len: u16,
        /// The type of what follows.
        protocol: u16,
        /// The interface's index, in the second version of the header.
        interface: Option<u32>,
    },
    /// A PPP frame.
    Ppp {
        /// Which way it went, where it is told.
        direction: Option<Direction>,
        /// The number of the protocol that it carries.
        protocol: u16,
        /// Bytes before that protocol's own.
        header_len: usize,
    },
    /// The family of addresses, of captures on loopback interfaces of BSD.
    Null {
        /// 2 is IPv4; IPv6 has 10, 24, 28 or 30.
        family: u32,
    },
    /// IP without a link layer.
    Raw,
    /// A link layer that is not known here, or that is cut off.
    Unknown,
}

/// What the link layer says.
pub(super) struct Found {
    pub(super) link: Link,
    pub(super) vlans: Vlans,
    pub(super) ethertype: Option<u16>,
    /// The length of its headers.
    pub(super) len: usize,
    pub(super) cut: bool,
}

impl Found {
    fn new(link: Link, ethertype: Option<u16>, len: usize) -> Found {
        Found { link, vlans: Vlans::new(), ethertype, len, cut: false }
    }
}

const LOOP: LinkType = LinkType(108);

pub(super) fn parse(link: LinkType, data: &[u8]) -> Found {
    let found = match link {
        LinkType::ETHERNET => ethernet(data),
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => raw(link, data),
        LinkType::LINUX_SLL => cooked(data),
        LinkType::LINUX_SLL2 => cooked_2(data),
        LinkType::NULL | LOOP => null(link, data),
        LinkType::PPP | LinkType::PPP_HDLC | LinkType::PPP_WITH_DIRECTION => ppp(link, data),
        _ => return Found::new(Link::Unknown, None, 0),
    };
    found.unwrap_or(Found { cut: true, ..Found::new(Link::Unknown, None, 0) })
}

fn ethernet(data: &[u8]) -> Option<Found> {
    let (destination, source, first) = (array_at(data, 0)?, array_at(data, 6)?, u16_at(data, 12)?);
    let mut found = Found::new(Link::Ethernet { destination, source, ethertype: first }, Some(first), 14);
    tags(data, &mut found);
    Some(found)
}

/// Follows VLAN tags.
fn tags(data: &[u8], found: &mut Found) {
    while let Some(tpid @ (ethertype::VLAN | ethertype::QINQ | 0x9100)) = found.ethertype {
        let (Some(tci), Some(inner)) = (u16_at(data, found.len), u16_at(data, found.len + 2)) else {
            found.cut = true;
            found.ethertype = None;
            return;
        };
        if found.vlans.try_push(Vlan { tpid, tci }).is_err() {
            return;
        }
        found.ethertype = Some(inner);
        found.len += 4;
    }
}

fn raw(link: LinkType, data: &[u8]) -> Option<Found> {
    let ethertype = match (link, u8_at(data, 0)? >> 4) {
        (LinkType::IPV4, _) | (LinkType::RAW, 4) => Some(ethertype::IPV4),
        (LinkType::IPV6, _) | (LinkType::RAW, 6) => Some(ethertype::IPV6),
        _ => None,
    };
    Some(Found::new(Link::Raw, ethertype, 0))
}

fn cooked(data: &[u8]) -> Option<Found> {
    let protocol = u16_at(data, 14)?;
    let link = Link::Cooked {
        packet_type: u16_at(data, 0)?,
        hardware: u16_at(data, 2)?,
        address_len: u16_at(data, 4)?,
        address: array_at(data, 6)?,
        protocol,
        interface: None,
    };
    let mut found = Found::new(link, Some(protocol), 16);
    tags(data, &mut found);
    Some(found)
}

fn cooked_2(data: &[u8]) -> Option<Found> {
    let protocol = u16_at(data, 0)?;
    let link = Link::Cooked {
        packet_type: u16::from(u8_at(data, 10)?),
        hardware: u16_at(data, 8)?,
        address_len: u16::from(u8_at(data, 11)?),
        address: array_at(data, 12)?,
        protocol,
        interface: u32_at(data, 4),
    };
    let mut found = Found::new(link, Some(protocol), 20);
    tags(data, &mut found);
    Some(found)
}

/// The family is in the byte order of the machine that captured, which is told by its being a small number.
fn null(link: LinkType, data: &[u8]) -> Option<Found> {
    let big = u32_at(data, 0)?;
    let family = if link != LOOP && big & 0xffff_0000 != 0 { big.swap_bytes() } else { big };
    let ethertype = match family {
        2 => Some(ethertype::IPV4),
        10 | 24 | 28 | 30 => Some(ethertype::IPV6),
        _ => None,
    };
    Some(Found::new(Link::Null { family }, ethertype, 4))
}

/// Address and control bytes may be left out, and the protocol's first byte as well when it is zero (RFC 1661, section 6).
fn ppp(link: LinkType, data: &[u8]) -> Option<Found> {
    let (direction, mut at) = match (link, u8_at(data, 0)?) {
        (LinkType::PPP_WITH_DIRECTION, 0) => (Some(Direction::In), 1),
        (LinkType::PPP_WITH_DIRECTION, _) => (Some(Direction::Out), 1),
        _ => (None, 0),
    };
    if array_at(data, at) == Some([0xff, 0x03]) {
        at += 2;
    }
    let first = u8_at(data, at)?;
    let protocol = if first & 1 == 1 { u16::from(first) } else { u16_at(data, at)? };
    at += if first & 1 == 1 { 1 } else { 2 };
    let ethertype = match protocol {
        0x0021 => ethertype::IPV4,
        0x0057 => ethertype::IPV6,
        other => other,
    };
    Some(Found::new(Link::Ppp { direction, protocol, header_len: at }, Some(ethertype), at))
}
