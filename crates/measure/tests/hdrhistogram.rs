//! HdrHistogram's own reader, in Java, reads what we write: the interval log, with the compressed histograms in it, and its
//! table of percentiles is ours.

use std::path::Path;
use std::process::Command;

use bypath_measure::export::{Outputs, Targets, hgrm};
use bypath_measure::histogram::{HistogramSet, Merge};
use bypath_measure::result::{Interval, RunResult, Totals};

/// Where Debian's libhdrhistogram-java puts it.
const JAR: &str = "/usr/share/java/hdrhistogram.jar";

const NAMES: &[&str] = &["request", "packet"];

/// The figures of an interval: from a nanosecond to an hour, and above.
fn figures(seed: u64) -> HistogramSet {
    let mut set = HistogramSet::new(NAMES);
    let mut value = seed + 1;
    for n in 0..20_000u64 {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        set.record(0, 10_000 + (value >> 40) % 3_000_000);
        set.record(1, 1 + (n * n) % 4_000_000_000);
    }
    set.record(0, 3_599_000_000_000);
    set.record(1, u64::MAX);
    set
}

/// What Java makes of the log, for one tag, in microseconds.
fn processed(log: &Path, tag: &str) -> String {
    let mut java = Command::new("java");
    java.args([
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        JAR,
        "org.HdrHistogram.HistogramLogProcessor",
    ]);
    java.arg("-i").arg(log).args(["-tag", tag, "-outputValueUnitRatio", "1000"]);
    let output = java.output().expect("java: `cargo xtask setup` installs default-jre-headless");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said} (the reader is in libhdrhistogram-java: `cargo xtask setup`)");
    String::from_utf8(output.stdout).unwrap()
}

/// The rows and the foot of a table of percentiles, without how wide the columns are.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().skip_while(|line| !line.contains("Percentile")).skip(1);
    let words = |line: &str| {
        line.split([' ', '=', ',', '[', ']']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    rows.filter(|line| !line.trim().is_empty()).map(words).collect()
}

#[test]
fn java_reads_our_log_and_makes_our_table_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.hlog");
    let targets = Targets { hlog: Some(log.clone()), ..Targets::default() };
    let mut outputs = Outputs::open(&targets, 1_700_000_000.5).unwrap();
    let mut all = HistogramSet::new(NAMES);
    for second in 0..3u32 {
        let (start, set) = (f64::from(second), figures(second.into()));
        outputs.interval(&Interval::new(start, start + 1.0, Totals::default()), set.iter());
        all.merge(&set);
    }
    outputs.finish(&mut RunResult::new("load", "0")).unwrap();
    for (name, histogram) in all.iter() {
        let (theirs, ours) = (rows(&processed(&log, name)), rows(&hgrm(histogram)));
        // Mean and deviation are rounded differently in the last of their digits.
        let plain = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
            rows.into_iter()
                .filter(|row| row[0] != "#" && !row[0].starts_with("#Mean") && row[1] != "Mean")
                .collect()
        };
        let (theirs, ours) = (plain(theirs), plain(ours));
        assert!(ours.len() > 40, "{name}: {ours:?}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(theirs, ours, "{name}");
        }
        assert_eq!(theirs.len(), ours.len(), "{name}");
    }
}
