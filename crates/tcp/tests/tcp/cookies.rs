//! SYN cookies: what they keep, and which acknowledgements bring it back.

use std::net::SocketAddr;

use bypath_tcp::{Config, Instant, Request, Segment, State, SynCookies, TxSegment};
use bypath_wire::seq::SeqNum;
use bypath_wire::tcp::{TcpFlags, TcpHeader, TcpOptions, Timestamps};

const MINUTE: u64 = 60_000_000_000;
const IRS: SeqNum = SeqNum(u32::MAX - 1);

fn cookies() -> SynCookies {
    SynCookies::new((1, 2))
}

fn ends() -> (SocketAddr, SocketAddr) {
    ("198.18.0.1:80".parse().unwrap(), "198.18.0.2:4000".parse().unwrap())
}

fn at(minutes: u64) -> Instant {
    Instant::from_nanos(minutes * MINUTE + 12_345_678)
}

fn modern() -> TcpOptions {
    TcpOptions {
        mss: Some(1_450),
        sack_permitted: true,
        window_scale: Some(9),
        timestamps: Some(Timestamps { value: 500, echo: 0 }),
        ..TcpOptions::default()
    }
}

fn answer(now: Instant, options: &TcpOptions, flags: TcpFlags) -> TxSegment {
    let header = TcpHeader { seq: IRS, flags, window: 30_000, ..TcpHeader::default() };
    let syn = Segment::new(&header, options, 0);
    cookies().syn_ack(&Config::default(), now, ends(), 99, &syn)
}

/// The peer's acknowledgement of `syn_ack`, changed by `change`, and what comes of it.
fn recall(
    now: Instant,
    syn_ack: &TxSegment,
    change: impl FnOnce(&mut TcpHeader, &mut (SocketAddr, SocketAddr)),
) -> Option<Request> {
    let mut header = TcpHeader {
        seq: IRS + 1,
        ack: syn_ack.seq + 1,
        flags: TcpFlags::ACK,
        window: 100,
        ..TcpHeader::default()
    };
    let mut ends = ends();
    change(&mut header, &mut ends);
    let timestamps = syn_ack.options.timestamps.map(|ts| Timestamps { value: 501, echo: ts.value });
    let options = TcpOptions { timestamps, ..TcpOptions::default() };
    let ack = Segment::new(&header, &options, 0);
    cookies().recall(&Config::default(), now, ends, &ack)
}

#[test]
fn the_options_of_the_syn_come_back_with_the_acknowledgement() {
    let syn_ack = answer(at(5), &modern(), TcpFlags::SYN);
    assert_eq!(syn_ack.ack, IRS + 1);
    assert!(syn_ack.options.sack_permitted && syn_ack.options.window_scale.is_some());
    let request = recall(at(5), &syn_ack, |_, _| ()).unwrap();
    assert_eq!(request.iss(), syn_ack.seq);
    let mut conn = request.open(Config::default(), at(5), 99);
    assert_eq!((conn.state(), conn.negotiated()), (State::SynReceived, (true, true)));
    let header = TcpHeader {
        seq: IRS + 1,
        ack: syn_ack.seq + 1,
        flags: TcpFlags::ACK,
        window: 100,
        ..TcpHeader::default()
    };
    let options =
        TcpOptions { timestamps: Some(Timestamps { value: 501, echo: 0 }), ..TcpOptions::default() };
    let out = conn.on_segment(at(5), &Segment::new(&header, &options, 700));
    assert_eq!((conn.state(), out.deliver), (State::Established, 700), "its data is taken");
    assert_eq!(conn.peer_window(), 100 << 9);
    // The next smaller size that a cookie can tell, less the timestamps.
    assert_eq!(conn.mss(), 1_440 - 12);
    assert_eq!(conn.srtt_ns(), None, "when the SYN-ACK went out was not kept");
    assert_eq!(conn.cwnd(), 10 * 1_428, "and it was not lost either");
}

#[test]
fn without_timestamps_only_the_mss_is_agreed_on() {
    let options = TcpOptions { timestamps: None, ..modern() };
    let syn_ack = answer(at(5), &options, TcpFlags::SYN);
    assert_eq!(syn_ack.options, TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
    let conn = recall(at(5), &syn_ack, |_, _| ()).unwrap().open(Config::default(), at(5), 99);
    assert_eq!((conn.negotiated(), conn.mss()), ((false, false), 1_440));
}

#[test]
fn a_peer_is_never_sent_more_than_its_mss() {
    for (mss, expect) in [(48, 48), (535, 48), (536, 536), (1_219, 536), (1_460, 1_460), (9_000, 1_460)] {
        let options = TcpOptions { mss: Some(mss), ..TcpOptions::default() };
        let syn_ack = answer(at(5), &options, TcpFlags::SYN);
        let conn = recall(at(5), &syn_ack, |_, _| ()).unwrap().open(Config::default(), at(5), 99);
        assert_eq!(conn.mss(), expect, "{mss}");
    }
}

#[test]
fn a_cookie_is_good_for_one_to_two_minutes() {
    for (now, good) in [(5, true), (6, true), (7, false), (8, false), (5 + 256, false), (4, false)] {
        let syn_ack = answer(at(5), &modern(), TcpFlags::SYN);
        assert_eq!(recall(at(now), &syn_ack, |_, _| ()).is_some(), good, "minute {now}");
    }
}

#[test]
fn a_cookie_of_the_first_minute_is_good() {
    let syn_ack = answer(at(0), &modern(), TcpFlags::SYN);
    assert!(recall(at(0), &syn_ack, |_, _| ()).is_some());
}

#[test]
fn a_cookie_belongs_to_its_ends_and_its_syn() {
    let syn_ack = answer(at(5), &modern(), TcpFlags::SYN);
    assert!(recall(at(5), &syn_ack, |h, _| h.seq += 1).is_none());
    assert!(
        recall(at(5), &syn_ack, |h, _| {
            h.seq += 1;
            h.ack += 1;
        })
        .is_none(),
        "both moved alike"
    );
    assert!(recall(at(5), &syn_ack, |_, ends| ends.1.set_port(4_001)).is_none());
    assert!(recall(at(5), &syn_ack, |_, ends| ends.0.set_port(81)).is_none());
    assert!(recall(at(5), &syn_ack, |_, ends| ends.1.set_ip("198.18.0.3".parse().unwrap())).is_none());
}

#[test]
fn guessed_cookies_are_refused() {
    let syn_ack = answer(at(5), &modern(), TcpFlags::SYN);
    let mut found = 0;
    let mut guess = 1u32;
    for _ in 0..200_000 {
        guess = guess.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        found += u32::from(recall(at(5), &syn_ack, |h, _| h.ack = SeqNum(guess)).is_some());
    }
    assert_eq!(found, 0, "sixteen of four billion are right");
}

#[test]
fn another_key_gives_another_cookie() {
    let header = TcpHeader { seq: IRS, flags: TcpFlags::SYN, ..TcpHeader::default() };
    let options = modern();
    let syn = Segment::new(&header, &options, 0);
    let made = |key| SynCookies::new(key).syn_ack(&Config::default(), at(5), ends(), 99, &syn).seq;
    assert_ne!(made((1, 2)), made((1, 3)));
    assert_ne!(made((1, 2)), made((2, 2)));
}
