//! What has been sent and not yet acknowledged, in spans: when each was last sent, and whether the peer
//! holds it (SACK), it is thought lost, or it was sent more than once.
//!
//! Segments of one burst share a span, so that a full window is a few dozen of them; a span is split where
//! a SACK block or a retransmission touches a part of it. The room is bounded: when half of it is used,
//! segments that are sent at nearly the same time share a span too; when it is used up, a SACK edge inside a
//! span is ignored (the peer's data is sent again, which is safe), and new segments join the last span. It is
//! enough for the end of slow start on a path of a gigabit and 100 ms, where a full queue drops every second
//! segment of a window.
//!
//! What of it is lost, and what goes out again, is found in [`losses`] without looking at every span: spans
//! that were sent once stand in the order of time as they stand in the order of sequence, and those that were
//! sent again are remembered in the order in which that happened.

mod losses;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bypath_wire::prefetch::prefetch;
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::SackBlock;

use crate::delivery_rate::{DeliveryRate, Snapshot};
use crate::time::Instant;

/// Most spans kept.
const MAX_SPANS: usize = 16_384;

/// From here on sendings that are close in time share a span.
const CROWDED: usize = MAX_SPANS / 2;

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
    /// Of what was never retransmitted and has newly arrived, the lowest sequence number.
    pub(crate) first_original: Option<SeqNum>,
    /// Something that was sent again is acknowledged.
    pub(crate) resent_arrived: bool,
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
            self.first_original = Some(self.first_original.map_or(span.start, |s| s.earlier(span.start)));
        }
    }
}

/// RFC 8985 section 6.2: sent later, or at the same time with the later sequence.
pub(crate) fn sent_after(t1: Instant, seq1: SeqNum, t2: Instant, seq2: SeqNum) -> bool {
    t1 > t2 || (t1 == t2 && seq1.after(seq2))
}

/// The spans from `snd_una` to `snd_nxt`.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    spans: VecDeque<Span>,
    /// What was sent again, in the order of time; some of it has arrived since.
    resent: VecDeque<losses::Resent>,
    sacked_bytes: u32,
    lost_bytes: u32,
    /// Highest sequence number that the peer has reported by SACK.
    highest_sacked: Option<SeqNum>,
    /// While anything is lost: nothing before this is.
    lost_from: SeqNum,
    /// Nothing before this is in flight for the first time.
    first_from: Option<SeqNum>,
    /// How far apart in time sendings may lie that share a span on a crowded board.
    pub(crate) grain_ns: u64,
    /// Counts what is delivered and lost.
    pub(crate) delivery: DeliveryRate,
}

impl Default for Scoreboard {
    fn default() -> Self {
        Self {
            spans: VecDeque::new(),
            resent: VecDeque::new(),
            sacked_bytes: 0,
            lost_bytes: 0,
            highest_sacked: None,
            lost_from: SeqNum(0),
            first_from: None,
            grain_ns: 0,
            delivery: DeliveryRate::default(),
        }
    }
}

impl Scoreboard {
    pub(crate) fn highest_sacked(&self) -> Option<SeqNum> {
        self.highest_sacked
    }

    /// Asks for the first span.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(first) = self.spans.front() {
            prefetch(first);
        }
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

    /// Whether it covers all from `una` to `nxt`.
    pub(crate) fn is_whole(&self, una: SeqNum, nxt: SeqNum) -> bool {
        match (self.spans.front(), self.spans.back()) {
            (Some(first), Some(last)) => (first.start, last.end) == (una, nxt),
            _ => una == nxt,
        }
    }

    /// What is outstanding, in order.
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }

    /// Takes note of new data sent.
    pub(crate) fn sent(&mut self, start: SeqNum, end: SeqNum, now: Instant) {
        let crowd = self.spans.len();
        if let Some(last) = self.spans.back_mut()
            && !last.sacked
            && !last.lost
            && !last.retransmitted
            && last.end == start
        {
            // Within a span the sequence is the order of time. That all of it counts as sent when its first part
            // was lengthens a measured round trip by as much as it hastens a loss.
            if last.sent_at == now
                || (crowd >= CROWDED
                    && (crowd >= MAX_SPANS || now.nanos_since(last.sent_at) <= self.grain_ns))
            {
                last.end = end;
                return;
            }
        }
        let delivery = self.delivery.on_send(now, self.in_flight());
        if self.spans.capacity() == self.spans.len() && self.spans.len() < MAX_SPANS {
            self.spans.reserve(self.spans.len().max(4));
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

    /// The peer has everything before `una`, which lies in the first span or at its end, and that is no more than the
    /// usual: nothing was lost, held out of order or sent again. `None`: it is, and nothing was done.
    #[inline]
    pub(crate) fn acknowledge_plain(&mut self, una: SeqNum) -> Option<Delivered> {
        let unusual = self.sacked_bytes != 0
            || self.lost_bytes != 0
            || self.highest_sacked.is_some()
            || self.delivery.more_lost();
        let span = self.spans.front_mut()?;
        let len = una.offset_from(span.start);
        if unusual || span.retransmitted || len <= 0 || una.after(span.end) {
            return None;
        }
        let len = len as u32;
        let (sent_at, delivery) = (span.sent_at, span.delivery);
        if span.end == una {
            self.spans.pop_front();
        } else {
            span.delivery.in_flight = span.delivery.in_flight.saturating_add(len);
            span.start = una;
        }
        self.delivery.on_delivered(len);
        Some(Delivered { sent_at, end: una, len, retransmitted: false, delivery })
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
            progress.resent_arrived = true;
        }
        if self.highest_sacked.is_some_and(|h| h.at_or_before(una)) {
            self.highest_sacked = None;
        }
    }

    /// Splits the span at index `i` so that a boundary lies at `at`. `false`: no room.
    fn split(&mut self, i: usize, at: SeqNum) -> bool {
        self.split_within(MAX_SPANS, i, at)
    }

    /// The same with room for `most` spans.
    fn split_within(&mut self, most: usize, i: usize, at: SeqNum) -> bool {
        if self.spans.len() >= most {
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
                self.raise_highest_sacked(span.end);
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

    fn raise_highest_sacked(&mut self, end: SeqNum) {
        if self.highest_sacked.is_none() {
            // What was found on an earlier occasion may lie half the sequence space back.
            self.first_from = None;
        }
        self.highest_sacked = Some(self.highest_sacked.map_or(end, |high| high.later(end)));
    }

    /// The spans that overlap `start..end`, by index.
    fn overlapping(&self, start: SeqNum, end: SeqNum) -> core::ops::Range<usize> {
        let first = self.spans.partition_point(|s| s.end.at_or_before(start));
        let after = self.spans.partition_point(|s| s.start.before(end));
        first..after.max(first)
    }

    /// When something was sent last.
    pub(crate) fn last_sent_at(&self) -> Option<Instant> {
        let resent = self.resent.back().map(|run| run.sent_at);
        self.spans.back().map(|last| last.sent_at).max(resent)
    }

    /// When the first segment outstanding was sent.
    pub(crate) fn first_sent_at(&self) -> Option<Instant> {
        self.spans.front().map(|first| first.sent_at)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
