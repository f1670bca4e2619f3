//! The cycle account of a run in its result and in words: where the time of the engine's workers went.

use std::collections::BTreeMap;

use bypath::{EngineStats, Phase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::percent;

/// Where the time of all workers together went, of a run with `--profile`. One round of a worker's loop in 61 is timed;
/// the phases are these rounds' parts of the busy time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Profile {
    /// Time in which there was something to do, seconds.
    pub busy_seconds: f64,
    /// Time in which there was nothing to do, whether the workers spun or slept, seconds.
    pub idle_seconds: f64,
    /// Packets received and sent.
    pub packets: u64,
    /// Rounds that were timed.
    pub rounds_timed: u64,
    /// By name: `receive`, `parse`, `look_up`, `tcp`, `application`, `transmit`, `kick`.
    pub phases: BTreeMap<String, PhaseTime>,
}

/// What one phase took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PhaseTime {
    /// Of the busy time, 0 to 1.
    pub ratio: f64,
    /// Seconds, all workers together.
    pub seconds: f64,
    /// Nanoseconds for a packet, received or sent.
    pub ns_per_packet: f64,
}

impl Profile {
    /// What the engine's workers have kept; none where no account was asked for.
    pub fn of(stats: &EngineStats) -> Option<Profile> {
        let mut profile = Profile::default();
        let mut kept = false;
        for worker in &stats.workers {
            profile.busy_seconds += worker.busy_ns as f64 / 1e9;
            profile.idle_seconds += worker.idle_ns as f64 / 1e9;
            profile.packets += worker.rx_packets() + worker.tx_packets();
            let Some(account) = &worker.account else { continue };
            kept = true;
            profile.rounds_timed += account.rounds;
            for phase in Phase::ALL {
                let time = profile.phases.entry(phase.name().to_owned()).or_default();
                time.seconds += account.share(phase) * worker.busy_ns as f64 / 1e9;
            }
        }
        let (busy, packets) = (profile.busy_seconds, profile.packets as f64);
        for time in profile.phases.values_mut() {
            time.ratio = if busy > 0.0 { time.seconds / busy } else { 0.0 };
            time.ns_per_packet = if packets > 0.0 { time.seconds * 1e9 / packets } else { 0.0 };
        }
        kept.then_some(profile)
    }

    /// A table, a line for each phase.
    pub fn table(&self) -> String {
        let all = self.busy_seconds + self.idle_seconds;
        let share = |seconds: f64| percent(if all > 0.0 { seconds / all } else { 0.0 });
        let mut text = String::from("  time of the workers     share    ns a packet\n");
        for phase in Phase::ALL {
            let time = self.phases.get(phase.name()).cloned().unwrap_or_default();
            let name = phase.name().replace('_', "-");
            text.push_str(&format!("    {name:<18}{:>9}{:>14.1}\n", share(time.seconds), time.ns_per_packet));
        }
        text.push_str(&format!("    {:<18}{:>9}\n", "idle", share(self.idle_seconds)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_account_there_is_no_profile() {
        assert_eq!(Profile::of(&EngineStats::default()), None);
    }

    #[test]
    fn the_table_has_every_phase_and_idleness() {
        let time = PhaseTime { ratio: 0.5, seconds: 1.0, ns_per_packet: 123.44 };
        let profile = Profile {
            busy_seconds: 2.0,
            idle_seconds: 2.0,
            packets: 8,
            rounds_timed: 1,
            phases: [("tcp".to_owned(), time)].into(),
        };
        let table = profile.table();
        for name in ["receive", "parse", "look-up", "tcp", "application", "transmit", "kick", "idle"] {
            assert!(table.contains(name), "{table}");
        }
        assert!(table.contains("123.4") && table.contains("25"), "{table}");
    }
}
