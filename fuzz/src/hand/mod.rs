//! One stack by hand, fed packets, times and socket calls by a tape. The tape plays the peer, too: its segments
//! are placed by what the stack has said, so that most of them mean something, and some do not.
//!
//! What must hold, after every step: each packet sent is well-formed, carries what the application wrote and
//! acknowledges what was sent; what is read is what the peer put there; the next deadline lies ahead, and there is
//! one while anything is owed; connections stay within their bound. And in the end, with every socket closed
//! and a peer that says no more, nothing is left.

mod flow;
mod segment;
mod sockets;

use std::net::{IpAddr, SocketAddr};

use bypath::Instant;
use bypath::by_hand::{Link, Memory, Stack, TcpPort, TcpSocket, UdpPort};
use bypath_sim::packet::{Medium, TcpPacket};
use bypath_wire::arp::{ArpOperation, ArpPacket};
use bypath_wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use bypath_wire::icmpv6::Icmpv6;
use bypath_wire::ip::protocol;
use bypath_wire::ipv6::Ipv6Header;
use bypath_wire::ndp::{Ndp, NdpOptions};
use bypath_wire::tcp::TcpFlags;

use crate::packets::{self, Complaint};
use crate::settings::{CONNECTIONS, Settings};
use crate::tape::Tape;
use crate::told;
use flow::Flow;

pub(crate) const STACK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const LISTENING: u16 = 80;
/// Flows that the peer opens, and as many that the stack does; half of each speak IPv6.
const SLOTS: usize = 8;
/// Packets kept for being sent again, quoted or thrown back.
const MEMORY: usize = 8;
/// Packets of one step that can be explained.
const MOST_AT_ONCE: usize = 4_096;

fn stack_ip(v6: bool) -> IpAddr {
    if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, 1].into() } else { [198, 18, 0, 1].into() }
}

fn peer_ip(v6: bool) -> IpAddr {
    if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, 2].into() } else { [198, 18, 0, 2].into() }
}

/// A flow and the socket on it.
struct Slot {
    flow: Flow,
    active: bool,
    socket: Option<TcpSocket>,
    written: u64,
    read: u64,
    /// Where the peer's stream begins, once it is known for this socket.
    reads_from: Option<bypath_wire::SeqNum>,
    peer_finished: bool,
}

struct World {
    stack: Stack,
    fast_open: bool,
    cookies: bool,
    /// Bounds of what may be kept for received data: of grown buffers, of bytes ahead of their turn.
    memory: (u64, u64),
    now: u64,
    medium: Medium,
    mtu: usize,
    lazy: bool,
    silent_link: bool,
    listener: Option<TcpPort>,
    udp: Option<UdpPort>,
    slots: Vec<Slot>,
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    strays: Vec<TcpSocket>,
}

/// Runs a tape.
pub fn stack_by_hand(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut world = World::new(&mut tape);
    while !tape.is_over() {
        world.step(&mut tape);
        world.settle();
    }
    world.wind_down();
}

impl World {
    fn new(tape: &mut Tape<'_>) -> Self {
        let settings = Settings::read(tape);
        let options = &settings.stack;
        let manners = tape.byte();
        let mut stack = Stack::new(options).unwrap();
        for v6 in [false, true] {
            stack.add_address(stack_ip(v6), if v6 { 64 } else { 24 });
        }
        let listener = stack.listen(SocketAddr::new([0, 0, 0, 0].into(), LISTENING), 4);
        let slots = (0..SLOTS).map(|i| {
            let (v6, active) = (i & 1 == 1, i >= SLOTS / 2);
            let (ours, theirs) =
                if active { (50_000 + i as u16, 9_000) } else { (LISTENING, 40_000 + i as u16) };
            let (stack, peer) = (SocketAddr::new(stack_ip(v6), ours), SocketAddr::new(peer_ip(v6), theirs));
            // Near the end of the circle, some of them.
            let iss = [0x1000_0000, 0xffff_fff0, 0x7fff_ff00, 0][i % 4];
            let flow = Flow::new(stack, peer, iss);
            Slot { flow, active, socket: None, written: 0, read: 0, reads_from: None, peer_finished: false }
        });
        let mut world = Self {
            fast_open: settings.fast_open,
            cookies: settings.cookies,
            memory: (options.receive_memory, options.reassembly_memory),
            stack,
            now: 0,
            medium: if options.link == Link::Ip { Medium::Ip } else { Medium::Ethernet },
            mtu: options.mtu as usize,
            lazy: manners & 1 != 0,
            silent_link: manners & 2 != 0,
            listener: None,
            udp: None,
            slots: slots.collect(),
            sent: Vec::new(),
            received: Vec::new(),
            strays: Vec::new(),
        };
        world.stack.close_listener(listener);
        world.listen();
        world
    }

    fn at(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// One thing that happens.
    fn step(&mut self, tape: &mut Tape<'_>) {
        let op = tape.byte();
        let index = usize::from(op >> 5);
        told!("{:.6} slot {index} op {}", self.now as f64 / 1e9, op & 31);
        match op & 31 {
            0..=4 => self.behaves(index, tape),
            5..=11 => self.segment(index, tape),
            12 => {
                let unit = [1_000, 1_000_000, 40_000_000, 1_000_000_000, 60_000_000_000];
                self.now += tape.one_of(&unit) * (1 + u64::from(tape.byte()));
            }
            13..=15 => {
                if let Some(deadline) = self.stack.next_deadline() {
                    self.now = self.now.max(deadline.as_nanos());
                }
            }
            16 => self.connect(index),
            17 | 18 => self.write(index, tape),
            19 | 20 => self.read(index, tape),
            21 => self.shut_down(index),
            22 => {
                if let Some(socket) = self.slots[index].socket {
                    let _ = match tape.byte() % 3 {
                        0 => self.stack.abort(socket),
                        n => self.stack.set_nodelay(socket, n == 1),
                    };
                }
            }
            23 => {
                if let Some(socket) = self.slots[index].socket.take() {
                    self.stack.close(socket);
                    self.slots[index].flow.shut = true;
                }
            }
            24 => match tape.byte() % 4 {
                0 => {
                    if let Some(listener) = self.listener.take() {
                        self.stack.close_listener(listener);
                    }
                }
                1 => self.listen(),
                2 => self.lazy ^= true,
                _ => self.accept(true),
            },
            25 => self.complain(tape),
            26 => {
                let raw = tape.byte();
                let packet = tape.take(usize::from(raw)).to_vec();
                self.arrives(&packet, true);
            }
            27 => {
                if let Some(packet) = self.received.get(tape.byte() as usize % MEMORY).cloned() {
                    self.arrives(&packet, false);
                }
            }
            28 => {
                // Its own packet, thrown back.
                if let Some(packet) = self.sent.get(tape.byte() as usize % MEMORY).cloned() {
                    self.arrives(&packet, false);
                }
            }
            29 => self.datagrams(index, tape),
            30 => {
                let flow = &mut self.slots[index].flow;
                flow.peer_iss += tape.u32();
                flow.peer_open = false;
            }
            _ => self.edited(tape),
        }
    }

    fn complain(&mut self, tape: &mut Tape<'_>) {
        let (which, code, mtu) =
            (tape.byte(), tape.byte(), tape.one_of(&[1_400_u16, 576, 0, 68, 1_280, 9_000]));
        let Some(packet) = self.sent.get(usize::from(which) % MEMORY) else { return };
        let what = if code & 1 == 0 { Complaint::TooBig(mtu) } else { Complaint::Unreachable(code >> 1) };
        let packet = packets::complaint(packet, what);
        self.arrives(&packet, false);
    }

    /// A packet of before, one byte of it changed, its checksums as they were.
    fn edited(&mut self, tape: &mut Tape<'_>) {
        let (which, at, to) = (tape.byte(), tape.u16(), tape.byte());
        let Some(mut packet) = self.received.get(usize::from(which) % MEMORY).cloned() else { return };
        let at = usize::from(at) % packet.len().max(1);
        if let Some(byte) = packet.get_mut(at) {
            *byte = to;
        }
        self.arrives(&packet, false);
    }

    fn datagrams(&mut self, index: usize, tape: &mut Tape<'_>) {
        let v6 = index & 1 == 1;
        let (local, remote) = (SocketAddr::new(stack_ip(v6), 53), SocketAddr::new(peer_ip(v6), 5_353));
        match tape.byte() % 4 {
            0 => {
                let socket = *self.udp.get_or_insert_with(|| self.stack.bind_udp(local));
                self.stack.send_to(socket, tape.take(40), remote);
            }
            1 => {
                let packet = packets::datagram(remote, local, tape.take(40));
                self.arrives(&packet, false);
            }
            2 => {
                if let Some(socket) = self.udp {
                    let _ = (self.stack.recv_from(socket), self.stack.refused_by(socket));
                }
            }
            _ => {
                if let Some(socket) = self.udp.take() {
                    self.stack.close_udp(socket);
                }
            }
        }
    }

    /// An IP packet reaches the stack. With `own_link` it begins as its sender wants.
    fn arrives(&mut self, packet: &[u8], own_link: bool) {
        if let Ok(Some(tcp)) = TcpPacket::parse(if own_link { self.medium } else { Medium::Ip }, packet) {
            told!("  in  {tcp}");
            let known = self.slots.iter_mut().find(|s| s.flow.stack == tcp.to && s.flow.peer == tcp.from);
            if let Some(slot) = known {
                let flags = tcp.header.flags;
                slot.flow.peer_sends(tcp.header.seq, flags, tcp.payload.len(), tcp.header.ack);
                slot.peer_finished |= flags.contains(TcpFlags::FIN);
            }
        }
        if !own_link {
            self.received.insert(0, packet.to_vec());
            self.received.truncate(MEMORY);
        }
        let at = self.at();
        if own_link || self.medium == Medium::Ip {
            self.stack.receive(at, packet);
            return;
        }
        let ethertype =
            if packet.first().is_some_and(|b| b >> 4 == 6) { EtherType::IPV6 } else { EtherType::IPV4 };
        self.stack.receive(at, &framed(ethertype, packet));
    }

    /// Lets the stack do what is due, looks at all it sends, and at itself.
    fn settle(&mut self) {
        self.stack.poll(self.at());
        let mut packets = 0;
        while let Some(packet) = self.stack.transmit() {
            packets += 1;
            assert!(packets < MOST_AT_ONCE, "no end of packets");
            self.leaves(&packet);
        }
        // After the answers have been seen, which of those to Fast Open SYNs are connections already.
        if !self.lazy {
            self.accept(true);
        }
        if let Some(deadline) = self.stack.next_deadline() {
            assert!(deadline > self.at(), "what is due now was not done: {deadline:?} at {:?}", self.at());
        } else {
            self.nothing_is_owed();
        }
        assert!(self.stack.connections() <= CONNECTIONS);
        let memory = self.stack.memory();
        assert!(memory.receive <= self.memory.0 && memory.reassembly <= self.memory.1, "{memory:?}");
    }

    /// Without a timer, nobody may be waiting for one.
    fn nothing_is_owed(&self) {
        for slot in &self.slots {
            let Some(socket) = slot.socket.filter(|socket| !self.stack.is_closed(*socket)) else { continue };
            let Ok(connected) = self.stack.is_connected(socket) else { continue };
            assert!(connected, "opening, and no timer runs");
            if let (Some(offered), Some(iss)) = (slot.flow.offered, slot.flow.iss) {
                let acked = slot.flow.peer_acked.map_or(0, |acked| u64::from(acked.0.wrapping_sub(iss.0)));
                let owed = offered + 1 + u64::from(slot.flow.shut);
                assert!(acked >= owed, "{offered} bytes offered, {acked} acknowledged, and no timer runs");
            }
        }
    }

    /// The stack sends a packet.
    fn leaves(&mut self, packet: &[u8]) {
        let Some(ip) = self.medium.ip(packet) else { return self.resolve(packet) };
        assert!(ip.len() <= self.mtu, "{} bytes on a link of {}", ip.len(), self.mtu);
        self.sent.insert(0, ip.to_vec());
        self.sent.truncate(MEMORY);
        match TcpPacket::parse(self.medium, packet).unwrap() {
            Some(tcp) => {
                told!("  out {tcp}");
                let known = self.slots.iter_mut().find(|s| s.flow.stack == tcp.from && s.flow.peer == tcp.to);
                if let Some(slot) = known {
                    slot.flow.stack_sends(&tcp);
                }
            }
            None => self.solicited(ip),
        }
    }

    /// The link of the peer answers, unless it is told not to.
    fn resolve(&mut self, frame: &[u8]) {
        let (header, n) = EthernetHeader::parse(frame).unwrap();
        assert_eq!(header.ethertype, EtherType::ARP);
        let arp = ArpPacket::parse(&frame[n..]).unwrap();
        if arp.operation == ArpOperation::REQUEST
            && IpAddr::V4(arp.target_ip) == peer_ip(false)
            && !self.silent_link
        {
            let mut reply = [0; 28];
            arp.reply_from(PEER_MAC).emit(&mut reply);
            let at = self.at();
            self.stack.receive(at, &framed(EtherType::ARP, &reply));
            self.stack.poll(at);
        }
    }

    fn solicited(&mut self, packet: &[u8]) {
        let Ok((header, n)) = Ipv6Header::parse(packet) else { return };
        if header.next_header != protocol::ICMPV6 || self.silent_link {
            return;
        }
        if let Ok(Icmpv6::Ndp(Ndp::NeighborSolicitation { target, .. })) = Icmpv6::parse(&packet[n..])
            && IpAddr::V6(target) == peer_ip(true)
        {
            let options = NdpOptions { target_link: Some(PEER_MAC), ..NdpOptions::default() };
            let (router, solicited, overrides) = (false, true, true);
            let answer = Ndp::NeighborAdvertisement { router, solicited, overrides, target, options };
            let mut bytes = vec![0; answer.encoded_len()];
            answer.emit(target, header.src, &mut bytes);
            let packet = packets::ip(target.into(), header.src.into(), protocol::ICMPV6, 0, &bytes);
            let at = self.at();
            self.stack.receive(at, &framed(EtherType::IPV6, &packet));
            self.stack.poll(at);
        }
    }

    /// Every socket is closed, nobody says anything any more, and time passes.
    fn wind_down(&mut self) {
        self.lazy = false;
        self.accept(false);
        if let Some(listener) = self.listener.take() {
            self.stack.close_listener(listener);
        }
        for slot in &mut self.slots {
            slot.flow.shut = true;
            if let Some(socket) = slot.socket.take() {
                self.stack.close(socket);
            }
        }
        for socket in self.strays.drain(..) {
            self.stack.close(socket);
        }
        let mut idle = false;
        for _ in 0..20_000 {
            self.settle();
            if self.stack.connections() == 0 {
                assert_eq!(self.stack.memory(), Memory::default(), "memory of connections that are gone");
                return;
            }
            let Some(deadline) = self.stack.next_deadline() else {
                // The last of a listener's half-open connections may just have taken its queue along.
                if std::mem::replace(&mut idle, true) {
                    break;
                }
                continue;
            };
            self.now = deadline.as_nanos();
            told!("{:.6} alone", self.now as f64 / 1e9);
        }
        panic!("{} connections are left after {} s", self.stack.connections(), self.now / 1_000_000_000);
    }
}

fn framed(ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let header = EthernetHeader { dst: STACK_MAC, src: PEER_MAC, ethertype, ..EthernetHeader::default() };
    let mut frame = vec![0; header.encoded_len()];
    header.emit(&mut frame);
    frame.extend_from_slice(packet);
    frame
}
