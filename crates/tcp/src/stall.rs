//! Excessive retransmission (RFC 9293 section 3.8.3): R1, after so many timeouts without progress, is told; R2, after so
//! long, ends the connection (`timers`).

use crate::connection::Connection;
use crate::time::Instant;

/// Timeouts in a row.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// The progress after which they are counted; another one starts the count anew.
    since: Instant,
    timeouts: u8,
}

impl Connection {
    /// One more timeout. `true`: this is the one at which R1 is reached.
    pub(crate) fn note_stall(&mut self) -> bool {
        let stall = &mut self.cold.stall;
        if stall.since != self.cold.stalled_since {
            *stall = Stall { since: self.cold.stalled_since, timeouts: 0 };
        }
        stall.timeouts = stall.timeouts.saturating_add(1);
        stall.timeouts == self.cold.config.stall_timeouts
    }
}
