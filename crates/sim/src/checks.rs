//! What must hold of hosts, applications and links, beyond what each packet shows.

use bypath::by_hand::Memory;

use crate::app::{Endpoint, Progress};
use crate::host::FEW;
use crate::invariants::Violation;
use crate::world::World;

impl World {
    /// What must hold of a host after a round.
    pub(crate) fn check_host(&mut self, index: usize) -> Result<(), Violation> {
        let host = &self.hosts[index];
        if host.stack.connections() > host.opened + self.endpoints.len() {
            return Err(Violation(format!("host {index} has more connections than were ever opened")));
        }
        if host.live.len() > FEW {
            return Ok(());
        }
        let memory = host.stack.memory();
        if memory.receive > host.most_memory.receive || memory.reassembly > host.most_memory.reassembly {
            return Err(Violation(format!("host {index} keeps more than it may: {memory:?}")));
        }
        if host.stack.next_deadline().is_some() {
            return Ok(());
        }
        for id in &host.live {
            let endpoint = &self.endpoints[*id];
            // An application that pauses has not seen yet that its connection is over.
            let alive = endpoint.socket.is_some_and(|socket| !host.stack.is_closed(socket));
            if alive && !self.is_acknowledged(endpoint) {
                return Err(Violation(format!(
                    "a silent stall: {} has data that {} has not acknowledged, and no timer runs",
                    endpoint.local, endpoint.remote
                )));
            }
        }
        Ok(())
    }

    /// Whether the peer has said that it has all that the application has given, as far as can be known.
    fn is_acknowledged(&self, endpoint: &Endpoint) -> bool {
        // Of a connection that an old cookie opened again, the watch has forgotten what was before.
        self.rules.replays
            || self
                .watch
                .as_ref()
                .is_none_or(|w| w.acknowledged(endpoint.local, endpoint.remote) >= endpoint.sent)
    }

    /// What must hold of an application that is done.
    pub(crate) fn check_end(&self, id: usize) -> Result<(), Violation> {
        let endpoint = &self.endpoints[id];
        let other = &self.endpoints[id ^ 1];
        let may_fail = self.rules.may_fail || endpoint.script().aborts() || other.script().aborts();
        match endpoint.progress {
            Progress::Failed(kind) if !may_fail => Err(Violation(format!(
                "the connection of {} to {} failed: {kind}",
                endpoint.local, endpoint.remote
            ))),
            Progress::Done if !other.script().aborts() && endpoint.received != other.script().total() => {
                Err(Violation(format!(
                    "the stream from {} to {} ended after {} of {} bytes",
                    endpoint.remote,
                    endpoint.local,
                    endpoint.received,
                    other.script().total()
                )))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn at_end(&self) -> Result<(), Violation> {
        let may_fail = self.rules.may_fail;
        for (index, link) in self.links.iter().enumerate() {
            if !link.is_conserved() {
                return Err(Violation(format!("link {index} has lost count: {:?}", link.stats)));
            }
        }
        if self.rules.stops_early() {
            return Ok(());
        }
        let mut forgotten = vec![0; self.hosts.len()];
        for (id, endpoint) in self.endpoints.iter().enumerate() {
            let other = &self.endpoints[id ^ 1];
            let excused = may_fail || other.script().aborts() || endpoint.script().aborts();
            // Nobody tells an end that only waits that the other has gone, when the reset is lost. That is TCP
            // without keep-alives.
            if endpoint.is_open() && excused && self.is_acknowledged(endpoint) {
                forgotten[endpoint.host] += 1;
                continue;
            }
            if endpoint.is_open() || (endpoint.progress == Progress::Waiting && !excused) {
                return Err(Violation(format!(
                    "nothing will ever happen again, and {} is not done with {}: {:?}, sent {}, received {}",
                    endpoint.local, endpoint.remote, endpoint.progress, endpoint.sent, endpoint.received
                )));
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let left = host.stack.connections();
            if left > forgotten[index] {
                return Err(Violation(format!("host {index} is left with {left} connections and no timer")));
            }
            let memory = host.stack.memory();
            if left == 0 && memory != Memory::default() {
                return Err(Violation(format!("host {index} is left with {memory:?} and no connection")));
            }
        }
        if self.events.packets() > 0 {
            return Err(Violation("packets are left".into()));
        }
        Ok(())
    }
}
