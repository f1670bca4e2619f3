//! What sockets ask of the stack: open, listen, and the wishes of those that exist.

use std::net::SocketAddr;
use std::sync::Arc;

use bypath_tcp::{CloseReason, Connection, Instant, State};

use super::{Stack, StackEvent};
use crate::counters::Cause;
use crate::flow::{App, Keeper, SocketEnd};
use crate::flow_table::FlowKey;
use crate::slab::FlowId;
use crate::socket::listener::ListenerShared;
use crate::socket::shared::wish;
use crate::socket::udp::UdpShared;

impl Stack {
    /// Opens a connection for a socket. What goes wrong, the socket learns.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        end: SocketEnd,
    ) -> Option<FlowId> {
        let route = self.routes.lookup(remote.ip());
        let Some(key) = FlowKey::new(local, remote) else {
            end.shared.set_closed(CloseReason::Unreachable);
            return None;
        };
        let Some(route) = route else {
            end.shared.set_closed(CloseReason::Unreachable);
            self.events.push_back(StackEvent::FlowClosed(key));
            return None;
        };
        let config = self.config_towards(remote.ip(), route.mtu);
        let mut iss = self.isn.initial_sequence(now, local, remote);
        if let Some(least) = self.follow(now, &key) {
            iss = iss.later(least);
        } else if self.is_resting(&key) {
            // A segment came since its port was chosen: what is left must rest on.
            end.shared.set_closed(CloseReason::Aborted);
            self.events.push_back(StackEvent::FlowClosed(key));
            return None;
        }
        let ts_offset = self.isn.timestamp_offset(local, remote);
        let mut conn = Connection::connect(config, now, iss, ts_offset);
        self.expect_path(now, &key, &mut conn);
        if end.fast_open {
            self.offer_fast_open(now, &key, &mut conn);
        }
        let placed = self.place(now, key, conn, (App::Socket(end), Keeper::Control), route.next_hop, 0);
        if placed.is_none() {
            self.counters.count(Cause::FlowTable);
            self.events.push_back(StackEvent::FlowClosed(key));
        }
        placed
    }

    /// Connections to `local` go to `listener`, unless they go to another one already: a passive open changes
    /// nothing that is there (RFC 9293 MUST-41).
    pub(crate) fn listen(&mut self, local: SocketAddr, listener: Arc<ListenerShared>) -> bool {
        let free = !self.listeners.contains_key(&local);
        if free {
            self.listeners.insert(local, listener);
        }
        free
    }

    /// No more connections to `local`.
    pub(crate) fn unlisten(&mut self, local: SocketAddr) {
        self.drop_half_open(local);
        self.listeners.remove(&local);
    }

    /// Datagrams to `local` go to `socket`.
    pub(crate) fn bind_udp(&mut self, local: SocketAddr, socket: Arc<UdpShared>) {
        self.udp.insert(local, socket);
    }

    /// No more datagrams to `local`.
    pub(crate) fn unbind_udp(&mut self, local: SocketAddr) {
        self.udp.remove(&local);
    }

    /// Does what sockets have asked for since the last time.
    pub(crate) fn take_wishes(&mut self, now: Instant) {
        while let Some(id) = self.port.touched.pop() {
            self.grant(now, id);
        }
    }

    /// A socket on this thread has written: its connection learns where the write ends.
    pub(crate) fn take_written(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id)
            && let App::Socket(end) = &flow.app
        {
            flow.conn.set_queued(end.outgoing.head() + end.outgoing.len() as u64);
        }
    }

    fn grant(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        let App::Socket(end) = &mut flow.app else { return };
        let wishes = end.shared.take_wishes();
        if wishes & wish::NODELAY_ON != 0 {
            flow.conn.set_nodelay(true);
        }
        if wishes & wish::NODELAY_OFF != 0 {
            flow.conn.set_nodelay(false);
        }
        if wishes & wish::OPTIONS != 0 {
            end.shared.options.apply(&mut flow.conn, &mut flow.template);
        }
        if wishes & wish::URGENT != 0 {
            flow.conn.set_queued(end.outgoing.head() + end.outgoing.len() as u64);
            flow.conn.set_urgent(end.shared.urgent_out());
        }
        if wishes & wish::ABORT != 0 {
            return self.abort_flow(now, id.index);
        }
        if wishes & (wish::CLOSE | wish::DROP) != 0 {
            // Everything written before is still sent.
            flow.conn.set_queued(end.outgoing.head() + end.outgoing.len() as u64);
            flow.conn.close(now);
        }
        if wishes & wish::DROP != 0 {
            flow.conn.orphan(now);
        }
        self.mark_dirty(id.index);
    }

    /// Flows that their application has closed and the peer has not: they are worth waiting for.
    pub(crate) fn closing_flows(&self) -> usize {
        let closing =
            |state| matches!(state, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck);
        self.flows.iter().filter(|(_, flow)| closing(flow.conn.state())).count()
    }

    /// Every flow is reset, every socket told: the engine stops, or the link is gone for good.
    pub(crate) fn abort_all(&mut self, now: Instant) {
        self.wake_all_flows();
        for index in self.flows.indices() {
            self.abort_flow(now, index);
        }
        self.end_all_rest();
    }

    /// The interface's MTU has changed: new connections use it, and those that exist shrink to it.
    pub(crate) fn set_mtu(&mut self, mtu: u32) {
        let shrinks = mtu < self.config.mtu;
        self.config.mtu = mtu;
        if !shrinks {
            return;
        }
        self.wake_all_flows();
        for index in self.flows.indices() {
            let Some(flow) = self.flows.at(index) else { continue };
            let remote = flow.remote().ip();
            let route_mtu = self.routes.lookup(remote).and_then(|route| route.mtu);
            let mss = self.mss_for(remote, route_mtu);
            if let Some(flow) = self.flows.at_mut(index) {
                flow.conn.limit_mss(mss);
            }
            self.mark_dirty(index);
        }
    }
}
