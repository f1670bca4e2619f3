//! DNS messages (RFC 1035 and what came after), read leniently: a message that is cut or malformed is told as far as it
//! makes sense. Nothing is copied: names and records are places in the message.

mod data;
mod name;

use std::fmt;

pub use data::Data;
pub use name::{Labels, Name};

use crate::layers::bytes::{u16_at, u32_at};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name that is asked about.
    pub name: Name<'a>,
    /// The type of record that is wanted.
    pub kind: Kind,
    /// The class: 1 but for multicast DNS, whose top bit asks for a direct answer.
    pub class: u16,
}

/// A resource record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Whose record this is.
    pub name: Name<'a>,
    /// Its type.
    pub kind: Kind,
    /// Its class; of OPT, the size of messages that the sender takes.
    pub class: u16,
    /// How long it may be kept, seconds; of OPT, flags.
    pub ttl: u32,
    /// What it says.
    pub data: Data<'a>,
}

/// A type of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u16);

#[allow(missing_docs, reason = "named as in the registry")]
impl Kind {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const OPT: Self = Self(41);

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "A",
            2 => "NS",
            5 => "CNAME",
            6 => "SOA",
            12 => "PTR",
            13 => "HINFO",
            15 => "MX",
            16 => "TXT",
            17 => "RP",
            18 => "AFSDB",
            24 => "SIG",
            25 => "KEY",
            28 => "AAAA",
            29 => "LOC",
            33 => "SRV",
            35 => "NAPTR",
            36 => "KX",
            37 => "CERT",
            39 => "DNAME",
            41 => "OPT",
            43 => "DS",
            44 => "SSHFP",
            46 => "RRSIG",
            47 => "NSEC",
            48 => "DNSKEY",
            50 => "NSEC3",
            51 => "NSEC3PARAM",
            52 => "TLSA",
            53 => "SMIMEA",
            55 => "HIP",
            59 => "CDS",
            60 => "CDNSKEY",
            61 => "OPENPGPKEY",
            62 => "CSYNC",
            64 => "SVCB",
            65 => "HTTPS",
            99 => "SPF",
            249 => "TKEY",
            250 => "TSIG",
            251 => "IXFR",
            252 => "AXFR",
            255 => "ANY",
            256 => "URI",
            257 => "CAA",
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

/// Which part of a message a record is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows.
    Authority,
    /// What is useful besides.
    Additional,
}

impl<'a> Message<'a> {
    /// The message in these bytes, if they have at least its header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= 12).then_some(Self { bytes })
    }

    fn word(&self, at: usize) -> u16 {
        u16_at(self.bytes, at).unwrap_or(0)
    }

    /// The same in a query and its answer.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.word(0)
    }

    /// The second word: flags, operation and result.
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.word(2)
    }

    /// It is an answer.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.flags() & 0x8000 != 0
    }

    /// What is asked for: 0 is a query, 4 a notification, 5 an update.
    #[must_use]
    pub fn operation(&self) -> u8 {
        (self.flags() >> 11 & 15) as u8
    }

    /// The answer is from the one who knows, not remembered.
    #[must_use]
    pub fn is_authoritative(&self) -> bool {
        self.flags() & 0x0400 != 0
    }

    /// The answer did not fit into a datagram.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.flags() & 0x0200 != 0
    }

    /// The result, without the bits that OPT adds: 0 is good, 3 says that there is no such name.
    #[must_use]
    pub fn result(&self) -> u8 {
        (self.flags() & 15) as u8
    }

    /// How many questions there are, by what it says.
    #[must_use]
    pub fn question_count(&self) -> u16 {
        self.word(4)
    }

    /// How many records a section has, by what it says.
    #[must_use]
    pub fn count(&self, section: Section) -> u16 {
        self.word(match section {
            Section::Answer => 6,
            Section::Authority => 8,
            Section::Additional => 10,
        })
    }

    /// The questions, as far as they are there.
    #[must_use]
    pub fn questions(&self) -> Questions<'a> {
        Questions { bytes: self.bytes, at: 12, left: self.question_count() }
    }

    /// All records with their sections, as far as they are there.
    #[must_use]
    pub fn records(&self) -> Resources<'a> {
        let mut questions = self.questions();
        questions.by_ref().for_each(drop);
        let counts =
            [Section::Answer, Section::Authority, Section::Additional].map(|section| self.count(section));
        // Behind a question that is not all there, nothing can be found.
        let at = if questions.left == 0 { questions.at } else { self.bytes.len() };
        Resources { bytes: self.bytes, at, counts }
    }

    /// The records that answer.
    pub fn answers(&self) -> impl Iterator<Item = Resource<'a>> + use<'a> {
        self.records().take_while(|(section, _)| *section == Section::Answer).map(|(_, record)| record)
    }
}

/// The questions of a message.
#[derive(Clone, Debug)]
pub struct Questions<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u16,
}

impl<'a> Iterator for Questions<'a> {
    type Item = Question<'a>;

    fn next(&mut self) -> Option<Question<'a>> {
        if self.left == 0 {
            return None;
        }
        let name = Name::new(self.bytes, self.at);
        let end = self.at + name.encoded_len()?;
        let question =
            Question { name, kind: Kind(u16_at(self.bytes, end)?), class: u16_at(self.bytes, end + 2)? };
        self.at = end + 4;
        self.left -= 1;
        Some(question)
    }
}

/// The records of a message.
#[derive(Clone, Debug)]
pub struct Resources<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Records that are left of each section.
    counts: [u16; 3],
}

impl<'a> Iterator for Resources<'a> {
    type Item = (Section, Resource<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.counts.iter().position(|&count| count > 0)?;
        let section = [Section::Answer, Section::Authority, Section::Additional][place];
        let name = Name::new(self.bytes, self.at);
        let end = self.at + name.encoded_len()?;
        let kind = Kind(u16_at(self.bytes, end)?);
        let (class, ttl) = (u16_at(self.bytes, end + 2)?, u32_at(self.bytes, end + 4)?);
        let data_at = end + 10;
        let data_len = usize::from(u16_at(self.bytes, end + 8)?);
        self.bytes.get(data_at..data_at + data_len)?;
        self.counts[place] -= 1;
        self.at = data_at + data_len;
        let data = Data::read(kind, self.bytes, data_at, data_len);
        Some((section, Resource { name, kind, class, ttl, data }))
    }
}

/// The name of a result (RFC 1035 §4.1.1, RFC 2136).
const RESULTS: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
    "NOTAUTH", "NOTZONE",
];

impl Message<'_> {
    /// The name of the result, where it has one.
    #[must_use]
    pub fn result_name(&self) -> Option<&'static str> {
        RESULTS.get(usize::from(self.result())).copied()
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Records that are told; the rest are counted.
        const TOLD: usize = 8;
        let what = match (self.operation(), self.is_answer()) {
            (0, false) => "query",
            (0, true) => "answer",
            (4, false) => "notification",
            (4, true) => "answer to a notification",
            (5, false) => "update",
            (5, true) => "answer to an update",
            (_, false) => "request",
            (_, true) => "answer to a request",
        };
        write!(f, "{what} {:04x}", self.id())?;
        for question in self.questions().take(TOLD) {
            write!(f, " {}? {}", question.kind, question.name)?;
        }
        if !self.is_answer() {
            return Ok(());
        }
        match (self.result(), self.result_name()) {
            (0, _) => {}
            (_, Some(name)) => write!(f, ": {name}")?,
            (result, None) => write!(f, ": result {result}")?,
        }
        if self.is_truncated() {
            f.write_str(": truncated")?;
        }
        let mut between = ": ";
        let mut answers = self.answers();
        for record in answers.by_ref().take(TOLD) {
            write!(f, "{between}{} {}", record.kind, record.data)?;
            between = ", ";
        }
        match answers.count() {
            0 if self.count(Section::Answer) == 0 && self.result() == 0 => f.write_str(": nothing"),
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
