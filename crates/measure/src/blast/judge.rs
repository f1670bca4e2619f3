//! Whether to believe what was counted, and what a reader should know beside it.

use super::bench::{Bench, TrialPlan, TrialReport};
use super::outcome::Flow;
use super::pacer::Rate;
use crate::result::{Conditions, Reason, ReasonCode, RunResult, Verdict};

/// Of a rate asked for, what a generator must reach for the result to be about it.
pub const REACHED: f64 = 0.99;
/// How late the slowest hundredth of the frames may leave.
const MAX_LATENESS_NS: u64 = 1_000_000;

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

/// What speaks against a trial. `mean_size` in bytes, FCS included.
pub fn verdict(flow: &Flow, rate: Rate, mean_size: f64, report: &TrialReport, workers: usize) -> Verdict {
    let mut verdict =
        Verdict { checked: vec![ReasonCode::RingsFull, ReasonCode::Drops], ..Verdict::default() };
    let mut against = |code, message: String, measured: f64, limit: f64, unit: &str| {
        let unit = Some(unit.to_owned());
        verdict.reasons.push(Reason { code, message, measured: Some(measured), limit: Some(limit), unit });
    };
    let sends = report.sides.iter().any(|side| !side.sent.is_empty());
    if let Some(asked) = rate.frames_per_second(mean_size).filter(|_| sends && report.seconds > 0.0) {
        let reached = flow.sent as f64 / report.seconds;
        if reached < asked * REACHED {
            let message = format!(
                "the generator reached {reached:.0} of {asked:.0} frames/s: use more workers (-P, {workers} now) or ask for less"
            );
            against(ReasonCode::GeneratorBehind, message, reached, asked * REACHED, "packets_per_second");
        }
        let late = flow.lateness.quantile(0.99);
        if late > MAX_LATENESS_NS {
            let message =
                "one frame in a hundred left later than planned: something else had its core".into();
            against(ReasonCode::GeneratorLate, message, late as f64, MAX_LATENESS_NS as f64, "nanoseconds");
        }
    }
    for side in report.sides.iter().filter(|side| !side.received.is_empty()) {
        let full = side.device.rx_ring_full + side.device.rx_dropped;
        if full > 0 {
            let message =
                "frames were lost at our own receive ring: the receiver was too slow, not the wire".into();
            against(ReasonCode::RingsFull, message, full as f64, 0.0, "packets");
        }
    }
    if !flow.drained {
        let message = "the kernel did not take all that was given to it: is the interface still up?".into();
        against(ReasonCode::Drops, message, 1.0, 0.0, "count");
    }
    if rate != Rate::Wire && sends {
        verdict.checked.extend([ReasonCode::GeneratorBehind, ReasonCode::GeneratorLate]);
    }
    verdict.valid = verdict.reasons.is_empty();
    verdict
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
