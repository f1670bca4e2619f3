//! The link layer, and which printer comes after it.

use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, u16_at};
use crate::layers::{Link, ethertype};
use crate::record::{LinkType, Record};
use crate::style::page::say;

/// Names of types.
const TYPES: &[(u16, &str)] = &[
    (0x0800, "IPv4"),
    (0x0806, "ARP"),
    (0x8035, "Reverse ARP"),
    (0x86dd, "IPv6"),
    (0x8100, "802.1Q"),
    (0x88a8, "802.1Q-QinQ"),
    (0x9100, "802.1Q-9100"),
    (0x9200, "802.1Q-9200"),
    (0x8847, "MPLS unicast"),
    (0x8848, "MPLS multicast"),
    (0x8863, "PPPoE D"),
    (0x8864, "PPPoE S"),
    (0x880b, "PPP"),
    (0x88cc, "LLDP"),
    (0x888e, "EAPOL"),
    (0x8809, "Slow Protocols"),
    (0x9000, "Loopback"),
    (0x6558, "TEB"),
    (0x8870, "Jumbo"),
    (0x88ca, "TIPC"),
];

pub(super) fn type_name(ethertype: u16) -> Option<&'static str> {
    super::named(TYPES, ethertype)
}

fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::QINQ | 0x9100 | 0x9200)
}

/// The length of the link layer's header, whose bytes are not shown by `-x`.
pub(super) fn len(link: LinkType, data: &[u8]) -> usize {
    let tagged = |mut at: usize, mut ethertype: Option<u16>| {
        while ethertype.is_some_and(is_tag) && data.len() >= at + 4 {
            ethertype = u16_at(data, at + 2);
            at += 4;
        }
        at
    };
    match link {
        LinkType::ETHERNET => tagged(14, u16_at(data, 12)),
        LinkType::LINUX_SLL => tagged(16, u16_at(data, 14)),
        LinkType::LINUX_SLL2 => tagged(20, u16_at(data, 0)),
        LinkType::NULL => 4,
        LinkType(108) => 4,
        LinkType::PPP | LinkType::PPP_HDLC | LinkType::PPP_WITH_DIRECTION => {
            match crate::layers::dissect(link, data).link {
                Link::Ppp { header_len, .. } => header_len,
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// Makers of interfaces that tcpdump knows by the first bytes of their addresses, those that are met the most.
const MAKERS: &[([u8; 3], &str)] = &[([0, 0, 0], "Ethernet"), ([0, 0, 0x0c], "Cisco")];

impl Printer {
    /// An address of the link layer, and who made it.
    pub(super) fn mac(&mut self, address: &[u8]) {
        if self.options.numeric {
            self.page.mac(address);
        } else if address == [0xff; 6] {
            self.page.put("Broadcast");
        } else {
            self.page.mac(address);
            if let [a, b, c, _, _, _] = *address {
                let maker =
                    MAKERS.iter().find(|(first, _)| *first == [a, b, c]).map_or("Unknown", |(_, name)| *name);
                say!(self.page, " (oui {maker})");
            }
        }
    }

    pub(super) fn link(&mut self, record: &Record<'_>) -> Printed {
        let (data, len) = (record.data, record.original_len as usize);
        match record.link {
            LinkType::ETHERNET => self.ethernet(data, len),
            LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => self.raw(data, len),
            LinkType::LINUX_SLL => self.cooked(data, len),
            LinkType::LINUX_SLL2 => self.cooked_2(data, len),
            LinkType::NULL | LinkType(108) => self.null(record.link, data, len),
            link if crate::ppp::Link::has(link) => self.ppp(record),
            link => self.other(link, len),
        }
    }

    pub(super) fn ethernet(&mut self, data: &[u8], len: usize) -> Printed {
        self.protocol = "ether";
        let (Some(mut kind), true) = (u16_at(data, 12), len >= 14) else { return Err(Cut) };
        if self.options.link {
            self.ethernet_header(data, len, kind)?;
        }
        let mut at = 14;
        while is_tag(kind) {
            self.protocol = "vlan";
            let (tci, inner) = (u16_in(data, at)?, u16_in(data, at + 2)?);
            if len < at + 4 {
                return Err(Cut);
            }
            if self.options.link {
                say!(self.page, "vlan {}, p {}", tci & 0xfff, tci >> 13);
                self.page.put(if tci & 0x1000 != 0 { ", DEI, " } else { ", " });
                if inner > 1500 {
                    self.ethertype_name(inner);
                    self.page.put(", ");
                }
            }
            kind = inner;
            at += 4;
        }
        if !self.network(kind, from(data, at), len - at)? {
            if !self.options.link {
                self.ethernet_header(data, len, kind)?;
            }
            self.unknown(from(data, at));
        }
        Ok(())
    }

    fn ethernet_header(&mut self, data: &[u8], len: usize, kind: u16) -> Printed {
        let (to, from) = (array_in::<6>(data, 0)?, array_in::<6>(data, 6)?);
        self.mac(&from);
        self.page.put(" > ");
        self.mac(&to);
        if kind <= 1500 {
            say!(self.page, ", 802.3, length {kind}: ");
        } else {
            self.page.put(", ");
            let name = type_name(kind).unwrap_or("Unknown");
            say!(self.page, "ethertype {name} (0x{kind:04x}), length {len}: ");
        }
        Ok(())
    }

    fn ethertype_name(&mut self, kind: u16) {
        match type_name(kind) {
            Some(name) => say!(self.page, "ethertype {name} (0x{kind:04x})"),
            None => say!(self.page, "ethertype Unknown (0x{kind:04x})"),
        };
    }

    /// What an Ethernet type announces. `false` when it is not known here.
    fn network(&mut self, kind: u16, bytes: &[u8], len: usize) -> Result<bool, Cut> {
        match kind {
            ethertype::IPV4 => self.ipv4(bytes, len)?,
            ethertype::IPV6 => self.ipv6(bytes, len)?,
            ethertype::ARP | 0x8035 => self.arp(bytes, len)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn raw(&mut self, data: &[u8], len: usize) -> Printed {
        self.protocol = "raw";
        if self.options.link {
            self.page.put("ip: ");
        }
        self.ip_of_either_version(data, len)
    }

    fn ip_of_either_version(&mut self, data: &[u8], len: usize) -> Printed {
        self.protocol = "ipn";
        if len < 1 {
            say!(self.page, "truncated-ip {len}");
            return Ok(());
        }
        match u8_in(data, 0)? >> 4 {
            4 => self.ipv4(data, len),
            6 => self.ipv6(data, len),
            version => {
                say!(self.page, "unknown ip {version}");
                Ok(())
            }
        }
    }

    fn cooked(&mut self, data: &[u8], len: usize) -> Printed {
        self.protocol = "sll";
        if data.len() < 16 {
            return Err(Cut);
        }
        let kind = u16_in(data, 14)?;
        self.cooked_header(u16_in(data, 0)?, u16_in(data, 4)?, array_in(data, 6)?, None);
        self.cooked_kind(kind, len);
        self.after_cooked(kind, from(data, 16), len.saturating_sub(16))
    }

    fn cooked_2(&mut self, data: &[u8], len: usize) -> Printed {
        self.protocol = "sll2";
        if data.len() < 20 {
            return Err(Cut);
        }
        let kind = u16_in(data, 0)?;
        let (packet, address_len) = (u16::from(u8_in(data, 10)?), u16::from(u8_in(data, 11)?));
        self.cooked_header(packet, address_len, array_in(data, 12)?, Some(u32_in(data, 4)?));
        self.cooked_kind(kind, len);
        self.after_cooked(kind, from(data, 20), len.saturating_sub(20))
    }

    fn cooked_header(&mut self, packet: u16, address_len: u16, address: [u8; 8], interface: Option<u32>) {
        if interface.is_some() {
            // The name that the index has on this machine, which tcpdump prints, is not the one that was meant.
            self.page.put("?     ");
        }
        // The older header is shown with -e only.
        if interface.is_none() && !self.options.link {
            return;
        }
        let kind = match packet {
            0 => "In",
            1 => "B",
            2 => "M",
            3 => "P",
            4 => "Out",
            _ => "?",
        };
        if interface.is_some() {
            say!(self.page, "{kind:<3} ");
        } else {
            say!(self.page, "{kind:>3} ");
        }
        if let Some(interface) = interface.filter(|_| self.options.link) {
            say!(self.page, "ifindex {interface} ");
        }
        if self.options.link && address_len == 6 {
            self.mac(address.get(..6).unwrap_or_default());
            self.page.byte(b' ');
        }
    }

    fn cooked_kind(&mut self, kind: u16, len: usize) {
        if self.options.link {
            self.ethertype_name(kind);
            say!(self.page, ", length {len}: ");
        }
    }

    fn after_cooked(&mut self, mut kind: u16, data: &[u8], len: usize) -> Printed {
        let mut at = 0;
        while is_tag(kind) {
            self.protocol = "vlan";
            let (tci, inner) = (u16_in(data, at)?, u16_in(data, at + 2)?);
            if self.options.link {
                say!(self.page, "vlan {}, p {}", tci & 0xfff, tci >> 13);
                self.page.put(if tci & 0x1000 != 0 { ", DEI, " } else { ", " });
                self.ethertype_name(inner);
                self.page.put(", ");
            }
            kind = inner;
            at += 4;
        }
        if !self.network(kind, from(data, at), len.saturating_sub(at))? {
            self.unknown(from(data, at));
        }
        Ok(())
    }

    fn null(&mut self, link: LinkType, data: &[u8], len: usize) -> Printed {
        self.protocol = "null";
        let found = crate::layers::dissect(link, data).link;
        let Link::Null { family } = found else { return Err(Cut) };
        let name = match family {
            2 => "IPv4",
            24 | 28 | 30 => "IPv6",
            _ => "Unknown",
        };
        if self.options.link || name == "Unknown" {
            say!(self.page, "AF {name} ({family}), length {len}: ");
        }
        if name == "Unknown" {
            self.unknown(from(data, 4));
            return Ok(());
        }
        self.ip_of_either_version(from(data, 4), len.saturating_sub(4))
    }

    /// Links that are not known here.
    fn other(&mut self, link: LinkType, len: usize) -> Printed {
        say!(self.page, "link type {}, length {len}", link.0);
        Ok(())
    }
}
