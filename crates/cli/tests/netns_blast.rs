//! Raw frames between the hosts of a lab: what is counted agrees with the kernel and with the box in between, and what
//! cannot be is refused in one error. Needs root.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bypath_lab::{Host, Impairments, Lab, MiddleCounts, TcpJob, TcpService, tool};
use serde_json::Value;

fn bypath(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
    command.args(args).arg("--json").stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Where the near host sends.
fn near(lab: &Lab) -> [&str; 4] {
    ["--netns", lab.near().netns(), "--dev", lab.near().interface()]
}

/// Both ends in one process.
fn both(lab: &Lab) -> Vec<&str> {
    let far = ["--to-netns", lab.far().netns(), "--to-dev", lab.far().interface()];
    [&near(lab)[..], &far[..]].concat()
}

/// The document that a run prints, and its exit code.
fn finish(child: Child) -> (Option<i32>, Value) {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| {
        panic!("no JSON document ({error}): {stdout:?}, {}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), json)
}

/// A run beside others, which is over when the test is, however that ends.
struct Beside(Option<Child>);

impl Beside {
    fn start(args: &[&str]) -> Self {
        Self(Some(bypath(args).spawn().unwrap()))
    }

    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn finish(mut self) -> (Option<i32>, Value) {
        finish(self.0.take().unwrap())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[track_caller]
fn run(args: &[&str]) -> Value {
    let (code, json) = finish(bypath(args).spawn().unwrap());
    assert_eq!(code, Some(0), "{json:#}");
    json
}

fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {json:#}"))
}

fn total(json: &Value, name: &str) -> u64 {
    number(json, &format!("/totals/{name}"))
}

/// Frames that came to our own rings while a busy machine kept us from them.
fn too_late(json: &Value) -> u64 {
    ["rx_dropped", "rx_ring_full"].iter().filter_map(|cause| json["drops"][cause].as_u64()).sum()
}

/// All frames but those.
#[track_caller]
fn all_there(json: &Value, frames: u64) {
    assert_eq!(total(json, "packets_received") + too_late(json), frames, "{json:#}");
    assert_eq!(total(json, "packets_lost"), too_late(json), "{json:#}");
    assert_eq!(total(json, "packets_reordered") + total(json, "packets_duplicated"), 0, "{json:#}");
}

/// What arrived at an interface and was left to the kernel or dropped by the steering program.
fn not_ours(json: &Value, interface: usize) -> u64 {
    let verdicts = &json["interfaces"][interface]["steering"];
    let others = verdicts.as_object().into_iter().flatten();
    others.filter(|(cause, _)| !cause.starts_with("redirect_")).filter_map(|(_, count)| count.as_u64()).sum()
}

fn wait_for_xdp(host: &Host) {
    let started = Instant::now();
    let attached = || {
        tool::run("ip", &["-n", host.netns(), "link", "show", "dev", host.interface()])
            .unwrap()
            .contains("xdp")
    };
    while !attached() {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody attaches to {}", host.interface());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn netns_blast_agrees_with_the_kernels_counters_to_the_frame() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let args = [&["blast", "-n", "30000", "-R", "60000", "--size", "imix"][..], &both(&lab)].concat();
    let json = run(&args);
    assert_eq!((total(&json, "packets_sent"), total(&json, "packets_corrupt")), (30_000, 0), "{json:#}");
    all_there(&json, 30_000);
    // 30,000 is 2,500 dozens of the mix; four bytes of each frame are the FCS, which the kernel does not see.
    let bytes = 2_500 * (7 * 60 + 4 * 590 + 1514);
    assert_eq!(total(&json, "wire_bytes_sent"), bytes);
    assert!(too_late(&json) > 0 || total(&json, "wire_bytes_received") == bytes, "{json:#}");
    // The hosts' kernels may have had something of their own to say, which is known as well.
    let others = not_ours(&json, 1);
    assert_eq!(number(&json, "/interfaces/0/kernel_packets_sent"), 30_000 + others);
    assert_eq!(number(&json, "/interfaces/1/kernel_packets_received"), 30_000 + others);
    let received = total(&json, "packets_received");
    assert_eq!(number(&json, "/interfaces/1/packets_received"), received);
    assert!(number(&json, "/latency/one_way/count") == received);
    assert!(number(&json, "/latency/one_way/p50_ns") > 0);
}

#[test]
fn netns_blast_goes_through_jumbo_frames_tags_tcp_ipv6_and_several_queues() {
    let lab = Lab::builder().name_prefix("bl").mtu(9000).queues(2).up().unwrap();
    let variants: [&[&str]; 4] = [
        &["--size", "9018"],
        &["--size", "128", "--proto", "tcp", "--vlan", "7"],
        &["--size", "128", "--dst-ip", "fd00:198:18::99", "--src-port", "1000-1015"],
        &["--size", "64", "-P", "2", "--dst-ip", "198.18.255.0/28"],
    ];
    for variant in variants {
        let json = run(&[&["blast", "-n", "4000", "-R", "20000"][..], variant, &both(&lab)].concat());
        all_there(&json, 4_000);
    }
}

/// Sends 20,000 frames through a box that does this. Returns what was counted, what the box did, and how many frames
/// came to the box besides ours.
fn through(impairments: Impairments) -> (Value, MiddleCounts, u64) {
    let lab = Lab::builder().name_prefix("bl").through_box(impairments, Impairments::NONE).up().unwrap();
    let args = [&["blast", "-n", "20000", "-R", "25000", "--size", "128"][..], &both(&lab)].concat();
    let json = run(&args);
    let counts = lab.middle().unwrap().outward();
    assert_eq!(counts.failed, 0, "the box was too slow");
    assert_eq!(total(&json, "packets_sent"), 20_000);
    (json, counts, counts.received - 20_000)
}

/// Ours are as many as the box says, but for those of the hosts' own kernels that it may have met with.
#[track_caller]
fn agree(ours: u64, box_says: u64, others: u64) {
    assert!(ours > 0 && ours <= box_says && box_says - ours <= others, "{ours}, the box says {box_says}");
}

#[test]
fn netns_blast_counts_what_the_box_loses() {
    let (json, counts, others) = through(Impairments { seed: 1, loss: 0.02, ..Impairments::NONE });
    agree(total(&json, "packets_lost"), counts.lost, others);
    assert_eq!(total(&json, "packets_received"), 20_000 - total(&json, "packets_lost"));
    assert_eq!(total(&json, "packets_reordered"), 0);
}

#[test]
fn netns_blast_counts_what_the_box_sends_twice() {
    let (json, counts, others) = through(Impairments { seed: 2, duplicate: 0.02, ..Impairments::NONE });
    agree(total(&json, "packets_duplicated"), counts.duplicated, others);
    assert_eq!(total(&json, "packets_lost") + total(&json, "packets_reordered"), 0);
}

#[test]
fn netns_blast_counts_what_the_box_reorders() {
    let (json, counts, others) = through(Impairments { seed: 3, reorder: 0.02, ..Impairments::NONE });
    agree(total(&json, "packets_reordered"), counts.reordered, others);
    assert_eq!(total(&json, "packets_lost") + total(&json, "packets_duplicated"), 0);
}

#[test]
fn netns_blast_counts_what_the_box_damages() {
    let (json, counts, others) = through(Impairments { seed: 4, corrupt: 0.02, ..Impairments::NONE });
    // A flipped bit in the address or the lengths may keep a frame from us: the steering program says of how many.
    let damaged = total(&json, "packets_corrupt");
    let strayed = total(&json, "packets_lost");
    agree(damaged + strayed, counts.corrupted, others);
    assert!(strayed <= not_ours(&json, 1), "{json:#}");
    assert_eq!(total(&json, "packets_received"), 20_000 - damaged - strayed);
}

#[test]
fn netns_blast_to_another_process_ends_it_and_is_counted_there() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let (netns, dev, mac) = (lab.far().netns(), lab.far().interface(), lab.far().mac());
    let listening = ["blast", "--receive", "--netns", netns, "--dev", dev, "-t", "30"];
    let receiver = Beside::start(&listening);
    wait_for_xdp(lab.far());
    let args = [
        &["blast", "-n", "5000", "-R", "20000", "--dst-mac", mac, "--src-port", "1000-1003"][..],
        &near(&lab),
    ];
    let sent = run(&args.concat());
    let (code, received) = receiver.finish();
    assert_eq!(code, Some(0), "{received:#}");
    assert_eq!(total(&sent, "packets_sent"), 5000);
    all_there(&received, 5_000);
    assert!(received["latency"].get("one_way").is_none(), "nobody said that the clocks are the same");
}

#[test]
fn netns_blast_sends_the_frames_of_a_capture() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    // A datagram of 26 bytes to 198.18.0.77 port 5, with room for a signature, and an ARP request that has none.
    let mut datagram =
        vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 54, 0, 0, 0x40, 0, 64, 17, 0, 0];
    datagram.extend([198, 18, 0, 76, 198, 18, 0, 77, 0, 5, 0, 5, 0, 34, 0, 0]);
    datagram.extend([0xab; 26]);
    let mut file = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    file.extend([0; 8]);
    for _ in 0..2 {
        file.extend((datagram.len() as u32).to_le_bytes());
    }
    file.extend(&datagram);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.pcap");
    std::fs::write(&path, &file).unwrap();
    let json =
        run(&[&["blast", "-n", "1000", "-R", "20000", "--replay", path.to_str().unwrap()][..], &both(&lab)]
            .concat());
    all_there(&json, 1_000);
    std::fs::write(&path, b"no capture at all").unwrap();
    let args = [&["blast", "--replay", path.to_str().unwrap()][..], &both(&lab)].concat();
    refused(&args, 2, "cannot take frames from");
}

#[test]
fn netns_rfc2544_finds_a_rate_that_is_carried_and_none_on_a_wire_that_loses() {
    let common = ["rfc2544", "--size", "128", "-t", "0.2", "-R", "10000", "--test", "throughput,latency"];
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let json = run(&[&common[..], &both(&lab)].concat());
    let found = &json["frame_sizes"][0];
    assert!(carried(found), "{json:#}");
    assert!(found["latency"]["count"].as_u64().unwrap() > 0);
    let bad = Impairments { seed: 5, loss: 0.1, ..Impairments::NONE };
    let lab = Lab::builder().name_prefix("bl").through_box(bad, Impairments::NONE).up().unwrap();
    let json = run(&[&common[..], &["--resolution", "20"], &both(&lab)].concat());
    assert_eq!(json["frame_sizes"][0]["throughput_frames_per_second"], 0.0, "{json:#}");
    assert_eq!(json["frame_sizes"][0]["throughput_limited_by"], "device");
    let json = run(&[&common[..], &["--loss", "20"], &both(&lab)].concat());
    assert!(carried(&json["frame_sizes"][0]), "{json:#}");
}

/// All that was asked for, or as much of it as a busy machine let the generator send.
fn carried(found: &Value) -> bool {
    let rate = found["throughput_frames_per_second"].as_f64().unwrap();
    rate > 9_000.0 || found["throughput_limited_by"] == "generator"
}

#[test]
fn netns_blast_latency_and_rfc2544_write_what_other_tools_read() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let commands: [(&[&str], &str, usize); 3] = [
        (&["blast", "-R", "5000", "-t", "0.3", "-i", "0.1", "--repeat", "2"], "interval", 2 * 2),
        (
            &["latency", "--proto", "raw", "-R", "1000", "-t", "0.3", "-i", "0.1", "--repeat", "2"],
            "interval",
            2 * 2,
        ),
        (
            &["rfc2544", "-R", "5000", "-t", "0.1", "--size", "64,128", "--test", "throughput,latency"],
            "step",
            4,
        ),
    ];
    for (command, part, least) in commands {
        let file = |extension: &str| dir.path().join(format!("{}.{extension}", command[0]));
        let [csv, hgrm, hlog] = ["csv", "hgrm", "hlog"].map(file);
        let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let (csv, hgrm, hlog) = (path(&csv), path(&hgrm), path(&hlog));
        let files = ["--csv", &csv, "--hgrm", &hgrm, "--hlog", &hlog];
        let json = run(&[command, &files[..], &both(&lab)].concat());
        if command.contains(&"--repeat") {
            assert_eq!(json["repeats"].as_array().map(Vec::len), Some(2), "{json:#}");
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        let lines = read(&csv).lines().filter(|line| line.starts_with(part)).count();
        assert!(lines >= least, "{command:?}: {}", read(&csv));
        let total = read(&hgrm)
            .lines()
            .any(|line| line.starts_with("#[Max ") && !line.contains("count    =            0"));
        assert!(total, "{command:?}: {}", read(&hgrm));
        assert!(
            read(&hlog).lines().filter(|line| line.starts_with("Tag=")).count() >= 2,
            "{command:?}: {}",
            read(&hlog)
        );
    }
    assert!(dir.path().join("rfc2544.128.hgrm").exists(), "one for each size");
}

#[test]
fn netns_latency_over_tcp_and_udp_on_both_stacks_against_the_kernel() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let server = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let socket = lab.far().run(|| UdpSocket::bind("0.0.0.0:7").unwrap()).unwrap();
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            if len == 1 {
                break;
            }
            let _ = socket.send_to(&bytes[..len], from);
        }
    });
    let target = lab.far().ipv4().to_string();
    for proto in ["tcp", "udp"] {
        for stack in ["engine", "kernel"] {
            let args = ["latency", &target, "--proto", proto, "--stack", stack, "-n", "300", "-O", "0"];
            let json = run(&[&args[..], &near(&lab)].concat());
            assert_eq!(total(&json, "requests"), 300, "{proto} {stack}: {json:#}");
            let at = |name: &str| number(&json, &format!("/latency/round_trip/{name}"));
            assert!(
                at("count") == 300 && at("min_ns") > 1_000 && at("p50_ns") <= at("p99_ns"),
                "{proto} {stack}"
            );
        }
    }
    let json = run(&[&["latency", &target, "-R", "500", "-t", "0.5"][..], &near(&lab)].concat());
    let count = number(&json, "/latency/request/count");
    // One may be under way at the end.
    let due = count + number(&json, "/generator/not_started");
    assert!((249..=250).contains(&due), "{json:#}");
    assert_eq!(number(&json, "/latency/request_service/count"), count);
    let end = UdpSocket::bind("0.0.0.0:0");
    lab.near().run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(&[0], lab.far().at(7)).unwrap()).unwrap();
    drop(end);
    echo.join().unwrap();
    drop(server);
}

/// Who reflects frames receives them as well, and is not who measures.
#[test]
fn netns_intervals_of_raw_latency_are_of_the_end_that_measures() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let args = ["latency", "--proto", "raw", "-R", "1000", "-t", "0.5", "-i", "0.1", "-O", "0"];
    let json = run(&[&args[..], &both(&lab)].concat());
    let total = number(&json, "/totals/packets_received");
    let sum = |field: &str| -> u64 {
        let intervals = json["intervals"].as_array().unwrap().iter();
        intervals.filter_map(|interval| interval.pointer(field)?.as_u64()).sum()
    };
    assert!(total > 0 && sum("/totals/packets_received") <= total, "{json:#}");
    assert!(sum("/totals/packets_received") > total / 2, "{json:#}");
    let count = number(&json, "/latency/round_trip/count");
    assert!(sum("/latency/round_trip/count") <= count, "{json:#}");
}

/// The far host's server does this to each answer.
fn answering(lab: &Lab, change: impl Fn(&mut [u8]) -> bool + Send + 'static) -> String {
    let at = lab.far().at(7);
    let listener = lab.far().run(|| std::net::TcpListener::bind(at)).unwrap().unwrap();
    let serve = move || {
        let mut message = [0; 64];
        for mut stream in listener.incoming().flatten() {
            while stream.read_exact(&mut message).is_ok() {
                if change(&mut message) && stream.write_all(&message).is_err() {
                    break;
                }
            }
        }
    };
    lab.far().spawn("odd-echo", serve).unwrap();
    at.to_string()
}

#[test]
fn netns_latency_says_what_is_wrong_with_a_server_that_is_no_echo() {
    for (answers, words) in [(true, "never with what was sent"), (false, "did not answer within")] {
        let lab = Lab::builder().name_prefix("bl").up().unwrap();
        let target = answering(&lab, move |message| {
            message[20] ^= 1;
            answers
        });
        let args = ["latency", &target, "-n", "20", "-O", "0", "--timeout", "0.5"];
        let output = bypath(&[&args[..], &near(&lab)].concat()).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains("is it an echo server?"), "{message}");
        assert_eq!(output.status.code(), Some(1));
        if answers {
            assert_eq!(number(&json, "/totals/bytes_received"), 20 * 64, "{json:#}");
            assert_eq!(number(&json, "/totals/errors/wrong_answer"), 20);
        }
    }
}

#[test]
fn netns_latency_of_raw_frames_that_another_process_reflects() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let target = lab.far().spare_ipv4(77).to_string();
    let listening = [
        "blast",
        "--reflect",
        "--dst-ip",
        &target,
        "--netns",
        lab.far().netns(),
        "--dev",
        lab.far().interface(),
    ];
    let reflector = Beside::start(&listening);
    wait_for_xdp(lab.far());
    let mac = lab.far().mac();
    tool::run("ip", &["-n", lab.near().netns(), "neigh", "add", &target, "lladdr", mac, "dev", "near0"])
        .unwrap();
    let args =
        [&["latency", &target, "--proto", "raw", "-n", "300", "-R", "2000", "-O", "0"][..], &near(&lab)];
    let json = run(&args.concat());
    assert_eq!((total(&json, "packets_sent"), total(&json, "packets_received")), (300, 300), "{json:#}");
    assert_eq!(number(&json, "/latency/round_trip/count"), 300);
    tool::run("kill", &["-INT", &reflector.id().to_string()]).unwrap();
    let (code, reflected) = reflector.finish();
    assert_eq!(code, Some(0), "a reflector ends when it is told: {reflected:#}");
    assert_eq!(total(&reflected, "packets_received"), 300);
}

#[track_caller]
fn refused(args: &[&str], exit: i32, words: &str) {
    let (code, json) = finish(bypath(args).spawn().unwrap());
    let message = json["error"]["message"].as_str().unwrap_or_default();
    assert!(code == Some(exit) && message.contains(words), "{args:?}: {code:?} {json:#}");
    assert_eq!(json["state"], "failed");
}

#[test]
fn netns_blast_and_latency_refuse_what_cannot_be_in_one_error() {
    let lab = Lab::builder().name_prefix("bl").up().unwrap();
    let (near, both) = (near(&lab), both(&lab));
    let with = |args: &[&'static str], ports: &[&str]| -> Vec<String> {
        args.iter().chain(ports).map(|arg| (*arg).to_owned()).collect()
    };
    let far = lab.far().ipv4().to_string();
    let cases: Vec<(Vec<String>, i32, &str)> = vec![
        (with(&["blast", "-R", "0"], &both), 2, "not above zero"),
        (with(&["blast", "-R", "1e30"], &both), 2, "more than any wire carries"),
        (with(&["blast", "--size", "63"], &both), 2, "not a frame size"),
        (with(&["blast", "--size", "64", "--proto", "tcp"], &both), 2, "the least is 76"),
        (with(&["blast", "--size", "1600"], &both), 2, "MTU of 1500"),
        (with(&["blast", "-n", "0"], &both), 2, "0 is not in"),
        (with(&["blast", "--dst-ip", "198.18.0.5", "--src-ip", "fd00::1"], &both), 2, "different families"),
        (with(&["blast"], &near), 2, "where to?"),
        (with(&["blast"], &[]), 2, "--dev"),
        (with(&["blast", "--dst-ip", "198.18.0.99"], &near), 1, "does not answer"),
        (with(&["blast", "-P", "2"], &both), 1, "no queue 1"),
        (with(&["blast", "--dev", "nope0", "--dst-mac", "02:00:00:00:00:09"], &[]), 1, "nope0"),
        (with(&["blast", "--netns", "nope", "--dev", "x"], &["--to-dev", "y"]), 2, "ip netns list"),
        (with(&["rfc2544"], &near), 2, "--to-dev"),
        (with(&["rfc2544", "--loss", "100"], &both), 2, "--loss"),
        (with(&["latency"], &near), 2, "whom to ask"),
        (with(&["latency", "-n", "1"], &[&near[..], &[&far]].concat()), 1, "nobody listens"),
        (
            with(&["latency", "-n", "1", "--stack", "kernel"], &[&near[..], &[&far]].concat()),
            1,
            "nobody listens",
        ),
        (
            with(&["latency", "--proto", "raw", "-n", "10"], &[&near[..], &[&far]].concat()),
            1,
            "no frame came back",
        ),
    ];
    for (args, exit, words) in cases {
        refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), exit, words);
    }
    tool::run("ip", &["-n", lab.near().netns(), "link", "set", "near0", "down"]).unwrap();
    refused(&[&["blast"][..], &both].concat(), 1, "near0 is down");
    let link = tool::run("ip", &["-n", lab.far().netns(), "link", "show", "dev", "far0"]).unwrap();
    assert!(!link.contains("xdp"), "nothing is left behind: {link}");
}
