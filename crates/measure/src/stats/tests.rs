use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::{Method, Steadiness, Width, deviation, interval95, mean, median, order_statistic, spread};

#[test]
fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}

#[test]
fn what_is_no_number_is_left_out() {
    assert_eq!(median(&[1.0, f64::NAN, 3.0, f64::INFINITY]), Some(2.0));
    assert_eq!(spread(&[f64::NAN], Width::RATE), None);
}

#[test]
fn mean_and_deviation_are_those_of_the_textbook() {
    let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    assert_eq!(mean(&values), Some(5.0));
    assert!((deviation(&values).expect("eight values") - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    assert_eq!(deviation(&[1.0]), None);
}

#[test]
fn five_runs_have_a_t_interval() {
    let interval = interval95(&[10.0, 12.0, 11.0, 13.0, 14.0]).expect("five values");
    assert_eq!(interval.method, Method::T);
    // Mean 12, deviation sqrt(2.5), t = 2.776445.
    let half = 2.776_445 * (2.5f64 / 5.0).sqrt();
    assert!((interval.low - (12.0 - half)).abs() < 1e-9 && (interval.high - (12.0 + half)).abs() < 1e-9);
}

#[test]
fn order_statistics_have_the_ranks_of_the_binomial_distribution() {
    // Tables of the sign test at 5 %, two-sided.
    let known =
        [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (11, Some(2)), (12, Some(3)), (20, Some(6))];
    for (n, rank) in known {
        assert_eq!(order_statistic(n), rank, "{n} values");
    }
    let interval = interval95(&[6.0, 1.0, 5.0, 2.0, 4.0, 3.0]).expect("six values");
    assert_eq!((interval.low, interval.high, interval.method), (1.0, 6.0, Method::OrderStatistics));
}

#[test]
fn one_run_has_no_interval_and_cannot_be_relied_upon() {
    let one = spread(&[5.0], Width::RATE).expect("a value");
    assert_eq!((one.count, one.median, one.ci95_low, one.too_wide), (1, 5.0, None, true));
    assert_eq!(interval95(&[5.0]), None);
}

#[test]
fn an_interval_is_too_wide_beyond_five_percent_of_the_median() {
    let of = |values: &[f64]| spread(values, Width::RATE).expect("values").too_wide;
    assert!(!of(&[100.0, 101.0, 99.0, 100.0, 100.5]));
    assert!(of(&[100.0, 120.0, 80.0, 100.0, 90.0]));
    assert!(!of(&[0.0, 0.0, 0.0]));
}

#[test]
fn two_microseconds_are_never_too_wide() {
    let values = [3_000.0, 4_000.0, 3_500.0, 3_200.0, 3_900.0, 3_600.0];
    assert!(spread(&values, Width::RATE).expect("values").too_wide);
    assert!(!spread(&values, Width::TIME_NS).expect("values").too_wide);
}

/// A normally distributed number, by the polar method.
fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    let mut unit = || (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    loop {
        let (x, y) = (unit() * 2.0 - 1.0, unit() * 2.0 - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * square.ln() / square).sqrt();
        }
    }
}

/// Share of 20,000 samples of `n` whose interval holds the truth.
fn coverage(n: usize, truth: f64, mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> f64) -> f64 {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(n as u64);
    let rounds = 20_000;
    let held = (0..rounds).filter(|_| {
        let sample: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
        interval95(&sample).is_some_and(|interval| interval.low <= truth && truth <= interval.high)
    });
    held.count() as f64 / f64::from(rounds)
}

#[test]
fn t_intervals_hold_the_mean_of_normal_runs_in_95_percent() {
    for n in 2..=5 {
        let share = coverage(n, 100.0, |random| 100.0 + 7.0 * normal(random));
        // Standard deviation of the share: 0.15 %.
        assert!((share - 0.95).abs() < 0.006, "{n} runs: {share}");
    }
}

#[test]
fn order_statistics_hold_the_median_whatever_the_distribution() {
    for n in [6, 7, 9, 10, 15, 30] {
        let skewed = coverage(n, 1.0, |random| normal(random).exp());
        let heavy = coverage(n, 0.0, |random| normal(random) / normal(random));
        assert!(skewed > 0.945 && heavy > 0.945, "{n} runs: {skewed} {heavy}");
    }
}

#[test]
fn a_steady_rate_has_no_variation_beyond_chance() {
    // Ten arrivals per interval by chance: their deviation is a third of the mean, and no sign of unsteadiness.
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut counts = [0.0; 600];
    for _ in 0..6_000 {
        counts[(random.next_u64() % 600) as usize] += 1.0;
    }
    let steadiness = Steadiness::of(&counts, 6_000).expect("intervals");
    assert!(steadiness.variation < 0.1, "{steadiness:?}");
    assert!(steadiness.drift.abs() < 0.1, "{steadiness:?}");
}

#[test]
fn stalls_and_drift_are_seen() {
    let stalled = Steadiness::of(&[100.0, 100.0, 0.0, 100.0, 100.0, 100.0], 5_000_000).expect("intervals");
    assert_eq!(stalled.stalls, 1);
    assert!(stalled.variation > 0.4);
    let slowing = Steadiness::of(&[120.0, 115.0, 105.0, 95.0, 85.0, 80.0], 6_000_000).expect("intervals");
    assert!(slowing.drift < -0.3, "{slowing:?}");
}

#[test]
fn little_is_said_of_little() {
    assert_eq!(Steadiness::of(&[1.0; 4], 100), None);
    assert_eq!(Steadiness::of(&[0.0; 10], 0), None);
}

proptest! {
    #[test]
    fn a_spread_is_ordered(values in prop::collection::vec(-1e12..1e12f64, 1..40)) {
        let spread = spread(&values, Width::RATE).expect("values");
        prop_assert!(spread.min <= spread.median && spread.median <= spread.max);
        prop_assert!(spread.min <= spread.mean + 1e-3 && spread.mean <= spread.max + 1e-3);
        if let (Some(low), Some(high)) = (spread.ci95_low, spread.ci95_high) {
            prop_assert!(low <= high);
        }
    }
}
