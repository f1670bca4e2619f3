//! `cargo xtask test`: every check that a change must pass, cheapest first. The tests come last, and of
//! those the ones in namespaces, one at a time.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::setup;
use crate::shell::{self, Failure, Result, cargo, has, is_root, output};
use crate::zero_copy;

fn run_tests(args: &[String]) -> Result<()> {
    let nextest = output(&mut cargo(&["nextest", "--version"])).is_some();
    if !nextest {
        println!("cargo-nextest is not installed: using cargo test");
    }
    let mut tests = if nextest {
        vec![cargo(&["nextest", "run", "--workspace", "--locked"])]
    } else {
        let all = ["test", "--workspace", "--locked", "--lib", "--bins", "--tests", "--"];
        let (mut unit, mut netns) = (cargo(&all), cargo(&all));
        unit.args(["--skip", "netns"]);
        netns.args(["netns", "--test-threads=1"]);
        vec![unit, netns]
    };
    for command in &mut tests {
        command.args(args);
        become_root(command)?;
        shell::run(command)?;
    }
    Ok(())
}

/// Namespace tests need root. The build stays ours, each test program runs by sudo.
fn become_root(command: &mut Command) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    if !has("sudo") {
        return Err(Failure(
            "namespace tests need root, and there is no sudo; as root, run: cargo xtask test".into(),
        ));
    }
    let version = output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure("`rustc -vV` does not say what machine this is".into()))?;
    let variable = format!("CARGO_TARGET_{}_RUNNER", host.replace('-', "_").to_uppercase());
    command.env(variable, "sudo --preserve-env");
    Ok(())
}

/// All stages; what the last of them prints comes last. With arguments nothing but the tests runs, and the
/// test runner gets them.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if let Some(("--zero-copy", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return zero_copy::run(rest);
    }
    setup::ensure()?;
    if !args.is_empty() {
        return run_tests(args);
    }
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut stage = |name: &'static str, command: &mut Command| {
        println!("== {name}");
        let start = Instant::now();
        shell::run(command)?;
        println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
        times.push((name, start.elapsed()));
        Ok(())
    };
    stage("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    stage("lints", &mut cargo(&clippy))?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    stage("documentation", cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    stage("examples in documentation", &mut cargo(&["test", "--doc", "--workspace", "--locked"]))?;
    let build = ["test", "--no-run", "--workspace", "--locked"];
    stage("build of the tests", &mut cargo(&build))?;

    // Before the tests, whose summary is to come last; they run whatever came of it.
    println!("== zero copy: a transfer in an emulated machine");
    let zero_copy = zero_copy::run_short();
    if let Err(Failure(why)) = &zero_copy {
        println!("zero copy: failed: {why}");
    }

    println!("== all stages but the last");
    for (name, time) in &times {
        println!("{:>8.1} s  {name}", time.as_secs_f64());
    }
    println!("== tests: unit and simulation, then namespaces");
    run_tests(&[])?;
    zero_copy
}
