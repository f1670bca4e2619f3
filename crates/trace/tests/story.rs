//! Stories of connections that are known field by field: the download of 1999, and a log-in over PPP.

mod vectors;

use bypath_trace::story::{Detail, Story};
use bypath_trace::style::Style;
use vectors::Packet;

fn written(packets: &[Packet], detail: Detail) -> String {
    let mut story = Story::new(detail);
    let mut out = Vec::new();
    story.begin(&mut out).unwrap();
    for packet in packets {
        story.record(&packet.record(), &mut out).unwrap();
    }
    story.end(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    if std::env::var_os("SHOW").is_some() {
        println!("{text}");
    }
    text
}

/// The story in one line for each packet, however it was broken into lines.
fn told(packets: &[Packet], detail: Detail) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in written(packets, detail).lines() {
        let begins = line.starts_with(|c: char| !c.is_whitespace())
            || line.trim_start().starts_with(|c: char| c.is_ascii_digit())
                && !line.starts_with("                ");
        match lines.last_mut() {
            Some(last) if !begins => *last = format!("{last} {}", line.trim_start()),
            _ => lines.push(line.trim_start().to_owned()),
        }
    }
    lines
}

fn remark(story: &[String], packet: u64) -> &str {
    let begin = format!("{packet} ");
    story
        .iter()
        .find(|line| line.starts_with(&begin))
        .unwrap_or_else(|| panic!("nothing about packet {packet}"))
}

#[test]
fn the_download_is_told_in_order() {
    let story = told(&vectors::ftp_download(), Detail::Normal);
    let numbers: Vec<u64> =
        story.iter().filter_map(|line| line.split(' ').next()?.parse().ok()).filter(|n| *n <= 80).collect();
    assert_eq!(numbers[..80], (1..=80).collect::<Vec<_>>()[..]);
    for (packet, said) in [
        (1, "asks the name server for the address of"),
        (2, "answers packet 1 after 20 ms: there is no such name."),
        (8, " is 141.2.150.16."),
        (9, "Packet 8 has given this address for"),
        (9, "It takes segments of up to 1,460 bytes, and offers no options beyond that."),
        (10, "It takes segments of up to 8,204 bytes"),
        (11, "the connection stands, 40 ms after it was asked for"),
        (12, "greets \"220 diamant FTP server"),
        (13, "acknowledges 80 bytes of packet 12, 20 ms after it was sent."),
        (14, "asks \"USER anonymous\" (16 bytes)."),
        (15, "answers \"331 Guest login ok"),
        (26, "asks \"PORT 141,2,28,110,4,223\""),
        (29, "the data connection that the FTP client has announced in packet 26, for \"RETR speec12.xmo\""),
        (29, "offers windows scaled by 2 and timestamps"),
        (30, "offers no options beyond that"),
        (31, "Agreed is nothing beyond RFC 793"),
        (32, "answers \"150 Opening BINARY mode data connection for speec12.xmo (26752 bytes).\""),
        (34, "sends 1,460 bytes, 1 to 1460."),
        (71, "sends 472 bytes, 26281 to 26752, and no more: these are its last (FIN)."),
        (72, "acknowledges the last 1,932 bytes of packets 70 to 71 and the end (FIN)"),
        (73, "has no more to send either, and closes the other half (FIN)."),
        (74, "With that the connection is over."),
        (77, "has no more to send, and closes its half (FIN). The client may go on."),
        (80, "The server keeps its port for a while (TIME-WAIT)."),
    ] {
        assert!(
            remark(&story, packet).contains(said),
            "{packet}: {:?} lacks {said:?}",
            remark(&story, packet)
        );
    }
}

#[test]
fn the_download_ends_in_a_summary() {
    let text = written(&vectors::ftp_download(), Detail::Short).replace("\n  ", " ");
    for said in [
        "Connection 1: 141.2.28.110:1246 to 141.2.150.16:21 (FTP)",
        "Connection 2: 141.2.150.16:20 to 141.2.28.110:1247 (FTP data)",
        "The client sent 26,752 bytes, the server 0 bytes.",
        "Nothing was sent twice.",
        "The server closed first; that took 60 ms.",
        "80 packets in 1.58 s: 2 TCP connections and 4 DNS look-ups.",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
}

#[test]
fn no_password_is_in_a_story() {
    for detail in [Detail::Short, Detail::Normal, Detail::Full] {
        let text = written(&vectors::ftp_download(), detail);
        assert!(text.contains("PASS (kept from this story)") && !text.contains("zapf"), "{text}");
    }
}

#[test]
fn a_short_story_keeps_what_matters_and_counts_the_rest() {
    let story = told(&vectors::ftp_download(), Detail::Short);
    let data =
        story.iter().find(|line| line.contains("segments with 26,280 bytes")).expect("the file in one line");
    assert!(data.contains("[2]") && data.contains("17 acknowledgments"), "{data}");
    assert!(remark(&story, 28).contains("RETR"));
    assert!(story.len() < 60, "{}", story.len());
}

#[test]
fn compressed_packets_are_told_as_what_they_carry() {
    let story = told(&vectors::pop3_over_ppp(), Detail::Normal);
    let plain = told(&vectors::pop3_login(), Detail::Normal);
    let after = |story: &[String]| -> Vec<String> {
        story
            .iter()
            .filter(|line| line.contains('['))
            .map(|line| line.split_once('[').unwrap().1.to_owned())
            .collect()
    };
    assert_eq!(after(&story), after(&plain));
    assert!(story.iter().any(|line| line.contains("\"+OK")), "{story:#?}");
}

#[test]
fn a_story_says_where_the_capture_did_not_keep_up() {
    let packets = vectors::ftp_download();
    let tell = |detail, missing: [u64; 2]| {
        let (mut story, mut out) = (Story::new(detail), Vec::new());
        for (packet, missed_before) in packets.iter().zip(missing) {
            let record = bypath_trace::Record { missed_before, ..packet.record() };
            story.record(&record, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let story = tell(Detail::Normal, [1, 12_000]);
    assert!(story.contains("a packet before this one is missing"), "{story}");
    assert!(story.contains("12,000 packets before this one are missing"), "{story}");
    assert!(!tell(Detail::Normal, [0, 0]).contains("missing"));
}
