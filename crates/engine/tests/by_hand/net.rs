//! The simulation: two stacks, the wire between them, the clock, and the check of every packet sent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};

use bypath::Instant;
use bypath::by_hand::{Link, Stack, StackOptions, TcpPort, TcpSocket};
use bypath_wire::arp::ArpPacket;
use bypath_wire::checksum::transport_ok;
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::{self, Ipv4Header};
use bypath_wire::ipv6::Ipv6Header;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];

/// What the wire does, both ways. Probabilities are in thousandths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) delay_ns: u64,
    pub(crate) loss: u64,
    /// Held back by up to four times the delay.
    pub(crate) reorder: u64,
    pub(crate) duplicate: u64,
    /// One byte changed. Not in Ethernet headers and ARP: their check is the frame's, which a wire like this
    /// does not have.
    pub(crate) corrupt: u64,
    /// Longer packets disappear, and nobody says so.
    pub(crate) swallows_above: usize,
}

pub(crate) const CLEAN: Wire =
    Wire { delay_ns: MS, loss: 0, reorder: 0, duplicate: 0, corrupt: 0, swallows_above: usize::MAX };
pub(crate) const BAD: Wire =
    Wire { delay_ns: 2 * MS, loss: 20, reorder: 50, duplicate: 20, corrupt: 20, swallows_above: usize::MAX };

/// Which family a test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    pub(crate) fn ip(self, side: usize) -> IpAddr {
        let text = match self {
            Family::V4 => ["198.18.0.1", "198.18.0.2"][side],
            Family::V6 => ["fd00::1", "fd00::2"][side],
        };
        text.parse().unwrap()
    }

    pub(crate) fn at(self, side: usize, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(side), port)
    }

    /// An address in the same network that nobody has.
    pub(crate) fn nobody(self) -> IpAddr {
        match self {
            Family::V4 => "198.18.0.77".parse().unwrap(),
            Family::V6 => "fd00::77".parse().unwrap(),
        }
    }
}

pub(crate) fn ethernet(side: usize) -> StackOptions {
    StackOptions { link: Link::Ethernet(MACS[side]), ..options(side) }
}

pub(crate) fn options(side: usize) -> StackOptions {
    StackOptions { seed: 77 + side as u64, ..StackOptions::default() }
}

/// Gives a new stack the addresses of its side.
pub(crate) fn with_addresses(mut stack: Stack, side: usize) -> Stack {
    stack.add_address(Family::V4.ip(side), 24);
    stack.add_address(Family::V6.ip(side), 64);
    stack
}

/// A packet under way: when it arrives, its number, to whom, bytes.
type Flying = (u64, u64, usize, Vec<u8>);

/// See the module.
pub(crate) struct Net {
    pub(crate) stacks: [Stack; 2],
    pub(crate) now: u64,
    pub(crate) wire: Wire,
    flight: BinaryHeap<Reverse<Flying>>,
    numbered: u64,
    rng: Xoshiro256PlusPlus,
    link: bool,
    mtus: [usize; 2],
    /// Packets sent by each side, as they were before the wire got hold of them; kept if wanted.
    pub(crate) log: Option<Vec<(usize, Vec<u8>)>>,
    pub(crate) corrupted: u64,
}

impl Net {
    pub(crate) fn new(options: [StackOptions; 2], wire: Wire, seed: u64) -> Self {
        let stacks = [Stack::new(&options[A]).unwrap(), Stack::new(&options[B]).unwrap()];
        Self::of(stacks, &options, wire, seed)
    }

    pub(crate) fn of(stacks: [Stack; 2], options: &[StackOptions; 2], wire: Wire, seed: u64) -> Self {
        let [a, b] = stacks;
        Self {
            stacks: [with_addresses(a, A), with_addresses(b, B)],
            now: 0,
            wire,
            flight: BinaryHeap::new(),
            numbered: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            link: options[A].link != Link::Ip,
            mtus: [options[A].mtu as usize, options[B].mtu as usize],
            log: None,
            corrupted: 0,
        }
    }

    /// Over raw IP, a clean wire.
    pub(crate) fn clean() -> Self {
        Self::new([options(A), options(B)], CLEAN, 1)
    }

    /// What the wire does from here on follows from another seed.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    }

    fn chance(&mut self, thousandths: u64) -> bool {
        thousandths > 0 && self.rng.next_u64() % 1_000 < thousandths
    }

    /// Lets the stacks do what they want to do now, and puts what they send on the wire.
    pub(crate) fn poll(&mut self) {
        for side in [A, B] {
            self.stacks[side].poll(Instant::from_nanos(self.now));
            while let Some(packet) = self.stacks[side].transmit() {
                check(&packet, self.link, self.mtus[side]);
                if let Some(log) = &mut self.log {
                    log.push((side, packet.clone()));
                }
                self.send(1 - side, packet);
            }
        }
    }

    /// Puts a packet of `side` on the wire, which the test has taken from the stack itself.
    pub(crate) fn carry(&mut self, side: usize, packet: Vec<u8>) {
        self.send(1 - side, packet);
    }

    /// Puts a packet on the wire to `side`.
    fn send(&mut self, side: usize, packet: Vec<u8>) {
        if packet.len() > self.wire.swallows_above || self.chance(self.wire.loss) {
            return;
        }
        let copies = if self.chance(self.wire.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut packet = packet.clone();
            if self.chance(self.wire.corrupt) {
                self.corrupt(&mut packet);
            }
            let mut at = self.now + self.wire.delay_ns;
            if self.chance(self.wire.reorder) {
                at += self.rng.next_u64() % (4 * self.wire.delay_ns).max(1);
            }
            self.numbered += 1;
            self.flight.push(Reverse((at, self.numbered, side, packet)));
        }
    }

    fn corrupt(&mut self, packet: &mut [u8]) {
        let from = if self.link { 14 } else { 0 };
        if self.link && packet[12..14] == EtherType::ARP.0.to_be_bytes() {
            return;
        }
        let at = from + self.rng.next_u64() as usize % (packet.len() - from);
        packet[at] ^= (1 + self.rng.next_u64() % 255) as u8;
        self.corrupted += 1;
    }

    /// Hands a packet to a stack at once, past the wire.
    pub(crate) fn inject(&mut self, side: usize, packet: &[u8]) {
        self.stacks[side].receive(Instant::from_nanos(self.now), packet);
        self.poll();
    }

    /// Moves the clock to the next thing that happens, but not beyond `limit`; `false` when nothing does.
    fn step(&mut self, limit: u64) -> bool {
        self.poll();
        let arrival = self.flight.peek().map(|Reverse((at, ..))| *at);
        let timers = self.stacks.iter().filter_map(|s| s.next_deadline().map(Instant::as_nanos)).min();
        let next = [arrival, timers].into_iter().flatten().min();
        let Some(next) = next.filter(|at| *at <= limit) else {
            self.now = limit;
            self.poll();
            return false;
        };
        self.now = self.now.max(next);
        while let Some(Reverse((at, ..))) = self.flight.peek()
            && *at <= self.now
            && let Some(Reverse((_, _, side, packet))) = self.flight.pop()
        {
            self.stacks[side].receive(Instant::from_nanos(self.now), &packet);
        }
        self.poll();
        true
    }

    /// Runs for `ns`.
    pub(crate) fn run(&mut self, ns: u64) {
        let limit = self.now + ns;
        while self.step(limit) {}
    }

    /// Runs until `done`, which is asked after every step, for at most `ns`.
    pub(crate) fn until(&mut self, ns: u64, mut done: impl FnMut(&mut Net) -> bool) -> bool {
        let limit = self.now + ns;
        loop {
            if done(self) {
                self.poll();
                return true;
            }
            if !self.step(limit) {
                return done(self);
            }
        }
    }

    /// A connection from A to port 80 of B, accepted: A's socket, B's socket, the listener.
    pub(crate) fn connected(&mut self, family: Family) -> (TcpSocket, TcpSocket, TcpPort) {
        let listener = self.stacks[B].listen(family.at(B, 80), 8);
        let client = self.stacks[A].connect(family.at(B, 80), 0).unwrap();
        let mut server = None;
        let open = self.until(60 * SECOND, |net| {
            server = server.or_else(|| net.stacks[B].accept(listener));
            server.is_some() && net.stacks[A].is_connected(client).unwrap()
        });
        assert!(open, "drops: {:?} {:?}", self.stacks[A].drops(), self.stacks[B].drops());
        (client, server.unwrap(), listener)
    }

    /// How often a stack has dropped a packet for a cause.
    pub(crate) fn dropped(&self, side: usize, cause: &str) -> u64 {
        self.stacks[side].drops().iter().find(|(name, _)| *name == cause).map_or(0, |(_, n)| *n)
    }

    /// How often something that is no drop was counted.
    pub(crate) fn counted(&self, side: usize, what: &str) -> u64 {
        self.stacks[side].counts().iter().find(|(name, _)| *name == what).map_or(0, |(_, n)| *n)
    }

    pub(crate) fn connections(&self) -> [usize; 2] {
        [self.stacks[A].connections(), self.stacks[B].connections()]
    }
}

/// Everything that must hold of a packet that a stack sends.
pub(crate) fn check(packet: &[u8], link: bool, mtu: usize) {
    let mut ip = packet;
    if link {
        let (header, n) = EthernetHeader::parse(packet).unwrap();
        assert_ne!(header.dst, MacAddr::UNSPECIFIED);
        ip = &packet[n..];
        if header.ethertype == EtherType::ARP {
            assert!(packet.len() >= 60);
            ArpPacket::parse(ip).unwrap();
            return;
        }
        let version = ip[0] >> 4;
        let expected = if version == 4 { EtherType::IPV4 } else { EtherType::IPV6 };
        assert_eq!(header.ethertype, expected);
    }
    assert!(ip.len() <= mtu, "{} bytes on a link of {mtu}", ip.len());
    let (src, dst, protocol, start) = if ip[0] >> 4 == 4 {
        let (header, n) = Ipv4Header::parse(ip).unwrap();
        assert!(ipv4::checksum_ok(ip));
        assert_eq!(usize::from(header.total_len), ip.len());
        assert!(header.ttl > 0 && header.dont_fragment);
        (IpAddr::V4(header.src), IpAddr::V4(header.dst), header.protocol, n)
    } else {
        let (header, n) = Ipv6Header::parse(ip).unwrap();
        assert_eq!(usize::from(header.payload_len), ip.len() - n);
        assert!(header.hop_limit > 0);
        (IpAddr::V6(header.src), IpAddr::V6(header.dst), header.next_header, n)
    };
    if protocol == protocol::ICMP {
        assert!(bypath_wire::icmpv4::checksum_ok(&ip[start..]));
    } else {
        assert!(transport_ok(src, dst, protocol, &ip[start..]), "checksum of protocol {protocol}");
    }
}

/// The byte at an offset of a stream; streams with other salts differ.
fn pattern(salt: u64, offset: u64) -> u8 {
    let x = (offset >> 2).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> (32 + 8 * (offset & 3))) as u8
}

/// `len` bytes of a stream from `offset` on.
pub(crate) fn stream(salt: u64, offset: u64, len: usize) -> Vec<u8> {
    (offset..offset + len as u64).map(|at| pattern(salt, at)).collect()
}

/// One end of a connection that sends a stream, then closes its direction, and checks what it receives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pump {
    pub(crate) side: usize,
    pub(crate) socket: TcpSocket,
    pub(crate) total: u64,
    /// Which stream it receives.
    pub(crate) expects: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) ended: bool,
}

impl Pump {
    pub(crate) fn new(side: usize, socket: TcpSocket, total: u64) -> Self {
        let expects = 1 - side as u64;
        Self { side, socket, total, expects, sent: 0, received: 0, ended: false }
    }

    /// Does what can be done now. Panics when a byte is not what was sent, or the connection fails.
    pub(crate) fn turn(&mut self, net: &mut Net) {
        let stack = &mut net.stacks[self.side];
        if !stack.is_connected(self.socket).unwrap() && self.sent == 0 {
            return;
        }
        while self.sent < self.total {
            let n = (self.total - self.sent).min(16_384) as usize;
            let n = stack.send(self.socket, &stream(self.side as u64, self.sent, n)).unwrap();
            self.sent += n as u64;
            if n == 0 {
                break;
            }
            if self.sent == self.total {
                stack.shutdown(self.socket).unwrap();
            }
        }
        let mut buffer = [0; 16_384];
        while let Some(n) = stack.recv(self.socket, &mut buffer).unwrap() {
            if n == 0 {
                self.ended = true;
                break;
            }
            let expected = stream(self.expects, self.received, n);
            assert!(buffer[..n] == expected, "stream differs within {n} bytes of {}", self.received);
            self.received += n as u64;
        }
    }
}

/// Moves `up` bytes from A to B and `down` bytes back on a new connection, and closes it. Panics unless every
/// byte arrives as it was sent.
pub(crate) fn exchange(net: &mut Net, family: Family, up: u64, down: u64) {
    let (client, server, listener) = net.connected(family);
    let mut a = Pump::new(A, client, up);
    let mut b = Pump::new(B, server, down);
    for (side, socket, total) in [(A, client, up), (B, server, down)] {
        if total == 0 {
            net.stacks[side].shutdown(socket).unwrap();
        }
    }
    let done = net.until(600 * SECOND, |net| {
        a.turn(net);
        b.turn(net);
        a.ended && b.ended
    });
    assert!(done, "{a:?} {b:?} drops {:?} {:?}", net.stacks[A].drops(), net.stacks[B].drops());
    assert_eq!((a.received, b.received), (down, up));
    net.stacks[A].close(client);
    net.stacks[B].close(server);
    net.stacks[B].close_listener(listener);
}
