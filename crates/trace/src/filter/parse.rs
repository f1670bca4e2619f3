//! From words to a tree, by descent: or, and, not, primitives.

use std::net::{IpAddr, Ipv4Addr};

use super::token::{Token, tokens};
use super::{End, Family, Test};
use crate::layers::{ethertype, protocol};
use crate::style::Names;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter is wrong at character {at}: {what}")]
pub struct FilterError {
    /// Where, counted from 1.
    pub at: usize,
    /// What.
    pub what: String,
}

/// Parentheses within each other, and "not" before "not": more than these nobody writes.
const DEEPEST: usize = 100;

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    end: usize,
    depth: usize,
    /// What the last primitive said, for `port 80 or 443`.
    last: Qualifiers,
    names: Option<Names>,
}

/// What is said before an address or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Qualifiers {
    subject: Option<Subject>,
    end: Option<End>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Ip,
    Ip6,
    Arp,
    Tcp,
    Udp,
    Ether,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
}

const NOTHING: Qualifiers = Qualifiers { subject: None, end: None, kind: None };

type Parsed = Result<Test, FilterError>;

pub(super) fn parse(text: &str) -> Parsed {
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Ok(Test::All);
    }
    let mut parser = Parser { tokens, next: 0, end: text.len(), depth: 0, last: NOTHING, names: None };
    let test = parser.expression()?;
    match parser.peek() {
        None => Ok(test),
        Some("[") => Err(parser.wrong("expressions with brackets are not known here")),
        Some(word) => {
            let what = format!("\"{word}\" is not expected here");
            Err(parser.wrong(what))
        }
    }
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.next).map(|token| token.text)
    }

    fn take(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    fn accept(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|word| words.contains(&word));
        self.next += usize::from(found);
        found
    }

    /// An error at the next word.
    fn wrong(&self, what: impl Into<String>) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.end, |token| token.at);
        FilterError { at: at + 1, what: what.into() }
    }

    /// `and` and `or` bind alike in pcap-filter(7), from left to right.
    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("there are too many parentheses"));
        }
        let mut left = self.factor()?;
        loop {
            if self.accept(&["and", "&&"]) {
                left = Test::And(Box::new(left), Box::new(self.factor()?));
            } else if self.accept(&["or", "||"]) {
                left = Test::Or(Box::new(left), Box::new(self.factor()?));
            } else {
                self.depth -= 1;
                return Ok(left);
            }
        }
    }

    fn factor(&mut self) -> Parsed {
        let mut negated = false;
        while self.accept(&["not", "!"]) {
            negated = !negated;
        }
        let test = if self.accept(&["("]) {
            let inner = self.expression()?;
            if !self.accept(&[")"]) {
                return Err(self.wrong("a parenthesis is not closed"));
            }
            inner
        } else {
            self.primitive()?
        };
        Ok(if negated { Test::Not(Box::new(test)) } else { test })
    }

    fn primitive(&mut self) -> Parsed {
        let start = self.next;
        if let Some(test) = self.standalone()? {
            return Ok(test);
        }
        let mut said = NOTHING;
        said.subject = self.subject();
        if said.subject == Some(Subject::Ether) && self.accept(&["broadcast"]) {
            return Ok(Test::EtherBroadcast);
        }
        if self.accept(&["multicast"]) {
            return match said.subject {
                Some(Subject::Ether) | None => Ok(Test::EtherMulticast),
                Some(Subject::Ip) => Ok(Test::Multicast { family: Family::V4 }),
                Some(Subject::Ip6) => Ok(Test::Multicast { family: Family::V6 }),
                Some(_) => Err(self.wrong("only ether, ip and ip6 have multicast")),
            };
        }
        if said.subject.is_none() && self.accept(&["broadcast"]) {
            return Ok(Test::EtherBroadcast);
        }
        if self.accept(&["proto"]) {
            return self.protocol(said.subject);
        }
        said.end = self.direction()?;
        said.kind = self.kind();
        if said == NOTHING && self.next == start {
            // "port 80 or 443": what was said of the one before holds.
            said = self.last;
        } else if said.end.is_none() && said.kind.is_none() {
            return self.only_protocol(said.subject);
        }
        self.last = said;
        self.id(said)
    }

    /// Primitives of one word, and those with a number of their own.
    fn standalone(&mut self) -> Result<Option<Test>, FilterError> {
        let test = match self.peek() {
            None => return Err(self.wrong("something is missing at the end")),
            Some("icmp") => Test::Protocol { family: Family::V4, number: protocol::ICMP },
            Some("icmp6") => Test::Protocol { family: Family::V6, number: protocol::ICMPV6 },
            Some("igmp") => Test::Protocol { family: Family::V4, number: 2 },
            Some("sctp") => Test::Protocol { family: Family::Any, number: 132 },
            Some("vlan") => {
                self.next += 1;
                let id = self.peek().and_then(|word| word.parse().ok());
                self.next += usize::from(id.is_some());
                return Ok(Some(Test::Vlan(id)));
            }
            Some(word @ ("less" | "greater")) => {
                self.next += 1;
                let len = self.number("a length")?;
                return Ok(Some(if word == "less" { Test::Less(len) } else { Test::Greater(len) }));
            }
            Some(_) => return Ok(None),
        };
        self.next += 1;
        Ok(Some(test))
    }

    fn subject(&mut self) -> Option<Subject> {
        let subject = match self.peek()? {
            "ip" => Subject::Ip,
            "ip6" => Subject::Ip6,
            "arp" => Subject::Arp,
            "tcp" => Subject::Tcp,
            "udp" => Subject::Udp,
            "ether" => Subject::Ether,
            _ => return None,
        };
        self.next += 1;
        Some(subject)
    }

    fn direction(&mut self) -> Result<Option<End>, FilterError> {
        let first = match self.peek() {
            Some("src") => End::Source,
            Some("dst") => End::Destination,
            _ => return Ok(None),
        };
        self.next += 1;
        let joined = match self.peek() {
            Some("or") => End::Either,
            Some("and") => End::Both,
            _ => return Ok(Some(first)),
        };
        // "src or dst port 53", but also "src 10.0.0.1 or dst 10.0.0.2", which has a word between them.
        let other = self.tokens.get(self.next + 1).map(|token| token.text);
        if !matches!(other, Some("src" | "dst")) {
            return Err(self.wrong("src and dst need an address, a port, or each other"));
        }
        self.next += 2;
        Ok(Some(joined))
    }

    fn kind(&mut self) -> Option<Kind> {
        let kind = match self.peek()? {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            _ => return None,
        };
        self.next += 1;
        Some(kind)
    }

    fn only_protocol(&self, subject: Option<Subject>) -> Parsed {
        Ok(match subject {
            Some(Subject::Ip) => Test::Type(ethertype::IPV4),
            Some(Subject::Ip6) => Test::Type(ethertype::IPV6),
            Some(Subject::Arp) => Test::Type(ethertype::ARP),
            Some(Subject::Tcp) => Test::Protocol { family: Family::Any, number: protocol::TCP },
            Some(Subject::Udp) => Test::Protocol { family: Family::Any, number: protocol::UDP },
            Some(Subject::Ether) | None => {
                return Err(self.wrong("ether needs host, src, dst, proto or multicast"));
            }
        })
    }

    fn protocol(&mut self, subject: Option<Subject>) -> Parsed {
        let family = match subject {
            Some(Subject::Ip) => Family::V4,
            Some(Subject::Ip6) => Family::V6,
            None => Family::Any,
            Some(Subject::Ether) => {
                let number = match self.peek().map(|word| word.trim_start_matches('\\')) {
                    Some("ip") => u32::from(ethertype::IPV4),
                    Some("ip6") => u32::from(ethertype::IPV6),
                    Some("arp") => u32::from(ethertype::ARP),
                    _ => return Ok(Test::Type(self.number("a type")? as u16)),
                };
                self.next += 1;
                return Ok(Test::Type(number as u16));
            }
            Some(_) => return Err(self.wrong("only ether, ip and ip6 have protocols")),
        };
        let named = match self.peek().map(|word| word.trim_start_matches('\\')) {
            Some("icmp") => Some(protocol::ICMP),
            Some("tcp") => Some(protocol::TCP),
            Some("udp") => Some(protocol::UDP),
            Some("icmp6") => Some(protocol::ICMPV6),
            _ => None,
        };
        if let Some(number) = named {
            self.next += 1;
            return Ok(Test::Protocol { family, number });
        }
        let number = self.number("a protocol")?;
        let number = u8::try_from(number).map_err(|_| self.wrong("a protocol is less than 256"))?;
        Ok(Test::Protocol { family, number })
    }

    fn number(&mut self, what: &str) -> Result<u32, FilterError> {
        let word = self.peek().unwrap_or_default();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        let number = number.map_err(|_| self.wrong(format!("{what} is expected, a number")))?;
        self.next += 1;
        Ok(number)
    }

    fn id(&mut self, said: Qualifiers) -> Parsed {
        let Some(word) = self.peek() else {
            return Err(self.wrong("an address or a number is missing at the end"));
        };
        let end = said.end.unwrap_or(End::Either);
        if said.subject == Some(Subject::Ether) {
            let address = mac(word)
                .ok_or_else(|| self.wrong(format!("\"{word}\" is no address like 02:00:00:00:00:01")))?;
            self.next += 1;
            return Ok(Test::Mac { end, address });
        }
        match said.kind {
            Some(Kind::Port | Kind::PortRange) => self.ports(said, end, word),
            _ => self.address(said, end, word),
        }
    }

    fn ports(&mut self, said: Qualifiers, end: End, word: &str) -> Parsed {
        let wanted = match said.subject {
            Some(Subject::Tcp) => Some(protocol::TCP),
            Some(Subject::Udp) => Some(protocol::UDP),
            None => None,
            Some(_) => return Err(self.wrong("only tcp and udp have ports")),
        };
        let (low, high) = match (said.kind, word.split_once('-')) {
            (Some(Kind::PortRange), Some((low, high))) => (self.port(low, wanted)?, self.port(high, wanted)?),
            _ => {
                let port = self.port(word, wanted)?;
                (port, port)
            }
        };
        self.next += 1;
        Ok(Test::Ports { end, protocol: wanted, low: low.min(high), high: low.max(high) })
    }

    fn port(&mut self, word: &str, wanted: Option<u8>) -> Result<u16, FilterError> {
        if let Ok(port) = word.parse() {
            return Ok(port);
        }
        let names = self.names.get_or_insert_with(Names::of_system);
        let found = names.port_of(word, wanted == Some(protocol::UDP));
        found.ok_or_else(|| {
            self.wrong(format!("\"{word}\" is no port: a number up to 65535, or a name of /etc/services"))
        })
    }

    fn address(&mut self, said: Qualifiers, end: End, word: &str) -> Parsed {
        let family = match said.subject {
            Some(Subject::Ip) => Family::V4,
            Some(Subject::Ip6) => Family::V6,
            Some(Subject::Arp) => Family::Arp,
            None => Family::Any,
            Some(_) => return Err(self.wrong("tcp and udp have ports, not hosts: write \"tcp and host …\"")),
        };
        let (address, bits) = match word.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (word, None),
        };
        let wrong = |parser: &Self| {
            parser.wrong(format!("\"{word}\" is no address; names are not looked up, write its address"))
        };
        let mut given_bits = None;
        let net: IpAddr = match address.parse() {
            Ok(address) => address,
            // "net 10.1" is 10.1.0.0/16.
            Err(_) if said.kind == Some(Kind::Net) => {
                let (address, bits) = short_net(address).ok_or_else(|| wrong(self))?;
                given_bits = Some(bits);
                address.into()
            }
            Err(_) => return Err(wrong(self)),
        };
        let longest = if net.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(text) => text.parse().ok().filter(|bits| *bits <= longest).ok_or_else(|| wrong(self))?,
            None => given_bits.unwrap_or(longest),
        };
        self.next += 1;
        let mut mask = bits;
        if self.accept(&["mask"]) {
            let text = self.take().unwrap_or_default();
            let given: Ipv4Addr =
                text.parse().map_err(|_| self.wrong("a mask like 255.255.255.0 is expected"))?;
            mask = u32::from(given).leading_ones() as u8;
        }
        Ok(Test::Net { end, family, net, bits: mask })
    }
}

/// "10.1": the address with zeros behind, and how many bits were said.
fn short_net(text: &str) -> Option<(Ipv4Addr, u8)> {
    let parts: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..parts.len())?.copy_from_slice(&parts);
    Some((octets.into(), parts.len() as u8 * 8))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<u8> =
        text.split([':', '-']).map(|part| u8::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}
