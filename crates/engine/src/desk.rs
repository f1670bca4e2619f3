//! What a service has before it when it is woken: time, connections to open and to use, its worker's figures.

use std::net::{IpAddr, SocketAddr};

use bypath_tcp::Instant;
use bypath_xdp::DeviceStats;

use crate::packet::NO_FLOW;
use crate::service::{ConnectionId, ServiceConnection};
use crate::stack::Stack;
use crate::stack::foresight::AHEAD;
use crate::worker_stats::WorkerStats;

/// Why a connection could not be begun. One that was begun and failed is told of by
/// [`crate::Service::on_closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Every source port of the local address is in use towards this destination.
    #[error("no free source port is left for this destination: use more local addresses")]
    PortsExhausted,
    /// There is no way to the destination.
    #[error("no route to the destination: give a gateway, or an address in its network")]
    NoRoute,
    /// The local address is none of the engine's, or of the other family.
    #[error("the local address is not one of the engine's")]
    NotLocal,
    /// The worker has as many connections as it was made for.
    #[error("the worker has as many connections as it was made for: raise max_connections")]
    TooManyConnections,
}

/// What a desk knows of the worker besides its stack.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Its number.
    pub(crate) worker: usize,
    /// Where its time went. Asked for only when somebody wants to know.
    pub(crate) time: &'a dyn Fn() -> WorkerStats,
    pub(crate) device: &'a dyn Fn() -> DeviceStats,
}

/// A worker as its service may use it in [`crate::Service::on_wake`]. What is asked for here is sent when that
/// returns; what comes of it is told by the service's other methods.
pub struct Desk<'a> {
    stack: &'a mut Stack,
    now: Instant,
    worker: &'a Surroundings<'a>,
    stop: bool,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("worker", &self.worker()).field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> Desk<'a> {
    pub(crate) fn new(stack: &'a mut Stack, now: Instant, worker: &'a Surroundings<'a>) -> Self {
        Self { stack, now, worker, stop: false }
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.stop
    }

    /// Time on the worker's clock, which begins when the worker does.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Number of the worker.
    pub fn worker(&self) -> usize {
        self.worker.worker
    }

    /// Begins a connection to `remote`, from `local` if given, from the address that the routes choose otherwise.
    /// [`crate::Service::on_open`] tells that it is open, [`crate::Service::on_closed`] that it failed.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was sent then.
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Result<ConnectionId, ConnectError> {
        self.stack.connect_client(self.now, remote, local).map(ConnectionId::of)
    }

    /// A connection of this worker's service, while it exists.
    pub fn connection(&mut self, id: ConnectionId) -> Option<ServiceConnection<'_>> {
        self.stack.service_connection(self.now, id.flow())
    }

    /// Asks for what is kept of these connections of this worker's, which are about to be used. Among many connections
    /// the processor then waits for all of their memory at once.
    pub fn prefetch(&self, ids: &[ConnectionId]) {
        for some in ids.chunks(AHEAD) {
            let mut flows = [NO_FLOW; AHEAD];
            for (flow, id) in flows.iter_mut().zip(some) {
                *flow = id.flow().index;
            }
            self.stack.fetch(&flows[..some.len()]);
        }
    }

    /// The worker's figures as of now. The kernel is asked for some of them: for every interval, not for every wake-up.
    pub fn counters(&self) -> WorkerStats {
        WorkerStats {
            flows: self.stack.flow_count(),
            counters: self.stack.counters,
            device: (self.worker.device)(),
            ..(self.worker.time)()
        }
    }

    /// This worker's service is done. When all of them are, the engine stops: connections that are being closed get a
    /// moment to finish, those that are open are reset, and [`crate::Engine::wait`] returns.
    pub fn stop(&mut self) {
        self.stop = true;
    }
}
