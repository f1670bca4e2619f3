//! What an acknowledgment covers, what SACK adds, and what both say about round-trip times.

use super::observation::{Covered, Selective};
use super::segment::{MOST_BLOCKS, Segment};
use super::side::Side;
use super::spans::Offset;
use crate::layers::TcpFlags;

/// Held back for less than this, an acknowledgment was not held back: hosts and captures have jitter.
const HELD: i64 = 15_000_000;

/// SACK blocks longer than this are nonsense: no window is.
const LONGEST_BLOCK: i64 = 1 << 30;

/// What came of an acknowledgment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    pub(super) covered: Option<Covered>,
    pub(super) selective: Selective,
    pub(super) needless: Option<u64>,
    /// It covers bytes that were never seen.
    pub(super) unseen: bool,
}

/// `x` acknowledges `ack` of what `y` sent.
pub(super) fn acknowledge(x: &mut Side, y: &mut Side, ack: Offset, segment: &Segment<'_>) -> News {
    let mut news = News::default();
    if y.nxt.is_some_and(|nxt| ack > nxt) {
        // A probe of a closed window is taken when the window has opened meanwhile.
        let probed = y.probe.is_some_and(|end| ack <= end);
        let nxt = y.nxt.replace(ack).unwrap_or(ack);
        if !probed {
            news.unseen = true;
            y.counts.not_captured_bytes += (ack - nxt) as u64;
        }
    }
    selective(y, ack, segment, &mut news);
    let before = x.ack;
    if before.is_some_and(|before| ack <= before) {
        return news;
    }
    x.ack = Some(ack);
    x.duplicates = 0;
    y.life.heard = true;
    let lost = y.forget_gaps(ack);
    y.counts.not_captured_bytes += lost;
    news.unseen |= lost > 0;
    y.sacked.remove(Offset::MIN / 2, ack);
    if y.recovery.is_some_and(|recovery| ack >= recovery.high) {
        y.recovery = None;
    }
    news.covered = Some(cover(y, before, ack, segment, &mut news.needless));
    news
}

fn cover(
    y: &mut Side,
    before: Option<Offset>,
    ack: Offset,
    segment: &Segment<'_>,
    needless: &mut Option<u64>,
) -> Covered {
    let now = segment.time.0;
    let echo = segment.options.stamps.map(|s| s.echo);
    let mut covered = Covered {
        bytes: 0,
        segments: 0,
        packets: None,
        rtt: None,
        since: None,
        held: None,
        syn: ack >= 1 && before.is_none_or(|before| before < 1) && y.life.syn,
        fin: y.fin.is_some_and(|fin| ack > fin && before.is_none_or(|before| before <= fin)),
        all: y.nxt.is_some_and(|nxt| ack >= nxt),
    };
    y.life.fin_acked |= y.fin.is_some_and(|fin| ack > fin);
    let mut newest: Option<(i64, Option<i64>)> = None;
    while let Some(sent) = y.outstanding.front().copied().filter(|sent| sent.from < ack) {
        if sent.to > ack {
            // Part of a segment, as resegmented data is acknowledged: the rest is still outstanding.
            if let Some(front) = y.outstanding.front_mut() {
                front.from = ack;
            }
            break;
        }
        y.outstanding.pop_front();
        covered.segments += 1;
        let (first, last) = covered.packets.unwrap_or((sent.number, sent.last_number));
        // What was lost may come from a later packet than what is behind it.
        covered.packets = Some((first.min(sent.number), last.max(sent.last_number)));
        if sent.again > 0
            && sent.stamp != sent.last_stamp
            && echo.is_some()
            && echo == sent.stamp
            && needless.is_none()
        {
            // RFC 3522: the echo tells which of the two arrived.
            *needless = y.needless(sent.from, sent.to);
        }
        // Karn's rule, but for timestamps that tell which transmission is answered.
        let sample = match sent.again {
            0 => Some(sent.time),
            _ if echo.is_some() && echo == sent.last_stamp && sent.stamp != sent.last_stamp => {
                Some(sent.last_time)
            }
            _ => None,
        };
        if newest.is_none_or(|(time, _)| sent.last_time >= time) {
            newest = Some((sent.last_time, sample));
        }
    }
    // From the SYN, or from the first byte that was seen, where the capture begins in the middle.
    let begin = if y.life.syn { Some(0) } else { y.lowest };
    let from = before.or(begin).unwrap_or(ack).max(0);
    let controls = i64::from(covered.syn && from < 1) + i64::from(covered.fin);
    covered.bytes = (ack - from - controls).max(0) as u64;
    if covered.bytes > 0 && y.data_begun.is_some() {
        y.data_ended = Some(now);
    }
    covered.since = newest.map(|(time, _)| now - time);
    if let Some((_, Some(sent_at))) = newest {
        let sample = now - sent_at;
        let shortest = (y.rtt.samples > 0).then_some(y.rtt.min);
        let bare = segment.len == 0 && !segment.has(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        covered.held = shortest
            .map(|shortest| sample - shortest)
            .filter(|held| bare && covered.segments <= 2 && *held >= HELD.max(shortest.unwrap_or(0) / 4));
        covered.rtt = (sample >= 0).then_some(sample);
        y.rtt.add(sample);
    }
    covered
}

fn selective(y: &mut Side, ack: Offset, segment: &Segment<'_>, news: &mut News) {
    let Some(nxt) = y.nxt else { return };
    let blocks = segment.options.blocks().map(|(left, right)| (y.place(left), right.offset_from(left)));
    let blocks: arrayvec::ArrayVec<(Offset, i64), MOST_BLOCKS> =
        blocks.map(|(left, len)| (left, i64::from(len))).collect();
    for (index, &(left, len)) in blocks.iter().enumerate() {
        let right = left + len;
        if !(1..=LONGEST_BLOCK).contains(&len) || right > nxt {
            continue;
        }
        // RFC 2883 §4: the first block tells of a duplicate when it is acknowledged already, or part of the second.
        let inside = |other: &(Offset, i64)| left >= other.0 && right <= other.0 + other.1;
        if index == 0 && (right <= ack || blocks.get(1).is_some_and(inside)) {
            news.selective.twice = Some((left, right));
            news.needless = y.needless(left, right);
        } else if left >= ack {
            news.selective.fresh += y.sacked.add(left, right);
        }
    }
    let first = blocks.iter().map(|b| b.0).filter(|&left| left > ack).min();
    news.selective.missing = first.map(|left| (ack, left));
}
