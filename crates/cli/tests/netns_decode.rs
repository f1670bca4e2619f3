//! `bypath decode` on captures of a lab, beside the tools that it is held against: what our own commands have sent, what
//! kernels say to each other, and a wire that loses and reorders. Needs root.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bypath_lab::peer::{Dnsmasq, Nginx, Vsftpd};
use bypath_lab::{Capture, Host, Impairments, Lab, tool};
use bypath_trace::conversation::{Marks, Segment, Table};
use bypath_trace::layers::dissect;
use bypath_trace::read;
use support::{Desk, LONG, wait_until};

/// What tcpdump is given, and we.
const FLAGS: &[&[&str]] = &[
    &["-n"],
    &["-nS", "-tt"],
    &["-n", "-ttt", "-v"],
    &["-n", "-ttttt", "-vvv"],
    &["-n", "-tttt", "-e"],
    &["-n", "-t", "-A"],
    &["-n", "-t", "-e", "-XX", "-vv", "-#"],
];

fn bypath(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout.iter().map(|&byte| char::from(byte)).collect()
}

/// Each line as the installed tcpdump prints it; the number of packets.
#[track_caller]
fn reads_as_tcpdump_does(path: &Path) -> usize {
    let version = Command::new("tcpdump").arg("--version").output().unwrap();
    let is_promised = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).contains("4.99");
    let mut packets = 0;
    for flags in FLAGS {
        let mut decode = bypath(&["decode"]);
        decode.args(*flags).arg(path);
        let ours = printed(decode);
        packets = packets.max(ours.lines().count());
        if !is_promised {
            continue;
        }
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.args(*flags).arg("-r").arg(path).stdin(Stdio::null());
        let theirs = printed(tcpdump);
        for (at, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
            assert_eq!(ours, theirs, "{flags:?}: line {} of {}", at + 1, path.display());
        }
        assert_eq!(ours.lines().count(), theirs.lines().count(), "{flags:?} of {}", path.display());
    }
    packets
}

/// Options for a host's interface.
fn on(host: &Host) -> [&str; 4] {
    ["--netns", host.netns(), "--dev", host.interface()]
}

/// Ends a command by Ctrl-C; it must like that.
fn interrupt(child: Child) {
    tool::run("kill", &["-INT", &child.id().to_string()]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn netns_captures_of_our_commands_read_as_tcpdump_prints_them() {
    let desk = Desk::new();
    desk.serve("file", 30_000);
    let root = desk.served().display().to_string();
    let (http, ftp) = (format!("80={root}"), format!("21={root}"));
    let file = |name: &str| desk.path(name).display().to_string();
    let (serve, far) = (file("serve.pcapng"), on(desk.far()));
    let args = ["--json", "--http", &http, "--ftp", &ftp, "--echo", "--pcap", &serve];
    let server = bypath(&[&["serve"][..], &far, &args].concat()).spawn().unwrap();
    let (v4, v6, by_ftp) = (desk.v4("http", "file"), desk.v6("http", "file"), desk.v4("ftp", "file"));
    wait_until("the server to answer", || desk.get(&[&v4]).code == Some(0));
    let get = desk.get(&["--pcap", "get.pcapng", &v4, &v6, &by_ftp, &desk.v4("http", "none")]);
    assert_eq!(get.json[0]["exit_code"], 0, "{get:#?}");
    let echo = format!("{}:7", desk.far().ipv4());
    let near = on(desk.near());
    for (name, command) in [
        ("rr.pcapng", &["load", "rr", &echo, "-c", "3", "-R", "400", "-t", "0.3", "-O", "0"][..]),
        ("tcp.pcapng", &["latency", &echo, "-R", "400", "-t", "0.3"]),
        ("udp.pcapng", &["latency", &echo, "--proto", "udp", "-R", "400", "-t", "0.3"]),
    ] {
        // Whether the numbers are to be believed is another matter.
        let output = bypath(command).args(near).args(["--json", "--pcap", &file(name)]).output().unwrap();
        assert!(Path::new(&file(name)).exists(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    interrupt(server);
    let (here, there) = (desk.near(), desk.far());
    let to = ["--to-netns", there.netns(), "--to-dev", there.interface()];
    for (name, more) in [("blast.pcapng", &[][..]), ("tagged.pcapng", &["--vlan", "7"])] {
        let args = ["blast", "-n", "200", "-R", "10000", "--json", "--pcap", &file(name)];
        let run = bypath(&args).args(more).args(on(here)).args(to).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    }
    for name in ["get", "serve", "rr", "tcp", "udp", "blast", "tagged"] {
        let packets = reads_as_tcpdump_does(&desk.path(&format!("{name}.pcapng")));
        assert!(packets > 100, "{name}: {packets}");
    }
}

#[test]
fn netns_traffic_of_kernels_traced_by_us_reads_as_tcpdump_prints_it() {
    let desk = Desk::new();
    desk.serve("file", 5_000);
    let (near, far) = (desk.near(), desk.far());
    let _nginx = Nginx::serving(desk.served()).start(far).unwrap();
    let _ftp = Vsftpd::serving(desk.served()).start(far).unwrap();
    let _dns = Dnsmasq::builder()
        .host("www.test", far.ipv6())
        .host("www.test", far.ipv4())
        .alias("alias.test", "www.test")
        .start(far)
        .unwrap();
    let path = desk.path("kernel.pcapng");
    let mut trace = bypath(&["trace", "--pcap", path.to_str().unwrap()]);
    let mut trace = trace.args(on(near)).stdout(Stdio::null()).spawn().unwrap();
    let mut stderr = BufReader::new(trace.stderr.take().unwrap());
    let mut said = String::new();
    // "watching …": from here on packets are seen.
    stderr.read_line(&mut said).unwrap();
    let (v4, v6) = (far.ipv4().to_string(), far.ipv6().to_string());
    near.ping(far.ipv6().into(), LONG).unwrap();
    // Fragments to a port that nobody listens on, and what ICMP says about them.
    for to in [far.at(5_000), far.at_v6(5_000)] {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        near.run(|| UdpSocket::bind((any, 0)).unwrap().send_to(&[7; 4_000], to).unwrap()).unwrap();
    }
    let _ = near.output("curl", &["-s", &format!("http://[{v6}]:81/")]);
    for url in [&desk.v4("http", "file"), &desk.v6("http", "file"), &desk.v4("ftp", "file")] {
        near.output("curl", &["-s", "-o", "/dev/null", url]).unwrap();
    }
    let got = desk.get(&["--stack", "kernel", "--dns", &v4, "http://alias.test/file"]);
    assert_eq!(got.code, Some(0), "{got:#?}");
    interrupt(trace);
    stderr.read_to_string(&mut said).unwrap();
    assert!(reads_as_tcpdump_does(&path) > 100, "{said}");
    let text = printed({
        let mut decode = bypath(&["decode", "-n", "-e", "-v"]);
        decode.arg(&path);
        decode
    });
    for part in [
        "frag (",
        "offset 1480",
        "alias.test.",
        "CNAME",
        "FTP, length: ",
        "HTTP, length: ",
        "udp port 5000 unreachable",
    ] {
        assert!(text.contains(part), "no {part:?}");
    }
}

/// What tshark says of the packets of a capture.
#[derive(Default)]
struct Theirs {
    not_new: BTreeSet<u64>,
    out_of_order: BTreeSet<u64>,
    duplicate_acks: BTreeSet<u64>,
    /// The server's segments with data: frame, and the identification in the IP header.
    data: Vec<(u64, String)>,
}

fn tshark(path: &Path) -> Theirs {
    let mut command = Command::new("tshark");
    command.args(["-n", "-Tfields", "-Eseparator=|", "-r"]).arg(path);
    for field in ["frame.number", "tcp.srcport", "tcp.len", "ip.id"] {
        command.args(["-e", field]);
    }
    for analysis in ["retransmission", "out_of_order", "duplicate_ack"] {
        command.args(["-e", &format!("tcp.analysis.{analysis}")]);
    }
    let mut theirs = Theirs::default();
    for row in printed(command).lines() {
        let row: Vec<&str> = row.split('|').collect();
        let [frame, port, len, id, again, late, duplicate] = row[..] else { panic!("{row:?}") };
        let frame = frame.parse().unwrap();
        if !again.is_empty() || !late.is_empty() {
            theirs.not_new.insert(frame);
        }
        if !late.is_empty() {
            theirs.out_of_order.insert(frame);
        }
        if !duplicate.is_empty() {
            theirs.duplicate_acks.insert(frame);
        }
        if port == "80" && len != "0" {
            theirs.data.push((frame, id.to_owned()));
        }
    }
    theirs
}

impl Theirs {
    /// The identifications of those with data that are among these frames.
    fn among(&self, frames: &BTreeSet<u64>) -> BTreeSet<&str> {
        self.data.iter().filter(|(frame, _)| frames.contains(frame)).map(|(_, id)| id.as_str()).collect()
    }
}

/// The frames that tracking has marked so.
fn marked(path: &Path, marks: Marks) -> BTreeSet<u64> {
    let mut capture = read::Capture::open(std::fs::File::open(path).unwrap()).unwrap();
    let mut table = Table::default();
    let mut frames = BTreeSet::new();
    while let Some(record) = capture.next_record().unwrap() {
        let packet = dissect(record.link, record.data);
        if let Some(segment) = Segment::of(&record, &packet, record.data)
            && table.observe(&segment).marks.intersects(marks)
        {
            frames.insert(record.number);
        }
    }
    frames
}

#[test]
fn netns_marks_on_a_bad_wire_are_those_of_tshark() {
    let bad = Impairments { seed: 5, loss: 0.02, reorder: 0.03, ..Impairments::NONE };
    let lab = Lab::builder().name_prefix("t").through_box(bad.seeded(6), bad).up().unwrap();
    let desk = Desk::in_lab(lab);
    desk.serve("file", 1_000_000);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let (sender, receiver) = (desk.path("sender.pcap"), desk.path("receiver.pcap"));
    let captures = [(desk.far(), &sender), (desk.near(), &receiver)]
        .map(|(host, path)| Capture::start(host, path, "tcp port 80").unwrap());
    desk.near().output("curl", &["-s", "-o", "/dev/null", &desk.v4("http", "file")]).unwrap();
    for capture in captures {
        capture.finish().unwrap();
    }
    let theirs = [&sender, &receiver].map(|path| {
        let theirs = tshark(path);
        assert!(theirs.not_new.len() > 3, "nothing was lost");
        let not_new = Marks::RETRANSMISSION | Marks::OUT_OF_ORDER;
        assert_eq!(marked(path, not_new), theirs.not_new, "{}", path.display());
        assert_eq!(marked(path, Marks::DUPLICATE_ACK), theirs.duplicate_acks, "{}", path.display());
        theirs
    });
    // The sender knows which of the two it is: nothing can have overtaken anything there.
    assert_eq!(marked(&sender, Marks::OUT_OF_ORDER), BTreeSet::new());
    // At the receiver it is a guess, ours and tshark's. The identification in the IP header tells how good.
    let sent_again = theirs[0].among(&marked(&sender, Marks::RETRANSMISSION));
    let wrong = |late: &BTreeSet<u64>| {
        let again: BTreeSet<u64> = theirs[1].not_new.difference(late).copied().collect();
        let (late, again) = (theirs[1].among(late), theirs[1].among(&again));
        late.intersection(&sent_again).count() + again.difference(&sent_again).count()
    };
    let ours = wrong(&marked(&receiver, Marks::OUT_OF_ORDER));
    assert!(ours * 5 < theirs[1].not_new.len(), "{ours} of {}", theirs[1].not_new.len());
    eprintln!(
        "of {} segments that are not new at the receiver, {} are taken for the wrong thing, by tshark {}",
        theirs[1].not_new.len(),
        ours,
        wrong(&theirs[1].out_of_order)
    );
}
