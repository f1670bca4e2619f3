//! F-RTO: was the timeout needed? (RFC 5682, with SACK and without.) After a timeout and the first
//! acknowledgement new data goes out rather than old: if then something is acknowledged that was never sent
//! again, it was only late, and so the timeout was early.

use crate::connection::{Bits, Connection};
use crate::recovery::News;

/// Where the algorithm stands in a recovery after a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FRto {
    /// It does not run, or the loss is known to be real.
    #[default]
    Off,
    /// The first segment was sent again (section 2.1 step 1), or new data after it (step 2b).
    Waiting,
    /// Step 2b: what is thought lost is held back in favour of new data, until the next acknowledgement.
    NewData,
}

impl Connection {
    /// A timeout, not of a window probe. In fast recovery (`recovering`) a loss is known already (section 2.1
    /// step 1).
    pub(crate) fn start_f_rto(&mut self, recovering: bool) {
        self.cold.f_rto = if self.cold.config.f_rto && !recovering { FRto::Waiting } else { FRto::Off };
    }

    /// An acknowledgement in recovery after a timeout. `true`: the timeout was spurious, and is taken back.
    pub(crate) fn f_rto(&mut self, news: &News<'_>) -> bool {
        if self.cold.f_rto == FRto::Off {
            return false;
        }
        self.cold.f_rto = FRto::Waiting;
        let point = self.cold.recovery_point;
        // Without SACK the peer may have held what follows the retransmission all along.
        let told_apart = self.hot.bits.has(Bits::SACK) || !news.progress.resent_arrived;
        if told_apart && news.progress.first_original.is_some_and(|start| start.before(point)) {
            return self.take_back();
        }
        if self.hot.snd_nxt.after(point) {
            if news.progress.newly_sacked > 0 || news.duplicate {
                // Step 3a: something has overtaken what was sent before the timeout. It is lost.
                self.cold.f_rto = FRto::Off;
            }
        } else if news.acked > 0 && self.hot.snd_una.before(point) {
            self.cold.f_rto = if self.may_send_new() { FRto::NewData } else { FRto::Off };
        }
        false
    }

    /// Whether there is new data, and room for it at the peer.
    fn may_send_new(&self) -> bool {
        let sent = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let unsent = self.hot.queued - self.hot.acknowledged > u64::from(sent);
        unsent && !self.hot.bits.has(Bits::FIN_SENT) && self.hot.snd_wnd >= sent + self.hot.window.mss
    }

    /// New data could not be sent after all: back to what is lost.
    pub(crate) fn f_rto_gives_up(&mut self) -> bool {
        let held = self.cold.f_rto == FRto::NewData && self.hot.snd_nxt == self.cold.recovery_point;
        if held {
            self.cold.f_rto = FRto::Off;
        }
        held
    }
}
