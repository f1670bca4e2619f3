//! The receiving end: what arrives is looked at, counted and, where both ends share a clock, timed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bypath_xdp::{Device, Frame, RxBatch};
use crossbeam::channel::Sender;

use super::clock::now_ns;
use super::inspect::{Inspection, Seen};
use super::maker::FrameMaker;
use super::sequence::{SequenceCounts, SequenceTracker};
use super::signature::{Kind, MAX_STREAMS, Signature};
use crate::histogram::{Merge, NanoHistogram};

/// Frames taken at a time.
const BATCH: usize = 64;
/// Nothing for so long, and a receiver that may sleep does.
const IDLE_BEFORE_SLEEP_NS: u64 = 100_000;
/// Streams followed; frames of others are counted, not followed.
const MAX_FOLLOWED: u32 = 1 << 16;

/// How to receive.
#[derive(Debug, Clone)]
pub struct ReceivePlan {
    /// The senders' clock is ours: times of flight make sense.
    pub same_clock: bool,
    /// Sleep when there is nothing to receive.
    pub may_sleep: bool,
    /// Send every frame of ours back to where it came from.
    pub reflect: bool,
    /// After the stop, how long nothing must have come.
    pub grace: Duration,
    /// End by itself when every stream has said that it ended.
    pub until_end_marks: bool,
}

/// What others may look at while a receiver runs.
#[derive(Debug, Default)]
pub struct ReceiveGauge {
    /// The senders are done: ends it after the grace.
    pub stop: AtomicBool,
    /// Frames that count, intact.
    pub frames: AtomicU64,
    /// Their bytes, without FCS.
    pub bytes: AtomicU64,
    /// Counted up by whoever wants the times of flight since it last did.
    pub interval: AtomicU64,
}

/// What a receiver has seen.
#[derive(Debug)]
pub struct ReceiveReport {
    /// Frames that count, intact, duplicates among them.
    pub frames: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// Frames with a wrong sum or hash.
    pub damaged: u64,
    /// Frames without a signature.
    pub foreign: u64,
    /// Frames of a warm-up.
    pub warm_up_frames: u64,
    /// Marks of the end.
    pub end_marks: u64,
    /// Frames sent back.
    pub reflected: u64,
    /// Each stream that was seen.
    pub streams: Vec<StreamReport>,
    /// Times of flight, where clocks are shared.
    pub one_way: NanoHistogram,
    /// Frames that seem to have arrived before they were sent: the clocks differ.
    pub from_the_future: u64,
    /// When the first and the last that count arrived, by [`now_ns`].
    pub first_ns: u64,
    /// See `first_ns`.
    pub last_ns: u64,
}

/// One stream at the receiving end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReport {
    /// Its number.
    pub stream: u32,
    /// What became of its frames.
    pub counts: SequenceCounts,
    /// One past the highest number seen.
    pub next: u64,
    /// How many its sender says there were, if it could.
    pub sent: Option<u64>,
}

/// Follows the streams.
#[derive(Debug, Default)]
struct Streams {
    known: Vec<Option<Followed>>,
    open: usize,
}

#[derive(Debug, Default)]
struct Followed {
    tracker: SequenceTracker,
    sent: Option<u64>,
}

impl Streams {
    #[inline]
    fn at(&mut self, stream: u32) -> Option<&mut Followed> {
        let at = stream as usize;
        if at >= self.known.len() {
            if stream >= MAX_FOLLOWED.min(MAX_STREAMS) {
                return None;
            }
            // A stream that is new: once for each.
            self.known.resize_with((at + 1).next_power_of_two(), || None);
        }
        let slot = self.known.get_mut(at)?;
        if slot.is_none() {
            *slot = Some(Followed::default());
            self.open += 1;
        }
        slot.as_mut()
    }

    /// Every stream that was seen has ended, and there was one.
    fn have_ended(&self) -> bool {
        self.open == 0 && self.known.iter().any(Option::is_some)
    }
}

/// Receives until it is told to stop and nothing has come for the plan's grace.
pub fn receive(device: &mut dyn Device, receiver: &mut Receiver<'_>) {
    let plan = receiver.plan;
    let grace_ns = plan.grace.as_nanos() as u64;
    let mut quiet_since = now_ns();
    loop {
        let got = receiver.poll(device, None);
        device.flush();
        if got > 0 {
            quiet_since = receiver.now;
            continue;
        }
        let quiet = receiver.now.saturating_sub(quiet_since);
        let told = receiver.gauge.stop.load(Ordering::Acquire)
            || plan.until_end_marks && receiver.streams.have_ended();
        if told && quiet >= grace_ns {
            break;
        }
        if plan.may_sleep && quiet > IDLE_BEFORE_SLEEP_NS {
            // What cannot be waited for is looked at again.
            let _ = device.wait(Some(Duration::from_millis(2)), None);
        } else {
            std::thread::yield_now();
        }
    }
}

/// The receiving side of one worker.
#[derive(Debug)]
pub struct Receiver<'a> {
    plan: &'a ReceivePlan,
    gauge: &'a ReceiveGauge,
    intervals: Sender<NanoHistogram>,
    interval: u64,
    batch: RxBatch,
    /// When the last batch came, or would have.
    now: u64,
    report: ReceiveReport,
    streams: Streams,
    /// Times of flight since the last interval.
    fresh: NanoHistogram,
    /// A packet in several frames, of which some have come.
    open: Option<Inspection>,
}

impl<'a> Receiver<'a> {
    /// A receiver that has seen nothing. Histograms of intervals go to `intervals`.
    pub fn new(plan: &'a ReceivePlan, gauge: &'a ReceiveGauge, intervals: Sender<NanoHistogram>) -> Self {
        let report = ReceiveReport {
            frames: 0,
            bytes: 0,
            damaged: 0,
            foreign: 0,
            warm_up_frames: 0,
            end_marks: 0,
            reflected: 0,
            streams: Vec::new(),
            one_way: NanoHistogram::new(),
            from_the_future: 0,
            first_ns: 0,
            last_ns: 0,
        };
        Receiver {
            plan,
            gauge,
            intervals,
            interval: gauge.interval.load(Ordering::Relaxed),
            batch: RxBatch::with_capacity(BATCH),
            now: 0,
            report,
            streams: Streams::default(),
            fresh: NanoHistogram::new(),
            open: None,
        }
    }

    /// Takes what has come; the caller flushes. The maker of the same device is told which chunks it finds changed.
    /// Returns the frames taken.
    #[inline]
    pub fn poll(&mut self, device: &mut dyn Device, maker: Option<&mut FrameMaker>) -> usize {
        let got = device.receive(&mut self.batch);
        self.now = now_ns();
        if got > 0 {
            if let Some(maker) = maker {
                for frame in self.batch.frames() {
                    maker.forget(frame.slot());
                }
            }
            self.take(device);
            self.gauge.frames.store(self.report.frames, Ordering::Relaxed);
            self.gauge.bytes.store(self.report.bytes, Ordering::Relaxed);
        }
        let wanted = self.gauge.interval.load(Ordering::Relaxed);
        if wanted != self.interval {
            self.interval = wanted;
            let fresh = self.end_interval();
            // Nobody listens any more: then nobody misses it.
            let _ = self.intervals.send(fresh);
        }
        got
    }

    fn take(&mut self, device: &mut dyn Device) {
        let now = self.now;
        // The batch is put back empty, with the room that it has.
        let mut batch = std::mem::replace(&mut self.batch, RxBatch::with_capacity(0));
        for frame in batch.drain() {
            let bytes = device.area().bytes(&frame);
            let (inspection, is_first) = match self.open.take() {
                None => (Inspection::begin(bytes), true),
                Some(mut inspection) => {
                    inspection.more(bytes);
                    (inspection, false)
                }
            };
            if frame.more() {
                self.open = Some(inspection);
                device.release(frame);
                continue;
            }
            let (seen, len) = inspection.end();
            self.count(seen, len, now);
            if self.plan.reflect && is_first && matches!(seen, Seen::Intact(_)) {
                self.reflect(device, frame);
            } else {
                device.release(frame);
            }
        }
        self.batch = batch;
    }

    #[inline]
    fn count(&mut self, seen: Seen, len: usize, now: u64) {
        let report = &mut self.report;
        match seen {
            Seen::Damaged => report.damaged += 1,
            Seen::Foreign => report.foreign += 1,
            Seen::Intact(Signature { kind: Kind::WarmUp, .. }) => report.warm_up_frames += 1,
            Seen::Intact(Signature { kind: Kind::End, stream, sequence, .. }) => {
                report.end_marks += 1;
                if let Some(followed) = self.streams.at(stream)
                    && followed.sent.is_none()
                {
                    let missing = sequence.wrapping_sub(followed.tracker.next() as u32);
                    followed.sent = Some(followed.tracker.next() + u64::from(missing));
                    self.streams.open -= 1;
                }
            }
            Seen::Intact(signature) => {
                if report.frames == 0 {
                    report.first_ns = now;
                }
                report.frames += 1;
                report.bytes += len as u64;
                report.last_ns = now;
                if let Some(followed) = self.streams.at(signature.stream) {
                    followed.tracker.arrived(signature.sequence);
                }
                if self.plan.same_clock {
                    let age = signature.age_ns(now);
                    if age < 0 {
                        report.from_the_future += 1;
                    } else {
                        self.fresh.record(age as u64);
                    }
                }
            }
        }
    }

    /// Sends a frame back: stations, addresses and ports change places, which leaves every sum as it is.
    fn reflect(&mut self, device: &mut dyn Device, mut frame: Frame) {
        let len = frame.len();
        let bytes = &mut device.area().bytes_mut(&mut frame)[..len];
        turn_round(bytes);
        self.report.reflected += 1;
        device.transmit(frame);
    }

    fn end_interval(&mut self) -> NanoHistogram {
        let fresh = std::mem::take(&mut self.fresh);
        self.report.one_way.merge(&fresh);
        fresh
    }

    /// What has been seen.
    pub fn finish(mut self) -> ReceiveReport {
        let rest = self.end_interval();
        // Nobody may be waiting for it.
        let _ = self.intervals.send(rest);
        let known = self.streams.known.into_iter().zip(0u32..);
        self.report.streams = known
            .filter_map(|(followed, stream)| {
                let Followed { tracker, sent } = followed?;
                Some(StreamReport { stream, counts: tracker.counts(), next: tracker.next(), sent })
            })
            .collect();
        self.report
    }
}

/// Swaps source and destination at each layer.
pub fn turn_round(frame: &mut [u8]) {
    let Some(layers) = super::inspect::layers(frame) else { return };
    let mut swap = |at: usize, width: usize| {
        for i in at..at + width {
            frame.swap(i, i + width);
        }
    };
    swap(0, 6);
    match layers.ipv4 {
        Some((ip, _)) => swap(ip + 12, 4),
        None => swap(layers.l4_at - 40 + 8, 16),
    }
    swap(layers.l4_at, 2);
}
