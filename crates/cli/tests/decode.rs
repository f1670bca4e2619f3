//! `bypath decode`: exit codes, errors, pipes, and JSON that is JSON whatever happens.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn capture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../trace/tests/captures/kernel.pcap")
}

fn decode(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bypath"))
        .arg("decode")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused its arguments already.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> usize {
    output.stdout.iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn a_capture_comes_from_a_file_or_a_pipe() {
    let path = capture();
    let file = decode(&["-n", path.to_str().unwrap()], &[]);
    let pipe = decode(&["-n", "-"], &std::fs::read(&path).unwrap());
    assert!(file.status.success() && file.stderr.is_empty());
    assert!(lines(&file) > 200 && file.stdout == pipe.stdout);
    let filtered = decode(&["-n", "--filter", "udp port 53", path.to_str().unwrap()], &[]);
    assert!(lines(&filtered) > 10 && lines(&filtered) < lines(&file));
}

#[test]
fn what_cannot_be_read_is_told_and_ends_in_1() {
    let known: &[(&[u8], &str)] = &[
        (b"", "stdin is empty"),
        (b"\x1f\x8b\x08\0", "compressed by gzip"),
        (b"hello\n", "text, which begins with \"hello\""),
    ];
    for (bytes, what) in known {
        let output = decode(&["-"], bytes);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && output.stdout.is_empty() && error.contains(what),
            "{error}"
        );
    }
    let missing = decode(&["/no/such/file"], &[]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no such file"));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn packets_before_the_end_of_half_a_capture_are_printed() {
    let whole = std::fs::read(capture()).unwrap();
    let output = decode(&["-n", "-"], &whole[..whole.len() / 2]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output) > 50);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is cut off after"));
}

#[test]
fn json_is_one_array_whatever_happens() {
    let whole = std::fs::read(capture()).unwrap();
    let json = |args: &[&str], stdin: &[u8]| -> (Option<i32>, Vec<serde_json::Value>) {
        let output = decode(&[&["--style", "json"], args].concat(), stdin);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let (code, packets) = json(&["-"], &whole);
    assert!(code == Some(0) && packets.len() > 200 && packets[0]["frame.number"] == 1);
    let (code, packets) = json(&["-"], &whole[..1000]);
    assert!(code == Some(1) && packets.last().unwrap()["error"].as_str().unwrap().contains("cut off"));
    assert_eq!(json(&["/no/such/file"], &[]).1.len(), 1);
    let (code, error) = json(&["-", "--filter", "port port"], &whole);
    assert!(
        code == Some(2) && error[0]["error"].as_str().unwrap().contains("the filter is wrong at character 6")
    );
    let (code, error) = json(&["-", "-F", "tcp.nothing"], &whole);
    assert!(code == Some(2) && error[0]["error"].as_str().unwrap().contains("tcp.seq_raw"));
}

#[test]
fn options_that_make_no_sense_end_in_2() {
    for args in [&["-tttttt", "-"][..], &["--style", "none", "-"], &["--filter", "tcp and", "-"], &[]] {
        assert_eq!(decode(args, &[]).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_file_gets_its_name_when_everything_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("lines");
    let path = capture();
    let output = decode(&["-n", path.to_str().unwrap(), "-o", out.to_str().unwrap()], &[]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(std::fs::read(&out).unwrap(), decode(&["-n", path.to_str().unwrap()], &[]).stdout);
    let nowhere = decode(&[path.to_str().unwrap(), "-o", "/no/such/place"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
}
