//! One question as a DNS message, and what its answer says (RFC 1035 section 4, by hickory-proto).

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

/// How many aliases one answer may chain up; RFC 1034 names no limit, resolvers use 8 to 16.
const MAX_ALIASES: usize = 16;

/// One question with the id that its answer must carry.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: u16,
    pub(crate) name: Name,
    pub(crate) kind: RecordType,
}

/// What a server has to say to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Addresses, at the end of a chain of aliases if there is one.
    Addresses(Vec<IpAddr>),
    /// Another name to ask for: the chain of aliases ends without an address.
    Alias(Name),
    /// The name exists and has no such record.
    NoData,
    /// The name does not exist.
    NoSuchName,
    /// The server cannot or will not tell.
    Failure(ResponseCode),
    /// The aliases go in a circle.
    AliasLoop,
}

/// A datagram, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers another question, or nobody's, or cannot be read.
    NotOurs,
    /// It answers ours, but did not fit.
    Truncated,
    /// It answers ours.
    Answer(Answer),
}

impl Question {
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind));
        message.to_vec().ok()
    }

    /// Judges a datagram by what RFC 5452 section 9.1 demands: the id, the question, and that it is
    /// a response at all. Its source was checked before.
    pub(crate) fn judge(&self, datagram: &[u8]) -> Verdict {
        let Ok(message) = Message::from_vec(datagram) else { return Verdict::NotOurs };
        let head = &message.metadata;
        if head.id != self.id || head.message_type != MessageType::Response || head.op_code != OpCode::Query {
            return Verdict::NotOurs;
        }
        let failed = !matches!(head.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        match message.queries.as_slice() {
            [query] if self.asks(query) => {}
            // A server that could not read the question may leave it out of its complaint.
            [] if failed => {}
            _ => return Verdict::NotOurs,
        }
        if failed {
            return Verdict::Answer(Answer::Failure(head.response_code));
        }
        if head.truncation {
            return Verdict::Truncated;
        }
        Verdict::Answer(self.follow(&message))
    }

    fn asks(&self, query: &Query) -> bool {
        query.name == self.name && query.query_type == self.kind && query.query_class == DNSClass::IN
    }

    /// Follows the aliases from the name in question; records of other names are not believed.
    fn follow(&self, message: &Message) -> Answer {
        let mut name = &self.name;
        for _ in 0..=MAX_ALIASES {
            let records =
                || message.answers.iter().filter(|r| r.dns_class == DNSClass::IN && r.name == *name);
            let addresses: Vec<IpAddr> =
                records().filter(|r| r.record_type() == self.kind).filter_map(|r| r.data.ip_addr()).collect();
            if !addresses.is_empty() {
                return Answer::Addresses(addresses);
            }
            let alias = records().find_map(|r| match &r.data {
                RData::CNAME(alias) => Some(&alias.0),
                _ => None,
            });
            match alias {
                Some(alias) => name = alias,
                None if message.metadata.response_code == ResponseCode::NXDomain => {
                    return Answer::NoSuchName;
                }
                None if *name == self.name => return Answer::NoData,
                None => return Answer::Alias(name.clone()),
            }
        }
        Answer::AliasLoop
    }
}

/// A name from its text, fully qualified; `None` if it has an empty or an overlong label.
pub(crate) fn name_from(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let mut name = Name::from_labels(text.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    (!text.split('.').any(str::is_empty)).then_some(name)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, CNAME};
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question { id: 7, name: name_from("www.example").unwrap(), kind: RecordType::A }
    }

    fn response(fill: impl FnOnce(&mut Message)) -> Vec<u8> {
        let q = question();
        let mut message = Message::new(q.id, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(q.name, q.kind));
        fill(&mut message);
        message.to_vec().unwrap()
    }

    fn a(name: &str, ip: [u8; 4]) -> Record {
        Record::from_rdata(name_from(name).unwrap(), 60, RData::A(A::from(std::net::Ipv4Addr::from(ip))))
    }

    fn cname(name: &str, to: &str) -> Record {
        Record::from_rdata(name_from(name).unwrap(), 60, RData::CNAME(CNAME(name_from(to).unwrap())))
    }

    #[test]
    fn follows_a_chain_of_aliases_in_any_order() {
        let bytes = response(|m| {
            m.add_answer(a("c.example", [1, 2, 3, 4]));
            m.add_answer(cname("b.example", "c.example"));
            m.add_answer(cname("WWW.example", "b.example"));
        });
        let expected = Answer::Addresses(vec!["1.2.3.4".parse().unwrap()]);
        assert_eq!(question().judge(&bytes), Verdict::Answer(expected));
    }

    #[test]
    fn asks_on_where_the_chain_ends_without_an_address() {
        let bytes = response(|m| {
            m.add_answer(cname("www.example", "elsewhere.example"));
        });
        let expected = Answer::Alias(name_from("elsewhere.example").unwrap());
        assert_eq!(question().judge(&bytes), Verdict::Answer(expected));
    }

    #[test]
    fn does_not_believe_records_of_other_names() {
        let bytes = response(|m| {
            m.add_answer(a("evil.example", [6, 6, 6, 6]));
        });
        assert_eq!(question().judge(&bytes), Verdict::Answer(Answer::NoData));
    }

    #[test]
    fn notices_a_circle() {
        let bytes = response(|m| {
            m.add_answer(cname("www.example", "b.example"));
            m.add_answer(cname("b.example", "www.example"));
        });
        assert_eq!(question().judge(&bytes), Verdict::Answer(Answer::AliasLoop));
    }

    #[test]
    fn ignores_another_id_another_question_and_a_query() {
        let ours = response(|m| {
            m.add_answer(a("www.example", [1, 2, 3, 4]));
        });
        let mut other_id = ours.clone();
        other_id[1] ^= 1;
        assert_eq!(question().judge(&other_id), Verdict::NotOurs);
        let mut query = ours.clone();
        query[2] &= 0x7f;
        assert_eq!(question().judge(&query), Verdict::NotOurs);
        let other = Question { name: name_from("wwx.example").unwrap(), ..question() };
        assert_eq!(other.judge(&ours), Verdict::NotOurs);
        let other = Question { kind: RecordType::AAAA, ..question() };
        assert_eq!(other.judge(&ours), Verdict::NotOurs);
    }

    #[test]
    fn tells_failure_truncation_and_absence_apart() {
        let coded = |code| response(|m| m.metadata.response_code = code);
        let judge = |bytes: &[u8]| question().judge(bytes);
        assert_eq!(judge(&coded(ResponseCode::NXDomain)), Verdict::Answer(Answer::NoSuchName));
        assert_eq!(
            judge(&coded(ResponseCode::ServFail)),
            Verdict::Answer(Answer::Failure(ResponseCode::ServFail))
        );
        assert_eq!(judge(&coded(ResponseCode::NoError)), Verdict::Answer(Answer::NoData));
        assert_eq!(judge(&response(|m| m.metadata.truncation = true)), Verdict::Truncated);
    }

    #[test]
    fn refuses_names_with_empty_or_overlong_labels() {
        assert!(name_from("a..b").is_none());
        assert!(name_from("").is_none());
        assert!(name_from(&"x".repeat(64)).is_none());
        assert!(name_from(&["abcdefgh"; 40].join(".")).is_none());
        assert_eq!(name_from("a.b."), name_from("a.b"));
        assert!(name_from("_under.score").is_some());
    }

    proptest! {
        #[test]
        fn never_panics_on_any_datagram(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = question().judge(&bytes);
        }

        #[test]
        fn never_panics_on_a_damaged_answer(at in 0usize..80, with: u8) {
            let mut bytes = response(|m| {
                m.add_answer(cname("www.example", "b.example"));
                m.add_answer(a("b.example", [1, 2, 3, 4]));
            });
            if let Some(b) = bytes.get_mut(at) { *b = with; }
            let _ = question().judge(&bytes);
        }
    }
}
