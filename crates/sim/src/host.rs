//! A host: its stack, its listeners, and which of its applications have something to look at.

use std::net::SocketAddr;

use bypath::by_hand::{Link, Memory, Stack, TcpPort};

use crate::link::nanos;
use crate::packet::{Medium, host_address, host_mac};
use crate::plan::Plan;

pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) listeners: Vec<TcpPort>,
    /// Endpoints that are not done.
    pub(crate) live: Vec<usize>,
    /// Endpoints to be looked at in this round.
    pub(crate) touched: Vec<usize>,
    /// When the timer event that counts will come.
    pub(crate) wake_at: u64,
    /// Length of a batch.
    pub(crate) coalesce: u64,
    /// Its applications give their first bytes with the connection, and take them with it.
    pub(crate) fast_open: bool,
    /// Nothing is accepted before, and for how long after each connection.
    pub(crate) accept_at: u64,
    pub(crate) accept_pause: u64,
    /// What it may keep for received data.
    pub(crate) most_memory: Memory,
    /// Connections that it ever had.
    pub(crate) opened: usize,
    /// Rounds at the same nanosecond.
    rounds: (u64, u32),
}

/// Rounds of one host at the same nanosecond: more are a loop that no time passes in.
const ROUNDS_AT_ONCE: u32 = 10_000;
/// With more endpoints than this, a host looks only at those that packets concern.
pub(crate) const FEW: usize = 8;

impl Host {
    pub(crate) fn new(plan: &Plan, index: usize) -> Self {
        let host = &plan.hosts[index];
        let mut options = host.options.clone();
        options.seed = plan.seed.rotate_left(17) ^ index as u64;
        options.link = match plan.medium {
            Medium::Ethernet => Link::Ethernet(host_mac(index)),
            Medium::Ip => Link::Ip,
        };
        let mut stack = Stack::new(&options).expect("random numbers for a stack");
        let address = host_address(index, host.v6);
        stack.add_address(address, if host.v6 { 64 } else { 16 });
        let mut ports: Vec<u16> =
            plan.connections.iter().filter(|c| c.hosts[1] == index).map(|c| c.ports[1]).collect();
        ports.sort_unstable();
        ports.dedup();
        let listeners: Vec<TcpPort> =
            ports.into_iter().map(|port| stack.listen((address, port).into(), host.backlog)).collect();
        if host.fast_open {
            listeners.iter().for_each(|listener| stack.set_fast_open(*listener, host.backlog));
        }
        Self {
            stack,
            listeners,
            live: Vec::new(),
            touched: Vec::new(),
            wake_at: u64::MAX,
            coalesce: nanos(host.coalesce),
            fast_open: host.fast_open,
            accept_at: 0,
            accept_pause: nanos(host.accept_pause),
            most_memory: Memory {
                receive: host.options.receive_memory,
                reassembly: host.options.reassembly_memory,
            },
            opened: 0,
            rounds: (0, 0),
        }
    }

    /// Another round at `now`; `true`: there have been too many.
    pub(crate) fn goes_round(&mut self, now: u64) -> bool {
        self.rounds = if self.rounds.0 == now { (now, self.rounds.1 + 1) } else { (now, 0) };
        self.rounds.1 > ROUNDS_AT_ONCE
    }

    /// When an event is to be filed for the stack's next timer, unless an earlier one is.
    pub(crate) fn wake(&mut self, now: u64) -> Option<u64> {
        let at = self.stack.next_deadline()?.as_nanos().max(now + 1);
        (at < self.wake_at).then(|| {
            self.wake_at = at;
            at
        })
    }
}

/// The host that has an address.
pub(crate) fn host_at(address: SocketAddr) -> usize {
    let low = match address.ip() {
        std::net::IpAddr::V4(a) => u16::from_be_bytes([a.octets()[2], a.octets()[3]]),
        std::net::IpAddr::V6(a) => a.segments()[7],
    };
    usize::from(low).wrapping_sub(1)
}
