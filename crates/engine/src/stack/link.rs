//! Link addresses: ARP and Neighbor Discovery answered and asked, and what waits for an answer.

use std::net::{IpAddr, Ipv6Addr};

use bypath_tcp::{Ecn, Events, Instant};
use bypath_wire::arp::{self, ArpPacket};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::protocol;
use bypath_wire::ndp::Ndp;

use super::{Stack, StackEvent};
use crate::counters::Cause;
use crate::flow::Link;
use crate::neighbor::discovery::{self, NdpMessage, Question};
use crate::neighbor::{NeighborEvent, Resolution};
use crate::packet::{Egress, PacketList};
use crate::template::{Medium, Template};

/// Datagrams that wait for link addresses, at most; more push out the oldest.
const MAX_WAITING_DATAGRAMS: usize = 64;

/// Bytes of an Ethernet frame without its check sequence.
const MIN_FRAME: usize = 60;

/// What stands in for the link address where there is no link layer.
const NO_LINK: MacAddr = MacAddr::UNSPECIFIED;

impl Stack {
    /// The link address of `next_hop`; asks for it if it is not known.
    pub(super) fn resolve(&mut self, now: Instant, next_hop: IpAddr) -> Resolution {
        if self.config.medium == Medium::Ip {
            return Resolution::Known(NO_LINK);
        }
        let answer = self.neighbors.resolve(now.as_nanos(), next_hop);
        if answer == Resolution::Pending && self.config.kernel_neighbors {
            let event = StackEvent::NeedNeighbor(next_hop);
            if !self.events.contains(&event) {
                self.events.push_back(event);
            }
        }
        answer
    }

    /// The peer of a flow is silent: its neighbour may have another link address by now.
    pub(super) fn check_link(&mut self, now: Instant, index: u32) {
        let Some(Link::Ready) = self.flows.at(index).map(|flow| flow.link) else { return };
        let Some(next_hop) = self.flows.at(index).map(|flow| flow.next_hop) else { return };
        if let Resolution::Known(mac) = self.resolve(now, next_hop)
            && let Some(flow) = self.flows.at_mut(index)
        {
            flow.template.set_link(self.config.mac, mac);
        }
    }

    pub(super) fn on_arp<E: Egress>(&mut self, now: Instant, packet: &ArpPacket, egress: &mut E) {
        let routes = &self.routes;
        let outcome =
            discovery::handle_arp(&mut self.neighbors, now.as_nanos(), packet, self.config.mac, |ip| {
                routes.is_local(IpAddr::V4(ip))
            });
        if let Some(reply) = outcome.reply.filter(|_| !self.overhears) {
            self.send_arp(&reply, reply.target_mac, egress);
        }
        if let Some(ip) = outcome.resolved {
            self.neighbor_resolved(now, IpAddr::V4(ip), egress);
        }
    }

    pub(super) fn on_ndp<E: Egress>(
        &mut self,
        now: Instant,
        (src, dst, hop_limit): (Ipv6Addr, Ipv6Addr, u8),
        message: &Ndp,
        egress: &mut E,
    ) {
        let routes = &self.routes;
        let outcome = discovery::handle_ndp(
            &mut self.neighbors,
            now.as_nanos(),
            (src, dst, hop_limit),
            message,
            self.config.mac,
            |ip| routes.is_local(IpAddr::V6(ip)),
        );
        if outcome.invalid {
            self.counters.count(Cause::Malformed);
        }
        if let Some(mut reply) = outcome.reply.filter(|_| !self.overhears) {
            if reply.dst_mac == MacAddr::UNSPECIFIED
                && let Resolution::Known(mac) = self.resolve(now, IpAddr::V6(reply.dst))
            {
                reply.dst_mac = mac;
            }
            if reply.dst_mac == MacAddr::UNSPECIFIED {
                self.counters.count(Cause::Unreachable);
            } else {
                self.send_ndp(&reply, egress);
            }
        }
        if let Some(ip) = outcome.resolved {
            self.neighbor_resolved(now, IpAddr::V6(ip), egress);
        }
    }

    fn send_arp<E: Egress>(&mut self, packet: &ArpPacket, dst: MacAddr, egress: &mut E) {
        let header = EthernetHeader {
            dst,
            src: self.config.mac,
            ethertype: EtherType::ARP,
            ..EthernetHeader::default()
        };
        let sent = egress.send(MIN_FRAME, 0, |out| {
            out.head.fill(0);
            let n = header.emit(out.head);
            if let Some(rest) = out.head.get_mut(n..n + arp::PACKET_LEN) {
                packet.emit(rest);
            }
        });
        if !sent {
            self.counters.count(Cause::NoRoom);
        }
    }

    fn send_ndp<E: Egress>(&mut self, ndp: &NdpMessage, egress: &mut E) {
        let message = Icmpv6::Ndp(ndp.message.clone());
        let mut template =
            Template::new(self.config.medium, protocol::ICMPV6, IpAddr::V6(ndp.src), IpAddr::V6(ndp.dst));
        template.set_link(self.config.mac, ndp.dst_mac);
        template.set_hop_limit(255);
        let len = message.encoded_len();
        let sent = egress.send(template.len() + len, 0, |out| {
            template.write(out.head, len, 0, Ecn::NotEct);
            if let Some(rest) = out.head.get_mut(template.len()..) {
                message.emit(ndp.src, ndp.dst, rest);
            }
        });
        if !sent {
            self.counters.count(Cause::NoRoom);
        }
    }

    /// Asks what is to be asked now, and gives up what was asked in vain.
    pub(super) fn poll_neighbors<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        let due = self.neighbors.next_deadline().is_some_and(|at| at <= now.as_nanos());
        if !due {
            return;
        }
        let mut found = Vec::new();
        self.neighbors.poll(now.as_nanos(), &mut |event| found.push(event));
        for event in found {
            match event {
                NeighborEvent::Ask { target, .. } if self.config.kernel_neighbors => {
                    self.events.push_back(StackEvent::NeedNeighbor(target));
                }
                NeighborEvent::Ask { target, unicast } => {
                    let Some(route) = self.routes.lookup(target) else { continue };
                    match discovery::question(self.config.mac, route.source, target, unicast) {
                        Some(Question::Arp { dst_mac, packet }) => self.send_arp(&packet, dst_mac, egress),
                        Some(Question::Ndp(message)) => self.send_ndp(&message, egress),
                        None => {}
                    }
                }
                NeighborEvent::Unreachable(ip) => self.neighbor_failed(now, ip),
            }
        }
    }

    /// The kernel has told of a neighbour.
    pub(crate) fn learn_from_kernel<E: Egress>(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: MacAddr,
        permanent: bool,
        egress: &mut E,
    ) {
        self.neighbors.learn_from_kernel(now.as_nanos(), ip, mac, permanent);
        self.neighbor_resolved(now, ip, egress);
    }

    /// The kernel has given up on a neighbour.
    pub(crate) fn neighbor_gone(&mut self, now: Instant, ip: IpAddr) {
        if self.neighbors.forget(ip) {
            self.neighbor_failed(now, ip);
        }
    }

    /// What waited for `ip` goes out. Flows that were sending to an older address of it are moved too.
    fn neighbor_resolved<E: Egress>(&mut self, now: Instant, ip: IpAddr, egress: &mut E) {
        let Resolution::Known(mac) = self.neighbors.resolve(now.as_nanos(), ip) else { return };
        for id in self.waiting_flows.remove(&ip).unwrap_or_default() {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.template.set_link(self.config.mac, mac);
                flow.link = Link::Ready;
                self.mark_dirty(id.index);
            }
        }
        self.link_of_half_open(now, ip, Some(egress));
        let mut kept = std::collections::VecDeque::new();
        for (next_hop, datagram) in std::mem::take(&mut self.waiting_datagrams) {
            if next_hop == ip {
                self.emit_datagram(mac, datagram.local, datagram.remote, &datagram.payload, egress);
            } else {
                kept.push_back((next_hop, datagram));
            }
        }
        self.waiting_datagrams = kept;
    }

    fn neighbor_failed(&mut self, now: Instant, ip: IpAddr) {
        self.link_of_half_open::<PacketList>(now, ip, None);
        for id in self.waiting_flows.remove(&ip).unwrap_or_default() {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            self.counters.count(Cause::Unreachable);
            let seq = flow.conn.snd_nxt();
            // A flow waits only before its first packet: it is opening, or was given up meanwhile, and then
            // its reset has nowhere to go.
            flow.conn.on_unreachable(seq, true);
            flow.pending_reset = None;
            let mut events = Events::none();
            events.insert(Events::CLOSED);
            self.after_connection(now, id.index, events);
        }
        let before = self.waiting_datagrams.len();
        self.waiting_datagrams.retain(|(next_hop, _)| *next_hop != ip);
        for _ in self.waiting_datagrams.len()..before {
            self.counters.count(Cause::Unreachable);
        }
    }

    /// The link is down, and may be another one when it comes back: neighbours are asked for anew.
    pub(crate) fn link_down(&mut self, now: Instant) {
        self.neighbors.clear();
        let mut waiting: Vec<IpAddr> = self.waiting_flows.keys().copied().collect();
        waiting.extend(self.waiting_datagrams.iter().map(|(next_hop, _)| *next_hop));
        for next_hop in waiting {
            self.resolve(now, next_hop);
        }
    }

    /// Keeps a datagram until the link address of `next_hop` is known.
    pub(super) fn keep_datagram(
        &mut self,
        next_hop: IpAddr,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        payload: &[u8],
    ) {
        if self.waiting_datagrams.len() >= MAX_WAITING_DATAGRAMS {
            self.waiting_datagrams.pop_front();
            self.counters.count(Cause::Unreachable);
        }
        let waiting = super::WaitingDatagram { local, remote, payload: payload.to_vec() };
        self.waiting_datagrams.push_back((next_hop, waiting));
    }
}
