//! A flow: one TCP connection at its place in a worker, with the way its packets take and the application it
//! belongs to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bypath_tcp::{CloseReason, Connection, Instant, TxSegment};

use crate::flow_table::FlowKey;
use crate::growing_ring::GrowingProducer;
use crate::ring::{ByteConsumer, ByteProducer};
use crate::segment_log::SegmentLog;
use crate::service::Service;
use crate::socket::listener::ListenerShared;
use crate::socket::shared::SocketShared;
use crate::source::SendQueue;
use crate::stack::memory::Held;
use crate::template::Template;

/// Whether the link address that a flow sends to is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// In the template.
    Ready,
    /// Being asked for: nothing is sent meanwhile.
    Waiting,
}

/// Who is told, when a flow is gone, that its port is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The control plane: it chose the port, or counts the connections of a listener's.
    Control,
    /// This worker's own source ports.
    Client,
    /// Nobody: the port is a service's for as long as the engine runs.
    Service,
}

/// Who reads and writes the stream.
pub(crate) enum App {
    /// A socket on another thread, or of a stack driven by hand.
    Socket(SocketEnd),
    /// The worker's own service.
    Service(Box<ServiceEnd>),
}

/// The connection's ends of a socket's rings.
pub(crate) struct SocketEnd {
    /// The application wants its first bytes to go with the SYN.
    pub(crate) fast_open: bool,
    /// The listener that counts this connection among those whose handshake is not complete though their data is
    /// taken.
    pub(crate) opening: Option<Arc<ListenerShared>>,
    pub(crate) incoming: GrowingProducer,
    pub(crate) outgoing: ByteConsumer,
    pub(crate) shared: Arc<SocketShared>,
    /// Something was read or written since the socket was last told.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// What a service's connection keeps.
pub(crate) struct ServiceEnd {
    pub(crate) queue: SendQueue,
    /// Bytes ahead of their turn, while there are any.
    pub(crate) reassembly: Option<(ByteProducer, ByteConsumer)>,
    /// Received bytes that the service still has to deal with; they narrow the window.
    pub(crate) unread: u32,
    /// Counted among those whose handshake is not complete though their data is taken.
    pub(crate) opening: bool,
    /// The service has given the connection up, outside of a call about it.
    pub(crate) abort: bool,
    /// What was sent and is not acknowledged, where segments are observed.
    pub(crate) log: Option<SegmentLog>,
}

impl ServiceEnd {
    /// Nothing is under way here, and nothing will be before something happens.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.queue.is_empty()
            && self.reassembly.is_none()
            && self.unread == 0
            && !self.opening
            && !self.abort
            && self.log.as_ref().is_none_or(SegmentLog::is_empty)
    }
}

/// One connection of a worker.
pub(crate) struct Flow {
    pub(crate) conn: Connection,
    pub(crate) app: App,
    pub(crate) key: FlowKey,
    pub(crate) keeper: Keeper,
    pub(crate) link: Link,
    /// In the list of flows to be looked at after the batch.
    pub(crate) dirty: bool,
    /// In the list of flows whose acknowledgement waits for more to cover.
    pub(crate) ack_held: bool,
    /// Queue of the device on which the peer's packets come.
    pub(crate) queue: u16,
    /// IPv4 identification of the next packet.
    pub(crate) ip_id: u16,
    /// When the timer wheel will fire; `u64::MAX`: not filed.
    pub(crate) timer_at: u64,
    pub(crate) next_hop: IpAddr,
    /// When progress vouches for the neighbour next.
    pub(crate) confirm_at: Instant,
    pub(crate) template: Template,
    /// Retransmissions already added to the stack's counters.
    pub(crate) counted_retrans: u64,
    /// Its part of the stack's memory.
    pub(crate) held: Held,
    /// The reset of a connection that its application gave up, until it is sent.
    pub(crate) pending_reset: Option<Box<TxSegment>>,
}

impl Flow {
    pub(crate) fn local(&self) -> SocketAddr {
        self.key.local()
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.key.remote()
    }

    /// Retransmissions since this was asked last.
    pub(crate) fn uncounted_retransmissions(&mut self) -> u64 {
        let all = self.conn.stats().segs_retrans;
        all - std::mem::replace(&mut self.counted_retrans, all)
    }

    /// There is no place for it: whoever waits for it is told.
    pub(crate) fn give_up(self) {
        match self.app {
            App::Socket(end) => end.shared.set_closed(CloseReason::Aborted),
            App::Service(_) => {}
        }
    }
}

/// What the stack needs of a service, when its type is erased.
pub(crate) type BoxedService = Box<dyn Service>;
