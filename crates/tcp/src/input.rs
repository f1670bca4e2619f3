//! Segment arrival: the predicted path, and RFC 9293 section 3.10.7 in full behind it.
//!
//! The caller has verified the checksum. What is to be sent in answer is only noted here; it goes out when
//! the caller asks [`Connection::poll_transmit`], once for all segments of a batch.

use bypath_wire::tcp::{TcpFlags, Timestamps};

use crate::connection::{Bits, CloseReason, Connection};
use crate::ecn::Ecn;
use crate::reset::reset_for;
use crate::segment::{Events, Received, Segment};
use crate::state::State;
use crate::stats::DropCause;
use crate::time::Instant;

/// Half the range of a timestamp, in milliseconds: older than this `ts_recent` is not relied on
/// (RFC 7323 section 5.5).
const PAWS_AGE_NS: u64 = 24 * 24 * 3600 * 1_000_000_000;

impl Connection {
    /// Takes a segment that belongs to this connection. See [`Received`] for what the caller then does.
    pub fn on_segment(&mut self, now: Instant, segment: &Segment<'_>) -> Received {
        let mut out = Received::default();
        self.take_segment(now, segment, &mut out);
        out
    }

    /// The same, noting in `out`, which is as new, what the caller then does: it is too large to be handed on.
    #[inline]
    pub fn take_segment(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        self.cold.stats.segs_in += 1;
        if !self.predicted(now, segment, out) {
            self.in_any_state(now, segment, out);
        }
    }

    /// What was not predicted.
    #[inline(never)]
    fn in_any_state(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        match self.hot.state {
            State::Closed => {
                out.dropped = Some(DropCause::Closed);
                out.reply = reset_for(segment);
            }
            State::SynSent => self.in_syn_sent(now, segment, out),
            _ => self.in_other_states(now, segment, out),
        }
        if self.hot.state == State::Closed && self.cold.close_reason.is_some() {
            out.events.insert(Events::CLOSED);
        }
    }

    /// Header prediction: an established connection without holes or losses, the next segment in order or
    /// a plain acknowledgement, nothing unusual in it. `false`: nothing was done.
    fn predicted(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) -> bool {
        let hot = &mut self.hot;
        let header = segment.header;
        let options = segment.options;
        let unusual = Bits::HOLES
            .or(Bits::RECOVERY)
            .or(Bits::LOSS)
            .or(Bits::PERSIST)
            .or(Bits::DEAF)
            .or(Bits::TAIL_PROBED)
            .or(Bits::ECHO)
            .or(Bits::MTU_PROBED);
        let plain = hot.state == State::Established
            && header.flags | TcpFlags::PSH == TcpFlags::ACK | TcpFlags::PSH
            && header.seq == hot.rcv_nxt
            && header.ack.at_or_after(hot.snd_una)
            && header.ack.at_or_before(hot.snd_nxt)
            && options.sack.is_empty()
            && segment.ecn != Ecn::Ce
            && !hot.bits.has(unusual)
            && segment.payload_len <= hot.rcv_edge.offset_from(hot.rcv_nxt) as u32
            && segment.payload_len <= hot.rcv_space
            && hot.dup_acks == 0;
        if !plain {
            return false;
        }
        if hot.bits.has(Bits::TIMESTAMPS) {
            match options.timestamps {
                Some(ts) if (ts.value.wrapping_sub(hot.ts_recent) as i32) >= 0 => {
                    if header.seq.at_or_before(hot.last_ack_sent) {
                        hot.ts_recent = ts.value;
                    }
                }
                _ => return false,
            }
        }
        let acked = header.ack.offset_from(hot.snd_una);
        let window = u32::from(header.window) << hot.snd_scale;
        if segment.payload_len == 0 && acked == 0 && window == hot.snd_wnd {
            // A duplicate acknowledgement, or a keep-alive: not what is predicted.
            return false;
        }
        hot.last_heard = now;
        if window != hot.snd_wnd || acked > 0 {
            hot.snd_wnd = window;
            hot.max_snd_wnd = hot.max_snd_wnd.max(window);
            hot.snd_wl1 = header.seq;
            hot.snd_wl2 = header.ack;
        }
        if acked > 0 {
            self.advance_una(now, header.ack, out);
        }
        if segment.payload_len > 0 {
            out.deliver = segment.payload_len;
            self.hot.rcv_nxt += segment.payload_len;
            self.hot.rcv_space -= segment.payload_len;
            self.note_data(now, segment);
        }
        true
    }

    /// RFC 9293 section 3.10.7.3.
    fn in_syn_sent(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        let header = segment.header;
        let has_ack = header.flags.contains(TcpFlags::ACK);
        let ack_ok = has_ack && header.ack.after(self.cold.iss) && header.ack.at_or_before(self.hot.snd_nxt);
        if has_ack && !ack_ok {
            out.dropped = Some(DropCause::BadAck);
            out.reply = reset_for(segment);
            return;
        }
        if header.flags.contains(TcpFlags::RST) {
            if ack_ok {
                self.finish(CloseReason::Refused);
            } else {
                out.dropped = Some(DropCause::StrayReset);
            }
            return;
        }
        if !header.flags.contains(TcpFlags::SYN) {
            out.dropped = Some(DropCause::NoAck);
            return;
        }
        self.hot.last_heard = now;
        self.negotiate(segment);
        if has_ack {
            self.take_syn_ack(segment, out);
            self.cold.lifetime_at = Instant::NEVER;
            self.establish(now);
            self.refresh_aux();
            out.events.insert(Events::ESTABLISHED);
            self.hot.bits.set(Bits::ACK_NOW);
            self.take_payload(now, segment, out);
        } else {
            // Simultaneous open: both SYNs crossed.
            self.hot.state = State::SynReceived;
            self.forget_syn_data();
            self.hot.bits.set(Bits::SEND_SYN);
        }
    }

    /// RFC 9293 section 3.10.7.4: SYN-RECEIVED and all synchronized states, check by check.
    fn in_other_states(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        let header = segment.header;
        let flags = header.flags;

        if self.hot.state == State::TimeWait && self.may_reopen(segment) {
            out.events.insert(Events::REOPEN);
            self.finish(CloseReason::Finished);
            return;
        }
        if self.is_crossed_syn_ack(segment) {
            self.cross_syn_acks(now, segment, out);
            return;
        }
        if let Some(cause) = self.stale_timestamp(now, segment) {
            out.dropped = Some(cause);
            self.acknowledge_duplicate(now, segment);
            return;
        }
        if !self.acceptable(segment) {
            self.refuse(now, segment, out);
            return;
        }
        if flags.contains(TcpFlags::RST) {
            self.on_reset(now, segment, out);
            return;
        }
        if flags.contains(TcpFlags::SYN) {
            if self.hot.state == State::SynReceived {
                self.send_syn_again();
            } else {
                out.dropped = Some(DropCause::BlindSyn);
                self.challenge(now, out);
            }
            return;
        }
        if !flags.contains(TcpFlags::ACK) {
            out.dropped = Some(DropCause::NoAck);
            return;
        }
        if self.hot.state == State::SynReceived && !self.complete_handshake(now, segment, out) {
            return;
        }
        self.remember_timestamp(segment);
        self.hot.last_heard = now;
        self.note_marks(now, segment, out);
        if let Err(cause) = self.process_ack(now, segment, out) {
            out.dropped = Some(cause);
            return;
        }
        self.after_ack(now, out);
        if self.hot.state != State::Closed {
            self.take_urgent(segment, out);
            self.take_payload(now, segment, out);
        }
    }

    /// A segment that fails the first check: answered with an acknowledgement, and otherwise not used.
    fn refuse(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        let header = segment.header;
        let flags = header.flags;
        let old = header.seq.before(self.hot.rcv_nxt);
        out.dropped =
            Some(if old && segment.payload_len > 0 { DropCause::Duplicate } else { DropCause::OutOfWindow });
        if flags.contains(TcpFlags::RST) {
            return;
        }
        if self.hot.state == State::SynReceived && flags.contains(TcpFlags::SYN) {
            // Our SYN-ACK was lost: the peer says SYN again.
            self.send_syn_again();
            return;
        }
        self.acknowledge_duplicate(now, segment);
        if self.hot.state == State::TimeWait {
            if flags.contains(TcpFlags::FIN) {
                // The peer has not got our last acknowledgement (RFC 9293 section 3.10.7.4, eighth check).
                self.enter_time_wait(now);
            }
            return;
        }
        // The acknowledgement of an old duplicate still tells what the peer has got, and so do its window
        // and SACK blocks: it may be a keep-alive, or a retransmission that crossed ours. Not so a SYN-ACK, whose
        // window is not scaled.
        let ack = flags & (TcpFlags::ACK | TcpFlags::SYN) == TcpFlags::ACK;
        if old && ack && self.hot.state.is_synchronized() {
            let _ = self.process_ack(now, segment, out);
            self.after_ack(now, out);
        }
    }

    /// Whether this is the peer's SYN-ACK after both ends opened at once (RFC 9293 section 3.5, figure 7).
    /// Its sequence number lies before the window, as the peer's SYN was taken already.
    fn is_crossed_syn_ack(&self, segment: &Segment<'_>) -> bool {
        let header = segment.header;
        self.hot.state == State::SynReceived
            && !self.cold.passive
            && header.flags & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN)
                == TcpFlags::SYN | TcpFlags::ACK
            && header.seq + 1 == self.hot.rcv_nxt
            && header.ack == self.hot.snd_nxt
    }

    fn cross_syn_acks(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        if self.complete_handshake(now, segment, out) {
            // The window in a SYN is never scaled.
            self.hot.snd_wnd = u32::from(segment.header.window);
            self.hot.last_heard = now;
            self.hot.bits.set(Bits::ACK_NOW);
        }
    }

    /// SYN or SYN-ACK once more, because a timer or the peer says so.
    pub(crate) fn send_syn_again(&mut self) {
        self.hot.bits.set(Bits::SEND_SYN.or(Bits::SYN_RETRANSMITTED));
    }

    /// First check: does it lie in the window (RFC 9293 section 3.4, table 6)?
    fn acceptable(&self, segment: &Segment<'_>) -> bool {
        let hot = &self.hot;
        let seq = segment.header.seq;
        let len = segment.sequence_len();
        let window = self.advertised();
        match (len, window) {
            (0, 0) => seq == hot.rcv_nxt,
            // With the right edge: a peer whose data has filled the window, and of that data some was lost,
            // acknowledges from there.
            (0, _) => seq.in_window(hot.rcv_nxt, window + 1),
            (_, 0) => {
                // A zero window takes no data, but a valid ACK, RST or URG at its edge still counts
                // (RFC 9293 MUST-66); its data is trimmed away.
                seq == hot.rcv_nxt
            }
            (_, _) => {
                seq.in_window(hot.rcv_nxt, window) || (seq + (len - 1)).in_window(hot.rcv_nxt, window)
                    // A segment longer than the window that covers all of it.
                    || (seq.before(hot.rcv_nxt) && (seq + len).at_or_after(hot.rcv_edge))
            }
        }
    }

    /// PAWS (RFC 7323 section 5.3).
    fn stale_timestamp(&mut self, now: Instant, segment: &Segment<'_>) -> Option<DropCause> {
        if !self.hot.bits.has(Bits::TIMESTAMPS) || segment.header.flags.contains(TcpFlags::RST) {
            return None;
        }
        let ts = segment.options.timestamps?;
        let old = (ts.value.wrapping_sub(self.hot.ts_recent) as i32) < 0;
        let fresh = now.nanos_since(self.hot.last_heard) < PAWS_AGE_NS;
        (old && fresh).then_some(DropCause::OldTimestamp)
    }

    /// RFC 7323 section 4.3.
    fn remember_timestamp(&mut self, segment: &Segment<'_>) {
        if let (true, Some(Timestamps { value, .. })) =
            (self.hot.bits.has(Bits::TIMESTAMPS), segment.options.timestamps)
            && segment.header.seq.at_or_before(self.hot.last_ack_sent)
        {
            self.hot.ts_recent = value;
        }
    }

    /// A segment outside the window is answered with an acknowledgement (RFC 9293 section 3.10.7.4). A range
    /// that was received before is reported (RFC 2883). Answers to what takes no sequence space are
    /// limited: two ends that disagree would answer each other for ever.
    pub(crate) fn acknowledge_duplicate(&mut self, now: Instant, segment: &Segment<'_>) {
        if segment.sequence_len() == 0 {
            self.limited_ack(now);
            return;
        }
        self.hot.bits.set(Bits::ACK_NOW);
        // A SYN takes the number before its payload.
        let start = segment.header.seq + u32::from(segment.header.flags.contains(TcpFlags::SYN));
        let end = start + segment.payload_len;
        if end.at_or_before(self.hot.rcv_nxt) {
            self.note_duplicate(start, end);
        }
    }

    /// RFC 5961 section 3.2: only the very next sequence number is believed.
    fn on_reset(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        if segment.header.seq != self.hot.rcv_nxt {
            out.dropped = Some(DropCause::BlindReset);
            self.challenge(now, out);
            return;
        }
        let reason = match self.hot.state {
            State::SynReceived if !self.cold.passive => CloseReason::Refused,
            // The peer has closed and is gone: no harm, if all that it had yet to acknowledge was FIN.
            State::Closing | State::LastAck | State::TimeWait if self.hot.acknowledged == self.hot.queued => {
                CloseReason::Finished
            }
            _ => CloseReason::Reset,
        };
        self.finish(reason);
    }

    /// Fifth check in SYN-RECEIVED: the acknowledgement of our SYN. `false`: refused.
    fn complete_handshake(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) -> bool {
        let header = segment.header;
        let valid = header.ack.after(self.cold.iss) && header.ack.at_or_before(self.hot.snd_nxt);
        if !valid {
            out.dropped = Some(DropCause::BadAck);
            out.reply = reset_for(segment);
            return false;
        }
        self.hot.snd_una = self.cold.iss + 1;
        self.cold.lifetime_at = Instant::NEVER;
        self.establish(now);
        // A server that has answered data of the SYN has data outstanding already.
        self.rearm(now);
        self.refresh_aux();
        self.hot.snd_wnd = u32::from(header.window) << self.hot.snd_scale;
        self.hot.max_snd_wnd = self.hot.max_snd_wnd.max(self.hot.snd_wnd);
        self.hot.snd_wl1 = header.seq;
        self.hot.snd_wl2 = header.ack;
        self.ecn_after_syn_ack(segment);
        out.events.insert(Events::ESTABLISHED);
        true
    }

    /// A SYN that may follow on a connection in TIME-WAIT: beyond the old sequence space, or later by the
    /// timestamps (RFC 9293 MUST-13's exception, RFC 6191 section 2).
    fn may_reopen(&self, segment: &Segment<'_>) -> bool {
        let flags = segment.header.flags;
        if !flags.contains(TcpFlags::SYN) || flags.intersects(TcpFlags::RST | TcpFlags::ACK) {
            return false;
        }
        let later = self.hot.bits.has(Bits::TIMESTAMPS)
            && segment
                .options
                .timestamps
                .is_some_and(|ts| (ts.value.wrapping_sub(self.hot.ts_recent) as i32) > 0);
        later || segment.header.seq.after(self.hot.rcv_nxt)
    }

    /// What an acknowledgement of our FIN changes (RFC 9293 section 3.10.7.4, fifth check).
    fn after_ack(&mut self, now: Instant, out: &mut Received) {
        let fin_acknowledged = self.hot.bits.has(Bits::FIN_SENT) && self.hot.snd_una == self.hot.snd_nxt;
        if !fin_acknowledged {
            return;
        }
        match self.hot.state {
            State::FinWait1 => {
                self.hot.state = State::FinWait2;
                if self.hot.bits.has(Bits::ORPHAN) {
                    self.cold.lifetime_at = now + self.cold.config.fin_wait_2;
                    self.refresh_aux();
                }
            }
            State::Closing => {
                self.enter_time_wait(now);
                out.events.insert(Events::TIME_WAIT);
            }
            State::LastAck => {
                self.finish(CloseReason::Finished);
                out.events.insert(Events::CLOSED);
            }
            _ => {}
        }
    }

    pub(crate) fn enter_time_wait(&mut self, now: Instant) {
        self.hot.state = State::TimeWait;
        self.hot.rtx_at = Instant::NEVER;
        self.cold.lifetime_at = now + self.cold.config.time_wait;
        self.refresh_aux();
    }
}
