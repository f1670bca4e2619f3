use super::{Expectations, judge, judge_into, limit};
use crate::histogram::NanoHistogram;
use crate::result::{
    Clock, Cpu, ErrorCode, Generator, HistogramSummary, Interval, MachineLoad, ReasonCode, RunResult,
    RunState, Spread, Totals, WorkerCpu,
};

fn histogram(count: u64, ns: u64) -> HistogramSummary {
    let mut histogram = NanoHistogram::new();
    histogram.record_n(ns, count);
    histogram.summary(false)
}

/// A run at which nothing is wrong and everything was measured.
fn good() -> RunResult {
    let mut result = RunResult::new("load", "0.1.0");
    result.totals = Totals {
        requests: Some(100_000),
        requests_failed: Some(0),
        connections_opened: Some(100),
        connections_failed: Some(0),
        bytes_sent: Some(6_400_000),
        bytes_corrupt: Some(0),
        segments_sent: Some(110_000),
        segments_received: Some(110_000),
        segments_retransmitted: Some(0),
        packets_sent: Some(110_000),
        packets_lost: Some(0),
        ..Totals::default()
    };
    result.latency.insert("request".to_owned(), histogram(100_000, 200_000));
    result.generator = Some(Generator {
        intended: 100_000,
        started: 100_000,
        lateness: histogram(100_000, 3_000),
        ..Generator::default()
    });
    let worker = WorkerCpu { busy_ratio: Some(0.5), waiting_ratio: Some(0.001), ..WorkerCpu::default() };
    result.cpu = Some(Cpu { workers: vec![worker], ..Cpu::new(5.0, 1.0) });
    result.conditions.mode = Some("copy".to_owned());
    result.conditions.clock = Some(Clock::default());
    result.conditions.machine_load = Some(MachineLoad::default());
    let totals = Totals { requests: Some(10_000), ..Totals::default() };
    result.intervals =
        (0..10).map(|n| Interval::new(f64::from(n), f64::from(n + 1), totals.clone())).collect();
    result.finish(10.0);
    result
}

fn lossless() -> Expectations {
    Expectations { mode: Some("copy".to_owned()), lossless: true, ..Expectations::default() }
}

fn worker(result: &mut RunResult) -> &mut WorkerCpu {
    &mut result.cpu.as_mut().expect("processor time").workers[0]
}

/// What speaks against the good run after one change.
fn after(change: impl FnOnce(&mut RunResult)) -> Vec<ReasonCode> {
    let mut result = good();
    change(&mut result);
    let verdict = judge(&result, &lossless());
    assert_eq!(verdict.valid, verdict.reasons.is_empty());
    for reason in &verdict.reasons {
        assert!(verdict.checked.contains(&reason.code), "{reason:?}");
        assert!(reason.message.len() > 20, "{reason:?}");
        assert_eq!(reason.measured.is_some(), reason.unit.is_some(), "{reason:?}");
    }
    verdict.reasons.into_iter().map(|reason| reason.code).collect()
}

#[test]
fn a_run_at_which_nothing_is_wrong_is_valid() {
    assert_eq!(after(|_| ()), []);
    let checked = judge(&good(), &lossless()).checked;
    let expected = [
        ReasonCode::GeneratorLate,
        ReasonCode::GeneratorBehind,
        ReasonCode::RingsFull,
        ReasonCode::CpuSaturated,
        ReasonCode::CpuShared,
        ReasonCode::Drops,
        ReasonCode::ClockUnstable,
        ReasonCode::WrongMode,
        ReasonCode::UnexpectedLoss,
        ReasonCode::Corruption,
        ReasonCode::TooFewSamples,
        ReasonCode::Saturated,
        ReasonCode::Unsteady,
        ReasonCode::Errors,
        ReasonCode::Partial,
    ];
    assert_eq!(checked, expected);
}

#[test]
fn what_was_not_measured_is_not_checked() {
    let empty = RunResult::new("load", "0.1.0");
    let verdict = judge(&empty, &Expectations::default());
    assert_eq!((verdict.valid, verdict.checked), (true, vec![ReasonCode::Partial]));
}

#[test]
fn a_failed_run_has_no_verdict() {
    let mut failed = RunResult::failed("load", "0.1.0", ErrorCode::Refused, "refused");
    judge_into(&mut failed, &Expectations::default());
    assert_eq!(failed.verdict, None);
}

#[test]
fn a_generator_that_adds_a_tenth_to_the_p99_is_late() {
    let late =
        |ns| after(|result| result.generator.as_mut().expect("open loop").lateness = histogram(1_000, ns));
    assert_eq!(late(19_000), []);
    assert_eq!(late(21_000), [ReasonCode::GeneratorLate]);
}

#[test]
fn ten_microseconds_of_lateness_are_nobodys_fault() {
    let codes = after(|result| {
        result.latency.insert("request".to_owned(), histogram(100_000, 20_000));
        result.generator.as_mut().expect("open loop").lateness = histogram(1_000, 9_000);
    });
    assert_eq!(codes, []);
}

#[test]
fn raw_frames_may_leave_a_millisecond_late_and_arrive_damaged() {
    let codes = |ns, damaged| {
        let mut result = good();
        result.generator.as_mut().expect("open loop").lateness = histogram(1_000, ns);
        result.totals.packets_corrupt = Some(damaged);
        let expected = Expectations { raw_frames: true, ..Expectations::default() };
        judge(&result, &expected).reasons.into_iter().map(|reason| reason.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(999_000, 5), []);
    assert_eq!(codes(1_010_000, 0), [ReasonCode::GeneratorLate]);
}

#[test]
fn what_the_kernel_never_took_is_a_drop_however_little() {
    let codes = after(|result| result.drops.extend([("tx_not_taken".to_owned(), 1)]));
    assert_eq!(codes, [ReasonCode::Drops]);
}

#[test]
fn requests_never_begun_make_the_percentiles_too_good() {
    let not_started = |n| after(|result| result.generator.as_mut().expect("open loop").not_started = n);
    assert_eq!(not_started(1_000), []);
    assert_eq!(not_started(1_001), [ReasonCode::GeneratorBehind]);
}

#[test]
fn drops_at_our_own_end_are_told_by_cause() {
    let dropped = |cause: &str, n| after(|result| result.drops.extend([(cause.to_owned(), n)]));
    assert_eq!(dropped("rx_ring_full", 2), []);
    assert_eq!(dropped("rx_ring_full", 3), [ReasonCode::RingsFull]);
    assert_eq!(dropped("handoff", 3), [ReasonCode::Drops]);
    assert_eq!(dropped("not_ours", 1_000), []);
    let mut result = good();
    result.drops.insert("rx_dropped".to_owned(), 12_345);
    let message = judge(&result, &lossless()).reasons.remove(0).message;
    assert!(message.contains("rx_dropped 12,345"), "{message}");
}

#[test]
fn a_worker_without_time_left_is_told() {
    assert_eq!(after(|result| worker(result).busy_ratio = Some(0.99)), [ReasonCode::CpuSaturated]);
    assert_eq!(after(|result| worker(result).waiting_ratio = Some(0.5)), [ReasonCode::CpuShared]);
    let stolen = MachineLoad { stolen_ratio: 0.03, ..MachineLoad::default() };
    assert_eq!(after(|result| result.conditions.machine_load = Some(stolen)), [ReasonCode::CpuShared]);
}

#[test]
fn our_own_end_may_be_busy_when_it_is_what_is_measured() {
    let mut result = good();
    worker(&mut result).busy_ratio = Some(1.0);
    let expected = Expectations { own_end_is_measured: true, ..lossless() };
    assert!(judge(&result, &expected).valid);
}

#[test]
fn a_clock_that_goes_back_jumps_or_drifts_is_told() {
    let clock = |clock| after(|result| result.conditions.clock = Some(clock));
    let unstable = [ReasonCode::ClockUnstable];
    assert_eq!(clock(Clock { backward_steps: 1, ..Clock::default() }), unstable);
    assert_eq!(clock(Clock { largest_jump_ns: 1_000_000, ..Clock::default() }), unstable);
    assert_eq!(clock(Clock { drift_ppm: -2_000.0, ..Clock::default() }), unstable);
    assert_eq!(clock(Clock { drift_ppm: -200.0, largest_jump_ns: 900, ..Clock::default() }), []);
}

#[test]
fn another_mode_than_asked_for_is_told() {
    assert_eq!(after(|result| result.conditions.mode = Some("zerocopy".to_owned())), [ReasonCode::WrongMode]);
}

#[test]
fn loss_counts_only_where_there_should_be_none() {
    let mut result = good();
    result.totals.packets_lost = Some(10);
    assert_eq!(judge(&result, &lossless()).reasons[0].code, ReasonCode::UnexpectedLoss);
    assert!(judge(&result, &Expectations::default()).valid);
}

#[test]
fn one_wrong_byte_is_enough() {
    assert_eq!(after(|result| result.totals.bytes_corrupt = Some(1)), [ReasonCode::Corruption]);
}

#[test]
fn errors_beyond_a_percent_are_told_with_their_causes() {
    let mut result = good();
    result.totals.requests_failed = Some(5_000);
    result.totals.error("http_503", 4_000);
    result.totals.error("reset", 1_000);
    let reason = judge(&result, &lossless()).reasons.remove(0);
    assert_eq!(reason.code, ReasonCode::Errors);
    assert!(reason.message.contains("(http_503 4,000, reset 1,000)"), "{}", reason.message);
}

#[test]
fn connections_that_are_not_held_are_told() {
    let held = |open, closed| {
        let mut result = RunResult::new("load", "0.1.0");
        result.pattern = Some("hold".to_owned());
        result.set("connections", 20_000);
        result.totals.connections_opened = Some(20_000);
        result.totals.connections_open_at_end = Some(open);
        result.totals.connections_closed = Some(closed);
        judge(&result, &Expectations::default()).reasons
    };
    assert_eq!(held(20_000, 0), []);
    assert_eq!(held(20_000, 200), []);
    let reasons = held(16_783, 0);
    assert_eq!(reasons.len(), 1);
    assert_eq!(reasons[0].code, ReasonCode::Errors);
    assert!(reasons[0].message.starts_with("16,783 of 20,000"), "{}", reasons[0].message);
    assert_eq!(held(20_000, 201).len(), 1, "opened again in time for the end");
}

#[test]
fn a_p99_of_few_values_is_none() {
    let few = histogram(limit::SAMPLES - 1, 200_000);
    let codes = after(|result| result.latency.extend([("request".to_owned(), few)]));
    assert_eq!(codes, [ReasonCode::TooFewSamples]);
    // Few connections are what was asked for.
    let codes = after(|result| result.latency.extend([("connect".to_owned(), histogram(1, 1_000))]));
    assert_eq!(codes, []);
}

#[test]
fn saturated_histograms_are_told() {
    let codes = after(|result| result.latency.extend([("connect".to_owned(), histogram(1, u64::MAX))]));
    assert_eq!(codes, [ReasonCode::Saturated]);
}

#[test]
fn a_wide_interval_names_the_metric() {
    let mut result = good();
    let spread = Spread { too_wide: true, ..Spread::default() };
    result.spread.insert("rates.requests_per_second".to_owned(), spread);
    let reason = judge(&result, &lossless()).reasons.remove(0);
    assert_eq!(reason.code, ReasonCode::IntervalTooWide);
    assert!(reason.message.contains("rates.requests_per_second"));
}

#[test]
fn a_rate_that_varies_or_drifts_is_unsteady() {
    let intervals = |counts: &[u64]| {
        let interval = |(n, count): (usize, &u64)| {
            let totals = Totals { requests: Some(*count), ..Totals::default() };
            Interval::new(n as f64, n as f64 + 1.0, totals)
        };
        counts.iter().enumerate().map(interval).collect::<Vec<_>>()
    };
    let of = |counts: &[u64]| after(|result| result.intervals = intervals(counts));
    assert_eq!(of(&[10_000, 10_100, 9_900, 10_050, 9_950, 10_000]), []);
    assert_eq!(of(&[10_000, 10_000, 0, 0, 10_000, 10_000]), [ReasonCode::Unsteady]);
    assert_eq!(of(&[9_000, 9_300, 9_700, 10_100, 10_500, 10_900]), [ReasonCode::Unsteady]);
}

#[test]
fn connections_that_are_held_are_opened_at_the_beginning_only() {
    let opened = |pattern: &str| {
        after(|result| {
            result.pattern = Some(pattern.to_owned());
            result.intervals = (0..6u64)
                .map(|n| {
                    let connections_opened = Some(if n < 2 { 50_000 } else { 0 });
                    let totals = Totals { connections_opened, ..Totals::default() };
                    Interval::new(n as f64, n as f64 + 1.0, totals)
                })
                .collect();
        })
    };
    assert!(opened("connect").contains(&ReasonCode::Unsteady));
    assert_eq!(opened("hold"), []);
}

#[test]
fn the_last_interval_may_be_short() {
    let codes = after(|result| {
        let totals = Totals { requests: Some(10), ..Totals::default() };
        result.intervals.push(Interval::new(10.0, 10.001, totals));
    });
    assert_eq!(codes, []);
}

#[test]
fn a_run_cut_short_is_not_valid() {
    let codes = after(|result| result.cut_short(ErrorCode::Interrupted, "interrupted"));
    assert_eq!(codes, [ReasonCode::Partial]);
    let mut result = good();
    result.state = RunState::Complete;
    judge_into(&mut result, &lossless());
    assert!(result.verdict.is_some_and(|verdict| verdict.valid));
}
