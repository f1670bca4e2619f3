//! Data whose sequence numbers are not new: sent again, and why, or only overtaken. A sender does not say; what it was
//! told before, and how long it waited, does.

use super::observation::{Again, Cause};
use super::segment::Segment;
use super::side::{Gap, Recovery, Sent, Side};
use super::spans::Offset;
use crate::layers::TcpFlags;

/// Shorter than any round trip that makes a difference: until one is known, what comes this soon after what overtook
/// it was not sent again.
const NO_ROUND_TRIP: i64 = 3_000_000;

/// How much of a timeout has to have passed for one: what packets let us reckon of it is not exact.
fn nearly(rto: i64) -> i64 {
    rto / 10 * 9
}

/// What a segment below `nxt` is.
pub(super) enum Old {
    /// Overtaken.
    Late,
    /// Sent again.
    Again(Again),
}

/// Judges a segment of `x` at `[from, to)` that begins below what `x` has sent already.
pub(super) fn judge(x: &mut Side, y: &Side, from: Offset, to: Offset, segment: &Segment<'_>) -> Old {
    let now = segment.time.0;
    let nxt = x.nxt.unwrap_or(to);
    let known = to.min(nxt);
    let (missing, gap) = x.missing(from, known);
    let arrived = y.ack.is_some_and(|ack| ack >= to);
    let wholly_missing = missing > 0 && missing == (known - from).max(0) as u64;
    if wholly_missing && !arrived && is_late(x, y, from, gap, segment) {
        return Old::Late;
    }
    let before = x.overlapping(from, to).next().map(|sent| *sent).filter(|_| !wholly_missing);
    let new_bytes = (to - known.max(from)).max(0) as u64 + missing;
    let cause = if segment.has(TcpFlags::SYN) {
        opening_cause(x, y)
    } else if arrived && segment.len > 0 {
        Cause::AlreadyAcknowledged
    } else {
        cause(x, y, from, to, now, before)
    };
    let times = before.map_or(2, |sent| sent.again + 2);
    enter_recovery(x, cause, segment);
    Old::Again(Again {
        cause,
        first: before.map(|sent| sent.number),
        after: before.map(|sent| (now - sent.last_time).max(0)),
        times,
        new_bytes,
    })
}

/// Whether what fills a gap was sent before what showed the gap. Timestamps tell where they differ, and identifications
/// where they are counted; else time does: to be asked for and sent again takes a round trip.
fn is_late(x: &Side, y: &Side, from: Offset, gap: Option<Gap>, segment: &Segment<'_>) -> bool {
    // Sent before the capture began, perhaps, but captured now.
    let Some(Gap { time: noticed, stamp, id, .. }) = gap else { return true };
    if let (Some(own), Some(then)) = (segment.options.stamps.map(|s| s.value), stamp)
        && own != then
    {
        return own.wrapping_sub(then).cast_signed() < 0;
    }
    if let Some(before) = x.ids.is_before(segment.id, id) {
        return before;
    }
    let asked = y.duplicates >= 3 && y.ack == Some(from);
    let round_trip = x.rtt.shortest().max(y.rtt.handshake).unwrap_or(NO_ROUND_TRIP);
    let waited = segment.time.0 - noticed;
    waited < round_trip && !(asked && waited > round_trip / 2)
}

fn opening_cause(x: &Side, y: &Side) -> Cause {
    let again = x.opening.map_or(1, |o| o.again.max(1));
    // A SYN that came again after this end's answer is what it answers.
    match (x.opening, y.opening) {
        (Some(own), Some(peer)) if own.flags.contains(TcpFlags::ACK) && peer.last_time > own.last_time => {
            Cause::Asked
        }
        _ => Cause::Timeout(again),
    }
}

fn cause(x: &Side, y: &Side, from: Offset, to: Offset, now: i64, before: Option<Sent>) -> Cause {
    let rto = x.rtt.rto();
    let waited = now - before.map_or(x.sent_time, |sent| sent.last_time);
    let is_head = y.ack.is_none_or(|ack| from <= ack);
    let is_tail = x.nxt.is_some_and(|nxt| to >= nxt);
    let timed_out = is_head && waited >= nearly(rto);
    if let Some(recovery) = x.recovery.filter(|r| from < r.high) {
        let again_in_it = before.is_some_and(|sent| sent.last_time >= recovery.time && sent.again > 0);
        return match (recovery.timeouts, again_in_it && timed_out) {
            (n, true) => Cause::Timeout(n + 1),
            (0, false) => Cause::Recovery(recovery.number),
            (_, false) => Cause::AfterTimeout(recovery.number),
        };
    }
    let behind = x.sacked.total() - x.sacked.covered(Offset::MIN / 2, to);
    if y.duplicates >= 3 && is_head {
        Cause::DuplicateAcks(y.duplicates)
    } else if behind > 0 && x.sacked.covered(from, to) == 0 && (!timed_out || waited < rto.saturating_mul(2))
    {
        Cause::Sacked(behind)
    } else if timed_out {
        Cause::Timeout(1)
    } else if y.duplicates > 0 && is_head {
        Cause::DuplicateAcks(y.duplicates)
    } else if is_tail {
        Cause::TailProbe
    } else {
        Cause::Unknown
    }
}

fn enter_recovery(x: &mut Side, cause: Cause, segment: &Segment<'_>) {
    let high = x.nxt.unwrap_or_default();
    let begin = |timeouts| Some(Recovery { number: segment.number, time: segment.time.0, high, timeouts });
    let counts = &mut x.counts;
    match cause {
        Cause::DuplicateAcks(_) | Cause::Sacked(_) => {
            counts.fast_retransmissions += 1;
            x.recovery = begin(0);
        }
        Cause::Timeout(n) => {
            counts.timeouts += 1;
            x.recovery = begin(n);
        }
        Cause::TailProbe => counts.tail_probes += 1,
        Cause::Recovery(_) => counts.fast_retransmissions += 1,
        Cause::AlreadyAcknowledged => counts.needless_retransmissions += 1,
        Cause::AfterTimeout(_) | Cause::Asked | Cause::Unknown => {}
    }
}
