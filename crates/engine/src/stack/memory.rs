//! What all connections of a stack together may keep: receive buffers that have grown, and data ahead of its turn.
//! Each connection has bounds of its own as well; these are for many of them at once.

use bypath_tcp::Connection;

use super::Stack;
use crate::flow::{App, Flow, SocketEnd};

/// Bounds of a stack, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLimits {
    /// Receive buffers, over what each has when its connection opens.
    pub(crate) receive: u64,
    /// Data received ahead of its turn.
    pub(crate) reassembly: u64,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { receive: 256 << 20, reassembly: 64 << 20 }
    }
}

/// What a flow holds of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    receive: u64,
    pub(super) reassembly: u32,
}

impl Held {
    pub(crate) fn is_nothing(&self) -> bool {
        (self.receive, self.reassembly) == (0, 0)
    }
}

/// What all flows hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) limits: MemoryLimits,
    pub(crate) receive: u64,
    pub(crate) reassembly: u64,
}

impl Memory {
    /// A segment ahead of its turn: how much the connection may keep follows from what all others do.
    fn allow_reassembly(&self, flow: &mut Flow) {
        let others = self.reassembly - u64::from(flow.held.reassembly);
        let left = self.limits.reassembly.saturating_sub(others);
        flow.conn.set_reassembly_quota(u32::try_from(left).unwrap_or(u32::MAX));
    }

    /// Takes note of what `flow` keeps ahead of its turn.
    pub(super) fn count_reassembly(&mut self, flow: &mut Flow) {
        let before = std::mem::replace(&mut flow.held.reassembly, flow.conn.reassembly_bytes());
        self.reassembly = self.reassembly + u64::from(flow.held.reassembly) - u64::from(before);
    }

    /// The flow is gone.
    pub(super) fn forget(&mut self, held: Held) {
        self.receive -= held.receive;
        self.reassembly -= u64::from(held.reassembly);
    }

    /// Makes the ring of a socket as large as its connection wants it, if there is memory; then tells the connection how much room there is.
    pub(super) fn open_window(
        &mut self,
        conn: &mut Connection,
        end: &mut SocketEnd,
        held: &mut Held,
        unread: usize,
    ) {
        let wanted = conn.receive_buffer() as usize;
        let present = end.incoming.capacity();
        if wanted > present {
            let grown = wanted.next_power_of_two();
            let more = (grown - present) as u64;
            if self.receive + more <= self.limits.receive
                && end.incoming.grow(grown, conn.stored_ahead() as usize)
            {
                self.receive += more;
                held.receive += more;
            }
        }
        let buffer = wanted.min(end.incoming.capacity());
        let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        conn.set_receive_space_of(bytes(buffer.saturating_sub(unread)), bytes(buffer));
    }
}

impl Stack {
    /// What is kept now: bytes that receive buffers have grown by, bytes ahead of their turn. Of every connection one
    /// by one: what was counted must be the same.
    pub(crate) fn memory_in_use(&self) -> (u64, u64) {
        let flows = || self.flows.iter().map(|(_, flow)| flow);
        let receive = flows().map(|flow| flow.held.receive).sum();
        let reassembly = flows().map(|flow| u64::from(flow.conn.reassembly_bytes())).sum();
        debug_assert_eq!((receive, reassembly), (self.memory.receive, self.memory.reassembly));
        (receive, reassembly)
    }

    /// Out-of-order data needs a place to be kept before the connection promises to keep it.
    pub(super) fn prepare_reassembly(&mut self, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        if let App::Service(end) = &mut flow.app
            && end.reassembly.is_none()
        {
            end.reassembly = self.spare_rings.pop();
            let room = end.reassembly.as_ref().map_or(0, |(p, _)| p.capacity());
            flow.conn.set_reassembly_limit(u32::try_from(room).unwrap_or(u32::MAX));
        }
        self.memory.allow_reassembly(flow);
    }
}
