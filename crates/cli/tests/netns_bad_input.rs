//! What goes wrong when `bypath get` runs over the engine: each failure has its exit code, words that say
//! what to do, one JSON document, and leaves the interface to the kernel. Needs root.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bypath_lab::peer::{Dnsmasq, Nginx, Vsftpd};
use bypath_lab::{Lab, tool};
use support::{Desk, LONG, Outcome};

const MIB: usize = 1 << 20;
/// curl's exit codes, and the shells' for Ctrl-C.
const USAGE: i32 = 2;
const RESOLVE: i32 = 6;
const CONNECT: i32 = 7;
const PARTIAL: i32 = 18;
const WRITE: i32 = 23;
const TIMEOUT: i32 = 28;
const INTERFACE: i32 = 45;
const RECEIVE: i32 = 56;
const INTERRUPTED: i32 = 130;

fn link(desk: &Desk, args: &[&str]) {
    let dev = ["-n", desk.near().netns(), "link", "set", "dev", desk.near().interface()];
    tool::run("ip", &[&dev[..], args].concat()).unwrap();
}

/// Runs the command on the near host as somebody else: `setpriv` with these arguments before it.
fn run_as(desk: &Desk, setpriv: &[&str]) -> Outcome {
    // The binary may lie where only its owner gets at it.
    let binary = desk.path("bypath");
    std::fs::copy(env!("CARGO_BIN_EXE_bypath"), &binary).unwrap();
    for path in [binary.parent().unwrap(), &binary] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = desk.near().command("setpriv").unwrap();
    command.args(setpriv).arg(&binary).args(["get", "--dev", desk.near().interface(), "--json"]);
    let output = command.arg(desk.v4("http", "file")).stdin(Stdio::null()).output().unwrap();
    Outcome::of(&output)
}

#[test]
fn netns_nobody_is_told_to_run_as_root() {
    let desk = Desk::new();
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    run_as(&desk, &nobody).fails(INTERFACE, &["not permitted", "run as root (sudo)", "cap_net_admin"]);
    desk.is_clean();
}

#[test]
fn netns_the_capabilities_that_are_asked_for_are_enough_and_each_is_needed() {
    let desk = Desk::new();
    desk.serve("file", 100_000);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let all = ["net_admin", "net_raw", "bpf", "perfmon", "ipc_lock"];
    let run_with = |capabilities: &[&str]| {
        let list = capabilities.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(",");
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
        run_as(&desk, &[&nobody[..], &["--inh-caps", &list, "--ambient-caps", &list]].concat())
    };
    let run = run_with(&all);
    assert_eq!((run.code, &run.json["bytes"]), (Some(0), &100_000.into()), "{run:#?}");
    for missing in all {
        let rest: Vec<&str> = all.into_iter().filter(|name| *name != missing).collect();
        run_with(&rest).fails(INTERFACE, &["not permitted", &format!("cap_{missing}")]);
    }
    desk.is_clean();
}

#[test]
fn netns_interfaces_and_namespaces_that_do_not_exist() {
    let desk = Desk::new();
    let url = desk.v4("http", "file");
    desk.get(&["--dev", "nope0", &url]).fails(INTERFACE, &["nope0", "ip link"]);
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
        Outcome::of(&command.args(["get", "--json", &url]).args(args).output().unwrap())
    };
    run(&["--netns", "nope-near", "--dev", "near0"]).fails(USAGE, &["nope-near", "ip netns list"]);
    run(&["--netns", desk.near().netns()]).fails(USAGE, &["--dev"]);
}

#[test]
fn netns_a_link_that_is_down() {
    let desk = Desk::new();
    let url = desk.v4("http", "file");
    link(&desk, &["down"]);
    desk.get(&[&url]).fails(INTERFACE, &["near0 is down", "ip link set near0 up"]);
    link(&desk, &["up"]);
    tool::run("ip", &["-n", desk.far().netns(), "link", "set", "dev", "far0", "down"]).unwrap();
    desk.get(&[&url]).fails(INTERFACE, &["near0 is down", "no carrier"]);
    assert!(!desk.link().contains("xdp"), "{}", desk.link());
}

#[test]
fn netns_another_xdp_program_is_named_and_left_alone() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 2m;").start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    let first = desk.start(&["-o", "f", &url]);
    desk.wait_for_len(".f.part", 1);
    desk.get(&[&url]).fails(INTERFACE, &["another XDP program, `steer`", "ip link set near0 xdp off"]);
    first.outcome().fetched(&file);
    desk.is_clean();
}

#[test]
fn netns_an_xdp_program_of_somebody_else_is_named_and_left_alone() {
    let desk = Desk::new();
    let (source, object) = (desk.path("somebody.c"), desk.path("somebody.o"));
    let program = "__attribute__((section(\"xdp\"), used)) int somebody(void *ctx) { return 2; }\n";
    std::fs::write(&source, program).unwrap();
    let (source, object) = (source.to_str().unwrap(), object.to_str().unwrap());
    tool::run("clang", &["-target", "bpf", "-O2", "-g", "-c", source, "-o", object]).unwrap();
    link(&desk, &["xdp", "obj", object, "sec", "xdp"]);
    for how in ["auto", "native", "generic"] {
        let run = desk.get(&["--xdp", how, &desk.v4("http", "file")]);
        run.fails(INTERFACE, &["another XDP program, `somebody`", "ip link set near0 xdp off"]);
    }
    assert!(desk.link().contains("xdp"), "{}", desk.link());
    link(&desk, &["xdp", "off"]);
    desk.is_clean();
}

#[test]
fn netns_queues_and_cores_that_do_not_exist() {
    let desk = Desk::new();
    let url = desk.v4("http", "file");
    desk.get(&["--queues", "7", &url]).fails(INTERFACE, &["near0 has no queue 7", "0 to 0"]);
    desk.get(&["--cores", "4000", &url]).fails(USAGE, &["core 4000"]);
    desk.get(&["--cores", "0,1", &url]).fails(USAGE, &["2 workers cannot share 1 queues"]);
    desk.is_clean();
}

#[test]
fn netns_huge_pages_where_there_are_none() {
    let free = std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    if free.is_ok_and(|pages| pages.trim() != "0") {
        return; // This machine may have enough of them.
    }
    let desk = Desk::new();
    let run = desk.get(&["--huge-pages", &desk.v4("http", "file")]);
    run.fails(USAGE, &["8 are needed", "sysctl vm.nr_hugepages=8", "--huge-pages"]);
    desk.is_clean();
}

#[test]
fn netns_zero_copy_where_the_driver_cannot() {
    let desk = Desk::new();
    let run = desk.get(&["--mode", "zerocopy", &desk.v4("http", "file")]);
    run.fails(INTERFACE, &["veth", "zero-copy", "--mode copy"]);
    desk.is_clean();
}

#[test]
fn netns_addresses_that_the_engine_cannot_have() {
    let desk = Desk::new();
    let url = desk.v4("http", "file");
    for own in [format!("{}/24", desk.near().ipv4()), format!("{}/64", desk.near().ipv6())] {
        desk.get(&["--ip", &own, &url]).fails(INTERFACE, &["belongs to the kernel on near0", "--ip"]);
    }
    let gateway = ["--ip", "198.18.0.10/24", "--gateway", "10.0.0.1"];
    desk.get(&[&gateway[..], &[&url]].concat()).fails(USAGE, &["10.0.0.1"]);
    tool::run("ip", &["-n", desk.near().netns(), "addr", "flush", "dev", "near0"]).unwrap();
    desk.get(&[&url]).fails(INTERFACE, &["near0 has no IP address", "--ip"]);
    assert!(!desk.link().contains("xdp"), "{}", desk.link());
}

#[test]
fn netns_nobody_answers_arp_or_ndp() {
    let desk = Desk::new();
    let own = format!("{}/24", desk.near().spare_ipv4(10));
    let (v4, v6) = (desk.far().spare_ipv4(99), desk.far().spare_ipv6(0x99));
    let urls = [format!("http://{v4}/file"), format!("http://[{v6}]/file")];
    for args in [&[&*urls[0]][..], &[&urls[1]], &["--ip", &own, &urls[0]]] {
        let started = Instant::now();
        desk.get(args).fails(CONNECT, &["no answer to ARP"]);
        assert!(started.elapsed() < Duration::from_secs(10), "{args:?} took {:?}", started.elapsed());
    }
    desk.is_clean();
}

/// A name server on the far host that answers every question with a response code, or not at all.
fn name_server(desk: &Desk, rcode: Option<u8>) -> UdpSocket {
    let at = desk.far().at(53);
    let socket = desk.far().run(|| UdpSocket::bind(at)).unwrap().unwrap();
    let handle = socket.try_clone().unwrap();
    if let Some(rcode) = rcode {
        socket.set_read_timeout(Some(LONG)).unwrap();
        std::thread::spawn(move || {
            let mut message = [0; 512];
            // The lab's end ends the socket: its namespace goes, and the timeout is the last resort.
            while let Ok((len, from)) = socket.recv_from(&mut message) {
                // QR and RD, RA and the code: RFC 1035, section 4.1.1.
                message[2] |= 0x80;
                message[3] = 0x80 | rcode;
                if socket.send_to(&message[..len], from).is_err() {
                    return;
                }
            }
        });
    }
    handle
}

#[test]
fn netns_names_that_do_not_exist() {
    let desk = Desk::new();
    let _dns = Dnsmasq::builder().host("www.test", desk.far().ipv4()).start(desk.far()).unwrap();
    let server = desk.far().ipv4().to_string();
    let run = desk.get(&["--dns", &server, "http://no.such.test/"]);
    run.fails(RESOLVE, &["no.such.test", "NXDOMAIN"]);
    desk.get(&["--dns", &server, "-6", "http://www.test/"]).fails(RESOLVE, &["www.test"]);
    desk.is_clean();
}

#[test]
fn netns_name_servers_that_fail_are_silent_or_not_there() {
    let desk = Desk::new();
    let server = desk.far().ipv4().to_string();
    let own = format!("{}/24", desk.near().spare_ipv4(10));
    let ask = |more: &[&str]| {
        let started = Instant::now();
        let args = ["--dns", &server, "--dns-timeout", "0.3", "--dns-attempts", "2", "http://www.test/"];
        let run = desk.get(&[&args[..], more].concat());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        run
    };
    // ICMP errors for an address that is shared go to the kernel: silence, then.
    ask(&[]).fails(RESOLVE, &["no answer for www.test", &server]);
    ask(&["--ip", &own]).fails(RESOLVE, &["www.test", "nobody listens", &server]);
    let silent = name_server(&desk, None);
    ask(&[]).fails(RESOLVE, &["no answer for www.test", &server]);
    drop(silent);
    let _failing = name_server(&desk, Some(2));
    ask(&[]).fails(RESOLVE, &["www.test", "Server Failure"]);
}

/// A server on the far host for one connection: reads the request, says something, and then does to the
/// connection what a test wants.
fn server(desk: &Desk, says: &'static str, then: impl FnOnce(TcpStream) + Send + 'static) -> JoinHandle<()> {
    let at = desk.far().at(80);
    let listener = desk.far().run(|| TcpListener::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(says.as_bytes()).unwrap();
        then(stream);
    })
}

/// Five bytes of ten.
const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

/// Waits until all that was sent has been acknowledged, then resets the connection.
fn reset(stream: TcpStream) {
    let unsent = || {
        let mut left: libc::c_int = 0;
        // SAFETY: SIOCOUTQ writes one int, which lives through the call.
        let done =
            unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&stream), libc::TIOCOUTQ, &raw mut left) };
        assert_eq!(done, 0);
        left
    };
    support::wait_until("the client to acknowledge", || unsent() == 0);
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option value lives through the call, and its length is given.
    let done = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&stream),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    assert_eq!(done, 0);
}

#[test]
fn netns_a_server_that_refuses() {
    let desk = Desk::new();
    for url in [desk.v4("http", "file"), desk.v6("http", "file"), desk.v4("ftp", "file")] {
        let started = Instant::now();
        desk.get(&[&url]).fails(CONNECT, &["refused"]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    desk.is_clean();
}

#[test]
fn netns_a_server_that_resets() {
    let desk = Desk::new();
    let before = server(&desk, "", reset);
    desk.get(&["-o", "f", &desk.v4("http", "file")]).fails(RECEIVE, &["reset"]);
    before.join().unwrap();
    assert!(desk.names().is_empty(), "{:?}", desk.names());

    let half_way = server(&desk, HALF, reset);
    let run = desk.get(&["-o", "f", &desk.v4("http", "file")]);
    run.fails(PARTIAL, &["5 bytes received of 10", "reset"]);
    half_way.join().unwrap();
    assert_eq!(std::fs::read(desk.path(".f.part")).unwrap(), b"hello");
    assert_eq!(desk.names(), [".f.part"]);
    desk.is_clean();
}

#[test]
fn netns_a_server_that_falls_silent() {
    let desk = Desk::new();
    let silent = server(&desk, HALF, |mut stream| {
        // Ends with the client, in whatever way.
        let _ = stream.read(&mut [0]);
    });
    let started = Instant::now();
    let run = desk.get(&["--max-time", "0.5", "-o", "f", &desk.v4("http", "file")]);
    run.fails(TIMEOUT, &["timed out"]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    silent.join().unwrap();
    assert_eq!((desk.names(), &run.json["part"]), (vec![".f.part".to_owned()], &".f.part".into()));
    desk.is_clean();
}

#[test]
fn netns_a_host_that_drops_everything_is_a_timeout() {
    let desk = Desk::new();
    // A blackhole that answers ARP: the address is there, the way back is not.
    let far = desk.far().netns();
    let back = format!("{}/32", desk.near().spare_ipv4(10));
    tool::run("ip", &["-n", far, "route", "add", "blackhole", &back]).unwrap();
    let own = format!("{}/24", desk.near().spare_ipv4(10));
    let started = Instant::now();
    let run = desk.get(&["--ip", &own, "--connect-timeout", "0.5", &desk.v4("http", "file")]);
    assert!(run.code == Some(TIMEOUT) || run.code == Some(CONNECT), "{run:#?}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn netns_a_server_that_says_no() {
    let desk = Desk::new();
    desk.serve("file", 100);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let _ftp = Vsftpd::serving(desk.served()).user("ada", "lovelace").start(desk.far()).unwrap();
    desk.get(&["-o", "f", &desk.v4("http", "no/such")]).fails(22, &["404"]);
    desk.get(&["-o", "f", &desk.v4("ftp", "no-such")]).fails(78, &["550"]);
    desk.get(&["-o", "f", "--user", "ada:wrong", &desk.v4("ftp", "file")]).fails(67, &["530"]);
    assert!(desk.names().is_empty(), "{:?}", desk.names());
}

#[test]
fn netns_a_full_disk_leaves_nothing_under_the_final_name() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    std::fs::create_dir(desk.path("small")).unwrap();
    // A mount that is seen by this command alone and goes with it.
    let script = "mount -t tmpfs -o size=1m tmpfs small && cd small && \"$@\"; code=$?; \
                  ls -A > ../names; exit $code";
    let get = desk.command(&["-o", "f", &desk.v4("http", "file")]);
    let mut command = tool::command("unshare").unwrap();
    command.current_dir(desk.path("")).args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(get.get_program()).args(get.get_args()).stdin(Stdio::null());
    let run = Outcome::of(&command.output().unwrap());
    run.fails(WRITE, &["No space left"]);
    assert!(run.json["bytes"].as_u64().unwrap() < file.len);
    assert_eq!(std::fs::read_to_string(desk.path("names")).unwrap(), ".f.part\n");
    desk.is_clean();
}

#[test]
fn netns_ctrl_c_keeps_the_part_and_gives_the_interface_back() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let nginx = Nginx::serving(desk.served()).directives("limit_rate 1m;").start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    for signal in ["-INT", "-TERM"] {
        let _ = std::fs::remove_file(desk.path(".f.part"));
        let run = desk.start(&["-o", "f", &url]);
        desk.wait_for_len(".f.part", 300_000);
        let told = Instant::now();
        run.signal(signal);
        let run = run.outcome();
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
        run.fails(INTERRUPTED, &["interrupted"]);
        assert_eq!((desk.names(), &run.json["part"]), (vec![".f.part".to_owned()], &".f.part".into()));
        desk.is_clean();
    }
    drop(nginx);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    desk.get(&["-C", "-", "-o", "f", &url]).fetched(&file);
}

#[test]
fn netns_ctrl_c_while_the_engine_waits_for_the_link() {
    let desk = Desk::new();
    tool::run("ip", &["-n", desk.far().netns(), "link", "set", "dev", "far0", "down"]).unwrap();
    let run = desk.start(&[&desk.v4("http", "file")]);
    // The program is attached before the carrier is waited for.
    support::wait_until("the program", || desk.link().contains("xdp"));
    run.signal("-INT");
    run.outcome().fails(INTERRUPTED, &["interrupted"]);
    support::wait_until("the interface to be free", || !desk.link().contains("xdp"));
}

#[test]
fn netns_kill_9_half_way_leaves_nothing_attached() {
    let desk = Desk::in_lab(Lab::builder().name_prefix("g").queues(2).up().unwrap());
    let file = desk.serve("file", 2 * MIB);
    let nginx = Nginx::serving(desk.served()).directives("limit_rate 1m;").start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    let own = format!("{}/24", desk.near().spare_ipv4(10));
    for args in [&["--cores", "0,1"][..], &["--ip", &own]] {
        let _ = std::fs::remove_file(desk.path(".f.part"));
        let run = desk.start(&[args, &["-o", "f", &url]].concat());
        desk.wait_for_len(".f.part", 300_000);
        assert!(desk.link().contains("xdp"), "{}", desk.link());
        run.signal("-KILL");
        assert_eq!(run.output().status.code(), None);
        desk.is_clean();
        assert_eq!(desk.names(), [".f.part"]);
    }
    drop(nginx);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    desk.get(&["-C", "-", "-o", "f", &url]).fetched(&file);
    desk.is_clean();
}
