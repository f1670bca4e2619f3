//! A device's way to the pump, and how it changes between its ring and the pump.
//!
//! No change reorders packets or loses one. Frames for the path that comes are held back until those on the path that
//! goes have left: the ring until the kernel has given all frames back, the pump until it has taken all and its batch
//! is over; and then a little longer, for what is between the driver and the wire. What is held lies on the pump's ring,
//! unpublished, so it can go either way.

use std::time::{Duration, Instant};

use super::XdpDevice;
use crate::pump::{MAX_SEAT_QUEUES, PUMP_SLOTS, Returned, Seat};

/// How long nothing is sent between the last frame of one path and the first of the other.
const SETTLING: Duration = Duration::from_millis(1);
/// After that long of waiting for the ring to empty the change is given up.
const PATIENCE: Duration = Duration::from_millis(100);
/// So many frames are shown to the pump at once, at most: it works while more are made.
const PUBLISH: usize = 16;

/// Which way frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// To the AF_XDP ring.
    Ring,
    /// From the ring to the pump: the ring empties, since then; it is empty, since then.
    Joining { since: Instant, empty: Option<Instant> },
    /// To the pump.
    Pump,
    /// From the pump to the ring: it was seen to have taken all, then and in that turn.
    Leaving { empty: Option<(Instant, u64)> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    seat: Seat,
    path: Path,
    /// Most frames that may be on the pump's ring: as many as the AF_XDP ring could take from there.
    limit: usize,
    /// Joining was given up: not again before it has been unwanted.
    shy: bool,
    /// Packets that went by the pump.
    pumped: u64,
}

impl Lane {
    pub(super) fn new(seat: Seat) -> Self {
        Lane { seat, path: Path::Ring, limit: 0, shy: false, pumped: 0 }
    }

    /// Whether frames are to be given to [`Lane::push`] and not to the ring.
    #[inline]
    pub(super) fn takes_frames(&self) -> bool {
        self.path != Path::Ring
    }

    /// Frames that it can take now.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.seat.held())
    }

    /// Frames that the device has given up to it.
    #[inline]
    pub(super) fn held(&self) -> usize {
        self.seat.held()
    }

    /// Whether frames are held back: the device is to be flushed again soon.
    pub(super) fn is_changing(&self) -> bool {
        matches!(self.path, Path::Joining { .. } | Path::Leaving { .. })
    }

    pub(super) fn pumped(&self) -> u64 {
        self.pumped
    }

    pub(super) fn push(&mut self, frame: Returned) {
        self.seat.push(frame);
        if self.path == Path::Pump {
            self.pumped += 1;
            if self.seat.unpublished() >= PUBLISH {
                self.seat.publish();
            }
        }
    }
}

impl XdpDevice {
    /// Gives the device a way to the pump.
    pub(super) fn join_pump(&mut self, seat: Seat) {
        self.lane = Some(Lane::new(seat));
    }

    /// Before anything was sent the pump is taken at once, if it is wanted.
    #[inline]
    pub(super) fn notice_pump(&mut self) {
        if self.stats.tx_packets == 0
            && let Some(lane) = &mut self.lane
            && lane.path == Path::Ring
            && lane.seat.is_wanted()
        {
            self.begin_joining();
            if let Some(lane) = &mut self.lane {
                lane.path = Path::Pump;
            }
        }
    }

    /// One flush's worth of the lane: takes back frames, changes path where that is due, shows the pump what is for it.
    pub(super) fn flush_lane(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        lane.seat.tell_offered(self.stats.tx_packets);
        if lane.path == Path::Ring {
            let wanted = lane.seat.is_wanted();
            lane.shy &= wanted;
            if wanted && !lane.shy && self.queues.len() <= MAX_SEAT_QUEUES {
                self.begin_joining();
            }
            return;
        }
        lane.seat.look();
        while let Some(chunk) = lane.seat.reclaim() {
            self.pool.completed(chunk);
        }
        if lane.seat.has_ended() {
            lane.seat.retract();
            while let Some(chunk) = lane.seat.reclaim() {
                self.pool.completed(chunk);
            }
            return self.back_to_ring();
        }
        match lane.path {
            Path::Ring => {}
            Path::Joining { since, empty } => self.go_on_joining(since, empty),
            Path::Pump if lane.seat.is_wanted() => lane.seat.publish(),
            Path::Pump => {
                lane.path = Path::Leaving { empty: None };
                // Shown to the pump before: it is the pump's. What was not is held from here on.
            }
            Path::Leaving { empty: None } => {
                if lane.seat.is_drained() {
                    lane.path = Path::Leaving { empty: Some((Instant::now(), lane.seat.turns())) };
                }
            }
            Path::Leaving { empty: Some((since, turn)) } => {
                if since.elapsed() >= SETTLING && lane.seat.is_flushed(turn) {
                    self.back_to_ring();
                }
            }
        }
    }

    fn begin_joining(&mut self) {
        let smallest = self.queues.iter().map(|queue| queue.sending_limit).min().unwrap_or(0);
        if let Some(lane) = &mut self.lane {
            lane.path = Path::Joining { since: Instant::now(), empty: None };
            lane.limit = smallest.min(PUMP_SLOTS as usize);
            lane.seat.tell_at_pump(true);
        }
        self.limit_joining();
    }

    /// While joining no more is held than the ring could still take, if it comes to that.
    fn limit_joining(&mut self) {
        let free = self.queues.iter().map(|queue| queue.sending_limit - queue.sending).min().unwrap_or(0);
        if let Some(lane) = &mut self.lane {
            lane.limit = free.min(PUMP_SLOTS as usize);
        }
    }

    fn go_on_joining(&mut self, since: Instant, empty: Option<Instant>) {
        self.limit_joining();
        let sending: usize = self.queues.iter().map(|queue| queue.sending).sum();
        let Some(lane) = &mut self.lane else { return };
        if !lane.seat.is_wanted() {
            return self.back_to_ring();
        }
        match empty {
            None if sending == 0 => lane.path = Path::Joining { since, empty: Some(Instant::now()) },
            None if since.elapsed() > PATIENCE => {
                lane.shy = true;
                self.back_to_ring();
            }
            Some(empty) if empty.elapsed() >= SETTLING => {
                lane.path = Path::Pump;
                lane.pumped += lane.seat.unpublished() as u64;
                lane.seat.publish();
            }
            _ => {}
        }
    }

    /// The ring is the path again; what was held goes there in its order.
    fn back_to_ring(&mut self) {
        let XdpDevice { lane: Some(lane), queues, chunk_shift, .. } = self else { return };
        let last = queues.len() - 1;
        while let Some(frame) = lane.seat.take_back() {
            let queue = &mut queues[frame.queue.min(last)];
            let addr = (u64::from(frame.chunk) << *chunk_shift) + u64::from(frame.offset);
            // The limit of the lane is what the rings could take.
            let _ = queue.socket.tx.push(libxdp_sys::xdp_desc { addr, len: frame.len.into(), options: 0 });
            queue.sending += 1;
        }
        lane.seat.rewind();
        lane.seat.tell_at_pump(false);
        lane.path = Path::Ring;
        for at in 0..self.queues.len() {
            self.send(at);
        }
    }
}
