//! What FTP, SMTP and POP3 have in common: commands of a word and its arguments, and replies with a number.

use std::fmt;

use crate::printable::Printable;

/// A command: a word, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The word, in the case it was sent in.
    pub verb: &'a [u8],
    /// What follows the space after it.
    pub argument: &'a [u8],
}

impl<'a> Command<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Self {
        match line.iter().position(|&byte| byte == b' ') {
            Some(space) => Self { verb: &line[..space], argument: &line[space + 1..] },
            None => Self { verb: line, argument: &[] },
        }
    }

    /// Whether the word is this one, in any case.
    #[must_use]
    pub fn is(&self, verb: &str) -> bool {
        self.verb.eq_ignore_ascii_case(verb.as_bytes())
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(self.verb).fmt(f)?;
        if self.argument.is_empty() { Ok(()) } else { write!(f, " {}", Printable(self.argument)) }
    }
}

/// A reply with a number of three digits, or one line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The number; nothing in a line between the first and the last that has none.
    pub code: Option<u16>,
    /// More lines of the same reply follow.
    pub more: bool,
    /// What follows the number.
    pub text: &'a [u8],
}

impl<'a> Reply<'a> {
    /// A line of a reply, `open` being the number of the reply that is not complete yet (RFC 959 §4.2).
    pub(super) fn parse(line: &'a [u8], open: Option<u16>) -> Self {
        let (code, sign, text) = match *line {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ref rest @ ..] => {
                let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
                match rest {
                    [sign @ (b' ' | b'-'), text @ ..] => (Some(code), *sign, text),
                    [] => (Some(code), b' ', rest),
                    _ => (None, 0, line),
                }
            }
            _ => (None, 0, line),
        };
        match (code, open) {
            (Some(code), None) => Self { code: Some(code), more: sign == b'-', text },
            (Some(code), Some(open)) if code == open => Self { code: Some(code), more: sign == b'-', text },
            (_, open) => Self { code: None, more: open.is_some(), text: line },
        }
    }

    /// The number of the reply whose next line is to come, if more follow.
    pub(super) fn still_open(&self, open: Option<u16>) -> Option<u16> {
        if self.more { self.code.or(open) } else { None }
    }
}

impl fmt::Display for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => {
                write!(f, "{code:03}{}{}", if self.more { '-' } else { ' ' }, Printable(self.text))
            }
            None => Printable(self.text).fmt(f),
        }
    }
}

/// Lines up to one that has nothing but a dot: a mail, or a list. Counts bytes as they are on the wire.
#[derive(Default)]
pub(super) struct Dotted {
    total: u64,
    /// Bytes since the last report.
    fresh: usize,
}

impl Dotted {
    /// Takes a line; true if it ends the data.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        if line == b"." {
            return true;
        }
        self.fresh += line.len() + 2;
        self.total += line.len() as u64 + 2;
        false
    }

    /// Bytes since this was last asked, and all of them.
    pub(super) fn report(&mut self) -> (usize, u64) {
        (std::mem::take(&mut self.fresh), self.total)
    }
}
