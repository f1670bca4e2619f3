//! Parts of a result: processor time, the generator, intervals, steps and classes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HistogramSummary, IntervalLatency, Rates, Totals, Verdict, finite};

/// Processor time of this process during the measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cpu {
    /// In user space, seconds, all threads.
    pub user_seconds: f64,
    /// In the kernel on our behalf, seconds, all threads. Interrupts are not in it.
    pub system_seconds: f64,
    /// Both.
    pub total_seconds: f64,
    /// Processor seconds for 10^9 bytes of payload, sent and received together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_per_gigabyte: Option<f64>,
    /// The workers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerCpu>,
}

impl Cpu {
    /// Time spent in user space and in the kernel.
    pub fn new(user_seconds: f64, system_seconds: f64) -> Cpu {
        Cpu { user_seconds, system_seconds, total_seconds: user_seconds + system_seconds, ..Cpu::default() }
    }

    /// Fills in what a gigabyte has cost.
    pub fn per_gigabyte(&mut self, totals: &Totals) {
        let bytes = totals.bytes_sent.unwrap_or(0) + totals.bytes_received.unwrap_or(0);
        self.seconds_per_gigabyte = finite(self.total_seconds / (bytes as f64 / 1e9)).filter(|_| bytes > 0);
    }
}

/// One worker of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkerCpu {
    /// Its number, from 0.
    pub worker: u32,
    /// The processor that it is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<u32>,
    /// Share of its time in which it had work to do, 0 to 1. A worker that spins is busy only while there is work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_ratio: Option<f64>,
    /// Share of its time in which it wanted to run and could not, because somebody else used its processor, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_ratio: Option<f64>,
    /// Times it found its transmit ring full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_ring_full: Option<u64>,
    /// Packets lost because its receive ring was full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_ring_full: Option<u64>,
}

/// How the load generator kept its schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Generator {
    /// `constant` or `poisson`.
    pub schedule: String,
    /// Seed of the schedule, where it is random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What was asked for, per second.
    pub intended_per_second: f64,
    /// What was due within the measurement.
    pub intended: u64,
    /// Of that, what was begun.
    pub started: u64,
    /// Of that, what had nothing to be begun on: no connection was free until the end.
    pub not_started: u64,
    /// How much later than planned it was begun where a connection was free: the generator's own fault, not the peer's.
    pub lateness: HistogramSummary,
}

/// A slice of the measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Interval {
    /// Its start, seconds from the start of the measurement. Negative during warm-up.
    pub start_seconds: f64,
    /// Its end.
    pub end_seconds: f64,
    /// Counts in it.
    pub totals: Totals,
    /// Counts by second in it.
    pub rates: Rates,
    /// Distributions of what ended in it, by name.
    pub latency: BTreeMap<String, IntervalLatency>,
    /// Packets not used in it, by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<String, u64>,
}

impl Interval {
    /// The slice from `start_seconds` to `end_seconds`, with the rates that follow from its counts.
    pub fn new(start_seconds: f64, end_seconds: f64, totals: Totals) -> Interval {
        let rates = Rates::of(&totals, end_seconds - start_seconds);
        Interval { start_seconds, end_seconds, totals, rates, ..Interval::default() }
    }
}

/// A step of a ramp, or a trial of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Step {
    /// What the step is about, for people: `50,000 requests/s`, `64 bytes at 40 %`.
    pub name: String,
    /// Intended rate, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intended_per_second: Option<f64>,
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Size of a frame, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_bytes: Option<u32>,
    /// Its start, seconds from the start of the measurement.
    pub start_seconds: f64,
    /// Its end.
    pub end_seconds: f64,
    /// Counts in it.
    pub totals: Totals,
    /// Counts by second in it.
    pub rates: Rates,
    /// Distributions, by name.
    pub latency: BTreeMap<String, HistogramSummary>,
    /// Packets not used in it, by cause.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<String, u64>,
    /// Whether to believe it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// A part of the load that is told apart from the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Class {
    /// `4 KiB` … `256 MiB`, a URL, a method.
    pub name: String,
    /// Size that all of its members have, or the smallest of them, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// The largest of them, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Counts of it.
    pub totals: Totals,
    /// Counts by second.
    pub rates: Rates,
    /// Distributions, by name.
    pub latency: BTreeMap<String, HistogramSummary>,
}

/// The kernel's own counters of an interface over the whole run, warm-up and control frames included: what another
/// observer says of the same frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InterfaceCounters {
    /// The interface.
    pub interface: String,
    /// Its namespace, if it is in one of `ip netns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Packets received, by the kernel's count.
    pub kernel_packets_received: u64,
    /// Bytes received, by the kernel's count.
    pub kernel_bytes_received: u64,
    /// Packets that the kernel says it dropped on the way in.
    pub kernel_drops_received: u64,
    /// Packets sent, by the kernel's count.
    pub kernel_packets_sent: u64,
    /// Bytes sent, by the kernel's count.
    pub kernel_bytes_sent: u64,
    /// Packets that the kernel says it dropped on the way out.
    pub kernel_drops_sent: u64,
    /// Packets that we received there, of whatever kind.
    pub packets_received: u64,
    /// Packets that we sent there, of whatever kind.
    pub packets_sent: u64,
    /// What the steering program decided, by cause: packets that it left to the kernel or dropped are not ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub steering: BTreeMap<String, u64>,
}

/// What RFC 2544 asks of one frame size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FrameSizeResult {
    /// Size of the frames, bytes, FCS included.
    pub frame_bytes: u32,
    /// The highest rate that was tried, in each direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_offered_frames_per_second: Option<f64>,
    /// Section 26.1: the highest rate without loss, or without more than what was tolerated, in each direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_frames_per_second: Option<f64>,
    /// The same in bits of Ethernet frames, FCS included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_bits_per_second: Option<f64>,
    /// `device`: more is lost. `generator`: more was not sent, and the device may carry more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_limited_by: Option<String>,
    /// Section 26.2: times of flight at the throughput, of every frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<HistogramSummary>,
    /// Section 26.3: loss at ever lower rates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frame_loss: Vec<FrameLoss>,
    /// Section 26.4: frames of the longest burst without loss, mean of the repetitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to_back_frames: Option<f64>,
}

/// A point of the loss curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FrameLoss {
    /// The rate as a share of the highest, 0 to 1.
    pub rate_ratio: f64,
    /// What was really offered, in each direction.
    pub offered_frames_per_second: f64,
    /// Share of the frames that did not arrive intact, 0 to 1.
    pub loss_ratio: f64,
}
