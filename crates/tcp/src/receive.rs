//! The payload of acceptable segments: what is delivered, what is kept for later, and when it is
//! acknowledged (RFC 9293 section 3.10.7.4, seventh and eighth checks; RFC 5681 section 4.2).

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::TcpFlags;

use crate::config::Config;
use crate::connection::{Bits, CloseReason, Connection};
use crate::segment::{Events, Received, Segment, Store};
use crate::state::State;
use crate::stats::DropCause;
use crate::time::Instant;

/// Segments smaller than this are not taken for the best that the peer can do.
const LEAST_FULL_SEGMENT: u16 = 88;

/// Assumed of a peer that has not sent a full one yet.
const USUAL_FULL_SEGMENT: u16 = 536;

/// So many full segments are acknowledged at once, however long the caller would wait.
const HELD_SEGMENTS: u32 = 16;

/// With any of these an acknowledgement goes out at once.
const NOT_HELD: Bits =
    Bits::ACK_NOW.or(Bits::HOLES).or(Bits::DSACK).or(Bits::ECHO).or(Bits::PROBE).or(Bits::TAIL_PROBE);

/// Sizes of the peer's segments, payload only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSegment {
    /// Of a full one, as far as is known.
    full: u16,
    /// Of the last that was not full.
    last: u16,
    /// More bytes than this are worth an acknowledgement at once.
    ack_after: u16,
}

impl PeerSegment {
    pub(crate) fn new(config: &Config) -> Self {
        let half = u16::try_from(config.receive_buffer / 2).unwrap_or(u16::MAX);
        let full = USUAL_FULL_SEGMENT.min(config.mss).min(half);
        let mut sizes = Self { full: 0, last: 0, ack_after: 0 };
        sizes.set_full(full.max(LEAST_FULL_SEGMENT), config);
        sizes
    }

    fn set_full(&mut self, full: u16, config: &Config) {
        self.full = full;
        self.ack_after = full.saturating_mul(u16::from(config.ack_every.max(1) - 1));
    }
}

impl Connection {
    /// Schedules the acknowledgement of in-order data: at once for the first segments and for every second
    /// full one, delayed otherwise (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2).
    pub(crate) fn note_data(&mut self, now: Instant, segment: &Segment<'_>) {
        if segment.payload_len != u32::from(self.cold.peer_segment.full) {
            self.measure_segment(segment);
        }
        if self.hot.rcv_nxt.at_or_after(self.cold.tuner.sample_after) {
            self.measure_receiver_rtt(now, segment);
        }
        let hot = &mut self.hot;
        let unacknowledged = hot.rcv_nxt.offset_from(hot.last_ack_sent);
        if hot.quick_acks > 0 {
            hot.quick_acks -= 1;
            hot.bits.set(Bits::ACK_NOW);
        } else if unacknowledged > i32::from(self.cold.peer_segment.ack_after) {
            let whole = segment.header.flags & (TcpFlags::PSH | TcpFlags::FIN) == TcpFlags::empty();
            hot.bits.set(if whole { Bits::ACK_DUE } else { Bits::ACK_NOW });
        } else if hot.ack_at == Instant::NEVER {
            hot.ack_at = now + self.cold.config.delayed_ack;
        }
    }

    /// Whether the acknowledgement that is due may wait for more segments to cover: it says nothing but that the stream
    /// goes on, and is sent when asked for otherwise. A caller that takes packets off a device as they come would
    /// else acknowledge every second one, and its peer would send two at a time; what Linux's GRO joins before TCP sees
    /// it is acknowledged once as well.
    pub fn may_hold_ack(&self) -> bool {
        let hot = &self.hot;
        let unacknowledged = hot.rcv_nxt.offset_from(hot.last_ack_sent).unsigned_abs();
        let most = u32::from(self.cold.peer_segment.full).saturating_mul(HELD_SEGMENTS);
        hot.bits.has(Bits::ACK_DUE)
            && !hot.bits.has(NOT_HELD)
            && hot.state == State::Established
            && hot.queued == hot.acknowledged
            && hot.snd_nxt == hot.snd_una
            && unacknowledged < most.min(self.cold.tuner.present / 4)
    }

    /// What a full segment of the peer is: the largest seen, and less again once two in a row that do not end
    /// a write are of one smaller size (the path may have become narrower).
    #[inline(never)]
    fn measure_segment(&mut self, segment: &Segment<'_>) {
        let len = u16::try_from(segment.payload_len).unwrap_or(u16::MAX);
        let sizes = &mut self.cold.peer_segment;
        let pushed = segment.header.flags.contains(TcpFlags::PSH);
        if len > sizes.full || (len == sizes.last && !pushed && len >= LEAST_FULL_SEGMENT) {
            sizes.set_full(len, &self.cold.config);
        }
        sizes.last = len;
    }

    /// Seventh and eighth checks: the payload and FIN.
    pub(crate) fn take_payload(&mut self, now: Instant, segment: &Segment<'_>, out: &mut Received) {
        let fin = segment.header.flags.contains(TcpFlags::FIN);
        if segment.payload_len == 0 && !fin {
            return;
        }
        if !self.hot.state.may_receive() {
            if self.hot.state == State::TimeWait {
                // The peer has not got our last acknowledgement (RFC 9293 section 3.10.7.4).
                self.hot.bits.set(Bits::ACK_NOW);
                self.enter_time_wait(now);
            }
            out.dropped = Some(DropCause::AfterClose);
            return;
        }
        let rcv_nxt = self.hot.rcv_nxt;
        let start = segment.header.seq + u32::from(segment.header.flags.contains(TcpFlags::SYN));
        let skip = u32::try_from(rcv_nxt.offset_from(start)).unwrap_or(0).min(segment.payload_len);
        if self.hot.bits.has(Bits::DEAF) && segment.payload_len > skip {
            // Nobody will ever read it: tell the peer (RFC 9293 section 3.6.1).
            out.dropped = Some(DropCause::AfterClose);
            out.reply = Some(self.reset_segment(now));
            self.finish(CloseReason::Aborted);
            return;
        }
        let room = self.advertised().min(self.hot.rcv_space);
        if start.after(rcv_nxt) {
            self.keep_for_later(start, segment, room, out);
            return;
        }
        let fresh = segment.payload_len - skip;
        let take = fresh.min(room);
        out.skip = skip;
        if fresh > 0 {
            if skip > 0 || self.hot.bits.has(Bits::HOLES) {
                self.note_partial_duplicate(start, skip, start + skip + take);
            }
            out.deliver = take;
            self.hot.rcv_nxt += take;
            if self.hot.bits.has(Bits::HOLES) {
                out.released = self.cold.assembler.advance(self.hot.rcv_nxt);
                self.hot.rcv_nxt += out.released;
                // RFC 5681 section 4.2: a hole is being filled, tell at once.
                self.hot.bits.set(Bits::ACK_NOW);
                if self.cold.fin_ahead.is_some_and(|fin| fin.before(self.hot.rcv_nxt)) {
                    self.cold.fin_ahead = None;
                }
                if self.cold.assembler.is_empty() && self.cold.fin_ahead.is_none() {
                    self.hot.bits.clear(Bits::HOLES);
                }
            }
            self.hot.rcv_space = self.hot.rcv_space.saturating_sub(take + out.released);
            self.note_data(now, segment);
        } else if segment.payload_len > 0 {
            out.dropped = Some(DropCause::Duplicate);
            self.acknowledge_duplicate(now, segment);
        }
        if take < fresh {
            out.dropped = Some(DropCause::OutOfWindow);
            self.hot.bits.set(Bits::ACK_NOW);
            return;
        }
        let here = fin && start + segment.payload_len == self.hot.rcv_nxt;
        if here || self.cold.fin_ahead == Some(self.hot.rcv_nxt) {
            self.on_fin(now, out);
        }
    }

    /// Of a segment from `start` to `end` that brings something new the first `skip` bytes had been received
    /// before, or some that were stored. The first such run is reported (RFC 2883 section 4.2).
    fn note_partial_duplicate(&mut self, start: SeqNum, skip: u32, end: SeqNum) {
        if skip > 0 {
            self.note_duplicate(start, start + skip);
        } else if let Some(twice) = self.cold.assembler.overlap(start, end) {
            self.note_duplicate(twice.left, twice.right);
        }
    }

    /// A segment beyond the next expected byte.
    fn keep_for_later(&mut self, start: SeqNum, segment: &Segment<'_>, room: u32, out: &mut Received) {
        // At once, so that the sender learns of the hole (RFC 5681 section 4.2). Without SACK it counts
        // the copies.
        if self.hot.bits.has(Bits::ACK_NOW.or(Bits::ACK_DUE)) && !self.hot.bits.has(Bits::SACK) {
            self.hot.extra_acks = self.hot.extra_acks.saturating_add(1);
        }
        self.hot.bits.set(Bits::ACK_NOW);
        self.cold.stats.out_of_order_in += 1;
        let ahead = start.offset_from(self.hot.rcv_nxt) as u32;
        let limit = room.min(self.cold.reassembly_limit);
        let len = segment.payload_len.min(limit.saturating_sub(ahead));
        let end = start + segment.payload_len;
        if segment.header.flags.contains(TcpFlags::FIN) && len == segment.payload_len && ahead <= room {
            self.cold.fin_ahead = Some(end);
            self.hot.bits.set(Bits::HOLES);
            if len == 0 {
                return;
            }
        }
        if len > 0
            && let Some(twice) = self.cold.assembler.overlap(start, start + len)
        {
            self.note_duplicate(twice.left, twice.right);
        }
        let quota_left = self.cold.reassembly_quota.saturating_sub(self.cold.assembler.stored());
        if len == 0 || len > quota_left || !self.cold.assembler.insert(start, start + len) {
            out.dropped = Some(DropCause::ReassemblyFull);
            return;
        }
        self.hot.bits.set(Bits::HOLES);
        out.store = Some(Store { skip: 0, len, ahead });
    }

    /// Eighth check: the peer has sent all it will.
    fn on_fin(&mut self, now: Instant, out: &mut Received) {
        self.cold.fin_ahead = None;
        self.cold.assembler.clear();
        self.hot.bits.clear(Bits::HOLES);
        self.hot.rcv_nxt += 1;
        self.hot.rcv_edge = self.hot.rcv_edge.later(self.hot.rcv_nxt);
        self.hot.bits.set(Bits::ACK_NOW);
        out.events.insert(Events::PEER_CLOSED);
        match self.hot.state {
            State::SynReceived | State::Established => self.hot.state = State::CloseWait,
            State::FinWait1 => self.hot.state = State::Closing,
            State::FinWait2 => {
                self.enter_time_wait(now);
                out.events.insert(Events::TIME_WAIT);
            }
            _ => {}
        }
    }
}
