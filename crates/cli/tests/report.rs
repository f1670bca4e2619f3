//! `bypath report` as a user runs it.

#[path = "support/sample.rs"]
mod sample;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use bypath_measure::result::RunResult;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with results in it.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, result: &RunResult) {
        std::fs::write(self.path(name), serde_json::to_vec(result).unwrap()).unwrap();
    }

    fn report(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
        command.current_dir(self.dir.path()).arg("report").args(args).stdin(Stdio::null()).output().unwrap()
    }

    fn page(&self, args: &[&str]) -> String {
        let output = self.report(&[args, &["--html", "page.html"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::read_to_string(self.path("page.html")).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_result_becomes_a_page() {
    let desk = Desk::new();
    desk.put("run.json", &sample::load(7, 4, 1.0));
    let page = desk.page(&["run.json"]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("id=\"heat-packet\""));
}

#[test]
fn results_stand_beside_each_other() {
    let desk = Desk::new();
    let mut other = sample::repeated(9, 1.5);
    other.conditions.mtu = Some(9000);
    desk.put("before.json", &sample::repeated(1, 1.0));
    desk.put("after.json", &other);
    let output = desk.report(&["before.json", "after.json"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["A  before:", "B  after:", "mtu", "9,000", "Packet latency, 50 %"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
    let page = desk.page(&["before.json", "after.json"]);
    assert!(page.contains("2 runs compared") && page.contains("different conditions: mtu"));
}

#[test]
fn a_comparison_is_json_for_who_asks_for_it() {
    let desk = Desk::new();
    desk.put("a.json", &sample::load(1, 2, 1.0));
    desk.put("b.json", &sample::load(2, 2, 2.0));
    let output = desk.report(&["a.json", "b.json", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "bypath.comparison/1");
    let metrics = document["metrics"].as_array().unwrap();
    let median = metrics.iter().find(|metric| metric["path"] == "latency.packet.p50_ns").unwrap();
    assert!(median["values"][1]["change_ratio"].as_f64().unwrap() > 0.5, "{median}");
}

#[test]
fn what_is_no_result_is_refused_by_name() {
    let desk = Desk::new();
    desk.put("good.json", &sample::load(1, 1, 1.0));
    let newer = std::fs::read_to_string(desk.path("good.json"))
        .unwrap()
        .replace("bypath.result/1", "bypath.result/9");
    for (name, content, code, words) in [
        ("broken.json", "{\"schema\": ", 2, "broken.json: it is not JSON"),
        ("other.json", "{\"a\": 1}", 2, "other.json: it is no result of bypath: it has no \"schema\""),
        ("newer.json", newer.as_str(), 2, "newer.json: it says bypath.result/9, which a newer bypath wrote"),
        ("hollow.json", "{\"schema\": \"bypath.result/1\"}", 2, "hollow.json: it is a damaged result"),
    ] {
        std::fs::write(desk.path(name), content).unwrap();
        let output = desk.report(&["good.json", name, "--html", "page.html"]);
        assert_eq!(output.status.code(), Some(code), "{name}");
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
        assert!(!desk.path("page.html").exists());
    }
    let output = desk.report(&["absent.json", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("absent.json"), "{document}");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_that_leaves_nothing() {
    let desk = Desk::new();
    desk.put("run.json", &sample::load(1, 1, 1.0));
    for place in ["no/such/page.html", ".", "/dev/full"] {
        let output = desk.report(&["run.json", "--html", place]);
        assert_eq!(output.status.code(), Some(1), "{place}");
        assert!(text(&output.stderr).contains("cannot write the page"), "{}", text(&output.stderr));
    }
    let names: Vec<_> = std::fs::read_dir(desk.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["run.json"]);
}

#[test]
fn usage_errors_are_told() {
    let desk = Desk::new();
    assert_eq!(desk.report(&[]).status.code(), Some(2));
    desk.put("run.json", &sample::load(1, 1, 1.0));
    let output = desk.report(&["run.json"; 9]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("8 results"), "{}", text(&output.stderr));
}
