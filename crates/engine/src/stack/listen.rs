//! The passive side: SYNs to listeners and services, the connections that become of them, and the reset for
//! segments that nobody wants.

use bypath_tcp::{Connection, Instant, Segment, reset_for};
use bypath_wire::ip::protocol;
use bypath_wire::tcp::TcpFlags;

use super::{Stack, StackEvent, any_of};
use crate::counters::Cause;
use crate::flow::{App, ServiceEnd};
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::packet::Egress;
use crate::service::About;
use crate::socket::end::socket_pair;
use crate::source::SendQueue;
use crate::template::Template;

impl Stack {
    /// A segment that belongs to no flow (RFC 9293 sections 3.10.7.1 and 3.10.7.2).
    pub(super) fn offer_to_listener<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        segment: &Segment<'_>,
        queue: u16,
        egress: &mut E,
    ) {
        let flags = segment.header.flags;
        let syn = flags.contains(TcpFlags::SYN) && !flags.intersects(TcpFlags::ACK | TcpFlags::RST);
        let (local, remote) = (key.local(), key.remote());
        if self.routes.is_local(remote.ip()) {
            // Nobody but a liar sends to us from our own address.
            return self.counters.count(Cause::NotOurs);
        }
        let serves = self.service_ports.contains(&local.port());
        let listener = self.listeners.get(&local).or_else(|| self.listeners.get(&any_of(local))).cloned();
        if !syn || (listener.is_none() && !serves) {
            self.counters.count(Cause::NoListener);
            return self.refuse(now, key, segment, queue, egress);
        }
        let Some(route) = self.routes.lookup(remote.ip()) else {
            return self.counters.count(Cause::Unreachable);
        };
        let app = match listener {
            Some(listener) => {
                if !listener.may_open() {
                    return self.counters.count(Cause::Backlog);
                }
                App::Pending(listener)
            }
            None => App::Service(Box::new(ServiceEnd {
                queue: SendQueue::new(self.config.send_buffer),
                reassembly: None,
                unread: 0,
            })),
        };
        let config = self.config_for(remote.ip(), route.mtu);
        let iss = self.isn.initial_sequence(now, local, remote);
        let ts_offset = self.isn.timestamp_offset(local, remote);
        let conn = Connection::accept(config, now, iss, ts_offset, segment);
        // Before it can be closed again: its neighbour may be known not to answer.
        self.events.push_back(StackEvent::FlowAccepted(key));
        if self.place(now, key, conn, app, route.next_hop, queue).is_none() {
            self.events.pop_back();
            self.counters.count(Cause::FlowTable);
        }
    }

    /// A passive connection gets its socket; sockets and services learn that they are connected.
    pub(super) fn established<E: Egress>(&mut self, now: Instant, index: u32, egress: &mut E) {
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(flow) = self.flows.at_mut(index) else { return };
        let (local, remote) = (flow.local(), flow.remote());
        match &mut flow.app {
            App::Pending(listener) => {
                let listener = listener.clone();
                let (end, socket) = socket_pair(
                    self.port.clone(),
                    self.config.tcp.receive_buffer as usize,
                    self.config.send_buffer,
                );
                end.shared.bind(id);
                end.shared.set_connected();
                flow.app = App::Socket(end);
                listener.opened();
                if !listener.offer(socket, local, remote) {
                    // The application does not keep up: the peer learns at once, not by a timeout.
                    self.counters.count(Cause::Backlog);
                    if let Some(reset) = flow.conn.abort(now) {
                        let template = flow.template.clone();
                        super::transmit::send_bare(&template, (local, remote), &reset, flow.queue, egress);
                    }
                }
            }
            App::Socket(end) => end.shared.set_connected(),
            App::Service(end) => {
                let mut abort = false;
                let about = About { id, local, remote, now };
                let mut connection =
                    about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut abort);
                self.service.on_open(&mut connection);
                if abort {
                    self.abort_flow(now, index);
                }
            }
        }
    }

    /// RST for a segment that nobody wants.
    fn refuse<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        segment: &Segment<'_>,
        queue: u16,
        egress: &mut E,
    ) {
        let Some(reset) = reset_for(segment) else { return };
        let (local, remote) = (key.local(), key.remote());
        if !self.may_answer(now) {
            return self.counters.count(Cause::RateLimited);
        }
        let Some(route) = self.routes.lookup(remote.ip()) else { return };
        let Resolution::Known(mac) = self.resolve(now, route.next_hop) else {
            return self.counters.count(Cause::Unreachable);
        };
        let mut template = Template::for_flow(self.config.medium, protocol::TCP, local, remote);
        template.set_hop_limit(self.config.tcp.hop_limit.max(1));
        template.set_link(self.config.mac, mac);
        super::transmit::send_bare(&template, (local, remote), &reset, queue, egress);
    }
}
