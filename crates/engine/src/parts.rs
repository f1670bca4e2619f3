//! The flow table and the timers by themselves, for the benchmarks. Not part of the library's promise.

use std::net::SocketAddr;

use crate::flow_table::{FlowHasher, FlowKey, FlowTable};
use crate::timer_wheel::TimerWheel;

/// Flows of a worker by addresses and ports.
#[derive(Debug)]
pub struct Flows(FlowTable);

impl Flows {
    /// Room for so many.
    pub fn with_capacity(flows: usize) -> Self {
        Self(FlowTable::with_capacity(flows, FlowHasher::with_seeds([1, 2, 3, 4])))
    }

    /// Files a flow between two ends at `index`. `false`: it is there already.
    pub fn insert(&mut self, local: SocketAddr, remote: SocketAddr, index: u32) -> bool {
        FlowKey::new(local, remote).is_some_and(|key| self.0.insert(key, index).is_ok())
    }

    /// Where the flow between two ends is.
    pub fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
        self.0.find(&FlowKey::new(local, remote)?)
    }
}

/// Timers of a worker's flows.
#[derive(Debug)]
pub struct Timers(TimerWheel);

impl Timers {
    /// One for each of so many flows.
    pub fn with_capacity(flows: usize) -> Self {
        Self(TimerWheel::with_capacity(flows, 1 << 13))
    }

    /// Sets or moves the timer of a flow.
    pub fn schedule(&mut self, flow: u32, deadline_ns: u64) {
        self.0.schedule(flow, deadline_ns);
    }

    /// A flow whose timer is due.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<u32> {
        self.0.pop_due(now_ns)
    }
}
