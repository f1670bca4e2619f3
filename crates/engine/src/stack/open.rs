//! A new connection gets its place, and the way that its packets take.

use std::net::IpAddr;

use bypath_tcp::{Connection, Events, Instant};
use bypath_wire::ip::protocol;

use super::Stack;
use super::memory::Held;
use crate::counters::Cause;
use crate::flow::{App, Flow, Keeper, Link};
use crate::flow_table::FlowKey;
use crate::neighbor::Resolution;
use crate::template::Template;

impl Stack {
    /// Puts a new connection in its place and schedules its first segment.
    pub(super) fn place(
        &mut self,
        now: Instant,
        key: FlowKey,
        conn: Connection,
        (app, keeper): (App, Keeper),
        next_hop: IpAddr,
        queue: u16,
    ) -> Option<crate::slab::FlowId> {
        let (local, remote) = (key.local(), key.remote());
        let mut template = Template::for_flow(self.config.medium, protocol::TCP, local, remote);
        template.set_hop_limit(self.config.tcp.hop_limit.max(1));
        template.set_dscp(self.config.tcp.dscp.min(63));
        let flow = Flow {
            conn,
            app,
            key,
            keeper,
            link: Link::Waiting,
            dirty: false,
            ack_held: false,
            queue,
            ip_id: self.datagram_id ^ local.port() ^ remote.port().rotate_left(8),
            timer_at: u64::MAX,
            next_hop,
            template,
            counted_retrans: 0,
            held: Held::default(),
            confirm_at: now,
            pending_reset: None,
        };
        let id = match self.flows.insert(flow) {
            Ok(id) => id,
            Err(flow) => {
                flow.give_up();
                return None;
            }
        };
        if self.table.insert(key, id.index).is_err() {
            if let Some(flow) = self.flows.remove(id) {
                flow.give_up();
            }
            return None;
        }
        if let Some(Flow { app: App::Socket(end), .. }) = self.flows.at(id.index) {
            end.shared.bind(id);
            end.bound_write_ahead(&self.config.tcp);
        }
        match self.resolve(now, next_hop) {
            Resolution::Known(mac) => {
                if let Some(flow) = self.flows.at_mut(id.index) {
                    flow.template.set_link(self.config.mac, mac);
                    flow.link = Link::Ready;
                }
            }
            Resolution::Pending => self.waiting_flows.entry(next_hop).or_default().push(id),
            Resolution::Unreachable => {
                if let Some(flow) = self.flows.at_mut(id.index) {
                    self.counters.count(Cause::Unreachable);
                    let seq = flow.conn.snd_nxt();
                    flow.conn.on_unreachable(seq, true);
                    if keeper == Keeper::Client {
                        // Its service is not to be called now: it is just opening it.
                        self.mark_dirty(id.index);
                        return Some(id);
                    }
                    let mut events = Events::none();
                    events.insert(Events::CLOSED);
                    self.after_connection(now, id.index, events);
                }
                return Some(id);
            }
        }
        self.mark_dirty(id.index);
        Some(id)
    }
}
