//! The small services, and those of load tests.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use bypath_apps::serve::load_protocol::{RrHeader, StreamHeader, StreamReport, TestPattern};

use crate::shop::{LONG, Shop, content, exchange};

fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|n| TestPattern.at(n)[0]).collect()
}

#[test]
fn netns_serve_has_the_small_services() {
    let shop = Shop::open(&["--echo", "--discard=discard", "--chargen", "--daytime=1013", "--time"], |_| {});
    let sent = content(300_000);
    let stream = shop.dial(7);
    let reader = stream.try_clone().unwrap();
    let echoed = std::thread::spawn(move || {
        let mut echoed = Vec::new();
        (&reader).read_to_end(&mut echoed).unwrap();
        echoed
    });
    (&stream).write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(echoed.join().unwrap() == sent);

    assert_eq!(exchange(shop.dial(9), &sent), b"");
    let mut lines = vec![0; 200_000];
    shop.dial(19).read_exact(&mut lines).unwrap();
    assert!(lines.starts_with(b" !\"#$%&'()") && lines[74..].starts_with(b"!\"#$%&'()*"));
    let daytime = String::from_utf8(exchange(shop.dial(1013), b"")).unwrap();
    assert!(daytime.ends_with("\r\n") && daytime.split_whitespace().count() == 5, "{daytime}");
    let time: [u8; 4] = exchange(shop.dial(37), b"").try_into().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((u64::from(u32::from_be_bytes(time)) + 5).abs_diff(now + 2_208_988_800 + 5) < 3);

    let to = shop.at(7);
    let echo = shop.far().run(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let mut got = [0; 2000];
        for len in [0usize, 1, 64, 1472] {
            socket.send_to(&content(len), to).unwrap();
            let (n, from) = socket.recv_from(&mut got).unwrap();
            assert_eq!((n, from), (len, to));
            assert!(got[..n] == content(len));
        }
    });
    echo.unwrap();
    let document = shop.close();
    assert_eq!(document["totals"]["connections_opened"], 5, "{document:#}");
}

#[test]
fn netns_serve_answers_requests_with_as_many_bytes_as_they_ask_for() {
    let shop = Shop::open(&["--rr", "5000"], |_| {});
    let sizes = [(8u32, 1u32), (100, 0), (8, 1_000_000), (70_000, 5), (9, 65_521), (8, 1)];
    let mut requests = Vec::new();
    for (request_bytes, response_bytes) in sizes {
        requests.extend_from_slice(&RrHeader { request_bytes, response_bytes }.emit());
        requests.extend_from_slice(&content(request_bytes as usize - RrHeader::LEN));
    }
    let total: u32 = sizes.iter().map(|(_, response)| response).sum();
    assert!(exchange(shop.dial(5000), &requests) == pattern(0, total as usize));

    let mut broken = shop.dial(5000);
    broken.write_all(&[0, 0, 0, 7, 0, 0, 0, 1]).unwrap();
    assert!(broken.read(&mut [0]).is_err());
    let mut cut = shop.dial(5000);
    cut.write_all(&[0, 0, 0, 9, 0, 0, 0, 1]).unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    assert!(cut.read(&mut [0]).is_err(), "all of the request but its last byte had come");
    let document = shop.close();
    assert_eq!(document["totals"]["requests"], 6, "{document:#}");
    assert_eq!(document["totals"]["errors"]["protocol"], 2, "{document:#}");
}

#[test]
fn netns_serve_streams_up_down_and_both() {
    let shop = Shop::open(&["--stream", "5001"], |_| {});
    let run = |header: StreamHeader, up: &[u8]| {
        let stream = shop.dial(5001);
        let reader = stream.try_clone().unwrap();
        let received = std::thread::spawn(move || {
            let mut received = Vec::new();
            (&reader).read_to_end(&mut received).unwrap();
            received
        });
        (&stream).write_all(&header.emit()).unwrap();
        (&stream).write_all(up).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut received = received.join().unwrap();
        let report = received.split_off(received.len() - StreamReport::LEN);
        let report = StreamReport::parse(report.try_into().unwrap());
        assert_eq!(report.sent, received.len() as u64);
        assert_eq!(TestPattern.mismatch(0, &received), None);
        (report.received, report.wrong_at, received.len())
    };
    let none = StreamHeader { up: false, down: false, check: false, down_bytes: 0 };
    let good = pattern(0, 1_000_000);
    let mut bad = good.clone();
    bad[777_777] ^= 1;
    assert_eq!(run(StreamHeader { up: true, check: true, ..none }, &good), (1_000_000, None, 0));
    assert_eq!(run(StreamHeader { up: true, check: true, ..none }, &bad), (1_000_000, Some(777_777), 0));
    assert_eq!(run(StreamHeader { up: true, ..none }, &bad), (1_000_000, None, 0));
    assert_eq!(run(StreamHeader { down: true, down_bytes: 3_000_001, ..none }, &[]), (0, None, 3_000_001));
    let both = StreamHeader { up: true, down: true, check: true, down_bytes: 2_000_000 };
    assert_eq!(run(both, &good), (1_000_000, None, 2_000_000));
    let (_, _, given) = run(StreamHeader { down: true, ..none }, &[]);
    assert!(given <= 64 << 20, "{given} bytes after the client had closed");
    let document = shop.close();
    assert_eq!(document["totals"]["errors"]["wrong_bytes"], 1, "{document:#}");
}
