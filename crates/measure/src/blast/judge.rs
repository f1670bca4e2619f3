//! What a judge needs to know of raw frames, and what a reader should know beside it. The judging itself, with its limits, is
//! that of all results: [`crate::verdict`].

use super::bench::{Bench, TrialPlan, TrialReport};
use super::outcome::{self, Flow};
use super::pacer::Rate;
use crate::histogram::{Merge, NanoHistogram};
use crate::result::{Conditions, Generator, RunResult, Verdict};
use crate::verdict::Expectations;

/// Fills in what the interfaces say of themselves.
pub fn conditions(bench: &Bench, conditions: &mut Conditions) {
    let Some(port) = bench.ports.first() else { return };
    let facts = port.facts();
    conditions.kernel = Some(facts.kernel.clone());
    conditions.interface = Some(facts.name.clone());
    conditions.driver = Some(facts.driver.clone());
    conditions.mtu = Some(facts.mtu);
    conditions.offloads = facts.offloads.iter().cloned().collect();
    conditions.cores = bench.cores.iter().map(|core| *core as u32).collect();
    conditions.cores_available = std::thread::available_parallelism().ok().map(|n| n.get() as u32);
    conditions.transmit_path = Some("ring".to_owned());
    crate::conditions::machine(conditions);
    if let Some(info) = port.info() {
        // A device that is copied for at one end is not zero-copy.
        let worst = bench.ports.iter().filter_map(|port| port.info()).map(|info| info.mode);
        let copies = worst.into_iter().any(|mode| mode == bypath_xdp::Bound::Copy);
        conditions.mode = Some(if copies { "copy".to_owned() } else { info.mode.to_string() });
        conditions.xdp = Some(info.attach.to_string());
    }
    conditions.queues =
        port.devices.iter().flat_map(|device| bypath_xdp::Device::info(device).queues.clone()).collect();
}

/// By which way frames left, and what the pump says of itself.
pub fn transmitted(result: &mut RunResult, bench: &Bench, report: &TrialReport) {
    let Some(side) = report.sides.iter().find(|side| side.device.tx_packets > 0) else { return };
    let path = match side.device.tx_pumped {
        0 => "ring",
        pumped if pumped == side.device.tx_packets => "pump",
        _ => "ring+pump",
    };
    result.conditions.transmit_path = Some(path.to_owned());
    for port in &bench.ports {
        if let Some(reason) = port.without_pump() {
            result.notes.push(format!("no pump: {reason}"));
        }
        let Some(pump) = port.pump_stats() else { continue };
        result.notes.extend(pump.trouble.map(|trouble| format!("the pump: {trouble}")));
        for (cause, count) in [("pump_dropped", pump.dropped), ("pump_refused", pump.refused)] {
            if count > 0 {
                *result.drops.entry(cause.to_owned()).or_default() += count;
            }
        }
    }
}

/// What is expected of raw frames: no more than what [`crate::verdict`] always looks at.
pub fn expectations() -> Expectations {
    Expectations { raw_frames: true, ..Expectations::default() }
}

/// How senders kept a schedule of so many frames a second.
pub fn generator(flows: &[Flow], per_second: f64, seconds: f64) -> Generator {
    let mut lateness = NanoHistogram::new();
    flows.iter().for_each(|flow| lateness.merge(&flow.lateness));
    let started: u64 = flows.iter().map(|flow| flow.sent).sum();
    // Each direction has the rate.
    let due = flows.iter().map(|flow| ((per_second * seconds) as u64).max(flow.sent)).sum::<u64>();
    Generator {
        schedule: "constant".to_owned(),
        seed: None,
        intended_per_second: per_second,
        intended: due,
        started,
        not_started: due - started,
        lateness: lateness.summary(false),
    }
}

/// What speaks against a trial that is a part of a result. `intended` in frames a second, if there was a rate.
pub fn verdict(flows: &[Flow], intended: Option<f64>, report: &TrialReport) -> Verdict {
    let mut trial = RunResult::new("trial", env!("CARGO_PKG_VERSION"));
    for flow in flows {
        flow.add_to(&mut trial.totals, true, true);
    }
    report.sides.iter().for_each(|side| outcome::count_drops(&mut trial.drops, side));
    flows.iter().for_each(|flow| outcome::count_not_taken(&mut trial.drops, flow));
    trial.generator = intended.map(|per_second| generator(flows, per_second, report.seconds));
    crate::verdict::judge(&trial, &expectations())
}

/// What a reader should know.
pub fn notes(result: &mut RunResult, flow: &Flow, plan: &TrialPlan, report: &TrialReport) {
    if flow.foreign > 0 {
        let what = "frames without our signature arrived, and were not counted among the received";
        result.notes.push(format!("{} {what}", flow.foreign));
    }
    if flow.counts.too_late > 0 {
        let what = "frames came too late to tell whether they had come before";
        result.notes.push(format!("{} {what}", flow.counts.too_late));
    }
    if flow.from_the_future > 0 {
        let what = "frames seem to have arrived before they were sent: the clocks of both ends differ";
        result.notes.push(format!("{} {what}", flow.from_the_future));
    }
    if flow.lost_time_ns > 0 && plan.rate != Rate::Wire {
        let ms = flow.lost_time_ns as f64 / 1e6;
        result.notes.push(format!("the generator stood still for {ms:.1} ms that it did not catch up with"));
    }
    for side in report.sides.iter().filter(|side| !side.received.is_empty()) {
        let passed: u64 =
            side.verdicts.iter().filter(|(cause, _)| cause.starts_with("pass_")).map(|(_, n)| n).sum();
        if passed > 0 {
            result.notes.push(format!(
                "{passed} frames arrived that were not steered to us, and stayed the kernel's"
            ));
        }
    }
}
