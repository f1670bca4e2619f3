//! TCP Fast Open in the stack (RFC 7413): a client's SYN gets its cookie, a server checks it and hands the data of
//! the SYN to the application before the handshake is complete. A server does so only where its listener asks for
//! it, and for so many at once (RFC 7413 sections 2 and 5.1: data may come twice, and its sender's address is only
//! as good as the cookie).

use std::net::IpAddr;
use std::sync::Arc;

use bypath_tcp::{Connection, FastOpenCookie, Instant, MetricsCache, Received, State};
use bypath_wire::SeqNum;

use super::listen::Taker;
use super::tcp::Arrival;
use super::{Stack, StackEvent};
use crate::counters::Tally;
use crate::destinations::FastOpenTry;
use crate::flow::{App, Keeper};
use crate::flow_table::FlowKey;
use crate::socket::end::socket_pair;
use crate::socket::listener::ListenerShared;

/// What a SYN with the option comes to.
pub(super) enum FastOpened {
    /// The connection is there, with its data.
    Yes,
    /// The handshake goes its usual way, and grants a cookie.
    Grant,
    /// The handshake goes its usual way.
    No,
}

impl Stack {
    /// A connection for whose application speed counts: its SYN carries a cookie and data, or asks for a cookie.
    pub(super) fn offer_fast_open(&mut self, now: Instant, key: &FlowKey, conn: &mut Connection) {
        if !self.config.tcp.fast_open {
            return;
        }
        if let FastOpenTry::Yes(known) = self.destinations.fast_open(now, key.remote().ip()) {
            let (cookie, mss) = known.unzip();
            conn.offer_fast_open(cookie, mss);
        }
    }

    /// The handshake of a connection that we opened is complete: what it says of the server is remembered.
    pub(super) fn learn_fast_open(&mut self, now: Instant, index: u32) {
        let Some(flow) = self.flows.at(index) else { return };
        let report = flow.conn.fast_open();
        if !report.offered {
            return;
        }
        if report.sent > 0 {
            let taken = report.acknowledged == report.sent;
            self.counters.tally(if taken { Tally::FastOpenSent } else { Tally::FastOpenFallback });
        }
        let (ip, mss) = (flow.remote().ip(), flow.conn.peer_mss());
        self.destinations.learn_fast_open(now, ip, &report, mss);
    }

    /// What a connection that is over has seen of its path.
    pub(super) fn learn_path(&mut self, now: Instant, key: &FlowKey, conn: &Connection) {
        if self.config.tcp.metrics != MetricsCache::Off
            && let Some(seen) = conn.path_metrics()
        {
            self.destinations.learn(now, key.remote().ip(), seen);
        }
    }

    /// What earlier connections have seen of it.
    pub(super) fn expect_path(&mut self, now: Instant, key: &FlowKey, conn: &mut Connection) {
        if let Some(known) = self.destinations.metrics(now, key.remote().ip()) {
            conn.expect_path(known);
        }
    }

    /// The cookie of a client.
    pub(super) fn fast_open_cookie(&self, now: Instant, key: &FlowKey) -> FastOpenCookie {
        self.fast_open_keys.cookie(now, key.remote().ip())
    }

    /// A SYN at a listener that may have the option.
    pub(super) fn take_fast_open(
        &mut self,
        now: Instant,
        key: FlowKey,
        taker: &Taker,
        arrival: &Arrival<'_, '_>,
        successor: Option<SeqNum>,
    ) -> FastOpened {
        let Some(cookie) = &arrival.segment.options.fast_open else { return FastOpened::No };
        if !self.fast_open_is_on(taker) {
            return FastOpened::No;
        }
        if cookie.is_empty() {
            return FastOpened::Grant;
        }
        if cookie.len() < 4 || !cookie.len().is_multiple_of(2) {
            // RFC 7413 section 4.1.1: no cookie has such a length, and the option is as if it were not there.
            return FastOpened::No;
        }
        if !self.fast_open_keys.is_valid(now, key.remote().ip(), cookie) {
            self.counters.tally(Tally::FastOpenBadCookie);
            return FastOpened::Grant;
        }
        let opened = match taker {
            Taker::Listener(listener) if listener.may_fast_open() => {
                let opened = self.open_fast(now, key, listener, arrival, successor);
                if !opened {
                    listener.fast_opened();
                }
                opened
            }
            Taker::Service if self.service_opening < self.service.fast_open() => {
                self.open_fast_for_service(now, key, arrival, successor)
            }
            Taker::Listener(_) | Taker::Service => {
                // As RFC 7413 section 5.1 has it: whoever has many cookies and no acknowledgements is held off.
                self.counters.tally(Tally::FastOpenLimit);
                false
            }
        };
        if !opened {
            return FastOpened::No;
        }
        self.counters.tally(Tally::FastOpenTaken);
        FastOpened::Yes
    }

    fn fast_open_is_on(&self, taker: &Taker) -> bool {
        match taker {
            Taker::Listener(listener) => listener.fast_open_is_on(),
            Taker::Service => self.service.fast_open() > 0,
        }
    }

    /// The connection that the SYN opens, with its data taken; and its way. `None`: there is no way.
    fn connection_with_data(
        &mut self,
        now: Instant,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        successor: Option<SeqNum>,
    ) -> Option<(Connection, Received, IpAddr)> {
        let (local, remote) = (key.local(), key.remote());
        let (config, route) = (self.config_for(remote)?, self.routes.lookup(remote.ip())?);
        let mut iss = self.isn.initial_sequence(now, local, remote);
        if let Some(least) = successor {
            iss = iss.later(least);
        }
        let ts_offset = self.isn.timestamp_offset(local, remote);
        let mut conn = Connection::accept(config, now, iss, ts_offset, arrival.segment);
        self.expect_path(now, &key, &mut conn);
        let received = conn.take_syn_data(arrival.segment);
        Some((conn, received, route.next_hop))
    }

    fn open_fast(
        &mut self,
        now: Instant,
        key: FlowKey,
        listener: &Arc<ListenerShared>,
        arrival: &Arrival<'_, '_>,
        successor: Option<SeqNum>,
    ) -> bool {
        if !listener.reserve() {
            return false;
        }
        let Some((conn, received, next_hop)) = self.connection_with_data(now, key, arrival, successor) else {
            listener.cancel();
            return false;
        };
        let receive = self.config.tcp.first_receive_buffer() as usize;
        let (mut end, socket) = socket_pair(self.port.clone(), receive, self.config.send_buffer);
        end.opening = Some(listener.clone());
        // Before it can be closed again: its neighbour may be known not to answer.
        self.events.push_back(StackEvent::FlowAccepted(key));
        let app = (App::Socket(end), Keeper::Control);
        let Some(id) = self.place(now, key, conn, app, next_hop, arrival.queue) else {
            self.events.pop_back();
            listener.cancel();
            return false;
        };
        if let Some(flow) = self.flows.get_mut(id)
            && let App::Socket(end) = &mut flow.app
        {
            end.shared.set_connected();
        }
        self.place_payload(now, id.index, &received, arrival.packet, arrival.payload);
        listener.offer(socket, key.local(), key.remote());
        self.mark_dirty(id.index);
        true
    }

    /// The same for the worker's service, which is told that the connection is open, and then of its data.
    fn open_fast_for_service(
        &mut self,
        now: Instant,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        successor: Option<SeqNum>,
    ) -> bool {
        let Some((conn, received, next_hop)) = self.connection_with_data(now, key, arrival, successor) else {
            return false;
        };
        let app = (App::Service(self.service_end()), Keeper::Service);
        let Some(id) = self.place(now, key, conn, app, next_hop, arrival.queue) else { return false };
        self.established(now, id.index);
        // From here on it counts, until its handshake is complete.
        if let Some(flow) = self.flows.get_mut(id)
            && flow.conn.state() == State::SynReceived
            && let App::Service(end) = &mut flow.app
        {
            end.opening = true;
            self.service_opening += 1;
            self.place_payload(now, id.index, &received, arrival.packet, arrival.payload);
            self.mark_dirty(id.index);
        }
        true
    }
}
