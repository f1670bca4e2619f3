//! Arriving packets: link and network headers checked, then to ARP, Neighbor Discovery, ICMP, UDP or TCP.

use std::net::IpAddr;

use bypath_tcp::{Ecn, Instant};
use bypath_wire::arp::ArpPacket;
use bypath_wire::ethernet::{EtherType, EthernetHeader};
use bypath_wire::ip::{self, protocol};
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::{self, Ipv6Header};

use super::Stack;
use crate::counters::Cause;
use crate::flow_table::FlowKey;
use crate::packet::{Egress, RxPacket};
use crate::template::Medium;

/// What the network layer says of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    /// What routers have said of congestion.
    pub(super) ecn: Ecn,
    /// Sent to a group, by its IP or its link address: never answered (RFC 1122 section 3.2.2).
    pub(super) to_group: bool,
    /// Where the IP header lies in the packet.
    pub(super) network: usize,
    /// Where the payload lies, and its length.
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Whether the packet has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes, or dropped and counted.
    Done,
    /// It belongs to a flow that is not here; another worker may have it.
    Foreign(FlowKey),
    /// It told of a neighbour, or of a path: what other workers have to know as well, on whose queues it did not come.
    News,
}

/// ICMP messages about packets of ours, which may be another worker's.
const ICMPV4_ERRORS: [u8; 3] = [3, 11, 12];
/// The same, and Neighbor Discovery's questions and answers.
const ICMPV6_NEWS: [u8; 6] = [1, 2, 3, 4, 135, 136];

impl Stack {
    /// Takes a packet that came on the device's queue `queue`. With `last_resort`, a segment whose flow is not
    /// here is answered as RFC 9293 has it; without, it is [`Verdict::Foreign`].
    pub(crate) fn input<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        queue: u16,
        last_resort: bool,
        egress: &mut E,
    ) -> Verdict {
        if self.ordinary(now, packet, queue, egress) {
            return Verdict::Done;
        }
        let mut link_group = false;
        let (ethertype, network) = match self.config.medium {
            Medium::Ip => match ip::version(packet.head) {
                Ok(4) => (EtherType::IPV4, 0),
                Ok(6) => (EtherType::IPV6, 0),
                _ => return self.drop(Cause::Malformed),
            },
            Medium::Ethernet => match EthernetHeader::parse(packet.head) {
                Ok((header, n)) => {
                    if header.dst != self.config.mac && !header.dst.is_multicast() {
                        return self.drop(Cause::NotOurs);
                    }
                    link_group = header.dst.is_multicast();
                    (header.ethertype, n)
                }
                Err(_) => return self.drop(Cause::Malformed),
            },
        };
        let datagram = match ethertype {
            EtherType::IPV4 => self.ipv4(packet, network),
            EtherType::IPV6 => self.ipv6(packet, network),
            EtherType::ARP => {
                match packet.head.get(network..).map(ArpPacket::parse) {
                    Some(Ok(arp)) => self.on_arp(now, &arp, egress),
                    _ => return self.drop(Cause::Malformed),
                }
                return Verdict::News;
            }
            _ => Err(Cause::Protocol),
        };
        let mut datagram = match datagram {
            Ok(d) => d,
            Err(cause) => return self.drop(cause),
        };
        datagram.to_group |= link_group;
        match datagram.protocol {
            // RFC 9293 section 3.9.2.3, MUST-57: no connections with groups.
            protocol::TCP if datagram.to_group => self.drop(Cause::NotOurs),
            protocol::TCP => self.on_tcp(now, packet, &datagram, queue, last_resort, egress),
            protocol::UDP => {
                self.on_udp(now, packet, &datagram, egress);
                Verdict::Done
            }
            protocol::ICMP if datagram.src.is_ipv4() => {
                self.on_icmpv4(now, packet, &datagram, egress);
                news(packet, &datagram, &ICMPV4_ERRORS)
            }
            protocol::ICMPV6 if datagram.src.is_ipv6() => {
                self.on_icmpv6(now, packet, &datagram, egress);
                news(packet, &datagram, &ICMPV6_NEWS)
            }
            _ => self.drop(Cause::Protocol),
        }
    }

    /// Takes note of a packet that another worker has received, answered and counted: [`Verdict::News`].
    pub(crate) fn overhear<E: Egress>(&mut self, now: Instant, packet: &RxPacket<'_>, egress: &mut E) {
        let counted = self.counters;
        self.overhears = true;
        self.input(now, packet, 0, true, egress);
        self.overhears = false;
        self.counters = counted;
    }

    fn drop(&mut self, cause: Cause) -> Verdict {
        self.counters.count(cause);
        Verdict::Done
    }

    fn ipv4(&self, packet: &RxPacket<'_>, network: usize) -> Result<Datagram, Cause> {
        let bytes = packet.head.get(network..).ok_or(Cause::Malformed)?;
        let (header, n) =
            Ipv4Header::parse_head(bytes, packet.len() - network).map_err(|_| Cause::Malformed)?;
        if !ipv4::checksum_ok(bytes) {
            return Err(Cause::IpChecksum);
        }
        if header.is_fragment() {
            return Err(Cause::Fragment);
        }
        if header.may_be_source_routed() {
            // RFC 7126 sections 4.3 and 4.4. Other options are none of our business (RFC 9293 MUST-50).
            return Err(Cause::SourceRoute);
        }
        let src_bad = header.src.is_broadcast() || header.src.is_multicast() || header.src.is_unspecified();
        if src_bad || !self.routes.is_local(IpAddr::V4(header.dst)) {
            return Err(Cause::NotOurs);
        }
        Ok(Datagram {
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
            protocol: header.protocol,
            hop_limit: header.ttl,
            ecn: Ecn::from_bits(header.dscp_ecn),
            to_group: false,
            network,
            start: network + n,
            len: usize::from(header.total_len) - n,
        })
    }

    fn ipv6(&self, packet: &RxPacket<'_>, network: usize) -> Result<Datagram, Cause> {
        let bytes = packet.head.get(network..).ok_or(Cause::Malformed)?;
        let (header, n) =
            Ipv6Header::parse_head(bytes, packet.len() - network).map_err(|_| Cause::Malformed)?;
        let dst = IpAddr::V6(header.dst);
        if header.src.is_multicast() || !(self.routes.is_local(dst) || header.dst.is_multicast()) {
            return Err(Cause::NotOurs);
        }
        let payload_len = usize::from(header.payload_len);
        let payload = bytes.get(n..).unwrap_or_default();
        let payload = &payload[..payload.len().min(payload_len)];
        let upper = ipv6::upper_layer(header.next_header, payload).map_err(|_| Cause::Malformed)?;
        if upper.fragment.is_some_and(|f| f.offset != 0 || f.more) {
            return Err(Cause::Fragment);
        }
        if header.src.is_unspecified() && upper.protocol != protocol::ICMPV6 {
            // Only who looks for an address has none (RFC 4862 section 5.4.2).
            return Err(Cause::NotOurs);
        }
        let len = payload_len.checked_sub(upper.offset).ok_or(Cause::Malformed)?;
        Ok(Datagram {
            src: IpAddr::V6(header.src),
            dst,
            protocol: upper.protocol,
            hop_limit: header.hop_limit,
            ecn: Ecn::from_bits(header.traffic_class),
            to_group: header.dst.is_multicast(),
            network,
            start: network + n + upper.offset,
            len,
        })
    }
}

/// Whether an ICMP message is one of `types`, which concern all workers.
fn news(packet: &RxPacket<'_>, datagram: &Datagram, types: &[u8]) -> Verdict {
    match packet.head.get(datagram.start) {
        Some(found) if types.contains(found) => Verdict::News,
        _ => Verdict::Done,
    }
}
