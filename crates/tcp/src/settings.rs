//! What an application may change of a connection that exists (RFC 9293 sections 3.8.3 and 3.8.4).

use core::time::Duration;
use std::sync::Arc;

use crate::connection::{Bits, Connection};
use crate::state::State;
use crate::time::Instant;

impl Connection {
    /// Sets how long sent data may stay unacknowledged before the connection is given up (R2, RFC 9293 MUST-21). It
    /// counts from the last progress.
    pub fn set_user_timeout(&mut self, timeout: Duration) {
        Arc::make_mut(&mut self.cold.config).user_timeout = timeout;
        if self.hot.state.is_synchronized() {
            self.clip_to_patience();
        }
    }

    /// Probes the peer after so long an idle time; `None`: never (RFC 9293 MUST-24 and MUST-27).
    pub fn set_keep_alive(&mut self, idle: Option<Duration>) {
        Arc::make_mut(&mut self.cold.config).keep_alive = idle;
        let orphan = self.hot.bits.has(Bits::ORPHAN);
        let timer_is_free = self.hot.state.is_synchronized() && self.hot.state != State::TimeWait && !orphan;
        if timer_is_free {
            self.cold.probes_unanswered = 0;
            self.cold.lifetime_at = idle.map_or(Instant::NEVER, |idle| self.hot.last_heard + idle);
            self.refresh_aux();
        }
    }
}
