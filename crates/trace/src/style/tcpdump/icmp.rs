//! ICMP.

use super::ip::{Around, quoted_port, quoted_v4, should_be};
use super::{Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::from;
use crate::layers::{checksum, protocol};
use crate::style::page::{Page, say};

/// Where the packet begins that an error quotes.
const QUOTED: usize = 8;

impl Printer {
    pub(super) fn icmp(&mut self, bytes: &[u8], len: usize, around: &Around<'_>) -> Printed {
        self.protocol = "icmp";
        let kind = u8_in(bytes, 0)?;
        let code = u8_in(bytes, 1)?;
        // What cannot be read to its end is not told at all.
        let line = std::mem::take(&mut self.page);
        let told = self.icmp_message(bytes, kind, code);
        let message = std::mem::replace(&mut self.page, line);
        told?;
        self.page.put("ICMP ");
        self.page.bytes.extend_from_slice(&message.bytes);
        say!(self.page, ", length {len}");
        if self.options.verbose == 0 {
            return Ok(());
        }
        if !around.fragmented
            && let Some(message) = bytes.get(..len)
        {
            let sum = checksum::fold(checksum::of(message));
            if sum != 0 {
                let stated = u16_in(bytes, 2)?;
                say!(self.page, " (wrong icmp cksum {stated:x} (->{:x})!)", should_be(stated, sum));
            }
        }
        if matches!(kind, 3 | 4 | 5 | 11 | 12) {
            self.page.put("\n\t");
            let quoted = from(bytes, QUOTED);
            let quoted_len = usize::from(u16_in(quoted, 2)?);
            self.ipv4(quoted, quoted_len)?;
        }
        Ok(())
    }

    /// What a message says, from its first byte on.
    pub(super) fn icmp_message(&mut self, bytes: &[u8], kind: u8, code: u8) -> Printed {
        match kind {
            0 | 8 => {
                let (id, sequence) = (u16_in(bytes, 4)?, u16_in(bytes, 6)?);
                self.page.put(if kind == 8 { "echo request, id " } else { "echo reply, id " });
                self.page.number(id).put(", seq ").number(sequence);
            }
            3 => self.icmp_unreachable(bytes, code)?,
            5 => {
                let (destination, gateway) = (quoted_v4(bytes, QUOTED + 16)?, array_in::<4>(bytes, 4)?);
                let (before, between) = match code {
                    0 => ("redirect ", " to net "),
                    1 => ("redirect ", " to host "),
                    2 => ("redirect-tos ", " to net "),
                    3 => ("redirect-tos ", " to host "),
                    _ => ("", " to "),
                };
                if before.is_empty() {
                    say!(self.page, "redirect-#{code} ");
                }
                self.page.put(before);
                self.host4(destination);
                self.page.put(between);
                self.host4(gateway.into());
            }
            9 => self.router_advertisement(bytes)?,
            11 => {
                quoted_v4(bytes, QUOTED + 16)?;
                match code {
                    0 => self.page.put("time exceeded in-transit"),
                    1 => self.page.put("ip reassembly time exceeded"),
                    _ => say!(self.page, "time exceeded-#{code}"),
                };
            }
            12 => {
                if code != 0 {
                    say!(self.page, "parameter problem - code {code}");
                } else {
                    say!(self.page, "parameter problem - octet {}", u8_in(bytes, 4)?);
                }
            }
            13 => {
                say!(self.page, "time stamp query id {} seq {}", u16_in(bytes, 4)?, u16_in(bytes, 6)?);
            }
            14 => self.timestamp_reply(bytes)?,
            18 => {
                say!(self.page, "address mask is 0x{:08x}", u32_in(bytes, 8)?);
            }
            4 => {
                self.page.put("source quench");
            }
            10 => {
                self.page.put("router solicitation");
            }
            15 => {
                self.page.put("information request");
            }
            16 => {
                self.page.put("information reply");
            }
            17 => {
                self.page.put("address mask request");
            }
            _ => {
                say!(self.page, "type-#{kind}");
            }
        }
        Ok(())
    }

    fn icmp_unreachable(&mut self, bytes: &[u8], code: u8) -> Printed {
        let destination = quoted_v4(bytes, QUOTED + 16)?;
        let (before, after) = match code {
            0 => ("net ", " unreachable"),
            1 => ("host ", " unreachable"),
            5 => ("", " unreachable - source route failed"),
            6 => ("net ", " unreachable - unknown"),
            7 => ("host ", " unreachable - unknown"),
            8 => ("", " unreachable - source host isolated"),
            9 => ("net ", " unreachable - admin prohibited"),
            10 => ("host ", " unreachable - admin prohibited"),
            11 => ("net ", " unreachable - tos prohibited"),
            12 => ("host ", " unreachable - tos prohibited"),
            13 => ("host ", " unreachable - admin prohibited filter"),
            14 => ("host ", " unreachable - host precedence violation"),
            15 => ("host ", " unreachable - precedence cutoff"),
            _ => ("", ""),
        };
        self.page.put(before);
        self.host4(destination);
        self.page.put(after);
        match code {
            2 => {
                say!(self.page, " protocol {} unreachable", u8_in(bytes, QUOTED + 9)?);
            }
            3 => {
                let header_len = usize::from(u8_in(bytes, QUOTED)? & 15) * 4;
                let port = quoted_port(bytes, QUOTED + header_len)?;
                match u8_in(bytes, QUOTED + 9)? {
                    own @ (protocol::TCP | protocol::UDP) => {
                        self.page.put(if own == protocol::TCP { " tcp port " } else { " udp port " });
                        self.port(own, port);
                    }
                    other => {
                        say!(self.page, " protocol {other} port {port}");
                    }
                }
                self.page.put(" unreachable");
            }
            4 => {
                self.page.put(" unreachable - need to frag");
                let mtu = u16_in(bytes, 6)?;
                if mtu != 0 {
                    say!(self.page, " (mtu {mtu})");
                }
            }
            code if code > 15 => {
                say!(self.page, " unreachable - #{code}");
            }
            _ => {}
        }
        Ok(())
    }

    fn router_advertisement(&mut self, bytes: &[u8]) -> Printed {
        self.page.put("router advertisement lifetime ");
        let (count, size, lifetime) = (u8_in(bytes, 4)?, u8_in(bytes, 5)?, u16_in(bytes, 6)?);
        match lifetime {
            0..60 => say!(self.page, "{lifetime}"),
            60..3600 => say!(self.page, "{}:{:02}", lifetime / 60, lifetime % 60),
            _ => say!(self.page, "{}:{:02}:{:02}", lifetime / 3600, lifetime / 60 % 60, lifetime % 60),
        };
        say!(self.page, " {count}:");
        if size != 2 {
            say!(self.page, " [size {size}]");
            return Ok(());
        }
        for index in 0..usize::from(count) {
            let at = 8 + index * 8;
            let (address, preference) = (array_in::<4>(bytes, at)?, u32_in(bytes, at + 4)?);
            self.page.put(" {");
            self.host4(address.into());
            say!(self.page, " {preference}}}");
        }
        Ok(())
    }

    fn timestamp_reply(&mut self, bytes: &[u8]) -> Printed {
        u32_in(bytes, 16)?;
        say!(self.page, "time stamp reply id {} seq {}: org ", u16_in(bytes, 4)?, u16_in(bytes, 6)?);
        milliseconds(&mut self.page, u32_in(bytes, 8)?);
        self.page.put(", recv ");
        milliseconds(&mut self.page, u32_in(bytes, 12)?);
        self.page.put(", xmit ");
        milliseconds(&mut self.page, u32_in(bytes, 16)?);
        Ok(())
    }
}

/// A time of day in milliseconds.
fn milliseconds(page: &mut Page, time: u32) {
    let (seconds, millis) = (time / 1000, time % 1000);
    say!(page, "{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}
