//! ICMPv6, with the discovery of neighbours and routers and of listeners.

use std::net::Ipv6Addr;

use super::ip::{Around, should_be};
use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, u8_at, u16_at};
use crate::layers::protocol;
use crate::style::page::say;

const TYPES: &[(u16, &str)] = &[
    (1, "destination unreachable"),
    (2, "packet too big"),
    (3, "time exceeded in-transit"),
    (4, "parameter problem"),
    (128, "echo request"),
    (129, "echo reply"),
    (130, "multicast listener query"),
    (131, "multicast listener report"),
    (132, "multicast listener done"),
    (133, "router solicitation"),
    (134, "router advertisement"),
    (135, "neighbor solicitation"),
    (136, "neighbor advertisement"),
    (137, "redirect"),
    (138, "router renumbering"),
    (139, "node information query"),
    (140, "node information reply"),
    (141, "inverse neighbor solicitation"),
    (142, "inverse neighbor advertisement"),
    (143, "multicast listener report v2"),
    (144, "ha discovery request"),
    (145, "ha discovery reply"),
    (146, "mobile router solicitation"),
    (147, "mobile router advertisement"),
    (201, "mtrace message"),
    (200, "mtrace response"),
];

const UNREACHABLE: &[(u16, &str)] = &[
    (0, "unreachable route"),
    (1, " unreachable prohibited"),
    (2, "beyond scope"),
    (3, "unreachable address"),
    (4, "unreachable port"),
];

const OPTIONS: &[(u16, &str)] = &[
    (1, "source link-address"),
    (2, "destination link-address"),
    (3, "prefix info"),
    (4, "redirected header"),
    (5, "mtu"),
    (7, "advertisement interval"),
    (8, "homeagent information"),
    (24, "route info"),
    (25, "rdnss"),
    (31, "dnssl"),
];

const REPORTS: &[(u16, &str)] =
    &[(1, "is_in"), (2, "is_ex"), (3, "to_in"), (4, "to_ex"), (5, "allow"), (6, "block")];

/// Where the packet begins that an error quotes.
const QUOTED: usize = 8;

/// The name of a message's type.
pub(super) fn type_name(kind: u8) -> Option<&'static str> {
    super::named(TYPES, u16::from(kind))
}

impl Printer {
    pub(super) fn icmp6(&mut self, bytes: &[u8], len: usize, around: &Around<'_>) -> Printed {
        self.protocol = "icmp6";
        let kind = u8_in(bytes, 0)?;
        let (code, stated) = (u8_at(bytes, 1).unwrap_or(0), u16_at(bytes, 2).unwrap_or(0));
        let verbose = self.options.verbose;
        if verbose > 0
            && !around.fragmented
            && let Some(message) = bytes.get(..len)
        {
            u16_in(message, 2)?;
            let sum = around.checksum(protocol::ICMPV6, message, len);
            if sum == 0 {
                self.page.put("[icmp6 sum ok] ");
            } else {
                say!(self.page, "[bad icmp6 cksum 0x{stated:04x} -> 0x{:04x}!] ", should_be(stated, sum));
            }
        }
        self.page.put("ICMP6, ");
        match type_name(kind) {
            // The names that these had before they were about more than names.
            _ if kind == 139 => self.page.put("who-are-you request"),
            _ if kind == 140 => self.page.put("who-are-you reply"),
            Some(name) => self.page.put(name),
            None => say!(self.page, "unknown icmp6 type ({kind})"),
        };
        if verbose > 0 && matches!(kind, 133..=137 | 145 | 147) {
            say!(self.page, ", length {len}");
        }
        match kind {
            1 => {
                if !self.icmp6_unreachable(bytes, code)? && verbose <= 1 {
                    self.unknown_bytes("\n\t", bytes, len);
                    return Ok(());
                }
            }
            2 => {
                say!(self.page, ", mtu {}", u32_in(bytes, 4)?);
            }
            3 => self.icmp6_exceeded(bytes, code)?,
            4 => self.icmp6_parameter(bytes, code)?,
            128 | 129 => {
                say!(self.page, ", id {}, seq {}", u16_in(bytes, 4)?, u16_in(bytes, 6)?);
            }
            130 if len == 24 => self.listener(bytes)?,
            130 if len >= 28 => {
                self.page.put(" v2");
                self.listener_query(bytes, len)?;
            }
            130 => {
                say!(self.page, " unknown-version (len {len}) ");
            }
            131 | 132 => self.listener(bytes)?,
            133..=137 => self.discovery(kind, bytes, len)?,
            143 => self.listener_report(bytes, len)?,
            139 | 140 => self.node_information(kind, code, bytes, len)?,
            141 | 142 => {}
            144 | 146 => {
                say!(self.page, ", id 0x{:04x}", u16_in(bytes, 4)?);
            }
            _ => {
                say!(self.page, ", length {len}");
                if verbose <= 1 {
                    self.unknown_bytes("\n\t", bytes, len);
                }
                return Ok(());
            }
        }
        if verbose == 0 {
            say!(self.page, ", length {len}");
        }
        Ok(())
    }

    fn unknown_bytes(&mut self, indent: &str, bytes: &[u8], len: usize) {
        self.hex_lines(indent, bytes.get(..len).unwrap_or(bytes), false);
    }

    fn quoted_destination(&mut self, bytes: &[u8]) -> Result<Ipv6Addr, Cut> {
        Ok(array_in::<16>(bytes, QUOTED + 24)?.into())
    }

    /// `false` where the code says nothing that is known.
    fn icmp6_unreachable(&mut self, bytes: &[u8], code: u8) -> Result<bool, Cut> {
        u8_in(bytes, 1)?;
        match super::named(UNREACHABLE, u16::from(code)) {
            Some(name) => say!(self.page, ", {name}"),
            None => say!(self.page, ", unknown unreach code ({code})"),
        };
        let destination = self.quoted_destination(bytes)?;
        match code {
            0 | 1 | 3 => {
                self.page.byte(b' ');
                self.host6(destination);
            }
            2 => {
                self.page.byte(b' ');
                self.host6(destination);
                self.page.put(", source address ");
                self.host6(array_in::<16>(bytes, QUOTED + 8)?.into());
            }
            4 => {
                let (own, port) = quoted_transport(from(bytes, QUOTED)).ok_or(Cut)?;
                self.page.put(", ");
                self.host6(destination);
                self.page.put(if own == protocol::TCP { " tcp port " } else { " udp port " });
                self.port(own, port);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn icmp6_exceeded(&mut self, bytes: &[u8], code: u8) -> Printed {
        let destination = self.quoted_destination(bytes)?;
        match code {
            0 => {
                self.page.put(" for ");
                self.host6(destination);
            }
            1 => {
                self.page.put(" (reassembly)");
            }
            _ => {
                say!(self.page, ", unknown code ({code})");
            }
        }
        Ok(())
    }

    fn icmp6_parameter(&mut self, bytes: &[u8], code: u8) -> Printed {
        self.quoted_destination(bytes)?;
        let place = u32_in(bytes, 4)?;
        match code {
            0 => say!(self.page, ", erroneous - octet {place}"),
            1 => say!(self.page, ", next header - octet {place}"),
            2 => say!(self.page, ", option - octet {place}"),
            3 => say!(self.page, ", incomplete header chain - octet {place}"),
            _ => say!(self.page, ", code-#{code}"),
        };
        Ok(())
    }

    fn discovery(&mut self, kind: u8, bytes: &[u8], len: usize) -> Printed {
        let verbose = self.options.verbose > 0;
        let options = match kind {
            133 => 8,
            134 => {
                if verbose {
                    self.router(bytes)?;
                }
                16
            }
            135 => {
                let target = array_in::<16>(bytes, 8)?;
                self.page.put(", who has ");
                self.host6(target.into());
                24
            }
            136 => {
                let target = array_in::<16>(bytes, 8)?;
                self.page.put(", tgt is ");
                self.host6(target.into());
                if verbose {
                    let flags =
                        [(0x8000_0000, "router"), (0x4000_0000, "solicited"), (0x2000_0000, "override")];
                    let flags = super::bits(&flags, u32_in(bytes, 4)?);
                    say!(self.page, ", Flags [{flags}]");
                }
                24
            }
            _ => {
                let destination = array_in::<16>(bytes, 24)?;
                self.page.put(", ");
                self.host6(destination.into());
                self.page.put(" to ");
                self.host6(array_in::<16>(bytes, 8)?.into());
                40
            }
        };
        if verbose {
            let options = self.discovery_options(from(bytes, options), len.saturating_sub(options));
            options.map_err(|Cut| self.cut())?;
        }
        Ok(())
    }

    fn router(&mut self, bytes: &[u8]) -> Printed {
        let (hops, flags, lifetime) = (u8_in(bytes, 4)?, u8_in(bytes, 5)?, u16_in(bytes, 6)?);
        let (reachable, retransmit) = (u32_in(bytes, 8)?, u32_in(bytes, 12)?);
        let names = [(0x80, "managed"), (0x40, "other stateful"), (0x20, "home agent"), (0x02, "ipv6 only")];
        let names = super::bits(&names, u32::from(flags));
        say!(self.page, "\n\thop limit {hops}, Flags [{names}], pref {}", preference(flags));
        say!(self.page, ", router lifetime {lifetime}s, reachable time {reachable}ms");
        say!(self.page, ", retrans timer {retransmit}ms");
        Ok(())
    }

    fn discovery_options(&mut self, mut bytes: &[u8], mut left: usize) -> Printed {
        while left > 0 && !bytes.is_empty() {
            let (kind, units) = (u8_in(bytes, 0)?, u8_in(bytes, 1)?);
            let len = usize::from(units) * 8;
            let Some(option) = bytes.get(..len).filter(|option| !option.is_empty()) else {
                return Err(Cut);
            };
            let name = super::named(OPTIONS, u16::from(kind)).unwrap_or("unknown");
            say!(self.page, "\n\t  {name} option ({kind}), length {len} ({units}): ");
            let known = self.discovery_option(kind, option)?;
            let rest = from(option, 2);
            if !known && self.options.verbose <= 1 {
                self.hex_lines("\n\t  ", rest, false);
                return Ok(());
            }
            if self.options.verbose > 1 {
                self.hex_lines("\n\t    ", rest, false);
            }
            bytes = from(bytes, len);
            left = left.saturating_sub(len);
        }
        Ok(())
    }

    fn discovery_option(&mut self, kind: u8, option: &[u8]) -> Result<bool, Cut> {
        match kind {
            1 | 2 => {
                self.page.mac(from(option, 2));
            }
            3 => {
                self.host6(array_in::<16>(option, 16)?.into());
                let flags = [(0x80, "onlink"), (0x40, "auto"), (0x20, "router")];
                let flags = super::bits(&flags, u32::from(u8_in(option, 3)?));
                let bad = if option.len() == 32 { "" } else { "badlen" };
                say!(self.page, "/{}{bad}, Flags [{flags}], valid time ", u8_in(option, 2)?);
                self.lifetime(u32_in(option, 4)?);
                self.page.put(", pref. time ");
                self.lifetime(u32_in(option, 8)?);
            }
            4 => self.hex_lines("\n\t    ", option, false),
            5 => {
                let bad = if option.len() == 8 { "" } else { "bad option length" };
                say!(self.page, " {}{bad}", u32_in(option, 4)?);
            }
            7 => {
                say!(self.page, " {}ms", u32_in(option, 4)?);
            }
            8 => {
                say!(self.page, " preference {}, lifetime {}", u16_in(option, 4)?, u16_in(option, 6)?);
            }
            24 => {
                let mut prefix = [0_u8; 16];
                for (to, from) in prefix.iter_mut().zip(from(option, 8)) {
                    *to = *from;
                }
                self.page.byte(b' ');
                self.host6(prefix.into());
                say!(self.page, "/{}, pref={}, lifetime=", u8_in(option, 2)?, preference(u8_in(option, 3)?));
                self.lifetime(u32_in(option, 4)?);
            }
            25 => {
                say!(self.page, " lifetime {}s,", u32_in(option, 4)?);
                for address in from(option, 8).chunks_exact(16) {
                    self.page.put(" addr: ");
                    self.host6(array_in::<16>(address, 0)?.into());
                }
            }
            31 => {
                say!(self.page, " lifetime {}s, domain(s):", u32_in(option, 4)?);
                let mut at = 8;
                while u8_at(option, at).is_some_and(|len| len != 0) {
                    self.page.byte(b' ');
                    at = self.name(option, at).ok_or(Cut)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn lifetime(&mut self, seconds: u32) {
        match seconds {
            u32::MAX => self.page.put("infinity"),
            seconds => say!(self.page, "{seconds}s"),
        };
    }

    fn listener(&mut self, bytes: &[u8]) -> Printed {
        if bytes.len() < 24 {
            return Ok(());
        }
        say!(self.page, "max resp delay: {} addr: ", u16_in(bytes, 4)?);
        self.host6(array_in::<16>(bytes, 8)?.into());
        Ok(())
    }

    fn listener_query(&mut self, bytes: &[u8], len: usize) -> Printed {
        let verbose = self.options.verbose;
        if verbose > 0 {
            let code = u32::from(u16_in(bytes, 4)?);
            let floating = (code & 0xfff | 0x1000) << (((code & 0x7000) >> 12) + 3);
            say!(self.page, " [max resp delay={}]", if code < 32_768 { code } else { floating });
        }
        let group = array_in::<16>(bytes, 8)?;
        self.page.put(" [gaddr ");
        self.host6(group.into());
        if verbose > 0 {
            let (flags, interval) = (u8_in(bytes, 24)?, u32::from(u8_in(bytes, 25)?));
            if flags & 8 != 0 {
                self.page.put(" sflag");
            }
            if flags & 7 != 0 {
                say!(self.page, " robustness={}", flags & 7);
            }
            let floating = (interval & 15 | 16) << (((interval & 0x70) >> 4) + 3);
            say!(self.page, " qqi={}", if interval < 128 { interval } else { floating });
        }
        let sources = usize::from(u16_in(bytes, 26)?);
        if sources > 0 {
            if len < 28 + sources * 16 {
                say!(self.page, " [invalid number of sources]");
            } else if verbose > 1 {
                self.sources(from(bytes, 28), sources)?;
            } else {
                say!(self.page, ", {sources} source(s)");
            }
        }
        self.page.byte(b']');
        Ok(())
    }

    fn sources(&mut self, bytes: &[u8], count: usize) -> Printed {
        self.page.put(" {");
        for source in 0..count {
            self.page.byte(b' ');
            self.host6(array_in::<16>(bytes, source * 16)?.into());
        }
        self.page.put(" }");
        Ok(())
    }

    fn listener_report(&mut self, bytes: &[u8], len: usize) -> Printed {
        if len < 8 {
            say!(self.page, " [invalid len {len}]");
            return Ok(());
        }
        let groups = u16_in(bytes, 6)?;
        say!(self.page, ", {groups} group record(s)");
        if self.options.verbose == 0 {
            return Ok(());
        }
        let mut at = 8;
        for _ in 0..groups {
            if len < at + 20 {
                self.page.put(" [invalid number of groups]");
                return Ok(());
            }
            let group = array_in::<16>(bytes, at + 4)?;
            self.page.put(" [gaddr ");
            self.host6(group.into());
            let kind = u8_in(bytes, at)?;
            match super::named(REPORTS, u16::from(kind)) {
                Some(name) => say!(self.page, " {name}"),
                None => say!(self.page, "  [v2-report-#{kind}]"),
            };
            let sources = usize::from(u16_in(bytes, at + 2)?);
            if len < at + 20 + sources * 16 {
                say!(self.page, " [invalid number of sources]");
                return Ok(());
            }
            if self.options.verbose == 1 {
                say!(self.page, ", {sources} source(s)");
            } else {
                self.sources(from(bytes, at + 20), sources)?;
            }
            at += 20 + sources * 16;
            self.page.byte(b']');
        }
        Ok(())
    }
}

/// A router's preference, of its flags.
fn preference(flags: u8) -> &'static str {
    ["medium", "high", "rsv", "low"][usize::from(flags >> 3 & 3)]
}

/// The protocol and the destination port of a quoted packet.
fn quoted_transport(bytes: &[u8]) -> Option<(u8, u16)> {
    let mut next = u8_at(bytes, 6)?;
    let mut at = 40;
    loop {
        match next {
            protocol::TCP | protocol::UDP => return Some((next, u16_at(bytes, at + 2)?)),
            0 | 43 | 60 => {
                next = u8_at(bytes, at)?;
                at += (usize::from(u8_at(bytes, at + 1)?) + 1) * 8;
            }
            44 if u16_at(bytes, at + 2)? & 0xfff8 == 0 => {
                next = u8_at(bytes, at)?;
                at += 8;
            }
            _ => return None,
        }
    }
}
