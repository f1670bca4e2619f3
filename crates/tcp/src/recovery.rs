//! Recovery: when it begins, what an acknowledgement means in it, and when it ends. What is lost is found by time
//! (`rack`) or by counting (`dup_acks`); how much may be sent meanwhile, `prr` says; whether it was needed,
//! `undo` and `f_rto`.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::congestion_feed::BeforeAck;
use crate::connection::{Bits, Connection};
use crate::scoreboard::Progress;
use crate::segment::{Purpose, TxSegment};
use crate::time::Instant;

/// What an acknowledgement brought, as loss recovery looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News<'a> {
    pub(crate) before: &'a BeforeAck,
    pub(crate) progress: &'a Progress,
    /// Bytes of sequence space acknowledged in sequence.
    pub(crate) acked: u32,
    /// A duplicate acknowledgement by RFC 5681 section 2.
    pub(crate) duplicate: bool,
    /// A range that the peer has got twice.
    pub(crate) dsack: Option<SackBlock>,
    /// The timestamp that came back.
    pub(crate) echo: Option<u32>,
}

impl Connection {
    /// After an acknowledgement: finds losses, enters and leaves recovery.
    pub(crate) fn recover(&mut self, now: Instant, news: &News<'_>) {
        self.note_delivered(now, news.progress, news.echo);
        self.note_order(news.progress);
        if let Some(block) = news.dsack {
            self.on_duplicate_report(block);
        }
        if self.hot.bits.has(Bits::TAIL_PROBED) {
            self.tail_probe_answered(news);
        }
        let spurious = self.undo_if_spurious(news) || (self.hot.bits.has(Bits::LOSS) && self.f_rto(news));
        let recovering = self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        if !spurious && recovering && self.hot.snd_una.at_or_after(self.cold.recovery_point) {
            self.leave_recovery();
        }
        if self.hot.bits.has(Bits::SACK) {
            self.detect_losses(now);
        } else {
            self.count_duplicates(news.acked, news.duplicate);
        }
        self.enter_recovery_if_lost(news.before.delivered);
        self.reduce_rate(news.before, news.acked > 0);
    }

    /// RACK's reordering timer: what was waited for has had its time.
    pub(crate) fn on_reordering_timer(&mut self, now: Instant) {
        self.detect_losses(now);
        let before = self.before_ack();
        let delivered = self.cold.scoreboard.delivery.delivered();
        if self.enter_recovery_if_lost(delivered) {
            self.reduce_rate(&before, false);
        }
    }

    fn detect_losses(&mut self, now: Instant) {
        if self.cold.config.rack {
            self.detect_overdue(now);
        } else {
            self.detect_passed_over();
        }
    }

    fn enter_recovery_if_lost(&mut self, delivered_before: u64) -> bool {
        let recovering = self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        if recovering || self.cold.scoreboard.lost_bytes() == 0 || self.only_probe_is_lost() {
            return false;
        }
        let flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        self.forget_probe();
        self.begin_undo(false);
        self.start_prr(flight, delivered_before);
        // RFC 5681 section 3.2 step 2: what limited transmit sent beyond the window does not count.
        let counted = flight.min(self.hot.window.cwnd);
        self.cold.congestion.on_loss(&mut self.hot.window, counted);
        self.cold.recovery_point = self.hot.snd_nxt;
        self.cold.rescued = false;
        self.cold.stats.fast_recoveries += 1;
        self.hot.bits.set(Bits::RECOVERY.or(Bits::FORCE));
        true
    }

    fn leave_recovery(&mut self) {
        let w = &mut self.hot.window;
        if self.hot.bits.has(Bits::RECOVERY) && !self.cold.congestion.rules_recovery() {
            // Without SACK not more than was in use, so that no burst follows (RFC 6582 section 3.2 step 3).
            // The rate was reduced step by step otherwise (RFC 9937 section 5).
            let stepwise = self.hot.bits.has(Bits::SACK) && self.cold.config.prr;
            w.cwnd = if stepwise { w.ssthresh } else { w.ssthresh.min(w.cwnd.max(2 * w.mss)) };
        }
        self.cold.congestion.on_recovered(w);
        self.cold.rack.note_recovery();
        self.cold.scoreboard.recovered();
        self.hot.bits.clear(Bits::RECOVERY.or(Bits::LOSS));
        self.hot.dup_acks = 0;
    }

    /// The retransmission timer ran out (RFC 6298 section 5, RFC 5681 section 3.1).
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        let flight = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let first = !self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS));
        self.cold.stats.timeouts += 1;
        self.cold.rtt.back_off();
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.forget_probe();
        if first {
            self.begin_undo(true);
        } else {
            self.cold.undo.note_timeout();
        }
        let reneged = self.cold.scoreboard.forget_sacks_if_reneged();
        self.mark_lost_by_timeout(now, reneged);
        self.cold.congestion.on_timeout(&mut self.hot.window, flight, first);
        self.cold.recovery_point = self.hot.snd_nxt;
        self.start_f_rto(self.hot.bits.has(Bits::RECOVERY));
        self.hot.bits.clear(Bits::RECOVERY);
        self.hot.bits.set(Bits::LOSS.or(Bits::FORCE));
        self.hot.dup_acks = 0;
        self.cold.rtt.armed_at = now;
        self.hot.rtx_at = now.plus_nanos(self.hot.rto_ns);
    }

    /// RFC 6675 section 4, NextSeg rules 3 and 4, where RACK does not decide: in recovery, when nothing is known
    /// to be lost and there is nothing new to send, what the peer has passed over goes out again; and once in a
    /// recovery the last segment, which nothing can pass over.
    pub(crate) fn speculative_data(&mut self, now: Instant) -> Option<TxSegment> {
        let applies = self.hot.bits.has(Bits::RECOVERY) && self.hot.bits.has(Bits::SACK);
        if !applies || self.cold.config.rack || self.cold.scoreboard.lost_bytes() > 0 {
            return None;
        }
        let mss = self.payload_limit();
        let passed = self.cold.scoreboard.next_unsacked(mss);
        let (start, len) = match passed {
            Some(run) => run,
            None if self.cold.rescued => return None,
            None => self.cold.scoreboard.tail(mss, self.hot.bits.has(Bits::FIN_SENT))?,
        };
        if self.pipe() + len > self.hot.window.cwnd {
            return None;
        }
        self.cold.rescued |= passed.is_none();
        Some(self.send_again_now(now, start, len, Purpose::Rescue))
    }

    /// `len` bytes of sequence space from `start` go out once more.
    pub(crate) fn send_again_now(
        &mut self,
        now: Instant,
        start: SeqNum,
        mut len: u32,
        purpose: Purpose,
    ) -> TxSegment {
        let fin = self.hot.bits.has(Bits::FIN_SENT) && (start + len).after(self.fin_seq());
        self.cold.scoreboard.retransmitted(start, len, now);
        if fin {
            len -= 1;
        }
        // The byte of a window probe is not a retransmission: it was never lost.
        let again = !self.hot.bits.has(Bits::PERSIST);
        if again {
            self.cold.stats.segs_retrans += 1;
            self.cold.stats.octets_retrans += u64::from(len);
            if self.hot.bits.has(Bits::RECOVERY.or(Bits::LOSS)) {
                self.note_resent(now, len);
            }
        }
        if self.hot.rtx_at == Instant::NEVER {
            self.arm(now);
        }
        TxSegment { purpose, ..self.data_segment(now, start, len, fin, again) }
    }
}
