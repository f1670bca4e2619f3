//! Timestamps, selective acknowledgements, window scaling, congestion notification and Fast Open: on and off at
//! either end.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as KernelListener, TcpStream as KernelStream};
use std::os::fd::AsRawFd;

use bypath::{EcnMode, Engine, TcpConfig, TcpListener, TcpStream};
use bypath_lab::Lab;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};

use crate::*;

/// Sends with the SYN (tcp(7)).
const MSG_FASTOPEN: i32 = 0x2000_0000;

/// Which of the three options a side allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    timestamps: bool,
    sack: bool,
    scale: bool,
}

impl Allowed {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self { timestamps: bits & 1 == 0, sack: bits & 2 == 0, scale: bits & 4 == 0 })
    }

    fn and(self, other: Self) -> Self {
        Self {
            timestamps: self.timestamps && other.timestamps,
            sack: self.sack && other.sack,
            scale: self.scale && other.scale,
        }
    }

    fn config(self) -> TcpConfig {
        let Self { timestamps, sack, scale: window_scaling } = self;
        TcpConfig { timestamps, sack, window_scaling, ..hasty() }
    }

    fn set_kernel(self, lab: &Lab) {
        let values = [("timestamps", self.timestamps), ("sack", self.sack), ("window_scaling", self.scale)];
        for (name, on) in values {
            lab.far().set_parameter(&format!("net.ipv4.tcp_{name}"), if on { "1" } else { "0" }).unwrap();
        }
    }

    fn agreed(line: &str) -> Self {
        Self {
            timestamps: has_word(line, "ts"),
            sack: has_word(line, "sack"),
            scale: has_word(line, "wscale"),
        }
    }
}

/// Opens a connection each way and in each family, looks at what the kernel has made of each, and fills them.
fn exchange_all_ways(lab: &Lab, engine: &Engine, len: u64, look: impl Fn(Way, &str)) {
    let pairs = WAYS.map(|way| {
        let pair = pair(lab, engine, way);
        look(way, &kernel_says(lab, &pair));
        pair
    });
    exchange_pairs(&pairs, len);
}

/// All at once, and how long that took.
fn exchange_pairs(pairs: &[Pair], len: u64) {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for pair in pairs {
            scope.spawn(|| exchange(pair, len));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let all = 2 * pairs.len() as u64 * len;
    println!("{all} bytes whole in {seconds:.2} s, {:.0} Mbit/s", all as f64 * 8e-6 / seconds);
}

#[test]
fn netns_what_both_ends_allow_is_agreed_upon_and_every_byte_arrives() {
    let lab = bad_wire(1500);
    for ours in Allowed::all() {
        let engine = engine(&lab, ours.config()).start().unwrap();
        for theirs in Allowed::all() {
            theirs.set_kernel(&lab);
            exchange_all_ways(&lab, &engine, amount(64 << 10), |way, line| {
                assert_eq!(Allowed::agreed(line), ours.and(theirs), "{ours:?} {theirs:?} {way:?}: {line}");
            });
        }
        wait_for_no_flows(&engine);
    }
    let middle = lab.middle().unwrap();
    assert!(middle.inward().lost > 50 && middle.outward().lost > 50);
}

#[test]
fn netns_congestion_notification_is_agreed_upon_and_every_byte_arrives() {
    let lab = bad_wire(1500);
    for ours in [EcnMode::Off, EcnMode::Accept, EcnMode::Request, EcnMode::Accurate] {
        let engine = engine(&lab, TcpConfig { ecn: ours, ..hasty() }).start().unwrap();
        // ip-sysctl: 0 off, 1 asked for and agreed to, 2 agreed to; 3 and more, since Linux 6.18, accurate.
        for theirs in ["0", "1", "2", "3", "4"] {
            if lab.far().set_parameter("net.ipv4.tcp_ecn", theirs).is_err() {
                assert!(theirs >= "3", "a kernel without tcp_ecn={theirs}");
                continue;
            }
            exchange_all_ways(&lab, &engine, amount(64 << 10), |way, line| {
                let asked = if way.we_open {
                    matches!(ours, EcnMode::Request | EcnMode::Accurate)
                } else {
                    matches!(theirs, "1" | "4")
                };
                let agreed = if way.we_open { theirs != "0" } else { ours != EcnMode::Off };
                // The first SYN may be lost, and the next does without.
                let ecn = has_word(line, "ecn");
                assert!(!ecn || (asked && agreed), "{ours:?} {theirs} {way:?}: {line}");
            });
        }
        wait_for_no_flows(&engine);
    }
}

#[test]
fn netns_on_a_clean_wire_congestion_notification_is_there_when_it_is_asked_for() {
    let lab = lab().up().unwrap();
    for ours in [EcnMode::Request, EcnMode::Accurate] {
        let engine = engine(&lab, TcpConfig { ecn: ours, ..hasty() }).start().unwrap();
        lab.far().set_parameter("net.ipv4.tcp_ecn", "1").unwrap();
        exchange_all_ways(&lab, &engine, 1 << 20, |way, line| {
            assert!(has_word(line, "ecn"), "{ours:?} {way:?}: {line}");
        });
    }
}

fn count(engine: &Engine, name: &str) -> u64 {
    engine.stats().counts.iter().find(|(count, _)| count == name).map_or(0, |(_, n)| *n)
}

const WORDS: &[u8] = b"the first words";

#[test]
fn netns_our_first_words_go_with_the_syn_once_the_kernel_has_given_a_cookie() {
    let lab = lab().up().unwrap();
    // Client, server, and every listener (ip-sysctl).
    lab.far().set_parameter("net.ipv4.tcp_fastopen", "1027").unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    for v6 in [false, true] {
        let at = far_at(&lab, v6);
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        let at = listener.local_addr().unwrap();
        let before = count(&engine, "fast_open_sent");
        for attempt in 0..3 {
            let ours = TcpStream::connect_with_data(&engine, at, WORDS, Some(LONG)).unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, WORDS, "attempt {attempt}, {at}");
        }
        assert_eq!(count(&engine, "fast_open_sent"), before + 2, "{:?}", engine.stats());
    }
    wait_for_no_flows(&engine);
}

#[test]
fn netns_where_the_kernel_wants_no_fast_open_the_words_come_after_the_handshake() {
    let lab = bad_wire(1500);
    lab.far().set_parameter("net.ipv4.tcp_fastopen", "0").unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    for v6 in [false, true] {
        let at = far_at(&lab, v6);
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        for _ in 0..3 {
            let at = listener.local_addr().unwrap();
            let ours = TcpStream::connect_with_data(&engine, at, WORDS, Some(LONG)).unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, WORDS);
        }
    }
    assert_eq!(count(&engine, "fast_open_sent"), 0);
}

/// The kernel's first words, with its SYN if it has a cookie.
fn kernel_says_at_once(at: SocketAddr) -> KernelStream {
    let kind = if at.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(kind, socket2::Type::STREAM, None).unwrap();
    let flags = MsgFlags::from_bits_retain(MSG_FASTOPEN);
    let sent = sendto(socket.as_raw_fd(), WORDS, &SockaddrStorage::from(at), flags).unwrap();
    let mut stream = KernelStream::from(socket);
    stream.write_all(&WORDS[sent..]).unwrap();
    stream
}

#[test]
fn netns_the_kernels_first_words_are_taken_with_the_syn_once_it_has_a_cookie() {
    let lab = lab().up().unwrap();
    lab.far().set_parameter("net.ipv4.tcp_fastopen", "1").unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    for v6 in [false, true] {
        let listener = TcpListener::bind(&engine, near_at(&lab, v6)).unwrap();
        listener.set_accept_timeout(Some(LONG));
        listener.set_fast_open(16);
        let at = listener.local_addr();
        let before = count(&engine, "fast_open_taken");
        for attempt in 0..3 {
            let theirs = lab.far().run(|| kernel_says_at_once(at)).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            (&listener.accept().unwrap().0).read_to_end(&mut heard).unwrap();
            assert_eq!(heard, WORDS, "attempt {attempt}, {at}");
        }
        assert_eq!(count(&engine, "fast_open_taken"), before + 2, "{:?}", engine.stats());
    }
    wait_for_no_flows(&engine);
}

/// A connection whose first words went with the SYN, where a cookie was there and the SYN came through.
fn opened_fast(lab: &Lab, engine: &Engine, way: Way) -> Pair {
    let pair = if way.we_open {
        let at = far_at(lab, way.v6);
        let listener = lab.far().run(|| KernelListener::bind(at)).unwrap().unwrap();
        let at = listener.local_addr().unwrap();
        let ours = TcpStream::connect_with_data(engine, at, WORDS, Some(LONG)).unwrap();
        (ours, listener.accept().unwrap().0)
    } else {
        let listener = TcpListener::bind(engine, near_at(lab, way.v6)).unwrap();
        listener.set_accept_timeout(Some(LONG));
        listener.set_fast_open(16);
        let theirs = lab.far().run(|| kernel_says_at_once(listener.local_addr())).unwrap();
        (listener.accept().unwrap().0, theirs)
    };
    limit(&pair);
    let mut heard = [0; WORDS.len()];
    if way.we_open {
        (&pair.1).read_exact(&mut heard).unwrap();
    } else {
        (&pair.0).read_exact(&mut heard).unwrap();
    }
    assert_eq!(heard, WORDS, "{way:?}");
    pair
}

#[test]
fn netns_connections_that_were_opened_fast_carry_every_byte_over_a_bad_wire() {
    let lab = bad_wire(1500);
    lab.far().set_parameter("net.ipv4.tcp_fastopen", "1027").unwrap();
    let engine = engine(&lab, hasty()).start().unwrap();
    // The first of each way fetches the cookie; loss may cost one or another its cookie, hardly all of them.
    for _ in 0..4 {
        let pairs = WAYS.map(|way| opened_fast(&lab, &engine, way));
        exchange_pairs(&pairs, amount(64 << 10));
    }
    let (sent, taken) = (count(&engine, "fast_open_sent"), count(&engine, "fast_open_taken"));
    assert!(sent > 0 && taken > 0, "sent {sent}, taken {taken}: {:?}", engine.stats());
    wait_for_no_flows(&engine);
}
