use std::path::Path;
use std::process::Command;
use std::time::Instant;

use bypath::tap::TapInterface;

use super::*;

fn near() -> TapInterface {
    TapInterface { name: "near0".into(), mode: "copy".into(), mtu: 1500, ..TapInterface::default() }
}

/// A capture of `count` packets of 100 bytes.
fn capture(settings: &CaptureSettings, count: usize) -> CaptureSummary {
    let recording = Recording::start(settings).unwrap();
    let sink = recording.sink().unwrap();
    let mut writer = sink.writer(sink.interface(&near()), 0, Instant::now());
    for n in 0..count {
        writer.begin(n as u64);
        writer.sent(1, &[n as u8; 100], std::iter::empty());
        writer.handed_over(n as u64);
    }
    drop((writer, sink));
    recording.finish().unwrap().unwrap()
}

fn settings(path: &Path) -> CaptureSettings {
    CaptureSettings { path: path.to_owned(), ..CaptureSettings::default() }
}

fn packets(path: &str) -> usize {
    let out = Command::new("tshark").args(["-Tfields", "-e", "frame.number", "-r", path]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().count()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_has_its_name_at_the_end_and_all_packets_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.pcapng");
    let recording = Recording::start(&settings(&path)).unwrap();
    assert!(!path.exists());
    drop(recording);
    let summary = capture(&settings(&path), 500);
    assert_eq!((summary.packets, summary.missed, summary.beyond_limit), (500, 0, 0));
    assert_eq!(summary.note(), None);
    assert_eq!(packets(&summary.files[0]), 500);
    assert_eq!(names(dir.path()), ["run.pcapng"]);
}

#[test]
fn no_file_is_left_of_an_engine_that_never_began() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.pcapng");
    assert_eq!(Recording::start(&settings(&path)).unwrap().finish().unwrap(), None);
    let ring = CaptureSettings { size: Some(1 << 20), files: Some(2), ..settings(&path) };
    drop(Recording::start(&ring).unwrap());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_file_ends_at_its_largest_size_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.pcapng");
    let limited = CaptureSettings { size: Some(20_000), ..settings(&path) };
    let summary = capture(&limited, 500);
    assert!(std::fs::metadata(&path).unwrap().len() <= 20_000);
    assert_eq!(packets(&summary.files[0]) as u64 + summary.beyond_limit, 500);
    assert!(summary.beyond_limit > 0);
    assert!(summary.note().unwrap().contains("--pcap-size"));
}

#[test]
fn a_ring_has_the_last_packets_and_every_file_its_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let ring =
        CaptureSettings { size: Some(20_000), files: Some(3), ..settings(&dir.path().join("run.pcapng")) };
    let summary = capture(&ring, 1_000);
    assert_eq!((summary.packets, summary.files.len()), (1_000, 3));
    for file in &summary.files {
        assert!(std::fs::metadata(file).unwrap().len() <= 20_000);
        let out = Command::new("capinfos").arg(file).output().unwrap();
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        let count = format!("Number of packets = {}", packets(file));
        assert!(told.contains("Number of stat entries = 1") && told.contains(&count), "{told}");
    }
    assert_eq!(names(dir.path()).len(), 3);
}

#[test]
fn places_that_cannot_be_written_are_told_before_anything_begins() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (settings(&dir.path().join("no/run.pcapng")), "directory does not exist"),
        (settings(dir.path()), "is a directory"),
        (settings(Path::new("-")), "a capture is a file"),
        (
            CaptureSettings { size: Some(1_000_000), files: Some(2), ..settings(&dir.path().join("no/r")) },
            "directory does not exist",
        ),
    ];
    for (settings, problem) in cases {
        let error = Recording::start(&settings).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let error = Recording::start(&settings(Path::new("/dev/full"))).unwrap();
    drop(error);
}

#[test]
fn a_disk_that_is_full_is_told_at_the_end() {
    let recording = Recording::start(&settings(Path::new("/dev/full"))).unwrap();
    let sink = recording.sink().unwrap();
    let mut writer = sink.writer(sink.interface(&near()), 0, Instant::now());
    writer.sent(0, &[1; 60], std::iter::empty());
    writer.handed_over(1);
    let error = recording.finish().unwrap_err().to_string();
    assert!(error.contains("no space is left"), "{error}");
}
