//! The HTTP client against servers that are right, odd, wrong and silent.

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bypath_apps::{ByteRange, CancelToken, Client, ClientConfig, Credentials, KernelNetwork, fetch};
use support::{LONG, Server, accept, body_of, client, code_of, request, run, run_with};

fn get(bytes: &str) -> (bypath_apps::Transfer, support::Kept) {
    let server = Server::saying(bytes);
    run(&request(&server.url("http", "/f")))
}

#[test]
fn reads_a_body_with_a_length() {
    let (transfer, kept) = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    assert_eq!(kept.info.unwrap().length, Some(5));
    let timings = transfer.report.timings;
    assert!(timings.namelookup <= timings.connect && timings.connect <= timings.starttransfer);
    assert!(timings.starttransfer.unwrap() <= timings.total);
}

#[test]
fn sends_a_plain_request() {
    let server = Server::once(|mut peer| {
        let head = peer.request();
        assert!(head.starts_with("GET /a%20b?c=d HTTP/1.1\nHost: 127.0.0.1:"), "{head}");
        assert!(!head.contains("Authorization") && !head.contains("Range"), "{head}");
        peer.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    assert_eq!(body_of(&request(&server.url("http", "/a%20b?c=d#fragment"))), b"");
    server.done();
}

#[test]
fn reads_chunks_and_trailers_and_keeps_the_connection() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in ["3\r", "\nab", "c\r\n1;x=y\r\nd\r\n", "0\r\nTrailer: 1\r\n\r\n"] {
            peer.send(piece);
        }
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut client = client();
    let (first, kept) = run_with(&mut client, &request(&server.url("http", "/1")));
    assert_eq!((code_of(&first), kept.bytes.as_slice()), (0, &b"abcd"[..]));
    let (second, kept) = run_with(&mut client, &request(&server.url("http", "/2")));
    assert_eq!((code_of(&second), kept.bytes.as_slice()), (0, &b"ok"[..]));
    assert_eq!(second.report.timings.connect, None, "no second connection");
    server.done();
}

#[test]
fn reads_until_close_where_nothing_else_ends_the_body() {
    let (transfer, kept) = get("HTTP/1.0 200 OK\r\n\r\nall of it");
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"all of it"[..]));
}

#[test]
fn opens_a_new_connection_when_the_kept_one_was_closed() {
    let server = Server::listening(|listener| {
        for _ in 0..2 {
            let mut peer = accept(&listener);
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut client = client();
    for _ in 0..2 {
        let (transfer, _) = run_with(&mut client, &request(&server.url("http", "/")));
        assert_eq!(code_of(&transfer), 0);
    }
    server.done();
}

#[test]
fn skips_interim_answers() {
    let (transfer, kept) = get("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"x"[..]));
}

#[test]
fn follows_relative_redirects_on_the_same_connection() {
    let server = Server::once(|mut peer| {
        assert!(peer.request().starts_with("GET /a/b "));
        peer.send("HTTP/1.1 302 Found\r\nLocation: ../c?d\r\nContent-Length: 4\r\n\r\ngone");
        assert!(peer.request().starts_with("GET /c?d "));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere");
    });
    let (transfer, kept) = run(&request(&server.url("http", "/a/b")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"here"[..]));
    assert_eq!(transfer.report.redirects, 1);
    assert!(transfer.report.effective_url.ends_with("/c?d"));
    server.done();
}

#[test]
fn gives_up_after_too_many_redirects() {
    let server = Server::once(|mut peer| {
        for _ in 0..3 {
            peer.request();
            peer.send("HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut request = request(&server.url("http", "/"));
    request.max_redirects = Some(2);
    assert_eq!(code_of(&run(&request).0), 47);
    server.done();
}

#[test]
fn delivers_a_redirect_that_is_not_followed() {
    let server = Server::saying("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 4\r\n\r\ngone");
    let mut request = request(&server.url("http", "/"));
    request.max_redirects = None;
    assert_eq!(body_of(&request), b"gone");
}

#[test]
fn a_redirect_to_https_is_refused() {
    let (transfer, _) = get("HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/\r\n\r\n");
    assert_eq!(code_of(&transfer), 1);
}

#[test]
fn a_login_does_not_travel_to_another_server() {
    let other = Server::once(|mut peer| {
        assert!(!peer.request().contains("Authorization"));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let location = other.url("http", "/");
    let server = Server::once(move |mut peer| {
        assert!(peer.request().contains("Authorization: Basic bWU6c2VjcmV0\n"));
        peer.send(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"));
    });
    let mut request = request(&server.url("http", "/"));
    request.credentials = Some(Credentials { user: "me".into(), password: "secret".into() });
    assert_eq!(body_of(&request), b"");
    server.done();
    other.done();
}

#[test]
fn userinfo_of_the_url_becomes_basic_authorization() {
    let server = Server::once(|mut peer| {
        assert!(peer.request().contains("Authorization: Basic bWU6c2VjcmV0\n"));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    body_of(&request(&format!("http://me:secret@{}/", server.addr)));
    server.done();
}

#[test]
fn an_error_status_is_exit_22_without_its_body() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry");
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut client = client();
    let (transfer, kept) = run_with(&mut client, &request(&server.url("http", "/missing")));
    assert_eq!((code_of(&transfer), kept.bytes.len()), (22, 0));
    assert!(kept.info.is_none());
    assert_eq!(transfer.report.status, Some(404));
    assert_eq!(transfer.result.unwrap_err().to_string(), "the server answered 404 Not Found");
    assert_eq!(code_of(&run_with(&mut client, &request(&server.url("http", "/there"))).0), 0);
    server.done();
}

#[test]
fn an_error_body_is_delivered_to_those_who_want_it() {
    let server = Server::saying("HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nsorry");
    let mut request = request(&server.url("http", "/"));
    request.fail_on_status = false;
    assert_eq!(body_of(&request), b"sorry");
}

#[test]
fn a_head_request_delivers_the_head() {
    let server = Server::once(|mut peer| {
        assert!(peer.request().starts_with("HEAD /f "));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    });
    let mut request = request(&server.url("http", "/f"));
    request.head = true;
    assert_eq!(body_of(&request), b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    server.done();
}

#[test]
fn resumes_behind_what_is_there() {
    let server = Server::once(|mut peer| {
        assert!(peer.request().contains("Range: bytes=3-\n"));
        peer.send(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-5/6\r\nContent-Length: 3\r\n\r\ndef",
        );
    });
    let mut request = request(&server.url("http", "/f"));
    request.resume_from = Some(3);
    let (transfer, kept) = run(&request);
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"def"[..]));
    assert_eq!(kept.info.unwrap().offset, 3);
    server.done();
}

#[test]
fn resuming_a_complete_file_is_done_at_once() {
    let server = Server::saying(
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */6\r\nContent-Length: 0\r\n\r\n",
    );
    let mut request = request(&server.url("http", "/f"));
    request.resume_from = Some(6);
    let (transfer, kept) = run(&request);
    assert_eq!((code_of(&transfer), kept.bytes.len()), (0, 0));
}

#[test]
fn the_page_of_an_error_is_never_appended_to_what_is_there() {
    for head in ["404 Not Found", "500 Oops", "302 Elsewhere"] {
        let bytes = format!("HTTP/1.1 {head}\r\nLocation: /x\r\nContent-Length: 4\r\n\r\noops");
        let server = Server::saying(bytes);
        let mut request = request(&server.url("http", "/f"));
        (request.resume_from, request.fail_on_status, request.max_redirects) = (Some(3), false, None);
        let (transfer, kept) = run(&request);
        assert_ne!(code_of(&transfer), 0, "{head}");
        assert_eq!((kept.info, kept.bytes.len()), (None, 0), "{head}");
    }
}

#[test]
fn refuses_to_resume_where_the_server_sends_something_else() {
    let answers = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", 33),
        ("HTTP/1.1 206 P\r\nContent-Range: bytes 0-5/6\r\nContent-Length: 6\r\n\r\nabcdef", 33),
        ("HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\ndef", 33),
        ("HTTP/1.1 416 No\r\nContent-Range: bytes */2\r\nContent-Length: 0\r\n\r\n", 36),
        ("HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n", 33),
    ];
    for (answer, code) in answers {
        let server = Server::saying(answer);
        let mut request = request(&server.url("http", "/f"));
        request.resume_from = Some(3);
        let (transfer, kept) = run(&request);
        assert_eq!((code_of(&transfer), kept.bytes.len()), (code, 0), "{answer}");
    }
}

#[test]
fn asks_for_a_range_in_each_form() {
    let ranges =
        [(ByteRange::Inclusive(2, 5), "2-5"), (ByteRange::From(7), "7-"), (ByteRange::Last(4), "-4")];
    for (range, text) in ranges {
        let server = Server::once(move |mut peer| {
            assert!(peer.request().contains(&format!("Range: bytes={text}\n")));
            peer.send("HTTP/1.1 206 P\r\nContent-Range: bytes 2-3/9\r\nContent-Length: 2\r\n\r\ncd");
        });
        let mut request = request(&server.url("http", "/f"));
        request.range = Some(range);
        assert_eq!(body_of(&request), b"cd");
        server.done();
    }
}

#[test]
fn a_length_that_promises_too_much_is_a_partial_transfer() {
    let (transfer, kept) = get("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (18, &b"hello"[..]));
    let text = transfer.result.unwrap_err().to_string();
    assert!(text.contains("5 bytes received of 10"), "{text}");
}

#[test]
fn a_length_that_promises_too_little_ends_the_body_and_the_connection() {
    let server = Server::listening(|listener| {
        for _ in 0..2 {
            let mut peer = accept(&listener);
            peer.request();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more");
            peer.wait_for_close();
        }
    });
    let mut client = client();
    for _ in 0..2 {
        let (transfer, kept) = run_with(&mut client, &request(&server.url("http", "/")));
        assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    }
    drop(client);
    server.done();
}

#[test]
fn a_reset_half_way_is_a_partial_transfer() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello");
        peer.reset();
    });
    assert_eq!(code_of(&run(&request(&server.url("http", "/"))).0), 18);
}

#[test]
fn chunks_that_end_early_are_a_partial_transfer() {
    let (transfer, kept) = get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (18, &b"hello"[..]));
}

#[test]
fn malformed_replies_are_told_from_one_another() {
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
    let replies = [
        ("", 52),
        ("220 ftp.example ready\r\n", 8),
        ("<html>hello</html>", 8),
        ("HTTP/1.1 abc\r\n\r\n", 8),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", 8),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxx", 8),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 8),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 8),
        ("HTTP/1.1 101 Switching\r\n\r\n", 8),
        ("HTTP/1.1 999 What\r\n\r\n", 8),
        ("HTTP/1.1 200 OK\r\nContent-Le", 56),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 56),
        (&long, 8),
        (&many, 8),
        (&interim, 8),
    ];
    for (reply, code) in replies {
        let (transfer, _) = get(reply);
        assert_eq!(code_of(&transfer), code, "{:?}: {:?}", &reply[..reply.len().min(60)], transfer.result);
    }
}

#[test]
fn a_reset_before_the_answer_is_a_receive_error() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.reset();
    });
    assert_eq!(code_of(&run(&request(&server.url("http", "/"))).0), 56);
}

#[test]
fn a_refused_connection_is_exit_7() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let (transfer, _) = run(&request(&format!("http://127.0.0.1:{port}/")));
    assert_eq!(code_of(&transfer), 7);
    let text = transfer.result.unwrap_err().to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[test]
fn a_silent_server_is_left_when_the_time_is_up() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.wait_for_close();
    });
    let mut request = request(&server.url("http", "/"));
    request.max_time = Some(Duration::from_millis(300));
    let started = Instant::now();
    assert_eq!(code_of(&run(&request).0), 28);
    assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < LONG / 2);
    server.done();
}

#[test]
fn a_server_that_falls_silent_half_way_is_left_after_the_idle_timeout() {
    let server = Server::once(|mut peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        peer.wait_for_close();
    });
    let config = ClientConfig { idle_timeout: Some(Duration::from_millis(300)), ..ClientConfig::default() };
    let mut client = Client::new(Arc::new(KernelNetwork), config);
    let (transfer, kept) = run_with(&mut client, &request(&server.url("http", "/")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (28, &b"hello"[..]));
    server.done();
}

#[test]
fn a_cancelled_transfer_ends_though_the_server_is_silent() {
    let cancel = CancelToken::default();
    let token = cancel.clone();
    let server = Server::once(move |mut peer| {
        peer.request();
        token.cancel();
        peer.wait_for_close();
    });
    let mut client = Client::new(Arc::new(KernelNetwork), ClientConfig { cancel, ..ClientConfig::default() });
    assert_eq!(code_of(&run_with(&mut client, &request(&server.url("http", "/"))).0), 130);
    server.done();
}

#[test]
fn a_sink_that_cannot_write_is_exit_23() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let mut full = |_: &[u8]| Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
    let transfer = fetch(&mut client(), &request(&server.url("http", "/")), &mut full);
    assert_eq!((code_of(&transfer), transfer.report.bytes), (23, 0));
}

#[test]
fn reaches_an_ipv6_literal() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("no IPv6 on this host");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut peer = accept(&listener);
        assert!(peer.request().contains(&format!("Host: [::1]:{port}\n")));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6");
    });
    assert_eq!(body_of(&request(&format!("http://[::1]:{port}/"))), b"v6");
    thread.join().unwrap();
}

#[test]
fn a_large_body_arrives_whole() {
    let body: Vec<u8> = (0..3_000_000u32).flat_map(|i| i.to_le_bytes()).collect();
    let sent = body.clone();
    let server = Server::once(move |mut peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
        peer.send(&sent);
    });
    assert!(body_of(&request(&server.url("http", "/"))) == body);
    server.done();
}
