//! TCP segments to their connections, and what comes of it: bytes to the application, events to its socket.

use std::net::SocketAddr;

use bypath_tcp::{Connection, Events, Instant, Received, Segment, reset_for};
use bypath_wire::checksum::pseudo_header;
use bypath_wire::ip::protocol;
use bypath_wire::tcp::{MIN_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions};

use super::ingress::{Datagram, Verdict};
use super::{Stack, StackEvent, any_of};
use crate::counters::Cause;
use crate::flow::{App, Flow, Link, ServiceEnd};
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::packet::{Egress, RxPacket, Slices};
use crate::service::{ConnectionId, ServiceConnection};
use crate::socket::end::socket_pair;
use crate::source::SendQueue;
use crate::template::Template;

/// How often a flow vouches for its neighbour, at most.
const CONFIRM_NS: u64 = 1_000_000_000;

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
        let segment = Segment { header: &header, options: &options, payload_len: (datagram.len - n) as u32 };
        let local = SocketAddr::new(datagram.dst, header.dst_port);
        let remote = SocketAddr::new(datagram.src, header.src_port);
        let Some(key) = FlowKey::new(local, remote) else {
            self.counters.count(Cause::Malformed);
            return Verdict::Done;
        };
        if let Some(index) = self.table.find(&key) {
            self.counters.segs_in += 1;
            if let Some(flow) = self.flows.at_mut(index) {
                flow.queue = queue;
            }
            let reopen = self.segment(now, index, &segment, packet, datagram.start + n, egress);
            if !reopen {
                return Verdict::Done;
            }
            self.remove(now, index);
        }
        let opens = header.flags.contains(TcpFlags::SYN) && !header.flags.contains(TcpFlags::ACK);
        if !opens && !last_resort {
            return Verdict::Foreign(key);
        }
        self.offer_to_listener(now, key, &segment, queue, egress);
        Verdict::Done
    }

    /// A segment for the flow at `index`. `true`: a SYN that may take the flow's place.
    fn segment<E: Egress>(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Segment<'_>,
        packet: &RxPacket<'_>,
        payload: usize,
        egress: &mut E,
    ) -> bool {
        let Some(flow) = self.flows.at_mut(index) else { return false };
        if let App::Service(end) = &mut flow.app
            && end.reassembly.is_none()
            && segment.header.seq != flow.conn.rcv_nxt()
        {
            // Out-of-order data needs a place to be kept before the connection promises to keep it.
            end.reassembly = self.spare_rings.pop();
            let room = end.reassembly.as_ref().map_or(0, |(p, _)| p.capacity());
            flow.conn.set_reassembly_limit(u32::try_from(room).unwrap_or(u32::MAX));
        }
        let received = flow.conn.on_segment(now, segment);
        let progress = received.deliver > 0 || received.events.contains(Events::ACKNOWLEDGED);
        if progress && now >= flow.confirm_at {
            // RFC 4861 section 7.3.1: new data, or data acknowledged, shows that what was sent has arrived. The
            // neighbour need not be asked.
            flow.confirm_at = now.plus_nanos(CONFIRM_NS);
            self.neighbors.confirm(now.as_nanos(), flow.next_hop);
        }
        if let Some(cause) = received.dropped {
            self.counters.count_tcp(cause);
        }
        if received.events.contains(Events::REOPEN) {
            return true;
        }
        if let Some(reset) = &received.reply {
            let ports = (flow.local(), flow.remote());
            let template = flow.template.clone();
            super::transmit::send_bare(&template, ports, reset, flow.queue, egress);
        }
        if received.events.contains(Events::ESTABLISHED) {
            self.established(now, index, egress);
        }
        self.place_payload(now, index, &received, packet, payload);
        self.after_connection(now, index, received.events);
        self.mark_dirty(index);
        false
    }

    /// Hands payload to the application, or keeps it, as the connection has decided.
    fn place_payload(
        &mut self,
        now: Instant,
        index: u32,
        received: &Received,
        packet: &RxPacket<'_>,
        payload: usize,
    ) {
        if received.deliver == 0 && received.store.is_none() {
            return;
        }
        let receive_buffer = self.config.tcp.receive_buffer;
        let id = self.flows.id_at(index);
        let (Some(flow), Some(id)) = (self.flows.at_mut(index), id) else { return };
        let pieces = match &received.store {
            Some(store) => packet.range(payload + store.skip as usize, store.len as usize),
            None => packet.range(payload + received.skip as usize, received.deliver as usize),
        };
        let remote = flow.remote();
        let local = flow.local();
        match &mut flow.app {
            App::Pending(_) => {}
            App::Socket(end) => {
                if let Some(store) = &received.store {
                    keep(&mut end.incoming, store.ahead, &pieces);
                    return;
                }
                for piece in &pieces {
                    end.incoming.write(piece);
                }
                end.incoming.commit(received.released as usize);
                end.readable = true;
            }
            App::Service(end) => {
                let ServiceEnd { queue, reassembly, unread } = &mut **end;
                if let Some(store) = &received.store {
                    if let Some((producer, _)) = reassembly {
                        keep(producer, store.ahead, &pieces);
                    }
                    return;
                }
                let mut abort = false;
                let mut connection = ServiceConnection {
                    id,
                    conn: &mut flow.conn,
                    queue,
                    local,
                    remote,
                    now,
                    abort: &mut abort,
                    unread,
                    receive_buffer,
                };
                for piece in &pieces {
                    self.service.on_data(&mut connection, piece);
                }
                if let Some((producer, consumer)) = reassembly {
                    let delivered = received.deliver as usize;
                    producer.commit(delivered);
                    consumer.consume(delivered);
                    producer.commit(received.released as usize);
                    let released = received.released as usize;
                    let (a, b) = consumer.peek_at(consumer.head(), released);
                    for piece in [a, b] {
                        if !piece.is_empty() {
                            self.service.on_data(&mut connection, piece);
                        }
                    }
                    consumer.consume(released);
                }
                if !flow.conn.has_holes()
                    && let Some(ring) = end.reassembly.take()
                {
                    self.spare_rings.push(ring);
                }
                flow.conn.set_receive_space(receive_buffer.saturating_sub(end.unread));
                if abort {
                    self.abort_flow(now, index);
                }
            }
        }
    }

    /// A passive connection gets its socket; sockets and services learn that they are connected.
    fn established<E: Egress>(&mut self, now: Instant, index: u32, egress: &mut E) {
        let receive_buffer = self.config.tcp.receive_buffer;
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
                let mut connection = ServiceConnection {
                    id,
                    conn: &mut flow.conn,
                    queue: &mut end.queue,
                    local,
                    remote,
                    now,
                    abort: &mut abort,
                    unread: &mut end.unread,
                    receive_buffer,
                };
                self.service.on_open(&mut connection);
                if abort {
                    self.abort_flow(now, index);
                }
            }
        }
    }

    /// What a segment, a timer or an error has changed: acknowledged bytes are released, the application
    /// learns of the end.
    pub(super) fn after_connection(&mut self, now: Instant, index: u32, events: Events) {
        if events.is_empty() {
            return;
        }
        let receive_buffer = self.config.tcp.receive_buffer;
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(flow) = self.flows.at_mut(index) else { return };
        let acknowledged = flow.conn.acknowledged();
        let (local, remote) = (flow.local(), flow.remote());
        let mut abort = false;
        match &mut flow.app {
            App::Pending(_) => {}
            App::Socket(end) => {
                if events.contains(Events::ACKNOWLEDGED) {
                    let done = acknowledged.saturating_sub(end.outgoing.head());
                    end.outgoing.consume(done as usize);
                    end.writable = true;
                }
                if events.contains(Events::PEER_CLOSED) {
                    end.shared.set_peer_closed();
                }
            }
            App::Service(end) => {
                if events.contains(Events::ACKNOWLEDGED) {
                    end.queue.release(acknowledged);
                }
                let mut connection = ServiceConnection {
                    id,
                    conn: &mut flow.conn,
                    queue: &mut end.queue,
                    local,
                    remote,
                    now,
                    abort: &mut abort,
                    unread: &mut end.unread,
                    receive_buffer,
                };
                if events.contains(Events::ACKNOWLEDGED) {
                    self.service.on_acknowledged(&mut connection);
                }
                if events.contains(Events::PEER_CLOSED) {
                    self.service.on_peer_closed(&mut connection);
                }
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
            flow.pending_reset = reset;
        }
        self.mark_dirty(index);
    }

    /// The flow's place is free again; its socket or service is told why.
    pub(super) fn remove(&mut self, _now: Instant, index: u32) {
        let Some(id) = self.flows.id_at(index) else { return };
        let Some(mut flow) = self.flows.remove(id) else { return };
        self.table.remove(&flow.key);
        self.wheel.cancel(index);
        self.counters.segs_retrans += flow.uncounted_retransmissions();
        let reason = flow.conn.close_reason().unwrap_or(bypath_tcp::CloseReason::Finished);
        match flow.app {
            App::Pending(listener) => listener.opened(),
            App::Socket(end) => {
                end.publish(&flow.conn);
                end.shared.set_closed(reason);
            }
            App::Service(end) => {
                if let Some(ring) = end.reassembly {
                    self.spare_rings.push(ring);
                }
                self.service.on_closed(ConnectionId::of(id), reason);
            }
        }
        self.events.push_back(StackEvent::FlowClosed(flow.key));
    }

    /// A segment that belongs to no flow (RFC 9293 sections 3.10.7.1 and 3.10.7.2).
    fn offer_to_listener<E: Egress>(
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
        let mut config = self.config.tcp.clone();
        config.mss = self.mss_for(remote.ip(), route.mtu);
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

    /// Puts a new connection in its place and schedules its first segment.
    pub(super) fn place(
        &mut self,
        now: Instant,
        key: FlowKey,
        conn: Connection,
        app: App,
        next_hop: std::net::IpAddr,
        queue: u16,
    ) -> Option<crate::slab::FlowId> {
        let (local, remote) = (key.local(), key.remote());
        let template = Template::for_flow(self.config.medium, protocol::TCP, local, remote);
        let flow = Flow {
            conn,
            app,
            key,
            link: Link::Waiting,
            dirty: false,
            queue,
            ip_id: self.datagram_id ^ local.port() ^ remote.port().rotate_left(8),
            timer_at: u64::MAX,
            next_hop,
            template,
            counted_retrans: 0,
            confirm_at: now,
            pending_reset: None,
        };
        let id = match self.flows.insert(flow) {
            Ok(id) => id,
            Err(flow) => {
                flow.give_up();
                return None;
            }
        };
        if self.table.insert(key, id.index).is_err() {
            if let Some(flow) = self.flows.remove(id) {
                flow.give_up();
            }
            return None;
        }
        if let Some(Flow { app: App::Socket(end), .. }) = self.flows.at(id.index) {
            end.shared.bind(id);
        }
        match self.resolve(now, next_hop) {
            Resolution::Known(mac) => {
                if let Some(flow) = self.flows.at_mut(id.index) {
                    flow.template.set_link(self.config.mac, mac);
                    flow.link = Link::Ready;
                }
            }
            Resolution::Pending => self.waiting_flows.entry(next_hop).or_default().push(id),
            Resolution::Unreachable => {
                if let Some(flow) = self.flows.at_mut(id.index) {
                    self.counters.count(Cause::Unreachable);
                    let seq = flow.conn.snd_nxt();
                    flow.conn.on_unreachable(seq, true);
                    let mut events = Events::none();
                    events.insert(Events::CLOSED);
                    self.after_connection(now, id.index, events);
                }
                return Some(id);
            }
        }
        self.mark_dirty(id.index);
        Some(id)
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
        template.set_link(self.config.mac, mac);
        super::transmit::send_bare(&template, (local, remote), &reset, queue, egress);
    }
}

fn keep(ring: &mut crate::ring::ByteProducer, ahead: u32, pieces: &Slices<'_>) {
    let mut at = ahead as usize;
    for piece in pieces {
        ring.write_at(at, piece);
        at += piece.len();
    }
}
