//! ICMP for both families: echo answered, errors told to the connection that they quote (RFC 1122 section
//! 3.2.2, RFC 5927), and errors of our own for UDP ports where nobody listens.

use std::net::{IpAddr, SocketAddr};

use bypath_tcp::{Ecn, Events, Instant};
use bypath_wire::SeqNum;
use bypath_wire::icmpv4::{self, Icmpv4};
use bypath_wire::icmpv6::{self, Icmpv6};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::ipv6::Ipv6Header;

use super::Stack;
use super::ingress::Datagram;
use crate::counters::Cause;
use crate::flow::App;
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::packet::{Egress, RxPacket};
use crate::socket::options::Report;
use crate::template::Template;

/// What an error says of the path.
enum Trouble {
    /// Nobody is there, or not now; hard errors end an opening connection.
    Unreachable { hard: bool, report: Report },
    /// Packets may be this long, 0 from a router that does not say.
    TooBig { mtu: u32 },
}

const TIME_EXCEEDED: Trouble = Trouble::Unreachable { hard: false, report: Report::TimeExceeded };
const PARAMETER_PROBLEM: Trouble = Trouble::Unreachable { hard: false, report: Report::ParameterProblem };

/// RFC 9293 section 3.9.2.2: codes 0, 1 and 5 may pass by themselves, 2 and 3 will not. Of the later ones those that
/// are about networks and hosts are like 0 and 1 (RFC 1122 section 3.2.2.1), those that forbid are final.
fn unreachable_v4(code: u8) -> Trouble {
    let (hard, report) = match code {
        icmpv4::unreachable::NETWORK | 6 | 8 | 11 => (false, Report::NetworkUnreachable),
        icmpv4::unreachable::PROTOCOL => (true, Report::ProtocolUnreachable),
        icmpv4::unreachable::PORT => (true, Report::PortUnreachable),
        5 => (false, Report::SourceRouteFailed),
        9 | 10 | icmpv4::unreachable::PROHIBITED => (true, Report::Prohibited),
        _ => (false, Report::HostUnreachable),
    };
    Trouble::Unreachable { hard, report }
}

/// As [`unreachable_v4`]; codes 0 and 3 may pass (RFC 5461 section 2).
fn unreachable_v6(code: u8) -> Trouble {
    let (hard, report) = match code {
        icmpv6::unreachable::NO_ROUTE => (false, Report::NetworkUnreachable),
        icmpv6::unreachable::PORT => (true, Report::PortUnreachable),
        icmpv6::unreachable::ADDRESS => (false, Report::HostUnreachable),
        _ => (true, Report::Prohibited),
    };
    Trouble::Unreachable { hard, report }
}

/// An MTU below this is not believed (RFC 1191 section 3 has 68; hosts agree on more).
const MIN_IPV4_MTU: u32 = 552;
const MIN_IPV6_MTU: u32 = 1280;

impl Stack {
    pub(super) fn on_icmpv4<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        datagram: &Datagram,
        egress: &mut E,
    ) {
        let Some(bytes) = packet.head.get(datagram.start..datagram.start + datagram.len) else {
            return self.counters.count(Cause::Malformed);
        };
        if !icmpv4::checksum_ok(bytes) {
            return self.counters.count(Cause::TransportChecksum);
        }
        match Icmpv4::parse(bytes) {
            Ok(Icmpv4::EchoRequest { id, sequence, data }) if !datagram.to_group => {
                let reply = Icmpv4::EchoReply { id, sequence, data };
                let len = reply.encoded_len();
                self.answer(now, datagram, protocol::ICMP, len, egress, |out| {
                    reply.emit(out);
                });
            }
            Ok(Icmpv4::DestinationUnreachable { code, next_hop_mtu, original }) => {
                let trouble = if code == icmpv4::unreachable::FRAGMENTATION_NEEDED {
                    Trouble::TooBig { mtu: u32::from(next_hop_mtu) }
                } else {
                    unreachable_v4(code)
                };
                self.quoted_v4(now, original, &trouble);
            }
            Ok(Icmpv4::TimeExceeded { original, .. }) => self.quoted_v4(now, original, &TIME_EXCEEDED),
            Ok(Icmpv4::ParameterProblem { original, .. }) => {
                self.quoted_v4(now, original, &PARAMETER_PROBLEM);
            }
            // Source quench among them: RFC 9293 MUST-55, RFC 6633.
            Ok(_) => {}
            Err(_) => self.counters.count(Cause::Malformed),
        }
    }

    pub(super) fn on_icmpv6<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        datagram: &Datagram,
        egress: &mut E,
    ) {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (datagram.src, datagram.dst) else { return };
        let Some(bytes) = packet.head.get(datagram.start..datagram.start + datagram.len) else {
            return self.counters.count(Cause::Malformed);
        };
        if !icmpv6::checksum_ok(src, dst, bytes) {
            return self.counters.count(Cause::TransportChecksum);
        }
        match Icmpv6::parse(bytes) {
            Ok(Icmpv6::EchoRequest { id, sequence, data }) if !dst.is_multicast() => {
                let reply = Icmpv6::EchoReply { id, sequence, data };
                let len = reply.encoded_len();
                self.answer(now, datagram, protocol::ICMPV6, len, egress, |out| {
                    reply.emit(dst, src, out);
                });
            }
            Ok(Icmpv6::Ndp(message)) => {
                self.on_ndp(now, (src, dst, datagram.hop_limit), &message, egress);
            }
            Ok(Icmpv6::DestinationUnreachable { code, original }) => {
                self.quoted_v6(now, original, &unreachable_v6(code));
            }
            Ok(Icmpv6::TimeExceeded { original, .. }) => self.quoted_v6(now, original, &TIME_EXCEEDED),
            Ok(Icmpv6::ParameterProblem { original, .. }) => {
                self.quoted_v6(now, original, &PARAMETER_PROBLEM);
            }
            Ok(Icmpv6::PacketTooBig { mtu, original }) => {
                self.quoted_v6(now, original, &Trouble::TooBig { mtu });
            }
            Ok(_) => {}
            Err(_) => self.counters.count(Cause::Malformed),
        }
    }

    fn quoted_v4(&mut self, now: Instant, original: &[u8], trouble: &Trouble) {
        let Ok((header, n)) = Ipv4Header::parse_head(original, usize::from(u16::MAX)) else {
            return self.counters.count(Cause::Malformed);
        };
        let Some(segment) = original.get(n..) else { return };
        if header.protocol == protocol::TCP {
            self.quoted_tcp(now, (IpAddr::V4(header.src), IpAddr::V4(header.dst)), segment, trouble);
        } else if header.protocol == protocol::UDP {
            self.quoted_udp((IpAddr::V4(header.src), IpAddr::V4(header.dst)), segment, trouble);
        }
    }

    fn quoted_v6(&mut self, now: Instant, original: &[u8], trouble: &Trouble) {
        let Ok((header, n)) = Ipv6Header::parse_head(original, usize::from(u16::MAX) + 40) else {
            return self.counters.count(Cause::Malformed);
        };
        let Some(segment) = original.get(n..) else { return };
        let ends = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
        if header.next_header == protocol::TCP {
            self.quoted_tcp(now, ends, segment, trouble);
        } else if header.next_header == protocol::UDP {
            self.quoted_udp(ends, segment, trouble);
        }
    }

    /// An error about a segment of ours: eight bytes of it are enough to know the flow and the place in it.
    fn quoted_tcp(&mut self, now: Instant, (src, dst): (IpAddr, IpAddr), segment: &[u8], trouble: &Trouble) {
        let Some(head) = segment.first_chunk::<8>() else { return };
        let local = SocketAddr::new(src, u16::from_be_bytes([head[0], head[1]]));
        let remote = SocketAddr::new(dst, u16::from_be_bytes([head[2], head[3]]));
        let seq = SeqNum(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
        let Some(key) = FlowKey::new(local, remote) else { return };
        let found = self.table.find(&key);
        if let Some(index) = found {
            self.wake_flow(index);
        }
        let Some(flow) = found.and_then(|index| self.flows.at_mut(index).map(|flow| (index, flow))) else {
            if let Trouble::Unreachable { hard: true, .. } = trouble {
                self.half_open_unreachable(&key, seq);
            }
            return;
        };
        let (index, flow) = flow;
        match *trouble {
            Trouble::Unreachable { hard, report } => {
                if let (true, App::Socket(end)) = (flow.conn.concerns(seq), &flow.app) {
                    end.shared.options.report(report);
                }
                if flow.conn.on_unreachable(seq, hard) {
                    let mut events = Events::none();
                    events.insert(Events::CLOSED);
                    self.after_connection(now, index, events);
                }
            }
            Trouble::TooBig { mtu } => {
                if dst.is_ipv6() && mtu < MIN_IPV6_MTU {
                    // RFC 8201 section 4: no link of IPv6 is that narrow.
                    return self.counters.count(Cause::IcmpRefused);
                }
                let (least, headers) = if dst.is_ipv4() { (MIN_IPV4_MTU, 40) } else { (MIN_IPV6_MTU, 60) };
                let mss = u16::try_from(mtu.max(least) - headers).unwrap_or(u16::MAX);
                if flow.conn.on_path_mtu(now, seq, mss) {
                    self.mark_dirty(index);
                } else {
                    self.counters.count(Cause::IcmpRefused);
                }
            }
        }
    }

    fn quoted_udp(&mut self, (src, dst): (IpAddr, IpAddr), segment: &[u8], trouble: &Trouble) {
        let Some(head) = segment.first_chunk::<4>() else { return };
        let local = SocketAddr::new(src, u16::from_be_bytes([head[0], head[1]]));
        let remote = SocketAddr::new(dst, u16::from_be_bytes([head[2], head[3]]));
        if let (Trouble::Unreachable { report: Report::PortUnreachable, .. }, Some(socket)) =
            (trouble, self.udp.get(&local).or_else(|| self.udp.get(&super::any_of(local))))
        {
            socket.refused(remote);
        }
    }

    /// RFC 1122 section 4.1.3.1.
    pub(super) fn port_unreachable<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        datagram: &Datagram,
        egress: &mut E,
    ) {
        if datagram.to_group {
            return;
        }
        if !self.may_answer(now) {
            return self.counters.count(Cause::RateLimited);
        }
        let quoted = packet.head.get(datagram.network..).unwrap_or_default();
        match (datagram.src, datagram.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let original = &quoted[..quoted.len().min(548)];
                let error = Icmpv4::DestinationUnreachable {
                    code: icmpv4::unreachable::PORT,
                    next_hop_mtu: 0,
                    original,
                };
                let len = error.encoded_len();
                self.answer(now, datagram, protocol::ICMP, len, egress, |out| {
                    error.emit(out);
                });
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let original = &quoted[..quoted.len().min(1_200)];
                let error = Icmpv6::DestinationUnreachable { code: icmpv6::unreachable::PORT, original };
                let len = error.encoded_len();
                self.answer(now, datagram, protocol::ICMPV6, len, egress, |out| {
                    error.emit(dst, src, out);
                });
            }
            _ => {}
        }
    }

    /// Sends `len` bytes of `protocol` back to where `datagram` came from.
    fn answer<E: Egress>(
        &mut self,
        now: Instant,
        datagram: &Datagram,
        protocol: u8,
        len: usize,
        egress: &mut E,
        build: impl FnOnce(&mut [u8]),
    ) {
        let Some(route) = self.routes.lookup(datagram.src) else {
            return self.counters.count(Cause::Unreachable);
        };
        let Resolution::Known(mac) = self.resolve(now, route.next_hop) else {
            return self.counters.count(Cause::Unreachable);
        };
        let mut template = Template::new(self.config.medium, protocol, datagram.dst, datagram.src);
        template.set_link(self.config.mac, mac);
        self.datagram_id = self.datagram_id.wrapping_add(1);
        let id = self.datagram_id;
        let sent = egress.send(template.len() + len, 0, |out| {
            template.write(out.head, len, id, Ecn::NotEct);
            if let Some(rest) = out.head.get_mut(template.len()..) {
                build(rest);
            }
        });
        if !sent {
            self.counters.count(Cause::NoRoom);
        }
    }
}
