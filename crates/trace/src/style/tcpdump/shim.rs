//! The shim header of Broadcom's line interfaces above UDP, which tcpdump takes every datagram from port 49152 for, the
//! first of the ephemeral ones: also those of `bypath blast`.

use super::{Printed, Printer, named, u8_in, u32_in};
use crate::layers::bytes::{from, up_to};
use crate::style::page::say;

pub(super) const PORT: u16 = 49_152;

const LEN: usize = 4;
const DIRECTIONS: &[(u16, &str)] = &[(1, "unused"), (2, "egress"), (3, "ingress")];
const UNDECIDED: u16 = 4;
const IPV4: u16 = 5;
const IPV6: u16 = 6;
const ETHERNET: u16 = 7;
const KINDS: &[(u16, &str)] =
    &[(UNDECIDED, "undecided"), (IPV4, "ipv4"), (IPV6, "ipv6"), (ETHERNET, "ethernet")];
const TAGGINGS: &[(u16, &str)] = &[(1, "single VLAN tag"), (2, "double VLAN tag"), (3, "untagged")];

impl Printer {
    pub(super) fn shim(&mut self, bytes: &[u8], len: usize) -> Printed {
        self.protocol = "bcm_li";
        if len < LEN {
            say!(self.page, " (length {len} < {LEN})");
            self.invalid();
            return Ok(());
        }
        let shim = u32_in(bytes, 0)?;
        let field = |shift: u32, width: u32| ((shim >> shift) & ((1 << width) - 1)) as u16;
        let name = |table, number| named(table, number).unwrap_or("unknown");
        let kind = field(25, 4);
        let verbose = self.options.verbose > 0;
        let line = if verbose { "\n    " } else { "" };
        say!(
            self.page,
            "{line}BCM-LI-SHIM: direction {}, pkt-type {}, pkt-subtype {}, li-id {}{line}",
            name(DIRECTIONS, field(29, 3)),
            name(KINDS, kind),
            name(TAGGINGS, field(22, 3)),
            shim & 0x3f_ffff
        );
        let (inner, len) = (up_to(from(bytes, LEN), len - LEN), len - LEN);
        if !verbose {
            return if inner.len() < len { Err(self.cut()) } else { Ok(()) };
        }
        match kind {
            ETHERNET => {
                self.enter()?;
                self.ethernet(inner, len)
            }
            IPV4 => self.ipv4(inner, len),
            IPV6 => self.ipv6(inner, len),
            UNDECIDED => match u8_in(inner, 0)? >> 4 {
                4 => self.ipv4(inner, len),
                6 => self.ipv6(inner, len),
                _ => {
                    self.page.put("unknown payload");
                    Ok(())
                }
            },
            _ => {
                self.invalid();
                Ok(())
            }
        }
    }
}
