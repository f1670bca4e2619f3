//! The sending end: one worker, one device, one schedule.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bypath_xdp::{Device, DeviceStats};

use super::clock::now_ns;
use super::maker::FrameMaker;
use super::pacer::{Pacer, Rate};
use super::receive::Receiver;
use super::signature::Kind;
use super::sizes::FCS_LEN;
use crate::histogram::{Merge, NanoHistogram};

/// Frames between two flushes at full rate.
const BATCH: usize = 32;
/// With more time than this until the next frame, a sender that may sleep does.
const WORTH_SLEEPING_NS: u64 = 300_000;
/// How long before the next frame is due it wakes up, to be there in time.
const WAKE_AHEAD_NS: u64 = 150_000;
/// How long frames that the device holds are waited for at the end.
const DRAIN_NS: u64 = 500_000_000;
/// Frames of the end, so that one of them arrives.
const END_MARKS: usize = 3;

/// What one worker sends.
#[derive(Debug, Clone)]
pub struct TransmitPlan {
    /// How fast.
    pub rate: Rate,
    /// When to begin, by [`now_ns`].
    pub start_ns: u64,
    /// How long to send before what counts.
    pub warm_up: Duration,
    /// How long to send what counts, if it ends by time.
    pub duration: Option<Duration>,
    /// Frames that count, if it ends by number.
    pub frames: Option<u64>,
    /// Frames sent back to back, without flushing more often than the ring demands: a burst.
    pub spin: bool,
    /// Tell the receiver at the end how many there were.
    pub end_marks: bool,
}

/// What others may look at while a worker sends.
#[derive(Debug, Default)]
pub struct TransmitGauge {
    /// Ends it.
    pub stop: AtomicBool,
    /// Frames sent that count.
    pub frames: AtomicU64,
    /// Their bytes, without FCS.
    pub bytes: AtomicU64,
}

/// What one worker has sent.
#[derive(Debug)]
pub struct TransmitReport {
    /// Frames that count.
    pub frames: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// Frames of the warm-up.
    pub warm_up_frames: u64,
    /// Marks of the end.
    pub end_marks: u64,
    /// Frames that count, for each stream.
    pub streams: Vec<(u32, u64)>,
    /// When the first that counts was due, and when the last was handed over, by [`now_ns`].
    pub began_ns: u64,
    /// See `began_ns`.
    pub ended_ns: u64,
    /// How much later than due frames were handed over. Empty at full rate.
    pub lateness: NanoHistogram,
    /// Time that the schedule lost for good, because it could not be caught up with, in nanoseconds.
    pub lost_time_ns: u64,
    /// Times that the device had no room for a frame that was due.
    pub ring_full: u64,
    /// Whether the kernel has taken everything.
    pub drained: bool,
}

/// Sends until the plan or the gauge says that it is enough. A receiver on the same device has its turn in between.
pub fn transmit(
    device: &mut dyn Device,
    maker: &mut FrameMaker,
    queue: u16,
    plan: &TransmitPlan,
    gauge: &TransmitGauge,
    receiver: Option<&mut Receiver<'_>>,
) -> TransmitReport {
    wait_until(plan.start_ns, plan.spin, gauge);
    let warm_up_ns = plan.warm_up.as_nanos() as u64;
    let measured_from = plan.start_ns + warm_up_ns;
    let mut sender = Sender {
        device,
        maker,
        queue,
        plan,
        gauge,
        receiver,
        lateness: NanoHistogram::new(),
        ring_full: 0,
        lost_ns: 0,
    };
    let (warm_up_frames, _) = if warm_up_ns > 0 {
        sender.send(Kind::WarmUp, plan.start_ns, Some(measured_from), None)
    } else {
        (0, 0)
    };
    sender.maker.restart_numbers();
    sender.lateness.clear();
    (sender.ring_full, sender.lost_ns) = (0, 0);
    let until = plan.duration.map(|duration| measured_from + duration.as_nanos() as u64);
    let (frames, bytes) = sender.send(Kind::Data, measured_from, until, plan.frames);
    let ended_ns = now_ns();
    let Sender { device, maker, lateness, ring_full, lost_ns, .. } = sender;
    let mut drained = drain(device);
    let streams: Vec<(u32, u64)> = maker.numbers().collect();
    let mut end_marks = 0;
    if plan.end_marks {
        for _ in 0..END_MARKS {
            end_marks += maker.send_end_marks(device, queue, now_ns());
            drained &= drain(device);
        }
    }
    TransmitReport {
        frames,
        bytes,
        warm_up_frames,
        end_marks,
        streams,
        began_ns: measured_from,
        ended_ns,
        lateness,
        lost_time_ns: lost_ns,
        ring_full,
        drained,
    }
}

struct Sender<'a, 'b> {
    device: &'a mut dyn Device,
    maker: &'a mut FrameMaker,
    queue: u16,
    plan: &'a TransmitPlan,
    gauge: &'a TransmitGauge,
    receiver: Option<&'a mut Receiver<'b>>,
    lateness: NanoHistogram,
    ring_full: u64,
    lost_ns: u64,
}

impl Sender<'_, '_> {
    /// Sends frames of one kind. Returns how many and their bytes.
    fn send(&mut self, kind: Kind, start: u64, until: Option<u64>, limit: Option<u64>) -> (u64, u64) {
        let mut pacer = Pacer::new(self.plan.rate, start);
        let limit = limit.unwrap_or(u64::MAX);
        let (mut frames, mut bytes) = (0u64, 0u64);
        while frames < limit && !self.gauge.stop.load(Ordering::Relaxed) {
            let now = now_ns();
            if until.is_some_and(|until| now >= until) {
                break;
            }
            self.receive();
            if let Some(pacer) = &mut pacer {
                self.lost_ns += pacer.resume(now);
                let next = pacer.next_ns();
                if next > now {
                    self.idle(next.min(until.unwrap_or(u64::MAX)), now);
                    continue;
                }
            }
            let batch = BATCH.min(usize::try_from(limit - frames).unwrap_or(BATCH));
            let mut queued = 0;
            for _ in 0..batch {
                let due = match &pacer {
                    None => now,
                    Some(pacer) => pacer.next_ns(),
                };
                if due > now || until.is_some_and(|until| due >= until) {
                    break;
                }
                let Some(len) = self.maker.send(self.device, self.queue, kind, now) else {
                    self.ring_full += 1;
                    break;
                };
                if let Some(pacer) = &mut pacer {
                    self.lateness.record(now - due);
                    pacer.sent(len + FCS_LEN);
                }
                bytes += len as u64;
                queued += 1;
            }
            self.device.flush();
            if queued == 0 && pacer.is_none() {
                // The wire is what is waited for. Who makes room there, a pump for one, may share this core.
                std::thread::yield_now();
            }
            frames += queued;
            if kind == Kind::Data {
                self.gauge.frames.store(frames, Ordering::Relaxed);
                self.gauge.bytes.store(bytes, Ordering::Relaxed);
            }
        }
        (frames, bytes)
    }

    /// What has come meanwhile.
    #[inline]
    fn receive(&mut self) {
        if let Some(receiver) = &mut self.receiver
            && receiver.poll(self.device, Some(self.maker)) > 0
        {
            self.device.flush();
        }
    }

    /// Nothing is due before `next`.
    fn idle(&mut self, next: u64, now: u64) {
        if self.device.has_unsent() {
            self.device.flush();
        } else if !self.plan.spin && self.receiver.is_none() && next - now > WORTH_SLEEPING_NS {
            std::thread::sleep(Duration::from_nanos((next - now - WAKE_AHEAD_NS).min(50_000_000)));
        } else {
            std::hint::spin_loop();
        }
    }
}

fn wait_until(start_ns: u64, spin: bool, gauge: &TransmitGauge) {
    loop {
        let now = now_ns();
        if now >= start_ns || gauge.stop.load(Ordering::Relaxed) {
            return;
        }
        if !spin && start_ns - now > WORTH_SLEEPING_NS {
            std::thread::sleep(Duration::from_nanos((start_ns - now - WAKE_AHEAD_NS).min(20_000_000)));
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Flushes until the kernel has taken everything, within limits.
fn drain(device: &mut dyn Device) -> bool {
    let give_up = now_ns() + DRAIN_NS;
    loop {
        device.flush();
        if !device.has_unsent() {
            return true;
        }
        if now_ns() > give_up {
            return false;
        }
        std::thread::yield_now();
    }
}

/// The counters since an earlier reading.
pub(crate) fn since(now: DeviceStats, before: DeviceStats) -> DeviceStats {
    DeviceStats {
        rx_packets: now.rx_packets - before.rx_packets,
        tx_packets: now.tx_packets - before.tx_packets,
        rx_bytes: now.rx_bytes - before.rx_bytes,
        tx_bytes: now.tx_bytes - before.tx_bytes,
        rx_dropped: now.rx_dropped - before.rx_dropped,
        rx_invalid_descs: now.rx_invalid_descs - before.rx_invalid_descs,
        rx_unexpected: now.rx_unexpected - before.rx_unexpected,
        rx_ring_full: now.rx_ring_full - before.rx_ring_full,
        fill_ring_empty: now.fill_ring_empty - before.fill_ring_empty,
        tx_invalid_descs: now.tx_invalid_descs - before.tx_invalid_descs,
        tx_ring_empty: now.tx_ring_empty - before.tx_ring_empty,
        tx_ring_full: now.tx_ring_full - before.tx_ring_full,
        kicks: now.kicks - before.kicks,
        tx_pumped: now.tx_pumped - before.tx_pumped,
        kick_errors: now.kick_errors - before.kick_errors,
    }
}
