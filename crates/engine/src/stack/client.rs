//! What a service does of its own accord: it is woken, opens connections, uses those that it has, and is told of
//! the segments that were acknowledged.

use std::net::{IpAddr, SocketAddr};

use bypath_tcp::{Connection, Instant, Segment, TxSegment};

use super::Stack;
use crate::account::Phase;
use crate::desk::{ConnectError, Desk, Surroundings};
use crate::flow::{App, Keeper, ServiceEnd};
use crate::flow_table::FlowKey;
use crate::segment_log::SegmentLog;
use crate::service::{About, NoService, ServiceConnection};
use crate::slab::FlowId;
use crate::source::SendQueue;

/// What became of a service's wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// It was called.
    Yes,
    /// It was called and says that it is done.
    Done,
}

impl Stack {
    /// When the service wants to be called.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        if self.woken { self.service.next_wake() } else { Some(Instant::ZERO) }
    }

    /// Whether that is now.
    pub(crate) fn is_wake_due(&self, now: Instant) -> bool {
        self.next_wake().is_some_and(|at| at.is_due(now))
    }

    /// Calls the service.
    pub(crate) fn wake(&mut self, now: Instant, worker: &Surroundings<'_>) -> Woken {
        self.woken = true;
        let before = self.account.enter(Phase::Application);
        // Nothing that a desk offers calls the service: what comes of it waits for the round's end.
        let mut service = std::mem::replace(&mut self.service, Box::new(NoService));
        let mut desk = Desk::new(self, now, worker);
        service.on_wake(&mut desk);
        let done = desk.has_stopped();
        self.service = service;
        self.account.back(before);
        if done { Woken::Done } else { Woken::Yes }
    }

    /// What a new connection of the service has.
    pub(super) fn service_end(&self) -> Box<ServiceEnd> {
        Box::new(ServiceEnd {
            queue: SendQueue::new(self.config.send_buffer),
            reassembly: None,
            unread: 0,
            opening: false,
            abort: false,
            log: self.config.observe_segments.then(SegmentLog::default),
        })
    }

    /// Opens a connection of the service's.
    pub(crate) fn connect_client(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Result<FlowId, ConnectError> {
        let route = self.routes.lookup(remote.ip()).ok_or(ConnectError::NoRoute)?;
        let source = local.unwrap_or(route.source);
        if source.is_ipv4() != remote.is_ipv4() || (local.is_some() && !self.routes.is_local(source)) {
            return Err(ConnectError::NotLocal);
        }
        if self.flows.len() >= self.config.max_flows {
            return Err(ConnectError::TooManyConnections);
        }
        let mut ports = std::mem::take(&mut self.client_ports);
        let (me, workers) = self.config.worker;
        let at = |port| SocketAddr::new(source, port);
        let owned = |port| {
            workers <= 1
                || FlowKey::new(at(port), remote).is_some_and(|key| self.home_of(&key, workers) == me)
        };
        let taken = ports.take(now, source, remote, owned, |port| self.may_connect(now, at(port), remote));
        self.client_ports = ports;
        let taken = taken.ok_or(ConnectError::PortsExhausted)?;
        let local = at(taken.port);
        let key = FlowKey::new(local, remote).ok_or(ConnectError::NotLocal)?;
        let mut iss = self.isn.initial_sequence(now, local, remote);
        for least in [taken.beyond, self.follow(now, &key)].into_iter().flatten() {
            iss = iss.later(least);
        }
        let ts_offset = self.isn.timestamp_offset(local, remote);
        let config = self.config_towards(remote.ip(), route.mtu);
        let mut conn = Connection::connect(config, now, iss, ts_offset);
        self.expect_path(now, &key, &mut conn);
        let app = App::Service(self.service_end());
        let placed = self.place(now, key, conn, (app, Keeper::Client), route.next_hop, 0);
        placed.ok_or_else(|| {
            self.client_ports.give_back(now, local, remote, iss);
            ConnectError::TooManyConnections
        })
    }

    /// A connection of the service's, for it to use outside of a call about it.
    pub(crate) fn service_connection(&mut self, now: Instant, id: FlowId) -> Option<ServiceConnection<'_>> {
        self.flows.id_at(id.index).filter(|known| *known == id)?;
        self.wake_flow(id.index);
        self.mark_dirty(id.index);
        let flow = self.flows.get_mut(id)?;
        let App::Service(end) = &mut flow.app else { return None };
        let about = About { id, key: &flow.key, now };
        Some(about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut end.abort))
    }

    /// Tells the service of the segments that `segment` acknowledges.
    pub(super) fn tell_acknowledged(&mut self, now: Instant, index: u32, segment: &Segment<'_>) {
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(flow) = self.flows.at_mut(index) else { return };
        let App::Service(end) = &mut flow.app else { return };
        let Some(log) = &mut end.log else { return };
        let samples = &mut self.samples;
        samples.clear();
        log.acknowledge(flow.conn.acknowledged(), now, samples);
        for block in &segment.options.sack {
            if let (Some(from), Some(to)) =
                (flow.conn.offset_of(block.left), flow.conn.offset_of(block.right))
            {
                log.acknowledge_range(from..to, now, samples);
            }
        }
        if samples.is_empty() {
            return;
        }
        let about = About { id, key: &flow.key, now };
        let mut connection =
            about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut end.abort);
        let before = self.account.enter(Phase::Application);
        self.service.on_segments_acked(&mut connection, &self.samples);
        self.account.back(before);
    }

    /// What was sent since the last time goes to the device now.
    pub(crate) fn stamp(&mut self, now: Instant) {
        for index in self.unstamped.drain(..) {
            if let Some(flow) = self.flows.at_mut(index)
                && let App::Service(end) = &mut flow.app
                && let Some(log) = &mut end.log
            {
                log.stamp(now);
            }
        }
    }

    /// Whether [`Stack::stamp`] has something to do.
    pub(crate) fn has_unstamped(&self) -> bool {
        !self.unstamped.is_empty()
    }
}

/// Whether what is sent is to be noted.
pub(super) fn is_logged(app: &App) -> bool {
    matches!(app, App::Service(end) if end.log.is_some())
}

/// Takes note of a data segment that was handed to the device. `true`: the flow has to be stamped.
pub(super) fn note_sent(app: &mut App, segment: &TxSegment) -> bool {
    let App::Service(end) = app else { return false };
    let Some(log) = &mut end.log else { return false };
    if segment.retransmission {
        log.send_again(segment.offset, segment.len);
        false
    } else {
        log.send(segment.offset, segment.len)
    }
}
