//! Clients that mean ill, or only cut what they say at odd places.

use bypath_apps::serve::Trouble;
use proptest::prelude::*;

use crate::net::{Dir, FTP, HTTP, Net};

/// The status codes of answers in a row, which must be nothing but answers.
fn statuses(mut reply: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while !reply.is_empty() {
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&reply[..end]).expect("text");
        let code = head.strip_prefix("HTTP/1.1 ").expect("an answer").get(..3).expect("a status").to_owned();
        let length = head
            .split("Content-Length: ")
            .nth(1)
            .map_or(0, |rest| rest.split('\r').next().and_then(|n| n.parse().ok()).expect("a length"));
        reply = reply.get(end + length..).expect("a whole body");
        found.push(code);
    }
    found
}

fn http_words() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/ ",
        "/small ",
        "/big ",
        "/sub ",
        "/../x ",
        "/%2e%2e/x ",
        "/%zz ",
        "HTTP/1.1\r\n",
        "HTTP/1.0\r\n",
        "HTTP/9\r\n",
        "Host: a\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "Range: bytes=",
        "0-0,",
        "-1",
        "Content-Length: ",
        "5\r\n",
        "99999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "If-None-Match: \"",
        "GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
    prop_oneof![
        9 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn ftp_words() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "USER x\r\nPASS y\r\n",
        "USER ",
        "PASS ",
        "CWD ",
        "sub",
        "..",
        "/",
        "small",
        "big",
        "\r\n",
        "\n",
        "EPSV\r\n",
        "PASV\r\n",
        "EPSV ALL\r\n",
        "PORT 198,18,0,2,8,10\r\n",
        "PORT 1,2\r\n",
        "EPRT |1|198.18.0.2|2058|\r\n",
        "RETR big\r\n",
        "RETR small\r\n",
        "LIST\r\n",
        "MLSD sub\r\n",
        "NLST -la\r\n",
        "STOR new\r\n",
        "APPE new\r\n",
        "REST 5\r\n",
        "REST 99999999999999999999\r\n",
        "ABOR\r\n",
        "STAT\r\n",
        "STAT /\r\n",
        "MKD d\r\n",
        "RMD d\r\n",
        "RNFR new\r\n",
        "RNTO newer\r\n",
        "DELE newer\r\n",
        "SIZE big\r\n",
        "QUIT\r\n",
        "\u{ff}",
        "FEAT\r\n",
    ]);
    prop_oneof![
        9 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_pipeline_is_answered_alike_however_it_is_cut(cuts in prop::collection::vec(1usize..200, 0..40)) {
        let dir = Dir::new("cuts");
        let mut net = Net::new(&dir);
        let requests = "GET /small HTTP/1.1\r\nHost: a\r\n\r\nHEAD /big HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
            POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /none HTTP/1.1\r\n\
            Host: a\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n";
        let socket = net.dial(HTTP);
        let (mut rest, mut reply) = (requests.as_bytes(), Vec::new());
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            net.client.send(socket, now).unwrap();
            net.step();
            net.take(socket, &mut reply);
            rest = later;
        }
        net.client.send(socket, rest).unwrap();
        for _ in 0..2_000 {
            net.step();
            net.take(socket, &mut reply);
        }
        // A HEAD's length is not followed by a body.
        let head = String::from_utf8_lossy(&reply).find("Content-Length: 300000").unwrap();
        reply.splice(head..head + 22, *b"Content-Length: 0     ");
        let text = String::from_utf8_lossy(&reply).replace("Content-Length: 0     ", "Content-Length: 0");
        prop_assert_eq!(statuses(text.as_bytes()), ["200", "200", "405", "404", "206", "200"]);
        net.client.close(socket);
        net.wind_down();
    }

    #[test]
    fn nothing_that_a_client_says_by_http_does_harm(words in prop::collection::vec(http_words(), 1..30), stays: bool) {
        let dir = Dir::new("http");
        let mut net = Net::new(&dir);
        let socket = net.dial(HTTP);
        let mut reply = Vec::new();
        for word in &words {
            let _ = net.client.send(socket, word);
            net.step();
            net.take(socket, &mut reply);
        }
        if !stays {
            let _ = net.client.shutdown(socket);
        }
        for _ in 0..50 {
            net.step();
            net.take(socket, &mut reply);
        }
        prop_assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 "));
        prop_assert_eq!(net.trouble(Trouble::ServerError), 0);
        // Somebody else is served meanwhile.
        let other = net.dial(HTTP);
        net.client.send(other, b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        net.step();
        let mut served = Vec::new();
        net.take(other, &mut served);
        prop_assert_eq!(statuses(&served), ["200"]);
        net.client.close(other);
        net.client.close(socket);
        net.wind_down();
    }

    #[test]
    fn nothing_that_a_client_says_by_ftp_does_harm(words in prop::collection::vec(ftp_words(), 1..40), login: bool) {
        let dir = Dir::new("ftp");
        let mut net = Net::new(&dir);
        let socket = net.dial(FTP);
        let (mut reply, mut dialled, mut sockets) = (Vec::new(), 0, Vec::new());
        if login {
            net.client.send(socket, b"USER x\r\nPASS y\r\n").unwrap();
        }
        for word in &words {
            let _ = net.client.send(socket, word);
            net.step();
            net.take(socket, &mut reply);
            // Every port that the server names is connected to, and every connection says something.
            let text = String::from_utf8_lossy(&reply).into_owned();
            for port in text.split("|||").skip(1 + dialled).filter_map(|rest| rest.split('|').next()?.parse().ok()) {
                dialled += 1;
                let data = net.dial(port);
                let _ = net.client.send(data, b"data");
                sockets.push(data);
            }
        }
        for data in sockets {
            net.client.close(data);
        }
        for _ in 0..20 {
            net.step();
            net.take(socket, &mut reply);
        }
        let whole = reply.ends_with(b"\r\n") && reply.starts_with(b"220 ");
        prop_assert!(whole, "{:?}", String::from_utf8_lossy(&reply));
        net.client.close(socket);
        net.wind_down();
        let names: Vec<_> = std::fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        prop_assert!(!names.iter().any(|name| name.to_string_lossy().contains("upload")), "{:?}", names);
    }
}
