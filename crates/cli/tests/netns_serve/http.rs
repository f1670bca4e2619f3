//! HTTP: files, parts of them, errors; curl, wget, aria2 and wrk, and a socket that says what they would not.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;

use crate::shop::{Shop, content, exchange};

const BIG: usize = 3_000_017;

fn site(dir: &std::path::Path) {
    std::fs::write(dir.join("big.bin"), content(BIG)).unwrap();
    std::fs::write(dir.join("small.txt"), "small\n").unwrap();
    std::fs::create_dir_all(dir.join("sub/<b>&")).unwrap();
    std::fs::write(dir.join("sub/page.html"), "<p>page</p>").unwrap();
    std::fs::create_dir(dir.join("home")).unwrap();
    std::fs::write(dir.join("home/index.html"), "<p>home</p>").unwrap();
    symlink("/etc/passwd", dir.join("out")).unwrap();
    symlink("../small.txt", dir.join("sub/in")).unwrap();
}

/// The status lines of several answers, and whether the last one closes.
fn statuses(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply);
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.get(..3).unwrap_or_default().to_owned()).collect()
}

#[test]
fn netns_serve_gives_curl_files_parts_and_validators() {
    let shop = Shop::open(&["--http", "80=DIR", "--access-log", "-"], site);
    let big = content(BIG);
    let curl = |args: &[&str]| shop.run("curl", &[&["-s", "--max-time", "20"], args].concat());
    for url in ["http://HOST/big.bin", "http://HOST6/big.bin", "http://HOST/sub/../%62ig.bin?x"] {
        assert!(curl(&[url]) == big, "{url}");
    }
    assert!(curl(&["-r", "1000000-2000000", "http://HOST/big.bin"]) == big[1_000_000..=2_000_000]);
    assert!(curl(&["-r", "-5", "http://HOST/big.bin"]) == big[BIG - 5..]);

    std::fs::write(shop.path("part"), &big[..1_234_567]).unwrap();
    curl(&["-C", "-", "-o", "part", "http://HOST/big.bin"]);
    assert!(std::fs::read(shop.path("part")).unwrap() == big);

    let parts = curl(&["-i", "-r", "0-4,2999000-", "http://HOST/big.bin"]);
    let text = String::from_utf8_lossy(&parts);
    assert!(text.starts_with("HTTP/1.1 206") && text.contains("multipart/byteranges"), "{text:.300}");
    assert!(text.contains("Content-Range: bytes 2999000-3000016/3000017"), "{text:.300}");
    assert!(parts.windows(1017).any(|w| w == &big[2_999_000..]));

    let head = String::from_utf8(curl(&["-I", "http://HOST/small.txt"])).unwrap();
    for line in [
        "200 OK",
        "Content-Type: text/plain",
        "Content-Length: 6",
        "ETag: \"",
        "Date: ",
        "Accept-Ranges: bytes",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    let code = |args: &[&str]| {
        let all = [&["-o", "/dev/null", "-w", "%{http_code}"], args].concat();
        String::from_utf8(curl(&all)).unwrap()
    };
    let matches = format!("If-None-Match: {etag}");
    assert_eq!(code(&["-H", &matches, "http://HOST/small.txt"]), "304");
    assert_eq!(code(&["-z", "20370101", "http://HOST/small.txt"]), "304");
    assert_eq!(code(&["-z", "19990101", "http://HOST/small.txt"]), "200");
    let other = ["-r", "0-1", "-H", "If-Range: \"other\"", "http://HOST/small.txt"];
    assert_eq!(curl(&other), b"small\n");
    assert_eq!(code(&["-r", "6-", "http://HOST/small.txt"]), "416");
    for (path, expected) in [
        ("/nothing", "404"),
        ("/out", "403"),
        ("/sub/in", "200"),
        ("/small.txt/", "404"),
        ("/sub", "301"),
        ("/home/", "200"),
    ] {
        assert_eq!(code(&[&format!("http://HOST{path}")]), expected, "{path}");
    }
    assert_eq!(code(&["-d", "x=y", "http://HOST/small.txt"]), "405");
    assert_eq!(curl(&["-L", "http://HOST/home"]), b"<p>home</p>");
    let listing = String::from_utf8(curl(&["http://HOST/sub/"])).unwrap();
    assert!(listing.contains("./%3Cb%3E&amp;/") && !listing.contains("<b>"), "{listing}");
    let reused = shop.output("curl", &["-sv", "http://HOST/small.txt", "http://HOST/small.txt"]);
    assert!(String::from_utf8_lossy(&reused.stderr).contains("Re-using"), "{reused:?}");

    assert!(shop.log().contains("\"GET /big.bin HTTP/1.1\" 206 1000001"), "{}", shop.log());
    let document = shop.close();
    assert_eq!(document["totals"]["errors"]["not_served"], 5, "{document:#}");
}

#[test]
fn netns_serve_answers_a_pipeline_in_order_however_it_is_cut() {
    let shop = Shop::open(&["--http", "80=DIR"], site);
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = "GET /small.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    let many = one("/small.txt").repeat(500) + &one("/big.bin") + &one("/nothing") + last;
    let reply = exchange(shop.dial(80), many.as_bytes());
    let mut rest = &reply[..];
    for (i, (status, body)) in (0..500)
        .map(|_| ("200", b"small\n".to_vec()))
        .chain([("200", content(BIG)), ("404", Vec::new()), ("200", b"small\n".to_vec())])
        .enumerate()
    {
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{i}: {head}");
        let length: usize =
            head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        assert!(status == "404" || rest[end..end + length] == body, "{i}");
        rest = &rest[end + length..];
    }
    assert!(rest.is_empty());

    let mut torn = shop.dial(80);
    for byte in [one("/small.txt"), last.to_owned()].concat().as_bytes() {
        torn.write_all(&[*byte]).unwrap();
    }
    let mut reply = Vec::new();
    torn.read_to_end(&mut reply).unwrap();
    assert_eq!(statuses(&reply), ["200", "200"]);
    shop.close();
}

#[test]
fn netns_serve_refuses_what_is_wrong_for_its_cause() {
    let shop = Shop::open(&["--http", "80=DIR", "--max-request", "2000", "--max-body", "100"], site);
    let next = "GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let long = "x".repeat(3_000);
    let post =
        |lines: &str, body: &str| format!("POST /small.txt HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{next}");
    let cases: Vec<(String, &[&str])> = vec![
        (format!("GET /small.txt HTTP/1.1\r\n\r\n{next}"), &["400"]),
        (format!("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["400", "200"]),
        (format!("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["400", "200"]),
        ("\x16\x03\x01\x02\x00\x01\x00\x01".to_owned(), &["400"]),
        (format!("GET / HTTP/3.0\r\nHost: a\r\n\r\n{next}"), &["505"]),
        (format!("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["501", "200"]),
        (format!("DELETE /small.txt HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["405", "200"]),
        (format!("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["204", "200"]),
        (format!("GET /{long} HTTP/1.1\r\n"), &["414"]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), &["431"]),
        (post("Content-Length: 5\r\n", "hello"), &["405", "200"]),
        (post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), &["405", "200"]),
        (post("Transfer-Encoding: chunked\r\n", "zz\r\n"), &["405"]),
        (post("Content-Length: 101\r\n", ""), &["413"]),
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ""), &["400"]),
        (post("Transfer-Encoding: gzip\r\n", ""), &["501"]),
        (post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""), &["405"]),
        (post("Expect: miracle\r\n", ""), &["417"]),
        (format!("GET /small.txt HTTP/1.0\r\n\r\n{next}"), &["200"]),
        (format!("GET /small.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{next}"), &["200", "200"]),
        (format!("HEAD /small.txt HTTP/1.1\r\nHost: a\r\n\r\n{next}"), &["200", "200"]),
        (format!("\r\n{next}"), &["200"]),
    ];
    for (request, expected) in cases {
        let reply = exchange(shop.dial(80), request.as_bytes());
        assert_eq!(statuses(&reply), expected, "{request:.200}\n{}", String::from_utf8_lossy(&reply));
    }
    shop.close();
}

#[test]
fn netns_serve_satisfies_wget_aria2_wrk_and_python() {
    let shop = Shop::open(&["--http", "80=DIR"], site);
    shop.run("wget", &["-q", "-r", "-np", "-nH", "-R", "out", "http://HOST/"]);
    assert!(std::fs::read(shop.path("big.bin")).unwrap() == content(BIG));
    assert_eq!(std::fs::read(shop.path("sub/page.html")).unwrap(), b"<p>page</p>");
    std::fs::remove_file(shop.path("big.bin")).unwrap();
    shop.run("aria2c", &["-q", "-x", "4", "-s", "4", "-k", "1M", "http://HOST/big.bin"]);
    assert!(std::fs::read(shop.path("big.bin")).unwrap() == content(BIG));

    let wrk = shop.text("wrk", &["-t", "1", "-c", "16", "-d", "1", "http://HOST/small.txt"]);
    let answered: u64 =
        wrk.split(" requests in").next().unwrap().split_whitespace().last().unwrap().parse().unwrap();
    assert!(answered > 500 && !wrk.contains("Socket errors") && !wrk.contains("Non-2xx"), "{wrk}");

    let program = "import http.client, sys\n\
        c = http.client.HTTPConnection(sys.argv[1])\n\
        for _ in range(3):\n    c.request('GET', '/small.txt'); assert c.getresponse().read() == b'small\\n'\n\
        c.request('PUT', '/small.txt', body=b'x'); r = c.getresponse(); r.read(); assert r.status == 405\n\
        c.request('GET', '/small.txt'); assert c.getresponse().read() == b'small\\n'\n";
    shop.run("python3", &["-c", program, "HOST"]);
    // A browser's request, with all that it sends along.
    let browser = "GET /home/ HTTP/1.1\r\nHost: 198.18.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
        Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nPriority: u=0, i\r\nCache-Control: max-age=0\r\n\r\n";
    let reply = exchange(shop.dial(80), browser.as_bytes());
    assert!(reply.ends_with(b"\r\n\r\n<p>home</p>"), "{}", String::from_utf8_lossy(&reply));
    shop.close();
}

#[test]
fn netns_serve_survives_a_file_that_becomes_shorter_and_resets_who_was_getting_it() {
    const LEN: usize = 64 << 20;
    let shop = Shop::open(&["--http", "80=DIR"], |dir| {
        std::fs::write(dir.join("huge"), content(LEN)).unwrap();
        std::fs::write(dir.join("small.txt"), "small\n").unwrap();
    });
    let mut stream = shop.dial(80);
    stream.write_all(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut begun = vec![0; 100_000];
    stream.read_exact(&mut begun).unwrap();
    let file = std::fs::File::options().write(true).open(shop.dir.path().join("huge")).unwrap();
    file.set_len(1_000_000).unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(ended.is_err() && begun.len() + rest.len() < LEN, "{ended:?} after {} bytes", rest.len());
    assert_eq!(shop.run("curl", &["-s", "http://HOST/small.txt"]), b"small\n");
    let shorter = shop.run("curl", &["-s", "http://HOST/huge"]);
    assert!(shorter == content(LEN)[..1_000_000]);
    let document = shop.close();
    assert_eq!(document["totals"]["errors"]["file_truncated"], 1, "{document:#}");
}
