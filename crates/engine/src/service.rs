//! Applications that run on the worker itself, to completion: they see received bytes where the device put
//! them, and give sources to send from.

use std::net::SocketAddr;
use std::sync::Arc;

use bypath_tcp::{CloseReason, Connection, ConnectionInfo, ConnectionStats, Instant, State};

use crate::desk::Desk;
use crate::flow_table::FlowKey;
use crate::segment_log::AckedSegment;
use crate::slab::FlowId;
use crate::source::{SendQueue, SendSource};

/// Names a connection of a worker, for as long as it lives; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn of(id: FlowId) -> Self {
        Self(u64::from(id.generation) << 32 | u64::from(id.index))
    }

    pub(crate) fn flow(self) -> FlowId {
        FlowId { index: self.0 as u32, generation: (self.0 >> 32) as u32 }
    }

    /// Its place among the worker's connections: below [`crate::EngineBuilder::max_connections`], given again when
    /// the connection is gone, and as small as can be. To index what a service keeps for each connection.
    pub fn slot(self) -> usize {
        self.0 as u32 as usize
    }
}

/// An application on a worker. Every worker has its own, so it needs no locks; it must not block.
pub trait Service: Send {
    /// A connection is open: to the service's port, or one that it has begun.
    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        let _ = connection;
    }

    /// Of how many connections at once data may come with the SYN, before the handshake is complete (RFC 7413). None,
    /// unless overridden: such data may come twice, from an address that only a cookie vouches for. A connection is
    /// open when its data comes.
    fn fast_open(&self) -> usize {
        0
    }

    /// The next bytes of a connection, in order. They are gone when this returns.
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]);

    /// The peer has acknowledged more of what was sent: there is room to write again.
    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        let _ = connection;
    }

    /// The peer sends no more. Closes this direction too, unless overridden.
    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        connection.close();
    }

    /// The connection is gone; one that the service has begun may never have been open.
    fn on_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        let _ = (id, reason);
    }

    /// A datagram from `remote` to one of the service's UDP ports ([`crate::EngineBuilder::service_datagrams`]), in
    /// pieces where it came in several frames. `true` sends what was put into `reply`, which is empty before, back to
    /// where it came from.
    fn on_datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[&[u8]],
        reply: &mut Vec<u8>,
    ) -> bool {
        let _ = (local, remote, payload, reply);
        false
    }

    /// When [`Service::on_wake`] wants to be called next; looked at after every round of the worker, which sleeps no
    /// longer than that. A time in the past means the next round.
    fn next_wake(&self) -> Option<Instant> {
        None
    }

    /// The time has come; also called once when the worker begins.
    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        let _ = desk;
    }

    /// Data segments that the peer has acknowledged, each once. Only of an engine that was built with
    /// [`crate::EngineBuilder::observe_segments`]. Comes before [`Service::on_acknowledged`].
    fn on_segments_acked(&mut self, connection: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        let _ = (connection, samples);
    }
}

/// No service.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoService;

impl Service for NoService {
    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, _data: &[u8]) {
        connection.close();
    }
}

/// A connection in the hands of its service.
#[derive(Debug)]
pub struct ServiceConnection<'a> {
    about: About<'a>,
    conn: &'a mut Connection,
    queue: &'a mut SendQueue,
    unread: &'a mut u32,
    abort: &'a mut bool,
}

/// What a service is called about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) id: FlowId,
    pub(crate) key: &'a FlowKey,
    pub(crate) now: Instant,
}

impl<'a> About<'a> {
    /// The connection as the service may use it; `abort` is set if it gives the connection up.
    pub(crate) fn connection(
        self,
        conn: &'a mut Connection,
        queue: &'a mut SendQueue,
        unread: &'a mut u32,
        abort: &'a mut bool,
    ) -> ServiceConnection<'a> {
        ServiceConnection { about: self, conn, queue, unread, abort }
    }
}

impl ServiceConnection<'_> {
    /// Its name.
    pub fn id(&self) -> ConnectionId {
        ConnectionId::of(self.about.id)
    }

    /// Our address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.about.key.local()
    }

    /// The peer's.
    pub fn peer_addr(&self) -> SocketAddr {
        self.about.key.remote()
    }

    /// Time on the worker's clock.
    pub fn now(&self) -> Instant {
        self.about.now
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.conn.state()
    }

    /// Whether more can be given to be sent: not after [`ServiceConnection::close`].
    fn is_open(&self) -> bool {
        matches!(
            self.conn.state(),
            State::SynSent | State::SynReceived | State::Established | State::CloseWait
        )
    }

    /// Copies bytes to be sent; as many as there is room for, which is returned. None after
    /// [`ServiceConnection::close`].
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if !self.is_open() {
            return 0;
        }
        let n = self.queue.write(bytes);
        self.conn.set_queued(self.queue.end());
        n
    }

    /// At most so many written bytes may be outstanding from here on, instead of the engine's send buffer
    /// ([`crate::EngineBuilder::send_buffer`]). Memory is taken as it is needed, from a few hundred bytes up.
    pub fn set_write_ahead(&mut self, bytes: usize) {
        self.queue.set_limit(bytes);
    }

    /// Bytes that [`ServiceConnection::write`] would take now.
    pub fn room(&self) -> usize {
        self.queue.room()
    }

    /// Sends all of `source`, without copying it before the segments are built; nothing after
    /// [`ServiceConnection::close`].
    pub fn send(&mut self, source: Arc<dyn SendSource>) {
        if !self.is_open() {
            return;
        }
        self.queue.push(source);
        self.conn.set_queued(self.queue.end());
    }

    /// Sends `len` bytes of `source` from `offset` on, or as many as it has; nothing after
    /// [`ServiceConnection::close`]. One source can serve many parts and connections at once.
    pub fn send_part(&mut self, source: Arc<dyn SendSource>, offset: u64, len: u64) {
        if !self.is_open() {
            return;
        }
        self.queue.push_part(source, offset, len);
        self.conn.set_queued(self.queue.end());
    }

    /// What there is to tell of the connection, in the manner of `TCP_INFO`. Gathered for the asking, from all that is
    /// outstanding: not for every packet.
    pub fn info(&self) -> ConnectionInfo {
        self.conn.info()
    }

    /// Its counters, at no cost.
    pub fn stats(&self) -> &ConnectionStats {
        self.conn.stats()
    }

    /// Sends small segments at once, or lets them wait for an acknowledgement (Nagle).
    pub fn set_nodelay(&mut self, on: bool) {
        self.conn.set_nodelay(on);
    }

    /// Bytes given and not acknowledged yet.
    pub fn outstanding(&self) -> u64 {
        self.conn.queued() - self.conn.acknowledged()
    }

    /// Of these, bytes that were not sent even once: their sources have not been read yet.
    pub fn unsent(&self) -> u64 {
        let sent = self.conn.offset_of(self.conn.snd_nxt()).unwrap_or_else(|| self.conn.acknowledged());
        self.conn.queued().saturating_sub(sent)
    }

    /// Bytes of the outgoing stream that the peer has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.conn.acknowledged()
    }

    /// Of what was received, `bytes` have not been dealt with yet: the peer may send that much less, until this
    /// says otherwise. Without it a peer that sends faster than its data is used is never held back.
    pub fn set_unread(&mut self, bytes: usize) {
        *self.unread = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.conn.on_read(self.about.now, *self.unread);
        self.conn.set_receive_space(self.conn.receive_buffer().saturating_sub(*self.unread));
    }

    /// No more will be sent.
    pub fn close(&mut self) {
        self.conn.close(self.about.now);
    }

    /// Resets the connection.
    pub fn abort(&mut self) {
        *self.abort = true;
    }
}
