//! IPv6 and its extension headers.

use std::net::Ipv6Addr;

use super::ip::{Around, protocol_name, writes_addresses};
use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, up_to};
use crate::style::page::say;

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
                    self.ipv6_options("HBH ", rest)?
                }
                60 => {
                    self.protocol = "dstopt";
                    self.ipv6_options("DSTOPT ", rest)?
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
                        Some(advance) => advance,
                        None => return Ok(()),
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

    /// Hop-by-hop and destination options: their length.
    fn ipv6_options(&mut self, name: &str, bytes: &[u8]) -> Result<usize, Cut> {
        let len = (usize::from(u8_in(bytes, 1)?) + 1) * 8;
        let options = super::all_of(bytes, 0, len)?;
        self.page.put(name);
        if self.options.verbose > 0 {
            self.ipv6_option_list(from(options, 2));
        }
        Ok(len)
    }

    fn ipv6_option_list(&mut self, mut options: &[u8]) {
        while let Some(&kind) = options.first() {
            if kind == 0 {
                self.page.put("(pad1)");
                options = from(options, 1);
                continue;
            }
            let len = options.get(1).map_or(0, |&len| usize::from(len) + 2);
            let Some(option) = options.get(..len).filter(|option| option.len() >= 2) else { return };
            match (kind, option) {
                (1, _) => self.page.put("(padn) "),
                (5, [_, 2, high, low]) => {
                    say!(self.page, "(rtalert: 0x{:04x}) ", u16::from_be_bytes([*high, *low]))
                }
                (0xc2, [_, 4, a, b, c, d]) => {
                    say!(self.page, "(jumbo: {}) ", u32::from_be_bytes([*a, *b, *c, *d]))
                }
                (5 | 0xc2, _) => return,
                _ => say!(self.page, "(opt_type 0x{kind:02x}: len={}) ", len - 2),
            };
            options = from(options, len);
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
