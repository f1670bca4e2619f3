//! Bytes from the wire, shown so that they cannot do anything to a terminal.

use std::fmt::{self, Write as _};

/// Shows bytes as text: UTF-8 as it is, control characters and anything else as `\xNN`, a backslash doubled.
#[derive(Clone, Copy)]
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    // Formatting characters turn text round, or hide it.
                    '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}'
                    | '\u{feff}' => {
                        write!(f, "{}", character.escape_unicode())?;
                    }
                    _ if character.is_control() => {
                        let mut utf8 = [0; 4];
                        for byte in character.encode_utf8(&mut utf8).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_characters() {
        let show = |bytes: &[u8]| Printable(bytes).to_string();
        assert_eq!(show(b"+OK ready"), "+OK ready");
        assert_eq!(show(b"\x1b[2J\r\n\\"), "\\x1b[2J\\x0d\\x0a\\\\");
        assert_eq!(show("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(show(b"\xff\xc3("), "\\xff\\xc3(");
        assert_eq!(show("\u{9b}31m\u{202e}".as_bytes()), "\\xc2\\x9b31m\\u{202e}");
    }
}
