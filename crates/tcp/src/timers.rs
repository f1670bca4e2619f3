//! What becomes due: delayed acknowledgement, retransmission and persist, RACK's reordering timer, and the
//! rare ones, of which a connection has one at a time: opening, keep-alive, FIN-WAIT-2, TIME-WAIT.

use crate::connection::{Bits, CloseReason, Connection};
use crate::segment::Events;
use crate::state::State;
use crate::time::Instant;

impl Connection {
    /// When [`Connection::on_timer`] wants to be called; [`Instant::NEVER`]: not before something happens.
    pub fn next_deadline(&self) -> Instant {
        self.hot.ack_at.min(self.hot.rtx_at).min(self.hot.aux_at)
    }

    /// Does what is due at `now`. Ask [`Connection::poll_transmit`] afterwards.
    pub fn on_timer(&mut self, now: Instant) -> Events {
        let mut events = Events::none();
        if self.hot.ack_at.is_due(now) {
            self.hot.ack_at = Instant::NEVER;
            self.hot.bits.set(Bits::ACK_NOW);
        }
        if self.cold.reorder_at.is_due(now) {
            self.on_reordering_timer(now);
        }
        if self.hot.rtx_at.is_due(now) {
            self.on_retransmission_timer(now, &mut events);
        }
        self.on_pacing_timer(now);
        if self.cold.path_mtu.raise_at.is_due(now) {
            self.on_raise_timer();
        }
        if self.cold.lifetime_at.is_due(now) {
            self.on_lifetime_timer(now);
        }
        self.refresh_aux();
        if self.hot.state == State::Closed {
            events.insert(Events::CLOSED);
        }
        events
    }

    fn on_retransmission_timer(&mut self, now: Instant, events: &mut Events) {
        if !self.hot.state.is_synchronized() {
            if self.cold.passive {
                if self.cold.fast_open.answers >= self.cold.config.syn_ack_retries {
                    return self.finish(CloseReason::TimedOut);
                }
                self.cold.fast_open.answers += 1;
            }
            self.cold.rtt.back_off();
            self.hot.rtx_at = now.plus_nanos(self.cold.rtt.rto_ns());
            self.send_syn_again();
            if self.note_stall() {
                events.insert(Events::STALLED);
            }
            return;
        }
        if self.out_of_patience(now) {
            self.finish(CloseReason::TimedOut);
            return;
        }
        if self.hot.bits.has(Bits::PERSIST) {
            self.send_window_probe(now);
        } else if !self.cold.scoreboard.is_empty() {
            if !self.before_timeout(now) {
                self.suspect_path_mtu(now);
                self.on_timeout(now);
                if self.note_stall() {
                    events.insert(Events::STALLED);
                }
            }
        } else {
            self.hot.rtx_at = Instant::NEVER;
        }
        self.clip_to_patience();
    }

    fn out_of_patience(&self, now: Instant) -> bool {
        (self.cold.stalled_since + self.cold.config.user_timeout).is_due(now)
    }

    /// The connection is given up on time, not at the next doubling after it.
    pub(crate) fn clip_to_patience(&mut self) {
        if self.hot.rtx_at != Instant::NEVER {
            let end = self.cold.stalled_since + self.cold.config.user_timeout;
            self.hot.rtx_at = self.hot.rtx_at.min(end);
        }
    }

    /// The peer's window lets nothing out and nothing is outstanding that would be answered: probe it
    /// (RFC 9293 section 3.8.6.1).
    pub(crate) fn enter_persist(&mut self, now: Instant, sent: u32) {
        if sent == 0 && !self.hot.bits.has(Bits::PERSIST) && self.hot.rtx_at == Instant::NEVER {
            self.hot.bits.set(Bits::PERSIST);
            self.cold.stalled_since = now;
            self.hot.rtx_at = now.plus_nanos(self.hot.rto_ns);
        }
    }

    /// One byte beyond the window (RFC 9293 MUST-35, SHLD-29), the same one each time, at doubling
    /// intervals. If the window is open but too small to be worth a segment, what fits is sent.
    fn send_window_probe(&mut self, now: Instant) {
        self.cold.rtt.back_off();
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.hot.rtx_at = now.plus_nanos(self.hot.rto_ns);
        if self.hot.snd_wnd > 0 && self.cold.scoreboard.is_empty() {
            self.hot.bits.set(Bits::FORCE);
            return;
        }
        self.cold.stats.window_probes += 1;
        if self.cold.scoreboard.is_empty() {
            if self.hot.queued == self.hot.acknowledged {
                let fin_waits = self.hot.bits.has(Bits::FIN_QUEUED) && !self.hot.bits.has(Bits::FIN_SENT);
                if !fin_waits {
                    self.hot.bits.clear(Bits::PERSIST);
                    self.hot.rtx_at = Instant::NEVER;
                    return;
                }
                // FIN is the byte beyond the window.
                self.hot.bits.set(Bits::FIN_SENT);
            }
            let start = self.hot.snd_nxt;
            self.cold.scoreboard.sent(start, start + 1, now);
            self.hot.snd_nxt = start + 1;
        }
        self.cold.scoreboard.mark_lost(|_| true);
        self.hot.bits.set(Bits::FORCE);
    }

    fn on_lifetime_timer(&mut self, now: Instant) {
        self.cold.lifetime_at = Instant::NEVER;
        match self.hot.state {
            State::SynSent | State::SynReceived => self.finish(CloseReason::TimedOut),
            State::TimeWait => self.finish(CloseReason::Finished),
            State::FinWait2 if self.hot.bits.has(Bits::ORPHAN) => self.finish(CloseReason::Finished),
            State::Closed => {}
            _ => self.on_keep_alive_timer(now),
        }
    }

    pub(crate) fn start_keep_alive(&mut self, now: Instant) {
        if let Some(idle) = self.cold.config.keep_alive {
            self.cold.lifetime_at = now + idle;
        }
    }

    fn on_keep_alive_timer(&mut self, now: Instant) {
        let Some(idle) = self.cold.config.keep_alive else { return };
        let heard = self.hot.last_heard;
        if !(heard + idle).is_due(now) {
            self.cold.probes_unanswered = 0;
            self.cold.lifetime_at = heard + idle;
            return;
        }
        if self.cold.probes_unanswered >= self.cold.config.keep_alive_probes {
            self.finish(CloseReason::TimedOut);
            return;
        }
        if self.cold.scoreboard.is_empty() {
            self.cold.probes_unanswered += 1;
            self.cold.stats.keep_alive_probes += 1;
            self.hot.bits.set(Bits::PROBE);
        }
        self.cold.lifetime_at = now + self.cold.config.keep_alive_interval;
    }

    /// Recomputes the earliest of the rare timers.
    pub(crate) fn refresh_aux(&mut self) {
        let rare = self.cold.lifetime_at.min(self.cold.path_mtu.raise_at);
        self.hot.aux_at = self.cold.reorder_at.min(rare).min(self.pacing_deadline());
    }
}
