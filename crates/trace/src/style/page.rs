//! Text that is being put together: a line at a time, without the machinery of `format!` where packets come by the million.

use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A piece of text.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) bytes: Vec<u8>,
}

/// Adds formatted text to a page.
macro_rules! say {
    ($page:expr, $($arg:tt)*) => { $page.formatted(format_args!($($arg)*)) };
}
pub(crate) use say;

const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Page {
    /// Text.
    pub(crate) fn put(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes.push(byte);
        self
    }

    pub(crate) fn formatted(&mut self, args: fmt::Arguments<'_>) -> &mut Self {
        // Writing to memory does not fail.
        let _ = self.bytes.write_fmt(args);
        self
    }

    /// A decimal number.
    pub(crate) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut left: u64 = number.into();
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        while left >= 100 {
            let pair = (left % 100) as usize * 2;
            left /= 100;
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if left >= 10 {
            let pair = left as usize * 2;
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            at -= 1;
            digits[at] = b'0' + left as u8;
        }
        self.bytes.extend_from_slice(&digits[at..]);
        self
    }

    /// A decimal number with zeros before it, two digits.
    pub(crate) fn two(&mut self, number: u32) -> &mut Self {
        let pair = (number % 100) as usize * 2;
        self.bytes.extend_from_slice(&PAIRS[pair..pair + 2]);
        self
    }

    /// A decimal number with zeros before it, six digits.
    pub(crate) fn six(&mut self, number: u32) -> &mut Self {
        self.two(number / 10_000).two(number / 100 % 100).two(number % 100)
    }

    /// A byte as two hexadecimal digits.
    pub(crate) fn hex(&mut self, byte: u8) -> &mut Self {
        self.bytes.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        self
    }

    pub(crate) fn ipv4(&mut self, address: Ipv4Addr) -> &mut Self {
        let [a, b, c, d] = address.octets();
        self.number(a).byte(b'.').number(b).byte(b'.').number(c).byte(b'.').number(d)
    }

    pub(crate) fn ipv6(&mut self, address: Ipv6Addr) -> &mut Self {
        say!(self, "{address}")
    }

    /// An address of a link layer: `02:00:00:00:00:01`.
    pub(crate) fn mac(&mut self, address: &[u8]) -> &mut Self {
        for (at, &byte) in address.iter().enumerate() {
            if at > 0 {
                self.byte(b':');
            }
            self.hex(byte);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0_u64, 7, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            let mut page = Page::default();
            page.number(number);
            assert_eq!(page.bytes, number.to_string().into_bytes());
        }
        let mut page = Page::default();
        page.six(1_234).two(7).hex(0xaf);
        assert_eq!(page.bytes, b"00123407af");
    }
}
