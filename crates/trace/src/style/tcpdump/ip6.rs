//! IPv6 and its extension headers.

use std::net::Ipv6Addr;

use super::ip::{Around, protocol_name, writes_addresses};
use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, up_to};
use crate::style::page::say;

/// Options of hop-by-hop and destination headers.
const ROUTER_ALERT: u8 = 5;
const JUMBO: u8 = 0xc2;
const HOME_ADDRESS: u8 = 0xc9;

impl Printer {
    pub(super) fn ipv6(&mut self, bytes: &[u8], len: usize) -> Printed {
        self.protocol = "ip6";
        self.enter()?;
        if bytes.len() < 40 {
            return Err(self.cut());
        }
        if len < 40 {
            say!(self.page, "truncated-ip6 {len}");
            return Ok(());
        }
        if !self.options.link {
            self.page.put("IP6 ");
        }
        let version = u8_in(bytes, 0)? >> 4;
        if version != 6 {
            say!(self.page, "version error: {version} != 6");
            return Ok(());
        }
        let payload_len = u16_in(bytes, 4)?;
        let mut total = usize::from(payload_len) + 40;
        if len < total {
            say!(self.page, "truncated-ip6 - {} bytes missing!", total - len);
        }
        if payload_len == 0 {
            total = len;
        }
        let (next, hops) = (u8_in(bytes, 6)?, u8_in(bytes, 7)?);
        if self.options.verbose > 0 {
            let flow = u32_in(bytes, 0)?;
            self.page.byte(b'(');
            if flow & 0x0ff0_0000 != 0 {
                say!(self.page, "class 0x{:02x}, ", (flow >> 20) & 0xff);
            }
            if flow & 0xf_ffff != 0 {
                say!(self.page, "flowlabel 0x{:05x}, ", flow & 0xf_ffff);
            }
            let name = protocol_name(next);
            say!(self.page, "hlim {hops}, next-header {name} ({next}) payload length: {payload_len}) ");
        }
        let bytes = up_to(bytes, total);
        let around = Around {
            source: Ipv6Addr::from(array_in::<16>(bytes, 8)?).into(),
            destination: Ipv6Addr::from(array_in::<16>(bytes, 24)?).into(),
            final_destination: Ipv6Addr::from(array_in::<16>(bytes, 24)?).into(),
            next,
            fragmented: false,
            payload_len,
            is_v6: true,
            bytes,
        };
        if !writes_addresses(next) {
            self.host(around.source);
            self.page.put(" > ");
            self.host(around.destination);
            self.page.put(": ");
        }
        self.ipv6_chain(around, total)
    }

    /// The extension headers, and what is above them.
    fn ipv6_chain(&mut self, mut around: Around<'_>, total: usize) -> Printed {
        let (mut at, mut next) = (40, around.next);
        let bytes = around.bytes;
        loop {
            let before = at;
            let rest = from(bytes, at);
            let len = total.saturating_sub(at);
            let advance = match next {
                0 if at > 40 => {
                    self.page.put("[The Hop-by-Hop Options header was already found]");
                    self.invalid();
                    return Ok(());
                }
                0 => {
                    self.protocol = "hbhopt";
                    self.ipv6_options("HBH ", rest, Some(around.payload_len))?
                }
                60 => {
                    self.protocol = "dstopt";
                    self.ipv6_options("DSTOPT ", rest, None)?
                }
                43 => {
                    let advance = self.routing(rest)?;
                    if let Some(last) = last_hop(rest) {
                        around.final_destination = last.into();
                    }
                    advance
                }
                44 => {
                    around.fragmented = true;
                    match self.fragment(rest, len)? {
                        Some(advance) if rest.len() > advance => advance,
                        // The middle of a packet, or nothing of its beginning.
                        _ => return Ok(()),
                    }
                }
                51 => {
                    let advance = (usize::from(u8_in(rest, 1)?) + 2) * 4;
                    say!(self.page, "AH(spi=0x{:08x},seq=0x{:x}): ", u32_in(rest, 4)?, u32_in(rest, 8)?);
                    advance
                }
                _ => return self.above_ip(next, rest, len, &around),
            };
            next = u8_in(rest, 0)?;
            at += advance;
            if at > total {
                return Err(Cut);
            }
            if before >= bytes.len() {
                return Ok(());
            }
        }
    }

    /// Hop-by-hop and destination options: their length. Those from hop to hop know the length that the packet states.
    fn ipv6_options(&mut self, name: &str, bytes: &[u8], payload_len: Option<u16>) -> Result<usize, Cut> {
        let len = (usize::from(u8_in(bytes, 1)?) + 1) * 8;
        let mut options = from(super::all_of(bytes, 0, len)?, 2);
        self.page.put(name);
        let is_verbose = self.options.verbose > 0;
        if !is_verbose && payload_len.is_none() {
            return Ok(len);
        }
        while let Some(&kind) = options.first() {
            let len = if kind == 0 { 1 } else { usize::from(u8_in(options, 1)?) + 2 };
            let option = super::all_of(options, 0, len)?;
            // What is wrong with those from hop to hop is said without -v too.
            self.check_ipv6_option(kind, len, options)?;
            if is_verbose {
                self.ipv6_option(kind, option, payload_len);
            }
            options = from(options, len);
        }
        if is_verbose {
            self.page.byte(b' ');
        }
        Ok(len)
    }

    /// `options` are the option and what comes after it.
    fn check_ipv6_option(&mut self, kind: u8, len: usize, options: &[u8]) -> Printed {
        match kind {
            ROUTER_ALERT if len != 4 => {
                say!(self.page, "(rtalert: invalid len {})", len.saturating_sub(2));
            }
            JUMBO if len != 6 => {
                say!(self.page, "(jumbo: invalid len {})", len.saturating_sub(2));
            }
            HOME_ADDRESS if options.len() < 18 => {
                self.page.put("(homeaddr: trunc)");
            }
            // More is further options within this one.
            HOME_ADDRESS if len < 18 => {
                say!(self.page, "(homeaddr: invalid len {})", len.saturating_sub(2));
            }
            _ => return Ok(()),
        }
        Err(Cut)
    }

    fn ipv6_option(&mut self, kind: u8, option: &[u8], payload_len: Option<u16>) {
        match (kind, option) {
            (0, _) => {
                self.page.put("(pad1)");
            }
            (1, _) => {
                self.page.put("(padn)");
            }
            (ROUTER_ALERT, [_, _, high, low]) => {
                say!(self.page, "(rtalert: 0x{:04x}) ", u16::from_be_bytes([*high, *low]));
            }
            (JUMBO, [_, _, a, b, c, d]) => {
                let wrong = match payload_len {
                    Some(0) => "",
                    Some(_) => " - payload len != 0",
                    None => " - not a hop-by-hop option",
                };
                say!(self.page, "(jumbo: {}{wrong}) ", u32::from_be_bytes([*a, *b, *c, *d]));
            }
            (HOME_ADDRESS, _) => {
                self.page.put("(homeaddr: ");
                if let Ok(address) = array_in::<16>(option, 2) {
                    self.host6(Ipv6Addr::from(address));
                }
                self.page.byte(b')');
            }
            _ => {
                say!(self.page, "(opt_type 0x{kind:02x}: len={})", option.len().saturating_sub(2));
            }
        }
    }

    fn routing(&mut self, bytes: &[u8]) -> Result<usize, Cut> {
        let (len, kind, left) = (u8_in(bytes, 1)?, u8_in(bytes, 2)?, u8_in(bytes, 3)?);
        say!(self.page, "srcrt (len={len}, type={kind}, segleft={left}");
        if kind == 0 || kind == 2 {
            let reserved = u32_in(bytes, 4)?;
            if reserved != 0 || self.options.verbose > 1 {
                say!(self.page, ", rsv=0x{reserved:x}");
            }
            if len % 2 == 1 {
                self.invalid();
                return Err(Cut);
            }
            for hop in 0..usize::from(len / 2) {
                let address = Ipv6Addr::from(array_in::<16>(bytes, 8 + hop * 16)?);
                say!(self.page, ", [{hop}]");
                self.host6(address);
            }
        }
        self.page.put(") ");
        Ok((usize::from(len) + 1) * 8)
    }

    /// The header of a fragment; nothing when what follows is from the middle of a packet.
    fn fragment(&mut self, bytes: &[u8], len: usize) -> Result<Option<usize>, Cut> {
        self.protocol = "frag6";
        let field = u16_in(bytes, 2)?;
        let (offset, len) = (field & 0xfff8, len.saturating_sub(8));
        if self.options.verbose > 0 {
            let id = u32_in(bytes, 4)?;
            say!(self.page, "frag (0x{id:08x}:{offset}|{len})");
        } else {
            say!(self.page, "frag ({offset}|{len})");
        }
        if offset != 0 {
            return Ok(None);
        }
        self.page.byte(b' ');
        Ok(Some(8))
    }
}

/// The last address of a routing header of type 0 with segments left.
fn last_hop(bytes: &[u8]) -> Option<Ipv6Addr> {
    let (len, kind, left) = (*bytes.get(1)?, *bytes.get(2)?, *bytes.get(3)?);
    if left == 0 || !matches!(kind, 0 | 2) {
        return None;
    }
    let hops = usize::from(len / 2).checked_sub(1)?;
    crate::layers::bytes::array_at::<16>(bytes, 8 + hops * 16).map(Ipv6Addr::from)
}
