//! The lab itself, in real namespaces. Needs root.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use bypath_lab::peer::{Dnsmasq, Nginx, Vsftpd};
use nix::sys::socket::{setsockopt, sockopt};

use bypath_lab::{Capture, Host, Impairments, Lab, LabError, LabRecord, Pattern, TcpJob, TcpService};

const PATIENCE: Duration = Duration::from_secs(60);

fn lab() -> Lab {
    Lab::builder().name_prefix("t").up().unwrap()
}

fn exists(netns: &str) -> bool {
    Path::new("/run/netns").join(netns).exists()
}

/// Sends the first bytes of a pattern from a kernel socket in a host, and reads to the end.
fn upload(host: &Host, service: &TcpService, pattern: Pattern, len: u64) -> Vec<u8> {
    let address = service.address();
    host.run(|| {
        let stream = TcpStream::connect(address).unwrap();
        std::thread::scope(|scope| {
            // What comes back is read meanwhile: it need not fit into the buffers of both ends.
            scope.spawn(|| {
                std::io::copy(&mut pattern.reader(len), &mut &stream).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            (&stream).read_to_end(&mut back).unwrap();
            back
        })
    })
    .unwrap()
}

#[test]
fn netns_up_and_down_leaves_nothing_behind() {
    let lab = lab();
    let (name, near, far) =
        (lab.name().to_owned(), lab.near().netns().to_owned(), lab.far().netns().to_owned());
    assert!(exists(&near) && exists(&far));
    assert!(lab.record().is_up());
    let mut sleeper = lab.far().command("sleep").unwrap().arg("600").spawn().unwrap();
    drop(lab);
    assert!(!exists(&near) && !exists(&far));
    assert!(!sleeper.wait().unwrap().success(), "what ran inside is ended");
    assert!(matches!(LabRecord::load(&name), Err(LabError::NoSuchLab { .. })));
    assert!(!Path::new("/run/bypath").join(&name).exists());
}

#[test]
fn netns_a_panic_removes_the_lab() {
    let name = format!("tpanic{}", std::process::id());
    let made = name.clone();
    let panicked = std::thread::spawn(move || {
        let _lab = Lab::builder().name(&made).up().unwrap();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!exists(&format!("{name}-near")) && !exists(&format!("{name}-far")));
}

#[test]
fn netns_what_a_dead_process_left_is_removed_by_the_next_lab() {
    let lab = Lab::builder().name_prefix("tdead").keep(true).up().unwrap();
    let name = lab.name().to_owned();
    drop(lab);
    assert!(exists(&format!("{name}-near")), "it was to be kept");
    // The record of a process that was killed: this id cannot be in use.
    let path = format!("/run/bypath/{name}.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["owner"] = serde_json::json!({ "pid": u32::MAX, "started": 1 });
    std::fs::write(&path, record.to_string()).unwrap();
    let _next = self::lab();
    assert!(!exists(&format!("{name}-near")) && !Path::new(&path).exists());
}

#[test]
fn netns_a_kept_lab_stays_until_it_is_taken_down() {
    let name = format!("tkeep{}", std::process::id());
    drop(Lab::builder().name(&name).keep(true).mtu(9000).queues(2).up().unwrap());
    let again = Lab::open(&name).unwrap();
    assert_eq!((again.record().mtu, again.record().queues), (9000, 2));
    assert!(matches!(Lab::builder().name(&name).up(), Err(LabError::AlreadyUp { .. })));
    Lab::down(&name).unwrap();
    assert!(!exists(&format!("{name}-near")));
    assert!(matches!(Lab::down(&name), Err(LabError::NoSuchLab { .. })));
}

#[test]
fn netns_two_labs_at_once_do_not_meet() {
    let (a, b) = (lab(), lab());
    let in_a = TcpService::start(a.far(), a.far().at(7), TcpJob::Echo).unwrap();
    assert_eq!(upload(a.near(), &in_a, Pattern::new(1), 10).len(), 10);
    let refused = b.near().run(|| TcpStream::connect(in_a.address())).unwrap();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn netns_mtu_queues_and_addresses_are_as_asked() {
    let lab = Lab::builder().mtu(4000).queues(3).up().unwrap();
    for host in [lab.near(), lab.far()] {
        let link = host.output("ip", &["-d", "link", "show", host.interface()]).unwrap();
        for part in ["mtu 4000", "numtxqueues 3", "numrxqueues 3", host.mac()] {
            assert!(link.contains(part), "{part} in {link}");
        }
        let features = host.output("ethtool", &["-k", host.interface()]).unwrap();
        for part in ["tx-checksumming: off", "tcp-segmentation-offload: off", "generic-receive-offload: off"]
        {
            assert!(features.contains(part), "{part} in {features}");
        }
    }
    for address in [lab.far().at(7), lab.far().at_v6(7)] {
        let service = TcpService::start(lab.far(), address, TcpJob::Echo).unwrap();
        assert_eq!(upload(lab.near(), &service, Pattern::new(1), 100_000).len(), 100_000);
    }
}

#[test]
fn netns_a_host_pings_who_is_there_and_nobody_else() {
    let lab = lab();
    lab.near().ping(lab.far().ipv4().into(), PATIENCE).unwrap();
    lab.near().ping(lab.far().ipv6().into(), PATIENCE).unwrap();
    assert!(lab.near().ping(lab.far().spare_ipv4(77).into(), Duration::from_millis(100)).is_err());
}

#[test]
fn netns_offloads_stay_on_when_asked() {
    let lab = Lab::builder().offloads(true).up().unwrap();
    let features = lab.far().output("ethtool", &["-k", lab.far().interface()]).unwrap();
    assert!(features.contains("tcp-segmentation-offload: on"), "{features}");
}

#[test]
fn netns_a_command_sees_the_interfaces_of_its_host_alone() {
    let lab = lab();
    assert_eq!(lab.near().output("ls", &["/sys/class/net"]).unwrap().trim(), "lo\nnear0");
}

#[test]
fn netns_nginx_serves_ranges_over_keep_alive() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "0123456789").unwrap();
    let nginx = Nginx::serving(dir.path())
        .directives("location /old { return 302 /file; }")
        .start(lab.far())
        .unwrap();
    for host in [lab.far().ipv4().to_string(), format!("[{}]", lab.far().ipv6())] {
        let url = format!("http://{host}/file");
        assert_eq!(lab.near().output("curl", &["-s", "-g", "-r", "2-4", &url]).unwrap(), "234");
    }
    let old = format!("http://{}/old", lab.far().ipv4());
    let out = lab.near().output("curl", &["-sL", "-w", "%{num_connects}", &old]).unwrap();
    assert_eq!(out, "01234567891", "one connection for the redirect and its target");
    assert!(nginx.access_log().contains("GET /old"));
}

#[test]
fn netns_vsftpd_serves_active_and_passive() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "by ftp").unwrap();
    let ftp = Vsftpd::serving(dir.path()).passive_ports(40000, 40001).start(lab.far()).unwrap();
    for host in [lab.far().ipv4().to_string(), format!("[{}]", lab.far().ipv6())] {
        let url = format!("ftp://{host}/file");
        assert_eq!(lab.near().output("curl", &["-s", "-g", &url]).unwrap(), "by ftp");
        assert_eq!(lab.near().output("curl", &["-s", "-g", "-P", "-", &url]).unwrap(), "by ftp");
    }
    let log = ftp.protocol_log();
    for command in ["EPSV", "EPRT"] {
        assert!(log.contains(command), "{command} in {log}");
    }
}

#[test]
fn netns_vsftpd_knows_one_user_by_password() {
    let lab = lab();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "for ada").unwrap();
    let _ftp = Vsftpd::serving(dir.path()).user("ada", "love lace").start(lab.far()).unwrap();
    let url = format!("ftp://{}/file", lab.far().ipv4());
    assert_eq!(lab.near().output("curl", &["-s", "-u", "ada:love lace", &url]).unwrap(), "for ada");
    let wrong = lab.near().command("curl").unwrap().args(["-s", "-u", "ada:wrong", &url]).status().unwrap();
    assert_eq!(wrong.code(), Some(67));
}

/// Asks for an A record and returns the response code and the number of answers.
fn query(host: &Host, server: std::net::SocketAddr, name: &str) -> (u8, u16) {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    host.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&message, server).unwrap();
        let mut reply = [0; 512];
        let len = socket.recv(&mut reply).unwrap();
        assert!(len > 12 && reply[..2] == message[..2]);
        (reply[3] & 15, u16::from_be_bytes([reply[6], reply[7]]))
    })
    .unwrap()
}

#[test]
fn netns_dnsmasq_answers_hosts_aliases_and_misses() {
    let lab = lab();
    let dns = Dnsmasq::builder()
        .host("files.third.test", lab.far().ipv4())
        .alias("www.third.test", "files.third.test")
        .start(lab.far())
        .unwrap();
    let ask = |name| query(lab.near(), lab.far().at(53), name);
    assert_eq!(ask("files.third.test"), (0, 1));
    assert_eq!(ask("www.third.test"), (0, 2));
    assert_eq!(ask("files.first.test"), (3, 0));
    assert_eq!(ask("elsewhere.org"), (5, 0));
    assert!(dns.query_log().contains("files.first.test"));
}

#[test]
fn netns_kernel_server_reports_what_it_read() {
    let lab = lab();
    let sink = TcpService::start(lab.far(), lab.far().at(0), TcpJob::Sink(Some(Pattern::new(1)))).unwrap();
    upload(lab.near(), &sink, Pattern::new(1), 1_000_000);
    upload(lab.near(), &sink, Pattern::new(2), 1_000_000);
    let reports = sink.reports(2, PATIENCE).unwrap();
    assert_eq!((reports[0].received, reports[0].mismatch, reports[0].error), (1_000_000, None, None));
    assert!(reports[1].mismatch.is_some());
}

#[test]
fn netns_capture_finds_all_checksums_right() {
    let lab = lab();
    let file = lab.far().work_dir().join("capture.pcap");
    let echo = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    let capture = Capture::start(lab.far(), &file, "tcp").unwrap();
    upload(lab.near(), &echo, Pattern::new(1), 1_000_000);
    let report = capture.check().unwrap();
    assert!(report.right > 1_000, "{report:?}");
    assert!(report.wrong.is_empty(), "{report:?}");
}

#[test]
fn netns_box_forwards_every_frame_when_it_is_good() {
    let lab = Lab::builder().through_box(Impairments::NONE, Impairments::NONE).up().unwrap();
    let echo = TcpService::start(lab.far(), lab.far().at(7), TcpJob::Echo).unwrap();
    assert_eq!(upload(lab.near(), &echo, Pattern::new(1), 1_000_000).len(), 1_000_000);
    let deadline = Instant::now() + PATIENCE;
    // The last frames may be between having been counted as read and as written.
    let outward = loop {
        let outward = lab.middle().unwrap().outward();
        if outward.sent == outward.received || Instant::now() >= deadline {
            break outward;
        }
        std::thread::yield_now();
    };
    assert!(outward.received > 600, "{outward:?}");
    assert_eq!((outward.sent, outward.failed), (outward.received, 0));
}

/// Datagrams with a number each, from near to far, and the numbers that arrived.
fn datagrams(impairments: Impairments, count: u32) -> Vec<u32> {
    let lab = Lab::builder().through_box(impairments, Impairments::NONE).up().unwrap();
    let receiver = lab.far().run(|| UdpSocket::bind(("0.0.0.0", 9)).unwrap()).unwrap();
    let address = lab.far().at(9);
    let sender = lab.near().run(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    // A static neighbour: the frames that the box sees are these datagrams and nothing else.
    let mac = lab.far().mac();
    let neighbour = ["neigh", "replace", &lab.far().ipv4().to_string(), "lladdr", mac, "dev", "near0"];
    lab.near().output("ip", &neighbour).unwrap();
    // Room for all of them: what is missing at the end is missing because of the box.
    setsockopt(&receiver, sockopt::RcvBufForce, &(8 << 20)).unwrap();
    for number in 0..count {
        sender.send_to(&number.to_be_bytes(), address).unwrap();
    }
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4];
    while let Ok(4) = receiver.recv(&mut buffer) {
        seen.push(u32::from_be_bytes(buffer));
    }
    seen
}

#[test]
fn netns_box_loses_the_same_frames_for_the_same_seed() {
    let impairments = Impairments { seed: 5, loss: 0.1, ..Impairments::NONE };
    let first = datagrams(impairments, 2000);
    assert!((1700..1900).contains(&first.len()), "{}", first.len());
    assert!(first == datagrams(impairments, 2000), "the same seed");
    assert!(first != datagrams(impairments.seeded(6), 2000), "another seed");
}

#[test]
fn netns_box_reorders_and_duplicates_but_loses_nothing() {
    let impairments = Impairments { seed: 5, reorder: 0.1, duplicate: 0.1, ..Impairments::NONE };
    let mut seen = datagrams(impairments, 2000);
    assert!(!seen.is_sorted());
    assert!(seen.len() > 2100);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2000);
}

#[test]
fn netns_kernel_tcp_comes_through_a_bad_box_unharmed() {
    const BYTES: u64 = 64 << 20;
    let bad = Impairments { seed: 1, loss: 0.01, reorder: 0.01, duplicate: 0.001, corrupt: 0.001 };
    let lab = Lab::builder().through_box(bad, bad.seeded(2)).up().unwrap();
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    let service =
        TcpService::start(lab.far(), lab.far().at(7), TcpJob::Exchange(theirs, BYTES, ours)).unwrap();
    let (mut received, mut mismatch) = (0, None);
    lab.near()
        .run(|| {
            let stream = TcpStream::connect(service.address()).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::io::copy(&mut ours.reader(BYTES), &mut &stream).unwrap();
                    (&stream).flush().unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                });
                bypath_lab::kernel_tcp::receive(&stream, Some(theirs), &mut received, &mut mismatch).unwrap();
            });
        })
        .unwrap();
    let report = service.reports(1, PATIENCE).unwrap().remove(0);
    assert_eq!((received, mismatch), (BYTES, None));
    assert_eq!((report.received, report.mismatch, report.error), (BYTES, None, None));
    let counts = lab.middle().unwrap().outward();
    assert!(counts.lost > 100 && counts.reordered > 100 && counts.corrupted > 10, "{counts:?}");
    let errors = lab.far().counter("Tcp", "InCsumErrors").unwrap().unwrap();
    assert!(errors > 0, "the kernel saw no corrupted segment: {counts:?}");
}
