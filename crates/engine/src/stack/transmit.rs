//! Segments out: for every flow that was touched, what its connection wants to send now.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use bypath_tcp::{Burst, Connection, Ecn, Events, Instant, Poll, State, TxSegment};
use bypath_wire::checksum::Sum;
use bypath_wire::tcp::{CHECKSUM_OFFSET, MIN_HEADER_LEN, OrdinaryHeader, TcpFlags, TcpHeader};

use super::Stack;
use super::client::{is_logged, note_sent};
use super::foresight::AHEAD;
use crate::counters::Cause;
use crate::flow::{App, Flow, Link};
use crate::packet::{Egress, TxPacket};
use crate::tap::{Note, meaning_of};
use crate::template::Template;

/// Segments a flow sends in one round before others get their turn.
const BURST: u32 = 64;

/// Longest headers: Ethernet, IPv6, TCP with all options.
const MAX_HEADERS: usize = 14 + 40 + 60;

impl Stack {
    /// Sends what the flows touched since the last time want to send, wakes their sockets and files their
    /// timers.
    pub(crate) fn flush<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        // Who waited for room goes first, in turn, and only while there is room: a million flows that have something
        // to say must not all be looked at for each batch that the device takes.
        for _ in 0..self.blocked.len() {
            if egress.room(1) == 0 {
                break;
            }
            let Some(index) = self.blocked.pop_front() else { break };
            self.flush_flow(now, index, egress);
        }
        self.release_acks(now, egress);
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.flush_flow(now, index, egress);
        }
        // What was marked meanwhile waits for the next round; the larger buffer is kept.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// Whether a flow has more to do at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.blocked.is_empty()
    }

    /// Does what is due at `now`, for flows and neighbours.
    pub(crate) fn advance<E: Egress>(&mut self, now: Instant, egress: &mut E) {
        loop {
            let mut due = ArrayVec::<u32, AHEAD>::new();
            while !due.is_full()
                && let Some(index) = self.wheel.pop_due(now.as_nanos())
            {
                due.push(index);
            }
            if due.len() > 1 && self.looks_ahead() {
                self.fetch(&due);
            }
            for index in &due {
                self.on_timer(now, *index);
            }
            if !due.is_full() {
                break;
            }
        }
        self.advance_half_open(now, egress);
        self.advance_resting(now);
        self.poll_neighbors(now, egress);
    }

    fn on_timer(&mut self, now: Instant, index: u32) {
        self.wake_flow(index);
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.timer_at = u64::MAX;
        if flow.conn.next_deadline().is_due(now) {
            let timeouts = flow.conn.stats().timeouts;
            let events = flow.conn.on_timer(now);
            let silent = flow.conn.stats().timeouts > timeouts;
            self.after_connection(now, index, events);
            if silent {
                self.check_link(now, index);
            }
        }
        self.mark_dirty(index);
    }

    /// A segment of a flow outside of its own output, which is not kept: without a link address yet, or without
    /// room, it is dropped and counted.
    pub(super) fn send_aside<E: Egress>(&mut self, index: u32, segment: &TxSegment, egress: &mut E) {
        let Some(flow) = self.flows.at(index) else { return };
        if flow.link != Link::Ready {
            return self.counters.count(Cause::Unreachable);
        }
        egress.note(meaning_of(segment), self.counters.cause());
        if !send_bare(&flow.template, (flow.local(), flow.remote()), segment, flow.queue, egress) {
            self.counters.count(Cause::NoRoom);
        }
    }

    pub(super) fn flush_flow<E: Egress>(&mut self, now: Instant, index: u32, egress: &mut E) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.dirty = false;
        if let App::Service(end) = &flow.app
            && !end.abort
            && flow.pending_reset.is_none()
            && flow.link == Link::Ready
            && flow.conn.has_nothing_to_say(now)
        {
            return self.file_timer(index);
        }
        if let App::Socket(end) = &mut flow.app {
            flow.conn.set_queued(end.outgoing.head() + end.outgoing.len() as u64);
            let unread = end.incoming.unread();
            flow.conn.on_read(now, u32::try_from(unread).unwrap_or(u32::MAX));
            self.memory.open_window(&mut flow.conn, end, &mut flow.held, unread);
        }
        if let App::Service(end) = &mut flow.app
            && std::mem::take(&mut end.abort)
        {
            flow.pending_reset = flow.conn.abort(now).map(Box::new);
        }
        let mut more = false;
        if flow.link == Link::Ready && !self.held_acks.takes(now, index, flow) {
            let sent = transmit(flow, now, egress);
            self.counters.segs_out += sent.segments;
            self.counters.transmit_stalls += u64::from(sent.stalled);
            more = sent.more;
            if sent.observed {
                self.unstamped.push(index);
            }
        }
        if let App::Socket(end) = &mut flow.app {
            end.tell(&flow.conn);
        }
        let retransmitted = flow.uncounted_retransmissions();
        self.counters.segs_retrans += retransmitted;
        if more && !flow.dirty {
            flow.dirty = true;
            self.blocked.push_back(index);
        }
        if flow.conn.state() == State::Closed && flow.pending_reset.is_none() {
            let mut events = Events::none();
            events.insert(Events::CLOSED);
            return self.after_connection(now, index, events);
        }
        if flow.link == Link::Ready
            && !more
            && flow.pending_reset.is_none()
            && let Some(remains) = flow.conn.time_wait()
        {
            return self.remove_flow(now, index, Some(remains));
        }
        self.file_timer(index);
    }

    /// Has the flow's timer fire no later than its connection wants it to.
    #[inline]
    fn file_timer(&mut self, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        let deadline = flow.conn.next_deadline().as_nanos();
        if deadline < flow.timer_at {
            flow.timer_at = deadline;
            self.wheel.schedule(index, deadline);
        }
    }
}

/// What became of a flow's turn to send.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    segments: u64,
    /// There is more than fitted, or than one flow sends in one turn.
    more: bool,
    /// The device had no room for it.
    stalled: bool,
    /// Segments were sent whose time is to be noted.
    observed: bool,
}

/// Sends what `flow` wants to send.
fn transmit<E: Egress>(flow: &mut Flow, now: Instant, egress: &mut E) -> Sent {
    let mut sent = Sent::default();
    let largest = MAX_HEADERS + flow.conn.largest_payload() as usize;
    if let Some(reset) = &flow.pending_reset {
        let ports = (flow.local(), flow.remote());
        egress.note(Note::Abort, 0);
        if send_bare(&flow.template, ports, reset, flow.queue, egress) {
            flow.pending_reset = None;
        } else {
            return Sent { more: true, stalled: true, ..sent };
        }
    }
    while sent.segments < u64::from(BURST) {
        let room = egress.room(largest);
        if room == 0 {
            return Sent { more: true, stalled: true, ..sent };
        }
        let most = (BURST - sent.segments as u32).min(u32::try_from(room).unwrap_or(u32::MAX));
        match flow.conn.poll_burst(now, most) {
            Poll::Burst(burst) => {
                emit_burst(flow, &burst, egress);
                sent.segments += u64::from(burst.count());
                if burst.len > 0 && is_logged(&flow.app) {
                    for segment in burst.segments() {
                        sent.observed |= note_sent(&mut flow.app, &segment);
                    }
                }
                if !burst.more {
                    return sent;
                }
            }
            Poll::Nothing => return sent,
            Poll::Unusual => {
                let Some(segment) = flow.conn.poll_transmit(now) else { return sent };
                emit(flow, &segment, egress);
                sent.segments += 1;
                if segment.len > 0 {
                    sent.observed |= note_sent(&mut flow.app, &segment);
                }
            }
        }
    }
    Sent { more: true, ..sent }
}

/// Builds ordinary segments: what they have in common is worked out once.
fn emit_burst<E: Egress>(flow: &mut Flow, burst: &Burst, egress: &mut E) {
    let (src_port, dst_port) = flow.key.ports();
    let header = OrdinaryHeader::new(src_port, dst_port, burst.ack, burst.window, burst.timestamps);
    let template = &flow.template;
    let app = &flow.app;
    let at = template.len();
    let start = at + header.len();
    let mut done = 0;
    loop {
        let len = burst.each.min(burst.len - done);
        let transport = header.len() + len as usize;
        let push = burst.push && done + len == burst.len;
        flow.ip_id = flow.ip_id.wrapping_add(1);
        let id = flow.ip_id;
        if egress.is_watched() {
            let note = if burst.window == 0 { Note::ZeroWindow } else { Note::None };
            egress.note(note, 0);
        }
        egress.send(at + transport, flow.queue, |out| {
            template.write(out.head, transport, id, Ecn::NotEct);
            let mut rest = template.pseudo.add_u32(transport as u32);
            if len > 0 {
                rest = rest.add(fill(app, out, start, burst.offset + u64::from(done), len as usize));
            }
            if let Some(head) = out.head.get_mut(at..) {
                header.emit(burst.seq + done, push, rest, head);
            }
        });
        done += len;
        if done >= burst.len {
            break;
        }
    }
}

/// Builds one segment: headers from the template, payload copied and summed in one pass.
fn emit<E: Egress>(flow: &mut Flow, segment: &TxSegment, egress: &mut E) {
    flow.ip_id = flow.ip_id.wrapping_add(1);
    let (src_port, dst_port) = flow.key.ports();
    let mut header = header(src_port, dst_port, segment);
    if segment.flags.contains(TcpFlags::URG) {
        header.urgent = flow.conn.urgent_pointer(segment);
    }
    let tcp_len = MIN_HEADER_LEN + segment.options.encoded_len();
    let template = &flow.template;
    let total = template.len() + tcp_len + segment.len as usize;
    let app = &flow.app;
    let id = flow.ip_id;
    if egress.is_watched() {
        egress.note(meaning_of(segment), 0);
    }
    egress.send(total, flow.queue, |out| {
        let at = template.len();
        template.write(out.head, tcp_len + segment.len as usize, id, segment.ecn);
        let payload = if segment.len > 0 {
            fill(app, out, at + tcp_len, segment.offset, segment.len as usize)
        } else {
            Sum::default()
        };
        finish(template, out, at, tcp_len, &header, segment, payload);
    });
}

/// A segment without payload, outside of a flow's own output.
pub(super) fn send_bare<E: Egress>(
    template: &Template,
    (local, remote): (SocketAddr, SocketAddr),
    segment: &TxSegment,
    queue: u16,
    egress: &mut E,
) -> bool {
    let header = header(local.port(), remote.port(), segment);
    let tcp_len = MIN_HEADER_LEN + segment.options.encoded_len();
    egress.send(template.len() + tcp_len, queue, |out| {
        let at = template.len();
        template.write(out.head, tcp_len, 0, segment.ecn);
        finish(template, out, at, tcp_len, &header, segment, Sum::default());
    })
}

fn header(src_port: u16, dst_port: u16, segment: &TxSegment) -> TcpHeader {
    TcpHeader {
        src_port,
        dst_port,
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        checksum: 0,
        urgent: 0,
    }
}

fn finish(
    template: &Template,
    out: &mut TxPacket<'_, '_>,
    at: usize,
    tcp_len: usize,
    header: &TcpHeader,
    segment: &TxSegment,
    payload: Sum,
) {
    let Some(head) = out.head.get_mut(at..at + tcp_len) else { return };
    header.emit(&segment.options, head);
    let len = tcp_len as u32 + segment.len;
    let checksum = template.pseudo.add_u32(len).add(Sum::of(head)).add(payload).finish();
    head[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Copies `len` bytes of the outgoing stream from `offset` into the packet.
#[inline]
fn fill(app: &App, out: &mut TxPacket<'_, '_>, start: usize, offset: u64, len: usize) -> Sum {
    match app {
        App::Socket(end) => {
            let (a, b) = end.outgoing.peek_at(offset, len);
            out.fill(start, &[a, b])
        }
        App::Service(end) => {
            if let Some(piece) = end.queue.together(offset, len) {
                return out.fill_one(start, piece);
            }
            let mut sum = Sum::default();
            let mut done = 0;
            end.queue.read(offset, len, |piece| {
                sum = sum.add_at(out.fill(start + done, &[piece]), done);
                done += piece.len();
            });
            sum
        }
    }
}

/// Keeps the socket's figures and wakes it, if there is something for it.
impl crate::flow::SocketEnd {
    pub(crate) fn tell(&mut self, conn: &Connection) {
        if !self.readable && !self.writable {
            return;
        }
        self.publish(conn);
        if std::mem::take(&mut self.readable) {
            self.shared.reader.notify();
        }
        if std::mem::take(&mut self.writable) {
            self.shared.writer.notify();
        }
    }

    /// Without tuning an application may write as far ahead as its ring goes.
    pub(crate) fn bound_write_ahead(&self, config: &bypath_tcp::Config) {
        if !config.tune_send_buffer {
            self.shared.raise_write_ahead(usize::MAX);
        }
    }

    pub(crate) fn publish(&self, conn: &Connection) {
        use std::sync::atomic::Ordering::Relaxed;
        self.shared.raise_write_ahead(conn.send_buffer() as usize);
        let stats = conn.stats();
        let figures = &self.shared.figures;
        figures.srtt_ns.store(conn.srtt_ns().unwrap_or(0), Relaxed);
        figures.handshake_ns.store(stats.handshake_rtt_ns, Relaxed);
        figures.segs_in.store(stats.segs_in, Relaxed);
        figures.segs_out.store(stats.segs_out, Relaxed);
        figures.segs_retrans.store(stats.segs_retrans, Relaxed);
        figures.timeouts.store(stats.timeouts, Relaxed);
        figures.cwnd.store(u64::from(conn.cwnd()), Relaxed);
    }
}
