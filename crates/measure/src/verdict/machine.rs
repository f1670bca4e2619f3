//! Did our own machine have the time, the rings, the clock and the mode that the figures need?

use super::{Expectations, Findings, Told, limit, ratio};
use crate::result::{ReasonCode, RunResult};
use crate::text::{count, duration_ns, percent};

/// Packets that were given to the kernel and that it never took.
pub(crate) const NOT_TAKEN: &str = "tx_not_taken";

/// Drops that are losses at the rings between the NIC and us.
/// `fill_ring_empty` is none of them: in copy mode each of those is an `rx_dropped` as well, and else it counts looks into the
/// ring, not packets.
const RINGS: [&str; 3] = ["rx_ring_full", "rx_dropped", "tx_ring_full"];

/// Drops that our own end makes for want of room or time. Others are about what somebody has sent to us.
const OWN: [&str; 9] = [
    "no_room",
    "handoff",
    "flow_table",
    "udp_queue",
    "backlog",
    "syn_queue",
    "too_long",
    "rx_invalid_descs",
    "tx_invalid_descs",
];

pub(super) fn check(result: &RunResult, expected: &Expectations, findings: &mut Findings) {
    lost_at_our_end(result, findings);
    processors(result, expected, findings);
    clock(result, findings);
    modes(result, expected, findings);
}

/// Packets that have passed our end, as far as they were counted.
fn packets(result: &RunResult) -> u64 {
    let of = |name: &str| result.totals.get(name);
    let packets = of("packets_sent").unwrap_or(0) + of("packets_received").unwrap_or(0);
    let segments = of("segments_sent").unwrap_or(0) + of("segments_received").unwrap_or(0);
    packets.max(segments)
}

fn lost_at_our_end(result: &RunResult, findings: &mut Findings) {
    let packets = packets(result);
    if packets == 0 {
        return;
    }
    let not_taken = result.drops.get(NOT_TAKEN).copied().unwrap_or(0);
    findings.check(ReasonCode::Drops, not_taken > 0, || {
        let message = "the kernel did not take all that was given to it: is the interface still up?";
        Told::with(message.to_owned(), not_taken as f64, 0.0, "packets")
    });
    let among = |causes: &[&str]| -> Vec<(&str, u64)> {
        let seen = result.drops.iter().filter(|(cause, n)| **n > 0 && causes.contains(&cause.as_str()));
        seen.map(|(cause, n)| (cause.as_str(), *n)).collect()
    };
    let list = |drops: &[(&str, u64)]| {
        drops.iter().map(|(cause, n)| format!("{cause} {}", count(*n))).collect::<Vec<_>>().join(", ")
    };
    let sum = |drops: &[(&str, u64)]| drops.iter().map(|(_, n)| n).sum::<u64>();
    let rings = among(&RINGS);
    let share = ratio(sum(&rings), packets);
    findings.check(ReasonCode::RingsFull, share > limit::OWN_LOSS_RATIO, || {
        Told::with(
            format!(
                "packets were lost at our own rings ({}): use more queues and workers (-P), or a lower rate",
                list(&rings)
            ),
            share,
            limit::OWN_LOSS_RATIO,
            "ratio",
        )
    });
    let own = among(&OWN);
    let share = ratio(sum(&own), packets);
    findings.check(ReasonCode::Drops, share > limit::OWN_LOSS_RATIO, || {
        Told::with(
            format!(
                "our own end has dropped packets ({}): raise its limits, use more workers (-P), or a lower rate",
                list(&own)
            ),
            share,
            limit::OWN_LOSS_RATIO,
            "ratio",
        )
    });
}

fn processors(result: &RunResult, expected: &Expectations, findings: &mut Findings) {
    let workers = result.cpu.iter().flat_map(|cpu| &cpu.workers);
    let busiest =
        workers.clone().filter_map(|w| Some((w.busy_ratio?, w.worker))).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((busy, worker)) = busiest.filter(|_| !expected.own_end_is_measured) {
        findings.check(ReasonCode::CpuSaturated, busy > limit::BUSY_RATIO, || {
            Told::with(
                format!(
                    "worker {worker} was busy {} of its time: the generator, not the target, set the pace; use more workers (-P) \
                     on cores of their own, or a lower rate",
                    percent(busy)
                ),
                busy,
                limit::BUSY_RATIO,
                "ratio",
            )
        });
    }
    let waited =
        workers.filter_map(|w| Some((w.waiting_ratio?, w.worker))).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((waiting, worker)) = waited {
        findings.check(ReasonCode::CpuShared, waiting > limit::WAITING_RATIO, || {
            Told::with(
                format!(
                    "worker {worker} waited {} of its time for a processor that others used: give it one of its own (--cores)",
                    percent(waiting)
                ),
                waiting,
                limit::WAITING_RATIO,
                "ratio",
            )
        });
    }
    if let Some(load) = &result.conditions.machine_load {
        findings.check(ReasonCode::CpuShared, load.stolen_ratio > limit::STOLEN_RATIO, || {
            Told::with(
                format!(
                    "the hypervisor took {} of the processors away: measure on a machine that is not shared",
                    percent(load.stolen_ratio)
                ),
                load.stolen_ratio,
                limit::STOLEN_RATIO,
                "ratio",
            )
        });
    }
}

fn clock(result: &RunResult, findings: &mut Findings) {
    let Some(clock) = &result.conditions.clock else { return };
    let remedy = "see dmesg for the clock source, and stop what adjusts the time while measuring";
    findings.check(ReasonCode::ClockUnstable, clock.backward_steps > 0, || {
        let steps = clock.backward_steps;
        Told::with(
            format!("the clock went backwards {} times: {remedy}", count(steps)),
            steps as f64,
            0.0,
            "count",
        )
    });
    let jump = clock.largest_jump_ns as f64;
    findings.check(ReasonCode::ClockUnstable, jump > limit::JUMP_NS, || {
        let message = format!("the clock jumped by {}: {remedy}", duration_ns(jump));
        Told::with(message, jump, limit::JUMP_NS, "nanoseconds")
    });
    let drift = clock.drift_ppm.abs();
    findings.check(ReasonCode::ClockUnstable, drift > limit::DRIFT_PPM, || {
        let message = format!("the clock departs from the hardware's by {drift:.0} ppm: {remedy}");
        Told::with(message, drift, limit::DRIFT_PPM, "parts per million")
    });
}

fn modes(result: &RunResult, expected: &Expectations, findings: &mut Findings) {
    let conditions = &result.conditions;
    let pairs = [
        ("the sockets are bound in mode", &expected.mode, &conditions.mode),
        ("the steering program runs in mode", &expected.xdp, &conditions.xdp),
        ("frames leave by the path", &expected.transmit_path, &conditions.transmit_path),
    ];
    for (what, asked, found) in pairs {
        let (Some(asked), Some(found)) = (asked, found) else { continue };
        findings.check(ReasonCode::WrongMode, asked != found, || {
            Told::plain(format!(
                "{what} \"{found}\", and \"{asked}\" was asked for: ask for what this NIC and its driver have, or leave it to \"auto\""
            ))
        });
    }
}
