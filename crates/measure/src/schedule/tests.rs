use proptest::prelude::*;

use super::{Arrivals, OpenLoop, RateStep, Schedule, ScheduleError, generator};

const SECOND: u64 = 1_000_000_000;

fn all(mut schedule: Schedule) -> Vec<u64> {
    std::iter::from_fn(|| schedule.take(u64::MAX)).map(|due| due.intended_ns).collect()
}

fn one(arrivals: Arrivals, per_second: f64, seconds: f64) -> Schedule {
    Schedule::new(arrivals, &[RateStep { per_second, seconds }], 0, 1).expect("a schedule")
}

#[test]
fn a_constant_schedule_is_evenly_spaced_from_the_start() {
    assert_eq!(all(one(Arrivals::Constant, 4.0, 1.0)), [0, SECOND / 4, SECOND / 2, SECOND / 4 * 3]);
}

#[test]
fn a_rate_that_is_no_divisor_of_a_second_is_exact_in_the_long_run() {
    let mut schedule = one(Arrivals::Constant, 3_000_007.0, f64::INFINITY);
    let mut last = 0;
    for _ in 0..=30_000_070 {
        last = schedule.take(u64::MAX).expect("no end").intended_ns;
    }
    assert_eq!(last, 10 * SECOND);
}

#[test]
fn nothing_is_given_before_it_is_due() {
    let mut schedule = one(Arrivals::Constant, 1000.0, 1.0);
    assert!(schedule.take(0).is_some());
    assert_eq!(schedule.peek(), Some(1_000_000));
    assert_eq!(schedule.take(999_999), None);
    assert!(schedule.take(1_000_000).is_some());
    assert_eq!(schedule.taken(), 2);
}

#[test]
fn workers_share_a_constant_schedule_without_gaps_or_doubles() {
    let steps = [RateStep { per_second: 1000.0, seconds: 1.0 }];
    let parts = (0..3).map(|k| Schedule::new(Arrivals::Constant, &steps, k, 3).expect("a schedule"));
    let mut together: Vec<u64> = parts.flat_map(all).collect();
    together.sort_unstable();
    assert_eq!(together, all(one(Arrivals::Constant, 1000.0, 1.0)));
}

#[test]
fn a_poisson_schedule_repeats_with_its_seed_and_differs_with_another() {
    let of = |seed| all(one(Arrivals::Poisson { seed }, 1000.0, 1.0));
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn poisson_workers_have_different_arrivals_that_sum_up_to_the_rate() {
    let steps = [RateStep { per_second: 10_000.0, seconds: 100.0 }];
    let arrivals = Arrivals::Poisson { seed: 7 };
    let parts: Vec<Vec<u64>> =
        (0..4).map(|k| all(Schedule::new(arrivals, &steps, k, 4).expect("a schedule"))).collect();
    assert_ne!(parts[0], parts[1]);
    // A million arrivals, standard deviation one thousand.
    let sum = parts.iter().map(Vec::len).sum::<usize>() as f64;
    assert!((sum - 1e6).abs() < 4_000.0, "{sum}");
}

#[test]
fn poisson_gaps_are_exponential() {
    let times = all(one(Arrivals::Poisson { seed: 3 }, 1000.0, 1000.0));
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
    let above_mean = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / count;
    // Mean and standard deviation of an exponential distribution are equal; e^-1 of it lies above the mean.
    assert!((mean - 1.0).abs() < 0.005, "{mean}");
    assert!((variance - 1.0).abs() < 0.02, "{variance}");
    assert!((above_mean - (-1.0f64).exp()).abs() < 0.003, "{above_mean}");
}

#[test]
fn a_ramp_has_its_steps_in_order_and_each_with_its_rate() {
    let steps = RateStep::ramp(100.0, 300.0, 3, 1.0);
    let mut schedule = Schedule::new(Arrivals::Constant, &steps, 0, 1).expect("a schedule");
    let mut counts = [0; 3];
    let mut last = 0;
    while let Some(due) = schedule.take(u64::MAX) {
        counts[due.step] += 1;
        assert!(due.intended_ns >= last);
        assert_eq!(due.step as u64, due.intended_ns / SECOND);
        last = due.intended_ns;
    }
    assert_eq!(counts, [100, 200, 300]);
    assert_eq!(schedule.end_ns(), Some(3 * SECOND));
    assert_eq!((schedule.step_at(0), schedule.step_at(SECOND), schedule.step_at(9 * SECOND)), (0, 1, 2));
    assert_eq!(schedule.intended_by(3 * SECOND / 2), 200.0);
    assert_eq!(schedule.intended_by(9 * SECOND), 600.0);
}

#[test]
fn a_pause_has_no_arrivals() {
    let steps = [
        RateStep { per_second: 2.0, seconds: 1.0 },
        RateStep { per_second: 0.0, seconds: 1.0 },
        RateStep { per_second: 2.0, seconds: 1.0 },
    ];
    let schedule = Schedule::new(Arrivals::Constant, &steps, 0, 1).expect("a schedule");
    assert_eq!(all(schedule), [0, SECOND / 2, 2 * SECOND, 2 * SECOND + SECOND / 2]);
}

#[test]
fn impossible_schedules_are_refused() {
    let refused = |per_second, seconds| {
        Schedule::new(Arrivals::Constant, &[RateStep { per_second, seconds }], 0, 1).expect_err("impossible")
    };
    for rate in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
        assert_eq!(refused(rate, 1.0), ScheduleError::Rate);
    }
    for length in [0.0, -1.0, f64::NAN] {
        assert_eq!(refused(1.0, length), ScheduleError::Length);
    }
    assert_eq!(refused(0.0, 1.0), ScheduleError::Nothing);
    let endless = [RateStep::forever(1.0), RateStep::forever(1.0)];
    assert_eq!(
        Schedule::new(Arrivals::Constant, &endless, 0, 1).expect_err("endless"),
        ScheduleError::Length
    );
    let steps = [RateStep::forever(1.0)];
    assert_eq!(Schedule::new(Arrivals::Constant, &steps, 1, 1).expect_err("worker"), ScheduleError::Worker);
}

#[test]
fn lateness_is_the_time_until_somebody_looked() {
    let mut open = OpenLoop::new(one(Arrivals::Constant, 1000.0, 1.0));
    assert_eq!(open.notice(0), 1);
    assert_eq!(open.next_ns(), Some(1_000_000));
    // Looks three milliseconds later: three more are due, 2, 1 and 0 ms late.
    assert_eq!(open.notice(3_000_000), 4);
    let lateness = open.lateness();
    assert_eq!((lateness.count(), lateness.min()), (4, 0));
    assert!(lateness.max().abs_diff(2_000_000) <= 2_000);
}

#[test]
fn waiting_for_a_connection_is_no_lateness_and_keeps_the_intended_start() {
    let mut open = OpenLoop::new(one(Arrivals::Constant, 1000.0, 1.0));
    for ms in 0..100 {
        open.notice(ms * 1_000_000);
    }
    assert_eq!((open.backlog(), open.lateness().max()), (100, 0));
    let begun: Vec<u64> = std::iter::from_fn(|| open.begin()).map(|due| due.intended_ns).collect();
    assert_eq!(begun, (0..100).map(|ms| ms * 1_000_000).collect::<Vec<_>>());
    assert_eq!((open.backlog(), open.begin()), (0, None));
}

#[test]
fn a_stall_of_100_ms_a_second_has_its_p99_near_90_ms_from_the_intended_start() {
    // One connection, 1,000 requests a second of 100 µs each; for the first 100 ms of each second nothing is answered.
    let mut open = OpenLoop::new(one(Arrivals::Constant, 1000.0, 60.0));
    let (mut corrected, mut service) =
        (crate::histogram::NanoHistogram::new(), crate::histogram::NanoHistogram::new());
    let mut now = 0;
    loop {
        open.notice(now);
        if let Some(due) = open.begin() {
            let into_second = now % SECOND;
            let free = if into_second < SECOND / 10 { now - into_second + SECOND / 10 } else { now };
            let end = free + 100_000;
            corrected.record(end - due.intended_ns);
            service.record(end - now);
            now = end;
        } else if let Some(next) = open.next_ns() {
            now = next;
        } else {
            break;
        }
    }
    let p99 = corrected.quantile(0.99) as f64 / 1e6;
    assert!((85.0..100.0).contains(&p99), "corrected: {p99} ms");
    let hidden = service.quantile(0.99) as f64 / 1e6;
    assert!(hidden < 1.0, "not corrected: {hidden} ms");
}

#[test]
fn the_generator_tells_what_it_could_not_begin() {
    let lateness = crate::histogram::NanoHistogram::new();
    let told = generator(Arrivals::Poisson { seed: 5 }, 10.0, 100, 97, &lateness);
    assert_eq!((told.schedule.as_str(), told.seed, told.not_started), ("poisson", Some(5), 3));
}

proptest! {
    #[test]
    fn a_constant_schedule_has_rate_times_time_arrivals(per_second in 0.5..50_000.0f64, seconds in 0.1..3.0f64) {
        let count = all(one(Arrivals::Constant, per_second, seconds)).len() as f64;
        prop_assert!((count - per_second * seconds).abs() <= 1.0);
    }

    #[test]
    fn arrivals_never_go_back(seed: u64, rates in prop::collection::vec(1.0..5_000.0f64, 1..5)) {
        let steps: Vec<RateStep> = rates.iter().map(|r| RateStep { per_second: *r, seconds: 0.1 }).collect();
        let schedule = Schedule::new(Arrivals::Poisson { seed }, &steps, 0, 1).expect("a schedule");
        let times = all(schedule);
        prop_assert!(times.is_sorted());
        prop_assert!(times.last().is_none_or(|last| *last < steps.len() as u64 * (SECOND / 10)));
    }
}
