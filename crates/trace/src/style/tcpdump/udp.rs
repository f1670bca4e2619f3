//! UDP.

use super::ip::{Around, should_be};
use super::{Printed, Printer, shim, u16_in};
use crate::layers::bytes::{from, up_to};
use crate::layers::protocol;
use crate::style::page::say;

const DOMAIN: u16 = 53;
const MULTICAST_DNS: u16 = 5353;

impl Printer {
    pub(super) fn udp(&mut self, bytes: &[u8], len: usize, around: &Around<'_>) -> Printed {
        self.protocol = "udp";
        let (Ok(source), Ok(destination)) = (u16_in(bytes, 0), u16_in(bytes, 2)) else {
            self.ends(around, protocol::UDP, None);
            return Err(self.cut());
        };
        if len < 8 {
            self.ends(around, protocol::UDP, Some((source, destination)));
            say!(self.page, "truncated-udp {len}");
            return Ok(());
        }
        let Ok(stated) = u16_in(bytes, 4) else {
            self.ends(around, protocol::UDP, Some((source, destination)));
            return Err(self.cut());
        };
        let mut stated = usize::from(stated);
        if stated == 0 && len > 65_535 {
            stated = len;
        }
        self.ends(around, protocol::UDP, Some((source, destination)));
        if stated < 8 {
            say!(self.page, "truncated-udplength {stated}");
            return Ok(());
        }
        let inner = (stated - 8).min(len - 8);
        let sum = u16_in(bytes, 6)?;
        // tcpdump looks at checksums from the first -v on with IPv6, and from the second with IPv4.
        let enough = if around.is_v6 { 1 } else { 2 };
        if self.options.verbose >= enough && !around.fragmented && (!around.is_v6 || around.payload_len != 0)
        {
            if sum == 0 && !around.is_v6 {
                self.page.put("[no cksum] ");
            } else if let Some(datagram) = bytes.get(..inner + 8) {
                let over = around.checksum(protocol::UDP, datagram, inner + 8);
                if over == 0 {
                    self.page.put("[udp sum ok] ");
                } else {
                    say!(self.page, "[bad udp cksum 0x{sum:04x} -> 0x{:04x}!] ", should_be(sum, over));
                }
            }
        }
        let is = |port| source == port || destination == port;
        if is(DOMAIN) || is(MULTICAST_DNS) {
            // tcpdump reads on behind the datagram where the packet goes on there.
            return self.domain(from(bytes, 8), inner, is(MULTICAST_DNS), false);
        }
        if source == shim::PORT {
            return self.shim(up_to(from(bytes, 8), inner), inner);
        }
        let data = stated - 8;
        if data > inner && !around.fragmented {
            say!(self.page, "UDP, bad length {data} > {inner}");
        } else {
            self.page.put("UDP, length ").number(data as u64);
        }
        Ok(())
    }
}

impl Printer {
    /// A character as it can be printed anywhere: `M-^A` for 0x81.
    pub(super) fn safe_char(&mut self, mut byte: u8) {
        if byte >= 0x80 {
            byte &= 0x7f;
            self.page.put("M-");
        }
        if byte.is_ascii_graphic() || byte == b' ' {
            self.page.byte(byte);
        } else {
            self.page.byte(b'^').byte(byte ^ 0x40);
        }
    }
}
