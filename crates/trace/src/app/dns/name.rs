//! Names in DNS messages, compressed or not.

use std::fmt;

use crate::printable::Printable;

/// A name: a place in its message, which it may leave by a pointer (RFC 1035 §4.1.4).
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Name<'a> {
    pub(super) fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at }
    }

    /// The labels, as far as they make sense.
    #[must_use]
    pub fn labels(&self) -> Labels<'a> {
        Labels { message: self.message, at: self.at, limit: self.at, len: 0, whole: false }
    }

    /// Bytes that it takes at its place, up to and with a pointer; nothing if its end is not there.
    pub(super) fn encoded_len(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            match *self.message.get(at)? {
                0 => return Some(at + 1 - self.at),
                len @ 1..=63 => at += 1 + usize::from(len),
                0xc0..=0xff => {
                    self.message.get(at + 1)?;
                    return Some(at + 2 - self.at);
                }
                _ => return None,
            }
        }
    }
}

/// Two names are the same when their labels are, in any case of letters.
impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        let mut others = other.labels();
        let same = |label: &[u8]| others.next().is_some_and(|other| label.eq_ignore_ascii_case(other));
        self.labels().all(same) && others.next().is_none()
    }
}

impl Eq for Name<'_> {}

/// The labels of a name, the first one first.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// Pointers have to go back behind this, so that there is an end.
    limit: usize,
    /// Bytes up to here, which are 255 at most.
    len: usize,
    whole: bool,
}

impl Labels<'_> {
    /// Whether the name's end was reached: true after the last label of one that makes sense.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match *self.message.get(self.at)? {
                0 => {
                    self.whole = true;
                    return None;
                }
                len @ 1..=63 => {
                    let label = self.message.get(self.at + 1..self.at + 1 + usize::from(len))?;
                    self.len += label.len() + 1;
                    if self.len > 254 {
                        return None;
                    }
                    self.at += 1 + label.len();
                    return Some(label);
                }
                high @ 0xc0..=0xff => {
                    let low = *self.message.get(self.at + 1)?;
                    let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                    if target >= self.limit {
                        return None;
                    }
                    (self.at, self.limit) = (target, target);
                }
                _ => return None,
            }
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut labels = self.labels();
        let mut first = true;
        for label in labels.by_ref() {
            if !std::mem::take(&mut first) {
                f.write_str(".")?;
            }
            // A dot inside of a label is none between labels.
            let mut parts = label.split(|&byte| byte == b'.');
            write!(f, "{}", Printable(parts.next().unwrap_or_default()))?;
            for part in parts {
                write!(f, "\\.{}", Printable(part))?;
            }
        }
        match (labels.is_whole(), first) {
            (true, true) => f.write_str("."),
            (true, false) => Ok(()),
            (false, _) => f.write_str("<malformed>"),
        }
    }
}
