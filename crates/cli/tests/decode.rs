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
    // What the parser of arguments refuses, too.
    for args in [&["--nonsense", "-"][..], &[], &["-F"]] {
        let (code, error) = json(args, &whole);
        assert!(code == Some(2) && error.len() == 1 && error[0]["error"].is_string(), "{args:?}: {error:?}");
    }
}

#[test]
fn a_table_in_json_is_one_document_whatever_happens() {
    for (args, code) in [
        (&["/no/such/file"][..], 1),
        (&["--nonsense", "-"], 2),
        (&[], 2),
        (&["-", "--filter", "port port"], 2),
    ] {
        let output = decode(&[&["--conversations=json"], args].concat(), &[]);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(table["schema"] == "bypath-conversations/1" && table["error"].is_string(), "{table}");
    }
}

/// A capture of the same packet at these times, in seconds since 1970.
fn at_times(times: &[u32]) -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101]);
    let packet = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0xee, 0x9f, 198, 18, 0, 1, 198, 18, 0, 2, 0, 1, 0, 9, 0, 8, 0, 0,
    ];
    for time in times {
        bytes.extend(words(&[*time, 123_456, 28, 28]));
        bytes.extend(packet);
    }
    bytes
}

#[test]
fn local_times_are_those_of_tcpdump_in_any_zone() {
    let version = Command::new("tcpdump").arg("--version").output().unwrap();
    if !String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).contains("4.99") {
        return;
    }
    // Around midnight, and around the changes of the clock in New York and on Lord Howe Island, which is half an hour.
    let times = [
        0,
        86_399,
        951_782_399,
        1_700_000_000,
        1_710_053_999,
        1_710_054_000,
        1_712_415_599,
        1_712_415_600,
        1_712_417_400,
        1_730_611_799,
        1_730_613_600,
        1_730_617_200,
        2_147_483_647,
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("times.pcap");
    std::fs::write(&path, at_times(&times)).unwrap();
    let printed = |program: &str, first: &[&str], flags: &[&str], zone: &str| {
        let mut command = Command::new(program);
        command.args(first).args(flags).arg(&path).env("TZ", zone).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let zones = [
        "UTC",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        ":Europe/Berlin",
        "<+0330>-3:30",
        "EST5EDT,M3.2.0,M11.1.0",
        "No/Such",
        "",
    ];
    for zone in zones {
        for flags in [&["-n"][..], &["-n", "-tttt"], &["-n", "-ttt"], &["-n", "-ttttt"]] {
            let ours = printed(env!("CARGO_BIN_EXE_bypath"), &["decode"], flags, zone);
            let theirs = printed("tcpdump", &[], &[flags, &["-r"]].concat(), zone);
            assert_eq!(ours, theirs, "{flags:?} in {zone:?}");
        }
    }
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

#[test]
fn what_is_no_capture_takes_no_files_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "no capture").unwrap();
    for input in [path("nothing"), path("text")] {
        for style in ["tcpdump", "story", "diagram", "json"] {
            std::fs::write(path("kept"), "precious").unwrap();
            let output = decode(&["--style", style, "-o", &path("kept"), &input], &[]);
            assert_eq!(output.status.code(), Some(1), "{style} {input}");
            assert_eq!(std::fs::read(path("kept")).unwrap(), b"precious", "{style} {input}");
        }
    }
    // Half a capture is worth having.
    let whole = std::fs::read(capture()).unwrap();
    std::fs::write(path("half"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(decode(&["-n", "-o", &path("kept"), &path("half")], &[]).status.code(), Some(1));
    assert!(std::fs::read_to_string(path("kept")).unwrap().lines().count() > 20);
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_capture_is_not_replaced_by_what_is_read_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("c.pcap"), dir.path().join("link"));
    std::fs::copy(capture(), &file).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for output in [&file, &link] {
        let output = decode(&["-o", output.to_str().unwrap(), file.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("would be replaced"), "{output:?}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(capture()).unwrap());
}

#[test]
fn ctrl_c_keeps_what_was_read_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bypath"))
        .args(["decode", "--style", "json", "-o", path.to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Much more than the pipe holds: nearly all has been read when this returns.
    nix::fcntl::fcntl(&stdin, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let whole = std::fs::read(capture()).unwrap();
    stdin.write_all(&whole).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let packets: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(packets.as_array().unwrap().len() > 10);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn errors_that_nobody_reads_are_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_bypath"))
        .args(["decode", "/nonexistent/file"])
        .stdin(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
