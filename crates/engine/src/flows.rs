//! The flows of a worker: those in use at full size, those on which nothing happens asleep. A flow keeps its index
//! either way. Who reaches a flow by its key, its timer or its name wakes it first ([`Flows::wake`]); nothing else meets
//! one that sleeps.
//!
//! Whether a flow is in use is noted by whoever changes it; a hand that goes round finds those that nobody has for a whole
//! turn.

use bypath_tcp::{Asleep, ConnectionInfo, Instant};
use bypath_wire::ethernet::MacAddr;
use bypath_wire::ip::protocol;
use bypath_wire::prefetch::prefetch;

use crate::flow::{App, Flow, Keeper, Link, ServiceEnd};
use crate::flow_table::FlowKey;
use crate::segment_log::SegmentLog;
use crate::slab::{FlowId, Slab};
use crate::source::SendQueue;
use crate::stack::StackConfig;
use crate::stack::memory::Held;
use crate::template::Template;

enum Place {
    Awake {
        flow: Box<Flow>,
        /// Since the hand came by.
        used: bool,
        /// Its place among those that are awake.
        at: u32,
    },
    /// Its index among those that sleep.
    Asleep(u32),
}

const _: () = assert!(size_of::<Place>() <= 16);

/// What is kept of a service's connection on which nothing happens.
struct Sleeper {
    conn: Asleep,
    next_hop: std::net::IpAddr,
    destination: MacAddr,
    queue: u16,
    ip_id: u16,
    keeper: Keeper,
}

const _: () = assert!(size_of::<Sleeper>() <= 256);

/// See the module.
pub(crate) struct Flows {
    places: Slab<Place>,
    asleep: Slab<Sleeper>,
    /// The indices of those at full size, in no order.
    awake: Vec<u32>,
    /// Which of them is to be looked at next.
    hand: usize,
}

impl Flows {
    /// Room for `capacity` flows.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            places: Slab::with_capacity(capacity),
            asleep: Slab::with_capacity(capacity),
            awake: Vec::with_capacity(capacity),
            hand: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Those at full size.
    pub(crate) fn awake(&self) -> usize {
        self.awake.len()
    }

    #[expect(
        clippy::result_large_err,
        reason = "a flow that finds no room goes back to its owner, not into a box"
    )]
    pub(crate) fn insert(&mut self, flow: Flow) -> Result<FlowId, Flow> {
        let Some(id) = self.places.next_id() else { return Err(flow) };
        let at = self.awake.len() as u32;
        // There is room, as the next name shows.
        let _ = self.places.insert(Place::Awake { flow: Box::new(flow), used: true, at });
        self.awake.push(id.index);
        Ok(id)
    }

    /// The flow at place `at` among those that are awake no longer is.
    fn leave_awake(&mut self, at: u32) {
        self.awake.swap_remove(at as usize);
        if let Some(moved) = self.awake.get(at as usize)
            && let Some(Place::Awake { at: its, .. }) = self.places.at_mut(*moved)
        {
            *its = at;
        }
    }

    /// Takes a flow out; none that sleeps.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        if !matches!(self.places.at(id.index), Some(Place::Awake { .. })) {
            return None;
        }
        match self.places.remove(id)? {
            Place::Awake { flow, at, .. } => {
                self.leave_awake(at);
                Some(*flow)
            }
            Place::Asleep(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        match self.places.get_mut(id)? {
            Place::Awake { flow, used, .. } => {
                *used = true;
                Some(flow)
            }
            Place::Asleep(_) => None,
        }
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&Flow> {
        match self.places.at(index)? {
            Place::Awake { flow, .. } => Some(flow),
            Place::Asleep(_) => None,
        }
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Flow> {
        match self.places.at_mut(index)? {
            Place::Awake { flow, used, .. } => {
                *used = true;
                Some(flow)
            }
            Place::Asleep(_) => None,
        }
    }

    /// A flow and its name.
    #[inline]
    pub(crate) fn entry_mut(&mut self, index: u32) -> Option<(FlowId, &mut Flow)> {
        match self.places.entry_mut(index)? {
            (id, Place::Awake { flow, used, .. }) => {
                *used = true;
                Some((id, flow))
            }
            (_, Place::Asleep(_)) => None,
        }
    }

    #[inline]
    pub(crate) fn id_at(&self, index: u32) -> Option<FlowId> {
        self.places.id_at(index)
    }

    /// All that are awake, in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlowId, &Flow)> {
        self.places.iter().filter_map(|(id, place)| match place {
            Place::Awake { flow, .. } => Some((id, &**flow)),
            Place::Asleep(_) => None,
        })
    }

    /// The indices of all.
    pub(crate) fn indices(&self) -> Vec<u32> {
        self.places.iter().map(|(id, _)| id.index).collect()
    }

    /// Asks for the place of a flow.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        self.places.prefetch(index);
    }

    /// Asks for the flow itself.
    #[inline]
    pub(crate) fn prefetch_flow(&self, index: u32) {
        match self.places.at(index) {
            Some(Place::Awake { flow, .. }) => prefetch(&**flow),
            Some(Place::Asleep(at)) => self.asleep.prefetch(*at),
            None => {}
        }
    }

    /// Whether a flow sleeps.
    #[inline]
    pub(crate) fn is_asleep(&self, index: u32) -> bool {
        matches!(self.places.at(index), Some(Place::Asleep(_)))
    }

    /// What the connection of a flow that sleeps tells of itself.
    pub(crate) fn asleep_info(&self, index: u32) -> Option<ConnectionInfo> {
        match self.places.at(index)? {
            Place::Asleep(at) => self.asleep.at(*at).map(|sleeper| sleeper.conn.wake().info()),
            Place::Awake { .. } => None,
        }
    }

    /// Moves the hand by one flow. Its index, if nobody has used it since the hand came by last.
    pub(crate) fn next_unused(&mut self) -> Option<u32> {
        if self.hand >= self.awake.len() {
            self.hand = 0;
        }
        let index = *self.awake.get(self.hand)?;
        self.hand += 1;
        match self.places.at_mut(index)? {
            Place::Awake { used, .. } => (!std::mem::replace(used, false)).then_some(index),
            Place::Asleep(_) => None,
        }
    }

    /// Puts a flow to sleep if nothing stands against it. The moment at which it has to be woken then.
    pub(crate) fn sleep(&mut self, index: u32, config: &StackConfig) -> Option<Instant> {
        let Some(Place::Awake { flow, at: awake_at, .. }) = self.places.at(index) else { return None };
        let awake_at = *awake_at;
        let App::Service(end) = &flow.app else { return None };
        if flow.link != Link::Ready || flow.dirty || flow.pending_reset.is_some() || !flow.held.is_nothing() {
            return None;
        }
        if !end.is_at_rest()
            || end.queue.end() != flow.conn.acknowledged()
            || end.queue.limit() != config.send_buffer
        {
            return None;
        }
        let sleeper = Sleeper {
            conn: flow.conn.asleep()?,
            next_hop: flow.next_hop,
            destination: flow.template.destination(),
            queue: flow.queue,
            ip_id: flow.ip_id,
            keeper: flow.keeper,
        };
        let deadline = sleeper.conn.next_deadline();
        let at = self.asleep.insert(sleeper).ok()?;
        if let Some(place) = self.places.at_mut(index) {
            *place = Place::Asleep(at.index);
        }
        self.leave_awake(awake_at);
        Some(deadline)
    }

    /// Wakes the flow at `index`, if it sleeps. `key` is the flow's, `timer_at` is when its timer fires.
    pub(crate) fn wake(&mut self, index: u32, key: FlowKey, timer_at: u64, config: &StackConfig) {
        let Some(Place::Asleep(at)) = self.places.at(index) else { return };
        let Some(sleeper) = self.asleep.id_at(*at).and_then(|id| self.asleep.remove(id)) else { return };
        let conn = sleeper.conn.wake();
        let mut template = Template::for_flow(config.medium, protocol::TCP, key.local(), key.remote());
        template.set_hop_limit(config.tcp.hop_limit.max(1));
        template.set_dscp(config.tcp.dscp.min(63));
        template.set_link(config.mac, sleeper.destination);
        let end = ServiceEnd {
            queue: SendQueue::resume(config.send_buffer, conn.acknowledged()),
            reassembly: None,
            unread: 0,
            opening: false,
            abort: false,
            log: config.observe_segments.then(SegmentLog::default),
        };
        let flow = Flow {
            conn,
            app: App::Service(Box::new(end)),
            key,
            keeper: sleeper.keeper,
            link: Link::Ready,
            dirty: false,
            ack_held: false,
            queue: sleeper.queue,
            ip_id: sleeper.ip_id,
            timer_at,
            next_hop: sleeper.next_hop,
            confirm_at: Instant::ZERO,
            template,
            counted_retrans: 0,
            held: Held::default(),
            pending_reset: None,
        };
        if let Some(place) = self.places.at_mut(index) {
            *place = Place::Awake { flow: Box::new(flow), used: true, at: self.awake.len() as u32 };
            self.awake.push(index);
        }
    }
}
