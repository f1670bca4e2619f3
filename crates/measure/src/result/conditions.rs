//! What a run ran on. A figure without its conditions is worth nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine, the interface and the engine. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Conditions {
    /// Release of the running kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Model of the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Logical processors that this process may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_available: Option<u32>,
    /// What sets their frequency, such as `performance` or `powersave`; absent in most virtual machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Whether a hypervisor is below this kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_machine: Option<bool>,
    /// Processors of the workers, one each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u32>,
    /// Who ran TCP at our end: `engine` or `kernel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// How the AF_XDP sockets are bound, read back from the kernel: `zerocopy`, `copy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Where the steering program runs: `native`, `generic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdp: Option<String>,
    /// Whether the packet memory lies on huge pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub huge_pages: Option<bool>,
    /// By which way frames left: `ring`, `pump`, or some by each, `ring+pump`. While a run goes on, what was asked for:
    /// also `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_path: Option<String>,
    /// Largest IP packet, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Queues served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<u32>,
    /// Offloads of the interface that change what AF_XDP or a peer sees, by ethtool's names, and whether they are on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offloads: BTreeMap<String, bool>,
    /// Congestion control: `cubic`, `newreno`, `bbr`, `dctcp`, `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion_control: Option<String>,
    /// With congestion control `none`, the window that nothing moves. Such figures tell nothing of a shared network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_window_bytes: Option<u32>,
    /// The clock by which times were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// What else the machine was doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_load: Option<MachineLoad>,
}

/// The clock by which times were taken, CLOCK_MONOTONIC, and how it behaved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Clock {
    /// What the kernel makes its time of: `tsc`, `kvm-clock`, `hpet` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Smallest step that was seen between two readings, nanoseconds: no latency is known better than this.
    pub resolution_ns: u64,
    /// What one reading costs, nanoseconds.
    pub read_cost_ns: f64,
    /// Readings that lay before the one taken ahead of them.
    pub backward_steps: u64,
    /// How far the clock departed from CLOCK_MONOTONIC_RAW, which nobody adjusts, parts per million.
    pub drift_ppm: f64,
    /// Largest jump against CLOCK_MONOTONIC_RAW between two looks, nanoseconds.
    pub largest_jump_ns: u64,
}

/// What else the machine was doing, without this process, while the run lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MachineLoad {
    /// Processes ready to run, average of the minute before the run.
    pub load_average_1_minute: f64,
    /// Share of all processors' time that other processes used, 0 to 1.
    pub other_processes_ratio: f64,
    /// Share of all processors' time that the hypervisor gave to others, 0 to 1.
    pub stolen_ratio: f64,
}
