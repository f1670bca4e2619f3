//! Sessions cut in many ways, and messages that mean ill.

use proptest::prelude::*;

use super::ftp::DataPort;
use super::{Conversation, Ftp, Protocol, Said, Side, of_datagram};

/// What a conversation is told: whose bytes, and which.
type Script<'a> = &'a [(Side, &'a [u8])];

use Side::{Client, Server};

fn lines(protocol: Protocol, script: Script<'_>) -> Vec<String> {
    let mut conversation = Conversation::new(protocol);
    let mut lines = Vec::new();
    for (side, bytes) in script {
        conversation.push(*side, bytes, &mut |said| lines.push(said.to_string()));
    }
    lines
}

#[test]
fn ftp_is_commands_and_replies_with_data_connections() {
    let script: Script<'_> = &[
        (Server, b"220-Hello\r\n 331 not yet\r\n220 ready\r\n"),
        (Client, b"PORT 141,2,28,110,4,223\r\nEPRT |2|::1|5282|\r\n"),
        (Server, b"227 Entering Passive Mode (10,0,0,1,19,137).\r\n229 Extended (|||6446|)\r\n"),
    ];
    let mut conversation = Conversation::new(Protocol::Ftp);
    let (mut lines, mut ports) = (Vec::new(), Vec::new());
    for (side, bytes) in script {
        conversation.push(*side, bytes, &mut |said| {
            lines.push(said.to_string());
            let Said::Ftp(ftp) = said else { panic!("{said}") };
            ports.extend(ftp.data_port().map(|port| port.resolve([192, 0, 2, 1].into()).to_string()));
        });
    }
    assert_eq!(lines[..4], ["220-Hello", " 331 not yet", "220 ready", "PORT 141,2,28,110,4,223"]);
    assert_eq!(ports, ["141.2.28.110:1247", "[::1]:5282", "10.0.0.1:5001", "192.0.2.1:6446"]);
}

#[test]
fn malformed_data_ports_are_none() {
    for line in ["PORT 1,2,3,4,5", "PORT 1,2,3,4,5,600", "PORT a,2,3,4,5,6", "EPRT |1|x|5|", "EPRT", "PORT"] {
        let command = Ftp::Command(super::Command::parse(line.as_bytes()));
        assert_eq!(command.data_port(), None::<DataPort>, "{line}");
    }
}

#[test]
fn pop3_answers_are_told_from_lists_and_mails() {
    let script: Script<'_> = &[
        (Server, b"+OK ready <1@host>\r\n"),
        (Client, b"USER steve35\r\nPASS xxx\r\nLIST\r\nLIST 1\r\nRETR 1\r\nQUIT\r\n"),
        (Server, b"+OK\r\n+OK in\r\n+OK 1 message\r\n1 120\r\n.\r\n+OK 1 120\r\n+OK 120 octets\r\nFrom"),
        (Server, b": a\r\n..\r\n+OK no answer\r\n.\r\n-ERR busy\r\n"),
    ];
    assert_eq!(
        lines(Protocol::Pop3, script),
        [
            "+OK ready <1@host>",
            "USER steve35",
            "PASS xxx",
            "LIST",
            "LIST 1",
            "RETR 1",
            "QUIT",
            "+OK",
            "+OK in",
            "+OK 1 message",
            "7 bytes of data",
            "end of data, 7 bytes",
            "+OK 1 120",
            "+OK 120 octets",
            "28 bytes of data",
            "end of data, 28 bytes",
            "-ERR busy",
        ]
    );
}

#[test]
fn smtp_has_mails_between_its_commands() {
    let script: Script<'_> = &[
        (Server, b"220 mail.example\r\n"),
        (Client, b"EHLO a\r\n"),
        (Server, b"250-mail.example\r\n250 AUTH LOGIN\r\n"),
        (Client, b"AUTH LOGIN\r\n"),
        (Server, b"334 VXNlcm5hbWU6\r\n"),
        (Client, b"YWRh\r\n"),
        (Server, b"235 in\r\n"),
        (Client, b"DATA\r\n"),
        (Server, b"354 go on\r\n"),
        (Client, b"Subject: x\r\n\r\nQUIT\r\n"),
        (Client, b".\r\nBDAT 6 LAST\r\nab"),
        (Client, b"c\nd\nSTARTTLS\r\n"),
        (Server, b"250 taken\r\n250 taken\r\n220 go\r\n"),
        (Client, b"\x16\x03\x01"),
    ];
    assert_eq!(
        lines(Protocol::Smtp, script)[4..],
        [
            "AUTH LOGIN",
            "334 VXNlcm5hbWU6",
            "YWRh",
            "235 in",
            "DATA",
            "354 go on",
            "20 bytes of data",
            "end of data, 20 bytes",
            "BDAT 6 LAST",
            "2 bytes of data",
            "4 bytes of data, 6 so far",
            "STARTTLS",
            "250 taken",
            "250 taken",
            "220 go",
            "3 bytes, encrypted",
        ]
    );
}

#[test]
fn http_is_heads_and_bodies() {
    let script: Script<'_> = &[
        (Client, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n"),
        (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
        (Server, b"cdeHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        (
            Server,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTime: 1\r\n\r\n",
        ),
    ];
    assert_eq!(
        lines(Protocol::Http, script),
        [
            "GET /a HTTP/1.1",
            "Host: x",
            "end of head, no body",
            "HEAD /b HTTP/1.1",
            "end of head, no body",
            "GET /c HTTP/1.1",
            "end of head, no body",
            "HTTP/1.1 200 OK",
            "Content-Length: 5",
            "end of head, a body of 5 bytes follows",
            "2 bytes of body, 2 of 5",
            "3 bytes of body, 5 of 5",
            "end of body, 5 bytes",
            "HTTP/1.1 200 OK",
            "Content-Length: 5",
            "end of head, no body",
            "HTTP/1.1 100 Continue",
            "end of head, no body",
            "HTTP/1.1 200 OK",
            "Transfer-Encoding: chunked",
            "end of head, a body in chunks follows",
            "3 bytes of body",
            "Time: 1",
            "end of body, 3 bytes",
        ]
    );
}

#[test]
fn http_that_was_typed_is_understood() {
    let script: Script<'_> = &[(Client, b"GET /\r\n"), (Server, b"<html>"), (Server, b"</html>")];
    assert_eq!(lines(Protocol::Http, script), ["GET /", "6 bytes of body", "7 bytes of body, 13 so far"]);
    let script: Script<'_> =
        &[(Client, b"GET / HTTP/1.0\r\n"), (Client, b"\r\n"), (Server, b"HTTP/1.0 404 Not Found\r\n\r\nno")];
    assert_eq!(
        lines(Protocol::Http, script),
        [
            "GET / HTTP/1.0",
            "end of head, no body",
            "HTTP/1.0 404 Not Found",
            "end of head, a body follows",
            "2 bytes of body",
        ]
    );
    let mut conversation = Conversation::new(Protocol::Http);
    let mut last = String::new();
    conversation.push(Server, b"HTTP/1.0 200 OK\r\n\r\nabc", &mut |_| {});
    conversation.end(Server, &mut |said| last = said.to_string());
    assert_eq!(last, "end of body, 3 bytes");
}

#[test]
fn after_a_gap_what_is_known_goes_on() {
    let mut conversation = Conversation::new(Protocol::Http);
    let mut lines = Vec::new();
    let mut said = |said: Said<'_>| lines.push(said.to_string());
    conversation.push(Server, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab", &mut said);
    conversation.gap(Server, 97, &mut said);
    conversation.push(Server, b"zHTTP/1.1 204 Gone\r\n\r\nHTTP/1.1 200 OK\r\n", &mut said);
    conversation.gap(Server, 10, &mut said);
    conversation.push(Server, b"half: a line\r\nrubbish\r\nHTTP/1.1 304 Same\r\n\r\n", &mut said);
    assert_eq!(
        lines[3..],
        [
            "2 bytes of body, 2 of 100",
            "1 bytes of body, 100 of 100",
            "end of body, 100 bytes",
            "HTTP/1.1 204 Gone",
            "end of head, no body",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 304 Same",
            "end of head, no body",
        ]
    );
    let mut conversation = Conversation::new(Protocol::Pop3);
    let mut lines = Vec::new();
    conversation.gap(Client, 10, &mut |_| {});
    conversation.push(Client, b"lf\r\nQUIT\r\n", &mut |said| lines.push(said.to_string()));
    assert_eq!(lines, ["QUIT"]);
}

/// A message of one question, and records as they are given.
fn answer(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    bytes.extend(rest);
    bytes
}

const QUESTION: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";

fn told(bytes: &[u8]) -> String {
    of_datagram(1024, 53, bytes).map_or(String::new(), |said| said.to_string())
}

#[test]
fn dns_queries_and_answers_are_told() {
    assert_eq!(told(&answer(0x0100, [1, 0, 0, 0], QUESTION)), "query abcd A? www.example");
    assert_eq!(told(&answer(0x8183, [1, 0, 0, 0], QUESTION)), "answer abcd A? www.example: NXDOMAIN");
    assert_eq!(told(&answer(0x8180, [1, 0, 0, 0], QUESTION)), "answer abcd A? www.example: nothing");
    assert_eq!(
        told(&answer(0x8380, [1, 0, 0, 0], QUESTION)),
        "answer abcd A? www.example: truncated: nothing"
    );
    let records = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01w\xc0\x10\xc0\x29\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    let message = answer(0x8180, [1, 2, 0, 0], &[QUESTION, records].concat());
    assert_eq!(told(&message), "answer abcd A? www.example: CNAME w.example, A 192.0.2.1");
    assert_eq!(of_datagram(1, 2, &message), None);
    assert_eq!(told(&message[..11]), "");
}

#[test]
fn every_common_record_is_read() {
    let record = |kind: u16, data: &[u8]| {
        let mut bytes = b"\x01x\0".to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 9]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        let message = answer(0x8400, [0, 1, 0, 0], &bytes);
        told(&message).split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "AAAA 2001:db8::1");
    assert_eq!(record(2, b"\x02ns\0"), "NS ns");
    assert_eq!(record(12, b"\x04h.st\x01y\0"), "PTR h\\.st.y");
    assert_eq!(record(15, b"\0\x0a\x02mx\0"), "MX 10 mx");
    assert_eq!(record(16, b"\x02v=\x03a\"\x1b"), "TXT \"v=\" \"a\"\\x1b\"");
    assert_eq!(record(33, b"\0\x01\0\x02\0\x50\x01h\0"), "SRV 1 2 80 h");
    let soa = [b"\x01p\0\x01m\0".as_slice(), &[0; 16], &[0, 0, 0, 7]].concat();
    assert_eq!(record(6, &soa), "SOA p m 0 0 0 0 7");
    assert_eq!(record(257, b"\0\x05issueca.example"), "CAA 0 issue \"ca.example\"");
    assert_eq!(record(65, b"\0\x01\0\0\x01\0\x02h2"), "HTTPS 1 . with 6 bytes of parameters");
    assert_eq!(record(1, &[1, 2, 3]), "A (3 bytes)", "too short to be an address");
    assert_eq!(record(60000, &[1]), "TYPE60000 (1 bytes)");
}

#[test]
fn names_that_run_in_circles_end() {
    let message = answer(0x0100, [1, 0, 0, 0], b"\x03www\xc0\x0c\0\x01\0\x01");
    assert_eq!(told(&message), "query abcd A? www<malformed>");
    let message = answer(0x0100, [1, 0, 0, 0], b"\xc0\xff\0\x01\0\x01");
    assert_eq!(told(&message), "query abcd A? <malformed>");
    let message = answer(0x0100, [9, 9, 9, 9], b"\x03ww");
    assert_eq!(told(&message), "query abcd");
}

#[test]
fn dns_over_tcp_has_lengths_before_its_messages() {
    let message = answer(0x0100, [1, 0, 0, 0], QUESTION);
    let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
    bytes.extend(&message);
    bytes.extend(&bytes.clone());
    for cut in [1, 2, 3, 20, 1000] {
        let pieces: Vec<(Side, &[u8])> = bytes.chunks(cut).map(|piece| (Client, piece)).collect();
        assert_eq!(lines(Protocol::Dns, &pieces), ["query abcd A? www.example"; 2]);
    }
}

proptest! {
    #[test]
    fn nobody_can_break_it(
        protocol in 0_usize..5,
        pieces in proptest::collection::vec((any::<bool>(), 0_u8..10, prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            proptest::sample::select(vec![
                "GET / HTTP/1.1\r\n", "Transfer-Encoding: chunked\r\n\r\n", "ffffffffffffffff\r\n", "\r\n",
                "HTTP/1.1 200 OK\r\n", "Content-Length: 18446744073709551615\r\n\r\n", "220-a\r\n", "DATA\r\n",
                "354 x\r\n", ".\r\n", "RETR 1\r\n", "+OK\r\n", "BDAT 18446744073709551615\r\n", "PORT 1,2,3,4,5,6\r\n",
                "227 (1,2,3,4,5,6)\r\n", "AUTH TLS\r\n", "234\r\n", "+ \r\n", "334 \r\n", "EPRT |||1|\r\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ]), 0..60),
    ) {
        let protocols = [Protocol::Dns, Protocol::Http, Protocol::Ftp, Protocol::Pop3, Protocol::Smtp];
        let mut conversation = Conversation::new(protocols[protocol]);
        for (from_client, gap, piece) in &pieces {
            let side = if *from_client { Client } else { Server };
            let mut said = |said: Said<'_>| {
                let line = said.to_string();
                assert!(!line.chars().any(char::is_control), "{line:?}");
                if let Said::Ftp(ftp) = said {
                    let _ = ftp.data_port();
                }
            };
            conversation.push(side, piece, &mut said);
            if *gap == 0 {
                conversation.gap(side, 100, &mut said);
            }
        }
        conversation.end(Server, &mut |_| {});
    }

    #[test]
    fn lines_do_not_depend_on_the_cut(cut in 1_usize..30) {
        let session = b"220 a\r\n331-b\r\nc\r\n331 d\r\n230 in\r\n221 bye\r\n";
        let pieces: Vec<(Side, &[u8])> = session.chunks(cut).map(|piece| (Server, piece)).collect();
        prop_assert_eq!(lines(Protocol::Ftp, &pieces), lines(Protocol::Ftp, &[(Server, session)]));
    }

    #[test]
    fn any_datagram_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = told(&bytes);
    }
}
