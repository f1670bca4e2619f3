//! ARP.

use std::net::Ipv4Addr;

use super::{Cut, Printed, Printer, link};
use crate::layers::bytes::{array_at, up_to};
use crate::layers::{Arp, ethertype};
use crate::style::page::say;

const FRAME_RELAY: u16 = 15;

const HARDWARE: &[(u16, &str)] = &[
    (1, "Ethernet"),
    (6, "TokenRing"),
    (7, "ArcNet"),
    (FRAME_RELAY, "FrameRelay"),
    (17, "Strip"),
    (24, "IEEE 1394"),
    (19, "ATM"),
];

const OPERATIONS: &[(u16, &str)] = &[
    (1, "Request"),
    (2, "Reply"),
    (3, "Reverse Request"),
    (4, "Reverse Reply"),
    (8, "Inverse Request"),
    (9, "Inverse Reply"),
    (10, "NACK Reply"),
];

impl Printer {
    pub(super) fn arp(&mut self, bytes: &[u8], len: usize) -> Printed {
        self.protocol = "arp";
        let arp = Arp::parse(bytes).ok_or(Cut)?;
        if arp.target_protocol.len() < usize::from(arp.protocol_len) {
            return Err(Cut);
        }
        if !self.options.link {
            self.page.put("ARP, ");
        }
        let verbose = self.options.verbose > 0;
        let known = matches!(arp.protocol, ethertype::IPV4 | 0x1000) && arp.protocol_len == 4;
        if !known || arp.hardware_len == 0 || verbose {
            match super::named(HARDWARE, arp.hardware) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "Unknown Hardware ({})", arp.hardware),
            };
            say!(self.page, " (len {}), ", arp.hardware_len);
            match link::type_name(arp.protocol) {
                Some(name) => self.page.put(name),
                None => say!(self.page, "Unknown Protocol (0x{:04x})", arp.protocol),
            };
            say!(self.page, " (len {})", arp.protocol_len);
            if !verbose {
                say!(self.page, ", length {len}");
                return Ok(());
            }
            self.page.put(", ");
        }
        match super::named(OPERATIONS, arp.operation) {
            Some(name) => self.page.put(name),
            None => say!(self.page, "Unknown ({})", arp.operation),
        };
        self.page.byte(b' ');
        match arp.operation {
            1 => {
                self.page.put("who-has ");
                self.arp_address(&arp, arp.target_protocol);
                if arp.target_hardware.iter().any(|&byte| byte != 0) {
                    self.page.put(" (");
                    self.arp_hardware(&arp, arp.target_hardware);
                    self.page.byte(b')');
                }
                self.page.put(" tell ");
                self.arp_address(&arp, arp.sender_protocol);
            }
            2 => {
                self.arp_address(&arp, arp.sender_protocol);
                self.page.put(" is-at ");
                self.arp_hardware(&arp, arp.sender_hardware);
            }
            3 | 8 => {
                self.page.put("who-is ");
                self.arp_hardware(&arp, arp.target_hardware);
                self.page.put(" tell ");
                self.arp_hardware(&arp, arp.sender_hardware);
            }
            4 => {
                self.arp_hardware(&arp, arp.target_hardware);
                self.page.put(" at ");
                self.arp_address(&arp, arp.target_protocol);
            }
            9 => {
                self.arp_hardware(&arp, arp.sender_hardware);
                self.page.put(" at ");
                self.arp_address(&arp, arp.sender_protocol);
            }
            _ => {
                self.hex_lines("\n\t", bytes, true);
                return Ok(());
            }
        }
        say!(self.page, ", length {len}");
        Ok(())
    }

    fn arp_hardware(&mut self, arp: &Arp<'_>, address: &[u8]) {
        if address.is_empty() {
            self.page.put("<empty>");
        } else if arp.hardware == FRAME_RELAY {
            self.data_link(address);
        } else {
            self.mac(address);
        }
    }

    /// The number of a data link (Q.922): bytes of which the last is odd, two to four of them.
    fn data_link(&mut self, address: &[u8]) {
        let parts =
            address.iter().take(4).position(|byte| byte & 1 == 1).map(|last| up_to(address, last + 1));
        let part = |byte: u8, shift: u32| u32::from(byte >> shift);
        let number = match parts {
            Some([a, b]) => part(*a, 2) << 4 | part(*b, 4),
            Some([a, b, c]) => part(*a, 2) << 10 | part(*b, 4) << 6 | part(*c, 2),
            Some([a, b, c, d]) => part(*a, 2) << 17 | part(*b, 4) << 13 | part(*c, 1) << 6 | part(*d, 2),
            None if address.len() < 4 => {
                self.page.put("<Truncated>");
                return;
            }
            _ => {
                self.page.put("<Invalid DLCI>");
                return;
            }
        };
        self.page.put("DLCI ").number(number);
    }

    fn arp_address(&mut self, arp: &Arp<'_>, address: &[u8]) {
        if !matches!(arp.protocol, ethertype::IPV4 | 0x1000) {
            self.page.put("<wrong proto type>");
        } else if arp.protocol_len != 4 {
            self.page.put("<wrong len>");
        } else if let Some(address) = array_at::<4>(address, 0) {
            self.host4(Ipv4Addr::from(address));
        }
    }
}
