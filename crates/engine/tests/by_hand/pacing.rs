//! Pacing and ECN through whole stacks: their timers, their headers.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bypath::by_hand::{Stack, StackOptions, TcpSocket};
use bypath::{CongestionControl, EcnFeedback, EcnMode, Instant, Pacing, TcpConfig};

const HALF_RTT_NS: u64 = 5_000_000;

/// Two stacks and a wire of 5 ms each way, with what left the first of them.
struct Wire {
    stacks: [Stack; 2],
    under_way: VecDeque<(u64, usize, Vec<u8>)>,
    now_ns: u64,
    client: TcpSocket,
    server: Option<TcpSocket>,
    /// When, and how long, of what left the client with data.
    left: Vec<(u64, usize)>,
    /// Marks everything that may be marked.
    congested: bool,
    codepoints: Vec<u8>,
}

fn options(tcp: TcpConfig, seed: u64) -> StackOptions {
    StackOptions { tcp, seed, send_buffer: 1 << 22, ..StackOptions::default() }
}

impl Wire {
    fn open(tcp: &TcpConfig, v6: bool) -> Self {
        let (a, b): (IpAddr, IpAddr) = if v6 {
            (
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(),
            )
        } else {
            (Ipv4Addr::new(198, 18, 0, 1).into(), Ipv4Addr::new(198, 18, 0, 2).into())
        };
        let mut stacks = [1, 2].map(|seed| Stack::new(&options(tcp.clone(), seed)).unwrap());
        stacks[0].add_address(a, if v6 { 64 } else { 24 });
        stacks[1].add_address(b, if v6 { 64 } else { 24 });
        let port = SocketAddr::new(b, 9);
        let listener = stacks[1].listen(port, 1);
        let client = stacks[0].connect(port, 0).unwrap();
        let mut wire = Self {
            stacks,
            under_way: VecDeque::new(),
            now_ns: 1,
            client,
            server: None,
            left: Vec::new(),
            congested: false,
            codepoints: Vec::new(),
        };
        while wire.server.is_none() {
            wire.step();
            wire.server = wire.stacks[1].accept(listener);
        }
        wire
    }

    /// To the next event: a packet that arrives, or a deadline.
    fn step(&mut self) {
        let deadlines = self.stacks.iter().filter_map(Stack::next_deadline).map(Instant::as_nanos);
        let arrival = self.under_way.front().map(|(at, ..)| *at);
        let next = deadlines.chain(arrival).min().unwrap_or(self.now_ns);
        self.now_ns = self.now_ns.max(next);
        let now = Instant::from_nanos(self.now_ns);
        while self.under_way.front().is_some_and(|(at, ..)| *at <= self.now_ns)
            && let Some((_, to, packet)) = self.under_way.pop_front()
        {
            self.stacks[to].receive(now, &packet);
        }
        for from in [0, 1] {
            self.stacks[from].poll(now);
            while let Some(mut packet) = self.stacks[from].transmit() {
                if from == 0 && packet.len() > 500 {
                    self.left.push((self.now_ns, packet.len()));
                    self.codepoints.push(codepoint(&packet));
                }
                if self.congested {
                    mark(&mut packet);
                }
                self.under_way.push_back((self.now_ns + HALF_RTT_NS, 1 - from, packet));
            }
        }
    }

    /// Sends without end for `ms` milliseconds.
    fn stream(&mut self, ms: u64) {
        let end = self.now_ns + ms * 1_000_000;
        let mut buffer = vec![0; 1 << 20];
        while self.now_ns < end {
            while self.stacks[0].send(self.client, &buffer).unwrap() > 0 {}
            self.step();
            if let Some(server) = self.server {
                while matches!(self.stacks[1].recv(server, &mut buffer), Ok(Some(n)) if n > 0) {}
            }
        }
    }
}

fn codepoint(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] & 3 } else { packet[1] >> 4 & 3 }
}

/// Congestion experienced, if the sender takes part; IPv4's checksum follows.
fn mark(packet: &mut [u8]) {
    if codepoint(packet) == 0 {
        return;
    }
    if packet[0] >> 4 == 6 {
        packet[1] |= 0x30;
        return;
    }
    packet[1] |= 3;
    packet[10..12].fill(0);
    let sum: u32 = packet[..20].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

#[test]
fn a_stack_sends_at_the_rate_asked_for_in_steady_batches() {
    // A window of 120 kB, 1.2 times in 10 ms: 14.4 MB/s; and one of 12 kB for a slow one.
    for window in [12_000, 120_000, 1_000_000] {
        let tcp = TcpConfig {
            congestion: CongestionControl::None,
            fixed_window: window,
            pacing: Pacing::On,
            receive_buffer: 1 << 23,
            ..TcpConfig::default()
        };
        let mut wire = Wire::open(&tcp, false);
        wire.stream(300);
        // In the first round trips the acknowledgements hold the window: half of it makes pacing alone decide.
        let info = wire.stacks[0].tcp_info(wire.client).unwrap();
        let rate = info.pacing_rate as f64;
        wire.left.clear();
        let begin = wire.now_ns;
        wire.stream(1_000);
        let bytes: usize = wire.left.iter().map(|(_, len)| len - 52).sum();
        let achieved = bytes as f64 * 1e9 / (wire.now_ns - begin) as f64;
        // The window itself allows five sixths of the rate: what arrives may not exceed the one or miss the other.
        assert!(achieved <= rate * 1.02 && achieved >= rate / 1.2 * 0.95, "{achieved} of {rate}");
        // Never more than a batch and what lateness may make up for in two milliseconds.
        let most = rate / 1e3 * 2.0 + 4.0 * 1448.0;
        for (i, (at, _)) in wire.left.iter().enumerate() {
            let burst: usize = wire.left[i..]
                .iter()
                .take_while(|(then, _)| then - at < 1_000_000)
                .map(|(_, len)| len - 52)
                .sum();
            assert!(burst as f64 <= most, "{burst} bytes within a millisecond at {rate}");
        }
    }
}

#[test]
fn marks_travel_in_both_families_and_slow_the_sender_down() {
    for (v6, mode, agreed) in [
        (false, EcnMode::Request, EcnFeedback::Classic),
        (true, EcnMode::Request, EcnFeedback::Classic),
        (false, EcnMode::Accurate, EcnFeedback::Accurate),
        (true, EcnMode::Accurate, EcnFeedback::Accurate),
    ] {
        let tcp = TcpConfig { ecn: mode, ..TcpConfig::default() };
        let mut wire = Wire::open(&tcp, v6);
        wire.stream(100);
        assert!(wire.codepoints.iter().all(|bits| *bits == 2), "ECT(0) on all data");
        let before = wire.stacks[0].tcp_info(wire.client).unwrap();
        assert_eq!((before.ecn, before.stats.ecn_signals), (agreed, 0));
        wire.congested = true;
        wire.stream(100);
        let after = wire.stacks[0].tcp_info(wire.client).unwrap();
        assert!(after.stats.ecn_signals > 0 && after.cwnd < before.cwnd, "{after:?}");
        assert_eq!(after.stats.segs_retrans, 0);
    }
}

#[test]
fn by_default_nobody_asks_and_nothing_is_marked() {
    let mut wire = Wire::open(&TcpConfig::default(), false);
    wire.congested = true;
    wire.stream(50);
    assert!(wire.codepoints.iter().all(|bits| *bits == 0));
}
