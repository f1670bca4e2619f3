//! Packets that are none of TCP: look-ups, neighbours, errors, and the frames that set a PPP link up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hashbrown::HashMap;

use crate::app::{Message, Said, dns::Data, of_datagram};
use crate::conversation::packets::Packet;
use crate::layers::{Arp, Dissection, Link, Network, Transport, dissect};
use crate::{Direction, LinkType, Record};

use super::sentences as say;

/// Look-ups and names that are remembered.
const MOST: usize = 4_096;

/// Records of an answer that are told.
const MOST_RECORDS: usize = 4;

/// What look-ups have told.
#[derive(Default)]
pub(super) struct LookUps {
    /// By who asked whom with which number: the packet, and when.
    asked: HashMap<(SocketAddr, SocketAddr, u16), (u64, i64)>,
    /// Names by the addresses that were given for them, and the packet that did.
    names: HashMap<IpAddr, (String, u64)>,
    pub(super) count: u64,
}

impl LookUps {
    /// The name that was looked up for an address, and the packet that gave it.
    pub(super) fn name(&self, address: IpAddr) -> Option<&(String, u64)> {
        self.names.get(&address)
    }

    fn message(
        &mut self,
        message: &Message<'_>,
        ends: (SocketAddr, SocketAddr),
        number: u64,
        time: i64,
    ) -> String {
        if !message.is_answer() {
            if self.asked.len() >= MOST {
                self.asked.clear();
            }
            self.asked.insert((ends.0, ends.1, message.id()), (number, time));
            self.count += 1;
            let questions: Vec<_> = message
                .questions()
                .take(MOST_RECORDS)
                .map(|q| (q.name.to_string(), q.kind.to_string()))
                .collect();
            return say::looks_up(&questions);
        }
        let asked = self.asked.remove(&(ends.1, ends.0, message.id()));
        let asked = asked.map(|(packet, then)| (packet, time.saturating_sub(then)));
        let mut told = Vec::new();
        let question = message.questions().next().map(|q| q.name.to_string());
        let mut more = 0;
        for record in message.answers() {
            let address: Option<IpAddr> = match record.data {
                Data::A(address) => Some(address.into()),
                Data::Aaaa(address) => Some(address.into()),
                _ => None,
            };
            if let Some(address) = address {
                if self.names.len() >= MOST {
                    self.names.clear();
                }
                // What was asked for says more than the name that its alias led to.
                let name = question.clone().unwrap_or_else(|| record.name.to_string());
                self.names.insert(address, (name, number));
            }
            if told.len() < MOST_RECORDS {
                let (name, kind) = (record.name.to_string(), record.kind.to_string());
                told.push(say::record_is(&name, &kind, &record.data.to_string()));
            } else {
                more += 1;
            }
        }
        if more > 0 {
            told.push(say::more_records(more));
        }
        let answer = match (message.result(), told.is_empty()) {
            (0, true) => say::no_such_record(),
            (0, false) => told.join("; "),
            (result, _) => say::no_such_name(message.result_name().unwrap_or(&result.to_string())),
        };
        say::look_up_answered(asked, &answer)
    }
}

/// Who sends to whom, and what the packet says.
pub(super) struct Other {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
}

/// Tells a packet that is no TCP segment.
pub(super) fn tell(packet: &Packet<'_>, look_ups: &mut LookUps, record: &Record<'_>) -> Other {
    match packet {
        Packet::Plain(packet, _) => plain(packet, look_ups, record),
        Packet::Negotiation(protocol, message, direction) => {
            between(*direction, say::negotiates(protocol, message))
        }
        Packet::Frame(protocol, direction) => between(*direction, say::ppp_frame(protocol)),
        Packet::Tossed(why, direction) => between(*direction, say::tossed(why)),
    }
}

fn between(direction: Option<Direction>, text: String) -> Other {
    let (from, to) = match direction {
        Some(Direction::Out) => (say::THIS_END, say::OTHER_END),
        Some(Direction::In) => (say::OTHER_END, say::THIS_END),
        None => (say::SOME_END, say::OTHER_END),
    };
    Other { from: from.to_owned(), to: to.to_owned(), text }
}

fn plain(packet: &Dissection<'_>, look_ups: &mut LookUps, record: &Record<'_>) -> Other {
    let (from, to) = match (packet.network.addresses(), &packet.network) {
        (Some((from, to)), _) => (from.to_string(), to.to_string()),
        (None, Network::Arp(arp)) => {
            let to = alone(packet, arp).map_or("*".to_owned(), mac);
            (mac(arp.sender_hardware), to)
        }
        (None, _) => ("?".to_owned(), "?".to_owned()),
    };
    let text = match &packet.network {
        Network::Arp(arp) => arp_text(arp, alone(packet, arp).is_none()),
        Network::Other { ethertype } => say::other_frame(*ethertype),
        Network::None if packet.link == Link::Unknown && !packet.truncated => {
            say::unknown_link(record.link.0)
        }
        Network::Cut { .. } | Network::None => say::unreadable(),
        Network::Ipv4(_) | Network::Ipv6(_) => transport(packet, look_ups, record.number, record.time.0),
    };
    Other { from, to, text }
}

fn transport(packet: &Dissection<'_>, look_ups: &mut LookUps, number: u64, time: i64) -> String {
    match &packet.transport {
        Transport::Udp(udp) => {
            let said = of_datagram(udp.source, udp.destination, packet.payload);
            match (said, packet.network.addresses()) {
                (Some(Said::Dns(message)), Some((from, to))) => {
                    let ends = (SocketAddr::new(from, udp.source), SocketAddr::new(to, udp.destination));
                    look_ups.message(&message, ends, number, time)
                }
                _ => {
                    let cut = match &packet.network {
                        Network::Ipv4(ip) => ip.more_fragments,
                        Network::Ipv6(ip) => ip.fragment.is_some_and(|(_, more)| more),
                        _ => false,
                    };
                    // Of a datagram in fragments only its own header says how long it is.
                    let len = udp.len.checked_sub(8).filter(|_| cut).map(u64::from);
                    let len = len.unwrap_or(packet.payload_len as u64);
                    say::udp(len, udp.source, udp.destination, cut)
                }
            }
        }
        Transport::Icmpv4(icmp) => {
            let quoted = quoted(packet.payload.get(4..).unwrap_or_default());
            let report = |what: &str| say::unreachable(what, quoted.as_deref());
            match (icmp.kind, icmp.code) {
                (0, _) => say::echo(true),
                (8, _) => say::echo(false),
                (3, 0 | 5 | 6 | 11) => report(say::NO_NETWORK),
                (3, 3) => report(say::NO_PORT),
                (3, 4) => report(say::TOO_BIG),
                (3, 9 | 10 | 13) => report(say::FORBIDDEN),
                (3, _) => report(say::NO_HOST),
                (5, _) => report(say::REDIRECT),
                (11, _) => report(say::EXPIRED),
                (12, _) => report(say::BAD_PACKET),
                (4, _) => report(say::SLOWER),
                (9, _) => say::is_router(),
                (10, _) => say::asks_router(),
                (13, _) => say::asks_time(),
                (14, _) => say::tells_time(),
                (17, _) => say::asks_mask(),
                (18, _) => say::tells_mask(),
                (kind, _) => say::other_icmp("ICMP", kind),
            }
        }
        Transport::Icmpv6(icmp) => {
            let quoted = quoted(packet.payload.get(4..).unwrap_or_default());
            let report = |what: &str| say::unreachable(what, quoted.as_deref());
            match (icmp.kind, icmp.code) {
                (128, _) => say::echo(false),
                (129, _) => say::echo(true),
                (1, 0) => report(say::NO_NETWORK),
                (1, 1 | 5) => report(say::FORBIDDEN),
                (1, 4) => report(say::NO_PORT),
                (1, _) => report(say::NO_HOST),
                (2, _) => report(say::TOO_BIG),
                (3, _) => report(say::EXPIRED),
                (4, _) => report(say::BAD_PACKET),
                (133, _) => say::asks_router(),
                (134, _) => say::is_router(),
                (135, _) => say::asks_neighbour(),
                (136, _) => say::answers_neighbour(),
                (137, _) => report(say::REDIRECT),
                (130, _) => say::asks_listeners(),
                (131 | 143, _) => say::listens(),
                (132, _) => say::listens_no_more(),
                (kind, _) => say::other_icmp("ICMPv6", kind),
            }
        }
        Transport::Fragment { offset, .. } => say::fragment(*offset),
        Transport::Cut { .. } | Transport::None => say::unreadable(),
        Transport::Other { protocol } => say::other_protocol(*protocol),
        // Segments are told by their conversation.
        Transport::Tcp(_) => say::other_protocol(6),
    }
}

/// The packet that an ICMP error is about: its ends.
fn quoted(bytes: &[u8]) -> Option<String> {
    let packet = dissect(LinkType::RAW, bytes);
    let (from, to) = packet.network.addresses()?;
    Some(match packet.ports() {
        Some((source, destination)) => {
            format!("{} > {}", SocketAddr::new(from, source), SocketAddr::new(to, destination))
        }
        None => format!("{from} > {to}"),
    })
}

/// The one host that an ARP packet goes to, where it does not go to all.
fn alone<'a>(packet: &'a Dissection<'_>, arp: &'a Arp<'_>) -> Option<&'a [u8]> {
    let to = match &packet.link {
        Link::Ethernet { destination, .. } => destination,
        // Other headers do not name it; who is answered is told.
        _ => arp.target_hardware,
    };
    // The lowest bit of the first byte marks addresses of groups, all ones among them.
    let is_one = to.first().is_some_and(|first| first & 1 == 0) && to.iter().any(|&byte| byte != 0);
    is_one.then_some(to)
}

fn arp_text(arp: &Arp<'_>, to_all: bool) -> String {
    let address =
        |bytes: &[u8]| bytes.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |b| Ipv4Addr::from(*b));
    let (sender, target) = (address(arp.sender_protocol), address(arp.target_protocol));
    match arp.operation {
        1 if sender == target => say::announces(&sender),
        1 => say::who_has(&target, to_all),
        2 => say::is_at(&sender, &mac(arp.sender_hardware)),
        _ => say::unreadable(),
    }
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
