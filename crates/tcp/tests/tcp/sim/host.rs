//! One endpoint: a connection, an application that writes and reads a known stream, a receive buffer that
//! keeps bytes where the connection says, and the checks on all that goes in and out.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bypath_tcp::{CloseReason, Config, Connection, Events, Instant, Poll, Segment, State, TxSegment};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader};

use super::link::Packet;

/// How an application gives its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Writing {
    /// All at once, before the connection is open.
    AtOnce,
    /// So many at a time, so often.
    Pieces(u64, Duration),
}

/// What an application does.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) send: u64,
    pub(crate) writing: Writing,
    /// Reads at most so many bytes, so often; `None`: all at once.
    pub(crate) reading: Option<(u32, Duration)>,
    /// Closes after its last byte; else only once the peer has closed.
    pub(crate) closes_first: bool,
}

impl Default for App {
    fn default() -> Self {
        Self { send: 0, writing: Writing::AtOnce, reading: None, closes_first: true }
    }
}

/// Byte `at` of the stream that host `id` sends.
fn pattern(id: usize, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 17) ^ (id as u64 * 0x55)) as u8
}

/// An endpoint.
pub(crate) struct Host {
    id: usize,
    pub(crate) config: Config,
    app: App,
    pub(crate) listen_with: (SeqNum, u32),
    pub(crate) conn: Option<Connection>,
    /// Segments that were decided upon together.
    burst: VecDeque<TxSegment>,
    written: u64,
    write_at: Instant,
    /// Bytes in order so far, and of them read by the application.
    pub(crate) received: u64,
    read: u64,
    read_at: Instant,
    /// The receive buffer, by stream offset modulo its size.
    buffer: Vec<Option<u8>>,
    pub(crate) peer_closed: bool,
    /// When the last byte of the peer's stream had come.
    pub(crate) peer_closed_at: Instant,
    /// When the last byte was read.
    pub(crate) read_all_at: Instant,
    closed: bool,
    pub(crate) events: Vec<Events>,
    // Watching what is sent.
    edge_sent: Option<SeqNum>,
    ack_sent: Option<SeqNum>,
    highest_sent: Option<SeqNum>,
    peer_edge: Option<SeqNum>,
    peer_scale: u8,
    own_scale: u8,
    syn_scales: (Option<u8>, Option<u8>),
    pub(crate) most_in_one: u32,
}

impl Host {
    pub(crate) fn new(id: usize, config: Config, app: App) -> Self {
        let buffer = vec![None; config.receive_buffer as usize];
        Self {
            id,
            config,
            app,
            listen_with: (SeqNum(0), 0),
            conn: None,
            burst: VecDeque::new(),
            written: 0,
            write_at: Instant::ZERO,
            received: 0,
            read: 0,
            read_at: Instant::ZERO,
            buffer,
            peer_closed: false,
            peer_closed_at: Instant::NEVER,
            read_all_at: Instant::ZERO,
            closed: false,
            events: Vec::new(),
            edge_sent: None,
            ack_sent: None,
            highest_sent: None,
            peer_edge: None,
            peer_scale: 0,
            own_scale: 0,
            syn_scales: (None, None),
            most_in_one: 0,
        }
    }

    pub(crate) fn open(&mut self, conn: Connection) {
        self.conn = Some(conn);
    }

    pub(crate) fn conn(&self) -> &Connection {
        self.conn.as_ref().expect("opened")
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.conn.as_ref().is_some_and(super::is_over)
    }

    pub(crate) fn check_finished(&self) {
        let conn = self.conn();
        assert_eq!(conn.close_reason(), Some(CloseReason::Finished), "{self}");
        assert!(self.peer_closed, "closed without the peer's FIN: {self}");
        assert_eq!(conn.acknowledged(), self.app.send, "not all acknowledged: {self}");
        assert_eq!(conn.next_deadline(), Instant::NEVER, "a deadline after the end: {self}");
    }

    pub(crate) fn next_time(&self) -> Instant {
        let Some(conn) = &self.conn else { return Instant::NEVER };
        if conn.state() == State::Closed {
            return Instant::NEVER;
        }
        conn.next_deadline().min(self.next_write()).min(self.next_read())
    }

    fn next_write(&self) -> Instant {
        if self.written < self.app.send || self.wants_to_close() { self.write_at } else { Instant::NEVER }
    }

    fn wants_to_close(&self) -> bool {
        !self.closed && self.written == self.app.send && (self.app.closes_first || self.all_read())
    }

    fn all_read(&self) -> bool {
        self.peer_closed && self.read == self.received
    }

    fn next_read(&self) -> Instant {
        if self.read < self.received { self.read_at } else { Instant::NEVER }
    }

    /// Timers and the application.
    pub(crate) fn wake(&mut self, now: Instant) {
        let Some(conn) = &mut self.conn else { return };
        if conn.next_deadline().is_due(now) {
            let events = conn.on_timer(now);
            self.events.push(events);
            assert!(!conn.next_deadline().is_due(now), "a timer that does not move on: {self}");
        }
        self.write(now);
        self.read(now);
        self.check();
    }

    fn write(&mut self, now: Instant) {
        if !self.next_write().is_due(now) {
            return;
        }
        let Some(conn) = &mut self.conn else { return };
        let (amount, pause) = match self.app.writing {
            Writing::AtOnce => (u64::MAX, Duration::ZERO),
            Writing::Pieces(amount, pause) => (amount, pause),
        };
        self.written = self.app.send.min(self.written.saturating_add(amount));
        self.write_at = now + pause;
        conn.set_queued(self.written);
        if self.wants_to_close() && (self.conn().state() != State::SynSent) {
            self.closed = true;
            self.conn.as_mut().expect("opened").close(now);
        } else if self.wants_to_close() {
            // Closing in SYN-SENT would abort.
            self.write_at = now + Duration::from_millis(5);
        }
    }

    fn read(&mut self, now: Instant) {
        if !self.next_read().is_due(now) {
            return;
        }
        let unread = self.received - self.read;
        let (amount, pause) = match self.app.reading {
            None => (unread, Duration::ZERO),
            Some((amount, pause)) => (unread.min(u64::from(amount)), pause),
        };
        self.read += amount;
        self.read_all_at = now;
        self.read_at = now + pause;
        let space = self.space();
        let unread = (self.received - self.read) as u32;
        self.conn.as_mut().expect("opened").on_read(now, unread);
        self.conn.as_mut().expect("opened").set_receive_space(space);
        if self.wants_to_close() {
            self.write_at = now;
            self.write(now);
        }
    }

    fn space(&self) -> u32 {
        self.buffer.len() as u32 - (self.received - self.read) as u32
    }

    pub(crate) fn receive(&mut self, now: Instant, packet: Packet) -> Option<Packet> {
        self.watch_incoming(&packet);
        let len = packet.payload.len() as u32;
        let segment = Segment::new(&packet.header, &packet.options, len).with_ecn(packet.ecn);
        let Some(conn) = &mut self.conn else {
            let (isn, ts) = self.listen_with;
            if packet.has(TcpFlags::SYN) && !packet.has(TcpFlags::ACK) && !packet.has(TcpFlags::RST) {
                let mut conn = Connection::accept(self.config.clone(), now, isn, ts, &segment);
                conn.set_queued(self.written);
                self.conn = Some(conn);
                return None;
            }
            return bypath_tcp::reset_for(&segment).map(|tx| self.packet(&tx));
        };
        let out = conn.on_segment(now, &segment);
        assert!(out.skip + out.deliver <= len, "{out:?} of {len}");
        for byte in &packet.payload[out.skip as usize..(out.skip + out.deliver) as usize] {
            assert_eq!(*byte, pattern(1 - self.id, self.received), "at {}: {self}", self.received);
            self.take_slot(self.received);
            self.received += 1;
        }
        for _ in 0..out.released {
            let byte = self.take_slot(self.received);
            assert_eq!(byte, Some(pattern(1 - self.id, self.received)), "at {}: {self}", self.received);
            self.received += 1;
        }
        assert!(self.received - self.read <= self.buffer.len() as u64, "buffer overrun: {self}");
        if let Some(store) = out.store {
            assert!(store.skip + store.len <= len && store.len > 0, "{store:?} of {len}");
            let base = self.received + u64::from(store.ahead);
            assert!(store.ahead + store.len <= self.space(), "stored beyond the buffer: {store:?} {self}");
            for (i, byte) in packet.payload[store.skip as usize..][..store.len as usize].iter().enumerate() {
                let at = base + i as u64;
                let slot = (at % self.buffer.len() as u64) as usize;
                self.buffer[slot] = Some(*byte);
            }
        }
        if out.events.contains(Events::PEER_CLOSED) {
            assert!(!self.peer_closed, "the peer closes once: {self}");
            self.peer_closed = true;
            self.peer_closed_at = now;
        }
        if out.deliver + out.released > 0 {
            let space = self.space();
            self.conn.as_mut().expect("opened").set_receive_space(space);
        }
        self.events.push(out.events);
        self.check();
        out.reply.map(|tx| self.packet(&tx))
    }

    fn take_slot(&mut self, at: u64) -> Option<u8> {
        let slot = (at % self.buffer.len() as u64) as usize;
        self.buffer[slot].take()
    }

    pub(crate) fn transmit(&mut self, now: Instant) -> Option<Packet> {
        let conn = self.conn.as_mut()?;
        if self.id == 1 && self.burst.is_empty() {
            // One end asks for many segments at once, the other for one at a time.
            match conn.poll_burst(now, 5) {
                Poll::Burst(burst) => self.burst.extend(burst.segments()),
                Poll::Nothing => assert_eq!(conn.poll_transmit(now), None),
                Poll::Unusual => {}
            }
        }
        let tx = self.burst.pop_front().or_else(|| conn.poll_transmit(now))?;
        let packet = self.packet(&tx);
        self.watch_outgoing(&tx);
        Some(packet)
    }

    fn packet(&self, tx: &TxSegment) -> Packet {
        let header = TcpHeader {
            seq: tx.seq,
            ack: tx.ack,
            flags: tx.flags,
            window: tx.window,
            ..TcpHeader::default()
        };
        let payload = (tx.offset..tx.offset + u64::from(tx.len)).map(|at| pattern(self.id, at)).collect();
        Packet { header, options: tx.options.clone(), payload, ecn: tx.ecn }
    }

    fn watch_incoming(&mut self, packet: &Packet) {
        let h = &packet.header;
        if h.flags.contains(TcpFlags::SYN) {
            self.syn_scales.1 = packet.options.window_scale;
            self.agree_on_scales();
            if h.flags.contains(TcpFlags::ACK) {
                self.raise_peer_edge(h.ack + u32::from(h.window));
            }
        } else if h.flags.contains(TcpFlags::ACK) {
            self.raise_peer_edge(h.ack + (u32::from(h.window) << self.peer_scale));
        }
    }

    fn raise_peer_edge(&mut self, edge: SeqNum) {
        self.peer_edge = Some(self.peer_edge.map_or(edge, |e| e.later(edge)));
    }

    fn agree_on_scales(&mut self) {
        if let (Some(own), Some(peer)) = self.syn_scales {
            (self.own_scale, self.peer_scale) = (own, peer.min(14));
        }
    }

    fn watch_outgoing(&mut self, tx: &TxSegment) {
        let syn = tx.flags.contains(TcpFlags::SYN);
        let fin = tx.flags.contains(TcpFlags::FIN);
        assert!(tx.options.encoded_len() <= 40);
        if tx.flags.contains(TcpFlags::RST) {
            return;
        }
        if syn {
            self.syn_scales.0 = tx.options.window_scale;
            self.agree_on_scales();
            self.highest_sent = Some(tx.seq + 1);
        } else {
            assert!(tx.options.encoded_len() as u32 + tx.len <= u32::from(self.config.mss), "{tx:?}");
        }
        self.most_in_one = self.most_in_one.max(tx.len);
        let end = tx.seq + tx.len + u32::from(fin);
        assert!(tx.offset + u64::from(tx.len) <= self.written, "bytes that were never given: {tx:?} {self}");
        if tx.len > 0 || fin {
            let highest = self.highest_sent.expect("SYN first");
            let again = tx.seq.before(highest);
            assert!(tx.seq.at_or_before(highest), "a gap in what is sent: {tx:?} {self}");
            assert!(again || !tx.retransmission, "{tx:?} {self}");
            self.highest_sent = Some(highest.later(end));
            let edge = self.peer_edge.expect("a window first");
            let probe = end.offset_from(tx.seq) == 1;
            assert!(end.at_or_before(edge) || probe, "beyond the window {}: {tx:?} {self}", edge.0);
        }
        if tx.flags.contains(TcpFlags::ACK) {
            let scale = if syn { 0 } else { self.own_scale };
            let edge = tx.ack + (u32::from(tx.window) << scale);
            if let Some(before) = self.edge_sent {
                // The scale may round the edge, never by a whole unit (RFC 7323 section 2.4).
                let back = before.offset_from(edge);
                assert!(back < 1 << scale, "the window shrinks by {back}: {tx:?} {self}");
            }
            if let Some(before) = self.ack_sent {
                assert!(tx.ack.at_or_after(before), "the acknowledgement moves back: {tx:?} {self}");
            }
            let promised = edge.offset_from(tx.ack);
            assert!(
                promised as u32 <= self.space(),
                "more than there is: {promised} of {} {self}",
                self.space()
            );
            (self.edge_sent, self.ack_sent) =
                (Some(self.edge_sent.map_or(edge, |e| e.later(edge))), Some(tx.ack));
        }
    }

    fn check(&self) {
        let conn = self.conn();
        assert!(conn.acknowledged() <= conn.queued(), "{self}");
        assert!(conn.queued() <= self.app.send, "{self}");
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "host {}: written {} received {} read {} peer_closed {} closed {}",
            self.id, self.written, self.received, self.read, self.peer_closed, self.closed
        )?;
        match &self.conn {
            Some(conn) => write!(f, "{conn:?}"),
            None => write!(f, "no connection"),
        }
    }
}
