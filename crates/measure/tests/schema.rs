//! The JSON Schema of results, and the page that explains them, are current; results are what the schema says.

use std::path::{Path, PathBuf};

use bypath_measure::histogram::HistogramSet;
use bypath_measure::result::{
    Class, Clock, Cpu, ErrorCode, Generator, Interval, MachineLoad, Repeat, RunResult, Step, Totals,
    WorkerCpu,
};
use bypath_measure::stats::{Width, spread};
use bypath_measure::verdict::{Expectations, judge_into};
use serde_json::Value;

/// What to set to have the schema written anew.
const UPDATE: &str = "BYPATH_MEASURE_UPDATE";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(RunResult)).unwrap()
}

/// A run in which every field has a value.
fn full() -> RunResult {
    let mut result = RunResult::new("load", "0.1.0");
    result.pattern = Some("rr".to_owned());
    result.target = Some("198.18.0.2:7".to_owned());
    result.set("connections", 100);
    let conditions = &mut result.conditions;
    conditions.kernel = Some("6.18.0".to_owned());
    conditions.cores = vec![0, 1];
    conditions.queues = vec![0];
    conditions.offloads.insert("generic-receive-offload".to_owned(), false);
    conditions.clock = Some(Clock { source: Some("tsc".to_owned()), drift_ppm: -3.5, ..Clock::default() });
    conditions.machine_load = Some(MachineLoad::default());
    let mut histograms = HistogramSet::new(&["connect", "request"]);
    for n in 0..5_000 {
        histograms.record(1, 100_000 + n);
    }
    let totals = Totals { requests: Some(5_000), bytes_sent: Some(320_000), ..Totals::default() };
    result.totals = totals.clone();
    result.totals.error("reset", 1);
    result.latency = histograms.summaries();
    result.generator =
        Some(Generator { schedule: "poisson".to_owned(), seed: Some(7), ..Generator::default() });
    result.drops.insert("handoff".to_owned(), 0);
    let worker = WorkerCpu { busy_ratio: Some(0.99), ..WorkerCpu::default() };
    result.cpu = Some(Cpu { workers: vec![worker], ..Cpu::new(1.0, 0.25) });
    let mut interval = Interval::new(0.0, 1.0, totals.clone());
    interval.latency = histograms.interval_latency(true);
    result.intervals.push(interval);
    result.steps.push(Step { name: "5,000/s".to_owned(), totals: totals.clone(), ..Step::default() });
    result.classes.push(Class { name: "4 KiB".to_owned(), totals, ..Class::default() });
    result.notes.push("a note".to_owned());
    result.finish(1.0);
    judge_into(&mut result, &Expectations::default());
    result
}

/// The result of several runs.
fn repeated() -> RunResult {
    let mut result = full();
    let one =
        Repeat { number: 1, latency: result.latency.clone(), cpu: result.cpu.clone(), ..Repeat::default() };
    result.repeats = vec![one.clone(), Repeat { number: 2, verdict: result.verdict.clone(), ..one }];
    for (name, values) in [("one", vec![1.0]), ("two", vec![1.0, 2.0]), ("six", vec![5.0; 6])] {
        result.spread.insert(name.to_owned(), spread(&values, Width::RATE).unwrap());
    }
    result
}

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let path = docs("schema/result.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == text, "{} is old: run this test once with {UPDATE}=1", path.display());
}

#[test]
fn results_are_what_the_schema_says() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut cut_short = full();
    cut_short.cut_short(ErrorCode::Interrupted, "interrupted");
    let results = [
        RunResult::new("load", "0.1.0"),
        RunResult::failed("blast", "0.1.0", ErrorCode::Usage, "no such option"),
        full(),
        cut_short,
        repeated(),
    ];
    for result in results {
        let value = serde_json::to_value(&result).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(serde_json::from_value::<RunResult>(value).unwrap(), result);
    }
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = serde_json::to_value(full()).unwrap();
    assert!(validator.is_valid(&good));
    let changes: [fn(&mut Value); 4] = [
        |value| drop(value.as_object_mut().unwrap().remove("schema")),
        |value| value["state"] = "perhaps".into(),
        |value| value["totals"]["requests"] = (-1).into(),
        |value| value["latency"]["request"]["p99_ns"] = "fast".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!validator.is_valid(&bad), "change {number}");
    }
}

/// All names of fields in a schema.
fn fields(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| fields(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn the_page_explains_every_field() {
    let page = std::fs::read_to_string(docs("results.md")).unwrap();
    let mut names = Vec::new();
    fields(&schema(), &mut names);
    names.sort();
    names.dedup();
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(names.len() > 100 && missing.is_empty(), "not in docs/results.md: {missing:?}");
}
