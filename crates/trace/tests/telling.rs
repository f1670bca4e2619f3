//! What a story says of packets that few captures have: each made up here, raw IPv4 or a frame of Ethernet.

use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;
use bypath_trace::{LinkType, Record, Timestamp};

const MS: i64 = 1_000_000;
const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const ACK: u8 = 16;
const MSS: [u8; 4] = [2, 4, 5, 0xb4];

/// A capture that is written packet by packet.
#[derive(Default)]
struct Capture {
    packets: Vec<(i64, LinkType, Vec<u8>)>,
    now: i64,
    /// What client and server have sent, from the handshake on.
    sent: [u32; 2],
    port: u16,
}

impl Capture {
    fn to(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Open, after a handshake of 20 ms in three packets.
    fn open(port: u16) -> Self {
        let mut capture = Self::to(port);
        capture.segment(false, 0, 0, SYN, b"", &MSS);
        capture.segment(true, 0, 1, SYN_ACK, b"", &MSS);
        capture.segment(false, 1, 1, ACK, b"", b"");
        capture.sent = [1, 1];
        capture
    }

    fn after(&mut self, ns: i64) -> &mut Self {
        self.now += ns;
        self
    }

    fn packet(&mut self, link: LinkType, bytes: Vec<u8>) -> &mut Self {
        self.packets.push((self.now, link, bytes));
        self.now += 10 * MS;
        self
    }

    fn ip(&mut self, server: bool, protocol: u8, fragment: u16, payload: &[u8]) -> &mut Self {
        let (client, other) = ([198, 18, 0, 1], [198, 18, 0, 2]);
        let (from, to) = if server { (other, client) } else { (client, other) };
        let mut bytes = vec![0x45, 0];
        bytes.extend((20 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(payload);
        self.packet(LinkType::RAW, bytes)
    }

    fn segment(
        &mut self,
        server: bool,
        seq: u32,
        ack: u32,
        flags: u8,
        data: &[u8],
        options: &[u8],
    ) -> &mut Self {
        self.window(server, seq, ack, flags, data, options, 5_000)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a header")]
    fn window(
        &mut self,
        server: bool,
        seq: u32,
        ack: u32,
        flags: u8,
        data: &[u8],
        options: &[u8],
        window: u16,
    ) -> &mut Self {
        let (from, to) = if server { (self.port, 40_000) } else { (40_000, self.port) };
        let mut bytes = Vec::new();
        bytes.extend(from.to_be_bytes());
        bytes.extend(to.to_be_bytes());
        bytes.extend((1_000 + seq).to_be_bytes());
        bytes.extend((1_000 + ack).to_be_bytes());
        bytes.extend([(((20 + options.len()) / 4) << 4) as u8, flags]);
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend(data);
        self.ip(server, 6, 0, &bytes)
    }

    /// An end says something, and the other has got all before it.
    fn says(&mut self, server: bool, data: &str) -> &mut Self {
        let [own, peer] = if server { [1, 0] } else { [0, 1] };
        let (seq, ack) = (self.sent[own], self.sent[peer]);
        self.sent[own] += data.len() as u32;
        self.segment(server, seq, ack, ACK | 8, data.as_bytes(), b"")
    }

    fn client(&mut self, data: &str) -> &mut Self {
        self.says(false, data)
    }

    fn server(&mut self, data: &str) -> &mut Self {
        self.says(true, data)
    }

    /// The whole story in one line.
    fn told(&self, detail: Detail) -> String {
        let mut story = Story::new(detail);
        let mut out = Vec::new();
        story.begin(&mut out).unwrap();
        for (index, (time, link, bytes)) in self.packets.iter().enumerate() {
            let record = Record {
                number: index as u64 + 1,
                time: Timestamp(1_700_000_000_000_000_000 + time),
                link: *link,
                original_len: bytes.len() as u32,
                data: bytes,
                ..Record::default()
            };
            story.record(&record, &mut out).unwrap();
        }
        story.end(&mut out).unwrap();
        String::from_utf8(out).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn says_all(&self, sentences: &[&str]) {
        let story = self.told(Detail::Normal);
        for sentence in sentences {
            assert!(story.contains(sentence), "no {sentence:?} in {story}");
        }
    }

    fn says_none(&self, sentences: &[&str]) {
        let story = self.told(Detail::Normal);
        for sentence in sentences {
            assert!(!story.contains(sentence), "{sentence:?} in {story}");
        }
    }

    fn keeps(&self, secrets: &[&str]) {
        for detail in [Detail::Short, Detail::Normal, Detail::Full] {
            let story = self.told(detail);
            for secret in secrets {
                assert!(!story.contains(secret), "{secret:?} in {story}");
            }
        }
    }
}

#[test]
fn log_ins_to_mail_keep_what_is_secret() {
    let mut smtp = Capture::open(25);
    smtp.client("AUTH PLAIN AGFib2IAc2VjcmV0cHc=\r\n").server("235 ok\r\n");
    smtp.client("auth  login dXNlcg==\r\n").server("334 UGFzc3dvcmQ6\r\n").client("c2VjcmV0cHc=\r\n");
    smtp.client("MAIL FROM:<a@b>\r\n").client("cGFzc3dvcmQ=\r\n");
    smtp.keeps(&["AGFib2IAc2VjcmV0cHc", "dXNlcg", "c2VjcmV0cHc", "cGFzc3dvcmQ"]);
    smtp.says_all(&[
        "asks \"AUTH PLAIN (kept from this story)\"",
        "asks \"AUTH login (kept from this story)\"",
        "asks \"MAIL FROM:<a@b>\"",
    ]);
    let mut pop3 = Capture::open(110);
    pop3.server("+OK hi <1.2@x>\r\n")
        .client("APOP bob c4c9334bac560ecc979e58001b3e22fb\r\n")
        .server("-ERR\r\n");
    pop3.client("pass secretpw\r\n").server("-ERR\r\n").client("AUTH PLAIN AGFib2IAc2VjcmV0cHc=\r\n");
    pop3.keeps(&["c4c9334bac56", "secretpw", "AGFib2IAc2VjcmV0cHc"]);
    pop3.says_all(&[
        "asks \"APOP bob (kept from this story)\"",
        "asks \"AUTH PLAIN (kept from this story)\"",
    ]);
    let mut ftp = Capture::open(21);
    ftp.client("USER bob\r\n").client("pass\tsecretpw\r\n").client("ACCT secretpw\r\nRETR x\r\n");
    ftp.keeps(&["secretpw"]);
    ftp.says_all(&["\"USER bob\"", "\"ACCT (kept from this story)\" and \"RETR x\""]);
}

#[test]
fn requests_and_fields_keep_what_is_secret() {
    let mut http = Capture::open(80);
    http.client("GET /x?q=1&password=secretpw HTTP/1.1\r\nAuthorization: Bearer secretpw\r\n secretpw\r\n");
    http.client("Cookie: secretpw\r\nX-Api-Key: secretpw\r\nReferer: http://h/?token=secretpw\r\n\r\n");
    http.server("HTTP/1.1 401 Unauthorized\r\nSet-Cookie: secretpw\r\nContent-Length: 0\r\n\r\n");
    http.client("GET http://bob:secretpw@h/ HTTP/1.1\r\nProxy-Authorization: secretpw\r\n\r\n");
    http.client("CONNECT bob:secretpw@h:443 HTTP/1.1\r\n\r\n");
    http.keeps(&["secretpw"]);
    http.says_all(&[
        "\"GET /x?q=1&password=(kept from this story) HTTP/1.1\"",
        "\"GET http://(kept from this story)@h/ HTTP/1.1\"",
        "\"CONNECT (kept from this story)@h:443 HTTP/1.1\"",
    ]);
    let mut middle = Capture::to(80);
    middle.segment(false, 1, 1, ACK, b"Cookie: secretpw\r\nGET /?pwd=secretpw of no version\r\n", b"");
    middle.keeps(&["secretpw"]);
}

#[test]
fn what_a_packet_does_comes_before_what_is_known_of_its_connection() {
    let mut capture = Capture::to(9_999);
    capture.segment(false, 1, 1, ACK, &[7; 64], b"");
    capture.says_all(&["client → server sends 64 bytes, 1 to 64. The capture begins in the middle"]);
}

#[test]
fn remarks_begin_with_a_verb_and_lists_have_an_and() {
    let mut capture = Capture::open(80);
    capture.client("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n").client("GET /c HTTP/1.1\r\n");
    capture.client("Host: h\r\n").client("A: b\r\nC: d\r\n\r\n");
    capture.says_all(&[
        "asks \"GET /a HTTP/1.1\" and \"GET /b HTTP/1.1\" (38 bytes).",
        "sends one more line (9 bytes).",
        "sends 2 more lines (14 bytes).",
    ]);
    let mut mail = Capture::open(25);
    mail.client("EHLO me\r\n").server("250-mx\r\n250-AUTH PLAIN\r\n250 OK\r\n");
    mail.says_all(&["answers \"250-mx\", \"250-AUTH PLAIN\" and \"250 OK\""]);
    let mut window = Capture::open(9_999);
    window.server("z").window(false, 1, 2, ACK, b"", b"", 0);
    window.after(90 * MS).window(false, 1, 2, ACK, b"", b"", 5_000);
    window.says_all(&["client → server opens its window again, after 100 ms: room for 5,000 bytes."]);
}

/// Data of a server of which the third segment is lost on its way here, and what the client answers.
fn repaired() -> Capture {
    let mut capture = Capture::open(9_999);
    capture.client("go");
    for n in [0, 1, 3, 4] {
        capture.segment(true, 1 + n * 1_000, 3, ACK, &[7; 1_000], b"");
    }
    for _ in 0..3 {
        capture.segment(false, 3, 2_001, ACK, b"", b"");
    }
    capture.after(90 * MS).segment(true, 2_001, 3, ACK, &[7; 1_000], b"");
    capture.segment(false, 3, 5_001, ACK, b"", b"");
    capture
}

#[test]
fn an_acknowledgment_of_a_repaired_gap_names_all_packets_and_the_last_delay() {
    repaired()
        .says_all(&["acknowledges 3,000 bytes of packets 7 to 12, 10 ms after the last of them was sent."]);
}

#[test]
fn reasons_of_retransmissions_add_up() {
    let mut capture = repaired();
    // Not lost, as the answer tells: it has come twice.
    capture.segment(true, 5_001, 3, ACK, &[7; 1_000], b"");
    capture.after(500 * MS).segment(true, 5_001, 3, ACK, &[7; 1_000], b"");
    let mut sack = vec![1, 1, 5, 10];
    sack.extend(6_001_u32.to_be_bytes());
    sack.extend(7_001_u32.to_be_bytes());
    capture.segment(false, 3, 6_001, ACK, b"", &sack);
    capture.says_all(&[
        "The server sent 2 segments again, 28.6 % of those with data: 1 by duplicate ACKs and SACK and 1 by timeout; \
         1 of these needlessly.",
    ]);
}

#[test]
fn a_syn_sent_again_is_no_share_of_the_data() {
    let mut capture = Capture::to(80);
    for _ in 0..3 {
        capture.after(1_000 * MS).segment(false, 0, 0, SYN, b"", &MSS);
    }
    capture.segment(true, 0, 1, SYN_ACK, b"", &MSS).segment(false, 1, 1, ACK, b"GET / HTTP/1.0\r\n", b"");
    capture.says_all(&["The client sent 2 segments again, none of them with data: 2 by timeout."]);
    capture.segment(false, 1, 1, ACK, b"GET / HTTP/1.0\r\n", b"");
    capture.says_all(&["sent 3 segments again, 1 of them with data, 50.0 % of all with data: 2 by timeout"]);
}

#[test]
fn fast_open_is_told_with_its_cookie_and_data() {
    let cookie = |len: u8| {
        let mut options = vec![34, 2 + len];
        options.extend(vec![7; usize::from(len)]);
        options.extend([1, 1]);
        options
    };
    let mut first = Capture::to(80);
    first.segment(false, 0, 0, SYN, b"", &cookie(0)).segment(true, 0, 1, SYN_ACK, b"", &cookie(8));
    first.says_all(&["It asks for a Fast Open cookie.", "It gives a Fast Open cookie of 8 bytes."]);
    first.says_none(&["no options"]);
    let mut second = Capture::to(80);
    second.segment(false, 0, 0, SYN, b"GET /t HTTP/1.0\r\n\r\n", &cookie(8));
    second.segment(true, 0, 20, SYN_ACK, b"", &MSS);
    second.says_all(&[
        "offers Fast Open.",
        "It shows the Fast Open cookie of 8 bytes that it was given before.",
        "Its data is in it already (Fast Open): \"GET /t HTTP/1.0\" (19 bytes).",
        "It acknowledges 19 bytes of packet 1.",
    ]);
    second.says_none(&["asks for a Fast Open cookie"]);
}

#[test]
fn a_simultaneous_open_is_no_loss() {
    let mut capture = Capture::to(80);
    capture.segment(false, 0, 0, SYN, b"", &MSS).segment(true, 0, 0, SYN, b"", &MSS);
    capture.segment(false, 0, 1, SYN_ACK, b"", &MSS).segment(true, 0, 1, SYN_ACK, b"", &MSS);
    capture.segment(false, 1, 1, ACK, b"GET / HTTP/1.0\r\n\r\n", b"");
    capture.says_all(&[
        "Both ends have asked at the same time (simultaneous open).",
        "accepts after 10 ms what the other end has asked at the same time (SYN and ACK). 4 ",
        "(SYN and ACK). With that the connection stands, 30 ms after it was asked for. Agreed is nothing beyond",
        "the handshake took 30 ms",
        "Nothing was sent twice.",
    ]);
    capture.says_none(&["again", "timeout"]);
}

#[test]
fn messages_of_icmp_have_names() {
    let mut capture = Capture::default();
    capture.ip(false, 1, 0, &[13, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    capture.ip(false, 1, 0, &[99, 0, 0, 0]);
    capture.says_all(&["asks what time it is (ICMP Timestamp).", "sends an ICMP message of type 99."]);
    let report = |kind: u8| {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 0, 1];
        bytes.extend([0xfe; 32]);
        // A router alert stands before it (RFC 3810 §5).
        bytes.extend([58, 0, 5, 2, 0, 0, 1, 0, kind, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    capture.packet(LinkType::RAW, report(143)).packet(LinkType::RAW, report(200));
    capture.says_all(&["(Multicast Listener Report).", "sends an ICMPv6 message of type 200."]);
}

#[test]
fn arp_goes_to_whom_it_goes() {
    let arp = |to: [u8; 6], operation: u8| {
        let mut bytes = to.to_vec();
        bytes.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        bytes.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 2]);
        bytes
    };
    let mut capture = Capture::default();
    for (to, operation) in [([2, 0, 0, 0, 0, 9], 2), ([255; 6], 1), ([2, 0, 0, 0, 0, 9], 1)] {
        capture.packet(LinkType::ETHERNET, arp(to, operation));
    }
    capture.says_all(&[
        "02:00:00:00:00:01 → 02:00:00:00:00:09 answers that 10.0.0.1 is at 02:00:00:00:00:01 (ARP).",
        "02:00:00:00:00:01 → * asks all on the link who has 10.0.0.2 (ARP).",
        "02:00:00:00:00:01 → 02:00:00:00:00:09 asks whether it has 10.0.0.2 (ARP).",
    ]);
}

#[test]
fn a_datagram_in_fragments_is_as_long_as_it_is() {
    let mut datagram = vec![0x13, 0x88, 0x17, 0x70, 0x13, 0x90, 0, 0];
    datagram.extend([7; 1_472]);
    let mut capture = Capture::default();
    capture.ip(false, 17, 0x2000, &datagram).ip(false, 17, 0x2000, &[0; 7]);
    capture.says_all(&[
        "sends a datagram with 5,000 bytes, port 5000 to 6000, in parts of which this is the first.",
    ]);
}

#[test]
fn a_link_type_that_is_not_known_is_called_that() {
    let mut capture = Capture::default();
    capture.packet(LinkType(147), vec![7; 60]).packet(LinkType::ETHERNET, vec![7; 3]);
    capture.says_all(&[
        "a packet of link type 147, which is not known here.",
        "too little of the packet was captured to tell anything.",
    ]);
}

#[test]
fn no_delay_is_negative() {
    let mut capture = Capture::to(9_999);
    capture.segment(false, 0, 0, SYN, b"", &MSS).after(-100_000 * MS).segment(true, 0, 1, SYN_ACK, b"", &MSS);
    capture.after(200_000 * MS).segment(false, 1, 1, ACK, b"hi", b"");
    capture.after(-50_000 * MS).segment(true, 1, 3, ACK, b"", b"");
    capture.after(-1_000 * MS).segment(false, 2, 1, ACK, b"i", b"");
    capture.says_all(&["accepts (SYN and ACK); the capture's clock went back meanwhile."]);
    capture.says_none(&[" after -", " of -"]);
}
