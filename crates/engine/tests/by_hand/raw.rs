//! One stack, and peers that the test plays segment by segment. The stack is 198.18.0.2; a peer is any address
//! and port, and its sequence numbers are the test's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bypath::Instant;
use bypath::by_hand::{Stack, StackOptions, TcpPort};
use bypath_wire::SeqNum;
use bypath_wire::checksum::{Sum, pseudo_header};
use bypath_wire::ip::protocol;
use bypath_wire::ipv4::Ipv4Header;
use bypath_wire::tcp::{CHECKSUM_OFFSET, MIN_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::net::{B, Family, check, with_addresses};

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
pub(crate) const RST: TcpFlags = TcpFlags::RST;
pub(crate) const FIN: TcpFlags = TcpFlags::FIN;

/// A segment as it goes over the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tcp {
    /// When the stack sent it, in nanoseconds.
    pub(crate) at: u64,
    pub(crate) peer: (u32, u16),
    pub(crate) port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Vec<u8>,
}

impl Tcp {
    pub(crate) fn new(peer: (u32, u16), flags: TcpFlags, seq: u32, ack: u32) -> Self {
        Self { peer, port: 80, seq, ack, flags, window: 60_000, ..Self::default() }
    }
    pub(crate) fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }
    pub(crate) fn options(mut self, options: TcpOptions) -> Self {
        self.options = options;
        self
    }
    pub(crate) fn stamp(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (src, dst) = (Ipv4Addr::from_bits(self.peer.0), server());
        let header = TcpHeader {
            src_port: self.peer.1,
            dst_port: self.port,
            seq: SeqNum(self.seq),
            ack: SeqNum(self.ack),
            flags: self.flags,
            window: self.window,
            ..TcpHeader::default()
        };
        let n = MIN_HEADER_LEN + self.options.encoded_len();
        let len = n + self.payload.len();
        let mut packet = vec![0; 20 + len];
        let ip = Ipv4Header {
            total_len: packet.len() as u16,
            ttl: 64,
            protocol: protocol::TCP,
            src,
            dst,
            ..Ipv4Header::default()
        };
        ip.emit(&mut packet);
        header.emit(&self.options, &mut packet[20..]);
        packet[20 + n..].copy_from_slice(&self.payload);
        let sum = pseudo_header(IpAddr::V4(src), IpAddr::V4(dst), protocol::TCP, len as u32);
        let sum = sum.add(Sum::of(&packet[20..])).finish();
        packet[20 + CHECKSUM_OFFSET..22 + CHECKSUM_OFFSET].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    pub(crate) fn decode(at: u64, packet: &[u8]) -> Self {
        check(packet, false, 1500);
        let (ip, n) = Ipv4Header::parse(packet).unwrap();
        assert_eq!((ip.src, ip.protocol), (server(), protocol::TCP));
        let (header, len) = TcpHeader::parse(&packet[n..]).unwrap();
        Self {
            at,
            peer: (ip.dst.to_bits(), header.dst_port),
            port: header.src_port,
            seq: header.seq.0,
            ack: header.ack.0,
            flags: header.flags,
            window: header.window,
            options: TcpOptions::parse(&packet[n + MIN_HEADER_LEN..n + len]).unwrap(),
            payload: packet[n + len..].to_vec(),
        }
    }
}

fn server() -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, 2)
}

/// A peer in the stack's network, by its last byte, at port 1000.
pub(crate) fn peer(n: u8) -> (u32, u16) {
    (Ipv4Addr::new(198, 18, 0, n).to_bits(), 1_000)
}

pub(crate) fn address(peer: (u32, u16)) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(peer.0)), peer.1)
}

/// The options of a modern SYN.
pub(crate) fn modern(stamp: u32) -> TcpOptions {
    TcpOptions {
        mss: Some(1_460),
        sack_permitted: true,
        window_scale: Some(7),
        timestamps: Some(Timestamps { value: stamp, echo: 0 }),
        ..TcpOptions::default()
    }
}

/// The stack and its clock.
pub(crate) struct Lone {
    pub(crate) stack: Stack,
    pub(crate) now: u64,
}

impl Lone {
    pub(crate) fn new(options: &StackOptions) -> Self {
        Self { stack: with_addresses(Stack::new(options).unwrap(), B), now: 0 }
    }

    /// With a listener at port 80.
    pub(crate) fn listening(options: &StackOptions, backlog: usize) -> (Self, TcpPort) {
        let mut lone = Self::new(options);
        let listener = lone.stack.listen(Family::V4.at(B, 80), backlog);
        (lone, listener)
    }

    /// Gives the stack a segment, and returns what it sends at once.
    pub(crate) fn give(&mut self, segment: &Tcp) -> Vec<Tcp> {
        self.stack.receive(Instant::from_nanos(self.now), &segment.encode());
        self.sent()
    }

    /// As [`Lone::give`], for one answer.
    pub(crate) fn answer(&mut self, segment: &Tcp) -> Tcp {
        let mut sent = self.give(segment);
        assert_eq!(sent.len(), 1, "{sent:?} {:?}", self.stack.drops());
        sent.remove(0)
    }

    pub(crate) fn sent(&mut self) -> Vec<Tcp> {
        self.stack.poll(Instant::from_nanos(self.now));
        std::iter::from_fn(|| self.stack.transmit()).map(|packet| Tcp::decode(self.now, &packet)).collect()
    }

    /// Lets time pass, every timer at its moment; returns what was sent.
    pub(crate) fn pass(&mut self, ns: u64) -> Vec<Tcp> {
        let end = self.now + ns;
        let mut sent = self.sent();
        while let Some(at) = self.stack.next_deadline().map(Instant::as_nanos).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    pub(crate) fn dropped(&self, cause: &str) -> u64 {
        count(&self.stack.drops(), cause)
    }

    pub(crate) fn counted(&self, what: &str) -> u64 {
        count(&self.stack.counts(), what)
    }

    /// A complete handshake with a peer that has sent `seq`: the server's next sequence number.
    pub(crate) fn handshake(&mut self, peer: (u32, u16), seq: u32) -> u32 {
        let syn_ack = self.answer(&Tcp::new(peer, SYN, seq, 0));
        assert_eq!((syn_ack.flags, syn_ack.ack), (SYN_ACK, seq.wrapping_add(1)));
        let next = syn_ack.seq.wrapping_add(1);
        self.give(&Tcp::new(peer, ACK, seq.wrapping_add(1), next));
        next
    }
}

fn count(all: &[(&'static str, u64)], name: &str) -> u64 {
    all.iter().find(|(n, _)| *n == name).map_or(0, |(_, n)| *n)
}
