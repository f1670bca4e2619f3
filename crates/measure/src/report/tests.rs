//! Tests of whole pages as text. How they look and whether their script runs is tested in a browser, by `bypath-cli`.

use super::{Comparison, Named, comparison_page, comparison_text, page};
use crate::histogram::NanoHistogram;
use crate::result::{Interval, Reason, ReasonCode, RunResult, Spread, Totals, Verdict};

fn histogram(median: u64) -> NanoHistogram {
    let mut histogram = NanoHistogram::new();
    for i in 1..=1_000 {
        histogram.record(median / 2 + median * i / 1_000);
    }
    histogram.record(median * 50);
    histogram
}

fn run(median: u64) -> RunResult {
    let mut result = RunResult::new("load", "0.1.0");
    result.pattern = Some("rr".to_owned());
    result.conditions.mtu = Some(1500);
    result.totals.requests = Some(5_000);
    for second in 0..5 {
        let totals = Totals { requests: Some(1_000), ..Totals::default() };
        let mut interval = Interval::new(f64::from(second), f64::from(second + 1), totals);
        interval.latency.insert("packet".to_owned(), histogram(median).interval_latency(true));
        result.intervals.push(interval);
    }
    result.latency.insert("packet".to_owned(), histogram(median).summary(true));
    result.verdict = Some(Verdict { valid: true, ..Verdict::default() });
    result.finish(5.0);
    result
}

fn named(name: &str, result: RunResult) -> Named {
    Named { name: name.to_owned(), result }
}

fn spread(median: f64, half: f64) -> Spread {
    let (low, high) = (median - half, median + half);
    Spread {
        count: 5,
        median,
        mean: median,
        min: low,
        max: high,
        ci95_low: Some(low),
        ci95_high: Some(high),
        ..Spread::default()
    }
}

#[test]
fn a_page_shows_curves_time_and_heat() {
    let page = page(&run(20_000));
    for part in [
        "id=\"percentiles\"",
        "id=\"time-requests\"",
        "id=\"time-packet\"",
        "id=\"heat-packet\"",
        "class=\"cells\"",
        "Valid: nothing speaks against this result.",
        "1,500",
        "99.9 %",
    ] {
        assert!(page.contains(part), "{part:?} is missing");
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    for page in [page(&run(20_000)), comparison_page(&[named("a", run(1_000)), named("b", run(2_000))])] {
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "{outside:?}");
        }
    }
}

#[test]
fn nothing_in_a_result_becomes_markup() {
    let evil = "</script><script>alert(1)</script>\"'><b>&";
    let mut result = run(20_000);
    result.command = evil.to_owned();
    result.target = Some(evil.to_owned());
    result.notes.push(evil.to_owned());
    result.drops.insert(evil.to_owned(), 3);
    result.set(evil, evil);
    result.totals.error(evil, 1);
    let summary = result.latency["packet"].clone();
    result.latency.insert(evil.to_owned(), summary);
    let interval = result.intervals[0].latency["packet"].clone();
    result.intervals[0].latency.insert(evil.to_owned(), interval);
    result.spread.insert(format!("latency.{evil}.p99_ns"), spread(1.0, 0.1));
    result.fail(crate::result::ErrorCode::Other, evil);
    for page in [page(&result), comparison_page(&[named(evil, result.clone()), named("b", run(2_000))])] {
        assert!(!page.contains("<script>alert") && !page.contains("<b>&"), "markup in the page");
    }
}

#[test]
fn every_result_has_a_page() {
    let mut odd = run(20_000);
    odd.duration_seconds = f64::NAN;
    odd.started_unix_seconds = f64::INFINITY;
    odd.intervals[0].start_seconds = f64::NAN;
    odd.intervals[1].rates.requests_per_second = Some(f64::INFINITY);
    odd.latency.get_mut("packet").unwrap().hdr = Some("no histogram".to_owned());
    odd.intervals[2].latency.get_mut("packet").unwrap().hdr = Some("AAAA".to_owned());
    odd.spread.insert("x".to_owned(), spread(f64::NAN, 1.0));
    let mut single = RunResult::new("latency", "0.1.0");
    let mut one = NanoHistogram::new();
    one.record(0);
    single.latency.insert("round_trip".to_owned(), one.summary(true));
    for result in [odd, single, RunResult::new("load", "0.1.0")] {
        let page = page(&result);
        assert!(page.ends_with("</html>\n") && !page.contains("NaN") && !page.contains("inf "), "{page}");
    }
}

#[test]
fn a_verdict_against_it_comes_with_its_figures() {
    let mut result = run(20_000);
    result.verdict = Some(Verdict {
        valid: false,
        reasons: vec![Reason {
            code: ReasonCode::GeneratorLate,
            message: "give it more workers".to_owned(),
            measured: Some(1_200_000.0),
            limit: Some(100_000.0),
            unit: Some("nanoseconds".to_owned()),
        }],
        checked: Vec::new(),
    });
    let page = page(&result);
    for part in ["Not valid", "Generator late", "give it more workers", "(1.2 ms; the limit is 100 µs)"] {
        assert!(page.contains(part), "{part:?} is missing");
    }
}

#[test]
fn long_runs_are_put_together_into_columns() {
    let mut result = run(20_000);
    let interval = result.intervals[0].clone();
    result.intervals = (0..1_000)
        .map(|i| Interval { start_seconds: f64::from(i), end_seconds: f64::from(i + 1), ..interval.clone() })
        .collect();
    let columns = super::series::columns(&result);
    assert_eq!((columns.len(), columns[0].end), (200, 5.0));
    assert_eq!(columns[0].rates.requests_per_second, Some(1_000.0));
    let latency = &columns[0].latency["packet"];
    assert_eq!((latency.count, latency.histogram.as_ref().unwrap().count()), (5 * 1_001, 5 * 1_001));
}

#[test]
fn runs_beside_each_other_differ_clearly_or_within_their_spread() {
    let (mut a, mut b, mut c) = (run(20_000), run(30_000), run(20_100));
    a.spread.insert("latency.packet.p99_ns".to_owned(), spread(20_000.0, 200.0));
    b.spread.insert("latency.packet.p99_ns".to_owned(), spread(30_000.0, 200.0));
    c.spread.insert("latency.packet.p99_ns".to_owned(), spread(20_100.0, 200.0));
    b.conditions.mtu = Some(9000);
    let runs = [named("before", a), named("after", b), named("again", c)];
    let text = comparison_text(&runs);
    let line = text.lines().find(|line| line.starts_with("Packet latency, 99 %")).unwrap();
    assert!(
        line.contains("20 µs") && line.contains("30 µs (+50.0 % *)") && line.contains("(+0.50 % ~)"),
        "{line}"
    );
    assert!(text.contains("mtu  1,500  9,000  1,500"), "{text}");
    let median = text.lines().find(|line| line.starts_with("Packet latency, 50 %")).unwrap();
    assert!(median.contains("%)") && !median.contains('*') && !median.contains('~'), "{median}");
}

#[test]
fn the_same_conditions_are_said_to_be_the_same() {
    let (mut a, mut b) = (run(20_000), run(20_000));
    (a.conditions.clock, b.conditions.clock) = (Some(Default::default()), Some(Default::default()));
    b.conditions.clock.as_mut().unwrap().read_cost_ns = 25.0;
    a.set("json", true);
    b.set("html", "b.html");
    let comparison = Comparison::of(&[named("a", a), named("b", b)]);
    assert!(comparison.differences.is_empty(), "{:?}", comparison.differences);
    assert!(comparison.text().contains("are the same"));
}
