//! Packets and captures that tests are made of, and the tools that they are held against.

#![allow(dead_code, reason = "not every test needs everything")]

pub(crate) mod build;
pub(crate) mod dns;
pub(crate) mod tcpdump;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bypath_trace::read::Capture;
use bypath_trace::style::Style;

/// A committed capture.
pub(crate) fn committed(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a style prints of a capture.
pub(crate) fn printed(style: &mut dyn Style, capture: &[u8]) -> String {
    let mut out = Vec::new();
    let mut capture = Capture::open(capture).unwrap();
    style.begin(&mut out).unwrap();
    while let Some(record) = capture.next_record().unwrap() {
        style.record(&record, &mut out).unwrap();
    }
    style.end(&mut out).unwrap();
    // Bytes that are no text are compared as well.
    out.iter().map(|&byte| char::from(byte)).collect()
}

/// What a tool prints that reads the capture from its standard input.
pub(crate) fn tool(program: &str, args: &[&str], capture: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(args)
        .env("TZ", "Europe/Berlin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask setup` installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let capture = capture.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&capture));
    let output = child.wait_with_output().unwrap();
    // A tool that has seen enough does not read to the end.
    let _ = feeder.join();
    output.stdout.iter().map(|&byte| char::from(byte)).collect()
}

/// Whether the installed tcpdump is of the version whose lines are promised; says so otherwise.
pub(crate) fn tcpdump_is_4_99() -> bool {
    let output = Command::new("tcpdump").arg("--version").output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let found = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    let is_it = found.contains("4.99");
    if !is_it {
        eprintln!("not compared: tcpdump 4.99 is needed, and there is \"{found}\"");
    }
    is_it
}

/// The first lines that differ.
pub(crate) fn assert_same_lines(ours: &str, theirs: &str, what: &str) {
    let mut theirs_lines = theirs.split('\n');
    for (at, ours) in ours.split('\n').enumerate() {
        let theirs = theirs_lines.next().unwrap_or("(nothing)");
        assert_eq!(ours, theirs, "{what}: line {} (theirs on the right)", at + 1);
    }
    assert_eq!(theirs_lines.next(), None, "{what}: they have more lines");
}
