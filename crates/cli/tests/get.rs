//! `bypath get` as a user runs it, over the kernel's stack and against servers on loopback that say exactly
//! what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);

/// A directory to run in, and the command.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bypath"));
        command
            .current_dir(self.dir.path())
            .args(["get", "--stack", "kernel", "--max-time", "30"])
            .args(args);
        command
    }

    fn get(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.get(&[args, &["--json"]].concat());
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A server for as many connections as it has answers: it reads the head of one request on each, says its
/// answer and closes.
struct Server {
    addr: SocketAddr,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    fn saying(answers: &[&str]) -> Server {
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                requests.push(read_head(&stream));
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        Server { addr, thread }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The requests it was sent.
    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_head(stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    head
}

/// A server that says the beginning of a body and then nothing until the client has gone.
fn stalling(body: &'static str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_head(&stream);
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{body}").as_bytes()).unwrap();
        // Ends with the client, in whatever way.
        let _ = stream.read(&mut [0]);
    });
    (url, thread)
}

fn wait_for_len(path: &Path, len: u64) {
    let started = Instant::now();
    while std::fs::metadata(path).map_or(0, |meta| meta.len()) < len {
        assert!(started.elapsed() < LONG, "{} does not grow", path.display());
        std::thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
const REST: &str =
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry";
const SHA_OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn writes_to_stdout_without_options() {
    let server = Server::saying(&[HELLO]);
    let output = Desk::new().get(&[&server.url("/f")]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello"[..]));
    assert!(output.stderr.is_empty(), "no progress where stderr is no terminal");
}

#[test]
fn writes_to_files_named_by_options_and_by_urls() {
    let desk = Desk::new();
    let server = Server::saying(&[HELLO, HELLO]);
    let output = desk.get(&["-o", "first", "-O", &server.url("/a"), &server.url("/dir/second.iso?x")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(desk.names(), ["first", "second.iso"]);
    assert_eq!(desk.read("second.iso"), b"hello");
}

#[test]
fn json_describes_the_transfer() {
    let desk = Desk::new();
    let server = Server::saying(&[HELLO]);
    let url = server.url("/f");
    let (code, json) = desk.json(&["--sha256", "-o", "f", &url]);
    assert_eq!(code, 0);
    assert_eq!(json["url"], url.as_str());
    assert_eq!(json["exit_code"], 0);
    assert_eq!(json["error"], Value::Null);
    assert_eq!(json["bytes"], 5);
    assert_eq!(json["sha256"], SHA_OF_HELLO);
    assert_eq!(json["output"], "f");
    assert_eq!(json["status"], 200);
    assert_eq!(json["retransmits"], 0);
    let seconds = |key: &str| json[key].as_f64().unwrap();
    assert!(seconds("time_namelookup") <= seconds("time_connect"));
    assert!(0.0 < seconds("time_connect") && seconds("time_connect") <= seconds("time_starttransfer"));
    assert!(seconds("time_starttransfer") <= seconds("time_total"));
    assert!(seconds("speed_download") > 0.0);
    assert_eq!(json["engine"]["mode"], "kernel");
    for key in ["xdp", "driver", "mtu", "queues", "workers", "kernel", "rx_packets", "tx_packets", "drops"] {
        assert!(json["engine"].get(key).is_some(), "{key}");
    }
}

#[test]
fn json_without_a_file_counts_and_drops_the_body() {
    let server = Server::saying(&[HELLO]);
    let (code, json) = Desk::new().json(&["--sha256", &server.url("/f")]);
    assert_eq!((code, &json["bytes"], &json["output"]), (0, &Value::from(5), &Value::Null));
    assert_eq!(json["sha256"], SHA_OF_HELLO);
}

#[test]
fn json_is_an_array_for_several_urls_and_the_exit_code_tells_of_any_failure() {
    let server = Server::saying(&[MISSING, HELLO]);
    let desk = Desk::new();
    let (code, json) = desk.json(&["-O", &server.url("/missing"), &server.url("/there")]);
    let codes: Vec<i64> = json.as_array().unwrap().iter().map(|r| r["exit_code"].as_i64().unwrap()).collect();
    assert_eq!((code, codes), (22, vec![22, 0]));
    assert_eq!(desk.names(), ["there"]);
}

#[test]
fn prints_the_hash_as_sha256sum_does() {
    let server = Server::saying(&[HELLO]);
    let output = Desk::new().get(&["--sha256", "-o", "f", &server.url("/f")]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{SHA_OF_HELLO}  f\n"));
}

#[test]
fn keeps_a_partial_file_and_continues_it() {
    let desk = Desk::new();
    let server = Server::saying(&[HALF, REST]);
    let output = desk.get(&["-o", "f", &server.url("/f")]);
    assert_eq!(output.status.code(), Some(18));
    assert_eq!((desk.names(), desk.read(".f.part").as_slice()), (vec![".f.part".to_owned()], &b"hel"[..]));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(".f.part") && message.contains("-C -"), "{message}");

    let (code, json) = desk.json(&["-C", "-", "--sha256", "-o", "f", &server.url("/f")]);
    assert_eq!((code, &json["resumed_from"], &json["bytes"]), (0, &Value::from(3), &Value::from(2)));
    assert_eq!(json["sha256"], SHA_OF_HELLO);
    assert_eq!((desk.names(), desk.read("f").as_slice()), (vec!["f".to_owned()], &b"hello"[..]));
    assert!(server.requests()[1].contains("Range: bytes=3-"));
}

#[test]
fn continues_an_output_that_another_program_has_begun() {
    let desk = Desk::new();
    std::fs::write(desk.path("f"), "hel").unwrap();
    let server = Server::saying(&[REST]);
    assert_eq!(desk.get(&["-C", "-", "-o", "f", &server.url("/f")]).status.code(), Some(0));
    assert_eq!(desk.read("f"), b"hello");
}

#[test]
fn nothing_remains_of_a_transfer_that_failed_at_once() {
    let desk = Desk::new();
    let server = Server::saying(&[MISSING, "rubbish"]);
    for code in [22, 8] {
        let output = desk.get(&["-o", "f", &server.url("/f")]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0));
    }
    assert!(desk.names().is_empty());
}

#[test]
fn an_existing_file_survives_a_failure() {
    let desk = Desk::new();
    std::fs::write(desk.path("f"), "precious").unwrap();
    let server = Server::saying(&[MISSING]);
    assert_eq!(desk.get(&["-o", "f", &server.url("/f")]).status.code(), Some(22));
    assert_eq!(desk.read("f"), b"precious");
}

#[test]
fn a_full_disk_is_exit_23() {
    let server = Server::saying(&[HELLO]);
    let (code, json) = Desk::new().json(&["-o", "/dev/full", &server.url("/f")]);
    assert_eq!(code, 23);
    assert!(json["error"].as_str().unwrap().contains("space"), "{json}");
}

#[test]
fn an_output_that_cannot_be_created_is_exit_23() {
    let desk = Desk::new();
    let (code, json) = desk.json(&["-o", "no/such/f", "http://127.0.0.1:9/"]);
    assert_eq!((code, &json["exit_code"]), (23, &Value::from(23)));
}

#[test]
fn writes_to_dev_null_without_a_temporary_name() {
    let server = Server::saying(&[HELLO]);
    let (code, json) = Desk::new().json(&["-o", "/dev/null", &server.url("/f")]);
    assert_eq!((code, &json["bytes"]), (0, &Value::from(5)));
    assert!(!Path::new("/dev/.null.part").exists());
}

#[test]
fn max_time_ends_a_silent_transfer() {
    let desk = Desk::new();
    let (url, server) = stalling("hello");
    let (code, json) = desk.json(&["--max-time", "0.3", "-o", "f", &url]);
    assert_eq!((code, &json["exit_code"], &json["part"]), (28, &Value::from(28), &Value::from(".f.part")));
    server.join().unwrap();
}

#[test]
fn ctrl_c_keeps_the_part_and_prints_the_json() {
    let desk = Desk::new();
    let (url, server) = stalling("hello");
    let mut command = desk.command(&["--json", "-o", "f", &url]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_len(&desk.path(".f.part"), 5);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["exit_code"], &json["bytes"]), (&Value::from(130), &Value::from(5)));
    assert_eq!(json["part"], ".f.part");
    assert_eq!(desk.read(".f.part"), b"hello");
    server.join().unwrap();
}

#[test]
fn a_killed_transfer_can_be_continued() {
    let desk = Desk::new();
    let (url, server) = stalling("hel");
    let mut child = desk.command(&["-s", "-o", "f", &url]).spawn().unwrap();
    wait_for_len(&desk.path(".f.part"), 3);
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    server.join().unwrap();
    let server = Server::saying(&[REST]);
    assert_eq!(desk.get(&["-C", "-", "-o", "f", &server.url("/f")]).status.code(), Some(0));
    assert_eq!((desk.names(), desk.read("f").as_slice()), (vec!["f".to_owned()], &b"hello"[..]));
}

#[test]
fn redirects_are_followed_unless_told_otherwise() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: /g\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone";
    let server = Server::saying(&[moved, HELLO, moved, moved]);
    let desk = Desk::new();
    assert_eq!(desk.get(&["-L", &server.url("/f")]).stdout, b"hello");
    assert_eq!(desk.get(&["--no-location", &server.url("/f")]).stdout, b"gone");
    assert_eq!(desk.get(&["--max-redirs", "0", &server.url("/f")]).status.code(), Some(47));
}

#[test]
fn curls_options_reach_the_server() {
    let server = Server::saying(&[HELLO, HELLO, MISSING]);
    let desk = Desk::new();
    let output = desk.get(&["-I", "--user", "me:secret", &server.url("/f")]);
    assert!(output.stdout.starts_with(b"HTTP/1.1 200 OK\r\n"), "{output:?}");
    desk.get(&["-r", "-2", &server.url("/f")]);
    assert_eq!(desk.get(&["--no-fail", &server.url("/f")]).stdout, b"sorry");
    let requests = server.requests();
    assert!(requests[0].starts_with("HEAD ") && requests[0].contains("Basic bWU6c2VjcmV0"), "{requests:?}");
    assert!(requests[1].contains("Range: bytes=-2"), "{requests:?}");
}

#[test]
fn silent_says_nothing() {
    let server = Server::saying(&[MISSING]);
    let output = Desk::new().get(&["-s", &server.url("/f")]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(22), 0));
}

#[test]
fn bad_urls_are_told_by_their_exit_codes() {
    let desk = Desk::new();
    for (url, code) in [("https://h/", 1), ("gopher://h/", 1), ("http://", 3), ("http://h:99999/", 3)] {
        let (status, json) = desk.json(&[url]);
        assert_eq!((status, &json["exit_code"], &json["url"]), (code, &Value::from(code), &Value::from(url)));
    }
}

#[test]
fn a_host_that_no_server_knows_is_exit_6() {
    // A name server that says NXDOMAIN to everything.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buf = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            buf[2] |= 0x80;
            buf[3] = buf[3] & 0xf0 | 3;
            socket.send_to(&buf[..len], from).unwrap();
        }
    });
    let (code, json) = Desk::new().json(&["--dns", &dns, "--search", "a.example,b.example", "http://gone/"]);
    assert_eq!(code, 6);
    let error = json["error"].as_str().unwrap();
    assert!(error.contains("NXDOMAIN") && error.contains("gone.b.example"), "{error}");
}

#[test]
fn usage_errors_are_json_for_those_who_asked_for_it() {
    let desk = Desk::new();
    let usages: [&[&str]; 6] = [
        &["--no-such-option", "http://h/"],
        &[],
        &["-o", "a", "-o", "b", "http://h/"],
        &["-o", "-", "http://h/"],
        &["-C", "-", "http://h/"],
        &["--max-time", "soon", "http://h/"],
    ];
    for usage in usages {
        let (code, json) = desk.json(usage);
        assert_eq!((code, &json["exit_code"]), (2, &Value::from(2)), "{usage:?}");
        assert!(!json["error"].as_str().unwrap().is_empty());
    }
    let output = desk.get(&["--no-such-option", "http://h/"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

#[test]
fn a_namespace_that_does_not_exist_is_named() {
    let (code, json) = Desk::new().json(&["--netns", "no-such-namespace", "http://h/"]);
    assert_eq!(code, 2);
    assert!(json["error"].as_str().unwrap().contains("no-such-namespace"), "{json}");
}

#[test]
fn help_is_no_error() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bypath")).args(["get", "--help", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in
        ["-o,", "-O,", "-C,", "-P,", "--user", "-I,", "--max-time", "-s,", "--sha256", "--dev", "--cc"]
    {
        assert!(text.contains(option), "{option}");
    }
}

#[test]
fn fetches_by_ftp_in_active_mode() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ftp://{}/f", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut out = stream.try_clone().unwrap();
        let lines = BufReader::new(stream).lines().map(Result::unwrap);
        out.write_all(b"220 ready\r\n").unwrap();
        let mut data = None;
        for line in lines {
            let reply = match line.split(' ').next().unwrap() {
                "USER" => "230 in",
                "SIZE" => "213 5",
                "EPRT" => {
                    let port: u16 = line.split('|').nth(3).unwrap().parse().unwrap();
                    data = Some(TcpStream::connect(("127.0.0.1", port)).unwrap());
                    "200 ok"
                }
                "RETR" => {
                    out.write_all(b"150 here\r\n").unwrap();
                    data.take().unwrap().write_all(b"hello").unwrap();
                    "226 done"
                }
                "QUIT" => "221 bye",
                _ => "200 ok",
            };
            out.write_all(format!("{reply}\r\n").as_bytes()).unwrap();
        }
    });
    let (code, json) = Desk::new().json(&["-P", "-", "--sha256", "-O", &url]);
    assert_eq!((code, &json["sha256"], &json["status"]), (0, &Value::from(SHA_OF_HELLO), &Value::from(226)));
    server.join().unwrap();
}
