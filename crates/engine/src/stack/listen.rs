//! The passive side: SYNs to listeners and services, the connections that become of them, and the reset for
//! segments that nobody wants. Connections that are half open are in `half_open`.
//!
//! When there is no room the manner is Linux's: with the accept queue full a SYN is dropped and the end of a
//! handshake ignored, so that the peer tries again; without room for another half-open connection a SYN is
//! answered with a cookie, of which nothing is kept. Each is counted.

use std::net::SocketAddr;
use std::sync::Arc;

use bypath_tcp::{CookieMode, Instant, Request, Segment, State, reset_for};
use bypath_wire::SeqNum;
use bypath_wire::ip::protocol;
use bypath_wire::tcp::TcpFlags;

use super::fast_open::FastOpened;
use super::tcp::Arrival;
use super::{Stack, StackEvent, any_of};
use crate::counters::{Cause, Tally};
use crate::flow::{App, Keeper};
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::packet::Egress;
use crate::service::About;
use crate::socket::end::socket_pair;
use crate::socket::listener::ListenerShared;
use crate::tap::meaning_of;
use crate::template::Template;

/// For how long after the last cookie acknowledgements are looked at for one: as long as it is good.
const COOKIES_COME_BACK_NS: u64 = 120_000_000_000;

/// Who takes the connections of a port.
#[derive(Clone)]
pub(super) enum Taker {
    Listener(Arc<ListenerShared>),
    Service,
}

/// What became of a handshake that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Open,
    /// The application does not accept as fast as connections come.
    QueueFull,
    /// No place for another flow.
    NoRoom,
}

impl Stack {
    pub(super) fn taker_of(&self, local: SocketAddr) -> Option<Taker> {
        let listener = self.listeners.get(&local).or_else(|| self.listeners.get(&any_of(local)));
        match listener {
            Some(listener) => Some(Taker::Listener(listener.clone())),
            None => self.service_ports.contains(&local.port()).then_some(Taker::Service),
        }
    }

    /// A segment that belongs to no connection (RFC 9293 sections 3.10.7.1 and 3.10.7.2). `successor`: the
    /// connection takes the place of one in TIME-WAIT, and begins at this number or beyond.
    pub(super) fn offer_to_listener<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        successor: Option<SeqNum>,
        egress: &mut E,
    ) {
        let segment = arrival.segment;
        let flags = segment.header.flags;
        let syn = flags.contains(TcpFlags::SYN) && !flags.intersects(TcpFlags::ACK | TcpFlags::RST);
        let (local, remote) = (key.local(), key.remote());
        if self.routes.is_local(remote.ip()) {
            // Nobody but a liar sends to us from our own address.
            return self.counters.count(Cause::NotOurs);
        }
        let Some(taker) = self.taker_of(local).filter(|_| syn) else {
            self.counters.count(Cause::NoListener);
            return self.refuse(now, key, segment, arrival.queue, egress);
        };
        if flags.contains(TcpFlags::FIN) {
            return self.counters.count(Cause::SynFin);
        }
        if let Taker::Listener(listener) = &taker
            && listener.is_full()
        {
            return self.counters.count(Cause::Backlog);
        }
        if self.flows.len() >= self.config.max_flows {
            return self.counters.count(Cause::FlowTable);
        }
        let pressed = self.config.tcp.syn_cookies == CookieMode::Always || self.half_open.is_full();
        let grant = match () {
            () if pressed => false,
            () => match self.take_fast_open(now, key, &taker, arrival, successor) {
                FastOpened::Yes => return,
                FastOpened::Grant => true,
                FastOpened::No => false,
            },
        };
        // A successor's numbers must lie beyond its predecessor's: no cookie can promise that.
        let always = self.config.tcp.syn_cookies == CookieMode::Always && successor.is_none();
        if !always && self.keep_half_open(now, key, &taker, arrival, (successor, grant), egress) {
            return;
        }
        if self.config.tcp.syn_cookies == CookieMode::Off || successor.is_some() {
            return self.counters.count(Cause::SynQueue);
        }
        self.answer_with_cookie(now, key, arrival, egress);
    }

    fn answer_with_cookie<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) {
        let ends = (key.local(), key.remote());
        let ts_offset = self.isn.timestamp_offset(ends.0, ends.1);
        let Some(config) = self.config_for(ends.1) else {
            return self.counters.count(Cause::Unreachable);
        };
        let answer = self.cookies.syn_ack(&config, now, ends, ts_offset, arrival.segment);
        if self.send_outside(now, ends, &answer, arrival.queue, egress) {
            self.cookies_until = now.plus_nanos(COOKIES_COME_BACK_NS);
            self.counters.tally(Tally::CookiesSent);
        }
    }

    /// An acknowledgement without a connection may complete a handshake of which only the peer has kept
    /// anything. `true`: it did, or would have, had there been room.
    pub(super) fn recall<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        arrival: &Arrival<'_, '_>,
        last_resort: bool,
        egress: &mut E,
    ) -> bool {
        let flags = arrival.segment.header.flags;
        let ack = flags & (TcpFlags::ACK | TcpFlags::SYN | TcpFlags::RST) == TcpFlags::ACK;
        if !ack || now > self.cookies_until || self.routes.is_local(key.remote().ip()) {
            return false;
        }
        let Some(taker) = self.taker_of(key.local()) else { return false };
        let ends = (key.local(), key.remote());
        let recalled = self.cookies.recall(&self.config.tcp, now, ends, arrival.segment);
        let Some(request) = recalled.filter(|r| !self.spent_cookies.is_spent(now, ends, r.iss())) else {
            if last_resort {
                self.counters.count(Cause::SynCookie);
            }
            return false;
        };
        match self.admit(now, key, &request, &taker, arrival, egress) {
            Admission::Open => {
                self.spent_cookies.spend(ends, request.iss(), now.plus_nanos(COOKIES_COME_BACK_NS));
                self.counters.tally(Tally::CookiesAccepted);
            }
            refused => self.overflow(now, key, refused, arrival, egress),
        }
        true
    }

    /// A complete handshake for which there is no room: counted, and reset only if the configuration says so.
    pub(super) fn overflow<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        refused: Admission,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) {
        self.counters.count(if refused == Admission::NoRoom { Cause::FlowTable } else { Cause::Backlog });
        if self.config.tcp.abort_on_overflow
            && let Some(reset) = reset_for(arrival.segment)
        {
            self.send_outside(now, (key.local(), key.remote()), &reset, arrival.queue, egress);
        }
    }

    /// Makes the connection whose handshake `arrival` completes, and gives it the segment.
    pub(super) fn admit<E: Egress>(
        &mut self,
        now: Instant,
        key: FlowKey,
        request: &Request,
        taker: &Taker,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) -> Admission {
        let (local, remote) = (key.local(), key.remote());
        let (Some(config), Some(route)) = (self.config_for(remote), self.routes.lookup(remote.ip())) else {
            return Admission::NoRoom;
        };
        if self.flows.len() >= self.config.max_flows {
            return Admission::NoRoom;
        }
        if let Taker::Listener(listener) = taker
            && !listener.reserve()
        {
            return Admission::QueueFull;
        }
        let mut conn = request.open(config, now, self.isn.timestamp_offset(local, remote));
        self.expect_path(now, &key, &mut conn);
        let (app, mut waiting) = match taker {
            Taker::Listener(listener) => {
                let receive = self.config.tcp.first_receive_buffer() as usize;
                let (end, socket) = socket_pair(self.port.clone(), receive, self.config.send_buffer);
                (App::Socket(end), Some((listener, socket)))
            }
            Taker::Service => (App::Service(self.service_end()), None),
        };
        let keeper = if waiting.is_some() { Keeper::Control } else { Keeper::Service };
        if keeper == Keeper::Control {
            // Before it can be closed again: its neighbour may be known not to answer.
            self.events.push_back(StackEvent::FlowAccepted(key));
        }
        let placed = self.place(now, key, conn, (app, keeper), route.next_hop, arrival.queue);
        if let Some(id) = placed {
            self.segment(now, id.index, arrival, egress);
            let open = self.flows.get_mut(id).is_some_and(|flow| flow.conn.state() != State::SynReceived);
            if open && let Some((listener, socket)) = waiting.take() {
                listener.offer(socket, local, remote);
            }
        } else if keeper == Keeper::Control {
            self.events.pop_back();
        }
        if let Some((listener, _)) = waiting {
            listener.cancel();
        }
        if placed.is_some() { Admission::Open } else { Admission::NoRoom }
    }

    /// Sockets and services learn that they are connected.
    pub(super) fn established(&mut self, now: Instant, index: u32) {
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(flow) = self.flows.at_mut(index) else { return };
        match &mut flow.app {
            App::Socket(end) => {
                end.shared.set_connected();
                if let Some(listener) = end.opening.take() {
                    listener.fast_opened();
                }
                self.learn_fast_open(now, index);
            }
            // It was told when the data of the SYN came.
            App::Service(end) if end.opening => {
                end.opening = false;
                self.service_opening -= 1;
            }
            App::Service(end) => {
                let mut abort = false;
                let about = About { id, key: &flow.key, now };
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
        if !self.may_answer(now) {
            return self.counters.count(Cause::RateLimited);
        }
        self.send_outside(now, (key.local(), key.remote()), &reset, queue, egress);
    }

    /// The settings of a connection to `remote`; `None` without a route.
    pub(super) fn config_for(&mut self, remote: SocketAddr) -> Option<Arc<bypath_tcp::Config>> {
        let mtu = self.routes.lookup(remote.ip())?.mtu;
        Some(self.config_towards(remote.ip(), mtu))
    }

    /// Sends a segment that belongs to no flow. `false`, and counted: it cannot be sent now.
    pub(super) fn send_outside<E: Egress>(
        &mut self,
        now: Instant,
        (local, remote): (SocketAddr, SocketAddr),
        segment: &bypath_tcp::TxSegment,
        queue: u16,
        egress: &mut E,
    ) -> bool {
        let mac = match self.routes.lookup(remote.ip()).map(|route| self.resolve(now, route.next_hop)) {
            Some(Resolution::Known(mac)) => mac,
            _ => {
                self.counters.count(Cause::Unreachable);
                return false;
            }
        };
        let mut template = Template::for_flow(self.config.medium, protocol::TCP, local, remote);
        template.set_hop_limit(self.config.tcp.hop_limit.max(1));
        template.set_link(self.config.mac, mac);
        egress.note(meaning_of(segment), self.counters.cause());
        let sent = super::transmit::send_bare(&template, (local, remote), segment, queue, egress);
        if sent {
            self.counters.segs_out += 1;
        } else {
            self.counters.count(Cause::NoRoom);
        }
        sent
    }
}
