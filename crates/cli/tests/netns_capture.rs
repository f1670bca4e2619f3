//! `--pcap` and `bypath trace` in network namespaces: what our captures hold is what others saw on the wire, and what they
//! remark is what tshark finds. Needs root.

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bypath_lab::peer::Nginx;
use bypath_lab::{Capture, Impairments, Lab};
use bypath_trace::{Direction, read};
use support::{Desk, wait_until};

const MIB: usize = 1 << 20;

/// The frames of a capture, with the direction that it tells.
fn frames(path: &Path) -> Vec<(Option<Direction>, Vec<u8>)> {
    let mut frames = Vec::new();
    let Ok(file) = std::fs::File::open(path) else { return frames };
    let Ok(mut capture) = read::Capture::open(std::io::BufReader::new(file)) else { return frames };
    // A capture that still grows may end in the middle of a frame.
    while let Ok(Some(record)) = capture.next_record() {
        frames.push((record.direction, record.data.to_vec()));
    }
    frames
}

/// A row of fields for each packet that the filter accepts.
fn tshark(path: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-Tfields", "-Eseparator=|", "-Y", filter]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.arg("-r").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

#[track_caller]
fn well_formed(path: &Path) {
    assert_eq!(tshark(path, "_ws.malformed", &["frame.number"]), Vec::<Vec<String>>::new());
    let output = Command::new("capinfos").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn bypath(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn netns_a_capture_holds_what_the_far_end_saw_packet_for_packet() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let own = desk.near().spare_ipv4(10);
    let (seen, ours) = (desk.path("far.pcap"), desk.path("near.pcapng"));
    let capture = Capture::start(desk.far(), &seen, &format!("host {own}")).unwrap();
    let address = format!("{own}/24");
    let run = desk.get(&["-o", "f", "--ip", &address, "--pcap", "near.pcapng", &desk.v4("http", "file")]);
    run.fetched(&file);
    let near = frames(&ours);
    assert_eq!(run.json["capture"]["packets"], near.len() as u64, "{:#}", run.json);
    assert_eq!(run.json["capture"]["missed"], 0);
    wait_until("tcpdump to write what it has seen", || frames(&seen).len() >= near.len());
    capture.finish().unwrap();
    let far = frames(&seen);
    assert_eq!(far.len(), near.len());
    // The two clocks are one, but each end sees its own packets first: the order is each direction's own.
    let mac: Vec<u8> = near.iter().find(|(way, _)| *way == Some(Direction::Out)).unwrap().1[6..12].to_vec();
    for (way, is_ours) in [(Direction::Out, true), (Direction::In, false)] {
        let near: Vec<&Vec<u8>> = near.iter().filter(|(is, _)| *is == Some(way)).map(|(_, b)| b).collect();
        let far: Vec<&Vec<u8>> =
            far.iter().map(|(_, b)| b).filter(|bytes| (bytes[6..12] == mac[..]) == is_ours).collect();
        assert_eq!(near.len(), far.len(), "{way:?}");
        for (n, (near, far)) in near.iter().zip(&far).enumerate() {
            assert!(near == far, "packet {n} {way:?} differs");
        }
    }
    well_formed(&ours);
}

#[test]
fn netns_remarks_on_retransmissions_are_those_of_tshark() {
    let lossy = Impairments { seed: 7, loss: 0.02, ..Impairments::NONE };
    let desk =
        Desk::in_lab(Lab::builder().name_prefix("c").through_box(lossy, Impairments::NONE).up().unwrap());
    let file = desk.serve("file", 2 * MIB);
    let dir = format!("80={}", desk.served().display());
    let path = desk.path("serve.pcapng");
    let near = ["--netns", desk.near().netns(), "--dev", desk.near().interface()];
    let pcap = ["--json", "--pcap", path.to_str().unwrap()];
    let server = bypath(&[&["serve", "--http", &dir][..], &near, &pcap].concat()).spawn().unwrap();
    let url = format!("http://{}/file", desk.near().ipv4());
    let mut curl = desk.far().command("curl").unwrap();
    let got = curl
        .args(["-s", "--retry", "30", "--retry-delay", "1", "--retry-connrefused", "--max-time", "50", &url])
        .output()
        .unwrap();
    assert_eq!(got.stdout.len() as u64, file.len, "{}", text(&got.stderr));
    bypath_lab::tool::run("kill", &["-INT", &server.id().to_string()]).unwrap();
    let output = server.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    well_formed(&path);
    let numbers = |filter: &str| -> BTreeSet<String> {
        tshark(&path, filter, &["frame.number"]).into_iter().map(|row| row[0].clone()).collect()
    };
    let ours = numbers("frame.comment contains \"retransmission\"");
    // From the sender's side tshark takes what is sent again within a round trip for reordered.
    let again =
        "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || tcp.analysis.out_of_order";
    let theirs = numbers(&format!("tcp.srcport == 80 && ({again})"));
    assert!(!ours.is_empty(), "nothing was lost");
    assert_eq!(ours, theirs);
    // What came twice or out of order is remarked, too, and what was sent has no cause for being dropped.
    assert!(numbers("tcp.srcport == 80 && frame.comment contains \"dropped\"").is_empty());
}

#[test]
fn netns_a_story_beside_a_capture_has_whole_packets_though_the_capture_cuts_them() {
    let desk = Desk::new();
    let file = desk.serve("file", 100_000);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    let both = ["--story", "--detail", "short", "--pcap", "cut.pcapng", "--snaplen", "60"];
    let run = desk.get(&[&["-o", "f"][..], &both, &[&url]].concat());
    run.fetched(&file);
    let told = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in
        ["asks \"GET /file HTTP/1.1\"", "That completes the body of 100,000 bytes.", "1 TCP connection."]
    {
        assert!(told.contains(said), "no {said:?} in {told}");
    }
    let path = desk.path("cut.pcapng");
    well_formed(&path);
    let frames = frames(&path);
    assert_eq!(run.json["capture"]["packets"], frames.len() as u64);
    assert!(frames.len() > 5 && frames.iter().all(|(_, bytes)| bytes.len() <= 60));
    desk.is_clean();
}

#[test]
fn netns_an_interrupted_run_leaves_a_capture_of_what_was_seen() {
    let desk = Desk::new();
    desk.serve("file", 3 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 200k;").start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    let run = desk.start(&["-o", "f", "--pcap", "cut.pcapng", "--snaplen", "60", &url]);
    desk.wait_for_len(".f.part", 1);
    assert!(!desk.path("cut.pcapng").exists(), "it has its name at the end");
    run.signal("-INT");
    let outcome = run.outcome();
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    let path = desk.path("cut.pcapng");
    well_formed(&path);
    let frames = frames(&path);
    assert!(frames.len() > 5 && frames.iter().all(|(_, bytes)| bytes.len() <= 60));
    assert_eq!(outcome.json["capture"]["packets"], frames.len() as u64);
    desk.is_clean();
}

#[test]
fn netns_a_capture_that_cannot_be_written_is_refused_before_the_run() {
    let desk = Desk::new();
    let url = desk.v4("http", "file");
    desk.get(&["--pcap", "no/such.pcapng", &url]).fails(23, &["no/such.pcapng", "directory does not exist"]);
    desk.get(&["--pcap", ".", &url]).fails(23, &["is a directory"]);
    desk.get(&["--pcap", "f", "--stack", "kernel", &url]).fails(2, &["bypath trace"]);
    desk.get(&["--pcap-files", "2", &url]).fails(2, &["--pcap"]);
    // Nobody listens there: the engine began, and what it saw of that is kept.
    let refused = desk.get(&["--pcap", "refused.pcapng", &url]);
    assert_eq!(refused.code, Some(7), "{refused:#?}");
    assert_eq!(desk.names(), ["refused.pcapng"]);
    let resets = tshark(&desk.path("refused.pcapng"), "tcp.flags.reset == 1", &["frame.number"]);
    assert!(!resets.is_empty());
    desk.is_clean();
}

#[test]
fn netns_frames_of_a_blast_are_captured_at_both_ends() {
    let lab = Lab::builder().name_prefix("c").up().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blast.pcapng");
    let (near, far) = (lab.near(), lab.far());
    let output = bypath(&["blast", "-n", "500", "-R", "10000", "--json", "--pcap", path.to_str().unwrap()])
        .args(["--netns", near.netns(), "--dev", near.interface()])
        .args(["--to-netns", far.netns(), "--to-dev", far.interface()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    // Not asked whether tshark finds them well-formed: it guesses protocols in a payload of numbers and times.
    let rows = tshark(&path, "udp.port == 9", &["frame.interface_name", "frame.len"]);
    for name in [near.interface(), far.interface()] {
        assert_eq!(rows.iter().filter(|row| row[0] == name).count(), 500, "{name}");
    }
}

/// `bypath trace` on the near host's interface, to which `line` is said when it has printed so much.
fn trace(desk: &Desk, args: &[&str], lines: usize) -> Output {
    let mut child = bypath(&["trace", "--netns", desk.near().netns(), "--dev", desk.near().interface()])
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (mut printed, mut byte) = (Vec::new(), [0]);
    if lines > 0 {
        let mut stderr = child.stderr.take().unwrap();
        // "watching …": from here on packets are seen.
        while stderr.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
        let ping = std::thread::scope(|scope| {
            let ping = scope.spawn(|| desk.far().ping(desk.near().ipv4().into(), support::LONG));
            let stdout = child.stdout.as_mut().unwrap();
            while printed.iter().filter(|byte| **byte == b'\n').count() < lines
                && stdout.read(&mut byte).unwrap() == 1
            {
                printed.push(byte[0]);
            }
            ping.join().unwrap()
        });
        ping.unwrap();
        let _ = stdin.write_all(b"\n");
    }
    let mut output = child.wait_with_output().unwrap();
    printed.append(&mut output.stdout);
    Output { stdout: printed, ..output }
}

#[test]
fn netns_trace_prints_a_line_a_packet_until_enter() {
    let desk = Desk::new();
    let path = desk.path("kernel.pcapng");
    let output = trace(&desk, &["--pcap", path.to_str().unwrap(), "icmp"], 2);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let first = printed.lines().next().unwrap();
    let prefix = format!("{}:[", desk.near().interface());
    assert!(first.starts_with(&prefix), "{first}");
    let rest = first.split("]: ").nth(1).unwrap();
    let far = desk.far().ipv4();
    assert!(rest.starts_with(&format!("IP {far} > {}: ICMP echo request", desk.near().ipv4())), "{first}");
    let seconds = first[prefix.len()..].split(']').next().unwrap();
    assert!(seconds.len() >= 6 && seconds.trim().parse::<f64>().unwrap() >= 0.0, "{first}");
    well_formed(&path);
    assert_eq!(frames(&path).len(), printed.lines().count());
}

#[test]
fn netns_trace_tells_the_story_and_gives_one_document() {
    let desk = Desk::new();
    let told = text(&trace(&desk, &["--style", "story", "icmp"], 1).stdout);
    let ends = format!("{} → {}", desk.far().ipv4(), desk.near().ipv4());
    assert!(told.contains(&ends), "{told}");
    let packets = trace(&desk, &["--style", "json", "icmp"], 2);
    let packets: serde_json::Value = serde_json::from_slice(&packets.stdout).unwrap();
    assert_eq!(packets[0]["ip.src"], desk.far().ipv4().to_string(), "{packets:#}");
    let failed = trace(&desk, &["--style", "json", "no", "such", "filter"], 0);
    assert_eq!(failed.status.code(), Some(2));
    let failed: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert!(failed[0]["error"].as_str().unwrap().contains("is no filter"), "{failed:#}");
}

#[test]
fn netns_trace_says_what_is_wrong() {
    let desk = Desk::new();
    let cases: [(&[&str], i32, &str); 2] = [
        (&["no", "such", "filter"], 2, "is no filter"),
        (&["--pcap", "/no/such/file"], 1, "directory does not exist"),
    ];
    for (args, code, words) in cases {
        let output = trace(&desk, args, 0);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    let output = bypath(&["trace", "--dev", "nosuch0"]).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("nosuch0"));
}
