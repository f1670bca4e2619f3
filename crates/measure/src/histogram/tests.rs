use proptest::prelude::*;

use super::interval::channel;
use super::{HIGHEST_NS, HistogramSet, Merge, NanoHistogram};

fn of(values: &[u64]) -> NanoHistogram {
    let mut histogram = NanoHistogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

#[test]
fn an_empty_histogram_has_a_summary_of_zeroes() {
    let summary = NanoHistogram::new().summary(true);
    assert_eq!((summary.count, summary.min_ns, summary.p99_99_ns, summary.max_ns), (0, 0, 0, 0));
    assert_eq!((summary.mean_ns, summary.stdev_ns), (0.0, 0.0));
}

#[test]
fn the_ends_of_the_range_are_told_with_three_digits() {
    for value in [0, 1, 2, 1_000, 60_000_000_000, HIGHEST_NS] {
        let summary = of(&[value]).summary(false);
        assert_eq!(summary.saturated, 0);
        let error = summary.p50_ns.abs_diff(value) as f64;
        assert!(error <= value as f64 * 0.001, "{value} was told as {}", summary.p50_ns);
    }
}

#[test]
fn what_is_too_large_is_recorded_as_the_largest_value_and_counted() {
    let histogram = of(&[5, HIGHEST_NS + 1, u64::MAX]);
    assert_eq!((histogram.count(), histogram.saturated()), (3, 2));
    assert!(histogram.max().abs_diff(HIGHEST_NS) <= HIGHEST_NS / 1000);
    assert_eq!(histogram.summary(false).saturated, 2);
}

#[test]
fn clearing_forgets_the_saturated_values_too() {
    let mut histogram = of(&[5, u64::MAX]);
    histogram.clear();
    assert_eq!(histogram, NanoHistogram::new());
}

#[test]
fn what_is_no_histogram_is_refused() {
    for text in ["", "@@@", "AAAA", "HISTFAAA"] {
        assert!(NanoHistogram::decode(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_set_reports_only_what_has_values() {
    let mut set = HistogramSet::new(&["connect", "request"]);
    set.record(1, 100);
    set.record(7, 100);
    assert_eq!(set.summaries().keys().collect::<Vec<_>>(), ["request"]);
    assert_eq!(set.interval_latency(false)["request"].count, 1);
}

#[test]
fn a_late_collector_gets_a_longer_interval_and_loses_nothing() {
    let (mut recorder, collector) = channel(3, 1, NanoHistogram::new);
    for second in 0..4 {
        recorder.record().record(1_000 + second);
        assert_eq!(recorder.hand_over(second, second + 1), second == 0);
    }
    assert_eq!(recorder.kept(), 3);
    let first = collector.try_take().expect("the first interval");
    assert_eq!((first.worker, first.start_ns, first.end_ns, first.data.count()), (3, 0, 1, 1));
    collector.give_back(first);
    assert!(recorder.hand_over(4, 5));
    let second = collector.try_take().expect("all others");
    assert_eq!((second.start_ns, second.end_ns, second.data.count()), (1, 5, 3));
}

#[test]
fn the_last_interval_arrives_after_the_recorder_has_ended() {
    let (mut recorder, collector) = channel(0, 1, NanoHistogram::new);
    assert!(recorder.hand_over(0, 1));
    recorder.record().record(7);
    recorder.finish(1, 2);
    let counts: Vec<u64> = std::iter::from_fn(|| collector.try_take()).map(|s| s.data.count()).collect();
    assert_eq!(counts, [0, 1]);
    assert!(collector.take_within(std::time::Duration::ZERO).is_err());
}

#[test]
fn slices_come_back_empty() {
    let (mut recorder, collector) = channel(0, 1, NanoHistogram::new);
    recorder.record().record(u64::MAX);
    for round in 0..3 {
        assert!(recorder.hand_over(round, round + 1));
        let slice = collector.try_take().expect("an interval");
        assert_eq!(slice.data.count(), u64::from(round == 0));
        collector.give_back(slice);
    }
}

proptest! {
    #[test]
    fn merged_parts_are_the_whole(a in prop::collection::vec(any::<u64>(), 0..200),
                                  b in prop::collection::vec(0..HIGHEST_NS, 0..200)) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged, of(&[a, b].concat()));
    }

    #[test]
    fn quantiles_agree_with_the_sorted_samples(mut values in prop::collection::vec(1..HIGHEST_NS, 1..400),
                                               share in 0.0..=1.0f64) {
        let histogram = of(&values);
        values.sort_unstable();
        let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let (told, truth) = (histogram.quantile(share), values[rank - 1]);
        prop_assert!(told.abs_diff(truth) as f64 <= truth as f64 * 0.001, "{} for {}", told, truth);
        prop_assert!(told <= histogram.max());
    }

    #[test]
    fn text_holds_the_whole_histogram(values in prop::collection::vec(any::<u64>(), 0..200)) {
        let histogram = of(&values);
        let read = NanoHistogram::decode(&histogram.encode()).expect("our own text");
        prop_assert_eq!(read.as_hdr(), histogram.as_hdr());
    }

    #[test]
    fn fewer_digits_keep_all_values_and_stay_near(values in prop::collection::vec(1..HIGHEST_NS, 1..200)) {
        let fine = of(&values);
        let coarse = fine.coarse(2);
        prop_assert_eq!(coarse.count(), fine.count());
        let (a, b) = (coarse.quantile(0.5) as f64, fine.quantile(0.5) as f64);
        prop_assert!((a - b).abs() <= b * 0.011 + 1.0, "{} {}", a, b);
    }
}
