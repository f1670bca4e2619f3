//! Ordinary packets of flows that are here: what nearly all packets are, from the device's frame to the application in
//! one go. Whatever is not ordinary, at whatever point that turns out, takes the long way from there, which does the
//! same.

use std::net::{IpAddr, Ipv4Addr};

use bypath_tcp::{Ecn, Events, Instant, Received, Segment};
use bypath_wire::ordinary::Ordinary;
use bypath_wire::tcp::TcpOptions;

use super::Stack;
use super::tcp::Arrival;
use crate::account::Phase;
use crate::flow::App;
use crate::flow_table::FlowKey;
use crate::packet::{Egress, NO_FLOW, RxPacket};
use crate::service::About;
use crate::template::Medium;

impl Stack {
    /// Takes a packet if it is ordinary and belongs to a flow that is here. `false`: nothing was done.
    #[inline]
    pub(super) fn ordinary<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        queue: u16,
        egress: &mut E,
    ) -> bool {
        if self.config.medium != Medium::Ethernet || !packet.rest.is_empty() {
            return false;
        }
        let Some(read) = Ordinary::parse(packet.head, self.config.mac) else { return false };
        let key = FlowKey::V4 {
            addrs: read.addresses.rotate_left(32),
            ports: u32::from(read.header.dst_port) << 16 | u32::from(read.header.src_port),
        };
        let local = IpAddr::V4(Ipv4Addr::from_bits(read.addresses as u32));
        if !self.routes.is_local(local) || !read.is_intact(packet.head) {
            return false;
        }
        let before = self.account.enter(Phase::LookUp);
        // What nobody has foreseen may follow on what came before it.
        let guess = if packet.flow == NO_FLOW { self.recent } else { packet.flow };
        let foreseen = self.flows.at(guess).is_some_and(|flow| flow.key == key).then_some(guess);
        let Some(index) = foreseen.or_else(|| self.table.find(&key)) else {
            self.account.back(before);
            return false;
        };
        let _ = self.account.enter(Phase::Tcp);
        self.recent = index;
        self.counters.segs_in += 1;
        self.wake_flow(index);
        let options = TcpOptions { timestamps: read.timestamps, ..TcpOptions::default() };
        let segment = Segment::new(&read.header, &options, read.payload_len() as u32)
            .with_ecn(Ecn::from_bits(read.dscp_ecn));
        let arrival = Arrival { segment: &segment, packet, payload: read.payload, queue };
        let Some(flow) = self.flows.at_mut(index) else { return true };
        flow.queue = queue;
        let expected = flow.conn.rcv_nxt();
        if read.header.seq != expected || self.config.observe_segments {
            self.segment(now, index, &arrival, egress);
            return true;
        }
        let mut received = Received::default();
        flow.conn.take_segment(now, &segment, &mut received);
        if received.is_plain() && !flow.conn.has_holes() && flow.held.reassembly == 0 {
            let payload = packet.head.get(read.payload..read.end).unwrap_or_default();
            if self.settle_plain(now, index, &received, payload) {
                return true;
            }
        }
        self.settle(now, index, &arrival, expected, &received, egress);
        true
    }

    /// What a segment has changed of a service's connection to which nothing unusual happens. `false`: it is not one,
    /// nothing was done.
    #[inline]
    fn settle_plain(&mut self, now: Instant, index: u32, received: &Received, payload: &[u8]) -> bool {
        let Some((id, flow)) = self.flows.entry_mut(index) else { return false };
        let App::Service(end) = &mut flow.app else { return false };
        if end.reassembly.is_some() || received.deliver as usize != payload.len() {
            return false;
        }
        if now >= flow.confirm_at && (received.deliver > 0 || !received.events.is_empty()) {
            self.neighbors.confirm(now.as_nanos(), flow.next_hop);
            flow.confirm_at = now.plus_nanos(super::tcp::CONFIRM_NS);
        }
        if !flow.dirty {
            flow.dirty = true;
            self.dirty.push(index);
        }
        let before = self.account.enter(Phase::Application);
        let about = About { id, key: &flow.key, now };
        let mut abort = false;
        if !payload.is_empty() {
            let mut connection =
                about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut abort);
            self.service.on_data(&mut connection, payload);
            flow.conn.on_read(now, end.unread);
            flow.conn.set_receive_space(flow.conn.receive_buffer().saturating_sub(end.unread));
            if abort {
                self.account.back(before);
                self.abort_flow(now, index);
                self.after_connection(now, index, received.events);
                return true;
            }
        }
        if received.events.contains(Events::ACKNOWLEDGED) {
            end.queue.release(flow.conn.acknowledged());
            let mut connection =
                about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut abort);
            self.service.on_acknowledged(&mut connection);
        }
        self.account.back(before);
        if abort {
            self.abort_flow(now, index);
        }
        true
    }
}
