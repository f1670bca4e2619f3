//! What has been sent and not yet acknowledged, in spans: when each was last sent, and whether the peer
//! holds it (SACK), it is thought lost, or it was sent more than once.
//!
//! Segments of one burst share a span, so that a full window is a few dozen of them; a span is split where
//! a SACK block or a retransmission touches a part of it. The room is bounded: when it is used up, a SACK
//! edge inside a span is ignored (the peer's data is sent again, which is safe), and new segments join the
//! last span.

use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::delivery_rate::{DeliveryRate, Snapshot};
use crate::time::Instant;

/// Most spans kept.
const MAX_SPANS: usize = 512;

/// A run of sequence space that was sent together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: SeqNum,
    pub(crate) end: SeqNum,
    /// When it was last sent.
    pub(crate) sent_at: Instant,
    /// The peer has said that it holds it.
    pub(crate) sacked: bool,
    /// Thought lost and not sent again since.
    pub(crate) lost: bool,
    /// Sent more than once.
    pub(crate) retransmitted: bool,
    /// What had been delivered when it was last sent.
    pub(crate) delivery: Snapshot,
}

impl Span {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.end.offset_from(self.start)).unwrap_or(0)
    }
}

/// The newest sending that is known to have arrived (RFC 8985 section 6.2: `RACK.segment`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) sent_at: Instant,
    pub(crate) end: SeqNum,
    pub(crate) len: u32,
    pub(crate) retransmitted: bool,
    pub(crate) delivery: Snapshot,
}

/// What an acknowledgement took from the board.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes newly known to have arrived, by SACK.
    pub(crate) newly_sacked: u32,
    /// Of what has newly arrived, the one that was sent last.
    pub(crate) delivered: Option<Delivered>,
    /// Of what was never retransmitted and has newly arrived, when the last was sent: the sample for the
    /// round-trip time (Karn's algorithm).
    pub(crate) rtt_sent_at: Option<Instant>,
    /// Highest sequence number that earlier acknowledgements reported by SACK. Blocks of one acknowledgement
    /// come in no order, and show none.
    pub(crate) highest_before: Option<SeqNum>,
    /// Data arrived out of the order it was sent in, with no retransmission involved: the path reorders.
    pub(crate) reordered: bool,
}

impl Progress {
    fn note(&mut self, span: &Span) {
        let this = Delivered {
            sent_at: span.sent_at,
            end: span.end,
            len: span.len(),
            retransmitted: span.retransmitted,
            delivery: span.delivery,
        };
        match &self.delivered {
            Some(d) if !sent_after(this.sent_at, this.end, d.sent_at, d.end) => {}
            _ => self.delivered = Some(this),
        }
        if !span.retransmitted {
            self.rtt_sent_at = Some(self.rtt_sent_at.map_or(span.sent_at, |t| t.max(span.sent_at)));
        }
    }
}

/// RFC 8985 section 6.2: sent later, or at the same time with the later sequence.
pub(crate) fn sent_after(t1: Instant, seq1: SeqNum, t2: Instant, seq2: SeqNum) -> bool {
    t1 > t2 || (t1 == t2 && seq1.after(seq2))
}

/// The spans from `snd_una` to `snd_nxt`.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    spans: std::collections::VecDeque<Span>,
    sacked_bytes: u32,
    lost_bytes: u32,
    /// Highest sequence number that the peer has reported by SACK.
    highest_sacked: Option<SeqNum>,
    /// Counts what is delivered and lost.
    pub(crate) delivery: DeliveryRate,
}

impl Scoreboard {
    pub(crate) fn highest_sacked(&self) -> Option<SeqNum> {
        self.highest_sacked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn sacked_bytes(&self) -> u32 {
        self.sacked_bytes
    }

    pub(crate) fn lost_bytes(&self) -> u32 {
        self.lost_bytes
    }

    /// Bytes thought to be in the network: sent, neither acknowledged nor held by the peer nor lost.
    pub(crate) fn in_flight(&self) -> u32 {
        match (self.spans.front(), self.spans.back()) {
            (Some(first), Some(last)) => {
                let all = u32::try_from(last.end.offset_from(first.start)).unwrap_or(0);
                all.saturating_sub(self.sacked_bytes).saturating_sub(self.lost_bytes)
            }
            _ => 0,
        }
    }

    /// Takes note of new data sent.
    pub(crate) fn sent(&mut self, start: SeqNum, end: SeqNum, now: Instant) {
        if let Some(last) = self.spans.back_mut()
            && !last.sacked
            && !last.lost
            && !last.retransmitted
            && last.end == start
        {
            if last.sent_at == now {
                last.end = end;
                return;
            }
            if self.spans.len() >= MAX_SPANS {
                // Bursts are told apart no more: the newest counts for all of the span.
                let delivery = self.delivery.on_send(now, self.in_flight());
                if let Some(last) = self.spans.back_mut() {
                    (last.end, last.sent_at, last.delivery) = (end, now, delivery);
                }
                return;
            }
        }
        let delivery = self.delivery.on_send(now, self.in_flight());
        if self.spans.capacity() == self.spans.len() && self.spans.len() < MAX_SPANS {
            self.spans.reserve(self.spans.len().max(32));
        }
        self.spans.push_back(Span {
            start,
            end,
            sent_at: now,
            sacked: false,
            lost: false,
            retransmitted: false,
            delivery,
        });
    }

    /// The peer has everything before `una`.
    pub(crate) fn acknowledge(&mut self, una: SeqNum, progress: &mut Progress) {
        let mut ambiguous = false;
        while let Some(span) = self.spans.front_mut() {
            if span.start.at_or_after(una) {
                break;
            }
            let covered = Span { end: span.end.earlier(una), ..*span };
            if span.sacked {
                self.sacked_bytes = self.sacked_bytes.saturating_sub(covered.len());
            } else {
                self.delivery.on_delivered(covered.len());
                progress.note(&covered);
                ambiguous |= covered.retransmitted;
                if !covered.retransmitted && self.highest_sacked.is_some_and(|h| covered.end.before(h)) {
                    progress.reordered = true;
                }
                if span.lost {
                    self.lost_bytes = self.lost_bytes.saturating_sub(covered.len());
                }
            }
            if span.end.at_or_before(una) {
                self.spans.pop_front();
            } else {
                span.delivery.in_flight = span.delivery.in_flight.saturating_add(covered.len());
                span.start = una;
                break;
            }
        }
        if ambiguous {
            // The rest may have waited at the peer for the retransmission.
            progress.rtt_sent_at = None;
        }
        if self.highest_sacked.is_some_and(|h| h.at_or_before(una)) {
            self.highest_sacked = None;
        }
    }

    /// Splits the span at index `i` so that a boundary lies at `at`. `false`: no room.
    fn split(&mut self, i: usize, at: SeqNum) -> bool {
        if self.spans.len() >= MAX_SPANS {
            return false;
        }
        let Some(span) = self.spans.get_mut(i) else { return false };
        let mut rest = *span;
        let before = u32::try_from(at.offset_from(span.start)).unwrap_or(0);
        rest.delivery.in_flight = rest.delivery.in_flight.saturating_add(before);
        span.end = at;
        rest.start = at;
        self.spans.insert(i + 1, rest);
        true
    }

    /// The peer holds `block` (RFC 2018). Blocks outside what is outstanding are the caller's to refuse.
    pub(crate) fn sack(&mut self, block: SackBlock, progress: &mut Progress) {
        let mut i = self.spans.partition_point(|s| s.end.at_or_before(block.left));
        while let Some(span) = self.spans.get(i).copied() {
            if span.start.at_or_after(block.right) {
                break;
            }
            if span.sacked {
                i += 1;
                continue;
            }
            if span.start.before(block.left) {
                // Without room the span's part stays as it is; those that lie wholly in the block do not.
                let _ = self.split(i, block.left);
                i += 1;
                continue;
            }
            if span.end.after(block.right) && !self.split(i, block.right) {
                break;
            }
            if let Some(span) = self.spans.get_mut(i) {
                span.sacked = true;
                let was_lost = core::mem::replace(&mut span.lost, false);
                let span = *span;
                if was_lost {
                    self.lost_bytes = self.lost_bytes.saturating_sub(span.len());
                }
                self.sacked_bytes += span.len();
                self.delivery.on_delivered(span.len());
                progress.newly_sacked += span.len();
                progress.note(&span);
                if !span.retransmitted && progress.highest_before.is_some_and(|h| span.end.before(h)) {
                    progress.reordered = true;
                }
                let high = self.highest_sacked.map_or(span.end, |h| h.later(span.end));
                self.highest_sacked = Some(high);
            }
            i += 1;
        }
        self.merge_sacked(block);
    }

    /// Joins neighbouring spans inside `block` that the peer holds, so that the board stays short.
    fn merge_sacked(&mut self, block: SackBlock) {
        let mut i = self.spans.partition_point(|s| s.end.before(block.left));
        while i + 1 < self.spans.len() {
            let (a, b) = (self.spans[i], self.spans[i + 1]);
            if a.start.at_or_after(block.right) {
                break;
            }
            if a.sacked && b.sacked {
                self.spans[i].end = b.end;
                self.spans[i].sent_at = a.sent_at.max(b.sent_at);
                self.spans[i].retransmitted |= b.retransmitted;
                self.spans.remove(i + 1);
            } else {
                i += 1;
            }
        }
    }

    /// Marks lost every span for which `is_lost` says so; each span that may yet be.
    pub(crate) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Span) -> bool) -> u32 {
        let mut newly = 0;
        for span in &mut self.spans {
            if !span.sacked && !span.lost && is_lost(span) {
                span.lost = true;
                newly += span.len();
                self.delivery.on_lost(&span.delivery, span.len());
            }
        }
        self.lost_bytes += newly;
        newly
    }

    /// Marks the first `len` bytes outstanding as lost, unless they are already (RFC 6582, without SACK).
    pub(crate) fn mark_head_lost(&mut self, len: u32) {
        let Some(first) = self.spans.front().copied() else { return };
        if first.sacked || first.lost {
            return;
        }
        if first.len() > len {
            self.split(0, first.start + len);
        }
        if let Some(first) = self.spans.front_mut() {
            first.lost = true;
            self.lost_bytes += first.len();
            self.delivery.on_lost(&first.delivery, first.len());
        }
    }

    /// After a timeout nothing that the peer said by SACK is relied on if it holds what it has not
    /// acknowledged (RFC 2018 section 8: it may have thrown it away).
    pub(crate) fn forget_sacks_if_reneged(&mut self) {
        if self.spans.front().is_some_and(|s| s.sacked) {
            for span in &mut self.spans {
                span.sacked = false;
            }
            self.sacked_bytes = 0;
            self.highest_sacked = None;
        }
    }

    /// The first lost range, at most `max` bytes of it.
    pub(crate) fn next_lost(&self, max: u32) -> Option<(SeqNum, u32)> {
        if self.lost_bytes == 0 {
            return None;
        }
        self.spans.iter().find(|s| s.lost).map(|s| (s.start, s.len().min(max)))
    }

    /// `len` bytes from `start`, a range that [`Scoreboard::next_lost`] gave, are sent again at `now`.
    pub(crate) fn retransmitted(&mut self, start: SeqNum, len: u32, now: Instant) {
        let Some(i) = self.spans.iter().position(|s| s.lost && s.start == start) else { return };
        if self.spans[i].len() > len && !self.split(i, start + len) {
            // No room to tell the parts apart: all of it counts as sent again. What was not is found lost
            // once more by its time.
            self.lost_bytes = self.lost_bytes.saturating_sub(self.spans[i].len() - len);
        }
        let delivery = self.delivery.on_send(now, self.in_flight());
        let span = &mut self.spans[i];
        span.lost = false;
        span.retransmitted = true;
        span.sent_at = now;
        span.delivery = delivery;
        self.lost_bytes = self.lost_bytes.saturating_sub(len);
        // Parts of one span that are sent again together are one span again.
        if i > 0 {
            let (before, this) = (self.spans[i - 1], self.spans[i]);
            if before.retransmitted
                && !before.sacked
                && !before.lost
                && before.sent_at == this.sent_at
                && before.end == this.start
            {
                self.spans[i - 1].end = this.end;
                self.spans.remove(i);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn t(n: u64) -> Instant {
        Instant::from_nanos(n)
    }
    fn s(n: u32) -> SeqNum {
        SeqNum(n.wrapping_add(u32::MAX - 2_000))
    }
    fn block(l: u32, r: u32) -> SackBlock {
        SackBlock { left: s(l), right: s(r) }
    }

    #[test]
    fn segments_of_one_burst_share_a_span() {
        let mut b = Scoreboard::default();
        b.sent(s(0), s(100), t(1));
        b.sent(s(100), s(200), t(1));
        b.sent(s(200), s(300), t(2));
        assert_eq!(b.spans.len(), 2);
        assert_eq!(b.in_flight(), 300);
    }

    #[test]
    fn a_sack_in_the_middle_leaves_the_edges_in_flight() {
        let mut b = Scoreboard::default();
        b.sent(s(0), s(1_000), t(1));
        let mut p = Progress::default();
        b.sack(block(300, 600), &mut p);
        assert_eq!(p.newly_sacked, 300);
        assert_eq!(b.in_flight(), 700);
        b.sack(block(300, 600), &mut p);
        assert_eq!(p.newly_sacked, 300, "the same block again brings nothing new");
    }

    #[test]
    fn retransmission_of_a_part_leaves_the_rest_lost() {
        let mut b = Scoreboard::default();
        b.sent(s(0), s(1_000), t(1));
        b.mark_lost(|_| true);
        assert_eq!(b.in_flight(), 0);
        assert_eq!(b.next_lost(400), Some((s(0), 400)));
        b.retransmitted(s(0), 400, t(5));
        assert_eq!(b.in_flight(), 400);
        assert_eq!(b.next_lost(400), Some((s(400), 400)));
        let mut p = Progress::default();
        b.acknowledge(s(400), &mut p);
        assert_eq!(p.rtt_sent_at, None, "Karn: no sample from what was sent twice");
        assert_eq!(b.lost_bytes(), 600);
    }

    proptest! {
        #[test]
        fn agrees_with_a_byte_by_byte_model(
            ops in prop::collection::vec((0u8..5, 0u32..60, 1u32..30), 1..80)
        ) {
            #[derive(Clone, Copy, Default)]
            struct Byte { sacked: bool, lost: bool }
            let mut b = Scoreboard::default();
            let mut model: Vec<Byte> = Vec::new(); // by absolute position
            let (mut una, mut now) = (0u32, 0u64);
            for (op, at, len) in ops {
                now += 1;
                let nxt = model.len() as u32;
                match op {
                    0 => {
                        b.sent(s(nxt), s(nxt + len), t(now));
                        model.resize((nxt + len) as usize, Byte::default());
                    }
                    1 if una + at < nxt => {
                        una += at;
                        b.acknowledge(s(una), &mut Progress::default());
                    }
                    2 if una + at + len < nxt => {
                        b.sack(block(una + at, una + at + len), &mut Progress::default());
                        for x in &mut model[(una + at) as usize..(una + at + len) as usize] {
                            *x = Byte { sacked: true, lost: false };
                        }
                    }
                    3 => {
                        b.mark_lost(|_| true);
                        for x in &mut model[una as usize..] {
                            x.lost = !x.sacked;
                        }
                    }
                    4 => if let Some((start, n)) = b.next_lost(len) {
                        b.retransmitted(start, n, t(now));
                        let from = start.offset_from(s(0)) as usize;
                        for x in &mut model[from..from + n as usize] {
                            prop_assert!(x.lost);
                            x.lost = false;
                        }
                    },
                    _ => {}
                }
                let live = &model[una as usize..];
                prop_assert_eq!(b.sacked_bytes(), live.iter().filter(|x| x.sacked).count() as u32);
                prop_assert_eq!(b.lost_bytes(), live.iter().filter(|x| x.lost).count() as u32);
                prop_assert_eq!(b.in_flight(), live.iter().filter(|x| !x.lost && !x.sacked).count() as u32);
            }
        }
    }
}
