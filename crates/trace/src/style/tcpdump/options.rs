//! The options of TCP.

use super::{Cut, Printed, Printer, u8_in, u16_in, u32_in};
use crate::style::page::say;

const NAMES: &[(u16, &str)] = &[
    (0, "eol"),
    (1, "nop"),
    (2, "mss"),
    (3, "wscale"),
    (4, "sackOK"),
    (5, "sack"),
    (6, "echo"),
    (7, "echoreply"),
    (8, "TS"),
    (11, "cc"),
    (12, "ccnew"),
    (13, ""),
    (19, "md5"),
    (20, "scps"),
    (28, "uto"),
    (29, "tcp-ao"),
    (30, "mptcp"),
    (34, "tfo"),
    (254, "exp"),
];

/// The experiment of Fast Open (RFC 7413, appendix).
const FAST_OPEN_EXPERIMENT: u16 = 0xf989;

/// What ends the list of options early.
enum End {
    /// The capture, where the printer did not expect it.
    Cut,
    /// The capture, within an option's data.
    CutData,
    /// A length that cannot be.
    Bad,
}

impl From<Cut> for End {
    fn from(_: Cut) -> End {
        End::Cut
    }
}

/// An option's data, which must be of the header and in the capture.
struct Data<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl Data<'_> {
    fn check(&self, len: usize) -> Result<(), End> {
        if len > self.left {
            return Err(End::Bad);
        }
        if self.bytes.len() < len { Err(End::CutData) } else { Ok(()) }
    }
}

impl Printer {
    /// `sack` is what selective acknowledgements are relative to.
    pub(super) fn tcp_options(&mut self, bytes: &[u8], len: usize, sack: u32) -> Printed {
        let mut first = true;
        match self.tcp_option_list(bytes, len, sack, &mut first) {
            Ok(()) => Ok(()),
            Err(End::Bad) => {
                self.page.put("[bad opt]");
                self.page.put(if first { "" } else { "]" });
                self.ended = true;
                Err(Cut)
            }
            Err(End::Cut) => Err(Cut),
            // tcpdump closes the list with another bracket here.
            Err(End::CutData) => {
                self.truncated();
                self.page.put(if first { "" } else { ">" });
                self.ended = true;
                Err(Cut)
            }
        }
    }

    fn tcp_option_list(
        &mut self,
        mut bytes: &[u8],
        mut left: usize,
        sack: u32,
        first: &mut bool,
    ) -> Result<(), End> {
        let mut is_first = true;
        while left > 0 {
            if !is_first {
                *first = false;
                self.page.byte(b',');
            }
            is_first = false;
            let kind = u8_in(bytes, 0)?;
            let mut len = 1;
            let mut header = 1;
            if kind > 1 {
                len = usize::from(u8_in(bytes, 1)?);
                if len < 2 || len > left {
                    return Err(End::Bad);
                }
                header = 2;
            }
            left -= header;
            bytes = bytes.get(header..).unwrap_or_default();
            match super::named(NAMES, u16::from(kind)) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "unknown-{kind}"),
            };
            let data = Data { bytes, left };
            let used = self.tcp_option(kind, &data, len - header, sack)?;
            bytes = bytes.get(used..).ok_or(End::Cut)?;
            left -= used;
            if used + header != len {
                say!(self.page, "[len {len}]");
            }
            if kind == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Prints an option's data, and returns how many bytes it took for it.
    fn tcp_option(&mut self, kind: u8, data: &Data<'_>, len: usize, sack: u32) -> Result<usize, End> {
        let bytes = data.bytes;
        let used = match kind {
            0 | 1 | 4 => 0,
            2 => {
                data.check(2)?;
                self.page.byte(b' ').number(u16_in(bytes, 0)?);
                2
            }
            3 => {
                data.check(1)?;
                self.page.byte(b' ').number(u8_in(bytes, 0)?);
                1
            }
            5 => {
                if !len.is_multiple_of(8) {
                    self.page.put(" invalid sack");
                    return Ok(len);
                }
                self.page.byte(b' ').number((len / 8) as u64).byte(b' ');
                for at in (0..len).step_by(8) {
                    data.check(at + 4)?;
                    let start = u32_in(bytes, at)?.wrapping_sub(sack);
                    data.check(at + 8)?;
                    let end = u32_in(bytes, at + 4)?.wrapping_sub(sack);
                    self.page.byte(b'{').number(start).byte(b':').number(end).byte(b'}');
                }
                len
            }
            6 | 7 | 11 | 12 | 13 => {
                data.check(4)?;
                self.page.byte(b' ').number(u32_in(bytes, 0)?);
                4
            }
            8 => {
                data.check(8)?;
                self.page.put(" val ").number(u32_in(bytes, 0)?);
                self.page.put(" ecr ").number(u32_in(bytes, 4)?);
                8
            }
            19 => {
                data.check(16)?;
                self.page.put(" shared secret not supplied with -M, can't check - ");
                self.hex_digits(bytes, 16);
                16
            }
            20 => {
                data.check(2)?;
                say!(self.page, " cap {:02x} id {}", u8_in(bytes, 0)?, u8_in(bytes, 1)?);
                2
            }
            28 => {
                data.check(2)?;
                let value = u16_in(bytes, 0)?;
                // The granularity is taken from the wrong end by tcpdump, and so here.
                let time = u32::from(value >> 1) * if value & 1 == 1 { 60 } else { 1 };
                say!(self.page, " 0x{value:x} {time}");
                2
            }
            29 => {
                if len < 2 {
                    self.page.put(" (invalid)");
                } else {
                    data.check(1)?;
                    self.page.put(" keyid ").number(u8_in(bytes, 0)?);
                    data.check(2)?;
                    self.page.put(" rnextkeyid ").number(u8_in(bytes, 1)?);
                    if len > 2 {
                        self.page.put(" mac 0x");
                    }
                    data.check(len)?;
                    self.hex_digits(bytes.get(2..).unwrap_or_default(), len - 2);
                }
                len
            }
            34 => {
                data.check(len)?;
                self.page.put("  ");
                self.fast_open_cookie(bytes, len);
                len
            }
            254 => {
                data.check(len)?;
                if len < 2 {
                    return Err(End::Bad);
                }
                let experiment = u16_in(bytes, 0)?;
                self.page.byte(b'-');
                if experiment == FAST_OPEN_EXPERIMENT {
                    self.page.put("tfo ");
                    self.fast_open_cookie(bytes.get(2..).unwrap_or_default(), len - 2);
                } else {
                    say!(self.page, "{experiment:04x}");
                }
                len
            }
            _ => {
                self.unknown_data(bytes, len, data)?;
                len
            }
        };
        Ok(used)
    }

    fn unknown_data(&mut self, bytes: &[u8], len: usize, data: &Data<'_>) -> Result<(), End> {
        for at in 0..len {
            data.check(at + 1)?;
            if at == 0 {
                self.page.put(" 0x");
            }
            self.page.hex(u8_in(bytes, at)?);
        }
        Ok(())
    }

    fn fast_open_cookie(&mut self, bytes: &[u8], len: usize) {
        if len == 0 {
            self.page.put("cookiereq");
        } else if !len.is_multiple_of(2) || !(4..=16).contains(&len) {
            self.page.put("(invalid)");
        } else {
            self.page.put("cookie ");
            self.hex_digits(bytes, len);
        }
    }

    pub(super) fn hex_digits(&mut self, bytes: &[u8], len: usize) {
        for &byte in bytes.iter().take(len) {
            self.page.hex(byte);
        }
    }
}
