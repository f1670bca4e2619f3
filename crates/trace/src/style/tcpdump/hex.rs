//! The bytes below a line.

use super::{Dump, Printer};

impl Printer {
    /// All of them, or those behind the link layer's header.
    pub(super) fn dump(&mut self, data: &[u8], header: usize) {
        let bytes = if self.options.dump_link { data } else { data.get(header..).unwrap_or_default() };
        match self.options.dump {
            Dump::None => {}
            Dump::Hex => self.hex(bytes, false),
            Dump::HexAscii => self.hex(bytes, true),
            Dump::Ascii => self.ascii(bytes),
        }
    }

    /// The bytes of something that is not known, unless all bytes are shown in hexadecimal anyway.
    pub(super) fn unknown(&mut self, bytes: &[u8]) {
        if matches!(self.options.dump, Dump::None | Dump::Ascii) {
            self.hex_lines("\n\t", bytes, true);
        }
    }

    fn hex(&mut self, bytes: &[u8], beside: bool) {
        self.hex_lines("\n\t", bytes, beside);
    }

    /// Lines of sixteen bytes.
    pub(super) fn hex_lines(&mut self, indent: &str, bytes: &[u8], beside: bool) {
        for (line, chunk) in bytes.chunks(16).enumerate() {
            let offset = line * 16;
            self.page.put(indent).put("0x");
            if offset > 0xffff {
                self.page.formatted(format_args!("{offset:x}"));
            } else {
                self.page.hex((offset >> 8) as u8).hex(offset as u8);
            }
            self.page.put(": ");
            for pair in chunk.chunks(2) {
                self.page.byte(b' ');
                for &byte in pair {
                    self.page.hex(byte);
                }
            }
            if beside {
                let written = chunk.len() * 2 + chunk.len().div_ceil(2);
                for _ in written..40 {
                    self.page.byte(b' ');
                }
                self.page.put("  ");
                for &byte in chunk {
                    self.page.byte(if byte.is_ascii_graphic() { byte } else { b'.' });
                }
            }
        }
    }

    fn ascii(&mut self, bytes: &[u8]) {
        self.page.byte(b'\n');
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                // A carriage return before the end of a line, or before the last byte, leaves no trace.
                b'\r' if at + 2 >= bytes.len() || bytes.get(at + 1) == Some(&b'\n') => {}
                b'\t' | b' ' | b'\n' => {
                    self.page.byte(byte);
                }
                byte if byte.is_ascii_graphic() => {
                    self.page.byte(byte);
                }
                _ => {
                    self.page.byte(b'.');
                }
            }
        }
    }
}
