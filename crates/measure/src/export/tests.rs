use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::{Outputs, Targets, beside, csv, hgrm, json, page};
use crate::histogram::{HistogramSet, Merge, NanoHistogram};
use crate::result::{ErrorCode, Interval, RunResult, Step, Totals};

const NAMES: &[&str] = &["packet", "request"];

/// Values from 10 µs to 1 ms, and one of 20 ms.
fn histograms(seed: u64) -> HistogramSet {
    let mut set = HistogramSet::new(NAMES);
    for n in 0..1_000 {
        set.record(1, 10_000 + (n * 7_919 + seed * 104_729) % 990_000);
        set.record(0, 10_000 + n);
    }
    set.record(1, 20_000_000);
    set
}

fn interval(second: u32) -> Interval {
    let totals = Totals { requests: Some(1_001), bytes_sent: Some(64_064), ..Totals::default() };
    let mut interval = Interval::new(f64::from(second), f64::from(second + 1), totals);
    interval.latency = histograms(second.into()).interval_latency(true);
    interval
}

/// A run of three seconds.
pub(crate) fn sample() -> RunResult {
    let mut result = RunResult::new("load", "0.1.0");
    result.pattern = Some("rr".to_owned());
    result.target = Some("198.18.0.2:7".to_owned());
    result.started_unix_seconds = 1_500_000_000.25;
    let mut all = HistogramSet::new(NAMES);
    for second in 0..3 {
        result.intervals.push(interval(second));
        all.merge(&histograms(second.into()));
        result.totals.add(&interval(second).totals);
    }
    result.latency = all.summaries();
    result.totals.error("reset", 2);
    result.drops.insert("handoff".to_owned(), 4);
    result.finish(3.0);
    result
}

fn written(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

fn targets(dir: &Path) -> Targets {
    Targets {
        json: Some(dir.join("out.json")),
        csv: Some(dir.join("out.csv")),
        hgrm: Some(dir.join("out.hgrm")),
        hlog: Some(dir.join("out.hlog")),
        prometheus: None,
    }
}

/// Runs the outputs of the sample.
fn finished(dir: &Path) -> RunResult {
    let mut result = sample();
    let mut outputs = Outputs::open(&targets(dir), result.started_unix_seconds).unwrap();
    for second in 0..3 {
        outputs.interval(&interval(second), histograms(second.into()).iter());
    }
    outputs.finish(&mut result).unwrap();
    result
}

#[test]
fn a_run_leaves_the_files_that_were_asked_for_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path());
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out.csv", "out.hgrm", "out.hlog", "out.json", "out.packet.hgrm"]);
}

#[test]
fn an_output_that_cannot_be_opened_leaves_none_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let targets = Targets { hlog: Some(dir.path().join("no/such")), ..targets(dir.path()) };
    assert!(Outputs::open(&targets, 0.0).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_told_at_the_end_and_the_other_outputs_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let targets = Targets { hlog: Some("/dev/full".into()), ..targets(dir.path()) };
    let mut outputs = Outputs::open(&targets, 0.0).unwrap();
    for second in 0..100 {
        outputs.interval(&interval(second), histograms(second.into()).iter());
    }
    let mut result = sample();
    let error = outputs.finish(&mut result).unwrap_err().to_string();
    assert!(error.contains("/dev/full") && error.contains("no space is left"), "{error}");
    assert!(dir.path().join("out.csv").exists());
    assert!(written(dir.path(), "out.json").contains("\"code\": \"output\""));
    assert_eq!(result.exit_code(false), 1);
}

#[test]
fn a_log_that_took_no_interval_is_made_of_the_result() {
    let dir = tempfile::tempdir().unwrap();
    Outputs::open(&targets(dir.path()), 0.0).unwrap().finish(&mut sample()).unwrap();
    let log = written(dir.path(), "out.hlog");
    assert_eq!(log.lines().filter(|line| line.starts_with("Tag=request,")).count(), 3);
    let mut whole = sample();
    whole.intervals.clear();
    Outputs::open(&targets(dir.path()), 0.0).unwrap().finish(&mut whole).unwrap();
    let log = written(dir.path(), "out.hlog");
    assert_eq!(log.lines().filter(|line| line.starts_with("Tag=request,0.000,3.000,")).count(), 1);
}

#[test]
fn a_run_that_failed_leaves_the_reports_of_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path());
    let before = written(dir.path(), "out.csv");
    let mut failed = RunResult::failed("load", "0.1.0", ErrorCode::Refused, "refused");
    Outputs::open(&targets(dir.path()), 0.0).unwrap().finish(&mut failed).unwrap();
    assert_eq!(written(dir.path(), "out.csv"), before);
    assert!(written(dir.path(), "out.json").contains("\"refused\""));
}

#[test]
fn json_reads_back_as_the_same_result() {
    let result = sample();
    let read: RunResult = serde_json::from_str(&json(&result)).unwrap();
    assert_eq!(read, result);
    let failed = RunResult::failed("load", "0.1.0", ErrorCode::PortsExhausted, "no port is left");
    let value: serde_json::Value = serde_json::from_str(&json(&failed)).unwrap();
    assert_eq!(value["error"]["code"], "ports_exhausted");
    assert_eq!(value["state"], "failed");
}

#[test]
fn json_holds_no_number_that_it_cannot_tell() {
    let mut result = sample();
    result.finish(f64::NAN);
    result.cpu = Some(crate::result::Cpu::new(1.0, 1.0));
    result.finish(0.0);
    serde_json::from_str::<RunResult>(&json(&result)).unwrap();
}

#[test]
fn the_interval_log_is_read_by_the_crate_s_own_reader() {
    let dir = tempfile::tempdir().unwrap();
    finished(dir.path());
    let log = written(dir.path(), "out.hlog");
    let mut intervals = Vec::new();
    let mut base = None;
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        match entry.expect("a line of a log") {
            LogEntry::Interval(interval) => intervals.push(interval),
            LogEntry::BaseTime(time) => base = Some(time.as_secs_f64()),
            LogEntry::StartTime(_) => {}
        }
    }
    assert_eq!((intervals.len(), base), (6, Some(1_500_000_000.25)));
    let tag = |n: usize| intervals[n].tag().map(|tag| tag.as_str().to_owned());
    assert_eq!((tag(0), tag(1)), (Some("packet".to_owned()), Some("request".to_owned())));
    assert_eq!((intervals[3].start_timestamp().as_secs(), intervals[3].duration().as_secs()), (1, 1));
    let mut merged = NanoHistogram::new();
    for interval in intervals.iter().filter(|i| i.tag().is_some_and(|tag| tag.as_str() == "request")) {
        merged.merge(&NanoHistogram::decode(interval.encoded_histogram()).unwrap());
    }
    let mut truth = HistogramSet::new(NAMES);
    (0..3).for_each(|second| truth.merge(&histograms(second)));
    assert_eq!(merged.as_hdr(), truth.get("request").unwrap().as_hdr());
}

#[test]
fn intervals_of_the_warm_up_are_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let mut outputs = Outputs::open(&targets(dir.path()), 0.0).unwrap();
    outputs.interval(&Interval::new(-1.0, 0.0, Totals::default()), histograms(0).iter());
    outputs.interval(&interval(0), histograms(0).iter());
    outputs.finish(&mut sample()).unwrap();
    let log = written(dir.path(), "out.hlog");
    let tagged: Vec<&str> = log.lines().filter(|line| line.starts_with("Tag=")).collect();
    assert_eq!(tagged.len(), 2);
    assert!(tagged.iter().all(|line| line.contains(",0.000,1.000,")), "{tagged:?}");
}

/// Value, percentile and total count of each line of a table of percentiles.
fn table(text: &str) -> Vec<(f64, f64, u64)> {
    let lines = text.lines().skip(2).take_while(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap())
    };
    lines.map(row).collect()
}

#[test]
fn the_table_of_percentiles_agrees_with_the_histogram() {
    let set = histograms(1);
    let request = set.get("request").unwrap();
    let rows = table(&hgrm(request));
    assert!(rows.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1 && a.2 <= b.2));
    assert_eq!(rows.last().map(|row| (row.1, row.2)), Some((1.0, 1_001)));
    for (value, share, total) in rows {
        let truth = request.quantile(share) as f64 / 1_000.0;
        assert!((value - truth).abs() <= truth * 0.001 + 0.001, "{value} {truth} at {share}");
        assert!(total as f64 >= share * 1_001.0 - 1e-6);
    }
}

#[test]
fn the_table_of_percentiles_looks_as_its_readers_expect() {
    let mut histogram = NanoHistogram::new();
    histogram.record_n(1_000, 3);
    histogram.record(2_000);
    let text = hgrm(&histogram);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
    assert_eq!(lines[1], "");
    assert_eq!(lines[2], "       1.000 0.000000000000          3           1.00");
    assert_eq!(lines[lines.len() - 4], "       2.000 1.000000000000          4");
    assert_eq!(lines[lines.len() - 3], "#[Mean    =        1.250, StdDeviation   =        0.433]");
    assert_eq!(lines[lines.len() - 2], "#[Max     =        2.000, Total count    =            4]");
    assert!(
        lines[lines.len() - 1].starts_with("#[Buckets = ") && text.contains("SubBuckets     =         2048]")
    );
}

#[test]
fn an_empty_histogram_makes_a_table_too() {
    assert!(hgrm(&NanoHistogram::new()).contains("Total count    =            0]"));
}

#[test]
fn further_distributions_get_names_of_their_own() {
    assert_eq!(beside(Path::new("/a/out.hgrm"), "packet"), Path::new("/a/out.packet.hgrm"));
    assert_eq!(beside(Path::new("out"), "packet"), Path::new("out.packet"));
}

/// The cells of a table without quotes, by column.
fn cells(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines
        .map(|line| {
            assert_eq!(line.len(), header.len());
            header.iter().copied().zip(line).collect()
        })
        .collect()
}

#[test]
fn csv_has_a_line_for_each_interval_and_one_for_the_whole() {
    let text = csv(&sample());
    let rows = cells(&text);
    let parts: Vec<&str> = rows.iter().map(|row| row["part"]).collect();
    assert_eq!(parts, ["interval", "interval", "interval", "total"]);
    assert_eq!((rows[1]["start_seconds"], rows[1]["end_seconds"]), ("1.000000", "2.000000"));
    assert_eq!((rows[0]["requests"], rows[3]["requests"]), ("1001", "3003"));
    assert_eq!(rows[3]["requests_per_second"], "1001");
    assert_eq!(rows[0]["request_count"], "1001");
    assert!(rows[0]["request_p99_ns"].parse::<u64>().unwrap() > 900_000);
    assert!(!rows[0].contains_key("segments_lost"), "what was not measured has no column");
}

#[test]
fn csv_quotes_what_has_commas_in_it() {
    let mut result = sample();
    result.steps.push(Step { name: "1,000 \"requests\"/s".to_owned(), ..Step::default() });
    assert!(csv(&result).contains("\nstep,\"1,000 \"\"requests\"\"/s\",0.000000,"));
}

#[test]
fn the_page_for_prometheus_has_counters_gauges_and_histograms() {
    let mut result = sample();
    result.target = Some("a\"b\\c".to_owned());
    let text = page(&result);
    let labels = "command=\"load\",pattern=\"rr\",target=\"a\\\"b\\\\c\"";
    for line in [
        "# TYPE bypath_requests_total counter".to_owned(),
        format!("bypath_requests_total{{{labels}}} 3003"),
        format!("bypath_errors_total{{{labels},cause=\"reset\"}} 2"),
        format!("bypath_drops_total{{{labels},cause=\"handoff\"}} 4"),
        format!("bypath_requests_per_second{{{labels}}} 1001"),
        "# TYPE bypath_latency_seconds histogram".to_owned(),
        format!("bypath_latency_seconds_bucket{{{labels},distribution=\"packet\",le=\"0.00001\"}} 0"),
        format!("bypath_latency_seconds_bucket{{{labels},distribution=\"packet\",le=\"0.00002\"}} 3000"),
        format!("bypath_latency_seconds_bucket{{{labels},distribution=\"request\",le=\"+Inf\"}} 3003"),
        format!("bypath_latency_seconds_count{{{labels},distribution=\"request\"}} 3003"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Each name is described once, before its first value.
    let described: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut once = described.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), described.len());
}

fn fetch(address: std::net::SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn prometheus_fetches_what_was_published_last() {
    let targets = Targets { prometheus: Some("127.0.0.1:0".parse().unwrap()), ..Targets::default() };
    let outputs = Outputs::open(&targets, 0.0).unwrap();
    let address = outputs.prometheus().unwrap();
    outputs.publish(&sample());
    let answer = fetch(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("bypath_requests_total"));
    assert!(fetch(address, "GET /other HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(fetch(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(fetch(address, "HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    outputs.finish(&mut sample()).unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_says_nothing_holds_nobody_up_for_long() {
    let targets = Targets { prometheus: Some("127.0.0.1:0".parse().unwrap()), ..Targets::default() };
    let outputs = Outputs::open(&targets, 0.0).unwrap();
    let address = outputs.prometheus().unwrap();
    let silent = TcpStream::connect(address).unwrap();
    let begun = std::time::Instant::now();
    assert!(fetch(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed().as_secs() < 5);
    drop(silent);
}

#[test]
fn an_address_in_use_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let targets = Targets { prometheus: taken.local_addr().ok(), ..Targets::default() };
    let error = Outputs::open(&targets, 0.0).unwrap_err().to_string();
    assert!(error.contains("in use; name another port"), "{error}");
}
