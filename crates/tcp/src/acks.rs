//! Acknowledgements received: what they take from the outstanding data, the peer's window, and the samples
//! of the round trip (RFC 9293 section 3.10.7.4 fifth check, RFC 5681, RFC 2018, RFC 6298).

use bypath_wire::seq::SeqNum;

use crate::connection::{Bits, Connection};
use crate::f_rto::FRto;
use crate::recovery::News;
use crate::scoreboard::Progress;
use crate::segment::{Events, Received, Segment};
use crate::stats::DropCause;
use crate::time::Instant;
use crate::undo::Undo;

impl Connection {
    /// The predicted acknowledgement: new, without SACK, not in recovery.
    #[inline]
    pub(crate) fn advance_una(&mut self, now: Instant, ack: SeqNum, out: &mut Received) {
        let flight_before = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        debug_assert!(
            self.cold.scoreboard.is_whole(self.hot.snd_una, self.hot.snd_nxt),
            "all of it is on the board"
        );
        let Some(newest) = self.cold.scoreboard.acknowledge_plain(ack) else {
            return self.advance_una_any(now, ack, out);
        };
        let acked = ack.offset_from(self.hot.snd_una) as u32;
        let fin = u32::from(self.hot.bits.has(Bits::FIN_SENT) && ack == self.hot.snd_nxt);
        self.hot.acknowledged += u64::from(acked - fin);
        self.hot.snd_una = ack;
        self.cold.stalled_since = now;
        out.events.insert(Events::ACKNOWLEDGED);
        let rtt_ns = now.nanos_since(newest.sent_at);
        self.cold.rtt.sample(rtt_ns);
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.cold.scoreboard.grain_ns = self.cold.rtt.srtt_ns().unwrap_or(0) >> 8;
        self.note_newest(&newest, rtt_ns);
        self.tell_congestion_of_plain(now, acked, flight_before, &newest, rtt_ns);
        self.rearm(now);
    }

    #[inline(never)]
    fn advance_una_any(&mut self, now: Instant, ack: SeqNum, out: &mut Received) {
        let mut progress = Progress::default();
        let before = self.before_ack();
        let acked = self.take_acknowledged(now, ack, &mut progress, out);
        self.sample_rtt(now, &progress);
        self.note_delivered(now, &progress, None);
        self.tell_congestion(now, acked, &before, &progress, 0);
        self.rearm(now);
    }

    /// Takes everything before `ack` from what is outstanding. Returns how many bytes of sequence space.
    fn take_acknowledged(
        &mut self,
        now: Instant,
        ack: SeqNum,
        progress: &mut Progress,
        out: &mut Received,
    ) -> u32 {
        let acked = u32::try_from(ack.offset_from(self.hot.snd_una)).unwrap_or(0);
        if acked == 0 {
            return 0;
        }
        self.cold.scoreboard.acknowledge(ack, progress);
        let fin = u32::from(self.hot.bits.has(Bits::FIN_SENT) && ack == self.hot.snd_nxt);
        self.hot.acknowledged += u64::from(acked - fin);
        self.hot.snd_una = ack;
        self.cold.stalled_since = now;
        out.events.insert(Events::ACKNOWLEDGED);
        acked
    }

    /// A sample from what was sent once (Karn's algorithm). `false`: there was none, and the timeout stays as
    /// far backed off as it is (RFC 6298 section 5, the note on 5.5).
    fn sample_rtt(&mut self, now: Instant, progress: &Progress) -> bool {
        let Some(sent_at) = progress.rtt_sent_at else { return false };
        self.cold.rtt.sample(now.nanos_since(sent_at));
        self.hot.rto_ns = self.cold.rtt.rto_ns();
        self.cold.scoreboard.grain_ns = self.cold.rtt.srtt_ns().unwrap_or(0) >> 8;
        true
    }

    /// Of what was sent twice, the echoed timestamp may say that the second sending was the one answered
    /// (RFC 7323 section 4). If it was the first, its acknowledgement may as well have been lost and sent
    /// again: that tells nothing. On a path that is shorter than a tick of the timestamps both sendings bear the
    /// same: an answer sooner than any before is the first one's.
    fn sample_echo(&mut self, now: Instant, segment: &Segment<'_>, progress: &Progress) {
        let (Some(delivered), Some(ts)) = (&progress.delivered, segment.options.timestamps) else { return };
        let since_sent = ts.echo.wrapping_sub(self.timestamps(delivered.sent_at).value) as i32;
        let until_now = self.timestamps(now).value.wrapping_sub(ts.echo) as i32;
        let rtt = now.nanos_since(delivered.sent_at);
        let believable = self.cold.rtt.min_ns().is_none_or(|min| rtt >= min);
        if self.hot.bits.has(Bits::TIMESTAMPS) && since_sent >= 0 && until_now >= 0 && believable {
            self.cold.rtt.sample(rtt);
            self.hot.rto_ns = self.cold.rtt.rto_ns();
        }
    }

    /// Fifth check: ESTABLISHED and after. An error names why the segment goes no further.
    pub(crate) fn process_ack(
        &mut self,
        now: Instant,
        segment: &Segment<'_>,
        out: &mut Received,
    ) -> Result<(), DropCause> {
        let header = segment.header;
        let ack = header.ack;
        if ack.after(self.hot.snd_nxt) {
            // RFC 5961 section 5.2, and section 3.10.7.4: it acknowledges what was never sent.
            self.challenge(now, out);
            return Err(DropCause::BadAck);
        }
        if ack.before(self.hot.snd_una - self.hot.max_snd_wnd.max(1)) {
            self.challenge(now, out);
            return Err(DropCause::BadAck);
        }
        self.cold.probes_unanswered = 0;
        let mut progress =
            Progress { highest_before: self.cold.scoreboard.highest_sacked(), ..Progress::default() };
        let before = self.before_ack();
        let window_before = self.hot.snd_wnd;
        let una_before = self.hot.snd_una;
        let is_new = ack.after(una_before);
        let acked = self.take_acknowledged(now, ack, &mut progress, out);
        let mut dsack = None;
        if self.hot.bits.has(Bits::SACK) {
            dsack = self.duplicate_report(ack, &segment.options.sack);
            for block in &segment.options.sack {
                let valid = block.left.before(block.right)
                    && block.left.at_or_after(self.hot.snd_una)
                    && block.right.at_or_before(self.hot.snd_nxt);
                if valid {
                    self.cold.scoreboard.sack(*block, &mut progress);
                }
            }
        }
        self.update_peer_window(segment);
        let outstanding = !self.cold.scoreboard.is_empty();
        // RFC 5681 section 2. What answers a probe of a shut window is none: nothing else is outstanding.
        let duplicate = !is_new
            && !self.hot.bits.has(Bits::PERSIST)
            && ack == self.hot.snd_una
            && outstanding
            && segment.sequence_len() == 0
            && self.hot.snd_wnd == window_before;
        if duplicate {
            self.cold.stats.dup_acks_in += 1;
        }
        if !self.sample_rtt(now, &progress) && is_new {
            self.sample_echo(now, segment, &progress);
        }
        let echo = segment
            .options
            .timestamps
            .filter(|_| self.hot.bits.has(Bits::TIMESTAMPS))
            .map(|ts| ts.echo)
            .filter(|echo| *echo != 0);
        let news = News { before: &before, progress: &progress, acked, duplicate, dsack, echo };
        self.recover(now, &news);
        let in_order = ack.at_or_after(una_before);
        let marked = if in_order { self.take_echo(now, segment, acked) } else { 0 };
        self.tell_congestion(now, acked, &before, &progress, marked);
        if is_new {
            self.rearm(now);
        }
        if self.hot.bits.has(Bits::MTU_PROBED) {
            self.check_mtu_probe(now);
        }
        self.leave_persist(now, window_before);
        Ok(())
    }

    /// Takes the window from a segment that was not written before the last that gave one.
    fn update_peer_window(&mut self, segment: &Segment<'_>) {
        let header = segment.header;
        let hot = &mut self.hot;
        if header.ack.before(hot.snd_una) {
            return;
        }
        let window = u32::from(header.window) << hot.snd_scale;
        // A later acknowledgement was written later, whatever its sequence number: with the comparison of RFC
        // 9293 (sequence first) a retransmission that acknowledges more would move the window's right edge by
        // what the peer has taken back. Of the same acknowledgement the peer's edge only grows.
        let newer = hot.snd_wl2.before(header.ack)
            || (hot.snd_wl2 == header.ack && (hot.snd_wl1.at_or_before(header.seq) || window > hot.snd_wnd));
        if newer {
            hot.snd_wnd = window;
            hot.max_snd_wnd = hot.max_snd_wnd.max(hot.snd_wnd);
            hot.snd_wl1 = header.seq;
            hot.snd_wl2 = header.ack;
        }
    }

    /// Restarts the retransmission timer after progress, or stops it when nothing is outstanding
    /// (RFC 6298 sections 5.2 and 5.3).
    pub(crate) fn rearm(&mut self, now: Instant) {
        if self.hot.bits.has(Bits::PERSIST) {
            return;
        }
        if self.cold.scoreboard.is_empty() {
            self.hot.rtx_at = Instant::NEVER;
        } else {
            let from = if self.cold.rtt.restarts() { self.restart_from(now) } else { now };
            self.arm(from);
        }
    }

    /// Starts the timer, as if at `from`. See `tail_loss` for what is due when it runs out.
    #[inline]
    pub(crate) fn arm(&mut self, from: Instant) {
        self.cold.rtt.armed_at = from;
        self.hot.rtx_at = from.plus_nanos(self.cold.rtt.timer_ns());
    }

    /// RFC 7765 section 4: with fewer than four segments outstanding and nothing to follow, too little for fast
    /// retransmission, the timer counts from when the first of them was sent.
    fn restart_from(&self, now: Instant) -> Instant {
        let sent = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let last = self.hot.queued - self.hot.acknowledged <= u64::from(sent);
        if !last || sent >= 4 * self.hot.window.mss {
            return now;
        }
        // What has been out for longer than the timeout gets a whole one.
        let first = self.cold.scoreboard.first_sent_at();
        first.filter(|first| !first.plus_nanos(self.cold.rtt.timer_ns()).is_due(now)).unwrap_or(now)
    }

    /// The peer's window has opened: what a probe, or a window taken back, left outside is sent again.
    fn leave_persist(&mut self, now: Instant, window_before: u32) {
        if self.hot.snd_wnd == 0 {
            // The peer is there, however long its window stays shut (RFC 9293 section 3.8.6.1); but a peer
            // must not hold what no application waits for.
            if !self.hot.bits.has(Bits::ORPHAN) {
                self.cold.stalled_since = now;
            }
            return;
        }
        if self.hot.bits.has(Bits::PERSIST) || (window_before == 0 && !self.cold.scoreboard.is_empty()) {
            self.hot.bits.clear(Bits::PERSIST);
            self.cold.rtt.reset_backoff();
            self.hot.rto_ns = self.cold.rtt.rto_ns();
            self.send_again();
            self.rearm(now);
        }
    }

    /// All that is outstanding goes out again, for a reason that is no sign of congestion: the window stays.
    pub(crate) fn send_again(&mut self) {
        if self.cold.scoreboard.mark_lost(|_| true) > 0 {
            self.cold.recovery_point = self.hot.snd_nxt;
            self.cold.undo = Undo::default();
            self.cold.f_rto = FRto::Off;
            self.hot.bits.clear(Bits::RECOVERY);
            self.hot.bits.set(Bits::LOSS.or(Bits::FORCE));
        }
    }
}
