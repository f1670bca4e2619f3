//! How connections come about: opened at their time, with their first bytes or without, or on the ports of one that is
//! over; and accepted, at once or when the host finds the time.

use std::net::SocketAddr;

use crate::app::{Endpoint, Progress};
use crate::event::Event;
use crate::host::host_at;
use crate::invariants::Violation;
use crate::link::nanos;
use crate::packet::host_address;
use crate::plan::{ConnectionPlan, Plan};
use crate::world::World;

use bypath_tcp::Instant;

/// Until a port is free that an earlier connection holds, it is asked for so often, nanoseconds.
const ASK_AGAIN: u64 = 700_000_000;

/// A connection that takes the ports of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Successor {
    /// The endpoint that opens it.
    client: usize,
    /// So long after the end of the other, nanoseconds.
    after: u64,
}

impl World {
    pub(crate) fn add(&mut self, plan: &Plan, index: usize, connection: &ConnectionPlan) {
        let [client, server] = connection.hosts;
        let address = |host: usize, port| SocketAddr::new(host_address(host, plan.hosts[host].v6), port);
        let ends = [address(client, connection.ports[0]), address(server, connection.ports[1])];
        let seed = plan.seed ^ (index as u64) << 32;
        let seeds = [seed, seed ^ 0x5555];
        let first = self.endpoints.len();
        for side in 0..2 {
            let host = connection.hosts[side];
            let other = 1 - side;
            let limit = u64::from(plan.hosts[host].options.tcp.receive_buffer.next_power_of_two());
            let id = self.endpoints.len();
            self.endpoints.push(Endpoint::new(
                host,
                (ends[side], ends[other]),
                connection.scripts[side].clone(),
                (seeds[side], seeds[other]),
                Some(limit),
            ));
            self.hosts[host].live.push(id);
            self.open += 1;
        }
        let at = nanos(connection.at);
        match connection.after {
            Some(before) => {
                self.successors.insert(before, Successor { client: first, after: at });
            }
            None => {
                self.endpoints[first].wake_at = at;
                self.events.push(at, Event::Endpoint(first as u32));
                self.introduce(first);
            }
        }
    }

    /// From now on what comes to the addresses of a connection is this one's.
    fn introduce(&mut self, client: usize) {
        for id in [client, client + 1] {
            let (end, other) = (&self.endpoints[id], &self.endpoints[id ^ 1]);
            self.by_ports.insert((end.host, end.local.port(), other.host, other.local.port()), id);
            self.offer_of(id);
        }
    }

    fn offer_of(&mut self, id: usize) {
        let endpoint = &self.endpoints[id];
        if let Some(watch) = &mut self.watch {
            watch.offer(endpoint.local, endpoint.remote, endpoint.offer());
        }
    }

    /// An application is done: when both of a connection are, the one that waits for its ports may begin.
    pub(crate) fn make_way(&mut self, id: usize) {
        if self.endpoints[id ^ 1].is_over()
            && let Some(next) = self.successors.remove(&(id / 2))
        {
            let at = self.now + next.after;
            self.endpoints[next.client].wake_at = at;
            self.events.push(at, Event::Endpoint(next.client as u32));
        }
    }

    pub(crate) fn endpoint_wakes(&mut self, id: usize) -> Result<(), Violation> {
        let endpoint = &mut self.endpoints[id];
        if endpoint.wake_at != self.now {
            return Ok(());
        }
        endpoint.wake_at = u64::MAX;
        let index = endpoint.host;
        let host = &mut self.hosts[index];
        host.touched.clear();
        host.touched.push(id);
        if endpoint.progress == Progress::Waiting {
            // The stack learns the time first.
            host.stack.poll(Instant::from_nanos(self.now));
            let (remote, port) = (endpoint.remote, endpoint.local.port());
            let opened = if host.fast_open {
                let first = endpoint.first_bytes(&mut self.buffer);
                host.stack.connect_with_data(remote, port, first)
            } else {
                host.stack.connect(remote, port).map(|socket| (socket, 0))
            };
            let again =
                self.by_ports.get(&(index, port, self.endpoints[id ^ 1].host, remote.port())) != Some(&id);
            match opened {
                Ok((socket, given)) => {
                    host.opened += 1;
                    self.endpoints[id].open(socket);
                    self.endpoints[id].gave(given as u64);
                    self.introduce(id);
                }
                // The connection before holds its port until its TIME-WAIT is over, or this one may follow on it.
                Err(e) if again && e.kind() == std::io::ErrorKind::AddrInUse => {
                    let at = self.now + ASK_AGAIN;
                    self.endpoints[id].wake_at = at;
                    self.events.push(at, Event::Endpoint(id as u32));
                }
                Err(e) => return Err(Violation(format!("cannot open a connection: {e}"))),
            }
        }
        self.round(index)
    }

    /// The pause after the last connection is over.
    pub(crate) fn accept_again(&mut self, index: usize) -> Result<(), Violation> {
        self.hosts[index].touched.clear();
        self.round(index)
    }

    /// Takes the connections that wait. `true`: one was not wanted.
    pub(crate) fn accept(&mut self, index: usize) -> Result<bool, Violation> {
        let mut closed = false;
        let host = &mut self.hosts[index];
        for listener in &host.listeners {
            while self.now >= host.accept_at
                && let Some(socket) = host.stack.accept(*listener)
            {
                let (local, remote) = host.stack.addresses(socket).map_err(|e| Violation(e.to_string()))?;
                let other = host_at(remote);
                let id = self.by_ports.get(&(index, local.port(), other, remote.port()));
                let Some(id) = id.copied() else {
                    return Err(Violation(format!("accepts a connection that nobody opened: {remote}")));
                };
                host.opened += 1;
                if host.accept_pause > 0 {
                    host.accept_at = self.now + host.accept_pause;
                    self.events.push(host.accept_at, Event::Accept(index as u32));
                }
                if self.endpoints[id].progress != Progress::Waiting {
                    // A cookie is good more than once: the acknowledgement that completed the handshake, come
                    // twice, opens the connection anew when it is over. So does a SYN with data and a cookie.
                    if !self.rules.replays {
                        return Err(Violation(format!("accepts a connection twice: {remote}")));
                    }
                    if let Some(watch) = &mut self.watch {
                        watch.forget(local, remote);
                    }
                    host.stack.close(socket);
                    closed = true;
                    continue;
                }
                self.endpoints[id].open(socket);
                host.touched.push(id);
            }
        }
        Ok(closed)
    }
}
