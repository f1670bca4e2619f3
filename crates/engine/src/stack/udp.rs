//! UDP (RFC 768, RFC 1122 section 4.1): datagrams to and from sockets.

use std::net::SocketAddr;

use bypath_tcp::{Ecn, Instant};
use bypath_wire::checksum::pseudo_header;
use bypath_wire::ethernet::MacAddr;
use bypath_wire::ip::protocol;
use bypath_wire::udp::{self, UdpHeader};

use super::Stack;
use super::ingress::Datagram;
use crate::counters::Cause;
use crate::neighbor::Resolution;
use crate::packet::{Egress, RxPacket};
use crate::template::Template;

impl Stack {
    pub(super) fn on_udp<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        datagram: &Datagram,
        egress: &mut E,
    ) {
        let mut head = [0u8; udp::HEADER_LEN];
        let pieces = packet.range(datagram.start, udp::HEADER_LEN);
        let have: usize = pieces.iter().map(|p| p.len()).sum();
        if have < udp::HEADER_LEN || pieces.len() != 1 {
            return self.counters.count(Cause::Malformed);
        }
        head.copy_from_slice(pieces[0]);
        let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if len < udp::HEADER_LEN || len > datagram.len {
            return self.counters.count(Cause::Malformed);
        }
        let src_port = u16::from_be_bytes([head[0], head[1]]);
        let dst_port = u16::from_be_bytes([head[2], head[3]]);
        let unchecked = head[6] == 0 && head[7] == 0 && datagram.src.is_ipv4();
        if !unchecked {
            let sum = pseudo_header(datagram.src, datagram.dst, protocol::UDP, len as u32)
                .add(packet.sum(datagram.start, len));
            if !sum.is_valid() {
                return self.counters.count(Cause::TransportChecksum);
            }
        }
        let local = SocketAddr::new(datagram.dst, dst_port);
        if self.service_udp.contains(&dst_port) {
            let payload = packet.range(datagram.start + udp::HEADER_LEN, len - udp::HEADER_LEN);
            let remote = SocketAddr::new(datagram.src, src_port);
            return self.tell_service(now, local, remote, &payload, egress);
        }
        let Some(socket) = self.udp.get(&local).or_else(|| self.udp.get(&super::any_of(local))) else {
            self.counters.count(Cause::NoSocket);
            return self.port_unreachable(now, packet, datagram, egress);
        };
        let payload = packet.range(datagram.start + udp::HEADER_LEN, len - udp::HEADER_LEN);
        if !socket.deliver(SocketAddr::new(datagram.src, src_port), &payload) {
            self.counters.count(Cause::UdpQueue);
        }
    }

    /// A datagram for the worker's service, and its answer.
    fn tell_service<E: Egress>(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[&[u8]],
        egress: &mut E,
    ) {
        let mut reply = std::mem::take(&mut self.reply);
        reply.clear();
        if self.service.on_datagram(local, remote, payload, &mut reply) {
            self.send_datagram(now, local, remote, &reply, egress);
        }
        self.reply = reply;
    }

    /// Sends what the application gave to its UDP sockets.
    pub(crate) fn send_datagrams<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        let sockets: Vec<_> = self.udp.iter().map(|(local, s)| (*local, s.clone())).collect();
        for (local, socket) in sockets {
            while let Some((remote, payload)) = socket.next_to_send() {
                self.send_datagram(now, local, remote, &payload, egress);
            }
        }
    }

    fn send_datagram<E: Egress>(
        &mut self,
        now: Instant,
        mut local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
        egress: &mut E,
    ) {
        let Some(route) = self.routes.lookup(remote.ip()) else {
            return self.counters.count(Cause::Unreachable);
        };
        if local.ip().is_unspecified() {
            local.set_ip(route.source);
        }
        if local.is_ipv4() != remote.is_ipv4() {
            return self.counters.count(Cause::Unreachable);
        }
        match self.resolve(now, route.next_hop) {
            Resolution::Known(mac) => self.emit_datagram(mac, local, remote, payload, egress),
            Resolution::Pending => self.keep_datagram(route.next_hop, local, remote, payload),
            Resolution::Unreachable => self.counters.count(Cause::Unreachable),
        }
    }

    pub(super) fn emit_datagram<E: Egress>(
        &mut self,
        mac: MacAddr,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
        egress: &mut E,
    ) {
        let mut template = Template::for_flow(self.config.medium, protocol::UDP, local, remote);
        template.set_link(self.config.mac, mac);
        let len = udp::HEADER_LEN + payload.len();
        if template.ip_len() + len > self.config.mtu as usize {
            return self.counters.count(Cause::TooLong);
        }
        self.datagram_id = self.datagram_id.wrapping_add(1);
        let id = self.datagram_id;
        let sent = egress.send(template.len() + len, 0, |out| {
            template.write(out.head, len, id, Ecn::NotEct);
            let at = template.len();
            let sum = out.fill(at + udp::HEADER_LEN, &[payload]);
            let mut header =
                UdpHeader { src_port: local.port(), dst_port: remote.port(), len: len as u16, checksum: 0 };
            if let Some(head) = out.head.get_mut(at..at + udp::HEADER_LEN) {
                header.emit(head);
                let all =
                    template.pseudo.add_u16(len as u16).add(bypath_wire::checksum::Sum::of(head)).add(sum);
                header.checksum = udp::stored_checksum(all.finish());
                header.emit(head);
            }
        });
        if !sent {
            self.counters.count(Cause::NoRoom);
        }
    }
}
