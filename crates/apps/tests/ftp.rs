//! The FTP client against servers on loopback: active and passive, polite and hostile.

mod support;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bypath_apps::{ByteRange, Credentials, DataMode, Request};
use support::{Peer, Server, accept, body_of, code_of, request, run};

/// Greeting, anonymous login and TYPE I.
fn welcome(peer: &mut Peer) {
    peer.send("220 ready\r\n");
    peer.answer("USER anonymous", "331 who?");
    peer.answer("PASS anonymous@example.com", "230 in");
}

fn begin(peer: &mut Peer, file: &str, size: &str) {
    welcome(peer);
    peer.answer("TYPE I", "200 ok");
    peer.answer(&format!("SIZE {file}"), size);
}

/// Answers EPSV with a fresh listener.
fn epsv(peer: &mut Peer) -> TcpListener {
    let data = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = data.local_addr().unwrap().port();
    peer.answer("EPSV", &format!("229 go (|||{port}|)"));
    data
}

/// Takes EPRT and returns where the client listens.
fn eprt(peer: &mut Peer) -> SocketAddr {
    let line = peer.line();
    let fields: Vec<&str> = line.strip_prefix("EPRT ").unwrap().split('|').collect();
    let ["", "1", ip, port, ""] = fields.as_slice() else { panic!("{line}") };
    peer.send("200 ok\r\n");
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.into(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn goodbye(peer: &mut Peer) {
    peer.answer("QUIT", "221 bye");
    peer.wait_for_close();
}

fn active(url: &str) -> Request {
    Request { data_mode: DataMode::Active(None), ..request(url) }
}

/// A passive server for "f" that sends `body` and then `closing`.
fn passive_server(size: &'static str, body: &'static [u8], closing: &'static str) -> Server {
    Server::once(move |mut peer| {
        begin(&mut peer, "f", size);
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send(body);
        peer.send(closing);
        goodbye(&mut peer);
    })
}

#[test]
fn fetches_in_passive_mode() {
    let server = passive_server("213 5", b"hello", "226 done\r\n");
    let (transfer, kept) = run(&request(&server.url("ftp", "/f")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    assert_eq!(kept.info.unwrap().length, Some(5));
    assert_eq!(transfer.report.status, Some(226));
    server.done();
}

#[test]
fn fetches_in_active_mode() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let client = eprt(&mut peer);
        let mut data = TcpStream::connect(client).unwrap();
        peer.answer("RETR f", "150 here it comes");
        data.write_all(b"hello").unwrap();
        drop(data);
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&active(&server.url("ftp", "/f"))), b"hello");
    server.done();
}

#[test]
fn falls_back_from_eprt_to_port() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        assert!(peer.line().starts_with("EPRT |1|127.0.0.1|"));
        peer.send("500 what?\r\n");
        let line = peer.line();
        let n: Vec<u8> = line.strip_prefix("PORT ").unwrap().split(',').map(|n| n.parse().unwrap()).collect();
        peer.send("200 ok\r\n");
        assert_eq!(n[..4], [127, 0, 0, 1]);
        peer.answer("RETR f", "150 here it comes");
        let port = u16::from_be_bytes([n[4], n[5]]);
        TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"hello").unwrap();
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&active(&server.url("ftp", "/f"))), b"hello");
    server.done();
}

#[test]
fn active_mode_that_the_server_refuses_is_exit_30() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        assert!(peer.line().starts_with("EPRT"));
        peer.send("500 no\r\n");
        assert!(peer.line().starts_with("PORT"));
        peer.send("500 no\r\n");
        goodbye(&mut peer);
    });
    assert_eq!(code_of(&run(&active(&server.url("ftp", "/f"))).0), 30);
    server.done();
}

#[test]
fn turns_away_a_data_connection_from_somebody_else() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let client = eprt(&mut peer);
        let mut stranger = Peer::new(connect_from(Ipv4Addr::new(127, 0, 0, 2), client));
        stranger.send("evil!");
        let mut data = TcpStream::connect(client).unwrap();
        peer.answer("RETR f", "150 here it comes");
        data.write_all(b"hello").unwrap();
        drop(data);
        peer.send("226 done\r\n");
        stranger.wait_for_close();
        goodbye(&mut peer);
    });
    let (transfer, kept) = run(&active(&server.url("ftp", "/f")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    assert!(transfer.report.notes[0].contains("127.0.0.2"), "{:?}", transfer.report.notes);
    server.done();
}

#[test]
fn a_server_that_cannot_connect_back_says_so() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        eprt(&mut peer);
        peer.answer("RETR f", "150 trying");
        peer.send("425 no way to you\r\n");
        goodbye(&mut peer);
    });
    let (transfer, _) = run(&active(&server.url("ftp", "/f")));
    assert_eq!(code_of(&transfer), 18);
    server.done();
}

#[test]
fn falls_back_from_epsv_to_pasv() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        peer.answer("EPSV", "500 what?");
        let data = TcpListener::bind("127.0.0.1:0").unwrap();
        let [high, low] = data.local_addr().unwrap().port().to_be_bytes();
        peer.answer("PASV", &format!("227 Entering Passive Mode (127,0,0,1,{high},{low})."));
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send("hello");
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    let (transfer, kept) = run(&request(&server.url("ftp", "/f")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    assert!(transfer.report.notes.is_empty());
    server.done();
}

#[test]
fn a_pasv_reply_cannot_send_us_to_somebody_else() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        peer.answer("EPSV", "500 what?");
        let data = TcpListener::bind("127.0.0.1:0").unwrap();
        let [high, low] = data.local_addr().unwrap().port().to_be_bytes();
        peer.answer("PASV", &format!("227 Entering Passive Mode (192,0,2,1,{high},{low})."));
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send("hello");
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    let (transfer, kept) = run(&request(&server.url("ftp", "/f")));
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"hello"[..]));
    assert!(transfer.report.notes[0].contains("192.0.2.1"), "{:?}", transfer.report.notes);
    server.done();
}

#[test]
fn passive_replies_without_an_address_are_exit_13() {
    for (epsv, pasv) in [("229 go", None), ("500 no", Some("227 somewhere")), ("500 no", Some("500 no"))] {
        let server = Server::once(move |mut peer| {
            begin(&mut peer, "f", "213 5");
            peer.answer("EPSV", epsv);
            if let Some(pasv) = pasv {
                peer.answer("PASV", pasv);
            }
            goodbye(&mut peer);
        });
        assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 13, "{epsv} {pasv:?}");
        server.done();
    }
}

#[test]
fn takes_226_before_the_data_has_ended() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 here it comes\r\n226 done");
        let mut data = accept(&data);
        data.send("hel");
        data.send("lo");
        drop(data);
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&request(&server.url("ftp", "/f"))), b"hello");
    server.done();
}

#[test]
fn takes_226_without_150() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let client = eprt(&mut peer);
        peer.answer("RETR f", "226 done");
        TcpStream::connect(client).unwrap().write_all(b"hello").unwrap();
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&active(&server.url("ftp", "/f"))), b"hello");
    server.done();
}

#[test]
fn takes_226_while_it_still_waits_for_the_data_connection() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let client = eprt(&mut peer);
        peer.answer("RETR f", "150 here it comes\r\n226 done");
        TcpStream::connect(client).unwrap().write_all(b"hello").unwrap();
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&active(&server.url("ftp", "/f"))), b"hello");
    server.done();
}

#[test]
fn reads_replies_over_several_lines() {
    let server = Server::once(|mut peer| {
        peer.send("220-Hello\r\n220 but not yet over\r\n".replace("220 but", " 220 but"));
        peer.send("230 not the same code\r\n220-\r\n220 ready\r\n");
        peer.answer("USER anonymous", "230-Welcome\n 230 indented\n230 in");
        peer.answer("TYPE I", "200 ok");
        peer.answer("SIZE f", "213 0");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 nothing");
        drop(accept(&data));
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    assert_eq!(body_of(&request(&server.url("ftp", "/f"))), b"");
    server.done();
}

#[test]
fn a_wrong_password_is_exit_67() {
    let server = Server::once(|mut peer| {
        peer.send("220 ready\r\n");
        peer.answer("USER me", "331 who?");
        peer.answer("PASS wrong", "530 Login incorrect.");
        goodbye(&mut peer);
    });
    let mut request = request(&server.url("ftp", "/f"));
    request.credentials = Some(Credentials { user: "me".into(), password: "wrong".into() });
    assert_eq!(code_of(&run(&request).0), 67);
    server.done();
}

#[test]
fn a_missing_file_is_exit_78_and_a_forbidden_directory_9() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "550 what file?");
        let _data = epsv(&mut peer);
        peer.answer("RETR f", "550 no such file");
        goodbye(&mut peer);
    });
    let (transfer, kept) = run(&request(&server.url("ftp", "/f")));
    assert_eq!(code_of(&transfer), 78);
    assert!(kept.info.is_none(), "nothing begins");
    server.done();

    let server = Server::once(|mut peer| {
        welcome(&mut peer);
        peer.answer("CWD pub", "250 ok");
        peer.answer("CWD secret", "550 no");
        goodbye(&mut peer);
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/pub/secret/f"))).0), 9);
    server.done();
}

#[test]
fn another_refusal_of_retr_is_exit_19() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let _data = epsv(&mut peer);
        peer.answer("RETR f", "451 disk trouble");
        goodbye(&mut peer);
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 19);
    server.done();
}

#[test]
fn a_data_connection_that_ends_early_is_a_partial_transfer() {
    for closing in ["226 done\r\n", "426 aborted\r\n"] {
        let server = passive_server("213 10", b"hello", closing);
        let (transfer, kept) = run(&request(&server.url("ftp", "/f")));
        assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (18, &b"hello"[..]), "{closing}");
        server.done();
    }
}

#[test]
fn a_server_that_vanishes_half_way_is_a_partial_transfer() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 10");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 here it comes");
        let mut data = accept(&data);
        data.send("hello");
        data.reset();
        peer.reset();
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 18);
}

#[test]
fn a_failure_reported_at_the_end_is_a_partial_transfer() {
    let server = passive_server("500 no SIZE", b"hello", "451 read error\r\n");
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 18);
    server.done();
}

#[test]
fn a_control_connection_that_dies_leaves_an_unknown_length_in_doubt() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "500 no SIZE");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send("hello");
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 18);
}

#[test]
fn a_complete_file_needs_no_confirmation() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send("hello");
    });
    let (transfer, _) = run(&request(&server.url("ftp", "/f")));
    assert_eq!(code_of(&transfer), 0);
    assert_eq!(transfer.report.notes.len(), 1);
}

#[test]
fn takes_the_size_from_150_where_size_is_unknown() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "500 no SIZE");
        let data = epsv(&mut peer);
        peer.answer("RETR f", "150 Opening BINARY mode data connection for f (10 bytes).");
        accept(&data).send("hello");
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 18);
    server.done();
}

#[test]
fn resumes_with_rest() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let data = epsv(&mut peer);
        peer.answer("REST 3", "350 go on");
        peer.answer("RETR f", "150 here it comes");
        accept(&data).send("lo");
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    let mut request = request(&server.url("ftp", "/f"));
    request.resume_from = Some(3);
    let (transfer, kept) = run(&request);
    assert_eq!((code_of(&transfer), kept.bytes.as_slice()), (0, &b"lo"[..]));
    let info = kept.info.unwrap();
    assert_eq!((info.offset, info.length), (3, Some(2)));
    server.done();
}

#[test]
fn resuming_knows_when_there_is_nothing_or_too_much() {
    for (have, code) in [(5, 0), (6, 36)] {
        let server = Server::once(|mut peer| {
            begin(&mut peer, "f", "213 5");
            goodbye(&mut peer);
        });
        let mut request = request(&server.url("ftp", "/f"));
        request.resume_from = Some(have);
        assert_eq!(code_of(&run(&request).0), code);
        server.done();
    }
}

#[test]
fn a_server_without_rest_is_exit_31() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        let _data = epsv(&mut peer);
        peer.answer("REST 3", "502 no");
        goodbye(&mut peer);
    });
    let mut request = request(&server.url("ftp", "/f"));
    request.resume_from = Some(3);
    assert_eq!(code_of(&run(&request).0), 31);
    server.done();
}

#[test]
fn takes_a_range_out_of_the_middle() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 10");
        let data = epsv(&mut peer);
        peer.answer("REST 2", "350 go on");
        peer.answer("RETR f", "150 here it comes");
        let mut data = accept(&data);
        data.send("23456789");
        data.wait_for_close();
        goodbye(&mut peer);
    });
    let mut request = request(&server.url("ftp", "/f"));
    request.range = Some(ByteRange::Inclusive(2, 4));
    assert_eq!(body_of(&request), b"234");
    server.done();
}

#[test]
fn lists_a_directory() {
    let server = Server::once(|mut peer| {
        welcome(&mut peer);
        peer.answer("CWD pub", "250 ok");
        peer.answer("TYPE A", "200 ok");
        let data = epsv(&mut peer);
        peer.answer("LIST", "150 here it comes");
        accept(&data).send("-rw-r--r-- 1 ftp ftp 5 Jan 01 00:00 f\r\n");
        peer.send("226 done\r\n");
        goodbye(&mut peer);
    });
    let listing = body_of(&request(&server.url("ftp", "/pub/")));
    assert!(listing.ends_with(b"f\r\n"));
    server.done();
}

#[test]
fn a_listing_is_never_appended_to_what_is_there() {
    let mut request = request("ftp://127.0.0.1:1/pub/");
    request.resume_from = Some(3);
    let (transfer, kept) = run(&request);
    assert_eq!((code_of(&transfer), kept.info), (33, None));
}

#[test]
fn describes_a_file_without_fetching_it() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 26752");
        peer.answer("MDTM f", "213 20240102030405");
        goodbye(&mut peer);
    });
    let mut request = request(&server.url("ftp", "/f"));
    request.head = true;
    let text = String::from_utf8(body_of(&request)).unwrap();
    assert!(text.starts_with("Content-Length: 26752\r\nLast-Modified: 2024-01-02T03:04:05Z\r\n"), "{text}");
    server.done();
}

#[test]
fn a_421_ends_it_wherever_it_comes() {
    let server = Server::once(|mut peer| peer.send("421 too many of you\r\n"));
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 28);

    let server = Server::once(|mut peer| {
        peer.send("220 ready\r\n");
        peer.answer("USER anonymous", "421 shutting down");
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 28);
}

#[test]
fn waits_through_a_120() {
    let server = Server::once(|mut peer| {
        peer.send("120 soon\r\n220 ready\r\n");
        peer.answer("USER anonymous", "530 no");
        goodbye(&mut peer);
    });
    assert_eq!(code_of(&run(&request(&server.url("ftp", "/f"))).0), 67);
    server.done();
}

#[test]
fn malformed_greetings_are_exit_8() {
    let endless = "220-again\r\n".repeat(2000);
    let long = format!("220 {}", "x".repeat(20_000));
    for greeting in ["HTTP/1.1 400 Bad Request\r\n", "hello\r\n", "\r\n", "500 no\r\n", &endless, &long] {
        let greeting = greeting.to_owned();
        let server = Server::once(move |mut peer| {
            // The client may leave before it has heard all of it.
            let _ = peer.stream().write_all(greeting.as_bytes());
            peer.wait_for_close();
        });
        let (transfer, _) = run(&request(&server.url("ftp", "/f")));
        assert_eq!(code_of(&transfer), 8, "{:?}", transfer.result);
        server.done();
    }
}

#[test]
fn a_closed_control_connection_is_a_receive_error() {
    let server = Server::once(|mut peer| peer.send("220 ready\r\n"));
    let code = code_of(&run(&request(&server.url("ftp", "/f"))).0);
    assert!(code == 56 || code == 55, "{code}");
}

#[test]
fn a_silent_server_is_left_when_the_time_is_up() {
    let server = Server::once(|mut peer| peer.wait_for_close());
    let mut request = request(&server.url("ftp", "/f"));
    request.max_time = Some(Duration::from_millis(300));
    assert_eq!(code_of(&run(&request).0), 28);
    server.done();
}

#[test]
fn an_active_mode_server_that_never_connects_is_left_when_the_time_is_up() {
    let server = Server::once(|mut peer| {
        begin(&mut peer, "f", "213 5");
        eprt(&mut peer);
        peer.answer("RETR f", "150 soon");
        peer.wait_for_close();
    });
    let mut request = active(&server.url("ftp", "/f"));
    request.max_time = Some(Duration::from_millis(500));
    assert_eq!(code_of(&run(&request).0), 28);
    server.done();
}
