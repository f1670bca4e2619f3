//! `bypath decode` on connections: the table, the byte stream, the story and the picture of a capture file.

use std::path::PathBuf;
use std::process::{Command, Output};

use bypath_sim::app::Script;
use bypath_sim::link::LinkSpec;
use bypath_sim::loss::Loss;
use bypath_sim::plan::{HostPlan, Plan};
use bypath_sim::runner;
use tempfile::TempDir;

/// A transfer of 60,000 bytes of which one packet is lost.
fn capture(dir: &TempDir) -> PathBuf {
    let lossy = LinkSpec { loss: Loss::Exactly(vec![8]), ..LinkSpec::default() };
    let plan = Plan::pair(3, [HostPlan::default(), HostPlan::default()], lossy, LinkSpec::default());
    let capture = runner::capture_plan(&plan.with(Script::bulk(60_000), Script::sink())).unwrap();
    let path = dir.path().join("transfer.pcapng");
    std::fs::write(&path, capture.as_bytes()).unwrap();
    path
}

fn decode(args: &[&str], capture: &PathBuf) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bypath")).arg("decode").args(args).arg(capture).output().unwrap()
}

fn text(args: &[&str], capture: &PathBuf) -> String {
    let output = decode(args, capture);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_table_lists_each_interface_s_view_and_counts_what_was_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(&dir);
    let table = text(&["--conversations"], &capture);
    assert!(table.lines().next().unwrap().contains("client") && table.contains("10.0.0.2:80"), "{table}");
    let json = text(&["--conversations=json"], &capture);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["schema"], "bypath-conversations/1");
    let sender = &document["conversations"][0];
    assert_eq!(sender["from_client"]["bytes"], 60_000);
    assert_eq!(sender["from_client"]["retransmissions"], 1);
    assert_eq!(sender["closed_by"], "server");
}

#[test]
fn the_stream_of_a_connection_is_whole_though_a_packet_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(&dir);
    // The second connection is the receiver's view.
    for connection in ["1", "2"] {
        let args = ["--follow", connection, "--follow-from", "client", "--follow-as", "raw"];
        assert_eq!(decode(&args, &capture).stdout.len(), 60_000);
    }
    let missing = decode(&["--follow", "9"], &capture);
    assert!(!missing.status.success() && missing.stdout.is_empty());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no connection 9"));
}

#[test]
fn the_story_and_the_picture_say_why_something_was_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(&dir);
    let story = text(&["--style", "story", "--detail", "short"], &capture);
    assert!(story.contains("SACK") && story.contains("The client sent 1 segment again"), "{story}");
    let page = dir.path().join("page.html");
    text(&["--style", "diagram", "-o", page.to_str().unwrap()], &capture);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("data lost told") && page.ends_with("</html>\n"));
}
