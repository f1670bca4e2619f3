//! Two stacks and an adversary on the wire between them. The tape is the adversary: it says what becomes of each
//! packet, and now and then what the applications do. When it is over the wire is a good one, and time passes.
//!
//! How much it may do is told by its first byte:
//!
//! - *Wire*: it loses, delays, reorders, repeats, damages, cuts and marks packets, and complains of their length.
//!   Everything of [`bypath_sim::invariants`] holds, and streams arrive whole, or end by an error.
//! - *Blind*: it also makes segments up, without knowing where the window is; resets may hit. Streams arrive
//!   whole, or end by an error.
//! - *Liar*: it rewrites what it likes and makes the checksums good. No TCP keeps a stream from that; the stacks
//!   stay in order all the same.
//!
//! In all three nothing panics or goes round and round, what is owed has a timer, and in the end nothing is left.

mod ends;
mod tricks;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bypath::Instant;
use bypath::by_hand::{Link, Memory, Stack, StackOptions, TcpPort};
use bypath_sim::invariants::WireWatch;
use bypath_sim::packet::{Medium, TcpPacket};

use crate::settings::Settings;
use crate::tape::Tape;
use crate::told;
use ends::Connection;

const PORT: u16 = 80;
const CLIENT_PORTS: u16 = 40_000;
/// Connections at the beginning, and all that are ever opened.
const CONNECTIONS: usize = 2;
const MOST_CONNECTIONS: usize = 4;
/// Packets of one round that can be explained.
const MOST_AT_ONCE: usize = 4_096;
const MILLISECOND: u64 = 1_000_000;
/// Packets that the adversary remembers.
const MEMORY: usize = 16;

/// What the adversary may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Wire,
    Blind,
    Liar,
}

struct Wire {
    stacks: [Stack; 2],
    mtus: [usize; 2],
    listener: TcpPort,
    server: SocketAddr,
    /// The client gives its first bytes with the connection.
    fast_open: bool,
    /// What opened a connection once may open it again, and who did may find nobody: cookies, and Fast Open.
    replays: bool,
    /// Bounds of what the stacks keep for received data.
    memory: [Memory; 2],
    opened: usize,
    connections: Vec<Connection>,
    power: Power,
    watch: Option<WireWatch>,
    now: u64,
    /// To whom, and what, in the order sent.
    flight: VecDeque<(usize, Vec<u8>)>,
    past: VecDeque<(usize, Vec<u8>)>,
}

/// Runs a tape.
pub fn adversary(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut wire = Wire::new(&mut tape);
    while !tape.is_over() {
        wire.settle();
        wire.trick(&mut tape);
    }
    wire.clear_up();
    wire.wind_down();
}

impl Wire {
    fn new(tape: &mut Tape<'_>) -> Self {
        let power = tape.one_of(&[Power::Wire, Power::Blind, Power::Liar]);
        let v6 = tape.byte() & 1 == 1;
        let settings = [Settings::read(tape), Settings::read(tape)];
        let own = settings.each_ref().map(|s| StackOptions { link: Link::Ip, ..s.stack.clone() });
        let ips: [IpAddr; 2] = [1, 2]
            .map(|n| if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, n].into() } else { [198, 18, 0, n as u8].into() });
        let mut stacks = own.each_ref().map(|own| Stack::new(own).unwrap());
        for (stack, ip) in stacks.iter_mut().zip(ips) {
            stack.add_address(ip, if v6 { 64 } else { 24 });
        }
        let server = SocketAddr::new(ips[1], PORT);
        let listener = stacks[1].listen(server, 4);
        if settings[1].fast_open {
            stacks[1].set_fast_open(listener, 4);
        }
        let fast_open = settings[0].fast_open;
        let replays = settings[1].cookies || (fast_open && settings[1].fast_open);
        let mtu = own[0].mtu.max(own[1].mtu);
        let watch = (power == Power::Wire).then(|| WireWatch::new(Medium::Ip, mtu).with_replays(replays));
        let mut wire = Self {
            stacks,
            mtus: [own[0].mtu as usize, own[1].mtu as usize],
            listener,
            server,
            fast_open,
            replays,
            memory: own
                .each_ref()
                .map(|own| Memory { receive: own.receive_memory, reassembly: own.reassembly_memory }),
            opened: 0,
            connections: Vec::new(),
            power,
            watch,
            now: 0,
            flight: VecDeque::new(),
            past: VecDeque::new(),
        };
        for i in 0..CONNECTIONS {
            let client = SocketAddr::new(ips[0], CLIENT_PORTS + i as u16);
            let connection = wire.connect(i as u64, client, tape);
            wire.connections.extend(connection);
            if tape.byte() & 1 == 0 {
                break;
            }
        }
        wire
    }

    /// The client opens a connection; not, while its port is in use.
    fn connect(&mut self, salt: u64, client: SocketAddr, tape: &mut Tape<'_>) -> Option<Connection> {
        let totals = [tape.one_of(&ends::TOTALS), tape.one_of(&ends::TOTALS)];
        self.opened += 1;
        let names = [client, self.server];
        Connection::open(&mut self.stacks[0], salt, names, totals, self.fast_open)
    }

    /// Another connection: on the ports of one that is over, where what is under way of that one cannot be taken
    /// for this one's, or on its own.
    fn another(&mut self, index: usize, tape: &mut Tape<'_>) {
        if self.opened >= MOST_CONNECTIONS {
            return;
        }
        if self.connections[index].is_over() && !self.replays {
            let [client, _] = self.connections[index].names(0);
            if let Some(connection) = self.connect(self.opened as u64, client, tape) {
                told!("     {client} again");
                for side in [0, 1] {
                    self.connections[index].leave(side, &mut self.stacks[side]);
                }
                self.connections[index] = connection;
            }
            return;
        }
        let port = CLIENT_PORTS + self.connections.len() as u16;
        let [first, _] = self.connections[0].names(0);
        let connection = self.connect(self.opened as u64, SocketAddr::new(first.ip(), port), tape);
        self.connections.extend(connection);
    }

    fn at(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// Lets both stacks and their applications do what they can, and looks at it.
    fn settle(&mut self) {
        for side in [0, 1] {
            let at = self.at();
            self.stacks[side].poll(at);
            self.accept(side);
            let whole = self.power < Power::Liar;
            for connection in &mut self.connections {
                connection.run(side, &mut self.stacks[side], whole, self.replays);
                if let Some(watch) = &mut self.watch {
                    let [own, other] = connection.names(side);
                    watch.offer(own, other, connection.offer(side));
                }
            }
            self.stacks[side].poll(at);
            let mut packets = 0;
            while let Some(packet) = self.stacks[side].transmit() {
                packets += 1;
                assert!(packets < MOST_AT_ONCE, "no end of packets");
                self.leaves(side, packet);
            }
            match self.stacks[side].next_deadline() {
                Some(deadline) => {
                    assert!(deadline > at, "what is due now was not done: {deadline:?} at {at:?}")
                }
                None => self.nothing_is_owed(side),
            }
            let (memory, most) = (self.stacks[side].memory(), self.memory[side]);
            assert!(memory.receive <= most.receive && memory.reassembly <= most.reassembly, "{memory:?}");
        }
    }

    fn leaves(&mut self, side: usize, packet: Vec<u8>) {
        if let Some(tcp) = TcpPacket::parse(Medium::Ip, &packet).unwrap() {
            told!("{:.6} {side} {tcp}", self.now as f64 / 1e9);
        }
        assert!(packet.len() <= self.mtus[side], "{} bytes, MTU {}", packet.len(), self.mtus[side]);
        if let Some(watch) = &mut self.watch {
            watch.sent(&packet).unwrap();
        }
        self.past.push_front((1 - side, packet.clone()));
        self.past.truncate(MEMORY);
        self.flight.push_back((1 - side, packet));
    }

    fn accept(&mut self, side: usize) {
        if side == 0 {
            return;
        }
        while let Some(socket) = self.stacks[1].accept(self.listener) {
            let (_, remote) = self.stacks[1].addresses(socket).unwrap();
            let index = usize::from(remote.port().wrapping_sub(CLIENT_PORTS));
            match self.connections.get_mut(index) {
                Some(connection) if connection.waits_for_server() => connection.accepted(socket),
                _ => {
                    // An old SYN that came again, or one that nobody sent; in a fair network it goes nowhere.
                    assert!(
                        self.power > Power::Wire || self.replays,
                        "a connection that nobody opened: {remote}"
                    );
                    if let Some(watch) = &mut self.watch {
                        watch.forget(self.server, remote);
                    }
                    self.stacks[1].close(socket);
                }
            }
        }
    }

    /// Without a timer, nobody may be waiting for one.
    fn nothing_is_owed(&self, side: usize) {
        let Some(watch) = self.watch.as_ref().filter(|_| !self.replays) else { return };
        for connection in &self.connections {
            let [own, other] = connection.names(side);
            let Some((sent, shut)) = connection.owes(side, &self.stacks[side]) else { continue };
            let acknowledged = watch.acknowledged(own, other);
            assert!(
                acknowledged >= sent + u64::from(shut),
                "{own}: {acknowledged} of {sent}, and no timer runs"
            );
        }
    }

    fn arrives(&mut self, side: usize, packet: &[u8]) {
        let at = self.at();
        self.stacks[side].receive(at, packet);
    }

    /// The next thing that happens on a good wire; `false`: nothing ever will.
    fn pass(&mut self) -> bool {
        self.settle();
        if let Some((side, packet)) = self.flight.pop_front() {
            self.now += MILLISECOND / 10;
            self.arrives(side, &packet);
            return true;
        }
        let deadline = self.stacks.iter().filter_map(Stack::next_deadline).min();
        if let Some(deadline) = deadline {
            self.now = self.now.max(deadline.as_nanos());
        }
        deadline.is_some()
    }

    /// The adversary is gone, and the applications finish what they began.
    fn clear_up(&mut self) {
        for connection in &mut self.connections {
            connection.hurry();
        }
        for _ in 0..200_000 {
            if self.connections.iter().all(Connection::is_over) || !self.pass() {
                break;
            }
        }
        if self.power < Power::Liar {
            for connection in &self.connections {
                connection.judge(self.now, self.replays);
            }
        }
    }

    /// Every socket is closed.
    fn wind_down(&mut self) {
        for side in [0, 1] {
            for connection in &mut self.connections {
                connection.leave(side, &mut self.stacks[side]);
            }
        }
        for _ in 0..100_000 {
            let idle = !self.pass();
            if self.stacks.iter().all(|stack| stack.connections() == 0) {
                for stack in &self.stacks {
                    assert_eq!(stack.memory(), Memory::default(), "memory of connections that are gone");
                }
                return;
            }
            if idle {
                break;
            }
        }
        let left = [self.stacks[0].connections(), self.stacks[1].connections()];
        panic!("{left:?} connections are left after {} s", self.now / 1_000_000_000);
    }
}
