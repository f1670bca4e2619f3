//! TCP segments to their connections, and what comes of it: payload goes to `deliver`, strangers to `listen`,
//! events to the socket or service, and a connection that is over leaves its place.

use std::net::SocketAddr;
use std::sync::Arc;

use bypath_tcp::{Events, Instant, Received, Segment, TimeWait};
use bypath_wire::SeqNum;
use bypath_wire::checksum::pseudo_header;
use bypath_wire::ip::protocol;
use bypath_wire::tcp::{MIN_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions};

use super::ingress::{Datagram, Verdict};
use super::{Stack, StackEvent};
use crate::account::Phase;
use crate::counters::Cause;
use crate::flow::{App, Keeper};
use crate::flow_table::FlowKey;
use crate::packet::{Egress, RxPacket};
use crate::service::{About, ConnectionId};
use crate::socket::options::Report;

/// A TCP segment that has arrived, in its packet.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a, 'p> {
    pub(super) segment: &'a Segment<'a>,
    pub(super) packet: &'a RxPacket<'p>,
    /// Where its payload lies in the packet.
    pub(super) payload: usize,
    /// Of the device, on which it came.
    pub(super) queue: u16,
}

/// A connection that follows on one in TIME-WAIT begins this far beyond its last sequence number: farther than
/// any window of the old one reached (RFC 9293 section 3.10.7.4, RFC 6191).
const BEYOND: u32 = 0x1_0000;

/// How often a flow vouches for its neighbour, at most.
pub(super) const CONFIRM_NS: u64 = 1_000_000_000;

impl Stack {
    pub(super) fn on_tcp<E: Egress>(
        &mut self,
        now: Instant,
        packet: &RxPacket<'_>,
        datagram: &Datagram,
        queue: u16,
        last_resort: bool,
        egress: &mut E,
    ) -> Verdict {
        let sum = pseudo_header(datagram.src, datagram.dst, protocol::TCP, datagram.len as u32)
            .add(packet.sum(datagram.start, datagram.len));
        if !sum.is_valid() {
            self.counters.count(Cause::TransportChecksum);
            return Verdict::Done;
        }
        let bytes = packet.head.get(datagram.start..).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(datagram.len)];
        let parsed = TcpHeader::parse(bytes)
            .and_then(|(header, n)| Ok((header, TcpOptions::parse(&bytes[MIN_HEADER_LEN..n])?, n)));
        let Ok((header, options, n)) = parsed else {
            self.counters.count(Cause::Malformed);
            return Verdict::Done;
        };
        let segment = Segment::new(&header, &options, (datagram.len - n) as u32).with_ecn(datagram.ecn);
        let local = SocketAddr::new(datagram.dst, header.dst_port);
        let remote = SocketAddr::new(datagram.src, header.src_port);
        let Some(key) = FlowKey::new(local, remote) else {
            self.counters.count(Cause::Malformed);
            return Verdict::Done;
        };
        let arrival = Arrival { segment: &segment, packet, payload: datagram.start + n, queue };
        let mut successor = None;
        let _ = self.account.enter(Phase::LookUp);
        let foreseen = self.flows.at(packet.flow).is_some_and(|flow| flow.key == key).then_some(packet.flow);
        let found = foreseen.or_else(|| self.table.find(&key));
        let _ = self.account.enter(Phase::Tcp);
        if let Some(index) = found {
            self.counters.segs_in += 1;
            self.wake_flow(index);
            if let Some(flow) = self.flows.at_mut(index) {
                flow.queue = queue;
            }
            if !self.segment(now, index, &arrival, egress) {
                return Verdict::Done;
            }
            successor = self.flows.at(index).map(|flow| flow.conn.snd_nxt() + BEYOND);
            self.remove(now, index);
        } else if let Some(index) = self.half_open.find(&key) {
            self.counters.segs_in += 1;
            self.on_half_open(now, index, &arrival, egress);
            return Verdict::Done;
        } else if let Some(index) = self.resting.find(&key) {
            self.counters.segs_in += 1;
            successor = self.on_resting(now, index, &arrival, egress);
            if successor.is_none() {
                return Verdict::Done;
            }
        }
        let opens = header.flags.contains(TcpFlags::SYN) && !header.flags.contains(TcpFlags::ACK);
        if opens && !last_resort && self.ports_elsewhere.contains(&local.port()) {
            return Verdict::Foreign(key);
        }
        if !opens {
            if self.recall(now, key, &arrival, last_resort, egress) {
                return Verdict::Done;
            }
            if !last_resort {
                return Verdict::Foreign(key);
            }
        }
        self.offer_to_listener(now, key, &arrival, successor, egress);
        Verdict::Done
    }

    /// A segment for the flow at `index`. `true`: a SYN that may take the flow's place.
    pub(super) fn segment<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        arrival: &Arrival<'_, '_>,
        egress: &mut E,
    ) -> bool {
        let segment = arrival.segment;
        let Some(flow) = self.flows.at(index) else { return false };
        if segment.header.seq != flow.conn.rcv_nxt() {
            self.prepare_reassembly(index);
        }
        let Some(flow) = self.flows.at_mut(index) else { return false };
        let expected = flow.conn.rcv_nxt();
        let received = flow.conn.on_segment(now, segment);
        self.settle(now, index, arrival, expected, &received, egress)
    }

    /// What a segment has changed; `expected` was the next octet before it. `true`: a SYN that may take the flow's
    /// place.
    pub(super) fn settle<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        arrival: &Arrival<'_, '_>,
        expected: SeqNum,
        received: &Received,
        egress: &mut E,
    ) -> bool {
        let Some(flow) = self.flows.at_mut(index) else { return false };
        if flow.conn.has_holes() || flow.held.reassembly > 0 {
            self.memory.count_reassembly(flow);
        }
        let progress = received.deliver > 0 || received.events.contains(Events::ACKNOWLEDGED);
        if progress && now >= flow.confirm_at {
            // RFC 4861 section 7.3.1: new data, or data acknowledged, shows that what was sent has arrived. The
            // neighbour need not be asked.
            flow.confirm_at = now.plus_nanos(CONFIRM_NS);
            self.neighbors.confirm(now.as_nanos(), flow.next_hop);
        }
        if let Some(cause) = received.dropped {
            self.counters.count_tcp(cause);
            if received.events.contains(Events::CHALLENGED) && !self.challenges.allow(now) {
                flow.conn.withhold_challenge();
                self.counters.count(Cause::ChallengeLimit);
            }
        }
        if received.events.contains(Events::REOPEN) {
            return true;
        }
        if self.config.observe_segments {
            self.tell_acknowledged(now, index, arrival.segment);
        }
        if let Some(reset) = &received.reply {
            self.send_aside(index, reset, egress);
        }
        if received.events.contains(Events::ESTABLISHED) {
            self.established(now, index);
        }
        if received.events.contains(Events::URGENT) {
            self.tell_urgent(index, expected);
        }
        self.place_payload(now, index, received, arrival.packet, arrival.payload);
        self.after_connection(now, index, received.events);
        self.mark_dirty(index);
        false
    }

    /// What a segment, a timer or an error has changed: acknowledged bytes are released, the application
    /// learns of the end.
    pub(super) fn after_connection(&mut self, now: Instant, index: u32, events: Events) {
        if events.is_empty() {
            return;
        }
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(flow) = self.flows.at_mut(index) else { return };
        let acknowledged = flow.conn.acknowledged();
        let mut abort = false;
        match &mut flow.app {
            App::Socket(end) => {
                if events.contains(Events::ACKNOWLEDGED) {
                    let done = acknowledged.saturating_sub(end.outgoing.head());
                    end.outgoing.consume(done as usize);
                    end.writable = true;
                }
                if events.contains(Events::PEER_CLOSED) {
                    end.shared.set_peer_closed();
                }
                if events.contains(Events::STALLED) {
                    end.shared.options.report(Report::Stalled);
                }
            }
            App::Service(end) => {
                if events.contains(Events::ACKNOWLEDGED) {
                    end.queue.release(acknowledged);
                }
                let about = About { id, key: &flow.key, now };
                let mut connection =
                    about.connection(&mut flow.conn, &mut end.queue, &mut end.unread, &mut abort);
                let before = self.account.enter(Phase::Application);
                if events.contains(Events::ACKNOWLEDGED) {
                    self.service.on_acknowledged(&mut connection);
                }
                if events.contains(Events::PEER_CLOSED) {
                    self.service.on_peer_closed(&mut connection);
                }
                self.account.back(before);
            }
        }
        if abort {
            self.abort_flow(now, index);
        }
        if events.contains(Events::CLOSED) {
            self.remove(now, index);
        }
    }

    /// The application has given the connection up.
    pub(super) fn abort_flow(&mut self, now: Instant, index: u32) {
        if let Some(flow) = self.flows.at_mut(index) {
            let reset = flow.conn.abort(now);
            flow.pending_reset = reset.map(Box::new);
        }
        self.mark_dirty(index);
    }

    /// The flow's place is free again; its socket or service is told why.
    pub(super) fn remove(&mut self, now: Instant, index: u32) {
        self.remove_flow(now, index, None);
    }

    /// The same for a flow in TIME-WAIT, of which `remains` is kept.
    pub(super) fn remove_flow(&mut self, now: Instant, index: u32, remains: Option<TimeWait>) {
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(mut flow) = self.flows.remove(id) else { return };
        self.table.remove(&flow.key);
        self.wheel.cancel(index);
        self.learn_path(now, &flow.key, &flow.conn);
        self.memory.forget(flow.held);
        self.counters.segs_retrans += flow.uncounted_retransmissions();
        let reason = flow.conn.close_reason().unwrap_or(bypath_tcp::CloseReason::Finished);
        let beyond = flow.conn.snd_nxt() + BEYOND;
        match flow.app {
            App::Socket(mut end) => {
                if let Some(listener) = end.opening.take() {
                    listener.fast_opened();
                }
                end.publish(&flow.conn);
                let mut shared = Some(end.shared.clone());
                if let Some(remains) = remains {
                    // Ours and the socket's: without the latter there is nobody to be told of the end.
                    let wanted = shared.filter(|shared| Arc::strong_count(shared) > 2);
                    match self.rest((flow.key, flow.keeper), remains, wanted) {
                        Ok(()) => return,
                        Err(back) => shared = back,
                    }
                }
                if let Some(shared) = shared {
                    shared.set_closed(reason);
                }
            }
            App::Service(end) => {
                if let Some(ring) = end.reassembly {
                    self.spare_rings.push(ring);
                }
                self.service_opening -= usize::from(end.opening);
                self.service.on_closed(ConnectionId::of(id), reason);
                if let Some(remains) = remains
                    && self.rest((flow.key, flow.keeper), remains, None).is_ok()
                {
                    return;
                }
            }
        }
        match flow.keeper {
            Keeper::Control => self.events.push_back(StackEvent::FlowClosed(flow.key)),
            Keeper::Client => {
                self.client_ports.give_back(now, flow.key.local(), flow.key.remote(), beyond);
            }
            Keeper::Service => {}
        }
    }
}
