//! TCP.

use super::flows::{Relative, Segment};
use super::ip::{Around, should_be};
use super::{Cut, Printed, Printer, u16_in};
use crate::layers::bytes::{from, up_to};
use crate::layers::{Tcp, TcpFlags, protocol};
use crate::style::page::say;

/// So much of what comes with a reset is shown.
const RESET_TEXT: usize = 30;

impl Printer {
    pub(super) fn tcp(&mut self, bytes: &[u8], len: usize, around: &Around<'_>) -> Printed {
        self.protocol = "tcp";
        let (Ok(source), Ok(destination)) = (u16_in(bytes, 0), u16_in(bytes, 2)) else {
            self.ends(&Around { next: protocol::TCP, ..*around }, protocol::TCP, None);
            return Err(self.cut());
        };
        self.ends(around, protocol::TCP, Some((source, destination)));
        let tcp = Tcp::parse(bytes).ok_or(Cut)?;
        let header_len = usize::from(bytes.get(12).map_or(0, |offset| offset >> 4)) * 4;
        if header_len < 20 {
            say!(
                self.page,
                " tcp {} [bad hdr length {header_len} - too short, < 20]",
                len as i64 - header_len as i64
            );
            return Ok(());
        }
        self.page.put("Flags [");
        self.tcp_flags(tcp.flags);
        self.page.byte(b']');
        let has_ack = tcp.flags.contains(TcpFlags::ACK);
        let mut place = Relative { sequence: tcp.sequence, acknowledgment: tcp.acknowledgment, sack: 0 };
        if has_ack && !self.options.absolute {
            place = self.flows.relative(&Segment {
                source: (around.source, source),
                destination: (around.destination, destination),
                sequence: tcp.sequence,
                acknowledgment: tcp.acknowledgment,
                syn: tcp.flags.contains(TcpFlags::SYN),
            });
        }
        if header_len > len {
            say!(self.page, " [bad hdr length {header_len} - too long, > {len}]");
            return Ok(());
        }
        if self.options.verbose > 0 && !around.fragmented && (!around.is_v6 || around.payload_len != 0) {
            self.tcp_checksum(&tcp, bytes, len, around);
        }
        let payload = len - header_len;
        let talks = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;
        if self.options.verbose > 1 || payload > 0 || tcp.flags.intersects(talks) {
            self.page.put(", seq ").number(place.sequence);
            if payload > 0 {
                self.page.byte(b':').number(place.sequence.wrapping_add(payload as u32));
            }
        }
        if has_ack {
            self.page.put(", ack ").number(place.acknowledgment);
        }
        self.page.put(", win ").number(tcp.window);
        if tcp.flags.contains(TcpFlags::URG) {
            self.page.put(", urg ").number(tcp.urgent);
        }
        if header_len > 20 {
            self.page.put(", options [");
            self.tcp_options(from(bytes, 20), header_len - 20, place.sack)?;
            self.page.byte(b']');
        }
        self.page.put(", length ").number(payload as u64);
        if payload > 0 {
            let data = from(bytes, header_len);
            // Without -v what comes with a reset is read as what comes with any other segment.
            if tcp.flags.contains(TcpFlags::RST) && self.options.verbose > 0 {
                self.reset_text(data, payload);
            } else {
                self.over_tcp(data, payload, source, destination)?;
            }
        }
        Ok(())
    }

    fn tcp_flags(&mut self, flags: TcpFlags) {
        const LETTERS: [(TcpFlags, u8); 8] = [
            (TcpFlags::FIN, b'F'),
            (TcpFlags::SYN, b'S'),
            (TcpFlags::RST, b'R'),
            (TcpFlags::PSH, b'P'),
            (TcpFlags::ACK, b'.'),
            (TcpFlags::URG, b'U'),
            (TcpFlags::ECE, b'E'),
            (TcpFlags::CWR, b'W'),
        ];
        if flags.bits() & 0xff == 0 {
            self.page.put("none");
        }
        for (flag, letter) in LETTERS {
            if flags.contains(flag) {
                self.page.byte(letter);
            }
        }
    }

    fn tcp_checksum(&mut self, tcp: &Tcp<'_>, bytes: &[u8], len: usize, around: &Around<'_>) {
        let Some(segment) = bytes.get(..len) else { return };
        let sum = around.checksum(protocol::TCP, segment, len);
        say!(self.page, ", cksum 0x{:04x}", tcp.checksum);
        if sum == 0 {
            self.page.put(" (correct)");
        } else {
            say!(self.page, " (incorrect -> 0x{:04x})", should_be(tcp.checksum, sum));
        }
    }

    fn reset_text(&mut self, data: &[u8], len: usize) {
        self.page.put(if data.len() >= len { " [RST" } else { " [!RST" });
        if len > RESET_TEXT {
            self.page.byte(b'+');
        }
        self.page.byte(b' ');
        for &byte in up_to(data, len.min(RESET_TEXT)) {
            self.safe_char(byte);
        }
        self.page.byte(b']');
    }
}
