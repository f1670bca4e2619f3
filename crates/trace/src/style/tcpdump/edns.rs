//! The additional record of DNS that is no record (RFC 6891), and its options.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Printed, Printer, u16_in};
use crate::layers::bytes::{array_at, from, u16_at};
use crate::style::page::say;

const OPTIONS: &[(u16, &str)] = &[
    (1, "LLQ"),
    (2, "UL"),
    (NSID, "NSID"),
    (DAU, "DAU"),
    (DHU, "DHU"),
    (N3U, "N3U"),
    (SUBNET, "ECS"),
    (EXPIRE, "EXPIRE"),
    (COOKIE, "COOKIE"),
    (KEEPALIVE, "KEEPALIVE"),
    (PADDING, "PADDING"),
    (CHAIN, "CHAIN"),
    (KEY_TAG, "KEY-TAG"),
    (16, "CLIENT-TAG"),
    (17, "SERVER-TAG"),
];

const NSID: u16 = 3;
const DAU: u16 = 5;
const DHU: u16 = 6;
const N3U: u16 = 7;
const SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const CHAIN: u16 = 13;
const KEY_TAG: u16 = 14;

/// Algorithms of DNSSEC signatures.
const SIGNATURES: &[(u16, &str)] = &[
    (0, "DELETE"),
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DS"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Hashes of delegation signers.
const DIGESTS: &[(u16, &str)] = &[(1, "SHA-1"), (2, "SHA-256"), (3, "GOST_R_34.11-94"), (4, "SHA-384")];

/// Hashes of NSEC3.
const NSEC3_HASHES: &[(u16, &str)] = &[(1, "SHA-1")];

impl Printer {
    pub(super) fn edns(&mut self, bytes: &[u8], size: u16, ttl: u32, mut at: usize, end: usize) -> Printed {
        say!(self.page, " UDPsize={size}");
        if ttl & 0x8000 != 0 {
            self.page.put(" DO");
        }
        if at >= end {
            return Ok(());
        }
        self.page.put(" [");
        while at < end {
            let (code, len) = (u16_in(bytes, at)?, usize::from(u16_in(bytes, at + 2)?));
            match super::named(OPTIONS, code) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "Opt{code}"),
            };
            if len > 0 {
                self.page.byte(b' ');
                let data = super::all_of(bytes, at + 4, len)?;
                if code == CHAIN {
                    // tcpdump has the name end where it ends, and has pointers count from the option's end.
                    self.name_from(bytes, at + 4, at + 4 + len);
                } else {
                    self.edns_option(code, data);
                }
            }
            at += 4 + len;
            if at < end {
                self.page.byte(b',');
            }
        }
        self.page.byte(b']');
        Ok(())
    }

    /// What an option says. There is at least a byte.
    fn edns_option(&mut self, code: u16, data: &[u8]) {
        match code {
            DAU => self.algorithms(SIGNATURES, data),
            DHU => self.algorithms(DIGESTS, data),
            N3U => self.algorithms(NSEC3_HASHES, data),
            SUBNET => self.client_subnet(data),
            EXPIRE => match array_at::<4>(data, 0).filter(|_| data.len() == 4) {
                Some(seconds) => {
                    say!(self.page, "{} sec", u32::from_be_bytes(seconds));
                }
                None => self.invalid(),
            },
            // RFC 7873: the client's part has 8 bytes, the server's 8 to 32.
            COOKIE if data.len() == 8 || (16..=40).contains(&data.len()) => {
                self.hex_digits(data, 8);
                if data.len() > 8 {
                    self.page.byte(b' ');
                    self.hex_digits(from(data, 8), data.len());
                }
            }
            COOKIE => self.invalid(),
            KEEPALIVE => match u16_at(data, 0).filter(|_| data.len() == 2) {
                Some(tenths) => {
                    say!(self.page, "{}.{} sec", tenths / 10, tenths % 10);
                }
                None => self.invalid(),
            },
            PADDING => {
                say!(self.page, "({})", data.len());
            }
            KEY_TAG if data.len().is_multiple_of(2) => {
                for (at, tag) in data.chunks_exact(2).enumerate() {
                    self.page.put(if at > 0 { " " } else { "" });
                    self.page.number(u16_at(tag, 0).unwrap_or(0));
                }
            }
            KEY_TAG => self.invalid(),
            _ => self.hex_digits(data, data.len()),
        }
    }

    fn algorithms(&mut self, names: &[(u16, &'static str)], numbers: &[u8]) {
        for (at, &number) in numbers.iter().enumerate() {
            self.page.put(if at > 0 { " " } else { "" });
            match super::named(names, u16::from(number)) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "Alg_{number}"),
            };
        }
    }

    /// RFC 7871: as many bytes of an address as its prefix needs, no more and no fewer.
    fn client_subnet(&mut self, data: &[u8]) {
        let [high, low, source, scope, start @ ..] = data else { return self.invalid() };
        let longest = match u16::from_be_bytes([*high, *low]) {
            1 => 32,
            2 => 128,
            _ => return self.invalid(),
        };
        if *source > longest || start.len() != usize::from(source.div_ceil(8)) {
            return self.invalid();
        }
        let mut address = [0; 16];
        address.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
        if let (32, [a, b, c, d, ..]) = (longest, address) {
            self.host4(Ipv4Addr::new(a, b, c, d));
        } else {
            self.host6(Ipv6Addr::from(address));
        }
        say!(self.page, "/{source}/{scope}");
    }
}
