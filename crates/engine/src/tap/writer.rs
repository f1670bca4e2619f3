//! The worker's end of a tap: packets copied into a ring, round by round.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::record::{HEADER_LEN, Header, Kind, VERDICT_AT, record_len};
use super::{ASLEEP, Note, SourceState};
use crate::ring::ByteProducer;

/// Copies of one worker's packets; see the module above. Nothing is seen by the reader before
/// [`TapWriter::handed_over`].
#[derive(Debug)]
pub struct TapWriter {
    ring: ByteProducer,
    state: Arc<SourceState>,
    snap_len: usize,
    /// Bytes of the ring beyond its tail that hold records of this round, and how many records that are.
    pending: usize,
    packets: u64,
    /// Where the last received packet's record lies, from the tail.
    last_received: Option<usize>,
    /// Meaning of the next packet to be sent.
    note: [u8; 2],
    /// Packets that found no room since the last that did.
    missed: u32,
}

impl TapWriter {
    pub(super) fn new(mut ring: ByteProducer, state: Arc<SourceState>, snap_len: u32) -> Self {
        ring.touch();
        let snap_len = snap_len as usize;
        let (packets, last_received, note, missed) = (0, None, [0; 2], 0);
        Self { ring, state, snap_len, pending: 0, packets, last_received, note, missed }
    }

    /// A round of the worker begins: what it will record is not older than `now`.
    pub fn begin(&mut self, now: u64) {
        self.state.floor.store(now, Ordering::Release);
    }

    /// A packet in pieces was received on `queue` at `now`.
    pub fn received(&mut self, now: u64, queue: u16, head: &[u8], rest: &[&[u8]]) {
        self.last_received = Some(self.pending);
        if !self.record(Kind::Received, now, queue, head, rest.iter().copied(), [0; 2]) {
            self.last_received = None;
        }
    }

    /// What became of the packet that was received last.
    pub(crate) fn judge(&mut self, cause: u8, note: Note) {
        if let Some(at) = self.last_received.take()
            && (cause != 0 || note != Note::None)
        {
            self.ring.write_at(at + VERDICT_AT, &[cause, note as u8]);
        }
    }

    /// What the packet means that is sent next.
    pub(crate) fn note(&mut self, note: Note, cause: u8) {
        self.note = [cause, note as u8];
    }

    /// A packet in pieces is on its way to `queue`.
    pub fn sent<'a>(&mut self, queue: u16, head: &'a [u8], rest: impl Iterator<Item = &'a [u8]> + Clone) {
        let note = std::mem::take(&mut self.note);
        self.record(Kind::Sent, 0, queue, head, rest, note);
    }

    /// All that was sent in this round is handed over to the device at `now`: the reader may have it.
    pub fn handed_over(&mut self, now: u64) {
        if self.pending == 0 {
            return;
        }
        let (captured, original, queue, kind) = (0, 0, 0, Kind::HandedOver);
        let end = Header { time: now, captured, original, queue, kind, verdict: [0; 2], missed: 0 };
        // `record` has left room for it.
        self.ring.write_at(self.pending, &end.to_bytes());
        self.ring.commit(self.pending + HEADER_LEN);
        self.pending = 0;
        self.last_received = None;
        let packets = &self.state.packets;
        packets.store(packets.load(Ordering::Relaxed) + std::mem::take(&mut self.packets), Ordering::Relaxed);
    }

    /// The worker is about to sleep, with everything handed over.
    pub fn asleep(&mut self) {
        debug_assert_eq!(self.pending, 0, "packets would be shown later than their time");
        self.state.floor.store(ASLEEP, Ordering::Release);
    }

    /// It does not sleep any more; `now` may be the time before the sleep.
    pub fn awake(&mut self, now: u64) {
        self.state.floor.store(now, Ordering::Release);
        // Before the clock is read for the next round.
        fence(Ordering::SeqCst);
    }

    fn record<'a>(
        &mut self,
        kind: Kind,
        time: u64,
        queue: u16,
        head: &'a [u8],
        rest: impl Iterator<Item = &'a [u8]> + Clone,
        verdict: [u8; 2],
    ) -> bool {
        let original = head.len() + rest.clone().map(<[u8]>::len).sum::<usize>();
        let captured = original.min(self.snap_len);
        let needed = record_len(captured);
        if !self.ring.has_room(self.pending + needed + HEADER_LEN) {
            self.miss(original);
            return false;
        }
        let missed = std::mem::take(&mut self.missed);
        let (len, whole) = (captured as u32, original as u32);
        let header = Header { time, captured: len, original: whole, queue, kind, verdict, missed };
        self.ring.write_at(self.pending, &header.to_bytes());
        let mut at = self.pending + HEADER_LEN;
        let mut left = captured;
        for piece in std::iter::once(head).chain(rest) {
            let piece = &piece[..piece.len().min(left)];
            self.ring.write_at(at, piece);
            at += piece.len();
            left -= piece.len();
        }
        self.pending += needed;
        self.packets += 1;
        true
    }

    #[cold]
    fn miss(&mut self, bytes: usize) {
        self.missed = self.missed.saturating_add(1);
        let add = |counter: &std::sync::atomic::AtomicU64, n: u64| {
            counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        };
        add(&self.state.missed, 1);
        add(&self.state.missed_bytes, bytes as u64);
    }
}

impl Drop for TapWriter {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Release);
    }
}
