//! Limits of time and size, and what cannot be served.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use bypath_lab::{Lab, TcpJob, TcpService};
use serde_json::Value;

use crate::shop::Shop;

fn refused(args: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bypath")).arg("serve").args(args).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn netns_serve_ends_what_is_idle_and_what_is_late() {
    let limits = ["--http", "80=DIR", "--ftp", "21=DIR", "--idle-timeout", "0.8", "--request-timeout", "0.4"];
    let shop = Shop::open(&limits, |dir| std::fs::write(dir.join("f"), "f").unwrap());
    let started = Instant::now();
    let (mut idle, mut late, mut ftp) = (shop.dial(80), shop.dial(80), shop.dial(21));
    late.write_all(b"GET /f HTTP/1.1\r\nHo").unwrap();
    let mut text = String::new();
    late.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(800) && waited < Duration::from_secs(5), "{waited:?}");
    text.clear();
    ftp.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("220 ") && text.contains("\r\n421 "), "{text}");
    let document = shop.close();
    assert_eq!(document["totals"]["errors"]["idle_timeout"], 2, "{document:#}");
    assert_eq!(document["totals"]["errors"]["request_timeout"], 1, "{document:#}");
}

#[test]
fn netns_serve_says_what_is_wrong_in_one_line_and_leaves_nothing() {
    let lab = Lab::builder().name_prefix("sv").up().unwrap();
    let near = lab.near();
    let engine = ["--netns", near.netns(), "--dev", near.interface()];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let here = format!("80={}", dir.path().display());
    let no_dir = format!("80={}", file.display());
    let log = format!("{}/no/log", dir.path().display());
    let _taken = TcpService::start(near, near.at(7), TcpJob::Echo).unwrap();
    let cases: [(&[&str], i32, &str); 11] = [
        (&[], 2, "nothing to serve"),
        (&["--http", "80=/no/such/dir"], 2, "/no/such/dir"),
        (&["--http", &no_dir], 2, "Not a directory"),
        (&["--http", &here, "--ftp", &here], 2, "both want port 80"),
        (&["--http", "80"], 2, "PORT=DIR"),
        (&["--rr", "no-such-service"], 2, "/etc/services"),
        (&["--echo=0"], 2, "not a port"),
        (&["--http", &here, "--writable"], 2, "--ftp"),
        (&["--rr", "5000", "--ftp-ports", "9-8"], 2, "FIRST-LAST"),
        (&["--rr", "5000", "--access-log", &log], 2, "access log"),
        (&["--echo"], 1, "7"),
    ];
    for (args, code, words) in cases {
        let (got, _, text) = refused(&[&engine[..], args].concat());
        assert!(got == Some(code) && text.contains(words), "{args:?}: {got:?} {text}");
        let (got, document, text) = refused(&[&engine[..], &["--json"], args].concat());
        assert_eq!(
            (got, &document["state"]),
            (Some(code), &"failed".into()),
            "{args:?}: {document:#} {text}"
        );
    }
    let link =
        bypath_lab::tool::run("ip", &["-n", near.netns(), "link", "show", "dev", near.interface()]).unwrap();
    assert!(!link.contains("xdp"), "{link}");
}

#[test]
fn netns_serve_ends_by_itself_after_its_time() {
    let lab = Lab::builder().name_prefix("sv").up().unwrap();
    let near = lab.near();
    let args =
        ["--netns", near.netns(), "--dev", near.interface(), "--rr", "5000", "--max-time", "0.2", "--json"];
    let (code, document, text) = refused(&args);
    assert_eq!((code, &document["state"]), (Some(0), &"complete".into()), "{document:#} {text}");
    assert_eq!((&document["command"], &document["settings"]["rr"]), (&"serve".into(), &5000.into()));
    assert_eq!(document["conditions"]["driver"], "veth");
}
