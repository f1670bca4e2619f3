//! One end of a conversation: what it has sent, what of that is outstanding, what it has said as a receiver, and what
//! was counted. Memory is bounded: see [`MOST_OUTSTANDING`].

use std::collections::VecDeque;

use bypath_wire::seq::SeqNum;

use super::counts::Counts;
use super::rtt::RoundTrips;
use super::segment::{Options, Segment};
use super::spans::{Offset, Spans};
use super::state::Life;
use crate::layers::TcpFlags;

/// Most segments of an end that are kept until they are acknowledged. Of more, the oldest are forgotten: they give no
/// sample of the round-trip time, and if they are sent again, their first packet is not known.
pub const MOST_OUTSTANDING: usize = 1 << 14;

/// Most retransmissions of which the peer may still say that they were needless.
const MOST_LATELY: usize = 16;

/// Most gaps that are kept for an end.
const MOST_GAPS: usize = 256;

/// A segment that has not been acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// The packet that carried it first, and when.
    pub(super) number: u64,
    pub(super) time: i64,
    /// The packet that carried it last, and when.
    pub(super) last_number: u64,
    pub(super) last_time: i64,
    /// How many times it was sent again.
    pub(super) again: u32,
    /// Timestamps of the first and the last.
    pub(super) stamp: Option<u32>,
    pub(super) last_stamp: Option<u32>,
}

/// A stretch that has not been seen, though what is behind it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// When it was noticed, and the timestamp and identification of the segment that showed it.
    pub(super) time: i64,
    pub(super) stamp: Option<u32>,
    pub(super) id: Option<u16>,
}

/// A loss recovery that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    /// The packet that it began with, and when.
    pub(super) number: u64,
    pub(super) time: i64,
    /// It is over when this is acknowledged.
    pub(super) high: Offset,
    /// It began with a timeout; how many in a row.
    pub(super) timeouts: u32,
}

/// The SYN of an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) seq: SeqNum,
    pub(super) last_time: i64,
    pub(super) again: u32,
    pub(super) flags: TcpFlags,
    pub(super) options: Options,
    pub(super) len: u32,
    /// A SYN without ACK, and then one with it: both ends have asked.
    pub(super) crossed: bool,
}

/// One end.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// The sequence number at offset 0.
    base: Option<SeqNum>,
    pub(super) opening: Option<Opening>,
    /// Everything before has been sent, as far as was seen.
    pub(super) nxt: Option<Offset>,
    /// When that was last raised.
    pub(super) nxt_time: i64,
    /// When it last sent data, SYN or FIN, for the first time or again.
    pub(super) sent_time: i64,
    /// When it sent its first data, and when its last data was sent or acknowledged.
    pub(super) data_begun: Option<i64>,
    pub(super) data_ended: Option<i64>,
    /// Where its FIN is.
    pub(super) fin: Option<Offset>,
    /// It has sent a reset that counts.
    pub(super) reset: bool,
    pub(super) life: Life,
    pub(super) outstanding: VecDeque<Sent>,
    pub(super) gaps: Vec<Gap>,
    /// What the peer has acknowledged selectively.
    pub(super) sacked: Spans,
    pub(super) recovery: Option<Recovery>,
    /// What was sent again lately: from, to, packet.
    pub(super) lately: VecDeque<(Offset, Offset, u64)>,
    /// The first position that was seen, where the capture begins in the middle.
    pub(super) lowest: Option<Offset>,
    /// Behind `nxt`: the end of a byte that probed the peer's closed window.
    pub(super) probe: Option<Offset>,
    /// What it sent last was a keep-alive, or a probe of a closed window.
    pub(super) asked: Option<Asked>,
    /// As a receiver: the position in the peer's stream that it waits for.
    pub(super) ack: Option<Offset>,
    /// Its last acknowledgment number as it was, which may be older than `ack`.
    pub(super) last_ack: Option<Offset>,
    pub(super) raw_window: u16,
    pub(super) window: Option<u64>,
    /// When its window closed.
    pub(super) closed_at: Option<i64>,
    /// Duplicate acknowledgments it has sent in a row.
    pub(super) duplicates: u32,
    /// By how many more of its packets had a right checksum than a wrong one.
    pub(super) right_checksums: i64,
    pub(super) rtt: RoundTrips,
    pub(super) counts: Counts,
    pub(super) ids: Identifications,
}

/// What the identifications in the IPv4 headers of an end's packets tell of their order. Linux counts those of a TCP
/// connection up, packet by packet, also where the bit against fragments is set and nobody needs them; others send
/// zeros or random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identifications {
    newest: Option<u16>,
    /// How many have gone up a little, one after the other.
    steps: u8,
}

impl Identifications {
    /// So much at most goes missing, or is overtaken, at a time.
    const FARTHEST: i16 = 256;
    const BACK: i16 = -Self::FARTHEST;
    /// So many that go up are no accident.
    const ENOUGH: u8 = 8;

    pub(super) fn note(&mut self, id: Option<u16>) {
        match (self.newest, id) {
            (Some(newest), Some(id)) => match id.wrapping_sub(newest).cast_signed() {
                1..=Self::FARTHEST => *self = Self { newest: Some(id), steps: self.steps.saturating_add(1) },
                Self::BACK..=0 => {}
                _ => *self = Self { newest: Some(id), steps: 0 },
            },
            _ => *self = Self { newest: id, steps: 0 },
        }
    }

    /// Whether `one` was sent before `other`, if that can be told.
    pub(super) fn is_before(&self, one: Option<u16>, other: Option<u16>) -> Option<bool> {
        let step = one?.wrapping_sub(other?).cast_signed();
        let tells = self.steps >= Self::ENOUGH && step != 0 && step.unsigned_abs() <= Self::FARTHEST as u16;
        tells.then_some(step < 0)
    }
}

/// What an end has asked, and is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Alive,
    Window,
}

impl Side {
    /// The offset of a sequence number: the one nearest to what was sent last.
    pub(super) fn place(&self, seq: SeqNum) -> Offset {
        let near = self.nxt.unwrap_or(0);
        // The low 32 bits of an offset are its distance on the circle.
        let here = self.base.unwrap_or(seq - 1) + near as u32;
        near + i64::from(seq.offset_from(here))
    }

    /// Fixes where offset 0 is: at the SYN, or one before the first byte that anything is known of.
    pub(super) fn anchor(&mut self, seq: SeqNum, is_syn: bool) {
        self.base.get_or_insert(if is_syn { seq } else { seq - 1 });
    }

    /// Remembers a SYN. True if it is the first to accept the peer's, which this end's own has crossed.
    pub(super) fn open(&mut self, segment: &Segment<'_>) -> bool {
        let time = segment.time.0;
        let accepts = segment.has(TcpFlags::ACK);
        match &mut self.opening {
            Some(opening) if accepts && !opening.crossed && !opening.flags.contains(TcpFlags::ACK) => {
                opening.crossed = true;
                return true;
            }
            Some(opening) => {
                opening.last_time = time;
                opening.again += 1;
            }
            none => {
                *none = Some(Opening {
                    seq: segment.seq,
                    last_time: time,
                    again: 0,
                    flags: segment.flags,
                    options: segment.options,
                    len: segment.len,
                    crossed: false,
                });
            }
        }
        self.life.syn = true;
        false
    }

    /// The first offset that the peer has not acknowledged, as far as it said anything.
    pub(super) fn outstanding_from(&self, peer: &Side) -> Option<Offset> {
        peer.ack.or_else(|| self.outstanding.front().map(|s| s.from))
    }

    /// Bytes sent and not acknowledged.
    pub(super) fn in_flight(&self, peer: &Side) -> u64 {
        match (self.nxt, self.outstanding_from(peer)) {
            (Some(nxt), Some(una)) => (nxt - una).max(0) as u64,
            _ => 0,
        }
    }

    /// Keeps a segment until it is acknowledged.
    pub(super) fn remember(&mut self, from: Offset, to: Offset, segment: &Segment<'_>) {
        if self.outstanding.len() >= MOST_OUTSTANDING {
            self.outstanding.pop_front();
        }
        let stamp = segment.options.stamps.map(|s| s.value);
        let sent = Sent {
            from,
            to,
            number: segment.number,
            time: segment.time.0,
            last_number: segment.number,
            last_time: segment.time.0,
            again: 0,
            stamp,
            last_stamp: stamp,
        };
        // In order of offsets, which only what was overtaken has to be sorted into.
        let at = self.outstanding.partition_point(|s| s.from <= from);
        if at == self.outstanding.len() {
            self.outstanding.push_back(sent);
        } else {
            self.outstanding.insert(at, sent);
        }
    }

    /// The outstanding segments that share bytes with `[from, to)`.
    pub(super) fn overlapping(&mut self, from: Offset, to: Offset) -> impl Iterator<Item = &mut Sent> {
        // Segments hardly ever overlap: the one before may reach in.
        let first = self.outstanding.partition_point(|s| s.from <= from).saturating_sub(1);
        self.outstanding.range_mut(first..).take_while(move |s| s.from < to).filter(move |s| s.to > from)
    }

    /// Raises `nxt` to where a segment ends, and notes the gap before it.
    pub(super) fn advance(&mut self, from: Offset, to: Offset, segment: &Segment<'_>) -> u64 {
        let time = segment.time.0;
        let Some(nxt) = self.nxt else {
            (self.nxt, self.nxt_time) = (Some(to), time);
            return 0;
        };
        let mut gap = 0;
        if from > nxt {
            gap = (from - nxt) as u64;
            if self.gaps.len() >= MOST_GAPS {
                self.gaps.remove(0);
            }
            let stamp = segment.options.stamps.map(|s| s.value);
            self.gaps.push(Gap { from: nxt, to: from, time, stamp, id: segment.id });
        }
        if to > nxt {
            (self.nxt, self.nxt_time) = (Some(to), time);
        }
        gap
    }

    /// How much of `[from, to)` has not been seen though what is behind it has, and the newest of those gaps.
    pub(super) fn missing(&self, from: Offset, to: Offset) -> (u64, Option<Gap>) {
        // What was sent before the capture began.
        let mut bytes = self.lowest.map_or(0, |lowest| (lowest.min(to) - from).max(0) as u64);
        let mut newest: Option<Gap> = None;
        for gap in self.gaps.iter().filter(|g| g.from < to && g.to > from) {
            bytes += (gap.to.min(to) - gap.from.max(from)) as u64;
            newest = newest.filter(|n| n.time >= gap.time).or(Some(*gap));
        }
        (bytes, newest)
    }

    /// `[from, to)` has been seen now.
    pub(super) fn fill(&mut self, from: Offset, to: Offset) {
        let mut index = 0;
        while let Some(gap) = self.gaps.get(index).copied() {
            if gap.from >= to || gap.to <= from {
                index += 1;
                continue;
            }
            let parts = [(gap.from, from), (to, gap.to)].into_iter().filter(|(a, b)| a < b);
            let parts: arrayvec::ArrayVec<Gap, 2> = parts.map(|(from, to)| Gap { from, to, ..gap }).collect();
            let count = parts.len();
            self.gaps.splice(index..=index, parts);
            index += count;
        }
        if self.gaps.len() > MOST_GAPS {
            self.gaps.remove(0);
        }
    }

    /// Forgets gaps before `to`; returns how many bytes they had.
    pub(super) fn forget_gaps(&mut self, to: Offset) -> u64 {
        let lost = self.gaps.iter().map(|gap| (gap.to.min(to) - gap.from).max(0) as u64).sum();
        if lost > 0 {
            self.fill(Offset::MIN, to);
        }
        lost
    }

    /// Notes what was sent again, for as long as the peer may tell that it was needless.
    pub(super) fn note_again(&mut self, from: Offset, to: Offset, number: u64) {
        if self.lately.len() >= MOST_LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back((from, to, number));
    }

    /// The peer has got `[from, to)` twice: the packet that was needless, if it is one that was sent again.
    pub(super) fn needless(&mut self, from: Offset, to: Offset) -> Option<u64> {
        let at = self.lately.iter().position(|&(a, b, _)| a < to && b > from)?;
        self.counts.needless_retransmissions += 1;
        self.lately.remove(at).map(|(_, _, number)| number)
    }

    /// What it takes in memory, in outstanding segments.
    pub(super) fn weight(&self) -> usize {
        self.outstanding.len() + self.gaps.len() + self.sacked.len() / 4
    }
}
