//! Whether the congestion window is in use (RFC 7661's concern: a window that was not filled says nothing about
//! the path). The method is Linux's, `tcp_cwnd_validate`: whether the window held the sender back, and else how
//! much of it was used, is remembered for a window's worth of data; a window that does not hold the sender back
//! does not grow, and one of which only a part was used for as long as a retransmission timeout comes down half
//! of the way to that part.

use bypath_wire::seq::SeqNum;

use crate::congestion::Window;
use crate::connection::{Bits, Connection};
use crate::time::Instant;

/// How much of the window is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The window held the sender back in the present window's worth of data.
    limited: bool,
    /// Most bytes outstanding in it.
    most: u32,
    /// Where it ends.
    until: SeqNum,
    /// Most bytes outstanding since the window was last in use, and when it was.
    used: u32,
    used_at: Instant,
}

impl Usage {
    pub(crate) fn new(iss: SeqNum, now: Instant) -> Self {
        Self { limited: false, most: 0, until: iss, used: 0, used_at: now }
    }

    /// Whether the window is what holds the sender back. In slow start half of it is enough: an application
    /// that doubles what it sends must find the window open.
    #[inline]
    pub(crate) fn is_limited(&self, w: &Window) -> bool {
        self.limited || (w.in_slow_start() && w.cwnd < self.most.saturating_mul(2))
    }
}

impl Connection {
    /// [`Connection::note_nothing_to_send`] where nothing is lost or held out of order.
    #[inline]
    pub(crate) fn note_nothing_in_order(&mut self, now: Instant) {
        let in_flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        if in_flight < self.hot.window.cwnd {
            self.cold.scoreboard.delivery.on_app_limited(in_flight);
        }
        self.note_usage(now, false);
    }

    /// Nothing more goes out now, because the congestion window is full (`limited`) or for another reason.
    #[inline]
    pub(crate) fn note_usage(&mut self, now: Instant, limited: bool) {
        let outstanding = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let usage = &mut self.cold.usage;
        let next_window = self.hot.snd_una.at_or_after(usage.until);
        if limited || next_window || (!usage.limited && outstanding > usage.most) {
            usage.limited = limited;
            usage.most = outstanding;
            usage.until = self.hot.snd_nxt;
        }
        if usage.is_limited(&self.hot.window) {
            usage.used = 0;
            usage.used_at = now;
            return;
        }
        usage.used = usage.used.max(outstanding);
        if now.nanos_since(usage.used_at) >= self.hot.rto_ns {
            self.give_up_unused(now);
        }
    }

    /// The application has given nothing more. If the window has room, rates measured from here on are the
    /// application's.
    pub(crate) fn note_nothing_to_send(&mut self, now: Instant) {
        let board = &mut self.cold.scoreboard;
        let in_flight = board.in_flight();
        if in_flight < self.hot.window.cwnd && board.lost_bytes() == 0 {
            board.delivery.on_app_limited(in_flight);
        }
        if board.lost_bytes() == 0 {
            self.note_usage(now, false);
        }
    }

    /// The application does not fill the window.
    #[cold]
    fn give_up_unused(&mut self, now: Instant) {
        let open = !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS).or(Bits::PERSIST));
        if open && self.cold.config.slow_start_after_idle && !self.cold.congestion.rules_recovery() {
            let used = self.cold.usage.used.max(self.initial_window());
            let w = &mut self.hot.window;
            if used < w.cwnd {
                w.ssthresh = remembered(w);
                w.cwnd = w.cwnd.midpoint(used);
            }
        }
        self.cold.usage.used = 0;
        self.cold.usage.used_at = now;
    }

    /// Nothing is outstanding, and something goes out again. After a pause longer than the retransmission timeout
    /// the window says nothing about the path any more (RFC 5681 section 4.1); the threshold remembers it.
    #[inline]
    pub(crate) fn restart_after_idle(&mut self, now: Instant) {
        let app_limited = self.cold.scoreboard.delivery.is_app_limited();
        self.cold.congestion.on_idle(&mut self.hot.window, now, app_limited);
        if now.nanos_since(self.cold.stalled_since) <= self.hot.rto_ns
            || !self.cold.config.slow_start_after_idle
            || self.cold.congestion.rules_recovery()
        {
            return;
        }
        let restart = self.initial_window();
        let w = &mut self.hot.window;
        if restart < w.cwnd {
            w.ssthresh = remembered(w);
            w.cwnd = restart;
        }
        self.cold.usage.used = 0;
        self.cold.usage.used_at = now;
    }
}

/// The threshold that leads back to three quarters of a window that is given up (RFC 7661 section 4.4.2).
fn remembered(w: &Window) -> u32 {
    w.ssthresh.max(w.cwnd - w.cwnd / 4)
}
