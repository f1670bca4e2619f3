//! Where a client sits: the service that the engine runs, on each worker that has one.

use bypath::{AckedSegment, CloseReason, ConnectionId, Desk, Instant, Service, ServiceConnection};

use super::client::Client;
use super::exchange::Exchange;

/// A client as the engine is given it: workers beyond those that the load was divided among have none.
pub(super) struct Seat<E: Exchange>(pub(super) Option<Client<E>>);

impl<E: Exchange> Service for Seat<E> {
    fn next_wake(&self) -> Option<Instant> {
        self.0.as_ref().and_then(Client::next_wake)
    }

    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        if let Some(client) = &mut self.0 {
            client.on_wake(desk);
        }
    }

    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        if let Some(client) = &mut self.0 {
            client.opened(connection);
        }
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        if let Some(client) = &mut self.0 {
            client.received(connection, data);
        }
    }

    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        if let Some(client) = &mut self.0 {
            client.acknowledged(connection);
        }
    }

    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        if let Some(client) = &mut self.0 {
            client.peer_closed(connection);
        }
    }

    fn on_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(client) = &mut self.0 {
            client.closed(id, reason);
        }
    }

    fn on_segments_acked(&mut self, _connection: &mut ServiceConnection<'_>, samples: &[AckedSegment]) {
        if let Some(client) = &mut self.0 {
            client.segments_acked(samples);
        }
    }
}
