//! Disks that fill up in mid-run: one clear error, the figures until then, and nothing half-done under a final name.

mod support;

use std::process::{Output, Stdio};

use bypath_lab::peer::Nginx;
use bypath_lab::tool;
use serde_json::Value;
use support::Desk;

const MIB: usize = 1 << 20;

/// Lists on stderr what is left on the disk when the command is over.
const SCRIPT: &str =
    "mount -t tmpfs -o size=1m tmpfs disk && \"$@\"; code=$?; echo left: $(ls -A disk) >&2; exit $code";

/// A load of the desk's server, beside a disk of a megabyte at `disk`, which only the command sees and which goes with it.
fn load(desk: &Desk, args: &[&str]) -> Output {
    let mut command = tool::command("unshare").unwrap();
    command.current_dir(desk.path("")).args(["--mount", "sh", "-c", SCRIPT, "sh"]);
    command.args([env!("CARGO_BIN_EXE_bypath"), "load"]).args(args);
    command.args(["--netns", desk.near().netns(), "--dev", desk.near().interface(), "--json"]);
    command.stdin(Stdio::null()).output().unwrap()
}

/// What was left on the small disk.
fn left(output: &Output) -> Vec<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let (_, names) = errors.rsplit_once("left:").unwrap_or_else(|| panic!("{output:?}"));
    names.split_whitespace().map(str::to_owned).collect()
}

/// A desk with a directory to mount on, and a server that has a file larger than the disk, and a small one.
fn desk() -> (Desk, Nginx) {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("disk")).unwrap();
    desk.serve("large", 8 * MIB);
    desk.serve("small", MIB / 16);
    let nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    (desk, nginx)
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn netns_a_load_whose_files_do_not_fit_ends_at_once_and_leaves_none() {
    let (desk, _nginx) = desk();
    let url = desk.v4("http", "large");
    let output = load(&desk, &["files", &url, "-c", "2", "-t", "40", "--sink", "disk"]);
    let result = document(&output);
    assert_eq!((output.status.code(), &result["state"]), (Some(1), &"partial".into()), "{result:#}");
    assert_eq!(result["error"]["code"], "output", "{result:#}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("disk: no space is left there"), "{message}");
    assert!(result["duration_seconds"].as_f64().unwrap() < 20.0, "{result:#}");
    assert!(result["totals"]["errors"]["sink_failed"].as_u64() > Some(0), "{result:#}");
    assert_eq!(left(&output), [""; 0]);
    desk.is_clean();
}

#[test]
fn netns_files_that_fit_one_after_the_other_are_no_failure() {
    let (desk, _nginx) = desk();
    let url = desk.v4("http", "small");
    let output = load(&desk, &["files", &url, "-c", "2", "-n", "200", "--sink", "disk"]);
    let result = document(&output);
    assert_eq!((output.status.code(), &result["totals"]["requests"]), (Some(0), &200.into()), "{result:#}");
    assert_eq!(left(&output), [""; 0]);
}

#[test]
fn netns_a_result_that_stdout_does_not_take_is_a_failure() {
    let (desk, _nginx) = desk();
    for form in [&["--json"][..], &[]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = tool::command(env!("CARGO_BIN_EXE_bypath"))
            .unwrap()
            .args(["load", "http", &desk.v4("http", "small"), "-n", "3"])
            .args(["--netns", desk.near().netns(), "--dev", desk.near().interface()])
            .args(form)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("cannot write to standard output") && said.contains("no space"), "{said}");
    }
}

#[test]
fn netns_reports_and_captures_that_do_not_fit_are_errors_and_leave_nothing_under_their_names() {
    let (desk, _nginx) = desk();
    let url = desk.v4("http", "large");
    // Some kilobytes for a table of intervals are there, ten megabytes for a capture are not.
    let files = ["--pcap", "disk/c.pcapng", "--csv", "disk/table.csv"];
    let output = load(&desk, &[&["files", &url, "-n", "4", "-i", "0.1"], &files[..]].concat());
    let result = document(&output);
    assert_eq!(output.status.code(), Some(1), "{result:#}");
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("c.pcapng") && message.contains("no space is left there"), "{message}");
    assert!(!left(&output).iter().any(|name| name.starts_with("c.pcapng")), "{output:?}");
    desk.is_clean();
}
