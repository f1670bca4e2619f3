//! Frames of PPP as tcpdump prints them, but for what it gets wrong: packets that Van Jacobson's method has compressed are
//! printed with their headers, and the byte that tells the direction is understood.

use super::{Cut, Printed, Printer};
use crate::ppp::{Carried, Link, Protocol, lines};
use crate::record::{Direction, LinkType, Record};
use crate::style::page::say;
use crate::vj::Kind;

impl Printer {
    pub(super) fn ppp(&mut self, record: &Record<'_>) -> Printed {
        self.protocol = "ppp";
        // The link lends what it puts together, so it is taken out while that is printed.
        let interface = record.interface.unwrap_or(0);
        let mut link = std::mem::take(self.links.of(interface));
        let printed = self.ppp_frame(record, &mut link);
        *self.links.of(interface) = link;
        printed
    }

    fn ppp_frame(&mut self, record: &Record<'_>, link: &mut Link) -> Printed {
        let unwrapped = link.unwrap(record).ok_or(Cut)?;
        let (header, frame) = (unwrapped.header, unwrapped.frame);
        let (protocol, len) = (header.protocol, frame.len() + record.missing());
        let name = lines::protocol_name(protocol);
        if record.link == LinkType::PPP_HDLC && header.addressed && header.protocol_len == 2 {
            if self.options.link {
                say!(self.page, "ff 03 {len} ");
            }
            match name {
                Some(name) => self.page.put(name),
                None => self.unknown_protocol(protocol),
            };
            self.page.put(": ");
        } else if self.options.link {
            self.page.put(match unwrapped.direction {
                Some(Direction::In) => "In  ",
                Some(Direction::Out) => "Out ",
                None => "",
            });
            say!(self.page, "{} (0x{:04x}), length {len}", name.unwrap_or("unknown"), protocol.0);
            if name.is_none() {
                return Ok(());
            }
            self.page.put(": ");
        }
        let payload = frame.get(header.len()..).unwrap_or_default();
        let payload_len = payload.len() + record.missing();
        match unwrapped.carried {
            Carried::Packet(packet, Kind::Ip) if protocol == Protocol::IPV6 => self.ipv6(packet, payload_len),
            Carried::Packet(packet, Kind::Ip) => self.ipv4(packet, payload_len),
            Carried::Packet(packet, _) => self.ipv4(packet, packet.len() + record.missing()),
            Carried::Tossed(_, why) => {
                say!(self.page, "{}, tossed: {why}", name.unwrap_or("unknown"));
                Ok(())
            }
            Carried::Other(_) => {
                match lines::control(protocol, payload, payload_len, self.options.verbose > 0) {
                    Some(line) => {
                        self.page.put(&line);
                    }
                    None => {
                        match name {
                            Some(name) => self.page.put(name),
                            None => self.unknown_protocol(protocol),
                        };
                        self.page.byte(b' ');
                        self.hex_lines("\n\t", payload, false);
                    }
                }
                Ok(())
            }
        }
    }

    fn unknown_protocol(&mut self, protocol: Protocol) -> &mut crate::style::page::Page {
        say!(self.page, "unknown PPP protocol (0x{:04x})", protocol.0)
    }
}
