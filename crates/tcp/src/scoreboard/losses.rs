//! What is lost, what is sent again, and in which order: by time (RACK), by what lies beyond it (RFC 6675), or
//! all of it (a timeout).

use bypath_wire::seq::SeqNum;

use super::{MAX_SPANS, Scoreboard, Span, sent_after};
use crate::time::Instant;

/// Most spans with those that retransmissions have cut in two: what is sent again, and what is not yet.
const WITH_RESENT: usize = 2 * MAX_SPANS;

/// A run of sequence space that was sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resent {
    start: SeqNum,
    end: SeqNum,
    pub(super) sent_at: Instant,
}

impl Scoreboard {
    fn mark(&mut self, i: usize) -> u32 {
        let Some(span) = self.spans.get_mut(i) else { return 0 };
        span.lost = true;
        let span = *span;
        self.lost_from = if self.lost_bytes == 0 { span.start } else { self.lost_from.earlier(span.start) };
        self.lost_bytes += span.len();
        self.delivery.on_lost(&span.delivery, span.len());
        span.len()
    }

    /// Marks lost every span for which `is_lost` says so; each span that may yet be.
    pub(crate) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Span) -> bool) -> u32 {
        let mut newly = 0;
        self.first_from = None;
        for i in 0..self.spans.len() {
            if self.spans.get(i).is_some_and(|s| !s.sacked && !s.lost && is_lost(s)) {
                newly += self.mark(i);
            }
        }
        newly
    }

    /// Marks lost what was sent before the newest sending known to have arrived, `newest` with its end, by more
    /// than `patience_ns` before `now` (RFC 8985 section 6.2 step 5). When the next of them will be due.
    ///
    /// An acknowledgement costs what it changes, not a look at every span: those sent once are looked at in
    /// the order of sequence, from the first that is in flight; those sent again in the order of time.
    pub(crate) fn mark_overdue(
        &mut self,
        newest: (Instant, SeqNum),
        patience_ns: u64,
        now: Instant,
    ) -> Instant {
        let next = self.mark_overdue_originals(newest, patience_ns, now);
        next.min(self.mark_overdue_resent(newest, patience_ns, now))
    }

    fn mark_overdue_originals(
        &mut self,
        newest: (Instant, SeqNum),
        patience_ns: u64,
        now: Instant,
    ) -> Instant {
        let mut next = Instant::NEVER;
        let mut i = match self.first_from {
            Some(from) => self.spans.partition_point(|s| s.end.at_or_before(from)),
            None => 0,
        };
        while let Some(span) = self.spans.get(i) {
            if !span.sacked && !span.lost && !span.retransmitted {
                if !sent_after(newest.0, newest.1, span.sent_at, span.end) {
                    break;
                }
                let deadline = span.sent_at.plus_nanos(patience_ns);
                if !deadline.is_due(now) {
                    next = deadline;
                    break;
                }
                self.mark(i);
            }
            i += 1;
        }
        self.first_from = self.spans.get(i).map(|s| s.start).or(self.spans.back().map(|s| s.end));
        next
    }

    fn mark_overdue_resent(&mut self, newest: (Instant, SeqNum), patience_ns: u64, now: Instant) -> Instant {
        while let Some(run) = self.resent.front().copied() {
            let mut waiting = false;
            for i in self.overlapping(run.start, run.end) {
                let Some(span) = self.spans.get(i).filter(|s| s.is_resent_in_flight(run.sent_at)) else {
                    continue;
                };
                if !sent_after(newest.0, newest.1, span.sent_at, span.end) {
                    waiting = true;
                } else if span.sent_at.plus_nanos(patience_ns).is_due(now) {
                    self.mark(i);
                } else {
                    return span.sent_at.plus_nanos(patience_ns);
                }
            }
            if waiting {
                break;
            }
            self.resent.pop_front();
        }
        Instant::NEVER
    }

    /// RFC 6675 section 4, IsLost: marks what was sent once and has so many segments, or nearly their worth in
    /// bytes, reported by SACK beyond it.
    pub(crate) fn mark_passed_over(&mut self, segments: u32, mss: u32) -> u32 {
        let (mut bytes, mut runs, mut newly) = (0u32, 0u32, 0);
        for i in (0..self.spans.len()).rev() {
            let Some(span) = self.spans.get(i) else { break };
            if span.sacked {
                bytes += span.len();
                runs += 1;
            } else if (runs >= segments || bytes > (segments - 1) * mss) && !span.lost && !span.retransmitted
            {
                newly += self.mark(i);
            }
        }
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
        self.mark(0);
    }

    /// There was no loss: what was marked is in flight as before, a probe of the tail that was sent twice included.
    pub(crate) fn unmark_lost(&mut self) {
        for span in &mut self.spans {
            span.lost = false;
        }
        self.lost_bytes = 0;
        self.first_from = None;
    }

    /// Recovery is over: what it remembered of times past is of no more use.
    pub(crate) fn recovered(&mut self) {
        self.first_from = None;
        if self.lost_bytes == 0 && self.spans.iter().all(|s| !s.retransmitted || s.sacked) {
            self.resent.clear();
        }
    }

    /// After a timeout nothing that the peer said by SACK is relied on if it holds what it has not
    /// acknowledged (RFC 2018 section 8: it may have thrown it away). `true`: it seems to have.
    pub(crate) fn forget_sacks_if_reneged(&mut self) -> bool {
        let reneged = self.spans.front().is_some_and(|s| s.sacked);
        if reneged {
            for span in &mut self.spans {
                span.sacked = false;
            }
            self.sacked_bytes = 0;
            self.highest_sacked = None;
            self.first_from = None;
        }
        reneged
    }

    /// Whether something that was sent again may still be under way.
    pub(crate) fn has_resent_in_flight(&self) -> bool {
        self.spans.iter().any(|s| s.retransmitted && !s.sacked && !s.lost)
    }

    /// Bytes that were sent again and that the peer is not known to hold, and when the oldest of them went out.
    pub(crate) fn resent_outstanding(&self) -> (u32, Option<Instant>) {
        let resent = self.spans.iter().filter(|s| s.retransmitted && !s.sacked);
        resent.fold((0, None), |(bytes, oldest), span| {
            let oldest = oldest.map_or(span.sent_at, |at: Instant| at.min(span.sent_at));
            (bytes + span.len(), Some(oldest))
        })
    }

    /// The first lost range, at most `max` bytes of it.
    pub(crate) fn next_lost(&self, max: u32) -> Option<(SeqNum, u32)> {
        if self.lost_bytes == 0 {
            return None;
        }
        let from = self.spans.partition_point(|s| s.end.at_or_before(self.lost_from));
        self.spans.range(from..).find(|s| s.lost).map(|s| (s.start, s.len().min(max)))
    }

    /// The first segment outstanding, unless the peer holds it.
    pub(crate) fn head(&self, max: u32) -> Option<(SeqNum, u32)> {
        self.spans.front().filter(|s| !s.sacked).map(|s| (s.start, s.len().min(max)))
    }

    /// The last segment outstanding that the peer does not hold, as far as its bounds are known: `mss` bytes
    /// to a segment, and the FIN, if there is one, with the last.
    pub(crate) fn tail(&self, mss: u32, fin: bool) -> Option<(SeqNum, u32)> {
        let span = self.spans.iter().rev().find(|s| !s.sacked)?;
        let odd = span.len() % mss.max(1);
        // The peer may hold FIN, and not what lies before it.
        let fin = fin && self.spans.back().is_some_and(|last| !last.sacked);
        let len = if fin || odd == 0 { mss + u32::from(fin) } else { odd }.min(span.len());
        Some((span.end - len, len))
    }

    /// The first run below what the peer has reported that it does not hold, and that was sent once (RFC 6675
    /// section 4, NextSeg rule 3).
    pub(crate) fn next_unsacked(&self, max: u32) -> Option<(SeqNum, u32)> {
        let high = self.highest_sacked?;
        let span = self.spans.iter().find(|s| !s.sacked && !s.retransmitted)?;
        span.end.at_or_before(high).then(|| (span.start, span.len().min(max)))
    }

    /// `len` bytes from `start`, outstanding and not held by the peer, are sent again at `now`.
    pub(crate) fn retransmitted(&mut self, start: SeqNum, len: u32, now: Instant) {
        let next = self.next_lost(len).is_some_and(|(first, _)| first == start);
        let mut i = self.spans.partition_point(|s| s.end.at_or_before(start));
        let Some(span) = self.spans.get(i).copied() else { return };
        if span.start.before(start) {
            if !self.split_within(WITH_RESENT, i, start) {
                // It cannot be told from what was not sent again. That counts for the whole, which is thought
                // older than it is: safe.
                return;
            }
            i += 1;
        }
        let Some(span) = self.spans.get(i).copied() else { return };
        if span.len() > len {
            if self.spans.len() >= MAX_SPANS && self.join_resent(i, len, now) {
                return;
            }
            let _ = self.split_within(WITH_RESENT, i, start + len);
        }
        let delivery = self.delivery.on_send(now, self.in_flight());
        let Some(span) = self.spans.get_mut(i) else { return };
        let was_lost = core::mem::replace(&mut span.lost, false);
        span.retransmitted = true;
        span.sent_at = now;
        span.delivery = delivery;
        let span = *span;
        if was_lost {
            self.lost_bytes = self.lost_bytes.saturating_sub(span.len());
            if next {
                self.lost_from = span.end;
            }
        }
        self.remember_resent(&span);
        // Parts of one span that are sent again together are one span again.
        let before = i.checked_sub(1).and_then(|i| self.spans.get_mut(i));
        if let Some(before) = before
            && before.is_resent_in_flight(now)
            && before.end == span.start
        {
            before.end = span.end;
            self.spans.remove(i);
        }
    }

    /// On a full board the first `len` bytes of the lost span at `i`, sent again now, join what was sent again
    /// just before them: as if all of that had been sent now, which is patient. They must not count as in
    /// flight with all of their span: the window would be full of what nobody has sent.
    fn join_resent(&mut self, i: usize, len: u32, now: Instant) -> bool {
        let delivery = self.delivery.on_send(now, self.in_flight());
        let Some(span) = self.spans.get(i).copied() else { return false };
        let Some(before) = i.checked_sub(1).and_then(|i| self.spans.get_mut(i)) else { return false };
        let joins = before.end == span.start && before.is_resent_in_flight(before.sent_at) && span.lost;
        if !joins {
            return false;
        }
        before.end = span.start + len;
        before.sent_at = now;
        before.delivery = delivery;
        let joined = *before;
        if let Some(rest) = self.spans.get_mut(i) {
            rest.start = joined.end;
        }
        self.lost_bytes = self.lost_bytes.saturating_sub(len);
        if self.lost_from.at_or_after(span.start) {
            self.lost_from = self.lost_from.later(joined.end);
        }
        self.remember_resent(&joined);
        true
    }

    fn remember_resent(&mut self, span: &Span) {
        if let Some(last) = self.resent.back_mut()
            && last.sent_at == span.sent_at
            && last.end == span.start
        {
            last.end = span.end;
            return;
        }
        if self.resent.len() >= 2 * MAX_SPANS {
            // Each that still counts has a span to itself, so at least half of them do not.
            let mut kept = core::mem::take(&mut self.resent);
            kept.retain(|run| {
                let spans = self.overlapping(run.start, run.end);
                self.spans.range(spans).any(|s| s.is_resent_in_flight(run.sent_at))
            });
            self.resent = kept;
        }
        self.resent.push_back(Resent { start: span.start, end: span.end, sent_at: span.sent_at });
    }
}

impl Span {
    /// Sent again at `at`, and nothing heard of it since.
    fn is_resent_in_flight(&self, at: Instant) -> bool {
        self.retransmitted && self.sent_at == at && !self.sacked && !self.lost
    }
}
