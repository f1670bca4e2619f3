//! FTP: curl, lftp and Python's client, and a session by hand for what they would not do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;

use bypath_lab::Lab;

use crate::shop::{LONG, Shop, content};

const BIG: usize = 2_000_003;

fn tree(dir: &std::path::Path) {
    std::fs::write(dir.join("big.bin"), content(BIG)).unwrap();
    std::fs::create_dir(dir.join("sub")).unwrap();
    std::fs::write(dir.join("sub/a b"), "with a blank").unwrap();
    symlink("/etc", dir.join("out")).unwrap();
}

/// A control connection.
struct Control(BufReader<TcpStream>);

impl Control {
    fn login(shop: &Shop) -> Self {
        let mut control = Self(BufReader::new(shop.dial(21)));
        assert_eq!(control.code(), "220");
        assert!(control.say("USER anonymous").starts_with("331"));
        assert!(control.say("PASS x@").starts_with("230"));
        control
    }

    /// The last line of the next reply.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the control connection ended");
            let bytes = line.as_bytes();
            if bytes.get(3) == Some(&b' ') && bytes[..3].iter().all(u8::is_ascii_digit) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn code(&mut self) -> String {
        self.reply().split(' ').next().unwrap().to_owned()
    }

    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn say(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    fn passive_port(&mut self) -> u16 {
        let reply = self.say("EPSV");
        reply.split('|').nth(3).unwrap_or_else(|| panic!("{reply}")).parse().unwrap()
    }
}

#[test]
fn netns_serve_ftp_satisfies_curl_active_and_passive_in_both_families() {
    let shop = Shop::open(&["--ftp", "ftp=DIR"], tree);
    let big = content(BIG);
    let ways: [&[&str]; 4] = [&["--disable-epsv"], &[], &["-P", "-", "--disable-eprt"], &["-P", "-"]];
    for way in ways {
        let curl = |args: &[&str]| shop.run("curl", &[&["-s", "--max-time", "20"], way, args].concat());
        assert!(curl(&["ftp://HOST/big.bin"]) == big, "{way:?}");
        assert!(curl(&["-C", "1999000", "ftp://HOST/big.bin"]) == big[1_999_000..], "{way:?}");
        assert_eq!(curl(&["ftp://HOST/sub/a%20b"]), b"with a blank", "{way:?}");
        let listing = String::from_utf8(curl(&["ftp://HOST/"])).unwrap();
        assert!(listing.contains("2000003") && !listing.contains("out"), "{listing}");
    }
    for way in [&[][..], &["-P", "-"]] {
        let args = [&["-s", "--max-time", "20"], way, &["ftp://HOST6/big.bin"]].concat();
        assert!(shop.run("curl", &args) == big);
    }
    let head = shop.text("curl", &["-sI", "ftp://HOST/big.bin"]);
    assert!(head.contains("Content-Length: 2000003") && head.contains("Last-Modified: "), "{head}");
    assert_eq!(shop.output("curl", &["-s", "-T", "/etc/services", "ftp://HOST/x"]).status.code(), Some(25));
    shop.close();
}

#[test]
fn netns_serve_ftp_mirrors_with_lftp_and_takes_uploads_where_it_is_writable() {
    let shop = Shop::open(&["--ftp", "21=DIR", "--writable"], tree);
    for (passive, name) in [("true", "p"), ("false", "a")] {
        let script =
            format!("set ftp:passive-mode {passive}; set net:timeout 10; mirror --parallel=2 / {name}; bye");
        shop.run("lftp", &["-e", &script, "ftp://HOST"]);
        assert!(std::fs::read(shop.path(name).join("big.bin")).unwrap() == content(BIG), "{name}");
        assert_eq!(std::fs::read(shop.path(name).join("sub/a b")).unwrap(), b"with a blank");
    }
    let script = "set net:timeout 10; mirror -R p new; mv new/big.bin new/moved; rm -r new/sub; ls new; bye";
    let listing = shop.text("lftp", &["-e", script, "ftp://HOST"]);
    assert!(listing.contains("moved") && !listing.contains("sub"), "{listing}");
    assert!(std::fs::read(shop.dir.path().join("new/moved")).unwrap() == content(BIG));

    let program = "import ftplib, io, sys\n\
        f = ftplib.FTP(sys.argv[1]); f.login(); assert 'MLST' in f.sendcmd('FEAT')\n\
        f.mkd('py'); f.cwd('py'); f.storbinary('STOR x', io.BytesIO(b'one')); f.storbinary('APPE x', io.BytesIO(b'two'))\n\
        got = []; f.retrbinary('RETR x', got.append); assert b''.join(got) == b'onetwo'\n\
        facts = dict(f.mlsd())['x']; assert facts['type'] == 'file' and facts['size'] == '6', facts\n\
        assert f.nlst() == ['x'] and f.size('x') == 6 and f.pwd() == '/py'\n\
        f.rename('x', 'y'); f.delete('y'); f.cwd('/'); f.rmd('py'); f.quit()\n";
    shop.run("python3", &["-c", program, "HOST"]);
    let left: Vec<_> = std::fs::read_dir(shop.dir.path().join("new")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    shop.close();
}

#[test]
fn netns_serve_ftp_bounces_nowhere_and_lets_nobody_out() {
    let shop = Shop::open(&["--ftp", "21=DIR"], tree);
    let mut control = Control::login(&shop);
    for (command, code) in [
        ("PORT 198,18,0,9,8,10", "504"),
        ("PORT 198,18,0,2,0,22", "504"),
        ("EPRT |1|127.0.0.1|2058|", "504"),
        ("EPRT |7|x|2058|", "522"),
        ("PORT 1,2", "501"),
        ("RETR big.bin", "425"),
        ("CWD out", "550"),
        ("CWD ../..", "550"),
        ("SIZE /out/passwd", "550"),
        ("SIZE /../etc/passwd", "550"),
        ("STOR x", "550"),
        ("DELE big.bin", "550"),
        ("RNFR big.bin", "550"),
        ("TYPE E", "504"),
        ("MODE B", "504"),
        ("WHAT", "502"),
        ("CWD sub", "250"),
        ("CDUP", "250"),
        ("SIZE sub/a b", "213"),
        ("MLST sub", "250"),
        ("STAT", "211"),
        ("HELP", "214"),
        ("EPSV ALL", "200"),
        ("PASV", "501"),
    ] {
        let reply = control.say(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }

    // Somebody else may not have a client's data.
    let port = control.passive_port();
    let far = shop.far();
    let stranger = far.spare_ipv4(77);
    bypath_lab::tool::run(
        "ip",
        &["-n", far.netns(), "addr", "add", &format!("{stranger}/24"), "dev", far.interface()],
    )
    .unwrap();
    let near = shop.lab.near().ipv4().to_string();
    let stolen = shop
        .output("curl", &["-s", "--interface", &stranger.to_string(), &format!("telnet://{near}:{port}")]);
    assert!(!stolen.status.success() || stolen.stdout.is_empty(), "{stolen:?}");
    let mut data = shop.dial(port);
    assert!(control.say("RETR big.bin").starts_with("150"));
    let mut got = Vec::new();
    data.read_to_end(&mut got).unwrap();
    assert!(got == content(BIG));
    assert_eq!(control.code(), "226");

    control.send(&"x".repeat(5_000));
    assert_eq!(control.code(), "500");
    let document = shop.close();
    assert!(document["totals"]["errors"]["stranger"].as_u64() >= Some(4), "{document:#}");
}

#[test]
fn netns_serve_ftp_aborts_a_transfer_and_goes_on() {
    let shop = Shop::open(&["--ftp", "21=DIR", "--writable"], |dir| {
        std::fs::write(dir.join("huge"), content(64 << 20)).unwrap();
        tree(dir);
    });
    let mut control = Control::login(&shop);
    let mut data = shop.dial(control.passive_port());
    assert!(control.say("RETR huge").starts_with("150"));
    data.read_exact(&mut [0; 1000]).unwrap();
    control.0.get_mut().write_all(b"\xff\xf4\xff\xf2ABOR\r\n").unwrap();
    assert_eq!([control.code(), control.code()], ["426", "226"]);
    let mut rest = Vec::new();
    assert!(data.read_to_end(&mut rest).is_err() && rest.len() < 64 << 20);

    // An upload that breaks leaves nothing, and does no harm to what was there.
    let mut data = shop.dial(control.passive_port());
    assert!(control.say("STOR big.bin").starts_with("150"));
    data.write_all(&content(500_000)).unwrap();
    control.send("ABOR");
    assert_eq!([control.code(), control.code()], ["426", "226"]);
    data.set_read_timeout(Some(LONG)).unwrap();
    assert!(data.read(&mut [0; 1]).is_err());
    assert!(control.say("NOOP").starts_with("200"));
    assert!(std::fs::read(shop.dir.path().join("big.bin")).unwrap() == content(BIG));
    let names: Vec<_> = std::fs::read_dir(shop.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");

    // Commands that come during a transfer are answered after it, in their order.
    let mut data = shop.dial(control.passive_port());
    control.send("REST 2000000\r\nRETR big.bin\r\nNOOP\r\nQUIT");
    let mut got = Vec::new();
    data.read_to_end(&mut got).unwrap();
    assert!(got == content(BIG)[2_000_000..]);
    let codes: Vec<String> = (0..5).map(|_| control.code()).collect();
    assert_eq!(codes, ["350", "150", "226", "200", "221"]);
    shop.close();
}

#[test]
fn netns_serve_ftp_data_finds_its_session_whatever_worker_it_comes_to() {
    // A veth pair deals flows to queues by their hash: of these connections some come to either worker.
    let shop = Shop::open_on(
        Lab::builder().queues(2),
        &["--ftp", "21=DIR", "--cores", "0,1", "--queues", "0-1"],
        tree,
    );
    for way in [&[][..], &["-P", "-"]] {
        for _ in 0..8 {
            let args = [&["-s", "--max-time", "20"], way, &["ftp://HOST/big.bin"]].concat();
            assert!(shop.run("curl", &args) == content(BIG), "{way:?}");
        }
    }
    shop.close();
}
