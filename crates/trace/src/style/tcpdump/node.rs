//! What nodes ask each other about their names and addresses over ICMPv6 (RFC 4620, and the draft before it).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Printed, Printer, array_in, u8_in, u16_in, u32_in};
use crate::layers::bytes::{array_at, from, up_to};
use crate::style::page::say;

const QUERY: u8 = 139;
/// The header: type, code, checksum, kind of question, flags, nonce.
const HEADER: usize = 16;
/// Queries of this length were asked by the oldest implementation, which had neither flags nor kinds.
const OLDEST: usize = 12;

const NOTHING: u16 = 0;
const KINDS: u16 = 1;
const NAME: u16 = 2;
const ADDRESSES: u16 = 3;

/// Flags of questions for addresses, in the order in which they are shown. The last is of replies alone.
const ADDRESS_FLAGS: [(u16, u8); 7] =
    [(0x40, b'a'), (0x20, b'G'), (0x10, b'S'), (8, b'L'), (4, b'C'), (2, b'A'), (1, b'T')];

impl Printer {
    pub(super) fn node_information(&mut self, kind: u8, code: u8, bytes: &[u8], len: usize) -> Printed {
        let is_query = kind == QUERY;
        // A length is what there is of the message in the capture.
        let bytes = up_to(bytes, len);
        u8_in(bytes, 1)?;
        if is_query && bytes.len() == OLDEST {
            self.page.put(" who-are-you request");
            return Ok(());
        }
        if is_query {
            self.page.put(" node information query");
        }
        // Of a reply there must be everything.
        if bytes.len() < HEADER || !is_query && bytes.len() < len {
            self.truncated();
            return Ok(());
        }
        if !is_query {
            self.page.put(" node information reply");
        }
        let (question, flags) = (u16_in(bytes, 4)?, u16_in(bytes, 6)?);
        let data = from(bytes, HEADER);
        self.page.put(" (");
        if is_query {
            self.node_query(code, question, flags, data)?;
        } else {
            self.node_reply(code, question, flags, data)?;
        }
        self.page.byte(b')');
        Ok(())
    }

    fn node_query(&mut self, code: u8, question: u16, flags: u16, data: &[u8]) -> Printed {
        let len = data.len();
        self.node_question(question, flags, true);
        let is_verbose = self.options.verbose > 0;
        if matches!(question, NOTHING | KINDS) {
            self.page.put(if len != 0 && is_verbose { ", invalid len" } else { "" });
            return Ok(());
        }
        if len == 0 {
            self.page.put(", 03 draft");
            return Ok(());
        }
        match code {
            0 if len == 16 => {
                let subject = Ipv6Addr::from(array_in::<16>(data, 0)?);
                self.page.put(", subject=");
                self.host6(subject);
            }
            0 | 2 if len < if code == 0 { 16 } else { 4 } => {}
            1 => {
                self.page.put(", subject=DNS name");
                self.node_name(data)?;
            }
            2 if len == 4 => {
                let subject = Ipv4Addr::from(array_in::<4>(data, 0)?);
                self.page.put(", subject=");
                self.host4(subject);
            }
            0 | 2 => {
                self.page.put(if is_verbose { ", invalid subject len" } else { "" });
            }
            _ => {
                self.page.put(", unknown subject");
            }
        }
        Ok(())
    }

    fn node_reply(&mut self, code: u8, question: u16, flags: u16, data: &[u8]) -> Printed {
        let is_verbose = self.options.verbose > 0;
        let invalid = if !data.is_empty() && is_verbose { ", invalid length" } else { "" };
        match code {
            0 => {
                self.page.put(if is_verbose { "success, " } else { "" });
            }
            1 => {
                self.page.put("refused").put(invalid);
                return Ok(());
            }
            2 => {
                self.page.put("unknown").put(invalid);
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.node_question(question, flags, false);
        match question {
            NOTHING => {
                self.page.put(invalid);
            }
            NAME => {
                let ttl = u32_in(data, 0)?;
                self.node_name(from(data, 4))?;
                if flags & 1 != 0 {
                    say!(self.page, " [TTL={ttl}]");
                }
            }
            ADDRESSES => {
                for entry in data.chunks_exact(20) {
                    if let Some(address) = array_at::<16>(entry, 4) {
                        self.page.byte(b' ');
                        self.host6(Ipv6Addr::from(address));
                        say!(self.page, "({})", u32_in(entry, 0)?);
                    }
                }
                self.node_flags(question, flags, false);
            }
            _ => {}
        }
        Ok(())
    }

    fn node_question(&mut self, question: u16, flags: u16, is_query: bool) {
        match question {
            NOTHING => self.page.put("noop"),
            KINDS => self.page.put("supported qtypes"),
            NAME => self.page.put("DNS name"),
            ADDRESSES => self.page.put("node addresses"),
            _ => self.page.put("unknown"),
        };
        // In replies the flags come after the addresses that they are about.
        if question == KINDS || is_query {
            self.node_flags(question, flags, is_query);
        }
    }

    fn node_flags(&mut self, question: u16, flags: u16, is_query: bool) {
        if flags == 0 || !matches!(question, KINDS | ADDRESSES) {
            return;
        }
        self.page.put(" [");
        if question == KINDS {
            self.page.put(if flags & 1 != 0 { "C" } else { "" });
        } else {
            for (bit, letter) in ADDRESS_FLAGS {
                if flags & bit != 0 && !(is_query && bit == 1) {
                    self.page.byte(letter);
                }
            }
        }
        self.page.byte(b']');
    }

    /// A name: one label of all that is left (the draft), or labels that a zero ends, two where the name is not a whole one.
    fn node_name(&mut self, mut data: &[u8]) -> Printed {
        let (first, rest) = data.split_first().ok_or(super::Cut)?;
        if usize::from(*first) == rest.len() {
            self.page.put(if self.options.verbose > 0 { ", 03 draft" } else { "" });
            self.page.put(", \"");
            rest.iter().for_each(|&byte| self.safe_char(byte));
            self.page.byte(b'"');
            return Ok(());
        }
        self.page.put(", \"");
        while let Some((&len, rest)) = data.split_first() {
            let len = usize::from(len);
            match rest {
                [] if len == 0 => {
                    self.page.byte(b'.');
                    break;
                }
                [0] if len == 0 => break,
                _ if len == 0 || len > rest.len() => {
                    self.page.put("???");
                    break;
                }
                _ => {}
            }
            up_to(rest, len).iter().for_each(|&byte| self.safe_char(byte));
            data = from(rest, len);
            if matches!(data, [next, _, ..] if *next != 0) {
                self.page.byte(b'.');
            }
        }
        self.page.byte(b'"');
        Ok(())
    }
}
