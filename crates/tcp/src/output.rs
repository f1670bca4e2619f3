//! What to send next: SYN, lost data, new data, FIN, probes, acknowledgements, in this order
//! (RFC 9293 sections 3.8.6 and 3.10.2).

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpOptions, Timestamps};

use crate::connection::{Bits, Connection};
use crate::ecn::Ecn;
use crate::f_rto::FRto;
use crate::segment::{Purpose, TxSegment};
use crate::state::State;
use crate::time::Instant;

/// When something is to be sent besides data, whether lost or new, and acknowledgements.
const RARE: Bits = Bits::PROBE.or(Bits::TAIL_PROBE).or(Bits::RECOVERY).or(Bits::LOSS);

/// New data that goes out now.
struct New {
    start: SeqNum,
    len: u32,
    fin: bool,
}

impl Connection {
    /// The next segment to send now; `None`: nothing, until a segment, a timer or the application changes
    /// something. The caller must send what it gets: ask only when there is room.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<TxSegment> {
        match self.hot.state {
            State::Closed => None,
            State::SynSent => self.syn(now),
            State::SynReceived if !self.answers_early() => self.syn(now),
            _ => {
                if self.cold.scoreboard.lost_bytes() > 0
                    && let Some(segment) = self.lost_data(now)
                {
                    return Some(segment);
                }
                if let Some(new) = self.new_data(now) {
                    return Some(self.data_segment(now, new.start, new.len, new.fin, false));
                }
                self.rare_data(now).or_else(|| self.acknowledgement(now))
            }
        }
    }

    fn syn(&mut self, now: Instant) -> Option<TxSegment> {
        if !self.hot.bits.has(Bits::SEND_SYN) {
            return None;
        }
        self.hot.bits.clear(Bits::SEND_SYN.or(Bits::ACK_NOW).or(Bits::ACK_DUE));
        let again = self.hot.bits.has(Bits::SYN_RETRANSMITTED);
        self.cold.stats.segs_retrans += u64::from(again);
        let first = self.hot.snd_nxt == self.cold.iss;
        let mut options = self.syn_options(now);
        let reply = self.hot.state == State::SynReceived;
        let mut len = 0;
        if !reply {
            options.fast_open = self.syn_extra(again);
            len = self.syn_payload(again, options.encoded_len());
        }
        if first {
            self.cold.syn_sent_at = now;
            self.hot.snd_nxt = self.after_syn();
        }
        if self.cold.fast_open.early {
            // The stream begins behind the SYN, whose acknowledgement is awaited apart from it.
            self.hot.snd_una = self.cold.iss + 1;
        }
        let ecn = self.ecn_flags_of_syn(reply);
        if self.hot.rtx_at == Instant::NEVER || self.hot.rtx_at.is_due(now) {
            self.hot.rtx_at = now.plus_nanos(self.cold.rtt.rto_ns());
        }
        self.cold.stats.segs_out += 1;
        let window = self.window_field(true);
        self.hot.last_ack_sent = self.hot.rcv_nxt;
        Some(TxSegment {
            seq: self.cold.iss,
            ack: if reply { self.hot.rcv_nxt } else { SeqNum(0) },
            flags: ecn | if reply { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::SYN },
            window,
            options,
            offset: 0,
            len,
            retransmission: again,
            purpose: if again { Purpose::HandshakeAgain } else { Purpose::Ordinary },
            ecn: Ecn::NotEct,
        })
    }

    /// Retransmission of what is thought lost, as the congestion window allows.
    #[inline(never)]
    fn lost_data(&mut self, now: Instant) -> Option<TxSegment> {
        let mss = self.payload_limit();
        let (start, len) = self.cold.scoreboard.next_lost(mss)?;
        if self.pipe() + len > self.hot.window.cwnd && !self.hot.bits.has(Bits::FORCE) {
            self.note_usage(now, true);
            return None;
        }
        if self.cold.f_rto == FRto::NewData {
            return None;
        }
        if self.held_by_pacing(now) {
            return None;
        }
        self.note_paced(now, len);
        self.hot.bits.clear(Bits::FORCE);
        let purpose = if self.hot.bits.has(Bits::PERSIST) {
            Purpose::WindowProbe
        } else if self.hot.bits.has(Bits::LOSS) {
            Purpose::Timeout
        } else {
            Purpose::FastRetransmission
        };
        Some(self.send_again_now(now, start, len, purpose))
    }

    /// What is seldom to be sent, when there is nothing else.
    fn rare_data(&mut self, now: Instant) -> Option<TxSegment> {
        if !self.hot.bits.has(RARE) {
            return None;
        }
        if self.f_rto_gives_up()
            && let Some(segment) = self.lost_data(now)
        {
            return Some(segment);
        }
        self.tail_probe(now)
            .or_else(|| self.head_probe(now))
            .or_else(|| self.speculative_data(now))
            .or_else(|| self.bare_probe(now))
    }

    /// New data and FIN, as far as both windows, Nagle and silly-window avoidance let it.
    fn new_data(&mut self, now: Instant) -> Option<New> {
        let bits = self.hot.bits;
        if bits.has(Bits::FIN_SENT) {
            return None;
        }
        let sent = self.hot.snd_nxt.offset_from(self.hot.snd_una) as u32;
        let unsent = self.hot.queued - self.hot.acknowledged - u64::from(sent);
        let fin_waiting = bits.has(Bits::FIN_QUEUED);
        if unsent == 0 && !fin_waiting {
            self.note_nothing_to_send(now);
            return None;
        }
        let usable = self.hot.snd_wnd.saturating_sub(sent);
        let unsent_now = u32::try_from(unsent).unwrap_or(u32::MAX);
        let usual = self.payload_limit();
        let mss = if bits.has(Bits::MTU_PROBE) { self.probe_limit(usual, unsent_now, usable) } else { usual };
        let len = unsent_now.min(mss).min(usable);
        let last = u64::from(len) == unsent;
        // FIN takes a place in the window as a byte does.
        let fin = fin_waiting && last && len < usable;
        if len == 0 && !fin {
            self.enter_persist(now, sent);
            self.note_usage(now, false);
            return None;
        }
        if sent == 0 {
            self.restart_after_idle(now);
        }
        let pipe = self.pipe();
        if len > self.hot.window.cwnd.saturating_sub(pipe) && pipe > 0 && !bits.has(Bits::TAIL_PROBE) {
            self.note_usage(now, true);
            return None;
        }
        // RFC 9293 section 3.8.6.2.1: a full segment; or all there is, and nothing it waits for or Nagle off;
        // or a good part of the largest window ever offered.
        let worth_it = len == mss
            || (last && (fin_waiting || bits.has(Bits::NODELAY) || !self.waits_behind_small(sent)))
            || (!last && len >= self.hot.max_snd_wnd / 2)
            || (len > 0 && bits.has(Bits::PERSIST) && bits.has(Bits::FORCE))
            || (len > 0 && bits.has(Bits::TAIL_PROBE));
        if !worth_it {
            if sent == 0 {
                self.enter_persist(now, sent);
            }
            return None;
        }
        if self.held_by_pacing(now) {
            return None;
        }
        self.note_paced(now, len);
        self.hot.bits.clear(Bits::FORCE);
        if sent == 0 {
            self.cold.stalled_since = now;
        }
        let start = self.hot.snd_nxt;
        if len > usual {
            self.note_mtu_probe(self.hot.acknowledged + u64::from(sent), len);
        }
        let end = start + len + u32::from(fin);
        self.cold.scoreboard.sent(start, end, now);
        self.hot.snd_nxt = end;
        if len < usual {
            self.cold.small_end = end;
        }
        if fin {
            self.hot.bits.set(Bits::FIN_SENT);
        }
        if self.hot.rtx_at == Instant::NEVER || self.hot.bits.has(Bits::PERSIST) {
            self.hot.bits.clear(Bits::PERSIST);
            self.arm(now);
        }
        if bits.has(Bits::TAIL_PROBE) {
            self.probed_with_new_data();
        }
        Some(New { start, len, fin })
    }

    /// Whether Nagle's algorithm (RFC 9293 section 3.7.4) keeps a small segment back: behind an earlier small one, as
    /// Minshall proposed and most hosts do. Behind full segments it goes out, or the end of every odd number
    /// of segments would wait for the peer's delayed acknowledgement.
    pub(crate) fn waits_behind_small(&self, sent: u32) -> bool {
        let end = self.cold.small_end;
        let small = end.after(self.hot.snd_una) && end.at_or_before(self.hot.snd_nxt);
        sent > 0 && (small || self.cold.config.strict_nagle)
    }

    #[inline(always)]
    pub(crate) fn data_segment(
        &mut self,
        now: Instant,
        start: SeqNum,
        len: u32,
        fin: bool,
        again: bool,
    ) -> TxSegment {
        let offset = self.hot.acknowledged + start.offset_from(self.hot.snd_una).max(0) as u64;
        let mut flags = TcpFlags::ACK;
        if len > 0 && self.is_pushed(offset + u64::from(len), again) {
            flags |= TcpFlags::PSH;
        }
        if fin {
            flags |= TcpFlags::FIN;
        }
        if len == self.hot.window.mss && self.cold.path_mtu.watches() {
            self.note_full_segment(offset + u64::from(len));
        }
        self.cold.stats.data_segs_out += u64::from(len > 0);
        let mut segment = self.segment(now, start, flags);
        segment.offset = offset;
        segment.len = len;
        segment.retransmission = again;
        if self.hot.bits.has(Bits::ECN) {
            self.echo_marks(&mut segment);
            self.mark_capable(&mut segment);
        }
        segment
    }

    /// A segment with everything but a payload. It acknowledges all there is to acknowledge.
    #[inline(always)]
    fn segment(&mut self, now: Instant, seq: SeqNum, flags: TcpFlags) -> TxSegment {
        let mut options = TcpOptions { timestamps: self.timestamps_if_agreed(now), ..TcpOptions::default() };
        if self.hot.bits.has(Bits::SACK) && self.hot.bits.has(Bits::HOLES.or(Bits::DSACK)) {
            self.report_blocks(&mut options);
        }
        let urgent = self.hot.bits.has(Bits::URGENT);
        let flags = if urgent { flags | self.urgent_flag(seq) } else { flags };
        let window = self.window_field(false);
        self.hot.last_ack_sent = self.hot.rcv_nxt;
        self.hot.ack_at = Instant::NEVER;
        self.hot.bits.clear(Bits::ACK_NOW.or(Bits::ACK_DUE));
        if self.hot.bits.has(Bits::DSACK) {
            // One report to an acknowledgement: the next follows.
            self.hot.bits.set(Bits::ACK_NOW);
        }
        self.cold.stats.segs_out += 1;
        TxSegment {
            seq,
            ack: self.hot.rcv_nxt,
            flags,
            window,
            options,
            offset: 0,
            len: 0,
            retransmission: false,
            purpose: Purpose::Ordinary,
            ecn: Ecn::NotEct,
        }
    }

    /// A probe without data: one before what is outstanding, so that the peer must answer
    /// (RFC 9293 section 3.8.4).
    fn bare_probe(&mut self, now: Instant) -> Option<TxSegment> {
        if !self.hot.bits.has(Bits::PROBE) {
            return None;
        }
        self.hot.bits.clear(Bits::PROBE);
        Some(TxSegment { purpose: Purpose::KeepAlive, ..self.bare(now, self.hot.snd_una - 1) })
    }

    fn acknowledgement(&mut self, now: Instant) -> Option<TxSegment> {
        if !self.hot.bits.has(Bits::ACK_NOW.or(Bits::ACK_DUE)) {
            self.hot.extra_acks = self.hot.extra_acks.checked_sub(1)?;
        }
        Some(self.bare_acknowledgement(now))
    }

    /// An acknowledgement without data.
    pub(crate) fn bare_acknowledgement(&mut self, now: Instant) -> TxSegment {
        self.bare(now, self.sequence_of_bare())
    }

    fn bare(&mut self, now: Instant, seq: SeqNum) -> TxSegment {
        let mut segment = self.segment(now, seq, TcpFlags::ACK);
        if self.hot.bits.has(Bits::ECN) {
            self.echo_marks(&mut segment);
        }
        segment
    }

    /// Sequence number of a segment without data: `snd_nxt`, unless a probe was sent beyond the peer's window.
    /// From there the peer would not take the acknowledgement either.
    pub(crate) fn sequence_of_bare(&self) -> SeqNum {
        self.hot.snd_nxt.earlier(self.hot.snd_una + self.hot.snd_wnd)
    }

    /// Our timestamp clock ticks in milliseconds (RFC 7323 section 5.4), from an offset of its own.
    pub(crate) fn timestamps(&self, now: Instant) -> Timestamps {
        Timestamps { value: crate::request::clock(now, self.hot.ts_offset), echo: self.hot.ts_recent }
    }

    pub(crate) fn timestamps_if_agreed(&self, now: Instant) -> Option<Timestamps> {
        self.hot.bits.has(Bits::TIMESTAMPS).then(|| self.timestamps(now))
    }
}
