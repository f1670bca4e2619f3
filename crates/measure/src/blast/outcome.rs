//! From what the workers counted to the result document.

use std::collections::BTreeMap;

use super::bench::{Bench, IntervalSample, SideReport, TrialReport};
use super::judge;
use super::sequence::SequenceCounts;
use crate::histogram::{Merge, NanoHistogram};
use crate::result::{InterfaceCounters, Interval, RunResult, Totals, metric};
use crate::verdict::machine::NOT_TAKEN;

/// One direction: from the senders of one side to the receivers of the other.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Frames sent that count, and their bytes without FCS.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
    /// Frames received intact, duplicates among them, and their bytes.
    pub received: u64,
    /// See `received`.
    pub received_bytes: u64,
    /// What became of them.
    pub counts: SequenceCounts,
    /// Frames that arrived damaged.
    pub damaged: u64,
    /// Frames that never arrived, in whatever state. `None` where it is not known how many were sent.
    pub lost: Option<u64>,
    /// Times of flight.
    pub one_way: NanoHistogram,
    /// Frames without our signature.
    pub foreign: u64,
    /// Frames that seem to have come before they were sent.
    pub from_the_future: u64,
    /// How late frames left.
    pub lateness: NanoHistogram,
    /// Schedule lost for good, in nanoseconds, of the worker that lost most.
    pub lost_time_ns: u64,
    /// Whether the kernel took all that was given to it.
    pub drained: bool,
}

impl Flow {
    /// What went from one side to the other. Without one of them only the other's part is known.
    pub fn between(from: Option<&SideReport>, to: Option<&SideReport>) -> Flow {
        let mut flow = Flow { drained: true, ..Flow::default() };
        for sent in from.iter().flat_map(|side| &side.sent) {
            flow.sent += sent.frames;
            flow.sent_bytes += sent.bytes;
            flow.lateness.merge(&sent.lateness);
            flow.lost_time_ns = flow.lost_time_ns.max(sent.lost_time_ns);
            flow.drained &= sent.drained;
        }
        let mut announced = Some(0u64);
        let mut highest = 0;
        for received in to.iter().flat_map(|side| &side.received) {
            flow.received += received.frames;
            flow.received_bytes += received.bytes;
            flow.damaged += received.damaged;
            flow.foreign += received.foreign;
            flow.from_the_future += received.from_the_future;
            flow.one_way.merge(&received.one_way);
            for stream in &received.streams {
                flow.counts = flow.counts.plus(stream.counts);
                announced = announced.zip(stream.sent).map(|(sum, sent)| sum + sent);
                highest += stream.next;
            }
        }
        let known = match (from, to) {
            (_, None) => None,
            (Some(from), _) if !from.sent.is_empty() => Some(flow.sent),
            // Without the senders: what they said at their end, or else the highest number seen of each.
            _ => Some(announced.unwrap_or(highest).max(highest)),
        };
        // A damaged frame arrived, though its number cannot be believed.
        flow.lost =
            known.map(|sent| sent.saturating_sub(flow.counts.unique + flow.counts.too_late + flow.damaged));
        if from.is_none_or(|side| side.sent.is_empty()) {
            flow.sent = known.unwrap_or(0);
        }
        flow
    }

    /// Share of the frames sent that did not arrive intact, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        let missing = self.lost.unwrap_or(0) + self.damaged;
        if self.sent == 0 { 0.0 } else { missing as f64 / self.sent as f64 }
    }

    /// Adds its counts to totals.
    pub fn add_to(&self, totals: &mut Totals, sends: bool, receives: bool) {
        let add = |to: &mut Option<u64>, more: u64| *to = Some(to.unwrap_or(0) + more);
        if sends {
            add(&mut totals.packets_sent, self.sent);
            add(&mut totals.wire_bytes_sent, self.sent_bytes);
        }
        if receives {
            add(&mut totals.packets_received, self.received);
            add(&mut totals.wire_bytes_received, self.received_bytes);
            add(&mut totals.packets_reordered, self.counts.reordered);
            add(&mut totals.packets_duplicated, self.counts.duplicates);
            add(&mut totals.packets_corrupt, self.damaged);
            add(&mut totals.packets_lost, self.lost.unwrap_or(0));
        }
    }
}

/// Fills in what a trial counted: totals, rates, distributions, intervals, drops, the kernel's counters, and how a schedule of
/// `intended` frames a second, if there was one, was kept.
pub fn fill(
    result: &mut RunResult,
    bench: &Bench,
    report: &TrialReport,
    flows: &[Flow],
    intended: Option<f64>,
) {
    let sends = report.sides.iter().any(|side| !side.sent.is_empty());
    let receives = report.sides.iter().any(|side| !side.received.is_empty());
    let (mut one_way, mut lateness) = (NanoHistogram::new(), NanoHistogram::new());
    for flow in flows {
        flow.add_to(&mut result.totals, sends, receives);
        one_way.merge(&flow.one_way);
        lateness.merge(&flow.lateness);
    }
    for (name, histogram) in [(metric::ONE_WAY, &one_way), (metric::LATENESS, &lateness)] {
        if !histogram.is_empty() {
            result.latency.insert(name.to_owned(), histogram.summary(true));
        }
    }
    result.intervals =
        report.intervals.iter().map(|sample| interval(sample, sends, receives, true)).collect();
    for (side, port) in report.sides.iter().zip(&bench.ports) {
        count_drops(&mut result.drops, side);
        result.interfaces.push(InterfaceCounters {
            interface: port.facts().name.clone(),
            netns: port.netns().map(str::to_owned),
            kernel_packets_received: side.kernel.rx_packets,
            kernel_bytes_received: side.kernel.rx_bytes,
            kernel_drops_received: side.kernel.rx_dropped,
            kernel_packets_sent: side.kernel.tx_packets,
            kernel_bytes_sent: side.kernel.tx_bytes,
            kernel_drops_sent: side.kernel.tx_dropped,
            packets_received: side.device.rx_packets,
            packets_sent: side.device.tx_packets - side.device.tx_invalid_descs,
            steering: side.verdicts.iter().cloned().collect(),
        });
    }
    flows.iter().for_each(|flow| count_not_taken(&mut result.drops, flow));
    if sends {
        result.generator = intended.map(|rate| judge::generator(flows, rate, report.seconds));
    }
    result.finish(report.seconds);
}

/// An interval of the document.
pub fn interval(sample: &IntervalSample, sends: bool, receives: bool, keep: bool) -> Interval {
    let mut totals = Totals::default();
    if sends {
        (totals.packets_sent, totals.wire_bytes_sent) = (Some(sample.sent), Some(sample.sent_bytes));
    }
    if receives {
        (totals.packets_received, totals.wire_bytes_received) =
            (Some(sample.received), Some(sample.received_bytes));
    }
    let mut interval = Interval::new(sample.start_seconds, sample.end_seconds, totals);
    if !sample.one_way.is_empty() {
        interval.latency.insert(metric::ONE_WAY.to_owned(), sample.one_way.interval_latency(keep));
    }
    interval
}

pub(crate) fn count_drops(drops: &mut BTreeMap<String, u64>, side: &SideReport) {
    let device = &side.device;
    let causes = [
        ("rx_ring_full", device.rx_ring_full),
        ("rx_dropped", device.rx_dropped),
        ("rx_invalid_descs", device.rx_invalid_descs),
        ("tx_invalid_descs", device.tx_invalid_descs),
        ("tx_ring_full", device.tx_ring_full),
    ];
    let steered = side.verdicts.iter().filter(|(cause, _)| cause.starts_with("drop_"));
    for (cause, count) in causes.into_iter().chain(steered.map(|(cause, count)| (cause.as_str(), *count))) {
        if count > 0 {
            *drops.entry(cause.to_owned()).or_default() += count;
        }
    }
}

/// Of frames that the kernel never took it is known that there are some, not how many.
pub(super) fn count_not_taken(drops: &mut BTreeMap<String, u64>, flow: &Flow) {
    if !flow.drained {
        *drops.entry(NOT_TAKEN.to_owned()).or_default() += 1;
    }
}
