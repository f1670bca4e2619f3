//! The picture of a connection: what is in the page, and that a browser shows it without an error.

mod peer;
mod vectors;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bypath_trace::diagram::Diagram;
use bypath_trace::style::Style;
use peer::build::{Segment, pcap};
use peer::printed;
use vectors::Packet;

/// With this set to a directory, pages are left there to be looked at.
const KEEP: &str = "BYPATH_REPORT_PAGES";

fn page(packets: &[Packet], only: Option<u64>) -> String {
    let mut diagram = Diagram::new(only);
    let mut out = Vec::new();
    for packet in packets {
        diagram.record(&packet.record(), &mut out).unwrap();
    }
    diagram.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The download, with packet 40 as if it had been lost: sent once more, half a second later.
fn lossy() -> Vec<Packet> {
    let mut packets = vectors::ftp_download();
    let again = packets[39].clone();
    packets.retain(|packet| packet.noted.n != 41);
    for packet in packets.iter_mut().filter(|packet| packet.noted.n > 40) {
        packet.time.0 += 1_000_000_000;
        packet.noted.n += 1;
    }
    let mut again = again;
    (again.time.0, again.noted.n) = (again.time.0 + 500_000_000, 41);
    let at = packets.iter().position(|packet| packet.noted.n > 41).unwrap();
    packets.insert(at, again);
    packets
}

#[test]
fn every_segment_is_an_arrow_with_its_numbers() {
    let page = page(&vectors::ftp_download(), None);
    assert_eq!(page.matches("<g class=\"p ").count(), 72);
    assert!(page.contains(">1:1461 (1460) ACK 1</text>"), "{page}");
    assert!(page.contains("<title>29 (0.000000 s): asks for a connection"));
    assert!(page.contains("The client sent 26,752 bytes"));
    // Nothing comes from elsewhere.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
}

#[test]
fn one_connection_can_be_chosen_and_one_that_is_not_there_is_an_error() {
    let page = page(&vectors::ftp_download(), Some(2));
    assert!(page.contains("Connection 2:") && !page.contains("Connection 1:"));
    let error = Diagram::new(Some(7)).end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn what_was_lost_ends_before_the_other_side() {
    let page = page(&lossy(), Some(2));
    let lost = page.lines().find(|line| line.contains("id=\"c2p40\"")).unwrap();
    assert!(lost.starts_with("<g class=\"p data lost told\""), "{lost}");
    let again = page.lines().find(|line| line.contains("id=\"c2p41\"")).unwrap();
    assert!(again.contains("again told") && again.contains("the retransmission timer ran out"), "{again}");
}

#[test]
fn hostile_text_is_text() {
    let mut packets = vectors::ftp_download();
    // The greeting, with as many bytes as before.
    let at = packets[11].bytes.len() - 60;
    packets[11].bytes[at..at + 25].copy_from_slice(b"<script>alert(1)</script>");
    let page = page(&packets, None);
    assert!(!page.contains("<script>alert"));
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |dir| dir.join(name)))
        .find(|program| program.exists())
}

/// Ten thousand packets of one connection: after the handshake all data, each acknowledged.
fn long() -> String {
    let client = Segment { sequence: 1, acknowledgment: 1, data: b"twelve bytes", ..Segment::default() };
    let server = Segment { from: client.to, to: client.from, sequence: 1, data: &[], ..client };
    // The other way: no sum changes by it.
    let answer = |segment: Segment<'_>| {
        let mut packet = segment.over_v4();
        packet[12..20].rotate_left(4);
        packet
    };
    let mut packets = vec![
        Segment { flags: 2, sequence: 0, acknowledgment: 0, data: &[], ..client }.over_v4(),
        answer(Segment { flags: 0x12, sequence: 0, acknowledgment: 1, ..server }),
    ];
    for at in (1..).step_by(12).take(4_999) {
        packets.push(Segment { sequence: at, ..client }.over_v4());
        packets.push(answer(Segment { acknowledgment: at + 12, ..server }));
    }
    printed(&mut Diagram::new(None), &pcap(101, &packets))
}

#[test]
fn ten_thousand_packets_are_drawn_in_parts_and_it_can_be_seen_where_one_is() {
    let page = long();
    assert_eq!(page.matches("<g class=\"p ").count(), 10_000);
    assert_eq!(page.matches("<svg class=\"sequence\"").count(), 40);
    let numbers = page.matches("class=\"number\"").count();
    assert!((400..450).contains(&numbers), "{numbers} packets have their numbers beside them");
    assert!(page.len() < 4_000_000, "{}", page.len());
}

/// The document as a browser has it when the script `probe` has run at its end.
fn visited(page: &str, probe: &str) -> Option<String> {
    let Some(browser) = browser() else {
        assert!(std::env::var_os("CI").is_none(), "Chromium is missing: cargo xtask setup");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("diagram.html");
    std::fs::write(&file, page.replace("</body>", &format!("<script>{probe}</script></body>"))).unwrap();
    let dom = dir.path().join("dom");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&dom).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(120), "the browser did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(std::fs::read_to_string(dom).unwrap())
}

#[test]
fn a_browser_shows_it_and_goes_to_the_next_remark() {
    let page = page(&lossy(), None);
    if let Some(keep) = std::env::var_os(KEEP) {
        std::fs::write(PathBuf::from(keep).join("diagram.html"), &page).unwrap();
    }
    let probe = "dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }));\
        document.body.dataset.at = location.hash;\
        document.body.dataset.width = Math.round(document.querySelector('svg.sequence').getBoundingClientRect().width);";
    let Some(dom) = visited(&page, probe) else { return };
    assert!(dom.contains("data-at=\"#c1p9\""), "{}", &dom[..dom.len().min(3_000)]);
    assert!(dom.contains("data-width=\"1280\""));
}

#[test]
fn a_browser_goes_to_any_of_ten_thousand_packets() {
    let page = long();
    if let Some(keep) = std::env::var_os(KEEP) {
        std::fs::write(PathBuf::from(keep).join("long.html"), &page).unwrap();
    }
    let probe = "document.getElementById('c1p9000').scrollIntoView({ block: 'center' });\
        const box = document.getElementById('c1p9000').getBoundingClientRect();\
        document.body.dataset.seen = box.height > 0 && box.top > 0 && box.bottom < innerHeight;\
        document.body.dataset.far = scrollY > 10000;";
    let Some(dom) = visited(&page, probe) else { return };
    assert!(
        dom.contains("data-seen=\"true\"") && dom.contains("data-far=\"true\""),
        "{}",
        dom.split("<head>").next().unwrap()
    );
}
