//! DNS, over UDP and TCP, and multicast DNS.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Cut, Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{from, u8_at, u16_at, up_to};
use crate::style::page::say;

const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP_PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (99, "SPF"),
    (100, "UINFO"),
    (101, "UID"),
    (102, "GID"),
    (103, "UNSPEC"),
    (104, "UNSPECA"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "URI"),
];

const CLASSES: &[(u16, &str)] = &[(1, "IN"), (3, "CHAOS"), (4, "HS"), (255, "ANY")];

const OPERATIONS: [&str; 16] = [
    "",
    " inv_q",
    " stat",
    " op3",
    " notify",
    " update",
    " op6",
    " op7",
    " op8",
    " updateA",
    " updateD",
    " updateDA",
    " updateM",
    " updateMA",
    " zoneInit",
    " zoneRef",
];

const RESPONSES: [&str; 24] = [
    "",
    " FormErr",
    " ServFail",
    " NXDomain",
    " NotImp",
    " Refused",
    " YXDomain",
    " YXRRSet",
    " NXRRSet",
    " NotAuth",
    " NotZone",
    " Resp11",
    " Resp12",
    " Resp13",
    " Resp14",
    " NoChange",
    " BadVers",
    " Resp17",
    " Resp18",
    " Resp19",
    " Resp20",
    " Resp21",
    " Resp22",
    " BadCookie",
];

const OPT: u16 = 41;
const POINTER: u8 = 0xc0;
/// A label that is a string of bits.
const BIT_LABEL: u8 = 0x41;
const HEADER: usize = 12;
/// A name has no more than 255 bytes. One that pointers make longer is cut off here, so that a message cannot make lines
/// that are a thousand times as long as it is.
const LONGEST_NAME: usize = 512;

/// A message: what pointers point into.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    is_multicast: bool,
}

impl Printer {
    /// Over TCP the message comes after its length.
    pub(super) fn domain(
        &mut self,
        bytes: &[u8],
        mut len: usize,
        is_multicast: bool,
        over_tcp: bool,
    ) -> Printed {
        self.protocol = "domain";
        let mut bytes = bytes;
        if over_tcp {
            let stated = usize::from(u16_in(bytes, 0)?);
            len -= 2;
            bytes = from(bytes, 2);
            if stated != len {
                say!(self.page, " [prefix length({stated}) != length({len})]");
                self.invalid();
                return Ok(());
            }
            self.page.byte(b' ');
        }
        if len < HEADER {
            say!(self.page, "domain [length {len} < {HEADER}]");
            self.invalid();
            return Ok(());
        }
        let message = Message { bytes, is_multicast };
        let flags = u16_in(bytes, 2)?;
        if bytes.len() < HEADER {
            return Err(Cut);
        }
        let counts = [4, 6, 8, 10].map(|at| u16_at(bytes, at).unwrap_or(0));
        let printed = match flags & 0x8000 {
            0 => self.query(message, flags, counts),
            _ => self.response(message, flags, counts),
        };
        printed.map_err(|Cut| self.cut())?;
        say!(self.page, " ({len})");
        Ok(())
    }

    fn response(&mut self, message: Message<'_>, flags: u16, counts: [u16; 4]) -> Printed {
        let [questions, answers, authorities, additional] = counts;
        let code = usize::from(flags & 15) | self.extended_code(message, counts) << 4;
        self.page.number(u16_in(message.bytes, 0)?);
        self.page.put(OPERATIONS[usize::from(flags >> 11 & 15)]);
        match RESPONSES.get(code) {
            Some(text) => self.page.put(text),
            None => say!(self.page, " Resp{code}"),
        };
        self.page.put(if flags & 0x0400 != 0 { "*" } else { "" });
        self.page.put(if flags & 0x0080 != 0 { "" } else { "-" });
        self.page.put(if flags & 0x0200 != 0 { "|" } else { "" });
        self.page.put(if flags & 0x0020 != 0 { "$" } else { "" });
        if questions != 1 {
            say!(self.page, " [{questions}q]");
        }
        let mut at = HEADER;
        for question in 0..questions {
            if question > 0 {
                self.page.byte(b',');
            }
            if self.options.verbose > 1 {
                self.page.put(" q:");
                at = self.question(message, at)?;
            } else {
                at = skip_name(message.bytes, at).ok_or(Cut)? + 4;
            }
        }
        say!(self.page, " {answers}/{authorities}/{additional}");
        at = self.records(message, at, answers, "")?;
        if self.options.verbose > 1 {
            at = self.records(message, at, authorities, " ns:")?;
            self.records(message, at, additional, " ar:")?;
        }
        Ok(())
    }

    fn query(&mut self, message: Message<'_>, flags: u16, counts: [u16; 4]) -> Printed {
        let [questions, answers, authorities, additional] = counts;
        self.page.number(u16_in(message.bytes, 0)?);
        let operation = usize::from(flags >> 11 & 15);
        self.page.put(OPERATIONS[operation]);
        self.page.put(if flags & 0x0100 != 0 { "+" } else { "" });
        self.page.put(if flags & 0x0010 != 0 { "%" } else { "" });
        if flags & 0x06cf != 0 {
            say!(self.page, " [b2&3=0x{flags:x}]");
        }
        if operation == 1 {
            if questions != 0 {
                say!(self.page, " [{questions}q]");
            }
            if answers != 1 {
                say!(self.page, " [{answers}a]");
            }
        } else {
            if answers != 0 {
                say!(self.page, " [{answers}a]");
            }
            if questions != 1 {
                say!(self.page, " [{questions}q]");
            }
        }
        if authorities != 0 {
            say!(self.page, " [{authorities}n]");
        }
        if additional != 0 {
            say!(self.page, " [{additional}au]");
        }
        let mut at = HEADER;
        for _ in 0..questions {
            at = self.question(message, at)?;
        }
        if self.options.verbose > 1 {
            at = self.records(message, at, answers, "")?;
            at = self.records(message, at, authorities, " ns:")?;
            self.records(message, at, additional, " ar:")?;
        }
        Ok(())
    }

    /// The upper bits of a response code are in an additional record.
    fn extended_code(&self, message: Message<'_>, counts: [u16; 4]) -> usize {
        let [questions, answers, authorities, additional] = counts;
        let bytes = message.bytes;
        let find = || {
            let mut at = HEADER;
            for _ in 0..questions {
                at = skip_name(bytes, at)? + 4;
            }
            for index in 0..u32::from(answers) + u32::from(authorities) + u32::from(additional) {
                at = skip_name(bytes, at)?;
                let is_additional = index >= u32::from(answers) + u32::from(authorities);
                if is_additional && u16_at(bytes, at)? == OPT {
                    return u8_at(bytes, at + 4).map(usize::from);
                }
                at += 10 + usize::from(u16_at(bytes, at + 8)?);
            }
            None
        };
        find().unwrap_or(0)
    }

    fn records(
        &mut self,
        message: Message<'_>,
        mut at: usize,
        count: u16,
        title: &str,
    ) -> Result<usize, Cut> {
        for index in 0..count {
            // Where nothing is left, not even the title is printed.
            if at >= message.bytes.len() && (index > 0 || !title.is_empty()) {
                return Err(Cut);
            }
            if index == 0 {
                self.page.put(title);
            } else {
                self.page.byte(b',');
            }
            at = self.resource(message, at)?;
        }
        Ok(at)
    }

    fn type_and_class(&mut self, kind: u16) {
        match super::named(TYPES, kind) {
            Some(name) => self.page.put(name),
            None => say!(self.page, "Type{kind}"),
        };
    }

    fn class(&mut self, class: u16) {
        match super::named(CLASSES, class) {
            Some(name) => say!(self.page, " {name}"),
            None => say!(self.page, " (Class {class})"),
        };
    }

    fn question(&mut self, message: Message<'_>, at: usize) -> Result<usize, Cut> {
        let bytes = message.bytes;
        let end = skip_name(bytes, at).ok_or(Cut)?;
        let (kind, class) = (u16_in(bytes, end)?, u16_in(bytes, end + 2)?);
        self.page.byte(b' ');
        self.type_and_class(kind);
        let shown = if message.is_multicast { class & 0x7fff } else { class };
        if shown != 1 {
            self.class(shown);
        }
        if message.is_multicast {
            self.page.put(if class & 0x8000 != 0 { " (QU)" } else { " (QM)" });
        }
        self.page.put("? ");
        self.name(bytes, at).ok_or(Cut)?;
        Ok(end + 4)
    }

    fn resource(&mut self, message: Message<'_>, at: usize) -> Result<usize, Cut> {
        let bytes = message.bytes;
        let start = if self.options.verbose > 0 {
            self.page.byte(b' ');
            self.name(bytes, at).ok_or(Cut)?
        } else {
            skip_name(bytes, at).unwrap_or(bytes.len())
        };
        if bytes.len() < start + 10 {
            return Ok(bytes.len());
        }
        let (kind, class, len) =
            (u16_in(bytes, start)?, u16_in(bytes, start + 2)?, u16_in(bytes, start + 8)?);
        let ttl = u32_in(bytes, start + 4)?;
        let mut shown = class;
        if message.is_multicast && kind != OPT {
            shown &= 0x7fff;
        }
        if shown != 1 && kind != OPT {
            self.class(shown);
        }
        if message.is_multicast && kind != OPT && class & 0x8000 != 0 {
            self.page.put(" (Cache flush)");
        }
        if self.options.verbose > 2 && kind != OPT {
            self.page.put(" [");
            self.duration(ttl);
            self.page.byte(b']');
        }
        self.page.byte(b' ');
        self.type_and_class(kind);
        let data = start + 10;
        let end = data + usize::from(len);
        if end > bytes.len() {
            return Err(Cut);
        }
        self.resource_data(message, kind, class, ttl, data, end)?;
        Ok(end)
    }

    fn resource_data(
        &mut self,
        message: Message<'_>,
        kind: u16,
        class: u16,
        ttl: u32,
        at: usize,
        end: usize,
    ) -> Printed {
        let bytes = message.bytes;
        match kind {
            1 => {
                let address = Ipv4Addr::from(array_in::<4>(bytes, at)?);
                self.page.byte(b' ');
                self.host4(address);
            }
            28 => {
                let address = Ipv6Addr::from(array_in::<16>(bytes, at)?);
                self.page.byte(b' ');
                self.host6(address);
            }
            2 | 5 | 12 | 39 => {
                self.page.byte(b' ');
                self.name(bytes, at).ok_or(Cut)?;
            }
            6 if self.options.verbose > 0 => {
                self.page.byte(b' ');
                let at = self.name(bytes, at).ok_or(Cut)?;
                self.page.byte(b' ');
                let at = self.name(bytes, at).ok_or(Cut)?;
                for number in 0..5 {
                    self.page.byte(b' ').number(u32_in(bytes, at + number * 4)?);
                }
            }
            15 => {
                self.page.byte(b' ');
                self.name(bytes, at + 2).ok_or(Cut)?;
                self.page.byte(b' ').number(u16_in(bytes, at)?);
            }
            16 => {
                let mut at = at;
                while at < end {
                    self.page.put(" \"");
                    let len = usize::from(u8_in(bytes, at)?);
                    for &byte in up_to(from(bytes, at + 1), len) {
                        self.safe_char(byte);
                    }
                    self.page.byte(b'"');
                    at += 1 + len;
                }
            }
            33 => {
                self.page.byte(b' ');
                self.name(bytes, at + 6).ok_or(Cut)?;
                let [priority, weight, port] =
                    [u16_in(bytes, at)?, u16_in(bytes, at + 2)?, u16_in(bytes, at + 4)?];
                say!(self.page, ":{port} {priority} {weight}");
            }
            38 => self.address_with_prefix(bytes, at)?,
            OPT => self.edns(bytes, class, ttl, at, end)?,
            _ => {}
        }
        Ok(())
    }

    /// A6 (RFC 2874): the bytes of an address that come after a prefix, and the name that has the prefix.
    fn address_with_prefix(&mut self, bytes: &[u8], at: usize) -> Printed {
        let prefix = u8_in(bytes, at)?;
        let Some(own) = 16_usize.checked_sub(usize::from(prefix / 8)).filter(|_| prefix <= 128) else {
            say!(self.page, " {prefix}(bad plen)");
            return Ok(());
        };
        if prefix < 128 {
            let mut address = [0; 16];
            let suffix = super::all_of(bytes, at + 1, own)?;
            address.iter_mut().rev().zip(suffix.iter().rev()).for_each(|(to, from)| *to = *from);
            say!(self.page, " {prefix} ");
            self.host6(Ipv6Addr::from(address));
        }
        if prefix > 0 {
            self.page.byte(b' ');
            self.name(bytes, at + 1 + own).ok_or(Cut)?;
        }
        Ok(())
    }

    /// Prints a name, and returns where what follows it begins; nothing where it ends in nowhere.
    pub(super) fn name(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        self.name_from(bytes, at, 0)
    }

    /// The same where pointers count from `base`.
    pub(super) fn name_from(&mut self, bytes: &[u8], mut at: usize, base: usize) -> Option<usize> {
        let mut after = None;
        let mut looked_at = 0_usize;
        if u8_at(bytes, at)? == 0 {
            self.page.byte(b'.');
            return Some(at + 1);
        }
        loop {
            let label = u8_at(bytes, at)?;
            looked_at += 1;
            match label {
                0 => return Some(after.unwrap_or(at + 1)),
                pointer if pointer & POINTER == POINTER => {
                    let target = base + usize::from(u16_at(bytes, at)? & 0x3fff);
                    after = after.or(Some(at + 2));
                    // Whoever has looked at as much as there is goes round in circles.
                    if looked_at >= bytes.len() {
                        self.page.put("<LOOP>");
                        return None;
                    }
                    if target >= at && at >= base {
                        self.page.put("<BAD PTR>");
                        return None;
                    }
                    at = target;
                }
                len if len & POINTER == 0 => {
                    let text = bytes.get(at + 1..)?;
                    for &byte in up_to(text, usize::from(len)) {
                        self.safe_char(byte);
                    }
                    at += 1 + usize::from(len);
                    looked_at += usize::from(len);
                    if at > bytes.len() || looked_at > LONGEST_NAME {
                        return None;
                    }
                    self.page.byte(b'.');
                }
                BIT_LABEL => {
                    let end = bit_label_end(bytes, at)?;
                    let bits = bytes.get(at + 2..end)?;
                    self.bit_label(bits, bit_count(bytes, at)?);
                    looked_at += bits.len() + 1;
                    at = end;
                    if looked_at > LONGEST_NAME {
                        return None;
                    }
                }
                other if other & POINTER == 0x40 => {
                    say!(self.page, "<ELT {}>", other & 0x3f);
                    return None;
                }
                _ => {
                    self.page.put("<BAD LABEL TYPE>");
                    return None;
                }
            }
        }
    }

    /// A label of so many bits (RFC 2673). Bits behind the last are shown as zeros.
    fn bit_label(&mut self, bits: &[u8], count: usize) {
        self.page.put("\\[x");
        for (at, byte) in bits.iter().enumerate() {
            let left = count.saturating_sub(at * 8);
            let byte = if left < 8 { byte & !(0xff >> left) } else { *byte };
            if left > 4 {
                self.page.hex(byte);
            } else {
                say!(self.page, "{:x}", byte >> 4);
            }
        }
        say!(self.page, "/{count}].");
    }

    /// Seconds in the largest units that they fill.
    fn duration(&mut self, seconds: u32) {
        const UNITS: [(u32, char); 6] =
            [(31_536_000, 'y'), (604_800, 'w'), (86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        if seconds == 0 {
            self.page.put("0s");
        }
        let mut left = seconds;
        for (unit, letter) in UNITS {
            if left >= unit {
                say!(self.page, "{}{letter}", left / unit);
                left %= unit;
            }
        }
    }
}

fn bit_count(bytes: &[u8], at: usize) -> Option<usize> {
    // There is no label of no bits, so a zero stands for what a byte cannot say.
    u8_at(bytes, at + 1).map(|count| if count == 0 { 256 } else { usize::from(count) })
}

fn bit_label_end(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + 2 + bit_count(bytes, at)?.div_ceil(8))
}

/// Where what follows a name begins.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = u8_at(bytes, at)?;
        match len & POINTER {
            POINTER => return Some(at + 2),
            0 if len == 0 => return Some(at + 1),
            0 => at += 1 + usize::from(len),
            _ if len == BIT_LABEL => at = bit_label_end(bytes, at)?,
            _ => return None,
        }
    }
}
