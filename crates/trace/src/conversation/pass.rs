//! One segment on its way through the state of a conversation: what it asks, what it answers, what it sends, what it
//! is for.

use super::acknowledge::News;
use super::again::{self, Old};
use super::observation::{Again, Kind, Marks, Window};
use super::segment::Segment;
use super::side::{Asked, Side};
use super::spans::Offset;
use crate::layers::TcpFlags;

/// RFC 7323 §2.3.
const LARGEST_SCALE: u8 = 14;

/// What becomes known of a segment while it is looked at.
pub(super) struct Pass {
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) ack: Option<Offset>,
    pub(super) kind: Kind,
    pub(super) marks: Marks,
    pub(super) again: Option<Again>,
    pub(super) gap: u64,
    /// Neither data nor SYN, FIN or RST.
    bare: bool,
    /// Before this segment: the last acknowledgment of its sender, and its window.
    same_ack: bool,
    same_window: bool,
    at_next: bool,
    /// Takes no place in its sender's stream.
    pub(super) asks: bool,
    /// The answer to a SYN that crossed this end's own, which it repeats (RFC 9293 §3.5): nothing is sent again.
    pub(super) crosses: bool,
}

impl Pass {
    pub(super) fn begin(x: &mut Side, y: &mut Side, segment: &Segment<'_>) -> Self {
        x.anchor(segment.seq, segment.has(TcpFlags::SYN));
        if let Some(ack) = segment.acknowledges() {
            y.anchor(ack, false);
        }
        let crosses = segment.has(TcpFlags::SYN) && x.open(segment);
        let from = x.place(segment.seq);
        let to = from + i64::from(segment.span());
        let ack = segment.acknowledges().map(|ack| y.place(ack));
        let controls = segment.has(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        Self {
            from,
            to,
            ack,
            kind: Kind::Ack,
            marks: Marks::empty(),
            again: None,
            gap: 0,
            bare: segment.len == 0 && !controls,
            same_ack: ack.is_some() && ack == x.last_ack,
            same_window: segment.window == x.raw_window,
            at_next: x.nxt.is_none_or(|nxt| from == nxt),
            asks: false,
            crosses,
        }
    }

    /// Whether it asks for a sign of life, or whether a window has opened.
    pub(super) fn questions(&mut self, x: &mut Side, y: &Side, segment: &Segment<'_>) {
        if segment.len > 1 || segment.has(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) {
            return;
        }
        let Some(nxt) = x.nxt else { return };
        let closed = y.closed_at.is_some();
        let known = y.ack.is_some_and(|ack| ack >= nxt) || segment.len == 0;
        let behind = self.from == nxt - 1 && known && nxt > 1;
        if closed && (behind || (segment.len == 1 && self.from == nxt)) {
            self.marks |= Marks::ZERO_WINDOW_PROBE;
            self.kind = Kind::WindowProbe;
            x.counts.window_probes += 1;
            if segment.len == 1 {
                x.probe = Some(self.to.max(nxt));
            }
        } else if behind {
            self.marks |= Marks::KEEP_ALIVE;
            self.kind = Kind::KeepAlive;
            x.counts.keep_alives += 1;
        } else {
            return;
        }
        self.asks = true;
        x.asked = Some(if closed { Asked::Window } else { Asked::Alive });
    }

    /// What a segment that only acknowledges is, before it is known whether it acknowledges anything new.
    pub(super) fn answers(&mut self, x: &mut Side, y: &Side, segment: &Segment<'_>) {
        if self.asks {
            return;
        }
        if segment.window == 0 && !segment.has(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) {
            self.marks |= Marks::ZERO_WINDOW;
        }
        if !self.bare || !self.same_ack || !self.at_next {
            return;
        }
        self.kind = Kind::Repeat;
        match y.asked {
            Some(Asked::Window) if segment.window == 0 => {
                self.marks |= Marks::ZERO_WINDOW_PROBE_ACK;
                self.kind = Kind::WindowProbeAck;
            }
            Some(Asked::Alive) if self.same_window => {
                self.marks |= Marks::KEEP_ALIVE_ACK;
                self.kind = Kind::KeepAliveAck;
            }
            _ if !self.same_window && segment.window > 0 => {
                self.marks |= Marks::WINDOW_UPDATE;
                self.kind = Kind::WindowUpdate;
            }
            _ if self.same_window && segment.window > 0 => {
                self.marks |= Marks::DUPLICATE_ACK;
                x.counts.duplicate_acks += 1;
            }
            _ => {}
        }
    }

    /// What is sent, and whether it was sent before.
    pub(super) fn data(&mut self, x: &mut Side, y: &Side, segment: &Segment<'_>) {
        x.counts.data_segments += u64::from(segment.len > 0 && !self.asks);
        if segment.has(TcpFlags::RST) {
            let edge = y.ack.zip(y.window).map(|(ack, window)| ack..=ack + window as i64);
            // Without the handshake the window's scale is not known.
            let sure = x.opening.is_some() && y.opening.is_some();
            let outside = sure && edge.is_some_and(|edge| !edge.contains(&self.from));
            if outside {
                self.marks |= Marks::RESET_IGNORED;
            } else {
                x.reset = true;
            }
            return;
        }
        if segment.span() == 0 || self.asks {
            if x.nxt.is_none() {
                x.lowest = Some(self.from);
                x.advance(self.from, self.from, segment);
            } else if segment.span() == 0 && x.nxt.is_some_and(|nxt| self.from > nxt) {
                // Shows that something was sent that the capture lacks, or that is still on its way.
                self.gap = x.advance(self.from, self.from, segment);
                self.marks.set(Marks::GAP, self.gap > 0);
            }
            return;
        }
        let (from, to) = (self.from, self.to);
        if self.crosses && x.nxt.is_some_and(|nxt| to <= nxt) {
            return;
        }
        let old = x.nxt.filter(|&nxt| from < nxt);
        if old.is_some() {
            match again::judge(x, y, from, to, segment) {
                Old::Late => {
                    self.marks |= Marks::OUT_OF_ORDER;
                    x.counts.out_of_order += 1;
                    x.counts.bytes += u64::from(segment.len);
                    x.remember(from, to, segment);
                }
                Old::Again(again) => {
                    self.marks |= Marks::RETRANSMISSION;
                    let repeated = u64::from(segment.len).saturating_sub(again.new_bytes);
                    x.counts.retransmissions += 1;
                    x.counts.retransmissions_without_data += u64::from(segment.len == 0);
                    x.counts.retransmitted_bytes += repeated;
                    x.counts.bytes += again.new_bytes.min(u64::from(segment.len));
                    self.again = Some(again);
                    mark_again(x, y, from, to, segment);
                }
            }
            x.fill(from, to);
        } else {
            if x.nxt.is_none() {
                x.lowest = (!segment.has(TcpFlags::SYN)).then_some(from);
            }
            x.counts.bytes += u64::from(segment.len);
            x.remember(from, to, segment);
        }
        self.gap = x.advance(from, to, segment);
        self.marks.set(Marks::GAP, self.gap > 0);
        x.sent_time = segment.time.0;
        if segment.len > 0 {
            x.data_begun.get_or_insert(segment.time.0);
            x.data_ended = Some(segment.time.0);
        }
        if segment.has(TcpFlags::FIN) {
            self.marks |= Marks::FIN;
            if x.fin.is_none() {
                x.fin = Some(to - 1);
                x.life.fin = true;
                x.life.passive = y.life.fin_acked;
            }
        }
        if segment.len > 0 && segment.has(TcpFlags::SYN) {
            self.marks |= Marks::FAST_OPEN_DATA;
        }
        let edge = y.last_ack.zip(y.window).map(|(ack, window)| ack + window as i64);
        let plain = !segment.has(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        if segment.len > 0 && plain && y.opening.is_some() && edge == Some(to) {
            self.marks |= Marks::WINDOW_FULL;
            x.counts.windows_filled += 1;
        }
    }

    /// What the next segment is compared with.
    pub(super) fn finish(&self, x: &mut Side, segment: &Segment<'_>) {
        x.counts.packets += 1;
        x.counts.wire_bytes += u64::from(segment.wire_len);
        x.counts.congestion_marks += u64::from(segment.congestion);
        x.ids.note(segment.id);
        x.raw_window = segment.window;
        x.last_ack = self.ack.or(x.last_ack);
        if !self.asks {
            x.asked = None;
        }
    }

    /// What the segment is for, now that everything is known.
    pub(super) fn heard(&mut self, x: &mut Side, y: &Side, segment: &Segment<'_>, news: &News, shaken: bool) {
        let syn = segment.has(TcpFlags::SYN);
        if syn || segment.len > 0 || segment.has(TcpFlags::FIN | TcpFlags::RST) {
            if !self.asks {
                self.kind = match () {
                    () if segment.has(TcpFlags::RST) => Kind::Reset,
                    () if syn && segment.has(TcpFlags::ACK) => Kind::SynAck,
                    () if syn => Kind::Syn,
                    () if segment.len > 0 => Kind::Data,
                    () => Kind::Fin,
                };
            }
            return;
        }
        x.counts.pure_acks += 1;
        if self.asks {
            return;
        }
        let outstanding = y.nxt.zip(self.ack).is_some_and(|(nxt, ack)| nxt > ack);
        let repeats = self.marks.contains(Marks::DUPLICATE_ACK)
            || (self.same_ack && news.selective.fresh > 0 && news.selective.twice.is_none());
        if news.covered.is_some_and(|c| c.syn) && !shaken {
            self.kind = Kind::HandshakeAck;
        } else if news.covered.is_some() {
            self.kind = Kind::Ack;
        } else if repeats && outstanding {
            // RFC 6675 §2: with SACK, news of what has arrived make it a duplicate, whatever the window does.
            x.duplicates += 1;
            self.kind = Kind::DuplicateAck(x.duplicates);
        } else if self.ack.zip(x.ack).is_some_and(|(ack, newest)| ack < newest) {
            self.kind = Kind::OldAck;
        }
    }
}

fn mark_again(x: &mut Side, y: &Side, from: Offset, to: Offset, segment: &Segment<'_>) {
    let stamp = segment.options.stamps.map(|s| s.value);
    let mut found = false;
    for sent in x.overlapping(from, to) {
        found = true;
        sent.again += 1;
        sent.last_number = segment.number;
        sent.last_time = segment.time.0;
        sent.last_stamp = stamp;
    }
    if y.ack.is_none_or(|ack| ack < to) {
        x.note_again(from, to, segment.number);
        if !found {
            x.remember(from, to, segment);
            if let Some(sent) = x.overlapping(from, to).next() {
                // The first is not known: no sample can be taken from it.
                sent.again = 1;
            }
        }
    }
}

/// Notes the receive window that a segment tells.
pub(super) fn tell_window(x: &mut Side, y: &Side, segment: &Segment<'_>, marks: &mut Marks) -> Window {
    let before = x.window;
    let scale_of = |side: &Side| side.opening.map(|o| o.options.window_scale);
    let scales = scale_of(x).zip(scale_of(y));
    let scale = match scales {
        // RFC 7323 §2.2: used when both have offered it, and never in a SYN.
        Some((Some(own), Some(_))) if !segment.has(TcpFlags::SYN) => own.min(LARGEST_SCALE),
        _ => 0,
    };
    let now = u64::from(segment.window) << scale;
    let mut window = Window { before, now, scale_unknown: scales.is_none(), was_closed_for: None };
    if segment.has(TcpFlags::RST) {
        // Its window means nothing.
        window.now = before.unwrap_or(now);
        return window;
    }
    x.counts.largest_window = x.counts.largest_window.max(now);
    if marks.contains(Marks::ZERO_WINDOW) && x.closed_at.is_none() {
        x.closed_at = Some(segment.time.0);
        x.counts.windows_closed += 1;
    } else if segment.window > 0
        && let Some(closed_at) = x.closed_at.take()
    {
        let closed = (segment.time.0 - closed_at).max(0);
        window.was_closed_for = Some(closed);
        x.counts.closed_ns = x.counts.closed_ns.saturating_add(closed as u64);
        *marks |= Marks::WINDOW_OPENED;
    }
    x.window = Some(now);
    window
}
