//! `bypath load` as a command: bad input, reports, several workers and addresses, Ctrl-C. The first test needs no root.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bypath_lab::{Lab, TcpJob, TcpService};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn bypath(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
    command.arg("load").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit code, and the one document on stdout.
fn document(output: &Output) -> (Option<i32>, Value) {
    let document = serde_json::from_slice(&output.stdout);
    (output.status.code(), document.unwrap_or_else(|e| panic!("{e}: {output:?}")))
}

#[test]
fn impossible_loads_are_refused_before_anything_is_touched_in_json_too() {
    let cases: [(&[&str], &str); 16] = [
        (&["dance", "198.18.0.2:7"], "dance"),
        (&["rr", "198.18.0.2:7", "-c", "0"], "0 would do nothing"),
        (&["rr", "198.18.0.2:7", "-R", "0"], "not a rate above zero"),
        (&["rr", "198.18.0.2:7", "-R", "5G"], "1G a second"),
        (&["rr", "198.18.0.2:7", "-t", "0"], "measures nothing"),
        (&["rr", "198.18.0.2"], "has no port"),
        (&["rr", "198.18.0.2:0"], "port 0"),
        (&["rr", "198.18.0.2:7", "--size", "4/8", "--protocol", "echo"], "as long as its request"),
        (&["rr", "198.18.0.2:7", "--direction", "up"], "--direction is of stream and of files by FTP"),
        (&["stream", "198.18.0.2:7", "-R", "10"], "no requests that -R could pace"),
        (&["stream", "198.18.0.2:7", "-F", "/nonexistent/file"], "/nonexistent/file"),
        (&["hold", "198.18.0.2:7", "-n", "10"], "use -c and -t"),
        (&["http", "ftp://198.18.0.2/a"], "http needs an http:// URL"),
        (&["http", "http://198.18.0.2/", "-H", "no colon"], "is not a header"),
        (&["rr", "198.18.0.2:7", "--local-ips", "198.18.0.9-198.18.0.1/24"], "does not go up"),
        (&["rr", "198.18.0.2:7", "--csv", "/nonexistent/dir/file"], "/nonexistent/dir"),
    ];
    for (args, words) in cases {
        let output = bypath(&[args, &["--json", "--dev", "nowhere0"]].concat()).output().unwrap();
        let (code, document) = document(&output);
        let message = document["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{args:?}: {message}");
        assert_eq!(document["state"], "failed", "{args:?}");
        let expected = if document["error"]["code"] == "usage" { 2 } else { 1 };
        assert_eq!(code, Some(expected), "{args:?}: {message}");
    }
}

#[test]
fn options_that_make_no_sense_are_told_where_the_result_was_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("result.json");
    let to_file = format!("--json={}", file.display());
    let output = bypath(&["dance", "198.18.0.2:7", &to_file]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
    let result: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&result["state"], &result["error"]["code"]), (&"failed".into(), &"usage".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dance"), "{output:?}");
}

/// The server must end while there is still a network to reach it by: fields are dropped in this order.
struct Desk {
    server: TcpService,
    lab: Lab,
}

impl Desk {
    fn new(queues: u32) -> Self {
        let lab = Lab::builder().name_prefix("lc").queues(queues).up().unwrap();
        let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
        Self { server, lab }
    }

    fn load(&self, pattern: &str, args: &[&str]) -> Command {
        let at = self.server.address().to_string();
        let near = self.lab.near();
        bypath(&[&[pattern, &at, "--netns", near.netns(), "--dev", near.interface()], args].concat())
    }
}

#[test]
fn netns_results_go_to_every_form_that_is_asked_for() {
    let desk = Desk::new(1);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let json = format!("--json={}", path("a.json"));
    let (csv, hgrm, hlog) = (path("a.csv"), path("a.hgrm"), path("a.hlog"));
    let args = ["-n", "3000", "-i", "0.1", &json, "--csv", &csv, "--hgrm", &hgrm, "--hlog", &hlog];
    let output = desk.load("rr", &args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("protocol echo") && text.contains("3,000"), "{text}");
    let result: Value = serde_json::from_slice(&std::fs::read(path("a.json")).unwrap()).unwrap();
    assert_eq!(
        (&result["totals"]["requests"], &result["settings"]["protocol"]),
        (&3000.into(), &"echo".into())
    );
    assert!(result["verdict"]["checked"].is_array());
    for (file, words) in [(&csv, "requests"), (&hgrm, "TotalCount"), (&hlog, "HISTF")] {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.contains(words) || file.ends_with("hlog") && text.contains("Interval"),
            "{file}: {text}"
        );
    }
}

#[test]
fn netns_two_workers_share_clients_and_addresses() {
    let desk = Desk::new(2);
    let ips = format!("{}-{}/24", desk.lab.near().spare_ipv4(10), desk.lab.near().spare_ipv4(13));
    let args = ["-c", "9", "-n", "900", "-P", "2", "--local-ips", &ips, "--json"];
    let (code, result) = document(&desk.load("rr", &args).output().unwrap());
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(
        (&result["totals"]["requests"], &result["totals"]["connections_opened"]),
        (&900.into(), &9.into())
    );
    assert_eq!(result["cpu"]["workers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn netns_repeats_are_told_apart_and_together() {
    let desk = Desk::new(1);
    let args = ["-n", "500", "--repeat", "3", "--json"];
    let (code, result) = document(&desk.load("rr", &args).output().unwrap());
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(
        (&result["totals"]["requests"], result["repeats"].as_array().map(Vec::len)),
        (&1500.into(), Some(3))
    );
    assert!(result["spread"]["rates.requests_per_second"]["median"].as_f64() > Some(0.0));
}

#[test]
fn netns_ctrl_c_gives_what_was_measured_and_the_interface_back() {
    let desk = Desk::new(1);
    let mut child = desk.load("rr", &["-t", "60", "--json"]).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    // Long enough for an engine to start; a signal that comes too early would end the command without a word.
    std::thread::sleep(Duration::from_millis(1_500));
    kill(pid, Signal::SIGINT).unwrap();
    let stdout = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    let code = child.wait().unwrap().code();
    let result: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &result["state"]), (Some(130), &"partial".into()));
    assert!(result["totals"]["requests"].as_u64() > Some(0), "{result}");
    let near = desk.lab.near();
    let link = bypath_lab::tool::run("ip", &["-n", near.netns(), "link", "show", near.interface()]).unwrap();
    assert!(!link.contains("xdp"), "{link}");
}
